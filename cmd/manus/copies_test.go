package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/app"
	"manus/config"
	"manus/docstore"
	"manus/internal/mongotest"
	"manus/internal/redistest"
	"manus/internal/waittest"
	"manus/session"
)

// fleet is some copies of the server on one database, which are killed and started
// again.
type fleet struct {
	t      *testing.T
	dir    string
	env    []string
	mu     sync.Mutex
	copies []*program
	kills  []int // of each copy
	down   int   // the copy that is being started again, or -1
}

func startFleet(t *testing.T, n int, manusYAML string, env ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), env: env, copies: make([]*program, n), kills: make([]int, n), down: -1}
	if err := os.WriteFile(filepath.Join(f.dir, "manus.yaml"), []byte(manusYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range f.copies {
		f.copies[i] = startServer(t, f.dir, env...)
	}
	return f
}

// pick is any copy that runs, as a balancer picks them, and how often it has been
// killed.
func (f *fleet) pick() (i int, url string, kills int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i = rand.IntN(len(f.copies)); i == f.down; {
		i = rand.IntN(len(f.copies))
	}
	return i, f.copies[i].url, f.kills[i]
}

func (f *fleet) killed(i int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kills[i]
}

// killAny kills a copy and starts it again.
func (f *fleet) killAny() {
	f.mu.Lock()
	i := rand.IntN(len(f.copies))
	f.kills[i]++
	f.down = i
	victim := f.copies[i]
	f.mu.Unlock()
	victim.kill()
	again := startServer(f.t, f.dir, f.env...)
	f.mu.Lock()
	f.copies[i], f.down = again, -1
	f.mu.Unlock()
}

// errKilled is returned for a request whose copy was killed: what became of it isn't
// known.
var errKilled = errors.New("its copy was killed")

// call sends a request to any copy. No request may fail but one whose copy was
// killed.
func (f *fleet) call(person *client, method, path string, body, answer any) error {
	i, url, kills := f.pick()
	sent := &client{url: url, http: person.http, Access: person.Access}
	err := sent.call(method, path, body, answer)
	var status statusError
	if err != nil && !errors.As(err, &status) && f.killed(i) != kills {
		return errKilled
	}
	return err
}

// follow reads a session's stream through any copy until its end, and comes back
// where it was when that one is killed. Each event has to come once, in its place.
func (f *fleet) follow(person *client, session string) (seen int64, err error) {
	for {
		i, url, kills := f.pick()
		ended, err := followOne(url, person.Access, session, &seen)
		if ended || err != nil && f.killed(i) == kills {
			return seen, err
		}
	}
}

func followOne(url, token, session string, seen *int64) (ended bool, err error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/api/v1/sessions/"+session+"/events", nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Last-Event-ID", fmt.Sprint(*seen))
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		return true, nil
	}
	if response.StatusCode != http.StatusOK {
		return true, fmt.Errorf("a stream was answered with %s", response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	for stopped := false; lines.Scan(); {
		switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
		case "id":
			if value != fmt.Sprint(*seen+1) {
				return true, fmt.Errorf("after the event %d comes %s", *seen, value)
			}
		case "event":
			stopped = value == "stopped"
		case "data": // the line that an event is whole with
			if *seen++; stopped {
				return true, nil
			}
		}
	}
	return false, lines.Err()
}

const thirty = `plans: [{id: free, name: Free, price_usd: 0, runs: 30, reset: calendar}]
trial: {days: 0}
limits: {allow: [127.0.0.0/8]}
`

