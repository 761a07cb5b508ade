package uptime

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/uptime/probe"
)

// recent is what was found within a few seconds, of a share of the monitors: results are kept
// as these first, and are moved into the hours that they are of some minutes later. An hour
// would be written anew for each look otherwise, and with a page of the store for each
// monitor. Who reads results reads both.
//
// Results may be there twice, as a process may be killed after it has moved them and before
// it has removed them here; an hour takes one once.
type recent struct {
	ID string        `json:"_id"` // see recentID
	At docstore.Time `json:"at"`  // before the first of them
	// Monitors are whose results they are, one for each.
	Monitors []string `json:"monitors"`
	Looks    hour     `json:"looks"` // in the order in which they were added
}

// DocumentID is the share's number, the time and an id.
func (r recent) DocumentID() string { return r.ID }

var recentSpec = docstore.Spec{Collection: "monitor_recent", Of: recent{}, Transient: true}

const (
	// shares are so many that one monitor's results, and a move of one share's, are cheap.
	shares = 16
	// recentFor is how long results stay there before they are moved.
	recentFor = 10 * time.Minute
)

func shareOf(monitor string) int {
	digest := fnv.New32a()
	digest.Write([]byte(monitor))
	return int(digest.Sum32() % shares)
}

func recentID(share int, at time.Time) string {
	return fmt.Sprintf("%02d/%013d/%s", share, at.UnixMilli(), docstore.NewID())
}

// ofShare is the range of a share's documents.
func ofShare(share int) docstore.Query {
	return docstore.Query{From: fmt.Sprintf("%02d/", share), Until: fmt.Sprintf("%02d0", share)} // '0' follows '/'
}

// record keeps results, by one batch of the store. It returns those that aren't kept, with the
// store's errors.
func (s *Service) record(ctx context.Context, results []found) (left []found, err error) {
	byShare := map[int][]found{}
	for _, r := range results {
		byShare[shareOf(r.monitor)] = append(byShare[shareOf(r.monitor)], r)
	}
	var changes []docstore.Change
	var of [][]found
	for share, some := range byShare {
		for some := range slices.Chunk(some, maxTexts) { // so that each error has a place
			at := docstore.At(some[0].At)
			made := recent{ID: recentID(share, at.Time), At: at, Looks: hour{At: at}}
			for _, r := range some {
				made.Monitors = append(made.Monitors, r.monitor)
				made.Looks.add(r.Result)
			}
			change, err := s.recents.InsertChange(made)
			if err != nil {
				return results, err
			}
			changes, of = append(changes, change), append(of, some)
		}
	}
	for i, failure := range s.c.Store.Batch(ctx, changes) {
		if failure != nil {
			left, err = append(left, of[i]...), failure // one tells enough: they are the same store's
		}
	}
	return left, err
}

// found are the results with the monitors that they are of.
func (r recent) found() []found {
	results, _ := r.Looks.unpack() // what is cut off isn't of use
	all := make([]found, 0, len(results))
	for i, result := range results[:min(len(results), len(r.Monitors))] {
		all = append(all, found{r.Monitors[i], result.Result})
	}
	return all
}

// move moves the results of a share into their hours, if some have been there for long
// enough. Errors are the store's.
func (s *Service) move(ctx context.Context, share int) error {
	first, err := s.recents.First(ctx, ofShare(share))
	if err != nil || s.c.Now().Sub(first.At.Time) < recentFor {
		return docstore.NotFoundAs(err, nil)
	}
	q := ofShare(share)
	q.Limit = docstore.MaxLimit // of more the others are moved by and by
	all, _, err := s.recents.Find(ctx, q)
	if err != nil {
		return err
	}
	var results []found
	var moved []docstore.Change
	for _, r := range all {
		results = append(results, r.found()...)
		moved = append(moved, docstore.Change{Collection: recentSpec.Collection, ID: r.ID, Apply: removed})
	}
	if _, err := s.keep(ctx, results); err != nil {
		return err
	}
	return errors.Join(s.c.Store.Batch(ctx, moved)...)
}

