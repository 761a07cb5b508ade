package channels

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/smtptest"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/language"
	manusmail "manus/mail"
	"manus/notify"
)

// badly are receivers by name: one well, and others that aren't.
type badly struct {
	mu      sync.Mutex
	taken   map[string]map[string]bool // by receiver, the messages' ids
	asked   map[string]int
	hanging atomic.Int32
	over    chan struct{}
}

func (b *badly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // what comes doesn't matter
	name := strings.Trim(r.URL.Path, "/")
	b.mu.Lock()
	b.asked[name]++
	first := b.asked[name] == 1
	b.mu.Unlock()
	switch {
	case name == "hang":
		b.hanging.Add(1)
		<-b.over
		return
	case name == "refuse":
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	case name == "later" && first:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case name == "half" && first:
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken[name] == nil {
		b.taken[name] = map[string]bool{}
	}
	b.taken[name][r.Header.Get("webhook-id")] = true
}

func (b *badly) count(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.taken[name])
}

// A receiver that hangs for ever, one that refuses, one that wants to be left alone and one
// that breaks off hold no other up: those have all while the first still hangs.
func TestAReceiverThatHangsHoldsNoOtherUp(t *testing.T) {
	t.Parallel()
	b := &badly{taken: map[string]map[string]bool{}, asked: map[string]int{}, over: make(chan struct{})}
	web := httptest.NewServer(b)
	t.Cleanup(web.Close)
	t.Cleanup(func() { close(b.over) })
	server := smtptest.Start(t)
	hangs := smtptest.Start(t)
	hangs.Hang()
	policy := notify.DefaultPolicy()
	policy.AtMost.Alerts = 100
	for _, name := range []string{"hang", "refuse", "later", "half", "well"} {
		policy.Channels = append(policy.Channels, notify.ChannelConfig{ID: name, Type: "webhook", URL: web.URL + "/" + name, Secret: key, AllowPrivate: true})
	}
	for _, name := range []string{"mail", "mail-hangs"} {
		policy.Channels = append(policy.Channels, notify.ChannelConfig{ID: name, Type: "mail", To: []string{"ops@example.com"}})
	}
	policy.Rules = []notify.Rule{{On: "channel.dead"}, {On: "store.damaged", Channels: []string{"hang", "refuse", "later", "half", "well", "mail", "mail-hangs"}}}
	servers := map[string]*smtptest.Server{"mail": server, "mail-hangs": hangs}
	s, err := notify.New(notify.Config{
		Store: storetest.New(t, notify.Specs()...), Policy: policy, Log: slog.New(slog.DiscardHandler),
		Channels: func(c notify.ChannelConfig) ([]notify.Channel, error) {
			d := Dependencies{}
			if mailServer := servers[c.ID]; mailServer != nil {
				smtp, err := manusmail.NewSMTP("smtp://"+mailServer.Addr, "alerts@app.example.com")
				if err != nil {
					return nil, err
				}
				d.SendMail = smtp.Send
			}
			return New(c, d)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	defer running.Wait()
	defer stop()
	const events = 50
	for n := range events {
		err := s.Tell(ctx, notify.Event{
			Kind: "store.damaged", Occurrence: fmt.Sprint(n), At: docstore.At(time.Now()), Title: language.Text{En: fmt.Sprintf("Damage %d", n)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	waittest.Poll(t, func() bool {
		return b.count("well") == events && b.count("later") == events && b.count("half") == events && len(server.Mails()) == events
	})
	if b.hanging.Load() == 0 || b.count("hang") != 0 || len(hangs.Mails()) != 0 {
		t.Errorf("what was to hang: %d were asked of it, it took %d and %d mails", b.hanging.Load(), b.count("hang"), len(hangs.Mails()))
	}
	waittest.Poll(t, func() bool {
		dead, _, err := s.List(t.Context(), notify.Dead, events, "")
		if err != nil {
			t.Fatal(err)
		}
		return len(dead) == events // all that was refused
	})
}
