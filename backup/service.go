package backup

import (
	"cmp"
	"context"
	"log/slog"
	"math"
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
	// As is the installation whose backups are looked at, pruned and adopted, or the beginning
	// of its id; empty is the one that the store tells. Runs don't ask it.
	As string
	// Transient are the collections whose documents come and go: that they are gone is no
	// reason for suspicion.
	Transient []string
	// Workers compress in parallel; 0 means one a processor.
	Workers int
	// Tool is this program and its version.
	Tool string

	// Alarm is told of what an operator has to know. Nil is the log, and what is noted in
	// the store waits there for a service that has one.
	Alarm Alarm
	// OpenStore opens the store with the state of the [Schedule], which is closed again.
	// It has the installation's id, and what Create has to tell waits there until the
	// alarm has taken it, and is over with the next success, whoever's it is. It returns
	// docstore.ErrNotFound where there is no store. Nil is as if there were none: then
	// the alarm is told once, and it isn't known whose backups are.
	OpenStore func(context.Context) (docstore.Store, error)
	// Metrics counts the work; nil counts nothing.
	Metrics *Metrics
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Service makes, lists, verifies, restores and prunes backups. It is safe for
// concurrent use, by several processes at once too.
type Service struct {
	Config
	whose *identity
}

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
	return &Service{Config: c, whose: &identity{}}
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

// Metrics counts the work on backups that this process does.
type Metrics struct {
	runs           *prometheus.CounterVec
	duration, size *prometheus.GaugeVec
}

// NewMetrics makes Metrics and registers them. A Service that is made anew with changed
// settings goes on with those of before.
func NewMetrics(r prometheus.Registerer) *Metrics {
	byWork := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"work"})
	}
	m := &Metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "manus_backup_runs_total",
			Help: "Work on backups that this copy has done, by what it was and whether it failed.",
		}, []string{"work", "outcome"}),
		duration: byWork("manus_backup_duration_seconds", "How long this copy's last work on a backup took, by what it was."),
		size:     byWork("manus_backup_size_bytes", "How large the backup of that work was, as it is stored."),
	}
	r.MustRegister(m.runs, m.duration, m.size)
	return m
}

// observed does a piece of work and counts it. size is that of the backup, in bytes; 0
// where there is none.
func (m *Metrics) observed(kind string, work func() (size int64, err error)) error {
	began := time.Now()
	size, err := work()
	outcome := "done"
	if err != nil {
		outcome = "failed"
	} else if size > 0 {
		m.size.WithLabelValues(kind).Set(float64(size))
	}
	m.runs.WithLabelValues(kind, outcome).Inc()
	m.duration.WithLabelValues(kind).Set(time.Since(began).Seconds())
	return err
}

// register registers metrics of how old the backups are, whichever copy made them.
func (s *Schedule) register(r prometheus.Registerer) {
	gauge := func(name, help string, value func(Status) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(s.Status()) }))
	}
	gauge("manus_backup_good_age_seconds", "How old the newest backup is, or how long there has been none.",
		func(status Status) float64 { return status.age(status.Good) })
	gauge("manus_backup_verified_age_seconds", "How old the newest verified backup is, or how long there has been none.",
		func(status Status) float64 { return status.age(status.Verified) })
	gauge("manus_backup_failures_in_a_row", "How many scheduled backups have failed, on any copy, since the last good one.",
		func(status Status) float64 { return float64(status.Failures) })
}

// age is how old a backup is, or how long there has been none, in seconds; NaN before
// the first look.
func (s Status) age(of Mark) float64 {
	since := s.last(of)
	if since.IsZero() {
		return math.NaN()
	}
	return time.Since(since.Time).Seconds()
}
