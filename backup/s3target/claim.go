package s3target

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// claim tells Clean, of other processes, that a file is being worked on, from Create
// to Release: while it is slow to be written, and while what was committed is looked
// at. It is a multipart upload without parts, which nobody sees. A new one takes the
// place of the old four times in the time in which a file becomes an orphan. When it is
// committed it has one in any case: by that, a file whose process was killed is told from
// one that somebody has copied there.
type claim struct {
	target *Target
	key    string
	cancel context.CancelFunc
	keeper sync.WaitGroup
	mu     sync.Mutex
	id     string // of the claim; empty for none
	// strays is set when the answer about an upload may have been lost, which would
	// be there without anybody knowing its id.
	strays atomic.Bool
}

func (t *Target) newClaim(ctx context.Context, key string) *claim {
	c := &claim{target: t, key: key}
	ctx, c.cancel = context.WithCancel(ctx)
	c.keeper.Go(func() { c.keep(ctx) })
	return c
}

// keep renews the claim until ctx ends.
func (c *claim) keep(ctx context.Context) {
	tick := time.NewTicker(max(c.target.config.OrphanAfter/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.renew(ctx)
		}
	}
}

// renew makes a new claim before it ends the old one. When that fails, the next tick
// is not late yet.
func (c *claim) renew(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, err := c.initiate(ctx)
	if err != nil {
		return
	}
	if c.id != "" && c.target.abort(ctx, c.key, c.id) != nil {
		c.strays.Store(true)
	}
	c.id = id
}

// make makes sure that there is a claim.
func (c *claim) make(ctx context.Context) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id == "" {
		c.id, err = c.initiate(ctx)
	}
	return err
}

// initiate begins a multipart upload, for a claim or for the file itself.
func (c *claim) initiate(ctx context.Context) (id string, err error) {
	t, attempts := c.target, 0
	err = t.try(ctx, "s3:PutObject", c.key, 0, func(ctx context.Context) error {
		if attempts++; attempts > 1 {
			c.strays.Store(true)
		}
		id, err = t.core.NewMultipartUpload(ctx, t.config.Bucket, c.key, t.options())
		if err == nil && id == "" {
			return fmt.Errorf("%w: the service has begun an upload without an id", errForGood)
		}
		return err
	})
	if err != nil {
		c.strays.Store(true)
	}
	return id, err
}

// end gives the file up, with all uploads of its name that have no parts.
func (c *claim) end(ctx context.Context) error {
	c.cancel()
	c.keeper.Wait()
	var err error
	if c.id != "" {
		err = c.target.abort(ctx, c.key, c.id)
	}
	if c.strays.Load() {
		err = errors.Join(err, c.sweep(ctx))
	}
	return err
}

// sweep ends the uploads that nobody knows the ids of.
func (c *claim) sweep(ctx context.Context) error {
	uploads, err := c.target.uploads(ctx, c.key)
	for _, upload := range uploads {
		if upload.Key != c.key {
			continue
		}
		parts, partsErr := c.target.newestPart(ctx, upload)
		if partsErr == nil && parts.IsZero() {
			partsErr = c.target.abort(ctx, c.key, upload.UploadID)
		}
		err = errors.Join(err, partsErr)
	}
	return err
}
