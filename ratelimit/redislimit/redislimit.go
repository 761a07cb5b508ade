// Package redislimit counts limits in Redis, for as many copies of the program as
// there are: one script call decides about a whole request, by the server's clock.
//
// Requests that come while a call is in flight share the next one, so that busy
// copies ask rarely; a single request waits for nobody. In a cluster the checks of
// one request may be on different nodes: each node decides about its own in one
// step, and what was taken is given back when another refuses.
package redislimit

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"manus/internal/redisclient"
	"manus/ratelimit"
)

//go:embed limit.lua
var text string

// Config is what an Engine is made of.
type Config struct {
	// Client reaches Redis, which need not be there yet.
	Client *redisclient.Client
	// Timeout bounds a call that nobody gives up; 0 means 2 s.
	Timeout time.Duration
	// OnReset is called with the keys that were forgotten, here or by another
	// copy, and with nil when messages about that may have been missed: then any
	// key may have been. It may be nil.
	OnReset func(keys []string)
}

// Engine is a [ratelimit.Engine] in Redis.
type Engine struct {
	c      Config
	script *rueidis.Lua
	prefix string // of every key
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
	c.Timeout = cmp.Or(c.Timeout, 2*time.Second)
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
		return nil, fmt.Errorf("%w: %w", ratelimit.ErrNotReached, err)
	}
	return client, nil
}

// operation is what the script is asked for.
type operation byte

const (
	opTake operation = iota
	opPeek
	opRefund
)

// call is one request on its way.
type call struct {
	client  rueidis.Client
	op      operation
	checks  []ratelimit.Check
	counted []ratelimit.Verdict // of a refund
	result  ratelimit.Decision
	err     error
	done    chan struct{}
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
	return e.ask(ctx, opRefund, checks, counted.Checks, &d)
}

func (e *Engine) ask(ctx context.Context, op operation, checks []ratelimit.Check, counted []ratelimit.Verdict, into *ratelimit.Decision) error {
	client, err := e.connected()
	if err != nil {
		return err
	}
	if client.Mode() == rueidis.ClientModeCluster {
		return e.askNodes(ctx, client, op, checks, counted, into)
	}
	c := calls.Get().(*call)
	c.client, c.op, c.checks, c.counted, c.err = client, op, checks, counted, nil
	c.result, *into = *into, ratelimit.Decision{} // its memory is used again
	e.send(c)
	select {
	case <-c.done:
		err := c.err
		*into = c.result
		c.result, c.checks, c.counted = ratelimit.Decision{}, nil, nil
		calls.Put(c)
		return err
	case <-ctx.Done():
		return ctx.Err() // the call is still on its way, and is not used again
	}
}

// calls are calls that have come back, to be used again.
var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

// send puts a call on its way: in a batch of its own if not many are, else with
// those that wait for one to come back.
func (e *Engine) send(c *call) {
	e.mu.Lock()
	e.waiting = append(e.waiting, c)
	if e.flying == maxFlying {
		e.mu.Unlock()
		return
	}
	e.flying++
	batch := e.next()
	e.mu.Unlock()
	go e.fly(batch) // whoever sent it may give it up
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
	go e.fly(e.next())
}

