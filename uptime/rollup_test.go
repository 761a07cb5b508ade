package uptime

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/sketch"
	"manus/internal/storetest"
	"manus/internal/timeline"
	"manus/uptime/confirm"
	"manus/uptime/probe"
)

// quiet is a service that watches nothing by itself.
func quiet(store docstore.Store, clock *clocktest.Clock, monitors ...string) *Service {
	var p Policy
	for _, id := range monitors {
		p = append(p, Monitor{ID: id, Type: probe.HTTP, URL: "http://127.0.0.1:1/"})
	}
	return New(Config{Store: store, Now: clock.Now, Prober: probe.New(probe.Options{}), Monitors: p, Log: slog.New(slog.DiscardHandler)})
}

// looks are as of a monitor that answers within milliseconds, mostly.
func looks(r *rand.Rand, monitor string, at time.Time, n int, every time.Duration) []found {
	all := make([]found, n)
	for i := range all {
		one := probe.Result{At: at.Add(time.Duration(i) * every), Total: math.Round(math.Exp(r.NormFloat64()+3)*10) / 10}
		switch r.IntN(20) {
		case 0:
			one.Unknown = true
		case 1, 2:
			one.StatusCode = 500
		default:
			one.Up, one.StatusCode = true, 200
		}
		all[i] = found{monitor, one}
	}
	return all
}

func keep(t testing.TB, s *Service, results []found) {
	t.Helper()
	if left, err := s.keep(t.Context(), results); err != nil || len(left) != 0 {
		t.Fatalf("%d aren't kept: %v", len(left), err)
	}
}

