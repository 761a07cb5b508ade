package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/cron"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/lease"
)

// scheduled is a schedule with a clock that the test moves. Backups of it fail while
// fail is set.
type scheduled struct {
	*Schedule
	alarm *alerts
	held  lease.Held
	clock *clocktest.Clock

	mu     sync.Mutex
	fail   error
	made   int
	during func() // each backup
}

func newScheduled(t *testing.T, when string, change func(*Policy)) *scheduled {
	t.Helper()
	s := &scheduled{alarm: &alerts{}, held: lease.Held{Name: "backups", Fence: 1}, clock: clocktest.New()}
	s.clock.Set(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	schedule, err := ParseSchedule("CRON_TZ=UTC " + when)
	if err != nil {
		t.Fatal(err)
	}
	source := randomRecords(1, 1000)
	source.drill = func() error {
		if s.during != nil {
			s.during()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.made++
		return s.fail
	}
	policy := DefaultPolicy()
	if change != nil {
		change(&policy)
	}
	service := newService(t, source, func(c *Config) {
		c.Policy, c.Alarm, c.Now, c.Retention = policy, s.alarm, s.clock.Now, Retention{Days: 3}
	})
	store := storetest.New(t, append(Specs(), lease.Specs()...)...)
	s.Schedule = NewSchedule(ScheduleConfig{
		Service: func() *Service { return service },
		When:    schedule,
		Store:   store,
	})
	return s
}

func (s *scheduled) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// minutes lets time pass, and the schedule look once a minute. It returns how many
// backups were tried.
func (s *scheduled) minutes(t *testing.T, n int) int {
	t.Helper()
	before := s.tried()
	for range n {
		s.clock.Add(time.Minute)
		if err := s.tick(t.Context(), s.held); err != nil {
			t.Fatal(err)
		}
	}
	return s.tried() - before
}

func (s *scheduled) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// Where all backups vanish, a disk may be missing: the next run makes a folder anew as if
// nothing had been there.
func TestBackupsThatVanishAreTold(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Time{
		"between two runs":  time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC),
		"just before a run": time.Date(2026, 11, 25, 1, 59, 30, 0, time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScheduled(t, "0 2 * * *", nil)
			s.minutes(t, 2)
			s.clock.Set(at)
			if err := os.RemoveAll(s.Service().Targets[0].(dated).Dir()); err != nil {
				t.Fatal(err)
			}
			gone := s.Status().Good.File
			s.minutes(t, 12)
			told := slices.DeleteFunc(s.alarm.all(), func(a Alert) bool { return a.Key != AlertSuspicious })
			if len(told) == 0 || told[0].Over || !strings.Contains(told[0].Text, gone) || !strings.Contains(told[0].Text, "can't be seen any more") || !strings.Contains(told[0].Arabic, gone) {
				t.Fatalf("told was %+v", told)
			}
			if again := s.clock.Now().Day() == 25; again == (len(told) == 1) {
				t.Errorf("told was %+v", told)
			}
			s.clock.Set(time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC))
			s.minutes(t, 12)
			told = slices.DeleteFunc(s.alarm.all(), func(a Alert) bool { return a.Key != AlertSuspicious })
			if len(told) != 2 || !told[1].Over || !told[1].Since.Equal(told[0].Since.Time) || s.Status().Doubt != "" {
				t.Errorf("then told was %+v", told)
			}
		})
	}
}

