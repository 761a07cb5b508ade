package errtrack

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/errtrack/grouping"
	"manus/internal/lockedfile"
)

// Bounds of what waits to be kept, and of what is kept together.
const (
	maxWaiting = 24 << 20 // bytes; see waiting.join
	maxCommit  = 256      // events of one commit
	maxBatch   = 1024     // events that are counted together
	batchBytes = 4 << 20
	keepWithin = 30 * time.Second
	// answerWithin is how long whoever sends an event waits for its being kept. While the disk
	// is full, nothing is.
	answerWithin = 10 * time.Second
)

// intake is where events wait until they are kept.
type intake struct {
	waiting waiting
	stopped chan struct{}
}

// arrival is an event that waits, and how that ended.
type arrival struct {
	kept     kept
	sighting sighting
	size     int64
	done     chan struct{}
	err      error
	// isNew is set when it has been kept; it is a duplicate otherwise.
	isNew bool
}

func newIntake() intake {
	return intake{waiting: waiting{some: make(chan struct{}, 1), bytes: map[string]int64{}}, stopped: make(chan struct{})}
}

// Take keeps an event of a project, unless it is there already, and returns when it is
// kept. What is secret in it has been taken out of it then, before anything was made of it.
// It returns ErrBusy when too many wait, or an error of the store; then the event may be kept
// nevertheless.
func (s *Service) Take(ctx context.Context, project string, e *event.Event) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, ErrBusy)
	defer cancel()
	s.mapFrames(ctx, project, e)
	a, err := s.newArrival(ctx, project, e)
	if err != nil {
		return err
	}
	if !s.intake.waiting.join(a) { // it has room until it is kept, whoever waits for that
		return ErrBusy
	}
	select {
	case <-a.done:
		return a.err
	case <-s.intake.stopped:
		select {
		case <-a.done: // it was kept before that
			return a.err
		default:
			return ErrBusy
		}
	case <-ctx.Done(): // it may be kept
		return context.Cause(ctx)
	}
}

func (s *Service) newArrival(ctx context.Context, project string, e *event.Event) (*arrival, error) {
	if err := s.decoding.enter(ctx, project); err != nil { // it takes a processor's time: a few at once
		return nil, err
	}
	defer s.decoding.leave()
	s.policy.Load().scrubber.Scrub(e)
	g, err := s.groupOf(ctx, project, e)
	if err != nil {
		return nil, err
	}
	k, err := newKept(project, e, g, s.c.Now())
	if err != nil {
		return nil, err
	}
	seen := newSighting(k, e, g)
	seen.tokens = s.wordsOf(seen, e)
	return &arrival{kept: k, sighting: seen, size: int64(len(k.Body)) + 4096, done: make(chan struct{})}, nil
}

// writer is a process that keeps events, and how far it has come.
type writer struct {
	ID string `json:"_id"`
	// Counted is the last batch that has been counted at all its issues.
	Counted int64         `json:"counted"`
	SeenAt  docstore.Time `json:"seen_at"`
	// Lock is the name of a file that the process has locked as long as it lives, where all
	// that use the store can see that: in Config.Locks.
	Lock string `json:"lock,omitempty"`
}

// DocumentID is the writer's id.
func (w writer) DocumentID() string { return w.ID }

var writerSpec = docstore.Spec{Collection: "error_writers", Of: writer{}, Transient: true}

const (
	// seenEvery is how often a process says that it lives, and silentFor is after how long
	// another one counts what it has left.
	seenEvery = 10 * time.Second
	silentFor = 2 * time.Minute
	// countEvery is how long counting pauses: what is kept meanwhile is counted by one change
	// of each issue.
	countEvery = 200 * time.Millisecond
)

// batchID is what the ids of a batch's events begin with; they are in order of the batches.
func batchID(writer string, batch int64) string { return fmt.Sprintf("%s.%012d.", writer, batch) }

// batch is what was kept by one commit or some, and is counted together.
type batch struct {
	by        *writing
	number    int64
	sightings []sighting
	uncertain []*arrival
}

// add adds what a commit has kept.
func (b *batch) add(more batch) {
	b.sightings, b.uncertain = append(b.sightings, more.sightings...), append(b.uncertain, more.uncertain...)
}

// writing is a process as it keeps events: under one name until it has been silent for so
// long that others may have taken it for dead.
type writing struct {
	id      string
	batch   int64 // which events are added to
	places  int   // that are taken in it
	counted atomic.Int64
	seenAt  time.Time
	lock    string
}

