package queue

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
)

// metrics tell of a queue: of this copy's attempts, and, looked up when they are asked
// for, of the jobs in the store.
type metrics[T any] struct {
	queue    *Queue[T]
	attempts *prometheus.HistogramVec
}

var (
	jobsGauge   = prometheus.NewDesc("manus_queue_jobs", "Jobs that wait or are worked at, by all copies; 1000 are 1000 or more.", []string{"lane"}, nil)
	oldestGauge = prometheus.NewDesc("manus_queue_oldest_seconds", "How long ago the oldest of these jobs was put, or was to be worked at first.", []string{"lane"}, nil)
	deadGauge   = prometheus.NewDesc("manus_queue_dead_jobs", "Jobs that were discarded and are kept; 1000 are 1000 or more.", nil, nil)
)

func newMetrics[T any](q *Queue[T]) metrics[T] {
	m := metrics[T]{q, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "manus_queue_attempt_duration_seconds",
		Help:    "Time that attempts by this copy took, by what became of the job: done, kept, failed, snoozed, discarded, untold, released or lost.",
		Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60},
	}, []string{"lane", "outcome"})}
	prometheus.WrapRegistererWith(prometheus.Labels{"queue": q.c.Collection}, q.c.Metrics).MustRegister(m.attempts, m)
	return m
}

// Describe names the gauges.
func (m metrics[T]) Describe(descs chan<- *prometheus.Desc) {
	descs <- jobsGauge
	descs <- oldestGauge
	descs <- deadGauge
}

const (
	// maxCounted bounds what is looked at of a lane, measureTimeout how long.
	maxCounted     = docstore.MaxLimit
	measureTimeout = 5 * time.Second
)

// Collect looks at the store. There are no gauges while it can't be reached.
func (m metrics[T]) Collect(values chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), measureTimeout)
	defer cancel()
	gauge := func(desc *prometheus.Desc, value float64, lane ...string) {
		values <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, lane...)
	}
	for lane, err := range m.queue.lanes(ctx) {
		if err != nil {
			return
		}
		if jobs, oldest, err := m.measure(ctx, lane); err == nil {
			gauge(jobsGauge, float64(jobs), lane)
			gauge(oldestGauge, oldest.Seconds(), lane)
		}
	}
	if dead, err := m.queue.count(ctx, docstore.Query{Index: "by_state", Equal: []any{string(Dead)}, Limit: maxCounted}); err == nil {
		gauge(deadGauge, float64(dead))
	}
}

// measure counts a lane's jobs, and tells the oldest one's age.
func (m metrics[T]) measure(ctx context.Context, lane string) (jobs int, oldest time.Duration, err error) {
	found, _, err := m.queue.jobs.Find(ctx, docstore.Query{Index: "by_due", Equal: []any{lane}, Limit: maxCounted})
	for _, d := range found {
		now := m.queue.c.Now()
		oldest = max(oldest, min(now.Sub(d.QueuedAt.Time), now.Sub(d.Starts.Time)))
	}
	return len(found), oldest, err
}
