package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/prometheus/client_golang/prometheus"
)

// What becomes of a report.
const (
	sent    = "sent"
	dropped = "dropped"
	failed  = "failed"
	limited = "limited"
	looped  = "looped"
)

// Bounds of reports.
const (
	maxWaiting    = 100
	maxTraces     = maxWaiting / 2 // wait at most before one more trace, so that errors find room
	deliverWithin = 10 * time.Second
	maxChain      = 10
	maxSpans      = 200
)

// transaction is the type of an event that is a trace.
const transaction = "transaction"

// marker is the header by which a Manus tells another one, or itself, that a request is a
// report of its own.
const marker = "X-Manus-Report"

// queue is where reports wait. It is what sentry-go calls a transport: one that never waits
// for anybody and says what becomes of each report.
type queue struct {
	waiting chan item
	deliver func(context.Context, *sentry.Event) (outcome string, cause error)
	metrics *prometheus.CounterVec
	awaited sync.Map // of events that somebody waits for, by their ids: chan error

	started bool

	ctx   context.Context
	end   context.CancelFunc
	ended sync.WaitGroup
}

// item is a report, or somebody who waits for those before.
type item struct {
	event   *sentry.Event
	flushed chan<- struct{}
}

func newQueue(metrics *prometheus.CounterVec, deliver func(context.Context, *sentry.Event) (string, error)) *queue {
	q := &queue{waiting: make(chan item, maxWaiting), deliver: deliver, metrics: metrics}
	q.ctx, q.end = context.WithCancel(context.Background())
	return q
}

// start delivers, one report after the other, until stop.
func (q *queue) start() {
	q.started = true
	q.ended.Go(func() {
		for {
			select {
			case i := <-q.waiting:
				q.work(i)
			case <-q.ctx.Done():
				return
			}
		}
	})
}

func (q *queue) work(i item) {
	if i.flushed != nil {
		close(i.flushed)
		return
	}
	ctx, cancel := context.WithTimeout(q.ctx, deliverWithin)
	defer cancel()
	outcome, err := q.deliver(ctx, i.event)
	q.become(i.event, outcome, err)
}

// stop ends the deliveries; what still waits is dropped.
func (q *queue) stop() {
	q.end()
	q.ended.Wait()
	for {
		select {
		case i := <-q.waiting:
			if i.event != nil {
				q.become(i.event, dropped, errDropped)
			}
		default:
			return
		}
	}
}

// errDropped is why a report wasn't delivered that nobody has tried to deliver.
var errDropped = errors.New("too many reports wait, or the program ends")

// await has somebody told why a report that is still to be sent wasn't accepted, nil when it
// was, until forget.
func (q *queue) await(id sentry.EventID) <-chan error {
	outcome := make(chan error, 1)
	q.awaited.Store(id, outcome)
	return outcome
}

func (q *queue) forget(id sentry.EventID) { q.awaited.Delete(id) }

// become says what has become of a report.
func (q *queue) become(e *sentry.Event, outcome string, err error) {
	q.count(outcome)
	if told, is := q.awaited.LoadAndDelete(e.EventID); is {
		told.(chan error) <- err
	}
}

func (q *queue) count(outcome string) { q.metrics.WithLabelValues(outcome).Inc() }

// hasRoom tells whether fewer than so many reports wait; where they don't, one is dropped
// before it is made.
func (q *queue) hasRoom(most int) bool {
	has := len(q.waiting) < most
	if !has {
		q.count(dropped)
	}
	return has
}

// SendEvent has a report wait, or drops it.
func (q *queue) SendEvent(e *sentry.Event) {
	select {
	case q.waiting <- item{event: e}:
	default:
		q.become(e, dropped, errDropped)
	}
}

// Flush waits until the reports before are delivered; false is that they aren't yet.
func (q *queue) Flush(timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return q.FlushWithContext(ctx)
}

// FlushWithContext is Flush for as long as ctx lasts.
func (q *queue) FlushWithContext(ctx context.Context) bool {
	flushed := make(chan struct{})
	select {
	case q.waiting <- item{flushed: flushed}:
	case <-ctx.Done():
		return false
	}
	select {
	case <-flushed:
		return true
	case <-ctx.Done():
		return false
	}
}

// Configure is told the client's options, of which the queue needs none.
func (q *queue) Configure(sentry.ClientOptions) {}

// Close is the client's end; stop is the queue's.
func (q *queue) Close() {}

// toInbox delivers into the program's own inbox.
func toInbox(inbox Inbox) func(context.Context, *sentry.Event) (string, error) {
	return func(ctx context.Context, e *sentry.Event) (string, error) {
		payload, err := json.Marshal(e)
		if err == nil {
			take := inbox.TakeOwn
			if e.Type == transaction {
				take = inbox.TakeOwnTrace
			}
			err = take(ctx, payload)
		}
		if err != nil {
			return failed, err
		}
		return sent, nil
	}
}

// receiver is another program that reports are sent to, as sentry-go does it: when that has
// asked to be spared for a while, it is.
type receiver struct {
	sentry  *sentry.HTTPSyncTransport
	next    http.RoundTripper
	outcome string // of the report that is being sent
	cause   error  // of its not being sent
}

// toSentry delivers to the receiver of a DSN.
func toSentry(dsn string) func(context.Context, *sentry.Event) (string, error) {
	r := &receiver{sentry: sentry.NewHTTPSyncTransport(), next: http.DefaultTransport.(*http.Transport).Clone()}
	r.sentry.Configure(sentry.ClientOptions{Dsn: dsn, HTTPClient: &http.Client{
		Transport: r, Timeout: deliverWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	return r.deliver
}

func (r *receiver) deliver(ctx context.Context, e *sentry.Event) (string, error) {
	r.outcome, r.cause = limited, errors.New("it asks to be spared for a while")
	r.sentry.SendEventWithContext(ctx, e)
	return r.outcome, r.cause
}

// RoundTrip sends a report and notes how that went.
func (r *receiver) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set(marker, "1")
	answer, err := r.next.RoundTrip(request)
	switch {
	case err != nil:
		r.outcome, r.cause = failed, err
	case answer.StatusCode == http.StatusTooManyRequests:
		r.outcome = limited
	case answer.StatusCode >= http.StatusMultipleChoices:
		r.outcome, r.cause = failed, fmt.Errorf("it answers %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	default:
		r.outcome, r.cause = sent, nil
	}
	return answer, err
}
