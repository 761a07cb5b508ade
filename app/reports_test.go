package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"manus/account"
	"manus/config"
	"manus/docstore"
	"manus/errtrack"
	"manus/errtrack/event"
	"manus/httpapi"
	"manus/internal/lockedfile"
	"manus/internal/redistest"
	"manus/internal/waittest"
)

// breaking is a product with addresses that break: one panics, one fails, one says that its
// storage is gone.
func breaking(t *testing.T, change ...func(*config.Settings)) (*App, *waittest.Log) {
	t.Helper()
	settings, err := DevSettings(Dev{DataDir: filepath.Join(t.TempDir(), "data"), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	settings.Limits.Allow, settings.Reports.TracesSampleRate = []string{"192.0.2.0/24", "127.0.0.0/8"}, 0
	for _, f := range change {
		f(&settings)
	}
	return startWith(t, Options{Settings: settings}, func(a *App) {
		route := httpapi.Route{Access: httpapi.Public, Pattern: "POST /break/{how}"}
		a.api.Handle(route, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text := "card 4242 4242 4242 4242 of amal@example.com from 203.0.113.7, " + r.Header.Get("Authorization") + ", " + r.URL.String() +
				` redis://:urlsecret1@cache:6379/0 --token flagsecret1 <password>xmlsecret1</password> {"name":"token","value":"pairsecret1"} ["Cookie","listsecret1"]`
			if r.PathValue("how") == "panic" {
				panic(text)
			}
			httpapi.WriteError(w, r, nil, fmt.Errorf("charging: %w", unlucky(text)))
		}))
	})
}

type unlucky string

func (u unlucky) Error() string { return string(u) }

// breakIt sends a request with all that is nobody's business.
func breakIt(t *testing.T, url, how string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/break/"+how+"?token=querysecret1", strings.NewReader("bodysecret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer headersecret123", "Cookie": "session=cookiesecret", "X-Forwarded-For": "203.0.113.7", "X-Request-Id": "request-0001",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Api-Key": "apisecret",
	} {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// secrets are what breakIt sends.
var secrets = []string{"querysecret1", "bodysecret", "headersecret123", "cookiesecret", "apisecret", "urlsecret1", "flagsecret1", "xmlsecret1", "pairsecret1", "listsecret1", "203.0.113.7", "4242 4242", "amal@example.com", "Authorization"}

// reported are the events of this product's own, each the latest of an issue.
func reported(t *testing.T, a *App) (events []event.Event) {
	t.Helper()
	p, err := a.Errors.Project(t.Context(), "Manus")
	if err != nil {
		return nil
	}
	issues, _, err := a.Errors.Issues(t.Context(), errtrack.Search{Project: p.ID})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range issues {
		latest, _, err := a.Errors.Events(t.Context(), i.ID, 1, "")
		if err != nil || len(latest) == 0 {
			t.Fatal(latest, err)
		}
		events = append(events, latest[0].Event)
	}
	return events
}

// TestOwnErrorsAreInTheInbox: a panic is answered as a problem, and it and an error with its
// cause are found in the inbox, with where they were and without what was sent.
func TestOwnErrorsAreInTheInbox(t *testing.T) {
	t.Parallel()
	a, _ := breaking(t)
	for _, how := range []string{"panic", "error"} {
		if status, body := breakIt(t, "http://"+a.Addr(), how); status != 500 || !strings.Contains(body, `"request_id":"request-0001"`) {
			t.Errorf("%s: %d %s", how, status, body)
		}
	}
	var events []event.Event
	waittest.Poll(t, func() bool { events = reported(t, a); return len(events) == 2 })
	for _, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s left: %s", secret, text)
			}
		}
		x := e.Exceptions[len(e.Exceptions)-1]
		inApp := slices.ContainsFunc(x.Frames, func(f event.Frame) bool {
			return f.InApp && strings.HasPrefix(f.Module, "manus/app") && strings.Contains(f.Function, "breaking")
		})
		if e.Transaction != "POST /break/{how}" || e.Release != "test" || e.Environment != "development" || e.Tags["request_id"] != "request-0001" ||
			e.TraceID != "0af7651916cd43dd8448eb211c80319c" || !inApp || e.Request != nil && len(e.Request.Headers) > 0 || e.User != nil && e.User.IP != "" {
			t.Errorf("it says %s", text)
		}
	}
}

