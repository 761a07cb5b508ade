package notify

import (
	"context"
	"errors"
	"slices"
	"time"

	"manus/docstore"
)

// watchEvery is how soon it is seen that something is due.
const watchEvery = time.Second

// watch does what is due until ctx ends. Several copies may: whatever they do at once is
// done once.
func (s *Service) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	failing := false
	for {
		err := errors.Join(s.doDue(ctx), s.startDigests(ctx))
		if err != nil && !failing && ctx.Err() == nil { // once, not once a second
			s.c.Log.ErrorContext(ctx, "reminders, escalations and digests wait; they will be tried again", "error", err)
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// doDue reminds and escalates.
func (s *Service) doDue(ctx context.Context) error {
	var failure error
	for _, query := range []docstore.Query{{Until: s.due()}, {From: docstore.At(s.c.Now().Add(longest + time.Millisecond))}} {
		query.Index = "by_next"
		for o, err := range s.occurrences.All(ctx, query) {
			if err == nil {
				err = s.doDueOf(ctx, o)
			}
			failure = errors.Join(failure, err)
		}
	}
	return failure
}

// isDue tells whether a reminder or an escalation is due. What is off for longer than any
// may be was written by a clock that was ahead.
func isDue(at docstore.Time, now time.Time) bool {
	return !at.IsZero() && (!at.After(now) || at.After(now.Add(longest)))
}

func (s *Service) doDueOf(ctx context.Context, o occurrence) error {
	now := s.c.Now()
	due := func(at docstore.Time) bool { return isDue(at, now) }
	escalated, err := s.escalate(ctx, o, due)
	if err != nil {
		return err
	}
	for lane, sent := range o.Lanes {
		if due(sent.RemindAt) && s.rules.Load().lanes[lane] != nil {
			err = errors.Join(err, s.put(ctx, o, lane, Reminder, sent.Reminded+1))
		}
	}
	if err != nil {
		return err
	}
	_, err = s.occurrences.Update(ctx, o.ID, func(o *occurrence) error {
		for _, sent := range o.Lanes {
			if due(sent.RemindAt) {
				sent.RemindAt = docstore.At(now.Add(sent.RemindEvery)) // unless the reminder is said before
			}
		}
		o.Escalations = slices.DeleteFunc(o.Escalations, func(e escalation) bool { return due(e.At) && escalated })
		o.schedule()
		return nil
	})
	return docstore.NotFoundAs(err, nil)
}

// escalate tells others of what nobody has acknowledged. It isn't done, and is asked for
// again, while quiet hours hold the event back.
func (s *Service) escalate(ctx context.Context, o occurrence, due func(docstore.Time) bool) (done bool, err error) {
	r := s.rules.Load()
	var channels []string
	for _, e := range o.Escalations {
		if due(e.At) {
			channels = append(channels, e.Channels...)
		}
	}
	if len(channels) == 0 {
		return true, nil
	}
	if until := r.quietUntil(o.Event, s.c.Now()); !until.IsZero() {
		return false, s.postpone(ctx, o.ID, due, until)
	}
	lanes, err := s.alive(ctx, r, channels)
	if err != nil {
		return false, err
	}
	o, err = s.occurrences.Update(ctx, o.ID, func(o *occurrence) error {
		for _, lane := range lanes {
			o.to(lane, Escalated, 0)
		}
		return nil
	})
	if err != nil || !o.isOpen() {
		return err == nil, docstore.NotFoundAs(err, nil)
	}
	for _, lane := range lanes {
		if o.Lanes[lane].Told == "" {
			err = errors.Join(err, s.admit(ctx, o, lane, Escalated))
		}
	}
	return err == nil, err
}

// postpone puts escalations off.
func (s *Service) postpone(ctx context.Context, id string, due func(docstore.Time) bool, until time.Time) error {
	_, err := s.occurrences.Update(ctx, id, func(o *occurrence) error {
		for i := range o.Escalations {
			if due(o.Escalations[i].At) {
				o.Escalations[i].At = docstore.At(until)
			}
		}
		return nil
	})
	return err
}

// alive are the lanes of channels that aren't known to be dead; when all are, those of any
// other channel that lives, and when there is none, all the same.
func (s *Service) alive(ctx context.Context, r *routing, channels []string) ([]string, error) {
	for _, among := range [][]string{channels, r.ids} {
		var alive []string
		for _, lane := range r.lanesOf(among) {
			dead, err := s.isDead(ctx, lane)
			if err != nil {
				return nil, err
			}
			if !dead {
				alive = append(alive, lane)
			}
		}
		if len(alive) > 0 {
			return alive, nil
		}
	}
	return r.lanesOf(channels), nil
}

// Sweep removes what has been kept for long enough, and sees that each channel is proved.
// It is run hourly by one of all copies, and may be cut short.
func (s *Service) Sweep(ctx context.Context) error {
	now := s.c.Now()
	_, err := s.held.DeleteAll(ctx, docstore.Query{Index: "by_expiry", Until: docstore.At(now)})
	return errors.Join(err, s.sweepOccurrences(ctx, now), s.alerts.Sweep(ctx), s.prove(ctx))
}

// keepOpen is how long the end of an occurrence is waited for.
const keepOpen = 365 * 24 * time.Hour

// sweepOccurrences removes those that are old, but for what still lasts.
func (s *Service) sweepOccurrences(ctx context.Context, now time.Time) error {
	for o, err := range s.occurrences.All(ctx, docstore.Query{Index: "by_time", Until: docstore.At(now.Add(-keepAlerts)), Limit: docstore.MaxLimit}) {
		if err != nil {
			return err
		}
		lasts := o.End == nil && kindOf(o.Event.Kind).Ends && now.Sub(o.ReceivedAt.Time) < keepOpen
		if !lasts {
			err = docstore.NotFoundAs(s.occurrences.Delete(ctx, o.ID), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
