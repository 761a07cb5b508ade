package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"manus/docstore"
)

// listen serves a door on a port of its own, with times shorter than any route's.
func listen(t *testing.T, api *API) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(api)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Config.ReadTimeout, server.Config.WriteTimeout = time.Minute, time.Minute
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func do(t *testing.T, method, address string, body io.Reader) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func TestRawBytesArriveAsTheyWereSentUpToTheCapOfTheirRoute(t *testing.T) {
	t.Parallel()
	const most = 20 << 20
	api := handling(slog.New(slog.DiscardHandler), Route{Pattern: "POST /envelope", MaxBody: most, BodyTimeout: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		if _, err := io.Copy(hash, r.Body); err != nil {
			WriteError(w, r, nil, err)
			return
		}
		fmt.Fprintf(w, "%x", hash.Sum(nil))
	})
	address := listen(t, api).URL + "/envelope"
	bytesOf := func(n int) []byte { return bytes.Repeat([]byte("\x00\xffé\r\n"), n/6+1)[:n] }
	sent := bytesOf(most)
	for name, body := range map[string]io.Reader{"its length told": bytes.NewReader(sent), "in chunks": io.MultiReader(bytes.NewReader(sent))} {
		if response, got := do(t, http.MethodPost, address, body); response.StatusCode != 200 || got != fmt.Sprintf("%x", sha256.Sum256(sent)) {
			t.Errorf("%s: %d %s", name, response.StatusCode, got)
		}
	}
	if response, got := do(t, http.MethodPost, address, io.MultiReader(bytes.NewReader(bytesOf(most+1)))); response.StatusCode != 413 || !strings.Contains(got, "/problems/too-large") {
		t.Errorf("too large, in chunks: %d %s", response.StatusCode, got)
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/envelope", bytes.NewReader(bytesOf(most+1))))
	wantProblem(t, w, 413, "too-large")
}

func TestABodyThatComesTooSlowlyIsTheClientsFault(t *testing.T) {
	t.Parallel()
	for name, register := range map[string]func(*API){
		"raw": func(api *API) {
			api.Handle(Route{Access: Public, Pattern: "POST /api/v1/slow", BodyTimeout: time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				WriteError(w, r, nil, err)
			}))
		},
		"typed": func(api *API) {
			Register(Group{API: api}, Route{Access: Public, Pattern: "POST /slow", ID: "slow", BodyTimeout: time.Millisecond},
				func(context.Context, *teaInput) (*teaOutput, error) { return nil, nil })
		},
	} {
		api := newAPI(slog.New(slog.DiscardHandler))
		register(api)
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listen(t, api).Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "POST /api/v1/slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		answer, err := io.ReadAll(conn) // it is closed, since the rest of the body can't be told from a request
		if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) || !bytes.Contains(answer, []byte("/problems/slow-body")) {
			t.Errorf("%s: %s, %v", name, answer, err)
		}
		_ = conn.Close()
	}
}

// pipes are connections in memory, so that time may be the test's.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, open := <-p; open {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlowSendersAreCut: who sends less in a second than a route wants is cut soon; who sends
// more has the whole time, as has one whom nobody reads for a while.
func TestSlowSendersAreCut(t *testing.T) {
	t.Parallel()
	const rate = 1 << 10
	for name, c := range map[string]struct {
		every      time.Duration
		part, size int
		idle       time.Duration // before the handler reads
		status     string
		within     time.Duration
	}{
		"nothing":             {time.Hour, 1, 100, 0, "408", rateGrace + time.Second},
		"a byte a second":     {time.Second, 1, 100, 0, "408", rateGrace + time.Second},
		"half of it":          {time.Second, rate / 2, 100 * rate, 0, "408", 2*rateGrace + 2*time.Second},
		"twice as much":       {time.Second, 2 * rate, 60 * rate, 0, "200", 31 * time.Second},
		"too long all in all": {time.Second, 2 * rate, 600 * rate, 0, "408", time.Minute + time.Second},
		"nobody reads it":     {0, rate, 4 * rate, 50 * time.Second, "200", 51 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			api := handling(slog.New(slog.DiscardHandler), Route{Pattern: "POST /", MaxBody: 1 << 20, BodyTimeout: time.Minute, BodyRate: rate, Timeout: time.Hour}, func(w http.ResponseWriter, r *http.Request) {
				<-time.After(c.idle)
				if _, err := io.ReadAll(r.Body); err != nil {
					WriteError(w, r, nil, err)
				}
			})
			connections := make(pipes)
			server := &http.Server{Handler: api, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
			go func() { _ = server.Serve(connections) }()
			client, served := net.Pipe()
			connections <- served
			began, over := time.Now(), make(chan struct{})
			go func() {
				fmt.Fprintf(client, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", c.size)
				for sent := 0; sent < c.size; sent += c.part {
					select {
					case <-time.After(c.every):
					case <-over:
						return
					}
					if _, err := client.Write(make([]byte, c.part)); err != nil {
						return
					}
				}
			}()
			answer, err := io.ReadAll(client)
			if took := time.Since(began); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 "+c.status)) || took > c.within {
				t.Errorf("%s: %.30s after %s, %v", name, answer, took, err)
			}
			close(over)
			_ = client.Close()
			_ = server.Close()
		})
	}
}

