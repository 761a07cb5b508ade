package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readers, writers = 12, 4
	workers          = readers + writers
	password         = "correct horse battery staple"
)

// user is who sends requests. It remembers what it wrote, and what was
// acknowledged.
type user struct {
	url, email, token string
	sessions          []string // one for each writer

	mu           sync.Mutex
	acknowledged map[string]bool // by text; false where the answer was lost
	made         int
}

func newUser(url string) (*user, error) {
	u := &user{url: url, email: "amal@example.com", acknowledged: map[string]bool{}}
	status, text, err := u.post("/auth/register", `{"email":"`+u.email+`","password":"`+password+`"}`)
	var body struct {
		Access string `json:"access_token"`
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &body)
	}
	if err != nil || status != http.StatusCreated {
		return nil, fmt.Errorf("register: %d %s %w", status, text, err)
	}
	u.token = body.Access
	for range writers {
		id, err := u.newSession()
		if err != nil {
			return nil, err
		}
		u.sessions = append(u.sessions, id)
	}
	return u, nil
}

func (u *user) newSession() (string, error) {
	status, text, err := u.post("/sessions", `{}`)
	var body struct{ ID string }
	if err == nil {
		err = json.Unmarshal([]byte(text), &body)
	}
	if err != nil || status != http.StatusCreated {
		return "", fmt.Errorf("a session: %d %s %w", status, text, err)
	}
	return body.ID, nil
}

func (u *user) post(path, body string) (int, string, error) {
	status, text, _, err := u.send(http.DefaultClient, http.MethodPost, path, body)
	return status, text, err
}

func (u *user) get(path string) (string, error) {
	status, text, _, err := u.send(http.DefaultClient, http.MethodGet, path, "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, status, text)
	}
	return text, err
}

