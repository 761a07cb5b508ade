package uptime

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"manus/docstore"
	"manus/internal/timeline"
	"manus/language"
	"manus/lease"
	"manus/uptime/confirm"
	"manus/uptime/probe"
	"manus/uptime/schedule"
)

// watch is the work of the copy that watches.
type watch struct {
	*Service
	held  lease.Held
	start time.Time          // its monotonic clock is the schedule's
	left  map[string]float64 // of error budgets, as the metrics say; nobody but who looks at them has it
	wake  chan struct{}

	mu       sync.Mutex
	schedule *schedule.Schedule
	watched  map[string]*watched // nil until it was read what there is
	results  []found             // that aren't kept yet
	written  map[string]State    // by looks, while states are read
	void     time.Time           // of the first look that said nothing, as this program may be cut off
	others   others              // what other places have told
	noted    journal             // as it was written last
	hearts   map[string]heart    // what jobs have said, as far as that is known here

	share int // of the monitors, whose results were moved last
}

// watched is a monitor with what is known of it.
type watched struct {
	Monitor
	check *probe.Check
	beat  *beat // in its place, of a heartbeat

	// The first lock is for what is made of a look. The state is how it is seen from here, of
	// which the store has the changes only.
	deciding sync.Mutex
	confirm  confirm.State
	looks    []Look        // those that speak for its being down, until it is
	failed   time.Duration // when the first of them was over
	agreed

	// The lock of the watch is for these. Times are the schedule's, as the wall clock may be
	// set while a parent is looked at before its child or after.
	state         State         // as the store has it
	good          time.Duration // when the last good look began; zero before there was one
	changed       time.Duration // since when it is down, or up
	down, failing bool
	// outdated is set when a look has changed the state that had begun before the monitor was
	// another one.
	outdated bool
}

// longAgo is when what is up was found to be, where that was before this copy began to watch.
const longAgo = -2 * time.Hour // longer than any confirmation

const (
	// aliveEvery is how often what was found is kept, and that somebody watches.
	aliveEvery = 5 * time.Second
	// parallelWrites are so many that the store can commit them together.
	parallelWrites = 16
	// maxResults bounds what waits to be kept while the store is gone.
	maxResults = 100_000
)

// limits are of checks at a time. One that hangs keeps its place for its timeout.
var limits = schedule.Limits{InAll: 2000, PerHost: 10}

// lead watches until ctx ends, or the lease is lost. Errors are the store's.
func (s *Service) lead(ctx context.Context, held lease.Held) error {
	w := &watch{Service: s, held: held, start: time.Now(), wake: make(chan struct{}, 1), hearts: map[string]heart{}}
	w.schedule = schedule.New(limits, w.start.Add(phase(s.c.Place)))
	j, err := s.write(ctx, held, func(j *journal) { j.isWatched(s.c.Now()); j.Own = s.sources.ownJSON() })
	if err != nil {
		return err
	}
	if err := s.catchUp(ctx, j); err != nil {
		return err
	}
	w.noted = j
	s.network.remember(j.Answered)
	s.leading.Store(w)
	defer s.leading.Store(nil)
	if err := w.read(ctx); err != nil {
		return err
	}
	if w.others, err = w.readPlaces(ctx); err != nil { // before the first look decides alone
		return err
	}
	var working sync.WaitGroup
	defer w.metrics.up.Reset()
	defer w.metrics.budget.Reset()
	defer working.Wait()
	working.Go(func() { s.network.isGone(ctx, 0) }) // so that it is known who answers
	working.Go(func() { w.keepAlive(ctx) })
	working.Go(func() { w.keepHearing(ctx) })
	working.Go(func() { w.rollUps(ctx) })
	working.Go(func() { w.budgets(ctx) })
	working.Go(func() { w.listen(ctx) })
	w.loop(ctx, &working)
	return ctx.Err()
}

func (w *watch) now() time.Duration { return time.Since(w.start) }

