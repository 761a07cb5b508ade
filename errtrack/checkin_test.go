package errtrack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/referencetest"
	"manus/internal/storetest"
)

// site is an inbox behind its addresses.
type site struct {
	*rig
	http.Handler
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{rig: newRig(t, storetest.New(t, Specs()...))}
	api := httpapi.New(httpapi.Config{Log: referencetest.Log(t), Version: "test", Caller: func(*http.Request) (identity.Caller, error) {
		return identity.Caller{UserID: "op", Role: identity.Operator}, nil
	}})
	s.Routes(api)
	s.Handler = api
	return s
}

// send sends items, each of a type and a payload, in one envelope.
func (s *site) send(t *testing.T, want int, items ...string) string {
	t.Helper()
	var body strings.Builder
	body.WriteString("{}\n")
	for k := 0; k < len(items); k += 2 {
		fmt.Fprintf(&body, "{\"type\":%q}\n%s\n", items[k], items[k+1])
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/"+s.p.ID+"/envelope/?sentry_key="+s.p.Keys[0].Public, strings.NewReader(body.String()))
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, r)
	if answer.Code != want {
		t.Fatalf("%q: %d %s", items, answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// get reads an address of operators.
func get[T any](t *testing.T, s *site, path string) (list []T) {
	t.Helper()
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", httpapi.Prefix+path, nil))
	var body struct{ Items []T }
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil || answer.Code != 200 {
		t.Fatalf("%s: %d %s %v", path, answer.Code, answer.Body, err)
	}
	return body.Items
}

// What sentry-go 0.50, @sentry/node 11 and sentry-cli 3 send of jobs, in the order in which it
// came: the end of one of Node's came before its beginning.
func TestCheckInsOfSDKs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, payload := range []string{
		`{"check_in_id":"78a112fc896946ddaaff731a47bbcc88","monitor_slug":"go-crontab","status":"in_progress","release":"shop@1.4.2","environment":"production","monitor_config":{"schedule":{"type":"crontab","value":"*/5 * * * *"},"checkin_margin":2,"max_runtime":10,"timezone":"Asia/Riyadh"}}`,
		`{"check_in_id":"8446b929bd734b2bbc71e1e2c9fce4fb","monitor_slug":"go-interval","status":"error","duration":1.5,"release":"shop@1.4.2","environment":"production","monitor_config":{"schedule":{"type":"interval","value":2,"unit":"hour"},"checkin_margin":2,"max_runtime":10,"timezone":"Asia/Riyadh"}}`,
		`{"check_in_id":"3ccf5aeb88884dd4890e348d658a3ab8","monitor_slug":"node-interval","status":"error","release":"shop@1.4.2","environment":"production","duration":1.5,"monitor_config":{"schedule":{"type":"interval","value":2,"unit":"hour"},"checkin_margin":5},"contexts":{"trace":{"trace_id":"69468f42a37b4d80a98dc4e308d09fb8","span_id":"82374d37fa18d082"}}}`,
		`{"check_in_id":"3ccf5aeb88884dd4890e348d658a3ab8","monitor_slug":"node-interval","status":"in_progress","release":"shop@1.4.2","environment":"production","monitor_config":{"schedule":{"type":"interval","value":2,"unit":"hour"},"checkin_margin":5},"contexts":{"trace":{"trace_id":"69468f42a37b4d80a98dc4e308d09fb8","span_id":"955289b252ffe10b"}}}`,
		`{"check_in_id":"619314c3801d4e08b7d80af8b8079774","monitor_slug":"cli","status":"in_progress","environment":"production"}`,
		`{"check_in_id":"619314c3801d4e08b7d80af8b8079774","monitor_slug":"cli","status":"ok","environment":"production","duration":0.001330823}`,
	} {
		s.send(t, 200, "check_in", payload)
	}
	var got []string
	for _, c := range get[checkInBody](t, s, "/ops/check-ins?project=shop") {
		due := "never"
		if c.NextDueAt != nil {
			due = *c.NextDueAt
		}
		got = append(got, fmt.Sprintf("%s %s %s due %s, %s late, %v", c.ProjectID, c.Slug, c.Status, due, time.Duration(c.Margin)*time.Minute, c.Duration))
	}
	want := []string{
		"1 cli ok due never, 1m0s late, 0.001330823",
		"1 go-crontab in_progress due 2026-11-23T12:05:00.000Z, 2m0s late, 0",
		"1 go-interval error due 2026-11-23T14:00:00.000Z, 2m0s late, 1.5",
		"1 node-interval error due 2026-11-23T14:00:00.000Z, 5m0s late, 1.5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("there are\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if heard := s.heard(); heard != "check_in.missed The job go-interval has failed, check_in.missed The job node-interval has failed" {
		t.Errorf("%q was told", heard)
	}
	for _, bad := range []string{`[]`, `{`, `{"monitor_slug":"a","status":"missed"}`, `{"monitor_slug":"--","status":"ok"}`, `{"status":"ok"}`} {
		if body := s.send(t, 400, "check_in", bad); !strings.Contains(body, "check-in") {
			t.Errorf("%s: %s", bad, body)
		}
	}
}

// job is a test's job: what it says is said at the rig's time.
type job struct {
	*rig
	t      testing.TB
	slug   string
	config *MonitorConfig
}

func (r *rig) job(t testing.TB, crontab string, change func(*MonitorConfig)) job {
	c := defaultConfig()
	c.Crontab = crontab
	if change != nil {
		change(&c)
	}
	return job{r, t, "job", &c}
}

func (j job) says(id string, status MonitorStatus) {
	j.t.Helper()
	if err := j.CheckIn(j.t.Context(), j.p.ID, CheckIn{ID: id, Slug: j.slug, Environment: "production", Status: status, Config: j.config}); err != nil {
		j.t.Fatal(err)
	}
}

// pass has the inbox look after jobs for a while, as its loop does.
func (r *rig) pass(t testing.TB, d time.Duration) {
	t.Helper()
	for end := r.clock.Now().Add(d); ; r.clock.Add(min(listenEvery, end.Sub(r.clock.Now()))) {
		if err := r.watch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !r.clock.Now().Before(end) {
			return
		}
	}
}

func (j job) is(want string) {
	j.t.Helper()
	m, err := j.monitors.Get(j.t.Context(), monitorID(j.p.ID, j.slug, "production"))
	if err != nil {
		j.t.Fatal(err)
	}
	if got := fmt.Sprint(m.Shown(), " ", m.Failures, " due ", m.NextDueAt.Format("02 15:04")); got != want {
		j.t.Errorf("at %s it is %q, not %q", j.clock.Now().Format("15:04:05"), got, want)
	}
}

func (j job) told(want string) {
	j.t.Helper()
	if heard := j.heard(); heard != want {
		j.t.Errorf("at %s %q was told, not %q", j.clock.Now().Format("15:04:05"), heard, want)
	}
}

const (
	toldMissed  = "check_in.missed The job job didn't report"
	toldFailed  = "check_in.missed The job job has failed"
	toldTimeout = "check_in.missed The job job takes too long"
	toldWell    = "over check_in.missed The job job runs well again"
)

func TestAJobThatDoesNotReport(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	j := r.job(t, "*/10 * * * *", func(c *MonitorConfig) { c.Margin = 2 })
	r.pass(t, time.Minute)
	j.says("a", MonitorOK)
	j.is("ok 0 due 23 12:10")
	r.pass(t, 10*time.Minute)
	j.told("")
	r.pass(t, time.Minute)
	j.told(toldMissed)
	j.is("missed 1 due 23 12:20")
	r.pass(t, 10*time.Minute) // another is missed, which is the same outage
	j.is("missed 2 due 23 12:30")
	j.says("b", MonitorInProgress)
	j.told("")
	j.says("b", MonitorOK)
	j.told(toldWell)
	r.pass(t, 12*time.Minute)
	j.told(toldMissed)
}

func TestManyInARowAreAFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	j := r.job(t, "*/10 * * * *", func(c *MonitorConfig) { c.Failures, c.Recoveries = 3, 2 })
	for n, step := range []struct {
		status MonitorStatus
		told   string
	}{
		{MonitorError, ""}, {MonitorError, ""}, {MonitorOK, ""}, {MonitorError, ""}, {MonitorError, ""}, {MonitorError, toldFailed}, {MonitorError, ""},
		{MonitorOK, ""}, {MonitorError, ""}, {MonitorOK, ""}, {MonitorOK, toldWell}, {MonitorOK, ""},
	} {
		for range 2 { // the second is the same again
			j.says(fmt.Sprint("run", n), step.status)
		}
		j.told(step.told)
		r.pass(t, 10*time.Minute)
	}
}

func TestAJobThatTakesTooLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	j := r.job(t, "*/10 * * * *", func(c *MonitorConfig) { c.MaxRuntime = 45 })
	r.pass(t, time.Minute)
	j.says("a", MonitorInProgress)
	r.pass(t, 44*time.Minute)
	j.told("")
	j.is("in_progress 0 due 23 12:10") // the runs that it keeps from beginning aren't missed
	r.pass(t, time.Minute)
	j.told(toldTimeout)
	j.is("timeout 1 due 23 12:50")
	j.says("a", MonitorError) // is the same failure
	j.told("")
	j.is("error 1 due 23 12:50")
	j.says("b", MonitorOK)
	j.told(toldWell)
	j.says("a", MonitorOK)
	j.is("ok 0 due 23 12:50")
}

// What a program could report to nobody isn't missed.
func TestWhoWasNotThereAccusesNoJob(t *testing.T) {
	t.Parallel()
	store := storetest.New(t, Specs()...)
	r := newRig(t, store)
	other := newRig(t, store)
	other.p = r.p
	j := r.job(t, "*/10 * * * *", nil)
	r.pass(t, time.Minute)
	j.says("a", MonitorInProgress)
	j.slug = "other"
	j.says("a", MonitorOK)

	r.clock.Add(time.Hour) // it sleeps
	r.pass(t, time.Minute)
	j.told("")
	j.is("ok 0 due 23 13:10")
	j.slug = "job"
	j.is("waiting 0 due 23 13:10")
	r.pass(t, 8*time.Minute+10*time.Second) // until 13:10:10

	other.clock.Set(r.clock.Now()) // it takes over, a moment before it is too late
	other.pass(t, 10*time.Minute)
	other.pass(t, 0)
	if told := other.heard(); strings.Count(told, toldMissed) != 1 || strings.Count(told, "The job other") != 1 {
		t.Errorf("what was due while there was always one isn't told: %q", told)
	}

	for name, d := range map[string]time.Duration{"back": -30 * 24 * time.Hour, "on": 30 * 24 * time.Hour} {
		j.says("b"+name, MonitorOK)
		r.clock.Set(other.clock.Now())
		r.pass(t, time.Second)
		j.says("c"+name, MonitorOK)
		r.heard()
		r.clock.Add(d) // the clock is wrong, or was
		r.pass(t, time.Minute)
		j.told("")
		r.pass(t, 11*time.Minute)
		if told := r.heard(); strings.Count(told, toldMissed) != 1 {
			t.Errorf("%s: a clock that was changed hides what is missed: %q", name, told)
		}
		other.clock.Set(r.clock.Now())
		other.heard()
	}
}

// Clocks that are changed, days that never come, and what is no schedule.
func TestSchedulesOfJobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config, at string
		due, shown string
	}{
		{`{"schedule":{"type":"crontab","value":"0 3 * * 7"}}`, "2026-11-23T12:00:00Z", "2026-11-29T03:00:00.000Z", "ok"},
		{`{"schedule":{"type":"crontab","value":"0 3 * feb sun"}}`, "2026-11-23T12:00:00Z", "2027-02-07T03:00:00.000Z", "ok"},
		{`{"schedule":{"type":"crontab","value":"@daily"},"timezone":"Asia/Riyadh"}`, "2026-11-23T12:00:00Z", "2026-11-23T21:00:00.000Z", "ok"},
		{`{"schedule":{"type":"crontab","value":"30 2 * * *"},"timezone":"Europe/Berlin"}`, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00.000Z", "ok"},
		{`{"schedule":{"type":"crontab","value":"30 2 * * *"},"timezone":"Europe/Berlin"}`, "2026-10-25T00:30:00Z", "2026-10-26T01:30:00.000Z", "ok"},
		{`{"schedule":{"type":"crontab","value":"0 0 31 2 *"}}`, "2026-11-23T12:00:00Z", "", "invalid_schedule"},
		{`{"schedule":{"type":"crontab","value":"every day"}}`, "2026-11-23T12:00:00Z", "", "invalid_schedule"},
		{`{"schedule":{"type":"crontab","value":7}}`, "2026-11-23T12:00:00Z", "", "invalid_schedule"},
		{`{"schedule":{"type":"crontab","value":"0 3 * * *"},"timezone":"Mars/Base"}`, "2026-11-23T12:00:00Z", "", "invalid_schedule"},
		{`{"schedule":{"type":"crontab","value":"0 3 * * *` + strings.Repeat(" ", 400) + `"}}`, "2026-11-23T12:00:00Z", "", "invalid_schedule"},
		{`{"schedule":{"type":"interval","value":1.0,"unit":"month"}}`, "2026-11-23T12:00:00Z", "2026-12-23T12:00:00.000Z", "ok"},
		{`{"schedule":{"type":"interval","value":2,"unit":"week"}}`, "2026-11-23T12:00:00Z", "2026-12-07T12:00:00.000Z", "ok"},
		{`{"schedule":{"type":"interval","value":-2,"unit":"week"}}`, "2026-11-23T12:00:00Z", "", "invalid_schedule"},
		{`{"schedule":{"type":"interval","value":2,"unit":"fortnight"}}`, "2026-11-23T12:00:00Z", "", "invalid_schedule"},
		{`{"schedule":{"type":"interval","value":1e300,"unit":"year"}}`, "2026-11-23T12:00:00Z", "", "ok"},
		{`{"checkin_margin":"x","max_runtime":-4}`, "2026-11-23T12:00:00Z", "", "ok"},
	} {
		s := newSite(t)
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		s.clock.Set(at)
		s.send(t, 200, "check_in", `{"monitor_slug":"a","status":"ok","monitor_config":`+c.config+`}`)
		got := get[checkInBody](t, s, "/ops/check-ins")[0]
		due := ""
		if got.NextDueAt != nil {
			due = *got.NextDueAt
		}
		if due != c.due || string(got.Status) != c.shown || (got.Problem == "") != (c.shown == "ok") {
			t.Errorf("%s: due %q, %s, %q", c.config, due, got.Status, got.Problem)
		}
		s.pass(t, 2*time.Minute)
		if told := s.heard(); told != "" {
			t.Errorf("%s: %q was told", c.config, told)
		}
	}
}

