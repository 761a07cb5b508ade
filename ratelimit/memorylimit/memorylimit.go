// Package memorylimit counts limits in memory, for one machine.
//
// What is counted is lost when the program ends. Memory is bounded: when there is
// no room, the counts of somebody who isn't being refused are forgotten, so a
// spray of new keys doesn't free one that is.
package memorylimit

import (
	"cmp"
	"context"
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"
	"time"

	"manus/ratelimit"
)

// Config is what an Engine is made of.
type Config struct {
	// MaxKeys bounds the keys that are counted at once; 0 means a million.
	MaxKeys int
}

// Engine is a [ratelimit.Engine] in memory.
type Engine struct {
	seed   maphash.Seed
	shards [shards]shard
	// started is what times are counted from, and since counts them, by the monotonic
	// clock.
	started time.Time
	since   func(time.Time) time.Duration
}

// shards is how many parts the keys are in, each with a lock of its own. A
// request of several keys locks all of theirs, lowest first.
const shards = 64

type shard struct {
	mu   sync.Mutex
	keys map[uint64]*counts
	max  int
	_    [64]byte // shards don't share a cache line
}

// counts is what one key has used.
type counts struct {
	log     []int64 // times of what the exact windows admitted, oldest first
	buckets []bucket
	expires int64 // when nothing of it counts any more
	refused int64 // until when it is refused
}

// bucket is what a large window admitted in one step.
type bucket struct {
	per   int64 // the window's length
	step  int64 // which step
	count int64
}

// New makes an Engine.
func New(c Config) *Engine {
	e := &Engine{seed: maphash.MakeSeed(), started: time.Now(), since: time.Since}
	for i := range e.shards {
		e.shards[i].keys = map[uint64]*counts{}
		e.shards[i].max = max(1, (cmp.Or(c.MaxKeys, 1_000_000)+shards-1)/shards)
	}
	return e
}

// nanos is now, in nanoseconds from the start on. It never goes back.
func (e *Engine) nanos() int64 {
	const before = int64(366 * 24 * time.Hour) // so that windows don't begin below zero
	return int64(e.since(e.started)) + before
}

// place is a check's counts and their shard.
type place struct {
	hash   uint64
	counts *counts
}

// maxChecks bounds the checks of one request.
const maxChecks = 16

// Take is [ratelimit.Engine].Take.
func (e *Engine) Take(_ context.Context, checks []ratelimit.Check, into *ratelimit.Decision) error {
	return e.decide(checks, into, true)
}

// Peek is [ratelimit.Engine].Peek.
func (e *Engine) Peek(_ context.Context, checks []ratelimit.Check, into *ratelimit.Decision) error {
	return e.decide(checks, into, false)
}

func (e *Engine) decide(checks []ratelimit.Check, into *ratelimit.Decision, take bool) error {
	if len(checks) > maxChecks {
		return ratelimit.ErrUnavailable
	}
	into.Resize(checks)
	var places [maxChecks]place
	locked := e.lock(checks, &places)
	now := e.nanos()
	into.Allowed = true
	for i := range checks {
		shard := &e.shards[places[i].hash%shards]
		places[i].counts = shard.keys[places[i].hash]
		weigh(&checks[i], places[i].counts, now, &into.Checks[i])
		into.Checks[i].At = e.started.Add(time.Duration(now))
		into.Allowed = into.Allowed && (into.Checks[i].Allowed || checks[i].Shadow)
	}
	for i := range checks {
		verdict := &into.Checks[i]
		switch {
		case !into.Allowed && !verdict.Allowed && !checks[i].Shadow && places[i].counts != nil:
			places[i].counts.refused = now + int64(longestRetry(verdict))
		case take && into.Allowed && verdict.Allowed:
			e.count(&checks[i], places[i].hash, now)
			updateStandings(&checks[i], verdict)
		}
	}
	e.unlock(locked)
	return nil
}

// Learn notes where the checks stand by a decision that another engine has made, as if
// it had been made here. It may be called at any time.
func (e *Engine) Learn(checks []ratelimit.Check, decided *ratelimit.Decision) {
	if len(checks) > maxChecks || len(decided.Checks) != len(checks) {
		return
	}
	var places [maxChecks]place
	locked := e.lock(checks, &places)
	defer e.unlock(locked)
	now := e.nanos()
	for i := range checks {
		if v := &decided.Checks[i]; len(v.Windows) == len(checks[i].Limit) {
			e.learn(&checks[i], places[i].hash, now, v.Windows)
		}
	}
}

