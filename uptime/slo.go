package uptime

import (
	"cmp"
	"context"
	"slices"
	"time"

	"manus/docstore"
	"manus/internal/timeline"
	"manus/language"
)

// A monitor with an SLO may be down for a part of the time: that is its error budget. How fast
// it is burnt is told as chapter 5 of Google's SRE workbook has it, by several rates over several windows
// (https://sre.google/workbook/alerting-on-slos/), but from the times at which it was down
// and not from counts.

// budgetWindow is the time that a budget is for: it ends now.
const budgetWindow = 30 * aDay

// Severity is how soon somebody has to see to a budget that is burning.
type Severity string

// The severities.
const (
	Page   Severity = "page"   // now
	Ticket Severity = "ticket" // in the next days
)

// burnRule says when a budget is burning: when it was burnt at such a rate both in a long
// window and, so that it is still going on, in a short one. At a rate of 1 the budget lasts
// exactly for its window.
type burnRule struct {
	severity    Severity
	long, short time.Duration
	rate        float64
}

var burnRules = []burnRule{
	{Page, time.Hour, 5 * time.Minute, 14.4},   // 2 % of the budget
	{Page, 6 * time.Hour, 30 * time.Minute, 6}, // 5 %
	{Ticket, aDay, 2 * time.Hour, 3},           // 10 %
	{Ticket, 3 * aDay, 6 * time.Hour, 1},       // 10 %
}

// calm is for how long nothing may be down for a budget not to burn any more: so that
// outages every half an hour are told once.
var calm = map[Severity]time.Duration{Page: time.Hour, Ticket: 6 * time.Hour}

// burnWindows are those of which rates are shown.
var burnWindows = []struct {
	Name   Window
	Length time.Duration
}{
	{"5m", 5 * time.Minute}, {"30m", 30 * time.Minute}, {"1h", time.Hour}, {"2h", 2 * time.Hour}, {"6h", 6 * time.Hour}, {"1d", aDay}, {"3d", 3 * aDay},
}

// Budget is what is left of an error budget.
type Budget struct {
	// Total is for how long it may be down, of the known time of the window. What is before its
	// first look counts as known, as the window is going to fill.
	Total time.Duration
	// Left is what is left of that; it is negative when it was down for longer.
	Left time.Duration
	// Burns are the rates by window; one of which less than half is known isn't in it.
	Burns map[Window]float64
	// Burning are the severities that people were told of, and not of their end.
	Burning []Severity
}

// Ratio is the part that is left; negative when it was down for longer.
func (b Budget) Ratio() float64 {
	if b.Total <= 0 {
		return 1
	}
	return float64(b.Left) / float64(b.Total)
}

// budget is how long it may have been down, and how long it may still, up to a moment.
func budget(h timeline.History, slo float64, now time.Time) (total, left time.Duration) {
	h.Since = 0
	f := h.Figure(timeline.Between(now.Add(-budgetWindow), now))
	total = time.Duration((1 - slo) * float64(f.Known))
	return total, total - f.Down
}

// burnRate is at which rate a budget was burnt in a window that ends now. It isn't known where
// less than half of the window is.
func burnRate(h timeline.History, slo float64, now time.Time, window time.Duration) (rate float64, known bool) {
	h.Since = 0
	f := h.Figure(timeline.Between(now.Add(-window), now))
	if f.Known < window/2 {
		return 0, false
	}
	return float64(f.Down) / float64(f.Known) / (1 - slo), true
}

// budgetOf is what is left of a monitor's error budget.
func budgetOf(h timeline.History, slo float64, st State, now time.Time) *Budget {
	b := Budget{Burns: map[Window]float64{}}
	b.Total, b.Left = budget(h, slo, now)
	for _, w := range burnWindows {
		if rate, known := burnRate(h, slo, now, w.Length); known {
			b.Burns[w.Name] = rate
		}
	}
	for _, one := range st.Burning {
		b.Burning = append(b.Burning, one.Severity)
	}
	return &b
}

