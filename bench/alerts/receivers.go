package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// receivers take mails and webhooks, and remember what came when.
type receivers struct {
	addresses []string // of the mail server and of the webhooks
	listeners []net.Listener
	mu        sync.Mutex
	came      map[string][]arrival // by channel
}

// arrival is a message that was taken. At is in Unix nanoseconds.
type arrival struct {
	State, Title string
	Kind         string
	At           int64
}

func startReceivers() (*receivers, error) {
	r := &receivers{came: map[string][]arrival{}}
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		r.listeners, r.addresses = append(r.listeners, l), append(r.addresses, l.Addr().String())
	}
	go r.serveMail(r.listeners[0])
	go func() { _ = http.Serve(r.listeners[1], r) }()
	return r, nil
}

func (r *receivers) stop() {
	for _, l := range r.listeners {
		_ = l.Close()
	}
}

func (r *receivers) note(channel string, a arrival) {
	a.At = time.Now().UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.came[channel] = append(r.came[channel], a)
}

// ServeHTTP takes a webhook at /NAME, or at /NAME/50ms after a while. What was taken is
// told at /taken/NAME, and forgotten.
func (r *receivers) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	parts := strings.Split(strings.Trim(q.URL.Path, "/"), "/")
	if parts[0] == "taken" {
		r.mu.Lock()
		defer r.mu.Unlock()
		_ = json.NewEncoder(w).Encode(r.came[parts[1]])
		delete(r.came, parts[1])
		return
	}
	if parts[0] == "hang" {
		<-q.Context().Done()
		return
	}
	if len(parts) > 1 {
		wait, _ := time.ParseDuration(parts[1])
		time.Sleep(wait)
	}
	var event struct {
		Data struct{ State, Title, Kind string }
	}
	if json.NewDecoder(q.Body).Decode(&event) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.note(parts[0], arrival{State: event.Data.State, Title: event.Data.Title, Kind: event.Data.Kind})
}

// serveMail is as much of SMTP as a client without TLS needs.
func (r *receivers) serveMail(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close() //nolint:errcheck // it has ended
			r.mailSession(conn)
		}()
	}
}

func (r *receivers) mailSession(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	say("220 localhost")
	inText, a := false, arrival{}
	for lines.Scan() {
		line := lines.Text()
		switch subject, is := strings.CutPrefix(line, "Subject: "); {
		case inText && line == ".":
			inText = false
			r.note("mail", a)
			say("250 taken")
		case inText && is:
			a.Title = subject
		case inText:
		case strings.HasPrefix(line, "EHLO"):
			say("250-localhost\r\n250 8BITMIME")
		case line == "DATA":
			inText = true
			say("354 go on")
		case line == "QUIT":
			say("221 bye")
			return
		default:
			say("250 OK")
		}
	}
}

// taken asks the receivers what came on a channel since the last time.
func taken(address, channel string) (all []arrival, err error) {
	answer, err := http.Get(fmt.Sprintf("http://%s/taken/%s", address, channel))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it is read
	return all, json.NewDecoder(answer.Body).Decode(&all)
}
