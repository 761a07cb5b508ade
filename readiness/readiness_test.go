package readiness

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"manus/docstore"
	"manus/internal/storetest"
	"manus/language"
)

func found(status Status) func(context.Context) Finding {
	return func(context.Context) Finding {
		return Finding{Status: status, Evidence: language.Text{En: string(status)}}
	}
}

func setup(t *testing.T, checks ...Check) *Service {
	t.Helper()
	return New(Config{Checks: checks, Store: storetest.New(t, Specs()...), Copy: Copy{ID: docstore.NewID(), Name: "this"}, Log: slog.New(slog.DiscardHandler)})
}

// A check that hangs or panics is a broken promise, and never a broken report.
func TestACheckThatFailsItselfIsABrokenPromise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		s := New(Config{Checks: []Check{
			{ID: "health.hangs", Offline: true, Measure: func(context.Context) Finding { <-never; return Finding{} }},
			{ID: "health.panics", Offline: true, Measure: func(context.Context) Finding { panic("a mistake") }},
			{ID: "health.holds", Offline: true, Measure: found(Pass)},
		}, Log: slog.New(slog.DiscardHandler)})
		began := time.Now()
		r := s.Report(t.Context(), Ask{})
		if took := time.Since(began); took != defaultPatience {
			t.Errorf("it took %v", took)
		}
		for i, want := range []Status{Fail, Fail, Pass} {
			if got := r.Results[i]; got.Status != want || want == Fail && (got.Evidence.En == "" || got.Mend.En == "") {
				t.Errorf("%s: %+v", got.ID, got.Finding)
			}
		}
		if said := r.Results[0].Evidence; said.En != "There was no answer within 5 seconds." || !strings.Contains(said.Ar, "5 ثوانٍ") {
			t.Errorf("of the time it says: %+v", said)
		}
		if again := s.Report(t.Context(), Ask{}); again.Results[0].Status != Fail { // it hangs still, once
			t.Errorf("it hangs, and is %+v", again.Results[0])
		}
		close(never)
	})
}

// Many who ask at once for what takes its time share it, and don't wait one after the other.
func TestThoseWhoAskAtOnceShareAMeasurement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		measured := 0
		s := New(Config{Checks: []Check{{ID: "health.slow", Offline: true, Measure: func(context.Context) Finding {
			measured++
			time.Sleep(2 * time.Second)
			return Finding{Status: Pass, Evidence: language.Text{En: strconv.Itoa(measured)}}
		}}}, Log: slog.New(slog.DiscardHandler)})
		var asking sync.WaitGroup
		for i := range 20 {
			asking.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				r := s.Report(t.Context(), Ask{Fresh: true}).Results[0]
				if want := map[bool]string{true: "1", false: "2"}[i == 0]; r.Status != Pass || r.Evidence.En != want {
					t.Errorf("number %d got %s %s", i, r.Status, r.Evidence.En)
				}
			})
		}
		asking.Wait()
		if measured != 2 {
			t.Errorf("it was measured %d times", measured)
		}
	})
}

// A report has its end, however patient a check is, and one that listens says who hasn't answered.
func TestAReportEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context) Finding { <-ctx.Done(); return found(Fail)(ctx) }
		s := New(Config{Checks: []Check{
			{ID: "health.patient", Patience: time.Minute, Offline: true, Measure: hangs},
			{ID: "health.listens", Offline: true, Measure: hangs},
		}, Log: slog.New(slog.DiscardHandler)})
		began := time.Now()
		r := s.Report(t.Context(), Ask{})
		if took := time.Since(began); took != reportWithin || r.Results[0].Status != Fail || r.Results[1].Evidence.En != "fail" {
			t.Errorf("it took %v: %+v", took, r.Results)
		}
	})
}

// What nobody waits for any more ends, and who asks then has it measured.
func TestWhatNobodyWaitsForEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &measurer{Check: Check{ID: "health.slow", Measure: func(ctx context.Context) Finding {
			select {
			case <-ctx.Done():
				return Finding{Status: Fail}
			case <-time.After(time.Second):
				return Finding{Status: Pass}
			}
		}}}
		gone, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		if f, _, took := m.measure(gone); f.Status != Fail || took != time.Millisecond {
			t.Errorf("who left got %s after %v", f.Status, took)
		}
		if f, _, took := m.measure(t.Context()); f.Status != Pass || took > time.Second {
			t.Errorf("who came got %s after %v", f.Status, took)
		}
	})
}

