package uptime

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"manus/docstore"
)

// Server is whom a place hands in to: a Service on the same store, or one that is far away.
type Server interface {
	// Watched is what a place watches. Errors are ErrNotAllowed, or say that the server can't be
	// reached.
	Watched(ctx context.Context, place string) (Watchlist, error)
	// HandIn takes what a place tells. Errors are those of [Service.HandIn], ErrNotAllowed, or
	// say that the server can't be reached.
	HandIn(ctx context.Context, r Report) (Receipt, error)
}

// ErrNotAllowed is returned for a key that the server doesn't take.
var ErrNotAllowed = errors.New("the server doesn't take the key: PROBE_API_KEY has to be one of an operator, of the scope probe")

// errNobodyWatches is returned where there is no view to hand in.
var errNobodyWatches = errors.New("nobody watches here at the moment")

// HandoverConfig is what a Handover is made of.
type HandoverConfig struct {
	// Place is what this place is called.
	Place  string
	Server Server
	// Store is the one that the place keeps its results in.
	Store docstore.Store
	// Pages are how strangers are shown the status page; nil where nobody looks.
	Pages func() []PageLook
	Now   func() time.Time // the clock; nil means time.Now
	Log   *slog.Logger
}

// Handover hands in to a server what a Service finds at another place. What can't be handed in
// stays in that Service's store, and is handed in later.
type Handover struct {
	c        HandoverConfig
	instance string
	progress *docstore.Collection[progress]

	mu     sync.Mutex
	fresh  []Found // that aren't handed in yet
	missed missed
	last   time.Time // when something was handed in last

	// Of Run alone. The service watches at this place, and tells nobody.
	here    *Service
	version string
	dropped int64
	noted   time.Time
	backlog *backlog
	said    string // what was logged last of why nothing can be handed in
	taken   time.Time
	clock   bool // it was logged that the clock is wrong
}

// missed is the time of which results have to be handed in later.
type missed struct{ from, until time.Time }

// add is missed with another moment, as it is known by now.
func (m missed) add(at, now time.Time) missed {
	if m.from.IsZero() || at.Before(m.from) {
		m.from = at
	}
	m.until = now
	return m
}

// progress is what a place knows over a restart of itself: up to when all results are handed
// in, and what it watches.
type progress struct {
	ID      string        `json:"_id"`
	Until   docstore.Time `json:"until"`
	Dropped int64         `json:"dropped,omitempty"`
	List    []byte        `json:"list,omitempty"` // a Watchlist as JSON
}

const theProgress = "progress"

// DocumentID is the same for all: there is one.
func (p progress) DocumentID() string { return p.ID }

var progressSpec = docstore.Spec{Collection: "uptime_handover", Of: progress{}}

// PlaceSpecs are the collections that the store of another place has to have.
func PlaceSpecs() []docstore.Spec { return append(Specs(), progressSpec) }

const (
	// maxFresh bounds what waits in memory to be handed in: more is read from the store again.
	maxFresh = 20 * maxReport
	// lateness is for how long a check may have gone on when its result was kept.
	lateness = 2 * time.Minute
	// batches is how many reports are sent one after the other.
	batches = 5
	// noteEvery is how often it is noted up to when all is handed in.
	noteEvery = time.Minute
)

// NewHandover makes a Handover. The store's collections are declared already (PlaceSpecs).
func NewHandover(c HandoverConfig) *Handover {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Handover{c: c, instance: docstore.NewID(), progress: docstore.NewCollection[progress](c.Store, progressSpec)}
}

// Kept has results be handed in. It is the Kept of the Service at the place.
func (h *Handover) Kept(results []Found) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fresh = append(h.fresh, results...)
	if more := len(h.fresh) - maxFresh; more > 0 {
		h.miss(h.fresh[:more])
		h.fresh = append([]Found(nil), h.fresh[more:]...)
	}
}

// miss has results be handed in later, as the store has them.
func (h *Handover) miss(results []Found) {
	now := h.c.Now()
	for _, r := range results {
		h.missed = h.missed.add(r.At, now)
	}
}

// Last is when something was handed in last; zero for never.
func (h *Handover) Last() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// Run hands in what a Service watches, whose Kept is the Handover's, until ctx ends. It returns ErrPlaceTaken, ErrPlaceKey,
// ErrOwnPlace or ErrTooManyPlace where the place can't be called so, and ErrNotAllowed where the key was never right. What the
// store of the place returns is logged and tried again.
func (h *Handover) Run(ctx context.Context, here *Service) error {
	h.here = here
	if err := h.resume(ctx); err != nil {
		return err
	}
	failures := 0
	for ctx.Err() == nil {
		err := h.exchange(ctx)
		if failures++; err == nil {
			failures = 0
		}
		if err != nil && ctx.Err() == nil {
			if fatal := h.fatal(err); fatal != nil {
				return fatal
			}
		}
		wait := here.pace.every * time.Duration(min(1+failures, 3))
		pause(ctx, wait-rand.N(wait/4))
	}
	return h.leave(ctx)
}

