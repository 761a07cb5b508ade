// Package memorylimit counts limits in memory, for one machine.
//
// What is counted is lost when the program ends. Memory is bounded: when there is
// no room, whoever has used least of some that are looked at is forgotten, but nobody
// who has nothing left. If all of those have nothing left, newcomers share counts. So
// a spray of new keys frees nobody, and nobody goes uncounted.
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
	// log has the times of the newest that were admitted, oldest first: as many as the
	// exact windows need, or [ratelimit.ExactUpTo] beside large windows, so that any
	// exact window can follow them.
	log     []int64
	buckets []bucket
	expires int64 // when nothing of it counts any more
	full    int64 // until when it has nothing left
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
	defer e.unlock(locked)
	now := e.nanos()
	into.Allowed = true
	for i := range checks {
		shard := &e.shards[places[i].hash%shards]
		if take {
			places[i].hash = shard.place(places[i].hash, now)
		}
		places[i].counts = shard.keys[places[i].hash]
		weigh(&checks[i], places[i].counts, now, &into.Checks[i])
		into.Checks[i].At = e.started.Add(time.Duration(now))
		into.Allowed = into.Allowed && (into.Checks[i].Allowed || checks[i].Shadow)
	}
	for i := 0; take && i < len(checks); i++ {
		verdict := &into.Checks[i]
		if into.Allowed && verdict.Allowed {
			places[i].counts = e.count(&checks[i], places[i].hash, now)
			updateStandings(&checks[i], verdict)
		}
		if k := places[i].counts; k != nil {
			k.full = now + int64(untilMore(&checks[i], verdict))
		}
	}
	return nil
}

// untilMore is for how long a window has too little left for another request.
func untilMore(c *ratelimit.Check, v *ratelimit.Verdict) (wait time.Duration) {
	for _, standing := range v.Windows {
		if standing.Remaining < c.Cost {
			wait = max(wait, cmp.Or(standing.Retry, standing.Reset))
		}
	}
	return wait
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
			e.learn(&checks[i], places[i].hash, now, v)
		}
	}
}

// learn has a key stand as its windows do elsewhere. What more was counted there was
// counted now, or just before a shorter window began that doesn't have it.
func (e *Engine) learn(c *ratelimit.Check, hash uint64, now int64, v *ratelimit.Verdict) {
	shard := &e.shards[hash%shards]
	k := shard.add(shard.place(hash, now))
	k.follow(c.Limit, now)
	k.full = now + int64(untilMore(c, v))
	at, exact := now, slices.ContainsFunc(c.Limit, ratelimit.Window.Exact)
	for i, w := range c.Limit {
		k.expires = max(k.expires, now+int64(w.Per)+int64(w.Step()))
		more := k.weigh(w, 1, now).Remaining - v.Windows[i].Remaining
		if !w.Exact() {
			k.correctBuckets(w, int64(more), now)
		}
		if w.Exact() || !exact && i == 0 {
			k.correctLog(min(more, ratelimit.ExactUpTo), at)
			at = now - int64(w.Per)
		}
	}
	k.trimLog(kept(c.Limit))
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
			v.Windows[i] = k.weigh(w, c.Cost, now)
		}
		if v.Windows[i].Remaining < c.Cost {
			v.Allowed = false
			if v.Windows[i].Retry == 0 { // more than the window ever admits
				v.Windows[i].Retry = w.Per
			}
		}
	}
}

