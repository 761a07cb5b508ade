package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"manus/docstore"
	"manus/queue"
)

// entry is a message's place in the feed, which is the order in which the messages of all
// sessions became known to workers. Of one session that is the order of its log. An entry
// never changes; what the message says stands in its event alone, so it goes with that.
type entry struct {
	ID      string        `json:"_id"` // see placeID
	EventID string        `json:"event_id"`
	At      docstore.Time `json:"at"`
}

// DocumentID is the entry's place.
func (e entry) DocumentID() string { return e.ID }

func (e entry) place() int64 {
	place, _ := strconv.ParseInt(e.ID, 10, 64) // made by placeID
	return place
}

// placeID makes ids that sort as places do, and which no two entries can have.
func placeID(place int64) string { return fmt.Sprintf("%016d", place) }

const feedByEvent = "by_event"

var feedSpec = docstore.Spec{Collection: "work_feed", Of: entry{}, Transient: true, Indexes: []docstore.Index{
	{Name: feedByEvent, Fields: []string{"event_id"}, Unique: true},
	{Name: "by_time", Fields: []string{"at"}},
}}

const (
	// feedKept is how long messages can be read in the feed.
	feedKept = 30 * 24 * time.Hour
	// relayEvery is how often it is looked for messages that a copy was killed with, and
	// staleAfter when a message is one of them rather than on its way.
	relayEvery = time.Second
	staleAfter = 3 * time.Second
	// relayed is of how many sessions messages are brought to the feed at a time.
	relayed = 128
)

// relay is which sessions have messages that this copy is to bring to the feed.
type relay struct {
	mu       sync.Mutex
	sessions map[string]bool
	wake     chan struct{}
}

func newRelay() *relay { return &relay{sessions: map[string]bool{}, wake: make(chan struct{}, 1)} }

func (r *relay) note(sessionID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[sessionID] = true
	r.signal()
}

func (r *relay) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take takes some of the sessions.
func (r *relay) take() (some []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.sessions {
		if len(some) == relayed {
			r.signal()
			break
		}
		some = append(some, id)
		delete(r.sessions, id)
	}
	return some
}

// Run brings new messages to the feed until ctx ends. Several copies of the program may
// run it. A message is marked as unfed by the same insertion that makes it, so whatever is
// killed, one of the copies finds it.
func (s *Service) Run(ctx context.Context) {
	look := time.NewTicker(relayEvery)
	defer look.Stop()
	failing := false
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-s.relay.wake:
			err = s.relayAll(ctx, s.relay.take())
		case <-look.C:
			err = s.relayStale(ctx)
		}
		if err != nil && !failing && ctx.Err() == nil {
			s.c.Log.ErrorContext(ctx, "messages can't be brought to workers; it will be tried again", "error", err)
		}
		failing = err != nil
	}
}

// relayStale relays what was left behind.
func (s *Service) relayStale(ctx context.Context) error {
	now := s.now()
	sessions := map[string]bool{}
	for _, stale := range []docstore.Query{
		{Index: "by_unfed", Until: docstore.At(now.Add(-staleAfter)), Limit: relayed},
		{Index: "by_unfed", From: docstore.At(now.Add(staleAfter)), Limit: relayed}, // the clock was set back since
	} {
		found, _, err := s.events.Find(ctx, stale)
		if err != nil {
			return err
		}
		for _, e := range found {
			sessions[e.SessionID] = true
		}
	}
	return s.relayAll(ctx, slices.Collect(maps.Keys(sessions)))
}

// relayAll brings the sessions' messages to the feed: each gets its place there, then the
// session is to be worked at, then the message isn't unfed any more. Each step may be done
// again, by another copy at the same time too.
func (s *Service) relayAll(ctx context.Context, sessions []string) error {
	var unfed []Event
	for _, id := range sessions {
		some, err := s.unfedOf(ctx, id)
		if err != nil {
			return err
		}
		unfed = append(unfed, some...)
	}
	if len(unfed) == 0 {
		return nil
	}
	slices.SortStableFunc(unfed, func(a, b Event) int { // of one session the order stays: it is stable by its ids
		if a.SessionID == b.SessionID {
			return cmp.Compare(a.Seq, b.Seq)
		}
		return cmp.Compare(a.SessionID, b.SessionID)
	})
	if err := s.giveFeedPlaces(ctx, unfed); err != nil {
		return err
	}
	if err := s.raise(ctx, unfed); err != nil {
		return err
	}
	ids := make([]string, len(unfed))
	for i, e := range unfed {
		ids[i] = e.ID
	}
	_, errs := s.events.UpdateAll(ctx, ids, func(_ int, e *Event) error {
		if e.UnfedAt.IsZero() {
			return docstore.ErrUnchanged
		}
		e.UnfedAt = docstore.Time{}
		return nil
	})
	for i := range errs {
		errs[i] = docstore.NotFoundAs(errs[i], nil) // its session has been deleted
	}
	s.grown(feedTopic)
	s.grown(workTopic)
	return errors.Join(errs...)
}