// receiver is a Sentry that is not ours.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string
}

func newReceiver(t *testing.T, answer func(http.ResponseWriter, *http.Request)) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		r.sent = append(r.sent, fmt.Sprint(request.Header, string(body)))
		r.mu.Unlock()
		answer(w, request)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) all() string { r.mu.Lock(); defer r.mu.Unlock(); return strings.Join(r.sent, "\n") }

// sendTo has reports go to a DSN.
func sendTo(dsn string) func(*config.Settings) {
	return func(s *config.Settings) {
		s.Reports.DSN, s.Reports.TracesSampleRate = config.NewSecret(dsn), 1
	}
}

func dsnOf(url string) string { return strings.Replace(url, "://", "://publickey@", 1) + "/1" }

// TestOwnErrorsGoToASentry: with a DSN it gets them, and of all that is sent to it nothing is
// a secret or somebody's.
func TestOwnErrorsGoToASentry(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	a, _ := breaking(t, sendTo(dsnOf(r.URL)))
	for _, how := range []string{"panic", "error"} {
		breakIt(t, "http://"+a.Addr(), how)
	}
	a.flushReports()
	all := r.all()
	for _, want := range []string{"POST /break/{how}", "request-0001", "manus/app", `"platform":"go"`, "app.unlucky"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s isn't in %s", want, all)
		}
	}
	for _, secret := range secrets {
		if strings.Contains(all, secret) {
			t.Errorf("%s left: %s", secret, all)
		}
	}
	if _, err := a.Errors.Project(t.Context(), "Manus"); err == nil {
		t.Error("there is a project of its own too")
	}
}

// TestReportsNeverWait: whatever a Sentry does, requests are answered, what there is no room
// for is counted, and the end of the program waits for two seconds and no longer.
func TestReportsNeverWait(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	hanging := newReceiver(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(hang) })
	refusing := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, url := range map[string]string{"hanging": hanging.URL, "refusing": refusing.URL, "gone": gone.URL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _ := breaking(t, sendTo(dsnOf(url)))
			const n = 2000
			var slowest time.Duration
			for range n {
				began := time.Now()
				call(t, a, "POST", "/break/error", "", "")
				slowest = max(slowest, time.Since(began))
			}
			if slowest >= 10*time.Second { // which a receiver has
				t.Errorf("a request took %s", slowest)
			}
			t.Logf("the slowest of %d requests took %s", n, slowest)
			began := time.Now()
			a.flushReports()
			if took := time.Since(began); took >= 10*time.Second {
				t.Errorf("the end waited for %s", took)
			}
			counts := outcomes(t, a)
			if sum := counts["failed"] + counts["dropped"]; sum < n-200 || counts["sent"] > 0 || name == "hanging" && counts["dropped"] < n-200 {
				t.Errorf("of %d reports it counts %v", n, counts)
			}
		})
	}
}

// outcomes are what has become of reports.
func outcomes(t *testing.T, a *App) map[string]float64 {
	t.Helper()
	families, err := a.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "manus_error_reports_total" {
			for _, m := range family.GetMetric() {
				counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return counts
}

// TestBurstIntoTheInbox: of ten thousand errors each is kept or counted as lost.
func TestBurstIntoTheInbox(t *testing.T) {
	t.Parallel()
	a, _ := breaking(t)
	const n = 2000
	for range n {
		call(t, a, "POST", "/break/error", "", "")
	}
	a.reporter.Flush(t.Context())
	counts := outcomes(t, a)
	if sum := counts["sent"] + counts["dropped"] + counts["failed"]; counts["sent"] == 0 || sum != n {
		t.Errorf("of %d reports it counts %v", n, counts)
	}
	t.Logf("of %d: %v", n, counts)
}

// TestReportsDontLoop: reports come into this program, under an address that it doesn't know
// for its own, and it refuses them. There is no report of that, nor of one that it fails to
// take; a failure to take what others report is reported.
func TestReportsDontLoop(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	var self http.Handler
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) { self.ServeHTTP(w, request) })
	a, _ := breaking(t, sendTo(dsnOf(r.URL)))
	self = a.api
	for range 3 {
		call(t, a, "POST", "/break/error", "", "")
	}
	a.reporter.Flush(t.Context())
	if counts := outcomes(t, a); counts["failed"] != 6 || counts["sent"]+counts["dropped"]+counts["limited"] > 0 { // each with its trace
		t.Errorf("of 3 reports and traces it counts %v", counts)
	}
	for _, marker := range []string{"1", ""} {
		request := httptest.NewRequestWithContext(t.Context(), "POST", "/api/1/envelope/", nil)
		request.Header.Set("X-Manus-Report", marker)
		a.reporter.Failed(httpapi.Failure{Route: "POST /api/{project}/envelope/{$}", Status: 503, Cause: docstore.ErrUnavailable, Request: request})
	}
	a.reporter.Flush(t.Context())
	if counts := outcomes(t, a); counts["failed"] != 7 || counts["looped"] != 1 {
		t.Errorf("then it counts %v", counts)
	}
}