// loop begins each look at its time.
func (w *watch) loop(ctx context.Context, working *sync.WaitGroup) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		w.mu.Lock()
		looks := w.schedule.Begin(w.now())
		next, known := w.schedule.Next()
		begun := make([]*watched, len(looks))
		for i, l := range looks {
			begun[i] = w.watched[l.ID]
		}
		w.mu.Unlock()
		for i, l := range looks {
			w.metrics.late.Observe(l.Late.Seconds())
			working.Go(func() { w.look(ctx, begun[i], l) })
		}
		if timer.Stop(); known {
			timer.Reset(next - w.now())
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.wake:
		case <-w.changed:
			if err := w.read(ctx); err != nil && ctx.Err() == nil {
				w.c.Log.WarnContext(ctx, "what is watched can't be read; it will be tried again", "error", err)
				w.reread() // with the next change, or look at the journal
				pause(ctx, time.Second)
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// reread has the list and what is known of it be read once more.
func (s *Service) reread() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (w *watch) woken() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// read makes the schedule be that of the monitors that there are, with what the store knows
// of them.
func (w *watch) read(ctx context.Context) error {
	set := w.set.Load()
	w.mu.Lock()
	w.written = map[string]State{}
	w.mu.Unlock()
	states := make(map[string]State, len(set.monitors))
	var retired []State
	for st, err := range w.states.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			return err
		}
		m, wanted := set.byID[st.ID]
		if wanted {
			if st, err = w.paused(ctx, st, m.Paused); err != nil {
				return err
			}
			if m.Paused || st.Paused {
				if st, err = w.retire(ctx, st, m, pausedTitle); err != nil {
					return err
				}
			}
			states[st.ID] = st
		} else {
			retired = append(retired, st)
		}
	}
	if err := w.readHearts(ctx, set); err != nil {
		return err
	}
	fresh := map[string]*watched{}
	for _, m := range set.monitors {
		w.mu.Lock()
		before := w.watched[m.ID]
		w.mu.Unlock()
		if before != nil && reflect.DeepEqual(before.Monitor, m) {
			continue
		}
		one, err := w.prepare(m)
		if err != nil { // the list was looked at before
			w.c.Log.ErrorContext(ctx, "a monitor can't be checked", "monitor", m.ID, "error", err)
			continue
		}
		fresh[m.ID] = one
	}
	w.put(set, states, fresh)
	var retiring errgroup.Group
	retiring.SetLimit(parallelWrites)
	for _, st := range retired {
		retiring.Go(func() error {
			_, err := w.retire(ctx, st, Monitor{ID: st.ID, Name: st.ID}, goneTitle)
			return docstore.NotFoundAs(err, nil)
		})
	}
	return retiring.Wait()
}

// paused notes that a monitor isn't watched from now on, or is again, if that isn't noted yet.
func (w *watch) paused(ctx context.Context, st State, inList bool) (State, error) {
	if st.Pauses.IsOpen() == (inList || st.Paused) {
		return st, nil
	}
	return w.states.Update(ctx, st.ID, func(st *State) error {
		if err := w.held.Admit(&st.Fence); err != nil {
			return err
		}
		st.pause(inList || st.Paused, w.c.Now())
		return nil
	})
}

// prepare makes a monitor ready to be looked at.
func (w *watch) prepare(m Monitor) (*watched, error) {
	if m.Type == Heartbeat {
		schedule, err := w.scheduleOf(m)
		return &watched{Monitor: m, beat: &beat{schedule: schedule}}, err
	}
	check, err := w.checkOf(m)
	return &watched{Monitor: m, check: check}, err
}

// put has the monitors be watched, of which those in fresh are new or changed.
func (w *watch) put(set *set, states map[string]State, fresh map[string]*watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watching := make(map[string]*watched, len(set.monitors))
	var entries []schedule.Entry
	maps.Copy(states, w.written) // by looks meanwhile
	w.written = nil
	for _, m := range set.monitors {
		one, st := w.watched[m.ID], states[m.ID]
		if made := fresh[m.ID]; made != nil {
			before := one
			one = made
			one.changed = longAgo
			if before != nil { // another check of the same: what is known stays
				one.good, one.changed, one.failing = before.good, before.changed, before.failing
			}
			one.confirm, one.down, one.failed = st.fromHere(), st.Confirm.Down, w.now()
		}
		if one == nil {
			continue
		}
		if m.Paused || st.Paused { // what was seen before says nothing of what comes after
			one = &watched{Monitor: m, check: one.check, beat: one.beat.again(), confirm: st.fromHere(), down: st.Confirm.Down, changed: longAgo, failed: w.now()}
		} else if m.isWatchedAt(w.c.Place) {
			entries = append(entries, m.entry())
		}
		one.state = st
		watching[m.ID] = one
	}
	for id := range w.watched {
		if one := watching[id]; one == nil || one.Paused || one.state.Paused {
			w.metrics.up.DeleteLabelValues(id)
		}
	}
	w.watched = watching
	w.schedule.Set(entries, w.now())
	for id, one := range watching {
		w.hurry(one, true)
		if one.beat != nil && (fresh[id] != nil || one.beat.heard == 0) { // it costs nothing, and its time may be over
			w.schedule.Hurry(id, w.now())
		}
	}
	w.woken()
}

