package backup

import (
	"bytes"
	"context"
	"errors"
	"io"

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
	in  []byte
	out bytes.Buffer
}

// compressor compresses blocks in parallel and writes them in their order. It holds
// at most 2·workers+2 blocks at a time.
type compressor struct {
	w        io.Writer
	ctx      context.Context // ends with the first error
	cancel   context.CancelCauseFunc
	encoders chan func(*block) error // one a worker
	free     chan *block
	filled   *block
	last     chan struct{} // closed when all that was submitted is written
}

// newCompressor makes a compressor, which Close or abort ends.
func newCompressor(ctx context.Context, w io.Writer, c Compression, workers int) (*compressor, error) {
	p := &compressor{w: w, encoders: make(chan func(*block) error, workers), free: make(chan *block, 2*workers+2), last: make(chan struct{})}
	close(p.last)
	for range workers {
		encode, err := newEncoder(c)
		if err != nil {
			return nil, err
		}
		p.encoders <- encode
	}
	for range cap(p.free) {
		p.free <- &block{}
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
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
	writer := gzip.NewWriter(nil)
	return func(b *block) error {
		writer.Reset(&b.out)
		_, err := writer.Write(b.in)
		return errors.Join(err, writer.Close())
	}, nil
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
	case p.filled = <-p.free:
		p.filled.in = p.filled.in[:0]
		p.filled.out.Reset()
	case <-p.ctx.Done():
	}
	return context.Cause(p.ctx)
}

// submit has the filled block compressed, and written when those before it are.
func (p *compressor) submit() {
	b, before, written := p.filled, p.last, make(chan struct{})
	p.filled, p.last = nil, written
	go func() {
		defer close(written)
		encode := <-p.encoders
		err := p.ctx.Err()
		if err == nil {
			err = encode(b)
		}
		p.encoders <- encode
		<-before
		p.write(b, err)
	}()
}

// write writes a compressed block, unless that or an earlier one has failed.
func (p *compressor) write(b *block, err error) {
	if err == nil && p.ctx.Err() == nil {
		_, err = p.w.Write(b.out.Bytes())
	}
	if err != nil {
		p.cancel(err)
	}
	p.free <- b
}

// Close compresses what is left, and waits until all is written. An empty dump is
// one empty block.
func (p *compressor) Close() error {
	if err := p.begin(); err == nil {
		p.submit()
	}
	return p.abort()
}

// abort waits until nothing is written any more; what hasn't been may be lost. It
// returns why the compressor has failed, if it has.
func (p *compressor) abort() error {
	<-p.last
	err := context.Cause(p.ctx)
	p.cancel(nil)
	return err
}
