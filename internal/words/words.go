// Package words writes numbers of things and spans of time for operators, in English, and reads
// spans as they write them.
// What people of the product read stands in two languages and has language.Plural.
package words

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
)

// Count is a number of things: "1 document", "2 documents", "1 entry", "2 entries". It
// takes what one of them is called.
func Count[N int | int64 | uint64](n N, thing string) string {
	return fmt.Sprintf("%d %s", n, Of(n, thing))
}

// Of is what so many things are called, without their number.
func Of[N int | int64 | uint64](n N, thing string) string {
	if n == 1 {
		return thing
	}
	if stem, ok := strings.CutSuffix(thing, "ry"); ok {
		return stem + "ries"
	}
	return thing + "s"
}

// Or are the names that may be chosen: "minor, major or critical".
func Or(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

const day = 24 * time.Hour

// Span is a span of time in its largest whole unit, two days and more in days: "1 minute",
// "47 hours", "2 days".
func Span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < time.Hour:
		return Count(int(d/time.Minute), "minute")
	case d < 2*day:
		return Count(int(d/time.Hour), "hour")
	}
	return Count(int(d/day), "day")
}

// ReadSpan is a span of time as people write it: 30m, 24h, 7d, 2w. It isn't negative.
func ReadSpan(text string) (time.Duration, error) {
	for unit, is := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.ParseUint(number, 10, 16)
			if err == nil && time.Duration(n) > math.MaxInt64/is {
				err = strconv.ErrRange
			}
			return time.Duration(n) * is, err
		}
	}
	span, err := time.ParseDuration(text)
	if err == nil && span < 0 {
		err = errors.New("it is negative")
	}
	return span, err
}

// Nearest is the candidate that a mistyped name most likely means, of whose letters less than a part
// are wrong, such as a third; empty where none is near.
func Nearest(name string, part int, candidates iter.Seq[string]) string {
	best, least := "", 3
	for candidate := range candidates {
		if d := editDistance(name, candidate); d < least && d < len(candidate)/part {
			best, least = candidate, d
		}
	}
	return best
}

// editDistance is the number of letters to insert, delete or replace to make b
// of a (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Size writes a number of bytes as a person does.
func Size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n)/unit, "KMGTPE"
	for value >= unit && len(units) > 1 {
		value, units = value/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, units[0])
}