// send sends a request, and tells whether Go's client had to do so a second time.
func (u *user) send(client *http.Client, method, path, body string) (status int, text string, again bool, err error) {
	request, err := http.NewRequest(method, u.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", false, err
	}
	if body == "" {
		request.Body, request.GetBody, request.ContentLength = nil, nil, 0
	}
	connections := 0
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connections++ },
	}))
	request.Header.Set("Content-Type", "application/json")
	if u.token != "" {
		request.Header.Set("Authorization", "Bearer "+u.token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", connections > 1, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), connections > 1, err
}

// account compares the logs with what was acknowledged: everything that was is
// there once, and nothing is there twice.
func (u *user) account(t *tryout) error {
	count := map[string]int{}
	for _, id := range u.sessions {
		for after := 0; ; {
			text, err := u.get(fmt.Sprintf("/sessions/%s/events?limit=100&after=%d", id, after))
			if err != nil {
				return err
			}
			var page struct {
				Items []struct {
					Seq  int
					Data struct{ Text string }
				}
			}
			if err := json.Unmarshal([]byte(text), &page); err != nil {
				return err
			}
			if len(page.Items) == 0 {
				break
			}
			for _, e := range page.Items {
				t.promise(e.Seq == after+1, "after event %d comes %d", after, e.Seq)
				after = e.Seq
				count[e.Data.Text]++
			}
		}
	}
	lost, doubled, unsure, done := 0, 0, 0, 0
	for text, ok := range u.acknowledged {
		switch {
		case ok && count[text] == 0:
			lost++
		case !ok:
			unsure++
			done += count[text]
		}
		if count[text] > 1 {
			doubled++
		}
	}
	fmt.Printf("\nall in all\n  %d messages were sent; of %d the answer was lost, %d of which had been carried out; acknowledged but lost: %d; there twice: %d\n", len(u.acknowledged), unsure, done, lost, doubled)
	t.promise(lost == 0 && doubled == 0, "%d lost, %d doubled", lost, doubled)
	return nil
}

// load is many requests, until it is stopped.
type load struct {
	stopping atomic.Bool
	done     sync.WaitGroup
	mu       sync.Mutex
	summary  summary
}

// summary is what became of them.
type summary struct {
	gets, posts             int
	failedGets, failedPosts int
	again                   int // times that Go's client sent a GET anew
	first, last             time.Time
	kinds                   map[string]int
	took                    []time.Duration
	begin                   time.Time
}

func (s *summary) failed() int { return s.failedGets + s.failedPosts }

func (s *summary) print() {
	slices.Sort(s.took)
	at := func(percent int) float64 { return ms(s.took[min(len(s.took)*percent/100, len(s.took)-1)]) }
	fmt.Printf("  %d GETs and %d POSTs in %.0f s by %d at once; median %.1f ms, 99th %.1f ms, longest %.1f ms\n",
		s.gets, s.posts, time.Since(s.begin).Seconds(), workers, at(50), at(99), at(100))
	fmt.Printf("  failed: %d GETs, %d POSTs %v; sent anew by the client: %d\n", s.failedGets, s.failedPosts, s.kinds, s.again)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// start sends requests: half of the readers keep their connections, half begin anew
// each time. They read a page of the store, the writers append to sessions.
func (u *user) start(url string) *load {
	l := &load{summary: summary{kinds: map[string]int{}, begin: time.Now()}}
	for i := range workers {
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		l.done.Go(func() {
			defer client.CloseIdleConnections()
			for !l.stopping.Load() {
				if i < readers {
					l.note(http.MethodGet, func() (int, bool, error) {
						status, _, again, err := u.send(client, http.MethodGet, []string{"/auth/me", "/version", "/sessions?limit=5"}[i%3], "")
						return status, again, err
					})
				} else {
					l.note(http.MethodPost, func() (int, bool, error) { return u.write(client, u.sessions[i-readers]) })
				}
			}
		})
	}
	return l
}

// write sends one message, which no other is like.
func (u *user) write(client *http.Client, session string) (int, bool, error) {
	u.mu.Lock()
	u.made++
	text := "message " + strconv.Itoa(u.made)
	u.mu.Unlock()
	status, _, again, err := u.send(client, http.MethodPost, "/sessions/"+session+"/messages", `{"text":"`+text+`"}`)
	u.mu.Lock()
	u.acknowledged[text] = err == nil && status == http.StatusAccepted
	u.mu.Unlock()
	return status, again, err
}

func (l *load) note(method string, send func() (int, bool, error)) {
	begin := time.Now()
	status, again, err := send()
	end := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.summary
	s.took = append(s.took, end.Sub(begin))
	if again {
		s.again++
	}
	ok := err == nil && status < 300
	if method == http.MethodGet {
		s.gets++
	} else {
		s.posts++
	}
	if ok {
		return
	}
	if method == http.MethodGet {
		s.failedGets++
	} else {
		s.failedPosts++
	}
	kind := strconv.Itoa(status)
	if err != nil {
		kind = err.Error()
		if i := strings.LastIndex(kind, ": "); i >= 0 {
			kind = kind[i+2:]
		}
	}
	s.kinds[kind]++
	if s.first.IsZero() {
		s.first = end
	}
	s.last = end
}

func (l *load) stop() *summary {
	l.stopping.Store(true)
	l.done.Wait()
	return &l.summary
}

// stream is a live stream of a session.
type stream struct {
	body       io.Closer
	events     chan event
	heartbeats atomic.Int64
}

type event struct {
	id int
	at time.Time
}

var (
	errQuiet = errors.New("nothing came")
	errEnded = errors.New("the stream has ended")
)

func (u *user) follow(url, session string) (*stream, error) {
	request, err := http.NewRequest(http.MethodGet, url+"/api/v1/sessions/"+session+"/events", nil)
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{"Authorization": {"Bearer " + u.token}, "Accept": {"text/event-stream"}}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return nil, fmt.Errorf("a stream: %s", response.Status)
	}
	s := &stream{body: response.Body, events: make(chan event, 1000)}
	go s.read(response.Body)
	return s, nil
}

func (s *stream) read(body io.Reader) {
	defer close(s.events)
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		line := lines.Bytes()
		if id, ok := bytes.CutPrefix(line, []byte("id:")); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(string(id)))
			s.events <- event{n, time.Now()}
		} else if bytes.HasPrefix(line, []byte(":")) {
			s.heartbeats.Add(1)
		}
	}
}

// next waits for an event.
func (s *stream) next(patience time.Duration) (event, error) {
	select {
	case e, ok := <-s.events:
		if !ok {
			return event{}, errEnded
		}
		return e, nil
	case <-time.After(patience):
		return event{}, errQuiet
	}
}

func (s *stream) close() { _ = s.body.Close() }
