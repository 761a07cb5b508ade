package session

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/httpapi"
	"manus/identity"
	"manus/internal/referencetest"
)

// serve answers the room's routes; the caller is who the X-Test-User header
// names, and alive as alive says.
func serve(t *testing.T, b bench, alive func(context.Context) error) *httptest.Server {
	t.Helper()
	log := referencetest.Log(t)
	api := httpapi.New(httpapi.Config{Log: log, Version: "test", Caller: func(r *http.Request) (identity.Caller, error) {
		return caller(r.Header.Get("X-Test-User"), alive), nil
	}})
	b.Routes(api, nil)
	server := httptest.NewUnstartedServer(api)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(b.Close)
	return server
}

// caller is a person, or a worker with a key of its own where the name is so.
func caller(name string, alive func(context.Context) error) identity.Caller {
	if strings.HasPrefix(name, "worker") {
		return identity.Caller{UserID: "operator", Role: identity.Operator, KeyID: name, Scopes: []identity.Scope{identity.Worker}, Alive: alive}
	}
	return identity.Caller{UserID: name, LoginID: "login of " + name, Role: identity.User, Alive: alive}
}

func yes(context.Context) error { return nil }

func request(t *testing.T, server *httptest.Server, user, method, path, body string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+httpapi.Prefix+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Test-User", user)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func call(t *testing.T, server *httptest.Server, user, method, path, body string, status int) string {
	t.Helper()
	response := request(t, server, user, method, path, body)
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != status {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, response.StatusCode, status, text)
	}
	return string(text)
}

func TestTheLifeOfASession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b, yes)
	var made sessionBody
	if err := json.Unmarshal([]byte(call(t, server, "u", "POST", "/sessions", `{"title":"One"}`, 201)), &made); err != nil {
		t.Fatal(err)
	}
	if made.Title != "One" || made.Status != Active || made.ID == "" {
		t.Errorf("got %+v", made)
	}
	call(t, server, "u", "POST", "/sessions", "", 201)
	path := "/sessions/" + made.ID
	if got := call(t, server, "u", "PATCH", path, `{"title":"Two"}`, 200); !strings.Contains(got, `"title":"Two"`) {
		t.Errorf("got %s", got)
	}
	if got := call(t, server, "u", "POST", path+"/messages", `{"text":"<hello> & \"مرحبا\"","client_key":"k1"}`, 202); !strings.Contains(got, `"seq":1,"type":"message","data":{"text":`) {
		t.Errorf("got %s", got)
	}
	if got := call(t, server, "worker", "POST", path+"/events", `{"type":"step.done","data":{"n":9007199254740993}}`, 202); !strings.Contains(got, `"data":{"n":9007199254740993}`) {
		t.Errorf("got %s", got)
	}
	call(t, server, "worker", "POST", path+"/events", `{"type":"step.done"}`, 202)
	call(t, server, "u", "POST", path+"/stop", "", 200)
	call(t, server, "u", "POST", path+"/stop", "", 200)
	call(t, server, "u", "POST", path+"/messages", `{"text":"more"}`, 409)
	var page httpapi.List[eventBody]
	if err := json.Unmarshal([]byte(call(t, server, "u", "GET", path+"/events?limit=2&after=1", "", 200)), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Items) != 2 || page.Items[0].Seq != 2 || page.NextCursor == "" {
		t.Errorf("got %+v", page)
	}
	if got := call(t, server, "u", "GET", path+"/events?limit=2&after=1&cursor="+page.NextCursor, "", 200); !strings.Contains(got, `"type":"stopped"`) || !strings.Contains(got, `"next_cursor":""`) {
		t.Errorf("got %s", got)
	}
	call(t, server, "u", "GET", path+"/events?cursor=nonsense", "", 400)
	if got := call(t, server, "u", "GET", "/sessions", "", 200); strings.Count(got, `"id"`) != 2 {
		t.Errorf("got %s", got)
	}
	call(t, server, "u", "DELETE", path, "", 204)
	call(t, server, "u", "GET", path, "", 404)
	b.quota.left = 0
	call(t, server, "u", "POST", "/sessions", `{}`, 402)
}

func TestAnothersSessionIsNotThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b, yes)
	id := b.create(t).ID
	routes := [][3]string{
		{"GET", "", ""}, {"PATCH", "", `{"title":"x"}`}, {"DELETE", "", ""}, {"POST", "/stop", ""},
		{"POST", "/messages", `{"text":"x"}`}, {"GET", "/events", ""}, {"POST", "/stream-ticket", ""},
	}
	for _, r := range routes {
		theirs := call(t, server, "somebody else", r[0], "/sessions/"+id+r[1], r[2], 404)
		nobodys := call(t, server, "somebody else", r[0], "/sessions/nonsense"+r[1], r[2], 404)
		if withoutRequestID(t, theirs) != withoutRequestID(t, nobodys) {
			t.Errorf("%s %s tells that it exists:\n%s\n%s", r[0], r[1], theirs, nobodys)
		}
		call(t, server, "", r[0], "/sessions/"+id+r[1], r[2], 401)
	}
	if response := request(t, server, "somebody else", "GET", "/sessions/"+id+"/events", "", "Accept", "text/event-stream"); response.StatusCode != 404 {
		t.Errorf("a live stream: %d", response.StatusCode)
	}
	if log := b.log(t, id); len(log) != 0 {
		t.Errorf("somebody else wrote %+v", log)
	}
}

func withoutRequestID(t *testing.T, body string) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "request_id")
	return fmt.Sprint(fields)
}

func TestWhatIsWrongIsRefusedWithoutEcho(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b, yes)
	path := "/sessions/" + b.create(t).ID
	const secret = "hunter2"
	for _, c := range []struct{ path, body string }{
		{"/messages", `{"text":""}`},
		{"/messages", `{"text":"hunter2\u0000"}`},
		{"/messages", `{"text":"` + strings.Repeat(secret, 3000) + `"}`},
		{"/messages", `{"text":"x","client_key":"hunter2 hunter2"}`},
		{"/events", `{"type":"Hunter2"}`},
		{"/events", `{"type":"message","data":"hunter2"}`},
		{"/events", `{"type":"stopped"}`},
		{"/events", `{"type":"x","data":"` + strings.Repeat(secret, 5000) + `"}`},
	} {
		user := "u"
		if c.path == "/events" {
			user = "worker"
		}
		if got := call(t, server, user, "POST", path+c.path, c.body, 422); strings.Contains(got, secret) {
			t.Errorf("%s: %s", c.body, got)
		}
	}
	for _, id := range []string{"x", "-1", "1.5", "99999999999999"} {
		if response := request(t, server, "u", "GET", path+"/events", "", "Accept", "text/event-stream", "Last-Event-ID", id); response.StatusCode != 400 {
			t.Errorf("Last-Event-ID %s: %d", id, response.StatusCode)
		}
	}
}

// sse is one event as read from a stream.
type sse struct {
	id   int64
	kind string
	data string
}

// next reads a stream's next event; io.EOF at its end.
func next(reader *bufio.Reader) (e sse, err error) {
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return e, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			e.id, err = strconv.ParseInt(value, 10, 64)
		case "event":
			e.kind = value
		case "data":
			e.data = value
		case "":
			if e.id > 0 {
				return e, nil
			}
		}
		if err != nil {
			return e, err
		}
	}
}

func open(t *testing.T, server *httptest.Server, id string, after int64) (*bufio.Reader, *http.Response) {
	t.Helper()
	response := request(t, server, "u", "GET", "/sessions/"+id+"/events", "", "Accept", "text/event-stream", "Last-Event-ID", fmt.Sprint(after))
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %s", response.StatusCode, response.Header.Get("Content-Type"))
	}
	return bufio.NewReader(response.Body), response
}

func TestAStreamHasEverythingOnceThroughDropsAndRestarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(t).ID
	const events = 200
	written := make(chan struct{})
	restart := make(chan struct{}, events)
	go func() {
		defer close(written)
		for i := range events {
			if _, err := b.Write(context.Background(), "u", id, fmt.Sprint("event ", i+1), ""); err != nil {
				t.Error(err)
			}
			if i%50 == 49 {
				restart <- struct{}{}
			}
		}
		if _, err := b.Stop(context.Background(), "u", id); err != nil {
			t.Error(err)
		}
	}()
	// The reader's server is another copy of the program, on a connection of
	// its own to the same file, which is stopped and started again.
	seen := int64(0)
	for stopped := false; !stopped; {
		store := openStore(t, b.path)
		reading := onStore(t, store, b.path, pace{Poll: time.Millisecond})
		server := serve(t, reading, yes)
		for again := true; again && !stopped; {
			reader, response := open(t, server, id, seen)
			for range 1 + rand.IntN(40) {
				e, err := next(reader)
				if err != nil {
					t.Fatal(err)
				}
				if e.id != seen+1 {
					t.Fatalf("after %d comes %d", seen, e.id)
				}
				if seen = e.id; e.kind == StoppedType {
					stopped = true
					break
				}
				if !strings.Contains(e.data, fmt.Sprintf(`"event %d"`, e.id)) {
					t.Fatalf("event %d is %s", e.id, e.data)
				}
			}
			if stopped {
				if _, err := next(reader); !errors.Is(err, io.EOF) {
					t.Errorf("the stream goes on after the stop: %v", err)
				}
			}
			_ = response.Body.Close()
			select {
			case <-restart:
				again = false
			default:
			}
		}
		reading.Close()
		server.Close()
	}
	<-written
	if seen != events+1 {
		t.Errorf("saw %d events", seen)
	}
	server := serve(t, b, yes)
	if response := request(t, server, "u", "GET", "/sessions/"+id+"/events", "", "Accept", "text/event-stream", "Last-Event-ID", fmt.Sprint(seen)); response.StatusCode != 204 {
		t.Errorf("nothing is left to come, and the answer is %d", response.StatusCode)
	}
}

