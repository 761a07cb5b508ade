package uptime

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/identity"
	"manus/lease"
)

// place is another place from where monitors are watched, with what it has told last.
type place struct {
	Name     string      `json:"_id"`
	Fence    lease.Fence `json:"fence"` // of who watches; a place itself has none
	Instance string      `json:"instance"`
	// Key is the API key that it hands in with; a key speaks for one place alone, so that a stolen one
	// outvotes nobody by others that it makes up.
	Key string `json:"key,omitempty"`
	// Since is when it was first heard of, Heard when it was last, and Beat how often.
	Since docstore.Time `json:"since"`
	Heard docstore.Time `json:"heard"`
	Beat  int64         `json:"beat"`
	// View is how it sees things: a View as JSON, its times by our clock. Changes counts how often
	// it has become another one.
	View    []byte `json:"view"`
	Changes int64  `json:"changes"`
	CutOff  bool   `json:"cut_off,omitempty"`
	// ClockOff is how far its clock is behind, in milliseconds, where that is corrected.
	ClockOff int64 `json:"clock_off_ms,omitempty"`
	Dropped  int64 `json:"dropped,omitempty"` // results that it has given up
	// Silent is since when it is silent, while people are told so.
	Silent docstore.Time `json:"silent,omitzero"`
	// Pages are how strangers are shown the status page.
	Pages []shownPage `json:"pages,omitempty"`

	Pending      []Alert       `json:"pending,omitempty"`
	PendingSince docstore.Time `json:"pending_since,omitzero"`
}

// DocumentID is the place's name.
func (p place) DocumentID() string { return p.Name }

func (p *place) outbox() audit.Outbox[Alert] {
	return audit.Outbox[Alert]{Events: &p.Pending, Since: &p.PendingSince}
}

var placeSpec = docstore.Spec{Collection: "uptime_places", Of: place{}, Indexes: []docstore.Index{audit.PendingIndex, {Name: byKey, Fields: []string{"key"}, Unique: true}}}

// pace is how often a place is heard of, and when it counts as silent.
type pace struct {
	// Every is how often it tells how it sees things.
	every time.Duration
	// FreshFor is how long what it has told says how things are, SilentAfter when people are told
	// of its silence.
	freshFor, silentAfter time.Duration
}

var usualPace = pace{every: 5 * time.Second, freshFor: 20 * time.Second, silentAfter: time.Minute}

// phase is how far a place's looks are shifted against those of the server's own: so several
// places don't look at the same moment.
func phase(name string) time.Duration {
	if name == DefaultPlace {
		return 0
	}
	digest := fnv.New64a()
	digest.Write([]byte(name))
	return time.Duration(digest.Sum64() % uint64(maxEvery))
}

// tolerated is how far a clock may be off before times are corrected: less is the way to the
// server.
const tolerated = 5 * time.Second