func TestBackupsAreMadeWhenTheyAreDueAndMissedOnesOnce(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	if n := s.minutes(t, 1); n != 1 {
		t.Errorf("at the first start %d backups were made", n)
	}
	if n := s.minutes(t, 300); n != 0 {
		t.Errorf("%d were made before they were due", n)
	}
	s.clock.Set(time.Date(2026, 11, 25, 1, 58, 30, 0, time.UTC))
	if n := s.minutes(t, 1); n != 0 {
		t.Errorf("%d were made at %v", n, s.clock.Now())
	}
	if n := s.minutes(t, 1); n != 1 {
		t.Errorf("%d were made at %v", n, s.clock.Now())
	}
	s.clock.Set(time.Date(2026, 11, 29, 17, 0, 0, 0, time.UTC)) // nobody ran for days
	if n := s.minutes(t, 60); n != 1 {
		t.Errorf("missed ones were made up for by %d", n)
	}
	status := s.Status()
	if !status.Verified.At.Equal(time.Date(2026, 11, 29, 17, 1, 0, 0, time.UTC)) || status.Good != status.Verified || status.Failures != 0 {
		t.Errorf("the status is %+v", status)
	}
	listed, err := s.Service().List(t.Context())
	if err != nil || len(listed) != 2 { // three days are kept, and the last one before the pause
		t.Errorf("listed are %+v: %v", listed, err)
	}
}

func TestAFailedBackupIsTriedAgainWithLongerPauses(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.setFail(errors.New("the disk is full"))
	if n := s.minutes(t, 6*60); n < 8 || n > 13 { // after 1, 2, 4 … 32 minutes, then hourly
		t.Errorf("it was tried %d times in six hours", n)
	}
	if status := s.Status(); status.Failures == 0 || !strings.Contains(status.LastError, "the disk is full") {
		t.Errorf("the status is %+v", status)
	}
	told := s.alarm.all()
	if len(told) == 0 || told[0].Key != AlertFailed || !strings.Contains(told[0].Text, "the disk is full") {
		t.Errorf("the alarm was told %v", told)
	}
	s.setFail(nil)
	if n := s.minutes(t, 90); n != 1 {
		t.Errorf("then it was made %d times", n)
	}
	if told := s.alarm.all(); !told[len(told)-1].Over || s.Status().Failures != 0 {
		t.Errorf("the alarm was told %v, the status is %+v", told, s.Status())
	}
}

func TestPausesDoubleUpToAnHour(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 6: 32 * time.Minute, 7: time.Hour, 1000: time.Hour} {
		if got := retryAfter(failures); got != want {
			t.Errorf("after %d failures it is %v", failures, got)
		}
	}
}

func TestABackupIsDueTheMomentItsPauseIsOver(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	ago := func(d time.Duration) docstore.Time { return docstore.At(s.clock.Now().Add(-d)) }
	for name, c := range map[string]struct {
		st  Status
		due bool
	}{
		"there was none yet":           {Status{}, true},
		"that of the night was made":   {Status{Ran: ago(10 * time.Hour)}, false},
		"it has come round just now":   {Status{Ran: ago(10*time.Hour + time.Second)}, true},
		"failed a minute ago":          {Status{Tried: ago(time.Minute), Failures: 1}, true},
		"failed less than that ago":    {Status{Tried: ago(time.Minute - time.Second), Failures: 1}, false},
		"failed, as there was none":    {Status{Tried: ago(0), Failures: 1}, false},
		"failed twice, a minute ago":   {Status{Tried: ago(time.Minute), Failures: 2}, false},
		"failed twice, two minutes so": {Status{Tried: ago(2 * time.Minute), Failures: 2}, true},
	} {
		if got := s.due(c.st); got != c.due {
			t.Errorf("%s: due: %v", name, got)
		}
	}
}

func TestAnErrorsTextIsCutAndStaysText(t *testing.T) {
	t.Parallel()
	fits := strings.Repeat("x", maxErrorText)
	for text, want := range map[string]string{"": "", "short": "short", fits: fits, fits + "y": fits, fits[1:] + "\u00E9": fits[1:] + "\uFFFD"} {
		if got := cut(errors.New(text)); got != want {
			t.Errorf("%d bytes become %d", len(text), len(got))
		}
	}
	if cut(nil) != "" {
		t.Error("no error has a text")
	}
}

