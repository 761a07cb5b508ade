package envelope

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/semaphore"
)

const (
	maxBody = 200 << 20 // of an envelope, unpacked

	// A body may unpack to maxRatio times what was received, and to maxFree beyond that:
	// JSON packs by 5 to 30, the same line over and over by 100. What is more is a bomb,
	// and costs time even where nothing of it is kept.
	maxRatio = 100
	maxFree  = maxItem // so that any one item may be

	// maxOrdinary is what a decoder's window and all payloads that are kept may take each,
	// in bytes, without the body being one of the few large ones.
	maxOrdinary = 1 << 20
	// maxLarge is how many bodies may be large at a time. Each has a window of up to
	// 16 MiB with brotli and maxZstdWindow with zstd, and a payload of up to maxItem.
	maxLarge      = 2
	maxZstdWindow = 8 << 20 // what RFC 8878 asks every decoder for

	// All bodies that aren't large share two budgets, in bytes: maxOpen is for what each
	// needs to be read at all, and for the first smallPayload bytes that are kept of it;
	// maxMore is for what is kept beyond. So those who send slowly, however many they are,
	// take no more memory than that, and large payloads leave small ones their room.
	maxOpen      = 28 << 20
	maxMore      = 16 << 20
	smallPayload = 64 << 10
	plainCost    = 32 << 10 // the buffer, and the connection's
	packedCost   = 32 << 10 // a second buffer, and the decoder without its window

	// maxUnproven is a budget beside these, in bytes, for bodies of which it isn't known yet
	// whether they come with a key: those who have none hold nothing that others need. Of a
	// packed one, the window is at most maxUnprovenWindow: that of gzip, and of what is small.
	maxUnproven       = 4 << 20
	maxUnprovenWindow = 64 << 10

	// roomWithin is how long a body waits for its room.
	roomWithin = 5 * time.Second
)

// Unpacker opens the bodies of requests. It uses decoders again, and lets only a few bodies
// at a time take much memory.
type Unpacker struct {
	large    chan struct{}
	open     *semaphore.Weighted   // maxOpen
	unproven *semaphore.Weighted   // maxUnproven
	more     *semaphore.Weighted   // maxMore
	decoders map[string]*sync.Pool // of decoder
	buffers  sync.Pool             // of *bufio.Reader
	chunks   sync.Pool             // of *[chunkSize]byte
}

// decoder is what decoders have in common that are used again.
type decoder interface {
	io.Reader
	Reset(io.Reader) error
}

// NewUnpacker returns the unpacker of a process.
func NewUnpacker() *Unpacker {
	pool := func(fresh func() decoder) *sync.Pool {
		return &sync.Pool{New: func() any { return fresh() }}
	}
	return &Unpacker{
		large: make(chan struct{}, maxLarge),
		open:  semaphore.NewWeighted(maxOpen), unproven: semaphore.NewWeighted(maxUnproven),
		more: semaphore.NewWeighted(maxMore),
		decoders: map[string]*sync.Pool{
			"gzip": pool(func() decoder { return new(gzip.Reader) }),
			// A window of brotli grows to 16 MiB, and no further, as the stream asks.
			"br":         pool(func() decoder { return new(brotli.Reader) }),
			"large br":   pool(func() decoder { return new(brotli.Reader) }),
			"zstd":       pool(func() decoder { return newZstd(maxOrdinary) }),
			"large zstd": pool(func() decoder { return newZstd(maxZstdWindow) }),
		},
		buffers: sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxLine) }},
		chunks:  sync.Pool{New: func() any { return new([chunkSize]byte) }},
	}
}

// Body is the unpacked body of a request. It is read to 200 MiB, and as far as it is in
// proportion to what was received; behind that is an [*Error] with status 413.
type Body struct {
	unpacker *Unpacker
	ctx      context.Context // the request's
	received received
	decoder  io.Reader  // nil for a body that isn't packed
	pool     *sync.Pool // that the decoder is of, if any
	buffers  []*bufio.Reader
	unpacked int64
	large    bool
	budget   *semaphore.Weighted // that open is of
	// What the body has of the two budgets, and of that for its payloads.
	open, more, payload int64
	err                 error
}