// burning is that a budget burns, and people were told.
type burning struct {
	Severity Severity      `json:"severity"`
	Since    docstore.Time `json:"since"`
}

// occurrence names one time that a budget burns.
func (b burning) occurrence() string { return string(b.Severity) + "-" + b.Since.String() }

// isMet tells whether a rule is.
func (r burnRule) isMet(h timeline.History, slo float64, now time.Time) bool {
	for _, window := range []time.Duration{r.short, r.long} {
		if rate, known := burnRate(h, slo, now, window); !known || rate <= r.rate {
			return false
		}
	}
	return true
}

// addsToOutage tells whether a rule that is met says more than that it is down, of which
// people are told anyway. A page does when there was more than one outage: what to do about
// one they have been told. A ticket does once it is up, as the work that it asks for comes
// after that.
func (r burnRule) addsToOutage(h timeline.History, down bool, now time.Time) bool {
	if r.severity == Ticket {
		return !down
	}
	outages := 0
	for _, one := range h.Down.Within(timeline.Between(now.Add(-r.long), now)) {
		if len(timeline.Of(one).Without(h.Excused).Without(h.Unknown)) > 0 {
			outages++
		}
	}
	return outages > 1 || len(h.Days) > 0 && h.Days[len(h.Days)-1].Until > now.Add(-r.long).UnixMilli()
}

// settleBudget has people told that the budget burns, and of the end of that. The history
// leaves out what wasn't the monitor's own doing; quiet is set while nobody is to be told.
func (st *State) settleBudget(m Monitor, h timeline.History, quiet bool, now time.Time) (changed bool) {
	for _, severity := range []Severity{Page, Ticket} {
		open := slices.IndexFunc(st.Burning, func(b burning) bool { return b.Severity == severity })
		met := slices.DeleteFunc(slices.Clone(burnRules), func(r burnRule) bool { return r.severity != severity || m.SLO <= 0 || !r.isMet(h, m.SLO, now) })
		adds := slices.IndexFunc(met, func(r burnRule) bool { return r.addsToOutage(h, st.Confirm.Down, now) })
		switch {
		case open < 0 && adds >= 0 && !quiet:
			one := burning{severity, docstore.At(now)}
			st.Burning = append(slices.Clone(st.Burning), one)
			st.note(burnAlert(m, one, met[adds], h, now), now)
		case open >= 0 && len(met) == 0 && (m.SLO <= 0 || isCalm(h, calm[severity], now)):
			st.note(burntAlert(m, st.Burning[open], h, now), now)
			st.Burning = slices.Delete(slices.Clone(st.Burning), open, open+1)
		default:
			continue
		}
		changed = true
	}
	return changed
}

// isCalm tells that nothing was down for so long.
func isCalm(h timeline.History, within time.Duration, now time.Time) bool {
	return h.Figure(timeline.Between(now.Add(-within), now)).Down == 0
}

// endBurning has people told that nobody knows any more how a budget does.
func (st *State) endBurning(m Monitor, title language.Text, now time.Time) {
	for _, one := range st.Burning {
		end := endAlert(m, SLOBurning, one.occurrence(), title, now)
		end.Severity = one.Severity
		st.note(end, now)
	}
	st.Burning = nil
}

// budgetsEvery is how often error budgets are looked at.
const budgetsEvery = 30 * time.Second

// budgets looks at error budgets until ctx ends.
func (w *watch) budgets(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.checkBudgets(ctx); err != nil && ctx.Err() == nil {
			w.c.Log.WarnContext(ctx, "what became of error budgets can't be told; it will be tried again", "error", err)
		}
		pause(ctx, budgetsEvery)
	}
}

// budgeted is a monitor with an error budget, or of which people were told that it burns.
type budgeted struct {
	Monitor
	state State
	above timeline.Spans // when those were down without which it can't be up
	quiet bool           // one of them may be
}

