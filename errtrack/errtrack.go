// Package errtrack is an inbox of errors that any Sentry SDK can write to: it takes what
// programs report, puts what is the same bug together to one issue, counts it, and tells
// what is new, what came back and what comes in masses.
//
// How bodies are packed and envelopes framed is errtrack/envelope's to know, and what is the
// same bug errtrack/grouping's. Whom it tells, it doesn't know.
//
// # What is promised
//
// An event that was acknowledged is kept, and counted once, whatever is killed and however
// often a program sends it again. Events are documents of their own under the number of
// the batch that they were taken in; a batch is counted afterwards, at each issue under the
// batch's number, so that it can be counted again. What a process that died has taken and
// not counted, another one counts (see count.go).
package errtrack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/audit"
	"manus/docstore"
	"manus/errtrack/envelope"
	"manus/errtrack/event"
	"manus/internal/cache"
	"manus/language"
)

// Errors of the room.
var (
	ErrNoProject = errors.New("there is no such project")
	ErrNoIssue   = errors.New("there is no such issue")
	ErrNoEvent   = errors.New("there is no such event")
	// ErrSeveralEvents is for an event's id that events of several projects have.
	ErrSeveralEvents = errors.New("events of several projects have this id; say which project")
	ErrNoMonitor     = errors.New("there is no such check-in")
	ErrInvalid       = errors.New("that can't be")
	ErrNameTaken     = errors.New("there is a project of this name already")
	ErrSlugTaken     = errors.New("there is a project of this slug already: the name in small letters and numbers, with dashes between; choose one that differs in letters or numbers")
	// ErrMergedAtOnce is for issues that were merged into each other at the same time: one of
	// these merges was undone.
	ErrMergedAtOnce = errors.New("issues were merged into each other at once, and one of these merges was undone: look at them, and merge again what is left")
	// ErrBusy is returned for an event that there is no room for now. It is not kept.
	ErrBusy = errors.New("too many events are waiting to be kept")
)

// Config is what a Service is made of.
type Config struct {
	Store docstore.Store
	Audit *audit.Log // nil: nothing is noted there
	// Policy is manus.yaml's.
	Policy Policy
	// PublicURL is where programs reach this one, see ReachedAt; it stands in DSNs.
	PublicURL string
	// Tell is told of what happens to issues and to jobs; nil tells nobody. It is told of the
	// same again when it returns an error, or when the program dies.
	Tell func(context.Context, Told) error
	// Became says in sentences what has become of an alert that it was told of, which is known
	// by kind, subject and occurrence; none are that it isn't known. nil knows nothing.
	Became func(ctx context.Context, kind, subject, occurrence string) ([]language.Text, error)
	// RulesUnread is that the rules of the server aren't known here, so that Policy's Spikes say
	// nothing.
	RulesUnread bool
	// Locks is a folder that all processes that use the store share, on one machine: each
	// locks a file there, so that what a killed one has left is counted at once, rather than
	// when nothing was heard of it for a while. "" is none.
	Locks   string
	Metrics prometheus.Registerer // nil: nobody counts
	Now     func() time.Time      // the clock; nil means time.Now
	Log     *slog.Logger
}

// Policy is manus.yaml's section errors, and the rules of spikes.
type Policy struct {
	Retention Retention `yaml:"retention"`
	Scrub     Scrub     `yaml:"scrub"`
	// Spikes are when many events of an issue are worth telling; rules of alerts say so.
	Spikes []Spike `yaml:"-"`

	scrubber *event.Scrubber // by Scrub, once the policy is in force
}

// Retention says how long events are kept. Whichever bound is met first holds.
type Retention struct {
	Days             int `yaml:"days"`
	EventsPerProject int `yaml:"events_per_project"`
}

// Scrub is what never enters the store, beside what never does anyway; see event.Scrubber.
type Scrub struct {
	Fields   []string `yaml:"fields"`   // names of fields, headers and variables
	Patterns []string `yaml:"patterns"` // regular expressions (RE2) of values
}

// Spike is so many events of one issue within a time.
type Spike struct {
	Events int           `json:"events"`
	Within time.Duration `json:"within"`
}

// DefaultPolicy holds where manus.yaml says nothing.
func DefaultPolicy() Policy {
	return Policy{Retention: Retention{Days: 90, EventsPerProject: 1_000_000}, Scrub: Scrub{Fields: []string{}, Patterns: []string{}}}
}

