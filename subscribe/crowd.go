package subscribe

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"manus/docstore"
	"manus/queue"
)

// crowd is how many requests are under way to each host.
type crowd struct {
	mu sync.Mutex
	at map[string]int
}

// census is how many subscribers there are, as they were counted a while ago.
type census struct {
	mu      sync.Mutex
	full    bool
	waiting int // to be confirmed
	counted time.Time
}

// atHost is how many requests may be under way to a host: one that hangs leaves room for others.
const atHost = atOnce / 4

// enter makes a request be under way to a host; false where there are too many.
func (c *crowd) enter(host string) (leave func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[string]int{}
	}
	if c.at[host] >= atHost {
		return nil, false
	}
	c.at[host]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.at[host]--; c.at[host] == 0 {
			delete(c.at, host)
		}
	}, true
}

var errBusy = errors.New("as much is sent to the receiver's host already as may be at a time")

// tellReceiver posts a notice. A receiver that takes too long is told beside others from then on, so
// that none waits for it; it gets the notice again, with the same id.
func (s *Service) tellReceiver(ctx context.Context, job queue.Job[delivery], sub Subscriber, p private, e event) error {
	host := p.URL
	if u, err := url.Parse(p.URL); err == nil {
		host = u.Host
	}
	leave, ok := s.crowd.enter(host)
	if !ok {
		return queue.Snooze(errBusy, time.Second)
	}
	defer leave()
	began, within := time.Now(), patience
	if job.Lane != laneSlow {
		within = s.c.quick
	}
	timed, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := s.post(timed, p, job.Args.Ref.key()+"/"+sub.ID, e)
	switch {
	case errors.Is(err, errSlow) && job.Lane != laneSlow && ctx.Err() == nil:
		if err := s.isSlow(ctx, sub.ID, true); err != nil {
			return err
		}
		return s.deliveries.Put(ctx, queue.Job[delivery]{ID: job.ID + "/slow", Lane: laneSlow, Group: job.Group, Args: job.Args})
	case err == nil && sub.Slow && time.Since(began) < s.c.quick:
		return s.isSlow(ctx, sub.ID, false)
	}
	return err
}

func (s *Service) isSlow(ctx context.Context, id string, slow bool) error {
	_, err := s.subscribers.Update(ctx, id, func(sub *Subscriber) error {
		if sub.Slow == slow {
			return docstore.ErrUnchanged
		}
		sub.Slow = slow
		return nil
	})
	if errors.Is(err, docstore.ErrUnchanged) {
		return nil
	}
	return docstore.NotFoundAs(err, nil)
}

// isFull tells whether there is no room for one more subscriber. One that is there already needs none.
func (s *Service) isFull(ctx context.Context, id string) (bool, error) {
	if _, err := s.subscribers.Get(ctx, id); !errors.Is(err, docstore.ErrNotFound) {
		return false, err
	}
	full, waiting, err := s.room(ctx)
	if err != nil || full {
		return full, err
	}
	if waiting >= s.c.mostWaiting {
		if waiting, err = s.makeRoom(ctx, waiting); err != nil {
			return false, err
		}
	}
	s.census.mu.Lock()
	defer s.census.mu.Unlock()
	s.census.waiting = waiting + 1
	return false, nil
}

// room tells whether there are as many subscribers as there may be, and how many wait to be confirmed, by a
// count of a while ago.
func (s *Service) room(ctx context.Context) (full bool, waiting int, err error) {
	c := &s.census
	c.mu.Lock()
	defer c.mu.Unlock()
	now := s.c.Now()
	if !c.counted.IsZero() && now.Sub(c.counted).Abs() < recount {
		return c.full, c.waiting, nil
	}
	n, err := s.counted(ctx, byConfirmed, s.c.most)
	if err == nil {
		c.waiting, err = s.counted(ctx, byExpiry, s.c.mostWaiting)
	}
	if err != nil {
		return false, 0, err
	}
	if c.full, c.counted = n >= s.c.most, now; c.full {
		s.c.Log.WarnContext(ctx, "there are as many subscribers as there may be; nobody new is asked whether they want to be told", "subscribers", n)
	}
	return c.full, c.waiting, nil
}

// counted is how many are in an index, up to a number.
func (s *Service) counted(ctx context.Context, index string, most int) (n int, err error) {
	for _, err := range s.subscribers.All(ctx, docstore.Query{Index: index}) {
		if err != nil || n == most {
			return n, err
		}
		n++
	}
	return n, nil
}
