package ratelimit_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/identity"
	"manus/internal/waittest"
	"manus/ratelimit"
	"manus/ratelimit/memorylimit"
)

// take is a decision by a breaker, and how long it took.
func take(t *testing.T, b *ratelimit.Breaker, c []ratelimit.Check, patient bool) (d ratelimit.Decision, loan *ratelimit.Loan, took time.Duration, err error) {
	t.Helper()
	begin := time.Now()
	loan, err = b.Take(t.Context(), c, &d, patient)
	return d, loan, time.Since(begin), err
}

// A busy machine makes calls slow. Nothing is given up for that where secrets are guarded,
// and nothing opens.
func TestASlowEngineIsNotGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newFlaky()
		b := shared.around(t, nil)
		for range 5 {
			shared.freeze()
			time.AfterFunc(120*time.Millisecond, shared.thaw)
			if _, _, took, err := take(t, b, checks(t, "k", "100/minute"), false); !errors.Is(err, ratelimit.ErrUnavailable) || took != 40*time.Millisecond {
				t.Errorf("who can't wait has %v after %v", err, took)
			}
			if _, _, took, err := take(t, b, checks(t, "k", "100/minute"), true); err != nil || took != 80*time.Millisecond || b.Err() != nil {
				t.Errorf("who waits has %v after %v, open: %v", err, took, b.Err())
			}
		}
	})
}

// As long as anything is heard, it isn't silence, however long a call takes.
func TestWhatAnswersOthersIsNotSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newFlaky()
		b := shared.around(t, nil)
		shared.freeze()
		time.AfterFunc(2*time.Second, shared.thaw)
		ticker := time.NewTicker(90 * time.Millisecond)
		defer ticker.Stop()
		done := make(chan struct{})
		go func() {
			for {
				select {
				case <-ticker.C:
					shared.heard.Add(1)
				case <-done:
					return
				}
			}
		}()
		if _, _, took, err := take(t, b, checks(t, "k", "5/minute"), true); err != nil || took != 2*time.Second {
			t.Errorf("got %v after %v", err, took)
		}
		close(done)
	})
}

func TestASilentEngineIsGone(t *testing.T) {
	t.Parallel()
	for name, patient := range map[string]bool{"seen by who waits": true, "seen by who doesn't": false} {
		synctest.Test(t, func(t *testing.T) {
			shared, log := newFlaky(), &waittest.Log{}
			b := shared.around(t, log)
			if text := log.String(); text != "" {
				t.Errorf("%s: a start that goes well says %s", name, text)
			}
			shared.freeze()
			_, _, took, err := take(t, b, checks(t, "k", "5/minute"), patient)
			if want := map[bool]time.Duration{true: 140 * time.Millisecond, false: 40 * time.Millisecond}[patient]; !errors.Is(err, ratelimit.ErrUnavailable) || took != want {
				t.Errorf("%s: the first: %v after %v", name, err, took)
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			asked := shared.asked.Load()
			if _, _, took, err := take(t, b, checks(t, "k", "5/minute"), true); !errors.Is(err, ratelimit.ErrUnavailable) || took != 0 || b.Err() == nil || shared.asked.Load() != asked {
				t.Errorf("%s: the next: %v after %v", name, err, took)
			}
			shared.thaw()
			synctest.Wait() // the first good trial closes it
			if _, _, _, err := take(t, b, checks(t, "k", "5/minute"), true); err != nil || b.Err() != nil {
				t.Errorf("%s: once it answers: %v, %v", name, err, b.Err())
			}
			if text := log.String(); strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "no answer") < 1 || strings.Count(text, "count again") != 1 {
				t.Errorf("%s: it says %s", name, text)
			}
		})
	}
}

