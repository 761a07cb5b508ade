package notify

import (
	"context"
	"errors"
	"sync"
	"time"

	"manus/docstore"
	"manus/language"
)

// TellNow sends an event at once to where it would go, without the store: for what tells
// that the store is gone. It is sent as often as it is told, in quiet hours too, and is
// listed nowhere. It returns nil when a receiver has taken it, else their errors, or
// ErrNoAlert where there is no channel.
func (s *Service) TellNow(ctx context.Context, e Event) error {
	r := s.rules.Load()
	o := r.unkept(e.bounded(), s.c.Now())
	lanes := make([]*lane, 0, len(o.Lanes))
	for name := range o.Lanes {
		lanes = append(lanes, r.lanes[name])
	}
	say := Raised
	if e.Over {
		say = Over
	}
	return s.atOnce(ctx, lanes, func(l *lane) Message {
		m := s.message(l, 0, e.At.Time, o, say)
		m.Acknowledge = "" // nobody knows of it
		return m
	}, nil)
}

// unkept is an event as the occurrence that it would be, of which nothing is kept. That of
// an end counts as told where it would have been.
func (r *routing) unkept(e Event, now time.Time) occurrence {
	o := occurrence{ID: idOf(e.Key()), Event: e, ReceivedAt: docstore.At(now)}
	r.plan(&o)
	if e.Over {
		end := e
		end.Title = language.Text{} // it is the message's: that of the beginning isn't known
		o.End, o.Ended, o.Escalations = &end, e.At, nil
		for _, sent := range o.Lanes {
			sent.Told = Raised
		}
	}
	return o
}

// TestNow sends a test on a channel, or on all when channel is empty, and says for each
// part how that went; where there is a store, what was delivered is noted as any delivery is. It
// returns ErrNoAlert when there is no such channel.
func (s *Service) TestNow(ctx context.Context, channel string, tell func(lane string, err error)) error {
	return s.atOnce(ctx, s.lanesToTest(channel), func(l *lane) Message { return s.testMessage(l, docstore.NewID()) }, func(l *lane, err error) {
		if err == nil && s.c.Store != nil {
			s.proved(ctx, l)
		}
		tell(l.name, err)
	})
}

// atOnce sends on several lanes at the same time.
func (s *Service) atOnce(ctx context.Context, lanes []*lane, message func(*lane) Message, tell func(*lane, error)) error {
	if len(lanes) == 0 {
		return ErrNoAlert
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	errs := make([]error, len(lanes))
	var sending sync.WaitGroup
	for i, l := range lanes {
		sending.Go(func() { errs[i] = l.Send(ctx, message(l)) })
	}
	sending.Wait()
	taken := false
	for i, l := range lanes {
		taken = taken || errs[i] == nil
		if tell != nil {
			tell(l, errs[i])
		}
	}
	if taken && tell == nil {
		return nil
	}
	return errors.Join(errs...)
}
