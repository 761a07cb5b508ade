package statuspage

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/internal/waittest"
)

// A page that runs sees changes by itself, and goes on when what it reads was gone.
func TestARunningPageFollowsWhatThereIs(t *testing.T) {
	t.Parallel()
	h := setup(t, busy())
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	says := func(text string) func() bool {
		return func() bool { return strings.Contains(get(t, h, "/status").Body.String(), text) }
	}
	waittest.Poll(t, says("Mails are late"))
	h.set(func(h *house) { h.err = errors.New("the store is gone") })
	reads := func() int { h.mu.Lock(); defer h.mu.Unlock(); return h.reads }
	before := reads()
	waittest.Poll(t, func() bool { return reads() > before })
	if !says("Mails are late")() {
		t.Error("what was read isn't said any more")
	}
	h.set(func(h *house) { h.err, h.model.Incidents = nil, nil })
	waittest.Poll(t, func() bool { return !says("Mails are late")() })
}

// Many ask while it changes: each gets a page that is whole.
func TestManyMayAskWhileItChanges(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	var asking sync.WaitGroup
	for range 16 {
		asking.Go(func() {
			for range 30 {
				for _, path := range []string{"/status", "/api/v2/summary.json", "/status/components/mail", "/status/incidents/i2"} {
					if w := get(t, h, path, "Accept-Encoding", "gzip"); w.Code != 200 || w.Body.Len() == 0 {
						t.Errorf("%s: %d", path, w.Code)
					}
				}
			}
		})
	}
	for i := range 100 {
		h.set(func(h *house) { h.model.Incidents = busy().Incidents[i%2:] })
		if err := h.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		h.SetURL("https://app.example.com")
	}
	asking.Wait()
}

// A change is seen within a second as long as the store answers within 100 ms; one that is
// slower has more time, but no more than three seconds.
func TestReadingLeavesTheStoreItsTime(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{
		time.Millisecond: readEvery, 12 * time.Millisecond: 600 * time.Millisecond, 60 * time.Millisecond: readBy, 100 * time.Millisecond: readBy, 200 * time.Millisecond: 1400 * time.Millisecond, 2 * time.Second: readLast,
	} {
		if got := pause(took); got != want {
			t.Errorf("after %v nothing is read for %v, not %v", took, got, want)
		}
	}
}