// A run that comes a little before it is due is the one that was due.
func TestAClockThatIsAhead(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	j := r.job(t, "*/10 * * * *", nil)
	r.pass(t, time.Minute)
	j.says("a", MonitorOK)
	r.pass(t, 8*time.Minute+30*time.Second)
	j.says("b", MonitorOK)
	j.is("ok 0 due 23 12:20")
	r.pass(t, 5*time.Minute)
	j.told("")
}

// Two copies watch, and whatever call of the store fails: an outage is told, and its end, each
// at least once, and the job is counted once.
func TestAWatchThatIsCutShort(t *testing.T) {
	t.Parallel()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newRig(t, store)
		j := r.job(t, "*/10 * * * *", nil)
		r.pass(t, time.Minute)
		j.says("a", MonitorOK)
		r.pass(t, 9*time.Minute+50*time.Second)
		r.clock.Add(20 * time.Second)
		cut(func() error {
			if err := r.watch(t.Context()); err != nil {
				return err
			}
			if strings.Contains(r.log.String(), "wait to be delivered") {
				return docstore.ErrUnavailable
			}
			return nil
		})
		r.pass(t, 30*time.Second)
		j.is("missed 1 due 23 12:20")
		if told := r.heard(); !strings.Contains(told, toldMissed) {
			t.Errorf("%q was told", told)
		}
	})
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newRig(t, store)
		j := r.job(t, "*/10 * * * *", nil)
		j.says("a", MonitorError)
		r.heard()
		id := monitorID(r.p.ID, "job", "production")
		cut(func() error { return r.RemoveCronMonitor(t.Context(), id) })
		r.clock.Add(time.Minute)
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.RemoveCronMonitor(t.Context(), id); err != nil && !errors.Is(err, ErrNoMonitor) {
			t.Fatal(err)
		}
		if _, err := r.monitors.Get(t.Context(), id); !errors.Is(err, docstore.ErrNotFound) {
			t.Errorf("it is still there: %v", err)
		}
		if told := r.heard(); !strings.Contains(told, "over check_in.missed The job job isn't watched any more") {
			t.Errorf("%q was told", told)
		}
	})
}

