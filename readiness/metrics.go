package readiness

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the last results, for as long as they say something of now.
type metrics struct {
	mu   sync.Mutex
	last map[string]seen // by the check's ID
}

// seen is a result, and when it was reported.
type seen struct {
	Result
	at time.Time
}

// seenWithin is how long a result is told of after the report that had it: another copy may
// watch by now.
const seenWithin = 3 * measureEvery

var (
	holdsDesc    = prometheus.NewDesc("manus_readiness_check", "How a promise that 'manus check' measures stands: 1 it holds, 0.5 somebody should look after it, 0 it is broken. What isn't measured has none.", []string{"check", "group"}, nil)
	measuredDesc = prometheus.NewDesc("manus_readiness_measured_timestamp_seconds", "When the promise was last measured, in seconds since 1970.", []string{"check", "group"}, nil)
)

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{last: map[string]seen{}}
	if r != nil {
		r.MustRegister(m)
	}
	return m
}

func (m *metrics) seen(r Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last[r.ID] = seen{r, time.Now()}
}

// Describe is a Collector's.
func (m *metrics) Describe(descs chan<- *prometheus.Desc) {
	descs <- holdsDesc
	descs <- measuredDesc
}

// Collect is a Collector's.
func (m *metrics) Collect(into chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.last {
		if s.Status == Skipped || !stands(s.at, seenWithin) {
			continue
		}
		value := map[Status]float64{Pass: 1, Warn: 0.5, Fail: 0}[s.Status]
		into <- prometheus.MustNewConstMetric(holdsDesc, prometheus.GaugeValue, value, s.ID, string(s.Group))
		into <- prometheus.MustNewConstMetric(measuredDesc, prometheus.GaugeValue, float64(s.MeasuredAt.UnixMilli())/1000, s.ID, string(s.Group))
	}
}
