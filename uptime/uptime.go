// Package uptime watches: it checks targets again and again, tells when one is down and when
// it is up again, and for how long it was either.
//
// It doesn't cry wolf: a failure is confirmed by several checks, nobody is told of children
// of what is down, of what is under maintenance, or of anything while this program itself is
// cut off. And it loses nothing: that a monitor goes down, its alert and its incident are
// one change of one document.
//
// Of several copies one watches, by a lease. Whom alerts go to it doesn't know.
package uptime

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/audit"
	"manus/docstore"
	"manus/internal/timeline"
	"manus/lease"
	"manus/uptime/probe"
)

// Config is what a Service is made of.
type Config struct {
	Store docstore.Store
	Audit *audit.Log
	// Leases say which copy watches. Their time to live is how long nobody does when that
	// copy dies.
	Leases *lease.Service
	Prober *probe.Prober
	// Monitors are those of manus.yaml. Own are the product's; nil where this program doesn't
	// know them, as a command: then they are those of the copy that watches.
	Monitors, Own Policy
	// Secrets are what monitors authenticate themselves with. AllowPrivate lets the API make
	// monitors of addresses in private networks.
	Secrets      Secrets
	AllowPrivate bool
	// URL is where jobs reach this installation with their pings, see ReachedAt.
	URL string
	// References are addresses that tell whether this program is cut off; nil: the usual ones.
	References []string
	// Place is what the place is called from where this program watches; empty: DefaultPlace.
	Place string
	// Kept is told of results that have been kept, by whoever hands them on; nil: nobody is.
	Kept func([]Found)
	// Planned are the times of maintenance of a monitor; nil: there is none.
	Planned func(ctx context.Context, monitor string, window timeline.Span) timeline.Spans
	// Tell takes an alert to whoever is to know, after its incident was opened or resolved. It
	// may get one again.
	Tell    func(ctx context.Context, t Told) error
	Metrics prometheus.Registerer // nil: nobody counts
	Now     func() time.Time      // the clock; nil means time.Now
	Log     *slog.Logger

	pace pace // of the tests
}

// Told is an alert with what it is about; the monitor has no ID where it is this program, or
// a place.
type Told struct {
	Alert
	Monitor Monitor
	Place   string
}

// Service is the monitors. It is safe for concurrent use.
type Service struct {
	c           Config
	states      *docstore.Collection[State]
	hours       *docstore.Collection[hour]
	recents     *docstore.Collection[recent]
	journals    *docstore.Collection[journal]
	places      *docstore.Collection[place]
	rolledHours *docstore.Collection[rolledHours]
	rolledDays  *docstore.Collection[rolledDay]
	made        *docstore.Collection[made]
	pings       pings
	relay       *audit.Relay[State, Alert]
	own         *audit.Relay[journal, Alert]
	noted       *audit.Relay[made, audit.Event]
	ofPlaces    *audit.Relay[place, Alert]
	network     *network
	sources     sources
	set         atomic.Pointer[set]
	changed     chan struct{} // the set is another one
	url         atomic.Pointer[string]
	leading     atomic.Pointer[watch] // nil while this copy isn't the one that watches
	metrics     metrics
	pace        pace // of other places
}

// New makes a Service. The store's collections are declared already (Specs). Monitors have
// no problems.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Place = cmp.Or(c.Place, DefaultPlace)
	if c.References == nil {
		c.References = usualReferences
	}
	if c.Planned == nil {
		c.Planned = func(context.Context, string, timeline.Span) timeline.Spans { return nil }
	}
	s := &Service{
		c:           c,
		states:      docstore.NewCollection[State](c.Store, stateSpec),
		hours:       docstore.NewCollection[hour](c.Store, hourSpec),
		recents:     docstore.NewCollection[recent](c.Store, recentSpec),
		journals:    docstore.NewCollection[journal](c.Store, journalSpec),
		places:      docstore.NewCollection[place](c.Store, placeSpec),
		rolledHours: docstore.NewCollection[rolledHours](c.Store, rolledHoursSpec),
		rolledDays:  docstore.NewCollection[rolledDay](c.Store, rolledDaysSpec),
		made:        docstore.NewCollection[made](c.Store, madeSpec),
		pings:       newPings(c.Store),
		network:     &network{references: c.References},
		sources:     sources{file: c.Monitors, own: c.Own, made: map[string]knownMade{}, seen: -1},
		changed:     make(chan struct{}, 1),
		metrics:     newMetrics(c.Metrics),
		pace:        cmp.Or(c.pace, usualPace),
	}
	s.relay = &audit.Relay[State, Alert]{Aggregates: s.states, Outbox: (*State).outbox, Publish: s.tell, Now: c.Now, Log: c.Log}
	s.own = &audit.Relay[journal, Alert]{Aggregates: s.journals, Outbox: (*journal).outbox, Publish: s.tellOwn, Now: c.Now, Log: c.Log}
	s.noted = &audit.Relay[made, audit.Event]{Aggregates: s.made, Outbox: (*made).outbox, Publish: s.publish, Now: c.Now, Log: c.Log}
	s.ofPlaces = &audit.Relay[place, Alert]{Aggregates: s.places, Outbox: (*place).outbox, Publish: s.tellOfPlace, Now: c.Now, Log: c.Log}
	s.ReachedAt(c.URL)
	s.recompose()
	s.c.Monitors, s.c.Own = nil, nil // they may be many, and there are others by and by
	return s
}

// ReachedAt says where jobs reach this installation with their pings, when that is only known once
// it listens.
func (s *Service) ReachedAt(url string) { s.url.Store(&url) }

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec {
	return []docstore.Spec{stateSpec, hourSpec, recentSpec, journalSpec, placeSpec, rolledHoursSpec, rolledDaysSpec, heartSpec, spokenSpec, madeSpec}
}

func (s *Service) tell(ctx context.Context, st State, a Alert) error {
	if s.c.Tell == nil {
		return nil
	}
	m, there := s.set.Load().byID[st.ID]
	if !there {
		m = Monitor{ID: st.ID, Name: st.ID}
	}
	return s.c.Tell(ctx, Told{Alert: a, Monitor: m})
}

func (s *Service) tellOwn(ctx context.Context, _ journal, a Alert) error {
	if s.c.Tell == nil {
		return nil
	}
	return s.c.Tell(ctx, Told{Alert: a})
}

const leaseName = "uptime"

// Run watches while this copy is the one that does, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { s.follow(ctx) })
	s.c.Leases.Every(ctx, leaseName, time.Second, s.lead)
}

// ErrNoMonitor is returned for a monitor that there isn't.
var ErrNoMonitor = errors.New("there is no such monitor")

// Sweep removes results, what is rolled up of them, and what jobs have said, that are older than
// they are kept, and what is left of deleted monitors. Errors are the store's.
func (s *Service) Sweep(ctx context.Context) error {
	now := s.c.Now()
	if err := s.sweepRolled(ctx, now); err != nil {
		return err
	}
	old := now.Add(-rawFor - 2*time.Hour) // two hours later than new ones are refused, as clocks of copies differ
	_, err := s.hours.DeleteAll(ctx, docstore.Query{Index: byAt, Until: docstore.At(old), Limit: docstore.MaxLimit})
	for share := range shares { // where nobody has moved them
		q := ofShare(share)
		q.Until = recentID(share, old)
		_, failure := s.recents.DeleteAll(ctx, q)
		err = errors.Join(err, failure)
	}
	return errors.Join(err, s.sweepSaid(ctx), s.sweepMade(ctx))
}
