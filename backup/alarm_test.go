package backup

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
)

var (
	errDisk  = errors.New("the disk is full")
	errPager = errors.New("the pager is gone")
)

// restart is another process on the same store; that of before was killed.
func (s *scheduled) restart() { s.Schedule = NewSchedule(s.ScheduleConfig) }

// heard is what the alarm was told, one letter each: F for a failure, f when that is
// over, S and s for silence, and D and d for one that doesn't count.
func (s *scheduled) heard() (letters string) {
	for _, alert := range s.alarm.all() {
		letter := map[string]string{AlertFailed: "F", AlertSilence: "S", AlertSuspicious: "D"}[alert.Key]
		if alert.Over {
			letter = strings.ToLower(letter)
		}
		letters += letter
	}
	return letters
}

// command is a service as commands make it, on the store of the schedule.
func (s *scheduled) command() *Service {
	c := s.Service().Config
	c.OpenStore = func(context.Context) (docstore.Store, error) { return keptOpen{s.Store}, nil }
	return New(c)
}

func (s *scheduled) create(t *testing.T, command *Service, want error) {
	t.Helper()
	s.setFail(want)
	if _, err := command.Create(t.Context(), CreateOptions{}); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// keptOpen is a store that isn't closed by who has opened it.
type keptOpen struct{ docstore.Store }

func (keptOpen) Close() error { return nil }

func TestAFailureIsToldOfWhenTheAlarmIsBackThoughTheProcessWasKilled(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.alarm.setFail(errPager)
	s.setFail(errDisk)
	if s.minutes(t, 1); s.heard() != "" || s.Status().Failures != 1 {
		t.Fatalf("the alarm was told %q", s.heard())
	}
	failed := s.clock.Now()
	s.restart()
	s.alarm.setFail(nil)
	s.clock.Set(failed.Add(-30 * time.Second)) // before it is tried again
	s.minutes(t, 1)
	told := s.alarm.all()
	if s.heard() != "F" || !strings.Contains(told[0].Text, errDisk.Error()) || told[0].ID == "" || !told[0].At.Equal(failed) {
		t.Fatalf("the alarm was told %+v", told)
	}
	s.setFail(nil)
	if s.minutes(t, 90); s.heard() != "Ff" { // the retry succeeds
		t.Errorf("the alarm was told %q", s.heard())
	}
}

func TestSilenceIsToldOfWhenTheAlarmIsBackAndNotADayLater(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", func(p *Policy) { p.Verify = false })
	s.minutes(t, 1)
	s.alarm.setFail(errPager)
	s.clock.Add(27 * time.Hour)
	if s.minutes(t, 5); s.heard() != "" {
		t.Fatalf("the alarm was told %q", s.heard())
	}
	s.restart()
	s.alarm.setFail(nil)
	if s.minutes(t, 5); s.heard() != "S" {
		t.Errorf("the alarm was told %q", s.heard())
	}
	s.clock.Add(24 * time.Hour)
	if s.minutes(t, 1); s.heard() != "SS" {
		t.Errorf("a day later it was told %q", s.heard())
	}
}

// While nobody listens, only the newest of the same waits; what is over follows it.
func TestWhatIsOverIsToldAfterItsAlert(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.alarm.setFail(errPager)
	s.setFail(errDisk)
	tried := s.minutes(t, 10)
	s.setFail(nil)
	if tried += s.minutes(t, 10); tried < 4 || s.heard() != "" {
		t.Fatalf("%d backups were tried, the alarm was told %q", tried, s.heard())
	}
	s.alarm.setFail(nil)
	if s.minutes(t, 1); s.heard() != "Ff" {
		t.Errorf("the alarm was told %q", s.heard())
	}
}

func TestNothingIsOverThatNobodyWasToldOf(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	_, err := s.change(t.Context(), s.held, func(st *Status) { st.Tried, st.Failures = docstore.At(s.clock.Now()), 1 })
	if err != nil {
		t.Fatal(err)
	}
	s.restart() // it was killed by the run
	if n := s.minutes(t, 5); n != 1 || s.heard() != "" {
		t.Errorf("%d backups were made, the alarm was told %q", n, s.heard())
	}
	if s.create(t, s.command(), nil); s.heard() != "" {
		t.Errorf("after a command the alarm was told %q", s.heard())
	}
}

func TestWhatACommandRaisesIsEndedByTheScheduleAndTheOtherWayRound(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.minutes(t, 1)
	command := s.command()
	s.create(t, command, errDisk)
	s.create(t, command, errDisk)
	s.setFail(nil)
	s.clock.Set(time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC))
	if s.minutes(t, 1); s.heard() != "FFf" {
		t.Errorf("ended by the schedule: the alarm was told %q", s.heard())
	}
	s.setFail(errDisk)
	s.clock.Set(time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC))
	if s.minutes(t, 1); s.heard() != "FFfF" {
		t.Fatalf("raised by the schedule: the alarm was told %q", s.heard())
	}
	if s.create(t, command, nil); s.heard() != "FFfFf" {
		t.Errorf("ended by a command: the alarm was told %q", s.heard())
	}
	if s.minutes(t, 90); s.heard() != "FFfFf" || s.Status().Failures != 0 { // the schedule's own retry
		t.Errorf("the alarm was told %q", s.heard())
	}
}

