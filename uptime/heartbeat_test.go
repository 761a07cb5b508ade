package uptime

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // zones, on a machine that has none

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/internal/storetest"
	"manus/internal/timeline"
	"manus/internal/waittest"
	"manus/uptime/heartbeat"
	"manus/uptime/probe"
)

// job is a heartbeat that is expected at once again, and late much later.
func job(id string) Monitor {
	return Monitor{ID: id, Name: strings.ToUpper(id), Type: Heartbeat, Every: time.Hour, Grace: time.Minute}
}

// hasty is one that is overdue in no time.
func hastyJob(id string) Monitor {
	return Monitor{ID: id, Name: strings.ToUpper(id), Type: Heartbeat, Every: 50 * time.Millisecond, Grace: 50 * time.Millisecond}
}

// door is where jobs ping.
func door(s *Service) *httpapi.API {
	api := httpapi.New(httpapi.Config{Log: slog.New(slog.DiscardHandler), Version: "test", Caller: func(*http.Request) (identity.Caller, error) {
		return identity.Caller{}, nil
	}})
	s.pingRoutes(api)
	return api
}

// send pings, and returns what was answered.
func send(t *testing.T, api http.Handler, method, path string, body io.Reader) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, body))
	return w.Code, w.Body.String()
}

// pings has a job ping, which has to be taken.
func (r *rig) pings(t *testing.T, id, what, body string) {
	t.Helper()
	if code, answer := send(t, door(r.Service), "POST", r.address(t, id)+what, strings.NewReader(body)); code != 200 || answer != "OK" {
		t.Fatalf("%s%s is answered %d %s", id, what, code, answer)
	}
}

// address is where a job pings.
func (r *rig) address(t *testing.T, id string) string {
	t.Helper()
	w, err := r.Monitor(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return w.Beats.URL
}

func (r *rig) becomes(t *testing.T, id string, want Status) {
	t.Helper()
	waittest.Poll(t, func() bool { return r.status(t, id) == want })
}

func TestAJobThatIsSilentIsDownAndUpWhenItReports(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil, hastyJob("backup"))
	if got := r.status(t, "backup"); got != Unknown {
		t.Errorf("before it has said anything it is %s", got)
	}
	r.pings(t, "backup", "", "42 files\nand more")
	r.hears(t, "BACKUP is down")
	a := r.told[0]
	if !strings.Contains(a.Text.En, "No success was reported since") || strings.Contains(a.Text.En, "42 files") || a.Text.Ar == "" {
		t.Errorf("it says %+v", a.Text)
	}
	if len(a.Looks) != 1 || a.Looks[0].Said != "42 files" {
		t.Errorf("it lists %+v", a.Looks)
	}
	r.SetMonitors(Policy{job("backup")}) // so that it isn't overdue again
	r.pings(t, "backup", "", "")
	r.hears(t, "BACKUP is down", "BACKUP is up again")
	r.becomes(t, "backup", Up)
}

func TestWhatWasBeforeTheFirstPingIsNotKnown(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil, job("backup"))
	figure := func() timeline.Figure {
		w, err := r.Monitor(t.Context(), "backup")
		if err != nil {
			t.Fatal(err)
		}
		return w.Figures["24h"]
	}
	waittest.Poll(t, func() bool { st, err := r.states.Get(t.Context(), "backup"); return err == nil && !st.Since.IsZero() })
	if got := figure(); got != (timeline.Figure{}) {
		t.Errorf("before its first ping it was %+v", got)
	}
	before := time.Now().Truncate(time.Millisecond)
	r.pings(t, "backup", "", "")
	r.becomes(t, "backup", Up)
	if st, err := r.states.Get(t.Context(), "backup"); err != nil || st.Since.Before(before) {
		t.Errorf("it is known since %s, and its first ping was after %s: %v", st.Since, before, err)
	}
	waittest.Poll(t, func() bool { return figure().Known > 0 })
}

