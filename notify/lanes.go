package notify

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/queue"
)

// laneState is what is known of a lane, by all copies.
type laneState struct {
	ID string `json:"_id"`
	// Window are the alerts that were let through of late, oldest first.
	Window []admitted `json:"window,omitempty"`
	// Digests is how many digests have been told or given up: the number of the next.
	Digests int `json:"digests,omitempty"`
	// DigestAt is when the last one was.
	DigestAt docstore.Time `json:"digest_at,omitzero"`
	// DeliveredAt is when a receiver has last taken something, to about an hour.
	DeliveredAt docstore.Time `json:"delivered_at,omitzero"`
	// DeliveredTo is which receiver that was, by its digest; empty when it was noted before these were.
	DeliveredTo string `json:"delivered_to,omitempty"`
	// Since is when the lane was first seen.
	Since docstore.Time `json:"since,omitzero"`
	// FailingSince is the first failure since something was delivered; Dead is set, and
	// has been told of, when that goes on for too long.
	FailingSince docstore.Time `json:"failing_since,omitzero"`
	// Refused is what the one message was about that was refused since something was
	// delivered: that may be the message's fault.
	Refused string `json:"refused,omitempty"`
	Dead    bool   `json:"dead,omitempty"`
	// UnprovenTold is set when it was told that nothing was delivered for a month.
	UnprovenTold docstore.Time `json:"unproven_told,omitzero"`
}

// DocumentID is the lane's name.
func (l laneState) DocumentID() string { return l.ID }

type admitted struct {
	Alert string        `json:"alert"`
	At    docstore.Time `json:"at"`
}

var laneSpec = docstore.Spec{Collection: "alert_lanes", Of: laneState{}}

const (
	// deadAfter is how long a channel may fail before it counts as dead.
	deadAfter = 10 * time.Minute
	// provedEvery is how often it is noted that a channel delivers.
	provedEvery = time.Hour
	// testEvery is how old the last delivery may be before a quiet test, and proofLasts
	// how old before it is told that nothing has been delivered.
	testEvery, proofLasts = 7 * 24 * time.Hour, 30 * 24 * time.Hour
)

// admit decides for each lane of an occurrence that hasn't begun there whether it goes to
// the lane's queue, or is held for a digest: in quiet hours, and when the lane has had its
// share. It is decided once, and kept with the occurrence.
func (s *Service) admit(ctx context.Context, o *occurrence) error {
	for lane, sent := range o.Lanes {
		until, err := s.holdUntil(ctx, *o, lane, alertID(o.ID, lane, sent.As, 0))
		if err != nil {
			return err
		}
		sent.HeldUntil, sent.Quiet = docstore.At(until), !s.rules.Load().quietUntil(o.Event, s.c.Now()).IsZero()
	}
	return nil
}

// pass takes an occurrence to a lane's queue or digest, as is decided. It may be called
// again.
func (s *Service) pass(ctx context.Context, o occurrence, lane string) error {
	sent := o.Lanes[lane]
	switch {
	case sent.Told != "":
		return nil
	case sent.HeldUntil.IsZero():
		return s.put(ctx, o, lane, sent.As, 0)
	}
	return s.hold(ctx, o, lane, sent.HeldUntil)
}

// holdUntil is until when an alert is held; zero when it goes through, of which the lane
// takes note.
func (s *Service) holdUntil(ctx context.Context, o occurrence, lane, id string) (until time.Time, err error) {
	r, now := s.rules.Load(), s.c.Now()
	if until := r.quietUntil(o.Event, now); !until.IsZero() {
		return until, nil
	}
	_, err = s.lanes.Upsert(ctx, laneState{ID: lane, Since: docstore.At(now)}, func(l *laneState, _ bool) error {
		until = time.Time{}
		recent := func(a admitted) bool { return now.Sub(a.At.Time).Abs() < r.AtMost.Within }
		l.Window = slices.DeleteFunc(l.Window, func(a admitted) bool { return !recent(a) })
		if slices.ContainsFunc(l.Window, func(a admitted) bool { return a.Alert == id }) {
			return docstore.ErrUnchanged
		}
		if len(l.Window) >= r.AtMost.Alerts {
			until = l.Window[0].At.Add(r.AtMost.Within)
			return docstore.ErrUnchanged
		}
		l.Window = append(l.Window, admitted{id, docstore.At(now)})
		return nil
	})
	return until, err
}

