package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/internal/cron"
	"manus/internal/words"
	"manus/lease"
)

// Alarm tells operators.
type Alarm interface {
	// Tell passes an alert on. One with the key of an earlier alert follows it up. It
	// may be called again with the same alert, by another process too; after an error
	// it is.
	Tell(ctx context.Context, alert Alert) error
}

// Alert is something that an operator has to know.
type Alert struct {
	// ID tells an alert that is told again from another one.
	ID string        `json:"id"`
	At docstore.Time `json:"at"`
	// Since is when it was first told: the same for what reminds of it, and for its end.
	Since docstore.Time `json:"since"`
	// Key is what the alert is about: [AlertFailed], [AlertSuspicious], [AlertSilence] or
	// [AlertDamaged].
	Key string `json:"key"`
	// Over is set when what it is about is over.
	Over bool `json:"over,omitempty"`
	// Text is one or two sentences.
	Text string `json:"text"`
}

// DocumentID is the alert's id.
func (a Alert) DocumentID() string { return a.ID }

// The keys of alerts.
const (
	AlertDamaged    = "store-damaged"
	AlertFailed     = "backup-failed"
	AlertSuspicious = "backup-suspicious"
	AlertSilence    = "backup-silence"
)

const tellTimeout = 10 * time.Second

// tell passes an alert on, to the log where there is nobody else.
func (s *Service) tell(ctx context.Context, alert Alert) error {
	if s.Alarm == nil {
		level := slog.LevelError
		if alert.Over {
			level = slog.LevelInfo
		}
		s.Log.Log(ctx, level, alert.Text, "alert", alert.Key, "over", alert.Over)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	return s.Alarm.Tell(ctx, alert)
}

// TellDamaged raises the alarm that the data is damaged, which can't be noted there.
func (s *Service) TellDamaged(ctx context.Context, text string) {
	s.tellNow(ctx, newAlert(AlertDamaged, text, s.Now()))
}

// tellNow passes on an alert that can't be noted in the store, and says whether it was
// taken. It goes to the log when it wasn't.
func (s *Service) tellNow(ctx context.Context, alert Alert) bool {
	err := s.tell(ctx, alert)
	if err != nil {
		s.Log.ErrorContext(ctx, "an alert could not be passed on", "alert", alert.Key, "text", alert.Text, "error", err)
	}
	return err == nil
}

func newAlert(key, text string, now time.Time) Alert {
	return Alert{ID: docstore.NewID(), At: docstore.At(now), Since: docstore.At(now), Key: key, Text: text}
}

// failure says that a run has failed; nil is no failure.
func failure(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("A backup has failed: %s.", cut(err))
}

// alert notes what is wrong, or when that is empty, and it had been noted that
// something is, that it is over. It is a part of the atomic change of what it tells of.
func (st *Status) alert(key, wrong, over string, now time.Time) {
	raised := map[string]*docstore.Time{AlertFailed: &st.FailureTold, AlertSuspicious: &st.DoubtTold, AlertSilence: &st.Told}[key]
	alert := newAlert(key, wrong, now)
	if since, told := st.AlertsSince[key]; told && !raised.IsZero() {
		alert.Since = since
	}
	switch {
	case wrong != "":
		*raised = alert.At
		if st.AlertsSince == nil {
			st.AlertsSince = map[string]docstore.Time{}
		}
		st.AlertsSince[key] = alert.Since
		// One about the same that still waits is out of date.
		st.Pending = slices.DeleteFunc(st.Pending, func(a Alert) bool { return a.Key == key })
	case raised.IsZero():
		return
	default:
		*raised = docstore.Time{}
		delete(st.AlertsSince, key)
		alert.Over, alert.Text = true, over
	}
	st.outbox().Note(alert, now)
}

// doubted says that a backup doesn't count; nothing of one that does.
func doubted(file, why string) string {
	if why == "" {
		return ""
	}
	return fmt.Sprintf("The backup %s doesn't count: %s.", file, why)
}

// ended notes how a run has ended.
func (st *Status) ended(m Manifest, err error, now time.Time) {
	st.alert(AlertFailed, failure(err), "A backup was made again.", now)
	if err == nil {
		st.Made = m.File
	}
	if err == nil && (m.Suspicious != "" || st.Doubt == "") {
		st.alert(AlertSuspicious, doubted(m.File, m.Suspicious), "The newest backup counts again: "+m.File+".", now)
	}
}

func (st *Status) outbox() audit.Outbox[Alert] {
	return audit.Outbox[Alert]{Events: &st.Pending, Since: &st.PendingSince}
}

// newRelay takes the alerts of the state in a store to the alarm of the service.
func newRelay(store docstore.Store, service func() *Service) *audit.Relay[Status, Alert] {
	return &audit.Relay[Status, Alert]{
		Aggregates: docstore.NewCollection[Status](store, spec),
		Outbox:     (*Status).outbox,
		Publish:    func(ctx context.Context, _ Status, a Alert) error { return service().tell(ctx, a) },
		Now:        func() time.Time { return service().Now() },
		Log:        service().Log,
	}
}

// listen raises the alarm when there has been no verified backup for too long, or the
// newest one doesn't count, once a day, and says when that is over.
func (s *Schedule) listen(ctx context.Context, held lease.Held, st Status) error {
	silent, now := s.silence(st), s.now()
	silence, doubt := news(silent, st.Told, now), news(st.Doubt, st.DoubtTold, now)
	if !silence && !doubt {
		return nil
	}
	_, err := s.change(ctx, held, func(st *Status) {
		if silence {
			st.alert(AlertSilence, silent, "There is a verified backup again: "+st.Verified.File+".", now)
		}
		if doubt {
			st.alert(AlertSuspicious, st.Doubt, "The newest backup counts again: "+st.Good.File+".", now)
		}
	})
	return err
}

// news tells whether there is something to tell: that something is wrong, for the first
// time or since a day, or is so no more.
func news(wrong string, told docstore.Time, now time.Time) bool {
	if wrong == "" {
		return !told.IsZero()
	}
	return now.Sub(told.Time) >= remindEvery
}

// silence says that there has been no verified backup for too long, or is empty.
func (s *Schedule) silence(st Status) string {
	last := st.last(st.Verified)
	age := s.now().Sub(last.Time)
	switch {
	case age <= s.deadline():
		return ""
	case st.Verified.File == "":
		return fmt.Sprintf("There is no verified backup, although backups have been scheduled since %s.", last.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("The newest verified backup is %s old: %s.", words.Span(age), st.Verified.File)
}

// deadline is how old the newest verified backup may be.
func (s *Schedule) deadline() time.Duration {
	if after := s.Service().Policy.AlarmAfter; after > 0 {
		return after
	}
	return longestPause(s.When, s.now()) + alarmGrace
}

// alarmGrace is how long a run may take before the alarm, where nothing else is set.
const alarmGrace = 2 * time.Hour

// longestPause is the longest of the schedule's next pauses.
func longestPause(when *cron.Schedule, from time.Time) time.Duration {
	longest := time.Duration(0)
	at := when.Next(from)
	for range 60 {
		next := when.Next(at)
		longest, at = max(longest, next.Sub(at)), next
	}
	return longest
}

// watch keeps the status of this copy up to date, and raises the alarm by itself while
// the store is gone: then nobody can hold the lease.
func (s *Schedule) watch(ctx context.Context) {
	ticker := time.NewTicker(s.Period)
	defer ticker.Stop()
	for {
		s.glance(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Schedule) glance(ctx context.Context) {
	st, err := s.relay.Aggregates.Get(ctx, theSchedule)
	switch {
	case err == nil:
		s.status.Store(&st)
		s.handOver(ctx)
	case !errors.Is(err, docstore.ErrNotFound) && ctx.Err() == nil:
		s.raiseAlone(ctx)
	}
}

// raiseAlone raises the alarm of this copy, until it has been told once.
func (s *Schedule) raiseAlone(ctx context.Context) {
	status := s.Status()
	silent := s.silence(status)
	if silent == "" || status.Since.IsZero() || !s.alone.IsZero() {
		return
	}
	if alert := newAlert(AlertSilence, silent, s.now()); s.Service().tellNow(ctx, alert) {
		s.alone = alert.At
	}
}

// handOver notes what this copy has raised by itself, once the store is back: the
// schedule ends it.
func (s *Schedule) handOver(ctx context.Context) {
	if s.alone.IsZero() {
		return
	}
	_, err := s.relay.Aggregates.Update(ctx, theSchedule, func(st *Status) error {
		if st.Told.Before(s.alone.Time) {
			st.Told = s.alone
		}
		return nil
	})
	if err == nil {
		s.alone = docstore.Time{}
	}
}
