package uptime

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/uptime/probe"
)

// hour is what the checks of a monitor have found within an hour. Each takes some fifteen
// bytes.
type hour struct {
	ID     string        `json:"_id"` // see hourID
	At     docstore.Time `json:"at"`  // when the hour began
	Packed []byte        `json:"packed"`
	// Errors and Failed are what results refer to by number.
	Errors []language.Text `json:"errors,omitempty"`
	Failed []failed        `json:"failed,omitempty"`
	Places []string        `json:"places,omitempty"` // others than the server's own
	// Unrolled is when the hour began, while there are results in it that aren't rolled up.
	Unrolled docstore.Time `json:"unrolled,omitzero"`
}

// failed are the conditions that haven't held of a result: an array in an array is none in
// every store.
type failed struct {
	Conditions []string `json:"conditions"`
}

// DocumentID is the monitor's id and the hour.
func (h hour) DocumentID() string { return h.ID }

const (
	byAt       = "by_at"
	byUnrolled = "by_unrolled"
)

var hourSpec = docstore.Spec{Collection: "monitor_results", Of: hour{}, Transient: true, Indexes: []docstore.Index{
	{Name: byAt, Fields: []string{"at"}},
	{Name: byUnrolled, Fields: []string{"unrolled"}},
}}

const (
	// rawFor is how long results are kept one by one.
	rawFor = 48 * time.Hour
	// maxHour bounds an hour in bytes, and maxTexts its errors: of more only the last is kept.
	maxHour  = 64 << 10
	maxTexts = 50
)

func hourID(monitor string, at time.Time) string {
	return fmt.Sprintf("%s/%010d", monitor, at.Unix()/3600)
}

// flags of a packed result.
const (
	packedUp = 1 << iota
	packedUnknown
	packedStatus
	packedError
	packedFailed
	packedPlace
)

// add appends a result of the server's own place.
func (h *hour) add(r probe.Result) { h.addFrom("", r) }

// addFrom appends a result of a place. Times are kept to a tenth of a millisecond.
func (h *hour) addFrom(place string, r probe.Result) {
	if len(h.Packed) >= maxHour {
		return
	}
	var flags byte
	set := func(flag byte, is bool) {
		if is {
			flags |= flag
		}
	}
	hasFailed := len(r.Failed) > 0
	set(packedUp, r.Up)
	set(packedUnknown, r.Unknown)
	set(packedStatus, r.StatusCode != 0)
	set(packedError, r.Error != language.Text{})
	set(packedFailed, hasFailed)
	set(packedPlace, place != "")
	if place == "" { // what is rolled up is the server's own
		h.Unrolled = h.At
	}
	p := append(h.Packed, flags)
	p = binary.AppendVarint(p, r.At.UnixMilli()-h.At.UnixMilli())
	for _, ms := range []float64{r.DNS, r.Connect, r.TLS, r.FirstByte, r.Total} {
		p = binary.AppendUvarint(p, uint64(max(0, math.Round(ms*10))))
	}
	if r.StatusCode != 0 {
		p = binary.AppendUvarint(p, uint64(r.StatusCode))
	}
	if flags&packedError != 0 {
		p = binary.AppendUvarint(p, uint64(number(&h.Errors, r.Error, func(a, b language.Text) bool { return a == b })))
	}
	if hasFailed {
		p = binary.AppendUvarint(p, uint64(number(&h.Failed, failed{r.Failed}, func(a, b failed) bool { return slices.Equal(a.Conditions, b.Conditions) })))
	}
	if place != "" {
		p = binary.AppendUvarint(p, uint64(number(&h.Places, place, func(a, b string) bool { return a == b })))
	}
	h.Packed = p
}

// number is which of the texts one is, which is added where it isn't there.
func number[T any](all *[]T, one T, same func(a, b T) bool) int {
	if i := slices.IndexFunc(*all, func(t T) bool { return same(t, one) }); i >= 0 {
		return i
	}
	if len(*all) < maxTexts {
		*all = append(*all, one)
	} else {
		(*all)[maxTexts-1] = one
	}
	return len(*all) - 1
}

var errPacked = errors.New("a packed result is cut off")

// results are those of the hour, oldest first.
func (h hour) results() ([]Found, error) {
	all, err := h.unpack()
	slices.SortStableFunc(all, func(a, b Found) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Place, b.Place)) })
	// One may be there twice, as the store had kept it without being able to say so.
	return slices.CompactFunc(all, func(a, b Found) bool { return a.At.Equal(b.At) && a.Place == b.Place }), err
}

