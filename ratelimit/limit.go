package ratelimit

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
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
	maxPer     = 31 * 24 * time.Hour
)

// Limit is windows that all have to admit.
type Limit []Window

var units = map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

// ErrLimit is returned for a text that is no limit.
var ErrLimit = errors.New("use limits like '5/minute', '5/minute, 20/hour' or '100/15minutes'")

// boundError is an ErrLimit that says which bound a limit is beyond.
type boundError string

// Error says what to use.
func (e boundError) Error() string { return string(e) }

// Unwrap is ErrLimit.
func (e boundError) Unwrap() error { return ErrLimit }

// The bounds that a limit may be beyond.
const (
	errCount   = boundError("use limits of 1 to 1000000 requests")
	errPer     = boundError("use limits per 1 second to 31 days")
	errWindows = boundError("use at most 4 limits together, each per another time")
)

// ParseLimit reads a limit: numbers per second, minute, hour or day, or per
// several of them, separated by commas. It returns ErrLimit, which says what to use.
func ParseLimit(text string) (Limit, error) {
	var l Limit
	for part := range strings.SplitSeq(text, ",") {
		w, err := parseWindow(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		if len(l) == maxWindows || slices.ContainsFunc(l, func(o Window) bool { return o.Per == w.Per }) {
			return nil, errWindows
		}
		l = append(l, w)
	}
	slices.SortFunc(l, func(a, b Window) int { return cmp.Compare(a.Per, b.Per) })
	return l, nil
}

// windowForm is a number, how many units it is per, and the unit.
var windowForm = regexp.MustCompile(`^(-?\d+) */ *(-?\d*) *(second|minute|hour|day)s?$`)

func parseWindow(text string) (Window, error) {
	parts := windowForm.FindStringSubmatch(text)
	if parts == nil {
		return Window{}, ErrLimit
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n < 1 || n > maxN {
		return Window{}, errCount
	}
	unit := units[parts[3]]
	times, err := strconv.Atoi(cmp.Or(parts[2], "1"))
	if err != nil || times < 1 || times > int(maxPer/unit) {
		return Window{}, errPer
	}
	return Window{n, time.Duration(times) * unit}, nil
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

// admits tells whether the limit ever admits a request of a cost.
func (l Limit) admits(cost int) bool {
	return !slices.ContainsFunc(l, func(w Window) bool { return w.N < cost })
}

// Exact tells whether the window is counted exactly.
func (w Window) Exact() bool { return w.N <= ExactUpTo }

// Step is how far a window that isn't exact moves at a time.
func (w Window) Step() time.Duration { return w.Per / Steps }
