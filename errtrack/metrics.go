package errtrack

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	taken  prometheus.Counter
	losses *prometheus.CounterVec
	batch  prometheus.Histogram
	traces prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) metrics {
	factory := promauto.With(registerer)
	return metrics{
		taken: factory.NewCounter(prometheus.CounterOpts{
			Name: "manus_error_events_total", Help: "Events of errors that were kept. With manus_error_events_lost_total it is all that programs have reported.",
		}),
		losses: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "manus_error_events_lost_total", Help: "Events of errors that weren't kept, and traces (trace:...) that weren't counted, by reason; docs/errors.md says what each is. For rate_limited raise the project's quota or find what floods it, for busy look at the load, for unavailable at the disk and the store; duplicate is no loss.",
		}, []string{"reason"}),
		batch: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "manus_error_batch_events", Help: "How many events one commit of the store has kept, in events. The more there are, the longer commits take for what comes.", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		traces: factory.NewCounter(prometheus.CounterOpts{
			Name: "manus_error_traces_total", Help: "Traces, each one transaction or segment of a program, that were counted at their routes.",
		}),
	}
}

// lost counts events that weren't kept. What programs have lost themselves has one reason.
func (m metrics) lost(reason string, n int64) {
	if len(reason) > len(lostByClient) && reason[:len(lostByClient)] == lostByClient {
		reason = "client"
	}
	m.losses.WithLabelValues(reason).Add(float64(n))
}