// However check-ins of some runs are mixed and repeated, copies come to the same.
func TestCheckInsInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		store := storetest.New(t, Specs()...)
		copies := []*rig{newRig(t, store), newRig(t, store)}
		copies[1].p = copies[0].p
		var all []func(*rig) error
		for n := range 8 {
			for _, status := range []MonitorStatus{MonitorInProgress, MonitorError, MonitorInProgress, MonitorError} {
				all = append(all, func(r *rig) error {
					return r.CheckIn(t.Context(), r.p.ID, CheckIn{ID: fmt.Sprint(n), Slug: "job", Environment: "production", Status: status})
				})
			}
		}
		random.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		done := make(chan error)
		for k, r := range copies {
			go func() {
				for _, say := range all[k*len(all)/2 : (k+1)*len(all)/2] {
					if err := say(r); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		if err := errors.Join(<-done, <-done); err != nil {
			t.Fatal(err)
		}
		job{copies[0], t, "job", nil}.is("error 8 due 01 00:00")
		if told := copies[0].heard() + copies[1].heard(); strings.Count(told, toldFailed) < 1 || strings.Contains(told, "over") {
			t.Errorf("%q was told", told)
		}
	}
}

func TestJobsAreBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	many := make([]CronMonitor, maxMonitors)
	for n := range many {
		slug := fmt.Sprint("job-", n)
		many[n] = CronMonitor{ID: monitorID(s.p.ID, slug, "production"), Project: s.p.ID, Slug: slug, Environment: "production", Config: defaultConfig(), LastAt: docstore.At(s.clock.Now())}
	}
	if err := s.monitors.Insert(t.Context(), many...); err != nil {
		t.Fatal(err)
	}
	s.send(t, 200, "check_in", `{"monitor_slug":"one-more","status":"ok"}`, "check_in", `{"monitor_slug":"job-7","status":"error"}`)
	if told := s.heard(); told != "check_in.missed The job job-7 has failed" {
		t.Errorf("%q was told", told)
	}
	s.noteLosses(t.Context())
	totals, err := s.totalsOf(t.Context(), s.p.ID)
	if err != nil || len(totals.Losses) != 1 || totals.Losses[0].Reason != lostToBound {
		t.Errorf("what there is no room for isn't counted: %v %v", totals.Losses, err)
	}

	long := slugOf(strings.Repeat("A/ نسخة", 100))
	if len(long) > 4*maxSlug || strings.ContainsAny(long, "/ A") {
		t.Errorf("a long name is %q", long)
	}

	s.clock.Add(91 * 24 * time.Hour) // nobody has heard of them for longer than events are kept
	s.send(t, 200, "check_in", `{"monitor_slug":"job-8","status":"ok"}`)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := get[checkInBody](t, s, "/ops/check-ins"); len(left) != 1 || left[0].Slug != "job-8" {
		t.Errorf("left are %v", left)
	}
	if told := s.heard(); told != "over check_in.missed The job job-7 isn't watched any more" {
		t.Errorf("%q was told", told)
	}
}

