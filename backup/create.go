package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"manus/docstore"
)

// CreateOptions is how a backup is made.
type CreateOptions struct {
	// SkipVerify leaves out restoring it. It doesn't count as verified then.
	SkipVerify bool
	// Progress is called with the progress; it may be nil.
	Progress func(Progress)
}

// Create makes a backup at every target, restores it into a scratch database beside
// the source, compares the two, and writes down that it is verified. First it cleans up
// what earlier runs that were killed have left.
//
// An error comes with a manifest that has a File when the backup is at some targets
// but not at all, or isn't verified. The alarm has been raised by then.
func (s *Service) Create(ctx context.Context, o CreateOptions) (Manifest, error) {
	m, err := s.create(ctx, o)
	if ctx.Err() == nil {
		s.report(ctx, err)
	}
	return m, err
}

// report notes in the store how a run has ended, or else tells of its failure at once.
func (s *Service) report(ctx context.Context, failed error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	err := s.noteEnd(ctx, failed)
	if err != nil && failed != nil {
		s.tellNow(ctx, newAlert(AlertFailed, failure(failed), s.Now()))
	}
	if err != nil && !errors.Is(err, docstore.ErrNotFound) {
		s.Log.WarnContext(ctx, "how a backup has ended could not be noted in the store", "error", err)
	}
}

// noteEnd returns ErrNotFound where no server keeps the state of backups.
func (s *Service) noteEnd(ctx context.Context, failed error) error {
	if s.OpenStore == nil {
		return docstore.ErrNotFound
	}
	store, err := s.OpenStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // what was noted is durable
	relay := newRelay(store, func() *Service { return s })
	st, err := relay.Aggregates.Update(ctx, theSchedule, func(st *Status) error {
		if failed == nil && st.FailureTold.IsZero() {
			return docstore.ErrUnchanged
		}
		st.ended(failed, s.Now())
		return nil
	})
	if err == nil {
		relay.Send(ctx, st)
	}
	return err
}

func (s *Service) create(ctx context.Context, o CreateOptions) (Manifest, error) {
	s.Clean(ctx)
	r := &creation{Service: s, progress: o.Progress}
	err := s.Metrics.observed("create", func() (int64, error) {
		err := r.run(ctx)
		return r.manifest.Size, err
	})
	if len(r.good()) == 0 {
		return Manifest{}, err
	}
	if o.SkipVerify {
		return r.manifest, err
	}
	verified := s.Metrics.observed("verify", func() (int64, error) { return r.manifest.Size, r.verify(ctx) })
	return r.manifest, errors.Join(err, verified)
}

// creation is one run of Create.
type creation struct {
	*Service
	manifest   Manifest
	recipients Recipients
	keys       []age.Identity
	copies     []*fileCopy
	progress   tellProgress
}

// fileCopy is the backup at one target.
type fileCopy struct {
	target Target
	upload Upload
	err    error
}

// good are the copies that have not failed.
func (r *creation) good() []*fileCopy {
	return slices.DeleteFunc(slices.Clone(r.copies), func(c *fileCopy) bool { return c.err != nil })
}

// each runs a step of every copy that is left, and fails when none is.
func (r *creation) each(step func(*fileCopy) error) error {
	for _, c := range r.good() {
		if err := step(c); err != nil {
			c.err = fmt.Errorf("%s has no copy: %w", c.target, err)
		}
	}
	if len(r.good()) == 0 {
		return r.failures()
	}
	return nil
}

// failures are what went wrong with copies.
func (r *creation) failures() error {
	var errs []error
	for _, c := range r.copies {
		errs = append(errs, c.err)
	}
	return errors.Join(errs...)
}

// run makes the backup, and its manifest when it is whole.
func (r *creation) run(ctx context.Context) (err error) {
	if err := r.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.release()) }()
	size, err := r.Source.Size(ctx)
	if err != nil {
		return fmt.Errorf("the database can't be read: %w", err)
	}
	err = r.each(func(c *fileCopy) (err error) {
		c.upload, err = c.target.Create(ctx, r.manifest.File, size)
		return err
	})
	if err == nil {
		err = r.dump(ctx, size)
	}
	if err == nil {
		err = r.each(func(c *fileCopy) error { return c.upload.Commit() })
	}
	r.manifest.FinishedAt = r.Now().UTC().Truncate(time.Second)
	if err == nil {
		err = r.writeManifest(ctx)
	}
	if err != nil { // then it is no backup anywhere
		_ = r.each(func(*fileCopy) error { return err })
		return err
	}
	return r.failures()
}