// rollAll rolls up all that is over.
func rollAll(t testing.TB, s *Service) {
	t.Helper()
	for n := 1; n > 0; {
		var err error
		if n, err = s.rollUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// want is what a list of looks is, counted one by one.
func want(results []found, since, until time.Time) (up, down, unknown int64, took []float64) {
	for _, r := range results {
		switch {
		case r.At.Before(since) || !r.At.Before(until):
		case r.Unknown:
			unknown++
		case r.Up:
			up++
			took = append(took, r.Total)
		default:
			down++
		}
	}
	slices.Sort(took)
	return up, down, unknown, took
}

func isLatency(l Latency, took []float64) bool {
	if l.Count != int64(len(took)) {
		return false
	}
	near := func(got, q float64) bool {
		if len(took) == 0 {
			return got == 0
		}
		exact := took[max(0, int(math.Ceil(q*float64(len(took))))-1)]
		return math.Abs(got-exact) <= sketch.Accuracy*exact*1.000001
	}
	return near(l.P50, 0.5) && near(l.P95, 0.95) && near(l.P99, 0.99)
}

// holds that what is rolled up is what a list of looks is, each counted once.
func holds(t *testing.T, s *Service, monitor string, results []found) {
	t.Helper()
	hours, days := map[time.Time]rolled{}, map[time.Time]rolled{}
	for h, err := range s.rolledHours.All(t.Context(), docstore.Query{From: monitor + "/", Until: monitor + "0"}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range h.Hours {
			hours[h.At.Add(time.Duration(one.Hour)*time.Hour)] = one.Looks
		}
	}
	for d, err := range s.rolledDays.All(t.Context(), docstore.Query{From: monitor + "/", Until: monitor + "0"}) {
		if err != nil {
			t.Fatal(err)
		}
		days[d.At.Time] = d.Looks
	}
	check := func(all map[time.Time]rolled, length time.Duration) {
		t.Helper()
		sum := int64(0)
		for at, r := range all {
			up, down, unknown, took := want(results, at, at.Add(length))
			latency := sketch.New()
			r.add(latency)
			if r.Up != up || r.Down != down || r.Unknown != unknown || !isLatency(latencyOf(latency), took) {
				t.Errorf("of %s from %s on it is %d, %d, %d %+v, want %d, %d, %d", length, at, r.Up, r.Down, r.Unknown, latencyOf(latency), up, down, unknown)
			}
			sum += r.Up + r.Down + r.Unknown
		}
		if sum != int64(len(results)) {
			t.Errorf("%d of %d looks are rolled up by %s", sum, len(results), length)
		}
	}
	check(hours, time.Hour)
	check(days, aDay)
}

// The calls of the store are cut short one after the other, and results come late meanwhile.
func TestWhateverIsCutShortEachLookIsRolledUpOnce(t *testing.T) {
	t.Parallel()
	specs := Specs()
	storetest.CutShort(t, specs, func(store docstore.Store, cut func(func() error)) {
		r := rand.New(rand.NewPCG(1, 2))
		clock := clocktest.New()
		s := quiet(store, clock, "a", "b")
		start := clock.Now().Add(-30 * time.Hour)
		results := map[string][]found{}
		for _, id := range []string{"a", "b"} {
			results[id] = looks(r, id, start, 20, 13*time.Minute)
			keep(t, s, results[id])
		}
		cut(func() error { _, err := s.rollUp(t.Context()); return err })
		late := looks(r, "a", start.Add(time.Second), 10, 26*time.Minute)
		results["a"] = append(results["a"], late...)
		keep(t, s, late)
		rollAll(t, s)
		for id, all := range results {
			holds(t, s, id, all)
		}
		if left, _, err := s.hours.Find(t.Context(), docstore.Query{Index: byUnrolled}); err != nil || len(left) != 0 {
			t.Errorf("%d hours aren't rolled up: %v", len(left), err)
		}
	})
}

// Several copies roll up at once, as after a takeover, while results of before come in.
func TestCopiesThatRollUpAtOnceCountEachLookOnce(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/manus.db"
	clock := clocktest.New()
	var copies []*Service
	for range 3 {
		copies = append(copies, quiet(storetest.Open(t, path, Specs()...), clock, "a"))
	}
	r := rand.New(rand.NewPCG(3, 4))
	start := clock.Now().Add(-40 * time.Hour)
	all := looks(r, "a", start, storetest.Size(1500, 300), 87*time.Second)
	var working sync.WaitGroup
	for i, s := range copies {
		working.Go(func() {
			for k := i; k < len(all); k += 3 * 10 {
				var some []found
				for n := k; n < min(k+30, len(all)); n += 3 {
					some = append(some, all[n])
				}
				for len(some) > 0 {
					some, _ = s.keep(t.Context(), some)
				}
				_, _ = s.rollUp(t.Context()) // copies may be in each other's way
			}
		})
	}
	working.Wait()
	rollAll(t, copies[0])
	holds(t, copies[0], "a", all)
}

// Who has read an hour before it grew, and writes it after others have, takes nothing away.
func TestACopyThatIsBehindTakesNothingAway(t *testing.T) {
	t.Parallel()
	clock := clocktest.New()
	s := quiet(storetest.New(t, Specs()...), clock, "a")
	r := rand.New(rand.NewPCG(5, 6))
	start := clock.Now().Add(-5 * time.Hour)
	all := looks(r, "a", start, 50, time.Minute)
	keep(t, s, all[:30])
	read := func() (rolledHours, []hour) {
		raw, _, err := s.hours.Find(t.Context(), docstore.Query{Index: byUnrolled})
		if err != nil {
			t.Fatal(err)
		}
		days := s.rolledUp(t.Context(), raw)
		return *days[dayID("a", start)], raw
	}
	hours, raw := read()
	days := hours // as that copy has written its hours already
	keep(t, s, all[30:])
	if err := s.unmark(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	rollAll(t, s)
	if err := s.keepDays(t.Context(), map[string]*rolledHours{days.ID: &days}, clock.Now()); err != nil {
		t.Fatal(err)
	}
	holds(t, s, "a", all)
	of := map[string]*rolledHours{hours.ID: &hours}
	if err := s.keepHours(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	if err := s.keepDays(t.Context(), of, clock.Now()); err != nil {
		t.Fatal(err)
	}
	holds(t, s, "a", all)
}

// A year and more, of which each hour is rolled up and swept.
func TestWhatIsRolledUpStaysForItsTime(t *testing.T) {
	t.Parallel()
	clock := clocktest.New()
	s := quiet(storetest.New(t, Specs()...), clock, "a", "b")
	r := rand.New(rand.NewPCG(7, 8))
	var all []found
	hours := storetest.Size(420*24, 100*24)
	const step = 24 // hours that go by between two sweeps
	st := State{ID: "a", Since: docstore.At(clock.Now())}
	for range hours / step { // half an hour of each day it is down
		st.change(confirm.State{Down: true, Since: docstore.At(clock.Now())}, confirm.Step{WentDown: true}, nil, past{})
		st.change(confirm.State{Since: docstore.At(clock.Now().Add(30 * time.Minute))}, confirm.Step{WentUp: true}, nil, past{})
		if _, err := s.states.Upsert(t.Context(), st, func(kept *State, _ bool) error { *kept = st; return nil }); err != nil {
			t.Fatal(err)
		}
		some := looks(r, "a", clock.Now(), step, time.Hour)
		all = append(all, some...)
		clock.Add(step * time.Hour)
		keep(t, s, some)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	clock.Add(2 * rollUpAfter)
	now := clock.Now()
	rollAll(t, s)
	w, err := s.Monitor(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, window := range Windows {
		since := now.Add(-window.Length).Truncate(time.Hour)
		if window.Length > Windows[1].Length {
			since = since.Truncate(aDay)
		}
		if _, _, _, took := want(all, since, now); !isLatency(w.Latencies[window.Name], took) {
			t.Errorf("of %s it is %+v, want of %d", window.Name, w.Latencies[window.Name], len(took))
		}
	}
	wanted := min(hours/24, 400)
	days, err := s.Days(t.Context(), "a", wanted)
	if err != nil || len(days) != wanted || !days[wanted-1].Date.Equal(now.Truncate(aDay)) {
		t.Fatalf("%d days: %v", len(days), err)
	}
	for _, day := range days {
		if today := now.Truncate(aDay); day.Down != 30*time.Minute && day.Date.Before(today) || day.Unknown != 0 || day.Date.Before(today) && day.Date.After(days[0].Date) && day.Known != aDay {
			t.Errorf("on %s it was %+v", day.Date, day.Figure)
		}
		if _, _, _, took := want(all, day.Date, day.Date.Add(aDay)); !isLatency(day.Latency, took) {
			t.Errorf("on %s it is %+v, want of %d", day.Date, day.Latency, len(took))
		}
	}
	count := func(find func() (int, error)) int {
		n, err := find()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	raw := count(func() (int, error) {
		all, _, err := s.hours.Find(t.Context(), docstore.Query{Limit: docstore.MaxLimit})
		return len(all), err
	})
	ofHours := count(func() (int, error) {
		all, _, err := s.rolledHours.Find(t.Context(), docstore.Query{Limit: docstore.MaxLimit})
		return len(all), err
	})
	ofDays := count(func() (int, error) {
		all, _, err := s.rolledDays.Find(t.Context(), docstore.Query{Limit: docstore.MaxLimit})
		return len(all), err
	})
	if raw > 52 || ofHours < 90 || ofHours > 93 || ofDays < wanted || ofDays > 403 {
		t.Errorf("there are %d hours of results, hours of %d days, and %d days", raw, ofHours, ofDays)
	}
}

// What is handed in when its hour is gone doesn't take the place of what that was.
func TestResultsThatAreTooOldAreNotKept(t *testing.T) {
	t.Parallel()
	clock := clocktest.New()
	s := quiet(storetest.New(t, Specs()...), clock, "a")
	r := rand.New(rand.NewPCG(9, 10))
	some := looks(r, "a", clock.Now().Add(-time.Hour), 5, time.Minute)
	keep(t, s, some)
	clock.Add(rawFor)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	keep(t, s, looks(r, "a", some[0].At.Add(time.Second), 50, time.Second))
	rollAll(t, s)
	holds(t, s, "a", some)
}

// An hour that can't be read, or what was rolled up of one, holds up nothing.
func TestWhatCannotBeReadHoldsUpNothing(t *testing.T) {
	t.Parallel()
	clock := clocktest.New()
	s := quiet(storetest.New(t, Specs()...), clock, "a")
	at := clock.Now().Add(-5 * time.Hour)
	if err := s.hours.Insert(t.Context(), hour{ID: hourID("a", at), At: docstore.At(at), Unrolled: docstore.At(at), Packed: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	broken := rolledHours{ID: dayID("a", at), At: docstore.At(at.Truncate(aDay)), Hours: []rolledHour{{Looks: rolled{Up: 1, Latency: []byte("broken")}}}}
	if err := s.rolledHours.Insert(t.Context(), broken); err != nil {
		t.Fatal(err)
	}
	keep(t, s, looks(rand.New(rand.NewPCG(1, 1)), "a", at.Add(time.Hour), 9, time.Minute))
	rollAll(t, s)
	if days, err := s.Days(t.Context(), "a", 1); err != nil || days[0].Count == 0 {
		t.Errorf("%+v %v", days, err)
	}
}

// What an hour of ten thousand monitors takes, a look a minute each.
func BenchmarkRollUpAnHourOfTenThousandMonitors(b *testing.B) {
	const monitors = 10_000
	clock := clocktest.New()
	s := quiet(storetest.New(b, Specs()...), clock)
	r := rand.New(rand.NewPCG(11, 12))
	for b.Loop() {
		b.StopTimer()
		at := clock.Now().Truncate(time.Hour)
		for i := range monitors {
			keep(b, s, looks(r, fmt.Sprint("monitor-", i), at, 60, time.Minute))
		}
		clock.Set(at.Add(time.Hour + 2*rollUpAfter))
		b.StartTimer()
		rollAll(b, s)
	}
	hours, err := s.rolledHours.First(b.Context(), docstore.Query{})
	if err != nil {
		b.Fatal(err)
	}
	day, err := s.rolledDays.First(b.Context(), docstore.Query{})
	if err != nil {
		b.Fatal(err)
	}
	size := func(v any) float64 {
		raw, err := s.c.Store.Codec().Encode(v)
		if err != nil {
			b.Fatal(err)
		}
		return float64(len(raw))
	}
	b.ReportMetric(3*monitors, "writes/op")
	b.ReportMetric(size(hours)/float64(len(hours.Hours)), "bytes/hour")
	b.ReportMetric(size(day), "bytes/day")
}

// What is kept in memory of a monitor with as much of a past as there may be.
func BenchmarkMemoryOfAMonitor(b *testing.B) {
	const monitors = 1000
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		all := make([]*watched, monitors)
		for i := range all {
			all[i] = &watched{state: fullState(fmt.Sprint("monitor-", i), at)}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/monitors, "bytes/monitor")
		runtime.KeepAlive(all)
	}
}

// What a heartbeat's job says took no time that anybody knows of: it is in no latency.
func TestHeartbeatsHaveNoLatency(t *testing.T) {
	t.Parallel()
	clock := clocktest.New()
	s := quiet(storetest.New(t, Specs()...), clock, "backup")
	at := clock.Now().Add(-20 * time.Hour)
	keep(t, s, []found{{"backup", probe.Result{At: at, Up: true}}, {"backup", probe.Result{At: at.Add(10 * time.Hour)}}})
	rollAll(t, s)
	all, err := s.latencies(t.Context(), "backup", clock.Now())
	if err != nil || all["24h"].Count != 0 || all["30d"].Count != 0 {
		t.Errorf("the latencies are %+v, %v", all, err)
	}
	days, err := s.Days(t.Context(), "backup", 2)
	if err != nil || days[0].Count != 0 || days[1].Count != 0 {
		t.Errorf("the days are %+v, %v", days, err)
	}
	if day, err := s.rolledDays.Get(t.Context(), dayID("backup", at)); err != nil || day.Looks.Up != 1 {
		t.Errorf("rolled up is %+v, %v", day, err)
	}
}

// What a status page asks for: 90 days of a hundred monitors, with as much of a past as there
// may be, and a thousand times in which nobody watched.
func BenchmarkNinetyDaysOfAHundredMonitors(b *testing.B) {
	clock := clocktest.New()
	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprint("monitor-", i))
	}
	s := quiet(storetest.New(b, Specs()...), clock, ids...)
	r := rand.New(rand.NewPCG(1, 2))
	for _, id := range ids {
		st := fullState(id, clock.Now().Add(-(maxSpans+maxDays)*aDay))
		if err := s.states.Insert(b.Context(), st); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.journals.Insert(b.Context(), journal{ID: theJournal, Alive: docstore.At(clock.Now()), Gaps: minutesOf(r, maxGaps, 20)}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		all, err := s.Pasts(b.Context(), 90, ids...)
		if err != nil || len(all) != 100 {
			b.Fatal(len(all), err)
		}
		for _, past := range all {
			past.History.ByDay(clock.Now().AddDate(0, 0, -89), clock.Now())
		}
	}
}

// fullState is one with as much in it as there may be, but for alerts that wait.
func fullState(id string, at time.Time) State {
	st := State{ID: id, Since: docstore.At(at)}
	for i := range maxSpans + maxDays {
		began := at.Add(time.Duration(i) * aDay)
		st.Down = st.Down.Open(began)
		st.Down, st.Days = timeline.History{Down: st.Down, Days: st.Days}.Fold(maxSpans, maxDays)
		st.Down = st.Down.Close(began.Add(time.Hour), 0)
		st.pause(true, began.Add(2*time.Hour))
		st.pause(false, began.Add(3*time.Hour))
	}
	return st
}