func TestNoScoreHidesWhatIsBroken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		statuses  []Status
		essential Status
		score     int
		status    Status
	}{
		{[]Status{Pass, Pass}, Pass, 100, Pass},
		{[]Status{Pass, Skipped}, Pass, 100, Pass},
		{[]Status{Pass, Warn}, Pass, 90, Warn},
		{[]Status{Pass, Pass, Pass, Pass, Pass, Pass, Pass, Pass, Fail}, Pass, 89, Fail},
		{[]Status{Pass, Pass, Pass, Pass, Pass, Pass, Pass, Pass, Pass}, Fail, 49, Fail},
		{[]Status{Skipped}, Skipped, 0, Pass},
		{[]Status{Skipped, Skipped, Skipped}, Pass, 25, Pass}, // one of four was measured
		{[]Status{Skipped, Skipped, Skipped}, Warn, 25, Warn},
		{[]Status{Skipped, Skipped, Pass, Pass}, Skipped, 40, Pass},
	} {
		checks := []Check{{ID: "system.essential", Essential: true, Offline: true, Measure: found(c.essential)}}
		for i, status := range c.statuses {
			checks = append(checks, Check{ID: "system." + string(rune('a'+i)), Offline: true, Measure: found(status)})
		}
		r := New(Config{Checks: checks, Log: slog.New(slog.DiscardHandler)}).Report(t.Context(), Ask{})
		measured := len(slices.DeleteFunc(append(slices.Clone(c.statuses), c.essential), func(s Status) bool { return s == Skipped }))
		if r.Score != c.score || r.Status != c.status || r.Measured != measured {
			t.Errorf("%+v: score %d, %s", c, r.Score, r.Status)
		}
	}
}

