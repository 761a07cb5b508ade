package notify

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
	"sync/atomic"
	"testing"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/processtest"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/language"
	"manus/queue"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"breaks": breakForever, "digests": sendDigests})
	m.Run()
}

// machine is what events tell of: it breaks and is mended, and notes both in the change
// that does it.
type machine struct {
	ID      string        `json:"_id"`
	Breaks  int           `json:"breaks"`
	Broken  bool          `json:"broken"`
	Pending []told        `json:"pending,omitempty"`
	Since   docstore.Time `json:"pending_since,omitzero"`
}

func (m machine) DocumentID() string { return m.ID }

// told is an event with an id.
type told struct{ Event }

func (t told) DocumentID() string { return fmt.Sprint(t.Key(), t.Over) }

var machineSpec = docstore.Spec{Collection: "machines", Of: machine{}, Indexes: []docstore.Index{audit.PendingIndex}}

func (m *machine) outbox() audit.Outbox[told] {
	return audit.Outbox[told]{Events: &m.Pending, Since: &m.Since}
}

// turn breaks a machine or mends it.
func (m *machine) turn(now time.Time) {
	if !m.Broken {
		m.Breaks++
	}
	m.outbox().Note(told{Event{
		Kind: "monitor.down", Subject: m.ID, Occurrence: fmt.Sprint(m.Breaks), At: docstore.At(now), Over: m.Broken,
		Title: language.Text{En: fmt.Sprintf("%s/%d", m.ID, m.Breaks)},
	}}, now)
	m.Broken = !m.Broken
}

// poster is a channel that posts a message's id and state, and in which process it is.
type poster struct{ url, by string }

func (p poster) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(delivery{m.ID, m.Title, m.State, p.by})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusTooManyRequests:
		return Later(errors.New("429"), 10*time.Millisecond)
	}
	return errors.New(answer.Status)
}

type delivery struct {
	ID, Title string
	State     State
	By        string
}

// breakingService is a service whose retries and claims are as short as a test's life.
func breakingService(store docstore.Store, by string, urls []string) (*Service, error) {
	policy := DefaultPolicy()
	policy.AtMost = AtMost{maxPerWindow * 1000, time.Hour}
	for i := range urls {
		policy.Channels = append(policy.Channels, ChannelConfig{ID: fmt.Sprintf("c%d", i), Type: "webhook", URL: urls[i]})
	}
	s, err := New(Config{Store: store, Policy: policy, Log: slog.New(slog.DiscardHandler), Channels: func(c ChannelConfig) ([]Channel, error) {
		return []Channel{poster{c.URL, by}}, nil
	}})
	if err != nil {
		return nil, err
	}
	s.alerts = queue.New(queue.Config[alert]{
		Store: store, Collection: alertCollection, Noun: "alert", Work: s.deliver, OnDiscard: s.discarded, KeepDone: keepAlerts, KeepDead: keepAlerts,
		FirstRetry: 20 * time.Millisecond, LastRetry: 200 * time.Millisecond, Claim: 2 * time.Second, Timeout: time.Second, Log: slog.New(slog.DiscardHandler),
	})
	return s, nil
}

func breakingRelay(s *Service, store docstore.Store) *audit.Relay[machine, told] {
	return &audit.Relay[machine, told]{
		Aggregates: docstore.NewCollection[machine](store, machineSpec), Outbox: (*machine).outbox,
		Publish: func(ctx context.Context, _ machine, e told) error { return s.Tell(ctx, e.Event) },
		Now:     func() time.Time { return time.Now().Add(time.Minute) }, Log: slog.New(slog.DiscardHandler), // all that waits is stale
	}
}

