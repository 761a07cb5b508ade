package idempotency

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/clocktest"
	"manus/internal/processtest"
	"manus/internal/storetest"
)

const secret = "a-secret-of-more-than-32-bytes-3c8e21"

var request = Request{Caller: "u", Route: "POST /pots", Key: "one", Content: []byte("green")}

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"begins": beginAndHang})
	os.Exit(m.Run())
}

// beginAndHang begins the request in the store at a path, says which id it is to make, and
// never comes to an answer.
func beginAndHang(args []string) error {
	store, err := sqlitedocs.Open(context.Background(), args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(context.Background(), Specs()...); err != nil {
		return err
	}
	s, err := New(Config{Store: store, Secrets: []string{secret}})
	if err != nil {
		return err
	}
	run, err := s.Begin(context.Background(), request)
	if err != nil {
		return err
	}
	fmt.Println("makes " + run.MadeID)
	processtest.UntilInputEnds()
	return nil
}

func service(t *testing.T, store docstore.Store, clock *clocktest.Clock, secrets ...string) *Service {
	t.Helper()
	s, err := New(Config{Store: store, Secrets: append(secrets, secret), Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A program that is killed between the work and its answer: the repeat is told to wait, and
// later does the work again under the same id.
func TestARequestThatWasKilledIsTakenOverUnderItsID(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	clock := clocktest.New()
	clock.Set(time.Now())
	s := service(t, storetest.File(t, path, Specs()...), clock)
	p := processtest.Start(t, "begins", path)
	id := strings.TrimPrefix(p.Await(t, "makes "), "makes ")
	p.Kill(t)
	if _, err := s.Begin(t.Context(), request); !errors.Is(err, ErrAtWork) {
		t.Errorf("at once: %v", err)
	}
	clock.Add(atWork + time.Second)
	run, err := s.Begin(t.Context(), request)
	if err != nil || run.MadeID != id || run.Answer != nil {
		t.Errorf("got %+v, %v, want %s", run, err, id)
	}
	clock.Add(-24 * time.Hour) // set back, which makes nobody wait for a day
	if run, err := s.Begin(t.Context(), request); err != nil || run.MadeID != id {
		t.Errorf("got %+v, %v", run, err)
	}
}

func TestAnAnswerIsKeptForADaySealed(t *testing.T) {
	t.Parallel()
	store, clock := storetest.New(t, Specs()...), clocktest.New()
	s := service(t, store, clock)
	answer := Answer{Status: 201, Header: map[string]string{"Content-Type": "application/json"}, Body: []byte(`{"key":"mk_secret"}`)}
	run, err := s.Begin(t.Context(), request)
	if err := errors.Join(err, s.End(t.Context(), run, answer)); err != nil {
		t.Fatal(err)
	}
	clock.Add(Kept - time.Second)
	s = service(t, store, clock, "another-secret-of-more-than-32-bytes-77") // during a rotation
	if again, err := s.Begin(t.Context(), request); err != nil || again.Answer == nil || string(again.Answer.Body) != string(answer.Body) {
		t.Errorf("got %+v, %v", again, err)
	}
	page, err := store.Find(t.Context(), recordsSpec.Collection, docstore.Query{})
	if err != nil || len(page.Documents) != 1 {
		t.Fatal(page, err)
	}
	for _, plain := range []string{"mk_secret", "one", `"u"`, "/pots", "green"} {
		if strings.Contains(string(page.Documents[0]), plain) {
			t.Errorf("the store has %s", plain)
		}
	}
	clock.Add(2 * time.Second)
	if fresh, err := s.Begin(t.Context(), request); err != nil || fresh.Answer != nil || fresh.MadeID == run.MadeID {
		t.Errorf("after a day: %+v, %v", fresh, err)
	}
	if err := s.Erase(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	for _, spec := range Specs() {
		if page, err := store.Find(t.Context(), spec.Collection, docstore.Query{}); err != nil || len(page.Documents) != 0 {
			t.Errorf("%s isn't empty: %v", spec.Collection, err)
		}
	}
}

// A try that was given up doesn't end the one that has taken over.
func TestALateEndChangesNothing(t *testing.T) {
	t.Parallel()
	clock := clocktest.New()
	s := service(t, storetest.New(t, Specs()...), clock)
	late, err := s.Begin(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	clock.Add(atWork + time.Second)
	if _, err := s.Begin(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{201, 403, 503} {
		if err := s.End(t.Context(), late, Answer{Status: status}); err != nil {
			t.Error(err)
		}
		if _, err := s.Begin(t.Context(), request); !errors.Is(err, ErrAtWork) {
			t.Errorf("after a late %d: %v", status, err)
		}
	}
}

func TestOfManyAtOnceOneIsAtWork(t *testing.T) {
	t.Parallel()
	s := service(t, storetest.New(t, Specs()...), clocktest.New())
	var at atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := s.Begin(t.Context(), request); err == nil {
				at.Add(1)
			} else if !errors.Is(err, ErrAtWork) {
				t.Error(err)
			}
		})
	}
	if all.Wait(); at.Load() != 1 {
		t.Errorf("%d are at work", at.Load())
	}
}

// Keys are bounded by caller, and expire.
func TestKeysAreBounded(t *testing.T) {
	t.Parallel()
	store, clock := storetest.New(t, Specs()...), clocktest.New()
	s := service(t, store, clock)
	day := clock.Now().Unix() / 86400
	if _, err := s.tallies.Upsert(t.Context(), tally{ID: digest("u"), Day: day, Today: maxKeys - 1}, func(*tally, bool) error { return nil }); err != nil {
		t.Fatal(err)
	}
	begin := func(caller, key string) error {
		_, err := s.Begin(t.Context(), Request{Caller: caller, Key: key})
		return err
	}
	if err := errors.Join(begin("u", "last"), begin("other", "first")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := begin("u", "one more"); !errors.Is(err, ErrTooMany) {
			t.Errorf("got %v", err)
		}
		clock.Add(24 * time.Hour)
	}
	if err := begin("u", "one more"); err != nil {
		t.Errorf("two days later: %v", err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if page, err := store.Find(t.Context(), recordsSpec.Collection, docstore.Query{}); err != nil || len(page.Documents) != 1 {
		t.Errorf("%d are left, %v", len(page.Documents), err)
	}
}
