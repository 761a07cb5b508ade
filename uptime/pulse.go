package uptime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"manus/internal/guard"
)

// Pulse asks for a URL again and again while something works, so that somebody else notices
// when it doesn't: no program tells of the death of its own machine.
type Pulse struct {
	URL string // may be a secret, and is never told
	// Works tells whether it does.
	Works func(ctx context.Context) bool
	Log   *slog.Logger

	every time.Duration // zero: once a minute

	mu       sync.Mutex
	began    time.Time // when Run did
	answered time.Time // when it last was
	failure  error     // of the last time
}

const (
	pulseEvery   = time.Minute
	pulseTimeout = 10 * time.Second

	pulseRedirects = 5
)

// CheckPulse returns what is wrong with a Pulse's URL.
func CheckPulse(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("is no address")
	}
	return nil
}

// newPulseClient is what asks, once.
func newPulseClient() *http.Client {
	dialer := &net.Dialer{Timeout: pulseTimeout, Control: guard.Control(true)}
	return &http.Client{
		Timeout: pulseTimeout,
		CheckRedirect: func(next *http.Request, past []*http.Request) error {
			next.Header.Del("Referer") // the URL, which whoever is redirected to isn't told
			if len(past) > pulseRedirects {
				return errors.New("it is redirected too often")
			}
			return nil
		},
		Transport: &http.Transport{DialContext: dialer.DialContext, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true},
	}
}

// Run asks until ctx ends.
func (p *Pulse) Run(ctx context.Context) {
	if p.every == 0 {
		p.every = pulseEvery
	}
	p.mu.Lock()
	p.began = time.Now()
	p.mu.Unlock()
	failing := false
	for ctx.Err() == nil {
		if p.Works(ctx) {
			err := p.Beat(ctx)
			if (err != nil) != failing && ctx.Err() == nil {
				if failing = err != nil; failing {
					p.Log.WarnContext(ctx, "the heartbeat can't be sent; whoever waits for it may tell", "error", err)
				} else {
					p.Log.InfoContext(ctx, "the heartbeat is sent again")
				}
			}
		}
		pause(ctx, p.every)
	}
}

// Beat asks once.
func (p *Pulse) Beat(ctx context.Context) error {
	err := p.ask(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure = err; err == nil {
		p.answered = time.Now()
	}
	return err
}

func (p *Pulse) ask(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil {
		return errors.New("the heartbeat's URL is no address")
	}
	request.Header.Set("User-Agent", "Manus")
	response, err := newPulseClient().Do(request)
	if wrong, ok := errors.AsType[*url.Error](err); ok {
		return wrong.Err // without the URL
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
	if response.StatusCode >= 300 {
		return fmt.Errorf("it is answered with %d", response.StatusCode)
	}
	return nil
}

// Watches tells whether somebody watches now, and the store says so.
func (s *Service) Watches(ctx context.Context) bool {
	j, err := s.journal(ctx)
	return err == nil && s.c.Now().Sub(j.Alive.Time).Abs() <= smallGap
}
