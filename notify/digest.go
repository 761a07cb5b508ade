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

// heldAlert is an occurrence that a lane is told of in digests: in one that it began, and
// where that was told, in another that it is over.
type heldAlert struct {
	ID         string `json:"_id"`
	Lane       string `json:"lane"`
	Occurrence string `json:"occurrence"`
	Kind       string `json:"kind"`
	// Subject and Before are those of an issue's event.
	Subject string        `json:"subject,omitempty"`
	Before  int64         `json:"before,omitempty"`
	Level   Level         `json:"level"`
	Title   language.Text `json:"title"`
	At      docstore.Time `json:"at"`
	// Over is set when it has ended, and Ended is when it did.
	Over  bool          `json:"over,omitempty"`
	Ended docstore.Time `json:"ended_at,omitzero"`
	// Digest is the one that it was taken into last. Began is the one before that, which
	// has told that it began, so that Digest tells of its end.
	Digest string `json:"digest,omitempty"`
	Began  string `json:"began_in,omitempty"`
	// DueAt is when it is to be taken into a digest, and HeldAt since when it waits for
	// that; zero while there is nothing more to say.
	DueAt   docstore.Time `json:"due_at,omitzero"`
	HeldAt  docstore.Time `json:"held_at,omitzero"`
	Expires docstore.Time `json:"expires_at"`
}

// DocumentID is the held alert's id.
func (h heldAlert) DocumentID() string { return h.ID }

