package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"filippo.io/age"
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
	m := best.manifest
	for _, c := range r.whole {
		m.Suspicious = cmp.Or(m.Suspicious, c.manifest.Suspicious)
	}
	return m, errors.Join(err, r.failures())
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

// run dumps the database, and returns when one copy of it is whole, or all have failed.
func (r *creation) run(ctx context.Context) error {
	err := r.begin(ctx)
	if err == nil {
		r.manifest.Installation = r.installation(ctx, true)
		r.warnOfOthers(ctx)
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

// warnOfOthers says when there are only other installations' backups, as there are for a
// database whose name is mistyped.
func (r *creation) warnOfOthers(ctx context.Context) {
	var ids []string
	for _, c := range r.places {
		ids = append(ids, owners(c.had())...)
	}
	if id := r.manifest.Installation; id != "" && len(ids) > 0 && !slices.Contains(ids, id) {
		r.Log.WarnContext(ctx, "this is the first backup of a new installation, where another one has its own: if that isn't meant, see whether the database is the right one", "database", r.Source.String())
	}
}

// suspicion is why a copy may not be what is wanted: it compares with the newest verified
// backup at its own target, and of what others have told of by now.
func (r *creation) suspicion(c *fileCopy) string {
	if clock := wrongClock(c.manifest); clock != "" {
		return clock
	}
	<-c.ready
	var all Catalogue
	for _, c := range r.places {
		if b, ok := c.had().NewestVerified(); ok {
			all = append(all, b)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return suspicion(c.manifest, slices.MinFunc(all, newestFirst).Manifest, r.Transient)
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
	return cmp.Or(errors.Join(errs...), ctx.Err()) // interrupted, what is good isn't noted as that
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