// run asks the script about a batch.
func (e *Engine) run(batch []*call) {
	ctx, cancel := context.WithTimeout(context.Background(), e.c.Timeout)
	defer cancel()
	keys, arguments := e.encode(batch)
	err := receive(e.script.Exec(ctx, batch[0].client, keys, arguments), batch)
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
			if c.op == opRefund {
				packed = binary.BigEndian.AppendUint64(packed, uint64(c.counted[i].At.UnixMicro())) //nolint:gosec // after 1970
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
func receive(result rueidis.RedisResult, batch []*call) error {
	answer, err := result.ToString()
	if err != nil {
		return unavailable(err)
	}
	return decode(answer, batch)
}

// decode reads the script's answer into the calls.
func decode(answer string, batch []*call) error {
	r := reader{rest: answer}
	at := time.UnixMicro(r.number(8))
	for _, c := range batch {
		c.result.Allowed = r.number(1) == 1
		if c.op == opRefund {
			continue
		}
		c.result.Resize(c.checks)
		for i := range c.checks {
			verdict := &c.result.Checks[i]
			verdict.Allowed, verdict.At = r.number(1) == 1, at
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
func (e *Engine) askNodes(ctx context.Context, client rueidis.Client, op operation, checks []ratelimit.Check, counted []ratelimit.Verdict, into *ratelimit.Decision) error {
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
		if op == opRefund {
			groups[g].counted = append(groups[g].counted, counted[i])
		}
	}
	if err := e.runNodes(ctx, client, groups); err != nil || op == opRefund {
		return err
	}
	into.Resize(checks)
	into.Allowed = true
	for i, place := range places {
		g := groups[place[0]]
		into.Checks[i] = g.result.Checks[place[1]]
		into.Allowed = into.Allowed && g.result.Allowed
	}
	if op != opTake || into.Allowed || len(groups) == 1 {
		return nil
	}
	return e.giveBack(ctx, client, groups)
}

// runNodes makes a call for each group, all at once.
func (e *Engine) runNodes(ctx context.Context, client rueidis.Client, groups []*call) error {
	ctx, cancel := context.WithTimeout(ctx, e.c.Timeout)
	defer cancel()
	calls := make([]rueidis.LuaExec, len(groups))
	for i, g := range groups {
		calls[i].Keys, calls[i].Args = e.encode([]*call{g})
	}
	var failed error
	for i, result := range e.script.ExecMulti(ctx, client, calls...) {
		failed = errors.Join(failed, receive(result, []*call{groups[i]}))
	}
	return failed
}

// giveBack gives back what groups have taken of a request that isn't allowed.
func (e *Engine) giveBack(ctx context.Context, client rueidis.Client, groups []*call) error {
	var back []*call
	for _, g := range groups {
		if g.result.Allowed {
			back = append(back, &call{op: opRefund, checks: g.checks, counted: g.result.Checks})
		}
	}
	if len(back) == 0 {
		return nil
	}
	return e.runNodes(context.WithoutCancel(ctx), client, back)
}

// channel is where copies tell each other what was reset.
func (e *Engine) channel() string { return e.prefix + "resets" }

// Reset is [ratelimit.Engine].Reset.
func (e *Engine) Reset(ctx context.Context, keys []string) error {
	ctx, cancel := context.WithTimeout(ctx, e.c.Timeout)
	defer cancel()
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

// Probe makes a whole decision, which writes, and tells why that isn't possible: Redis may answer, and
// be full, or not let us run scripts.
func (e *Engine) Probe(ctx context.Context) error {
	if err := e.c.Client.Connect(); err != nil {
		return fmt.Errorf("%w: %w", ratelimit.ErrNotReached, err)
	}
	client, err := e.connected()
	if err != nil {
		return err
	}
	c := &call{op: opTake, checks: []ratelimit.Check{{Key: "{probe}", Limit: ratelimit.Limit{{N: 1_000_000, Per: time.Second}}, Cost: 1}}}
	keys, arguments := e.encode([]*call{c})
	return receive(e.script.Exec(ctx, client, keys, arguments), []*call{c})
}

// Explain says why Redis can't count, and what to do.
func Explain(err error) string {
	if errors.Is(err, ratelimit.ErrSilent) {
		return "Redis does not answer; see whether it is overloaded or its network is cut"
	}
	text := err.Error()
	for _, known := range explanations {
		if strings.Contains(text, known.part) {
			return known.words
		}
	}
	return "Redis can't be used; see the error"
}

const noAnswer = "the address of REDIS_URL doesn't answer; see whether a firewall is between, and whether it speaks TLS (rediss://) or not"

// explanations are by what Redis, the system and crypto/tls say.
var explanations = []struct{ part, words string }{
	{"WRONGPASS", "Redis refuses the user or the password of REDIS_URL; correct them"},
	{"NOAUTH", "Redis wants a password; put it into REDIS_URL"},
	{"NOPERM", "the user of REDIS_URL may not run scripts; allow EVAL, EVALSHA, GET, MGET, SET, PTTL and TIME on keys that begin with manus:limit:"},
	{"OOM", "Redis is full and evicts nothing (maxmemory-policy noeviction); give it more memory, or a policy that evicts"},
	{"NOREPLICAS", "Redis takes no writes while too few of its replicas are there; see to them"},
	{"MISCONF", "Redis takes no writes as it can't save to its disk; see to its disk"},
	{"READONLY", "the Redis of REDIS_URL is a replica; name the one that takes writes"},
	{"LOADING", "Redis is still loading its data"},
	{"CLUSTERDOWN", "the Redis cluster is down; see to its nodes"},
	{"x509:", "the certificate of Redis isn't one that this machine trusts; install its authority here, or correct the name in REDIS_URL"},
	{"tls:", "Redis doesn't speak TLS as REDIS_URL says; use redis:// or rediss://, whichever it is"},
	{"connection refused", "nothing listens at the address of REDIS_URL; see whether Redis runs"},
	{"no such host", "the host of REDIS_URL has no address; correct it"},
	{"i/o timeout", noAnswer},
	{"deadline exceeded", noAnswer},
}
