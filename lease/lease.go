// Package lease lets one of many copies of the program do a piece of work, and
// another one when that copy dies. A lease has a name, and is one document in
// the store; there is no other service that copies would agree through.
//
// It knows nothing of what the work is.
//
// # Time
//
// The clocks of several copies differ, step and jump, so no copy believes a time
// that another one has written. The holder renews its lease every third of the
// TTL, which changes a number in the document, the beat. Another copy takes the
// lease over when it has itself seen the document without a change for the whole
// TTL, by its own monotonic clock, or when the holder has released it. The holder
// counts the TTL from before the renewal that was last acknowledged, so it always
// knows first, and stops the work a fifth of the TTL before others may begin.
//
// # Fencing
//
// A holder that was paused (by the scheduler, a debugger, a suspended machine)
// finds out too late that it isn't one any more, and writes. No clock helps there;
// see https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html.
// So every acquisition has a number greater than all before, its [Fence], and each
// document that is written under a lease keeps the greatest one that wrote it:
//
//	_, err := documents.Update(ctx, id, func(d *document) error {
//		if err := held.Admit(&d.Fence); err != nil {
//			return err // nothing is written
//		}
//		d.Total++
//		return nil
//	})
//
// A new holder first claims each document that it takes over, by such a change,
// before it relies on what it has read there: [docstore.Collection.Update] returns
// what it has claimed. From then on a former holder that wakes up writes nothing
// there. What that one wrote before is ordered before the claim, so it has been
// read.
//
// A document that doesn't exist can't refuse anybody. What is made under a lease
// has an id that follows from the work, or comes after a change of a document that
// is fenced. What leaves the store, like a mail, may happen twice.
package lease

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"time"

	"manus/docstore"
)

// Fence numbers the acquisitions of one lease, from 1 on. It is kept in each
// document that is written under the lease.
type Fence int64

// Held is a lease as its holder has it.
type Held struct {
	Name  string
	Fence Fence
}

// Admit is called by the change of a document that is written under the lease,
// with the fence kept there. It returns ErrLost when a later holder has been there
// already; the change returns that error, and so writes nothing. Otherwise the
// document is this holder's from now on.
func (h Held) Admit(stored *Fence) error {
	if *stored > h.Fence {
		return ErrLost
	}
	*stored = h.Fence
	return nil
}

// document is a lease in the store. It is never deleted, or its fence would
// begin anew.
type document struct {
	Name   string `json:"_id"`
	Holder string `json:"holder"`
	Fence  Fence  `json:"fence"`
	// Beat changes with every change of the document.
	Beat int64 `json:"beat"`
	// TTL is the holder's, in milliseconds: others wait that long at least.
	TTL      int64 `json:"ttl_ms"`
	Released bool  `json:"released,omitempty"`

	// Of Every: what became of the job.
	Runs     int64         `json:"runs,omitempty"` // those that were finished well
	LastRun  docstore.Time `json:"last_run,omitzero"`
	Took     int64         `json:"took_ms,omitempty"`  // the last one
	Failures int           `json:"failures,omitempty"` // since
}

// DocumentID is the lease's name.
func (d document) DocumentID() string { return d.Name }

func (d document) ttl() time.Duration  { return time.Duration(d.TTL) * time.Millisecond }
func (d document) took() time.Duration { return time.Duration(d.Took) * time.Millisecond }

var spec = docstore.Spec{Collection: "leases", Of: document{}}

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec { return []docstore.Spec{spec} }

// ErrLost is what a Held's Admit returns, and the cause with which the context of
// work ends, when the lease is or may be another copy's.
var ErrLost = errors.New("the lease has been lost")

var validName = regexp.MustCompile(`^[a-z0-9._-]{1,64}$`)

// mustBeName panics with a bad name, which is a mistake in the program.
func mustBeName(name string) {
	if !validName.MatchString(name) {
		panic("lease: the name of a lease is 1 to 64 lower-case letters, digits, '-', '_' and '.': " + name)
	}
}

// Bounds of time. What is a part of the TTL follows from it, see Service.
const (
	defaultTTL = 15 * time.Second
	minTTL     = 100 * time.Millisecond
	maxPause   = time.Second
	mostTTL    = time.Minute // that is waited for, where nothing hangs on it
)

// LastRun is when a job under any of a store's leases was last done, by the clock of the
// program that did it; zero for never. It tells whether somebody may be at work there, of
// which a lease says nothing between two runs. Errors are the store's.
func LastRun(ctx context.Context, store docstore.Store) (time.Time, error) {
	var last time.Time
	for d, err := range docstore.NewCollection[document](store, spec).All(ctx, docstore.Query{}) {
		if err != nil {
			return last, err
		}
		if d.LastRun.After(last) {
			last = d.LastRun.Time
		}
	}
	return last, nil
}

