package s3target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// Open reads a file. A connection that breaks or stalls is made anew where it was, if
// the object is the same still: what is read is right and whole, or ends with an error.
func (t *Target) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	key, err := t.key(name)
	if err != nil {
		return nil, err
	}
	r := &object{target: t, ctx: ctx, key: key, size: -1}
	if err := r.connect(); err != nil {
		return nil, err
	}
	return r, nil
}

// object is an object being read.
type object struct {
	target *Target
	ctx    context.Context
	key    string
	etag   string
	size   int64 // -1 before it is known
	offset int64 // of what comes next
	closed bool

	body   io.ReadCloser
	cancel context.CancelCauseFunc // of the request that body is the answer to
	failed int                     // attempts in a row that have brought nothing
}

// connect asks for what comes next.
func (o *object) connect() error {
	t := o.target
	return t.try(o.ctx, "s3:GetObject", o.key, 0, func(attempt context.Context) error {
		// The attempt ends with its answer's header. The body may take longer.
		ctx, cancel := context.WithCancelCause(o.ctx)
		stop := context.AfterFunc(attempt, func() { cancel(context.Cause(attempt)) })
		body, info, err := o.get(ctx)
		if err == nil && !stop() {
			err = context.Cause(attempt)
		}
		if err != nil {
			cancel(err)
			return err
		}
		o.body, o.cancel = body, cancel
		if o.size < 0 {
			o.etag, o.size = info.ETag, info.Size
		}
		return nil
	})
}

func (o *object) get(ctx context.Context) (io.ReadCloser, minio.ObjectInfo, error) {
	options, err := o.options()
	if err != nil {
		return nil, minio.ObjectInfo{}, err
	}
	body, info, header, err := o.target.core.GetObject(ctx, o.target.config.Bucket, o.key, options)
	if err != nil {
		return nil, info, err
	}
	if info.Size < 0 {
		return nil, info, errors.Join(body.Close(), fmt.Errorf("%w: the service doesn't say how large a file is", errForGood))
	}
	begins := fmt.Sprintf("bytes %d-", o.offset)
	if o.offset > 0 && !strings.HasPrefix(header.Get("Content-Range"), begins) {
		return nil, info, errors.Join(body.Close(), fmt.Errorf("%w: the service doesn't send a file from the middle", errForGood))
	}
	return body, info, nil
}

// options ask for the rest of the same object.
func (o *object) options() (options minio.GetObjectOptions, err error) {
	if o.etag != "" {
		err = options.SetMatchETag(o.etag)
	}
	if o.offset > 0 {
		err = errors.Join(err, options.SetRange(o.offset, 0))
	}
	return options, err
}

// Read reads on, over as many connections as it takes.
func (o *object) Read(p []byte) (int, error) {
	if o.closed {
		return 0, fs.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if o.offset == o.size {
			return 0, io.EOF
		}
		n, err := o.read(p)
		if n > 0 {
			o.offset += int64(n)
			o.failed = 0
			return n, nil // what err is about comes again
		}
		if err := o.reconnect(err); err != nil {
			return 0, err
		}
	}
}

// read reads from the connection that there is. It is given up when nothing comes.
func (o *object) read(p []byte) (int, error) {
	if o.body == nil {
		return 0, io.ErrUnexpectedEOF
	}
	cancel := o.cancel
	idle := time.AfterFunc(o.target.config.Timeout, func() { cancel(errStalled) })
	defer idle.Stop()
	n, err := o.body.Read(p[:min(int64(len(p)), o.size-o.offset)])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // or there would be nothing left to read
	}
	return n, err
}

// reconnect makes a new connection in place of one that has failed.
func (o *object) reconnect(cause error) error {
	o.disconnect()
	if err := o.ctx.Err(); err != nil {
		return err
	}
	if o.failed++; o.failed > o.target.retry.attempts {
		return o.target.translateError(cause, "s3:GetObject", o.key)
	}
	if o.failed > 1 {
		if err := o.target.pause(o.ctx, o.failed); err != nil {
			return err
		}
	}
	return o.connect()
}

func (o *object) disconnect() {
	if o.body == nil {
		return
	}
	o.cancel(io.ErrClosedPipe)
	_ = o.body.Close() // of an answer that we don't want
	o.body = nil
}

// Close ends reading, wherever it was.
func (o *object) Close() error {
	o.disconnect()
	o.closed = true
	return nil
}
