package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// Adopt checks a backup that this installation hasn't made, or that is suspicious, by
// restoring it into a scratch database, and makes it one that counts. It takes an ID, or
// the name of a file at the targets, which may have no manifest. ErrNotFound means that no
// target has it.
func (s *Service) Adopt(ctx context.Context, name string, progress func(Progress)) (Backup, error) {
	b, err := s.Find(ctx, filepath.Base(name))
	if err != nil {
		return b, err
	}
	if b.Problem != "" && !b.unlisted {
		return b, fmt.Errorf("%w: %s", ErrDamaged, b.Problem)
	}
	var errs []error
	for _, target := range b.targets {
		m, err := s.adoptAt(ctx, target, b, progress)
		if err == nil {
			b.Manifest, b.Problem, b.Doubt, b.kind, b.unlisted = m, "", "", noDoubt, false
		} else {
			err = fmt.Errorf("at %s: %w", target, err)
		}
		errs = append(errs, err)
	}
	return b, errors.Join(errs...)
}

func (s *Service) adoptAt(ctx context.Context, target Target, b Backup, progress tellProgress) (Manifest, error) {
	m, began := b.Manifest, time.Now()
	if b.kind == misdated {
		return m, fmt.Errorf("%s; no check can tell when it was made: remove it, or leave it as it is", b.Doubt)
	}
	drill := func(restored Contents) error { return differs(m.Contents, restored) }
	if b.unlisted {
		var err error
		if m, err = s.measure(ctx, target, m, progress); err != nil {
			return m, err
		}
		drill = func(restored Contents) error {
			m.Contents, m.Documents = restored, restored.Documents()
			return nil
		}
	}
	if err := s.drillAs(ctx, target, m, s.Identities, progress, drill); err != nil {
		return m, err
	}
	m.Installation, m.Suspicious = s.installation(ctx, true), ""
	m.Verification = s.verification(began, nil)
	return m, putManifest(ctx, target, m)
}

// measure makes the manifest of a file of which nothing is known but its name.
func (s *Service) measure(ctx context.Context, target Target, m Manifest, progress tellProgress) (Manifest, error) {
	m.Version, m.Tool = manifestVersion, s.Tool+" (adopted)"
	file, err := target.Open(ctx, m.File)
	if err != nil {
		return m, err
	}
	stored, plain := newMeter(), newMeter()
	tell := progress.of(StageCheck, m.Size)
	counted := readerFunc(func(p []byte) (int, error) {
		n, err := file.Read(p)
		_, _ = stored.Write(p[:n])
		tell(stored.size)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return n, err
	})
	err = opened(counted, m, s.Identities, func(dump io.Reader) error {
		_, err := io.Copy(&plain, dump)
		return err
	})
	if err == nil {
		_, err = io.Copy(io.Discard, counted)
	}
	m.Size, m.SHA256, m.DumpSize, m.DumpSHA256 = stored.size, stored.sum(), plain.size, plain.sum()
	return m, errors.Join(err, file.Close())
}
