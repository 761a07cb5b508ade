package notify

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/queue"
)

// heldAlert is an occurrence that a lane is told of in a digest.
type heldAlert struct {
	ID         string        `json:"_id"`
	Lane       string        `json:"lane"`
	Occurrence string        `json:"occurrence"`
	Kind       string        `json:"kind"`
	Level      Level         `json:"level"`
	Title      language.Text `json:"title"`
	At         docstore.Time `json:"at"`
	// Over is set when it has ended, and Told when a digest has said that it began.
	Over bool `json:"over,omitempty"`
	Told bool `json:"told,omitempty"`
	// DueAt is when it is to be in a digest; zero once all is said.
	DueAt   docstore.Time `json:"due_at,omitzero"`
	Expires docstore.Time `json:"expires_at"`
}

// DocumentID is the held alert's id.
func (h heldAlert) DocumentID() string { return h.ID }

var heldSpec = docstore.Spec{Collection: "alert_digests", Of: heldAlert{}, Transient: true, Indexes: []docstore.Index{
	{Name: "by_due", Fields: []string{"lane", "due_at"}},
	{Name: "by_expiry", Fields: []string{"expires_at"}},
}}

// endsWithin is how soon a digest tells the end of what a digest has told, and how long a
// lane is left alone after each: ends may come one by one for long.
const endsWithin = time.Minute

// hold keeps an occurrence for a lane's digest.
func (s *Service) hold(ctx context.Context, o occurrence, lane string, until docstore.Time) error {
	keep := keepAlerts
	if o.lasts() {
		keep = keepOpen // its end is to be told
	}
	err := s.held.Insert(ctx, heldAlert{
		ID: idOf(o.ID, lane), Lane: lane, Occurrence: o.ID, Kind: o.Event.Kind, Level: o.Event.level(), Title: o.Event.Title,
		At: o.Event.At, Over: o.End != nil, DueAt: until, Expires: docstore.At(s.c.Now().Add(keep)),
	})
	if docstore.ConflictsOn(err, docstore.IDIndex) {
		return nil
	}
	return err
}

// endHeld notes the end of an occurrence that a digest tells of, or has told of.
func (s *Service) endHeld(ctx context.Context, o occurrence, lane string) error {
	_, err := s.held.Update(ctx, idOf(o.ID, lane), func(h *heldAlert) error {
		if h.Over {
			return docstore.ErrUnchanged
		}
		h.Over, h.Expires = true, docstore.At(s.c.Now().Add(keepAlerts))
		if h.Told {
			h.Title, h.At, h.DueAt = o.End.Title, o.End.At, docstore.At(s.c.Now().Add(endsWithin))
		}
		return nil
	})
	return docstore.NotFoundAs(err, nil) // it is no digest's
}

// due is the end of a range of what is due now: that is included.
func (s *Service) due() docstore.Time { return docstore.At(s.c.Now().Add(time.Millisecond)) }

// holdAgain is how long what a digest that was given up would have told waits for another.
const holdAgain = time.Hour

// dueHeld are the ranges of what is due on a lane: what was to be told by now, and outside
// quiet hours also what waits for longer than anything is held, which was written by a
// clock that was ahead.
func (s *Service) dueHeld(lane string) []docstore.Query {
	r, now := s.rules.Load(), s.c.Now()
	ranges := []docstore.Query{{Until: s.due()}}
	if r.quietEnd(now).IsZero() {
		longest := max(r.AtMost.Within, holdAgain, endsWithin)
		ranges = append(ranges, docstore.Query{From: docstore.At(now.Add(longest + time.Millisecond))})
	}
	for i := range ranges {
		ranges[i].Index, ranges[i].Equal, ranges[i].Limit = "by_due", []any{lane}, docstore.MaxLimit
	}
	return ranges
}

// startDigests has digests sent that are due.
func (s *Service) startDigests(ctx context.Context) error {
	var failure error
	for name := range s.rules.Load().lanes {
		failure = errors.Join(failure, s.startDigest(ctx, name))
	}
	return failure
}

// startDigest has a lane's next digest sent, if something is due. It has the lane's next
// number, by which it is one however often it is put; what is held when it has been told
// is the next one's, whenever it was to be told.
func (s *Service) startDigest(ctx context.Context, lane string) error {
	due, err := s.isHeldDue(ctx, lane)
	if err != nil || !due {
		return err
	}
	state, err := s.lanes.Get(ctx, lane)
	if docstore.NotFoundAs(err, nil) != nil {
		return err
	}
	if s.c.Now().Sub(state.DigestAt.Time).Abs() < endsWithin {
		return nil
	}
	id := idOf("digest", lane, strconv.Itoa(state.Digests))
	return s.alerts.Put(ctx, queue.Job[alert]{ID: id, Lane: lane, Args: alert{
		Key: "digest/" + id, Kind: string(Digest), State: Digest, N: state.Digests, Title: digestTitle.In(s.rules.Load().Language),
	}})
}

