package session

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"manus/httpapi"
	"manus/identity"
)

// pace is that of live streams. Zero fields have the defaults.
type pace struct {
	// Poll is how often a stream looks at the store by itself, for what other
	// copies of the program have appended, and asks whether its reader's proof
	// still holds. Default 1 s.
	Poll time.Duration
	// Patience is how often it looks at the store while the other copies' hints
	// arrive. Default 5 s.
	Patience time.Duration
	// Heartbeat is how long a stream is silent at most. Default 15 s.
	Heartbeat time.Duration
	// WriteTimeout is how long a reader may take to accept what is written;
	// slower ones are dropped, and come back where they were. Default 10 s.
	WriteTimeout time.Duration
	// MaxPerUser and Max bound streams that are open at once. Defaults 20 and
	// 10,000.
	MaxPerUser, Max int
	// MaxPerWorker bounds those of a worker's key, waiting claims too. Default 1,000.
	MaxPerWorker int
}

const (
	// streamPage is how many events a stream holds in memory.
	streamPage = 32
	// reconnectAfter is what readers are told to wait before they come back.
	reconnectAfter = 2 * time.Second
)

var (
	errTooManyStreams = errors.New("too many streams are open")
	errBadEventID     = errors.New("the Last-Event-ID isn't one of a stream")
)

// streams are the live streams of this copy of the program. A poke is a hint
// that a log has grown and carries nothing: what a stream sends it reads from
// the store.
type streams struct {
	pace
	closing   chan struct{}
	closeOnce sync.Once

	mu     sync.Mutex
	open   int
	byUser map[string]int
	pokes  map[string]map[chan struct{}]bool // by session
}

func newStreams(c pace) *streams {
	c.Poll = cmp.Or(c.Poll, time.Second)
	c.Patience = cmp.Or(c.Patience, 5*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.MaxPerUser = cmp.Or(c.MaxPerUser, 20)
	c.MaxPerWorker = cmp.Or(c.MaxPerWorker, 1000)
	c.Max = cmp.Or(c.Max, 10_000)
	return &streams{pace: c, closing: make(chan struct{}), byUser: map[string]int{}, pokes: map[string]map[chan struct{}]bool{}}
}

func (s *streams) close() { s.closeOnce.Do(func() { close(s.closing) }) }

// enter counts a stream in, or returns errTooManyStreams. leave is to be called
// at its end.
func (s *streams) enter(caller identity.Caller, sessionID string) (poked chan struct{}, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	userID, most := caller.UserID, s.MaxPerUser
	if caller.IsWorker() {
		userID, most = "key/"+caller.KeyID, s.MaxPerWorker
	}
	if s.open >= s.Max || s.byUser[userID] >= most {
		return nil, nil, errTooManyStreams
	}
	s.open++
	s.byUser[userID]++
	poked = make(chan struct{}, 1)
	if s.pokes[sessionID] == nil {
		s.pokes[sessionID] = map[chan struct{}]bool{}
	}
	s.pokes[sessionID][poked] = true
	return poked, func() { s.leave(userID, sessionID, poked) }, nil
}

func (s *streams) leave(userID, sessionID string, poked chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.byUser[userID]--; s.byUser[userID] == 0 {
		delete(s.byUser, userID)
	}
	if delete(s.pokes[sessionID], poked); len(s.pokes[sessionID]) == 0 {
		delete(s.pokes, sessionID)
	}
}

// poke wakes the session's streams.
func (s *streams) poke(sessionID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pokeEach(s.pokes[sessionID])
}

// pokeAll wakes all streams.
func (s *streams) pokeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, session := range s.pokes {
		pokeEach(session)
	}
}

