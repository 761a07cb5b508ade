package app

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"manus/config"
	"manus/internal/waittest"
	"manus/readiness"
)

var update = flag.Bool("update", false, "write the table in the docs anew")

// breakage breaks one promise on a running installation.
type breakage struct {
	check string // the promise's ID
	by    string // what is done to it, as docs/readiness.md says it
	// also are other promises that can't hold then either.
	also []string
	// start starts the installation; nil is setup.
	start func(t *testing.T) *App
	// broken breaks the promise there. It returns the installation by which that is seen,
	// mostly the same, and what mends it, which returns that too.
	broken func(t *testing.T, a *App) (seen *App, mend func() *App)
}

// breakages are all of them, a file of rows for each group.
func breakages() []breakage {
	return slices.Concat(systemBreakages())
}

func systemBreakages() []breakage {
	return []breakage{
		{
			check: "system.copies", by: "a second copy is started with another `JWT_SECRET_KEY`",
			broken: func(t *testing.T, a *App) (*App, func() *App) {
				settings := a.settings
				settings.JWTSecret = config.RandomSecret()
				other, _ := start(t, Options{Settings: settings})
				awaitCopies(t, a, 2)
				return a, func() *App {
					other.stopWork() // it leaves in order
					awaitCopies(t, a, 1)
					return a
				}
			},
		},
	}
}

// awaitCopies waits until so many copies of the server are there.
func awaitCopies(t *testing.T, a *App, n int) {
	t.Helper()
	waittest.Poll(t, func() bool {
		copies, err := a.Readiness.Copies(t.Context())
		return err == nil && len(copies) == n
	})
}

// failing are the promises that don't hold, all of them measured anew.
func failing(t *testing.T, a *App) (ids []string) {
	t.Helper()
	for _, r := range a.Readiness.Report(t.Context(), readiness.Ask{Fresh: true}).Failed() {
		ids = append(ids, r.ID)
		t.Logf("%s: %s", r.ID, r.Evidence.En)
	}
	slices.Sort(ids)
	return ids
}

// Each promise is broken on a running installation: exactly that check fails, and passes
// again once it is mended.
func TestABrokenPromiseIsSeen(t *testing.T) {
	t.Parallel()
	for _, b := range breakages() {
		t.Run(b.check+"/"+b.by, func(t *testing.T) {
			t.Parallel()
			a := (*App)(nil)
			if b.start == nil {
				a, _ = setup(t)
			} else {
				a = b.start(t)
			}
			before := failing(t, a)
			if slices.Contains(before, b.check) {
				t.Fatal("it fails before it is broken")
			}
			seen, mend := b.broken(t, a)
			want := slices.Sorted(slices.Values(slices.Concat(before, b.also, []string{b.check})))
			if got := failing(t, seen); !slices.Equal(got, want) {
				t.Errorf("broken: %v fail, want %v", got, want)
			}
			if got := failing(t, mend()); !slices.Equal(got, before) {
				t.Errorf("mended: %v fail, before it was broken %v", got, before)
			}
		})
	}
}

// The table in the docs is made from these tests: with -update it is written.
func TestTheDocsSayHowEachPromiseWasBroken(t *testing.T) {
	t.Parallel()
	const path, begin, end = "../docs/readiness.md", "<!-- breakages -->\n", "<!-- end of breakages -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(text), begin)
	_, tail, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatal("docs/readiness.md has no place for the table")
	}
	table := "| check | broken by |\n| --- | --- |\n"
	for _, b := range breakages() {
		table += fmt.Sprintf("| [`%s`](#%s) | %s |\n", b.check, strings.NewReplacer(".", "", " ", "-").Replace(b.check), b.by)
	}
	want := head + begin + table + end + tail
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatal("the table in docs/readiness.md isn't that of the tests; run this test with -update")
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The docs have a section for each check, with what it proves and what it can't, and there
// is a test that breaks it.
func TestEachPromiseIsExplainedAndBroken(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/readiness.md")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := setup(t)
	for _, c := range a.Readiness.Checks {
		_, section, ok := strings.Cut(string(text), "\n### "+c.ID+"\n")
		section, _, _ = strings.Cut(section, "\n### ")
		if !ok || !strings.Contains(section, "**Proves**") || !strings.Contains(section, "**Can't prove**") {
			t.Errorf("docs/readiness.md has no section ### %s that says what it **Proves** and what it **Can't prove**", c.ID)
		}
		if !slices.ContainsFunc(breakages(), func(b breakage) bool { return b.check == c.ID }) {
			t.Errorf("no test breaks %s", c.ID)
		}
		if c.Title.En == "" || c.Title.Ar == "" {
			t.Errorf("%s lacks a title", c.ID)
		}
	}
}
