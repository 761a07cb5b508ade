package notify

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	attempts *prometheus.CounterVec
	delay    *prometheus.HistogramVec
}

func newMetrics(registerer prometheus.Registerer) metrics {
	factory := promauto.With(registerer)
	return metrics{
		attempts: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "manus_alerts_total", Help: "Attempts to deliver an alert, by what became of them.",
		}, []string{"kind", "channel", "outcome"}),
		delay: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "manus_alert_delivery_seconds", Help: "From when an alert was put into the outbox to when its receiver had taken it.",
			Buckets: []float64{.01, .05, .1, .5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 86400},
		}, []string{"channel"}),
	}
}

// sent counts an attempt.
func (m metrics) sent(message Message, channel string, queued, now time.Time, err error) {
	outcome := "failed"
	switch {
	case err == nil:
		outcome = "delivered"
		m.delay.WithLabelValues(channel).Observe(max(0, now.Sub(queued).Seconds()))
	case Wait(err) > 0:
		outcome = "told_to_wait"
	case IsRefused(err):
		outcome = "refused"
	}
	m.attempts.WithLabelValues(message.Kind, channel, outcome).Inc()
}

// discarded counts an alert that was given up.
func (m metrics) discarded(a alert, channel string) {
	m.attempts.WithLabelValues(a.Kind, channel, "dead").Inc()
}
