package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/storetest"
)

// runs is a quota of n runs.
type runs struct {
	mu        sync.Mutex
	left      int
	confirmed map[string]bool
}

func (r *runs) Reserve(_ context.Context, _, _ string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == 0 {
		return ErrQuotaExhausted
	}
	r.left--
	return nil
}

func (r *runs) Confirm(_ context.Context, _, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.confirmed[id] = true
	return nil
}

type bench struct {
	*Service
	store docstore.Store
	path  string
	quota *runs
}

func openStore(t testing.TB, path string) docstore.Store {
	t.Helper()
	return storetest.Open(t, path, Specs()...)
}

func setup(t testing.TB) bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manus.db")
	return onStore(t, openStore(t, path), path, pace{})
}

// onStore is a copy of the program on the store.
func onStore(t testing.TB, store docstore.Store, path string, c pace) bench {
	t.Helper()
	quota := &runs{left: 1000, confirmed: map[string]bool{}}
	s := New(Config{Store: store, Quota: quota, Log: slog.New(slog.DiscardHandler)})
	s.streams = newStreams(c)
	t.Cleanup(s.Close)
	return bench{s, store, path, quota}
}

func (b bench) create(t testing.TB) Session {
	t.Helper()
	made, err := b.Create(context.Background(), "u", "A title")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// log reads a session's whole log, and checks its order.
func (b bench) log(t testing.TB, id string) []Event {
	t.Helper()
	var all []Event
	cursor := ""
	for {
		page, next, err := b.Events(context.Background(), id, 0, 7, cursor)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if cursor = next; cursor == "" {
			break
		}
	}
	for i, e := range all {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has the place %d", i+1, e.Seq)
		}
	}
	return all
}

func TestASessionTakesARunOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.quota.left = 1
	made := b.create(t)
	if !b.quota.confirmed[made.ID] {
		t.Error("the run wasn't confirmed")
	}
	if _, err := b.Create(t.Context(), "u", ""); !errors.Is(err, ErrQuotaExhausted) {
		t.Errorf("got %v", err)
	}
	if all, _, err := b.List(t.Context(), "u", 10, ""); err != nil || len(all) != 1 {
		t.Errorf("%d sessions, %v", len(all), err)
	}
}

