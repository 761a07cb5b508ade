package redishints

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/internal/redisclient"
	"manus/internal/redistest"
	"manus/internal/waittest"
)

// listener is a copy of the program that hears hints.
type listener struct {
	*Hints
	heard  chan string
	missed chan struct{}
}

// listen starts a copy, and waits until it hears.
func listen(t *testing.T, server *redistest.Server) listener {
	t.Helper()
	client, err := redisclient.New(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	l := listener{New(client), make(chan string, 100), make(chan struct{}, 100)}
	l.beat = 50 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		l.Run(ctx, func(id string) { l.heard <- id }, func() {
			select {
			case l.missed <- struct{}{}:
			default:
			}
		})
	})
	t.Cleanup(func() { stop(); running.Wait(); client.Close() })
	l.until(t, true)
	return l
}

// until waits until hints arrive, or don't.
func (l listener) until(t *testing.T, alive bool) {
	t.Helper()
	waittest.Poll(t, func() bool { return l.Alive() == alive })
}

func TestOtherCopiesHearHintsAndTheSenderDoesNot(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b, c := listen(t, server), listen(t, server), listen(t, server)
	a.Publish("one")
	for _, other := range []listener{b, c} {
		if id := <-other.heard; id != "one" {
			t.Errorf("heard %q", id)
		}
	}
	b.Publish("two")
	if id := <-a.heard; id != "two" { // and not its own
		t.Errorf("heard %q", id)
	}
}

func TestTheEndOfRedisIsNoticedAndItsReturn(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := listen(t, server), listen(t, server)
	for len(b.missed) > 0 {
		<-b.missed
	}
	server.Kill(t)
	b.until(t, false)
	a.Publish("lost")
	server.Restart(t)
	<-b.missed // so that streams look at the store
	a.until(t, true)
	b.until(t, true)
	a.Publish("one")
	for id := <-b.heard; id != "one"; id = <-b.heard {
		if id != "lost" { // if Redis came back in time, it isn't
			t.Errorf("heard %q", id)
		}
	}
}

func TestHintsArriveForThreeBeatsAfterTheLastHeartbeat(t *testing.T) {
	t.Parallel()
	h := New(nil)
	h.receive("another one", func(string) {})
	if h.Alive() {
		t.Error("they arrive before the first heartbeat of its own")
	}
	h.receive(h.self, func(string) { t.Error("a heartbeat is no hint") })
	if !h.Alive() {
		t.Error("they don't arrive though a heartbeat did")
	}
	for beats, alive := range map[float64]bool{2.5: true, 3.5: false} {
		h.heard.Store(new(time.Now().Add(-time.Duration(beats * float64(h.beat)))))
		if h.Alive() != alive {
			t.Errorf("they arrive %v beats later: %v", beats, !alive)
		}
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	t.Parallel()
	h := New(nil)
	for i := range maxPending + 10 {
		h.Publish(string(rune('a'+i%26)) + string(rune(i)))
	}
	if n := len(h.take(<-h.pending)); n != maxPending {
		t.Errorf("%d wait", n)
	}
	if n := len(h.pending); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestAnIDThatIsTooLongIsNoHint(t *testing.T) {
	t.Parallel()
	h := New(nil)
	heard := 0
	for _, n := range []int{maxLength, maxLength + 1} {
		h.receive("another "+strings.Repeat("x", n), func(string) { heard++ })
	}
	if heard != 1 {
		t.Errorf("%d are heard", heard)
	}
}

func FuzzHear(f *testing.F) {
	for _, message := range []string{"", " ", "a", "a b", "self", "self x", "x  y z"} {
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, message string) {
		h := New(nil)
		h.receive(message, func(id string) {
			if len(id) > maxLength {
				t.Errorf("heard of %d bytes", len(id))
			}
		})
	})
}