// breakForever breaks and mends machines, as fast as alerts of them are taken.
func breakForever(args []string) error {
	ctx := context.Background()
	store, err := sqlitedocs.Open(ctx, args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(ctx, append(Specs(), machineSpec)...); err != nil {
		return err
	}
	s, err := breakingService(store, args[1], args[2:])
	if err != nil {
		return err
	}
	relay := breakingRelay(s, store)
	go s.Run(ctx)
	fmt.Println("running")
	if err := relay.DeliverStale(ctx); err != nil {
		return err
	}
	seed, _ := strconv.ParseUint(args[1], 10, 64)
	random := rand.New(rand.NewPCG(seed, 1))
	for {
		m, err := relay.Aggregates.Upsert(ctx, machine{ID: fmt.Sprintf("m%d", random.IntN(10))}, func(m *machine, _ bool) error {
			m.turn(time.Now())
			return nil
		})
		if err == nil {
			err = relay.Deliver(ctx, m)
		}
		if err != nil {
			return err
		}
	}
}

// unreliable is a receiver that now and then refuses, asks to wait, takes a message and
// says nothing, or is slow. It notes what it has taken.
type unreliable struct {
	mu     sync.Mutex
	random *rand.Rand
	well   bool
	taken  map[string]map[State]map[string][]taking // by title, state and id
}

// taking is that a receiver has taken a message: from which process, and whether it said
// nothing then, or hung.
type taking struct {
	by     string
	silent bool
}

func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var d delivery
	body, _ := io.ReadAll(r.Body)
	if json.Unmarshal(body, &d) != nil {
		return // a killed sender's
	}
	u.mu.Lock()
	way := u.random.IntN(40)
	if u.well {
		way = 40
	}
	if way >= 2 {
		if u.taken[d.Title] == nil {
			u.taken[d.Title] = map[State]map[string][]taking{}
		}
		if u.taken[d.Title][d.State] == nil {
			u.taken[d.Title][d.State] = map[string][]taking{}
		}
		ids := u.taken[d.Title][d.State]
		ids[d.ID] = append(ids[d.ID], taking{d.By, way <= 3})
	}
	u.mu.Unlock()
	switch way {
	case 0:
		w.WriteHeader(http.StatusInternalServerError)
	case 1:
		w.WriteHeader(http.StatusTooManyRequests)
	case 2:
		panic(http.ErrAbortHandler)
	case 3:
		<-r.Context().Done() // it has taken the message, and hangs
	}
}

// Killed between any two steps, a process loses no alert and no end of one; what is sent
// twice has the same ID.
func TestKilledProcessesLoseNoAlert(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	receivers := []*unreliable{}
	urls := []string{}
	for i := range 2 {
		u := &unreliable{random: rand.New(rand.NewPCG(uint64(i), 7)), taken: map[string]map[State]map[string][]taking{}}
		server := httptest.NewServer(u)
		t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
		receivers, urls = append(receivers, u), append(urls, server.URL)
	}
	kills := processtest.Size(processtest.CrashRounds, 25)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range kills {
		p := processtest.Start(t, "breaks", append([]string{path, fmt.Sprint(n)}, urls...)...)
		p.Await(t, "running")
		time.Sleep(time.Duration(random.IntN(40_000)) * time.Microsecond) // any moment is right
		p.Kill(t)
	}
	for _, u := range receivers {
		u.mu.Lock()
		u.well = true
		u.mu.Unlock()
	}
	machines := finish(t, path, urls)
	events, twice := 0, again{}
	for i, u := range receivers {
		for _, m := range machines {
			for n := range m.Breaks {
				title := fmt.Sprintf("%s/%d", m.ID, n+1)
				ended := n+1 < m.Breaks || !m.Broken
				events++
				u.judge(t, fmt.Sprint("receiver ", i), title, ended, &twice)
			}
		}
	}
	t.Logf("%d kills, %d alerts, all told with their ends; sent again under the same id: %d that the receiver had taken without saying so, %d that it had taken from a process that was killed then",
		kills, events, twice.silent, twice.killed)
}

// again is how often a message was sent once more, by why it was.
type again struct{ silent, killed int }

// judge looks at what a receiver has taken of an outage, and counts what it has taken more
// than once.
func (u *unreliable) judge(t *testing.T, who, title string, ended bool, twice *again) {
	u.mu.Lock()
	defer u.mu.Unlock()
	states := map[State]bool{}
	for state, ids := range u.taken[titleOf(Raised, language.Text{En: title}, language.English)] {
		states[state] = true
		twice.explain(t, who, title, ids)
	}
	for _, state := range []State{Over, Passed} {
		for said, ids := range u.taken[titleOf(state, language.Text{En: title}, language.English)] {
			states[said] = true
			twice.explain(t, who, title, ids)
		}
	}
	switch {
	case !states[Raised] && !states[Passed]:
		t.Errorf("%s wasn't told of %s", who, title)
	case ended && !states[Over] && !states[Passed]:
		t.Errorf("%s wasn't told of the end of %s", who, title)
	case states[Over] && !states[Raised]:
		t.Errorf("%s was told of the end of %s alone", who, title)
	case !ended && (states[Over] || states[Passed]):
		t.Errorf("%s was told that %s has ended", who, title)
	}
}

// explain says why a message was taken more than once: each time but the last the receiver
// didn't say that it had it, or another process sent it next, as the one before was killed.
func (a *again) explain(t *testing.T, who, title string, ids map[string][]taking) {
	if len(ids) != 1 {
		t.Errorf("%s was told of %s under %d ids", who, title, len(ids))
	}
	for id, taken := range ids {
		for i, one := range taken[:len(taken)-1] {
			switch {
			case one.silent:
				a.silent++
			case one.by != taken[i+1].by:
				a.killed++
			default:
				t.Errorf("%s was sent %s of %s again by process %s, which it had answered", who, id, title, one.by)
			}
		}
	}
}