// Run keeps the events that arrive, counts them, rolls traces up, and looks after jobs that
// report, until ctx ends. It is called once.
func (s *Service) Run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { s.recoverOthers(ctx) })
	work.Go(func() { s.watchCheckIns(ctx) })
	work.Go(func() { s.countSessions(ctx) })
	work.Go(func() { s.rollUp(ctx) })
	s.RunIntake(ctx)
	work.Wait()
	s.noteLosses(context.WithoutCancel(ctx)) // of the end itself
}

// RunIntake is the part of Run that keeps and counts events, for a command. It is called
// once.
func (s *Service) RunIntake(ctx context.Context) {
	var work sync.WaitGroup
	batches := make(chan batch)
	lock := s.lock(ctx)
	s.look(ctx)
	work.Go(func() { s.countAll(ctx, batches) })
	open := s.newWriting(lock).next()
	for {
		arrivals, counting := s.gather(ctx, open, batches)
		if counting {
			open = open.by.next()
			continue
		}
		if ctx.Err() != nil && len(arrivals) == 0 {
			break // and what has arrived until then is kept
		}
		open = s.placesFor(len(arrivals), open, batches, lock)
		open.add(s.keep(context.WithoutCancel(ctx), open.by, arrivals))
	}
	w := open.by
	if w.places > 0 {
		batches <- open
	}
	close(s.intake.stopped)
	close(batches)
	work.Wait()
	if w.counted.Load() == w.batch || w.places == 0 && w.counted.Load() == w.batch-1 {
		s.leave(w)
	}
	if lock != nil {
		_ = lockedfile.Discard(lock) // one that stays is removed by the next
	}
}

func (s *Service) newWriting(lock *os.File) *writing {
	w := &writing{id: strings.ToLower(rand.Text()[:16]), seenAt: s.c.Now()}
	if lock != nil {
		w.lock = filepath.Base(lock.Name())
	}
	return w
}

// placesFor is a batch that has places for so many events more, of a process that nobody takes
// for dead: where the open one isn't that, it is handed over, which takes as long as what is counted.
func (s *Service) placesFor(n int, open batch, batches chan<- batch, lock *os.File) batch {
	silent := func() bool { return s.c.Now().Sub(open.by.seenAt).Abs() > silentFor/2 }
	if open.by.places+n <= maxBatch && !silent() {
		return open
	}
	if open.by.places > 0 {
		batches <- open
	}
	if silent() {
		open.by = s.newWriting(lock)
	}
	return open.by.next()
}

// next is the batch that comes when the one before has been handed over.
func (w *writing) next() batch {
	if w.batch == 0 || w.places > 0 {
		w.batch, w.places = w.batch+1, 0
	}
	return batch{by: w, number: w.batch}
}

// gather waits for an event, or until it is time to say that the process lives, and takes
// what else waits. Or it hands over what was kept since, where that is waited for.
func (s *Service) gather(ctx context.Context, open batch, batches chan<- batch) (all []*arrival, counting bool) {
	tick := time.NewTimer(seenEvery)
	defer tick.Stop()
	if open.by.places == 0 {
		batches = nil
	}
	for {
		select {
		case batches <- open:
			return nil, true
		case <-s.intake.waiting.some:
			if all := s.intake.waiting.take(maxCommit, batchBytes); len(all) > 0 {
				return all, false
			}
		case <-tick.C:
			return nil, false
		case <-ctx.Done():
			return s.intake.waiting.take(maxCommit, batchBytes), false
		}
	}
}

// keep writes events of a batch by one commit, and tells those who wait for it.
func (s *Service) keep(ctx context.Context, w *writing, arrivals []*arrival) batch {
	s.write(ctx, w, arrivals)
	b := batch{by: w, number: w.batch}
	for _, a := range arrivals {
		switch {
		case a.isNew:
			b.sightings = append(b.sightings, a.sighting)
		case a.err != nil && a.kept.ID != "": // else nothing of its batch was begun
			b.uncertain = append(b.uncertain, a)
		}
		s.intake.waiting.leave(a)
		close(a.done)
	}
	return b
}

