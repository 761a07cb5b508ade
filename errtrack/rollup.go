package errtrack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"manus/docstore"
	"manus/errtrack/trace"
	"manus/internal/sketch"
	"manus/language"
)

// Traces aren't kept as they are: what is kept is how each route of a project did in each
// hour that traces of it arrived in, by this program's clock, and on each day, so that weeks
// are read soon. A process puts together what arrives within a few seconds before it writes
// that. When it is killed these seconds are
// missing, and when the store fails just then they may be counted twice: these are numbers
// to compare routes by, not ones to bill.

// keptRoute is how a route did in an hour or on a day.
type keptRoute struct {
	ID        string `json:"_id"` // see routeAt.id
	Project   string `json:"project"`
	Route     string `json:"route"`
	Op        string `json:"op"`
	Count     int64  `json:"count"`
	Errors    int64  `json:"errors"`
	Durations []byte `json:"durations"` // see internal/sketch
}

// DocumentID is the kept route's id.
func (k keptRoute) DocumentID() string { return k.ID }

var keptRouteSpec = docstore.Spec{Collection: "error_traces", Of: keptRoute{}, Transient: true}

// Bounds of what is rolled up.
const (
	// maxRoutes are those that a process adds for a project within an hour, maxRoutesHeld
	// those of all projects.
	maxRoutes     = 500
	maxRoutesHeld = 10_000
	maxRoutesSeen = 10_000 // of all hours that a list is made of

	rollUpEvery    = 5 * time.Second
	rollUpTogether = 100 // routes that are written at once

	routesKept = 30 * 24 * time.Hour
	// routesAhead is how far in the future something may be that another copy's clock wrote.
	routesAhead = 24 * time.Hour
)

// A period is what is told together.
type period string

const (
	hourly period = "hour"
	daily  period = "day" // by UTC
)

var periods = []period{hourly, daily}

// number is which of its kind a time is in, since 1970.
func (p period) number(t time.Time) int64 {
	if p == daily {
		return max(0, t.Unix()/86400)
	}
	return max(0, t.Unix()/3600)
}

// prefix is what the ids of a project in a period begin with; they are in the order of time.
func (p period) prefix(project string, number int64) string {
	return fmt.Sprintf("%s/%s/%010d/", project, p, number)
}

// route is what is told apart.
type route struct{ project, name, op string }

// routeAt is a route in a period.
type routeAt struct {
	route
	period period
	number int64
}

func (at routeAt) id() string {
	sum := sha256.Sum256([]byte(at.name + "\x00" + at.op))
	return at.period.prefix(at.project, at.number) + fmt.Sprintf("%x", sum[:12])
}

// rollup is how a route did.
type rollup struct {
	count, errors int64
	durations     sketch.Sketch
}

func (r *rollup) observe(t trace.Trace) {
	r.count++
	if t.Failed {
		r.errors++
	}
	r.durations.Observe(t.Duration)
}

// add adds what was kept, or is to be. It returns ErrCorrupt.
func (r *rollup) add(count, errors int64, durations []byte) error {
	r.count += count
	r.errors += errors
	if err := r.durations.Merge(durations); err != nil {
		return fmt.Errorf("%w: a sketch: %w", docstore.ErrCorrupt, err)
	}
	return nil
}

// rollups are what isn't written yet.
type rollups struct {
	mu   sync.Mutex
	held map[routeAt]*rollup
	// known are the routes of each project that have a place in the hour; there are so many.
	hour  int64
	known map[string]map[route]struct{}
	size  int

	writing sync.Mutex
}

// addTrace counts a trace at its route, if there is room for that.
func (s *Service) addTrace(project string, t trace.Trace) {
	scrub := s.policy.Load().scrubber.Text
	of := route{project, language.Cut(scrub(t.Route), trace.MaxRoute), language.Cut(scrub(t.Op), trace.MaxOp)}
	r := &s.rollups
	r.mu.Lock()
	defer r.mu.Unlock()
	now := s.c.Now() // so that the hour goes on with all who count
	if !r.admit(of, hourly.number(now)) || !r.hasRoom() {
		s.lose(project, lostRoute, 1)
		return
	}
	for _, p := range periods {
		r.at(routeAt{of, p, p.number(now)}).observe(t)
	}
	s.metrics.traces.Inc()
}

