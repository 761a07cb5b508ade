package channels

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"manus/notify"
)

func TestAMessageIsPosted(t *testing.T) {
	t.Parallel()
	eachService(t, func(t *testing.T, s service) {
		var connections atomic.Int32
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("User-Agent") != "Manus/1.2.3" || !json.Valid(body) {
				t.Errorf("%s %v %s, %v", r.Method, r.Header, body, err)
			}
			s.take(w)
		}))
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		server.Start()
		t.Cleanup(server.Close)
		channel := one(t, s.config(server.URL), Dependencies{Version: "1.2.3"})
		channel.pace.every = 0
		for _, m := range []notify.Message{down(), downInArabic(), over(down()), digest(down()), {}} {
			if err := channel.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		}
		if connections.Load() != 1 {
			t.Errorf("it took %d connections", connections.Load())
		}
	})
}

func TestWhatAnAnswerMeans(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(90 * time.Second)
	for _, c := range []struct {
		status  int
		after   string
		refused bool
		least   time.Duration // to be left alone
		most    time.Duration
	}{
		{status: 300}, {status: 301}, {status: 302}, {status: 307}, {status: 308}, {status: 304},
		{status: 400, refused: true}, {status: 401, refused: true}, {status: 403, refused: true}, {status: 404, refused: true}, {status: 410, refused: true}, {status: 413, refused: true}, {status: 422, refused: true}, {status: 499, refused: true},
		{status: 408}, {status: 425}, {status: 429}, {status: 500}, {status: 502}, {status: 503}, {status: 504}, {status: 599},
		{status: 429, after: "7", least: 7 * time.Second, most: 7 * time.Second},
		{status: 503, after: "7", least: 7 * time.Second, most: 7 * time.Second},
		{status: 429, after: "0.3", least: time.Second, most: time.Second},
		{status: 429, after: "0", least: time.Second, most: time.Second},
		{status: 429, after: "99999999999999999999", least: time.Hour, most: time.Hour},
		{status: 503, after: at.UTC().Format(http.TimeFormat), least: 60 * time.Second, most: 90 * time.Second},
		{status: 503, after: "Thu, 01 Jan 1970 00:00:00 GMT", least: time.Second, most: time.Second},
		{status: 503, after: "Thu, 01 Jan 9999 00:00:00 GMT", least: time.Hour, most: time.Hour},
		{status: 429, after: "-1"}, {status: 429, after: "NaN"}, {status: 429, after: "soon"}, {status: 500, after: "7"}, {status: 404, after: "7", refused: true},
	} {
		t.Run(fmt.Sprint(c.status, c.after), func(t *testing.T) {
			t.Parallel()
			eachService(t, func(t *testing.T, s service) {
				channel := to(t, s, func(w http.ResponseWriter, r *http.Request) {
					if c.after != "" {
						w.Header().Set("Retry-After", c.after)
					}
					w.Header().Set("Location", "https://elsewhere.example.com/")
					w.WriteHeader(c.status)
					body, _ := io.ReadAll(r.Body)
					_, _ = fmt.Fprintf(w, "not\x00 this\none: %s %s %s", r.URL, r.Header, body) // as some do
				})
				err := channel.Send(t.Context(), down())
				if err == nil || notify.IsRefused(err) != c.refused || notify.Wait(err) < c.least || notify.Wait(err) > c.most {
					t.Fatalf("refused %v, wait %v: %v", notify.IsRefused(err), notify.Wait(err), err)
				}
				if address := slices.Contains([]int{401, 403, 404, 410}, c.status); notify.IsUnusable(err) != address {
					t.Errorf("that the address or the credential is wrong: %v", !address)
				}
				told(t, err, fmt.Sprint(" answered ", c.status))
			})
		})
	}
}

// Some say only in the body that it is the address or the credential that they refuse.
func TestABodyThatSaysThatItIsNotTheMessage(t *testing.T) {
	t.Parallel()
	for kind, bodies := range map[string]map[string]bool{
		"slack":      {"invalid_token": true, "no_active_hooks": true, "user_not_found": true, "invalid_blocks": false, "invalid_payload": false},
		"telegram":   {`{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}`: true, `{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1}}`: true, `{"ok":false,"error_code":400,"description":"Bad Request: message is too long"}`: false},
		"teams":      {`{"error":{"code":"WorkflowTriggerIsNotEnabled"}}`: true, `{"error":{"code":"InvalidRequestContent"}}`: false},
		"mattermost": {`{"id":"web.incoming_webhook.invalid.app_error","message":"Invalid webhook."}`: true, `{"id":"web.incoming_webhook.parse.app_error"}`: false},
		"pagerduty":  {`{"status":"invalid event","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}`: true, `{"status":"invalid event","errors":["'payload.summary' is blank"]}`: false},
		"discord":    {`{"message":"Invalid Form Body","code":50035}`: false},
		"ntfy":       {`{"code":40024,"http":400,"error":"invalid request: request body must be valid JSON"}`: false},
		"webhook":    {"nothing is said": false},
	} {
		for body, unusable := range bodies {
			channel := to(t, services[kind], func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, body)
			})
			if err := channel.Send(t.Context(), down()); !notify.IsRefused(err) || notify.IsUnusable(err) != unusable {
				t.Errorf("%s: unusable %v: %v", kind, notify.IsUnusable(err), err)
			}
		}
	}
}

