package backup

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// targetPatience is how long a target that is slow to answer holds up the others.
const targetPatience = 3 * time.Second

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

// prepareTarget tells only the log of a target that fails: writing there will fail too.
func (r *creation) prepareTarget(ctx context.Context, c *fileCopy) {
	defer close(c.ready)
	for _, step := range []func(context.Context, *fileCopy) error{r.clean, r.pruneFirst, r.look} {
		err := step(ctx, c)
		if err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "what is there already could not be looked at, or cleaned up", "target", c.target.String(), "error", err)
		}
		if errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return
		}
	}
}

// clean removes what killed runs have left.
func (r *creation) clean(ctx context.Context, c *fileCopy) error {
	removed, err := clean(ctx, c.target)
	if len(removed) > 0 {
		r.Log.WarnContext(ctx, "what a killed backup had left was removed", "target", c.target.String(), "files", removed)
	}
	return err
}

// pruneFirst makes room, if that is wanted.
func (r *creation) pruneFirst(ctx context.Context, c *fileCopy) error {
	if !r.PruneFirst {
		return nil
	}
	backups, err := r.catalogueAt(ctx, c.target)
	if err == nil {
		_, err = r.pruneOf(ctx, c.target, backups, false)
	}
	return err
}

// look finds what is there, and says what no run has made.
func (r *creation) look(ctx context.Context, c *fileCopy) (err error) {
	c.before, err = r.catalogueAt(ctx, c.target)
	for _, b := range c.before {
		if b.unlisted {
			r.Log.WarnContext(ctx, "there is a file that is left alone", "target", c.target.String(), "file", b.File, "problem", b.Problem)
		}
	}
	return err
}

// isOfRound tells whether a backup is an earlier try of this run.
func (r *creation) isOfRound(b Backup) bool {
	return !r.round.IsZero() && b.Round.Equal(r.round) && !b.Foreign() && b.Problem == ""
}

// isGood tells whether a backup is as good as this run is to make one.
func (r *creation) isGood(b Backup) bool {
	return b.Problem == "" && (b.Verified || r.SkipVerify)
}

// replaceTries removes earlier tries of this run where it has taken their place: those that
// are no better.
func (r *creation) replaceTries(ctx context.Context) {
	for _, c := range r.whole {
		for _, b := range c.had() {
			if !r.isOfRound(b) || r.isGood(b) && !c.manifest.Verified {
				continue
			}
			if err := remove(ctx, c.target, b.Manifest); err != nil && ctx.Err() == nil {
				r.Log.WarnContext(ctx, "an earlier try of a backup could not be removed", "error", err)
			}
		}
	}
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
