package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/lease"
)

var errGone = errors.New("the database is gone")

// gone is a database that can't be reached.
type gone struct{ records }

func (*gone) Size(context.Context) (int64, error) { return 0, errGone }

func TestADatabaseThatIsGoneLeavesNoManifest(t *testing.T) {
	t.Parallel()
	s := newService(t, &gone{}, nil)
	if m, err := s.Create(t.Context(), CreateOptions{}); !errors.Is(err, errGone) || m.File != "" {
		t.Errorf("it is %+v: %v", m, err)
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("listed are %+v: %v", all, err)
	}
}

func TestAnEmptyDatabaseIsRefusedUnlessThatIsMeant(t *testing.T) {
	t.Parallel()
	s := newService(t, &records{}, func(c *Config) { c.Alarm = &alerts{} })
	m, err := s.Create(t.Context(), CreateOptions{})
	if !errors.Is(err, ErrEmpty) || m.File != "" || len(s.Alarm.(*alerts).all()) != 1 {
		t.Errorf("it is %+v: %v", m, err)
	}
	if left, err := os.ReadDir(s.Targets[0].String()); err != nil || len(left) != 0 {
		t.Errorf("there is %v: %v", left, err)
	}
	if _, err := s.Create(t.Context(), CreateOptions{AllowEmpty: true}); err != nil {
		t.Error(err)
	}
}

