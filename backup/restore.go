package backup

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// Restore puts a backup into a database, from the first target whose copy is whole: all
// bytes are checked before anything is changed. What has been restored is compared with
// what was dumped; ErrDamaged means that it differs.
func (s *Service) Restore(ctx context.Context, b Backup, to Restorer, o RestoreOptions, progress func(Progress)) (restored Contents, err error) {
	err = s.Metrics.observed("restore", func() (int64, error) {
		restored, err = s.restore(ctx, b, to, o, progress)
		return b.Size, err
	})
	return restored, err
}

func (s *Service) restore(ctx context.Context, b Backup, to Restorer, o RestoreOptions, progress tellProgress) (restored Contents, err error) {
	if err := b.Fits(to, o); err != nil {
		return restored, err
	}
	if b.Encryption != "" && len(s.Identities) == 0 { // before all of it is read
		return restored, errNoKey
	}
	target, err := wholeCopy(ctx, b, progress)
	if err != nil {
		return restored, err
	}
	dumped, err := b.chosen(o)
	if err != nil {
		return restored, err
	}
	o.Databases = dumped.Databases
	err = read(ctx, target, b.Manifest, s.Identities, func(dump io.Reader) error {
		restored, err = to.Restore(ctx, dump, o, progress.of(StageRestore, b.DumpSize))
		return err
	})
	if err != nil {
		return restored, err
	}
	return restored, differs(dumped, restored)
}

// chosen is what of the backup is to be restored.
func (b Backup) chosen(o RestoreOptions) (Contents, error) {
	of, err := b.Of(o.Database)
	if err != nil {
		return of, err
	}
	return of.Only(o.Collections)
}

// HasManifest is false for a file that would be a backup if it had one.
func (b Backup) HasManifest() bool { return !b.unlisted }

// Fits tells whether the backup can be restored so, without asking the database.
func (b Backup) Fits(to Restorer, o RestoreOptions) error {
	if !b.HasManifest() {
		return fmt.Errorf("%s has no manifest, so nothing is known of what should be in it: 'manus backup adopt %[1]s' checks and lists it; or name the file's path, and it is restored unchecked", b.File)
	}
	switch {
	case b.Problem != "" && b.Version == 0:
		return fmt.Errorf("%w: %s; its file may be whole: it is restored unchecked where its path is named", ErrDamaged, b.Problem)
	case b.Problem != "":
		return fmt.Errorf("%w: %s", ErrDamaged, b.Problem)
	}
	if b.Format != to.Format() {
		return wrongFormat(b.Format)
	}
	_, err := b.chosen(o)
	return err
}

func wrongFormat(is Format) error {
	if is == SQLite {
		return errors.New("the backup is of the embedded store, so it can only be restored into a file: name a folder for it after --to; 'manus data copy --from FOLDER --to mongodb' moves it on to MongoDB")
	}
	return errors.New("the backup is of MongoDB, so it can only be restored there: write --to mongodb for the one of MONGODB_URI, or name a file that has a mongodb:// URI with --to-file")
}

// wholeCopy finds a target whose copy has the right bytes.
func wholeCopy(ctx context.Context, b Backup, progress tellProgress) (Target, error) {
	var errs []error
	for _, target := range b.targets {
		err := checkBytes(ctx, target, b.Manifest, progress)
		if err == nil {
			return target, nil
		}
		errs = append(errs, fmt.Errorf("at %s: %w", target, err))
	}
	return nil, errors.Join(errs...)
}

// Dump is a dump in a file that another program may have written, without a manifest.
type Dump struct {
	Format Format
	io.Reader
}

// magic is what files begin with.
var (
	magicAge     = []byte("age-encryption.org/v1\n")
	magicGzip    = []byte{0x1f, 0x8b}
	magicZstd    = []byte{0x28, 0xb5, 0x2f, 0xfd}
	magicSQLite  = []byte("SQLite format 3\x00")
	magicArchive = []byte{0x6d, 0xe2, 0x99, 0x81}
)

// OpenDump finds out by its first bytes what a file is, and decrypts and decompresses
// it if need be. It returns ErrDamaged for a file that is no dump.
func OpenDump(file io.Reader, keys []age.Identity) (Dump, error) {
	r := bufio.NewReader(file)
	for _, packed := range []struct {
		magic []byte
		open  func(io.Reader) (io.Reader, error)
	}{{magicAge, decrypt(keys)}, {magicGzip, decompress(Gzip)}, {magicZstd, decompress(Zstd)}} {
		if !begins(r, packed.magic) {
			continue
		}
		plain, err := unpack(r, packed.open)
		if err != nil {
			return Dump{}, err
		}
		r = bufio.NewReader(plain)
	}
	switch {
	case begins(r, magicSQLite):
		return Dump{SQLite, r}, nil
	case begins(r, magicArchive):
		return Dump{Archive, r}, nil
	}
	return Dump{}, fmt.Errorf("%w: it is neither an archive of mongodump nor a SQLite database, as it is or compressed with gzip or zstd or encrypted with age", ErrDamaged)
}

func begins(r *bufio.Reader, magic []byte) bool {
	start, _ := r.Peek(len(magic)) // what is too short is none
	return bytes.Equal(start, magic)
}

// RestoreDump puts a dump without a manifest into a database. Nothing is known of what
// should be in it: whether it was whole is only known at its end.
func RestoreDump(ctx context.Context, d Dump, to Restorer, o RestoreOptions, progress func(Progress)) (Contents, error) {
	if d.Format != to.Format() {
		return Contents{}, wrongFormat(d.Format)
	}
	if o.Database != "" && d.Format == SQLite {
		return Contents{}, errors.New("the file is of one database alone: leave --from-database out")
	}
	return to.Restore(ctx, d, o, tellProgress(progress).of(StageRestore, 0))
}
