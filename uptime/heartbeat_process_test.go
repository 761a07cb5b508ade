package uptime

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore/sqlitedocs"
	"manus/internal/processtest"
	"manus/internal/waittest"
	"manus/lease"
	"manus/uptime/probe"
)

// listenForever takes the pings of a job, and posts what it tells to a server, until it is
// killed. An hour of its clock is a tenth of a second, so that nothing flaps.
func listenForever(args []string) error {
	ctx := context.Background()
	store, err := sqlitedocs.Open(ctx, args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(ctx, append(Specs(), lease.Specs()...)...); err != nil {
		return err
	}
	milli, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	begun := time.UnixMilli(milli)
	now := func() time.Time { return begun.Add(time.Since(begun) * 36_000) }
	log := slog.New(slog.DiscardHandler)
	s := New(Config{
		Store: store, Leases: lease.New(lease.Config{Store: store, TTL: time.Second, Log: log}), Now: now, Log: log, References: []string{},
		Monitors: Policy{{ID: "backup", Name: "backup", Type: Heartbeat, Every: 100 * 366 * 24 * time.Hour}},
		Prober:   probe.New(probe.Options{Now: now}), Tell: func(ctx context.Context, told Told) error { return post(ctx, args[1], told.Alert) },
	})
	server := httptest.NewServer(door(s))
	w, err := s.Monitor(ctx, "backup")
	if err != nil {
		return err
	}
	fmt.Println("address " + server.URL + w.Beats.URL)
	s.Run(ctx)
	return nil
}

// ear hears alerts, once each.
type ear struct {
	mu    sync.Mutex
	told  map[string]bool // occurrences, with whether they are over
	begun int             // outages
	over  int
	heard waittest.Signal
}

func (e *ear) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var a Alert
	if json.NewDecoder(r.Body).Decode(&a) != nil {
		return // a killed one's
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if key := a.Occurrence + fmt.Sprint(a.Over); a.Kind == MonitorDown && !e.told[key] {
		e.told[key] = true
		if a.Over {
			e.over++
		} else {
			e.begun++
		}
	}
	e.heard.Wake()
}

func (e *ear) has(begun, over int) func() bool {
	return func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.begun >= begun && e.over >= over
	}
}

// Killed between a ping that it has acknowledged and the alert of it, a program's next start
// tells of it; of a failure too whose success has come before anybody has looked.
func TestKilledProcessesLoseNoPing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	e := &ear{told: map[string]bool{}}
	server := httptest.NewServer(e)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	begun := fmt.Sprint(time.Now().UnixMilli())
	random := rand.New(rand.NewPCG(7, 8))
	ping := func(address, what string) bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+what, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}
	failures, rounds := 0, processtest.Size(processtest.CrashRounds, 4)
	for round := range rounds {
		p := processtest.Start(t, "listens", path, server.URL, begun)
		address := p.Await(t, "address ")
		if !ping(address, "/fail") {
			t.Fatal("a ping isn't taken")
		}
		failures++
		ended := round%2 == 0 && ping(address, "/0")
		time.Sleep(time.Duration(random.IntN(40_000)) * time.Microsecond) // any moment is right
		p.Kill(t)
		next := processtest.Start(t, "listens", path, server.URL, begun)
		again := next.Await(t, "address ")
		e.heard.Until(t, e.has(failures, 0))
		if !ended && !ping(again, "/0") {
			t.Fatal("a ping isn't taken")
		}
		e.heard.Until(t, e.has(failures, failures))
		next.Kill(t)
	}
	if e.begun != failures || e.over != failures {
		t.Errorf("of %d failures %d were told, and %d ends", failures, e.begun, e.over)
	}
}