// retire ends what people were told of a monitor that isn't watched any more, or is paused, as
// the title says: nobody is reminded of what nobody looks at. What is known of it stays, in
// case it comes back.
func (w *watch) retire(ctx context.Context, st State, m Monitor, title language.Text) (State, error) {
	if !st.Told && st.FlapsTold.IsZero() && len(st.Burning) == 0 && !st.Down.IsOpen() && st.Pauses.IsOpen() {
		return st, nil
	}
	now := w.c.Now()
	st, err := w.states.Update(ctx, st.ID, func(st *State) error {
		if err := w.held.Admit(&st.Fence); err != nil {
			return err
		}
		if st.Told {
			st.note(endAlert(m, MonitorDown, st.occurrence(), title, now), now)
		}
		if !st.FlapsTold.IsZero() {
			st.note(endAlert(m, MonitorFlapping, st.FlapsTold.String(), title, now), now)
		}
		st.endBurning(m, title, now)
		st.Down, st.Confirm, st.Told, st.FlapsTold = st.Down.Close(now, time.Millisecond), confirm.State{}, false, docstore.Time{}
		st.Here, st.Unseen = confirm.State{}, st.Unseen.Close(now, time.Millisecond)
		st.pause(true, now)
		return nil
	})
	if err == nil {
		w.relay.Send(ctx, st)
	}
	return st, err
}