// In a quiet night nobody asks for a decision, and still it is known whether one could be
// made, and why not.
func TestAnEngineThatNobodyAsksIsLookedAfter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leave, back func(*flaky)
		cause       string
	}{
		"gone":   {func(f *flaky) { f.gone.Store(true) }, func(f *flaky) { f.gone.Store(false) }, "gone"},
		"silent": {(*flaky).freeze, (*flaky).thaw, "no answer"},
	} {
		synctest.Test(t, func(t *testing.T) {
			shared := newFlaky()
			b := shared.around(t, nil)
			time.Sleep(time.Hour)
			if cause, since := b.Outage(); cause != "" || !since.IsZero() || b.Err() != nil {
				t.Errorf("%s: before, it is open: %s", name, cause)
			}
			c.leave(shared)
			went := time.Now()
			time.Sleep(4 * time.Second)
			synctest.Wait()
			cause, since := b.Outage()
			if took := since.Sub(went); !strings.Contains(cause, c.cause) || took > 4*time.Second {
				t.Errorf("%s: it is noticed after %v: %q", name, took, cause)
			}
			time.Sleep(time.Hour)
			if _, still := b.Outage(); still != since {
				t.Errorf("%s: an outage since %v has become one since %v", name, since, still)
			}
			c.back(shared)
			time.Sleep(time.Second)
			synctest.Wait()
			if b.Err() != nil {
				t.Errorf("%s: a second after it is back: %v", name, b.Err())
			}
			if asked := shared.asked.Load(); asked != 0 {
				t.Errorf("%s: somebody has asked", name)
			}
		})
	}
}

// What an outage is told by is what keeps the engine from counting now, not what did at first.
func TestAnOutageHasItsLatestCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newFlaky()
		shared.gone.Store(true)
		begin := time.Now()
		b := shared.around(t, nil)
		cause, since := b.Outage()
		if !strings.Contains(cause, "gone") || since != begin {
			t.Errorf("after a start without it: %q since %v", cause, since)
		}
	})
}

func TestAStartWaitsForTheSharedCountsButNotForEver(t *testing.T) {
	t.Parallel()
	for after, wait := range map[time.Duration]time.Duration{900 * time.Millisecond: time.Second, time.Minute: 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			shared, log := newFlaky(), &waittest.Log{}
			shared.gone.Store(true)
			time.AfterFunc(after, func() { shared.gone.Store(false) })
			begin := time.Now()
			b := shared.around(t, log)
			if took := time.Since(begin); took != wait || (b.Err() == nil) != (after < wait) || !strings.Contains(log.String(), "gone") {
				t.Errorf("it is there after %v; open after %v: %v, saying %s", after, took, b.Err(), log)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if b.Err() != nil || strings.Count(log.String(), "level=ERROR") != 1 {
				t.Errorf("a minute later: %v, saying %s", b.Err(), log)
			}
		})
	}
}

// fleet is copies on one shared engine, and who tries a secret on one of them.
type fleet struct {
	t      *testing.T
	shared *flaky
	copies []*ratelimit.Service
}

func newFleet(t *testing.T, n int, rule ratelimit.Rule) *fleet {
	t.Helper()
	f := &fleet{t: t, shared: newFlaky()}
	for range n {
		f.copies = append(f.copies, ratelimit.New(ratelimit.ServiceConfig{
			Config: ratelimit.Config{Default: rule, IPv6Prefix: 64}, Engine: f.shared, Breaker: f.shared.around(t, nil), Log: slog.New(slog.DiscardHandler),
		}))
	}
	return f
}

func (f *fleet) try(i int) ratelimit.Answer {
	f.t.Helper()
	answer, err := f.copies[i%len(f.copies)].Decide(f.t.Context(), ratelimit.Request{
		Route: "GET /", Caller: identity.Caller{Address: netip.MustParseAddr("192.0.2.1")}, Account: "a@example.com",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return answer
}

// Each copy knows what it has heard of when the shared counts go, and what it has
// admitted meanwhile is in them when they are back.
func TestAnOutageLoosensLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, ratelimit.NewRule("5/minute, 20/hour", ratelimit.ByAccount))
		admitted := 0
		for i := range 34 {
			if i == 4 {
				f.shared.gone.Store(true)
			}
			if f.try(i).Allowed {
				admitted++
			}
		}
		if admitted != 4+1+3+2 { // the copies have heard of 4, 2 and 3
			t.Errorf("%d were admitted", admitted)
		}
		f.shared.gone.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		f.shared.mu.Lock()
		defer f.shared.mu.Unlock()
		if len(f.shared.repaid) != 6 {
			t.Errorf("%d were repaid", len(f.shared.repaid))
		}
	})
}

