// Package timeline reckons with times: when something was down, when nobody looked, and how
// much of a window is left of it. It is exact to the millisecond, and counts nothing: a
// figure is worked out from the times at which something changed, so that it doesn't depend
// on how often somebody looked.
//
// It knows nothing of what the times are of.
package timeline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Span is a time, from a moment up to another one, in milliseconds since 1970. One that
// isn't over has End as its end.
type Span struct{ From, Until int64 }

// End is the end of what isn't over, and of all time.
const End = int64(1) << 53 // the greatest that JSON's numbers hold exactly

// Between is the time between two moments; empty when the second isn't later.
func Between(from, until time.Time) Span { return Span{from.UnixMilli(), until.UnixMilli()} }

// Since is the time from a moment on.
func Since(from time.Time) Span { return Span{from.UnixMilli(), End} }

// IsEmpty tells that a span has no time in it.
func (s Span) IsEmpty() bool { return s.Until <= s.From }

// Within is the part of a span that is in another one.
func (s Span) Within(o Span) Span { return Span{max(s.From, o.From), min(s.Until, o.Until)} }

// Length is how long a span is.
func (s Span) Length() time.Duration {
	return time.Duration(max(0, s.Until-s.From)) * time.Millisecond
}

// MarshalJSON writes a span as two numbers.
func (s Span) MarshalJSON() ([]byte, error) { return json.Marshal([2]int64{s.From, s.Until}) }

// UnmarshalJSON reads what MarshalJSON has written.
func (s *Span) UnmarshalJSON(data []byte) error {
	var pair [2]int64
	if err := json.Unmarshal(data, &pair); err != nil {
		return fmt.Errorf("a span is two numbers: %w", err)
	}
	s.From, s.Until = pair[0], pair[1]
	return nil
}

// Spans are times in order, of which none is empty and none touches the next.
type Spans []Span

// Of makes Spans of spans in any order, which may overlap.
func Of(spans ...Span) Spans {
	all := slices.DeleteFunc(slices.Clone(spans), Span.IsEmpty)
	slices.SortFunc(all, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	var merged Spans
	for _, s := range all {
		if last := len(merged) - 1; last >= 0 && s.From <= merged[last].Until {
			merged[last].Until = max(merged[last].Until, s.Until)
		} else {
			merged = append(merged, s)
		}
	}
	return merged
}

// Or is the time that is in one of the two.
func (s Spans) Or(o ...Span) Spans { return Of(slices.Concat(s, o)...) }

// Within is the time that is in a window.
func (s Spans) Within(window Span) Spans {
	var within Spans
	for _, one := range s {
		if part := one.Within(window); !part.IsEmpty() {
			within = append(within, part)
		}
	}
	return within
}

// Without is the time that is in these and not in the others.
func (s Spans) Without(others Spans) Spans {
	var left Spans
	first := 0 // of the others that aren't over before a span begins
	for _, one := range s {
		for first < len(others) && others[first].Until <= one.From {
			first++
		}
		for _, o := range others[first:] {
			if o.From >= one.Until {
				break
			}
			if before := (Span{one.From, o.From}); !before.IsEmpty() {
				left = append(left, before)
			}
			one.From = o.Until
		}
		if !one.IsEmpty() {
			left = append(left, one)
		}
	}
	return left
}

// Length is how long all are together.
func (s Spans) Length() (sum time.Duration) {
	for _, one := range s {
		sum += one.Length()
	}
	return sum
}

// Open begins a span at a moment, unless the last one isn't over. Where that one ends later, as
// the clock was set back, it begins after that end: so none of those before is swallowed.
func (s Spans) Open(at time.Time) Spans {
	if s.IsOpen() {
		return s
	}
	from := at.UnixMilli()
	if n := len(s); n > 0 && from < s[n-1].Until {
		from = s[n-1].Until + 1
	}
	return s.Or(Span{from, End})
}

// Close ends the last span at a moment, if it isn't over. It has lasted at least so long,
// whatever was done to the clock meanwhile; one that has no time in it is taken away.
func (s Spans) Close(at time.Time, atLeast time.Duration) Spans {
	if !s.IsOpen() {
		return s
	}
	last, until := len(s)-1, at.UnixMilli()
	return Of(append(slices.Clone(s[:last]), Span{min(s[last].From, until-atLeast.Milliseconds()), until})...)
}

// IsOpen tells that the last span isn't over.
func (s Spans) IsOpen() bool { return len(s) > 0 && s[len(s)-1].Until == End }