// look checks a monitor once, and does what follows from that.
func (w *watch) look(ctx context.Context, m *watched, l schedule.Look) {
	began := w.now()
	result := w.see(ctx, m)
	var again time.Time
	if ctx.Err() == nil {
		again = w.judge(ctx, m, began, &result)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() == nil && m.isNews() {
		w.results = append(w.results, found{m.ID, result})
		w.results = w.results[max(0, len(w.results)-maxResults):]
	}
	if again.IsZero() {
		again = w.nextOf(m, result.At)
	}
	at := time.Duration(0)
	if !again.IsZero() {
		at = max(1, began+again.Sub(result.At)) // whatever the clock does meanwhile
	}
	w.schedule.End(l, at, w.now())
	if one := w.watched[m.ID]; one != nil {
		w.hurry(one, false)
	} else { // it was taken out of the list: what it may have noted since has to end
		w.reread()
	}
	w.woken()
}

// judge says what a result shows, and when to look again; zero for in turn.
func (w *watch) judge(ctx context.Context, m *watched, began time.Duration, result *probe.Result) time.Time {
	m.deciding.Lock()
	defer m.deciding.Unlock()
	verdict, name := confirm.Good, "up"
	switch {
	case result.Up:
	case result.Unknown || w.isCutOff(ctx, m, result):
		result.Unknown = true
		verdict, name = confirm.Void, "unknown"
	default:
		verdict, name = confirm.Bad, "down"
	}
	w.metrics.checked(name, time.Duration(result.Total*float64(time.Millisecond)))
	next, step := m.confirm.Look(verdict, result.At, m.policy())
	looks := m.looks
	switch {
	case verdict == confirm.Bad && !m.confirm.Down:
		looks = append(looks[:len(looks):len(looks)], Look{At: docstore.At(result.At.Add(time.Duration(result.Total * float64(time.Millisecond)))), Error: result.Error, Said: m.said()})
	case next.Looks == 0 && !step.WentDown:
		looks = nil
	}
	if verdict == confirm.Bad && (next.Looks == 1 || step.WentDown && m.confirm.Looks == 0) {
		m.failed = w.now()
	}
	a := around{now: w.c.Now(), bad: verdict == confirm.Bad, began: began, failed: m.failed, heard: m.heard(), parents: w.parentsOf(m, verdict == confirm.Bad, m.failed)}
	a.past = w.pastOf(ctx, m, began)
	a.excused = w.isExcused(ctx, m, a.now)
	if others := w.viewsOf(m); w.isAlone(m, others) {
		if !w.note(ctx, m, alone(m.Monitor, next, step, looks, a)) {
			return result.At.Add(aliveEvery) // nothing of it holds: the next look finds it again
		}
	} else {
		m.remember(step, looks)
		if !w.agree(ctx, m, next, others, a) {
			return result.At.Add(aliveEvery)
		}
		m.confirm, m.looks = next, looks
		if step.WentDown {
			m.looks = nil
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if verdict == confirm.Good && m.Locations.needs(others) {
			m.good = began
		}
		return step.Again
	}
	first := m.confirm.Since.IsZero() && !next.Since.IsZero()
	if m.confirm, m.looks = next, looks; step.WentDown {
		m.looks = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if verdict == confirm.Good {
		m.good = began
	}
	if first || step.WentUp || step.WentDown {
		m.changed = began
	}
	m.down, m.failing = next.Down, verdict == confirm.Bad
	if w.watched[m.ID] != nil && !next.Since.IsZero() {
		w.metrics.isUp(m.ID, !next.Down)
	}
	return step.Again
}

// pastOf is what is to be known of the time before a look that began at a moment.
func (w *watch) pastOf(ctx context.Context, m *watched, began time.Duration) past {
	w.mu.Lock()
	down, noted, lasted := m.state.Down, w.noted, began-max(0, m.changed)
	w.mu.Unlock()
	p := past{lasted: lasted}
	if len(down) >= maxSpans {
		p.gaps, p.planned = noted.unknown(w.c.Now()), w.c.Planned(ctx, m.ID, timeline.Between(time.UnixMilli(down[0].From), w.c.Now()))
	}
	return p
}

// alone is the change of a state that a look brings about where nobody else watches.
func alone(m Monitor, next confirm.State, step confirm.Step, looks []Look, a around) func(*State) bool {
	return func(st *State) bool {
		first := st.begin(m, a.now)
		steps := step.WentDown || step.WentUp || step.BeganToFlap || step.EndedToFlap || first || st.Confirm.Since.IsZero() != next.Since.IsZero()
		if steps {
			st.change(next, step, looks, a.past)
			st.Heard = max(st.Heard, a.heard)
		}
		return st.settle(m, a) || steps
	}
}

// note writes what has changed, if anything has. It returns false where that can't be
// written.
func (w *watch) note(ctx context.Context, m *watched, changed func(*State) bool) bool {
	w.mu.Lock()
	known, outdated := m.state, m.outdated
	w.mu.Unlock()
	if outdated {
		w.goOn(m, known)
		return false
	}
	if try := known; !changed(&try) {
		return true
	}
	other := false
	st, err := w.states.Upsert(ctx, State{ID: m.ID}, func(st *State, _ bool) error {
		if err := w.held.Admit(&st.Fence); err != nil {
			return err
		}
		// Who has watched before may have written until just now.
		if other = st.Confirm.Down != known.Confirm.Down || st.Outage != known.Outage; other {
			return nil // but for the fence
		}
		if !changed(st) {
			return docstore.ErrUnchanged
		}
		return nil
	})
	if err == nil {
		w.mu.Lock()
		m.state = st
		if one := w.watched[m.ID]; one != nil {
			one.state, one.outdated = st, one.outdated || one != m
		}
		if w.written != nil {
			w.written[m.ID] = st
		}
		w.mu.Unlock()
	}
	if err == nil && other {
		w.goOn(m, st)
		return false
	}
	if err != nil {
		if !errors.Is(err, lease.ErrLost) && ctx.Err() == nil {
			w.c.Log.WarnContext(ctx, "what became of a monitor can't be written; it will be tried again", "monitor", m.ID, "error", err)
		}
		return false
	}
	if len(st.Pending) > 0 {
		w.relay.Send(ctx, st)
	}
	return true
}

// goOn has a monitor be looked at from where a state is that it wasn't brought to by its own
// looks.
func (w *watch) goOn(m *watched, st State) {
	m.confirm, m.looks = st.fromHere(), nil
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.down != st.Confirm.Down {
		m.down, m.changed = st.Confirm.Down, w.now()
	}
	m.outdated = false
}

// parentsOf says how those are without which a monitor can't be up. Where that one has failed
// they are looked at now, if they weren't since.
func (w *watch) parentsOf(m *watched, failed bool, since time.Duration) parents {
	w.mu.Lock()
	defer w.mu.Unlock()
	var p parents
	for parent, depth := w.watched[m.Parent], 0; parent != nil && depth < maxAbove; parent, depth = w.watched[parent.Parent], depth+1 {
		if parent.Paused || parent.state.Paused { // nobody knows
			continue
		}
		if failed && parent.good <= since && !parent.down {
			w.schedule.Hurry(parent.ID, w.now())
			w.woken()
		}
		if !p.are {
			p = parents{are: true, good: parent.good, up: parent.changed}
		}
		p.good, p.up = min(p.good, parent.good), max(p.up, parent.changed)
		p.down = p.down || parent.down || parent.failing
	}
	return p
}

// isCutOff tells whether a failure is this program's own, as it can reach nothing. What
// confirms an outage is only believed if this was asked since it began.
func (w *watch) isCutOff(ctx context.Context, m *watched, result *probe.Result) bool {
	within := believedFor
	if since := result.At.Sub(m.confirm.First.Time); m.confirm.Looks > 0 && since > 0 { // unless the clock was set back
		within = min(within, since)
	}
	if result.StatusCode != 0 || m.hasSpoken() || !w.network.isGone(ctx, within) {
		return false
	}
	w.mu.Lock()
	if w.void.IsZero() || result.At.Before(w.void) {
		w.void = result.At
	}
	w.mu.Unlock()
	return true
}

// keepAlive keeps what was found every few seconds, notes that somebody watches, and tells
// what was left behind, as by who has watched before; and once more at the end.
func (w *watch) keepAlive(ctx context.Context) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for w.alive(ctx); ; {
		select {
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), aliveEvery)
			defer cancel()
			if !errors.Is(context.Cause(ctx), lease.ErrLost) {
				w.alive(ending)
			}
			return
		case <-tick.C:
			w.alive(ctx)
		}
	}
}