func TestAJobSaysThatItFailed(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil, job("backup"))
	r.pings(t, "backup", "/start", "")
	r.becomes(t, "backup", Up)
	r.pings(t, "backup", "/3", "\x1b[31mno space\x00left \u202eon device\nsecond line")
	r.hears(t, "BACKUP is down")
	a := r.told[0]
	if !strings.Contains(a.Text.En, "exit status 3") || a.Looks[0].Said != "[31mno space left on device" {
		t.Errorf("it says %q %+v", a.Text.En, a.Looks)
	}
	r.pings(t, "backup", "/fail", "")
	r.pings(t, "backup", "/0", "")
	r.hears(t, "BACKUP is down", "BACKUP is up again")
	results, _, err := r.Results(t.Context(), "backup", 10, "")
	if err != nil {
		t.Error(err)
	}
	for _, one := range results {
		if strings.Contains(one.Error.En, "no space") {
			t.Errorf("a result has what was said: %+v", one)
		}
	}
}

func TestARunThatDoesNotEndIsDown(t *testing.T) {
	t.Parallel()
	backup := job("backup")
	backup.MaxRuntime = 50 * time.Millisecond
	r := start(t, nil, nil, backup)
	r.pings(t, "backup", "/start", "")
	r.hears(t, "BACKUP is down")
	if !strings.Contains(r.told[0].Text.En, "hasn't ended within") {
		t.Errorf("it says %q", r.told[0].Text.En)
	}
	r.pings(t, "backup", "/0", "")
	r.hears(t, "BACKUP is down", "BACKUP is up again")
}

// What a job said first is told first, though its next ping has come already.
func TestPingsAreJudgedInTurn(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil, job("backup"))
	r.pings(t, "backup", "", "")
	r.becomes(t, "backup", Up)
	r.stop()
	r.pings(t, "backup", "/1", "")
	r.pings(t, "backup", "/0", "")
	r.pings(t, "backup", "/2", "")
	second := start(t, r.store, nil, job("backup"))
	second.hears(t, "BACKUP is down", "BACKUP is up again", "BACKUP is down")
	second.stop()
	third := start(t, r.store, nil, job("backup"))
	waittest.Poll(t, func() bool { return third.leading.Load() != nil && third.status(t, "backup") == Down })
	third.pings(t, "backup", "", "")
	third.hears(t, "BACKUP is up again")
}

func TestOtherCopiesTakePings(t *testing.T) {
	t.Parallel()
	leader := start(t, nil, nil, job("backup"), job("report"))
	waittest.Poll(t, func() bool { return leader.leading.Load() != nil })
	other := start(t, leader.store, nil, job("backup"), job("report"))
	address := leader.address(t, "backup")
	if got := other.address(t, "backup"); got != address {
		t.Errorf("one copy has %s and the other %s", address, got)
	}
	var sending sync.WaitGroup
	apis := []*httpapi.API{door(leader.Service), door(other.Service)}
	for i := range 40 {
		sending.Go(func() {
			if code, answer := send(t, apis[i%2], "GET", address, nil); code != 200 {
				t.Errorf("answered is %d %s", code, answer)
			}
		})
	}
	sending.Wait()
	if w, err := leader.Monitor(t.Context(), "backup"); err != nil || w.Beats.Pings[0].Seq != 40 || len(w.Beats.Pings) != heartbeat.MaxPings {
		t.Errorf("of 40 pings there are %+v, %v", w.Beats.Pings, err)
	}
	other.pings(t, "backup", "/fail", "")
	leader.hears(t, "BACKUP is down")
	leader.stop()
	other.pings(t, "backup", "", "")
	other.hears(t, "BACKUP is up again")
}

