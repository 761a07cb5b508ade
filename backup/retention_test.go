package backup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
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
// short, some of them another installation's and some suspicious, and held against what the
// rules say in the plainest way.
func TestRetentionKeepsWhatItsRulesSay(t *testing.T) {
	t.Parallel()
	for i := range histories() {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		r := Retention{Days: 1 + random.IntN(10), Keep: Keep{Daily: random.IntN(5), Weekly: random.IntN(4), Monthly: random.IntN(4)}}
		clock := time.Date(2024, 2, 20, random.IntN(24), 0, 0, 0, time.UTC)
		var kept []Backup
		for range 1 + random.IntN(30) {
			clock = clock.Add(time.Duration(random.IntN(60)) * time.Hour)
			now := clock
			if random.IntN(10) == 0 { // the clock is wrong for once
				now = now.AddDate(random.IntN(5)-2, 0, 0)
			}
			kept = append(kept, randomBackup(random, len(kept), now))
			decisions := r.Decide(newViewer("ours", kept, now).judge(kept), now)
			checkDecisions(t, r, kept, now, decisions)
			kept = survivors(decisions, random)
		}
		if t.Failed() {
			t.Fatalf("in history %d, with %+v", i, r)
		}
	}
}

func randomBackup(random *rand.Rand, i int, now time.Time) Backup {
	b := Backup{Manifest: Manifest{Version: 1, File: fmt.Sprint(i, random.Uint64()), Installation: "ours", CreatedAt: now, Verification: Verification{Verified: random.IntN(3) > 0}}}
	switch random.IntN(20) {
	case 0:
		b.Installation = "theirs"
	case 1:
		b.Suspicious = "it has less in it"
	case 2:
		b.arrived = now.AddDate(0, 0, random.IntN(30)) // copied there later
	}
	return b
}

// survivors are the backups after a pruning that may be cut short anywhere.
func survivors(decisions []Decision, random *rand.Rand) []Backup {
	var left []Backup
	cut := random.IntN(20) == 0
	for _, d := range decisions {
		if d.Keep != "" || cut && random.IntN(2) == 0 {
			left = append(left, d.Backup)
		}
	}
	return left
}