// TestCrashesAreReported: what panics in the background ends the program, once that is
// reported.
func TestCrashesAreReported(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	a, _ := breaking(t, sendTo(dsnOf(r.URL)))
	func() {
		defer func() {
			if cause := recover(); cause != "a crash" {
				t.Errorf("it goes on with %v", cause)
			}
		}()
		defer a.reporter.Crashing()
		panic("a crash")
	}()
	if all := r.all(); !strings.Contains(all, "a crash") || !strings.Contains(all, "TestCrashesAreReported") || !strings.Contains(all, `"fatal"`) {
		t.Errorf("sent was %s", all)
	}
}

// TestWhatIsLoggedAsAnErrorIsReported: with its cause and where it was logged.
func TestWhatIsLoggedAsAnErrorIsReported(t *testing.T) {
	t.Parallel()
	a, log := breaking(t)
	a.log.With("queue", "mails").ErrorContext(context.Background(), "a mail was given up", "mail", "id-of-mail", "error", fmt.Errorf("sending: %w", unlucky("amal@example.com is unknown")))
	var events []event.Event
	waittest.Poll(t, func() bool { events = reported(t, a); return len(events) == 1 })
	e := events[0]
	text, _ := json.Marshal(e)
	if e.Message != "a mail was given up" || e.Tags["queue"] != "mails" || !strings.Contains(string(text), "TestWhatIsLoggedAsAnError") ||
		strings.Contains(string(text), "amal@") || strings.Contains(string(text), "id-of-mail") {
		t.Errorf("it says %s", text)
	}
	if !strings.Contains(log.String(), "a mail was given up") {
		t.Error("it isn't in the log")
	}
	waittest.Poll(t, func() bool { return strings.Contains(log.String(), `"alert":"issue.new"`) }) // which is logged as an error
	a.flushReports()
	if counts := outcomes(t, a); counts["sent"] != 1 {
		t.Errorf("the alert of an issue is reported too: %v", counts)
	}
}

// TestTracesGoToASentry: a trace that another program has begun goes on, under the route's
// pattern, with what was asked of the store. Reports have none of their own.
func TestTracesGoToASentry(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	a, _ := breaking(t, sendTo(dsnOf(r.URL)))
	for header, value := range map[string]string{
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Sentry-Trace": "1bf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
	} {
		request := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/auth/login?token=querysecret1", strings.NewReader(`{"email":"amal@example.com","password":"bodysecret123"}`))
		request.Host = "localhost"
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set(header, value)
		request.Header.Set("Baggage", "sentry-user_id=cookiesecret, sentry-transaction=%2Fquerysecret1,other=apisecret,sentry-sample_rand=amal@example.com")
		a.api.ServeHTTP(httptest.NewRecorder(), request)
	}
	request := httptest.NewRequestWithContext(t.Context(), "GET", "/live", nil)
	request.Host = "localhost"
	request.Header.Set("Sentry-Trace", "2cf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0") // isn't kept
	a.api.ServeHTTP(httptest.NewRecorder(), request)
	call(t, a, "POST", "/api/1/envelope/", "", "{}")
	a.flushReports()
	all := r.all()
	for _, want := range []string{`"type":"transaction"`, "POST /api/v1/auth/login", "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c", `"db.system":"sqlite"`, "find users"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s isn't in %s", want, all)
		}
	}
	for _, secret := range append(secrets, "2cf7651916cd43dd8448eb211c80319c", "/envelope/ ", "/api/{project}") {
		if strings.Contains(all, secret) {
			t.Errorf("%s left: %s", secret, all)
		}
	}
}

