package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"
)

// Verify checks a backup at every target that has it, or returns why it isn't good:
// ErrDamaged, ErrWrongKey, ErrUnavailable. A quick check reads the bytes and holds them
// against the manifest. Otherwise each copy is restored into a scratch database beside
// the source and compared with what was dumped, and what became of it is written into
// the manifest; a copy that can't be decrypted here or can't be reached says nothing.
func (s *Service) Verify(ctx context.Context, b Backup, quick bool, progress func(Progress)) error {
	if b.Problem != "" {
		return fmt.Errorf("%w: %s", ErrDamaged, b.Problem)
	}
	return s.Metrics.observed("verify", func() (int64, error) {
		var errs []error
		for _, target := range b.targets {
			if err := s.verifyAt(ctx, target, b.Manifest, quick, progress); err != nil {
				errs = append(errs, fmt.Errorf("at %s: %w", target, err))
			}
		}
		return b.Size, errors.Join(errs...)
	})
}

func (s *Service) verifyAt(ctx context.Context, target Target, m Manifest, quick bool, progress tellProgress) error {
	if quick {
		return checkBytes(ctx, target, m, progress)
	}
	began := time.Now()
	err := s.drill(ctx, target, m, s.Identities, progress)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	m.Verification = s.verification(began, err)
	noted := putManifest(ctx, target, m)
	if noted != nil {
		noted = fmt.Errorf("what became of restoring it could not be written into its manifest: %w", noted)
	}
	return errors.Join(err, noted)
}

// drill restores a copy into a scratch database and compares.
func (s *Service) drill(ctx context.Context, target Target, m Manifest, keys []age.Identity, progress tellProgress) error {
	if s.Source == nil || s.Source.Format() != m.Format {
		return fmt.Errorf("it is a dump of another kind of database (%s) than the one that is configured, so it can't be restored beside it", m.Format)
	}
	return read(ctx, target, m, keys, func(dump io.Reader) error {
		restored, err := s.Source.Drill(ctx, dump, progress.of(StageRestore, m.DumpSize))
		if err != nil {
			return err
		}
		if differs := difference(m.Contents, restored); differs != "" {
			return fmt.Errorf("%w: restored, %s", ErrDamaged, differs)
		}
		return nil
	})
}

// checkBytes reads a copy and holds it against the manifest.
func checkBytes(ctx context.Context, target Target, m Manifest, progress tellProgress) error {
	file, err := openChecked(ctx, target, m)
	if err != nil {
		return err
	}
	file.report = progress.of(StageCheck, m.Size)
	return errors.Join(file.finish(), file.Close())
}