// HandIn takes what a place tells. It may be told again. Errors are ErrPlaceTaken, ErrPlaceKey, ErrOwnPlace,
// ErrTooManyPlace, an ErrReport that says what is wrong, or the store's.
func (s *Service) HandIn(ctx context.Context, r Report) (Receipt, error) {
	if err := r.problem(); err != nil {
		return Receipt{}, err
	}
	if r.Place == s.c.Place {
		return Receipt{}, ErrOwnPlace
	}
	set, _, err := s.current(ctx)
	if err != nil {
		return Receipt{}, err
	}
	now, handedIn := s.c.Now(), len(r.Results)
	off := now.Sub(r.Now)
	if off.Abs() <= tolerated {
		off = 0
	}
	known, err := s.roomFor(ctx, r.Place)
	if err != nil {
		return Receipt{}, err
	}
	r.tidy(off, now, set.byID)
	known.limit(r.View.Seen, now, set.byID)
	view, err := json.Marshal(r.View)
	if err != nil {
		return Receipt{}, err
	}
	before, key := int64(0), identity.From(ctx).KeyID
	p, err := s.places.Upsert(ctx, place{Name: r.Place}, func(p *place, there bool) error {
		silence := now.Sub(p.Heard.Time).Abs() // or the clock was set
		if there && p.Instance != "" && p.Instance != r.Instance && silence < s.pace.freshFor {
			return ErrPlaceTaken
		}
		if key != "" && p.Key != "" && p.Key != key {
			return ErrPlaceKey
		}
		p.Key = cmp.Or(p.Key, key)
		if before = p.ClockOff; p.Since.IsZero() {
			p.Since = docstore.At(now)
		}
		if p.Beat++; r.Leaving { // what it has seen last stays
			p.Instance, p.Heard = "", docstore.At(now)
			return nil
		}
		if string(p.View) != string(view) || p.CutOff != r.View.CutOff {
			p.Changes++
		}
		p.Instance, p.Heard, p.View, p.CutOff = r.Instance, docstore.At(now), view, r.View.CutOff
		p.ClockOff, p.Dropped = off.Milliseconds(), r.Dropped
		p.judgePages(r.Pages, now)
		return nil
	})
	if docstore.ConflictsOn(err, byKey) {
		err = ErrPlaceKey
	}
	if err != nil {
		return Receipt{}, err
	}
	if len(p.Pending) > 0 && s.c.Tell != nil { // else who tells finds it
		s.ofPlaces.Send(ctx, p)
	}
	if off != 0 && before == 0 {
		s.c.Log.WarnContext(ctx, "the clock of a place is wrong; its times are corrected", "place", r.Place, "behind", off.Round(time.Second))
	}
	if err := s.keepFrom(ctx, r.Results); err != nil {
		return Receipt{}, err
	}
	return Receipt{Now: now.UTC(), ClockOff: off.Seconds(), Kept: len(r.Results), Refused: handedIn - len(r.Results), Version: set.version()}, nil
}

// roomFor is what is known of a place, which is nothing of a new one. It returns ErrTooManyPlace
// where there is no room for that.
func (s *Service) roomFor(ctx context.Context, name string) (place, error) {
	p, err := s.places.Get(ctx, name)
	if !errors.Is(err, docstore.ErrNotFound) {
		return p, err
	}
	n := 0
	for _, err := range s.places.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			return place{}, err
		}
		n++
	}
	if n >= maxPlaces {
		return place{}, ErrTooManyPlace
	}
	return place{}, nil
}

// limit has nothing that a place sees down have been so for longer than it can have: it would have told
// before. Otherwise a stolen key could make outages that begin long ago.
func (p place) limit(seen []Seen, now time.Time, watched map[string]Monitor) {
	var before map[string]Seen
	for i := range seen {
		s := &seen[i]
		if !s.Down {
			continue
		}
		if before == nil {
			before = p.outlook().sees
		}
		earliest := now
		if heard := p.Heard.Time; !heard.IsZero() && heard.Before(now) {
			earliest = heard
		}
		earliest = earliest.Add(-watched[s.Monitor].noticing())
		if was, there := before[s.Monitor]; there && was.Down && was.Since.Before(earliest) {
			earliest = was.Since
		}
		if s.Since.Before(earliest) {
			s.Since = earliest.UTC().Truncate(time.Millisecond)
		}
	}
}

// keepFrom adds results of another place, in the order of monitors and times, to the hours that
// they are of; what is there already isn't added again.
func (s *Service) keepFrom(ctx context.Context, results []Found) error {
	var changes []docstore.Change
	for len(results) > 0 {
		id := hourID(results[0].Monitor, results[0].At)
		n := slices.IndexFunc(results, func(f Found) bool { return hourID(f.Monitor, f.At) != id })
		if n < 0 {
			n = len(results)
		}
		some := results[:n]
		results = results[n:]
		change, err := s.hours.UpsertChange(hour{ID: id, At: docstore.At(some[0].At.Truncate(time.Hour))}, new(hour), func(h *hour, _ bool) error {
			return h.addNew(some)
		})
		if err != nil {
			return err
		}
		changes = append(changes, change)
	}
	return errors.Join(slices.DeleteFunc(s.c.Store.Batch(ctx, changes), func(err error) bool { return errors.Is(err, docstore.ErrUnchanged) })...)
}

