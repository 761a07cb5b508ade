package uptime

import (
	"context"
	"maps"
	"slices"
	"time"

	"manus/docstore"
	"manus/internal/timeline"
	"manus/uptime/confirm"
)

// agreed is what the copy that watches knows of how all places see a monitor, by the lock of
// what is made of looks. Times are the schedule's.
type agreed struct {
	tried    []Look        // from here, while it is seen down from here
	badSince time.Duration // since when most see it down; zero while they don't
	unseen   time.Duration // since when nobody is heard of who watches it; zero while somebody is
}

// remember keeps what was tried from here for as long as it is seen down from here.
func (a *agreed) remember(step confirm.Step, looks []Look) {
	switch {
	case step.WentDown:
		a.tried = looks
	case step.WentUp:
		a.tried = nil
	}
}

// fromHere is how the server's own place sees it.
func (st State) fromHere() confirm.State {
	if !st.Here.Since.IsZero() {
		return st.Here
	}
	return st.Confirm
}

// others are other places by their names.
type others map[string]*other

// other is a place with when it was heard of, by the schedule's clock: nobody knows whose wall
// clock is set meanwhile.
type other struct {
	outlook
	heard  time.Duration
	silent bool
}

// views are what the places have told of a monitor, in the order of their names.
func (o others) views(m Monitor) (all []view) {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		seen, knows := o[name].sees[m.ID]
		if !knows || !m.isSeenFrom(name) {
			continue
		}
		v := view{place: name, down: seen.Down, since: seen.Since, silent: o[name].silent, until: o[name].Heard.Add(-m.noticing())}
		for _, t := range seen.Tried {
			v.tried = append(v.tried, Look{At: docstore.At(t.At), Error: t.Error, Place: name})
		}
		all = append(all, v)
	}
	return all
}

func (w *watch) viewsOf(m *watched) []view {
	w.mu.Lock()
	others := w.others
	w.mu.Unlock()
	return others.views(m.Monitor)
}

// isAlone tells that what is seen from here is all there is to know of a monitor.
func (w *watch) isAlone(m *watched, others []view) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(others) == 0 && m.state.Here.Since.IsZero() && !m.state.Unseen.IsOpen() && m.isWatchedAt(w.c.Place)
}

