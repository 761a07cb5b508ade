package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression is how dumps are compressed.
type Compression string

// The ways to compress.
const (
	// Gzip is read by every tool, mongorestore --gzip included.
	Gzip Compression = "gzip"
	// Zstd is faster.
	Zstd Compression = "zstd"
)

// suffix is what file names end with.
func (c Compression) suffix() string {
	if c == Zstd {
		return ".zst"
	}
	return ".gz"
}

// blockSize is how much is compressed by itself, as a gzip member or a zstd frame of
// its own. Files of several are what both formats call a file, so every tool reads
// them; what a block can't refer back to costs less than a hundredth.
const blockSize = 1 << 20

// block is a part of the dump on its way through the compressor.
type block struct {
	in   []byte
	out  bytes.Buffer
	err  error
	done chan struct{} // closed when out or err is set
}

// compressor compresses blocks in parallel and writes them in their order. It holds
// at most 2·workers+2 blocks at a time.
type compressor struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	free   chan *block
	work   chan *block
	order  chan *block
	filled *block
	ended  sync.WaitGroup
}

// newCompressor starts the workers. Close or abort ends them.
func newCompressor(ctx context.Context, w io.Writer, c Compression, workers int) (*compressor, error) {
	inFlight := 2*workers + 2
	p := &compressor{
		free:  make(chan *block, inFlight),
		work:  make(chan *block, inFlight),
		order: make(chan *block, inFlight),
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	for range inFlight {
		p.free <- &block{}
	}
	for range workers {
		encode, err := newEncoder(c)
		if err != nil {
			return nil, errors.Join(err, p.abort())
		}
		p.ended.Go(func() { p.compress(encode) })
	}
	p.ended.Go(func() { p.drain(w) })
	return p, nil
}

// newEncoder is one worker's function that makes a whole member or frame of a block.
func newEncoder(c Compression) (func(*block) error, error) {
	if c == Zstd {
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(blockSize), zstd.WithEncoderCRC(true))
		if err != nil {
			return nil, err
		}
		return func(b *block) error {
			b.out.Grow(len(b.in) / 2)
			_, err := b.out.Write(encoder.EncodeAll(b.in, b.out.AvailableBuffer()))
			return err
		}, nil
	}
	writer, err := gzip.NewWriterLevel(nil, gzip.DefaultCompression)
	if err != nil {
		return nil, err
	}
	return func(b *block) error {
		writer.Reset(&b.out)
		_, err := writer.Write(b.in)
		return errors.Join(err, writer.Close())
	}, nil
}

func (p *compressor) compress(encode func(*block) error) {
	for b := range p.work {
		if b.err = p.ctx.Err(); b.err == nil {
			b.err = encode(b)
		}
		close(b.done)
	}
}

// drain writes what is compressed, in order. After an error it only empties the
// queue, and Write returns the error.
func (p *compressor) drain(w io.Writer) {
	for b := range p.order {
		<-b.done
		if b.err == nil && p.ctx.Err() == nil {
			_, b.err = w.Write(b.out.Bytes())
		}
		if b.err != nil {
			p.cancel(b.err)
		}
		p.free <- b
	}
}

// Write takes a part of the dump.
func (p *compressor) Write(data []byte) (int, error) {
	written := 0
	for written < len(data) {
		if err := p.begin(); err != nil {
			return written, err
		}
		n := min(len(data)-written, blockSize-len(p.filled.in))
		p.filled.in = append(p.filled.in, data[written:written+n]...)
		written += n
		if len(p.filled.in) == blockSize {
			p.submit()
		}
	}
	return written, nil
}

// begin makes sure that there is a block to be filled.
func (p *compressor) begin() error {
	if p.filled != nil {
		return nil
	}
	select {
	case b := <-p.free:
		b.in, b.err, b.done = b.in[:0], nil, make(chan struct{})
		b.out.Reset()
		p.filled = b
	case <-p.ctx.Done():
	}
	return context.Cause(p.ctx)
}

func (p *compressor) submit() {
	p.work <- p.filled // there is room for every block
	p.order <- p.filled
	p.filled = nil
}

// Close compresses what is left, and waits until all is written. An empty dump is
// one empty block.
func (p *compressor) Close() error {
	if err := p.begin(); err == nil {
		p.submit()
	}
	return p.abort()
}

// abort ends the workers; what hasn't been written may be lost. It returns why the
// compressor has failed, if it has.
func (p *compressor) abort() error {
	close(p.work)
	close(p.order)
	p.ended.Wait()
	err := context.Cause(p.ctx)
	p.cancel(nil)
	return err
}

// newDecompressor reads what a compressor, or any tool, has written. It reads
// beyond the end of no file, and its errors are ErrDamaged unless they come from r.
func newDecompressor(r io.Reader, c Compression) (io.ReadCloser, error) {
	source := &sourceErrors{r: r}
	var z io.ReadCloser
	var err error
	if c == Zstd {
		var decoder *zstd.Decoder
		decoder, err = zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err == nil {
			z = decoder.IOReadCloser()
		}
	} else {
		z, err = gzip.NewReader(source)
	}
	if err != nil {
		return nil, source.translate(err)
	}
	return &translated{source: source, ReadCloser: z}, nil
}

// maxWindow bounds the memory that a foreign zstd file can ask for.
const maxWindow = 32 << 20

// translated reads what is made of a source. Its errors are the source's own, or else
// mean that what came from there is damaged.
type translated struct {
	source *sourceErrors
	io.ReadCloser
}

func (t *translated) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = t.source.translate(err)
	}
	return n, err
}

// sourceErrors remembers how reading ended, to tell a damaged file from one that
// can't be read.
type sourceErrors struct {
	r   io.Reader
	err error
}

func (s *sourceErrors) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// translate turns an error of decrypting or decompressing into the one that caused it:
// the source's own, or else ErrDamaged.
func (s *sourceErrors) translate(err error) error {
	if s.err != nil {
		return s.err
	}
	return fmt.Errorf("%w: it can't be decrypted or decompressed: %w", ErrDamaged, err)
}
