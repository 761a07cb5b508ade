package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

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
	m.Suspicious = r.suspicion(c)
	m.FinishedAt = moment(r.Now())
	err := putManifest(ctx, c.target, m)
	if err == nil {
		c.manifest = m
		return
	}
	c.fail(err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if err := removeFiles(ctx, c.target, m); err != nil {
		r.Log.WarnContext(ctx, "a copy without a manifest could not be removed", "error", err)
	}
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

func putManifest(ctx context.Context, target Target, m Manifest) error {
	text, err := m.encode()
	if err != nil {
		return err
	}
	return target.Put(ctx, m.name(), text)
}
