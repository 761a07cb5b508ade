package mongodump

import (
	"context"
	"net"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

var _ options.ContextDialer = (*dialer)(nil)

// dialer makes connections that can all be cut at once. The driver waits for those that
// it is about to make, and for some answers, as long as a server takes that doesn't
// answer.
type dialer struct {
	net.Dialer
	ctx context.Context
	cut context.CancelFunc
}

// newDialer makes connections for some work, and cuts them soon after that was to end.
func newDialer(work context.Context) *dialer {
	d := &dialer{}
	d.ctx, d.cut = context.WithCancel(context.WithoutCancel(work))
	stop := context.AfterFunc(work, func() { time.AfterFunc(2*cleanupTimeout, d.cut) })
	context.AfterFunc(d.ctx, func() { stop() })
	return d
}

// DialContext connects until ctx ends, or everything is cut.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	c, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(d.ctx, func() { _ = c.Close() }) // again, if the driver has
	return c, nil
}