// TestTracesHaveWhatWasAskedOfOthers: of Redis, and of a provider, by its host.
func TestTracesHaveWhatWasAskedOfOthers(t *testing.T) {
	t.Parallel()
	r, redis := newReceiver(t, func(http.ResponseWriter, *http.Request) {}), redistest.Start(t)
	provider := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	a, _ := breaking(t, sendTo(dsnOf(r.URL)), func(s *config.Settings) {
		s.Redis, s.Limits.Allow = config.NewSecret(redis.URL()), nil
		s.Providers = []account.Provider{{ID: "other", Name: "Other", Issuer: provider.URL + "/querysecret1", ClientID: "c", RedirectURLs: []string{"http://localhost/back"}}}
	})
	call(t, a, "POST", "/api/v1/auth/providers/other", "", "{}")
	a.flushReports()
	all := r.all()
	for _, want := range []string{"POST /api/v1/auth/providers/{id}", `"op":"db.redis"`, `"description":"take limits"`, `"op":"http.client"`, `"description":"GET 127.0.0.1"`} {
		if !strings.Contains(all, want) {
			t.Errorf("%s isn't in %s", want, all)
		}
	}
	if strings.Contains(all, "querysecret1") || strings.Contains(provider.all(), "sentry") || strings.Contains(strings.ToLower(provider.all()), "traceparent") {
		t.Errorf("sent is %s, and to the provider %s", all, provider.all())
	}
}

// TestOwnTracesAreInTheInbox: without a DSN they are counted at their routes, and what SDKs
// send isn't traced.
func TestOwnTracesAreInTheInbox(t *testing.T) {
	t.Parallel()
	a, _ := breaking(t, func(s *config.Settings) { s.Reports.TracesSampleRate = 1 })
	for range 3 {
		call(t, a, "POST", "/api/v1/auth/login", "", `{"email":"amal@example.com","password":"not the password"}`)
		call(t, a, "POST", "/api/1/envelope/", "", "{}")
	}
	a.flushReports()
	routes, _, err := a.Errors.TracedRoutes(t.Context(), errtrack.RouteSearch{Project: "Manus"})
	// Beside them there is what the server asks of itself.
	routes = slices.DeleteFunc(routes, func(r errtrack.TracedRoute) bool { return strings.HasPrefix(r.Route, "GET ") })
	if err != nil || len(routes) != 1 || routes[0].Route != "POST /api/v1/auth/login" || routes[0].Op != "http.server" || routes[0].Count != 3 || routes[0].Errors != 3 {
		t.Errorf("counted are %+v, %v", routes, err)
	}
}