// proved notes that a lane delivers, and tells that it does again.
func (s *Service) proved(ctx context.Context, l *lane) {
	state, err := s.lanes.Get(ctx, l.name)
	if err = docstore.NotFoundAs(err, nil); err != nil {
		s.c.Log.WarnContext(ctx, "it wasn't noted that a channel delivers", "channel", l.name, "error", err)
		return
	}
	now := docstore.At(s.c.Now())
	if state.FailingSince.IsZero() && state.Refused == "" && state.DeliveredTo == l.config.receiver() && now.Sub(state.DeliveredAt.Time).Abs() < provedEvery {
		return
	}
	wasDead := state.Dead
	if wasDead {
		err = s.Tell(ctx, s.deadEvent(l, state, true))
	}
	if !state.UnprovenTold.IsZero() {
		err = errors.Join(err, s.Tell(ctx, s.unprovenEvent(l, state.UnprovenTold, true)))
	}
	if err == nil {
		_, err = s.lanes.Upsert(ctx, laneState{ID: l.name, Since: now}, func(state *laneState, _ bool) error {
			if state.Dead && !wasDead {
				return docstore.ErrUnchanged // told meanwhile: its end comes with the next delivery
			}
			state.DeliveredAt, state.DeliveredTo, state.FailingSince, state.Refused, state.Dead, state.UnprovenTold = now, l.config.receiver(), docstore.Time{}, "", false, docstore.Time{}
			return nil
		})
	}
	if err != nil {
		s.c.Log.WarnContext(ctx, "it wasn't noted that a channel delivers", "channel", l.name, "error", err)
	}
}

// failed notes that a lane fails, and tells on other channels when it takes nothing any
// more: when its address or credential, a test, or a second message in a row is refused,
// or when it has failed for too long.
func (s *Service) failed(ctx context.Context, l *lane, job queue.Job[alert], cause error) error {
	now, dead := docstore.At(s.c.Now()), false
	state, err := s.lanes.Upsert(ctx, laneState{ID: l.name, Since: now}, func(state *laneState, _ bool) error {
		if dead = state.takesNothing(job, cause); IsRefused(cause) && !dead {
			state.Refused = about(job)
			return nil
		}
		ahead := !state.Dead && state.FailingSince.After(now.Time) // by a clock that was
		if !state.FailingSince.IsZero() && !ahead {
			return docstore.ErrUnchanged
		}
		state.FailingSince = now
		return nil
	})
	if err != nil || state.Dead || !dead && !state.failsForLong(now, job) {
		return err
	}
	return s.tellDead(ctx, l, state, cause)
}

// failsForLong tells whether nothing has been delivered for so long, with something that
// waits for it, that the lane is dead: whatever the receiver says, and also when it asks to
// be left alone.
func (l laneState) failsForLong(now docstore.Time, waits queue.Job[alert]) bool {
	return !l.FailingSince.IsZero() && now.Sub(l.FailingSince.Time) >= deadAfter && now.Sub(waits.QueuedAt) >= deadAfter
}

// findDead finds the lanes that have failed for too long and are tried only later: attempts
// may be far apart.
func (s *Service) findDead(ctx context.Context) error {
	now := docstore.At(s.c.Now())
	var failure error
	for name, l := range s.rules.Load().lanes {
		state, err := s.lanes.Get(ctx, name)
		if err != nil || state.Dead || now.Sub(state.FailingSince.Time) < deadAfter || state.FailingSince.IsZero() {
			failure = errors.Join(failure, docstore.NotFoundAs(err, nil))
			continue
		}
		oldest, err := s.alerts.Oldest(ctx, name)
		if err == nil && state.failsForLong(now, oldest) {
			err = s.tellDead(ctx, l, state, errors.New(oldest.Error))
		}
		failure = errors.Join(failure, docstore.NotFoundAs(err, nil))
	}
	return failure
}

// tellDead tells on other channels that a lane is dead, and notes that.
func (s *Service) tellDead(ctx context.Context, l *lane, state laneState, cause error) error {
	s.c.Log.ErrorContext(ctx, "an alert channel is dead", "channel", l.name, "error", cause)
	e := s.deadEvent(l, state, false)
	e.Tried = []string{cause.Error()}
	if err := s.Tell(ctx, e); err != nil {
		return err
	}
	now, err := s.lanes.Update(ctx, l.name, func(state *laneState) error {
		if state.FailingSince.IsZero() || state.Dead {
			return docstore.ErrUnchanged
		}
		state.Dead = true
		return nil
	})
	if err == nil && !now.Dead { // it has delivered meanwhile
		return s.Tell(ctx, s.deadEvent(l, state, true))
	}
	return err
}