// TestAHandlerHasItsOwnTimeOnceTheBodyIsThere has a body whose time is over long before
// the handler's.
func TestAHandlerHasItsOwnTimeOnceTheBodyIsThere(t *testing.T) {
	t.Parallel()
	over := make(chan error, 1)
	api := handling(slog.New(slog.DiscardHandler), Route{Pattern: "POST /", BodyTimeout: 50 * time.Millisecond, Timeout: 200 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
		over <- r.Context().Err()
		WriteError(w, r, nil, r.Context().Err())
	})
	response, got := do(t, http.MethodPost, listen(t, api).URL, strings.NewReader("x"))
	if err := <-over; !errors.Is(err, context.DeadlineExceeded) || response.StatusCode != 503 || !strings.Contains(got, "/problems/timeout") {
		t.Errorf("%v, %d %s", err, response.StatusCode, got)
	}
}

func TestARouteHasTheTimeThatItSays(t *testing.T) {
	t.Parallel()
	for want, route := range map[time.Duration]Route{30 * time.Second: {}, time.Hour: {Timeout: time.Hour}, 0: {Timeout: NoTimeout}} {
		synctest.Test(t, func(t *testing.T) {
			route.Pattern = "GET /"
			api := handling(slog.New(slog.DiscardHandler), route, func(_ http.ResponseWriter, r *http.Request) {
				begin := time.Now()
				deadline, ends := r.Context().Deadline()
				if ends != (want > 0) || ends && deadline.Sub(begin) != want {
					t.Errorf("%v: it ends %v, in %v", want, ends, deadline.Sub(begin))
				}
				if ends {
					derived, cancel := context.WithCancel(r.Context())
					defer cancel()
					<-derived.Done()
					if took := time.Since(begin); took != want {
						t.Errorf("it took %v", took)
					}
				}
			})
			api.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		})
	}
}

// The clock of a route's time is only set for those who wait; that it is over is seen by
// whoever looks.
func TestTheEndOfARoutesTimeIsSeenWithoutWaitingForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := handling(slog.New(slog.DiscardHandler), Route{Pattern: "GET /"}, func(_ http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			if err := ctx.Err(); err != nil {
				t.Errorf("at the beginning: %v", err)
			}
			<-time.After(timeout - 1)
			if err := ctx.Err(); err != nil {
				t.Errorf("just before: %v", err)
			}
			<-time.After(1)
			if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("afterwards: %v", err)
			}
			<-ctx.Done()
		})
		ctx, leave := context.WithCancel(t.Context())
		api.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		gone := handling(slog.New(slog.DiscardHandler), Route{Pattern: "GET /"}, func(_ http.ResponseWriter, r *http.Request) {
			if leave(); !errors.Is(r.Context().Err(), context.Canceled) {
				t.Errorf("of a client who is gone: %v", r.Context().Err())
			}
		})
		gone.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	})
}

func TestAnEmbeddedImageMayBeEmbedded(t *testing.T) {
	t.Parallel()
	route := Route{
		Access: Public, Pattern: "GET /status/badge/{component}", Caching: "public, max-age=60",
		Headers: map[string]string{"Cross-Origin-Resource-Policy": "cross-origin", "x-frame-options": "", "Content-Security-Policy": "default-src 'none'"},
	}
	api := handling(slog.New(slog.DiscardHandler), route, func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("component") == "nothing" {
			WriteError(w, r, nil, ErrNotFound)
			return
		}
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, "<svg/>")
	})
	for component, caching := range map[string]string{"api.svg": "public, max-age=60", "nothing": "no-store"} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/status/badge/"+component, nil))
		for name, want := range map[string]string{
			"Cross-Origin-Resource-Policy": "cross-origin", "X-Frame-Options": "", "Content-Security-Policy": "default-src 'none'",
			"X-Content-Type-Options": "nosniff", "Cache-Control": caching,
		} {
			if got := strings.Join(w.Header().Values(name), ";"); got != want {
				t.Errorf("%s: %s is %q, want %q", component, name, got, want)
			}
		}
	}
}

// noPolicy leaves to an upstream what its answers' headers say.
func noPolicy() map[string]string {
	none := policy()
	for name := range none {
		none[name] = ""
	}
	return none
}

