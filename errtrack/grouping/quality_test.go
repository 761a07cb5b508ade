package grouping

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"manus/errtrack/event"
)

// labelled is an event of which a person has said which bug it is, of an SDK's project.
// testdata/handmade.jsonl is made by hand, testdata/labelled has what real SDKs have sent.
type labelled struct {
	SDK   string          `json:"sdk"`
	Bug   string          `json:"bug"`
	Event json.RawMessage `json:"event"`
	event event.Event
}

// grouper is a way to tell which events are the same: by any of these hashes.
type grouper struct {
	name   string
	hashes func(*event.Event) []string
}

// The published rules of others, as far as they can be seen from outside: those of Sentry in
// src/sentry/grouping of getsentry/sentry, those of Bugsink in issues/grouping_mechanisms of
// bugsink/bugsink; see docs/decisions/grouping.md.
var groupers = []grouper{
	{"Manus", func(e *event.Event) []string { return Of(e).Hashes }},
	{"Sentry", sentry},
	{"Urgentry", urgentry},
	{"Bugsink v2", func(e *event.Event) []string {
		kind, value := bugsink(e)
		return byHand(e, kind+": "+parameterise(value))
	}},
	{"Bugsink v1", func(e *event.Event) []string {
		kind, value := bugsink(e)
		return byHand(e, kind+": "+value+" ⋄ "+e.Transaction)
	}},
}

// quality counts pairs of events of one project.
type quality struct{ together, wronglyTogether, apart, wronglyApart int }

func (q quality) precision() float64 { return share(q.together, q.wronglyTogether) }
func (q quality) recall() float64    { return share(q.together, q.wronglyApart) }

func share(right, wrong int) float64 {
	if right == 0 {
		return 0
	}
	return float64(right) / float64(right+wrong)
}

// measure puts events to issues in their order, as the inbox does: to that of the first
// hash that is known, or to a new one.
func (g grouper) measure(events []labelled, told func(a, b labelled, same bool)) quality {
	known := map[string]int{} // the issue of a hash, by project
	issues := make([]int, len(events))
	for i, l := range events {
		issues[i] = i
		hashes := g.hashes(&l.event)
		for _, h := range hashes {
			if issue, ok := known[l.SDK+h]; ok {
				issues[i] = issue
				break
			}
		}
		known[l.SDK+hashes[0]] = issues[i]
	}
	var q quality
	for i, a := range events {
		for j, b := range events[:i] {
			if a.SDK != b.SDK {
				continue
			}
			switch same, bug := issues[i] == issues[j], a.Bug == b.Bug; {
			case same && bug:
				q.together++
			case same:
				q.wronglyTogether++
				told(b, a, true)
			case bug:
				q.wronglyApart++
				told(b, a, false)
			default:
				q.apart++
			}
		}
	}
	return q
}

// TestGroupingIsBetterThanOthers measures, of the pairs of events that were put together,
// how many are one bug (precision), and of the pairs that are one bug, how many were put
// together (recall). MANUS_GROUPING=1 lists our mistakes.
func TestGroupingIsBetterThanOthers(t *testing.T) {
	t.Parallel()
	for _, set := range []struct {
		name, files       string
		precision, recall float64 // of ours, at least
	}{
		{"handmade", "testdata/handmade.jsonl", 0.95, 0.87},
		{"captured", "testdata/labelled/*.jsonl", 0.99, 0.90},
	} {
		events := load(t, set.files)
		if len(events) == 0 {
			t.Errorf("%s: no events", set.name)
			continue
		}
		var table strings.Builder
		for i, g := range groupers {
			told := func(a, b labelled, same bool) {
				if i == 0 && os.Getenv("MANUS_GROUPING") != "" {
					t.Logf("together %v: %q %q (%s)\n\t%+v\n\t%+v", same, a.Bug, b.Bug, a.SDK, Of(&a.event).Why, Of(&b.event).Why)
				}
			}
			q := g.measure(events, told)
			if i == 0 {
				fmt.Fprintf(&table, "%s: %d events, %d pairs of one bug, %d of two\n", set.name, len(events), q.together+q.wronglyApart, q.apart+q.wronglyTogether)
				if q.precision() < set.precision || q.recall() < set.recall {
					t.Errorf("%s: precision %.3f and recall %.3f are below %.2f and %.2f", set.name, q.precision(), q.recall(), set.precision, set.recall)
				}
			}
			fmt.Fprintf(&table, "\t%-11s precision %.3f  recall %.3f  (%d wrongly together, %d wrongly apart)\n", g.name, q.precision(), q.recall(), q.wronglyTogether, q.wronglyApart)
		}
		t.Log(table.String())
	}
}

func load(t *testing.T, pattern string) []labelled {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all []labelled
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			var l labelled
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if l.event, err = event.Decode(l.Event); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all = append(all, l)
		}
		if err := lines.Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return all
}

// bugsink is the type and the first line of the value that Bugsink names an event by: of
// the last exception, or "Log Message".
func bugsink(e *event.Event) (kind, value string) {
	if len(e.Exceptions) == 0 {
		return "Log Message", cmp.Or(firstLine(cmp.Or(e.Template, e.Message)), "<no log message>")
	}
	x := e.Exceptions[len(e.Exceptions)-1]
	if x.Synthetic {
		if n := len(x.Frames); n > 0 {
			return x.Frames[n-1].Function, ""
		}
		return "<unknown>", ""
	}
	return cmp.Or(x.Type, "Error"), firstLine(x.Value)
}