// TestEarlierCrashesAreReported: what the runtime has written when a program died is reported
// at the next start, once; files of living processes and other files stay.
func TestEarlierCrashesAreReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crash := "panic: amal@example.com broke it\n\ngoroutine 7 [running]:\nmanus/queue.(*Queue[...]).attempt(0x1)\n\t/src/queue/worker.go:123 +0x1d\ncreated by manus/queue.(*Queue[...]).claim in goroutine 1\n\t/src/queue/worker.go:99 +0x1d\n"
	for name, text := range map[string]string{"crash-1.txt": crash, "crash-2.txt": "", "notes.txt": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	living, err := lockedfile.Create(dir, crashPrefix+"*.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	settings, err := DevSettings(Dev{DataDir: filepath.Join(t.TempDir(), "data"), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := start(t, Options{Settings: settings, CrashDir: dir})
	var events []event.Event
	waittest.Poll(t, func() bool { events = reported(t, a); return len(events) == 1 })
	x := events[0].Exceptions[0]
	if last := x.Frames[len(x.Frames)-1]; x.Value != "[e-mail] broke it" || last.Line != 123 || last.Module != "manus/queue" || !last.InApp || events[0].Level != event.Fatal {
		t.Errorf("it is reported as %+v", events[0])
	}
	waittest.Poll(t, func() bool { return len(filesOf(t, dir)) == 2 })
	if left := filesOf(t, dir); !slices.Contains(left, living.Name()) {
		t.Errorf("left is %v", left)
	}
}

func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCrashesWaitUntilTheyAreAccepted: a Sentry that refuses, then one that takes what it is
// sent and a program that is killed before it knows, and only then one that answers: the file
// stays until then, and each report has the same id. Two programs don't report it at once.
func TestCrashesWaitUntilTheyAreAccepted(t *testing.T) {
	t.Parallel()
	dir, hang := t.TempDir(), make(chan struct{})
	write := func(name, text string, age time.Duration) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	crash := "panic: it broke\n\ngoroutine 7 [running]:\nmanus/queue.work(0x1)\n\t/src/queue/worker.go:123 +0x1d\n"
	write("crash-1.txt", crash+strings.Repeat("x", 2*maxCrash), time.Hour)
	write("crash-old.txt", crash, crashesKept+time.Minute)
	for n := range 2 * maxCrashes {
		write(fmt.Sprint("crash-many", n, ".txt"), crash, 2*time.Hour)
		write(fmt.Sprint("crash-planted", n, ".txt"), "no crash", -time.Hour) // takes no place
	}
	whole, other := int64(len(crash)+2*maxCrash), filepath.Join(t.TempDir(), "other.txt")
	if err := os.Link(filepath.Join(dir, "crash-1.txt"), other); err != nil {
		t.Fatal(err)
	}
	refusing := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	hanging := newReceiver(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(hang) })
	with := func(r *receiver) *App {
		a, _ := breaking(t, sendTo(dsnOf(r.URL)))
		return a
	}
	if a := with(refusing); !a.reportSomeCrashes(t.Context(), dir) {
		t.Error("nothing is left of what was refused")
	}
	if got := strings.Count(refusing.all(), "it broke"); got != maxCrashes {
		t.Errorf("%d were sent", got)
	}
	if left := filesOf(t, dir); len(left) != maxCrashes || !slices.Contains(left, filepath.Join(dir, "crash-1.txt")) {
		t.Fatalf("left is %v", left)
	}
	if info, err := os.Stat(other); err != nil || info.Size() != whole || time.Since(info.ModTime()) < time.Hour {
		t.Errorf("a file is written to that a crash has its name of: %v, %v", info, err)
	}
	for _, path := range filesOf(t, dir) {
		if filepath.Base(path) != "crash-1.txt" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	killed, kill := context.WithCancel(t.Context())
	a, ended := with(hanging), make(chan bool)
	go func() { ended <- a.reportSomeCrashes(killed, dir) }()
	waittest.Poll(t, func() bool { return strings.Contains(hanging.all(), "it broke") })
	accepting := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	second := with(accepting)
	if second.reportSomeCrashes(t.Context(), dir) || accepting.all() != "" {
		t.Error("two have reported it at once")
	}
	kill()
	if !<-ended {
		t.Error("nothing is left of what isn't known to be accepted")
	}
	if second.reportSomeCrashes(t.Context(), dir) || len(filesOf(t, dir)) != 0 {
		t.Errorf("left of what was accepted is %v", filesOf(t, dir))
	}
	id := `"event_id":"` + crashID("crash-1.txt") + `"`
	for name, r := range map[string]*receiver{"refusing": refusing, "hanging": hanging, "accepting": accepting} {
		if all := r.all(); !strings.Contains(all, id) || !strings.Contains(all, "it broke") {
			t.Errorf("the one that is %s has got %.1000s", name, all)
		}
	}
}

// TestACrashIsReportedAgainUntilItIsAccepted: the time between two tries grows.
func TestACrashIsReportedAgainUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), 0
		again(t.Context(), func() (left bool) { tries++; return tries < 10 })
		if took := time.Since(began); took < 3*time.Hour || took > 6*time.Hour {
			t.Errorf("10 tries took %s", took)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		again(ended, func() bool { return true })
	})
}
