// Package redisclient is a connection to Redis that need not be there: adapters ask
// for the client whenever they need it, and hear what is published to a channel for
// as long as they like.
package redisclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Client is a connection to one Redis server or cluster. It is safe for concurrent
// use.
type Client struct {
	option rueidis.ClientOption
	client atomic.Pointer[rueidis.Client] // nil until Redis has been reached
	failed atomic.Pointer[error]          // why it was not, the last time
}

// ErrNotReached is returned before Redis has been reached for the first time.
var ErrNotReached = errors.New("redis has not been reached yet")

const (
	// dialTimeout bounds reaching a node.
	dialTimeout = 500 * time.Millisecond
	// answerTimeout is how long a connection may say nothing to a question before it
	// is given up for another.
	answerTimeout = 3 * time.Second
)

// New makes a Client of the addresses of Redis: one redis:// or rediss:// URL, or
// those of several nodes of a cluster, separated by commas. It doesn't connect.
func New(urls string) (*Client, error) {
	c := &Client{}
	for i, one := range strings.Split(urls, ",") {
		parsed, err := rueidis.ParseURL(strings.TrimSpace(one))
		if err != nil {
			return nil, errors.New("it isn't a redis:// or rediss:// URL") // theirs has the password
		}
		if i == 0 {
			c.option = parsed
		} else {
			c.option.InitAddress = append(c.option.InitAddress, parsed.InitAddress...)
		}
	}
	c.option.ForceSingleClient = len(c.option.InitAddress) == 1
	c.option.DisableCache = true
	c.option.Dialer.Timeout = dialTimeout
	c.option.ConnWriteTimeout = answerTimeout
	return c, nil
}

// Get is the client, or ErrNotReached with its cause.
func (c *Client) Get() (rueidis.Client, error) {
	if client := c.client.Load(); client != nil {
		return *client, nil
	}
	if cause := c.failed.Load(); cause != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotReached, *cause)
	}
	return nil, ErrNotReached
}

// Connect reaches Redis for the first time; later, the client does by itself.
func (c *Client) Connect() error {
	if c.client.Load() != nil {
		return nil
	}
	client, err := rueidis.NewClient(c.option)
	if err != nil {
		c.failed.Store(&err)
		return err
	}
	if !c.client.CompareAndSwap(nil, &client) {
		client.Close() // another was faster
	}
	return nil
}

// Ping tells whether Redis answers.
func (c *Client) Ping(ctx context.Context) error {
	client, err := c.Get()
	if err != nil {
		return err
	}
	return client.Do(ctx, client.B().Ping().Build()).Error()
}

// again is the pause before connecting to Redis is tried again.
const again = 200 * time.Millisecond

// Listen reaches Redis and calls onMessage with each message to the channel, until ctx
// ends. Whenever messages may have been missed it calls missed, which includes the
// beginning.
func (c *Client) Listen(ctx context.Context, channel string, onMessage func(message string), missed func()) {
	ctx = rueidis.WithOnSubscriptionHook(ctx, func(rueidis.PubSubSubscription) { missed() })
	for ctx.Err() == nil {
		if c.Connect() == nil {
			client, _ := c.Get()
			_ = client.Receive(ctx, client.B().Subscribe().Channel(channel).Build(), func(m rueidis.PubSubMessage) { onMessage(m.Message) })
		}
		missed()
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// Clock is what time it is by the server's clock. It connects, where nobody has yet.
func (c *Client) Clock(ctx context.Context) (time.Time, error) {
	if err := c.Connect(); err != nil {
		return time.Time{}, err
	}
	client, err := c.Get()
	if err != nil {
		return time.Time{}, err
	}
	answer, err := client.Do(ctx, client.B().Time().Build()).AsIntSlice()
	if err == nil && len(answer) != 2 {
		err = errors.New("it tells no time")
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(answer[0], answer[1]*1000), nil
}

// Close lets Redis go. Calls after that are errors.
func (c *Client) Close() {
	if client, err := c.Get(); err == nil {
		client.Close()
	}
}
