package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"manus/docstore"
)

// CreateOptions is how a backup is made.
type CreateOptions struct {
	// SkipVerify leaves out restoring it. It doesn't count as verified then.
	SkipVerify bool
	// AllowEmpty makes one even when there is nothing in the database.
	AllowEmpty bool
	// PruneFirst removes what has had its time at each target before it is written to, so
	// that there is space.
	PruneFirst bool
	// Progress is called with the progress; it may be nil.
	Progress func(Progress)

	// round is when the first try of a scheduled run was begun. Targets that have a good
	// backup of the round already are left out, and others of it are replaced.
	round time.Time
}

// Create makes a backup at every target, restores it into a scratch database beside
// the source, compares the two, and writes down that it is verified. First it cleans up
// what earlier runs that were killed have left. One that has much less in it than the
// newest verified one is Suspicious, and raises the alarm.
//
// An error comes with a manifest that has a File when the backup is at some targets
// but not at all, or isn't verified. The alarm has been raised by then. ErrEmpty means that
// there is nothing in the database, and no backup was made.
func (s *Service) Create(ctx context.Context, o CreateOptions) (Manifest, error) {
	m, err := s.create(ctx, o)
	if ctx.Err() == nil {
		s.report(ctx, m, err)
	}
	return m, err
}

// report notes in the store how a run has ended, or else tells of its failure at once.
// Where the database is empty, it is no store.
func (s *Service) report(ctx context.Context, m Manifest, failed error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	err := ErrEmpty
	if !errors.Is(failed, ErrEmpty) {
		err = s.noteEnd(ctx, m, failed)
	}
	if err != nil {
		for key, wrong := range map[string]string{AlertFailed: failure(failed), AlertSuspicious: doubted(m.File, m.Suspicious)} {
			if wrong != "" {
				s.tellNow(ctx, newAlert(key, wrong, s.Now()))
			}
		}
	}
	if err != nil && !errors.Is(err, docstore.ErrNotFound) && !errors.Is(err, ErrEmpty) {
		s.Log.WarnContext(ctx, "how a backup has ended could not be noted in the store", "error", err)
	}
}

// noteEnd returns ErrNotFound where nobody keeps the state of backups.
func (s *Service) noteEnd(ctx context.Context, m Manifest, failed error) error {
	return s.withStore(ctx, func(store docstore.Store) error {
		relay := newRelay(store, func() *Service { return s })
		st, err := relay.Aggregates.Update(ctx, theSchedule, func(st *Status) error {
			st.ended(m, failed, s.Now())
			return nil
		})
		if err == nil {
			relay.Send(ctx, st)
		}
		return err
	})
}

// withStore does something with the store that has the state of backups, and returns
// ErrNotFound where there is none.
func (s *Service) withStore(ctx context.Context, do func(docstore.Store) error) error {
	if s.OpenStore == nil {
		return docstore.ErrNotFound
	}
	store, err := s.OpenStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // what was noted is durable
	return do(store)
}

func (s *Service) create(ctx context.Context, o CreateOptions) (Manifest, error) {
	r := &creation{Service: s, CreateOptions: o, progress: o.Progress}
	defer r.preparing.Wait()
	if done, ok := r.prepareTargets(ctx); ok {
		return done, nil
	}
	err := s.Metrics.observed("create", func() (int64, error) {
		err := r.run(ctx)
		return r.manifest.Size, err
	})
	if err == nil && !o.SkipVerify {
		err = s.Metrics.observed("verify", func() (int64, error) { return r.manifest.Size, r.verify(ctx) })
	}
	r.arrives(len(r.copies))
	best := r.best()
	if best == nil {
		return Manifest{}, cmp.Or(err, r.failures())
	}
	r.replaceTries(ctx)
	return best.manifest, errors.Join(err, r.failures())
}

// creation is one run of Create.
type creation struct {
	*Service
	CreateOptions
	manifest   Manifest
	recipients Recipients
	keys       []age.Identity
	places     []*fileCopy // all targets
	copies     []*fileCopy // those of places that are written to
	progress   tellProgress

	preparing sync.WaitGroup
	finished  chan *fileCopy // the copies, when nothing is written to them any more
	awaited   int            // how many of them are to come
	whole     []*fileCopy    // those that have come and can be listed
}

// fileCopy is the backup at one target.
type fileCopy struct {
	target   Target
	upload   Upload
	manifest Manifest
	err      error

	// before is the backups that there were, once ready is closed, if they could be listed.
	before Catalogue
	ready  chan struct{}
}

