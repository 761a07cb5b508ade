package uptime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/language"
)

// What strangers are shown is told when it differs and when it no longer does, once each: whatever a
// place that was killed, or is cut off, doesn't know.
func TestWhatStrangersAreShownIsToldOnce(t *testing.T) {
	t.Parallel()
	s, clock := reception(t)
	var told []string
	failing := true
	s.c.Tell = func(_ context.Context, a Told) error {
		if failing = !failing; !failing { // each is tried twice
			return errors.New("the store is gone")
		}
		if a.Kind != StatusDiffers || a.Place != "fra" || a.Title.Ar == "" {
			t.Errorf("told is %+v", a)
		}
		told = append(told, fmt.Sprint(a.Title.En, " ", a.Over, " ", a.Occurrence, " ", a.Text.En))
		return nil
	}
	hears := func(want ...string) {
		t.Helper()
		clock.Add(2 * time.Minute)
		if err := s.ofPlaces.DeliverStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(told, want, strings.HasPrefix) {
			t.Fatalf("told were %q, want %q", told, want)
		}
		told = nil
	}
	behind := time.Hour // is the clock of the place
	since := clock.Now().UTC().Truncate(time.Millisecond)
	finds := func(looks ...PageLook) {
		t.Helper()
		r := report("fra", clock.Now().Add(-behind))
		r.Pages = looks
		if _, err := s.HandIn(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	look := func(page, state string) PageLook {
		l := PageLook{Page: page, URL: "https://status.example.com/", State: state}
		if state == PageDiffers {
			l.Since, l.Text = since.Add(-behind), language.Text{En: "It is\n old.\x1b[2J"}
		}
		return l
	}
	finds(look("page", PageUnknown))
	finds(look("page", PageSame), look("copy", PageUnknown))
	hears()
	finds(look("page", PageDiffers), look("copy", PageSame))
	finds(look("page", PageDiffers), look("copy", PageSame))
	hears("fra: strangers aren’t shown the status page as it should be false page/" + since.Format("2006-01-02T15:04:05.000Z") + " Looked at from there, as strangers do: https://status.example.com/. It is old.")
	all, err := s.Places(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Pages) != 2 || all[0].Pages[0].State != PageDiffers || !all[0].Pages[0].Since.Equal(since) {
		t.Errorf("places are %+v, %v", all, err)
	}
	if b := newPlaceBody(all[0]); b.Pages[0].Since == nil || b.Pages[0].Status != "differs" || b.Pages[1].Since != nil {
		t.Errorf("it is listed as %+v", b)
	}
	finds(look("page", PageUnknown), look("copy", PageUnknown)) // it was killed and started again
	hears()
	finds(look("page", PageDiffers), look("copy", PageDiffers))
	hears("fra: strangers aren’t shown the copy of the status page as it should be false copy/")
	finds(look("page", PageSame), look("copy", PageDiffers))
	hears("fra: strangers are shown the status page as it should be again true page/" + since.Format("2006-01-02T15:04:05.000Z") + " https://status.example.com/: it lasted 8 minutes.")
	finds()
	hears("fra: nobody looks any more how strangers are shown the copy of the status page true copy/")
	finds(look("page", PageDiffers))
	if err := errors.Join(s.ForgetPlace(t.Context(), "fra"), s.ForgetPlace(t.Context(), "fra")); !errors.Is(err, ErrNoPlace) && err == nil {
		t.Error("a place is forgotten that isn't there")
	}
}

func TestWhatPagesCanBe(t *testing.T) {
	t.Parallel()
	s, clock := reception(t)
	for _, looks := range [][]PageLook{
		{{Page: "door", State: PageSame}}, {{Page: "page", State: "fine"}}, {{Page: "page", State: PageDiffers}}, slices.Repeat([]PageLook{{Page: "page", State: PageSame}}, 5),
	} {
		r := report("fra", clock.Now())
		r.Pages = looks
		if _, err := s.HandIn(t.Context(), r); !errors.Is(err, ErrReport) {
			t.Errorf("%+v is taken: %v", looks, err)
		}
	}
}

func TestPagesThatDifferAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	counted := func() (all []string) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, one := range f.GetMetric() {
				if f.GetName() == "manus_status_page_differs" {
					all = append(all, fmt.Sprint(one.GetLabel()[0].GetValue(), " ", one.GetLabel()[1].GetValue(), " ", one.GetGauge().GetValue()))
				}
			}
		}
		return all
	}
	p := place{Name: "fra", Pages: []shownPage{{Page: "page"}, {Page: "copy"}}}
	p.Pages[1].Differs.Time = time.Now()
	m.areShown(others{"fra": {outlook: outlook{place: p}}})
	if got := counted(); !slices.Equal(got, []string{"copy fra 1", "page fra 0"}) {
		t.Errorf("counted are %q", got)
	}
	if m.areShown(nil); counted() != nil {
		t.Error("what is forgotten is counted")
	}
}
