package session

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"manus/identity"
)

// withTickets is a bench whose tickets are for callers of the tests while they are alive.
func withTickets(t *testing.T, b bench, alive func(context.Context) error) bench {
	t.Helper()
	b.c.Caller = func(ctx context.Context, loginID, keyID string) (identity.Caller, error) {
		if alive(ctx) != nil {
			return identity.Caller{}, nil
		}
		if keyID != "" {
			return caller(keyID, alive), nil
		}
		return caller(strings.TrimPrefix(loginID, "login of "), alive), nil
	}
	return b
}

// ticketFor asks for a ticket, and returns the path of its address.
func ticketFor(t *testing.T, b bench, server, user, id string) string {
	t.Helper()
	secret, err := b.giveTicket(t.Context(), caller(user, yes), id)
	if err != nil {
		t.Fatal(err)
	}
	return server + "/api/v1/sessions/" + id + "/events?ticket=" + secret
}

// enter opens an address as an EventSource does, and returns the stream, or the status of
// what isn't one.
func enter(t *testing.T, address, lastEventID string) (*bufio.Reader, io.Closer, int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return bufio.NewReader(response.Body), response.Body, response.StatusCode
}

// lastID is the id that a browser has after the next event, even one that says nothing.
func lastID(t *testing.T, stream *bufio.Reader) (id string) {
	t.Helper()
	for {
		line, err := stream.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\n" {
			return id
		}
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "id: "); ok {
			id = value
		}
	}
}

func TestATicketOpensOneStreamToWhichItsReaderComesBack(t *testing.T) {
	t.Parallel()
	b := withTickets(t, setup(t), yes)
	server := serve(t, b, yes)
	id := b.written(t, 1)
	address := ticketFor(t, b, server.URL, "u", id)
	stream, closer, status := enter(t, address, "")
	if status != 200 {
		t.Fatalf("the ticket isn't taken: %d", status)
	}
	begin := lastID(t, stream)
	if !strings.HasPrefix(begin, "0.") {
		t.Errorf("the stream begins with id %q", begin)
	}
	last := lastID(t, stream)
	if last != "1"+begin[1:] {
		t.Errorf("the first event has id %q", last)
	}
	for name, seen := range map[string]string{"with the address alone": "", "with a place": "1", "with another key": "1." + strings.Repeat("A", returnKeyLength)} {
		if _, _, status := enter(t, address, seen); status != 401 {
			t.Errorf("a second one comes in %s: %d", name, status)
		}
	}
	_ = closer.Close()
	if _, err := b.Write(t.Context(), "u", id, "x", ""); err != nil {
		t.Fatal(err)
	}
	// The program is another one by now.
	again := withTickets(t, onStore(t, openStore(t, b.path), b.path, pace{}), yes)
	address = strings.Replace(address, server.URL, serve(t, again, yes).URL, 1)
	stream, _, status = enter(t, address, last)
	if status != 200 {
		t.Fatalf("its reader doesn't come back: %d", status)
	}
	if back := lastID(t, stream); back != last {
		t.Errorf("it comes back as %q, and was %q", back, last)
	}
	if next := lastID(t, stream); next != "2"+begin[1:] {
		t.Errorf("what follows has id %q", next)
	}
}

func TestATicketIsForOneSessionForAMinute(t *testing.T) {
	t.Parallel()
	b, clock := onClock(t)
	b = withTickets(t, b, yes)
	server := serve(t, b, yes)
	one, two := b.written(t, 1), b.written(t, 1)
	address := ticketFor(t, b, server.URL, "u", one)
	if _, _, status := enter(t, strings.Replace(address, one, two, 1), ""); status != 401 {
		t.Errorf("it opens another session: %d", status)
	}
	if _, _, status := enter(t, strings.Replace(address, "/events?", "?", 1), ""); status != 401 {
		t.Errorf("it opens another address: %d", status)
	}
	clock.Add(ticketLifetime)
	if _, _, status := enter(t, address, ""); status != 401 {
		t.Errorf("it is taken after a minute: %d", status)
	}
	address = ticketFor(t, b, server.URL, "u", one)
	stream, _, _ := enter(t, address, "")
	last := lastID(t, stream)
	clock.Add(returnLifetime - time.Second)
	if _, _, status := enter(t, address, last); status != 200 {
		t.Errorf("its reader doesn't come back within a day: %d", status)
	}
	clock.Add(time.Second)
	if _, _, status := enter(t, address, last); status != 401 {
		t.Errorf("its reader comes back after a day: %d", status)
	}
	clock.Add(time.Second)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tickets.Get(t.Context(), hash(address[strings.Index(address, "=")+1:])); err == nil {
		t.Error("it is kept for ever")
	}
	if _, err := b.giveTicket(t.Context(), caller("somebody else", yes), one); !errors.Is(err, ErrNotFound) {
		t.Errorf("somebody else gets one: %v", err)
	}
	worker := ticketFor(t, b, server.URL, "worker", one)
	if _, _, status := enter(t, worker, ""); status != 200 {
		t.Errorf("a worker's: %d", status)
	}
}

func TestATicketEndsWithTheLoginAndTheSession(t *testing.T) {
	t.Parallel()
	var gone error
	b := withTickets(t, setup(t), func(context.Context) error { return gone })
	server := serve(t, b, yes)
	id := b.written(t, 1)
	address := ticketFor(t, b, server.URL, "u", id)
	gone = errors.New("signed out")
	if _, _, status := enter(t, address, ""); status != 401 {
		t.Errorf("after signing out: %d", status)
	}
	gone = nil
	if _, err := b.Stop(t.Context(), "u", id); err != nil {
		t.Fatal(err)
	}
	_, _, status := enter(t, address, "2."+strings.Repeat("A", returnKeyLength))
	if status != 204 { // which an EventSource doesn't come back from
		t.Errorf("of a stopped session, with all seen: %d", status)
	}
	address = ticketFor(t, b, server.URL, "u", id)
	if err := b.Delete(t.Context(), "u", id); err != nil {
		t.Fatal(err)
	}
	if _, _, status := enter(t, address, ""); status != 401 {
		t.Errorf("of a deleted session: %d", status)
	}
}

func TestATicketsAddressIsWhereTheProgramIsReached(t *testing.T) {
	t.Parallel()
	b := withTickets(t, setup(t), yes)
	server := serve(t, b, yes)
	id := b.create(t).ID
	for _, public := range []string{"", "https://app.example.com"} {
		b.c.URL = public
		var got ticketBody
		if err := json.Unmarshal([]byte(call(t, server, "u", "POST", "/sessions/"+id+"/stream-ticket", "", 200)), &got); err != nil {
			t.Fatal(err)
		}
		if public == "" {
			public = server.URL
		}
		if !strings.HasPrefix(got.URL, public+"/api/v1/sessions/"+id+"/events?ticket=") || got.ExpiresIn != 60 {
			t.Errorf("got %+v", got)
		}
	}
}