// fail keeps the first error of a copy.
func (c *fileCopy) fail(err error) {
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("%s has no copy: %w", c.target, err)
	}
}

// had is the backups that there were, as far as is known by now.
func (c *fileCopy) had() Catalogue {
	select {
	case <-c.ready:
		return c.before
	default:
		return nil
	}
}

// good are the copies that have not failed.
func (r *creation) good() []*fileCopy {
	return slices.DeleteFunc(slices.Clone(r.copies), func(c *fileCopy) bool { return c.err != nil })
}

// best is a whole copy, a verified one if there is one; nil for none.
func (r *creation) best() *fileCopy {
	var best *fileCopy
	for _, c := range r.whole {
		if best == nil || c.manifest.Verified && !best.manifest.Verified {
			best = c
		}
	}
	return best
}

// each runs a step of every copy that is left, and fails when none is.
func (r *creation) each(step func(*fileCopy) error) error {
	for _, c := range r.good() {
		c.fail(step(c))
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

// targetPatience is how long a target that is slow to answer holds up the others.
const targetPatience = 10 * time.Second

// prepareTargets makes room at the targets and looks at what they have. Those that are
// slow are not waited for: what they have to tell is left out. It returns the backup
// that earlier tries of this run have made, when no target is left without.
func (r *creation) prepareTargets(ctx context.Context) (done Manifest, ok bool) {
	patience, cancel := context.WithTimeout(ctx, targetPatience)
	defer cancel()
	for _, target := range r.Targets {
		c := &fileCopy{target: target, ready: make(chan struct{})}
		r.places = append(r.places, c)
		r.preparing.Go(func() { r.prepareTarget(ctx, c) })
	}
	for _, c := range r.places {
		select {
		case <-c.ready:
		case <-patience.Done():
		}
		if b, made := c.had().newest(func(b Backup) bool { return r.isOfRound(b) && r.isGood(b) }); made {
			done = b.Manifest
		} else {
			r.copies = append(r.copies, c)
		}
	}
	return done, len(r.copies) == 0
}

// prepareTarget tells nobody of a target that fails: writing there will.
func (r *creation) prepareTarget(ctx context.Context, c *fileCopy) {
	defer close(c.ready)
	err := r.cleanTarget(ctx, c.target)
	if err == nil && r.PruneFirst {
		_, err = r.pruneAt(ctx, c.target, false)
	}
	if err == nil {
		c.before, err = r.catalogueAt(ctx, c.target)
	}
	if err != nil && ctx.Err() == nil {
		r.Log.WarnContext(ctx, "what is there already could not be looked at, or cleaned up", "target", c.target.String(), "error", err)
	}
}

// isOfRound tells whether a backup is an earlier try of this run.
func (r *creation) isOfRound(b Backup) bool {
	return !r.round.IsZero() && b.Round.Equal(r.round) && b.kind != foreign && b.Problem == ""
}

// isGood tells whether a backup is as good as this run is to make one.
func (r *creation) isGood(b Backup) bool {
	return b.Problem == "" && (b.Verified || r.SkipVerify)
}

// replaceTries removes earlier tries of this run where it has taken their place.
func (r *creation) replaceTries(ctx context.Context) {
	for _, c := range r.whole {
		for _, b := range c.had() {
			if !r.isOfRound(b) || r.isGood(b) {
				continue
			}
			if err := remove(ctx, c.target, b.Manifest); err != nil && ctx.Err() == nil {
				r.Log.WarnContext(ctx, "an earlier try of a backup could not be removed", "error", err)
			}
		}
	}
}

// run dumps the database, and returns when one copy of it is whole, or all have failed.
func (r *creation) run(ctx context.Context) error {
	err := r.begin(ctx)
	if err == nil {
		r.manifest.Installation = r.installation(ctx, true)
		r.manifest.Suspicious = cmp.Or(wrongClock(r.manifest), r.suspicion())
	}
	r.finished = make(chan *fileCopy, len(r.copies))
	for _, c := range r.copies {
		c.manifest, c.err = r.manifest, cmp.Or(c.err, err)
		if c.upload != nil {
			r.awaited++
			go func() {
				r.finish(ctx, c)
				r.finished <- c
			}()
		}
	}
	if !r.arrives(0) {
		return cmp.Or(err, r.failures())
	}
	return nil
}

// arrives waits until more than i copies are whole, and tells whether so many are.
func (r *creation) arrives(i int) bool {
	for len(r.whole) <= i && r.awaited > 0 {
		c := <-r.finished
		r.awaited--
		if !c.manifest.FinishedAt.IsZero() {
			r.whole = append(r.whole, c)
		}
	}
	return i < len(r.whole)
}

// begin writes the database to all targets, where nobody sees it yet.
func (r *creation) begin(ctx context.Context) error {
	if err := r.name(); err != nil {
		return err
	}
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
	if err == nil && r.manifest.Documents == 0 && !r.AllowEmpty {
		err = fmt.Errorf("%w: %s has no documents, so no backup was made: see whether it is the right one (upper and lower case matter); --allow-empty makes one all the same", ErrEmpty, r.Source)
	}
	return err
}

// name names the backup.
func (r *creation) name() error {
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
	r.manifest.Tool, r.manifest.Round = r.Tool, r.round
	return nil
}

// suspicion compares with the newest verified backup of all targets.
func (r *creation) suspicion() string {
	var all Catalogue
	for _, c := range r.places {
		if b, ok := c.had().NewestVerified(); ok {
			all = append(all, b)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return suspicion(r.manifest, slices.MinFunc(all, func(a, b Backup) int { return newestFirst(a.Manifest, b.Manifest) }).Manifest)
}

// finish makes a copy whole and gives it its manifest, or removes it. It waits for no
// other copy.
func (r *creation) finish(ctx context.Context, c *fileCopy) {
	if c.err == nil {
		if err := c.upload.Commit(); err != nil {
			c.fail(err)
		} else {
			r.publish(ctx, c)
		}
	}
	if err := c.upload.Release(); err != nil && ctx.Err() == nil { // Clean tries again
		r.Log.WarnContext(ctx, "what is left of an upload could not be removed", "target", c.target.String(), "error", err)
	}
}

// publish gives a copy its manifest, without which it is none and is removed.
func (r *creation) publish(ctx context.Context, c *fileCopy) {
	m := c.manifest
	m.FinishedAt = r.Now().UTC().Truncate(time.Second)
	err := putManifest(ctx, c.target, m)
	if err == nil {
		c.manifest = m
		return
	}
	c.fail(err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if err := remove(ctx, c.target, m); err != nil {
		r.Log.WarnContext(ctx, "a copy without a manifest could not be removed", "error", err)
	}
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

func putManifest(ctx context.Context, target Target, m Manifest) error {
	text, err := m.encode()
	if err != nil {
		return err
	}
	return target.Put(ctx, m.name(), text)
}

// verify restores the first copy that is whole, and of the others, as they come, checks
// the bytes. What became of it is written down at once.
func (r *creation) verify(ctx context.Context) error {
	began := time.Now()
	c := r.whole[0]
	drilled := r.drill(ctx, c.target, c.manifest, append(slices.Clone(r.keys), r.Identities...), r.progress)
	errs := []error{drilled}
	r.note(ctx, c, began, drilled)
	for i := 1; r.arrives(i); i++ {
		c := r.whole[i]
		checked := drilled
		if drilled == nil {
			checked = checkBytes(ctx, c.target, c.manifest, r.progress)
			errs = append(errs, checked)
		}
		r.note(ctx, c, began, checked)
	}
	return errors.Join(errs...)
}

// note writes down what became of verifying a copy, unless that isn't known.
func (r *creation) note(ctx context.Context, c *fileCopy, began time.Time, err error) {
	if ctx.Err() != nil {
		return
	}
	c.manifest.Verification = r.verification(began, err)
	c.fail(putManifest(ctx, c.target, c.manifest))
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

// cleanTarget removes what killed runs have left at a target, and tells the log.
func (s *Service) cleanTarget(ctx context.Context, target Target) error {
	removed, err := clean(ctx, target)
	if len(removed) > 0 {
		s.Log.WarnContext(ctx, "what a killed backup had left was removed", "target", target.String(), "files", removed)
	}
	return err
}

// clean removes what killed runs have written and given no manifest. Those that have one
// at the first look aren't looked at again.
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
		if base == "" || whole[base] {
			return false
		}
		has, err := hasManifest(ctx, target, base)
		return !has && err == nil
	})
}

// hasManifest tells whether a backup has its manifest by now.
func hasManifest(ctx context.Context, target Target, base string) (bool, error) {
	files, err := target.List(ctx, base)
	return slices.ContainsFunc(files, func(f File) bool { return strings.HasSuffix(f.Name, manifestSuffix) }), err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(data []byte) (int, error) { return f(data) }

type plainCloser struct{ io.Writer }

func (plainCloser) Close() error { return nil }
