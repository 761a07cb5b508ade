package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Pruned is what Prune decided of one backup at one target.
type Pruned struct {
	Target string `json:"target"`
	ID     string `json:"id"`
	File   string `json:"file"`
	// Keep is why it is kept; empty means that it is removed.
	Keep string `json:"keep,omitempty"`
}

// Prune removes what the retention doesn't keep, at each target by itself, or only says
// what it would remove. Backups with a problem are left for a person to look at. A
// target that fails leaves the others alone.
func (s *Service) Prune(ctx context.Context, dryRun bool) ([]Pruned, error) {
	var all []Pruned
	err := s.Metrics.observed("prune", func() (int64, error) {
		var errs []error
		for _, target := range s.Targets {
			pruned, err := s.pruneAt(ctx, target, dryRun)
			all = append(all, pruned...)
			errs = append(errs, err)
		}
		return 0, errors.Join(errs...)
	})
	return all, err
}

func (s *Service) pruneAt(ctx context.Context, target Target, dryRun bool) ([]Pruned, error) {
	backups, err := listTarget(ctx, target)
	if err != nil {
		return nil, err // who doesn't know all of them can't tell which is the last
	}
	backups = slices.DeleteFunc(backups, func(b Backup) bool { return b.Problem != "" })
	manifests := make([]Manifest, len(backups))
	for i, b := range backups {
		manifests[i] = b.Manifest
	}
	var pruned []Pruned
	for _, d := range s.Retention.Decide(manifests, s.Now()) {
		if d.Keep == "" && !dryRun {
			if err := remove(ctx, target, d.Manifest); err != nil {
				return pruned, err
			}
		}
		pruned = append(pruned, Pruned{Target: target.String(), ID: d.Manifest.ID, File: d.Manifest.File, Keep: d.Keep})
	}
	return pruned, nil
}

// remove removes a backup, its manifest first: killed in between, what is left is
// listed no more, and the next run cleans it up.
func remove(ctx context.Context, target Target, m Manifest) error {
	err := target.Remove(ctx, m.name())
	if err == nil {
		err = target.Remove(ctx, m.File)
	}
	if err != nil {
		return fmt.Errorf("%s can't be removed from %s: %w", m.File, target, err)
	}
	return nil
}