// A call that was left is counted once all the same: by its late answer, or as a debt.
func TestALateAnswerCountsOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy        ratelimit.Policy
		gone          bool
		there, repaid int
	}{
		"answered after all":    {ratelimit.Local, false, 1, 0},
		"not answered":          {ratelimit.Local, true, 0, 1},
		"of a denied request":   {ratelimit.Deny, false, 0, 0},
		"of one that is let by": {ratelimit.Allow, true, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			rule := ratelimit.NewRule("5/minute", ratelimit.ByAccount)
			rule.WhenRedisFails = c.policy
			f := newFleet(t, 1, rule)
			f.shared.freeze()
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				_, _ = f.copies[0].Decide(t.Context(), ratelimit.Request{Route: "GET /", Account: "a@example.com"})
			}()
			<-answered
			f.shared.gone.Store(c.gone)
			f.shared.thaw()
			synctest.Wait()
			f.shared.gone.Store(false)
			time.Sleep(time.Second)
			synctest.Wait()
			standings, err := f.copies[0].Show(t.Context(), ratelimit.AccountSubject("a@example.com"))
			if err != nil {
				t.Fatal(err)
			}
			if there := 5 - standings[0].Windows[0].Remaining; there != c.there || len(f.shared.repaid) != c.repaid {
				t.Errorf("%s: %d counted, %d repaid", name, there, len(f.shared.repaid))
			}
		})
	}
}

// Who can't repay what it owes knows that the shared counts are gone, and repays it once
// they are back.
func TestADebtThatCantBeRepaidOpensTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newFlaky()
		b := shared.around(t, nil)
		owe := func() {
			t.Helper()
			shared.late.Store(true)
			_, loan, _, err := take(t, b, checks(t, "k", "5/minute"), true)
			if loan == nil || b.Err() != nil {
				t.Fatalf("an answer that is late: %v, open: %v", err, b.Err())
			}
			loan.End(func(int) bool { return true })
			synctest.Wait()
		}
		if owe(); b.Err() != nil || len(shared.repaid) != 1 {
			t.Errorf("while they are there: %d repaid, open: %v", len(shared.repaid), b.Err())
		}
		shared.gone.Store(true)
		if owe(); !errors.Is(b.Err(), errGone) {
			t.Errorf("while they are gone, it is open: %v", b.Err())
		}
		shared.gone.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if b.Err() != nil || len(shared.repaid) != 2 {
			t.Errorf("once they are back: %d repaid, open: %v", len(shared.repaid), b.Err())
		}
	})
}

// Two good sign-ins are in flight on one copy, and what they have taken is given back: the
// other copy must not go on refusing who came meanwhile.
func TestADenialThatMayBeTakenBackIsNotRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rule := ratelimit.NewRule("2/minute", ratelimit.ByAccount)
		rule.Count = ratelimit.CountFailures
		f := newFleet(t, 2, rule)
		first, second := f.try(0), f.try(0)
		if f.try(1).Allowed {
			t.Error("a third at once is admitted")
		}
		first.Done(ratelimit.Result{Status: 200})
		second.Done(ratelimit.Result{Status: 200})
		if !f.try(1).Allowed {
			t.Error("who signs in after two who were right is refused")
		}
	})
}

// Guesses on another route are given back to the counts of signing in.
func TestADenialOfSigningInIsNotRememberedEither(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const login, stepUp = "POST /login", "POST /step-up"
		rule := ratelimit.NewRule("1/minute", ratelimit.ByAccount)
		rule.Route = login
		routes := ratelimit.Routes{Patterns: []string{login, stepUp}, Rules: []ratelimit.Rule{rule}, Guesses: map[string]string{stepUp: login}}
		shared := newFlaky()
		var copies []*ratelimit.Service
		for range 2 {
			copies = append(copies, ratelimit.New(ratelimit.ServiceConfig{
				Config: ratelimit.DefaultConfig(routes), Routes: routes, Engine: shared, Breaker: shared.around(t, nil), Log: slog.New(slog.DiscardHandler),
			}))
		}
		decide := func(i int, r ratelimit.Request) ratelimit.Answer {
			answer, err := copies[i].Decide(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		owner := decide(0, ratelimit.Request{Route: stepUp, Caller: identity.Caller{UserID: "u"}, Guess: "a"})
		if decide(1, ratelimit.Request{Route: login, Account: "a"}).Allowed {
			t.Error("the guess isn't counted while it is being made")
		}
		owner.Done(ratelimit.Result{Status: 204})
		if !decide(1, ratelimit.Request{Route: login, Account: "a"}).Allowed {
			t.Error("signing in is refused for a guess that was right")
		}
	})
}

// A reset by an operator is one of what each copy has learned, too.
func TestAResetForgetsWhatWasLearned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, ratelimit.NewRule("1/minute", ratelimit.ByAccount))
		f.try(0)
		subject := ratelimit.AccountSubject("a@example.com")
		if err := f.copies[0].Reset(t.Context(), subject); err != nil {
			t.Fatal(err)
		}
		if f.shared.gone.Store(true); !f.try(0).Allowed {
			t.Error("this copy still refuses")
		}
	})
}

