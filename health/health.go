// Package health tells whether the program runs and whether it can do its work:
// what a load balancer, an orchestrator and a monitor ask, ten thousand times a
// second if they like. It is given its checks and knows no database.
package health

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// Check is one thing that the program depends on.
type Check struct {
	Name string
	// Critical checks make the program unavailable when they fail; the others
	// only degrade it.
	Critical bool
	// Probe returns nil when the thing works. Nil means that it isn't
	// configured.
	Probe func(context.Context) error
}

// Status is how a check, or the program as a whole, stands.
type Status string

// The statuses of a check, and then of the program.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Skipped Status = "skipped" // not configured

	Ready       Status = "ready"
	Degraded    Status = "degraded" // something that isn't critical fails
	Unavailable Status = "unavailable"
)

// Version is what is running.
type Version struct {
	Version     string `json:"version"`
	Commit      string `json:"commit"`
	BuildTime   string `json:"build_time"`
	GoVersion   string `json:"go_version"`
	Environment string `json:"environment"`
}

// Config is what a Service is made of.
type Config struct {
	Checks []Check
	// Hints has what an operator should look after, which no check tells: each a name such
	// as "proxy-not-trusted" or "data-damaged"; nil has none.
	Hints func() []string
	// Page shows people what /ready tells, and /health where ready is nil, and tells whether it
	// could; nil shows them what programs get.
	Page    func(w http.ResponseWriter, r *http.Request, ready *Readiness) (shown bool)
	Version Version
	Log     *slog.Logger
}

const (
	// timeout is how long a probe may take.
	timeout = 2 * time.Second
	// interval is the least time between two probes of a check.
	interval = time.Second
)

// Service answers for the program.
type Service struct {
	version  Version
	hints    func() []string
	show     func(http.ResponseWriter, *http.Request, *Readiness) bool
	started  time.Time
	checkers []*checker
	draining atomic.Bool
}

// New makes a Service. The program counts as started now.
func New(c Config) *Service {
	s := &Service{version: c.Version, hints: c.Hints, show: c.Page, started: time.Now()}
	for _, check := range c.Checks {
		s.checkers = append(s.checkers, &checker{Check: check, log: c.Log})
	}
	return s
}

// Drain makes the program unavailable from now on, so that no new work is sent
// to it while it finishes what it has.
func (s *Service) Drain() { s.draining.Store(true) }

// Result is how a check stands.
type Result struct {
	Status    Status  `json:"status" enum:"ok,failed,skipped"`
	LatencyMS float64 `json:"latency_ms" doc:"How long the last probe took; 0 when there was none." ar:"كم استغرق آخر فحص؛ و0 حيث لم يكن."`
}

// Readiness is how the program stands.
type Readiness struct {
	Status Status            `json:"status" enum:"ready,degraded,unavailable"`
	Checks map[string]Result `json:"checks"`
	Hints  []string          `json:"hints,omitempty" doc:"What an operator should look after, such as data-damaged or proxy-not-trusted; the log says more." ar:"ما ينبغي أن يتفقّده مشغّل، مثل data-damaged أو proxy-not-trusted؛ وفي السجلّ المزيد."`
}

// Readiness asks every check, all at once. It takes no longer than one
// probe's timeout.
func (s *Service) Readiness(ctx context.Context) Readiness {
	results := make([]Result, len(s.checkers))
	var asked sync.WaitGroup
	for i, c := range s.checkers {
		if recent, ok := c.recent(); ok {
			results[i] = recent
			continue
		}
		asked.Go(func() { results[i] = c.ask(ctx) })
	}
	asked.Wait()

	r := s.judge(results)
	if s.hints != nil {
		r.Hints = s.hints()
	}
	return r
}

// Drill says how the program would stand by each critical check, if that failed alone: none is
// made to fail for it.
func (s *Service) Drill() map[string]Readiness {
	all := map[string]Readiness{}
	for i, c := range s.checkers {
		if !c.Critical || c.Probe == nil {
			continue
		}
		results := slices.Repeat([]Result{{Status: OK}}, len(s.checkers))
		results[i].Status = Failed
		all[c.Name] = s.judge(results)
	}
	return all
}

// judge is how the program stands by the results of its checks.
func (s *Service) judge(results []Result) Readiness {
	r := Readiness{Status: Ready, Checks: map[string]Result{}}
	for i, c := range s.checkers {
		r.Checks[c.Name] = results[i]
		if results[i].Status != Failed || r.Status == Unavailable {
			continue
		}
		if r.Status = Degraded; c.Critical {
			r.Status = Unavailable
		}
	}
	if s.draining.Load() {
		r.Status = Unavailable
	}
	return r
}

// checker probes one check, seldom enough: at most once an interval, and never
// while an earlier probe hasn't returned. A probe that ignores its context thus
// hangs once, not once a request.
type checker struct {
	Check
	log *slog.Logger

	last    atomic.Pointer[outcome]
	asking  singleflight.Group
	probing sync.Mutex // held until a probe has really returned
}

type outcome struct {
	Result
	at time.Time // when its probe started
}

// recent is the last outcome, while it is younger than the interval. It takes
// no lock.
func (c *checker) recent() (Result, bool) {
	if c.Probe == nil {
		return Result{Status: Skipped}, true
	}
	last := c.last.Load()
	if last == nil || time.Since(last.at) >= interval {
		return Result{}, false
	}
	return last.Result, true
}

// ask waits for the outcome of the probe that is running, or of a new one.
func (c *checker) ask(ctx context.Context) Result {
	select {
	case answer := <-c.asking.DoChan("", c.probe):
		return answer.Val.(Result)
	case <-ctx.Done():
		return Result{Status: Failed}
	}
}

// probe has an outcome when the probe returns, at the latest when the time is up.
func (c *checker) probe() (any, error) {
	if recent, ok := c.recent(); ok { // somebody else has just asked
		return recent, nil
	}
	if !c.probing.TryLock() { // its time is up, and it hangs
		return c.last.Load().Result, nil
	}
	started := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	returned := make(chan error, 1)
	go func() {
		defer c.probing.Unlock()
		returned <- c.guarded(ctx)
	}()
	select {
	case err := <-returned:
		return c.recordOutcome(started, err), nil
	case <-ctx.Done():
		return c.recordOutcome(started, fmt.Errorf("no answer within %v", timeout)), nil
	}
}

// guarded is the probe, a panic in it being a failure.
func (c *checker) guarded(ctx context.Context) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the probe panicked: %v", cause)
		}
	}()
	return c.Probe(ctx)
}

// recordOutcome keeps an outcome, and logs it when it differs from the last one. The
// public learns only that it failed.
func (c *checker) recordOutcome(started time.Time, err error) Result {
	took := time.Since(started)
	now := &outcome{Result: Result{Status: OK, LatencyMS: float64(took.Microseconds()) / 1000}, at: started}
	if err != nil {
		now.Status = Failed
	}
	before := c.last.Swap(now)
	switch {
	case err != nil && (before == nil || before.Status == OK):
		c.log.Error("a health check fails", "check", c.Name, "error", err)
	case err == nil && before != nil && before.Status == Failed:
		c.log.Info("a health check succeeds again", "check", c.Name)
	}
	return now.Result
}