// Clocks that are apart a little make no backup one of the future.
func TestOnlyABackupOfTheFutureIsForgotten(t *testing.T) {
	t.Parallel()
	now := clocktest.New().Now()
	for ahead, kept := range map[time.Duration]bool{-time.Hour: true, 0: true, clockTolerance: true, clockTolerance + time.Second: false} {
		m := Mark{File: "f", At: docstore.At(now.Add(ahead))}
		st := Status{Good: m, Verified: m, Looked: docstore.At(now)}
		if st.mend(now); (st.Good == m) != kept || (st.Verified == m) != kept || st.Looked.IsZero() == kept {
			t.Errorf("one that is ahead by %v: %+v", ahead, st)
		}
	}
}

// Killed in the middle, a run counts as a failed one: it is tried again, but not at
// once and for ever.
func TestARunThatKillsItsProcessIsNotTriedWithoutAPause(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	st, err := s.change(t.Context(), s.held, func(st *Status) { st.mend(s.clock.Now()) })
	if err != nil || !s.due(st) {
		t.Fatalf("%+v: %v", st, err)
	}
	for range 5 { // as backUp does before it begins
		st, err = s.change(t.Context(), s.held, func(st *Status) { st.Tried, st.Failures = docstore.At(s.clock.Now()), st.Failures+1 })
		if err != nil || s.due(st) {
			t.Fatalf("it is due again at once: %+v: %v", st, err)
		}
	}
	if n := s.minutes(t, 15) + s.minutes(t, 5); n != 1 {
		t.Errorf("it was tried %d times within 20 minutes", n)
	}
}

func TestSilenceRaisesTheAlarmOnceADay(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", func(p *Policy) { p.Verify = false })
	s.minutes(t, 1)
	until := func(hours int) []Alert {
		s.clock.Add(time.Duration(hours)*time.Hour - time.Minute)
		s.minutes(t, 1)
		return s.alarm.all()
	}
	if told := until(26); len(told) != 0 { // a day between two runs, and two hours
		t.Errorf("it was told %v too early", told)
	}
	s.minutes(t, 2)
	told := s.alarm.all()
	if len(told) != 1 || told[0].Key != AlertSilence || told[0].Over {
		t.Fatalf("it was told %v", told)
	}
	if told := until(23); len(told) != 1 {
		t.Errorf("it was told again: %v", told)
	}
	if told := until(2); len(told) != 2 {
		t.Errorf("a day later it was told %v", told)
	}
	b, err := s.Service().Latest(t.Context())
	if err == nil {
		_, err = s.Service().Verify(t.Context(), b, false, nil) // by hand
	}
	if err != nil {
		t.Fatal(err)
	}
	s.minutes(t, 11)
	if told := s.alarm.all(); len(told) != 3 || !told[2].Over || told[2].Key != AlertSilence {
		t.Errorf("when it was over it was told %v", told)
	}
}

// What a process notes before it begins is all that is left when it is killed.
func TestARunUnderWayCountsAsFailedUntilItHasEnded(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	var noted []int
	s.during = func() {
		st, err := s.relay.Aggregates.Get(t.Context(), theSchedule)
		if err != nil || !st.Tried.Equal(s.clock.Now()) {
			t.Errorf("it is noted as begun at %v: %v", st.Tried, err)
		}
		noted = append(noted, st.Failures)
	}
	s.setFail(errors.New("no"))
	s.minutes(t, 60)
	for i, failures := range noted {
		if failures != i+1 {
			t.Errorf("run %d is noted as failure %d", i+1, failures)
		}
	}
	if len(noted) < 2 {
		t.Errorf("%d runs in an hour", len(noted))
	}
	s.setFail(nil)
	s.minutes(t, 24*60)
	if st := s.Status(); st.Failures != 0 || st.LastError != "" {
		t.Errorf("once one is made: %+v", st)
	}
}

func TestAClockThatWasInTheFutureHoldsNothingUp(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.clock.Set(time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC))
	s.minutes(t, 1)
	s.clock.Set(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	if n := s.minutes(t, 1); n != 0 {
		t.Errorf("%d were made when the clock was set right", n)
	}
	s.clock.Set(time.Date(2026, 11, 25, 1, 59, 0, 0, time.UTC))
	if n := s.minutes(t, 2); n != 1 {
		t.Errorf("%d were made the night after", n)
	}
}

