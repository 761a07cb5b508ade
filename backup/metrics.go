package backup

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

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
