package uptime

import (
	"context"
	"time"

	"manus/docstore"
	"manus/internal/timeline"
	"manus/uptime/heartbeat"
	"manus/uptime/probe"
)

const (
	// listenedEvery is how often a heartbeat is judged at least, by what is known here: so that
	// the end of a maintenance is seen, and that its parent is up.
	listenedEvery = time.Minute
	// hearEvery is how often it is asked which pings other copies have taken; all that is known
	// is read anew every hearAllEvery, as the clock of one may be behind by more than skew.
	hearEvery    = 2 * time.Second
	hearAllEvery = time.Minute
	skew         = 10 * time.Second
)

// beat is a heartbeat as it is judged. A look that is under way has it for itself.
type beat struct {
	schedule *heartbeat.Schedule
	seen     int64 // the last ping that has been accounted for
	// Of the last look: the last ping that it is about, whether that one has said what was found,
	// whether it is news, and when to look again.
	heard       int64
	last        heartbeat.Ping
	spoke, news bool
	next        time.Time
}

// again is the same, as it was before any look.
func (b *beat) again() *beat {
	if b == nil {
		return nil
	}
	return &beat{schedule: b.schedule}
}

// isNews tells whether the last look has found something that is worth keeping.
func (m *watched) isNews() bool { return m.beat == nil || m.beat.news }

// hasSpoken tells whether what the last look has found was said by the job itself.
func (m *watched) hasSpoken() bool { return m.beat != nil && m.beat.spoke }

// heard is the last ping that the last look was about; 0 where there are none.
func (m *watched) heard() int64 {
	if m.beat == nil {
		return 0
	}
	return m.beat.heard
}

// said is what the job said last, in a line.
func (m *watched) said() string {
	if m.beat == nil {
		return ""
	}
	return m.beat.last.Line
}

// readHearts reads what is known of all heartbeats.
func (w *watch) readHearts(ctx context.Context, set *set) error {
	all, err := w.heartsOf(ctx, set.monitors, w.expecting)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, h := range all {
		if known := w.hearts[id]; h.Record.Seq >= known.Record.Seq { // which a ping may have brought meanwhile
			w.hearts[id] = h
		}
	}
	return nil
}

// hears has what jobs have said since be judged at once.
func (w *watch) hears(all ...heart) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range all {
		if known, there := w.hearts[h.ID]; there && h.Record.Seq <= known.Record.Seq {
			continue
		}
		w.hearts[h.ID] = h
		if w.watched[h.ID] != nil {
			w.schedule.Hurry(h.ID, w.now())
			w.woken()
		}
	}
}

// listen learns of the pings that other copies take, until ctx ends.
func (w *watch) listen(ctx context.Context) {
	tick := time.NewTicker(hearEvery)
	defer tick.Stop()
	var last time.Time // the newest that is known
	var whole time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !w.set.Load().hears {
			continue
		}
		q := docstore.Query{Index: byChanged, From: docstore.At(last.Add(-skew)), Limit: docstore.MaxLimit}
		if time.Since(whole) >= hearAllEvery {
			whole, q.From, last = time.Now(), nil, time.Time{}
		}
		for h, err := range w.pings.hearts.All(ctx, q) {
			if err != nil {
				break // it is asked again soon
			}
			if w.hears(h); h.Changed.After(last) {
				last = h.Changed.Time
			}
		}
	}
}

// see looks at a monitor, or says how a heartbeat's job is.
func (w *watch) see(ctx context.Context, m *watched) probe.Result {
	if m.beat == nil {
		return m.check.Do(ctx)
	}
	result := w.judgeBeat(m)
	if m.confirm.Down || result.Up || result.Unknown || m.beat.spoke {
		return result
	}
	h, err := w.pings.hearts.Get(ctx, m.ID) // before it is said to be down: another copy may know better
	if err = docstore.NotFoundAs(err, nil); err != nil {
		result.Unknown = true
		return result
	}
	w.hears(h)
	return w.judgeBeat(m)
}

// judgeBeat says how a heartbeat's job is by what is known here: by what it has said and isn't
// accounted for, one after the other, and then by what it should have.
func (w *watch) judgeBeat(m *watched) probe.Result {
	b, now := m.beat, w.c.Now()
	w.mu.Lock()
	h := w.hearts[m.ID]
	h.Record = h.Record.Before(now)
	w.hearts[m.ID] = h // so that what was noted by a clock that was ahead counts from now, once
	pauses, unknown, told := m.state.Pauses, w.noted.unknown(now), m.state.Told
	b.seen = max(b.seen, m.state.Heard)
	w.mu.Unlock()
	r := h.Record
	b.spoke, b.news, b.heard = false, b.heard < r.Seq, r.Seq
	for _, p := range r.Pings {
		if p.Seq <= b.seen || p.Signal == heartbeat.Start {
			continue
		}
		if bad := p.Signal == heartbeat.Fail; bad != m.confirm.Down && !covers(pauses, p.At.Time) {
			b.spoke, b.news, b.heard, b.last, b.next = true, true, p.Seq, p, now
			st := heartbeat.Standing{Kind: heartbeat.Well}
			if bad {
				st = heartbeat.Standing{Kind: heartbeat.Failed, Since: p.At.Time}
			}
			return resultOf(b.schedule, st, heartbeat.Record{Pings: []heartbeat.Ping{p}}, now)
		}
		b.seen = p.Seq
	}
	st := b.schedule.Judge(r, unknown.Or(pauses...), now)
	b.last, b.next = r.Last(), now.Add(listenedEvery)
	if st.Kind == heartbeat.Failed {
		b.spoke = true
	}
	if !st.Due.IsZero() && st.Due.Before(b.next) {
		b.next = st.Due
	}
	b.news = b.news || st.Kind.Bad() != m.confirm.Down
	if st.Kind.Bad() && !told && m.Parent != "" { // it is told once its parent is up
		b.next = now.Add(aliveEvery)
	}
	return resultOf(b.schedule, st, r, now)
}

// resultOf is a standing as a look would have found it.
func resultOf(s *heartbeat.Schedule, st heartbeat.Standing, r heartbeat.Record, now time.Time) probe.Result {
	return probe.Result{At: now, Up: st.Kind == heartbeat.Well || st.Kind == heartbeat.Running, Unknown: st.Kind == heartbeat.Unheard, Error: s.Tell(st, r)}
}

// covers tells whether a moment is in one of the spans.
func covers(spans timeline.Spans, at time.Time) bool {
	return len(spans.Within(timeline.Between(at, at.Add(time.Millisecond)))) > 0
}

// nextOf is when to look at a heartbeat again after a look: at once, which is at that look's
// time, where its job has said something meanwhile. It is zero for other monitors. Its caller has the
// lock of the watch.
func (w *watch) nextOf(m *watched, looked time.Time) time.Time {
	if m.beat == nil {
		return time.Time{}
	}
	if w.hearts[m.ID].Record.Seq > m.beat.heard {
		return looked
	}
	return m.beat.next
}