// A copy whose clock is behind by more than copies usually are is heard too, when it would be said to be down.
func TestAPingThatIsNotLearnedOfInTimeIsLookedFor(t *testing.T) {
	t.Parallel()
	store := storetest.New(t, Specs()...)
	s := New(Config{Store: store, Monitors: Policy{job("backup")}, Now: clocktest.New().Now, Log: slog.New(slog.DiscardHandler), Prober: probe.New(probe.Options{})})
	w := &watch{Service: s, hearts: map[string]heart{}, watched: map[string]*watched{}}
	if err := w.readHearts(t.Context(), s.set.Load()); err != nil {
		t.Fatal(err)
	}
	m, err := w.prepare(s.set.Load().monitors[0])
	if err != nil {
		t.Fatal(err)
	}
	old := w.hearts["backup"]
	old.Record.Good, old.Record.Seq = docstore.At(s.c.Now().Add(-2*time.Hour)), 0
	w.hearts["backup"] = old
	if err := s.hear(t.Context(), "backup", heartbeat.Ping{Signal: heartbeat.Success}, nil); err != nil {
		t.Fatal(err)
	}
	if got := w.judgeBeat(m); got.Up || got.Unknown {
		t.Fatalf("by what was known it is %+v", got)
	}
	if got := w.see(t.Context(), m); !got.Up {
		t.Errorf("it is %+v", got)
	}
}

// While no copy was there to take a ping, none is missed; and a suspended machine's jobs aren't
// down when it wakes up.
func TestWhatNobodyCouldTakeIsUnknown(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil, job("backup"))
	r.pings(t, "backup", "", "")
	r.becomes(t, "backup", Up)
	r.clock.Add(2 * time.Hour) // the machine was suspended
	r.becomes(t, "backup", Unknown)
	r.stop()
	clock := clocktest.Running(7 * 24 * time.Hour) // and then the program was gone
	second := start(t, r.store, func(c *Config) { c.Now, c.Prober = clock.Now, probe.New(probe.Options{Now: clock.Now}) }, job("backup"))
	waittest.Poll(t, func() bool { return second.leading.Load() != nil })
	second.becomes(t, "backup", Unknown)
	second.hears(t)
	if w, err := second.Monitor(t.Context(), "backup"); err != nil || w.Beats.Due.Before(clock.Now().Add(59*time.Minute)) {
		t.Errorf("its time is over at %s, %v", w.Beats.Due, err)
	}
	second.pings(t, "backup", "", "")
	second.becomes(t, "backup", Up)
}

// The clock is set back by a day right after a ping.
func TestASilentJobIsFoundThoughTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil, hastyJob("backup"))
	r.clock.Add(24 * time.Hour)
	if err := r.hear(t.Context(), "backup", heartbeat.Ping{Signal: heartbeat.Success}, nil); err != nil {
		t.Fatal(err)
	}
	r.clock.Add(-24 * time.Hour)
	r.hears(t, "BACKUP is down")
}

func TestAPausedHeartbeatTakesPingsAndTellsNothing(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil, job("backup"))
	r.pings(t, "backup", "", "")
	r.becomes(t, "backup", Up)
	if err := r.Pause(t.Context(), "backup", true); err != nil {
		t.Fatal(err)
	}
	r.pings(t, "backup", "/fail", "")
	r.pings(t, "backup", "/0", "")
	if err := r.Pause(t.Context(), "backup", false); err != nil {
		t.Fatal(err)
	}
	r.becomes(t, "backup", Up)
	r.pings(t, "backup", "/fail", "")
	r.hears(t, "BACKUP is down")
}

// A job of a machine that is down is told with that, and by itself once that is up again.
func TestAHeartbeatHasAParent(t *testing.T) {
	t.Parallel()
	server := newTarget(t)
	backup := job("backup")
	backup.Parent = "machine"
	machine := server.monitor("machine")
	r := start(t, nil, nil, machine, backup)
	r.pings(t, "backup", "", "")
	r.becomes(t, "backup", Up)
	r.becomes(t, "machine", Up)
	server.down.Store(true)
	r.hears(t, "MACHINE is down")
	r.pings(t, "backup", "/fail", "")
	r.becomes(t, "backup", Down)
	server.checked(t, 3)
	r.hears(t, "MACHINE is down")
	server.down.Store(false)
	r.heard.Until(t, func() bool { return len(r.said()) == 3 })
	if got := r.said(); !slices.Contains(got, "MACHINE is up again") || !slices.Contains(got, "BACKUP is down") {
		t.Errorf("told were %q", got)
	}
}

