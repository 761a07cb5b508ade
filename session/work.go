package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"manus/docstore"
	"manus/identity"
	"manus/queue"
)

// task is what is to be done for one session: its messages, one after the other. It is
// the args of the session's job in the queue of work, so it is in one worker's hands at a
// time, and with it the message that is the next.
type task struct {
	Next int64 `json:"next,omitempty"` // place of the message to be done next; 0 when none waits
	Last int64 `json:"last"`           // of the last message that is known
	Done int64 `json:"done"`           // of the last one that has been done
	// DoneBy is the claim under which that was done: so it can be told again.
	DoneBy string `json:"done_by,omitempty"`
}

// learn notes messages from first to last, and tells whether any is to be done.
func (t *task) learn(first, last int64) bool {
	t.Last = max(t.Last, last)
	if t.Next == 0 && last > t.Done {
		t.Next = max(first, t.Done+1)
	}
	return t.Next != 0
}

const (
	workLane = "messages"
	// workRemembered is how long it is known what a session's last message was that was
	// done, so that a message that is relayed late isn't done again.
	workRemembered = 7 * 24 * time.Hour

	// Bounds of a claim.
	maxClaimed   = 100
	minLease     = time.Second
	maxLease     = 30 * time.Minute
	maxClaimWait = 20 * time.Second
	claimPoll    = time.Second

	// maxReleaseWait is when the latest a message that was given back is to be had again.
	maxReleaseWait = time.Minute
)

const workCollection = "work"

var workSpec = queue.Spec[task](workCollection)

// Errors of work.
var (
	errNoWork    = errors.New("there is no such message")
	errLeaseLost = errors.New("the message isn't in the worker's hands")
)

// Claimed is a message in a worker's hands.
type Claimed struct {
	Event
	Owner   string
	Attempt int
	Lease   string
	Until   time.Time
}

// workID names a message outside: a session and a place in its log.
func workID(e Event) string { return e.SessionID + "." + strconv.FormatInt(e.Seq, 10) }

// parseWorkID is its opposite; errNoWork for what isn't one.
func parseWorkID(id string) (sessionID string, seq int64, err error) {
	sessionID, place, ok := strings.Cut(id, ".")
	seq, err = strconv.ParseInt(place, 10, 64)
	if !ok || err != nil || seq < 1 || seq > maxEvents || sessionID == "" || id != sessionID+"."+strconv.FormatInt(seq, 10) {
		return "", 0, errNoWork
	}
	return sessionID, seq, nil
}

// A claim is the worker's key and a lease of that, so that workers who have one key are
// told apart by their lease, and a lease is worth nothing under another key.
func claimOf(keyID, lease string) string { return keyID + "." + lease }

// holds tells whether a claim is the worker's. One that says no lease is known by its key.
func holds(claim, keyID, lease string) bool {
	if lease == "" {
		return strings.HasPrefix(claim, keyID+".")
	}
	return claim != "" && claim == claimOf(keyID, lease)
}