// told checks an error's words.
func told(t *testing.T, err error, want string) {
	t.Helper()
	text := err.Error()
	if !strings.Contains(text, want) || len(text) > 600 || strings.ContainsAny(text, "\x00\n\r") {
		t.Errorf("it says %q", text)
	}
	for _, secret := range []string{token, strings.ReplaceAll(token, "_", "0"), "MDEyMzQ1"} {
		if strings.Contains(text, secret) || strings.Contains(fmt.Sprintf("%+v %#v", err, err), secret) {
			t.Errorf("it tells a secret: %q", text)
		}
	}
}

func TestAReceiverSaysInItsBodyWhenToComeAgain(t *testing.T) {
	t.Parallel()
	for kind, body := range map[string]string{
		"telegram": `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}`,
		"discord":  `{"message":"You are being rate limited.","retry_after":34.57,"global":false}`,
	} {
		channel := to(t, services[kind], func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, body)
		})
		if wait := notify.Wait(channel.Send(t.Context(), down())).Round(time.Second); wait != 35*time.Second {
			t.Errorf("%s: %v", kind, wait)
		}
	}
}

func TestATwoHundredIsNotAlwaysEnough(t *testing.T) {
	t.Parallel()
	eachService(t, func(t *testing.T, s service) {
		channel := to(t, s, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html><h1>Sign in to the hotel's network</h1></html>")
		})
		err := channel.Send(t.Context(), down())
		if channel.took == nil {
			if err != nil {
				t.Error(err)
			}
			return
		}
		if err == nil || notify.IsRefused(err) || !strings.Contains(err.Error(), " answered 200, but not that it took the message with a web page") {
			t.Errorf("got %v", err)
		}
	})
}