// TestCopiesAreKilledAndNothingIsLost kills one of three copies again and again
// while clients write to all of them. No acknowledged write is lost, no event is lost
// or doubled, no request fails but those of the killed one, and the quota is exact.
func TestCopiesAreKilledAndNothingIsLost(t *testing.T) {
	t.Parallel()
	const writers, rounds, perRound = 6, 6, 40
	redis := redistest.Start(t)
	f := startFleet(t, 3, thirty, "MONGODB_URI="+mongotest.URI(t), "MONGODB_DATABASE="+mongotest.Database(t), "REDIS_URL="+redis.URL())
	_, url, _ := f.pick()
	person := newClient(url)
	if err := person.signIn("register"); err != nil {
		t.Fatal(err)
	}
	var reading, writing sync.WaitGroup
	var answered atomic.Int64
	var progress waittest.Signal
	sessions := make([]string, writers)
	acknowledged, unknown := make([]map[string]bool, writers), make([]map[string]bool, writers)
	seen := make([]int64, writers)
	var opened, maybeOpened atomic.Int64
	done := make(chan struct{})
	for w := range sessions {
		var err error
		if sessions[w], err = person.open(); err != nil {
			t.Fatal(err)
		}
		opened.Add(1)
	}
	for w, session := range sessions {
		acknowledged[w], unknown[w] = map[string]bool{}, map[string]bool{}
		reading.Go(func() {
			var err error
			if seen[w], err = f.follow(person, session); err != nil {
				t.Errorf("the stream of %s: %v", session, err)
			}
		})
		writing.Go(func() {
			defer progress.Wake()
			own := &client{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}, Access: person.Access}
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				text := fmt.Sprintf("%d/%d", w, n)
				switch err := f.call(own, "POST", "/api/v1/sessions/"+session+"/messages", map[string]string{"text": text}, &struct{}{}); {
				case err == nil:
					acknowledged[w][text] = true
				case errors.Is(err, errKilled):
					unknown[w][text] = true
				default:
					t.Errorf("a request failed: %v", err)
					return
				}
				switch err := f.call(own, "POST", "/api/v1/sessions", struct{}{}, &struct{}{}); {
				case err == nil:
					opened.Add(1)
				case errors.Is(err, errKilled):
					maybeOpened.Add(1)
				default:
					var status statusError
					if !errors.As(err, &status) || status.status != http.StatusPaymentRequired {
						t.Errorf("a request failed: %v", err)
						return
					}
				}
				answered.Add(2)
				progress.Wake()
			}
		})
	}
	for range rounds {
		want := answered.Load() + perRound
		progress.Until(t, func() bool { return answered.Load() >= want || t.Failed() })
		f.killAny()
	}
	close(done)
	writing.Wait()
	_, person.url, _ = f.pick()
	for w, session := range sessions {
		there := person.messages(t, session)
		for text := range acknowledged[w] {
			if there[text] != 1 {
				t.Errorf("%q was acknowledged and is there %d times", text, there[text])
			}
		}
		for text, times := range there {
			if times > 1 || !acknowledged[w][text] && !unknown[w][text] {
				t.Errorf("%q is there %d times", text, times)
			}
		}
		if err := person.call("POST", "/api/v1/sessions/"+session+"/stop", struct{}{}, &struct{}{}); err != nil {
			t.Error(err)
		}
	}
	reading.Wait()
	for w, session := range sessions {
		if want := int64(len(person.messages(t, session))); seen[w] != want {
			t.Errorf("the stream of %s had %d events of %d", session, seen[w], want)
		}
	}
	used, existing := person.runs(t), int64(person.sessions(t))
	if existing < opened.Load() || existing > opened.Load()+maybeOpened.Load() || used < existing || used > min(30, existing+maybeOpened.Load()) {
		t.Errorf("%d sessions were opened, of %d it isn't known, %d exist, and %d of 30 runs are used", opened.Load(), maybeOpened.Load(), existing, used)
	}
	t.Logf("%d requests answered, %d kills, %d of 30 runs used", answered.Load(), rounds, used)
}

// runs are the runs that the account has used.
func (c *client) runs(t *testing.T) int64 {
	t.Helper()
	var subscription struct {
		Used int64 `json:"runs_used"`
	}
	if err := c.call("GET", "/api/v1/billing/subscription", nil, &subscription); err != nil {
		t.Fatal(err)
	}
	return subscription.Used
}

// sessions is how many the account has.
func (c *client) sessions(t *testing.T) int {
	t.Helper()
	var page struct{ Items []struct{} }
	if err := c.call("GET", "/api/v1/sessions?limit=100", nil, &page); err != nil {
		t.Fatal(err)
	}
	return len(page.Items)
}

