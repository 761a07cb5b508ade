package s3target

import (
	"context"
	"io"
	"sync"
	"time"
)

// pace lets bytes through, no more of them in a second than that, whoever's they are. Nil
// lets all through at once.
type pace struct {
	perSecond float64
	mu        sync.Mutex
	free      time.Time // when what has been let through until now has had its time
}

// paceOf is the pace of so many MiB a second; 0 is as fast as can be.
func paceOf(mib float64) *pace {
	if mib == 0 {
		return nil
	}
	return &pace{perSecond: mib * mebi}
}

// pass returns when so many bytes have had their time, or with the cause of the context's end.
func (p *pace) pass(ctx context.Context, bytes int) error {
	p.mu.Lock()
	if now := time.Now(); p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(bytes) / p.perSecond * float64(time.Second)))
	wait := time.NewTimer(time.Until(p.free))
	p.mu.Unlock()
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// body is a body that is read at the pace.
func (p *pace) body(ctx context.Context, body io.ReadCloser) io.ReadCloser {
	if p == nil || body == nil {
		return body
	}
	return &pacedBody{body, ctx, p}
}

type pacedBody struct {
	io.ReadCloser
	ctx  context.Context
	pace *pace
}

// atOnce bounds what is let through at once, so that several bodies take turns.
const atOnce = 16 << 10

func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), atOnce)])
	if n > 0 {
		if ended := b.pace.pass(b.ctx, n); ended != nil {
			return 0, ended
		}
	}
	return n, err
}
