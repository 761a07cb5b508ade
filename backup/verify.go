package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"manus/internal/words"
)

// Verify checks a backup at every target that has it, or returns why it isn't good:
// ErrDamaged, ErrWrongKey, ErrUnavailable. A quick check reads the bytes and holds them
// against the manifest. Otherwise each copy is restored into a scratch database beside
// the source and compared with what was dumped, and what became of it is written into
// the manifest; a copy that can't be decrypted here or can't be reached says nothing.
//
// A backup is as good where that can't be written, as on a disk that is only read: unnoted
// says then why not; it is nil where all is written.
func (s *Service) Verify(ctx context.Context, b Backup, quick bool, progress func(Progress)) (unnoted, err error) {
	switch {
	case b.unlisted: // of which nothing is known
		return nil, fmt.Errorf("it can't be verified: %s", b.Problem)
	case b.Problem != "":
		return nil, fmt.Errorf("%w: %s", ErrDamaged, b.Problem)
	}
	err = s.Metrics.observed("verify", func() (int64, error) {
		var notes, errs []error
		for _, target := range b.targets {
			note, err := s.verifyAt(ctx, target, b.Manifest, quick, progress)
			notes, errs = append(notes, at(target, note)), append(errs, at(target, err))
		}
		unnoted = errors.Join(notes...)
		return b.Size, errors.Join(errs...)
	})
	return unnoted, err
}

// at says at which target an error came up; nil stays nil.
func at(target Target, err error) error {
	if err != nil {
		err = fmt.Errorf("at %s: %w", target, err)
	}
	return err
}

func (s *Service) verifyAt(ctx context.Context, target Target, m Manifest, quick bool, progress tellProgress) (unnoted, err error) {
	if quick {
		return nil, checkBytes(ctx, target, m, progress)
	}
	began := time.Now()
	err = s.drill(ctx, target, m, s.Identities, progress)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	m.Verification = s.verification(began, err)
	return withoutPath(putManifest(ctx, target, m)), err
}

// withoutPath leaves out the name that a file has while it is written, which says nothing to
// whoever knows the target.
func withoutPath(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	return err
}

// drill restores a copy into a scratch database and compares.
func (s *Service) drill(ctx context.Context, target Target, m Manifest, keys []age.Identity, progress tellProgress) error {
	return s.drillAs(ctx, target, m, keys, progress, func(restored Contents) error { return differs(m.Contents, restored) })
}

func differs(dumped, restored Contents) error {
	if dumped.Databases && !restored.Databases {
		dumped = dumped.ofOneDatabase()
	}
	if difference := difference(dumped, restored); difference != "" {
		return fmt.Errorf("%w: restored, %s", ErrDamaged, difference)
	}
	return nil
}

// drillAs restores a copy into a scratch database and lets what was restored be checked.
func (s *Service) drillAs(ctx context.Context, target Target, m Manifest, keys []age.Identity, progress tellProgress, check func(Contents) error) error {
	if s.Source == nil || s.Source.Format() != m.Format {
		return otherKind(m.Format)
	}
	return read(ctx, target, m, keys, func(dump io.Reader) error {
		restored, err := s.Source.Drill(ctx, dump, progress.of(StageRestore, m.DumpSize))
		if err != nil {
			return err
		}
		return check(restored)
	})
}

// otherKind says what is needed to restore a backup of a format beside a database.
func otherKind(is Format) error {
	need := "set MONGODB_URI to that of any server on which a scratch database may be made for a moment"
	if is == SQLite {
		need = "name any data folder with --data, even one that isn't there, or leave MONGODB_URI out"
	}
	return fmt.Errorf("it is a dump of another kind of database (%s) than the one that is configured, so it can't be restored beside it: %s; --quick needs none, and reads every byte", is, need)
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
	err = readFile(ctx, file, m, keys, use)
	if err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, ErrWrongKey) {
		if damaged := file.finish(); damaged != nil {
			err = damaged // then nothing else is to be believed
		}
	}
	return errors.Join(err, file.Close())
}

// readFile decrypts and decompresses a file, and holds what comes out against the manifest.
func readFile(ctx context.Context, file io.Reader, m Manifest, keys []age.Identity, use func(dump io.Reader) error) error {
	return opened(file, m, keys, func(dump io.Reader) error {
		plain := newChecked(ctx, io.NopCloser(dump), m.DumpSize, m.DumpSHA256)
		if err := use(plain); err != nil {
			return err
		}
		return plain.finish()
	})
}