// Open begins to unpack the body of the request by its Content-Encoding: gzip, deflate, br
// or zstd. Empty values, identity and utf-8, which SDKs send, mean that it isn't packed. Its
// error is an [*Error], or the connection's. The body has to be closed. Whoever sends it has
// proven who they are.
func (u *Unpacker) Open(r *http.Request) (*Body, error) { return u.begin(r, u.open) }

// OpenUnproven is [Unpacker.Open] for a body that has the proof in its first line: only so
// much is spent on all of these together until [Body.Prove] is called.
func (u *Unpacker) OpenUnproven(r *http.Request) (*Body, error) { return u.begin(r, u.unproven) }

func (u *Unpacker) begin(r *http.Request, budget *semaphore.Weighted) (*Body, error) {
	encoding, err := contentEncoding(r.Header.Values("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	b := &Body{unpacker: u, ctx: r.Context(), received: received{from: r.Body}, budget: budget}
	if r.Body == nil {
		b.received.from = http.NoBody
	}
	err = b.take(budget, &b.open, plainCost)
	if err == nil && encoding != "" {
		err = b.unpack(encoding)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Prove has the body read like any other, once it is known who sends it. Its error is an
// [*Error] with status 503. It may be called again.
func (b *Body) Prove() error {
	if b.budget == b.unpacker.open {
		return nil
	}
	was, held := b.budget, b.open
	if err := b.take(b.unpacker.open, &b.open, held); err != nil {
		return err
	}
	was.Release(held)
	b.budget, b.open = b.unpacker.open, held
	return nil
}

var errLargeUnproven = unauthorized("the body is packed so that much memory is needed before its key is known: send the key in X-Sentry-Auth or in sentry_key of the query")

// contentEncoding is the one encoding of a body, or empty where it isn't packed.
func contentEncoding(values []string) (encoding string, err error) {
	for value := range strings.SplitSeq(strings.Join(values, ","), ",") {
		switch value = strings.ToLower(strings.TrimSpace(value)); value {
		case "", "identity", "utf-8", "utf8":
			continue
		case "x-gzip":
			value = "gzip"
		case "gzip", "deflate", "br", "zstd":
		default:
			return "", &Error{Status: http.StatusUnsupportedMediaType, Detail: "the content encoding isn't one of gzip, deflate, br and zstd"}
		}
		if encoding != "" {
			return "", &Error{Status: http.StatusUnsupportedMediaType, Detail: "the body has more than one content encoding"}
		}
		encoding = value
	}
	return encoding, nil
}

// unpack puts a decoder before what is received.
func (b *Body) unpack(encoding string) (err error) {
	if err := b.take(b.budget, &b.open, packedCost); err != nil {
		return err
	}
	in := b.buffer(&b.received)
	head, _ := in.Peek(zstd.HeaderMaxSize) // what can't be read is the decoder's to find
	window := windowSize(encoding, head)
	switch {
	case b.budget == b.unpacker.unproven && window > maxUnprovenWindow:
		err = errLargeUnproven
	case window > maxOrdinary:
		err = b.becomeLarge()
	default:
		err = b.take(b.budget, &b.open, window)
	}
	if err != nil {
		return err
	}
	switch {
	case encoding != "deflate":
		if window > maxOrdinary {
			encoding = "large " + encoding
		}
		b.pool = b.unpacker.decoders[encoding]
		decoder := b.pool.Get().(decoder)
		b.decoder, err = decoder, decoder.Reset(in)
	case isZlib(head): // as RFC 9110 defines deflate
		b.decoder, err = zlib.NewReader(in)
	default: // as some send it
		b.decoder = flate.NewReader(in)
	}
	if err != nil {
		err = b.broken(err)
	}
	return err
}

func isZlib(head []byte) bool {
	return len(head) >= 2 && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0
}

// windowSize is what the decoder's window may take, by the first bytes.
func windowSize(encoding string, head []byte) int64 {
	switch {
	case encoding == "br" && len(head) > 0 && head[0]&1 != 0: // WBITS of RFC 7932, 9.1
		return 1 << (17 + head[0]>>1&7)
	case encoding == "zstd": // of the first frame; later ones have to do with its decoder
		var h zstd.Header
		if h.Decode(head) == nil && h.SingleSegment {
			return int64(min(h.FrameContentSize, maxZstdWindow))
		}
		return int64(min(h.WindowSize, maxZstdWindow))
	}
	return 64 << 10
}

// newZstd is a decoder without goroutines of its own.
func newZstd(window uint64) decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(window))
	if err != nil {
		panic(err) // an option is wrong
	}
	return d
}

// Read reads what is unpacked. Its error is an [*Error], the connection's, or io.EOF.
func (b *Body) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.decoder == nil {
		n, err = b.received.Read(p)
	} else if n, err = b.decoder.Read(p); err != nil && !errors.Is(err, io.EOF) {
		err = b.broken(err)
	}
	b.unpacked += int64(n)
	switch {
	case b.unpacked > maxBody:
		err = tooLarge("the body is too large")
	case b.unpacked > maxFree+maxRatio*b.received.bytes:
		err = tooLarge("the body unpacks to too many times its size")
	}
	b.err = err
	return n, err
}

// broken is what an error of the decoder means: it is the connection's, if that has one.
func (b *Body) broken(err error) error {
	if b.received.err != nil && !errors.Is(b.received.err, io.EOF) {
		return b.received.err
	}
	return malformed("the body isn't what its content encoding says", err)
}

// keep finds room for so many bytes of payloads, all that were kept before included. It is
// called before they are kept.
func (b *Body) keep(bytes int64) error {
	switch {
	case b.large || bytes <= b.payload:
		return nil
	case bytes > maxOrdinary:
		return b.becomeLarge()
	}
	small, more := min(bytes, smallPayload)-min(b.payload, smallPayload), max(bytes, smallPayload)-max(b.payload, smallPayload)
	if err := b.take(b.unpacker.open, &b.open, small); err != nil {
		return err
	}
	b.payload += small
	if err := b.take(b.unpacker.more, &b.more, more); err != nil {
		return err
	}
	b.payload += more
	return nil
}

// take takes of a budget. It waits for that, but not for long: who waits holds what others
// wait for.
func (b *Body) take(budget *semaphore.Weighted, taken *int64, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(b.ctx, roomWithin)
	defer cancel()
	if err := budget.Acquire(ctx, bytes); err != nil {
		return busy("too many bodies are being read; send it later", err)
	}
	*taken += bytes
	return nil
}

// becomeLarge makes the body one of the few large ones until it is closed. It waits for that
// as long as the request lives.
func (b *Body) becomeLarge() error {
	select {
	case b.unpacker.large <- struct{}{}:
		b.large = true
		return nil
	case <-b.ctx.Done():
		return busy("too many large bodies are being read; send it later", context.Cause(b.ctx))
	}
}

func busy(detail string, cause error) error {
	return &Error{Status: http.StatusServiceUnavailable, Detail: detail, cause: cause}
}

// buffer is a buffered reader that is given back when the body is closed.
func (b *Body) buffer(from io.Reader) *bufio.Reader {
	buffer := b.unpacker.buffers.Get().(*bufio.Reader)
	buffer.Reset(from)
	b.buffers = append(b.buffers, buffer)
	return buffer
}

// giveBack has the decoder used again. One of brotli that hasn't come to its end can't be:
// its Reset leaves what it has read and not unpacked (v1.2.0 to v1.3.0), which would be the
// beginning of the next body. So it is left, and its window collected before another large
// body takes its place.
func (b *Body) giveBack() {
	pool := b.pool
	b.pool = nil
	if _, isBrotli := b.decoder.(*brotli.Reader); !isBrotli || errors.Is(b.err, io.EOF) {
		pool.Put(b.decoder)
		return
	}
	if b.decoder = nil; b.large {
		runtime.GC()
	}
}

var errClosed = errors.New("the body is closed")

// Close gives back what reading needed. The body and a [Reader] of it can't be used after
// that; the request's own body stays open.
func (b *Body) Close() {
	if b.pool != nil {
		b.giveBack()
	}
	b.err = errClosed
	for _, buffer := range b.buffers {
		buffer.Reset(nil)
		b.unpacker.buffers.Put(buffer)
	}
	b.buffers = nil
	b.budget.Release(b.open)
	b.unpacker.more.Release(b.more)
	b.open, b.more = 0, 0
	if b.large {
		<-b.unpacker.large
		b.large = false
	}
}

// received counts what comes from the connection, and remembers its error.
type received struct {
	from  io.Reader
	bytes int64
	err   error
}

func (r *received) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.bytes += int64(n)
	if err != nil {
		r.err = err
	}
	return n, err
}