// learn has a key stand as its windows do elsewhere. What more was counted there was
// counted now, or just before a shorter window began that doesn't have it.
func (e *Engine) learn(c *ratelimit.Check, hash uint64, now int64, windows []ratelimit.Standing) {
	shard := &e.shards[hash%shards]
	k := shard.keys[hash]
	if k == nil {
		if k = shard.add(hash, now); k == nil {
			return
		}
	}
	k.refused = now + int64(longestRetry(&ratelimit.Verdict{Windows: windows}))
	keep, at := 0, now
	for i, w := range c.Limit {
		used := w.N - windows[i].Remaining
		k.expires = max(k.expires, now+int64(w.Per)+int64(w.Step()))
		var here ratelimit.Standing
		if !w.Exact() {
			k.weighBuckets(w, 1, now, &here)
			k.correctBuckets(w, int64(used-(w.N-here.Remaining)), now)
			continue
		}
		keep = max(keep, w.N)
		k.weighLog(w, 1, now, &here)
		k.correctLog(used-(w.N-here.Remaining), at)
		at = now - int64(w.Per)
	}
	if drop := len(k.log) - keep; drop > 0 {
		k.log = k.log[:copy(k.log, k.log[drop:])]
	}
}

// correctBuckets adds to the present step of a window, or takes from the latest ones.
func (k *counts) correctBuckets(w ratelimit.Window, more, now int64) {
	if more > 0 {
		k.countBucket(w, more, now)
	}
	for i := len(k.buckets) - 1; i >= 0 && more < 0; i-- {
		if b := &k.buckets[i]; b.per == int64(w.Per) {
			taken := min(b.count, -more)
			b.count, more = b.count-taken, more+taken
		}
	}
}

// correctLog adds so many entries of a time, or takes the latest away.
func (k *counts) correctLog(more int, at int64) {
	if more < 0 {
		k.log = k.log[:max(0, len(k.log)+more)]
		return
	}
	place, _ := slices.BinarySearch(k.log, at+1)
	k.log = slices.Insert(k.log, place, slices.Repeat([]int64{at}, more)...)
}

func longestRetry(v *ratelimit.Verdict) time.Duration {
	return slices.MaxFunc(v.Windows, func(a, b ratelimit.Standing) int { return cmp.Compare(a.Retry, b.Retry) }).Retry
}

// updateStandings adds the request that has just been counted to the standings.
func updateStandings(c *ratelimit.Check, v *ratelimit.Verdict) {
	for i, w := range c.Limit {
		standing := &v.Windows[i]
		standing.Remaining -= c.Cost
		if standing.Reset == 0 {
			standing.Reset = w.Per
			if !w.Exact() {
				standing.Reset += w.Step()
			}
		}
	}
}

// weigh tells where each of the check's windows stands, and whether all admit.
func weigh(c *ratelimit.Check, k *counts, now int64, v *ratelimit.Verdict) {
	v.Allowed = true
	for i, w := range c.Limit {
		v.Windows[i] = ratelimit.Standing{Remaining: w.N}
		if k != nil {
			if w.Exact() {
				k.weighLog(w, c.Cost, now, &v.Windows[i])
			} else {
				k.weighBuckets(w, c.Cost, now, &v.Windows[i])
			}
		}
		if v.Windows[i].Remaining < c.Cost {
			v.Allowed = false
			if v.Windows[i].Retry == 0 { // more than the window ever admits
				v.Windows[i].Retry = w.Per
			}
		}
	}
}

func (k *counts) weighLog(w ratelimit.Window, cost int, now int64, s *ratelimit.Standing) {
	// The first that still counts: there are N at most, or as many as matter.
	first := max(0, len(k.log)-w.N)
	if after := now - int64(w.Per); first < len(k.log) && k.log[first] <= after {
		found, _ := slices.BinarySearch(k.log[first:], after+1)
		first += found
	}
	used := len(k.log) - first
	s.Remaining = max(0, w.N-used)
	if used > 0 {
		s.Reset = time.Duration(k.log[first] + int64(w.Per) - now)
	}
	if over := used + cost - w.N; over > 0 && over <= used {
		s.Retry = time.Duration(k.log[first+over-1] + int64(w.Per) - now)
	}
}

func (k *counts) weighBuckets(w ratelimit.Window, cost int, now int64, s *ratelimit.Standing) {
	per, step := int64(w.Per), int64(w.Step())
	used := int64(0)
	for i := range k.buckets {
		b := &k.buckets[i]
		if b.per == per && (b.step+1)*step > now-per {
			if used == 0 {
				s.Reset = time.Duration((b.step+1)*step + per - now)
			}
			used += b.count
		}
	}
	s.Remaining = max(0, w.N-int(used))
	over := used + int64(cost) - int64(w.N)
	if over <= 0 || over > used {
		return
	}
	for i := range k.buckets {
		b := &k.buckets[i]
		if b.per == per && (b.step+1)*step > now-per {
			if over -= b.count; over <= 0 {
				s.Retry = time.Duration((b.step+1)*step + per - now)
				return
			}
		}
	}
}

