package backup

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/audit"
	"manus/docstore"
	"manus/internal/cron"
	"manus/language"
	"manus/lease"
)

// ParseSchedule reads the five fields of a crontab ("0 2 * * *"), or @daily and the
// like. Times are those of the machine, unless the text begins with CRON_TZ= and a time
// zone. On days on which clocks are changed there is one backup a night as well.
func ParseSchedule(text string) (*cron.Schedule, error) { return cron.Parse(text) }

// ScheduleConfig is what a Schedule is made of.
type ScheduleConfig struct {
	// Service makes the backups, and has the clock and the log. It is asked for anew
	// each time, so that changed settings are applied.
	Service func() *Service
	// When backups are due. Nil is never: then all that the Schedule does is to pass on
	// what commands have to tell.
	When   *cron.Schedule
	Store  docstore.Store
	Leases *lease.Service
	// Period is how often is looked what is due; 0 means a minute.
	Period time.Duration
	// Metrics gets how old the backups are; nil has none.
	Metrics prometheus.Registerer
}

// Schedule makes backups when they are due, on one of all copies of the program, and
// raises the alarm when there is no verified backup for too long.
type Schedule struct {
	ScheduleConfig
	relay  *audit.Relay[Status, Alert]
	status atomic.Pointer[Status] // as it was last seen

	// alone are the alarms that this copy has raised by itself, as the store was gone.
	alone unnoted
	// looked is set once this process has looked at the targets. Only tick looks at it.
	looked bool
}

// Mark is a backup as the schedule remembers it.
type Mark struct {
	File string        `json:"file"`
	At   docstore.Time `json:"at"` // when it was begun: as old are its data
	Size int64         `json:"size"`
}

// Status is what the copies of the program share of the schedule.
type Status struct {
	ID    string      `json:"_id"`
	Fence lease.Fence `json:"fence"`
	// Since is when backups were first scheduled.
	Since docstore.Time `json:"since"`
	// Ran is when the last run that ended well was begun, Tried when any was. Failures
	// counts a run that has begun as failed until it ends well: who is killed by it
	// over and over must not try without a pause.
	Ran      docstore.Time `json:"ran,omitzero"`
	Tried    docstore.Time `json:"tried,omitzero"`
	Failures int           `json:"failures,omitempty"`
	// LastError is why the last run failed; empty when it didn't.
	LastError string `json:"last_error,omitempty"`
	// Round is when the first try was begun of a run that hasn't ended well yet; zero
	// when the last one has.
	Round docstore.Time `json:"round,omitzero"`
	// Installation is what the backups of this store's data are marked with, once and
	// for all. A copy of the data has it too.
	Installation string `json:"installation,omitempty"`
	// Made is the file of the newest backup that was made, by a server or a command.
	Made string `json:"made,omitempty"`
	// Looked is when the targets were last listed. Good is the newest backup there that
	// counts, and Verified the newest that saves us; zero for none. Doubt is why one
	// doesn't count that is newer than all that do; empty for none.
	Looked   docstore.Time `json:"looked,omitzero"`
	Good     Mark          `json:"good,omitzero"`
	Verified Mark          `json:"verified,omitzero"`
	Doubt    string        `json:"doubt,omitempty"`
	// DoubtArabic is Doubt in that language.
	DoubtArabic string `json:"doubt_arabic,omitempty"`
	// Gone is the file that was Good when all backups were gone from the targets; empty
	// since there is one again. Doubt says so meanwhile.
	Gone string `json:"gone,omitempty"`
	// Told is when the alarm about silence was last raised, FailureTold that about a
	// failed backup, scheduled or not, and DoubtTold that about one that doesn't count;
	// zero when all is well.
	Told        docstore.Time `json:"told,omitzero"`
	FailureTold docstore.Time `json:"failure_told,omitzero"`
	DoubtTold   docstore.Time `json:"doubt_told,omitzero"`
	// SilenceSince, FailureSince and DoubtSince are when what isn't over was first told.
	SilenceSince docstore.Time `json:"silence_since,omitzero"`
	FailureSince docstore.Time `json:"failure_since,omitzero"`
	DoubtSince   docstore.Time `json:"doubt_since,omitzero"`
	// Pending are the alerts that the alarm hasn't taken yet, since PendingSince.
	Pending      []Alert       `json:"pending,omitempty"`
	PendingSince docstore.Time `json:"pending_since,omitzero"`
}

// DocumentID is the same for all: there is one.
func (s Status) DocumentID() string { return s.ID }

// last is when a backup was made, or else since when there has been none.
func (s Status) last(of Mark) docstore.Time {
	if of.File == "" {
		return s.Since
	}
	return of.At
}

