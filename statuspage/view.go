package statuspage

import (
	"slices"
	"time"

	"manus/internal/timeline"
	"manus/language"
)

// view is a model as it is told: what every page, feed and answer is made from. It isn't
// changed once it is made.
type view struct {
	// At is when it was read. Two that are told alike differ in nothing else.
	At    time.Time
	Title language.Text

	Overall Status
	Rows    []row // in the order of the page
	Groups  []group

	Open []Incident // the latest first
	Past []Incident // resolved, the latest first
	On   []Maintenance
	Next []Maintenance // the next first, with what was cancelled and would have been
	Over []Maintenance // the latest first
	// IncidentsSince and WorksLeft are the model's.
	IncidentsSince time.Time
	WorksLeft      bool
}

// row is a component with how it is and was.
type row struct {
	Component
	Status Status
	// Counted is what figures are the sums of; nil where nothing watches it.
	Counted *counted
	Days    *[HistoryDays]Day // of Counted
	Total   Day               // of all days
	// Since is since when it is watched; zero where it isn't.
	Since time.Time
}

// IsMeasured tells that something watches it, so that there are figures.
func (r *row) IsMeasured() bool { return len(r.Watched) > 0 }

// group is components that stand together.
type group struct {
	Name   language.Text
	ID     string // of its first component, behind "group-"
	Status Status // the worst
	Rows   []row
}

// newView works out how everything is at a moment.
func newView(m Model, title language.Text, now time.Time) *view {
	v := &view{At: now, Title: title, Overall: Operational, IncidentsSince: m.IncidentsSince, WorksLeft: m.WorksLeft}
	for _, i := range m.Incidents {
		if i.IsOver() {
			v.Past = append(v.Past, i)
		} else {
			v.Open = append(v.Open, i)
		}
	}
	for _, w := range m.Maintenances {
		switch {
		case w.Progress == InProgress:
			v.On = append(v.On, w)
		case w.Progress == Completed || w.IsCancelled() && !now.Before(w.Until):
			v.Over = append(v.Over, w)
		default:
			v.Next = append(v.Next, w)
		}
	}
	slices.Reverse(v.Over)
	told := reportsOf(m.Incidents)
	for _, c := range m.Components {
		v.Rows = append(v.Rows, v.newRow(c, told[c.ID], now))
	}
	v.group()
	v.Overall = v.overall()
	return v
}

// noDays are those of what nothing watches.
var noDays [HistoryDays]Day

func (v *view) newRow(c Component, told reports, now time.Time) row {
	r := row{Component: c, Status: v.troubled(c), Days: &noDays}
	if r.IsMeasured() {
		r.Counted = count(c.Watched, told, now)
		if r.Status.isTrouble() {
			r.Counted.mark()
		}
		r.Days = &r.Counted.Days
	}
	for _, d := range r.Days {
		r.Total = r.Total.add(d)
	}
	r.Status = v.status(c)
	r.Watched = slices.Clone(r.Watched)
	for _, w := range r.Watched {
		since := time.UnixMilli(w.History.Since)
		if w.History.Since < timeline.End && (r.Since.IsZero() || since.Before(r.Since)) {
			r.Since = since
		}
	}
	for i := range r.Watched { // it has been counted, and differs from moment to moment
		r.Watched[i] = Watched{State: r.Watched[i].State}
	}
	return r
}

// troubled is how a component is by what watches it, and by what people say of it.
func (v *view) troubled(c Component) Status {
	status := watchedStatus(c.Watched)
	for _, i := range v.Open {
		if i.claims(c.ID) {
			status = worse(status, i.Severity.claimed())
		}
	}
	return status
}

// status is how a component is.
func (v *view) status(c Component) Status {
	status := v.troubled(c)
	isWork := func(m Maintenance) bool { return len(m.Components) == 0 || slices.Contains(m.Components, c.ID) }
	if !status.isTrouble() && slices.ContainsFunc(v.On, isWork) {
		return UnderMaintenance
	}
	return status
}

// group puts components together that have the same group, where its first one stands.
func (v *view) group() {
	for _, r := range v.Rows {
		k := slices.IndexFunc(v.Groups, func(g group) bool { return g.Name == r.Group && r.Group != language.Text{} })
		if k < 0 {
			v.Groups = append(v.Groups, group{Name: r.Group, ID: "group-" + r.ID, Status: Operational})
			k = len(v.Groups) - 1
		}
		g := &v.Groups[k]
		g.Status, g.Rows = worse(g.Status, r.Status), append(g.Rows, r)
	}
	v.Rows = v.Rows[:0:0]
	for _, g := range v.Groups {
		v.Rows = append(v.Rows, g.Rows...)
	}
}

// overall is how all of it is: a major outage only if everything is in one, or people say so.
func (v *view) overall() Status {
	worst, all := Operational, len(v.Rows) > 0
	for _, r := range v.Rows {
		worst = worse(worst, r.Status)
		all = all && r.Status == MajorOutage
	}
	if worst == MajorOutage && !all {
		worst = PartialOutage
	}
	for _, i := range v.Open {
		if !i.Automatic {
			worst = worse(worst, i.Severity.claimed())
		}
	}
	if len(v.Rows) == 0 && worst == Operational {
		return Unknown
	}
	return worst
}

// incidentOf is one of those that the page tells of by itself; false where there is none.
func (v *view) incidentOf(id string) (Incident, bool) {
	for _, list := range [][]Incident{v.Open, v.Past} {
		if i := slices.IndexFunc(list, func(i Incident) bool { return i.ID == id }); i >= 0 {
			return list[i], true
		}
	}
	return Incident{}, false
}

// component is one of them; nil where there is none.
func (v *view) component(id string) *row {
	if i := slices.IndexFunc(v.Rows, func(r row) bool { return r.ID == id }); i >= 0 {
		return &v.Rows[i]
	}
	return nil
}

// names are those of components, as far as the page lists them.
func (v *view) names(ids []string, tag language.Tag) (names []string) {
	for _, id := range ids {
		if r := v.component(id); r != nil {
			names = append(names, r.Name.In(tag))
		}
	}
	return names
}
