package words

import (
	"testing"
	"time"
)

func TestOneOfAThingIsNotSeveral(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"0 documents": Count(0, "document"),
		"1 document":  Count(int64(1), "document"),
		"2 documents": Count(uint64(2), "document"),
		"1 entry":     Count(1, "entry"),
		"0 entries":   Count(0, "entry"),
		"1 day":       Count(1, "day"),
		"3 days":      Count(3, "day"),
	} {
		if got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}

func TestWhatMayBeChosenIsListed(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{"": nil, "copy": {"copy"}, "user or operator": {"user", "operator"}, "minor, major or critical": {"minor", "major", "critical"}} {
		if got := Or(names); got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}

func TestASpanIsInItsLargestWholeUnit(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour:                      "less than a minute",
		0:                               "less than a minute",
		time.Minute - 1:                 "less than a minute",
		time.Minute:                     "1 minute",
		2*time.Minute - 1:               "1 minute",
		2 * time.Minute:                 "2 minutes",
		time.Hour - 1:                   "59 minutes",
		time.Hour:                       "1 hour",
		25 * time.Hour:                  "25 hours",
		48*time.Hour - 1:                "47 hours",
		48 * time.Hour:                  "2 days",
		365*24*time.Hour + 23*time.Hour: "365 days",
	} {
		if got := Span(d); got != want {
			t.Errorf("%v is %q instead of %q", d, got, want)
		}
	}
}

func TestMistypedLettersAreCounted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"xabc", "abc", 1}, {"abc", "abxc", 1}, {"kitten", "sitting", 3}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("from %q to %q are %d", c.a, c.b, got)
		}
	}
}
