package uptime

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/storetest"
	"manus/lease"
	"manus/uptime/probe"
	"manus/uptime/schedule"
)

// ten thousand monitors, of which most expect the same.
func tenThousand() Policy {
	var all Policy
	for i := range 10_000 {
		all = append(all, Monitor{
			ID: fmt.Sprintf("m%05d", i), Type: probe.HTTP, URL: fmt.Sprintf("https://127.0.%d.%d:8443/health", i/250+1, i%250+1), Private: true,
			Expect: []string{"status == 200", `json.status == "healthy"`, "latency < 2s"},
		})
	}
	return all
}

// BenchmarkRead is what a changed list of ten thousand monitors costs who watches, beside reading
// the file (see config): with nothing changed in it, one monitor, and all.
func BenchmarkRead(b *testing.B) {
	store := storetest.New(b, slices.Concat(Specs(), lease.Specs())...)
	all := tenThousand()
	s := New(Config{Store: store, Prober: probe.New(probe.Options{}), Monitors: all, References: []string{}})
	var changes []docstore.Change
	for _, m := range all {
		change, err := s.states.InsertChange(State{ID: m.ID, Since: docstore.At(time.Now())})
		if err != nil {
			b.Fatal(err)
		}
		changes = append(changes, change)
	}
	for _, err := range store.Batch(b.Context(), changes) {
		if err != nil {
			b.Fatal(err)
		}
	}
	w := &watch{Service: s, start: time.Now(), wake: make(chan struct{}, 1), watched: map[string]*watched{}}
	w.schedule = schedule.New(limits, w.start)
	read := func(b *testing.B) {
		if err := w.read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		changed int
	}{{"unchanged", 0}, {"one", 1}, {"all", len(all)}} {
		b.Run(c.name, func(b *testing.B) {
			read(b)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				next := slices.Clone(all)
				for i := range c.changed {
					next[i].Timeout = time.Duration(n%2+1) * time.Second
				}
				s.SetMonitors(next)
				read(b)
			}
		})
	}
	b.Run("start", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w.watched = map[string]*watched{}
			w.schedule = schedule.New(limits, w.start)
			read(b)
		}
	})
}

// BenchmarkMonitors is the list of ten thousand monitors, and one of them, with the results that
// aren't moved into their hours yet.
func BenchmarkMonitors(b *testing.B) {
	all := tenThousand()
	s := New(Config{Store: storetest.New(b, slices.Concat(Specs(), lease.Specs())...), Prober: probe.New(probe.Options{}), Monitors: all, References: []string{}})
	record := func(from time.Time) {
		for tick := range int(recentFor / aliveEvery) {
			var results []found
			at := from.Add(time.Duration(tick) * aliveEvery)
			for i := tick % 12; i < len(all); i += 12 {
				results = append(results, found{all[i].ID, probe.Result{At: at.Add(time.Duration(i) * time.Millisecond / 2), Up: true, StatusCode: 200, Connect: .3, TLS: 2.1, FirstByte: .4, Total: 3}})
			}
			if _, err := s.record(b.Context(), results); err != nil {
				b.Fatal(err)
			}
		}
	}
	record(time.Now().Add(-2 * recentFor))
	b.Run("move", func(b *testing.B) {
		for share := range shares {
			if err := s.move(b.Context(), share); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/shares, "ms/share")
	})
	record(time.Now().Add(-recentFor))
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Monitors(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if w, err := s.Monitor(b.Context(), all[0].ID); err != nil || w.Last.At.IsZero() {
				b.Fatal(w, err)
			}
		}
	})
}
