package readiness

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/language"
)

// Copy is what a copy of the server tells the others of itself.
type Copy struct {
	ID        string        `json:"_id"` // of the process; empty for a command, which tells nothing
	Name      string        `json:"name"`
	URL       string        `json:"url,omitempty"` // where people reach it
	Version   string        `json:"version"`
	StartedAt docstore.Time `json:"started_at"`
	SeenAt    docstore.Time `json:"seen_at"`
	// Marks are what has to be equal on all copies, by name: digests from which nothing can
	// be guessed.
	Marks map[string]string `json:"marks" docstore:"plainkeys"`
	// Key is made anew at each start; answers are proved by it to be of this copy, see Proving.
	Key string `json:"key"`
	// Findings are what it has measured of itself and its machine.
	Findings []CopyFinding `json:"findings"`
}

// DocumentID is the copy's ID.
func (c Copy) DocumentID() string { return c.ID }

// CopyFinding is what a copy has measured of itself.
type CopyFinding struct {
	Check   string        `json:"check"`
	At      docstore.Time `json:"at"`
	Finding Finding       `json:"finding"`
}

const bySeen = "by_seen"

var copySpec = docstore.Spec{Collection: "readiness_copies", Of: Copy{}, Indexes: []docstore.Index{{Name: bySeen, Fields: []string{"seen_at"}}}}

const (
	// tellEvery is how often a copy tells of itself; one that was silent for tellWithin isn't there.
	tellEvery  = 10 * time.Second
	tellWithin = 35 * time.Second
	// forgetAfter is how long the copies of before are kept, and maxCopies how many are looked at.
	forgetAfter = time.Hour
	maxCopies   = 100
)

// Copies are the copies of the server that are there, this one among them, by their names.
// Errors are the store's.
func (s *Service) Copies(ctx context.Context) ([]Copy, error) {
	since := docstore.At(time.Now().Add(-tellWithin))
	all, _, err := s.copies.Find(ctx, docstore.Query{Index: bySeen, From: since, Limit: maxCopies})
	if err == nil && s.Copy.ID != "" && !slices.ContainsFunc(all, func(c Copy) bool { return c.ID == s.Copy.ID }) {
		all = append(all, s.This()) // it has just started
	}
	slices.SortFunc(all, func(a, b Copy) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return all, err
}

// This is this copy, or the command, as it is now.
func (s *Service) This() Copy {
	c := s.Copy
	if s.Marks != nil {
		c.Marks = s.Marks()
	}
	return c
}

// others are the other copies that are there; none while the store is gone.
func (s *Service) others(ctx context.Context) []Copy {
	if s.Store == nil {
		return nil
	}
	all, err := s.Copies(ctx)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(all, func(c Copy) bool { return c.ID == s.Copy.ID })
}

// tell tells the others of this copy.
func (s *Service) tell(ctx context.Context) error {
	now := s.This()
	now.SeenAt = docstore.At(time.Now())
	now.Findings = nil
	for _, m := range s.checks {
		if m.OfCopy {
			f, at, _ := m.measure(ctx)
			now.Findings = append(now.Findings, CopyFinding{m.ID, docstore.At(at), f})
		}
	}
	_, err := s.copies.Upsert(ctx, now, func(old *Copy, _ bool) error {
		*old = now
		return nil
	})
	return err
}

// leave takes this copy from the list, when it stops in order.
func (s *Service) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), defaultPatience)
	defer cancel()
	if err := s.copies.Delete(ctx, s.Copy.ID); err != nil && !errors.Is(err, docstore.ErrNotFound) {
		s.Log.Warn("the other copies can't be told that this one stops; they notice by themselves", "error", err)
	}
}

// ofAll is what a check finds on this copy and what the others have found on theirs: the
// worst of it, by the name of the copy where there are several. A command has no copy of its
// own, unless no server runs.
func (s *Service) ofAll(ctx context.Context, m *measurer, others []Copy) (worst Finding, at time.Time) {
	all := others
	if s.Copy.ID != "" || len(others) == 0 {
		f, at, _ := m.measure(ctx)
		all = append(slices.Clone(others), Copy{Name: s.Copy.Name, Findings: []CopyFinding{{m.ID, docstore.At(at), f}}})
	}
	for _, c := range all {
		i := slices.IndexFunc(c.Findings, func(f CopyFinding) bool { return f.Check == m.ID })
		if i < 0 {
			continue // of another version
		}
		f := c.Findings[i].Finding
		if len(all) > 1 {
			on := language.Text{En: "On #: ", Ar: "على #: "}.Quoting(c.Name)
			f.Evidence = language.Text{En: on.En + f.Evidence.En, Ar: on.Ar + f.Evidence.Ar}
		}
		if worst.Status == "" || graver(f.Status, worst.Status) {
			worst, at = f, c.Findings[i].At.Time
		}
	}
	if worst.Status == "" {
		return NotMeasured(language.Text{En: "No copy of the server that runs measures this.", Ar: "لا تقيس هذا أيّ نسخة عاملة من الخادم."}), time.Time{}
	}
	return worst, at
}

// graver tells whether a status is worse than another one.
func graver(a, b Status) bool {
	order := []Status{Skipped, Pass, Warn, Fail}
	return slices.Index(order, a) > slices.Index(order, b)
}

// Unequal are the marks that aren't the same on all copies; one that a copy lacks isn't.
func Unequal(copies []Copy) (unequal []string) {
	marks := map[string]bool{}
	for _, c := range copies {
		for mark := range c.Marks {
			marks[mark] = true
		}
	}
	for mark := range marks {
		if slices.ContainsFunc(copies, func(c Copy) bool { return c.Marks[mark] != copies[0].Marks[mark] }) {
			unequal = append(unequal, mark)
		}
	}
	slices.Sort(unequal)
	return unequal
}