func TestAnEventIsSentAtOnceToStreamsOfThisCopy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.streams.Poll = time.Hour // only the poke can wake it
	server := serve(t, b, yes)
	id := b.create(t).ID
	reader, _ := open(t, server, id, 0)
	for i := range int64(20) {
		if _, err := b.Write(t.Context(), "u", id, "x", ""); err != nil {
			t.Fatal(err)
		}
		if e, err := next(reader); err != nil || e.id != i+1 {
			t.Fatalf("got %+v, %v", e, err)
		}
	}
}

func TestAStreamEndsWithItsLoginSessionAndServer(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b bench, id string, revoke func()){
		"login":   func(_ bench, _ string, revoke func()) { revoke() },
		"server":  func(b bench, _ string, _ func()) { b.Close() },
		"session": func(b bench, id string, _ func()) { _ = b.Delete(context.Background(), "u", id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir() + "/manus.db"
			b := onStore(t, openStore(t, path), path, pace{Poll: time.Millisecond})
			revoked := make(chan struct{})
			server := serve(t, b, func(context.Context) error {
				select {
				case <-revoked:
					return errors.New("the login has ended")
				default:
					return nil
				}
			})
			id := b.create(t).ID
			if _, err := b.Write(t.Context(), "u", id, "x", ""); err != nil {
				t.Fatal(err)
			}
			reader, _ := open(t, server, id, 0)
			if _, err := next(reader); err != nil {
				t.Fatal(err)
			}
			end(b, id, func() { close(revoked) })
			if e, err := next(reader); err == nil {
				t.Errorf("it goes on with %+v", e)
			}
		})
	}
}

// hints of a test say that they arrive, or don't, and keep what was published.
type hints struct {
	alive     atomic.Bool
	published chan string
}

func (h *hints) Publish(sessionID string) { h.published <- sessionID }
func (h *hints) Alive() bool              { return h.alive.Load() }

func TestStreamsTrustHintsWhileTheyArrive(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/manus.db"
	writing := onStore(t, openStore(t, path), path, pace{})
	told := &hints{published: make(chan string, 100)}
	writing.c.Hints = told
	reading := onStore(t, openStore(t, path), path, pace{Poll: time.Millisecond, Patience: time.Hour})
	arriving := &hints{}
	arriving.alive.Store(true)
	reading.c.Hints = arriving
	server := serve(t, reading, yes)
	id := writing.create(t).ID
	reader, _ := open(t, server, id, 0)
	write := func() {
		t.Helper()
		if _, err := writing.Write(t.Context(), "u", id, "x", ""); err != nil {
			t.Fatal(err)
		}
		if hinted := <-told.published; hinted != id {
			t.Errorf("the others were told of %q", hinted)
		}
	}
	for i, wake := range []func(){
		func() { reading.OnHint(id) },          // a hint
		reading.MissedHints,                    // one that may have been lost
		func() { arriving.alive.Store(false) }, // and none at all
	} {
		write()
		wake()
		if e, err := next(reader); err != nil || e.id != int64(i+1) {
			t.Fatalf("got %+v, %v", e, err)
		}
	}
}

func TestAStreamIsNeverSilentForLong(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/manus.db"
	b := onStore(t, openStore(t, path), path, pace{Poll: time.Millisecond, Heartbeat: 5 * time.Millisecond})
	reader, _ := open(t, serve(t, b, yes), b.create(t).ID, 0)
	for beats := 0; beats < 3; {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, ":") {
			beats++
		}
	}
}