// raw is a server that says what a test has it say, byte by byte.
func raw(t *testing.T, say func(conn net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				request := make([]byte, 64<<10)
				if _, err := conn.Read(request); err == nil {
					say(conn)
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// endless writes until nobody reads, and returns how much.
func endless(conn net.Conn, begin, again string) (n int) {
	_, err := io.WriteString(conn, begin)
	for err == nil {
		_, err = io.WriteString(conn, again)
		n += len(again)
	}
	return n
}

func TestLittleIsReadOfWhatIsEndless(t *testing.T) {
	t.Parallel()
	for _, again := range []string{"X-More: " + strings.Repeat("x", 1000) + "\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", strings.Repeat("x", 1000)} {
		for _, begin := range []string{"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\n"} {
			written := make(chan int, 1)
			channel := one(t, services["slack"].config(raw(t, func(c net.Conn) {
				_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
				written <- endless(c, begin, again)
			})), Dependencies{})
			if channel.Send(t.Context(), down()) == nil {
				t.Error("it is taken for sent")
			}
			if n := <-written; n > 6<<20 { // most of which is the network's buffers
				t.Errorf("%d bytes of %.20q were read", n, again)
			}
		}
	}
}

func TestASecretIsHiddenBeforeAnAnswerIsCut(t *testing.T) {
	t.Parallel()
	channel := to(t, services["slack"], func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, strings.Repeat("x", maxExcerpt-10)+token)
	})
	if err := channel.Send(t.Context(), down()); err == nil || strings.Contains(err.Error(), token[:5]) {
		t.Errorf("got %v", err)
	}
}

func TestReceiversThatMisbehave(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		say  func(net.Conn)
		want string
	}{
		"closes at once":   {func(net.Conn) {}, "Slack closed the connection without an answer"},
		"closes half-way":  {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le") }, "Slack "},
		"breaks its body":  {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no") }, "Slack broke its answer off"},
		"endless headers":  {func(c net.Conn) { endless(c, "HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("x", 1000)+"\r\n") }, "Slack can't be reached: "},
		"endless early":    {func(c net.Conn) { endless(c, "", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n") }, "Slack can't be reached: "},
		"endless continue": {func(c net.Conn) { endless(c, "", "HTTP/1.1 100 Continue\r\n\r\n") }, "Slack can't be reached: "},
		"endless body":     {func(c net.Conn) { endless(c, "HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1000)) }, "Slack answered 200, but not that it took the message: xxx"},
		"switches": {func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		}, "Slack answered 101"},
		"speaks something": {func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example.com ESMTP\r\n") }, "Slack can't be reached: "},
		"speaks at length": {func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat("x\x01"+token, 400)+"\r\n") }, "Slack can't be reached: "},
		"bombs": {func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b")
		}, "Slack answered 200, but not that it took the message"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			channel := one(t, services["slack"].config(raw(t, c.say)), Dependencies{})
			err := channel.Send(t.Context(), down())
			if err == nil || notify.IsRefused(err) || notify.Wait(err) != 0 {
				t.Fatalf("got %v", err)
			}
			told(t, err, c.want)
		})
	}
}

// Where the status says that a message is taken, it is, however the answer ends. Where
// the body says it, half of one says nothing, also when it looks like a yes.
func TestAnAnswerThatIsBrokenOff(t *testing.T) {
	t.Parallel()
	for kind, taken := range map[string]string{
		"webhook": "half of", "teams": "half of", "slack": "ok", "mattermost": "ok", "telegram": `{"ok":true}`, "discord": `{"id":"1234"}`, "ntfy": `{"id":"1234"}`, "pagerduty": `{"status":"success"}`,
	} {
		for _, whole := range []bool{true, false} {
			length := len(taken)
			if !whole {
				length++
			}
			channel := one(t, services[kind].config(raw(t, func(c net.Conn) {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, taken)
			})), Dependencies{})
			err := channel.Send(t.Context(), down())
			if want := whole || channel.took == nil; (err == nil) != want || notify.IsRefused(err) {
				t.Errorf("%s, whole %v: %v", kind, whole, err)
			}
			if err != nil {
				told(t, err, " broke its answer off")
			}
		}
	}
}

func TestAReceiverThatHangsIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	eachService(t, func(t *testing.T, s service) {
		hang := make(chan struct{})
		t.Cleanup(func() { close(hang) })
		for _, say := range []string{"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nslow"} {
			channel := one(t, s.config(raw(t, func(c net.Conn) { _, _ = io.WriteString(c, say); <-hang })), Dependencies{})
			if channel.client.Timeout != 10*time.Second {
				t.Errorf("it is waited for %v", channel.client.Timeout)
			}
			channel.client.Timeout = 50 * time.Millisecond
			err := channel.Send(t.Context(), down())
			if err == nil || notify.IsRefused(err) {
				t.Fatalf("%q: %v", say, err)
			}
			if told(t, err, ""); !strings.Contains(say, "500") && !strings.Contains(err.Error(), "has not answered within") {
				t.Errorf("%q: %v", say, err)
			}
		}
		channel := one(t, s.config(raw(t, func(net.Conn) { <-hang })), Dependencies{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := channel.Send(ctx, down())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		told(t, err, " was not waited for")
	})
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was followed") }))
	t.Cleanup(elsewhere.Close)
	eachService(t, func(t *testing.T, s service) {
		channel := to(t, s, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/"+token, http.StatusTemporaryRedirect)
		})
		if err := channel.Send(t.Context(), down()); err == nil {
			t.Error("it is taken for sent")
		} else {
			told(t, err, "a redirect, which isn't followed")
		}
	})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	eachService(t, func(t *testing.T, s service) {
		start := func(version uint16) *httptest.Server {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.take(w) }))
			server.Config.ErrorLog = quiet()
			server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version}
			server.StartTLS()
			t.Cleanup(server.Close)
			return server
		}
		for _, c := range []struct {
			version uint16
			trusted bool
			want    string
		}{{tls.VersionTLS13, true, ""}, {tls.VersionTLS12, true, ""}, {tls.VersionTLS11, true, "can't be reached"}, {tls.VersionTLS13, false, "certificate"}} {
			server := start(c.version)
			d := Dependencies{roots: x509.NewCertPool()}
			if c.trusted {
				d.roots.AddCert(server.Certificate())
			}
			err := one(t, s.config(server.URL), d).Send(t.Context(), down())
			switch {
			case c.want == "" && err != nil, c.want != "" && err == nil:
				t.Errorf("%x, %v: %v", c.version, c.trusted, err)
			case c.want != "":
				told(t, err, c.want)
			}
		}
	})
}

func TestNoProxyIsAsked(t *testing.T) {
	t.Parallel()
	channel := one(t, services["slack"].config("https://example.com"), Dependencies{})
	if channel.client.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy would dial what the guard can't see")
	}
}

func TestMessagesAreKeptApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pace{every: time.Second}
		begin := time.Now()
		for n := range 3 {
			if err := p.wait(t.Context()); err != nil || time.Since(begin) != time.Duration(n)*time.Second {
				t.Errorf("message %d went after %v, %v", n, time.Since(begin), err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := p.wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 2300*time.Millisecond {
			t.Errorf("it was held for %v, %v", time.Since(begin), err)
		}
		time.Sleep(time.Minute)
		begin = time.Now()
		if err := p.wait(t.Context()); err != nil || time.Since(begin) != 0 {
			t.Errorf("after a pause it waited %v, %v", time.Since(begin), err)
		}
	})
}
