package billing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	_ "time/tzdata" // zones, on machines that have none

	"go.yaml.in/yaml/v3"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/internal/referencetest"
	"manus/internal/storetest"
)

// world is sessions and a clock, as tests set them.
type world struct {
	*clocktest.Clock
	sessions map[string]bool
}

func (w *world) Exists(_ context.Context, id string) (bool, error) { return w.sessions[id], nil }

var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func setup(t *testing.T, change ...func(*Catalog)) (*Service, *world) {
	t.Helper()
	catalog := DefaultCatalog()
	for _, f := range change {
		f(&catalog)
	}
	if problems := catalog.Problems(); len(problems) > 0 {
		t.Fatal(problems)
	}
	w := &world{clocktest.New(), map[string]bool{}}
	w.Set(start)
	return New(Config{Store: storetest.New(t, Specs()...), Exists: w.Exists, Now: w.Now, Log: slog.New(slog.DiscardHandler), Catalog: catalog}), w
}

func wantUsed(t *testing.T, s *Service, want int64) Subscription {
	t.Helper()
	sub, err := s.Get(t.Context(), "u")
	if err != nil || sub.Used != want {
		t.Errorf("used %d, want %d (%v)", sub.Used, want, err)
	}
	return sub
}

// spend takes and confirms n runs.
func spend(t *testing.T, s *Service, n int) {
	t.Helper()
	for range n {
		id := docstore.NewID()
		if err := errors.Join(s.Reserve(t.Context(), "u", id), s.Confirm(t.Context(), "u", id)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAThousandAtOnceGetWhatIsLeft(t *testing.T) {
	t.Parallel()
	s, _ := setup(t, func(c *Catalog) { c.Plans[0].Runs = new(Runs(15)) })
	spend(t, s, 5)
	var got, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			switch err := s.Reserve(context.Background(), "u", fmt.Sprint("s", i)); {
			case err == nil:
				got.Add(1)
			case errors.Is(err, ErrQuotaExhausted):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 10 || refused.Load() != 990 {
		t.Errorf("%d got a run, %d were refused", got.Load(), refused.Load())
	}
	wantUsed(t, s, 15)
}

func TestAReservationIsTakenOnce(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	for range 2 {
		if err := s.Reserve(t.Context(), "u", "a"); err != nil {
			t.Fatal(err)
		}
		wantUsed(t, s, 1)
	}
	for _, user := range []string{"u", "u", "nobody"} {
		if err := s.Confirm(t.Context(), user, "a"); err != nil {
			t.Fatal(err)
		}
	}
	wantUsed(t, s, 1)
}

func TestWhatACrashLeftBehindIsLookedInto(t *testing.T) {
	t.Parallel()
	s, w := setup(t)
	for _, id := range []string{"made", "never made"} {
		if err := s.Reserve(t.Context(), "u", id); err != nil {
			t.Fatal(err)
		}
	}
	w.sessions["made"] = true
	spend(t, s, 1) // too early to look
	wantUsed(t, s, 3)
	w.Set(start.Add(staleAfter))
	spend(t, s, 1)
	wantUsed(t, s, 3)
	delete(w.sessions, "made") // deleted later, it stays spent
	w.Set(start.Add(2 * staleAfter))
	spend(t, s, 1)
	wantUsed(t, s, 4)
}

func TestARunThatACrashTookOfTheTrialGoesBackToTheTrial(t *testing.T) {
	t.Parallel()
	s, w := setup(t, func(c *Catalog) { c.Trial.Days = 1 })
	begin := start.AddDate(0, 0, -10)
	w.Set(begin)
	spend(t, s, 3)
	if _, err := s.StartTrial(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	spend(t, s, 2)
	if err := s.Reserve(t.Context(), "u", "never made"); err != nil {
		t.Fatal(err)
	}
	wantUsed(t, s, 3)
	w.Set(begin.Add(2 * staleAfter))
	spend(t, s, 1) // looks into it
	wantUsed(t, s, 3)
	w.Set(begin.AddDate(0, 0, 2))
	wantUsed(t, s, 3) // of the plan, which it wasn't taken from
}

func TestARunThatIsOwedIsFoundBehindManyThatWereSpent(t *testing.T) {
	t.Parallel()
	s, w := setup(t, func(c *Catalog) { c.Plans[0].Runs = new(Runs(maxStale + 1)) })
	for i := range maxStale {
		id := fmt.Sprint("made", i)
		if err := s.Reserve(t.Context(), "u", id); err != nil {
			t.Fatal(err)
		}
		w.sessions[id] = true
	}
	if err := s.Reserve(t.Context(), "u", "never made"); err != nil {
		t.Fatal(err)
	}
	w.Set(start.Add(staleAfter))
	if err := s.Reserve(t.Context(), "u", "a"); !errors.Is(err, ErrQuotaExhausted) {
		t.Errorf("none has been given back yet: %v", err)
	}
	if err := s.Reserve(t.Context(), "u", "b"); err != nil {
		t.Errorf("the one that is owed isn't reached: %v", err)
	}
	wantUsed(t, s, maxStale+1)
}

func TestAReservationOfAClockThatWasAheadHidesNoOther(t *testing.T) {
	t.Parallel()
	s, w := setup(t)
	for _, r := range []struct {
		id string
		at time.Time
	}{{"ahead", start.Add(6 * time.Hour)}, {"never made", start}} {
		w.Set(r.at)
		if err := s.Reserve(t.Context(), "u", r.id); err != nil {
			t.Fatal(err)
		}
	}
	w.Set(start.Add(time.Hour))
	spend(t, s, 1)
	wantUsed(t, s, 2) // "ahead" is still held, the other was given back
}

func TestACrashBeforeAMonthEndsGivesTheNextNothing(t *testing.T) {
	t.Parallel()
	s, w := setup(t)
	if err := s.Reserve(t.Context(), "u", "never made"); err != nil {
		t.Fatal(err)
	}
	w.Set(time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC))
	spend(t, s, 2)
	wantUsed(t, s, 2)
}

func TestMonthsBegin(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		parsed, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for _, c := range []struct {
		reset                   Reset
		anchor, now, start, end string
	}{
		{Calendar, "2026-01-31 12:00", "2026-02-15 00:00", "2026-02-01 00:00", "2026-03-01 00:00"},
		{Calendar, "2026-01-31 12:00", "2026-12-31 23:59", "2026-12-01 00:00", "2027-01-01 00:00"},
		{Anniversary, "2026-01-31 12:00", "2026-01-31 12:00", "2026-01-31 12:00", "2026-02-28 12:00"},
		{Anniversary, "2026-01-31 12:00", "2026-02-28 11:59", "2026-01-31 12:00", "2026-02-28 12:00"},
		{Anniversary, "2026-01-31 12:00", "2026-02-28 12:00", "2026-02-28 12:00", "2026-03-31 12:00"},
		{Anniversary, "2026-01-31 12:00", "2026-03-31 11:59", "2026-02-28 12:00", "2026-03-31 12:00"},
		{Anniversary, "2028-01-30 00:00", "2028-02-29 00:00", "2028-02-29 00:00", "2028-03-30 00:00"},
		{Anniversary, "2026-05-15 06:00", "2029-05-15 05:59", "2029-04-15 06:00", "2029-05-15 06:00"},
		{Anniversary, "2026-05-15 06:00", "2026-05-14 00:00", "2026-04-15 06:00", "2026-05-15 06:00"},
	} {
		start, end := month(c.reset, at(c.anchor), at(c.now))
		if !start.Equal(at(c.start)) {
			t.Errorf("%+v: starts %v", c, start)
		}
		if !end.Equal(at(c.end)) {
			t.Errorf("%+v: ends %v", c, end)
		}
	}
}

func FuzzMonths(f *testing.F) {
	f.Add(int64(1769860800), int64(1772280000))
	f.Add(int64(951782400), int64(4107542399))
	f.Fuzz(func(t *testing.T, a, n int64) {
		const years = 300 * 365 * 86400
		anchor, now := time.Unix(a%years, 0), time.Unix(n%years, 0)
		for _, reset := range []Reset{Calendar, Anniversary} {
			start, end := month(reset, anchor, now)
			if start.After(now) || !end.After(now) || end.Sub(start) < 28*24*time.Hour || end.Sub(start) > 31*24*time.Hour {
				t.Errorf("%s from %v at %v: %v to %v", reset, anchor, now, start, end)
			}
			if next, _ := month(reset, anchor, end); !next.Equal(end) {
				t.Errorf("%s from %v: a month ends %v, the next begins %v", reset, anchor, end, next)
			}
		}
	})
}

func TestTheCountStartsAgainWithTheMonthAndNeverGoesBack(t *testing.T) {
	t.Parallel()
	s, w := setup(t)
	spend(t, s, 10)
	if err := s.Reserve(t.Context(), "u", "x"); !errors.Is(err, ErrQuotaExhausted) {
		t.Fatalf("got %v", err)
	}
	w.Set(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	wantUsed(t, s, 0)
	spend(t, s, 10)
	w.Set(start) // the clock steps back into January
	if err := s.Reserve(t.Context(), "u", "x"); !errors.Is(err, ErrQuotaExhausted) {
		t.Errorf("January's runs are given twice: %v", err)
	}
	if sub := wantUsed(t, s, 10); sub.PeriodEnd != time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) {
		t.Errorf("ends %v", sub.PeriodEnd)
	}
	w.Set(time.Date(2029, 7, 9, 0, 0, 0, 0, time.UTC)) // asleep for years
	spend(t, s, 10)
}

func TestTheTrialIsOncePerAccountAndCountsApart(t *testing.T) {
	t.Parallel()
	s, w := setup(t)
	spend(t, s, 10)
	var started, refused atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch _, err := s.StartTrial(context.Background(), "u"); {
			case err == nil:
				started.Add(1)
			case errors.Is(err, ErrTrialUsed):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if started.Load() != 1 || refused.Load() != 49 {
		t.Errorf("%d trials", started.Load())
	}
	if sub := wantUsed(t, s, 0); sub.Status != Trialing || sub.Plan.ID != "basic" || sub.Limit != 50 || sub.PeriodEnd != start.AddDate(0, 0, 14) || sub.TrialAvailable {
		t.Errorf("got %+v", sub)
	}
	w.Set(start.AddDate(0, 0, 5)) // February has begun; a trial has no months
	spend(t, s, 50)
	if err := s.Reserve(t.Context(), "u", "x"); !errors.Is(err, ErrQuotaExhausted) {
		t.Errorf("got %v", err)
	}
	w.Set(start.AddDate(0, 0, 14))
	if sub := wantUsed(t, s, 0); sub.Status != Active || sub.Plan.ID != "free" || sub.Limit != 10 {
		t.Errorf("got %+v", sub)
	}
	if _, err := s.StartTrial(t.Context(), "u"); !errors.Is(err, ErrTrialUsed) {
		t.Errorf("got %v", err)
	}
}

func TestWhoMayNotTry(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	if err := s.SetPlan(t.Context(), "u", "pro"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.StartTrial(t.Context(), "u"); !errors.Is(err, ErrAlreadySubscribed) {
		t.Errorf("got %v", err)
	}
	none, _ := setup(t, func(c *Catalog) { c.Trial = Trial{} })
	if _, err := none.StartTrial(t.Context(), "u"); !errors.Is(err, ErrNoTrial) {
		t.Errorf("got %v", err)
	}
}

func TestAnAccountWhosePlanIsGoneMayTry(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	spend(t, s, 1)
	changed := DefaultCatalog()
	changed.Plans[0].ID = "starter"
	s.SetCatalog(changed)
	if sub := wantUsed(t, s, 1); sub.Plan.ID != "starter" || !sub.TrialAvailable {
		t.Errorf("got %+v", sub)
	}
	if sub, err := s.StartTrial(t.Context(), "u"); err != nil || sub.Status != Trialing {
		t.Errorf("got %+v, %v", sub, err)
	}
}

func TestATrialLastsItsDaysWhereClocksAreChanged(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	s, w := setup(t)
	w.Set(time.Date(2026, 3, 1, 12, 0, 0, 0, zone)) // summer time begins on the 8th
	sub, err := s.StartTrial(t.Context(), "u")
	if lasts := sub.PeriodEnd.Sub(sub.PeriodStart); err != nil || lasts != 14*24*time.Hour {
		t.Errorf("it lasts %v, %v", lasts, err)
	}
}

func TestAPlanIsChangedAtOnceAndKeepsWhatWasUsed(t *testing.T) {
	t.Parallel()
	s, _ := setup(t, func(c *Catalog) { c.Plans[1].Reset = Calendar })
	spend(t, s, 10)
	if err := s.SetPlan(t.Context(), "u", "basic"); err != nil {
		t.Fatal(err)
	}
	spend(t, s, 1)
	if sub := wantUsed(t, s, 11); sub.Limit != 1000 {
		t.Errorf("got %+v", sub)
	}
	if err := s.SetPlan(t.Context(), "u", "enterprise"); err != nil {
		t.Fatal(err)
	}
	if sub, err := s.Get(t.Context(), "u"); err != nil || sub.Limit != Unlimited {
		t.Errorf("got %+v, %v", sub, err)
	}
	if err := s.SetPlan(t.Context(), "u", "gold"); !errors.Is(err, ErrUnknownPlan) {
		t.Errorf("got %v", err)
	}
}

func TestAnniversariesBeginWhenAnAccountSubscribes(t *testing.T) {
	t.Parallel()
	s, w := setup(t)
	spend(t, s, 1)
	day := start.AddDate(0, 0, 9)
	for i, plan := range []string{"basic", "pro"} {
		w.Set(day.AddDate(0, 0, i))
		if err := s.SetPlan(t.Context(), "u", plan); err != nil {
			t.Fatal(err)
		}
		sub := wantUsed(t, s, 0)
		if !sub.PeriodStart.Equal(day) || !sub.PeriodEnd.Equal(day.AddDate(0, 1, 0)) {
			t.Errorf("%s lasts from %v to %v", plan, sub.PeriodStart, sub.PeriodEnd)
		}
	}
}

func TestATrialStaysWhatItWasOfferedAs(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	if _, err := s.StartTrial(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	changed := DefaultCatalog()
	changed.Trial = Trial{}
	s.SetCatalog(changed)
	spend(t, s, 50)
	if sub := wantUsed(t, s, 50); sub.Plan.ID != "basic" || sub.Limit != 50 {
		t.Errorf("got %+v", sub)
	}
}

func TestAChangedCatalogueCountsAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	spend(t, s, 10)
	changed := DefaultCatalog()
	changed.Plans[0].Runs = new(Runs(11))
	s.SetCatalog(changed)
	spend(t, s, 1)
	if err := s.SetPlan(t.Context(), "u", "pro"); err != nil {
		t.Fatal(err)
	}
	changed.Plans = changed.Plans[:2]
	s.SetCatalog(changed)
	if sub, err := s.Get(t.Context(), "u"); err != nil || sub.Plan.ID != "free" || sub.Limit != 11 {
		t.Errorf("a plan that is gone: %+v, %v", sub, err)
	}
}

func TestReservationsOfOneAccountAreBounded(t *testing.T) {
	t.Parallel()
	sub := subscription{Pending: make([]reservation, maxPending)}
	if err := sub.take(Plan{Runs: new(Unlimited)}, "x", start); !errors.Is(err, ErrTooManyAtOnce) {
		t.Errorf("got %v", err)
	}
}

func TestTheDefaultCatalogueIsTheContracts(t *testing.T) {
	t.Parallel()
	c := DefaultCatalog()
	if problems := c.Problems(); len(problems) > 0 {
		t.Error(problems)
	}
	text, err := yaml.Marshal(c.Plans)
	if err != nil {
		t.Fatal(err)
	}
	var back []Plan
	if err := yaml.Unmarshal(text, &back); err != nil || len(back) != 4 || *back[3].Runs != Unlimited || back[3].PriceUSD != nil || *back[2].PriceUSD != 49 {
		t.Errorf("got %+v, %v", back, err)
	}
}

// plansOf are n plans that cost nothing.
func plansOf(n int) (plans []Plan) {
	for i := range n {
		plans = append(plans, Plan{ID: fmt.Sprint("p", i), Name: "Plan", PriceUSD: new(0), Runs: new(Runs(1)), Reset: Calendar})
	}
	return plans
}

func TestProblemsOfACatalogue(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Catalog){
		"plans: list":           func(c *Catalog) { c.Plans = nil },
		"plans: list 1 to 32":   func(c *Catalog) { c.Plans = plansOf(maxPlans + 1) },
		"plans[0].name":         func(c *Catalog) { c.Plans[0].Name = strings.Repeat("n", 65) },
		"trial.days: use 0":     func(c *Catalog) { c.Trial.Days = maxTrialDays + 1 },
		"plans[1].id: use":      func(c *Catalog) { c.Plans[1].ID = "Basic!" },
		"plans[1].id: is":       func(c *Catalog) { c.Plans[1].ID = "free" },
		"plans[2].name":         func(c *Catalog) { c.Plans[2].Name = "" },
		"plans[2].price_usd":    func(c *Catalog) { c.Plans[2].PriceUSD = new(-1) },
		"plans[0].price_usd":    func(c *Catalog) { c.Plans[0].PriceUSD = new(5) },
		"plans[1].runs":         func(c *Catalog) { c.Plans[1].Runs = new(Runs(-1)) },
		"plans[2].runs":         func(c *Catalog) { c.Plans[2].Runs = nil },
		"trial.runs":            func(c *Catalog) { c.Trial.Runs = 0 },
		"plans[3].reset":        func(c *Catalog) { c.Plans[3].Reset = "weekly" },
		"trial.days":            func(c *Catalog) { c.Trial.Days = -1 },
		"trial.plan: name one ": func(c *Catalog) { c.Trial.Plan = "gold" },
	} {
		c := DefaultCatalog()
		change(&c)
		if got := strings.Join(c.Problems(), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: got %q", want, got)
		}
	}
	for name, change := range map[string]func(*Catalog){
		"as many plans as may be": func(c *Catalog) { c.Plans, c.Trial.Plan = plansOf(maxPlans), "p0" },
		"the longest name":        func(c *Catalog) { c.Plans[0].Name = strings.Repeat("n", 64) },
		"a plan without runs":     func(c *Catalog) { c.Plans[0].Runs = new(Runs(0)) },
		"a trial of a year":       func(c *Catalog) { c.Trial.Days = maxTrialDays },
		"no trial":                func(c *Catalog) { c.Trial = Trial{} },
	} {
		c := DefaultCatalog()
		change(&c)
		if problems := c.Problems(); len(problems) > 0 {
			t.Errorf("%s: %q", name, problems)
		}
	}
	var none Plan
	if err := yaml.Unmarshal([]byte("runs: 0"), &none); err != nil || none.Runs == nil || *none.Runs != 0 {
		t.Errorf("no runs are %v: %v", none.Runs, err)
	}
	for _, bad := range []string{"runs: -1", "runs: many", "runs: 1.5", "runs: [1]", "runs: 99999999999"} {
		if err := yaml.Unmarshal([]byte(bad), &Plan{}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestTheRoutes(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	api := httpapi.New(httpapi.Config{Log: referencetest.Log(t), Version: "test", Caller: func(r *http.Request) (identity.Caller, error) {
		return identity.Caller{UserID: r.Header.Get("X-Test-User")}, nil
	}})
	s.Routes(api)
	call := func(method, path, user string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), method, httpapi.Prefix+path, nil)
		r.Header.Set("X-Test-User", user)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		body, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.Code, string(body)
	}
	spend(t, s, 3)
	for _, c := range []struct {
		method, path, user string
		status             int
		want               string
	}{
		{http.MethodGet, "/billing/plans", "", 200, `{"id":"enterprise","name":"Enterprise","price_usd":null,"runs_per_month":null,"reset":"anniversary"}],"next_cursor":""}`},
		{http.MethodGet, "/billing/subscription", "", 401, "unauthorized"},
		{http.MethodGet, "/billing/subscription", "u", 200, `"runs_used":3,"runs_limit":10,"runs_remaining":7,"period_start":"2026-01-01T00:00:00Z","period_end":"2026-02-01T00:00:00Z","trial_available":true`},
		{http.MethodGet, "/billing/subscription", "somebody else", 200, `"runs_used":0`},
		{http.MethodPost, "/billing/trial", "", 401, "unauthorized"},
		{http.MethodPost, "/billing/trial", "u", 200, `"status":"trialing"`},
		{http.MethodPost, "/billing/trial", "u", 409, "trial-used"},
	} {
		if status, body := call(c.method, c.path, c.user); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s as %q: %d %s", c.method, c.path, c.user, status, body)
		}
	}
}

// counted is a store that counts how often it is asked.
type counted struct {
	docstore.Store
	asked atomic.Int64
}

func (c *counted) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	c.asked.Add(1)
	return c.Store.Get(ctx, collection, id)
}

func (c *counted) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	c.asked.Add(1)
	return c.Store.Upsert(ctx, collection, id, change)
}

func TestANewSessionAsksTheStoreTwice(t *testing.T) {
	t.Parallel()
	store := &counted{Store: storetest.New(t, Specs()...)}
	s := New(Config{Store: store, Now: time.Now, Log: slog.New(slog.DiscardHandler), Catalog: DefaultCatalog()})
	if plan, err := s.PlanOf(t.Context(), "u"); plan != "free" || err != nil { // as the limits ask, once a second
		t.Fatal(plan, err)
	}
	store.asked.Store(0)
	if _, err := s.PlanOf(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	spend(t, s, 1)
	if n := store.asked.Load(); n != 2 {
		t.Errorf("the store was asked %d times, want one to take the run and one to confirm it", n)
	}
}

func TestAChangedPlanIsTheOneInForceAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	want := func(plan string) {
		t.Helper()
		if got, err := s.PlanOf(t.Context(), "u"); got != plan || err != nil {
			t.Errorf("the plan is %q, want %q (%v)", got, plan, err)
		}
	}
	want("free")
	if _, err := s.StartTrial(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	want("basic")
	if err := s.SetPlan(t.Context(), "u", "pro"); err != nil {
		t.Fatal(err)
	}
	want("pro")
	s.SetCatalog(Catalog{Plans: DefaultCatalog().Plans[:1]})
	want("free")
}

func TestAConfirmedRunDoesNotStayPending(t *testing.T) {
	t.Parallel()
	s, w := setup(t)
	spend(t, s, 1) // its session isn't there any more
	if sub, err := s.subscriptions.Get(t.Context(), "u"); err != nil || len(sub.Pending) != 0 {
		t.Errorf("pending are %v (%v)", sub.Pending, err)
	}
	w.Set(start.Add(2 * staleAfter))
	if err := s.Reserve(t.Context(), "u", "another"); err != nil {
		t.Fatal(err)
	}
	wantUsed(t, s, 2) // a confirmed run isn't given back
}
