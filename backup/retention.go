package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"manus/internal/words"
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
	Backup Backup
	// Keep is why it is kept, for people; empty means that it is removed.
	Keep string
}

// Decide says of each backup of one target whether it is kept, in their order. The newest
// that saves us always is, or where none does the newest that counts, of a single database
// and of every one. Nothing is removed that isn't the installation's own, that is of a time
// that can't be, or that came before one that is suspicious.
func (r Retention) Decide(backups Catalogue, now time.Time) []Decision {
	last, _ := backups.last()
	decisions := make([]Decision, len(backups))
	for i, b := range backups {
		decisions[i] = Decision{Backup: b, Keep: r.keep(b, now)}
		if decisions[i].Keep == "" && last.kind == suspicious {
			decisions[i].Keep = last.ID + ", which came after it, is suspicious"
		}
	}
	keepOneOfEach(decisions, r.Daily, "daily", func(t time.Time) string { return t.Format(time.DateOnly) })
	keepOneOfEach(decisions, r.Weekly, "weekly", func(t time.Time) string {
		year, week := t.ISOWeek()
		return fmt.Sprint(year, week)
	})
	keepOneOfEach(decisions, r.Monthly, "monthly", func(t time.Time) string { return t.Format("2006-01") })
	for _, every := range []bool{false, true} { // one of a single database doesn't stand for all
		keepNewest(decisions, slices.DeleteFunc(slices.Clone(backups), func(b Backup) bool { return b.Databases != every }))
	}
	r.keepBeforePause(decisions)
	return decisions
}

// keep is why a backup is kept for its own sake. It is as young as its file where it
// came: somebody may have brought it there.
func (r Retention) keep(b Backup, now time.Time) string {
	since := b.CreatedAt
	if b.arrived.After(since) {
		since = b.arrived
	}
	switch {
	case b.Foreign(), b.kind == misdated:
		return b.Doubt
	case b.Problem == problemMissing && b.Removing:
		return ""
	case b.Problem != "":
		return "it has a problem: " + b.Problem
	case now.Sub(since) < time.Duration(r.Days)*24*time.Hour:
		return "less than " + words.Count(r.Days, "day") + " old"
	}
	return ""
}

// keepOneOfEach keeps one backup of each of the newest n periods.
func keepOneOfEach(decisions []Decision, n int, name string, period func(time.Time) string) {
	best := map[string]*Decision{}
	for i := range decisions {
		d := &decisions[i]
		if !d.Backup.Counts() {
			continue
		}
		p := period(d.Backup.CreatedAt.UTC())
		chosen, seen := best[p]
		switch {
		case !seen && len(best) == n:
		case !seen, !chosen.Backup.Verified && d.Backup.Verified:
			best[p] = d
		}
	}
	for _, d := range best {
		if d.Keep == "" {
			d.Keep = name
		}
	}
}

// keepNewest keeps the one that the alarm and a restore would take.
func keepNewest(decisions []Decision, backups Catalogue) {
	newest, ok := backups.NewestVerified()
	why := "the newest verified one"
	if !ok {
		newest, why = first(backups.Newest()), "the newest one"
	}
	for i := range decisions {
		if d := &decisions[i]; d.Keep == "" && d.Backup.File == newest.File {
			d.Keep = why
		}
	}
}

// keepBeforePause keeps the newest that saves us of those before a pause in which all of
// them would have had their time, until as much time has gone by since. It may be that
// there was no pause, but a clock that is ahead.
func (r Retention) keepBeforePause(decisions []Decision) {
	span := time.Duration(r.Days) * 24 * time.Hour
	var newest, after time.Time
	for i := range decisions {
		d := &decisions[i]
		at := d.Backup.CreatedAt
		switch {
		case !d.Backup.Saves():
			continue
		case newest.IsZero():
			newest = at
		case newest.Sub(after) >= span:
			return
		case after.Sub(at) > span:
			if d.Keep == "" {
				d.Keep = "the newest one before a pause"
			}
			return
		}
		after = at
	}
}

func first[T any](value T, _ bool) T { return value }

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
// target that fails leaves the others alone. Whose they are is seen as List does; where As
// isn't the store's installation, it refuses.
func (s *Service) Prune(ctx context.Context, dryRun bool) ([]Pruned, error) {
	var all []Pruned
	err := s.Metrics.observed("prune", func() (_ int64, err error) {
		all, err = s.prune(ctx, dryRun)
		return 0, err
	})
	return all, err
}

func (s *Service) prune(ctx context.Context, dryRun bool) ([]Pruned, error) {
	if own := s.installation(ctx, false); own != "" && !strings.HasPrefix(own, s.As) {
		return nil, fmt.Errorf("the store here is of the installation %s, which prunes no other's backups: those of %s are pruned with its own settings, or where there is no store", own, s.As)
	}
	at := make([][]Backup, len(s.Targets))
	errs := make([]error, len(s.Targets))
	for i, target := range s.Targets {
		at[i], errs[i] = listTarget(ctx, target)
	}
	found := slices.Concat(at...)
	id, err := s.looking(ctx, found)
	if err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	v := newViewer(id, found, s.Now())
	var pruned []Pruned
	for i, target := range s.Targets {
		if errs[i] != nil {
			continue // who doesn't know all of them can't tell which is the last
		}
		some, err := s.pruneOf(ctx, target, v.judge(at[i]), dryRun)
		pruned, errs = append(pruned, some...), append(errs, err)
	}
	return pruned, errors.Join(errs...)
}

// pruneOf prunes the backups of one target.
func (s *Service) pruneOf(ctx context.Context, target Target, backups Catalogue, dryRun bool) ([]Pruned, error) {
	var pruned []Pruned
	for _, d := range s.Retention.Decide(backups, s.Now()) {
		if d.Keep == "" && !dryRun {
			if err := remove(ctx, target, d.Backup.Manifest); err != nil {
				return pruned, err
			}
		}
		pruned = append(pruned, Pruned{Target: target.String(), ID: d.Backup.ID, File: d.Backup.File, Keep: d.Keep})
	}
	return pruned, nil
}

// catalogueAt is the backups of one target, as a run of the installation sees them: all are
// its own where its store is out of order and there are no other's. A store that says nothing
// is one that has just been made, and whoever else has backups there is another.
func (s *Service) catalogueAt(ctx context.Context, target Target) (Catalogue, error) {
	backups, err := listTarget(ctx, target)
	if err != nil {
		return nil, err
	}
	id := s.installation(ctx, false)
	if id == "" && s.whose.isSilent() {
		id = onlyOwner(backups)
	}
	return newViewer(id, backups, s.Now()).judge(backups), nil
}

// remove removes a backup. Its manifest says so first, and goes last: killed in between,
// what is left is known, and the next pruning removes it. Where a manifest that is written
// anew would be locked, it doesn't say so: then what is left is a problem for a person.
func remove(ctx context.Context, target Target, m Manifest) error {
	if !m.Removing && !target.Locks() {
		m.Removing = true
		_ = putManifest(ctx, target, m) // a full disk has no space for it, and is to get some
	}
	return removeFiles(ctx, target, m)
}

func removeFiles(ctx context.Context, target Target, m Manifest) error {
	err := target.Remove(ctx, m.File)
	if err == nil {
		err = target.Remove(ctx, m.name())
	}
	if err != nil {
		return fmt.Errorf("%s can't be removed from %s: %w", m.File, target, err)
	}
	return nil
}