func TestKeysStayAndAreOfTheirMonitorsOnly(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil, job("backup"), job("1"), job("start"), newTarget(t).monitor("web"))
	w, err := r.Monitor(t.Context(), "backup")
	if err != nil {
		t.Fatal(err)
	}
	address, named := w.Beats.URL, w.Beats.Named
	installation := strings.TrimSuffix(named, "/backup")
	api := door(r.Service)
	for _, c := range []struct {
		path string
		want int
	}{
		{address, 200}, {address + "/start", 200}, {address + "/0", 200}, {named, 200}, {named + "/start", 200}, {named + "/0", 200}, {installation + "/1", 200}, {installation + "/start", 200}, {installation + "/start/start", 200},
		{address + "/", 404}, {address + "/nope", 404}, {address + "/0/0", 404}, {address + "/start/start", 404}, {address + "/backup", 404}, {address + "/12345678901", 404}, {address + "/+1", 404}, {address + "/--1", 404}, {address + "/-", 404},
		{named + "/nope", 404}, {installation, 404}, {installation + "/web", 404}, {installation + "/nothing", 404}, {installation + "/*", 404}, {installation + "/%2A", 404},
		{"/ping/AAAAAAAAAAAAAAAAAAAAAAAAAA", 404}, {"/ping/x", 404}, {"/ping/%00", 404}, {"/ping/*", 404}, {"/ping/" + strings.Repeat("A", 5000), 404}, {strings.ToLower(address), 404},
	} {
		code, answer := send(t, api, "GET", c.path, nil)
		if code != c.want {
			t.Errorf("%s is answered %d %s", c.path, code, answer)
		}
		if code == 404 && !strings.Contains(answer, `"detail":"There is nothing at this address."`) {
			t.Errorf("%s is answered %s", c.path, answer)
		}
	}
	r.stop()
	second := start(t, r.store, nil, job("backup"))
	if got := second.address(t, "backup"); got != address {
		t.Errorf("its key has changed from %s to %s", address, got)
	}
	second.SetMonitors(nil)
	if code, _ := send(t, door(second.Service), "GET", address, nil); code != 404 {
		t.Errorf("of a monitor that isn't there any more a ping is answered %d", code)
	}
	second.SetMonitors(Policy{job("backup")})
	if got := second.address(t, "backup"); got != address {
		t.Errorf("its key has changed from %s to %s", address, got)
	}
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte("x"), len(p))), nil
}

func TestOfABodyTheBeginningIsKept(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil, job("backup"))
	api, address := door(r.Service), r.address(t, "backup")
	exact := strings.Repeat("é", maxSaid/2)
	for _, body := range []io.Reader{strings.NewReader(exact), endless{}, strings.NewReader("a" + exact), nil} {
		if code, answer := send(t, api, "POST", address, body); code != 200 {
			t.Fatalf("answered is %d %s", code, answer)
		}
	}
	if code, answer := send(t, api, "HEAD", address+"/fail?rid=a%0ab", nil); code != 200 {
		t.Errorf("HEAD is answered %d %q", code, answer)
	}
	texts, err := r.Said(t.Context(), "backup")
	if err != nil || len(texts) != 3 || texts[1] != exact || texts[2] != strings.Repeat("x", maxSaid) || !strings.HasSuffix(texts[3], "é\ufffd") {
		t.Errorf("kept are %d: %v", len(texts), err)
	}
	w, err := r.Monitor(t.Context(), "backup")
	if err != nil || w.Beats.Pings[0].Run != "a b" || w.Beats.Pings[0].Signal != heartbeat.Fail || len(w.Beats.Pings[4].Line) > 4*maxLine {
		t.Errorf("the pings are %+v, %v", w.Beats.Pings, err)
	}
	r.clock.Add(saidFor + time.Hour)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if texts, err := r.Said(t.Context(), "backup"); err != nil || len(texts) != 0 {
		t.Errorf("%d are still there: %v", len(texts), err)
	}
}