// Which installation it is stands there before it has a backup, and stays.
func TestAScheduleNamesItsInstallationAtOnceAndForAll(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.setFail(errDisk)
	s.minutes(t, 1)
	id := s.Status().Installation
	if s.minutes(t, 1); id == "" || s.Status().Installation != id {
		t.Errorf("it is %q, and then %q", id, s.Status().Installation)
	}
}

func TestTargetsAreLookedAtEveryTenMinutes(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.minutes(t, 1)
	looked := s.Status().Looked
	if s.minutes(t, 9); s.Status().Looked != looked {
		t.Errorf("after nine minutes at %v", s.Status().Looked)
	}
	if s.minutes(t, 1); s.Status().Looked.Sub(looked.Time) != lookEvery {
		t.Errorf("at %v, and then at %v", looked, s.Status().Looked)
	}
}

// What the new backup takes the place of goes with it, not a night later.
func TestOldBackupsAreRemovedOnceTheNewOneIsThere(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.Service().Retention.Days = 1
	s.minutes(t, 1)
	s.clock.Add(24*time.Hour - time.Minute)
	if n := s.minutes(t, 1); n != 1 {
		t.Fatalf("%d were made", n)
	}
	if listed, err := s.Service().List(t.Context()); err != nil || len(listed) != 1 || listed[0].File != s.Status().Made {
		t.Errorf("there is %+v: %v", listed, err)
	}
}

func TestTheLogSaysWhatBecameOfARun(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	service := s.Service()
	target := &failing{Target: service.Targets[0], err: errDisk}
	service.Targets = []Target{target}
	tick := func() (said string) {
		var log bytes.Buffer
		service.Log = slog.New(slog.NewTextHandler(&log, nil))
		s.minutes(t, 1)
		return log.String()
	}
	const made, kept, unknown = `msg="a backup was made"`, `msg="old backups could not be removed"`, `msg="backups can't be listed"`
	check := func(when, log string, want ...string) {
		for _, what := range []string{made, kept, unknown} {
			if strings.Contains(log, what) != slices.Contains(want, what) {
				t.Errorf("%s the log has %s", when, log)
			}
		}
	}
	check("once one is made", tick(), made)
	s.clock.Add(24 * time.Hour)
	s.setFail(errDisk)
	check("when one isn't", tick())
	s.clock.Add(24 * time.Hour)
	target.step = "list"
	check("when the target is gone", tick(), kept, unknown)
}

// A run that the program's stop interrupts is as if it had not been begun: nobody is told, and
// the next start makes it.
func TestAnInterruptedRunIsNoFailure(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	var log bytes.Buffer
	s.Service().Log = slog.New(slog.NewTextHandler(&log, nil))
	ctx, stop := context.WithCancel(t.Context())
	s.during = stop
	s.setFail(errDisk) // whatever the stop makes of the run
	if err := s.tick(ctx, s.held); !errors.Is(err, context.Canceled) {
		t.Errorf("it returns %v", err)
	}
	if st := s.Status(); st.Failures != 0 || st.LastError != "" || s.heard() != "" || log.Len() != 0 {
		t.Errorf("the status is %+v, the alarm was told %q, and the log has %s", st, s.heard(), &log)
	}
	s.during = nil
	s.setFail(nil)
	if n := s.minutes(t, 1); n != 1 {
		t.Errorf("the next start makes %d", n)
	}
}

// stopping has a drill that the program's stop comes after, before it is noted how it ended.
type stopping struct {
	*records
	stop func()
}

func (s stopping) Drill(ctx context.Context, dump io.Reader, progress func(int64)) (Contents, error) {
	defer s.stop()
	return s.records.Drill(ctx, dump, progress)
}

func TestARunThatIsStoppedBeforeItIsVerifiedIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	ctx, stop := context.WithCancel(t.Context())
	service := s.Service()
	source := service.Source.(*records)
	service.Source = stopping{source, stop}
	if err := s.tick(ctx, s.held); !errors.Is(err, context.Canceled) || !s.Status().Ran.IsZero() {
		t.Errorf("the status is %+v: %v", s.Status(), err)
	}
	service.Source = source
	s.restart()
	s.minutes(t, 1)
	if listed, err := service.List(t.Context()); err != nil || len(listed) != 1 || !listed[0].Verified {
		t.Errorf("there is %+v: %v", listed, err)
	}
}