func pokeEach(session map[chan struct{}]bool) {
	for poked := range session {
		select {
		case poked <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// parseEventID reads a Last-Event-ID: the place of the last event seen, and behind a dot
// the key to come back with, where a ticket was used.
func parseEventID(id string, most int64) (after int64, returnKey string, err error) {
	place, returnKey, keyed := strings.Cut(id, ".")
	n, err := strconv.ParseInt(place, 10, 64)
	if err != nil || n < 0 || n > most || keyed && len(returnKey) != returnKeyLength {
		return 0, "", errBadEventID
	}
	return n, returnKey, nil
}

// returnKeyLength is that of rand.Text.
const returnKeyLength = 26

// sent is what a stream sends of an event.
type sent struct {
	place int64 // its id
	event string
	body  any
	last  bool // nothing follows it, ever
}

// stream is one reader following one log.
type stream struct {
	*streams
	hints Hints
	after int64 // the place of the last event sent
	// read are events after a place, the place that was looked at last, and whether there
	// are more.
	read func(ctx context.Context, after int64, limit int) (events []sent, last int64, more bool, err error)
	// alive and exists tell whether the reader may read on, and whether there is still
	// something to read.
	alive  func(context.Context) error
	exists func(context.Context) error
	poked  chan struct{}
	looked time.Time // when it began to look at the store
	out    *sseWriter
}

// run sends events until the log's last one, the reader leaves or is too slow,
// its proof ends, or the program stops. Whatever it was, the reader can come
// back with the id of the last event that reached it.
func (st *stream) run(ctx context.Context) error {
	poll := time.NewTicker(st.Poll)
	defer poll.Stop()
	for {
		ended, err := st.catchUp(ctx)
		if ended || err != nil {
			return err
		}
		for idle := true; idle; {
			select {
			case <-st.poked:
				idle = false
			case <-poll.C:
				if idle, err = st.check(ctx); err != nil {
					return err
				}
			case <-st.closing:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// check ends the stream when the reader may not read any more, and breaks the
// silence when it is time to. It may be idle on when hints would tell of anything
// new.
func (st *stream) check(ctx context.Context) (idle bool, err error) {
	if err := st.alive(ctx); err != nil {
		return false, err
	}
	if time.Since(st.out.last) >= st.Heartbeat {
		if err := st.out.write([]byte(": still here\n\n")); err != nil {
			return false, err
		}
	}
	if st.hints.Alive() && time.Since(st.looked) < st.Patience {
		return true, nil
	}
	return false, st.exists(ctx)
}

// catchUp sends what the log has that the reader doesn't.
func (st *stream) catchUp(ctx context.Context) (ended bool, err error) {
	st.looked = time.Now()
	for {
		events, last, more, err := st.read(ctx, st.after, streamPage)
		if err != nil {
			return false, err
		}
		for _, e := range events {
			if err := st.out.event(e); err != nil {
				return false, err
			}
			if e.last {
				return true, st.out.flush()
			}
		}
		st.after = last
		if err := st.out.flush(); err != nil || !more {
			return false, err
		}
	}
}

// sseWriter writes server-sent events (the HTML standard, 9.2).
type sseWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	suffix  string // of ids: the key to come back with
	last    time.Time
}

// newSSEWriter begins the answer. The reader has the timeout for each part of it. A reader
// with a key to come back with has it from the first line on.
func newSSEWriter(w http.ResponseWriter, timeout time.Duration, after int64, returnKey string) (*sseWriter, error) {
	s := &sseWriter{w: w, control: http.NewResponseController(w)}
	httpapi.PartTimeout(w, timeout)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
	begin := fmt.Appendf(nil, "retry: %d\n", reconnectAfter.Milliseconds())
	if returnKey != "" {
		s.suffix = "." + returnKey
		begin = fmt.Appendf(begin, "id: %d%s\n", after, s.suffix)
	}
	return s, s.write(append(begin, '\n'))
}

// event writes one event without flushing. JSON has no line breaks outside of
// strings and escapes them inside.
func (s *sseWriter) event(e sent) error {
	data, err := json.Marshal(e.body)
	if err != nil {
		return err
	}
	s.last = time.Now()
	_, err = fmt.Fprintf(s.w, "id: %d%s\nevent: %s\ndata: %s\n\n", e.place, s.suffix, e.event, data)
	return err
}

func (s *sseWriter) write(text []byte) error {
	s.last = time.Now()
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.flush()
}

func (s *sseWriter) flush() error {
	if err := s.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// The topics of streams and of waiting claims beside those of sessions, which are ids.
const (
	feedTopic = "feed"
	workTopic = "work"
)

// serve answers a reader, who has been let in, with a stream.
func (s *Service) serve(ctx context.Context, st *stream, returnKey string, leave func()) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		defer leave()
		var err error
		if st.out, err = newSSEWriter(w, st.WriteTimeout, st.after, returnKey); err != nil {
			return // the client is gone
		}
		if err := st.run(ctx); err != nil {
			s.c.Log.DebugContext(ctx, "a stream ended", "request_id", httpapi.RequestID(ctx), "error", err)
			panic(http.ErrAbortHandler) // so that the reader doesn't take it for the end
		}
	}
}