// checkBudgets looks at all error budgets, and has people told of what is to be told. One
// for which that fails keeps none of the others from it; the first error is returned.
func (w *watch) checkBudgets(ctx context.Context) (failure error) {
	now := w.c.Now()
	window := timeline.Between(now.Add(-budgetWindow), now)
	all, gaps := w.budgeted(window)
	left := make(map[string]float64, len(all))
	for _, m := range all {
		ratio := 1.0
		if wasDown(m.state, window) || len(m.state.Burning) > 0 {
			var err error
			ratio, err = w.checkBudget(ctx, m, gaps, now)
			failure = cmp.Or(failure, err)
		}
		if m.SLO > 0 {
			left[m.ID] = ratio
		}
	}
	w.metrics.budgets(w.left, left)
	w.left = left
	return failure
}

// wasDown tells whether it was down in a window.
func wasDown(st State, window timeline.Span) bool {
	n, days := len(st.Down), len(st.Days)
	return n > 0 && st.Down[n-1].Until > window.From || days > 0 && st.Days[days-1].Until > window.From
}

// budgeted are those whose budgets are to be looked at, and when nobody watched.
func (w *watch) budgeted(window timeline.Span) (all []budgeted, gaps timeline.Spans) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.watched {
		if one.SLO <= 0 && len(one.state.Burning) == 0 {
			continue
		}
		m := budgeted{Monitor: one.Monitor, state: one.state}
		if wasDown(one.state, window) {
			m.above, m.quiet = w.above(one)
		}
		all = append(all, m)
	}
	return all, w.noted.unknown(w.c.Now()).Within(window)
}

// above is when those were down without which a monitor can't be up, and for as long before and
// after that as it may have taken to see that; and whether one of them may be down now.
func (w *watch) above(m *watched) (down timeline.Spans, now bool) {
	margin := (m.Every + m.Timeout + m.confirming()).Milliseconds()
	for parent, depth := w.watched[m.Parent], 0; parent != nil && depth < maxAbove; parent, depth = w.watched[parent.Parent], depth+1 {
		if parent.Paused || parent.state.Paused { // nobody knows
			continue
		}
		for _, s := range parent.state.Down {
			down = append(down, timeline.Span{From: s.From - margin, Until: min(timeline.End, s.Until+margin)})
		}
		now = now || parent.down || parent.failing
	}
	return timeline.Of(down...), now
}

// checkBudget looks at one error budget, and is the part of it that is left. Errors are the
// store's, and those of telling.
func (w *watch) checkBudget(ctx context.Context, m budgeted, gaps timeline.Spans, now time.Time) (float64, error) {
	planned := w.c.Planned(ctx, m.ID, timeline.Between(now.Add(-budgetWindow), now.Add(time.Second)))
	excused := w.sources.allMuted(now) || len(planned.Within(timeline.Span{From: now.UnixMilli(), Until: now.UnixMilli() + 1})) > 0
	settle := func(st *State) bool {
		quiet := m.quiet || excused || st.Pauses.IsOpen() || now.Before(st.Muted.Time)
		return st.settleBudget(m.Monitor, st.history(gaps, planned.Or(m.above...)), quiet, now)
	}
	var err error
	if try := m.state; settle(&try) {
		err = w.noteBudget(ctx, m.ID, settle)
	}
	total, left := budget(m.state.history(gaps, planned), m.SLO, now)
	return Budget{Total: total, Left: left}.Ratio(), err
}

// noteBudget writes what people are to be told of a budget, and tells it.
func (w *watch) noteBudget(ctx context.Context, id string, settle func(*State) bool) error {
	st, err := w.states.Update(ctx, id, func(st *State) error {
		if err := w.held.Admit(&st.Fence); err != nil {
			return err
		}
		if !settle(st) {
			return docstore.ErrUnchanged
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.mu.Lock()
	if one := w.watched[id]; one != nil {
		one.state.Burning = st.Burning
	}
	w.mu.Unlock()
	return w.relay.Deliver(context.WithoutCancel(ctx), st)
}
