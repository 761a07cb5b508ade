package notify

import (
	"context"
	"errors"
	"slices"
	"time"

	"manus/docstore"
)

// watchEvery is how soon it is seen that something is due, and deadEvery that a lane is
// dead.
const (
	watchEvery = time.Second
	deadEvery  = 15 * time.Second
)

// watch does what is due until ctx ends. Several copies may: whatever they do at once is
// done once.
func (s *Service) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	failing, looked := false, time.Time{}
	for {
		err := errors.Join(s.doDue(ctx), s.startDigests(ctx))
		if time.Since(looked) >= deadEvery {
			err, looked = errors.Join(err, s.findDead(ctx)), time.Now()
		}
		if err != nil && !failing && ctx.Err() == nil { // once, not once a second
			s.c.Log.ErrorContext(ctx, "reminders, escalations and digests wait, and dead channels aren't found; they will be tried again", "error", err)
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
			err = errors.Join(err, s.remind(ctx, o, lane, *sent))
		}
	}
	if err != nil {
		return err
	}
	_, err = s.occurrences.Update(ctx, o.ID, func(o *occurrence) error {
		for _, sent := range o.Lanes {
			if due(sent.RemindAt) {
				sent.RemindAt = docstore.Time{}
				if sent.RemindEvery > 0 {
					sent.RemindAt = docstore.At(now.Add(sent.RemindEvery)) // unless the reminder is said before
				}
			}
		}
		o.Escalations = slices.DeleteFunc(o.Escalations, func(e escalation) bool { return due(e.At) && escalated })
		o.schedule()
		return nil
	})
	return docstore.NotFoundAs(err, nil)
}

// remind has a lane told again what lasts. Where the beginning was given up it is that which
// is sent, as nobody there knows of it.
func (s *Service) remind(ctx context.Context, o occurrence, lane string, sent sending) error {
	if sent.Told != "" {
		return s.put(ctx, o, lane, Reminder, sent.Reminded+1)
	}
	return docstore.NotFoundAs(s.alerts.Retry(ctx, alertID(o.ID, lane, sent.As, 0)), nil)
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
	o, err = s.goTo(ctx, o, lanes)
	if err != nil || !o.isOpen() {
		return err == nil, docstore.NotFoundAs(err, nil)
	}
	for _, lane := range lanes {
		err = errors.Join(err, s.pass(ctx, o, lane))
	}
	return err == nil, err
}

// goTo has an occurrence go to more lanes, as escalated. Where it goes already it goes as
// before.
func (s *Service) goTo(ctx context.Context, o occurrence, lanes []string) (occurrence, error) {
	more := occurrence{ID: o.ID, Event: o.Event}
	for _, lane := range lanes {
		if o.Lanes[lane] == nil {
			more.to(lane, Escalated, 0)
		}
	}
	if err := s.admit(ctx, &more); err != nil {
		return o, err
	}
	return s.occurrences.Update(ctx, o.ID, func(o *occurrence) error {
		for lane, sent := range more.Lanes {
			if o.Lanes[lane] == nil {
				o.to(lane, Escalated, 0)
				*o.Lanes[lane] = *sent
			}
		}
		return nil
	})
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
		if !o.lasts() || now.Sub(o.ReceivedAt.Time) >= keepOpen {
			err = docstore.NotFoundAs(s.occurrences.Delete(ctx, o.ID), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
