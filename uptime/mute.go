package uptime

import (
	"context"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/httpapi"
	"manus/language"
)

// All names all monitors where one is muted.
const All = "*"

// MaxMute is for how long nobody may be told of a monitor: a mute that is forgotten ends by
// itself.
const MaxMute = 24 * time.Hour

const (
	eventMuted   audit.Kind = "monitor-muted"
	eventUnmuted audit.Kind = "monitor-unmuted"
	// liftedFor is how long after the end of a mute what is down is looked at at once.
	liftedFor = 10 * time.Second
)

// Mute has nobody be told of a monitor, or of All, for a time from now on, whatever was said
// before; none ends it. It is looked at as ever, and what is down at the end is told then. It
// returns until when; ErrInvalid for a time that isn't from a second to MaxMute, ErrNoMonitor
// or an error of the store.
func (s *Service) Mute(ctx context.Context, id string, length time.Duration) (until time.Time, err error) {
	if length != 0 && (length < time.Second || length > MaxMute) {
		return until, &httpapi.Invalid{Of: ErrInvalid, Field: "body.for", Why: muteBounds}
	}
	set, j, err := s.current(ctx)
	if err != nil {
		return until, err
	}
	if _, there := set.byID[id]; !there && id != All {
		return until, ErrNoMonitor
	}
	kind, now := eventUnmuted, s.c.Now()
	if until = now.Add(length); length > 0 {
		kind = eventMuted
	}
	if err := s.audit(ctx, kind, id); err != nil {
		return until, err
	}
	ended := func(muted docstore.Time) bool { return length == 0 && !muted.After(now) } // nothing to end
	if id == All {
		if ended(j.Muted) {
			return until, nil
		}
		_, err := s.countChange(ctx, func(j *journal) { j.Muted = docstore.At(until) })
		return until, err
	}
	_, err = s.states.Upsert(ctx, State{ID: id, Since: docstore.At(now)}, func(st *State, _ bool) error {
		if ended(st.Muted) {
			return docstore.ErrUnchanged
		}
		st.Muted = docstore.At(until)
		return nil
	})
	if err == nil {
		_, err = s.countChange(ctx, func(*journal) {})
	}
	return until, err
}

// allMuted tells whether nobody is told of any monitor.
func (s *sources) allMuted(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.muted)
}

// hurry has what is down and isn't told, as it is muted, be looked at as soon as it can be
// told; and now, where lifted is set and that was just before. The lock of the watch is held.
func (w *watch) hurry(m *watched, lifted bool) {
	if !m.state.Confirm.Down || m.state.Told {
		return
	}
	w.sources.mu.Lock()
	until := w.sources.muted
	w.sources.mu.Unlock()
	if m.state.Muted.After(until) {
		until = m.state.Muted.Time
	}
	left := until.Sub(w.c.Now())
	if left > 0 || lifted && left > -liftedFor {
		w.schedule.Hurry(m.ID, w.now()+max(0, left+time.Millisecond))
	}
}

// MuteFor reads for how long to mute. Its error is an ErrInvalid.
func MuteFor(text string) (time.Duration, error) {
	length, err := time.ParseDuration(text)
	if err != nil || length < time.Second || length > MaxMute {
		return 0, &httpapi.Invalid{Of: ErrInvalid, Field: "body.for", Why: muteBounds}
	}
	return length, nil
}

var muteBounds = language.Text{En: "use from 1s to 24h, such as 10m", Ar: "استعمل من 1s إلى 24h، مثل 10m"}