// write adds events to a batch, and notes how far the process has counted.
func (s *Service) write(ctx context.Context, w *writing, arrivals []*arrival) {
	ctx, cancel := context.WithTimeout(ctx, keepWithin)
	defer cancel()
	state := writer{ID: w.id, Counted: w.counted.Load(), SeenAt: docstore.At(s.c.Now()), Lock: w.lock}
	note := func(into *writer, _ bool) error { *into = state; return nil }
	if w.batch == 1 && w.places == 0 { // others have to know of it before there is anything of it
		if _, err := s.writers.Upsert(ctx, state, note); err != nil {
			for _, a := range arrivals {
				a.err = err
			}
			return
		}
	}
	changes := make([]docstore.Change, len(arrivals), len(arrivals)+1)
	for i, a := range arrivals {
		a.sighting.place = w.places
		a.kept.ID = batchID(w.id, w.batch) + fmt.Sprintf("%04d", w.places)
		a.sighting.kept = a.kept.ID
		w.places++
		if changes[i], a.err = s.events.InsertChange(a.kept); a.err != nil {
			changes[i].Apply = func(docstore.Raw) (docstore.Raw, error) { return nil, a.err }
		}
	}
	mine, err := s.writers.UpsertChange(state, new(writer), note)
	errs := s.c.Store.Batch(ctx, append(changes, mine))
	s.metrics.batch.Observe(float64(len(arrivals)))
	for i, a := range arrivals {
		if a.isNew = errs[i] == nil && a.err == nil; a.isNew {
			s.metrics.taken.Inc()
			if a.sighting.group.Why.Rule == grouping.Flood {
				s.lose(a.kept.Project, lostToFlood, 1)
			}
		}
		if docstore.ConflictsOn(errs[i], byEvent) {
			s.lose(a.kept.Project, lostDuplicate, 1)
		}
		if errs[i] != nil && !docstore.ConflictsOn(errs[i], byEvent) { // one that is there already is as good
			a.err = errs[i]
		}
	}
	if err = cmp.Or(err, errs[len(arrivals)]); err == nil {
		w.seenAt = state.SeenAt.Time
	}
}

// countAll counts batches one after another.
func (s *Service) countAll(ctx context.Context, batches <-chan batch) {
	for b := range batches {
		begun := time.Now()
		err := s.untilDone(ctx, "events are kept and wait to be counted", func() error {
			found, err := s.keepAgain(b.uncertain)
			if err == nil {
				err = s.countEach(b.by.id, b.number, append(found, b.sightings...))
			}
			return err
		})
		if err != nil {
			break // the program ends: another one counts them
		}
		b.by.counted.Store(b.number)
		s.thinOut(ctx)
		select {
		case <-time.After(time.Until(begun.Add(countEvery))):
		case <-ctx.Done():
		}
	}
	for range batches { //nolint:revive // nobody is to wait for what nobody counts
	}
}

// keepAgain keeps the events that the store couldn't say whether it has them, and may have
// yet: they are counted, as whoever sends them again is told that they are there.
func (s *Service) keepAgain(uncertain []*arrival) (found []sighting, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), keepWithin)
	defer cancel()
	for _, a := range uncertain {
		_, err := s.events.Upsert(ctx, a.kept, func(_ *kept, exists bool) error {
			if exists {
				return docstore.ErrUnchanged
			}
			return nil
		})
		switch {
		case err == nil:
			found = append(found, a.sighting)
		case lasting(err): // it was sent again since, and is there under another id; or it never can be
		default:
			return nil, err
		}
	}
	return found, nil
}