// What can't be noted in the store is told at once, but that the program stops.
func TestAFailureIsToldOfWhileTheStoreIsGone(t *testing.T) {
	t.Parallel()
	for stops, want := range map[bool]string{false: "F", true: ""} {
		s := newScheduled(t, "0 2 * * *", nil)
		ctx, stop := context.WithCancel(t.Context())
		s.during = func() {
			if err := s.Store.Close(); err != nil {
				t.Error(err)
			}
			if stops {
				stop()
			}
		}
		s.setFail(errDisk)
		if err := s.tick(ctx, s.held); err == nil || s.heard() != want {
			t.Errorf("the alarm was told %q: %v", s.heard(), err)
		}
		stop()
	}
}

// Another copy has the lease.
func TestACopyThatMakesNoBackupsKnowsOfThem(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	leases := func() *lease.Service {
		return lease.New(lease.Config{Store: s.Store, Log: slog.New(slog.DiscardHandler)})
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	holds := make(chan struct{})
	all.Go(func() {
		leases().Every(ctx, "backups", time.Minute, func(ctx context.Context, _ lease.Held) error {
			close(holds)
			<-ctx.Done()
			return ctx.Err()
		})
	})
	<-holds
	c := s.ScheduleConfig
	c.Leases, c.Period = leases(), 5*time.Millisecond
	other := NewSchedule(c)
	all.Go(func() { other.Run(ctx) })
	s.minutes(t, 1)
	waittest.Poll(t, func() bool { return other.Status().Made == s.Status().Made })
}

func TestOnlyAScheduleThatMakesBackupsShowsHowOldTheyAre(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	for _, c := range []struct {
		when *cron.Schedule
		want int
	}{{s.When, 3}, {nil, 0}} {
		metrics := prometheus.NewRegistry()
		config := s.ScheduleConfig
		config.When, config.Metrics = c.when, metrics
		NewSchedule(config)
		if shown, err := metrics.Gather(); err != nil || len(shown) != c.want {
			t.Errorf("it shows %v: %v", shown, err)
		}
	}
}

// A copy that was paused and has lost its lease changes nothing any more.
func TestWhoHasLostTheLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.held.Fence = 2
	s.minutes(t, 1)
	s.clock.Add(48 * time.Hour)
	if err := s.tick(t.Context(), lease.Held{Name: "backups", Fence: 1}); !errors.Is(err, lease.ErrLost) || s.tried() != 1 {
		t.Errorf("it made %d backups: %v", s.tried(), err)
	}
}

// While the store is gone nobody can have the lease, so each copy raises the alarm.
func TestSilenceIsHeardWhileTheStoreIsGone(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.minutes(t, 1)
	if err := s.Store.Close(); err != nil {
		t.Fatal(err)
	}
	s.glance(t.Context())
	s.clock.Add(26 * time.Hour)
	s.glance(t.Context())
	if told := s.alarm.all(); len(told) != 0 {
		t.Errorf("it was told %v too early", told)
	}
	s.clock.Add(time.Minute)
	s.glance(t.Context())
	s.glance(t.Context())
	if told := s.alarm.all(); len(told) != 1 || told[0].Key != AlertSilence {
		t.Errorf("it was told %v", told)
	}
}