// finish has a last process deliver all that is left, and returns the machines.
func finish(t *testing.T, path string, urls []string) (machines []machine) {
	t.Helper()
	store := storetest.File(t, path, append(Specs(), machineSpec)...)
	s, err := breakingService(store, "last", urls)
	if err != nil {
		t.Fatal(err)
	}
	relay := breakingRelay(s, store)
	if err := relay.DeliverStale(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	waittest.Poll(t, func() bool {
		left, _, err := s.List(t.Context(), Pending, 1, "")
		if err != nil {
			t.Fatal(err)
		}
		return len(left) == 0
	})
	stop()
	running.Wait()
	for n := range 10 {
		m, err := relay.Aggregates.Get(t.Context(), fmt.Sprintf("m%d", n))
		if err != nil && !errors.Is(err, docstore.ErrNotFound) {
			t.Fatal(err)
		}
		machines = append(machines, m)
	}
	return machines
}

// digestService is a service by a clock of its own, that holds all but the first alert.
func digestService(store docstore.Store, by, url string, ahead *atomic.Int64) (*Service, error) {
	policy := DefaultPolicy()
	policy.AtMost = AtMost{1, time.Minute}
	policy.Channels = []ChannelConfig{{ID: "c", Type: "webhook", URL: url}}
	return New(Config{
		Store: store, Policy: policy, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		Channels: func(c ChannelConfig) ([]Channel, error) { return []Channel{poster{c.URL, by}}, nil },
	})
}

func outage(n int, over bool) Event {
	return Event{Kind: "monitor.down", Subject: "m", Occurrence: fmt.Sprint(n), Over: over, At: docstore.At(time.Now()), Title: language.Text{En: fmt.Sprint("outage ", n)}}
}

// sendDigests tells of outages, and goes on to when their digest is due.
func sendDigests(args []string) error {
	ctx := context.Background()
	store, err := sqlitedocs.Open(ctx, args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(ctx, Specs()...); err != nil {
		return err
	}
	var ahead atomic.Int64
	s, err := digestService(store, "killed", args[1], &ahead)
	if err != nil {
		return err
	}
	for n := range 4 {
		if err := s.Tell(ctx, outage(n, false)); err != nil {
			return err
		}
	}
	ahead.Store(int64(time.Minute))
	s.Run(ctx)
	return nil
}

// A process is killed when a receiver has its digest, and before that is written down.
// What comes until another sends it again isn't lost to a receiver that drops it then.
func TestADigestOfAKilledProcessHoldsTheSameWhenItIsSentAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	came := make(chan delivery)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var d delivery
		if json.NewDecoder(r.Body).Decode(&d) != nil || d.State != Digest && d.State != Over {
			return
		}
		select {
		case came <- d:
		case <-r.Context().Done():
		}
		if d.By == "killed" {
			<-r.Context().Done() // it is killed
		}
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	p := processtest.Start(t, "digests", path, server.URL)
	first := awaitOne(t, came)
	p.Kill(t)
	store := storetest.File(t, path, Specs()...)
	var ahead atomic.Int64
	ahead.Store(int64(3 * time.Minute)) // the killed one's claim has run out
	s, err := digestService(store, "another", server.URL, &ahead)
	if err != nil {
		t.Fatal(err)
	}
	late := occurrence{ID: "late", Event: outage(9, false)}
	if err := errors.Join(s.hold(t.Context(), late, "c", docstore.At(s.c.Now())), s.Tell(t.Context(), outage(1, true))); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	again := awaitOne(t, came)
	waittest.Poll(t, func() bool { // what it is sent again for
		state, err := s.lanes.Get(t.Context(), "c")
		return err == nil && state.Digests == 1
	})
	ahead.Add(int64(2 * time.Minute))
	next := awaitOne(t, came)
	stop()
	running.Wait()
	if first.Title != "3 alerts that were held back" || again.ID != first.ID || again.Title != first.Title {
		t.Errorf("at first it was %+v, then %+v", first, again)
	}
	if next.ID == first.ID || next.Title != "1 alert that was held back; 1 alert is over" {
		t.Errorf("the next is %+v", next)
	}
}

func awaitOne(t *testing.T, came <-chan delivery) delivery {
	t.Helper()
	select {
	case d := <-came:
		return d
	case <-time.After(5 * time.Minute):
		t.Fatal("nothing came")
		return delivery{}
	}
}