// A refusal's wait is that of all its subjects: one that is remembered of another request
// says nothing of what this one has to wait for.
func TestARememberedDenialHidesNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newFlaky()
		b := shared.around(t, nil)
		address, account := checks(t, "address", "1/minute")[0], checks(t, "account", "1/hour")[0]
		for _, c := range [][]ratelimit.Check{{address}, {address}} { // refused, and remembered
			if _, _, _, err := take(t, b, c, true); err != nil {
				t.Fatal(err)
			}
		}
		var d ratelimit.Decision
		if err := shared.Engine.Take(t.Context(), []ratelimit.Check{account}, &d); err != nil { // by another copy
			t.Fatal(err)
		}
		for range 2 { // asked, and then remembered
			d, _, _, err := take(t, b, []ratelimit.Check{address, account}, true)
			if err != nil || d.Allowed || d.Checks[0].Allowed || d.Checks[1].Allowed || d.Checks[1].Windows[0].Retry != time.Hour {
				t.Errorf("got %+v, %v", d, err)
			}
		}
	})
}

// Nor does one of the same request, whose other subject has been filled up meanwhile. Once
// it is known that both refuse, that is remembered.
func TestARememberedDenialIsAskedAnewWhileAnotherSubjectMayFillUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newFlaky()
		b := shared.around(t, nil)
		both := append(checks(t, "address", "1/minute"), checks(t, "account", "2/hour")...)
		decide := func(c []ratelimit.Check) ratelimit.Decision {
			t.Helper()
			d, _, _, err := take(t, b, c, true)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		decide(both)
		if d := decide(both); d.Allowed || d.Checks[0].Windows[0].Retry != time.Minute || !d.Checks[1].Allowed || d.Checks[1].Windows[0].Remaining != 1 {
			t.Fatalf("at first: %+v", d)
		}
		time.Sleep(30 * time.Second)
		decide(both[1:]) // from another address
		for range 2 {
			d, asked := decide(both), shared.asked.Load()
			if d.Allowed || d.Checks[0].Allowed || d.Checks[1].Allowed || d.Checks[0].Windows[0].Retry != 30*time.Second || d.Checks[1].Windows[0].Retry != time.Hour-30*time.Second {
				t.Errorf("once both are full: %+v", d)
			}
			if decide(both); shared.asked.Load() != asked {
				t.Error("what is known is asked")
			}
		}
		time.Sleep(30 * time.Second)
		if d := decide(both); d.Allowed || !d.Checks[0].Allowed || d.Checks[1].Allowed {
			t.Errorf("once one of them is over: %+v", d)
		}
	})
}

// peeked is a service whose requests are counted by address and account, twice a minute, and
// by a shadow; and how to ask it, and to only look.
func peeked(t *testing.T, policy ratelimit.Policy) (shared *flaky, ask func(account string) bool, look func() ratelimit.Answer) {
	t.Helper()
	routes := teaRoutes()
	shadow := ratelimit.NewRule("1/hour", ratelimit.ByLogin)
	routes.Rules = []ratelimit.Rule{ratelimit.NewRule("2/minute", ratelimit.ByAddress, ratelimit.ByAccount), shadow}
	for i := range routes.Rules {
		routes.Rules[i].Route, routes.Rules[i].WhenRedisFails = routes.Patterns[0], policy
	}
	routes.Rules[1].Mode = ratelimit.Shadow
	shared = newFlaky()
	s := ratelimit.New(ratelimit.ServiceConfig{
		Config: ratelimit.DefaultConfig(routes), Routes: routes, Engine: shared, Breaker: shared.around(t, nil), Log: slog.New(slog.DiscardHandler),
	})
	request := ratelimit.Request{Route: routes.Patterns[0], Caller: stranger.Caller}
	ask = func(account string) bool {
		asked := request
		asked.Account = account
		answer, _ := s.Decide(t.Context(), asked)
		return answer.Allowed
	}
	return shared, ask, func() ratelimit.Answer { return s.Peek(t.Context(), request) }
}

