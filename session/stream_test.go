package session

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// reader takes what a stream writes, or fails: at once, or only when it has to be sent.
type reader struct {
	*httptest.ResponseRecorder
	write, flush error
}

func (r reader) Write(text []byte) (int, error) {
	if r.write != nil {
		return 0, r.write
	}
	return r.ResponseRecorder.Write(text)
}

func (r reader) FlushError() error {
	r.Flush()
	return r.flush
}

// following is a stream of the session that has just begun.
func (b bench) following(id string, r reader) *stream {
	now := time.Now()
	st := b.logStream(caller("u", yes), id, 0)
	st.looked, st.out = now, &sseWriter{w: r, control: http.NewResponseController(r), last: now}
	return st
}

// What a stream that has nothing to send does at each beat of its poll.
func TestAStreamThatWaitsLooksWhereItMust(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		change func(b bench, st *stream, r *reader)
		idle   bool // it waits on, without a look at the store
		err    error
		beats  bool
	}{
		"alone":        {},
		"hints arrive": {change: func(b bench, st *stream, _ *reader) { st.hints = always{} }, idle: true},
		"hints arrive for long": {change: func(b bench, st *stream, _ *reader) {
			st.hints = always{}
			st.looked = st.looked.Add(-b.streams.Patience)
		}},
		"silent for long":          {change: func(b bench, st *stream, _ *reader) { st.out.last = st.out.last.Add(-b.streams.Heartbeat) }, beats: true},
		"silent, and hints arrive": {change: func(b bench, st *stream, _ *reader) { st.hints = always{}; st.out.last = time.Time{} }, idle: true, beats: true},
		"the reader is gone":       {change: func(_ bench, st *stream, r *reader) { st.out.last = time.Time{}; r.write = gone }, err: gone},
		"the login has ended":      {change: func(_ bench, st *stream, _ *reader) { st.alive = func(context.Context) error { return gone } }, err: gone},
		"the session is deleted":   {change: func(b bench, _ *stream, _ *reader) { _ = b.Erase(context.Background(), "u") }, err: ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r := &reader{ResponseRecorder: httptest.NewRecorder()}
			st := b.following(b.create(t).ID, *r)
			if c.change != nil {
				c.change(b, st, r)
				st.out.w, st.out.control = *r, http.NewResponseController(*r)
			}
			idle, err := st.check(t.Context())
			if idle != c.idle || !errors.Is(err, c.err) {
				t.Errorf("it waits on: %v, %v", idle, err)
			}
			if beats := strings.HasPrefix(r.Body.String(), ":"); beats != c.beats {
				t.Errorf("it has broken the silence: %v", beats)
			}
		})
	}
}

// always is hints that arrive.
type always struct{}

func (always) Publish(string) {}
func (always) Alive() bool    { return true }

func TestAStreamWhoseReaderFailsEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.written(t, 1)
	gone := errors.New("gone")
	for name, r := range map[string]reader{"writing": {httptest.NewRecorder(), gone, nil}, "sending": {httptest.NewRecorder(), nil, gone}} {
		if _, err := newSSEWriter(r, time.Second, 0, ""); !errors.Is(err, gone) {
			t.Errorf("%s fails, and it begins: %v", name, err)
		}
		if ended, err := b.following(id, r).catchUp(t.Context()); ended || !errors.Is(err, gone) {
			t.Errorf("%s fails, and it goes on: %v, %v", name, ended, err)
		}
	}
}

func TestAStreamSendsALogOfManyPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.written(t, 2*streamPage+1)
	r := reader{ResponseRecorder: httptest.NewRecorder()}
	st := b.following(id, r)
	if ended, err := st.catchUp(t.Context()); ended || err != nil {
		t.Fatalf("got %v, %v", ended, err)
	}
	if n := strings.Count(r.Body.String(), "\nid: ") + 1; n != 2*streamPage+1 || st.after != int64(n) || !r.Flushed {
		t.Errorf("%d events are sent, the last of which is %d", n, st.after)
	}
	if _, err := b.Stop(t.Context(), "u", id); err != nil {
		t.Fatal(err)
	}
	if ended, err := st.catchUp(t.Context()); !ended || err != nil {
		t.Errorf("after the stop: %v, %v", ended, err)
	}
}
