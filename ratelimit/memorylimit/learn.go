package memorylimit

import (
	"slices"
	"time"

	"manus/ratelimit"
)

// Learn is [ratelimit.Fallback].Learn: it makes the counts of the keys what another
// engine has decided they are.
func (e *Engine) Learn(checks []ratelimit.Check, decision *ratelimit.Decision) {
	if len(checks) > maxChecks {
		return
	}
	var places [maxChecks]place
	locked := e.lock(checks, &places)
	defer e.unlock(locked)
	now := e.nanos()
	for i := range checks {
		shard, verdict := &e.shards[places[i].hash%shards], &decision.Checks[i]
		k := shard.keys[places[i].hash]
		if k == nil && untouched(&checks[i], verdict) {
			continue
		}
		if k == nil {
			k = shard.add(places[i].hash, now)
		}
		at := verdict.At.UnixMicro()
		if k == nil || at < k.learned && k.learned-at < overtaken.Microseconds() {
			continue // there is no room, or a later decision has been heard of before
		}
		k.learned = at
		k.learn(&checks[i], verdict, now)
	}
}

// overtaken is by how much the answer to a later question may come before another's. A
// decision that is older than that is by a clock that was set back.
const overtaken = 10 * time.Second

func untouched(c *ratelimit.Check, v *ratelimit.Verdict) bool {
	for i, w := range c.Limit {
		if v.Windows[i].Remaining < w.N {
			return false
		}
	}
	return true
}

// learn takes over where the windows stand. Of what was counted it is known how much it
// is and when the first of it leaves; the rest is taken to be as late as can be.
func (k *counts) learn(c *ratelimit.Check, v *ratelimit.Verdict, now int64) {
	k.log, k.buckets = k.log[:0], k.buckets[:0]
	latest := now
	for i, w := range c.Limit { // the shorter before the longer
		used, first := w.N-v.Windows[i].Remaining, now+int64(v.Windows[i].Reset)-int64(w.Per)
		if w.Exact() {
			for n := used - len(k.log); n > 1; n-- {
				k.log = append(k.log, latest)
			}
			if len(k.log) < used {
				k.log = append(k.log, min(first, latest))
			}
			latest = now - int64(w.Per)
		} else {
			k.learnBuckets(w, int64(used), first, now)
		}
		k.expires = max(k.expires, now+int64(w.Per)+int64(w.Step()))
	}
	slices.Reverse(k.log) // oldest first
	if !v.Allowed && !c.Shadow {
		k.refused = now + int64(longestRetry(v))
	}
}

// learnBuckets has one in the step that leaves first, and the rest in the present one.
func (k *counts) learnBuckets(w ratelimit.Window, used, first, now int64) {
	step := int64(w.Step())
	oldest, present := min((first+step-1)/step-1, now/step), now/step
	if used > 1 && oldest < present {
		k.buckets, used = append(k.buckets, bucket{int64(w.Per), oldest, 1}), used-1
	}
	if used > 0 {
		k.buckets = append(k.buckets, bucket{int64(w.Per), present, used})
	}
}
