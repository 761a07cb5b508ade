package errtrack

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/sentrytest"
	"manus/internal/storetest"
)

// replay sends what real SDKs have sent, some time after it was.
func (s *site) replay(t *testing.T, captures ...string) {
	t.Helper()
	s.clock.Set(time.Date(2026, 11, 26, 23, 30, 0, 0, time.UTC))
	_, err := s.projects.Update(t.Context(), s.p.ID, func(p *Project) error {
		p.Keys[0].Public = "0123456789abcdef0123456789abcdef"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.taking.Forget()
	for _, pattern := range captures {
		for file, c := range sentrytest.Captured(t, "event/testdata/captures/"+pattern+".http") {
			body := bytes.Replace(c.Body, []byte("/42\""), []byte("/"+s.p.ID+"\""), 1)
			r := httptest.NewRequestWithContext(t.Context(), c.Method, strings.Replace(c.Path, "/42/", "/"+s.p.ID+"/", 1)+"?"+c.Query, bytes.NewReader(body))
			r.Header = c.Header
			r.RemoteAddr = "192.0.2.1:1"
			answer := httptest.NewRecorder()
			s.ServeHTTP(answer, r)
			if answer.Code != 200 {
				t.Fatalf("%s: %d %s", file, answer.Code, answer.Body)
			}
		}
	}
}

// releases are what operators see of them.
func (s *site) releases(t *testing.T) string {
	t.Helper()
	var all []string
	for _, r := range get[releaseBody](t, s, "/ops/releases?project="+s.p.ID) {
		line := fmt.Sprintf("%s %s: %d, %d errored, %d crashed, %d abnormal, %d people", r.Release, r.Environment, r.Sessions, r.Errored, r.Crashed, r.Abnormal, r.Users)
		if r.CrashFree != nil {
			line += fmt.Sprintf(", free %.3f", *r.CrashFree)
		}
		if r.CrashFreeUsers != nil {
			line += fmt.Sprintf(", for people %.3f", *r.CrashFreeUsers)
		}
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

// TestSessionsOfSDKs: those of Node, of which one is told of twice, of Python and of a browser.
func TestSessionsOfSDKs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	for range 2 { // whatever is sent again
		s.replay(t, "node-session.*", "python-session.*", "browser-session.*")
	}
	got := s.releases(t)
	if !strings.Contains(got, "shop@1.4.2 production: 3, 1 errored, 0 crashed, 0 abnormal, 0 people, free 1.000") || !strings.Contains(got, "shop-web@1.4.2 production:") {
		t.Errorf("the releases are\n%s", got)
	}
}

func TestSessionsAreReadAsTheyAreSent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	s.send(t, 200,
		"sessions", `{"aggregates":[{"started":"2026-11-23T11:00:00.000Z","exited":90,"errored":6,"crashed":2,"unhandled":1,"abnormal":1},{"started":"2026-11-22T11:00:00Z","exited":100},{"exited":"x","errored":-4}],"attrs":{"release":"shop@1","environment":"staging"}}`,
		"session", `{"sid":"A1B2-1","init":true,"did":"amal@example.com","started":17,"status":"ok","errors":0,"attrs":{"release":"shop@1"}}`,
		"session", `{"sid":"c3","did":"b@example.com","status":"unhandled","errors":1,"attrs":{"release":"shop@1"}}`, // as @sentry/browser 11 ends one
		"session", `{"sid":"a1b21","did":7,"seq":2,"status":"crashed","errors":1,"attrs":{"release":"shop@1"}}`,
	)
	want := "shop@1 production: 2, 0 errored, 2 crashed, 0 abnormal, 3 people, free 0.000, for people 0.333\n" +
		"shop@1 staging: 200, 6 errored, 3 crashed, 1 abnormal, 0 people, free 0.985"
	if got := s.releases(t); got != want {
		t.Errorf("the releases are\n%s\nnot\n%s", got, want)
	}
	for _, bad := range []string{`{`, `7`, `{"sid":"a"}`, `{"sid":"a","attrs":{"release":""}}`} {
		s.send(t, 400, "session", bad)
	}
	s.clock.Add(29 * 24 * time.Hour)
	s.send(t, 200, "session", `{"sid":"x","status":"exited","started":"2027-11-23T11:00:00.000Z","attrs":{"release":"shop@2"}}`) // by a clock that is ahead
	if got := s.releases(t); !strings.HasPrefix(got, "shop@2 production: 1,") || !strings.Contains(got, "shop@1 staging: 200,") {
		t.Errorf("the releases are\n%s", got)
	}
	s.clock.Add(61*24*time.Hour + time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range s.Service.releases.All(t.Context(), docstore.Query{}) {
		n++
	}
	if n != 3 { // the day that is 91 days ago has gone
		t.Errorf("%d days are kept", n)
	}
}

// Some sessions are told of in steps, which come in any order, several times and by two
// copies at once: each is counted once, as what it was in the end.
func TestSessionsInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		store := storetest.New(t, Specs()...)
		copies := []*rig{newRig(t, store), newRig(t, store)}
		var all []sessionReport
		for n := range 60 {
			r := sessionReport{release: "shop@1", environment: "production", at: copies[0].clock.Now(), session: number64(fmt.Sprint(n)), person: number64(fmt.Sprint(n % 20)), status: "ok"}
			steps := []sessionReport{r}
			r.errored = n%2 == 0
			steps = append(steps, r)
			r.status = []string{"exited", "exited", "crashed", "abnormal"}[n%4]
			steps = append(steps, r, r)
			all = append(all, steps...)
		}
		rand.New(rand.NewPCG(seed, 2)).Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		done := make(chan error)
		for k, c := range copies {
			c.start(t)
			go func() {
				var failure error
				for _, r := range all[k*len(all)/2 : (k+1)*len(all)/2] {
					failure = errors.Join(failure, c.takeReports(t.Context(), copies[0].p.ID, []sessionReport{r}))
				}
				done <- failure
			}()
		}
		if err := errors.Join(<-done, <-done); err != nil {
			t.Fatal(err)
		}
		found, err := copies[0].Releases(t.Context(), copies[0].p.ID)
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		r := found[0]
		if got, want := fmt.Sprint(r.Sessions, r.Errored, r.Crashed, r.Abnormal, r.Users, r.CrashedUsers), fmt.Sprint(60, 15, 15, 15, 20, 5); got != want {
			t.Errorf("counted are %s, not %s", got, want)
		}
	}
}

// How far off rates of many sessions are.
func TestRatesOfManySessions(t *testing.T) {
	t.Parallel()
	const sessions, crashed = 200_000, 300
	day := ReleaseDay{}
	var all []sessionReport
	for n := range sessions {
		r := sessionReport{session: number64(fmt.Sprint(n)), status: "exited"}
		if n < crashed {
			r.status = "crashed"
		}
		all = append(all, r)
	}
	day.count(all)
	sets := day.Sets.open()
	rate := 1 - float64(sets.crashed.Estimate())/float64(sets.sessions.Estimate())
	if off := math.Abs(rate - (1 - float64(crashed)/sessions)); off > 0.0002 {
		t.Errorf("the rate is off by %.5f", off)
	}
	if size := len(day.Sets.Sessions); size > 5000 {
		t.Errorf("a set takes %d bytes", size)
	}
}

func TestReleasesOfADayAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	var reports []sessionReport
	for n := range maxReleases + 5 {
		reports = append(reports, sessionReport{release: fmt.Sprint("shop@", n), environment: "production", at: r.clock.Now(), session: 1})
	}
	a := &sessionArrival{r.p.ID, reports, make(chan error, 1)}
	r.writeSessions(t.Context(), []*sessionArrival{a})
	if err := <-a.done; err != nil {
		t.Fatal(err)
	}
	found, err := r.Releases(t.Context(), "")
	if err != nil || len(found) != maxReleases {
		t.Errorf("there are %d releases: %v", len(found), err)
	}
}

// What the store can't take is told to whoever waits for it, and not to others; sent again it
// is counted once.
func TestSessionsThatAreCutShort(t *testing.T) {
	t.Parallel()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newRig(t, store)
		write := func() error {
			var failure error
			var all []*sessionArrival
			for n := range 4 {
				report := sessionReport{release: fmt.Sprint("shop@", n%2), environment: "production", at: r.clock.Now(), session: number64(fmt.Sprint(n)), status: "crashed"}
				all = append(all, &sessionArrival{r.p.ID, []sessionReport{report}, make(chan error, 1)})
			}
			r.writeSessions(t.Context(), all)
			for _, a := range all {
				failure = errors.Join(failure, <-a.done)
			}
			return failure
		}
		cut(write)
		if err := write(); err != nil {
			t.Fatal(err)
		}
		found, err := r.Releases(t.Context(), "")
		if err != nil || len(found) != 2 || found[0].Crashed != 2 || found[1].Sessions != 2 {
			t.Errorf("counted are %+v: %v", found, err)
		}
	})
}