var heldSpec = docstore.Spec{Collection: "alert_digests", Of: heldAlert{}, Transient: true, Indexes: []docstore.Index{
	{Name: "by_due", Fields: []string{"lane", "due_at"}},
	{Name: "by_held", Fields: []string{"held_at"}},
	{Name: "by_digest", Fields: []string{"digest"}},
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
	h := heldAlert{
		ID: idOf(o.ID, lane), Lane: lane, Occurrence: o.ID, Kind: o.Event.Kind, Level: o.Event.level(), Title: o.Event.Title,
		At: o.Event.At, Over: o.End != nil, Ended: o.Ended, DueAt: until, HeldAt: docstore.At(s.c.Now()), Expires: docstore.At(s.c.Now().Add(keep)),
	}
	if kindOf(h.Kind).OfPrograms && s.c.Issue != nil {
		h.Subject, h.Before = o.Event.Subject, o.Event.Before
	}
	err := s.held.Insert(ctx, h)
	if docstore.ConflictsOn(err, docstore.IDIndex) {
		return nil
	}
	return err
}

// endHeld notes the end of an occurrence that a digest tells of, or has told of. That one
// may have been sent without anybody knowing, so that another tells the end.
func (s *Service) endHeld(ctx context.Context, o occurrence, lane string) error {
	_, err := s.held.Update(ctx, idOf(o.ID, lane), func(h *heldAlert) error {
		if h.Over {
			return docstore.ErrUnchanged
		}
		now := s.c.Now()
		h.Over, h.Ended, h.Expires = true, o.Ended, docstore.At(now.Add(keepAlerts))
		if h.Digest != "" {
			h.wait(now, endsWithin)
		}
		return nil
	})
	return docstore.NotFoundAs(err, nil) // it is no digest's
}

// wait has it taken into a digest after a while.
func (h *heldAlert) wait(now time.Time, d time.Duration) {
	h.DueAt, h.HeldAt = docstore.At(now.Add(d)), docstore.At(now)
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
		ranges[i].Index, ranges[i].Equal, ranges[i].Limit = "by_due", []any{lane}, digestPage
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

// giveUpDigest gives what a digest that wasn't told holds to a later one.
func (s *Service) giveUpDigest(ctx context.Context, job queue.Job[alert]) error {
	state, err := s.lanes.Get(ctx, job.Lane)
	if state.Digests > job.Args.N || docstore.NotFoundAs(err, nil) != nil {
		return err // it was told
	}
	for {
		held, _, err := s.held.Find(ctx, inDigest(job.ID))
		if err != nil {
			return err
		}
		if len(held) == 0 {
			return s.endDigest(ctx, job.Lane, job.Args.N)
		}
		err = s.changeAll(ctx, held, func(h *heldAlert) error {
			if h.Digest != job.ID {
				return docstore.ErrUnchanged
			}
			h.Digest, h.Began = h.Began, ""
			h.wait(s.c.Now(), holdAgain)
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// changeAll changes held alerts, each by itself.
func (s *Service) changeAll(ctx context.Context, held []heldAlert, change func(*heldAlert) error) error {
	ids := make([]string, len(held))
	for i, h := range held {
		ids[i] = h.ID
	}
	_, errs := s.held.UpdateAll(ctx, ids, func(_ int, h *heldAlert) error { return change(h) })
	for i := range errs {
		errs[i] = docstore.NotFoundAs(errs[i], nil)
	}
	return errors.Join(errs...)
}

// deliverDigest tells what a lane's digest holds. That is settled before the first
// attempt: whatever comes in between, the next one holds the same and has the same ID, by
// which the receiver may drop it. What has ended meanwhile is told as such, and again by
// the next digest, as an attempt that said otherwise may have been taken.
func (s *Service) deliverDigest(ctx context.Context, l *lane, job queue.Job[alert]) error {
	state, err := s.lanes.Get(ctx, l.name)
	if docstore.NotFoundAs(err, nil) != nil {
		return err
	}
	past := state.Digests > job.Args.N // it was told or given up
	holds, err := s.putTogether(ctx, job, past)
	switch {
	case err != nil:
		return err
	case holds.count == 0:
		return errors.Join(s.endDigest(ctx, l.name, job.Args.N), s.alerts.Delete(ctx, job.ID))
	case past:
		return nil
	}
	m, err := s.digestMessage(ctx, l, job, holds)
	if err != nil {
		return err
	}
	if err := s.send(ctx, l, job, m); err != nil {
		return err
	}
	return s.endDigest(context.WithoutCancel(ctx), l.name, job.Args.N)
}

// putTogether fills a digest that isn't past, if that hasn't been done, and counts what it
// holds. A process does that for one lane after another: it reads much.
func (s *Service) putTogether(ctx context.Context, job queue.Job[alert], past bool) (digest, error) {
	select {
	case s.digests <- struct{}{}:
		defer func() { <-s.digests }()
	case <-ctx.Done():
		return digest{}, ctx.Err()
	case <-time.After(digestPatience):
		return digest{}, queue.Snooze(errors.New("the digests of other channels are being put together"), time.Second)
	}
	if !past && !job.Args.Filled {
		if err := s.fillDigest(ctx, job); err != nil {
			return digest{}, err
		}
	}
	return s.collect(ctx, job.ID)
}

// Bounds of a digest: what it has a line for, and how much it holds. What is more is the
// next one's. fillTime is how long an attempt fills it, and digestPatience how long it
// waits until other lanes' are filled. digestPage is how much is read and changed at once.
const (
	maxLines       = 15
	maxCount       = 200_000
	fillTime       = sendTimeout / 2
	digestPatience = sendTimeout / 6
	digestPage     = 250
)

// fillDigest takes what is due on a lane into a digest, and notes when it is whole. What
// takes longer goes on a second later.
func (s *Service) fillDigest(ctx context.Context, job queue.Job[alert]) error {
	n, all, err := s.fillFor(ctx, job, fillTime)
	if err != nil {
		return err
	}
	all = all || job.Args.Holds+n >= maxCount
	err = s.alerts.Update(ctx, job.ID, func(a *alert) { a.Holds, a.Filled = job.Args.Holds+n, all })
	if err == nil && !all {
		err = queue.Snooze(errors.New("what the digest holds is still being put together"), time.Second)
	}
	return err
}

// fillFor takes what is due into a digest for a while, and tells how much that was, and
// whether it was all.
func (s *Service) fillFor(ctx context.Context, job queue.Job[alert], d time.Duration) (n int, all bool, err error) {
	began := time.Now()
	for _, query := range s.dueHeld(job.Lane) {
		for {
			due, _, err := s.held.Find(ctx, query) // what was taken before isn't due any more
			if err != nil {
				return n, false, err
			}
			if len(due) == 0 {
				break
			}
			if job.Args.Holds+n >= maxCount || time.Since(began) >= d {
				return n, false, nil
			}
			if err := s.changeAll(ctx, due, func(h *heldAlert) error { return h.enter(job.ID) }); err != nil {
				return n, false, err
			}
			n += len(due)
		}
	}
	return n, true, nil
}

// enter takes it into a digest.
func (h *heldAlert) enter(digest string) error {
	if h.DueAt.IsZero() {
		return docstore.ErrUnchanged
	}
	if h.Digest != digest {
		h.Began, h.Digest = h.Digest, digest
	}
	h.DueAt, h.HeldAt = docstore.Time{}, docstore.Time{}
	return nil
}

// inDigest are the held alerts that a digest holds.
func inDigest(id string) docstore.Query {
	return docstore.Query{Index: "by_digest", Equal: []any{id}, Limit: digestPage}
}

// digest is what is told in one message.
type digest struct {
	count int
	// over is how many are over, and ended how many of these an earlier digest has told of.
	over, ended int
	kinds       map[string]int
	worst       Level // of those that last
	first       time.Time
	lines       []heldAlert // the worst, and of those the first; but for issues
	// issues are those that it tells of, with how many events each had before.
	issues map[string]int64
	others int // what it holds beside them
}

func (s *Service) collect(ctx context.Context, id string) (digest, error) {
	d := newDigest()
	for h, err := range s.held.All(ctx, inDigest(id)) {
		if err != nil {
			return d, err
		}
		d.add(h)
	}
	d.cut()
	return d, nil
}

func newDigest() digest {
	return digest{kinds: map[string]int{}, worst: Info, issues: map[string]int64{}}
}

// add counts a held alert.
func (d *digest) add(h heldAlert) {
	d.count++
	d.kinds[h.Kind]++
	if h.Over {
		d.over++
	} else if slices.Index(levels, h.Level) > slices.Index(levels, d.worst) {
		d.worst = h.Level
	}
	if h.Began != "" {
		d.ended++
	}
	if d.first.IsZero() || h.At.Before(d.first) {
		d.first = h.At.Time
	}
	if h.Subject != "" {
		if before, known := d.issues[h.Subject]; !known || h.Before < before {
			d.issues[h.Subject] = h.Before
		}
		return
	}
	d.others++
	d.lines = append(d.lines, h)
	if len(d.lines) > 2*maxLines {
		d.cut()
	}
}

// cut keeps the lines that a digest has.
func (d *digest) cut() {
	rank := func(h heldAlert) int { // of what is over, below all that lasts
		if h.Over {
			return slices.Index(levels, h.Level) - len(levels)
		}
		return slices.Index(levels, h.Level)
	}
	slices.SortStableFunc(d.lines, func(a, b heldAlert) int {
		return cmp.Or(cmp.Compare(rank(b), rank(a)), a.At.Compare(b.At.Time))
	})
	d.lines = d.lines[:min(len(d.lines), maxLines)]
}
