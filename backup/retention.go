package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Retention is which backups are kept: those that any of its rules keeps.
type Retention struct {
	// Days keeps every backup of so many days.
	Days int
	Keep
}

// Keep keeps one backup each of that many of the last days, weeks and months that have
// one: the newest that is verified, or else the newest. Days and weeks are those of UTC,
// weeks begin on Monday.
type Keep struct {
	Daily   int `yaml:"daily"`
	Weekly  int `yaml:"weekly"`
	Monthly int `yaml:"monthly"`
}

// Decision is what retention says of one backup.
type Decision struct {
	Manifest Manifest
	// Keep is why it is kept, for people; empty means that it is removed.
	Keep string
}

// Decide says of each backup of one target whether it is kept, newest first. The newest
// verified one always is, and so are all when none would be left.
func (r Retention) Decide(backups []Manifest, now time.Time) []Decision {
	decisions := make([]Decision, len(backups))
	for i, m := range slices.SortedFunc(slices.Values(backups), newestFirst) {
		decisions[i].Manifest = m
		if age := now.Sub(m.CreatedAt); age < time.Duration(r.Days)*24*time.Hour {
			decisions[i].Keep = fmt.Sprintf("less than %d days old", r.Days)
		}
	}
	keepOneOfEach(decisions, r.Daily, "daily", func(t time.Time) string { return t.Format(time.DateOnly) })
	keepOneOfEach(decisions, r.Weekly, "weekly", func(t time.Time) string {
		year, week := t.ISOWeek()
		return fmt.Sprint(year, week)
	})
	keepOneOfEach(decisions, r.Monthly, "monthly", func(t time.Time) string { return t.Format("2006-01") })
	keepVerified(decisions)
	keepSome(decisions)
	return decisions
}

func newestFirst(a, b Manifest) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.File, a.File))
}

// keepOneOfEach keeps one backup of each of the newest n periods.
func keepOneOfEach(decisions []Decision, n int, name string, period func(time.Time) string) {
	best := map[string]*Decision{}
	for i := range decisions {
		d := &decisions[i]
		p := period(d.Manifest.CreatedAt.UTC())
		chosen, seen := best[p]
		switch {
		case !seen && len(best) == n:
		case !seen, !chosen.Manifest.Verified && d.Manifest.Verified:
			best[p] = d
		}
	}
	for _, d := range best {
		if d.Keep == "" {
			d.Keep = name
		}
	}
}

func keepVerified(decisions []Decision) {
	i := slices.IndexFunc(decisions, func(d Decision) bool { return d.Manifest.Verified })
	if i >= 0 && decisions[i].Keep == "" {
		decisions[i].Keep = "the newest verified one"
	}
}

func keepSome(decisions []Decision) {
	if slices.ContainsFunc(decisions, func(d Decision) bool { return d.Keep != "" }) {
		return
	}
	for i := range decisions {
		decisions[i].Keep = "none would be left"
	}
}

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
