package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"manus/docstore"
	"manus/lease"
)

// listen raises the alarm when there has been no verified backup for too long, once a
// day, and says when that is over.
func (s *Schedule) listen(ctx context.Context, held lease.Held, st state) error {
	silent := s.silence(Status{Since: st.Since.Time, Verified: st.Verified})
	if silent == "" && st.Told.IsZero() || silent != "" && s.Now().Sub(st.Told.Time) < remindEvery {
		return nil
	}
	_, err := s.change(ctx, held, func(st *state) {
		st.alert(AlertSilence, silent, "There is a verified backup again: "+st.Verified.File+".", s.Now())
	})
	return err
}

// silence says that there has been no verified backup for too long, or is empty.
func (s *Schedule) silence(status Status) string {
	now, limit := s.Now(), s.deadline()
	if status.Verified.File == "" {
		if now.Sub(status.Since) <= limit {
			return ""
		}
		return fmt.Sprintf("There is no verified backup, although backups have been scheduled since %s.", status.Since.UTC().Format(time.RFC3339))
	}
	age := now.Sub(status.Verified.At.Time)
	if age <= limit {
		return ""
	}
	return fmt.Sprintf("The newest verified backup is %s old: %s.", age.Round(time.Minute), status.Verified.File)
}

// deadline is how old the newest verified backup may be.
func (s *Schedule) deadline() time.Duration {
	if after := s.Policy().AlarmAfter; after > 0 {
		return after
	}
	return longestPause(s.When, s.Now()) + alarmGrace
}

// alarmGrace is how long a run may take before the alarm, where nothing else is set.
const alarmGrace = 2 * time.Hour

// longestPause is the longest of the schedule's next pauses.
func longestPause(when cron.Schedule, from time.Time) time.Duration {
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
	st, err := s.states.Get(ctx, theSchedule)
	switch {
	case err == nil:
		s.note(st)
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
	if alert := newAlert(AlertSilence, silent, s.Now()); s.Service().tellNow(ctx, alert) {
		s.alone = alert.At
	}
}

// handOver notes what this copy has raised by itself, once the store is back: the
// schedule ends it.
func (s *Schedule) handOver(ctx context.Context) {
	if s.alone.IsZero() {
		return
	}
	_, err := s.states.Update(ctx, theSchedule, func(st *state) error {
		if st.Told.Before(s.alone.Time) {
			st.Told = s.alone
		}
		return nil
	})
	if err == nil {
		s.alone = docstore.Time{}
	}
}

func (s *Schedule) note(st state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = Status{Since: st.Since.Time, Good: st.Good, Verified: st.Verified, Failures: st.Failures, LastError: st.LastError}
}