// What isn't kept isn't acknowledged, and who is gone before the answer is heard nevertheless.
func TestAPingIsAcknowledgedOnceItIsKept(t *testing.T) {
	t.Parallel()
	store := storetest.NewUnsteady(t)
	r := start(t, store, nil, job("backup"))
	api, address := door(r.Service), r.address(t, "backup")
	if code, _ := send(t, api, "GET", address, nil); code != 200 {
		t.Fatal(code)
	}
	store.SetGone(true)
	if code, answer := send(t, api, "GET", address, nil); code != 503 {
		t.Errorf("answered is %d %s", code, answer)
	}
	store.SetGone(false)
	gone, cancel := context.WithCancel(t.Context())
	w := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(gone, "POST", address, io.MultiReader(strings.NewReader("bye"), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, io.ErrUnexpectedEOF
	})))
	api.ServeHTTP(w, request)
	shown, err := r.Monitor(t.Context(), "backup")
	if err != nil || len(shown.Beats.Pings) != 2 || shown.Beats.Pings[0].Line != "bye" {
		t.Errorf("the pings are %+v, %v", shown.Beats.Pings, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestHeartbeatsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(*Monitor)
		want   string
	}{
		{func(m *Monitor) { m.URL = "https://example.com" }, "monitors.backup.url: isn't of heartbeats"},
		{func(m *Monitor) { m.Expect = []string{"status == 200"} }, "monitors.backup.expect: isn't of heartbeats"},
		{func(m *Monitor) { m.Confirm = &[]time.Duration{time.Second} }, "monitors.backup.confirm: isn't of heartbeats"},
		{func(m *Monitor) { m.Timeout = time.Second }, "monitors.backup.timeout: isn't of heartbeats"},
		{func(m *Monitor) { m.Cron = "0 3 * * *" }, "monitors.backup.cron: give either every or cron"},
		{func(m *Monitor) { m.Every, m.Cron, m.Timezone = 0, "0 3 * * *", "Mars" }, "monitors.backup.timezone: use a name"},
		{func(m *Monitor) { m.Every, m.Grace = 0, time.Hour }, "monitors.backup.every: say when"},
		{func(m *Monitor) { m.Grace = time.Millisecond }, "monitors.backup.grace: use from"},
		{func(m *Monitor) { m.Type = probe.TCP; m.URL = "example.com:1"; m.Every = time.Minute }, "monitors.backup.grace: is of heartbeats only"},
	} {
		m := job("backup")
		c.change(&m)
		problems := Policy{m}.Problems()
		if len(problems) != 1 || !strings.HasPrefix(problems[0], c.want) {
			t.Errorf("%q, want %q", problems, c.want)
		}
	}
	nightly := Monitor{ID: "backup", Type: Heartbeat, Cron: "30 2 * * *", Timezone: "Europe/Berlin", Grace: 10 * time.Minute, MaxRuntime: time.Hour, Parent: "machine", SLO: 0.99}
	if problems := (Policy{nightly, {ID: "machine", Type: probe.ICMP, URL: "example.com"}}).Problems(); len(problems) != 0 {
		t.Errorf("refused with %q", problems)
	}
}