// Claim gives at most limit messages into a worker's hands, one of a session at a time, in
// the order of its log. While there is none it waits, for so long.
func (s *Service) Claim(ctx context.Context, worker identity.Caller, limit int, lasting, wait time.Duration) ([]Claimed, error) {
	poked, leave, err := s.streams.enter(worker, workTopic)
	if err != nil {
		return nil, err
	}
	defer leave()
	poll, enough := time.NewTicker(claimPoll), time.NewTimer(wait)
	defer poll.Stop()
	defer enough.Stop()
	for {
		claimed, again, err := s.claimOnce(ctx, worker, limit, lasting)
		if err != nil || len(claimed) > 0 || wait <= 0 && !again {
			return claimed, err
		}
		if again {
			continue
		}
		select {
		case <-poked:
		case <-poll.C:
		case <-enough.C:
			return nil, nil
		case <-s.streams.closing:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// claimOnce claims what there is. again is true when all of that was of sessions that are
// over, and more may follow.
func (s *Service) claimOnce(ctx context.Context, worker identity.Caller, limit int, lasting time.Duration) (claimed []Claimed, again bool, err error) {
	lent, err := s.work.Lend(ctx, workLane, limit, lasting, func() string { return claimOf(worker.KeyID, docstore.NewID()) })
	if err != nil || len(lent) == 0 {
		return nil, false, err
	}
	messages, sessions := make([]string, len(lent)), make([]string, len(lent))
	for i, l := range lent {
		messages[i], sessions[i] = eventID(l.ID, l.Args.Next), l.ID
	}
	events, err := s.events.GetAll(ctx, messages...)
	if err != nil {
		return nil, false, err
	}
	owners, err := s.sessions.GetAll(ctx, sessions...)
	if err != nil {
		return nil, false, err
	}
	for i, l := range lent {
		owner, live := owners[l.ID]
		event, there := events[messages[i]]
		if !live || !there || owner.DeletedAt != nil || owner.Status == Stopped {
			if err := s.work.Delete(ctx, l.ID); err != nil { // nothing can be answered there
				return nil, false, err
			}
			continue
		}
		_, lease, _ := strings.Cut(l.Claim, ".")
		claimed = append(claimed, Claimed{Event: event, Owner: owner.UserID, Attempt: l.Attempt, Lease: lease, Until: l.Until})
	}
	slices.SortFunc(claimed, func(a, b Claimed) int { return a.CreatedAt.Compare(b.CreatedAt.Time) })
	return claimed, len(claimed) == 0, nil
}

// Finish tells that a message has been done: the session's next one can be had. The same
// told again is nil. It returns errNoWork, or errLeaseLost when the message isn't in the
// worker's hands any more.
func (s *Service) Finish(ctx context.Context, worker identity.Caller, id, lease string) error {
	sessionID, seq, err := parseWorkID(id)
	if err != nil {
		return err
	}
	for range maxTries {
		next, err := s.messageAfter(ctx, sessionID, seq)
		if err != nil {
			return err
		}
		more, err := s.finish(ctx, worker, sessionID, seq, next, lease)
		if errors.Is(err, errOlder) { // a message has come in between
			continue
		}
		if more && err == nil {
			s.grown(workTopic)
		}
		return err
	}
	return errLeaseLost // the log is being deleted
}

// errOlder is that what was read of a log is older than what the task knows.
var errOlder = errors.New("the log has grown")

// messageAfter is the place of a session's next message, 0 for none.
func (s *Service) messageAfter(ctx context.Context, sessionID string, seq int64) (int64, error) {
	next, err := s.events.First(ctx, docstore.Query{Index: "by_message", Equal: []any{sessionID}, From: seq + 1})
	return next.Seq, docstore.NotFoundAs(err, nil)
}

func (s *Service) finish(ctx context.Context, worker identity.Caller, sessionID string, seq, next int64, lease string) (more bool, err error) {
	err = s.work.Settle(ctx, sessionID, func(t *task, _ int, claim string) (queue.Settlement, error) {
		switch {
		case t.Done == seq && t.Next != seq && holds(t.DoneBy, worker.KeyID, lease):
			return queue.Settlement{}, docstore.ErrUnchanged
		case t.Next != seq || !holds(claim, worker.KeyID, lease):
			return queue.Settlement{}, errLeaseLost
		case next == 0 && t.Last > seq:
			return queue.Settlement{}, errOlder
		}
		more = next != 0
		t.Done, t.DoneBy, t.Next, t.Last = seq, claim, next, max(t.Last, next)
		return queue.Settlement{Done: !more, Fresh: more}, nil
	})
	return more, lost(err)
}

// Release gives a message back, for another worker to have, or returns errors as Finish.
// One that comes back again and again waits a little longer each time.
func (s *Service) Release(ctx context.Context, worker identity.Caller, id, lease string) error {
	sessionID, seq, err := parseWorkID(id)
	if err != nil {
		return err
	}
	err = s.work.Settle(ctx, sessionID, func(t *task, attempt int, claim string) (queue.Settlement, error) {
		if t.Next != seq || !holds(claim, worker.KeyID, lease) {
			return queue.Settlement{}, errLeaseLost
		}
		return queue.Settlement{Wait: releaseWait(attempt)}, nil
	})
	if err == nil {
		s.grown(workTopic)
	}
	return lost(err)
}

// releaseWait is nothing the first time, then 1 s, 2 s, 4 s and so on.
func releaseWait(attempt int) time.Duration {
	if attempt < 2 {
		return 0
	}
	return min(time.Second<<min(attempt-2, 10), maxReleaseWait)
}

// lost is errLeaseLost for what isn't lent, as of a session that has been deleted.
func lost(err error) error {
	if errors.Is(err, queue.ErrNotLent) {
		return fmt.Errorf("%w: %w", errLeaseLost, err)
	}
	return err
}