// weigh tells where a window stands.
func (k *counts) weigh(w ratelimit.Window, cost int, now int64) (s ratelimit.Standing) {
	s.Remaining = w.N
	if w.Exact() {
		k.weighLog(w, cost, now, &s)
	} else {
		k.weighBuckets(w, cost, now, &s)
	}
	return s
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
	buckets := k.buckets
	if !k.has(per) {
		buckets = k.seed(w, now)
	}
	used := int64(0)
	for i := range buckets {
		b := &buckets[i]
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
	for i := range buckets {
		b := &buckets[i]
		if b.per == per && (b.step+1)*step > now-per {
			if over -= b.count; over <= 0 {
				s.Retry = time.Duration((b.step+1)*step + per - now)
				return
			}
		}
	}
}

// count writes down what was admitted.
func (e *Engine) count(c *ratelimit.Check, hash uint64, now int64) *counts {
	k := e.shards[hash%shards].add(hash)
	k.follow(c.Limit, now)
	for _, w := range c.Limit {
		if !w.Exact() {
			k.countBucket(w, int64(c.Cost), now)
		}
		k.expires = max(k.expires, now+int64(w.Per)+int64(w.Step()))
	}
	k.countLog(kept(c.Limit), c.Cost, now)
	return k
}

// kept is how many times the log keeps for a limit.
func kept(limit ratelimit.Limit) (keep int) {
	for _, w := range limit {
		keep = max(keep, min(w.N, ratelimit.ExactUpTo))
	}
	return keep
}

// has tells whether a large window of the length has been counted in.
func (k *counts) has(per int64) bool {
	return slices.ContainsFunc(k.buckets, func(b bucket) bool { return b.per == per })
}

// follow makes buckets for the large windows of a limit, and drops those of windows
// that aren't its any more, as they wouldn't be told of what comes.
func (k *counts) follow(limit ratelimit.Limit, now int64) {
	for _, w := range limit {
		if !w.Exact() && !k.has(int64(w.Per)) {
			k.buckets = append(k.buckets, k.seed(w, now)...)
		}
	}
	k.buckets = slices.DeleteFunc(k.buckets, func(b bucket) bool {
		return !slices.ContainsFunc(limit, func(w ratelimit.Window) bool { return int64(w.Per) == b.per && !w.Exact() })
	})
}

// seed is the buckets of a window that hasn't been counted in: what was counted in
// others, at the latest time that it can be of.
func (k *counts) seed(w ratelimit.Window, now int64) (seeded []bucket) {
	per, step := int64(w.Per), int64(w.Step())
	for _, u := range k.history(now) {
		last := len(seeded) - 1
		switch {
		case u.at <= now-per:
		case last >= 0 && seeded[last].step == u.at/step:
			seeded[last].count += u.count
		default:
			seeded = append(seeded, bucket{per, u.at / step, u.count})
		}
	}
	return seeded
}

// admitted is a number of requests, and the latest time that they can be of.
type admitted struct{ at, count int64 }

// history is what is known to have been admitted, oldest first. Longer windows reach
// further back; of the newest, shorter ones know better when they were, and the log
// does best.
func (k *counts) history(now int64) (known []admitted) {
	var pers []int64
	for _, b := range k.buckets {
		pers = append(pers, b.per)
	}
	slices.Sort(pers)
	for _, per := range slices.Backward(slices.Compact(pers)) {
		var theirs []admitted
		for _, b := range k.buckets {
			if end := (b.step + 1) * (per / ratelimit.Steps); b.per == per && end > now-per {
				theirs = append(theirs, admitted{min(end-1, now), b.count})
			}
		}
		known = replaceNewest(known, theirs)
	}
	logged := make([]admitted, len(k.log))
	for i, at := range k.log {
		logged[i] = admitted{at, 1}
	}
	return replaceNewest(known, logged)
}

// replaceNewest puts what is known better in the place of as many of the newest.
func replaceNewest(known, better []admitted) []admitted {
	replaced := int64(0)
	for _, b := range better {
		replaced += b.count
	}
	for last := len(known) - 1; last >= 0 && replaced > 0; last-- {
		out := min(replaced, known[last].count)
		known[last].count -= out
		replaced -= out
		if known[last].count == 0 {
			known = known[:last]
		}
	}
	return append(known, better...)
}

// countLog appends to the log, which never has more than keep entries.
func (k *counts) countLog(keep, cost int, now int64) {
	k.trimLog(max(0, keep-cost))
	for range min(cost, keep) {
		k.log = append(k.log, now)
	}
}

// trimLog keeps the newest entries.
func (k *counts) trimLog(keep int) {
	if drop := len(k.log) - keep; drop > 0 {
		k.log = k.log[:copy(k.log, k.log[drop:])]
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

// place is where a key is counted: at its own hash; or, if there is no room and nobody
// can be forgotten, at one of a few that newcomers share.
func (s *shard) place(hash uint64, now int64) uint64 {
	if s.keys[hash] != nil || len(s.keys) < s.max || s.evict(now) {
		return hash
	}
	return s.shared(hash)
}

// add is the counts at a place.
func (s *shard) add(hash uint64) *counts {
	k := s.keys[hash]
	if k == nil {
		k = &counts{}
		s.keys[hash] = k
	}
	return k
}

// shared is in the same shard.
func (s *shard) shared(hash uint64) uint64 { return hash % (shards * uint64(1+s.max/16)) } //nolint:gosec // positive

// evict forgets a key. It looks at a few of them, wherever Go begins in a map: the first
// that has expired goes, or else the one that has used least, but none that has nothing
// left and none that newcomers share.
func (s *shard) evict(now int64) bool {
	var victim *counts
	var its uint64
	left := 16
	for hash, k := range s.keys {
		expired := k.expires <= now
		if expired || k.full <= now && hash != s.shared(hash) && (victim == nil || k.used() < victim.used()) {
			victim, its = k, hash
		}
		if left--; left == 0 || expired {
			break
		}
	}
	if victim != nil {
		delete(s.keys, its)
	}
	return victim != nil
}

// used tells roughly how much a key has used.
func (k *counts) used() int64 {
	used := int64(len(k.log))
	for i := range k.buckets {
		used += k.buckets[i].count
	}
	return used
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
	for _, w := range c.Limit {
		for i := range k.buckets {
			if b := &k.buckets[i]; b.per == int64(w.Per) && b.step == then/int64(w.Step()) {
				b.count = max(0, b.count-int64(c.Cost))
			}
		}
	}
	for range c.Cost {
		for i := len(k.log) - 1; i >= 0; i-- {
			if k.log[i] == then {
				k.log = append(k.log[:i], k.log[i+1:]...)
				break
			}
		}
	}
	k.full = 0
}

// Reset is [ratelimit.Engine].Reset.
func (e *Engine) Reset(_ context.Context, keys []string) error {
	for _, key := range keys {
		hash := maphash.String(e.seed, key)
		shard := &e.shards[hash%shards]
		shard.mu.Lock()
		delete(shard.keys, hash)
		delete(shard.keys, shard.shared(hash))
		shard.mu.Unlock()
	}
	return nil
}