// Config is what a Service is made of.
type Config struct {
	Store docstore.Store
	// TTL is how long after its last sign of life a holder is taken for dead;
	// zero means 15 s, and less than 100 ms is taken as 100 ms. Copies may have
	// different ones.
	TTL time.Duration
	// OnLost is told of a lease that was lost while its job was done, beside the log; it
	// doesn't wait. Nil: nobody is.
	OnLost func(name string, fence Fence)
	Log    *slog.Logger
}

// Service competes for leases. It is safe for concurrent use.
type Service struct {
	leases *docstore.Collection[document]
	holder string
	now    func() time.Time // the wall clock, only for when a job was done
	onLost func(name string, fence Fence)
	log    *slog.Logger

	ttl   time.Duration
	valid time.Duration // how long the holder believes in a renewal
	renew time.Duration // between renewals; also bounds one call of the store
	pause time.Duration // between looks at a lease that another one has
	retry time.Duration // after an error of the store
}

// New makes a Service. The store's collections are declared already (Specs).
func New(c Config) *Service {
	ttl := max(cmp.Or(c.TTL, defaultTTL), minTTL).Truncate(time.Millisecond)
	return &Service{
		leases: docstore.NewCollection[document](c.Store, spec),
		holder: docstore.NewID(),
		now:    time.Now,
		onLost: c.OnLost,
		log:    c.Log,
		ttl:    ttl,
		valid:  ttl - ttl/5,
		renew:  ttl / 3,
		pause:  min(ttl/3, maxPause),
		retry:  min(ttl/15, maxPause),
	}
}

// grip is a lease that this copy has.
type grip struct {
	Held
	since time.Time // before it was taken
}

// acquire waits until the lease is free, and due, and takes it. It returns false
// when ctx has ended.
func (s *Service) acquire(ctx context.Context, w *watch) (grip, bool) {
	failing := false
	for ctx.Err() == nil {
		g, wait, err := s.try(ctx, w)
		if g.Fence > 0 {
			return g, true
		}
		if err != nil && !failing && ctx.Err() == nil { // once, not once a second
			s.log.WarnContext(ctx, "a lease can't be looked at; it will be tried again", "lease", w.name, "error", err)
		}
		failing = err != nil
		sleep(ctx, wait)
	}
	return grip{}, false
}

// try looks at the lease, and takes it if it may. Otherwise it says when to look
// again.
func (s *Service) try(ctx context.Context, w *watch) (g grip, wait time.Duration, err error) {
	err = s.look(ctx, w)
	wait = jittered(w.pace(s.pause, s.ttl))
	if err != nil {
		return grip{}, wait, err
	}
	if left := time.Until(w.freeAt(s.ttl)); left > 0 {
		return grip{}, min(wait, left), nil
	}
	g, err = s.take(ctx, w)
	return g, wait, err
}

// look notes how the lease stands. The time is that after the answer: the document
// was still the same when that time came, or has changed since.
func (s *Service) look(ctx context.Context, w *watch) error {
	ctx, cancel := context.WithTimeout(ctx, s.renew)
	defer cancel()
	d, err := s.leases.Get(ctx, w.name)
	if errors.Is(err, docstore.ErrNotFound) {
		d, err = document{Name: w.name, Released: true}, nil
	}
	if err == nil {
		w.note(d, time.Now(), s.now())
	}
	return err
}

// take makes the lease this copy's if it still is as it was seen; the grip is zero
// if it isn't. It goes on when ctx ends meanwhile, so that the outcome is known.
func (s *Service) take(ctx context.Context, w *watch) (grip, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.renew)
	defer cancel()
	since, taken := time.Now(), false
	d, err := s.leases.Upsert(ctx, document{Name: w.name}, func(d *document, _ bool) error {
		taken = d.Fence == w.seen.Fence && d.Beat == w.seen.Beat
		if !taken {
			return docstore.ErrUnchanged
		}
		d.Fence = max(d.Fence, w.highest) + 1 // greater even if the document was deleted
		d.Beat++
		d.Holder, d.TTL, d.Released = s.holder, s.ttl.Milliseconds(), false
		return nil
	})
	if err != nil || !taken {
		return grip{}, err
	}
	w.note(d, since, s.now())
	return grip{Held{w.name, d.Fence}, since}, nil
}

