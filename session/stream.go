package session

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"manus/httpapi"
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
	c.Max = cmp.Or(c.Max, 10_000)
	return &streams{pace: c, closing: make(chan struct{}), byUser: map[string]int{}, pokes: map[string]map[chan struct{}]bool{}}
}

func (s *streams) close() { s.closeOnce.Do(func() { close(s.closing) }) }

// enter counts a stream in, or returns errTooManyStreams. leave is to be called
// at its end.
func (s *streams) enter(userID, sessionID string) (poked chan struct{}, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= s.Max || s.byUser[userID] >= s.MaxPerUser {
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

// parseEventID reads a Last-Event-ID: the place of the last event seen.
func parseEventID(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 0 || n > maxEvents+1 {
		return 0, errBadEventID
	}
	return n, nil
}

// stream is one reader following one log.
type stream struct {
	service *Service
	session string
	owner   string
	after   int64 // the place of the last event sent
	alive   func(context.Context) error
	poked   chan struct{}
	looked  time.Time // when it began to look at the store
	out     *sseWriter
}

// run sends events until the log's last one, the reader leaves or is too slow,
// its proof ends, or the program stops. Whatever it was, the reader can come
// back with the id of the last event that reached it.
func (st *stream) run(ctx context.Context) error {
	poll := time.NewTicker(st.service.streams.Poll)
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
			case <-st.service.streams.closing:
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
	if time.Since(st.out.last) >= st.service.streams.Heartbeat {
		if err := st.out.write([]byte(": still here\n\n")); err != nil {
			return false, err
		}
	}
	if st.service.hints.Alive() && time.Since(st.looked) < st.service.streams.Patience {
		return true, nil
	}
	_, err = st.service.Get(ctx, st.owner, st.session)
	return false, err
}

// catchUp sends what the log has that the reader doesn't.
func (st *stream) catchUp(ctx context.Context) (ended bool, err error) {
	st.looked = time.Now()
	for {
		events, next, err := st.service.Events(ctx, st.session, st.after, streamPage, "")
		if err != nil {
			return false, err
		}
		for _, e := range events {
			if err := st.out.event(e); err != nil {
				return false, err
			}
			if st.after = e.Seq; e.Type == StoppedType {
				return true, st.out.flush()
			}
		}
		if err := st.out.flush(); err != nil || next == "" {
			return false, err
		}
	}
}

// sseWriter writes server-sent events (the HTML standard, 9.2).
type sseWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	last    time.Time
}

// newSSEWriter begins the answer. The reader has the timeout for each part of it.
func newSSEWriter(w http.ResponseWriter, timeout time.Duration) (*sseWriter, error) {
	s := &sseWriter{w: w, control: http.NewResponseController(w)}
	httpapi.PartTimeout(w, timeout)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
	return s, s.write(fmt.Appendf(nil, "retry: %d\n\n", reconnectAfter.Milliseconds()))
}

// event writes one event without flushing. JSON has no line breaks outside of
// strings and escapes them inside.
func (s *sseWriter) event(e Event) error {
	data, err := json.Marshal(newEventBody(e))
	if err != nil {
		return err
	}
	s.last = time.Now()
	_, err = fmt.Fprintf(s.w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, data)
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