// unfedOf are a session's messages that have not been brought to the feed, in order. What
// is before one that has been, has been too.
func (s *Service) unfedOf(ctx context.Context, sessionID string) (unfed []Event, err error) {
	for e, err := range s.events.All(ctx, docstore.Query{Index: "by_message", Equal: []any{sessionID}, Descending: true, Limit: 8}) {
		if err != nil {
			return nil, err
		}
		if e.UnfedAt.IsZero() {
			break
		}
		unfed = append(unfed, e)
	}
	slices.Reverse(unfed)
	return unfed, nil
}

// giveFeedPlaces appends messages to the feed, those that aren't there. As in a session's
// log, whoever is slower finds the place taken and tries the next one; so a reader never
// misses one that comes to stand before what was read already.
func (s *Service) giveFeedPlaces(ctx context.Context, unfed []Event) error {
	for range maxTries {
		if len(unfed) == 0 {
			return nil
		}
		last, err := s.feed.First(ctx, docstore.Query{Descending: true})
		if docstore.NotFoundAs(err, nil) != nil {
			return err
		}
		entries := make([]entry, len(unfed))
		for i, e := range unfed {
			entries[i] = entry{placeID(last.place() + int64(i) + 1), e.ID, docstore.At(s.now())}
		}
		if err = s.feed.Insert(ctx, entries...); !errors.Is(err, docstore.ErrConflict) {
			return err
		}
		if unfed, err = s.notInFeed(ctx, unfed); err != nil {
			return err
		}
	}
	return ErrContended
}

func (s *Service) notInFeed(ctx context.Context, events []Event) (missing []Event, err error) {
	for _, e := range events {
		_, err := s.feed.First(ctx, docstore.Query{Index: feedByEvent, Equal: []any{e.ID}})
		if errors.Is(err, docstore.ErrNotFound) {
			missing = append(missing, e)
		} else if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// raise has workers know of messages.
func (s *Service) raise(ctx context.Context, messages []Event) error {
	first, last := map[string]int64{}, map[string]int64{}
	var jobs []queue.Job[task]
	for _, e := range messages {
		if _, there := first[e.SessionID]; !there {
			first[e.SessionID] = e.Seq
			jobs = append(jobs, queue.Job[task]{ID: e.SessionID, Lane: workLane})
		}
		last[e.SessionID] = e.Seq
	}
	return errors.Join(s.work.RaiseAll(ctx, jobs, func(i int, t *task) bool {
		id := jobs[i].ID
		return t.learn(first[id], last[id])
	})...)
}

// fed is a message and its place in the feed.
type fed struct {
	Event
	place int64
}

// readFeed returns messages after a place in the feed, the place that was looked at last,
// and whether there is more. Of sessions that have been deleted there is nothing.
func (s *Service) readFeed(ctx context.Context, after int64, limit int) (found []fed, last int64, more bool, err error) {
	entries, next, err := s.feed.Find(ctx, docstore.Query{From: placeID(after + 1), Limit: limit})
	if err != nil || len(entries) == 0 {
		return nil, after, false, err
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.EventID
	}
	events, err := s.events.GetAll(ctx, ids...)
	for _, e := range entries {
		if event, there := events[e.EventID]; there {
			found = append(found, fed{event, e.place()})
		}
	}
	return found, entries[len(entries)-1].place(), next != "", err
}

// sweepFeed removes old entries, but for the last one, which the next one follows.
func (s *Service) sweepFeed(ctx context.Context) error {
	newest, err := s.feed.First(ctx, docstore.Query{Index: "by_time", Until: docstore.At(s.now().Add(-feedKept)), Descending: true})
	if err != nil {
		return docstore.NotFoundAs(err, nil)
	}
	last, err := s.feed.First(ctx, docstore.Query{Descending: true})
	if err != nil {
		return docstore.NotFoundAs(err, nil)
	}
	_, err = s.feed.DeleteAll(ctx, docstore.Query{Until: min(placeID(newest.place()+1), last.ID)})
	return err
}
