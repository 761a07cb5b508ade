package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/storetest"
	"manus/lease"
)

// neighbours are installations that share a folder, and who looks at it from a machine
// without a store. They have a clock, which goes on by an hour with each backup.
type neighbours struct {
	folder *Folder
	now    time.Time
}

func newNeighbours(t *testing.T) *neighbours {
	t.Helper()
	return &neighbours{NewFolder(t.TempDir()), time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)}
}

func (n *neighbours) service(t *testing.T, change func(*Config)) *Service {
	t.Helper()
	return newService(t, randomRecords(1, 1000), func(c *Config) {
		c.Targets, c.Retention, c.Now = []Target{n.folder}, Retention{Days: 1}, func() time.Time { return n.now }
		if change != nil {
			change(c)
		}
	})
}

// installation is one that has made so many backups.
func (n *neighbours) installation(t *testing.T, backups int) (s *Service, made []Manifest) {
	t.Helper()
	store := storetest.New(t, append(Specs(), lease.Specs()...)...)
	s = n.service(t, func(c *Config) {
		c.OpenStore = func(context.Context) (docstore.Store, error) { return keptOpen{store}, nil }
	})
	for range backups {
		n.now = n.now.Add(time.Hour)
		made = append(made, create(t, s))
	}
	return s, made
}

// rescue is a machine on which there is no store, but for what a person says.
func (n *neighbours) rescue(t *testing.T, as string) *Service {
	t.Helper()
	return n.service(t, func(c *Config) { c.As = as })
}

func TestWithoutAStoreEachInstallationsBackupsAreShown(t *testing.T) {
	t.Parallel()
	n := newNeighbours(t)
	_, ours := n.installation(t, 2)
	_, theirs := n.installation(t, 1)
	rescue := n.rescue(t, "")
	all, err := rescue.List(t.Context())
	if err != nil || len(all) != 3 || !all.Undecided() {
		t.Fatalf("listed are %+v: %v", all, err)
	}
	owners := all.Owners()
	if len(owners) != 2 || owners[0].Installation != theirs[0].Installation || owners[0].Backups != 1 || owners[1].Backups != 2 || owners[1].Newest.ID != ours[1].ID {
		t.Errorf("they are of %v", owners)
	}
	_, err = rescue.Latest(t.Context())
	for _, named := range []string{ours[1].Installation, ours[1].ID, theirs[0].Installation, theirs[0].ID, "--installation"} {
		if !errors.Is(err, ErrUndecided) || !strings.Contains(err.Error(), named) {
			t.Errorf("the latest is %v, which doesn't name %s", err, named)
		}
	}
}