// A project that was deleted has no jobs any more, and accuses none.
func TestADeletedProjectsJobs(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	j := r.job(t, "*/10 * * * *", nil)
	r.pass(t, time.Minute)
	j.says("a", MonitorOK)
	if err := r.DeleteProject(t.Context(), r.p.ID); err != nil {
		t.Fatal(err)
	}
	r.pass(t, 30*time.Minute)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	j.told("")
	if left, _, err := r.CronMonitors(t.Context(), "", 10, ""); err != nil || len(left) != 0 {
		t.Errorf("left are %v: %v", left, err)
	}
}

// What was told of a job ends with its project at once, and nothing new is told: not of what a
// copy takes that doesn't know yet.
func TestADeletedProjectsAlertsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	j := r.job(t, "*/10 * * * *", nil)
	j.says("a", MonitorError)
	j.told(toldFailed)
	if err := r.DeleteProject(t.Context(), r.p.ID); err != nil {
		t.Fatal(err)
	}
	j.told("over check_in.missed The job job isn't watched any more")
	j.says("b", MonitorError)
	j.told("")
}

// The loop that watches, with the time that passes.
func TestTheWatchRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, storetest.File(t, filepath.Join(t.TempDir(), "manus.db"), Specs()...)) // a network's time is none of the bubble's
		r.c.Now = time.Now
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.watchCheckIns(ctx) }()
		time.Sleep(time.Minute)
		err := r.CheckIn(t.Context(), r.p.ID, CheckIn{Slug: "job", Environment: "production", Status: MonitorOK, Config: &MonitorConfig{Every: 5, Unit: "minute", Margin: 1, MaxRuntime: 1, Failures: 1, Recoveries: 1}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(6*time.Minute + listenEvery)
		synctest.Wait()
		if told := r.heard(); told != toldMissed {
			t.Errorf("%q was told", told)
		}
		cancel()
		<-done
	})
}
