package incident

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/internal/timeline"
	"manus/language"
)

// plan plans an hour of work that begins after a while.
func (r *rig) plan(t *testing.T, after time.Duration, rule string) Maintenance {
	t.Helper()
	start := r.clock.Now().Add(after)
	m, err := r.Plan(t.Context(), Maintenance{Title: en("Database"), StartsAt: docstore.At(start), EndsAt: docstore.At(start.Add(time.Hour)), Rule: rule})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// toldBy is what is told when it is looked every so often, for as long.
func (r *rig) toldBy(t *testing.T, every, length time.Duration) string {
	t.Helper()
	for past := time.Duration(0); past < length; past += every {
		r.clock.Add(every)
		if err := r.work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return r.told.take()
}

func TestAMaintenanceIsAnnouncedRemindedOfBegunAndEnded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after  time.Duration
		rule   string
		length time.Duration
		want   string
	}{
		"in three days":   {72 * time.Hour, "", 80 * time.Hour, "planned, soon, begun, ended"},
		"in an hour":      {time.Hour, "", 80 * time.Hour, "planned, begun, ended"},
		"on now":          {-10 * time.Minute, "", 80 * time.Hour, "planned, ended"},
		"twice, weekly":   {72 * time.Hour, "FREQ=WEEKLY;COUNT=2", 20 * 24 * time.Hour, "planned, soon, begun, ended, soon, begun, ended"},
		"each day, twice": {time.Hour, "FREQ=DAILY;COUNT=2", 80 * time.Hour, "planned, begun, ended, begun, ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			r.plan(t, c.after, c.rule)
			if told := r.toldBy(t, 20*time.Minute, c.length); told != c.want {
				t.Errorf("%s was told", told)
			}
		})
	}
}

// Nobody is there for a while, several copies look at once, and a clock is set back.
func TestEachStepIsToldOnceAndWhatIsPastIsNot(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.plan(t, 72*time.Hour, "FREQ=WEEKLY;COUNT=3")
	r.told.take()
	r.clock.Add(72*time.Hour + 10*time.Minute)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := r.work(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if told := r.told.take(); told != "begun" {
		t.Errorf("while it is on: %s", told)
	}
	r.clock.Add(-time.Hour)
	if told := r.toldBy(t, 10*time.Minute, time.Hour); told != "" {
		t.Errorf("with a clock that was set back: %s", told)
	}
	r.clock.Add(7 * 24 * time.Hour)
	if told := r.toldBy(t, time.Minute, time.Minute); told != "begun" {
		t.Errorf("a week later, while the second is on: %s", told)
	}
	r.clock.Add(48 * time.Hour)
	if told := r.toldBy(t, time.Minute, time.Minute); told != "" {
		t.Errorf("two days after it: %s", told)
	}
}

func TestWhatIsCancelledIsOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pass  time.Duration
		want  string
		stage Stage
	}{
		"before":   {time.Minute, "cancelled", Dropped},
		"while on": {90 * time.Minute, "ended", Completed},
		"after":    {3 * time.Hour, "", Completed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			m := r.plan(t, time.Hour, "")
			r.toldBy(t, c.pass, c.pass)
			if _, err := r.Cancel(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
			if told := r.told.take(); told != c.want {
				t.Errorf("%q was told", told)
			}
			if told := r.toldBy(t, time.Hour, 48*time.Hour); told != "" {
				t.Errorf("afterwards %q was told", told)
			}
			all, err := r.Planned(t.Context())
			if err != nil || len(all) != 1 {
				t.Fatalf("%+v, %v", all, err)
			}
			o, ok := all[0].Current(r.clock.Now())
			history := o.History(r.clock.Now())
			if !ok || o.Stage(r.clock.Now()) != c.stage || history[len(history)-1].Stage != c.stage {
				t.Errorf("%+v, %v", history, ok)
			}
			// It was on for as long as it was; what never was is there to be told of.
			times := all[0].Occurrences(m.StartsAt.Add(-time.Hour), m.EndsAt.Add(time.Hour))
			if len(times) != 1 || times[0].Stage(r.clock.Now()) != c.stage || name == "while on" && !times[0].Until.Before(m.EndsAt.Time) {
				t.Errorf("%+v", times)
			}
			if others := all[0].Occurrences(m.EndsAt.Time, m.EndsAt.Add(time.Hour)); len(others) > 0 {
				t.Errorf("%+v", others)
			}
			if kept, err := r.Maintenances(t.Context()); err != nil || len(kept) != 0 {
				t.Errorf("%+v, %v", kept, err)
			}
			r.clock.Add(keepCancelled + time.Hour)
			if err := r.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if all, err := r.everyMaintenance(t.Context()); err != nil || len(all) != 0 {
				t.Errorf("%+v, %v", all, err)
			}
		})
	}
}

func TestPlannedWithAKeyItIsOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	start := docstore.At(r.clock.Now().Add(time.Hour))
	for range 2 {
		m, err := r.Plan(t.Context(), Maintenance{ID: "db-17", Title: language.Text{En: "x", Ar: "س"}, StartsAt: start, EndsAt: docstore.At(start.Add(time.Hour))})
		if err != nil || m.ID != "db-17" {
			t.Errorf("%+v, %v", m, err)
		}
	}
	coming, err := r.Coming(t.Context(), r.clock.Now(), false)
	if err != nil || len(coming) != 1 || coming[0].Key() != "db-17" {
		t.Errorf("%+v, %v", coming, err)
	}
	events, _, err := r.log.List(t.Context(), "", 10, "")
	if err != nil || !slices.ContainsFunc(events, func(e audit.Event) bool { return e.Kind == eventPlanned && e.Subject == "db-17" }) {
		t.Errorf("%+v, %v", events, err)
	}
	if told := r.told.take(); strings.Count(told, "planned") != 1 {
		t.Errorf("%q was told", told)
	}
}

func TestWhatIsToldOfAMaintenanceHoldsByThen(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.SetPolicy(DefaultPolicy())
	told := func(m Maintenance, step Step) string {
		t.Helper()
		what, _, ok, err := r.Told(t.Context(), m.ID, step)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return ""
		}
		return what
	}
	now, soon, mistake := r.plan(t, 0, ""), r.plan(t, time.Hour, "FREQ=WEEKLY"), r.plan(t, time.Hour, "")
	if a, b, c := told(now, Planned), told(soon, Planned), told(mistake, Planned); a != begun || b != "planned" || c != "planned" {
		t.Errorf("at once: %s, %s, %s", a, b, c)
	}
	if _, err := r.Cancel(t.Context(), mistake.ID); err != nil {
		t.Fatal(err)
	}
	if a, b := told(mistake, Planned), told(mistake, Cancelled); a != "" || b != "" {
		t.Errorf("of what was taken back at once: %s, %s", a, b)
	}
	r.clock.Add(61 * time.Minute)
	if a, b := told(now, Planned), told(soon, Planned); a != "" || b != "" {
		t.Errorf("of what has begun since: %s, %s", a, b)
	}
	span := soon.StartsAt.UnixMilli()
	if a := told(soon, stepAt(begun, timeline.Span{From: span})); a != begun {
		t.Errorf("while it is on: %s", a)
	}
	if _, err := r.Cancel(t.Context(), soon.ID); err != nil {
		t.Fatal(err)
	}
	_, o, ok, err := r.Told(t.Context(), soon.ID, stepAt(ended, timeline.Span{From: span}))
	if err != nil || !ok || !o.Until.Equal(r.clock.Now().Truncate(time.Millisecond)) {
		t.Errorf("it was over at %v, %v, %v", o.Until, ok, err)
	}
	if a := told(Maintenance{ID: "nothing"}, Planned); a != "" {
		t.Errorf("of what there isn't: %s", a)
	}
}
