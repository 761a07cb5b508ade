package uptime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/processtest"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/lease"
	"manus/uptime/probe"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"watches": watchForever, "listens": listenForever})
	m.Run()
}

// hasty is a service that watches the places of a server and posts to it what it tells. Its
// clock has begun at a moment, and an hour of it is a tenth of a second: so nothing flaps.
func hasty(store docstore.Store, server string, begun time.Time) *Service {
	now := func() time.Time { return begun.Add(time.Since(begun) * 36_000) }
	var all Policy
	for n := range places {
		all = append(all, Monitor{
			ID: fmt.Sprint("m", n), Type: probe.HTTP, URL: fmt.Sprint(server, "/", n), Every: 10 * time.Millisecond, Timeout: 10 * time.Second, Private: true,
			Confirm: &[]time.Duration{time.Millisecond}, UpAfter: 1,
		})
	}
	log := slog.New(slog.DiscardHandler)
	return New(Config{
		Store: store, Leases: lease.New(lease.Config{Store: store, TTL: 200 * time.Millisecond, Log: log}), Monitors: all, References: []string{},
		pace: fast, Prober: probe.New(probe.Options{Now: now}), Now: now, Log: log, Tell: func(ctx context.Context, told Told) error { return post(ctx, server, told.Alert) },
	})
}

// post has the server hear an alert.
func post(ctx context.Context, server string, a Alert) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// watchForever watches until it is killed.
func watchForever(args []string) error {
	ctx := context.Background()
	store, err := sqlitedocs.Open(ctx, args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(ctx, append(Specs(), lease.Specs()...)...); err != nil {
		return err
	}
	begun, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	fmt.Println("running")
	hasty(store, args[1], time.UnixMilli(begun)).Run(ctx)
	return nil
}

// places are how many places of a server are watched.
const places = 8

// restless is a server whose places are up and down, and that hears what is told of them.
type restless struct {
	mu     sync.Mutex
	random *rand.Rand
	until  [places]time.Time // it stays as it is
	down   [places]bool
	calm   bool // all are up, and everything is heard
	told   []Alert
}

func (r *restless) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if request.Method == http.MethodPost {
		r.hear(w, request)
		return
	}
	var n int
	if _, err := fmt.Sscanf(request.URL.Path, "/%d", &n); err != nil || n >= places {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if now := time.Now(); now.After(r.until[n]) {
		r.down[n], r.until[n] = !r.down[n], now.Add(time.Duration(50+r.random.IntN(200))*time.Millisecond)
	}
	if r.down[n] && !r.calm {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// hear takes an alert, refuses it, or takes it and doesn't say so.
func (r *restless) hear(w http.ResponseWriter, request *http.Request) {
	way := r.random.IntN(20)
	var a Alert
	body, _ := io.ReadAll(request.Body)
	if json.Unmarshal(body, &a) != nil {
		return // a killed one's
	}
	if way == 0 && !r.calm {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.told = append(r.told, a)
	if way == 1 && !r.calm {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// Killed at any moment, processes that watch lose no alert and no end of one, tell no end
// before its beginning, and what they tell twice is the same; so too where another place has to
// see the same.
func TestKilledProcessesLoseNoOutage(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]bool{"here": false, "two places": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killAndJudge(t, more)
		})
	}
}

// elsewhere starts another place that watches the same.
func elsewhere(t *testing.T, server *Service) {
	t.Helper()
	c := server.c
	c.Store, c.Place, c.Tell = storetest.New(t, append(PlaceSpecs(), lease.Specs()...)...), "fra", nil
	c.Leases = lease.New(lease.Config{Store: c.Store, TTL: time.Second, Log: c.Log})
	handover := NewHandover(HandoverConfig{Place: c.Place, Server: server, Store: c.Store, Now: c.Now, Log: c.Log})
	c.Kept = handover.Kept
	here := New(c)
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { here.Run(ctx) })
	working.Go(func() {
		if err := handover.Run(ctx, here); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); working.Wait() })
}

func killAndJudge(t *testing.T, more bool) {
	path := filepath.Join(t.TempDir(), "data.db")
	r := &restless{random: rand.New(rand.NewPCG(3, 4))}
	server := httptest.NewServer(r)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	begun := time.Now().Truncate(time.Millisecond)
	kills := processtest.Size(processtest.CrashRounds, 12)
	if more {
		elsewhere(t, hasty(storetest.File(t, path, append(Specs(), lease.Specs()...)...), server.URL, begun))
	}
	random := rand.New(rand.NewPCG(5, 6))
	for range kills {
		p := processtest.Start(t, "watches", path, server.URL, fmt.Sprint(begun.UnixMilli()))
		p.Await(t, "running")
		time.Sleep(time.Duration(random.IntN(800_000)) * time.Microsecond) // any moment is right
		p.Kill(t)
	}
	r.mu.Lock()
	r.calm = true
	r.mu.Unlock()
	store := storetest.File(t, path, append(Specs(), lease.Specs()...)...)
	s := hasty(store, server.URL, begun)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	states := map[string]State{}
	waittest.Poll(t, func() bool {
		for st, err := range s.states.All(t.Context(), docstore.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if states[st.ID] = st; st.Confirm.Down || st.Told || len(st.Pending) > 0 {
				return false
			}
		}
		return true
	})
	stop()
	running.Wait()
	r.judge(t, kills, states)
}

// judge looks at what was heard of the outages that there were.
func (r *restless) judge(t *testing.T, kills int, states map[string]State) {
	first, twice := map[string]Alert{}, 0
	for _, a := range r.told {
		if a.Kind != MonitorDown {
			t.Errorf("told was %+v", a)
			continue
		}
		subject := a.Title.En[:2] + " " + a.Occurrence
		key := subject + fmt.Sprint(a.Over)
		if _, begun := first[subject+"false"]; a.Over && !begun {
			t.Errorf("the end of %s was told before its beginning", subject)
		}
		if before, again := first[key]; !again {
			first[key] = a
		} else if twice++; before.ID != a.ID || before.Text != a.Text {
			t.Errorf("%s was told twice and not alike: %+v and %+v", key, before, a)
		}
	}
	outages := 0
	for id, st := range states {
		for n := range st.Outage {
			outages++
			st.Outage = n + 1
			for _, over := range []string{"false", "true"} {
				if _, told := first[id+" "+st.occurrence()+over]; !told {
					t.Errorf("of outage %d of %s nobody was told (over: %s)", n+1, id, over)
				}
			}
		}
	}
	if len(first) != 2*outages || outages < kills {
		t.Errorf("told were %d beginnings and ends of %d outages, over %d kills", len(first), outages, kills)
	}
	t.Logf("%d kills, %d outages, all told with their ends; told once more: %d", kills, outages, twice)
}