func (s *Service) isHeldDue(ctx context.Context, lane string) (bool, error) {
	for _, query := range s.dueHeld(lane) {
		_, err := s.held.First(ctx, query)
		if !errors.Is(err, docstore.ErrNotFound) {
			return err == nil, err
		}
	}
	return false, nil
}

// endDigest notes that a lane's digest of a number was told or given up.
func (s *Service) endDigest(ctx context.Context, lane string, n int) error {
	_, err := s.lanes.Upsert(ctx, laneState{ID: lane, Since: docstore.At(s.c.Now())}, func(l *laneState, _ bool) error {
		if l.Digests > n {
			return docstore.ErrUnchanged
		}
		l.Digests, l.DigestAt = n+1, docstore.At(s.c.Now())
		return nil
	})
	return err
}

// holdLonger gives what a digest that is given up would have told to a later one.
func (s *Service) holdLonger(ctx context.Context, lane string) error {
	held, err := s.collect(ctx, lane)
	if err != nil {
		return err
	}
	later := docstore.At(s.c.Now().Add(holdAgain))
	return s.eachRead(ctx, held, func(h *heldAlert) { h.DueAt = later })
}

// change changes held alerts, each unless it has changed since it was read: such a one
// waits for the next digest.
func (s *Service) change(ctx context.Context, read []heldRead, change func(*heldAlert)) error {
	ids := make([]string, len(read))
	for i, h := range read {
		ids[i] = h.id
	}
	again := docstore.At(s.c.Now().Add(endsWithin))
	_, errs := s.held.UpdateAll(ctx, ids, func(i int, h *heldAlert) error {
		wasOver := h.Over && !read[i].over
		change(h)
		if wasOver {
			h.DueAt = again
		}
		return nil
	})
	for i := range errs {
		errs[i] = docstore.NotFoundAs(errs[i], nil)
	}
	return errors.Join(errs...)
}

// deliverDigest tells what a lane's digest holds by now. When it has been sent and that
// wasn't noted, what it held is in the next attempt, with the same ID.
func (s *Service) deliverDigest(ctx context.Context, l *lane, job queue.Job[alert]) error {
	state, err := s.lanes.Get(ctx, l.name)
	if docstore.NotFoundAs(err, nil) != nil {
		return err
	}
	digest, err := s.collect(ctx, l.name)
	if err != nil {
		return err
	}
	if state.Digests > job.Args.N || digest.count == 0 { // it was told, or is another's now
		return errors.Join(s.endDigest(ctx, l.name, job.Args.N), s.alerts.Delete(ctx, job.ID))
	}
	if err := s.send(ctx, l, job, s.digestMessage(l, job.ID, digest)); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if err := s.toldDigest(ctx, digest); err != nil {
		return err
	}
	return s.endDigest(ctx, l.name, job.Args.N)
}

// digest is what is told in one message.
type digest struct {
	count, over int
	kinds       map[string]int
	worst       Level
	first       time.Time
	lines       []heldAlert // the worst, and of those the first
	read        []heldRead
}

// heldRead is what is remembered of each held alert in a digest: there may be many.
type heldRead struct {
	id   string
	over bool
}

// Bounds of a digest: what it has a line for, and what it counts. What is more is the
// next one's.
const (
	maxLines = 15
	maxCount = 200_000
)

func (s *Service) collect(ctx context.Context, lane string) (digest, error) {
	d := digest{kinds: map[string]int{}, worst: Info}
	for _, query := range s.dueHeld(lane) {
		for h, err := range s.held.All(ctx, query) {
			if err != nil || d.count == maxCount {
				return d, err
			}
			d.add(h)
		}
	}
	return d, nil
}

// add counts a held alert.
func (d *digest) add(h heldAlert) {
	d.count++
	d.kinds[h.Kind]++
	if h.Over {
		d.over++
	}
	if slices.Index(levels, h.Level) > slices.Index(levels, d.worst) {
		d.worst = h.Level
	}
	if d.first.IsZero() || h.At.Before(d.first) {
		d.first = h.At.Time
	}
	d.lines = append(d.lines, h)
	if len(d.lines) > 2*maxLines {
		d.cut()
	}
	d.read = append(d.read, heldRead{h.ID, h.Over})
}

// cut keeps the lines that a digest has.
func (d *digest) cut() {
	slices.SortStableFunc(d.lines, func(a, b heldAlert) int {
		return cmp.Or(-cmp.Compare(slices.Index(levels, a.Level), slices.Index(levels, b.Level)), a.At.Compare(b.At.Time))
	})
	d.lines = d.lines[:min(len(d.lines), maxLines)]
}

// toldDigest notes what a receiver has taken.
func (s *Service) toldDigest(ctx context.Context, d digest) error {
	return s.eachRead(ctx, d, func(h *heldAlert) { h.Told, h.DueAt = true, docstore.Time{} })
}

// eachRead changes what a digest holds, page by page.
func (s *Service) eachRead(ctx context.Context, d digest, change func(*heldAlert)) error {
	for page := range slices.Chunk(d.read, docstore.MaxLimit) {
		if err := s.change(ctx, page, change); err != nil {
			return err
		}
	}
	return nil
}
