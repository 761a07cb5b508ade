// Package redislimit counts limits in Redis, for as many copies of the program as
// there are: one script call decides about a whole request, by the server's clock.
//
// Requests that come while a call is in flight share the next one, so that busy
// copies ask rarely; a single request waits for nobody. In a cluster the checks of
// one request may be on different nodes: each node decides about its own in one
// step, and what was taken is given back when another refuses.
package redislimit

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"manus/internal/redisclient"
	"manus/ratelimit"
)

//go:embed limit.lua
var text string

// Config is what an Engine is made of.
type Config struct {
	// Client reaches Redis, which need not be there yet. How long it waits for an answer
	// is all that bounds a call: who can't wait for so long has a [ratelimit.Breaker].
	Client *redisclient.Client
	// OnReset is called with the keys that were forgotten, here or by another
	// copy, and with nil when messages about that may have been missed: then any
	// key may have been. It may be nil.
	OnReset func(keys []string)
}

// Engine is a [ratelimit.Engine] in Redis.
type Engine struct {
	c       Config
	script  *rueidis.Lua
	prefix  string // of every key
	answers atomic.Uint64
	// offset is added to the server's time, by tests.
	offset func() time.Duration

	mu      sync.Mutex
	waiting []*call
	flying  int
}

const (
	// maxBatch is how many requests share a call, maxFlying how many calls are
	// on their way at once.
	maxBatch  = 32
	maxFlying = 2
)

// New makes an Engine. It counts once Redis has been reached, by the client's Connect
// or by Run.
func New(c Config) *Engine {
	if c.OnReset == nil {
		c.OnReset = func([]string) {}
	}
	return &Engine{
		c:      c,
		script: rueidis.NewLuaScript(text),
		prefix: "manus:limit:",
		offset: func() time.Duration { return 0 },
	}
}

// connected is the client, or ErrUnavailable before Redis has been reached.
func (e *Engine) connected() (rueidis.Client, error) {
	client, err := e.c.Client.Get()
	if err != nil {
		return nil, unavailable(err)
	}
	return client, nil
}

// operation is what the script is asked for.
type operation byte

const (
	opTake operation = iota
	opPeek
	opRefund
	opRepay
)

// call is one request on its way.
type call struct {
	client rueidis.Client
	op     operation
	checks []ratelimit.Check
	times  []int64 // of each check, in microseconds: of a refund when it was counted, of a repayment how long ago
	result ratelimit.Decision
	err    error
	done   chan struct{}
}

// Take is [ratelimit.Engine].Take.
func (e *Engine) Take(ctx context.Context, checks []ratelimit.Check, into *ratelimit.Decision) error {
	return e.ask(ctx, opTake, checks, nil, into)
}

// Peek is [ratelimit.Engine].Peek.
func (e *Engine) Peek(ctx context.Context, checks []ratelimit.Check, into *ratelimit.Decision) error {
	return e.ask(ctx, opPeek, checks, nil, into)
}

// Refund is [ratelimit.Engine].Refund.
func (e *Engine) Refund(ctx context.Context, checks []ratelimit.Check, counted *ratelimit.Decision) error {
	if len(counted.Checks) != len(checks) {
		return errors.New("the decision is about other checks")
	}
	var d ratelimit.Decision
	return e.ask(ctx, opRefund, checks, times(counted.Checks), &d)
}

// Repay is [ratelimit.Shared].Repay.
func (e *Engine) Repay(ctx context.Context, counts []ratelimit.Admitted) error {
	now := time.Now()
	checks, ages := make([]ratelimit.Check, len(counts)), make([]int64, len(counts))
	for i, one := range counts {
		checks[i], ages[i] = one.Check, now.Sub(one.At).Microseconds()
	}
	var d ratelimit.Decision
	return e.ask(ctx, opRepay, checks, ages, &d)
}

// Answers is [ratelimit.Shared].Answers. In a cluster it stands still: that other nodes
// answer says nothing of the one that is asked.
func (e *Engine) Answers() uint64 { return e.answers.Load() }

// spread is on how many keys a trial is made, so that every node of a cluster has some.
const spread = 64

// Try is [ratelimit.Shared].Try: a decision that is written, as every other.
func (e *Engine) Try(ctx context.Context) error {
	if err := e.c.Client.Connect(); err != nil {
		return unavailable(err)
	}
	checks := make([]ratelimit.Check, 1, spread)
	if client, _ := e.c.Client.Get(); client.Mode() == rueidis.ClientModeCluster {
		checks = checks[:spread]
	}
	for i := range checks {
		checks[i] = ratelimit.Check{Key: fmt.Sprintf("{trial %d}", i), Limit: trial, Cost: 1}
	}
	var d ratelimit.Decision
	return e.ask(ctx, opTake, checks, nil, &d)
}