// Maintenance is of heartbeats too.
func TestDuringMaintenanceNobodyIsToldOfAJob(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil, job("backup"))
	r.pings(t, "backup", "", "")
	r.becomes(t, "backup", Up)
	r.mu.Lock()
	r.planned = timeline.Of(timeline.Between(r.clock.Now().Add(-time.Minute), r.clock.Now().Add(time.Hour)))
	r.mu.Unlock()
	r.pings(t, "backup", "/fail", "")
	waittest.Poll(t, func() bool { return r.state(t, "backup").Confirm.Down })
	r.pings(t, "backup", "/0", "")
	waittest.Poll(t, func() bool { return !r.state(t, "backup").Confirm.Down })
	r.hears(t)
}

func FuzzSignal(f *testing.F) {
	for _, word := range []string{"", "start", "fail", "0", "1", "255", "-1073741510", "3221225786", "+1", "007", "1e3", "٣"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		said, status, ok := signal(word)
		switch {
		case !ok && (said != "" || status != 0):
			t.Fatalf("%q is nothing and says %q %d", word, said, status)
		case ok && (said == heartbeat.Fail) != (word == "fail" || status != 0):
			t.Fatalf("%q says %q with %d", word, said, status)
		case ok && len(word) > 11:
			t.Fatalf("%q is taken", word)
		}
	})
}

// What a look at each of 10,000 heartbeats costs, which is made once a minute.
func BenchmarkJudge(b *testing.B) {
	clock := clocktest.New()
	backup := Monitor{ID: "backup", Type: Heartbeat, Cron: "30 2 * * *", Timezone: "Europe/Berlin"}
	s := New(Config{Monitors: Policy{backup}, Now: clock.Now, Log: slog.New(slog.DiscardHandler), Prober: probe.New(probe.Options{})})
	w := &watch{Service: s, hearts: map[string]heart{}, watched: map[string]*watched{}}
	m, err := w.prepare(s.set.Load().monitors[0])
	if err != nil {
		b.Fatal(err)
	}
	h := heart{ID: "backup"}
	for range heartbeat.MaxPings {
		h.Record.Take(heartbeat.Ping{At: docstore.At(clock.Now()), Signal: heartbeat.Success})
	}
	w.hearts["backup"] = h
	b.ReportAllocs()
	for b.Loop() {
		if r := w.judgeBeat(m); !r.Up {
			b.Fatal(r)
		}
	}
}

// The job of a machine by UTC keeps to a schedule that was meant for London.
func TestOperatorsAreToldOfTheTimeZoneThatPingsKeepTo(t *testing.T) {
	t.Parallel()
	clock := clocktest.New()
	backup := Monitor{ID: "backup", Type: Heartbeat, Cron: "20 1 * * *", Timezone: "Europe/London"}
	s := New(Config{Store: storetest.New(t, Specs()...), Monitors: Policy{backup}, Now: clock.Now, Log: slog.New(slog.DiscardHandler), Prober: probe.New(probe.Options{})})
	shown := func() *heartbeatBody {
		t.Helper()
		w, err := s.Monitor(t.Context(), "backup")
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.newHeartbeatBody(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for day := range 3 {
		if got := shown().Advice; got != "" {
			t.Errorf("by %d pings it is told %q", day, got)
		}
		clock.Set(time.Date(2027, 7, 1+day, 1, 20, 4, 0, time.UTC))
		if err := s.hear(t.Context(), "backup", heartbeat.Ping{Signal: heartbeat.Success}, nil); err != nil {
			t.Fatal(err)
		}
	}
	b := shown()
	if b.Timezone != "UTC" || b.Advice != "Its pings come at 01:20 UTC, which is when 20 1 * * * is in UTC; the schedule says Europe/London. Should its timezone be UTC?" {
		t.Errorf("told is %q %q", b.Timezone, b.Advice)
	}
	if b.Clocks == nil || b.Clocks.At != "2027-10-31T01:00:00Z" || b.Clocks.Turn.Shift != "-1h0m0s" || b.Expected[0].At != "2027-07-04T01:20:00+01:00" {
		t.Errorf("expected is %+v, clocks are changed %+v", b.Expected, b.Clocks)
	}
}
