package app

import (
	"net/http"
	"net/http/pprof"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"manus/backup"
	"manus/health"
	"manus/httpapi"
	"manus/ratelimit"
)

// metrics is what the ops listener tells of the program.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	limits   *prometheus.HistogramVec
	backups  *backup.Metrics
}

func newMetrics(version health.Version) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "manus_http_request_duration_seconds",
			Help:    "Time to answer a request, streams included, by route.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route", "status"}),
	}
	m.limits = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "manus_limit_decision_duration_seconds",
		Help:    "Time to decide whether a request is too many, by rule, outcome and where it was counted.",
		Buckets: []float64{.000001, .00001, .0001, .0005, .001, .005, .01, .05, .1},
	}, []string{"rule", "outcome", "counted"})
	m.backups = backup.NewMetrics(m.registry)
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "manus_build_info",
		Help:        "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version.Version, "commit": version.Commit},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.limits, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observe counts an answer. Its labels are few: patterns of routes, not paths.
func (m *metrics) observe(o httpapi.Observation) {
	m.requests.WithLabelValues(o.Method, o.Route, strconv.Itoa(o.Status)).Observe(o.Duration.Seconds())
}

// observeLimit counts a decision. A local one was made without the counts that the
// copies share.
func (m *metrics) observeLimit(o ratelimit.Observation) {
	counted := "shared"
	if o.Local {
		counted = "locally"
	}
	m.limits.WithLabelValues(o.Rule, string(o.Outcome), counted).Observe(o.Took.Seconds())
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
