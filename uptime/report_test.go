package uptime

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
	"unicode"

	"manus/uptime/probe"
)

// Whatever a place hands in: what is kept of it is of what is watched, of the last two days,
// fit for people, and reads back as it was.
func FuzzReport(f *testing.F) {
	for _, seed := range []string{
		`{}`,
		`{"place":"fra","instance":"x","now":"2026-11-23T12:00:00Z","view":{"up":["api"],"seen":[{"monitor":"web","down":true,"since":"2026-11-23T11:59:00Z","tried":[{"at":"2026-11-23T11:59:00Z","error":{"en":"status is 500","ar":"\u2068500\u2069"}}]}]},"results":[{"monitor":"api","at":"2026-11-23T11:59:30Z","up":true,"status_code":200,"total_ms":12.5}]}`,
		`{"place":"fra","instance":"x","now":"2026-11-23T02:00:00Z","results":[{"monitor":"api","at":"2026-11-21T12:00:00Z","status_code":-5,"dns_ms":1e300,"connect_ms":-1,"error":{"en":"a\u202eb\nc"},"failed":["a\u0000b"]},{"monitor":"other","at":"2026-11-23T12:00:00Z"}]}`,
	} {
		f.Add([]byte(seed))
	}
	watched := map[string]Monitor{"api": {ID: "api"}, "web": {ID: "web"}, "far": {ID: "far", Locations: Locations{Places: []string{"nyc"}}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Report
		if json.Unmarshal(data, &r) != nil || r.problem() != nil {
			return
		}
		now := noon
		off := now.Sub(r.Now)
		if off.Abs() <= tolerated {
			off = 0
		}
		r.tidy(off, now, watched)
		known := func(id string) bool {
			m, there := watched[id]
			return there && m.Locations.has(r.Place)
		}
		legible := func(texts ...string) {
			for _, text := range texts {
				for _, c := range text {
					if !unicode.IsPrint(c) && c != '\u2068' && c != '\u2069' {
						t.Fatalf("%q isn't legible", text)
					}
				}
				if len(text) > maxTold+3*maxTried {
					t.Fatalf("%d bytes", len(text))
				}
			}
		}
		for _, s := range r.View.Seen {
			if !known(s.Monitor) || s.Since.After(now) {
				t.Fatalf("%+v", s)
			}
			for _, one := range s.Tried {
				legible(one.Error.En, one.Error.Ar)
			}
		}
		if i := slices.IndexFunc(r.View.Up, func(id string) bool { return !known(id) }); i >= 0 {
			t.Fatalf("%q isn't watched", r.View.Up[i])
		}
		hours := map[string]*hour{}
		for _, one := range r.Results {
			if !known(one.Monitor) || one.At.After(now) || now.Sub(one.At) > rawFor+time.Second {
				t.Fatalf("%+v", one)
			}
			legible(append(one.Failed, one.Error.En, one.Error.Ar)...)
			id := hourID(one.Monitor, one.At)
			if hours[id] == nil {
				hours[id] = &hour{ID: id}
				hours[id].At.Time = one.At.Truncate(time.Hour)
			}
			_ = hours[id].addNew([]Found{one})
		}
		for id, h := range hours {
			before, err := h.results()
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			size := len(h.Packed)
			if _ = h.addNew(before); len(h.Packed) != size {
				t.Fatalf("%s: what is there was added again", id)
			}
		}
	})
}

// An hour that was damaged is read as far as it goes, and never for ever.
func FuzzHour(f *testing.F) {
	h := hour{ID: "api/0000000001"}
	h.addFrom("fra", probe.Result{Up: true, StatusCode: 200, Total: 3})
	h.add(probe.Result{Failed: []string{"status == 200"}})
	f.Add(h.Packed)
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, packed []byte) {
		h := h
		h.Packed = packed
		if all, _ := h.results(); len(all) > len(packed) {
			t.Fatalf("%d results of %d bytes", len(all), len(packed))
		}
	})
}
