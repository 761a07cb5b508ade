package uptime

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what is counted of watching.
type metrics struct {
	checks *prometheus.CounterVec
	took   prometheus.Histogram
	late   prometheus.Histogram
	up     *prometheus.GaugeVec
	budget *prometheus.GaugeVec
	shown  *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "manus_monitor_checks_total", Help: "Checks of monitors by what they found: up, down or unknown."}, []string{"result"}),
		took:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "manus_monitor_check_seconds", Help: "How long checks of monitors take, in seconds.", Buckets: prometheus.ExponentialBuckets(0.005, 2.5, 9)}),
		late:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "manus_monitor_lateness_seconds", Help: "How long after their time checks of monitors begin, in seconds. Rising: the machine, or a host with many monitors, doesn't keep up.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}}),
		up:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "manus_monitor_up", Help: "1 while a monitor is up, 0 while it is down; only at the copy that watches."}, []string{"monitor"}),
		budget: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "manus_monitor_slo_budget_ratio", Help: "The part of a monitor's error budget of 30 days that is left; negative when it was down for longer than its SLO allows; only at the copy that watches."}, []string{"monitor"}),
		shown:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "manus_status_page_differs", Help: "1 while a place finds that strangers aren't shown the status page, or the copy of it, as it should be, 0 while they are; only at the copy that watches."}, []string{"place", "page"}),
	}
	if r != nil {
		r.MustRegister(m.checks, m.took, m.late, m.up, m.budget, m.shown)
	}
	return m
}

func (m metrics) checked(result string, took time.Duration) {
	m.checks.WithLabelValues(result).Inc()
	m.took.Observe(took.Seconds())
}

func (m metrics) isUp(monitor string, up bool) {
	value := 0.0
	if up {
		value = 1
	}
	m.up.WithLabelValues(monitor).Set(value)
}

// budgets shows the part of each error budget that is left, and of those before no other.
func (m metrics) budgets(before, left map[string]float64) {
	for id := range before {
		if _, still := left[id]; !still {
			m.budget.DeleteLabelValues(id)
		}
	}
	for id, ratio := range left {
		m.budget.WithLabelValues(id).Set(ratio)
	}
}

// areShown shows how pages are shown to strangers, by all places.
func (m metrics) areShown(places others) {
	m.shown.Reset()
	for name, one := range places {
		for _, page := range one.Pages {
			value := 0.0
			if !page.Differs.IsZero() {
				value = 1
			}
			m.shown.WithLabelValues(name, page.Page).Set(value)
		}
	}
}
