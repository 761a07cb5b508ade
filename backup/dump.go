package backup

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"filippo.io/age"
)

// dump sends the database through the pipeline: it is cut into blocks, which are
// compressed in parallel, encrypted, hashed, and written to every copy.
func (r *creation) dump(ctx context.Context, size int64) error {
	plain, stored := newMeter(), newMeter()
	sealed, err := r.encrypt(io.MultiWriter(writerFunc(r.write), &stored))
	if err != nil {
		return err
	}
	packed, err := newCompressor(ctx, sealed, r.Policy.Compression, r.Workers)
	if err != nil {
		return err
	}
	contents, err := r.Source.Dump(ctx, io.MultiWriter(packed, &plain), r.progress.of(StageDump, size))
	if err != nil {
		return cmp.Or(packed.abort(), fmt.Errorf("the database can't be dumped: %w", err))
	}
	if err := packed.Close(); err != nil {
		return err
	}
	if err := sealed.Close(); err != nil {
		return err
	}
	m := &r.manifest
	m.Contents, m.Documents = contents, contents.Documents()
	m.DumpSize, m.DumpSHA256 = plain.size, plain.sum()
	m.Size, m.SHA256 = stored.size, stored.sum()
	return nil
}

func (r *creation) encrypt(w io.Writer) (io.WriteCloser, error) {
	if len(r.recipients) == 0 {
		return plainCloser{w}, nil
	}
	return age.Encrypt(w, r.recipients...)
}

// write writes to every copy that is left. One that is slow makes all of them slow; one
// that fails leaves the others alone.
func (r *creation) write(data []byte) (int, error) {
	err := r.each(func(c *fileCopy) error {
		_, err := c.upload.Write(data)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(data), nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(data []byte) (int, error) { return f(data) }

type plainCloser struct{ io.Writer }

func (plainCloser) Close() error { return nil }