// takesNothing tells whether an error is the lane's, whatever is sent: its address or
// credential isn't accepted, a test is refused, or a second message in a row.
func (l laneState) takesNothing(job queue.Job[alert], cause error) bool {
	switch {
	case IsUnusable(cause):
		return true
	case !IsRefused(cause):
		return false
	}
	return job.Args.State == Test || l.Refused != "" && l.Refused != about(job)
}

// about is what a job speaks of: what is said of an occurrence is alike.
func about(job queue.Job[alert]) string { return cmp.Or(job.Args.Occurrence, job.ID) }

func (s *Service) deadEvent(l *lane, state laneState, over bool) Event {
	e := Event{
		Kind: ChannelDead, Subject: l.name, Occurrence: state.FailingSince.UTC().Format(time.RFC3339), Over: over, At: state.FailingSince,
		Title: language.Text{En: "The alert channel " + l.name + " is dead", Ar: "قناة التنبيه " + l.name + " معطّلة"},
		Text:  language.Text{En: "Alerts don't arrive there. They wait and are tried again. Look at its settings. What was given up is listed by 'manus notify list --failed', and sent again by 'manus notify retry --failed'.", Ar: "لا تصل التنبيهات إليها، بل تنتظر وتُعاد محاولتها. انظر في إعداداتها. ما تُرك يسرده الأمر manus notify list --failed، ويعيد الأمر manus notify retry --failed إرساله."},
	}
	if over {
		e.At = docstore.At(s.c.Now())
		e.Title = language.Text{En: "The alert channel " + l.name + " delivers again", Ar: "قناة التنبيه " + l.name + " توصل من جديد"}
		e.Text = language.Text{}
	}
	return e
}

func (s *Service) unprovenEvent(l *lane, since docstore.Time, over bool) Event {
	e := Event{
		Kind: ChannelUnproven, Subject: l.name, Occurrence: since.UTC().Format(time.RFC3339), Over: over, At: since,
		Title: language.Text{En: "Nothing has been delivered on the alert channel " + l.name + " for a month", Ar: "لم يُوصَل شيء عبر قناة التنبيه " + l.name + " منذ شهر"},
		Text:  language.Text{En: "Nobody knows whether it works. Try it: manus notify test " + l.channel, Ar: "لا أحد يعلم أتعمل أم لا. جرّبها: manus notify test " + l.channel},
	}
	if over {
		e.At = docstore.At(s.c.Now())
		e.Title = language.Text{En: "The alert channel " + l.name + " has delivered", Ar: "أوصلت قناة التنبيه " + l.name}
		e.Text = language.Text{}
	}
	return e
}

// isDead tells whether a lane is known to be dead.
func (s *Service) isDead(ctx context.Context, lane string) (bool, error) {
	state, err := s.lanes.Get(ctx, lane)
	return state.Dead, docstore.NotFoundAs(err, nil)
}

// prove sends quiet tests on the channels that haven't delivered for a week, where they
// have such a thing, and tells of those that haven't for a month.
func (s *Service) prove(ctx context.Context) error {
	now := docstore.At(s.c.Now())
	var failure error
	for name, l := range s.rules.Load().lanes {
		state, err := s.lanes.Upsert(ctx, laneState{ID: name, Since: now}, func(_ *laneState, exists bool) error {
			if exists {
				return docstore.ErrUnchanged
			}
			return nil
		})
		last := state.DeliveredAt
		if last.IsZero() {
			last = state.Since
		}
		age := now.Sub(last.Time)
		if err == nil && l.testsQuietly() {
			since := last.UTC().Format(time.RFC3339)
			switch {
			case state.Dead: // nothing else may be there to try it with
				err = s.putTest(ctx, name, idOf("test", name, since, now.UTC().Format("2006-01-02T15")))
			case age >= testEvery:
				err = s.putTest(ctx, name, idOf("test", name, since, now.UTC().Format(time.DateOnly)))
			}
		}
		if err == nil && age >= proofLasts && state.UnprovenTold.IsZero() {
			if err = s.Tell(ctx, s.unprovenEvent(l, now, false)); err == nil {
				_, err = s.lanes.Update(ctx, name, func(state *laneState) error { state.UnprovenTold = now; return nil })
			}
		}
		failure = errors.Join(failure, err)
	}
	return failure
}

// testsQuietly tells whether tests may be sent on the lane that nobody has asked for.
func (l *lane) testsQuietly() bool { return l.config.QuietTest != nil && *l.config.QuietTest }