// Whoever is refused for their address can be told before it is known which account they
// try. To look counts nothing, and is asked of the shared counts once.
func TestALookTellsWhoIsRefusedWhateverComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, ask, look := peeked(t, ratelimit.Local)
		for range 2 {
			for range 3 {
				if !look().Allowed {
					t.Error("a look counts")
				}
			}
			ask("a")
		}
		for range 3 {
			asked := shared.asked.Load()
			answer := look()
			if answer.Allowed || len(answer.Applied) != 1 || answer.Applied[0].Name() != "address-60" || !answer.Applied[0].Violated || answer.Retry <= 0 {
				t.Errorf("got %+v", answer)
			}
			if look(); shared.asked.Load() > asked+1 {
				t.Error("the shared counts are asked for what is known")
			}
			time.Sleep(10 * time.Second)
		}
		time.Sleep(time.Minute)
		if !look().Allowed || !ask("a") {
			t.Error("it is refused after its time")
		}
	})
}

// Where it can't be told, the decision tells.
func TestALookThatCantTellRefusesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for policy, refused := range map[ratelimit.Policy]bool{ratelimit.Local: true, ratelimit.Allow: false, ratelimit.Deny: false} {
			shared, ask, look := peeked(t, policy)
			ask("a")
			ask("b")
			shared.freeze()
			begin := time.Now()
			if !look().Allowed || time.Since(begin) != 40*time.Millisecond {
				t.Errorf("%s: in a freeze it tells after %v", policy, time.Since(begin))
			}
			shared.gone.Store(true)
			shared.thaw()
			ask("c")
			if look().Allowed == refused {
				t.Errorf("%s: while it is gone it is refused: %v", policy, !refused)
			}
		}
	})
}

// Calls that don't come back are bounded; those that are refused for it aren't counted.
func TestCallsOnTheirWayAreBounded(t *testing.T) {
	t.Parallel()
	const bound = 4096
	synctest.Test(t, func(t *testing.T) {
		shared := newFlaky()
		b := shared.around(t, nil)
		shared.freeze()
		c := checks(t, "k", "1000000/minute")
		var refused atomic.Int64
		var wg sync.WaitGroup
		for range bound {
			wg.Go(func() {
				if _, err := b.Take(t.Context(), c, new(ratelimit.Decision), true); err != nil {
					refused.Add(1)
				}
			})
		}
		synctest.Wait()
		for range bound + 1 {
			if _, err := b.Take(t.Context(), c, new(ratelimit.Decision), true); !errors.Is(err, ratelimit.ErrUnavailable) {
				t.Fatalf("one more: %v", err)
			}
		}
		shared.thaw()
		wg.Wait()
		if n := refused.Load(); n != 0 {
			t.Errorf("%d of as many as may be are refused", n)
		}
		for range bound + 1 { // one after another
			if _, err := b.Take(t.Context(), c, new(ratelimit.Decision), true); err != nil {
				t.Fatalf("after they have come back: %v", err)
			}
		}
	})
}

func TestAGaugeTellsThatTheSharedCountsAreGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, registry := newFlaky(), prometheus.NewRegistry()
		b := ratelimit.NewBreaker(ratelimit.BreakerConfig{Shared: shared, Local: memorylimit.New(memorylimit.Config{}), Log: slog.New(slog.DiscardHandler), Metrics: registry})
		want := func(value float64) {
			t.Helper()
			families, err := registry.Gather()
			if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetGauge().GetValue() != value {
				t.Errorf("got %v, %v, want %v", families, err, value)
			}
		}
		b.Reach(t.Context())
		want(0)
		shared.gone.Store(true)
		if _, _, _, err := take(t, b, checks(t, "k", "5/minute"), true); !errors.Is(err, ratelimit.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		want(1)
		shared.gone.Store(false)
		b.Reach(t.Context())
		want(0)
	})
}

func TestDenialsOfManyAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newFlaky()
		b := shared.around(t, nil)
		ask := func(key string) bool {
			t.Helper()
			var d ratelimit.Decision
			if _, err := b.Take(t.Context(), checks(t, key, "1/minute"), &d, true); err != nil {
				t.Fatal(err)
			}
			return d.Allowed
		}
		for i := range 100 {
			key := fmt.Sprint(i)
			if !ask(key) || ask(key) {
				t.Fatalf("%s is refused before its time, or not at all", key)
			}
		}
		asked := shared.asked.Load()
		for i := range 100 {
			if ask(fmt.Sprint(i)) {
				t.Errorf("%d is admitted", i)
			}
		}
		if n := shared.asked.Load() - asked; n != 0 {
			t.Errorf("the shared engine is asked %d times for what is known", n)
		}
	})
}