// urgentry is the last exception's type with the frames of the program's own code, or with
// its value.
func urgentry(e *event.Event) []string {
	if len(e.Exceptions) == 0 {
		return byHand(e, e.Message)
	}
	x := e.Exceptions[len(e.Exceptions)-1]
	h := x.Type
	for _, f := range x.Frames {
		if f.InApp {
			h += "|" + cmp.Or(f.Module, f.Filename) + ":" + f.Function
		}
	}
	if h == x.Type {
		h += "|" + x.Value
	}
	return byHand(e, h)
}

// sentry is all of the chain, each with its type and its stack, or its value without one;
// once by the program's own frames, and once by all.
func sentry(e *event.Event) []string {
	var hashes []string
	for _, inApp := range []bool{true, false} {
		h, used := "", false
		for _, x := range e.Exceptions {
			if !x.Synthetic {
				h += "|" + x.Type
			}
			stack := sentryStack(e.Platform, x.Frames, inApp)
			used = used || stack != ""
			if stack == "" {
				stack = parameterise(x.Value)
			}
			h += "|" + stack
		}
		if len(e.Exceptions) == 0 {
			stack := sentryStack(e.Platform, e.Stack, inApp)
			used = stack != ""
			h = cmp.Or(stack, parameterise(cmp.Or(e.Template, e.Message)))
		}
		if used || !inApp {
			hashes = append(hashes, byHand(e, h)...)
		}
	}
	return hashes
}

func sentryStack(platform string, frames []event.Frame, inApp bool) string {
	script := isScript(platform)
	if len(frames) == 1 && script && frames[0].Function == "" && strings.Contains(frames[0].Filename, "://") {
		return ""
	}
	h, before := "", event.Frame{}
	for _, f := range frames {
		same := f.Module == before.Module && f.Filename == before.Filename && f.Function == before.Function && f.Line == before.Line && f.Column == before.Column
		before = f
		if same || inApp && !f.InApp {
			continue
		}
		file := strings.ToLower(f.Filename[strings.LastIndexAny(f.Filename, `/\`)+1:])
		url := strings.HasPrefix(f.Filename, "http")
		if script && (f.Filename == "<anonymous>" || f.Filename == "[native code]") {
			continue
		}
		if url {
			file = ""
		}
		module := f.Module
		if i := strings.Index(module, "$$Lambda$"); i >= 0 {
			module = ""
		}
		function := f.Function
		switch {
		case script:
			function = function[strings.LastIndex(function, ".")+1:]
			if slices.Contains([]string{"?", "<anonymous>", "Anonymous function"}, function) {
				function = ""
			}
		case platform == "ruby" && strings.HasPrefix(function, "block "):
			function = "block"
		case platform == "ruby":
			function = regexp.MustCompile(`__\d{4,}_\d{4,}$`).ReplaceAllString(function, "")
		case platform == "java" && strings.HasPrefix(function, "lambda$"):
			function = ""
		}
		line := ""
		if f.ContextLine < len(f.Context) && slices.Contains([]string{"javascript", "node", "python", "php", "ruby"}, platform) && len(f.Context[f.ContextLine]) <= 120 && !(url && function == "") {
			line = strings.Join(strings.Fields(f.Context[f.ContextLine]), " ")
		}
		h += "|" + cmp.Or(module, file) + ":" + function + ":" + line
	}
	return h
}

// byHand is a hash, or what the program says instead.
func byHand(e *event.Event, hash string) []string {
	if len(e.Fingerprint) == 0 {
		return []string{hash}
	}
	return []string{strings.ReplaceAll(strings.Join(e.Fingerprint, "\x00"), "{{ default }}", hash)}
}

// parameters are what Sentry leaves out of texts, in its order and without its rarer forms.
var parameters = []struct {
	mark    string
	pattern *regexp.Regexp
}{
	{"<email>", regexp.MustCompile(`[a-zA-Z0-9.!#$%&'*+/=?^_{|}~-]+@[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*`)},
	{"<url>", regexp.MustCompile(`\b(?:wss?|https?|ftp)://[^\s/$.?#]\S*`)},
	{"<ip>", regexp.MustCompile(`\b(?:\d{1,3}\.){3}\d{1,3}\b|\b(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{1,4}\b`)},
	{"<uuid>", regexp.MustCompile(`\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b`)},
	{"<sha1>", regexp.MustCompile(`\b[0-9a-fA-F]{40}\b`)},
	{"<md5>", regexp.MustCompile(`\b[0-9a-fA-F]{32}\b`)},
	{"<date>", regexp.MustCompile(`\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)?|\b\d{1,2}:\d{2}(?::\d{2})?\b`)},
	{"<duration>", regexp.MustCompile(`\b\d+ms\b|\b\d+(?:\.\d+)?s\b`)},
	{"<hex>", regexp.MustCompile(`\b0[xX][0-9a-fA-F]+\b|\b[a-f]*\d[0-9a-f]{7,127}\b`)},
	{"<float>", regexp.MustCompile(`-?\b\d+\.\d+\b`)},
	{"<int>", regexp.MustCompile(`-?\b\d+\b`)},
	{"=<quoted_str>", regexp.MustCompile(`='[^']+'|="[^"]+"`)},
	{"=<bool>", regexp.MustCompile(`=(?:[Tt]rue|[Ff]alse)`)},
}

func parameterise(text string) string {
	for _, p := range parameters {
		text = p.pattern.ReplaceAllString(text, p.mark)
	}
	return text
}