func TestAppendsFromTwoCopiesLeaveNoGap(t *testing.T) {
	t.Parallel()
	a := setup(t)
	copies := []bench{a, onStore(t, openStore(t, a.path), a.path, pace{})}
	id := a.create(t).ID
	const each = 20
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range each {
				_, err := copies[i%2].Append(context.Background(), Event{SessionID: id, Type: "step", Data: json.RawMessage(fmt.Sprint(i*each + j))})
				if err != nil && !errors.Is(err, ErrContended) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	log := a.log(t, id)
	for _, e := range log {
		if seen[string(e.Data)] {
			t.Errorf("event %s is there twice", e.Data)
		}
		seen[string(e.Data)] = true
	}
	if len(log) < 16*each*9/10 {
		t.Errorf("only %d of %d got in", len(log), 16*each)
	}
}

func TestAClientKeyMakesARepeatedMessageOneMessage(t *testing.T) {
	t.Parallel()
	a := setup(t)
	copies := []bench{a, onStore(t, openStore(t, a.path), a.path, pace{})}
	id := a.create(t).ID
	var wg sync.WaitGroup
	places := make([]int64, 50)
	for i := range places {
		wg.Go(func() {
			e, err := copies[i%2].Write(context.Background(), "u", id, "hello", "key-1")
			if err != nil {
				t.Error(err)
			}
			places[i] = e.Seq
		})
	}
	wg.Wait()
	for _, place := range places {
		if place != 1 {
			t.Errorf("an answer has the place %d", place)
		}
	}
	if log := a.log(t, id); len(log) != 1 || string(log[0].Data) != `{"text":"hello"}` {
		t.Errorf("the log: %+v", log)
	}
	if _, err := a.Write(t.Context(), "u", id, "something else", "key-1"); !errors.Is(err, ErrKeyReused) {
		t.Errorf("got %v", err)
	}
	other := a.create(t).ID
	if e, err := a.Write(t.Context(), "u", other, "something else", "key-1"); err != nil || e.Seq != 1 {
		t.Errorf("another session's keys are its own: %v", err)
	}
	if _, err := a.Stop(t.Context(), "u", id); err != nil {
		t.Fatal(err)
	}
	if e, err := a.Write(t.Context(), "u", id, "hello", "key-1"); err != nil || e.Seq != 1 {
		t.Errorf("a message that was taken is taken back by the stop: %v", err)
	}
}

func TestNothingComesAfterTheStop(t *testing.T) {
	t.Parallel()
	a := setup(t)
	copies := []bench{a, onStore(t, openStore(t, a.path), a.path, pace{})}
	id := a.create(t).ID
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for {
				_, err := copies[i%2].Write(context.Background(), "u", id, "x", "")
				switch {
				case errors.Is(err, ErrStopped):
					return
				case err != nil && !errors.Is(err, ErrContended):
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 4 {
		wg.Go(func() {
			for {
				stopped, err := copies[i%2].Stop(context.Background(), "u", id)
				if errors.Is(err, ErrContended) {
					continue
				}
				if err != nil || stopped.Status != Stopped {
					t.Errorf("got %+v, %v", stopped, err)
				}
				return
			}
		})
	}
	wg.Wait()
	log := a.log(t, id)
	for i, e := range log {
		if (e.Type == StoppedType) != (i == len(log)-1) {
			t.Errorf("event %d of %d is %q", i+1, len(log), e.Type)
		}
	}
}

// TestAStopCutShortIsFinished leaves what a crash between the two steps does.
func TestAStopCutShortIsFinished(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(t).ID
	if _, err := b.append(t.Context(), Event{SessionID: id, Type: StoppedType, Data: json.RawMessage("{}")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), "u", id, "x", ""); !errors.Is(err, ErrStopped) {
		t.Errorf("got %v", err)
	}
	if stopped, err := b.Stop(t.Context(), "u", id); err != nil || stopped.Status != Stopped {
		t.Errorf("got %+v, %v", stopped, err)
	}
	if log := b.log(t, id); len(log) != 1 {
		t.Errorf("%d events", len(log))
	}
}

func TestADeletedSessionIsGoneAndSwept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now()
	b.now = func() time.Time { return at }
	kept, id := b.create(t).ID, b.create(t).ID
	for range 3 {
		if _, err := b.Write(t.Context(), "u", id, "x", ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Delete(t.Context(), "u", id); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), "u", id); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Get(t.Context(), "", id); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is nobody's now, and a stranger sees it: %v", err)
	}
	if all, _, err := b.List(t.Context(), "u", 10, ""); err != nil || len(all) != 1 || all[0].ID != kept {
		t.Errorf("got %+v, %v", all, err)
	}
	// What another copy was about to append at that moment:
	if _, err := b.append(t.Context(), Event{SessionID: id, Type: "late", Data: json.RawMessage("1")}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		passed time.Duration
		exists bool
	}{{0, true}, {deletionGrace + time.Millisecond, false}} {
		at = at.Add(step.passed)
		if err := b.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if exists, err := b.Exists(t.Context(), id); err != nil || exists != step.exists {
			t.Errorf("after %v: exists %v, %v", step.passed, exists, err)
		}
	}
	if log := b.log(t, id); len(log) != 0 {
		t.Errorf("%d events are left", len(log))
	}
	if exists, err := b.Exists(t.Context(), kept); err != nil || !exists {
		t.Errorf("the other went with it: %v", err)
	}
}

func TestALogHasAnEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(t).ID
	full := Event{ID: eventID(id, maxEvents), SessionID: id, Seq: maxEvents, Type: "step", Data: json.RawMessage("1")}
	if err := b.events.Insert(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), "u", id, "x", ""); !errors.Is(err, ErrLogFull) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Stop(t.Context(), "u", id); err != nil {
		t.Errorf("a full session can't be stopped: %v", err)
	}
}

func TestSessionsAreListedNewestFirstInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	b.now = func() time.Time { return at }
	var made []string
	for i := range 10 {
		at = at.Add(time.Duration(i%2) * time.Second) // two of each time
		made = append([]string{b.create(t).ID}, made...)
	}
	var listed []string
	cursor := ""
	for {
		page, next, err := b.List(t.Context(), "u", 3, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page {
			listed = append(listed, s.ID)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if fmt.Sprint(listed) != fmt.Sprint(made) {
		t.Errorf("listed %v, made %v", listed, made)
	}
}

func BenchmarkAppend(b *testing.B) {
	s := setup(b)
	b.RunParallel(func(pb *testing.PB) {
		id := s.create(b).ID
		for pb.Next() {
			if _, err := s.Write(context.Background(), "u", id, "hello", ""); err != nil && !errors.Is(err, ErrLogFull) {
				b.Error(err)
			}
		}
	})
}