// trial is the limit that is tried: its keys are gone after a second.
var trial = ratelimit.Limit{{N: ratelimit.ExactUpTo, Per: time.Second}}

func (e *Engine) ask(ctx context.Context, op operation, checks []ratelimit.Check, times []int64, into *ratelimit.Decision) error {
	client, err := e.connected()
	if err != nil {
		return err
	}
	if client.Mode() == rueidis.ClientModeCluster {
		return e.askNodes(ctx, client, op, checks, times, into)
	}
	c := calls.Get().(*call)
	c.client, c.op, c.checks, c.times, c.err = client, op, checks, times, nil
	c.result, *into = *into, ratelimit.Decision{} // its memory is used again
	e.send(c, ctx.Done() != nil)
	select {
	case <-c.done:
		err := c.err
		*into = c.result
		c.result, c.checks, c.times = ratelimit.Decision{}, nil, nil
		calls.Put(c)
		return err
	case <-ctx.Done():
		return ctx.Err() // the call is still on its way, and is not used again
	}
}

// calls are calls that have come back, to be used again.
var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

// send puts a call on its way: in a batch of its own if not many are, else with
// those that wait for one to come back. Who is impatient has to be free meanwhile.
func (e *Engine) send(c *call, impatient bool) {
	e.mu.Lock()
	e.waiting = append(e.waiting, c)
	if e.flying == maxFlying {
		e.mu.Unlock()
		return
	}
	e.flying++
	batch := e.next()
	e.mu.Unlock()
	if impatient {
		go e.fly(batch)
		return
	}
	e.fly(batch)
}

// next takes a batch of what waits. The lock is held.
func (e *Engine) next() []*call {
	n := min(len(e.waiting), maxBatch)
	batch := append([]*call(nil), e.waiting[:n]...)
	e.waiting = append(e.waiting[:0], e.waiting[n:]...)
	return batch
}

// fly makes a batch's call, and sees to it that what waits meanwhile follows.
func (e *Engine) fly(batch []*call) {
	e.run(batch)
	for _, c := range batch {
		c.done <- struct{}{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) == 0 {
		e.flying--
		return
	}
	go e.fly(e.next()) // whoever flew this one has their answer, and goes
}

// run asks the script about a batch.
func (e *Engine) run(batch []*call) {
	keys, arguments := e.encode(batch)
	err := e.receive(e.script.Exec(context.Background(), batch[0].client, keys, arguments), batch)
	for _, c := range batch {
		c.err = err
	}
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ratelimit.ErrUnavailable, err) }

// encode packs calls as limit.lua reads them.
func (e *Engine) encode(batch []*call) (keys, arguments []string) {
	packed := make([]byte, 0, 64*len(batch))
	keys = make([]string, 0, 2*len(batch))
	for _, c := range batch {
		packed = append(packed, byte(c.op), byte(len(c.checks)))
		for i, check := range c.checks {
			if c.op >= opRefund {
				packed = binary.BigEndian.AppendUint64(packed, uint64(max(0, c.times[i]))) //nolint:gosec // not negative
			}
			keys = append(keys, e.prefix+check.Key)
			shadow := byte(0)
			if check.Shadow {
				shadow = 1
			}
			packed = append(packed, shadow)
			packed = binary.BigEndian.AppendUint32(packed, uint32(check.Cost)) //nolint:gosec // small
			packed = append(packed, byte(len(check.Limit)))
			for _, w := range check.Limit {
				packed = binary.BigEndian.AppendUint32(packed, uint32(w.N))             //nolint:gosec // small
				packed = binary.BigEndian.AppendUint32(packed, uint32(w.Per.Seconds())) //nolint:gosec // small
			}
		}
	}
	return keys, []string{rueidis.BinaryString(packed), strconv.FormatInt(e.offset().Microseconds(), 10)}
}

var errAnswer = errors.New("the script's answer can't be read")

// receive takes what Redis says about a batch.
func (e *Engine) receive(result rueidis.RedisResult, batch []*call) error {
	answer, err := result.ToString()
	if err != nil {
		return unavailable(err)
	}
	if batch[0].client != nil { // by itself in a cluster, see Answers
		e.answers.Add(1)
	}
	return decode(answer, batch)
}

// decode reads the script's answer into the calls.
func decode(answer string, batch []*call) error {
	r := reader{rest: answer}
	for _, c := range batch {
		c.result.Allowed = r.number(1) == 1
		if c.op >= opRefund {
			continue
		}
		c.result.Resize(c.checks)
		for i := range c.checks {
			verdict := &c.result.Checks[i]
			verdict.Allowed, verdict.At = r.number(1) == 1, time.UnixMicro(r.number(8))
			for j := range verdict.Windows {
				verdict.Windows[j] = ratelimit.Standing{Remaining: int(r.number(4)), Reset: r.micros(), Retry: r.micros()}
			}
		}
	}
	if r.short || r.rest != "" {
		return unavailable(errAnswer)
	}
	return nil
}