// A server whose backups others make passes on what these could not.
func TestAScheduleThatMakesNoneTellsWhatCommandsCouldNot(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.When = nil
	s.clock.Add(72 * time.Hour)
	if n := s.minutes(t, 1); n != 0 {
		t.Errorf("%d backups were made", n)
	}
	s.alarm.setFail(errPager)
	s.create(t, s.command(), errDisk)
	s.alarm.setFail(nil)
	if s.minutes(t, 2); s.heard() != "F" {
		t.Errorf("the alarm was told %q", s.heard())
	}
	if s.create(t, s.command(), nil); s.heard() != "Ff" {
		t.Errorf("the alarm was told %q", s.heard())
	}
}

// Somebody's MongoDB may be backed up without a server of ours ever having used it.
func TestACommandTellsAtOnceWhereItCanNoteNothing(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	if s.create(t, s.command(), errDisk); s.heard() != "F" {
		t.Errorf("without a server the alarm was told %q", s.heard())
	}
	st, err := docstore.NewCollection[Status](s.Store, spec).Get(t.Context(), theSchedule)
	if err != nil || st.Installation == "" || !st.Since.IsZero() || len(st.Pending) != 0 {
		t.Errorf("it has made %+v, %v", st, err)
	}
	var log bytes.Buffer
	command := s.command()
	command.Log = slog.New(slog.NewTextHandler(&log, nil))
	command.OpenStore = func(context.Context) (docstore.Store, error) { return nil, docstore.ErrUnavailable }
	if s.create(t, command, errDisk); s.heard() != "FF" || !strings.Contains(log.String(), "could not be noted") {
		t.Errorf("without the store the alarm was told %q, and the log %s", s.heard(), &log)
	}
	s.alarm.setFail(errPager)
	if s.create(t, command, errDisk); !strings.Contains(log.String(), errDisk.Error()) {
		t.Errorf("nobody was told, and the log has %s", &log)
	}
}

// gated is a store that can be gone for a while.
type gated struct {
	docstore.Store
	gone atomic.Bool
}

func (g *gated) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	if g.gone.Load() {
		return nil, docstore.ErrUnavailable
	}
	return g.Store.Get(ctx, collection, id)
}

func (s *scheduled) gate() *gated {
	g := &gated{Store: s.Store}
	s.Store = g
	s.restart()
	return g
}

func TestACopysOwnAlarmIsTriedAgainAndEndedByTheSchedule(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	g := s.gate()
	s.minutes(t, 1)
	g.gone.Store(true)
	s.clock.Add(27 * time.Hour)
	s.alarm.setFail(errPager)
	s.glance(t.Context())
	s.alarm.setFail(nil)
	for range 3 {
		s.glance(t.Context())
	}
	if s.heard() != "S" {
		t.Fatalf("the alarm was told %q", s.heard())
	}
	g.gone.Store(false)
	for range 2 {
		s.glance(t.Context())
		s.minutes(t, 1) // makes a backup
	}
	if s.heard() != "Ss" {
		t.Errorf("the alarm was told %q", s.heard())
	}
}

// The race detector looks on.
func TestACopyLooksAndWorksAtOnce(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "* * * * *", nil)
	g := s.gate()
	s.minutes(t, 1)
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 50 {
			g.gone.Store(i%2 == 0)
			s.glance(t.Context())
		}
	})
	all.Go(func() {
		for range 10 {
			s.clock.Add(27 * time.Hour)
			if err := s.tick(t.Context(), s.held); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	if status := s.Status(); status.Verified.File == "" {
		t.Errorf("the status is %+v", status)
	}
}

// Alerts are in Arabic too; what isn't ours in them, such as a cause, stays as it is.
func TestAlertsAreInBothLanguages(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.setFail(errDisk)
	s.minutes(t, 1)
	s.clock.Add(51 * time.Hour)
	s.minutes(t, 1)
	s.setFail(nil)
	s.minutes(t, 90)
	told := s.alarm.all()
	if s.heard() != "FFSfs" {
		t.Fatalf("the alarm was told %q", s.heard())
	}
	for i, want := range []string{"فشل نسخ احتياطي: \u2068", "فشل نسخ احتياطي: \u2068", "لا توجد نسخة احتياطية مُتحقَّق منها، مع أنّ", "أُنشئت نسخة احتياطية من جديد.", "توجد نسخة احتياطية مُتحقَّق منها من جديد: \u2068manus-"} {
		if !strings.HasPrefix(told[i].Arabic, want) || told[i].Text == "" || i == 0 && !strings.Contains(told[i].Arabic, errDisk.Error()) {
			t.Errorf("%+v", told[i])
		}
	}
	s.clock.Add(27 * time.Hour)
	if silent := s.silence(s.Status()); !strings.HasPrefix(silent.Ar, "مضى على أحدث نسخة احتياطية مُتحقَّق منها يوم") {
		t.Errorf("%+v", silent)
	}
	if doubt := doubted("manus-1", "it is small"); doubt.Ar != "النسخة الاحتياطية \u2068manus-1\u2069 لا يُعتدّ بها: \u2068it is small\u2069." {
		t.Errorf("%+v", doubt)
	}
}