// Alarms that were raised while the store was gone have an end once it is back, and go on
// as the same.
func TestAnAlarmThatWasRaisedWithoutAStoreHasAnEnd(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	store := storetest.NewUnsteady(t, append(Specs(), lease.Specs()...)...)
	s.Store = store
	s.restart()
	other := NewSchedule(s.ScheduleConfig)
	if n := s.minutes(t, 1); n != 1 {
		t.Fatalf("%d backups were made", n)
	}
	other.glance(t.Context())
	store.SetGone(true)
	s.clock.Add(27 * time.Hour)
	s.glance(t.Context())
	s.glance(t.Context())
	other.glance(t.Context())
	told := s.alarm.all()
	if len(told) != 2 || told[0].Key != AlertSilence || !told[0].Since.Equal(told[1].Since.Time) {
		t.Fatalf("each copy tells of it once, as the same; it was told %+v", told)
	}
	store.SetGone(false)
	other.glance(t.Context())
	if n := s.minutes(t, 15); n != 1 || s.heard() != "SSs" {
		t.Errorf("%d backups were made, the alarm was told %q", n, s.heard())
	}
	if told := s.alarm.all(); !told[2].Since.Equal(told[0].Since.Time) {
		t.Errorf("the end is another's: %+v", told)
	}
	s.glance(t.Context())
	other.glance(t.Context())
	if s.minutes(t, 15); s.heard() != "SSs" {
		t.Errorf("later the alarm was told %q", s.heard())
	}
	// A backup that fails while the store is gone, as it is begun.
	s.clock.Add(24 * time.Hour)
	s.setFail(errDisk)
	s.during = func() { store.SetGone(true) }
	if err := s.tick(t.Context(), s.held); err == nil || s.heard() != "SSsF" {
		t.Fatalf("%v, the alarm was told %q", err, s.heard())
	}
	s.setFail(nil)
	s.during = nil
	store.SetGone(false)
	if s.minutes(t, 5); s.heard() != "SSsFf" {
		t.Errorf("the alarm was told %q", s.heard())
	}
	if told := s.alarm.all(); !told[4].Since.Equal(told[3].Since.Time) {
		t.Errorf("the end is another's: %+v", told)
	}
}

// Ten copies on one store make one backup.
func TestTenCopiesMakeOneBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newScheduled(t, "0 2 * * *", nil)
	var all sync.WaitGroup
	defer all.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	copies := make([]*Schedule, 10)
	for i := range copies {
		store := storetest.Open(t, filepath.Join(dir, "manus.db"), append(Specs(), lease.Specs()...)...)
		c := s.ScheduleConfig
		c.Store, c.Period = store, 5*time.Millisecond
		c.Leases = lease.New(lease.Config{Store: store, TTL: time.Second, Log: slog.New(slog.DiscardHandler)})
		copies[i] = NewSchedule(c)
		all.Go(func() { copies[i].Run(ctx) })
	}
	for night := range 3 {
		want := night + 1
		for _, c := range copies {
			waittest.Poll(t, func() bool { return !c.Status().Verified.At.Before(s.clock.Now().Truncate(time.Second)) }) // until this copy knows of it
		}
		if n := s.tried(); n != want {
			t.Errorf("in %d nights ten copies made %d backups", want, n)
		}
		s.clock.Add(24 * time.Hour)
	}
}

// How old a backup may become doesn't grow because clocks will be changed soon.
func TestTheLongestPauseOfASchedule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schedule, from string
		want           time.Duration
	}{
		{"CRON_TZ=UTC 0 2 * * 1-5", "2026-11-24", 72 * time.Hour},
		{"CRON_TZ=Europe/Berlin 0 2 * * *", "2026-02-10", 24 * time.Hour},
		{"CRON_TZ=Europe/Berlin 0 2 * * *", "2026-09-10", 25 * time.Hour},
		{"CRON_TZ=Europe/Berlin 0 2 * * 0", "2026-02-10", 169 * time.Hour},
		{"CRON_TZ=America/New_York 0 2 * * 7", "2026-02-10", 169 * time.Hour},
	} {
		schedule, err := ParseSchedule(c.schedule)
		if err != nil {
			t.Fatal(err)
		}
		from, err := time.Parse(time.DateOnly, c.from)
		if err != nil {
			t.Fatal(err)
		}
		if pause := longestPause(schedule, from); pause != c.want {
			t.Errorf("the longest pause of %q from %s is %v, want %v", c.schedule, c.from, pause, c.want)
		}
	}
}