// outage is how long the store is cut off: the environment variable MANUS_OUTAGE
// makes it longer.
func outage(t *testing.T) time.Duration {
	text := os.Getenv("MANUS_OUTAGE")
	if text == "" {
		return 4 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTheStoreIsCutOffForAWhile cuts the network to the store, and lets it hang,
// while requests come. The server lives on, says what is wrong, takes no more memory,
// and recovers by itself.
func TestTheStoreIsCutOffForAWhile(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*mongotest.Server, testing.TB){"cut": (*mongotest.Server).Cut, "frozen": (*mongotest.Server).Freeze} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := mongotest.Start(t)
			f := startFleet(t, 1, unlimited, "MONGODB_URI="+store.URI(), "GOGC=25") // so that what has grown isn't garbage
			_, url, _ := f.pick()
			person := newClient(url)
			if err := person.signIn("register"); err != nil {
				t.Fatal(err)
			}
			session, err := person.open()
			if err != nil {
				t.Fatal(err)
			}
			stop := make(chan struct{})
			var load sync.WaitGroup
			var refusals, answers atomic.Int64
			var progress waittest.Signal
			for range 8 {
				load.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if honest(t, url, person.Access, session) {
							answers.Add(1)
							progress.Wake()
						} else {
							refusals.Add(1)
						}
					}
				})
			}
			progress.Until(t, func() bool { return answers.Load() >= 50 })
			pid := f.copies[0].cmd.Process.Pid
			before := resident(t, pid)
			end(store, t)
			begun := time.Now()
			unready := until(t, url+"/ready", http.StatusServiceUnavailable)
			for time.Since(begun) < outage(t) || refusals.Load() < 1000 {
				if status := statusOf(t, url+"/live"); status != http.StatusOK {
					t.Errorf("/live is %d", status)
				}
			}
			during := resident(t, pid)
			if status := statusOf(t, url+"/ready"); status != http.StatusServiceUnavailable {
				t.Errorf("/ready is %d", status)
			}
			store.Mend(t)
			was := answers.Load()
			mended := time.Now()
			progress.Until(t, func() bool { return answers.Load() > was })
			recovered := time.Since(mended)
			ready := until(t, url+"/ready", http.StatusOK)
			close(stop)
			load.Wait()
			if during > before+64<<10 {
				t.Errorf("the server had %d KiB before and %d KiB during the outage", before, during)
			}
			t.Logf("/ready was 503 after %v; %d requests were refused; %d KiB before, %d at the end; the first answer came after %v, /ready after %v",
				unready.Round(time.Millisecond), refusals.Load(), before, during, recovered.Round(time.Millisecond), (recovered + ready).Round(time.Millisecond))
		})
	}
}

// honest sends a request that has to be answered with success, or with a problem
// that says that it is unavailable and when to come again.
func honest(t *testing.T, url, token, session string) bool {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/api/v1/sessions/"+session, nil)
	if err != nil {
		t.Error(err)
		return false
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return false
	}
	defer response.Body.Close()
	var problem struct{ Type, Title, Detail string }
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	if response.StatusCode == http.StatusOK {
		return true
	}
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if response.StatusCode != http.StatusServiceUnavailable || err != nil || seconds < 1 ||
		response.Header.Get("Content-Type") != "application/problem+json" || json.Unmarshal(text, &problem) != nil || problem.Detail == "" {
		t.Errorf("%d %v %s", response.StatusCode, response.Header, text)
	}
	return false
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Get(url) //nolint:noctx // it has an end
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// until waits for a status, and says how long.
func until(t *testing.T, url string, status int) time.Duration {
	t.Helper()
	begun := time.Now()
	waittest.Poll(t, func() bool { return statusOf(t, url) == status })
	return time.Since(begun)
}

// resident is the memory that a process has, in KiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("there is no /proc here")
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

// TestADataCopyThatIsKilledIsMadeAgain kills the command at random moments, and then
// lets it finish.
func TestADataCopyThatIsKilledIsMadeAgain(t *testing.T) {
	t.Parallel()
	const documents = 5000
	dir := t.TempDir()
	store, err := app.OpenStore(t.Context(), config.Settings{DataDir: filepath.Join(dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range documents {
		event := session.Event{ID: fmt.Sprintf("%06d", i), Seq: int64(i), Data: json.RawMessage("{}")}
		body, err := store.Codec().Encode(event)
		if err == nil {
			err = store.Insert(t.Context(), "session_events", docstore.Document{ID: event.ID, Body: body})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	copyAll := func(ctx context.Context) (string, error) {
		out, err := manus(ctx, dir, "data", "copy", "--from", "data", "--to", "there").CombinedOutput()
		return string(out), err
	}
	killed := 0
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(400*time.Millisecond))
		if _, err := copyAll(ctx); err != nil { // CommandContext kills
			killed++
		}
		cancel()
	}
	out, err := copyAll(t.Context())
	finished := strings.Contains(out, "Both stores have all of it: 5000 documents.")
	already := strings.Contains(out, "is not empty") // one of those before has come to its end
	if !finished && !already {
		t.Errorf("%v: %s", err, out)
	}
	if store, err = app.OpenStore(t.Context(), config.Settings{DataDir: filepath.Join(dir, "there")}); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	there := 0
	for q := (docstore.Query{Limit: docstore.MaxLimit}); ; {
		page, err := store.Find(t.Context(), "session_events", q)
		if err != nil {
			t.Fatal(err)
		}
		there += len(page.Documents)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if there != documents {
		t.Errorf("%d documents are there", there)
	}
}
