package ratelimit

import (
	"errors"
	"testing"
	"time"
)

func TestLimitsAreReadAndWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"5/minute": "5/minute", "5/minute, 20/hour": "5/minute, 20/hour", " 20/hour ,5/minute": "5/minute, 20/hour",
		"100/15minutes": "100/15minutes", "1/60seconds": "1/minute", "3/day": "3/day", "10/2hours": "10/2hours", "7 / minute": "7/minute",
	} {
		l, err := ParseLimit(text)
		if err != nil || l.String() != want {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
	for _, text := range []string{"", "5", "5/", "/minute", "0/minute", "-1/minute", "5/fortnight", "5/minute, 6/minute", "5/minute,", "1e3/minute", "5/0minutes", "5/40days", "99999999/minute", "1/second,1/minute,1/hour,1/day,1/2days"} {
		if l, err := ParseLimit(text); !errors.Is(err, ErrLimit) {
			t.Errorf("%q is taken as %v", text, l)
		}
	}
}

func TestALimitBeyondABoundSaysWhich(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"five/minute": ErrLimit, "5/fortnight": ErrLimit, "1.5/minute": ErrLimit, "0/minute": errCount, "-1/minute": errCount, "1000001/minute": errCount,
		"99999999999999999999/minute": errCount, "5/0minutes": errPer, "5/32days": errPer, "5/44641minutes": errPer, "5/99999999999999999999days": errPer,
		"1/minute, 2/minute": errWindows, "1/second,1/minute,1/hour,1/day,1/2days": errWindows, "1000000/44640minutes": nil, "5/2678400seconds": nil,
	} {
		if _, err := ParseLimit(text); err != want { //nolint:errorlint // which one is the point
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

func TestALimitAdmitsWhatCostsAllOfIt(t *testing.T) {
	t.Parallel()
	l, err := ParseLimit("5/minute, 20/hour")
	if err != nil || !l.admits(5) || l.admits(6) {
		t.Errorf("5: %v, 6: %v (%v)", l.admits(5), l.admits(6), err)
	}
}

func TestLargeWindowsMoveInSteps(t *testing.T) {
	t.Parallel()
	if w := (Window{ExactUpTo, time.Hour}); !w.Exact() {
		t.Error("what can be counted exactly isn't")
	}
	w := Window{ExactUpTo + 1, time.Hour}
	if w.Exact() || w.Step()*Steps != time.Hour {
		t.Errorf("exact: %v, in steps of %v", w.Exact(), w.Step())
	}
}

func FuzzParseLimit(f *testing.F) {
	f.Add("5/minute, 20/hour")
	f.Add("100/15minutes")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLimit(text)
		if err != nil {
			return
		}
		if again, err := ParseLimit(l.String()); err != nil || again.String() != l.String() {
			t.Errorf("%q became %q, %v", text, l, err)
		}
	})
}
