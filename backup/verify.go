package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
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
	text, noted := m.encode()
	if noted == nil {
		noted = target.Put(ctx, m.name(), text)
	}
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

// read opens a copy, decrypts and decompresses it, and gives it to use. It returns
// ErrDamaged when what was read isn't what the manifest says, whatever use has made of
// it; use needn't read to the end.
func read(ctx context.Context, target Target, m Manifest, keys []age.Identity, use func(dump io.Reader) error) error {
	file, err := openChecked(ctx, target, m)
	if err != nil {
		return err
	}
	err = unpack(file, m, keys, use)
	if err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, ErrWrongKey) {
		if damaged := file.finish(); damaged != nil {
			err = damaged // then nothing else is to be believed
		}
	}
	return errors.Join(err, file.Close())
}

// unpack decrypts and decompresses a file.
func unpack(file io.Reader, m Manifest, keys []age.Identity, use func(dump io.Reader) error) error {
	opened := file
	if m.Encryption != "" {
		var err error
		if opened, err = decrypt(file, keys); err != nil {
			return err
		}
	}
	dump, err := newDecompressor(opened, m.Compression)
	if err != nil {
		return err
	}
	defer dump.Close() //nolint:errcheck // it is only read
	plain := &checked{r: dump, size: m.DumpSize, sha256: m.DumpSHA256, hash: sha256.New()}
	if err := use(plain); err != nil {
		return err
	}
	return plain.finish()
}

// openChecked opens a copy's file.
func openChecked(ctx context.Context, target Target, m Manifest) (*checked, error) {
	file, err := target.Open(ctx, m.File)
	if err != nil {
		return nil, err
	}
	return &checked{r: file, close: file.Close, size: m.Size, sha256: m.SHA256, hash: sha256.New(), ctx: ctx}, nil
}

// checked is a reader of what should be size bytes with a hash. It returns ErrDamaged
// instead of the end when they aren't.
type checked struct {
	r      io.Reader
	close  func() error
	size   int64
	sha256 string
	ctx    context.Context // ends the reading; nil never does
	report func(int64)     // of how much has been read; may be nil

	hash hash.Hash
	seen int64
	err  error
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.ctx != nil && c.ctx.Err() != nil {
		return 0, c.ctx.Err()
	}
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	c.seen += int64(n)
	if c.report != nil {
		c.report(c.seen)
	}
	switch {
	case c.seen > c.size:
		err = fmt.Errorf("%w: it has more than %d bytes", ErrDamaged, c.size)
	case errors.Is(err, io.EOF) && c.seen < c.size:
		err = fmt.Errorf("%w: it has %d bytes instead of %d", ErrDamaged, c.seen, c.size)
	case errors.Is(err, io.EOF) && hex.EncodeToString(c.hash.Sum(nil)) != c.sha256:
		err = fmt.Errorf("%w: its bytes were changed", ErrDamaged)
	}
	c.err = err
	return n, err
}

// finish reads what is left and returns nil when all is as it should be.
func (c *checked) finish() error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// Close closes what is read.
func (c *checked) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}
