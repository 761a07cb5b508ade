package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Backup is a backup as it is found at the targets.
type Backup struct {
	Manifest
	// At are the targets that have it.
	At []string `json:"at"`
	// Problem is why it isn't to be relied on; empty is good. A Backup whose manifest
	// can't be read has only File, At and Problem.
	Problem string `json:"problem,omitempty"`

	targets []Target
}

// List has all backups, newest first. When a target can't be listed, the others'
// backups are returned together with the error.
func (s *Service) List(ctx context.Context) ([]Backup, error) {
	found := map[string]*Backup{}
	var errs []error
	for _, target := range s.Targets {
		at, err := listTarget(ctx, target)
		errs = append(errs, err)
		for _, b := range at {
			merge(found, b)
		}
	}
	backups := make([]Backup, 0, len(found))
	for _, b := range found {
		backups = append(backups, *b)
	}
	slices.SortFunc(backups, func(a, b Backup) int { return newestFirst(a.Manifest, b.Manifest) })
	return backups, errors.Join(errs...)
}

// NewestVerified is the newest backup that a restore would surely work with, of those at
// targets that can be listed, or ErrNotFound.
func (s *Service) NewestVerified(ctx context.Context) (Backup, error) {
	all, err := s.List(ctx)
	if i := slices.IndexFunc(all, func(b Backup) bool { return b.Verified && b.Problem == "" }); i >= 0 {
		return all[i], nil
	}
	return Backup{}, cmp.Or(err, ErrNotFound)
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
		known.At = append(known.At, b.At...)
		known.targets = append(known.targets, b.targets...)
	}
}

func baseOrName(file string) string {
	return cmp.Or(baseOf(file), strings.TrimSuffix(file, manifestSuffix))
}

// parallelReads is how many manifests are read at once.
const parallelReads = 8

// listTarget has the backups of one target.
func listTarget(ctx context.Context, target Target) ([]Backup, error) {
	files, err := target.List(ctx, filePrefix)
	if err != nil {
		return nil, fmt.Errorf("%s can't be listed: %w", target, err)
	}
	sizes := map[string]int64{}
	var manifests []string
	for _, f := range files {
		sizes[f.Name] = f.Size
		if strings.HasSuffix(f.Name, manifestSuffix) {
			manifests = append(manifests, f.Name)
		}
	}
	backups := make([]Backup, len(manifests))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(parallelReads)
	for i, name := range manifests {
		group.Go(func() error {
			b, err := readBackup(reading, target, name, sizes)
			backups[i] = b
			return err
		})
	}
	err = group.Wait()
	backups = slices.DeleteFunc(backups, func(b Backup) bool { return b.File == "" }) // gone meanwhile
	return backups, err
}

// readBackup reads a manifest and holds it against the file beside it. Only when the
// target fails is that an error.
func readBackup(ctx context.Context, target Target, name string, sizes map[string]int64) (Backup, error) {
	b := Backup{At: []string{target.String()}, targets: []Target{target}}
	m, err := readManifest(ctx, target, name)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was removed just now
		return Backup{}, nil
	case errors.Is(err, ErrDamaged):
		b.File, b.Problem = name, err.Error()
		return b, nil
	case err != nil:
		return b, fmt.Errorf("%s can't be read at %s: %w", name, target, err)
	}
	b.Manifest = m
	if size, ok := sizes[m.File]; !ok {
		b.Problem = "its file is missing"
	} else if size != m.Size {
		b.Problem = fmt.Sprintf("its file has %d bytes instead of %d", size, m.Size)
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
	found := slices.DeleteFunc(all, func(b Backup) bool { return !b.answers(id) })
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Backup{}, fmt.Errorf("%w: %d backups begin with that; write more of the ID", ErrNotFound, len(found))
	}
	return Backup{}, cmp.Or(err, fmt.Errorf("%w: no destination has a backup %q; 'manus backup list' shows all", ErrNotFound, id))
}

// answers tells whether a backup is meant by an ID or a file name.
func (b Backup) answers(id string) bool {
	return id != "" && (strings.HasPrefix(b.ID, id) || b.File == id || baseOf(b.File) == id)
}

// Latest returns the newest backup without a problem, or ErrNotFound.
func (s *Service) Latest(ctx context.Context) (Backup, error) {
	all, err := s.List(ctx)
	if i := slices.IndexFunc(all, func(b Backup) bool { return b.Problem == "" }); i >= 0 {
		return all[i], nil
	}
	return Backup{}, cmp.Or(err, fmt.Errorf("%w: there are no backups yet; 'manus backup create' makes one", ErrNotFound))
}
