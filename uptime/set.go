package uptime

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"manus/docstore"
	"manus/language"
)

// Origin is where a monitor is from.
type Origin string

// The origins. Of several monitors with one id that of the file is watched, else the API's.
const (
	OfProduct Origin = "product"
	OfFile    Origin = "file"
	OfAPI     Origin = "api"
)

// set is what is watched.
type set struct {
	monitors []Monitor // with what holds where they say nothing
	byID     map[string]Monitor
	ids      []string // in order
	origins  map[string]Origin
	// notes are what an operator should know of a monitor.
	notes map[string]language.Text
	// hidden are the API's whose place the file has taken.
	hidden map[string]bool
	hears  bool // any of them is a heartbeat
	// version names the list by what is in it.
	version func() string
}

func (s *set) add(m Monitor, of Origin) {
	s.byID[m.ID], s.origins[m.ID] = m.usual(), of
	s.hears = s.hears || m.Type == Heartbeat
	s.ids = append(s.ids, m.ID)
}

// sources are what the set is made of.
type sources struct {
	mu   sync.Mutex
	file Policy
	own  Policy          // nil where only the copy that watches knows it; see journal.Own
	told json.RawMessage // the journal's, where own is of it
	made map[string]knownMade
	// seen is the journal's count of changes that made is of; -1 before the first. stir is set
	// where who watches is yet to hear of one.
	seen int64
	stir bool
	// muted is up to when all are.
	muted time.Time
}

// knownMade is a monitor that the API has made, as it was read.
type knownMade struct {
	made
	Monitor
}

// compose makes the set of its sources. The lock is held.
func (s *sources) compose(log *slog.Logger, before *set) *set {
	next := &set{
		byID: make(map[string]Monitor, len(s.file)+len(s.made)), origins: make(map[string]Origin, len(s.file)+len(s.made)), notes: map[string]language.Text{}, hidden: map[string]bool{},
	}
	inFile := make(map[string]bool, len(s.file))
	for _, m := range s.file {
		inFile[m.ID] = true
	}
	for _, m := range s.own {
		if _, made := s.made[m.ID]; !made && !inFile[m.ID] {
			next.add(m, OfProduct)
		}
	}
	files := stamps{}
	for _, m := range s.file {
		m.stamp = files.of(m)
		next.add(m, OfFile)
	}
	made := slices.Sorted(maps.Keys(s.made))
	for _, id := range made {
		if !inFile[id] {
			next.add(s.made[id].Monitor, OfAPI)
			continue
		}
		next.hidden[id], next.notes[id] = true, hiddenNote
		if before == nil || !before.hidden[id] {
			log.Warn("a monitor of manus.yaml takes the place of one that was made by the API; delete that one, or give this one another id", "monitor", id)
		}
	}
	for _, id := range made {
		if problem := lineage(next.byID[id], next.byID); problem != "" && !inFile[id] {
			next.notes[id] = parentNote
			orphan := next.byID[id] // in a ring nobody would be told of any
			orphan.Parent = ""
			next.byID[id] = orphan
			if before == nil || before.notes[id] != parentNote {
				log.Warn("a monitor that was made by the API has a parent that can't be one, and is told as if it had none", "monitor", id, "problem", problem)
			}
		}
	}
	for _, id := range next.ids {
		next.monitors = append(next.monitors, next.byID[id])
	}
	slices.Sort(next.ids)
	next.version = sync.OnceValue(func() string { return versionOf(next.monitors) })
	return next
}

var (
	hiddenNote = language.Text{
		En: "This is manus.yaml's. One that was made by the API has the same id and isn't watched; DELETE removes it.",
		Ar: "هذا مراقَب manus.yaml. أُنشئ بالواجهة آخر بالمعرّف نفسه وهو لا يُراقب؛ وDELETE يزيله.",
	}
	parentNote = language.Text{
		En: "Its parent isn't watched, or is below it: it is told as if it had none.",
		Ar: "أصله غير مراقب أو هو فرع منه: يُنبَّه عنه كأن لا أصل له.",
	}
)

// SetMonitors has others be those of manus.yaml. What stays as it was goes on.
func (s *Service) SetMonitors(p Policy) {
	s.sources.mu.Lock()
	s.sources.file = p
	s.recompose()
	s.sources.mu.Unlock()
	s.reread()
}

// SetOwn has others be the product's own, of which one of manus.yaml or of the API with the
// same id takes the place.
func (s *Service) SetOwn(p Policy) {
	s.sources.mu.Lock()
	s.sources.own, s.sources.told = append(Policy{}, p...), nil
	s.recompose()
	s.sources.mu.Unlock()
	s.reread()
}

// recompose puts the set in force that the sources make. Their lock is held.
func (s *Service) recompose() { s.set.Store(s.sources.compose(s.c.Log, s.set.Load())) }