// What is expensive stands for a while, on every copy; what is broken is measured anew.
func TestWhatIsExpensiveIsKept(t *testing.T) {
	t.Parallel()
	measured, status := 0, Pass
	check := Check{ID: "backups.drill", Keep: time.Hour, Measure: func(context.Context) Finding { measured++; return Finding{Status: status} }}
	s := setup(t, check)
	other := New(Config{Checks: []Check{check}, Store: s.Store, Copy: Copy{ID: "other"}, Log: s.Log})
	expect := func(n int, r Report) {
		t.Helper()
		if measured != n {
			t.Errorf("measured %d times, want %d: %+v", measured, n, r.Results)
		}
	}
	expect(1, s.Report(t.Context(), Ask{}))
	expect(1, other.Report(t.Context(), Ask{}))
	expect(2, other.Report(t.Context(), Ask{Fresh: true}))
	status = Fail
	expect(3, s.Report(t.Context(), Ask{Fresh: true}))
	expect(4, other.Report(t.Context(), Ask{}))
	tomorrow := docstore.At(time.Now().Add(24 * time.Hour)) // and then the clock was set back
	if _, err := s.kept.Update(t.Context(), check.ID, func(k *keptFinding) error {
		k.At, k.Finding.Status = tomorrow, Pass
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	expect(5, s.Report(t.Context(), Ask{}))
}

// What was found with other settings says nothing of these, and what a command finds with settings
// that no copy has says nothing to copies.
func TestWhatWasFoundWithOtherSettingsIsMeasured(t *testing.T) {
	t.Parallel()
	measured := 0
	s := setup(t, Check{ID: "backups.drill", Keep: time.Hour, Measure: func(context.Context) Finding { measured++; return Finding{Status: Pass} }})
	settings := "of the start"
	s.Marks = func() map[string]string { return map[string]string{"settings": settings} }
	mended := New(Config{Checks: s.Checks, Store: s.Store, Log: s.Log, Marks: func() map[string]string { return map[string]string{"settings": "mended"} }})
	alike := New(Config{Checks: s.Checks, Store: s.Store, Log: s.Log, Marks: s.Marks})
	if err := s.tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		by   *Service
		want int
	}{{s, 1}, {s, 1}, {mended, 2}, {mended, 3}, {s, 3}, {alike, 3}} {
		if step.by.Report(t.Context(), Ask{}); measured != step.want {
			t.Errorf("step %d: measured %d times, want %d", i, measured, step.want)
		}
	}
	alike.Report(t.Context(), Ask{Fresh: true}) // as the copy has it
	kept, err := s.kept.Get(t.Context(), "backups.drill")
	if err != nil || kept.With != s.This().with() {
		t.Errorf("%+v, %v", kept, err)
	}
	settings = "after a reload"
	if s.Report(t.Context(), Ask{}); measured != 5 {
		t.Errorf("after a reload it was measured %d times", measured)
	}
}

// A report on some groups has what those rest on as well, where that fails.
func TestWhatAllRestsOnIsSeenInEachReport(t *testing.T) {
	t.Parallel()
	for status, want := range map[Status][]string{Fail: {"backups.new", "system.copies"}, Warn: {"backups.new"}, Skipped: {"backups.new"}, Pass: {"backups.new"}} {
		s := setup(t, Check{ID: "system.copies", Basis: true, Measure: found(status)}, Check{ID: "system.disk", Measure: found(Fail)}, Check{ID: "backups.new", Measure: found(Pass)})
		shown := 0
		r := s.Report(t.Context(), Ask{Only: []Group{Backups}, OnResult: func(Result) { shown++ }})
		ids := []string{}
		for _, one := range r.Results {
			ids = append(ids, one.ID)
		}
		if !slices.Equal(ids, want) || (r.Status == Fail) != (status == Fail) || shown != s.Count([]Group{Backups}) {
			t.Errorf("%s: %v, %s, shown %d", status, ids, r.Status, shown)
		}
	}
}

// What a server has found that runs no more isn't taken for what is.
func TestWhatADeadServerHasFoundIsMeasured(t *testing.T) {
	t.Parallel()
	status := Pass
	s := setup(t, Check{ID: "errors.tried", Keep: time.Hour, Measure: func(context.Context) Finding { return Finding{Status: status} }})
	command := New(Config{Checks: s.Checks, Store: s.Store, Log: s.Log})
	expect := func(want Status) {
		t.Helper()
		if r := command.Report(t.Context(), Ask{}); r.Status != want {
			t.Errorf("%+v, want %s", r, want)
		}
	}
	if err := s.tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Report(t.Context(), Ask{})
	status = Fail
	expect(Pass) // it stands for a while
	s.leave()
	expect(Fail)
}

// What a process wrote to try the store that was killed then is swept away, and nothing else.
func TestATrialOfTheStoreThatWasKilledIsSweptAway(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for id, age := range map[string]time.Duration{trials + "killed": 2 * time.Minute, trials + "of the future": -time.Hour, trials + "under way": 0, "backups.drill": time.Hour} {
		if err := s.kept.Insert(t.Context(), keptFinding{ID: id, At: docstore.At(time.Now().Add(-age))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Sweep(t.Context()), s.TryStore(t.Context())); err != nil {
		t.Fatal(err)
	}
	var left []string
	for k, err := range s.kept.All(t.Context(), docstore.Query{Limit: 10}) {
		if left = append(left, k.ID); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(left, []string{"backups.drill", trials + "under way"}) {
		t.Errorf("there are %v", left)
	}
}

func TestWhatIsMeasuredWhenAskedIsLeftToWhoAsks(t *testing.T) {
	t.Parallel()
	measured := 0
	s := setup(t, Check{ID: "errors.tried", Keep: time.Hour, WhenAsked: true, Measure: func(context.Context) Finding { measured++; return Finding{Status: Pass} }})
	if r := s.Report(t.Context(), Ask{Watching: true}); measured != 0 || r.Results[0].Status != Skipped {
		t.Errorf("who watches measured it %d times: %+v", measured, r.Results)
	}
	s.Report(t.Context(), Ask{})
	if r := s.Report(t.Context(), Ask{Watching: true}); measured != 1 || r.Results[0].Status != Pass {
		t.Errorf("measured %d times: %+v", measured, r.Results)
	}
}

// A report has the worst that any copy has found on its machine; a copy that is silent isn't there.
func TestEachCopyMeasuresItsOwn(t *testing.T) {
	t.Parallel()
	check := Check{ID: "system.disk", OfCopy: true, Measure: found(Pass)}
	s := setup(t, check)
	full := New(Config{Checks: []Check{{ID: "system.disk", OfCopy: true, Measure: found(Fail)}}, Store: s.Store, Copy: Copy{ID: "b", Name: "other"}, Log: s.Log})
	if err := errors.Join(s.tell(t.Context()), full.tell(t.Context())); err != nil {
		t.Fatal(err)
	}
	if r := s.Report(t.Context(), Ask{}).Results[0]; r.Status != Fail || r.Evidence.En != "On other: fail" {
		t.Errorf("got %+v", r)
	}
	command := New(Config{Checks: []Check{check}, Store: s.Store, Log: s.Log}) // measures nothing where copies run
	if r := command.Report(t.Context(), Ask{}).Results[0]; r.Status != Fail {
		t.Errorf("a command got %+v", r)
	}
	_, err := s.copies.Update(t.Context(), "b", func(c *Copy) error { // it was killed a while ago
		c.SeenAt = docstore.At(time.Now().Add(-tellWithin - time.Second))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Report(t.Context(), Ask{}).Results[0]; r.Status != Pass {
		t.Errorf("of a killed copy there is %+v", r)
	}
	if copies, err := s.Copies(t.Context()); err != nil || len(copies) != 1 {
		t.Errorf("%d copies, %v", len(copies), err)
	}
}

func TestAnEssentialPromiseIsToldOfWhenItIsBrokenTwice(t *testing.T) {
	t.Parallel()
	var told []Status
	s := setup(t)
	s.Tell = func(_ context.Context, r Result) error { told = append(told, r.Status); return nil }
	tell := func(essential bool, status Status) {
		t.Helper()
		if err := s.tellOf(t.Context(), Result{ID: "health.x", Essential: essential, Finding: Finding{Status: status}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, status := range []Status{Fail, Pass, Fail, Skipped, Fail, Pass} {
		tell(true, status)
	}
	tell(false, Fail)
	tell(false, Fail)
	if len(told) != 3 || told[0] != Pass || told[1] != Fail || told[2] != Pass {
		t.Errorf("told were %v", told)
	}
}
