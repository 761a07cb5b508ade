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

// endsWithin is how soon a digest tells the end of what a digest has told.
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

// startDigests has digests sent that are due.
func (s *Service) startDigests(ctx context.Context) error {
	r := s.rules.Load()
	var failure error
	for name := range r.lanes {
		first, err := s.held.First(ctx, docstore.Query{Index: "by_due", Equal: []any{name}, Until: s.due()})
		if err == nil {
			id := idOf("digest", name, first.DueAt.UTC().Format(time.RFC3339Nano))
			err = s.alerts.Put(ctx, queue.Job[alert]{ID: id, Lane: name, Args: alert{
				Key: "digest/" + id, Kind: string(Digest), State: Digest, Title: digestTitle.In(r.Language),
			}})
		}
		failure = errors.Join(failure, docstore.NotFoundAs(err, nil))
	}
	return failure
}

// holdLonger gives what a digest that was given up would have told to a later one.
func (s *Service) holdLonger(ctx context.Context, lane string) error {
	later := docstore.At(s.c.Now().Add(time.Hour))
	return s.eachDue(ctx, lane, func(h *heldAlert) { h.DueAt = later })
}

// eachDue changes what is due on a lane, so that it isn't any more.
func (s *Service) eachDue(ctx context.Context, lane string, change func(*heldAlert)) error {
	for {
		page, _, err := s.held.Find(ctx, docstore.Query{Index: "by_due", Equal: []any{lane}, Until: s.due(), Limit: docstore.MaxLimit})
		if err != nil || len(page) == 0 {
			return err
		}
		if err := s.change(ctx, page, change); err != nil {
			return err
		}
	}
}

// change changes held alerts, each unless it has changed since it was read: such a one
// waits for the next digest.
func (s *Service) change(ctx context.Context, read []heldAlert, change func(*heldAlert)) error {
	ids := make([]string, len(read))
	for i, h := range read {
		ids[i] = h.ID
	}
	again := docstore.At(s.c.Now().Add(endsWithin))
	_, errs := s.held.UpdateAll(ctx, ids, func(i int, h *heldAlert) error {
		wasOver := h.Over && !read[i].Over
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
	digest, err := s.collect(ctx, l.name)
	if err != nil {
		return err
	}
	if digest.count == 0 {
		return s.alerts.Delete(ctx, job.ID) // another has told it
	}
	if err := s.send(ctx, l, job, s.digestMessage(l, job.ID, digest)); err != nil {
		return err
	}
	return s.toldDigest(context.WithoutCancel(ctx), digest)
}

// digest is what is told in one message.
type digest struct {
	count, over int
	kinds       map[string]int
	worst       Level
	first, last time.Time
	lines       []heldAlert // the worst, and of those the first
	read        []heldAlert
}

// Bounds of a digest: what it has a line for, and what it counts. What is more is the
// next one's.
const (
	maxLines = 15
	maxCount = 200_000
)

func (s *Service) collect(ctx context.Context, lane string) (digest, error) {
	d := digest{kinds: map[string]int{}, worst: Info}
	for h, err := range s.held.All(ctx, docstore.Query{Index: "by_due", Equal: []any{lane}, Until: s.due(), Limit: docstore.MaxLimit}) {
		if err != nil {
			return d, err
		}
		if d.add(h); d.count == maxCount {
			break
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
	if h.At.After(d.last) {
		d.last = h.At.Time
	}
	d.lines = append(d.lines, h)
	if len(d.lines) > 2*maxLines {
		d.cut()
	}
	d.read = append(d.read, heldAlert{ID: h.ID, Over: h.Over})
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
	for page := range slices.Chunk(d.read, docstore.MaxLimit) {
		if err := s.change(ctx, page, func(h *heldAlert) { h.Told, h.DueAt = true, docstore.Time{} }); err != nil {
			return err
		}
	}
	return nil
}
