package app

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/errtrack"
	"manus/internal/redistest"
	"manus/internal/waittest"
	"manus/readiness"
)

// wholeReport is how long a report may take in which everything is measured anew.
const wholeReport = 10 * time.Second

func TestNoPromiseTakesLongerThanAReportMay(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	for _, c := range a.Readiness.Checks {
		if c.Patience >= wholeReport {
			t.Errorf("%s may take %v", c.ID, c.Patience)
		}
	}
}

// documents are all that a store has, but what changes all the time by itself: what copies tell
// each other and what was measured, leases, what watching goes on to find, what other places hand
// in, when backups were last looked at, and what is counted of errors.
func documents(t *testing.T, a *App) (all []string) {
	t.Helper()
	busy := []string{"readiness_copies", "readiness_findings", "leases", "monitor_recent", "monitor_results", "monitor_states", "monitor_hours", "monitor_days", "uptime_journal", "uptime_places", "backup_schedule"}
	for _, spec := range errtrack.Specs() {
		if spec.Collection != "error_events" && spec.Collection != "error_issues" {
			busy = append(busy, spec.Collection)
		}
	}
	for _, spec := range a.specs() {
		if slices.Contains(busy, spec.Collection) {
			continue
		}
		for cursor, more := "", true; more; more = cursor != "" {
			page, err := a.store.Find(t.Context(), spec.Collection, docstore.Query{Limit: docstore.MaxLimit, Cursor: cursor})
			must(t, err)
			for _, d := range page.Documents {
				all = append(all, spec.Collection+": "+string(d))
			}
			cursor = page.Next
		}
	}
	return all
}

// files are all that is at the destinations of backups.
func files(t *testing.T, a *App) (names []string) {
	t.Helper()
	for _, target := range a.Backups().Targets {
		all, err := target.List(t.Context(), "")
		must(t, err)
		for _, f := range all {
			names = append(names, target.String()+"/"+f.Name)
		}
	}
	return names
}

func TestAReportChangesNothing(t *testing.T) {
	t.Parallel()
	a := startLive(t)
	l := liveOf(a)
	a.Readiness.Report(t.Context(), readiness.Ask{Fresh: true}) // what is made once is there by then
	before, filesBefore, mails, alerts := documents(t, a), files(t, a), len(l.mails.Mails()), l.receiver.asked.Load()
	began := time.Now()
	report := a.Readiness.Report(t.Context(), readiness.Ask{Fresh: true})
	t.Logf("a whole fresh report of %d checks took %v", len(report.Results), time.Since(began))
	after := documents(t, a)
	for _, d := range after {
		if !slices.Contains(before, d) {
			t.Errorf("this is new or changed: %.500s", d)
		}
	}
	if len(before) != len(after) {
		t.Errorf("there are %d documents instead of %d", len(after), len(before))
	}
	if got := files(t, a); !slices.Equal(got, filesBefore) {
		t.Errorf("at the destinations are %v instead of %v", got, filesBefore)
	}
	if len(l.mails.Mails()) != mails || l.receiver.asked.Load() != alerts {
		t.Error("mails or alerts were sent")
	}
}

// A report on whichever groups is one of a server that runs.
func TestNoPartOfAReportPassesWithoutAServer(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	a.stopWork()
	command := asCommand(t, a.settings)
	awaitCopies(t, command, 0)
	for _, group := range readiness.Groups {
		r := command.Readiness.Report(t.Context(), readiness.Ask{Only: []readiness.Group{group}})
		if !slices.ContainsFunc(r.Failed(), func(r readiness.Result) bool { return r.ID == "system.copies" }) {
			t.Errorf("%s: %s", group, r.Status)
		}
		for _, one := range r.Results {
			if one.ID == "limits.store" && one.Status != readiness.Skipped {
				t.Errorf("who counts where nothing runs? %+v", one.Finding)
			}
		}
	}
}

func TestAReportOnSeveralCopies(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	all := copies(t, 3, redis)
	told := func() bool {
		there, err := all[0].Readiness.Copies(t.Context())
		return err == nil && len(there) == 3 && !slices.ContainsFunc(there, func(c readiness.Copy) bool { return len(c.Findings) == 0 })
	}
	waittest.Poll(t, told)
	there, err := all[0].Readiness.Copies(t.Context())
	must(t, err)
	for _, c := range there {
		for _, check := range all[0].Readiness.Checks {
			if check.OfCopy && !slices.ContainsFunc(c.Findings, func(f readiness.CopyFinding) bool { return f.Check == check.ID }) {
				t.Errorf("copy %s doesn't tell of %s", c.ID, check.ID)
			}
		}
	}
	began := time.Now()
	evidence := map[string]string{}
	for _, r := range all[1].Readiness.Report(t.Context(), readiness.Ask{Fresh: true}).Results {
		evidence[r.ID] = string(r.Status) + " " + r.Evidence.En
	}
	t.Logf("a whole fresh report on three copies took %v", time.Since(began))
	for id, want := range map[string]string{
		"system.copies": "pass 3 copies run", "secrets.rotated": "pass ", "errors.kept": "pass ", "system.disk": "On ", "system.memory": "On ", "system.files": "On ", "system.clock": "pass Ahead of this machine are the database: ",
	} {
		if !strings.Contains(evidence[id], want) {
			t.Errorf("%s: %s", id, evidence[id])
		}
	}
	if !strings.Contains(evidence["system.clock"], "Redis: ") {
		t.Errorf("system.clock: %s", evidence["system.clock"])
	}

	// One that was killed says nothing any more: it counts until its time is over.
	killed := docstore.NewCollection[readiness.Copy](all[0].store, readiness.Specs()[1])
	marks := maps.Clone(there[0].Marks)
	marks["version"] = "old"
	silentFor := func(d time.Duration) {
		t.Helper()
		_, err := killed.Upsert(t.Context(), readiness.Copy{ID: "killed"}, func(c *readiness.Copy, _ bool) error {
			*c = readiness.Copy{ID: "killed", Name: "killed", Version: "old", Marks: marks, SeenAt: docstore.At(time.Now().Add(-d)), Findings: []readiness.CopyFinding{}}
			return nil
		})
		must(t, err)
	}
	silentFor(10 * time.Second)
	if f := find(t, all[2], "system.copies"); f.Status != readiness.Fail || !strings.Contains(f.Evidence.En, "version") {
		t.Errorf("with another version: %s %s", f.Status, f.Evidence.En)
	}
	silentFor(36 * time.Second)
	if f := find(t, all[2], "system.copies"); f.Status != readiness.Pass {
		t.Errorf("after its time: %s %s", f.Status, f.Evidence.En)
	}
	all[2].stopWork() // in order
	waittest.Poll(t, func() bool {
		return strings.HasPrefix(find(t, all[0], "system.copies").Evidence.En, "2 copies run")
	})
}