// Service is the inbox. It is safe for concurrent use.
type Service struct {
	c        Config
	projects *docstore.Collection[Project]
	events   *docstore.Collection[kept]
	issues   *docstore.Collection[Issue]
	hashes   *docstore.Collection[hash]
	postings *docstore.Collection[posting]
	writers  *docstore.Collection[writer]
	totals   *docstore.Collection[Totals]
	routes   *docstore.Collection[keptRoute]
	relay    *audit.Relay[Issue, Alert]

	// Of jobs that report; ear is what this copy is called as it listens to them.
	monitors     *docstore.Collection[CronMonitor]
	listening    *docstore.Collection[listening]
	monitorRelay *audit.Relay[CronMonitor, Alert]
	ear          string

	releases *docstore.Collection[ReleaseDay]
	sessions chan *sessionArrival
	feedback *docstore.Collection[Feedback]

	// Of what sentry-cli uploads and says; assembling is room for the one bundle that is put
	// together.
	chunks     *docstore.Collection[chunk]
	waiting    *docstore.Collection[chunkList]
	uploads    *docstore.Collection[upload]
	artifacts  *docstore.Collection[artifact]
	parts      *docstore.Collection[artifactPart]
	named      *docstore.Collection[namedRelease]
	assembling chan struct{}

	// Of source maps: whether a project has some, which a file has, and that it has none.
	mapped  *cache.Cache[string, bool]
	located *cache.Cache[string, location]
	nowhere *cache.Cache[string, struct{}]
	maps    *mapCache

	taking   *cache.Cache[struct{}, map[string]Project] // projects that take events, by their ids
	byHash   *cache.Cache[string, string]               // issues' ids
	known    *cache.Cache[uint64, struct{}]             // what issues are found by, see wordKey
	admitted *cache.Cache[string, struct{}]             // hashes that are new, and not a flood's
	budgets  budgets
	policy   atomic.Pointer[Policy]
	own      atomic.Pointer[string] // the id of this program's own project, once it is known
	url      atomic.Pointer[string] // where programs reach this one
	intake   intake
	losses   losses
	crowds   crowds
	rollups  rollups
	// unfinished are the processes that may have events that aren't counted.
	unfinished writers
	metrics    metrics
	unpacker   *envelope.Unpacker
	decoding   gate // for each event that is taken apart
}

// New makes a Service. The store's collections are declared already (Specs). Errors are
// those of the policy's patterns.
func New(c Config) (*Service, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{
		c:        c,
		projects: docstore.NewCollection[Project](c.Store, projectSpec),
		events:   docstore.NewCollection[kept](c.Store, keptSpec),
		issues:   docstore.NewCollection[Issue](c.Store, issueSpec),
		hashes:   docstore.NewCollection[hash](c.Store, hashSpec),
		postings: docstore.NewCollection[posting](c.Store, postingSpec),
		writers:  docstore.NewCollection[writer](c.Store, writerSpec),
		totals:   docstore.NewCollection[Totals](c.Store, totalsSpec),
		routes:   docstore.NewCollection[keptRoute](c.Store, keptRouteSpec),
		monitors: docstore.NewCollection[CronMonitor](c.Store, monitorSpec), listening: docstore.NewCollection[listening](c.Store, listeningSpec), ear: docstore.NewID(),
		releases: docstore.NewCollection[ReleaseDay](c.Store, releaseSpec), sessions: make(chan *sessionArrival, sessionsTogether),
		feedback: docstore.NewCollection[Feedback](c.Store, feedbackSpec),
		chunks:   docstore.NewCollection[chunk](c.Store, chunkSpec), waiting: docstore.NewCollection[chunkList](c.Store, waitingSpec),
		uploads: docstore.NewCollection[upload](c.Store, uploadSpec), artifacts: docstore.NewCollection[artifact](c.Store, artifactSpec),
		parts: docstore.NewCollection[artifactPart](c.Store, artifactPartSpec), named: docstore.NewCollection[namedRelease](c.Store, namedReleaseSpec),
		assembling: make(chan struct{}, 1),
		mapped:     cache.New[string, bool](believedFor, maxProjects), located: cache.New[string, location](mapBelievedFor, 5000),
		nowhere: cache.New[string, struct{}](believedFor, 5000), maps: newMapCache(),
		metrics:  newMetrics(c.Metrics),
		taking:   cache.New[struct{}, map[string]Project](believedFor, 1),
		byHash:   cache.New[string, string](0, 20_000),
		known:    cache.New[uint64, struct{}](0, 50_000),
		admitted: cache.New[string, struct{}](0, 2*newAtOnce),
		intake:   newIntake(),
		unpacker: envelope.NewUnpacker(),
		decoding: gate{free: decoding},
	}
	s.relay = &audit.Relay[Issue, Alert]{Aggregates: s.issues, Outbox: (*Issue).outbox, Publish: s.tellOfIssue, Now: c.Now, Log: c.Log}
	s.monitorRelay = &audit.Relay[CronMonitor, Alert]{Aggregates: s.monitors, Outbox: (*CronMonitor).outbox, Publish: s.tellOfMonitor, Now: c.Now, Log: c.Log}
	s.ReachedAt(c.PublicURL)
	put, err := s.PreparePolicy(c.Policy)
	if err != nil {
		return nil, err
	}
	put()
	return s, nil
}

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec {
	return []docstore.Spec{projectSpec, keptSpec, issueSpec, hashSpec, postingSpec, writerSpec, totalsSpec, keptRouteSpec, monitorSpec, listeningSpec, releaseSpec, feedbackSpec,
		chunkSpec, waitingSpec, uploadSpec, artifactSpec, artifactPartSpec, namedReleaseSpec}
}

// PreparePolicy looks whether a policy can be in force, and returns what puts it in force
// for what is taken from then on. Errors are those of what is scrubbed.
func (s *Service) PreparePolicy(p Policy) (put func(), err error) {
	if p.scrubber, err = event.NewScrubber(p.Scrub.Fields, p.Scrub.Patterns); err != nil {
		return nil, fmt.Errorf("errors.scrub: %w", err)
	}
	return func() { s.policy.Store(&p) }, nil
}