// resume takes up where the place was when its program ended.
func (h *Handover) resume(ctx context.Context) error {
	p, err := h.progress.Get(ctx, theProgress)
	if err := docstore.NotFoundAs(err, nil); err != nil {
		return err
	}
	h.dropped = p.Dropped
	var list Watchlist
	if json.Unmarshal(p.List, &list) == nil { // none is none
		h.here.SetMonitors(list.Monitors)
	}
	if !p.Until.IsZero() {
		h.mu.Lock()
		h.missed = h.missed.add(p.Until.Time, h.c.Now())
		h.mu.Unlock()
	}
	return nil
}

// fatal is an error that no time mends, or nil. Others are logged once.
func (h *Handover) fatal(err error) error {
	switch {
	case errors.Is(err, ErrPlaceTaken):
		if h.taken.IsZero() {
			h.taken = time.Now()
		}
		if time.Since(h.taken) > h.here.pace.freshFor+2*h.here.pace.every { // longer than a killed one is remembered
			return err
		}
	case errors.Is(err, ErrOwnPlace), errors.Is(err, ErrPlaceKey), errors.Is(err, ErrTooManyPlace), errors.Is(err, ErrNotAllowed) && h.Last().IsZero():
		return err
	}
	if text := err.Error(); text != h.said {
		h.said = text
		h.c.Log.Warn("the server takes nothing; what is found is kept and handed in later", "error", err)
	}
	return nil
}

// exchange hands in how things are seen, what is fresh, and a part of what was missed.
func (h *Handover) exchange(ctx context.Context) error {
	for range batches {
		some, more := h.take()
		receipt, err := h.handIn(ctx, some)
		if errors.Is(err, ErrReport) { // it will be refused again
			h.dropped += int64(len(some))
			return err
		}
		if err != nil {
			h.mu.Lock()
			h.miss(some)
			h.mu.Unlock()
			return err
		}
		h.wasHeard(receipt)
		if err := h.follow(ctx, receipt.Version); err != nil {
			return err
		}
		if !more {
			break
		}
	}
	if err := h.catchUp(ctx); err != nil {
		return err
	}
	return h.noteProgress(ctx)
}

// take takes what is fresh, as much as a report may have, and tells whether there is more.
func (h *Handover) take() (some []Found, more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(h.fresh), maxReport)
	some, h.fresh = h.fresh[:n:n], h.fresh[n:]
	return some, len(h.fresh) > 0
}

func (h *Handover) handIn(ctx context.Context, results []Found) (Receipt, error) {
	view, watches := h.here.View()
	if !watches { // yet, as a killed program has the lease still: what was told last stands
		return Receipt{}, errNobodyWatches
	}
	if results == nil {
		results = []Found{}
	}
	r := Report{Place: h.c.Place, Instance: h.instance, Now: h.c.Now().UTC(), View: view, Results: results, Dropped: h.dropped}
	if h.c.Pages != nil {
		r.Pages = h.c.Pages()
	}
	return h.c.Server.HandIn(ctx, r)
}

// wasHeard notes that the server has taken a report.
func (h *Handover) wasHeard(r Receipt) {
	h.mu.Lock()
	h.last = time.Now()
	h.mu.Unlock()
	h.taken = time.Time{}
	if h.said != "" {
		h.said = ""
		h.c.Log.Info("the server takes what is found again")
	}
	if wrong := r.ClockOff != 0; wrong != h.clock {
		if h.clock = wrong; wrong {
			h.c.Log.Warn("the clock of this machine, or of the server, is wrong; the server corrects the times of what is handed in", "seconds_behind_the_server", r.ClockOff)
		}
	}
}

// follow has what the server lists be watched, where that has changed.
func (h *Handover) follow(ctx context.Context, version string) error {
	if version == h.version {
		return nil
	}
	list, err := h.c.Server.Watched(ctx, h.c.Place)
	if err != nil {
		return err
	}
	h.here.SetMonitors(list.Monitors)
	h.c.Log.Info("monitors are watched", "monitors", len(list.Monitors))
	h.version = version
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return h.write(ctx, func(p *progress) { p.List = text })
}

