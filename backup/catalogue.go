package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"manus/internal/words"
)

// Backup is a backup as it is found at the targets.
type Backup struct {
	Manifest
	// At are the targets that have it.
	At []string `json:"at"`
	// Problem is why it can't be restored; empty is good. A Backup whose manifest can't
	// be read has only File, At and Problem.
	Problem string `json:"problem,omitempty"`
	// Doubt is why it doesn't count, although it can be restored: it is another
	// installation's, or of a time that can't be, or suspicious.
	Doubt string `json:"doubt,omitempty"`

	targets []Target
	arrived time.Time // when its file came to the target that has had it for longest
	kind    doubt
	// unlisted is set for a file without a manifest.
	unlisted bool
}

// doubt is a kind of Doubt.
type doubt int

const (
	noDoubt    doubt = iota
	foreign          // another installation's
	unclaimed        // an installation's, and nothing says whether it is this one
	misdated         // of a time that can't be
	suspicious       // as the manifest says
)

// Foreign tells whether it is another installation's, as far as is known.
func (b Backup) Foreign() bool { return b.kind == foreign || b.kind == unclaimed }

// Counts tells whether it is whole and to be relied on, as far as is known without
// restoring it.
func (b Backup) Counts() bool { return b.Problem == "" && b.kind == noDoubt }

// Saves tells whether it is a backup that saves us: one that counts and has been restored.
// Retention, the alarm and whoever wants to restore all ask this.
func (b Backup) Saves() bool { return b.Counts() && b.Verified }

// restorable tells whether it is verified, whosever it is.
func (b Backup) restorable() bool { return b.Verified && b.Problem == "" && b.kind != misdated }

// Catalogue is backups, newest first, as one installation sees them.
type Catalogue []Backup

// newest is the first that is picked.
func (c Catalogue) newest(pick func(Backup) bool) (Backup, bool) {
	i := slices.IndexFunc(c, pick)
	if i < 0 {
		return Backup{}, false
	}
	return c[i], true
}

// NewestVerified is the newest one that saves us.
func (c Catalogue) NewestVerified() (Backup, bool) { return c.newest(Backup.Saves) }

// Restorable is the newest verified one, whosever it is.
func (c Catalogue) Restorable() (Backup, bool) { return c.newest(Backup.restorable) }

// restorableOfEach is the newest verified one of each installation, without those that are
// suspicious.
func (c Catalogue) restorableOfEach() (each Catalogue) {
	for _, b := range c {
		of := func(other Backup) bool { return other.Installation == b.Installation }
		if b.restorable() && b.Suspicious == "" && !slices.ContainsFunc(each, of) {
			each = append(each, b)
		}
	}
	return each
}

// Newest is the newest one that counts, verified or not.
func (c Catalogue) Newest() (Backup, bool) { return c.newest(Backup.Counts) }

// last is the newest one of the installation's own that can be restored, suspicious or not.
func (c Catalogue) last() (Backup, bool) {
	return c.newest(func(b Backup) bool { return b.Problem == "" && !b.Foreign() && b.kind != misdated })
}

// Doubtful is the newest one of the installation's own that can be restored, if it
// doesn't count.
func (c Catalogue) Doubtful() (Backup, bool) {
	b, ok := c.newest(func(b Backup) bool { return b.Problem == "" && !b.Foreign() })
	return b, ok && b.kind != noDoubt
}

// clockTolerance is how far clocks may be apart, and fileTolerance how much older than its
// backup a file may seem to be: some file systems have local time.
const (
	clockTolerance = 5 * time.Minute
	fileTolerance  = 24 * time.Hour
)

// viewer is who looks at backups.
type viewer struct {
	id string // of the installation; empty when it isn't known
	// alone is set where there are no other installation's: then those that don't say
	// whose they are count too.
	alone bool
	now   time.Time
}

// newViewer is an installation that looks at backups.
func newViewer(id string, all []Backup, now time.Time) viewer {
	others := owners(all)
	others = slices.DeleteFunc(others, func(other string) bool { return other == id })
	return viewer{id: id, alone: len(others) == 0, now: now}
}

// owners are the installations that have backups there.
func owners(all []Backup) []string {
	var ids []string
	for _, b := range all {
		if b.Installation != "" && !slices.Contains(ids, b.Installation) {
			ids = append(ids, b.Installation)
		}
	}
	return ids
}

// judge orders backups and says which of them count.
func (v viewer) judge(all []Backup) Catalogue {
	for i := range all {
		b := &all[i]
		b.kind, b.Doubt = noDoubt, ""
		if b.File != "" && b.Version != 0 {
			b.kind, b.Doubt = v.doubt(*b)
		}
	}
	slices.SortFunc(all, newestFirst)
	return all
}

