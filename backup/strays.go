package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Stray is a file in a folder of backups that is none of this program's. Nothing removes it.
type Stray struct {
	Path     string
	Size     int64
	Modified time.Time
	// Format is that of the dump in it, which can be restored by its path; empty where it
	// isn't one, or can't be opened, and of all but the newest few.
	Format Format
	// Locked is set for a file of age that none of the keys opens.
	Locked bool
}

// Strays are what else there is in the folders, newest first. Buckets aren't asked: they may
// have any number of objects for other ends.
func (s *Service) Strays(ctx context.Context) ([]Stray, error) {
	var all []Stray
	var errs []error
	for _, target := range s.Targets {
		dir, ok := target.(interface{ Dir() string })
		if !ok {
			continue
		}
		files, err := target.List(ctx, "")
		errs = append(errs, err)
		for _, f := range files {
			if !isOurs(f.Name) {
				all = append(all, Stray{Path: filepath.Join(dir.Dir(), f.Name), Size: f.Size, Modified: f.Modified})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Stray) int { return b.Modified.Compare(a.Modified) })
	for i := range all[:min(len(all), maxOpened)] {
		s.openStray(&all[i])
	}
	return all, errors.Join(errs...)
}

// maxOpened is how many strays are opened to see what they are.
const maxOpened = 20

// isOurs tells whether a file is named as those of backups are.
func isOurs(name string) bool {
	return baseOf(name) != "" || strings.HasPrefix(name, filePrefix) && strings.HasSuffix(name, manifestSuffix)
}

// openStray finds out what a file is by its beginning.
func (s *Service) openStray(stray *Stray) {
	file, err := os.Open(stray.Path)
	if err != nil {
		return
	}
	defer file.Close() //nolint:errcheck // it is only read
	dump, err := OpenDump(file, s.Identities)
	stray.Format, stray.Locked = dump.Format, errors.Is(err, ErrWrongKey)
}