func TestAnEventHas32KiBOfData(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b, yes)
	path := "/sessions/" + b.create(t).ID + "/events"
	fits := `"` + strings.Repeat("x", maxData-2) + `"`
	call(t, server, "worker", "POST", path, `{"type":"step","data":`+fits+`}`, 202)
	call(t, server, "worker", "POST", path, `{"type":"step","data":`+fits[:1]+"x"+fits[1:]+`}`, 422)
}

func TestASlowReaderIsDropped(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/manus.db"
	b := onStore(t, openStore(t, path), path, pace{Poll: time.Millisecond, WriteTimeout: 50 * time.Millisecond})
	server := serve(t, b, yes)
	id := b.create(t).ID
	big := `"` + strings.Repeat("x", maxData-2) + `"`
	for range 400 { // far more than the buffers of two sockets
		if _, err := b.Append(t.Context(), Event{SessionID: id, Type: "step", Data: json.RawMessage(big)}); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s/sessions/%s/events HTTP/1.1\r\nHost: x\r\nX-Test-User: u\r\nAccept: text/event-stream\r\n\r\n", httpapi.Prefix, id)
	if _, err := conn.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	for open := 1; open > 0; { // it ends although nobody reads
		b.streams.mu.Lock()
		open = b.streams.open
		b.streams.mu.Unlock()
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	s := newStreams(pace{MaxPerUser: 2, Max: 3})
	_, leave, err := s.enter(caller("a", yes), "1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user string
		want error
	}{{"a", nil}, {"a", errTooManyStreams}, {"b", nil}, {"c", errTooManyStreams}} {
		if _, _, err := s.enter(caller(c.user, yes), "1"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.user, err)
		}
	}
	leave()
	if _, _, err := s.enter(caller("c", yes), "2"); err != nil {
		t.Error(err)
	}
}

func TestAStreamTooManyIsRefusedWithATimeToComeBack(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/manus.db"
	b := onStore(t, openStore(t, path), path, pace{MaxPerUser: 1})
	server := serve(t, b, yes)
	id := b.create(t).ID
	open(t, server, id, 0)
	refused := request(t, server, "u", "GET", "/sessions/"+id+"/events", "", "Accept", "text/event-stream")
	if refused.StatusCode != http.StatusTooManyRequests || refused.Header.Get("Retry-After") != "10" {
		t.Errorf("got %d, to come back after %q s", refused.StatusCode, refused.Header.Get("Retry-After"))
	}
}

func TestStreamsKeepTheirPace(t *testing.T) {
	t.Parallel()
	want := pace{Poll: time.Second, Patience: 5 * time.Second, Heartbeat: 15 * time.Second, WriteTimeout: 10 * time.Second, MaxPerUser: 20, MaxPerWorker: 1000, Max: 10_000}
	if got := newStreams(pace{}).pace; got != want {
		t.Errorf("by default it is %+v, want %+v", got, want)
	}
}

func TestALastEventIDIsAPlaceThatALogCanHave(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]int64{"0": 0, "1": 1, "100000": maxEvents, "100001": maxEvents + 1} { // the last one is a stop
		if n, _, err := parseEventID(id, maxEvents+1); err != nil || n != want {
			t.Errorf("%q is %d, %v", id, n, err)
		}
	}
	for _, id := range []string{"", "-1", "100002", "1e3", " 1", "a session's"} {
		if _, _, err := parseEventID(id, maxEvents+1); !errors.Is(err, errBadEventID) {
			t.Errorf("%q is taken: %v", id, err)
		}
	}
}

func TestLeavingLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := newStreams(pace{})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			_, leave, err := s.enter(caller(fmt.Sprint(i%10), yes), fmt.Sprint(i%7))
			if err != nil {
				t.Error(err)
				return
			}
			s.poke(fmt.Sprint(i % 7))
			leave()
		})
	}
	wg.Wait()
	if s.open != 0 || len(s.byUser) != 0 || len(s.pokes) != 0 {
		t.Errorf("left: %d, %v, %v", s.open, s.byUser, s.pokes)
	}
}

func FuzzParseEventID(f *testing.F) {
	for _, id := range []string{"0", "1", "100001", "-1", "", "1e3", "+1", " 1"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if n, _, err := parseEventID(id, maxEvents+1); err == nil && (n < 0 || n > maxEvents+1) {
			t.Errorf("%q is %d", id, n)
		}
	})
}

var _ Quota = (*runs)(nil)