// count writes down what was admitted.
func (e *Engine) count(c *ratelimit.Check, hash uint64, now int64) {
	shard := &e.shards[hash%shards]
	k := shard.keys[hash]
	if k == nil {
		if k = shard.add(hash, now); k == nil {
			return // every key is being refused, and there is no room
		}
	}
	keep := 0
	for _, w := range c.Limit {
		if w.Exact() {
			keep = max(keep, w.N)
		} else {
			k.countBucket(w, int64(c.Cost), now)
		}
		k.expires = max(k.expires, now+int64(w.Per)+int64(w.Step()))
	}
	if keep > 0 {
		k.countLog(keep, c.Cost, now)
	}
}

// countLog appends to the log, which never has more than keep entries.
func (k *counts) countLog(keep, cost int, now int64) {
	if drop := len(k.log) + cost - keep; drop > 0 {
		k.log = k.log[:copy(k.log, k.log[min(drop, len(k.log)):])]
	}
	for range min(cost, keep) {
		k.log = append(k.log, now)
	}
}

// countBucket adds to the window's present step, and drops the step that has
// left the window.
func (k *counts) countBucket(w ratelimit.Window, cost, now int64) {
	per, step := int64(w.Per), int64(w.Step())
	present := now / step
	free := -1
	for i := range k.buckets {
		b := &k.buckets[i]
		switch {
		case b.per == per && b.step == present:
			b.count += cost
			return
		case b.per == per && (b.step+1)*step <= now-per:
			free = i
		}
	}
	if free >= 0 { // the buckets of a window stay in the order of their steps
		copy(k.buckets[free:], k.buckets[free+1:])
		k.buckets[len(k.buckets)-1] = bucket{per, present, cost}
		return
	}
	k.buckets = append(k.buckets, bucket{per, present, cost})
}

// add makes counts for a key, and room for them if there is none.
func (s *shard) add(hash uint64, now int64) *counts {
	if len(s.keys) >= s.max && !s.evict(now) {
		return nil
	}
	k := &counts{}
	s.keys[hash] = k
	return k
}

// evict forgets a key. It looks at a few of them, wherever Go begins in a map: the first
// that has expired goes, or else the one that expires first, but none that is being
// refused.
func (s *shard) evict(now int64) bool {
	var victim *counts
	var its uint64
	left := 16
	for hash, k := range s.keys {
		if k.refused <= now && (victim == nil || k.expires < victim.expires) {
			victim, its = k, hash
		}
		if left--; left == 0 || k.expires <= now {
			break
		}
	}
	if victim != nil {
		delete(s.keys, its)
	}
	return victim != nil
}

// lock locks the shards of the checks' keys, in order, and returns which.
func (e *Engine) lock(checks []ratelimit.Check, places *[maxChecks]place) (locked uint64) {
	for i := range checks {
		places[i].hash = maphash.String(e.seed, checks[i].Key)
		locked |= 1 << (places[i].hash % shards)
	}
	for rest := locked; rest != 0; rest &= rest - 1 {
		e.shards[bits.TrailingZeros64(rest)].mu.Lock()
	}
	return locked
}

func (e *Engine) unlock(locked uint64) {
	for rest := locked; rest != 0; rest &= rest - 1 {
		e.shards[bits.TrailingZeros64(rest)].mu.Unlock()
	}
}

// Refund is [ratelimit.Engine].Refund.
func (e *Engine) Refund(_ context.Context, checks []ratelimit.Check, counted *ratelimit.Decision) error {
	var places [maxChecks]place
	if len(checks) > maxChecks || len(counted.Checks) != len(checks) {
		return ratelimit.ErrUnavailable
	}
	locked := e.lock(checks, &places)
	defer e.unlock(locked)
	for i := range checks {
		then := int64(counted.Checks[i].At.Sub(e.started))
		if k := e.shards[places[i].hash%shards].keys[places[i].hash]; k != nil {
			k.refund(&checks[i], then)
		}
	}
	return nil
}

func (k *counts) refund(c *ratelimit.Check, then int64) {
	exact := false
	for _, w := range c.Limit {
		if w.Exact() {
			exact = true
			continue
		}
		for i := range k.buckets {
			if b := &k.buckets[i]; b.per == int64(w.Per) && b.step == then/int64(w.Step()) {
				b.count = max(0, b.count-int64(c.Cost))
			}
		}
	}
	for left := c.Cost; exact && left > 0; left-- {
		for i := len(k.log) - 1; i >= 0; i-- {
			if k.log[i] == then {
				k.log = append(k.log[:i], k.log[i+1:]...)
				break
			}
		}
	}
	k.refused = 0
}

// Reset is [ratelimit.Engine].Reset.
func (e *Engine) Reset(_ context.Context, keys []string) error {
	for _, key := range keys {
		hash := maphash.String(e.seed, key)
		shard := &e.shards[hash%shards]
		shard.mu.Lock()
		delete(shard.keys, hash)
		shard.mu.Unlock()
	}
	return nil
}