// unpack are the results in the order in which they were added.
func (h hour) unpack() ([]Found, error) {
	monitor, _, _ := strings.Cut(h.ID, "/")
	var all []Found
	p := h.Packed
	next := func() uint64 {
		v, n := binary.Uvarint(p)
		if n <= 0 {
			p = nil
			return 0
		}
		p = p[n:]
		return v
	}
	for len(p) > 0 {
		flags := p[0]
		p = p[1:]
		offset, n := binary.Varint(p)
		if n <= 0 {
			return all, errPacked
		}
		p = p[n:]
		r := Found{Monitor: monitor, Result: probe.Result{At: h.At.Add(time.Duration(offset) * time.Millisecond), Up: flags&packedUp != 0, Unknown: flags&packedUnknown != 0}}
		for _, ms := range []*float64{&r.DNS, &r.Connect, &r.TLS, &r.FirstByte, &r.Total} {
			*ms = float64(next()) / 10
		}
		if flags&packedStatus != 0 {
			r.StatusCode = int(next())
		}
		if flags&packedError != 0 {
			if i := next(); i < uint64(len(h.Errors)) {
				r.Error = h.Errors[i]
			}
		}
		if flags&packedFailed != 0 {
			if i := next(); i < uint64(len(h.Failed)) {
				r.Failed = h.Failed[i].Conditions
			}
		}
		if flags&packedPlace != 0 {
			if i := next(); i < uint64(len(h.Places)) {
				r.Place = h.Places[i]
			}
		}
		all = append(all, r)
	}
	return all, nil
}

// found is a result that isn't kept yet.
type found struct {
	monitor string
	probe.Result
}

// keep adds results to the hours that they are of, all hours by one batch of the store; those
// that are older than any are kept go. It returns those that aren't kept, with the store's
// errors.
func (s *Service) keep(ctx context.Context, results []found) (left []found, err error) {
	byHour := map[string][]found{}
	oldest := s.c.Now().Add(-rawFor)
	for _, r := range results {
		if r.At.Before(oldest) {
			continue
		}
		id := hourID(r.monitor, r.At)
		byHour[id] = append(byHour[id], r)
	}
	changes, of := make([]docstore.Change, 0, len(byHour)), make([][]found, 0, len(byHour))
	for id, some := range byHour {
		made := hour{ID: id, At: docstore.At(some[0].At.Truncate(time.Hour))}
		change, err := s.hours.UpsertChange(made, new(hour), func(h *hour, _ bool) error {
			there, _ := h.unpack()
			for _, r := range some {
				if !slices.ContainsFunc(there, func(t Found) bool { return t.Place == "" && t.At.UnixMilli() == r.At.UnixMilli() }) {
					h.add(r.Result)
				}
			}
			return nil
		})
		if err != nil {
			return results, err
		}
		changes, of = append(changes, change), append(of, some)
	}
	failures := s.c.Store.Batch(ctx, changes)
	for i, failure := range failures {
		if failure != nil {
			left, err = append(left, of[i]...), failure // one tells enough: they are the same store's
		}
	}
	return left, err
}

// Results are the last ones of a monitor, newest first, and where the next page begins.
// Errors are the store's, or docstore.ErrCursor.
func (s *Service) Results(ctx context.Context, monitor string, limit int, cursor string) (all []Found, next string, err error) {
	before, shown, err := parseCursor(cursor, s.c.Now().Add(time.Hour))
	if err != nil {
		return nil, "", err
	}
	skipped := 0
	for h, err := range s.hoursOf(ctx, monitor, hourID(monitor, time.UnixMilli(before).Add(time.Hour))) {
		if err != nil {
			return nil, "", err
		}
		some, err := h.results()
		if err != nil {
			s.c.Log.WarnContext(ctx, "results of a monitor can't be read", "monitor", monitor, "hour", h.At, "error", err)
		}
		for _, r := range slices.Backward(some) {
			at := r.At.UnixMilli()
			if at > before || at == before && skipped < shown {
				if at == before {
					skipped++
				}
				continue
			}
			if len(all) == limit {
				return all, cursorAfter(all, before, shown), nil
			}
			all = append(all, r)
		}
	}
	return all, "", nil
}

// cursorAfter is where the page after one begins: at the time of its last result, of which
// so many were shown already, as places may check at the same one. The page itself had begun
// after shown results of a time before.
func cursorAfter(page []Found, before int64, shown int) string {
	last, n := page[len(page)-1].At.UnixMilli(), 0
	for _, r := range slices.Backward(page) {
		if r.At.UnixMilli() != last {
			break
		}
		n++
	}
	if last == before {
		n += shown
	}
	return fmt.Sprintf("%d-%d", last, n)
}

// parseCursor reads what cursorAfter has written; a page without a cursor begins at a moment.
func parseCursor(cursor string, first time.Time) (before int64, shown int, err error) {
	if cursor == "" {
		return first.UnixMilli(), 0, nil
	}
	if n, err := fmt.Sscanf(cursor+"\n", "%d-%d\n", &before, &shown); n != 2 || err != nil || shown < 0 {
		return 0, 0, docstore.ErrCursor
	}
	return before, shown, nil
}