// A backup that has much less than the last verified one is made, but it isn't the one
// that saves us, and what came before it stays whatever its age.
func TestABackupWithMuchLessInItIsSuspicious(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	source, alarm := randomRecords(1, 10_000), &alerts{}
	s := newService(t, source, func(c *Config) {
		c.Alarm, c.Retention, c.Now = alarm, Retention{Days: 1}, func() time.Time { return now }
	})
	older := create(t, s)
	now = now.AddDate(0, 0, 1)
	full := create(t, s)
	now = now.AddDate(0, 0, 30)
	source.data = randomRecords(2, 1000).data
	little := create(t, s)
	if little.Suspicious == "" || len(alarm.all()) != 1 || alarm.all()[0].Key != AlertSuspicious {
		t.Errorf("it is %+v, and the alarm was told %v", little, alarm.all())
	}
	if _, err := s.Prune(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	all, err := s.List(t.Context())
	if newest, ok := all.NewestVerified(); err != nil || len(all) != 3 || !ok || newest.ID != full.ID || all[2].ID != older.ID {
		t.Errorf("there is %+v: %v", all, err)
	}
	if b, err := s.Latest(t.Context()); err != nil || b.ID != full.ID {
		t.Errorf("the latest is %s: %v", b.ID, err)
	}
	if _, err := s.Adopt(t.Context(), little.ID, nil); err != nil {
		t.Fatal(err)
	}
	if b, ok := newestVerified(t, s); !ok || b.ID != little.ID {
		t.Errorf("adopted, the newest is %s", b.ID)
	}
	if again := create(t, s); again.Suspicious != "" {
		t.Errorf("the next one is suspicious: %s", again.Suspicious)
	}
}

func TestWhatMuchLessIs(t *testing.T) {
	t.Parallel()
	of := func(size int64, counts ...int64) Manifest {
		m := Manifest{DumpSize: size}
		for i, n := range counts {
			m.Collections = append(m.Collections, Collection{Name: string(rune('a' + i)), Documents: n})
			m.Documents += n
		}
		return m
	}
	for _, c := range []struct {
		now, before Manifest
		suspicious  bool
	}{
		{of(1000, 100), of(1000, 100), false},
		{of(1000, 50), of(1000, 100), false},
		{of(1000, 49), of(1000, 100), true},
		{of(1000, 1), of(1000, 9), false},        // there wasn't much
		{of(1000, 100), of(1000, 100, 1), true},  // a collection is gone
		{of(1000, 100), of(1000, 100, 0), false}, // one that had nothing
		{of(1000, 1000, 0), of(1000, 1000, 100), true},
		{of(1000, 1000, 0), of(1000, 1000, 99), false},              // there wasn't much
		{of(1000, 10, 10, 10, 0), of(1000, 10, 10, 10, 900), false}, // a queue
		{of(1000, 10, 10, 10), of(1000, 10, 10, 10, 900), false},    // one that an earlier version had
		{of(1000, 10, 10, 0, 900), of(1000, 10, 10, 100, 900), true},
		{of(1<<20, 100), of(3<<20, 100), true},
		{of(2<<20, 100), of(3<<20, 100), false},
	} {
		if why := suspicion(c.now, c.before, []string{"d"}); (why != "") != c.suspicious {
			t.Errorf("%+v after %+v is suspicious because %q", c.now, c.before, why)
		}
	}
}

// One run with a clock a year ahead doesn't keep the alarm quiet for a year, isn't the
// latest, and costs no other backup.
func TestABackupOfTheFutureNeverCounts(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.minutes(t, 1)
	now := s.clock.Now()
	good := s.Status().Verified.File
	s.clock.Set(now.AddDate(1, 0, 0))
	s.minutes(t, 1)
	s.clock.Set(now)
	s.minutes(t, 1)
	if st := s.Status(); st.Verified.File != good || st.Good.File != good {
		t.Errorf("the newest verified one is %+v", st.Verified)
	}
	if heard := s.heard(); !strings.Contains(heard, "D") {
		t.Errorf("the alarm was told %q", heard)
	}
	if _, err := s.Service().Prune(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Service().Latest(t.Context()); err != nil || b.File != good {
		t.Errorf("the latest is %s: %v", b.File, err)
	}
	s.setFail(errDisk)
	s.clock.Add(27 * time.Hour)
	if s.minutes(t, 1); !strings.Contains(s.heard(), "S") {
		t.Errorf("silent for 27 hours, the alarm was told %q", s.heard())
	}
}

func TestARetryTakesThePlaceOfTheTryBefore(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.setFail(errDisk)
	if tried := s.minutes(t, 200); tried < 6 {
		t.Fatalf("it was tried %d times", tried)
	}
	if all, err := s.Service().List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("there are %d copies: %v", len(all), err)
	}
	s.setFail(nil)
	s.minutes(t, 90)
	if all, err := s.Service().List(t.Context()); err != nil || len(all) != 1 || !all[0].Verified {
		t.Errorf("then there is %+v: %v", all, err)
	}
}

// While one target can't be written to, the others have one copy a night, and what has had
// its time goes.
func TestWhatIsVerifiedAtOneTargetCountsThere(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	service := s.Service()
	bad := &failing{Target: NewFolder(t.TempDir()), step: "create", err: errDisk}
	service.Targets = append(service.Targets, bad)
	for night := range 6 {
		s.minutes(t, 200)
		all, err := service.List(t.Context())
		if want := min(night+1, 4); err != nil || len(all) > want {
			t.Errorf("after %d nights there are %d backups: %v", night+1, len(all), err)
		}
		s.clock.Set(time.Date(2026, 11, 25+night, 1, 59, 0, 0, time.UTC))
	}
	if tried := s.tried(); tried > 7 {
		t.Errorf("in 6 nights %d were made", tried)
	}
	bad.step = ""
	s.minutes(t, 90)
	if all, err := service.List(t.Context()); err != nil || len(all[0].At) == 0 || s.Status().Failures != 0 {
		t.Errorf("then there is %+v: %v", all, err)
	}
}

// The first backup of an installation where there are only others' may be one of a database
// whose name is mistyped.
func TestTheFirstBackupWhereOthersHaveTheirsIsToldOf(t *testing.T) {
	t.Parallel()
	folder := NewFolder(t.TempDir())
	made := func() string {
		var log bytes.Buffer
		store := storetest.New(t, append(Specs(), lease.Specs()...)...)
		create(t, newService(t, randomRecords(1, 1000), func(c *Config) {
			c.Targets, c.Log = []Target{folder}, slog.New(slog.NewTextHandler(&log, nil))
			c.OpenStore = func(context.Context) (docstore.Store, error) { return keptOpen{store}, nil }
		}))
		return log.String()
	}
	for want, log := range []string{made(), made()} {
		if told := strings.Count(log, "see whether the database is the right one"); told != want {
			t.Errorf("it is told %d times: %s", told, log)
		}
	}
}

// Two installations in one folder see, prune and trust only their own.
func TestInstallationsInOneFolderKeepOutOfEachOthersWay(t *testing.T) {
	t.Parallel()
	folder, now := NewFolder(t.TempDir()), time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	installation := func() *Service {
		store := storetest.New(t, append(Specs(), lease.Specs()...)...)
		return newService(t, randomRecords(1, 1000), func(c *Config) {
			c.Targets, c.Retention, c.Now = []Target{folder}, Retention{Days: 1}, func() time.Time { return now }
			c.OpenStore = func(context.Context) (docstore.Store, error) { return keptOpen{store}, nil }
		})
	}
	one, other := installation(), installation()
	ours := create(t, one)
	if err := errors.Join(os.Remove(pathOf(one, ours.File)), os.Remove(pathOf(one, ours.name()))); err != nil {
		t.Fatal(err)
	}
	theirs := create(t, other)
	if _, ok := newestVerified(t, one); ok {
		t.Error("another installation's backup is ours")
	}
	ours = create(t, one)
	if ours.Installation == "" || ours.Installation == theirs.Installation {
		t.Errorf("they are of %q and %q", ours.Installation, theirs.Installation)
	}
	var newer Manifest
	for range 4 {
		now = now.AddDate(0, 0, 1)
		newer = create(t, one)
	}
	if _, err := one.Prune(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	all, err := one.List(t.Context())
	if err != nil || len(all) != 2 || all[0].ID != newer.ID || all[1].ID != theirs.ID || all[1].Doubt == "" {
		t.Errorf("there is %+v: %v", all, err)
	}
	stranger := newService(t, nil, func(c *Config) { c.Targets = []Target{folder} })
	if _, err := stranger.Latest(t.Context()); !errors.Is(err, ErrUndecided) {
		t.Errorf("who isn't any of them is given one: %v", err)
	}
	if _, err := stranger.Prune(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if left, err := one.List(t.Context()); err != nil || len(left) != 2 {
		t.Errorf("then there is %+v: %v", left, err)
	}
}

func TestARestoredStoreMakesABackupAtItsStart(t *testing.T) {
	t.Parallel()
	s := newScheduled(t, "0 2 * * *", nil)
	s.minutes(t, 1)
	s.restart()
	if n := s.minutes(t, 5); n != 0 {
		t.Errorf("%d were made at a start like any other", n)
	}
	s.restart()
	s.Service().Targets = []Target{dated{NewFolder(t.TempDir()), s.clock.Now}} // where there are none yet
	if n := s.minutes(t, 5); n != 1 {
		t.Errorf("%d were made where there are none", n)
	}
}

// hung is a target that doesn't answer until it is let go.
type hung struct {
	Target
	begun, let chan struct{}
}

type hungUpload struct {
	Upload
	of hung
}

func (h hung) Create(ctx context.Context, name string, size int64) (Upload, error) {
	u, err := h.Target.Create(ctx, name, size)
	return hungUpload{u, h}, err
}

func (u hungUpload) Commit() error {
	close(u.of.begun)
	<-u.of.let
	return errDisk
}

func TestATargetThatHangsDoesNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	h := hung{NewFolder(t.TempDir()), make(chan struct{}), make(chan struct{})}
	s := newService(t, randomRecords(1, 1000), func(c *Config) {
		c.Targets = append([]Target{h}, c.Targets...)
		c.Log = slog.New(slog.DiscardHandler)
	})
	ended := make(chan error)
	go func() {
		_, err := s.Create(t.Context(), CreateOptions{})
		ended <- err
	}()
	<-h.begun
	waittest.Poll(t, func() bool {
		b, ok := newestVerified(t, s)
		return ok && len(b.At) == 1 && b.At[0] == s.Targets[1].String()
	})
	close(h.let)
	if err := <-ended; !errors.Is(err, errDisk) {
		t.Errorf("it ends with %v", err)
	}
}

// onlyDatabase is a source of every database that has only one, which a drill leaves unnamed.
type onlyDatabase struct{ *records }

func (o onlyDatabase) Dump(ctx context.Context, w io.Writer, progress func(int64)) (Contents, error) {
	c, err := o.records.Dump(ctx, w, progress)
	c.Databases = true
	for i := range c.Collections {
		c.Collections[i].Name = "app." + c.Collections[i].Name
	}
	return c, err
}

func TestTheOnlyOneOfAllDatabasesNeedsNoName(t *testing.T) {
	t.Parallel()
	create(t, newService(t, onlyDatabase{randomRecords(1, 1000)}, nil))
}

// clocked is a database on a server with a clock of its own.
type clocked struct {
	*records
	clock time.Time
}

func (c clocked) Dump(ctx context.Context, w io.Writer, progress func(int64)) (Contents, error) {
	contents, err := c.records.Dump(ctx, w, progress)
	contents.Clock = c.clock
	return contents, err
}

// Times are held against the clock of the store, and against that of the file.
func TestABackupWhoseTimeOtherClocksDenyDoesNotCount(t *testing.T) {
	t.Parallel()
	source := clocked{randomRecords(1, 1000), time.Now()}
	s := newService(t, &source, nil)
	if m := create(t, s); m.Suspicious != "" {
		t.Errorf("by a clock that is right it is suspicious: %s", m.Suspicious)
	}
	source.clock = source.clock.Add(-time.Hour)
	if m := create(t, s); !strings.Contains(m.Suspicious, "set them right") {
		t.Errorf("by a clock that is an hour behind, it is %q", m.Suspicious)
	}
	source.clock = time.Time{}
	m := create(t, s)
	earlier := m.CreatedAt.Add(-2 * fileTolerance)
	if err := os.Chtimes(pathOf(s, m.File), earlier, earlier); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Find(t.Context(), m.ID); err != nil || b.Counts() || !strings.Contains(b.Doubt, "the clock was wrong when it was made") {
		t.Errorf("older than its file's folder says, it is %+v: %v", b, err)
	}
}

// narrow is a folder with space for so many files.
type narrow struct {
	Target
	files int
}

func (n narrow) Create(ctx context.Context, name string, size int64) (Upload, error) {
	if files, err := n.List(ctx, ""); err != nil || len(files) >= n.files {
		return nil, errors.Join(err, errDisk)
	}
	return n.Target.Create(ctx, name, size)
}

func TestWhatHasHadItsTimeGoesBeforeThereIsNoSpace(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	s := newService(t, randomRecords(1, 1000), func(c *Config) {
		c.Now, c.Retention = func() time.Time { return now }, Retention{Days: 1}
	})
	s.Targets[0] = narrow{s.Targets[0], 4}
	create(t, s)
	now = now.Add(time.Hour)
	covering := create(t, s)
	now = now.AddDate(0, 0, 2)
	if _, err := s.Create(t.Context(), CreateOptions{}); !errors.Is(err, errDisk) {
		t.Errorf("with no space it ends with %v", err)
	}
	if _, err := s.Create(t.Context(), CreateOptions{PruneFirst: true}); err != nil {
		t.Error(err)
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 2 || all[1].ID != covering.ID {
		t.Errorf("there is %+v: %v", all, err)
	}
}

// Backups of earlier versions of the program don't say whose they are.
func TestBackupsWithoutAnOwnerAreOursWhereThereIsNobodyElse(t *testing.T) {
	t.Parallel()
	of := func(installation string) Backup {
		m := newManifest(time.Now(), SQLite, Gzip, false)
		m.Installation = installation
		return Backup{Manifest: m}
	}
	for counts, all := range map[bool][]Backup{true: {of(""), of("ours")}, false: {of(""), of("theirs")}} {
		for _, b := range newViewer("ours", all, time.Now()).judge(all) {
			if b.Installation == "" && b.Counts() != counts {
				t.Errorf("it counts: %v, because %q", b.Counts(), b.Doubt)
			}
		}
	}
}

// A disk is full, and nothing can be asked of the store, or there is none: what has had its
// time goes nevertheless, but only where there is nobody else.
func TestAStoreThatIsOutOfOrderDoesNotKeepBackupsForEver(t *testing.T) {
	t.Parallel()
	folder, now := NewFolder(t.TempDir()), time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	with := func(open func(context.Context) (docstore.Store, error)) *Service {
		return newService(t, randomRecords(1, 1000), func(c *Config) {
			c.Targets, c.Retention, c.Now = []Target{folder}, Retention{Days: 1}, func() time.Time { return now }
			c.OpenStore = open
		})
	}
	kept := func() (left []int) {
		store := storetest.New(t, append(Specs(), lease.Specs()...)...)
		s := with(func(context.Context) (docstore.Store, error) { return keptOpen{store}, nil })
		for range 2 {
			create(t, s)
			now = now.Add(time.Hour)
		}
		now = now.AddDate(0, 0, 5)
		for _, err := range []error{docstore.ErrNotFound, docstore.ErrUnavailable} {
			if _, err := with(func(context.Context) (docstore.Store, error) { return nil, err }).Prune(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			all, err := s.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, len(all))
		}
		return left
	}
	if n := kept(); !slices.Equal(n, []int{1, 1}) {
		t.Errorf("without a store, and with one that is out of order, %v backups are kept", n)
	}
	if n := kept(); !slices.Equal(n, []int{3, 3}) {
		t.Errorf("beside another installation %v backups are kept", n)
	}
}