// admit tells whether a route has a place in the hour, and gives it one if there is.
func (r *rollups) admit(one route, hour int64) bool {
	if r.known == nil || r.hour != hour {
		r.hour, r.known, r.size = hour, map[string]map[route]struct{}{}, 0
	}
	of := r.known[one.project]
	if _, is := of[one]; is {
		return true
	}
	if len(of) >= maxRoutes || r.size >= maxRoutesHeld {
		return false
	}
	if of == nil {
		of = map[route]struct{}{}
		r.known[one.project] = of
	}
	of[one] = struct{}{}
	r.size++
	return true
}

// hasRoom tells whether more may be held. It may not when the store is gone for hours.
func (r *rollups) hasRoom() bool { return len(r.held) < len(periods)*maxRoutesHeld }

// at is what is held of a route in a period.
func (r *rollups) at(at routeAt) *rollup {
	if r.held == nil {
		r.held = map[routeAt]*rollup{}
	}
	of := r.held[at]
	if of == nil {
		of = &rollup{durations: sketch.New()}
		r.held[at] = of
	}
	return of
}

// rollUp writes what arrives until ctx ends, and what is left then.
func (s *Service) rollUp(ctx context.Context) {
	tick := time.NewTicker(rollUpEvery)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended = true
		}
		if err := s.writeRollups(context.WithoutCancel(ctx)); err != nil {
			s.c.Log.WarnContext(ctx, "how routes did can't be written", "error", err)
		}
	}
}

// writeRollups writes what has arrived. What can't be written now waits for the next time.
// Errors are the store's.
func (s *Service) writeRollups(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keepWithin)
	defer cancel()
	r := &s.rollups
	r.writing.Lock() // who comes second finds all of it written
	defer r.writing.Unlock()
	r.mu.Lock()
	held := r.held
	r.held = nil
	r.mu.Unlock()

	routes := make([]routeAt, 0, len(held))
	for at := range held {
		routes = append(routes, at)
	}
	var failure error
	for some := range slices.Chunk(routes, rollUpTogether) {
		for i, err := range s.writeRoutes(ctx, some, held) {
			switch {
			case err == nil:
			case errors.Is(err, docstore.ErrCorrupt): // it would be each time
				s.lose(some[i].project, lostRoute, held[some[i]].count)
			default:
				s.holdAgain(some[i], held[some[i]])
			}
			failure = cmp.Or(failure, err)
		}
	}
	return failure
}

func (s *Service) writeRoutes(ctx context.Context, routes []routeAt, held map[routeAt]*rollup) []error {
	changes := make([]docstore.Change, len(routes))
	for i, at := range routes {
		of, durations := held[at], held[at].durations.Bytes()
		initial := keptRoute{ID: at.id(), Project: at.project, Route: at.name, Op: at.op}
		var err error
		changes[i], err = s.routes.UpsertChange(initial, new(keptRoute), func(k *keptRoute, _ bool) error {
			both := rollup{durations: sketch.New()}
			err := errors.Join(both.add(k.Count, k.Errors, k.Durations), both.add(of.count, of.errors, durations))
			k.Count, k.Errors, k.Durations = both.count, both.errors, both.durations.Bytes()
			return err
		})
		if err != nil { // of encoding
			changes[i].Apply = func(docstore.Raw) (docstore.Raw, error) { return nil, err }
		}
	}
	return s.c.Store.Batch(ctx, changes)
}

// holdAgain puts back what couldn't be written.
func (s *Service) holdAgain(at routeAt, of *rollup) {
	r := &s.rollups
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held[at] == nil && !r.hasRoom() {
		s.lose(at.project, lostRoute, of.count)
		return
	}
	_ = r.at(at).add(of.count, of.errors, of.durations.Bytes()) // which were written here
}

// removeRoutes removes what is older than it may be, and what a clock wrote that was far
// ahead.
func (s *Service) removeRoutes(ctx context.Context, p Project) error {
	now := s.c.Now()
	var failure error
	for _, of := range periods {
		for _, gone := range []docstore.Query{
			{From: of.prefix(p.ID, 0), Until: of.prefix(p.ID, of.number(now.Add(-routesKept)))},
			{From: of.prefix(p.ID, of.number(now.Add(routesAhead))+1), Until: fmt.Sprintf("%s/%s0", p.ID, of)}, // "0" comes after "/"
		} {
			_, err := s.routes.DeleteAll(ctx, gone)
			failure = errors.Join(failure, err)
		}
	}
	return failure
}