func (v viewer) doubt(b Backup) (doubt, string) {
	switch misdate := v.misdate(b); {
	case b.Installation == "" && !v.alone:
		return foreign, "it doesn't say whose it is, and others have theirs here too; 'manus backup adopt " + b.ID + "' makes it this installation's"
	case b.Installation != "" && v.id == "":
		return unclaimed, "it is of the installation " + b.Installation + ", and nothing says whether this is that one"
	case b.Installation != "" && b.Installation != v.id:
		return foreign, "it is of another installation, " + b.Installation
	case misdate != "":
		return misdated, misdate
	case b.Suspicious != "":
		return suspicious, b.Suspicious
	}
	return noDoubt, ""
}

// misdate is why the time of a backup can't be; empty where it can.
func (v viewer) misdate(b Backup) string {
	switch ahead := b.CreatedAt.Sub(v.now); {
	case ahead > clockTolerance:
		return fmt.Sprintf("it says that it was made at %s, which is %s from now: set the clock of this machine right if it is wrong, and else remove the backup, which one that was wrong has made", stamp(b.CreatedAt), words.Span(ahead))
	case !b.arrived.IsZero() && b.CreatedAt.Sub(b.arrived) > fileTolerance:
		return fmt.Sprintf("it says that it was begun at %s, but its file is of %s: the clock was wrong when it was made; remove it, or it stays", stamp(b.CreatedAt), stamp(b.arrived))
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// newestFirst orders by when the dumps were begun. Manifests of earlier versions have whole
// seconds: within one of these it is when they were whole that counts, by the file at last.
func newestFirst(a, b Backup) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), b.FinishedAt.Compare(a.FinishedAt), b.arrived.Compare(a.arrived), strings.Compare(b.File, a.File))
}

// List has all backups, newest first. When a target can't be listed, the others'
// backups are returned together with the error. They are seen as the installation does that
// As names, or the store; where neither says which it is, but all backups are of one, as that
// does: so it is on the machine on which all is to be restored.
func (s *Service) List(ctx context.Context) (Catalogue, error) {
	at := make([][]Backup, len(s.Targets))
	errs := make([]error, len(s.Targets))
	var listing sync.WaitGroup
	for i, target := range s.Targets {
		listing.Go(func() { at[i], errs[i] = listTarget(ctx, target) })
	}
	s.installation(ctx, false) // which may take as long
	listing.Wait()
	found := map[string]*Backup{}
	for _, b := range slices.Concat(at...) {
		merge(found, b)
	}
	all := make([]Backup, 0, len(found))
	for _, b := range found {
		all = append(all, *b)
	}
	id, err := s.looking(ctx, all)
	if err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	return newViewer(id, all, s.Now()).judge(all), errors.Join(errs...)
}

// merge joins what several targets have of one backup. A good copy counts.
func merge(found map[string]*Backup, b Backup) {
	name := baseOrName(b.File)
	known, ok := found[name]
	switch {
	case !ok, known.Problem != "" && b.Problem == "":
		found[name] = &b
	case b.Problem == "" || known.Problem != "":
		if b.Verified && !known.Verified {
			known.Verification = b.Verification
		}
		if b.arrived.Before(known.arrived) {
			known.arrived = b.arrived
		}
		known.Suspicious = cmp.Or(known.Suspicious, b.Suspicious)
		known.At = append(known.At, b.At...)
		known.targets = append(known.targets, b.targets...)
	}
}

func baseOrName(file string) string {
	return cmp.Or(baseOf(file), strings.TrimSuffix(file, manifestSuffix))
}

// parallelReads is how many manifests are read at once.
const parallelReads = 8

// listTarget has the backups of one target, and the files there that would be backups if
// they had a manifest.
func listTarget(ctx context.Context, target Target) ([]Backup, error) {
	all, err := target.List(ctx, filePrefix)
	if err != nil {
		return nil, fmt.Errorf("%s can't be listed: %w", target, err)
	}
	files, manifests := map[string]File{}, map[string]bool{}
	for _, f := range all {
		files[f.Name] = f
		if base, ok := strings.CutSuffix(f.Name, manifestSuffix); ok {
			manifests[base] = true
		}
	}
	backups := make([]Backup, len(all))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(parallelReads)
	for i, f := range all {
		base := baseOf(f.Name)
		group.Go(func() (err error) {
			switch {
			case strings.HasSuffix(f.Name, manifestSuffix):
				backups[i], err = readBackup(reading, target, f.Name, files)
			case base != "" && !manifests[base]:
				backups[i], err = unlistedFile(reading, target, f)
			}
			return err
		})
	}
	err = group.Wait()
	backups = slices.DeleteFunc(backups, func(b Backup) bool { return b.File == "" }) // gone meanwhile, or no backup's
	return backups, err
}

// unlistedFile is a file without a manifest, unless a run is at work on it or has been
// killed, which the next one cleans up.
func unlistedFile(ctx context.Context, target Target, f File) (Backup, error) {
	begun, err := target.Begun(ctx, f.Name)
	if begun || err != nil {
		return Backup{}, err
	}
	if has, err := hasManifest(ctx, target, baseOf(f.Name)); has || err != nil { // by now
		return Backup{}, err
	}
	b := Backup{At: []string{target.String()}, targets: []Target{target}, arrived: f.Modified, unlisted: true}
	b.Manifest = manifestOf(f)
	b.Problem = "it has no manifest, so it is no run's of this program; 'manus backup adopt " + f.Name + "' checks and lists it"
	return b, nil
}