func TestAProxyPassesWhatItsUpstreamSays(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/app/stream" {
			fmt.Fprintln(w, "first")
			_ = http.NewResponseController(w).Flush()
			<-more
			fmt.Fprintln(w, "second")
			return
		}
		w.Header().Set("Content-Security-Policy", "script-src 'self'")
		w.Header().Set("Cache-Control", "max-age=5")
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(upstream.Close)
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	api := handling(slog.New(slog.DiscardHandler), Route{Pattern: "/app/", MaxBody: 1 << 30, Timeout: NoTimeout, BodyTimeout: time.Minute, Headers: noPolicy()}, proxy.ServeHTTP)
	server := listen(t, api)
	for _, method := range methods() {
		response, body := do(t, method, server.URL+"/app/page", strings.NewReader("sent"))
		header := response.Header
		if response.StatusCode != 202 || body != "sent" || len(header["Content-Security-Policy"]) != 1 || header.Get("Content-Security-Policy") != "script-src 'self'" ||
			len(header["Cache-Control"]) != 1 || header.Get("X-Frame-Options") != "SAMEORIGIN" || header.Get("X-Content-Type-Options") != "" || header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %q %v", method, response.StatusCode, body, header)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/app/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for _, want := range []string{"first\n", "second\n"} {
		if line, err := lines.ReadString('\n'); err != nil || line != want {
			t.Fatalf("%q, %v", line, err)
		}
		if want == "first\n" {
			close(more) // the first has arrived before the second was written
		}
	}
}

// TestAReaderHasOnlySoLongForEachPart never reads an answer that has no end.
func TestAReaderHasOnlySoLongForEachPart(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	api := handling(slog.New(slog.DiscardHandler), Route{Pattern: "GET /", Timeout: NoTimeout}, func(w http.ResponseWriter, _ *http.Request) {
		PartTimeout(w, 20*time.Millisecond)
		for part := make([]byte, 1<<20); ; {
			if _, err := w.Write(part); err != nil {
				ended <- err
				return
			}
		}
	})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listen(t, api).Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-ended
}

func TestHalfAnAnswerIsNotTakenForAWholeOne(t *testing.T) {
	t.Parallel()
	api := handling(slog.New(slog.DiscardHandler), Route{Pattern: "GET /"}, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(secret)
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, listen(t, api).URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got, err := io.ReadAll(response.Body); err == nil || string(got) != "half" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestADrainingDoorClosesItsConnections(t *testing.T) {
	t.Parallel()
	api := handling(slog.New(slog.DiscardHandler), Route{Pattern: "GET /"}, func(http.ResponseWriter, *http.Request) {})
	for _, want := range []string{"", "close"} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if got := w.Header().Get("Connection"); got != want || w.Code != 200 {
			t.Errorf("%d, Connection is %q, want %q", w.Code, got, want)
		}
		api.Drain()
	}
}

func TestThePolicyHoldsForAllThatSaysNothingElse(t *testing.T) {
	t.Parallel()
	_, api, _ := setup(t, nil)
	api.(*API).Handle(Route{Access: Public, Pattern: "GET /page"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, path := range []string{"/page", "/nowhere", "/api/v1/tea", "//page", "/page/../page"} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		for name, want := range policy() {
			if got := strings.Join(w.Header().Values(name), ";"); got != want {
				t.Errorf("%s (%d): %s is %q", path, w.Code, name, got)
			}
		}
	}
}

// TestTheCauseOfAPagesProblemIsLogged: pages and raw routes answer by WriteError.
func TestTheCauseOfAPagesProblemIsLogged(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	api := handling(slog.New(slog.NewTextHandler(&logged, nil)), Route{Pattern: "GET /"}, func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, r, nil, fmt.Errorf("the index %w", docstore.ErrInvalid))
	})
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	p := wantProblem(t, w, 500, "internal")
	if line := logged.String(); !strings.Contains(line, "the index invalid query") || !strings.Contains(line, p.RequestID) {
		t.Errorf("logged: %s", line)
	}
}

func TestTheLanguageOfARequestStays(t *testing.T) {
	t.Parallel()
	api := handling(slog.New(slog.DiscardHandler), Route{Pattern: "GET /"}, func(w http.ResponseWriter, r *http.Request) {
		WriteError(httptest.NewRecorder(), r, nil, ErrNotFound)
		r.Header.Set("Accept-Language", "en")
		WriteError(w, r, nil, ErrNotFound)
	})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept-Language", "ar")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Language"); got != "ar" {
		t.Errorf("it is %q now", got)
	}
}

// TestRoutineIsLoggedWhereItGoesWrong: as long as it goes well it is for debugging alone.
func TestRoutineIsLoggedWhereItGoesWrong(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	api := newAPI(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	api.Routine = func(r *http.Request) bool { return r.UserAgent() == "Manus" }
	api.Handle(Route{Pattern: "GET /ready", Access: Public}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct{ agent, path, level string }{{"Manus", "/ready", "DEBUG"}, {"Manus", "/nothing", "INFO"}, {"curl", "/ready", "INFO"}} {
		logged.Reset()
		r := httptest.NewRequest("GET", c.path, nil)
		r.Header.Set("User-Agent", c.agent)
		api.ServeHTTP(httptest.NewRecorder(), r)
		if got := logged.String(); !strings.Contains(got, "level="+c.level+" msg=request") {
			t.Errorf("%s asks for %s: %s", c.agent, c.path, got)
		}
	}
}
