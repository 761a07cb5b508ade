package app

import (
	"strings"
	"testing"
	"time"

	"manus/internal/machine"
	"manus/language"
	"manus/readiness"
)

func TestClocksThatDifferAreSeen(t *testing.T) {
	t.Parallel()
	clock := language.Text{En: "a clock", Ar: "ساعة"}
	for name, c := range map[string]struct {
		skews  []time.Duration
		silent []string
		want   readiness.Status
		says   string
	}{
		"they agree":         {[]time.Duration{time.Second, -400 * time.Millisecond}, nil, readiness.Pass, "a clock is 1 s ahead, a clock agrees."},
		"a little":           {[]time.Duration{0, -3 * time.Second}, nil, readiness.Warn, "a clock agrees, a clock is 3 s behind."},
		"much, ahead":        {[]time.Duration{31 * time.Second}, nil, readiness.Fail, "is 31 s ahead"},
		"much, behind":       {[]time.Duration{0, -31 * time.Second}, nil, readiness.Fail, "is 31 s behind"},
		"one doesn't answer": {[]time.Duration{0}, []string{"Redis: gone"}, readiness.Warn, "Not told: Redis: gone"},
		"none does":          {nil, []string{"Redis: gone"}, readiness.Skipped, "Redis: gone"},
	} {
		var skews []skew
		for _, d := range c.skews {
			skews = append(skews, skew{clock, d})
		}
		if f := judgeClocks(skews, c.silent); f.Status != c.want || !strings.Contains(f.Evidence.En, c.says) {
			t.Errorf("%s: %s: %s", name, f.Status, f.Evidence.En)
		}
	}
}

func TestTheHeaderOfHSTSIsRead(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"max-age=60": time.Minute, `includeSubDomains; Max-Age="60"; preload`: time.Minute, "": 0, "max-age=x": 0, "max-age=0": 0, "max-age=99999999999999999999": 0, "max-age": 0,
	} {
		if got := hstsAge(header); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

func TestRoomIsJudgedByItsShare(t *testing.T) {
	t.Parallel()
	for free, want := range map[uint64]readiness.Status{50: readiness.Pass, 9: readiness.Warn, 2: readiness.Fail, 0: readiness.Fail} {
		if f := judgeRoom(machine.Room{Free: free, Total: 100}, 0.10, 0.03, language.Text{}, language.Text{}); f.Status != want {
			t.Errorf("%d of 100: %s", free, f.Status)
		}
	}
}