// opened decrypts and decompresses a file.
func opened(file io.Reader, m Manifest, keys []age.Identity, use func(dump io.Reader) error) (err error) {
	if m.Encryption != "" {
		if file, err = unpack(file, decrypt(keys)); err != nil {
			return err
		}
	}
	dump, err := unpack(file, decompress(m.Compression))
	if err != nil {
		return err
	}
	return use(dump)
}

// openChecked opens a copy's file.
func openChecked(ctx context.Context, target Target, m Manifest) (*checked, error) {
	file, err := target.Open(ctx, m.File)
	if err != nil {
		return nil, err
	}
	return newChecked(ctx, file, m.Size, m.SHA256), nil
}

// checked is a reader, until the context ends, of what should be size bytes with a hash.
// It returns ErrDamaged instead of the end when they aren't.
type checked struct {
	io.ReadCloser
	ctx    context.Context
	size   int64
	sha256 string
	report func(int64) // of how much has been read

	seen meter
	err  error
}

func newChecked(ctx context.Context, r io.ReadCloser, size int64, sha256 string) *checked {
	return &checked{ReadCloser: r, ctx: ctx, size: size, sha256: sha256, report: func(int64) {}, seen: newMeter()}
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.ctx.Err() != nil {
		return 0, c.ctx.Err()
	}
	n, err := c.ReadCloser.Read(p)
	_, _ = c.seen.Write(p[:n])
	c.report(c.seen.size)
	switch end := errors.Is(err, io.EOF); {
	case c.seen.size > c.size:
		err = fmt.Errorf("%w: it has more than %s", ErrDamaged, words.Count(c.size, "byte"))
	case end && c.seen.size < c.size:
		err = fmt.Errorf("%w: it has %s instead of %d", ErrDamaged, words.Count(c.seen.size, "byte"), c.size)
	case end && c.seen.sum() != c.sha256:
		err = fmt.Errorf("%w: its bytes aren't those that were written", ErrDamaged)
	}
	c.err = err
	return n, err
}

// finish reads what is left and returns nil when all is as it should be.
func (c *checked) finish() error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// meter counts and hashes what is written to it.
type meter struct {
	hash.Hash
	size int64
}

func newMeter() meter { return meter{Hash: sha256.New()} }

// Write never fails.
func (m *meter) Write(data []byte) (int, error) {
	m.size += int64(len(data))
	return m.Hash.Write(data)
}

func (m *meter) sum() string { return hex.EncodeToString(m.Sum(nil)) }

// unpacked reads what is made of a source. Its errors are the source's own, or else mean
// that what came from there is damaged.
type unpacked struct {
	source, made io.Reader
	failed       error // why the source can't be read
}

// unpack opens what a tool, or we, have packed. It reads beyond the end of no file.
func unpack(source io.Reader, open func(io.Reader) (io.Reader, error)) (io.Reader, error) {
	u := &unpacked{source: source}
	var err error
	if u.made, err = open(readerFunc(u.fetch)); err != nil {
		return nil, u.blame(err)
	}
	return u, nil
}

func (u *unpacked) fetch(p []byte) (int, error) {
	n, err := u.source.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		u.failed = err
	}
	return n, err
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.made.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.blame(err)
	}
	return n, err
}

func (u *unpacked) blame(err error) error {
	switch {
	case u.failed != nil:
		return u.failed
	case errors.Is(err, ErrWrongKey), errors.Is(err, ErrDamaged):
		return err
	}
	return fmt.Errorf("%w: it can't be decrypted or decompressed: %w", ErrDamaged, err)
}

// errNoKey is returned where no key is given.
var errNoKey = fmt.Errorf("%w: name the file with the secret key with --identity, or in BACKUP_AGE_IDENTITY_FILE", ErrWrongKey)

// decrypt opens an encrypted file with one of the keys, or returns ErrWrongKey.
func decrypt(keys []age.Identity) func(io.Reader) (io.Reader, error) {
	return func(file io.Reader) (io.Reader, error) {
		if len(keys) == 0 {
			return nil, errNoKey
		}
		plain, err := age.Decrypt(file, keys...)
		if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
			err = fmt.Errorf("%w, and the given key doesn't open it: use the secret key of one of the recipients that it was made for", ErrWrongKey)
		}
		return plain, err
	}
}

// maxWindow bounds the memory that a foreign zstd file can ask for.
const maxWindow = 32 << 20

// decompress opens a compressed file. What it opens has no goroutines, so nobody has to
// close it.
func decompress(c Compression) func(io.Reader) (io.Reader, error) {
	return func(file io.Reader) (io.Reader, error) {
		if c == Zstd {
			return zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		}
		return gzip.NewReader(file)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
