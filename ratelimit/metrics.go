package ratelimit

import "github.com/prometheus/client_golang/prometheus"

// Measure registers the times of decisions, and is a [ServiceConfig].Observe that
// measures them. A decision counted locally was made without the counts that the
// copies share.
func Measure(metrics prometheus.Registerer) func(Observation) {
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "manus_limit_decision_duration_seconds",
		Help:    "Time to decide whether a request is too many, by rule, outcome and where it was counted.",
		Buckets: []float64{.000001, .00001, .0001, .0005, .001, .005, .01, .05, .1},
	}, []string{"rule", "outcome", "counted"})
	metrics.MustRegister(took)
	return func(o Observation) {
		counted := "shared"
		if o.Local {
			counted = "locally"
		}
		took.WithLabelValues(o.Rule, string(o.Outcome), counted).Observe(o.Took.Seconds())
	}
}