func (h *Handover) write(ctx context.Context, change func(*progress)) error {
	_, err := h.progress.Upsert(ctx, progress{ID: theProgress}, func(p *progress, _ bool) error {
		change(p)
		p.Dropped = h.dropped
		return nil
	})
	return err
}

// noteProgress notes up to when all is handed in, every now and then.
func (h *Handover) noteProgress(ctx context.Context) error {
	if time.Since(h.noted) < noteEvery {
		return nil
	}
	until := h.c.Now().Add(-lateness)
	h.mu.Lock()
	if from := h.missed.from; !from.IsZero() && from.Before(until) {
		until = from
	}
	h.mu.Unlock()
	if b := h.backlog; b != nil && b.hour.Before(until) {
		until = b.hour
	}
	err := h.write(ctx, func(p *progress) { p.Until = docstore.At(until) })
	if err == nil {
		h.noted = time.Now()
	}
	return err
}

// leave tells the server that this program is no more, so that another may be called so.
func (h *Handover) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.here.pace.every)
	defer cancel()
	_, err := h.c.Server.HandIn(ctx, Report{Place: h.c.Place, Instance: h.instance, Now: h.c.Now().UTC(), Leaving: true, View: View{Up: []string{}, Seen: []Seen{}}, Results: []Found{}, Dropped: h.dropped})
	if err != nil {
		h.c.Log.Info("the server wasn't told that this place leaves", "error", err)
	}
	return nil
}

// stored are results of the store, of a moment or later.
type stored struct {
	at      time.Time
	results []Found
}

// backlog is what of the store is handed in later, hour after hour.
type backlog struct {
	missed
	next func() (stored, error, bool)
	stop func()
	hour time.Time // of which not all is handed in
	rest []Found
}

// catchUp hands in a part of what was missed.
func (h *Handover) catchUp(ctx context.Context) error {
	h.mu.Lock()
	if h.backlog == nil && !h.missed.from.IsZero() {
		h.backlog = h.here.missedIn(h.missed)
		h.missed = missed{}
	}
	h.mu.Unlock()
	if h.backlog == nil {
		return nil
	}
	some, err := h.backlog.read()
	if err == nil && len(some) > 0 {
		var receipt Receipt
		if receipt, err = h.handIn(ctx, some); errors.Is(err, ErrReport) {
			receipt, err = Receipt{Refused: len(some)}, nil
		}
		if err == nil {
			h.dropped += int64(receipt.Refused)
			h.backlog.rest = h.backlog.rest[len(some):]
		}
	}
	if err != nil || len(some) == 0 {
		h.backlog.stop()
		h.mu.Lock()
		if err != nil { // it begins anew
			h.missed = h.missed.add(h.backlog.hour, h.backlog.until)
			h.missed.until = maxTime(h.missed.until, h.c.Now())
		}
		h.mu.Unlock()
		h.backlog, h.noted = nil, time.Time{}
	}
	return err
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// missedIn are the results of a time that the store has: first those that aren't moved into their
// hours yet, as they may be meanwhile.
func (s *Service) missedIn(m missed) *backlog {
	b := &backlog{missed: m, hour: m.from}
	ctx := context.Background()
	b.next, b.stop = iter.Pull2(func(yield func(stored, error) bool) {
		for r, err := range s.recents.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
			some := stored{at: m.from}
			for _, f := range r.found() {
				some.results = append(some.results, Found{Monitor: f.monitor, Result: f.Result})
			}
			if !yield(some, err) || err != nil {
				return
			}
		}
		q := docstore.Query{Index: byAt, From: docstore.At(m.from.Truncate(time.Hour)), Until: docstore.At(m.until.Add(time.Millisecond)), Limit: docstore.MaxLimit}
		for h, err := range s.hours.All(ctx, q) {
			all, _ := h.results() // of one that is damaged, as far as it goes
			if !yield(stored{maxTime(m.from, h.At.Time), all}, err) || err != nil {
				return
			}
		}
	})
	return b
}

// read returns what is to be handed in next, as much as a report may have; nothing at the end.
func (b *backlog) read() ([]Found, error) {
	for len(b.rest) < maxReport {
		some, err, more := b.next()
		if err != nil || !more {
			return b.rest[:min(len(b.rest), maxReport)], err
		}
		if len(b.rest) == 0 {
			b.hour = some.at
		}
		for _, r := range some.results {
			if !r.At.Before(b.from) && !r.At.After(b.until) {
				b.rest = append(b.rest, r)
			}
		}
	}
	return b.rest[:maxReport], nil
}
