package sentrytest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"manus/internal/testprogram"
)

const labelled = "../../errtrack/grouping/testdata/labelled"

//go:embed python/bugs.py
var pythonBugs string

// labelledEvent is a line of the labelled files.
type labelledEvent struct {
	SDK   string          `json:"sdk"`
	Bug   string          `json:"bug"`
	Event json.RawMessage `json:"event"`
}

// TestLabelled holds the labelled events against what they have to be, after writing them
// where it is asked to.
func TestLabelled(t *testing.T) {
	if *update {
		t.Run("write", func(t *testing.T) {
			for name, play := range map[string]func(t *testing.T, dsn string, version string){
				"go": bugsOfGo, "python": bugsOfPython, "node": bugsOfNode, "browser": bugsOfBrowser,
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					var out bytes.Buffer
					for _, version := range []string{"1", "2"} {
						server := Capture(t)
						play(t, server.DSN, version)
						writeEvents(t, &out, name, server.Items(t))
					}
					if err := os.MkdirAll(labelled, 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(labelled, name+".jsonl"), out.Bytes(), 0o644); err != nil {
						t.Fatal(err)
					}
				})
			}
		})
	}
	pairs := 0
	for _, name := range []string{"go", "python", "node", "browser"} {
		text, err := os.ReadFile(filepath.Join(labelled, name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		bugs := map[string]int{}
		for line := range bytes.Lines(text) {
			var e labelledEvent
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			bugs[e.Bug]++
		}
		if len(bugs) < 25 {
			t.Errorf("%s has %d bugs", name, len(bugs))
		}
		for bug, n := range bugs {
			pairs += n * (n - 1) / 2
			// An SDK drops what it takes for the event before once more, as of a recursion
			// that is deeper than what it looks at.
			if n != 3 && n != 4 {
				t.Errorf("%s has %d events of %s", name, n, bug)
			}
		}
	}
	if pairs < 500 {
		t.Errorf("there are %d pairs of the same bug", pairs)
	}
}

// writeEvents writes the events, from each of which it takes the tag that names its bug: what
// groups them must not see it.
func writeEvents(t *testing.T, out *bytes.Buffer, sdk string, items []Item) {
	t.Helper()
	for _, item := range items {
		// Those that it takes for the same once more it may drop.
		if item.Type == "client_report" && !bytes.Contains(item.Payload, []byte(`"event_processor"`)) {
			t.Errorf("the SDK has dropped events: %s", item.Payload)
		}
		if item.Type != "event" {
			continue
		}
		var event map[string]any
		if err := json.Unmarshal(neutral(item.Payload), &event); err != nil {
			t.Fatal(err)
		}
		tags, _ := event["tags"].(map[string]any)
		bug, _ := tags["bug"].(string)
		if bug == "" {
			t.Fatalf("no label is in %.500s", item.Payload)
		}
		delete(tags, "bug")
		for _, big := range []string{"modules", "breadcrumbs"} { // which are large, and of every event the same
			delete(event, big)
		}
		text, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(out).Encode(labelledEvent{sdk, bug, text}); err != nil {
			t.Fatal(err)
		}
	}
}

// starts are where something begins at the left margin of a source.
var starts = regexp.MustCompile(`(?m)^(func|def|class|async function|function\*?) `)

// edited is the source as its second version has it: the same, but on other lines.
func edited(source, comment string) string {
	return starts.ReplaceAllString(source, comment+" Somebody has said here\n"+comment+" what this is for.\n$0")
}

// copied is a folder with the sources, of the version, of another.
func copied(t *testing.T, from, version, comment string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "app")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if version == "1" {
		return dir
	}
	found, err := filepath.Glob(filepath.Join(dir, "bugs.*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q: %v", found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(found[0], []byte(edited(string(text), comment)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func bugsOfPython(t *testing.T, dsn, version string) {
	source := pythonBugs
	if version == "2" {
		source = edited(source, "#")
	}
	runPython(t, dsn, source, Scenario("bugs"), version)
}

func bugsOfGo(t *testing.T, dsn, version string) {
	program := testprogram.SentryGo
	program.Dir = copied(t, program.Dir, version, "//")
	path := filepath.Join(t.TempDir(), "shop")
	command := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, ".")
	command.Dir = program.Dir
	command.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run(t, dsn, "bugs", path, "bugs="+version)
}

func bugsOfNode(t *testing.T, dsn, version string) {
	dir := javaScript(t, version)
	run(t, dsn, "bugs", "node", filepath.Join(dir, "node.mjs"), "bugs="+version)
}

func bugsOfBrowser(t *testing.T, dsn, version string) {
	dir := javaScript(t, version)
	build := exec.Command("npm", "run", "build")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	browse(t, dsn, filepath.Join(dir, "dist"), Scenario("bugs="+version))
}

func javaScript(t *testing.T, version string) string {
	t.Helper()
	dir := copied(t, testprogram.SentryJavaScript.Dir, version, "//")
	if err := os.Symlink(filepath.Join(testprogram.SentryJavaScript.Path(), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}
