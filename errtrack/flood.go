package errtrack

import (
	"context"
	"strings"
	"sync"
	"time"

	"manus/errtrack/event"
	"manus/errtrack/grouping"
)

// What a program may make of new issues in a project, at each copy of Manus: so many at
// once, and so many in a minute after that. What is more is one issue together.
const (
	newAtOnce    = 1000
	newPerMinute = 10
)

// flood is the group of what is more.
func flood() grouping.Group {
	const title = "More new kinds of errors than are kept apart"
	return grouping.Group{Hashes: []string{"flood"}, Why: grouping.Why{Rule: grouping.Flood}, Title: title, Value: title}
}

// budgets are how many new issues projects may have, by their ids.
type budgets struct {
	mu sync.Mutex
	of map[string]budget
}

type budget struct {
	left float64
	at   time.Time
}

// spend tells whether a project may have one more.
func (b *budgets) spend(project string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = map[string]budget{}
	}
	is, known := b.of[project]
	if !known {
		is = budget{newAtOnce, now}
	}
	is.left = min(newAtOnce, is.left+max(0, now.Sub(is.at).Minutes()*newPerMinute))
	is.at = now
	may := is.left >= 1
	if may {
		is.left--
	}
	b.of[project] = is
	return may
}

// groupOf is where an event belongs that comes: with a flood, when nobody knows its kind
// and there are too many new ones. Errors are the store's.
func (s *Service) groupOf(ctx context.Context, project string, e *event.Event) (grouping.Group, error) {
	g := grouping.Of(e)
	own := hashID(project, g.Hashes[0])
	if _, known := s.byHash.Get(own); known || s.admitted.Has(own) {
		return g, nil
	}
	ids := make([]string, len(g.Hashes))
	for i, h := range g.Hashes {
		ids[i] = hashID(project, h)
	}
	if known, err := s.hashes.GetAll(ctx, ids...); err != nil || len(known) > 0 {
		return g, err
	}
	if !s.budgets.spend(project, s.c.Now()) {
		return flood(), nil
	}
	s.admitted.Put(own, struct{}{})
	return g, nil
}

// groupOfKept is where an event belongs that is kept: by the hash that it is kept under,
// whatever the rules are now.
func groupOfKept(k kept, e *event.Event) grouping.Group {
	own := strings.TrimPrefix(k.Group, hashID(k.Project, ""))
	if g := flood(); own == g.Hashes[0] {
		return g
	}
	g := grouping.Of(e)
	if g.Hashes[0] != own {
		g.Hashes = append([]string{own}, g.Hashes...)
	}
	return g
}