// addNew appends the results that aren't there and that there is room for, or returns ErrUnchanged.
func (h *hour) addNew(results []Found) error {
	type key struct {
		place string
		at    int64
	}
	there := map[key]bool{}
	before, _ := h.results() // of one that is damaged, as far as it goes
	for _, r := range before {
		there[key{r.Place, r.At.UnixMilli()}] = true
	}
	size := len(h.Packed)
	for _, r := range results {
		if k := (key{r.Place, r.At.UnixMilli()}); !there[k] && len(h.Packed) < maxHour/4*3 { // the rest is for what is found here
			there[k] = true
			h.addFrom(r.Place, r.Result)
		}
	}
	if len(h.Packed) == size {
		return docstore.ErrUnchanged
	}
	return nil
}

// Watched is what a place watches. It returns ErrNoPlace for what is no name of one, or an error
// of the store.
func (s *Service) Watched(ctx context.Context, place string) (Watchlist, error) {
	if !IsPlace(place) {
		return Watchlist{}, ErrNoPlace
	}
	set, _, err := s.current(ctx)
	if err != nil {
		return Watchlist{}, err
	}
	list := Watchlist{Version: set.version(), Monitors: []Monitor{}}
	for _, m := range set.monitors {
		if m.isSeenFrom(place) {
			list.Monitors = append(list.Monitors, m)
		}
	}
	return list, nil
}

// Place is another place, as operators see it.
type Place struct {
	Name         string
	Since, Heard time.Time
	Silent       bool // nothing was heard of it for so long that what it has told says nothing now
	CutOff       bool // it reaches nothing
	ClockOff     time.Duration
	Up, Down     int   // how many monitors it sees so
	Dropped      int64 // results that it has given up
	Pages        []PageLook
}

// Places are the other places that were ever heard of, by their names. Errors are the store's.
func (s *Service) Places(ctx context.Context) ([]Place, error) {
	all := []Place{}
	for p, err := range s.places.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			return nil, err
		}
		o := p.outlook()
		shown := Place{
			Name: p.Name, Since: p.Since.Time, Heard: p.Heard.Time, CutOff: p.CutOff, ClockOff: time.Duration(p.ClockOff) * time.Millisecond, Dropped: p.Dropped,
			Silent: s.c.Now().Sub(p.Heard.Time).Abs() > s.pace.freshFor,
		}
		for _, l := range p.Pages {
			shown.Pages = append(shown.Pages, l.look())
		}
		for _, seen := range o.sees {
			if shown.Up++; seen.Down {
				shown.Up--
				shown.Down++
			}
		}
		all = append(all, shown)
	}
	return all, nil
}

// ForgetPlace removes a place that is no more; one that is heard of again is there again. It
// ends what people were told of it. It returns ErrNoPlace or an error of the store.
func (s *Service) ForgetPlace(ctx context.Context, name string) error {
	if err := s.audit(ctx, eventPlaceForgotten, name); err != nil {
		return err
	}
	now := s.c.Now()
	p, err := s.places.Update(ctx, name, func(p *place) error {
		if p.Silent.IsZero() && len(p.Pages) == 0 {
			return docstore.ErrUnchanged
		}
		p.judgePages(nil, now)
		if !p.Silent.IsZero() {
			p.note(forgottenAlert(p.Name, p.Silent, now), now)
		}
		p.Silent = docstore.Time{}
		return nil
	})
	if err == nil {
		err = s.ofPlaces.Deliver(ctx, p)
	}
	if err == nil {
		err = s.places.Delete(ctx, name)
	}
	return docstore.NotFoundAs(err, ErrNoPlace)
}

func (p *place) note(a Alert, now time.Time) {
	a.ID = docstore.NewID()
	p.outbox().Note(a, now)
}

func (s *Service) tellOfPlace(ctx context.Context, p place, a Alert) error {
	if s.c.Tell == nil {
		return nil
	}
	return s.c.Tell(ctx, Told{Alert: a, Place: p.Name})
}

// outlook is what a place has told, ready to be asked.
type outlook struct {
	place
	sees map[string]Seen // by monitor
}

func (p place) outlook() outlook {
	var v View
	_ = json.Unmarshal(p.View, &v) // it was written by us
	o := outlook{place: p, sees: make(map[string]Seen, len(v.Up)+len(v.Seen))}
	for _, id := range v.Up {
		o.sees[id] = Seen{Monitor: id}
	}
	for _, s := range v.Seen {
		o.sees[s.Monitor] = s
	}
	return o
}
