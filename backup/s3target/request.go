package s3target

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

// retry is how often a request is tried, and the bounds of the pauses in between.
type retry struct {
	attempts    int
	least, most time.Duration
	// assembly is how long the service may take to put parts together, during which
	// nothing moves.
	assembly time.Duration
	// grace is how long a write that has begun may go on after its context has ended,
	// and Release after that.
	grace time.Duration
}

// slowest is how many bytes a second a connection has to carry.
const slowest = 16 << 10

var errStalled = errors.New("nothing has moved for too long")

// try does a request that sends size bytes until it succeeds, until trying again makes
// no sense, often enough, or until the service has been silent for too long. The permission
// is the name of what is done, which is also that of the right to do it. Errors are in words
// for people.
func (t *Target) try(ctx context.Context, permission, key string, size int, do func(context.Context) error) error {
	silent := time.Duration(0)
	if err := ctx.Err(); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		began := time.Now()
		err := t.once(ctx, permission, size, do)
		if ended := ctx.Err(); ended != nil {
			return ended
		}
		if err == nil {
			return nil
		}
		if isSilence(err) {
			silent += time.Since(began)
		}
		if !t.transient(err) || attempt == t.retry.attempts || t.givesUp(silent) {
			return t.translateError(err, permission, key)
		}
		if err := t.pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// silences is how many times the timeout a service may be silent before it is given up.
const silences = 3

// givesUp tells whether a service that has been silent for so long in a request is given
// up. Until it answers again, the requests that follow are then tried once.
func (t *Target) givesUp(silent time.Duration) bool {
	if silent >= silences*t.config.Timeout {
		t.transport.silent.Store(true)
	}
	return silent > 0 && t.transport.silent.Load()
}

// isSilence tells whether a request has failed because nothing came for too long.
func isSilence(err error) bool {
	timed, ok := errors.AsType[net.Error](err)
	return errors.Is(err, errStalled) || ok && timed.Timeout()
}

// pause waits before the next attempt, up to twice as long each time. Where in that
// time is left to chance, or those who were refused together come back together.
func (t *Target) pause(ctx context.Context, attempt int) error {
	longest := min(t.retry.most, t.retry.least<<min(attempt-1, 20))
	select {
	case <-time.After(rand.N(longest + 1)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once does a request, given up when nothing moves any more. It returns when nobody
// reads the request's body any more, so that it may be changed.
//
// A write that is cut off may take effect later, after whoever gave it up has removed
// what there was. So it is let end, if it does soon.
func (t *Target) once(ctx context.Context, permission string, size int, do func(context.Context) error) error {
	idle := t.config.Timeout
	if permission == completes {
		idle = t.retry.assembly
	}
	if permission == completes || permission == "s3:PutObject" {
		var end context.CancelFunc
		ctx, end = outlive(ctx, t.retry.grace)
		defer end()
	}
	ctx, end := context.WithTimeout(ctx, 2*idle+time.Duration(size/slowest)*time.Second)
	defer end()
	ctx, cancel := context.WithCancelCause(ctx)
	m := &meter{idle: idle}
	m.timer = time.AfterFunc(idle, func() { cancel(errStalled) })
	defer m.timer.Stop()
	err := do(context.WithValue(ctx, meterKey{}, m))
	if stalled := context.Cause(ctx); err != nil && stalled != nil {
		err = stalled
	}
	cancel(nil)
	m.bodies.Wait()
	return err
}

// outlive returns a context that ends so long after the one it is given.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() { stop(); cancel() }
}

// transient tells whether another attempt may succeed.
func (t *Target) transient(err error) bool {
	var refused minio.ErrorResponse
	if errors.As(err, &refused) {
		return t.transientAnswer(refused)
	}
	var certificate *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	return !errors.As(err, &certificate) && !errors.As(err, &header) && !errors.Is(err, http.ErrSchemeMismatch) && !errors.Is(err, errForGood)
}

// errForGood is wrapped by our own errors that another attempt wouldn't change.
var errForGood = errors.New("not as asked for")

func (t *Target) transientAnswer(refused minio.ErrorResponse) bool {
	switch status := refused.StatusCode; {
	case slices.Contains(transientCodes, refused.Code):
		return true
	case t.config.Region == "" && refused.Region != "" && (refused.Code == "AuthorizationHeaderMalformed" || refused.Code == "InvalidRegion"):
		return true // minio-go has learned the region
	default:
		return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented
	}
}

// transientCodes are errors of S3 by which it was overloaded, or by which the body
// didn't arrive as it was sent.
var transientCodes = []string{
	"SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted",
	"Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled", "TooManyRequests",
	"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch",
}

// transport carries requests over connections that are used again. It is told by the
// context which meter to move.
type transport struct {
	http.Transport
	clock  *clock
	silent atomic.Bool // the service was given up, and hasn't answered since
	// up and down are how fast bodies go.
	up, down *pace
}

// newTransport sends and gets so many MiB a second at most; 0 is as many as can be.
func newTransport(c *clock, patience time.Duration, mib float64) *transport {
	dialer := &net.Dialer{Timeout: min(patience, 10*time.Second), KeepAlive: 30 * time.Second}
	return &transport{clock: c, up: paceOf(mib), down: paceOf(mib), Transport: http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: min(patience, 10*time.Second),
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true, // objects are what they are
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
	}}
}

// RoundTrip sends a request and returns its answer.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	m, metered := ctx.Value(meterKey{}).(*meter)
	if request.Body != nil {
		copied := *request
		copied.Body = t.up.body(ctx, request.Body)
		if metered {
			m.bodies.Add(1)
			copied.Body = &meteredBody{ReadCloser: copied.Body, meter: m, closed: sync.OnceFunc(m.bodies.Done)}
		}
		request = &copied
	}
	answer, err := t.Transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	t.silent.Store(false)
	t.clock.set(answer.Header.Get("Date"))
	answer.Body = t.down.body(ctx, answer.Body)
	if metered {
		answer.Body = &meteredBody{ReadCloser: answer.Body, meter: m, closed: func() {}}
	}
	return answer, nil
}

// meter notes that a request's or an answer's body moves.
type meter struct {
	idle   time.Duration
	timer  *time.Timer    // runs out when nothing has moved for so long
	bodies sync.WaitGroup // those of requests that the transport hasn't let go of
}

// meterKey is the meter's key in a request's context.
type meterKey struct{}

type meteredBody struct {
	io.ReadCloser
	meter  *meter
	closed func()
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.meter.timer.Reset(b.meter.idle)
	}
	return n, err
}

func (b *meteredBody) Close() error {
	defer b.closed()
	return b.ReadCloser.Close()
}

// clock is the service's, as it says what is how old.
type clock struct{ ahead atomic.Int64 } // of ours, in nanoseconds

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// set sets the clock by the Date of an answer.
func (c *clock) set(date string) {
	if now, err := http.ParseTime(date); err == nil {
		c.ahead.Store(int64(time.Until(now)))
	}
}

// reader reads a body, from its beginning. It is hidden that it could seek, so that
// nobody else tries again.
func reader(data []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(data)} }