// problemMissing is of a backup that has lost its file, or of which not even that is there yet.
const problemMissing = "its file is missing"

// readBackup reads a manifest and holds it against the file beside it. Only when the
// target fails is that an error.
func readBackup(ctx context.Context, target Target, name string, files map[string]File) (Backup, error) {
	b := Backup{At: []string{target.String()}, targets: []Target{target}}
	m, err := readManifest(ctx, target, name)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was removed just now
		return Backup{}, nil
	case errors.Is(err, ErrDamaged):
		b.File, b.Problem = name, strings.TrimPrefix(err.Error(), ErrDamaged.Error()+": ")
		return b, nil
	case err != nil:
		return b, fmt.Errorf("%s can't be read at %s: %w", name, target, err)
	}
	b.Manifest = m
	file, ok := files[m.File]
	b.arrived = file.Modified
	switch {
	case !ok:
		b.Problem = problemMissing
	case file.Size != m.Size:
		b.Problem = fmt.Sprintf("its file has %s instead of %d", words.Count(file.Size, "byte"), m.Size)
	}
	return b, nil
}

func readManifest(ctx context.Context, target Target, name string) (Manifest, error) {
	file, err := target.Open(ctx, name)
	if err != nil {
		return Manifest{}, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxManifest+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return Manifest{}, err
	}
	if len(text) > maxManifest {
		return Manifest{}, fmt.Errorf("%w: its manifest is too long", ErrDamaged)
	}
	return parseManifest(name, text)
}

// Find returns the backup with an ID, or with that file name, or ErrNotFound. An ID
// may be shortened as long as it is the only one.
func (s *Service) Find(ctx context.Context, id string) (Backup, error) {
	all, err := s.List(ctx)
	b, missing := s.pick(ctx, all, id)
	if missing != nil {
		missing = cmp.Or(err, missing)
	}
	return b, missing
}

// pick is Find of the backups that were listed.
func (s *Service) pick(ctx context.Context, all Catalogue, id string) (Backup, error) {
	found := slices.DeleteFunc(slices.Clone(all), func(b Backup) bool { return !b.answers(id) })
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Backup{}, fmt.Errorf("%w: %d begin with that; write more of the ID", ErrNotFound, len(found))
	}
	return Backup{}, s.notFound(ctx, id)
}

// notFound says that there is no such backup; there may be a file of that name.
func (s *Service) notFound(ctx context.Context, id string) error {
	strays, _ := s.Strays(ctx)
	for _, stray := range strays {
		if filepath.Base(stray.Path) == id {
			return fmt.Errorf("%w: %s isn't named as this program names backups, so it isn't listed as one; 'manus backup restore' takes it by its path", ErrNotFound, stray.Path)
		}
	}
	return fmt.Errorf("%w: %q is not at %s; 'manus backup list' shows all that are", ErrNotFound, id, s.places())
}

// places are the targets, for people.
func (s *Service) places() string {
	names := make([]string, len(s.Targets))
	for i, target := range s.Targets {
		names[i] = target.String()
	}
	return strings.Join(names, " or ")
}

// id is the ID, by the manifest's name where that can't be read.
func (b Backup) id() string {
	_, id, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(b.File, manifestSuffix), filePrefix), "-")
	return cmp.Or(b.ID, id)
}

// answers tells whether a backup is meant by an ID or a file name.
func (b Backup) answers(id string) bool {
	return id != "" && (strings.HasPrefix(b.id(), id) || b.File == id || baseOf(b.File) == id)
}

// Latest returns the newest backup that counts, verified or not, or ErrNotFound, or
// ErrUndecided.
func (s *Service) Latest(ctx context.Context) (Backup, error) {
	all, err := s.List(ctx)
	if b, ok := all.Newest(); ok {
		return b, nil
	}
	return Backup{}, cmp.Or(err, s.Undecided(all), s.none(all))
}

// none says that no backup is the latest.
func (s *Service) none(all Catalogue) error {
	switch {
	case len(all) == 0:
		return fmt.Errorf("%w: there are no backups yet at %s; 'manus backup create' makes one", ErrNotFound, s.places())
	case !slices.ContainsFunc(all, func(b Backup) bool { return !b.Foreign() }):
		return fmt.Errorf("%w: this installation has none; %s", ErrNotFound, s.choice(all))
	}
	return fmt.Errorf("%w: there are backups at %s, but none that can be relied on; 'manus backup list' says why, and any can be named by its ID", ErrNotFound, s.places())
}

// Candidates are what a store that can't be read may be restored from: the newest backup that
// saves us, or where nobody knows which installation this is, the newest verified one of each.
// There may be none. An error says that not all backups are known.
func (s *Service) Candidates(ctx context.Context) (Catalogue, error) {
	all, err := s.List(ctx)
	if b, ok := all.NewestVerified(); ok {
		return Catalogue{b}, nil
	}
	if s.installation(ctx, false) != "" {
		return nil, err
	}
	return all.restorableOfEach(), err
}