// catchUp has what was decided beside manus.yaml be known here, by whichever copy it was.
// Errors are the store's.
func (s *Service) catchUp(ctx context.Context, j journal) error {
	src := &s.sources
	src.mu.Lock()
	seen := src.seen
	src.muted = j.Muted.Time
	if j.Own != nil && (src.own == nil || src.told != nil && !bytes.Equal(src.told, j.Own)) {
		src.own, src.told = readOwn(j.Own), j.Own
		s.recompose()
	}
	src.mu.Unlock()
	if seen == j.Changes {
		return nil
	}
	read, err := s.readMade(ctx)
	if err != nil {
		return err
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.seen == seen { // or somebody else has read it
		src.made, src.seen, src.stir = read, j.Changes, true
		s.recompose()
	}
	return nil
}

// readMade reads the API's monitors. Errors are the store's.
func (s *Service) readMade(ctx context.Context) (map[string]knownMade, error) {
	s.sources.mu.Lock()
	before := maps.Clone(s.sources.made)
	s.sources.mu.Unlock()
	read := make(map[string]knownMade, len(before))
	for m, err := range s.made.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			return nil, err
		}
		if known, ok := before[m.ID]; ok && bytes.Equal(known.Said, m.Said) && !m.Deleted {
			read[m.ID] = knownMade{m, known.Monitor}
		} else {
			s.put(read, m)
		}
	}
	return read, nil
}

// put notes a monitor as it is in the store.
func (s *Service) put(all map[string]knownMade, m made) {
	one, err := m.monitor()
	switch {
	case m.Deleted:
		delete(all, m.ID)
	case err != nil: // as by a later version of the program
		s.c.Log.Error("a monitor that was made by the API can't be read", "monitor", m.ID, "error", err)
	default:
		all[m.ID] = knownMade{m, one}
	}
}

// know is catchUp for a monitor as it was just written; false where it has been changed since.
func (s *Service) know(m made) (newest bool) {
	src := &s.sources
	src.mu.Lock()
	defer src.mu.Unlock()
	before, known := src.made[m.ID]
	if known && before.Revision == m.Revision || !known && m.Deleted { // as it is known
		return true
	}
	if newest = before.Revision <= m.Revision; newest {
		s.put(src.made, m)
		src.stir = true
		s.recompose()
	}
	return newest
}

// counted is told of the journal's count after a change that is known: where there was no
// other, there is nothing more to read.
func (s *Service) counted(changes int64) {
	s.sources.mu.Lock()
	defer s.sources.mu.Unlock()
	if s.sources.seen == changes-1 {
		s.sources.seen, s.sources.stir = changes, true
	}
}

// stirred tells, once, whether who watches is to hear of a change.
func (s *sources) stirred() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	stirred := s.stir
	s.stir = false
	return stirred
}

// current is what is watched by now. Errors are the store's.
func (s *Service) current(ctx context.Context) (*set, journal, error) {
	j, err := s.journal(ctx)
	if err == nil {
		err = s.catchUp(ctx, j)
	}
	return s.set.Load(), j, err
}

// followEvery is how often a copy looks whether others have changed anything.
const followEvery = 2 * time.Second

// follow has this copy know what others decide, until ctx ends, and the audit log of what a
// process that was killed has left behind.
func (s *Service) follow(ctx context.Context) {
	failing := false
	for n := 0; ctx.Err() == nil; n++ {
		err := s.followOnce(ctx, n%5 == 0)
		if err != nil && !failing && ctx.Err() == nil { // once, not every two seconds
			s.c.Log.WarnContext(ctx, "what was changed of monitors can't be read; it will be tried again", "error", err)
		}
		failing = err != nil
		pause(ctx, followEvery)
	}
}

func (s *Service) followOnce(ctx context.Context, stale bool) error {
	set, _, err := s.current(ctx)
	if set.haveChanged() {
		s.sources.mu.Lock()
		s.recompose()
		s.sources.mu.Unlock()
		s.reread()
	}
	if s.sources.stirred() {
		s.reread()
	}
	if err == nil && stale {
		err = s.noted.DeliverStale(ctx)
	}
	return err
}

// ownJSON is how the copy that watches has others know the product's own monitors.
func (s *sources) ownJSON() json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]named, 0, len(s.own))
	for _, m := range s.own {
		all = append(all, named{m.ID, m.definition()})
	}
	text, _ := json.Marshal(all) // texts and numbers
	return text
}

func readOwn(text json.RawMessage) Policy {
	var all []named
	if json.Unmarshal(text, &all) != nil { // as of a later version
		return nil
	}
	own := Policy{}
	for _, one := range all {
		m, _ := one.monitor(one.ID)
		own = append(own, m)
	}
	return own
}

// named is a definition with its id.
type named struct {
	ID string `json:"id"`
	Definition
}