// checkDecisions says in the plainest way what should be kept.
func checkDecisions(t *testing.T, r Retention, all []Backup, now time.Time, decisions []Decision) {
	t.Helper()
	if len(decisions) != len(all) {
		t.Fatalf("%d decisions about %d backups", len(decisions), len(all))
	}
	want := map[string]bool{}
	var ours, good []Backup // those of now or before, and of these the ones that count
	for _, b := range all {
		age := min(now.Sub(b.CreatedAt), now.Sub(b.arrived))
		if b.Installation == "theirs" || b.CreatedAt.After(now.Add(clockTolerance)) || age < time.Duration(r.Days)*24*time.Hour {
			want[b.File] = true
		}
		if b.Installation == "theirs" || b.CreatedAt.After(now.Add(clockTolerance)) {
			continue
		}
		ours = append(ours, b)
		if b.Suspicious == "" {
			good = append(good, b)
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
		periods := map[string][]Backup{}
		for _, b := range good {
			p := rule.layout(b.CreatedAt)
			periods[p] = append(periods[p], b)
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
	if newest := best(good); newest != nil {
		want[newest.File] = true
	}
	if b := beforePause(good, time.Duration(r.Days)*24*time.Hour); b != nil {
		want[b.File] = true
	}
	newest := newestOf(ours, func(Backup) bool { return true })
	if newest != nil && newest.Suspicious != "" {
		for _, b := range all {
			want[b.File] = true
		}
	}
	for _, d := range decisions {
		if (d.Keep != "") != want[d.Backup.File] {
			t.Errorf("%+v is kept because %q; at %v it should be: %v", d.Backup, d.Keep, now, want[d.Backup.File])
		}
	}
}

// beforePause is the newest verified one before the last pause that is longer than span, if
// those since span less than that.
func beforePause(good []Backup, span time.Duration) *Backup {
	var saving []Backup
	for _, b := range good {
		if b.Verified {
			saving = append(saving, b)
		}
	}
	slices.SortFunc(saving, func(a, b Backup) int { return newestFirst(a, b) })
	for i := 1; i < len(saving); i++ {
		if saving[i-1].CreatedAt.Sub(saving[i].CreatedAt) > span {
			if saving[0].CreatedAt.Sub(saving[i-1].CreatedAt) < span {
				return &saving[i]
			}
			return nil
		}
	}
	return nil
}

// best is the newest verified one, or else the newest.
func best(of []Backup) *Backup {
	if b := newestOf(of, func(b Backup) bool { return b.Verified }); b != nil {
		return b
	}
	return newestOf(of, func(Backup) bool { return true })
}

func newestOf(of []Backup, pick func(Backup) bool) *Backup {
	var found *Backup
	for i, b := range of {
		if pick(b) && (found == nil || newestFirst(b, *found) < 0) {
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

func TestABackupOfOneDatabaseDoesNotStandForThoseOfAll(t *testing.T) {
	t.Parallel()
	s := newService(t, nil, nil)
	now := time.Now()
	of := func(days int, every bool) Backup {
		m := newManifest(now.AddDate(0, 0, -days), Archive, Gzip, false)
		m.Databases, m.Verified = every, true
		return Backup{Manifest: m}
	}
	all := newViewer("", nil, s.Now()).judge([]Backup{of(0, false), of(20, true), of(40, true)})
	var kept []bool
	for _, d := range (Retention{Days: 7}).Decide(all, now) {
		kept = append(kept, d.Keep != "")
	}
	if !slices.Equal(kept, []bool{true, true, false}) {
		t.Errorf("kept are %v", kept)
	}
}

// However old they are, the newest that would save us is left.
func TestTheNewestBackupIsKeptHoweverOld(t *testing.T) {
	t.Parallel()
	s := newService(t, nil, nil)
	now := time.Now()
	made := func(days int, verified bool) Backup {
		m := newManifest(now.AddDate(0, 0, -days), Archive, Gzip, false)
		m.Databases, m.Verified = true, verified
		return Backup{Manifest: m}
	}
	for name, c := range map[string]struct {
		backups []Backup
		kept    []bool
	}{
		"none of them verified":  {[]Backup{made(10, false), made(12, false)}, []bool{true, false}},
		"an older one verified":  {[]Backup{made(10, false), made(12, true), made(14, true)}, []bool{false, true, false}},
		"a young one that isn't": {[]Backup{made(1, false), made(12, true), made(14, true)}, []bool{true, true, false}},
		"all young":              {[]Backup{made(1, false), made(2, true)}, []bool{true, true}},
		"none":                   {nil, nil},
	} {
		var kept []bool
		for _, d := range (Retention{Days: 7}).Decide(newViewer("", nil, s.Now()).judge(c.backups), now) {
			kept = append(kept, d.Keep != "")
		}
		if !slices.Equal(kept, c.kept) {
			t.Errorf("%s: kept are %v", name, kept)
		}
	}
}

// A pause has to be longer than backups are kept, and counts until as much time has gone by.
func TestTheNewestBeforeAPauseIsKept(t *testing.T) {
	t.Parallel()
	s := newService(t, nil, nil)
	now := s.Now()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		ages []time.Duration
		kept []bool
	}{
		"as long as they are kept": {[]time.Duration{day, 8 * day}, []bool{true, false}},
		"a second longer":          {[]time.Duration{day, 8*day + time.Second}, []bool{true, true}},
		"only the newest of them":  {[]time.Duration{day, 9 * day, 10 * day}, []bool{true, true, false}},
		"nearly as much time ago":  {[]time.Duration{0, 7*day - time.Second, 15 * day}, []bool{true, true, true}},
		"as much time ago":         {[]time.Duration{0, 7 * day, 15 * day}, []bool{true, false, false}},
	} {
		var all []Backup
		for _, age := range c.ages {
			m := newManifest(now.Add(-age), Archive, Gzip, false)
			m.Verified, m.CreatedAt = true, now.Add(-age)
			all = append(all, Backup{Manifest: m})
		}
		var kept []bool
		for _, d := range (Retention{Days: 7}).Decide(newViewer("", nil, now).judge(all), now) {
			kept = append(kept, d.Keep != "")
		}
		if !slices.Equal(kept, c.kept) {
			t.Errorf("%s: kept are %v", name, kept)
		}
	}
}

// keepsManifests is a folder that can't remove manifests.
type keepsManifests struct{ *Folder }

func (k keepsManifests) Remove(ctx context.Context, name string) error {
	if strings.HasSuffix(name, manifestSuffix) {
		return errDisk
	}
	return k.Folder.Remove(ctx, name)
}

// Whoever copies a backup here, its manifest first, finds it as it was. What is left of a
// removal that was cut short goes.
func TestAManifestWithoutItsFileIsRemovedOnlyByWhoHasBegunTo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	s := newService(t, randomRecords(3, 1000), func(c *Config) {
		c.Now, c.Retention = func() time.Time { return now }, Retention{Days: 1}
	})
	copied, cut := create(t, s), create(t, s)
	if err := os.Remove(pathOf(s, copied.File)); err != nil {
		t.Fatal(err)
	}
	if err := remove(t.Context(), keepsManifests{NewFolder(s.Targets[0].String())}, cut); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	now = now.AddDate(0, 0, 9)
	last := create(t, s)
	if _, err := s.Prune(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	want := []string{copied.name(), last.name(), last.File}
	slices.Sort(want)
	if names := filesOf(t, s); !slices.Equal(names, want) {
		t.Errorf("there is %v; want %v", names, want)
	}
}

// A manifest without its file would save nobody, so it goes though there is nothing else.
func TestWhatIsLeftOfRemovingTheOnlyBackupGoes(t *testing.T) {
	t.Parallel()
	s := newService(t, randomRecords(3, 1000), nil)
	if err := remove(t.Context(), keepsManifests{NewFolder(s.Targets[0].String())}, create(t, s)); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	pruned, err := s.Prune(t.Context(), false)
	if names := filesOf(t, s); err != nil || len(names) != 0 {
		t.Errorf("of %+v there is %v: %v", pruned, names, err)
	}
}

// locking is a folder that locks what is written.
type locking struct{ keepsManifests }

func (locking) Locks() bool { return true }

func TestWhereFilesAreLockedNoManifestIsWrittenAnewToRemoveIt(t *testing.T) {
	t.Parallel()
	s := newService(t, randomRecords(3, 1000), nil)
	m := create(t, s)
	before, err := os.ReadFile(pathOf(s, m.name()))
	if err != nil {
		t.Fatal(err)
	}
	if err := remove(t.Context(), locking{keepsManifests{NewFolder(s.Targets[0].String())}}, m); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(pathOf(s, m.name())); err != nil || string(after) != string(before) {
		t.Errorf("it is %s: %v", after, err)
	}
}