// reader reads big-endian numbers, and notes when there is too little.
type reader struct {
	rest  string
	short bool
}

// number reads one of n bytes.
func (r *reader) number(n int) (value int64) {
	if r.short = r.short || len(r.rest) < n; r.short {
		return 0
	}
	for i := range n {
		value = value<<8 | int64(r.rest[i])
	}
	r.rest = r.rest[n:]
	return value
}

func (r *reader) micros() time.Duration { return time.Duration(r.number(8)) * time.Microsecond }

// tag is what decides on which node a key is (Redis Cluster specification, "Hash
// tags").
func tag(key string) string {
	_, rest, _ := strings.Cut(key, "{")
	if tag, _, ends := strings.Cut(rest, "}"); ends && tag != "" {
		return tag
	}
	return key
}

// askNodes asks the nodes of a cluster, each about the checks that are its own.
// When one refuses, what others have taken is given back.
func (e *Engine) askNodes(ctx context.Context, client rueidis.Client, op operation, checks []ratelimit.Check, times []int64, into *ratelimit.Decision) error {
	var groups []*call
	places := make([][2]int, len(checks)) // of each check: its group, and its place there
	byTag := map[string]int{}
	for i, check := range checks {
		t := tag(e.prefix + check.Key)
		g, ok := byTag[t]
		if !ok {
			g = len(groups)
			byTag[t] = g
			groups = append(groups, &call{op: op})
		}
		places[i] = [2]int{g, len(groups[g].checks)}
		groups[g].checks = append(groups[g].checks, check)
		if op >= opRefund {
			groups[g].times = append(groups[g].times, times[i])
		}
	}
	if err := e.runNodes(ctx, client, groups); err != nil || op >= opRefund {
		if op == opTake {
			err = errors.Join(err, e.giveBack(ctx, client, groups))
		}
		return err
	}
	into.Resize(checks)
	into.Allowed = true
	for i, place := range places {
		g := groups[place[0]]
		into.Checks[i] = g.result.Checks[place[1]]
		into.Allowed = into.Allowed && g.result.Allowed
	}
	if op != opTake || into.Allowed {
		return nil
	}
	return e.giveBack(ctx, client, groups)
}

// runNodes makes a call for each group, all at once. Only the nodes that have its keys are
// asked for anything.
func (e *Engine) runNodes(ctx context.Context, client rueidis.Client, groups []*call) error {
	var asking sync.WaitGroup
	for _, g := range groups {
		asking.Go(func() {
			keys, arguments := e.encode([]*call{g})
			g.err = e.receive(e.script.Exec(ctx, client, keys, arguments), []*call{g})
		})
	}
	asking.Wait()
	var failed error
	for _, g := range groups {
		failed = errors.Join(failed, g.err)
	}
	return failed
}

// giveBack gives back what groups have taken of a request that isn't allowed, or that
// not all could decide about.
func (e *Engine) giveBack(ctx context.Context, client rueidis.Client, groups []*call) error {
	var back []*call
	for _, g := range groups {
		if g.err == nil && g.result.Allowed {
			back = append(back, &call{op: opRefund, checks: g.checks, times: times(g.result.Checks)})
		}
	}
	if len(back) == 0 {
		return nil
	}
	return e.runNodes(context.WithoutCancel(ctx), client, back)
}

// times are those at which verdicts were counted.
func times(verdicts []ratelimit.Verdict) []int64 {
	all := make([]int64, len(verdicts))
	for i, v := range verdicts {
		all[i] = v.At.UnixMicro()
	}
	return all
}

// channel is where copies tell each other what was reset.
func (e *Engine) channel() string { return e.prefix + "resets" }

// Reset is [ratelimit.Engine].Reset.
func (e *Engine) Reset(ctx context.Context, keys []string) error {
	client, err := e.connected()
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := client.Do(ctx, client.B().Del().Key(e.prefix+key).Build()).Error(); err != nil {
			return unavailable(err)
		}
	}
	e.c.OnReset(keys)
	for _, key := range keys {
		if err := client.Do(ctx, client.B().Publish().Channel(e.channel()).Message(key).Build()).Error(); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// Run reaches Redis and hears what other copies have reset, until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	e.c.Client.Listen(ctx, e.channel(), func(key string) { e.c.OnReset([]string{key}) }, func() { e.c.OnReset(nil) })
}