// alive is one round of that. Whatever of it the store refuses, the rest is tried: nobody waits
// for an alert as something else can't be kept.
func (w *watch) alive(ctx context.Context) {
	if err := w.keepResults(ctx); err != nil {
		w.c.Log.WarnContext(ctx, "results of monitors can't be kept; it will be tried again", "error", err)
	}
	if err := w.noteAlive(ctx); err != nil {
		w.c.Log.WarnContext(ctx, "that monitors are watched can't be noted", "error", err)
	}
	if err := w.relay.DeliverStale(ctx); err != nil && ctx.Err() == nil {
		w.c.Log.WarnContext(ctx, "alerts of monitors wait to be told", "error", err)
	}
	if err := w.own.DeliverStale(ctx); err != nil && ctx.Err() == nil {
		w.c.Log.WarnContext(ctx, "alerts of the own network wait to be told", "error", err)
	}
}

// keepResults keeps what was found, and moves what one of the shares of monitors has kept for a
// while.
func (w *watch) keepResults(ctx context.Context) error {
	w.mu.Lock()
	results := w.results
	w.results = nil
	w.mu.Unlock()
	left, err := w.record(ctx, results)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.results = append(left, w.results...)
		w.results = w.results[max(0, len(w.results)-maxResults):]
		return err
	}
	w.handOn(results)
	w.share = (w.share + 1) % shares
	return w.move(ctx, w.share)
}

// noteAlive notes that somebody watches, and whether this program is cut off.
func (w *watch) noteAlive(ctx context.Context) error {
	w.mu.Lock()
	void, now := w.void, w.c.Now()
	w.mu.Unlock()
	gone := !void.IsZero() && w.network.isGone(ctx, believedFor)
	j, err := w.write(ctx, w.held, func(j *journal) {
		j.isWatched(now)
		j.Answered = w.network.haveAnswered()
		if !void.IsZero() {
			j.cutOff(void, true, now)
		}
		if !gone {
			j.cutOff(void, false, now)
		}
	})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noted = j
	if !gone && w.void.Equal(void) {
		w.void = time.Time{}
	}
	return nil
}
