package ratelimit

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Window admits at most N in every span of Per.
//
// A window of at most [ExactUpTo] is exact: the times of what was admitted are
// kept, so no span of that length has more than N, wherever it begins. A larger
// one moves in steps of 1/[Steps] of its length: what was admitted counts until
// the end of its step has left the window. So it never admits more than N either,
// and may refuse a step too early.
type Window struct {
	N   int
	Per time.Duration
}

const (
	// ExactUpTo is the largest N that is counted exactly.
	ExactUpTo = 100
	// Steps is in how many steps a larger window moves.
	Steps = 32
)

// Bounds of limits.
const (
	maxWindows = 4
	maxN       = 1_000_000
	minPer     = time.Second
	maxPer     = 31 * 24 * time.Hour
)

// Limit is windows that all have to admit.
type Limit []Window

var units = map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

// ErrLimit is returned for a text that is no limit.
var ErrLimit = errors.New("use limits like '5/minute', '5/minute, 20/hour' or '100/15minutes'")

// ParseLimit reads a limit: numbers per second, minute, hour or day, or per
// several of them, separated by commas. It returns ErrLimit.
func ParseLimit(text string) (Limit, error) {
	var l Limit
	for part := range strings.SplitSeq(text, ",") {
		w, ok := parseWindow(strings.TrimSpace(part))
		if !ok || len(l) == maxWindows || slices.ContainsFunc(l, func(o Window) bool { return o.Per == w.Per }) {
			return nil, ErrLimit
		}
		l = append(l, w)
	}
	slices.SortFunc(l, func(a, b Window) int { return cmp.Compare(a.Per, b.Per) })
	return l, nil
}

func parseWindow(text string) (Window, bool) {
	number, span, ok := strings.Cut(text, "/")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if !ok || err != nil || n < 1 || n > maxN {
		return Window{}, false
	}
	span = strings.TrimSpace(span)
	unit := strings.TrimLeft(span, "0123456789")
	times, err := strconv.Atoi(cmp.Or(strings.TrimSuffix(span, unit), "1"))
	if err != nil || times < 1 || times > 1000 {
		return Window{}, false
	}
	per, ok := units[strings.TrimSuffix(strings.TrimSpace(unit), "s")]
	w := Window{n, time.Duration(times) * per}
	return w, ok && w.Per >= minPer && w.Per <= maxPer
}

// String is the limit as ParseLimit reads it.
func (l Limit) String() string {
	parts := make([]string, len(l))
	for i, w := range l {
		parts[i] = w.String()
	}
	return strings.Join(parts, ", ")
}

// String is the window as ParseLimit reads it.
func (w Window) String() string {
	for _, name := range []string{"day", "hour", "minute", "second"} {
		unit := units[name]
		if w.Per%unit != 0 {
			continue
		}
		if times := w.Per / unit; times != 1 {
			return fmt.Sprintf("%d/%d%ss", w.N, times, name)
		}
		return fmt.Sprintf("%d/%s", w.N, name)
	}
	return fmt.Sprintf("%d/%v", w.N, w.Per)
}

// Exact tells whether the window is counted exactly.
func (w Window) Exact() bool { return w.N <= ExactUpTo }

// Step is how far a window that isn't exact moves at a time.
func (w Window) Step() time.Duration { return w.Per / Steps }
