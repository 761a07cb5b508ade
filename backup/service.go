package backup

import (
	"cmp"
	"context"
	"log/slog"
	"runtime"
	"time"

	"filippo.io/age"
	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
)

// Config is what a Service is made of.
type Config struct {
	// Source is what Create dumps and Verify restores beside; nil where backups
	// are only listed, pruned or restored elsewhere.
	Source Source
	// Targets are the destinations, at least one. What has to be read is read from
	// the first that has it, so the nearest comes first.
	Targets []Target
	// Policy is how they are made. An empty Compression means Gzip.
	Policy Policy
	// Recipients are whom new backups are encrypted to; none leaves them plain.
	Recipients Recipients
	// Identities open encrypted backups.
	Identities []age.Identity
	Retention  Retention
	// Workers compress in parallel; 0 means one a processor.
	Workers int
	// Tool is this program and its version.
	Tool string

	// Alarm is told of what an operator has to know; nil is the log.
	Alarm Alarm
	// OpenStore opens the store with the state of the [Schedule], so that what Create
	// has to tell waits there until the alarm has taken it, and is over with the next
	// success, whoever's it is. Create closes it. Nil where there is none: then the
	// alarm is told once.
	OpenStore func(context.Context) (docstore.Store, error)
	// Metrics counts the work; nil counts nothing.
	Metrics *Metrics
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Service makes, lists, verifies, restores and prunes backups. It is safe for
// concurrent use, by several processes at once too.
type Service struct{ Config }

// New makes a Service.
func New(c Config) *Service {
	c.Policy.Compression = cmp.Or(c.Policy.Compression, Gzip)
	c.Workers = cmp.Or(c.Workers, runtime.GOMAXPROCS(0))
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	return &Service{c}
}

// Progress is how far a piece of work has come.
type Progress struct {
	Stage Stage
	// Done and Total are bytes of the dump or the file; Total may be a guess, and is 0
	// when nothing is known.
	Done, Total int64
}

// Stage is a part of the work.
type Stage string

// The stages of the work.
const (
	StageDump    Stage = "dumping"
	StageCheck   Stage = "checking"
	StageRestore Stage = "restoring"
)

// tellProgress is told of progress; nil tells nobody.
type tellProgress func(Progress)

// of makes the function that a source or restorer is given.
func (tell tellProgress) of(stage Stage, total int64) func(int64) {
	return func(done int64) {
		if tell != nil {
			tell(Progress{Stage: stage, Done: done, Total: total})
		}
	}
}