func (r *creation) prepare() error {
	r.recipients = slices.Clone(r.Recipients)
	encrypted := len(r.recipients) > 0
	if encrypted {
		recipient, key, err := r.recipients.ephemeralKey()
		if err != nil {
			return err
		}
		r.recipients, r.keys = append(r.recipients, recipient), []age.Identity{key}
	}
	r.manifest = newManifest(r.Now(), r.Source.Format(), r.Policy.Compression, encrypted)
	r.manifest.Tool = r.Tool
	for _, target := range r.Targets {
		r.copies = append(r.copies, &fileCopy{target: target})
	}
	return nil
}

// release ends the uploads. What could not be removed stays for the next run's Clean.
func (r *creation) release() error {
	var errs []error
	for _, c := range r.copies {
		if c.upload != nil {
			errs = append(errs, c.upload.Release())
		}
	}
	return errors.Join(errs...)
}

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

func (r *creation) writeManifest(ctx context.Context) error {
	return r.each(func(c *fileCopy) error { return putManifest(ctx, c.target, r.manifest) })
}

func putManifest(ctx context.Context, target Target, m Manifest) error {
	text, err := m.encode()
	if err != nil {
		return err
	}
	return target.Put(ctx, m.name(), text)
}

// verify restores the first copy and checks the bytes of the others, and writes down
// what became of it.
func (r *creation) verify(ctx context.Context) error {
	began := time.Now()
	good := r.good()
	keys := append(slices.Clone(r.keys), r.Identities...)
	err := r.drill(ctx, good[0].target, r.manifest, keys, r.progress)
	for _, c := range good[1:] {
		if err == nil {
			err = checkBytes(ctx, c.target, r.manifest, r.progress)
		}
	}
	if ctx.Err() != nil {
		return err // it isn't known
	}
	r.manifest.Verification = r.verification(began, err)
	return errors.Join(err, r.writeManifest(ctx), r.failures())
}

// verification is what is written down of a drill.
func (s *Service) verification(began time.Time, err error) Verification {
	at := s.Now().UTC().Truncate(time.Second)
	v := Verification{Verified: err == nil, VerifySeconds: time.Since(began).Round(time.Millisecond).Seconds()}
	if err != nil {
		v.VerifyError = err.Error()
	} else {
		v.VerifiedAt = &at
	}
	return v
}

// Clean removes what killed runs have left at the targets. What can't be done is
// logged: the next run tries again.
func (s *Service) Clean(ctx context.Context) {
	for _, target := range s.Targets {
		removed, err := clean(ctx, target)
		if len(removed) > 0 {
			s.Log.WarnContext(ctx, "what a killed backup had left was removed", "target", target.String(), "files", removed)
		}
		if err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "what killed backups have left could not be looked for", "target", target.String(), "error", err)
		}
	}
}

// clean removes files without a manifest, and what is unfinished. Those that have one at
// the first look aren't looked at again.
func clean(ctx context.Context, target Target) ([]string, error) {
	files, err := target.List(ctx, filePrefix)
	if err != nil {
		return nil, err
	}
	whole := map[string]bool{}
	for _, f := range files {
		if base, ok := strings.CutSuffix(f.Name, manifestSuffix); ok {
			whole[base] = true
		}
	}
	return target.Clean(ctx, filePrefix, func(name string) bool {
		base := baseOf(name)
		return base != "" && !whole[base] && !hasManifest(ctx, target, base)
	})
}

// hasManifest tells whether a backup has its manifest by now, or that can't be told.
func hasManifest(ctx context.Context, target Target, base string) bool {
	files, err := target.List(ctx, base)
	return err != nil || slices.ContainsFunc(files, func(f File) bool { return strings.HasSuffix(f.Name, manifestSuffix) })
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(data []byte) (int, error) { return f(data) }

type plainCloser struct{ io.Writer }

func (plainCloser) Close() error { return nil }
