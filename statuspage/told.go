package statuspage

import (
	"cmp"
	"slices"

	"manus/internal/timeline"
)

// told is a time in which an incident was open at a component.
type told struct {
	timeline.Span
	Incident string // its id
}

// reports are the times of a component's incidents: no two of a list have a moment in common.
type reports struct {
	Out []told // people say that it is out
	All []told // there is an incident at all
}

// claims tells whether people say in it that a component has trouble, and not only what watches that.
func (i Incident) claims(component string) bool {
	return slices.Contains(i.Components, component) && (!i.Automatic || slices.Contains(i.Named, component))
}

// isOut tells whether a component with such an incident is out, and not only disturbed.
func (s Severity) isOut() bool { return s == Major || s == Critical }

// isOver tells whether nothing more is done at that stage.
func (s Stage) isOver() bool { return s == Resolved || s == Postmortem }

// open are the times in which it wasn't resolved. Each has some time in it.
func (i Incident) open() timeline.Spans {
	var all []timeline.Span
	from, over := i.StartedAt.UnixMilli(), false
	for _, u := range i.Updates {
		at := u.At.UnixMilli()
		switch {
		case u.Stage.isOver() && !over:
			if !u.Over.IsZero() {
				at = u.Over.UnixMilli()
			}
			all = append(all, timeline.Span{From: from, Until: max(at, from+1)})
		case !u.Stage.isOver() && over:
			from = at
		}
		over = u.Stage.isOver()
	}
	switch last := len(all) - 1; {
	case !over:
		all = append(all, timeline.Span{From: from, Until: timeline.End})
	case !i.ResolvedAt.IsZero():
		all[last].Until = max(i.ResolvedAt.UnixMilli(), all[last].From+1)
	}
	return timeline.Of(all...)
}

// reportsOf are the times of incidents by component.
func reportsOf(incidents []Incident) map[string]reports {
	all := map[string]reports{}
	for _, i := range incidents {
		for _, span := range i.open() {
			for _, id := range i.Components {
				s := all[id]
				s.All = append(s.All, told{span, i.ID})
				if i.claims(id) && i.Severity.isOut() {
					s.Out = append(s.Out, told{span, i.ID})
				}
				all[id] = s
			}
		}
	}
	for id, s := range all {
		all[id] = reports{apartInTime(s.Out), apartInTime(s.All)}
	}
	return all
}

// apartInTime are the same moments, each once: it is of the incident that began first.
func apartInTime(all []told) (apart []told) {
	slices.SortStableFunc(all, func(a, b told) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Incident, b.Incident))
	})
	end := int64(0)
	for _, t := range all {
		if t.From = max(t.From, end); !t.IsEmpty() {
			apart, end = append(apart, t), t.Until
		}
	}
	return apart
}

// spansOf are the moments, whatever incident they are of.
func spansOf(all []told) timeline.Spans {
	spans := make([]timeline.Span, len(all))
	for i, t := range all {
		spans[i] = t.Span
	}
	return timeline.Of(spans...)
}

// partsIn are the parts that are in some spans.
func partsIn(all []told, spans timeline.Spans) (parts []told) {
	first := 0
	for _, t := range all {
		for first < len(spans) && spans[first].Until <= t.From {
			first++
		}
		for _, s := range spans[first:] {
			if s.From >= t.Until {
				break
			}
			parts = append(parts, told{s.Within(t.Span), t.Incident})
		}
	}
	return parts
}