// removed removes a document, which another copy may have done.
func removed(old docstore.Raw) (docstore.Raw, error) {
	if old == nil {
		return nil, nil
	}
	return docstore.Removed, nil
}

// hoursOf are the hours of a monitor up to one, newest first, with what isn't moved into them
// yet. Errors are the store's.
func (s *Service) hoursOf(ctx context.Context, monitor, until string) iter.Seq2[hour, error] {
	return func(yield func(hour, error) bool) {
		var added []*hour // newest first
		for r, err := range s.recents.All(ctx, ofShare(shareOf(monitor))) {
			if err != nil {
				yield(hour{}, err)
				return
			}
			if !slices.Contains(r.Monitors, monitor) {
				continue
			}
			for _, f := range r.found() {
				if f.monitor == monitor && hourID(monitor, f.At) < until {
					added = addTo(added, f)
				}
			}
		}
		for h, err := range s.hours.All(ctx, docstore.Query{From: monitor + "/", Until: until, Descending: true}) {
			for err == nil && len(added) > 0 && added[0].ID > h.ID {
				if !yield(*added[0], nil) {
					return
				}
				added = added[1:]
			}
			if err == nil && len(added) > 0 && added[0].ID == h.ID {
				h.join(*added[0])
				added = added[1:]
			}
			if !yield(h, err) || err != nil {
				return
			}
		}
		for _, h := range added {
			if !yield(*h, nil) {
				return
			}
		}
	}
}

// addTo adds a result to its hour of those that there are, newest first.
func addTo(hours []*hour, f found) []*hour {
	id := hourID(f.monitor, f.At)
	i, there := slices.BinarySearchFunc(hours, id, func(h *hour, id string) int { return strings.Compare(id, h.ID) })
	if !there {
		hours = slices.Insert(hours, i, &hour{ID: id, At: docstore.At(f.At.Truncate(time.Hour))})
	}
	hours[i].add(f.Result)
	return hours
}

// join adds the results of another hour.
func (h *hour) join(other hour) {
	results, _ := other.unpack()
	for _, r := range results {
		h.addFrom(r.Place, r.Result)
	}
}

// latest are the last checks of some monitors, in this hour and the one before. Errors are the
// store's.
func (s *Service) latest(ctx context.Context, monitors []string) (map[string]probe.Result, error) {
	last := make(map[string]probe.Result, len(monitors))
	wanted := map[int]map[string]bool{}
	for _, monitor := range monitors {
		share := shareOf(monitor)
		if wanted[share] == nil {
			wanted[share] = map[string]bool{}
		}
		wanted[share][monitor] = true
	}
	var ids []string
	now := s.c.Now()
	for share, left := range wanted {
		if err := s.latestOf(ctx, share, left, last); err != nil {
			return nil, err
		}
		for monitor := range left { // those that are looked at less often
			ids = append(ids, hourID(monitor, now), hourID(monitor, now.Add(-time.Hour)))
		}
	}
	hours, err := s.hours.GetAll(ctx, ids...)
	if err != nil {
		return nil, err
	}
	for _, h := range hours {
		monitor, _, _ := strings.Cut(h.ID, "/")
		if all, _ := h.results(); len(all) > 0 && all[len(all)-1].At.After(last[monitor].At) {
			last[monitor] = all[len(all)-1].Result
		}
	}
	return last, nil
}

// latestOf takes the last checks of a share out of those that aren't moved yet, and the
// monitors that it has found out of those that are wanted.
func (s *Service) latestOf(ctx context.Context, share int, wanted map[string]bool, last map[string]probe.Result) error {
	q := ofShare(share)
	q.Descending, q.Limit = true, 20
	for r, err := range s.recents.All(ctx, q) {
		if err != nil {
			return err
		}
		for _, f := range r.found() {
			if before, seen := last[f.monitor]; wanted[f.monitor] || seen && f.At.After(before.At) {
				last[f.monitor] = f.Result
				delete(wanted, f.monitor)
			}
		}
		if len(wanted) == 0 {
			return nil
		}
	}
	return nil
}
