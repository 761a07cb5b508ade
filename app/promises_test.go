package app

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

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
	// may are those that don't hold if it lasts.
	may []string
	// start starts the installation; nil is setup. Rows that are among others are broken one
	// after the other on the installation that the first of them starts.
	start func(t *testing.T) *App
	among string
	// broken breaks the promise there. It returns the installation by which that is seen,
	// mostly the same, and what mends it, which returns that too.
	broken func(t *testing.T, a *App) (seen *App, mend func() *App)
}

// breakages are all of them, a file of rows for each group.
func breakages() []breakage {
	return slices.Concat(secretsBreakages(), healthBreakages(), errorsBreakages(), limitsBreakages(), backupsBreakages(), uptimeBreakages(), billingBreakages(), systemBreakages())
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
	report := a.Readiness.Report(t.Context(), readiness.Ask{Fresh: true})
	areForPeople(t, report.Results)
	for _, r := range report.Failed() {
		ids = append(ids, r.ID)
		t.Logf("%s: %s", r.ID, r.Evidence.En)
	}
	slices.Sort(ids)
	return ids
}

// goDuration is a time as Go writes it, such as 1.234567s: no words in any language.
var goDuration = regexp.MustCompile(`(?:^|[^\pL\d.])(\d+h)?(\d+m)?\d+(\.\d+)?(ns|µs|ms|s)(?:$|[^\pL\d])`)

// areForPeople is that what results say is in words, in both languages.
func areForPeople(t *testing.T, results []readiness.Result) {
	t.Helper()
	for _, r := range results {
		for _, said := range []string{r.Evidence.En, r.Evidence.Ar, r.Mend.En, r.Mend.Ar} {
			if goDuration.MatchString(said) {
				t.Errorf("%s says a time that isn't in words: %s", r.ID, said)
			}
		}
		if (r.Evidence.En == "") != (r.Evidence.Ar == "") || (r.Mend.En == "") != (r.Mend.Ar == "") {
			t.Errorf("%s speaks one language: %+v", r.ID, r.Finding)
		}
	}
}

// Each promise is broken on a running installation: exactly that check fails, and passes
// again once it is mended.
func TestABrokenPromiseIsSeen(t *testing.T) {
	t.Parallel()
	rows := map[string][]breakage{}
	for _, b := range breakages() {
		if b.broken == nil { // a test of its own does it
			continue
		}
		if b.among != "" {
			rows[b.among] = append(rows[b.among], b)
			continue
		}
		t.Run(b.check+"/"+b.by, func(t *testing.T) {
			t.Parallel()
			a := b.started(t)
			b.isSeen(t, a, failing(t, a))
		})
	}
	for among, some := range rows {
		t.Run(among, func(t *testing.T) {
			t.Parallel()
			a := some[0].started(t)
			before := failing(t, a)
			for _, b := range some {
				t.Run(b.check+"/"+b.by, func(t *testing.T) { b.isSeen(t, a, before) })
			}
		})
	}
}

func (b breakage) started(t *testing.T) *App {
	t.Helper()
	if b.start != nil {
		return b.start(t)
	}
	a, _ := setup(t)
	return a
}

// isSeen breaks the promise and mends it, where these fail before.
func (b breakage) isSeen(t *testing.T, a *App, before []string) {
	t.Helper()
	if slices.Contains(before, b.check) {
		t.Fatal("it fails before it is broken")
	}
	seen, mend := b.broken(t, a)
	want := slices.Sorted(slices.Values(slices.Concat(before, b.also, []string{b.check})))
	got := slices.DeleteFunc(failing(t, seen), func(id string) bool { return slices.Contains(b.may, id) })
	if !slices.Equal(got, want) {
		t.Errorf("broken: %v fail, want %v", got, want)
	}
	seen = mend()
	if len(b.may) > 0 {
		waittest.Poll(t, func() bool { return slices.Equal(failing(t, seen), before) })
	} else if got := failing(t, seen); !slices.Equal(got, before) {
		t.Errorf("mended: %v fail, before it was broken %v", got, before)
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

// unbuiltChecks are about what this version doesn't have: they say so, and nothing breaks them.
var unbuiltChecks = []string{"billing.stripe", "billing.webhook", "billing.key"}

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
		broken := slices.ContainsFunc(breakages(), func(b breakage) bool { return b.check == c.ID })
		if unbuilt := slices.Contains(unbuiltChecks, c.ID); broken == unbuilt || unbuilt && c.Measure(t.Context()).Status != readiness.Skipped {
			t.Errorf("no test breaks %s, or there is nothing to break and it doesn't say so", c.ID)
		}
		if c.Title.En == "" || c.Title.Ar == "" {
			t.Errorf("%s lacks a title", c.ID)
		}
	}
}
