package errtrack

import (
	"context"
	"errors"
	"slices"
	"sync"

	"manus/docstore"
)

// Totals are what became of all that a project's programs have sent, or would have.
type Totals struct {
	ID string `json:"_id"` // the project's
	// Kept is how many events there are; Days are those that were taken, by days since 1970.
	Kept int64  `json:"kept"`
	Days series `json:"days,omitempty"`
	// Losses are what wasn't kept, by why.
	Losses []loss `json:"losses,omitempty"`
	// Removing are the ids of events that are taken off already, and may be there yet; Removals
	// is how often there were some.
	Removing []string `json:"removing,omitempty"`
	Removals int64    `json:"removals,omitempty"`
	// Counted is as in Issue.
	Counted []mark `json:"counted,omitempty"`
}

// DocumentID is the project's id.
func (t Totals) DocumentID() string { return t.ID }

var totalsSpec = docstore.Spec{Collection: "error_totals", Of: Totals{}, Transient: true}

// loss is how many events were lost for a reason, by days since 1970.
type loss struct {
	Reason string `json:"reason"`
	Days   series `json:"days"`
}

// Why events are lost here. What programs say that they have lost themselves is called as
// they call it, behind "client:".
const (
	lostToLimit    = "rate_limited"
	lostToLoad     = "busy"
	lostToSize     = "too_large"
	lostToForm     = "malformed"
	lostToOrigin   = "refused_origin"   // pages that the key isn't for
	lostToEncoding = "unknown_encoding" // bodies packed in a way that isn't known
	lostToStore    = "unavailable"
	lostOnTheWay   = "cut_short"
	lostUnknown    = "unknown_item"
	lostUnkept     = "unkept:"  // and the item's type: of the protocol, and nothing is made of it here
	lostToBound    = "too_many" // jobs, or releases, of a project
	lostDuplicate  = "duplicate"
	lostUncounted  = "uncountable" // it is kept all the same
	lostToFlood    = "flood"       // it is kept, with others of new kinds
	lostByClient   = "client:"
	// Of traces.
	lostTraceToSize = "trace:too_large"
	lostTraceToForm = "trace:malformed"
	lostRoute       = "trace:too_many_routes"
)

// maxLosses bounds the reasons that are counted apart.
const maxLosses = 64

func (s *Service) totalsOf(ctx context.Context, project string) (Totals, error) {
	t, err := s.totals.Get(ctx, project)
	t.ID = project
	return t, docstore.NotFoundAs(err, nil)
}

// addTotals counts a batch at its projects, unless that has been done.
func (s *Service) addTotals(ctx context.Context, m mark, all []sighting) error {
	byProject := map[string][]sighting{}
	for _, seen := range all {
		byProject[seen.project] = append(byProject[seen.project], seen)
	}
	var changes []docstore.Change
	counted := map[string]*Totals{}
	for project, seen := range byProject {
		counted[project] = &Totals{}
		change, err := s.totals.UpsertChange(Totals{ID: project}, counted[project], func(t *Totals, _ bool) error {
			var fresh []sighting
			if t.Counted, fresh = m.take(t.Counted, seen, s.unfinished.has); len(fresh) == 0 {
				return docstore.ErrUnchanged
			}
			t.Kept += int64(len(fresh))
			for _, one := range fresh {
				t.Days.add(one.at.Unix()/86400, 1, daysKept)
			}
			return nil
		})
		if err != nil {
			return err
		}
		changes = append(changes, change)
	}
	if err := errors.Join(s.c.Store.Batch(ctx, changes)...); err != nil {
		return err
	}
	for project, t := range counted {
		s.crowds.note(project, t.Kept)
	}
	return nil
}

// losses are what was lost since it was last noted.
type losses struct {
	mu sync.Mutex
	n  map[[2]string]int64 // by project and reason
}

// lose notes events that aren't kept.
func (s *Service) lose(project, reason string, n int64) {
	s.metrics.lost(reason, n)
	s.losses.mu.Lock()
	defer s.losses.mu.Unlock()
	if s.losses.n == nil {
		s.losses.n = map[[2]string]int64{}
	}
	s.losses.n[[2]string{project, reason}] += n
}

// noteLosses writes down what was lost. What can't be is kept for the next time.
func (s *Service) noteLosses(ctx context.Context) {
	s.losses.mu.Lock()
	lost := s.losses.n
	s.losses.n = nil
	s.losses.mu.Unlock()
	day := s.c.Now().Unix() / 86400
	for at, n := range lost {
		_, err := s.totals.Upsert(ctx, Totals{ID: at[0]}, func(t *Totals, _ bool) error {
			t.lose(at[1], day, n)
			return nil
		})
		if err != nil {
			s.losses.mu.Lock()
			if s.losses.n == nil {
				s.losses.n = map[[2]string]int64{}
			}
			s.losses.n[at] += n
			s.losses.mu.Unlock()
		}
	}
}

func (t *Totals) lose(reason string, day, n int64) {
	k := slices.IndexFunc(t.Losses, func(l loss) bool { return l.Reason == reason })
	if k < 0 && len(t.Losses) >= maxLosses {
		return
	}
	if k < 0 {
		k, t.Losses = len(t.Losses), append(t.Losses, loss{Reason: reason})
	}
	t.Losses[k].Days.add(day, n, daysKept)
}