// keepHearing learns what other places have told, until ctx ends.
func (w *watch) keepHearing(ctx context.Context) {
	tick := time.NewTicker(w.pace.every / 2)
	defer tick.Stop()
	cutOff := false
	for {
		if was := cutOff; ctx.Err() == nil {
			cutOff = w.isVoid()
			if err := w.hear(ctx, cutOff != was); err != nil && ctx.Err() == nil {
				w.c.Log.WarnContext(ctx, "what other places have told can't be read", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// isVoid tells whether this program may be cut off.
func (w *watch) isVoid() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.void.IsZero()
}

// hear learns what other places have told, and what follows from that. all means that every
// monitor is to be looked into.
func (w *watch) hear(ctx context.Context, all bool) error {
	now, err := w.readPlaces(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	all = all || now.differ(w.others)
	w.others = now
	watching := slices.Collect(maps.Values(w.watched))
	w.mu.Unlock()
	for _, m := range watching {
		if ctx.Err() == nil {
			w.reconsider(ctx, m, all)
		}
	}
	w.metrics.areShown(now)
	if len(now) == 0 {
		return nil
	}
	for _, one := range now {
		if err := w.tellSilence(ctx, one); err != nil {
			return err
		}
	}
	return w.ofPlaces.DeliverStale(ctx)
}

// readPlaces reads what other places have told. Errors are the store's.
func (w *watch) readPlaces(ctx context.Context) (others, error) {
	w.mu.Lock()
	before := w.others
	w.mu.Unlock()
	now := others{}
	for p, err := range w.places.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			return nil, err
		}
		now[p.Name] = w.heardOf(p, before[p.Name])
	}
	return now, nil
}

// differ tells whether what follows may be something else than from what was told before.
func (o others) differ(before others) bool {
	for name, one := range o {
		was := before[name]
		if was == nil || was.Changes != one.Changes || was.silent != one.silent {
			return true
		}
	}
	return len(o) != len(before)
}

// heardOf is a place as it is now; was is what was known of it.
func (w *watch) heardOf(p place, was *other) *other {
	one := &other{heard: w.now()}
	switch {
	case was == nil && w.c.Now().Sub(p.Heard.Time).Abs() > w.pace.freshFor:
		one.heard = -w.pace.freshFor - 1 // by who has watched before
	case was != nil && was.Beat == p.Beat && was.Instance == p.Instance:
		one.heard = was.heard
	}
	if was != nil && was.Changes == p.Changes && was.Since.Equal(p.Since.Time) {
		one.outlook = outlook{p, was.sees}
	} else {
		one.outlook = p.outlook()
	}
	one.silent = p.CutOff || p.Instance == "" || w.now()-one.heard > w.pace.freshFor
	return one
}

// tellSilence has people told when nothing is heard of a place for too long, and of the end of
// that.
func (w *watch) tellSilence(ctx context.Context, o *other) error {
	silence := w.now() - max(0, o.heard)
	if o.Silent.IsZero() == (silence < w.pace.silentAfter) {
		return nil
	}
	now := w.c.Now()
	p, err := w.places.Update(ctx, o.Name, func(p *place) error {
		if err := w.held.Admit(&p.Fence); err != nil {
			return err
		}
		switch {
		case p.Beat != o.Beat: // it was heard of just now: the next time tells
			return docstore.ErrUnchanged
		case p.Silent.IsZero():
			p.Silent = p.Heard
			p.note(silentAlert(p.Name, p.Silent, now), now)
		default:
			p.note(heardAlert(p.Name, p.Silent, now), now)
			p.Silent = docstore.Time{}
		}
		return nil
	})
	if err == nil {
		w.ofPlaces.Send(ctx, p)
	}
	return docstore.NotFoundAs(err, nil)
}

// reconsider looks into a monitor again by what other places have told: if all are to be, or
// if something of it is left to be told.
func (w *watch) reconsider(ctx context.Context, m *watched, all bool) {
	others := w.viewsOf(m)
	if w.isAlone(m, others) {
		return
	}
	w.mu.Lock()
	current := w.watched[m.ID] == m && !m.Paused && !m.state.Paused
	all = all || m.state.Confirm.Down && !m.state.Told || m.state.Unseen.IsOpen()
	w.mu.Unlock()
	m.deciding.Lock()
	defer m.deciding.Unlock()
	if !current || !all && m.unseen == 0 && m.isWatchedAt(w.c.Place) {
		return
	}
	a := around{now: w.c.Now(), began: w.now()}
	a.past = w.pastOf(ctx, m, a.began)
	a.excused = w.isExcused(ctx, m, a.now)
	w.agree(ctx, m, m.confirm, others, a)
}

func (w *watch) isExcused(ctx context.Context, m *watched, now time.Time) bool {
	return w.sources.allMuted(now) || len(w.c.Planned(ctx, m.ID, timeline.Span{From: now.UnixMilli(), Until: now.UnixMilli() + 1})) > 0
}

// agree notes what holds of a monitor by how all places see it: own is how this one does. It
// returns false where that can't be written.
func (w *watch) agree(ctx context.Context, m *watched, own confirm.State, others []view, a around) bool {
	views := others
	if m.isWatchedAt(w.c.Place) && !own.Since.IsZero() {
		views = append(views, w.ownView(m, own, a.now))
	}
	w.mu.Lock()
	before := m.state.Confirm
	w.mu.Unlock()
	verdict, _ := m.Locations.agree(views, before.Down)
	if a.bad = verdict == confirm.Bad; !a.bad {
		m.badSince = 0
	} else if m.badSince == 0 {
		m.badSince = w.now()
	}
	if !slices.ContainsFunc(views, func(v view) bool { return !v.silent }) {
		if m.unseen == 0 {
			m.unseen = w.now()
		}
	} else {
		m.unseen = 0
	}
	unseen := time.Duration(0)
	if m.unseen != 0 && w.now()-m.unseen >= w.pace.freshFor {
		unseen = w.now() - m.unseen
	}
	a.failed, a.age = m.badSince, m.recovering()+2*w.pace.every
	a.parents = w.parentsOf(m, a.bad, m.badSince)
	if !w.note(ctx, m, func(st *State) bool { return st.agree(m.Monitor, own, views, unseen, a) }) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	after := m.state.Confirm
	if before.Down != after.Down || before.Since.IsZero() && !after.Since.IsZero() {
		m.changed = a.began
	}
	// Others may have seen it up as long ago as it takes them to find that it isn't: they look at
	// once at all above what fails.
	up := slices.ContainsFunc(others, func(v view) bool { return !v.silent && !v.down })
	if m.down = after.Down; up && !m.down {
		m.good = max(m.good, a.began-m.confirming()-m.Timeout-2*w.pace.every)
	}
	m.failing = !up && own.Looks > 0 && !own.Down
	if w.watched[m.ID] != nil && !after.Since.IsZero() {
		w.metrics.isUp(m.ID, !after.Down)
	}
	return true
}

// ownView is how this place sees a monitor.
func (w *watch) ownView(m *watched, own confirm.State, now time.Time) view {
	v := view{place: w.c.Place, down: own.Down, since: own.Since.Time, until: now}
	for _, t := range m.tried {
		t.Place = w.c.Place
		v.tried = append(v.tried, t)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.void.IsZero() {
		v.silent, v.until = true, w.void.Add(-m.noticing())
	}
	return v
}

// agree notes what holds by how places see it. It was unseen for so long now.
func (st *State) agree(m Monitor, own confirm.State, views []view, unseen time.Duration, a around) bool {
	steps := st.begin(m, a.now)
	verdict, at := m.Locations.agree(views, st.Confirm.Down)
	if st.Confirm.Since.IsZero() || (verdict == confirm.Bad) != st.Confirm.Down {
		if at.IsZero() || at.After(a.now) {
			at = a.now
		}
		if at.Before(st.Confirm.Since.Time) {
			at = st.Confirm.Since.Time
		}
	} else {
		at = a.now
	}
	next, step := st.Confirm.Look(verdict, at, confirm.Policy{UpAfter: 1})
	steps = steps || step != (confirm.Step{}) || st.Confirm.Since.IsZero() != next.Since.IsZero()
	var here confirm.State
	if !own.Since.IsZero() && own.Down != next.Down {
		here = confirm.State{Down: own.Down, Since: own.Since}
	}
	if steps = steps || here.Down != st.Here.Down || !here.Since.Equal(st.Here.Since.Time); steps {
		var looks []Look
		for _, v := range views {
			if v.down && !v.silent {
				looks = append(looks, v.tried[max(0, len(v.tried)-maxTried):]...)
			}
		}
		slices.SortStableFunc(looks, func(a, b Look) int { return a.At.Compare(b.At.Time) })
		st.change(next, step, looks, a.past)
		st.Here, st.Heard = here, max(st.Heard, a.heard)
	}
	if isUnseen := unseen > 0; isUnseen != st.Unseen.IsOpen() {
		if st.Unseen = st.Unseen.Close(a.now, time.Millisecond); isUnseen {
			st.Unseen = st.Unseen.Open(a.now.Add(-unseen))
		}
		st.Unseen = st.Unseen[max(0, len(st.Unseen)-maxPauses):]
		steps = true
	}
	return st.settle(m, a) || steps
}

// handOn tells whoever wants to know of results that have been kept.
func (w *watch) handOn(results []found) {
	if w.c.Kept == nil || len(results) == 0 {
		return
	}
	all := make([]Found, len(results))
	for i, r := range results {
		all[i] = Found{Monitor: r.monitor, Result: r.Result}
	}
	w.c.Kept(all)
}

// View is how this program sees what it watches, and whether it does watch.
func (s *Service) View() (v View, watches bool) {
	v = View{Up: []string{}, Seen: []Seen{}}
	w := s.leading.Load()
	if w == nil {
		return v, false
	}
	now := s.c.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched == nil {
		return v, false
	}
	v.CutOff = !w.void.IsZero()
	listed := 0
	for _, id := range slices.Sorted(maps.Keys(w.watched)) {
		m := w.watched[id]
		c := m.state.Confirm
		switch {
		case m.Paused || m.state.Paused || c.Since.IsZero():
		case !c.Down && now.Sub(c.Since.Time) > longKnown:
			v.Up = append(v.Up, id)
		default:
			seen := Seen{Monitor: id, Down: c.Down, Since: c.Since.UTC()}
			if c.Down && listed < maxListed { // of thousands the report would be too long
				listed++
				for _, t := range m.state.Tried[max(0, len(m.state.Tried)-maxTried):] {
					seen.Tried = append(seen.Tried, Try{t.At.UTC(), tidied(t.Error)})
				}
			}
			v.Seen = append(v.Seen, seen)
		}
	}
	return v, true
}

// longKnown is for how long it is told since when something is up.
const longKnown = time.Hour
