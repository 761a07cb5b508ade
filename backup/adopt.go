package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"manus/internal/words"
)

// Adopt checks a backup that this installation hasn't made, or that is suspicious, by
// restoring it into a scratch database, and makes it one that counts. It takes an ID, or
// the name of a file at the targets, which may have no manifest. ErrNotFound means that no
// target has it. The installation is the one that List sees backups as; where nothing says
// which that is, whose the backup is stays as it was, and it may go on not to count.
func (s *Service) Adopt(ctx context.Context, name string, progress func(Progress)) (Backup, error) {
	if s.As == "" {
		s.installation(ctx, true)
	}
	all, listed := s.List(ctx)
	b, err := s.pick(ctx, all, filepath.Base(name))
	if err != nil {
		return b, cmp.Or(listed, err)
	}
	id, err := s.looking(ctx, all)
	if err != nil {
		return b, err
	}
	v := newViewer(id, all, s.Now())
	switch why := v.misdate(b); {
	case b.Problem != "" && !b.unlisted:
		return b, fmt.Errorf("%w: %s", ErrDamaged, b.Problem)
	case why != "":
		return b, fmt.Errorf("%s; no check can tell when it was made: remove it, or leave it as it is", why)
	}
	return s.adopt(ctx, b, v, progress)
}

// adopt adopts the copies of a backup for who looks at it.
func (s *Service) adopt(ctx context.Context, b Backup, v viewer, progress tellProgress) (Backup, error) {
	var adopted Manifest
	var errs []error
	for _, target := range b.targets {
		m, err := s.adoptAt(ctx, target, b, cmp.Or(v.id, b.Installation), progress)
		if err == nil {
			adopted = m
		}
		errs = append(errs, at(target, err))
	}
	if adopted.File != "" {
		b.Manifest, b.Problem, b.unlisted = adopted, "", false
		b.kind, b.Doubt = v.doubt(b)
	}
	return b, errors.Join(errs...)
}

// adoptAt checks the copy at a target and makes it the installation's of the id.
func (s *Service) adoptAt(ctx context.Context, target Target, b Backup, id string, progress tellProgress) (Manifest, error) {
	m, began := b.Manifest, time.Now()
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
	m.Installation, m.Suspicious = id, ""
	m.Verification = s.verification(began, nil)
	if err := putManifest(ctx, target, m); err != nil {
		return m, fmt.Errorf("it is good (restored, %s), but that can't be written into its manifest: %w", words.Count(m.Documents, "document"), withoutPath(err))
	}
	return m, nil
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