const theSchedule = "schedule"

var spec = docstore.Spec{Collection: "backup_schedule", Of: Status{}}

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec { return []docstore.Spec{spec} }

const (
	defaultPeriod = time.Minute
	lookEvery     = 10 * time.Minute
	remindEvery   = 24 * time.Hour
	firstRetry    = time.Minute
	lastRetry     = time.Hour
	maxErrorText  = 1000
	noteTimeout   = 10 * time.Second
)

// NewSchedule makes a Schedule. The store's collections are declared already (Specs).
func NewSchedule(c ScheduleConfig) *Schedule {
	c.Period = cmp.Or(c.Period, defaultPeriod)
	s := &Schedule{ScheduleConfig: c, relay: newRelay(c.Store, c.Service)}
	s.status.Store(&Status{})
	if c.Metrics != nil && c.When != nil {
		s.register(c.Metrics)
	}
	return s
}

func (s *Schedule) now() time.Time { return s.Service().Now() }

// Run works until ctx ends.
func (s *Schedule) Run(ctx context.Context) {
	var loops sync.WaitGroup
	defer loops.Wait()
	loops.Go(func() { s.Leases.Every(ctx, "backups", s.Period, s.tick) })
	if s.When != nil {
		loops.Go(func() { s.watch(ctx) })
	}
}

// Status tells what was known at the last look.
func (s *Schedule) Status() Status { return *s.status.Load() }

// tick does what is due, on the copy that holds the lease.
func (s *Schedule) tick(ctx context.Context, held lease.Held) error {
	st, err := s.change(ctx, held, func(st *Status) { st.mend(s.now()) })
	if err != nil || s.When == nil {
		return err
	}
	if !s.looked {
		if st, err = s.lookFirst(ctx, held, st); err != nil {
			return err
		}
	}
	if s.due(st) {
		if st, err = s.look(ctx, held); err != nil { // the run makes a folder anew that has vanished
			return err
		}
		if st, err = s.backUp(ctx, held, st); err != nil {
			return err
		}
	}
	if s.now().Sub(st.Looked.Time) >= lookEvery {
		if st, err = s.look(ctx, held); err != nil {
			return err
		}
	}
	return s.listen(ctx, held, st)
}

// change changes the state, if the lease is still held, and passes on what waits in it.
func (s *Schedule) change(ctx context.Context, held lease.Held, change func(*Status)) (Status, error) {
	waiting := s.alone.all()
	st, err := s.relay.Aggregates.Upsert(ctx, Status{ID: theSchedule}, func(st *Status, _ bool) error {
		if err := held.Admit(&st.Fence); err != nil {
			return err
		}
		st.take(waiting)
		change(st)
		return nil
	})
	if err == nil {
		s.alone.drop(waiting)
		s.status.Store(&st)
		s.relay.Send(ctx, st)
	}
	return st, err
}

// mend sets times that are in the future, as they are after a clock was set right, to
// now: else nothing would be due until then. A backup of the future is forgotten, and
// looked for anew.
func (st *Status) mend(now time.Time) {
	at := docstore.At(now)
	if st.Since.IsZero() {
		st.Since = at
	}
	if st.Installation == "" {
		st.Installation = docstore.NewID() // before others' backups could be taken for its own
	}
	for _, t := range []*docstore.Time{&st.Since, &st.Ran, &st.Tried, &st.Round, &st.Looked, &st.Told, &st.FailureTold, &st.DoubtTold} {
		if t.After(now) {
			*t = at
		}
	}
	for _, m := range []*Mark{&st.Good, &st.Verified} {
		if m.At.Sub(now) > clockTolerance {
			*m, st.Looked = Mark{}, docstore.Time{}
		}
	}
}

// lookFirst looks whether the store is what it was when a copy of the program last wrote to
// it. Where another backup than the one that was last made is the newest, or none is there,
// the store was restored from an earlier one, or backups go to another place: one is due.
func (s *Schedule) lookFirst(ctx context.Context, held lease.Held, st Status) (Status, error) {
	backups, ok := s.list(ctx)
	if !ok {
		return st, ctx.Err() // nobody knows; it is looked at again
	}
	s.looked = true
	newest, there := backups.last()
	unfinished := !st.Round.IsZero() && newest.Round.Equal(st.Round.Time) && !newest.Verified && s.Service().Policy.Verify
	if unfinished || there && newest.File == st.Made {
		return st, nil
	}
	return s.change(ctx, held, func(st *Status) { st.Ran, st.Round = docstore.Time{}, docstore.Time{} })
}

