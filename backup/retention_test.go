package backup

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// histories is how many random histories the model is held against:
// MANUS_RETENTION_HISTORIES=1000000 for a long run.
func histories() int {
	if n, err := strconv.Atoi(os.Getenv("MANUS_RETENTION_HISTORIES")); err == nil {
		return n
	}
	return 3000
}

// Random histories are pruned day by day, by clocks that jump and by runs that are cut
// short, and held against what the rules say in the plainest way.
func TestRetentionKeepsWhatItsRulesSay(t *testing.T) {
	t.Parallel()
	for i := range histories() {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		r := Retention{Days: 1 + random.IntN(10), Keep: Keep{Daily: random.IntN(5), Weekly: random.IntN(4), Monthly: random.IntN(4)}}
		clock := time.Date(2024, 2, 20, random.IntN(24), 0, 0, 0, time.UTC)
		var kept []Manifest
		for range 1 + random.IntN(30) {
			clock = clock.Add(time.Duration(random.IntN(60)) * time.Hour)
			now := clock
			if random.IntN(10) == 0 { // the clock is wrong for once
				now = now.AddDate(random.IntN(5)-2, 0, 0)
			}
			kept = append(kept, Manifest{File: fmt.Sprint(len(kept), random.Uint64()), CreatedAt: now, Verification: Verification{Verified: random.IntN(3) > 0}})
			decisions := r.Decide(kept, now)
			checkDecisions(t, r, kept, now, decisions)
			kept = survivors(decisions, random)
		}
		if t.Failed() {
			t.Fatalf("in history %d, with %+v", i, r)
		}
	}
}

// survivors are the backups after a pruning that may be cut short anywhere.
func survivors(decisions []Decision, random *rand.Rand) []Manifest {
	var left []Manifest
	cut := random.IntN(20) == 0
	for _, d := range decisions {
		if d.Keep != "" || cut && random.IntN(2) == 0 {
			left = append(left, d.Manifest)
		}
	}
	return left
}

// checkDecisions says in the plainest way what should be kept.
func checkDecisions(t *testing.T, r Retention, all []Manifest, now time.Time, decisions []Decision) {
	t.Helper()
	if len(decisions) != len(all) {
		t.Fatalf("%d decisions about %d backups", len(decisions), len(all))
	}
	want := map[string]bool{}
	for _, m := range all {
		if now.Sub(m.CreatedAt) < time.Duration(r.Days)*24*time.Hour {
			want[m.File] = true
		}
	}
	for _, rule := range []struct {
		n      int
		layout func(time.Time) string
	}{
		{r.Daily, func(t time.Time) string { return t.Format("2006-01-02") }},
		{r.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprintf("%04d-%02d", y, w) }},
		{r.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
	} {
		periods := map[string][]Manifest{}
		for _, m := range all {
			p := rule.layout(m.CreatedAt)
			periods[p] = append(periods[p], m)
		}
		var names []string
		for name := range periods {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names[max(0, len(names)-rule.n):] {
			want[best(periods[name]).File] = true
		}
	}
	if newest := newestVerified(all); newest != nil {
		want[newest.File] = true
	}
	if len(want) == 0 {
		for _, m := range all {
			want[m.File] = true
		}
	}
	for _, d := range decisions {
		if (d.Keep != "") != want[d.Manifest.File] {
			t.Errorf("%s of %v is kept because %q; at %v it should be: %v", d.Manifest.File, d.Manifest.CreatedAt, d.Keep, now, want[d.Manifest.File])
		}
	}
}

// best is the newest verified one, or else the newest.
func best(of []Manifest) *Manifest {
	if m := newestVerified(of); m != nil {
		return m
	}
	return newestOf(of, func(Manifest) bool { return true })
}

func newestVerified(of []Manifest) *Manifest {
	return newestOf(of, func(m Manifest) bool { return m.Verified })
}

func newestOf(of []Manifest, pick func(Manifest) bool) *Manifest {
	var found *Manifest
	for i, m := range of {
		if pick(m) && (found == nil || newestFirst(m, *found) < 0) {
			found = &of[i]
		}
	}
	return found
}

func TestPruningRemovesWholeBackupsOnly(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	s := newService(t, randomRecords(1, 100), func(c *Config) {
		c.Retention = Retention{Days: 7}
		c.Now = func() time.Time { return now }
	})
	var made []Manifest
	for range 10 {
		made = append(made, create(t, s))
		now = now.AddDate(0, 0, 1)
	}
	now = now.AddDate(0, 0, -1)
	for _, dryRun := range []bool{true, false} {
		pruned, err := s.Prune(t.Context(), dryRun)
		if err != nil || len(pruned) != 10 {
			t.Fatalf("%v, %v", pruned, err)
		}
		for i, p := range pruned { // newest first
			if want := i < 7; (p.Keep != "") != want || p.ID != made[9-i].ID {
				t.Errorf("of %s it says %q", p.File, p.Keep)
			}
		}
		files, err := os.ReadDir(s.Targets[0].String())
		if want := map[bool]int{true: 20, false: 14}[dryRun]; err != nil || len(files) != want {
			t.Errorf("%d files are left: %v", len(files), err)
		}
	}
	now = now.AddDate(1, 0, 0)
	if _, err := s.Prune(t.Context(), false); err != nil {
		t.Error(err)
	}
	if left, err := s.List(t.Context()); err != nil || len(left) != 1 || left[0].ID != made[9].ID {
		t.Errorf("a year later there is %+v: %v", left, err)
	}
}
