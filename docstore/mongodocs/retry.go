package mongodocs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"manus/docstore"
	"manus/internal/mongodriver"
)

const (
	// attemptTimeout bounds one command, retryBudget how long after the first
	// attempt another one is begun.
	attemptTimeout = 10 * time.Second
	retryBudget    = 3 * time.Second
	firstPause     = 10 * time.Millisecond
	lastPause      = 500 * time.Millisecond
	// selectionTimeout is how long an attempt waits for a server that takes writes.
	selectionTimeout = time.Second
	// grace is how long such a server may be gone before commands fail without
	// being tried. A broken connection is mended within it.
	grace = 1500 * time.Millisecond
	// heartbeat is how often the driver looks at each server, and so how soon the
	// end of an outage is seen.
	heartbeat = 2 * time.Second
	// connectTimeout bounds reaching a server, and its answer to a heartbeat.
	connectTimeout = 2 * time.Second
)

var (
	errClosed = fmt.Errorf("%w: it has been closed", docstore.ErrUnavailable)
	errGone   = fmt.Errorf("%w: no MongoDB server that takes writes has been reached for a while", docstore.ErrUnavailable)
	errNoIdea = fmt.Errorf("%w: the connection broke, and others have written since: whether the write happened can't be told", docstore.ErrUnavailable)
)

// reach knows since when there has been no server that takes writes, from the
// driver's heartbeats.
type reach struct {
	gone atomic.Pointer[time.Time] // nil while there is one
}

// writable are the kinds of servers that take writes.
var writable = []string{"Standalone", "RSPrimary", "Mongos", "LoadBalancer"}

func (r *reach) monitor() *event.ServerMonitor {
	return &event.ServerMonitor{TopologyDescriptionChanged: func(e *event.TopologyDescriptionChangedEvent) {
		there := slices.ContainsFunc(e.NewDescription.Servers, func(s event.ServerDescription) bool {
			return slices.Contains(writable, s.Kind)
		})
		if there {
			r.gone.Store(nil)
			return
		}
		r.gone.CompareAndSwap(nil, new(time.Now()))
	}}
}

// check fails when no server has been there for longer than grace: nobody waits
// then, and no memory is taken by those who would.
func (r *reach) check() error {
	if since := r.gone.Load(); since != nil && time.Since(*since) > grace {
		return errGone
	}
	return nil
}

// retry runs attempt until it succeeds, fails for good, or the budget is used up.
// An attempt that failed with a transient error may have been carried out, now or a
// little later; what attempts write has to be safe against that.
func (s *Store) retry(ctx context.Context, attempt func(context.Context) error) error {
	return s.retryFor(ctx, attemptTimeout, attempt)
}

func (s *Store) retryFor(ctx context.Context, timeout time.Duration, attempt func(context.Context) error) error {
	done, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	begun := time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if err := s.reach.check(); err != nil {
			return err
		}
		err := within(ctx, timeout, attempt)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !transient(err):
			return translateError(err)
		case time.Since(begun)+pause > retryBudget:
			return unavailable(err)
		}
		select {
		case <-time.After(pause - rand.N(pause/2)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func within(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f(ctx)
}

// failure is an error that came from the driver: its own, or a server's answer.
type failure struct{ error }

// Unwrap gives the driver's error.
func (f failure) Unwrap() error { return f.error }

// failed marks an error as the driver's; nil stays nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

// errAgain asks for another attempt: another writer was faster.
var errAgain = errors.New("somebody else has changed the document meanwhile")

// transient tells whether an error may be gone at the next attempt. Servers' answers
// are known by their codes, as texts differ from server to server; everything else
// that comes from the driver is about a connection. See the retryable codes of
// https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md.
func transient(err error) bool {
	if errors.Is(err, errAgain) {
		return true
	}
	if _, ok := errors.AsType[failure](err); !ok {
		return false
	}
	answer, ok := errors.AsType[mongo.ServerError](err)
	return !ok || mongo.IsNetworkError(err) || slices.ContainsFunc(mongodriver.TransientCodes(), answer.HasErrorCode)
}

// duplicateCodes are what MongoDB says when a unique index refuses a write.
var duplicateCodes = []int{11000, 11001, 12582}

// refused tells whether the server has looked at a write and won't do it, and whether
// it says by its code that a unique index is why. Some compatible servers don't, so
// every refusal is reason enough to look for what the write may conflict with.
func refused(err error) (refused, duplicate bool) {
	answer, ok := errors.AsType[mongo.ServerError](err)
	if !ok || transient(failed(err)) {
		return false, false
	}
	return true, slices.ContainsFunc(duplicateCodes, answer.HasErrorCode)
}

// translateError makes an error of the driver ErrUnavailable or ErrCorrupt, and says in
// the operator's words what can be done about it. Other errors are a change's own.
func translateError(err error) error {
	if _, ok := errors.AsType[failure](err); !ok {
		return err
	}
	answer, ok := errors.AsType[mongo.ServerError](err)
	switch {
	case !ok:
	case answer.HasErrorCode(mongodriver.DataCorruptionDetected):
		return fmt.Errorf("%w: MongoDB says so: look after its server first, as another member may have it whole: %w", docstore.ErrCorrupt, err)
	case answer.HasErrorCode(mongodriver.OutOfDiskSpace):
		err = fmt.Errorf("there is no space left on the disk of MongoDB's server: free some: %w", err)
	case answer.HasErrorCode(mongodriver.AuthenticationFailed):
		err = fmt.Errorf("MongoDB doesn't know the user of MONGODB_URI, or the password is another one, or the user is of another database than the one that authSource names: %w", err)
	case slices.ContainsFunc(mongodriver.ForbiddenCodes(), answer.HasErrorCode):
		err = fmt.Errorf("MongoDB refuses the user of MONGODB_URI, who needs the role readWrite on the database: %w", err)
	}
	return unavailable(err)
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", docstore.ErrUnavailable, err)
}
