package uptime

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/storetest"
	"manus/language"
	"manus/uptime/probe"
)

// What is read of a monitor is the same before its results are moved into their hours, after it,
// and when a process was killed between the two.
func TestResultsAreThereOnceWhereverTheyAre(t *testing.T) {
	t.Parallel()
	clock := clocktest.New()
	s := New(Config{Store: storetest.New(t, Specs()...), Now: clock.Now, Prober: probe.New(probe.Options{})})
	begin := clock.Now().Truncate(time.Hour).Add(55 * time.Minute) // two hours
	clock.Set(begin)
	monitors := []string{"api", "web", "seldom"}
	want := map[string][]probe.Result{} // newest first
	for n := range 130 {
		var some []found
		for i, monitor := range monitors {
			if monitor == "seldom" && n > 0 {
				continue
			}
			r := probe.Result{At: begin.Add(time.Duration(10*n+i) * time.Second).UTC(), Up: n%3 > 0, StatusCode: 200, Total: float64(n)}
			if !r.Up {
				r.Error, r.Failed = language.Text{En: fmt.Sprint(monitor, n), Ar: "خطأ"}, []string{"status == 201"}
			}
			some = append(some, found{monitor, r})
			want[monitor] = slices.Insert(want[monitor], 0, r)
		}
		if left, err := s.record(t.Context(), some); err != nil || len(left) > 0 {
			t.Fatal(left, err)
		}
	}
	are := func(when string) {
		t.Helper()
		last, err := s.latest(t.Context(), monitors)
		if err != nil {
			t.Fatal(err)
		}
		for _, monitor := range monitors {
			if got := page(t, s, monitor); !reflect.DeepEqual(got, want[monitor]) {
				t.Errorf("%s %s has %d results and not the %d: %+v", when, monitor, len(got), len(want[monitor]), got)
			}
			if got := last[monitor]; !reflect.DeepEqual(got, want[monitor][0]) {
				t.Errorf("%s the last of %s is %+v", when, monitor, got)
			}
		}
	}
	clock.Set(begin.Add(22 * time.Minute))
	are("before")
	for r, err := range s.recents.All(t.Context(), ofShare(shareOf("api"))) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.keep(t.Context(), r.found()); err != nil { // and then it was killed
			t.Fatal(err)
		}
	}
	are("after the kill")
	for range 2 {
		for share := range shares {
			if err := s.move(t.Context(), share); err != nil {
				t.Fatal(err)
			}
		}
	}
	are("when they are moved")
	left := 0
	for range s.recents.All(t.Context(), docstore.Query{}) {
		left++
	}
	h, err := s.hours.Get(t.Context(), hourID("api", begin))
	if unpacked, _ := h.unpack(); left > 0 || err != nil || len(unpacked) != 30 {
		t.Errorf("%d are left, and its hour has %d: %v", left, len(unpacked), err)
	}
}

// page is all of a monitor's results, by pages.
func page(t *testing.T, s *Service, monitor string) (all []probe.Result) {
	t.Helper()
	for cursor := ""; ; {
		some, next, err := s.Results(t.Context(), monitor, 7, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range some {
			all = append(all, one.Result)
		}
		if next == "" {
			return all
		}
		cursor = next
	}
}

// onlyStates is a store that refuses to keep results.
type onlyStates struct {
	docstore.Store
	refused atomic.Int64
}

func (o *onlyStates) Batch(ctx context.Context, changes []docstore.Change) []error {
	if len(changes) == 0 || changes[0].Collection != recentSpec.Collection {
		return o.Store.Batch(ctx, changes)
	}
	o.refused.Add(1)
	errs := make([]error, len(changes))
	for i := range errs {
		errs[i] = docstore.ErrUnavailable
	}
	return errs
}

// What is left to be told is told although results can't be kept.
func TestAlertsThatWaitAreToldWhileResultsAreRefused(t *testing.T) {
	t.Parallel()
	api := newTarget(t)
	store := &onlyStates{Store: storetest.New(t)}
	pending := Alert{ID: "left", Kind: MonitorDown, Occurrence: "1-1", Title: language.Text{En: "API is down", Ar: "متوقف"}}
	if err := store.Declare(t.Context(), Specs()...); err != nil {
		t.Fatal(err)
	}
	states := docstore.NewCollection[State](store, stateSpec)
	long := docstore.At(time.Now().Add(-time.Hour)) // as who has died has left it
	if err := states.Insert(t.Context(), State{ID: "gone", Since: long, Pending: []Alert{pending}, PendingSince: long}); err != nil {
		t.Fatal(err)
	}
	r := start(t, store, nil, api.monitor("api"))
	api.checked(t, 2)
	r.hears(t, "API is down")
	r.stop()
	if store.refused.Load() == 0 {
		t.Error("nothing was refused")
	}
}