// lasting tells of an error of the store that it would be the same again.
func lasting(err error) bool {
	return !errors.Is(err, docstore.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// countEach counts the events of a batch. Those that can never be counted keep none of the
// others from it: they are logged, and stand in what the project has lost.
func (s *Service) countEach(writer string, number int64, all []sighting) error {
	err := s.count(writer, number, all)
	if err == nil || !lasting(err) {
		return err
	}
	for _, one := range all {
		err := s.count(writer, number, []sighting{one})
		if err != nil && !lasting(err) {
			return err
		}
		if err != nil {
			s.c.Log.Error("an event can't be counted", "project", one.project, "event", one.eventID, "error", err)
			s.lose(one.project, lostUncounted, 1)
		}
	}
	return nil
}

// untilDone does what has to be done before anything else can be, however long the store
// is gone: meanwhile events are refused, once as many wait as may. When the program ends it
// tries once more, as the store may be well by then, and returns the error of that.
func (s *Service) untilDone(ctx context.Context, waits string, do func() error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := do()
		if err == nil {
			return nil
		}
		s.c.Log.Error(waits, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return do()
		}
	}
}

// recoverOthers counts what processes have left that don't live any more.
func (s *Service) recoverOthers(ctx context.Context) {
	tick := time.NewTicker(seenEvery)
	defer tick.Stop()
	for {
		s.noteLosses(ctx)
		if err := s.Recover(ctx, silentFor); err != nil && ctx.Err() == nil {
			s.c.Log.WarnContext(ctx, "what another process has left isn't counted yet", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Recover counts the events that were kept, and not counted, by processes that have not
// been heard of for a while or are known to have ended, and tells what waits to be told.
// Several copies may do it at once. Errors are the store's.
func (s *Service) Recover(ctx context.Context, silent time.Duration) error {
	failure := s.relay.DeliverStale(ctx)
	for _, w := range s.look(ctx) {
		if s.c.Now().Sub(w.SeenAt.Time).Abs() >= silent || s.hasEnded(w) {
			failure = errors.Join(failure, s.recover(ctx, w))
		}
	}
	return failure
}

// writers are processes that keep events, as they were when it was last looked.
type writers struct {
	mu  sync.RWMutex
	ids map[string]bool
}

func (w *writers) has(id string) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.ids[id]
}

// look looks which processes may have events that aren't counted. When that fails, it is
// as it was, and they are none for now.
func (s *Service) look(ctx context.Context) (all []writer) {
	ids := map[string]bool{}
	for w, err := range s.writers.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			s.c.Log.WarnContext(ctx, "which processes keep events isn't known", "error", err)
			return nil
		}
		ids[w.ID] = true
		all = append(all, w)
	}
	s.unfinished.mu.Lock()
	defer s.unfinished.mu.Unlock()
	s.unfinished.ids = ids
	return all
}

// locks begins the names of the files that processes lock.
const locks = "errors-"

// lock locks a file for as long as the process lives; nil where that can't be.
func (s *Service) lock(ctx context.Context) *os.File {
	if s.c.Locks == "" {
		return nil
	}
	file, err := lockedfile.Create(s.c.Locks, locks+"*.lock")
	if err != nil {
		s.c.Log.WarnContext(ctx, "others can't see at once when this process ends", "error", err)
		return nil
	}
	return file
}

// hasEnded tells that a process has ended: its file is there as long as it lives.
func (s *Service) hasEnded(w writer) bool {
	if s.c.Locks == "" || w.Lock == "" || w.Lock != filepath.Base(w.Lock) {
		return false
	}
	_, err := lockedfile.Sweep(s.c.Locks, func(name string) bool { return strings.HasPrefix(name, locks) && strings.HasSuffix(name, ".lock") })
	if err != nil {
		return false
	}
	_, err = os.Lstat(filepath.Join(s.c.Locks, w.Lock))
	return errors.Is(err, fs.ErrNotExist)
}

// recover counts the batches of a process that come after the last that it has counted.
func (s *Service) recover(ctx context.Context, w writer) error {
	number := w.Counted
	var sightings []sighting
	for k, err := range s.events.All(ctx, docstore.Query{From: batchID(w.ID, w.Counted+1), Until: w.ID + "/", Limit: 100}) {
		if err != nil {
			return err
		}
		of, place, err := placeOf(k.ID)
		if err == nil && of != number {
			err = s.countEach(w.ID, number, sightings)
			number, sightings = of, nil
		}
		if err != nil {
			return err
		}
		e, err := k.event()
		if err != nil {
			s.c.Log.ErrorContext(ctx, "an event can't be counted", "error", err)
			s.lose(k.Project, lostUncounted, 1)
			continue
		}
		one := newSighting(k, &e, groupOfKept(k, &e))
		one.place, one.tokens = place, tokensOf(&e, one.group, one.tags)
		sightings = append(sightings, one)
	}
	if err := s.countEach(w.ID, number, sightings); err != nil {
		return err
	}
	_, err := s.writers.Update(ctx, w.ID, func(now *writer) error {
		if now.Counted != w.Counted || !now.SeenAt.Equal(w.SeenAt.Time) { // it lives, and may have kept more since
			return docstore.ErrUnchanged
		}
		return docstore.ErrRemoved
	})
	return docstore.NotFoundAs(err, nil)
}

// placeOf is the number of the batch that a kept event is of, and its place there.
func placeOf(id string) (number int64, place int, err error) {
	parts := strings.Split(id, ".")
	if len(parts) == 3 {
		number, err = strconv.ParseInt(parts[1], 10, 64)
		place64, failure := strconv.ParseUint(parts[2], 10, 64)
		place, err = int(place64), errors.Join(err, failure)
	}
	if len(parts) != 3 || err != nil || place >= maxBatch {
		return 0, 0, fmt.Errorf("%w: a kept event is called %s", docstore.ErrCorrupt, id)
	}
	return number, place, nil
}

// leave says that a process has counted all that it has kept.
func (s *Service) leave(w *writing) {
	ctx, cancel := context.WithTimeout(context.Background(), keepWithin)
	defer cancel()
	if err := docstore.NotFoundAs(s.writers.Delete(ctx, w.id), nil); err != nil {
		s.c.Log.Warn("a process that kept events couldn't say that it ends", "error", err)
	}
}