// update changes the lease's document if it still is this holder's, or returns
// ErrLost. One that it has released is left as it is.
func (s *Service) update(ctx context.Context, held Held, change func(*document)) (document, error) {
	ctx, cancel := context.WithTimeout(ctx, s.renew)
	defer cancel()
	d, err := s.leases.Update(ctx, held.Name, func(d *document) error {
		switch {
		case d.Fence != held.Fence || d.Holder != s.holder:
			return ErrLost
		case d.Released: // by a try whose answer got lost
			return docstore.ErrUnchanged
		}
		d.Beat++
		change(d)
		return nil
	})
	return d, docstore.NotFoundAs(err, ErrLost)
}

// hold calls work, and renews the lease until work returns or the lease is lost.
// Work isn't begun when either context or lease has ended already.
func (s *Service) hold(ctx context.Context, g grip, work func(context.Context, Held) error) (lost bool, err error) {
	left := time.Until(g.since.Add(s.valid))
	if ctx.Err() != nil || left <= 0 {
		return true, ErrLost
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	lose := func() { cancel(ErrLost); stop() }
	validity := time.AfterFunc(left, lose)
	defer validity.Stop()
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		s.keep(renewing, g, validity, lose)
	}()
	defer func() { stop(); <-renewed }()
	err = work(ctx, g.Held)
	return errors.Is(context.Cause(ctx), ErrLost), err
}

// keep renews the lease until ctx ends. After an error of the store the lease is lost
// only when its validity is over.
func (s *Service) keep(ctx context.Context, g grip, validity *time.Timer, lose func()) {
	wait := time.Until(g.since.Add(s.renew))
	for sleep(ctx, wait) {
		before := time.Now()
		_, err := s.update(ctx, g.Held, func(*document) {})
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			validity.Reset(time.Until(before.Add(s.valid)))
			wait = time.Until(before.Add(s.renew))
		case errors.Is(err, ErrLost):
			lose()
			return
		default:
			s.log.WarnContext(ctx, "a lease can't be renewed; it will be tried again", "lease", g.Name, "fence", g.Fence, "error", err)
			wait = s.retry
		}
	}
}

// release sets the lease free for others, and notes in the same change what became
// of a job. While the store fails it tries again: until others may have taken the
// lease, or for a third of that when the program is stopping. What isn't released
// expires.
func (s *Service) release(ctx context.Context, w *watch, g grip, result func(*document)) {
	limit := s.ttl
	if ctx.Err() != nil {
		limit = s.renew
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	for {
		d, err := s.update(ctx, g.Held, func(d *document) {
			d.Released = true
			if result != nil {
				result(d)
			}
		})
		if err == nil {
			w.note(d, time.Now(), s.now())
			return
		}
		if errors.Is(err, ErrLost) && result == nil {
			return // there is nothing to be released
		}
		if errors.Is(err, ErrLost) || !sleep(ctx, s.retry) {
			s.log.WarnContext(ctx, "the end of work under a lease could not be written down", "lease", g.Name, "fence", g.Fence, "error", err)
			return
		}
	}
}

// sleep waits, and returns false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return ctx.Err() == nil
	}
}

// jittered is d less up to a fifth, so that copies don't all come at once.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/5+1) }

// AtWork tells whether somebody is at work under one of a store's leases now: renews it, or
// takes it. That takes no time where all have been released, up to a third of a lease's TTL
// where one is held, and a little more than all of it where it was by somebody who has been
// killed. Errors are the store's, and the context's.
func AtWork(ctx context.Context, store docstore.Store) (bool, error) {
	before, err := heldIn(ctx, store)
	longest := time.Duration(0)
	for _, d := range before {
		longest = max(longest, min(d.ttl(), mostTTL))
	}
	if longest > 0 {
		longest += 2 * maxPause // in which another copy looks, and takes over
	}
	for end := time.Now().Add(longest); err == nil && len(before) > 0 && time.Now().Before(end); {
		if !sleep(ctx, min(longest/15, maxPause)) {
			return false, ctx.Err()
		}
		var now map[string]document
		now, err = heldIn(ctx, store)
		for name, d := range now {
			if seen, ok := before[name]; !ok || seen.Beat != d.Beat || seen.Fence != d.Fence {
				return true, nil
			}
		}
		before = now
	}
	return false, err
}

// heldIn are a store's leases that haven't been released.
func heldIn(ctx context.Context, store docstore.Store) (map[string]document, error) {
	held := map[string]document{}
	for d, err := range docstore.NewCollection[document](store, spec).All(ctx, docstore.Query{}) {
		if err != nil {
			return nil, err
		}
		if !d.Released {
			held[d.Name] = d
		}
	}
	return held, nil
}
