package app

import (
	"math"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"manus/backup"
	"manus/health"
)

// metrics is what the ops listener tells of the program.
type metrics struct {
	registry *prometheus.Registry
	backups  backupMetrics
}

// backupMetrics tell of work on backups.
type backupMetrics struct {
	runs           *prometheus.CounterVec
	duration, size *prometheus.GaugeVec
}

func newMetrics(version health.Version) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), backups: newBackupMetrics()}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "manus_build_info",
		Help:        "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version.Version, "commit": version.Commit},
	})
	build.Set(1)
	m.registry.MustRegister(build, m.backups.runs, m.backups.duration, m.backups.size,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func newBackupMetrics() backupMetrics {
	byKind := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"work"})
	}
	return backupMetrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "manus_backup_runs_total",
			Help: "Work on backups that this copy has done, by what it was and whether it failed.",
		}, []string{"work", "outcome"}),
		duration: byKind("manus_backup_duration_seconds", "How long this copy's last work on a backup took, by what it was."),
		size:     byKind("manus_backup_size_bytes", "How large the backup of that work was, as it is stored."),
	}
}

// observeBackup counts work on a backup.
func (m *metrics) observeBackup(r backup.Run) {
	work, outcome := string(r.Kind), "done"
	if r.Err != nil {
		outcome = "failed"
	}
	m.backups.runs.WithLabelValues(work, outcome).Inc()
	m.backups.duration.WithLabelValues(work).Set(r.Took.Seconds())
	if r.Err == nil && r.Size > 0 {
		m.backups.size.WithLabelValues(work).Set(float64(r.Size))
	}
}

// countBackups tells how old the backups are, whichever copy made them.
func (m *metrics) countBackups(schedule *backup.Schedule) {
	age := func(name, help string, of func(backup.Status) backup.Mark) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			status := schedule.Status()
			if mark := of(status); mark.File != "" {
				return time.Since(mark.At.Time).Seconds()
			}
			if status.Since.IsZero() { // it hasn't been looked yet
				return math.NaN()
			}
			return time.Since(status.Since).Seconds()
		}))
	}
	age("manus_backup_good_age_seconds", "How old the newest backup is, or how long there has been none.",
		func(s backup.Status) backup.Mark { return s.Good })
	age("manus_backup_verified_age_seconds", "How old the newest verified backup is, or how long there has been none.",
		func(s backup.Status) backup.Mark { return s.Verified })
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "manus_backup_failures_in_a_row",
		Help: "How many scheduled backups have failed, on any copy, since the last good one.",
	}, func() float64 { return float64(schedule.Status().Failures) }))
}

// handler serves metrics and profiles. It is for the ops listener alone.
func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