func TestAPersonSaysWhoseBackupsAreMeant(t *testing.T) {
	t.Parallel()
	n := newNeighbours(t)
	one, ours := n.installation(t, 2)
	_, theirs := n.installation(t, 2)
	for _, m := range []Manifest{ours[1], theirs[1]} {
		for _, as := range []string{m.Installation, m.Installation[:len(m.Installation)-1]} {
			if b, err := n.rescue(t, as).Latest(t.Context()); err != nil || b.ID != m.ID {
				t.Errorf("as %s, the latest is %+v: %v", as, b, err)
			}
		}
	}
	for as, want := range map[string]error{"nobody": ErrNotFound, "0": ErrUndecided} {
		for name, do := range map[string]func(*Service) error{
			"latest": func(s *Service) error { _, err := s.Latest(t.Context()); return err },
			"prune":  func(s *Service) error { _, err := s.Prune(t.Context(), false); return err },
			"adopt":  func(s *Service) error { _, err := s.Adopt(t.Context(), ours[0].ID, nil); return err },
		} {
			if err := do(n.rescue(t, as)); !errors.Is(err, want) || !strings.Contains(err.Error(), ours[0].Installation) || !strings.Contains(err.Error(), theirs[0].Installation) {
				t.Errorf("%s as %s: %v", name, as, err)
			}
		}
	}
	n.now = n.now.AddDate(0, 0, 5)
	one.As = theirs[0].Installation
	if _, err := one.Prune(t.Context(), false); err == nil || len(filesOf(t, one)) != 8 {
		t.Errorf("beside a store, another installation's backups are pruned: %v", err)
	}
	if b, err := one.Latest(t.Context()); err != nil || b.ID != theirs[1].ID {
		t.Errorf("beside a store, the other's latest is %+v: %v", b, err)
	}
	if _, err := n.rescue(t, theirs[0].Installation).Prune(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	all, err := n.rescue(t, "").List(t.Context())
	if err != nil || len(all) != 3 || all[0].ID != theirs[1].ID || all[1].ID != ours[1].ID || all[2].ID != ours[0].ID {
		t.Errorf("then there is %+v: %v", all, err)
	}
}

// The first run of a database whose name is mistyped prunes nothing where it doesn't belong,
// though a person without a store may.
func TestARunOfANewInstallationRemovesNothingOfTheOnlyOther(t *testing.T) {
	t.Parallel()
	n := newNeighbours(t)
	_, ours := n.installation(t, 2)
	n.now = n.now.AddDate(0, 0, 5)
	other, _ := n.installation(t, 0)
	if _, err := other.Create(t.Context(), CreateOptions{PruneFirst: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.rescue(t, "").Find(t.Context(), ours[0].ID); err != nil {
		t.Error(err)
	}
}

// Two within a second are told apart by the manifest, and those of earlier versions, which had
// whole seconds there, by their files.
func TestOfTwoBackupsWithinASecondTheLaterOneIsTheNewer(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]time.Duration{"a moment": time.Microsecond, "as manifests of earlier versions": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNeighbours(t)
			s := n.service(t, nil)
			var made []string
			for i := range 12 {
				m := create(t, s)
				made = append(made, m.ID)
				at := n.now.Add(time.Duration(i) * time.Millisecond)
				if step > 0 { // they were copied in another order
					at = n.now.Add(-time.Duration(i) * time.Second)
				}
				if err := os.Chtimes(pathOf(s, m.File), at, at); err != nil {
					t.Fatal(err)
				}
				n.now = n.now.Add(step)
			}
			all, err := s.List(t.Context())
			var listed []string
			for _, b := range all {
				listed = append([]string{b.ID}, listed...)
			}
			if err != nil || !slices.Equal(listed, made) {
				t.Errorf("made are %v, listed %v: %v", made, listed, err)
			}
			n.now = n.now.AddDate(0, 0, 5)
			if _, err := s.Prune(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if b, err := s.Latest(t.Context()); err != nil || b.ID != made[11] {
				t.Errorf("of %v %s is left: %v", made, b.ID, err)
			}
		})
	}
}

func TestAFileOfTheFutureIsNotAdopted(t *testing.T) {
	t.Parallel()
	n := newNeighbours(t)
	s, made := n.installation(t, 1)
	future := "manus-20271126T173813Z-future00.sqlite.gz"
	if err := os.WriteFile(pathOf(s, future), fileOf(t, s, made[0].File), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Adopt(t.Context(), future, nil); err == nil || !strings.Contains(err.Error(), "367 days from now") {
		t.Errorf("it is adopted as %+v: %v", b, err)
	}
	if _, err := os.Stat(pathOf(s, baseOf(future)+manifestSuffix)); err == nil {
		t.Error("it has a manifest")
	}
}

// Without a store nobody takes a backup away from the installation that made it, and one that
// goes on not to count isn't said to.
func TestAdoptingWithoutAStoreKeepsWhoseItIs(t *testing.T) {
	t.Parallel()
	n := newNeighbours(t)
	_, ours := n.installation(t, 1)
	if b, err := n.rescue(t, "").Adopt(t.Context(), ours[0].ID, nil); err != nil || b.Installation != ours[0].Installation || !b.Counts() {
		t.Errorf("the only installation's is adopted as %+v: %v", b, err)
	}
	_, theirs := n.installation(t, 1)
	if b, err := n.rescue(t, "").Adopt(t.Context(), ours[0].ID, nil); err != nil || b.Installation != ours[0].Installation || b.Counts() || b.Doubt == "" {
		t.Errorf("one of several's is adopted as %+v: %v", b, err)
	}
	if b, err := n.rescue(t, theirs[0].Installation).Adopt(t.Context(), ours[0].ID, nil); err != nil || b.Installation != theirs[0].Installation || !b.Counts() {
		t.Errorf("for the other it is adopted as %+v: %v", b, err)
	}
}

// readOnly is a folder in which nothing can be written.
type readOnly struct{ *Folder }

func (readOnly) Put(context.Context, string, []byte) error { return errDisk }

// A copy of a folder that can only be read has backups that are as good.
func TestABackupIsVerifiedWhereNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	source := randomRecords(1, 1000)
	s := newService(t, source, nil)
	m := create(t, s)
	s.Targets = []Target{readOnly{NewFolder(s.Targets[0].String())}}
	b, err := s.Find(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if unnoted, err := s.Verify(t.Context(), b, false, nil); err != nil || !errors.Is(unnoted, errDisk) {
		t.Errorf("it is good: %v, and written down: %v", err, unnoted)
	}
	if unnoted, err := s.Verify(t.Context(), b, true, nil); err != nil || unnoted != nil {
		t.Errorf("its bytes are good: %v, and nothing is to be written: %v", err, unnoted)
	}
	if _, err := s.Adopt(t.Context(), m.ID, nil); !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "it is good") {
		t.Errorf("it is adopted: %v", err)
	}
	source.drill = func() error { return ErrDamaged }
	if unnoted, err := s.Verify(t.Context(), b, false, nil); !errors.Is(err, ErrDamaged) || !errors.Is(unnoted, errDisk) {
		t.Errorf("damaged, it is good: %v, and written down: %v", err, unnoted)
	}
}

func TestFilesOfOtherProgramsAreShownAndLeftAlone(t *testing.T) {
	t.Parallel()
	s := newService(t, randomRecords(1, 1000), func(c *Config) { c.Retention = Retention{Days: 1} })
	m := create(t, s)
	dir := filepath.Dir(pathOf(s, m.File))
	for name, text := range map[string]string{
		"dump.archive":                 string(magicArchive),
		"shop.db":                      string(magicSQLite),
		"secret.age":                   string(magicAge) + "-> X25519 x\n",
		"notes.txt":                    "call Amal",
		"manus-notes.txt":              "",
		m.File + ".part":               "",
		".manus-x.sqlite.gz.123":       "", // what others' programs hide while they write
		"manus-half." + manifestSuffix: "", // which is a problem, and listed as such
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	strays, err := s.Strays(t.Context())
	found := map[string]Stray{}
	for _, stray := range strays {
		found[filepath.Base(stray.Path)] = stray
	}
	if err != nil || len(found) != 6 || found["dump.archive"].Format != Archive || found["shop.db"].Format != SQLite || !found["secret.age"].Locked || found["notes.txt"].Format != "" || found["notes.txt"].Size != 9 {
		t.Errorf("there are %+v: %v", found, err)
	}
	for _, do := range []func() error{
		func() error { _, err := s.Find(t.Context(), "shop.db"); return err },
		func() error { _, err := s.Adopt(t.Context(), "shop.db", nil); return err },
	} {
		if err := do(); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "by its path") {
			t.Errorf("by its name it is %v", err)
		}
	}
	before := filesOf(t, s)
	if _, err := s.Prune(t.Context(), false); err != nil || !slices.Equal(filesOf(t, s), before) {
		t.Errorf("there was %v, and is %v: %v", before, filesOf(t, s), err)
	}
}