// due tells whether a backup is to be made now: there was none yet, or the schedule has
// come round since the last good run was begun, however often. After a failure it is
// a pause that counts.
func (s *Schedule) due(st Status) bool {
	now := s.now()
	if st.Failures > 0 {
		return !now.Before(st.Tried.Add(retryAfter(st.Failures)))
	}
	return st.Ran.IsZero() || !now.Before(s.When.Next(st.Ran.Time))
}

// retryAfter doubles with each failure.
func retryAfter(failures int) time.Duration {
	return min(firstRetry<<min(failures-1, 16), lastRetry)
}

// backUp makes a backup and removes those that have had their time, also when it has
// failed: a disk that is full would stay so.
func (s *Schedule) backUp(ctx context.Context, held lease.Held, st Status) (Status, error) {
	service := s.Service()
	before, began := st.Failures, docstore.At(s.now())
	st, err := s.change(ctx, held, func(st *Status) {
		st.Tried, st.Failures = began, before+1
		if st.Round.IsZero() {
			st.Round = began
		}
	})
	if err != nil {
		return st, err
	}
	m, err := service.create(ctx, CreateOptions{SkipVerify: !service.Policy.Verify, PruneFirst: true, round: st.Round.UTC()})
	if err == nil {
		service.Log.InfoContext(ctx, "a backup was made", "file", m.File, "size", m.Size, "documents", m.Documents, "verified", m.Verified, "suspicious", m.Suspicious)
	}
	if ctx.Err() == nil {
		if _, err := service.Prune(ctx, false); err != nil && ctx.Err() == nil {
			service.Log.ErrorContext(ctx, "old backups could not be removed", "error", err)
		}
	}
	st, recordErr := s.record(ctx, held, before, began, m, err)
	if recordErr != nil && err != nil && ctx.Err() == nil {
		seen := s.Status()
		s.tellAlone(ctx, seen.newAlert(AlertFailed, failure(err), s.now()))
	}
	return st, recordErr
}

// record notes how a run has ended, and what there is to tell of that. One that was
// interrupted, as the program stops, is as if it had not been begun.
func (s *Schedule) record(ctx context.Context, held lease.Held, before int, began docstore.Time, m Manifest, err error) (Status, error) {
	interrupted := ctx.Err()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	st, changeErr := s.change(ctx, held, func(st *Status) {
		st.Looked = docstore.Time{}
		if err != nil && interrupted != nil {
			st.Failures = before
			return
		}
		st.Failures, st.LastError = before+1, cut(err)
		if err == nil {
			st.Ran, st.Failures, st.Round = began, 0, docstore.Time{}
		}
		st.ended(m, err, s.now())
	})
	return st, errors.Join(interrupted, changeErr)
}

// cut is an error's text, or its beginning, as it can be stored; empty for none.
func cut(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), maxErrorText)], "\uFFFD")
}

// list has the backups at the targets, and says whether these are all of them.
func (s *Schedule) list(ctx context.Context) (Catalogue, bool) {
	service := s.Service()
	backups, err := service.List(ctx)
	if err != nil && ctx.Err() == nil {
		service.Log.WarnContext(ctx, "backups can't be listed", "error", err)
	}
	return backups, err == nil
}

// look finds the newest backups at the targets, whoever made them.
func (s *Schedule) look(ctx context.Context, held lease.Held) (Status, error) {
	backups, all := s.list(ctx)
	good, verified := mark(backups.Newest()), mark(backups.NewestVerified())
	doubtful, doubt := backups.Doubtful()
	return s.change(ctx, held, func(st *Status) {
		st.Looked = docstore.At(s.now())
		before := st.Gone
		switch {
		case good.File != "":
			st.Gone = ""
		case all && st.Good.File != "":
			st.Gone = st.Good.File
		}
		if all || good.At.After(st.Good.At.Time) {
			st.Good = good
		}
		if all || verified.At.After(st.Verified.At.Time) {
			st.Verified = verified
		}
		if all || doubt {
			doubted := doubted(doubtful.File, doubtful.Doubt)
			if st.Gone != "" {
				doubted = vanished(st.Gone)
			}
			st.Doubt, st.DoubtArabic = doubted.En, doubted.Ar
		}
		if st.Gone != before && st.Gone != "" { // at once: the backup that follows ends it
			st.alert(AlertSuspicious, vanished(st.Gone), language.Text{}, s.now())
		}
	})
}

// mark remembers a backup; nothing is remembered of none.
func mark(b Backup, ok bool) Mark {
	if !ok {
		return Mark{}
	}
	return Mark{File: b.File, At: docstore.At(b.CreatedAt), Size: b.Size}
}
