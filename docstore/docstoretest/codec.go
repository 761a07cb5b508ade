package docstoretest

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"manus/docstore"
)

func codecRules() []rule {
	return []rule{
		{"values come back as they went in", roundTrip},
		{"times are kept to the millisecond", timeKept},
		{"what omitzero leaves out of a document is in no index", omitted},
		{"fields that a value doesn't know are dropped, missing ones are zero", otherFields},
		{"a document of another shape is an error", otherShape},
	}
}

// everything has all that documents are made of.
type everything struct {
	ID       string                     `json:"_id"`
	Text     string                     `json:"text"`
	Hidden   string                     `json:"-"`
	Int      int                        `json:"int"`
	Greatest int64                      `json:"greatest"`
	Least    int64                      `json:"least"`
	Small    uint8                      `json:"small"`
	Fraction float64                    `json:"fraction"`
	Yes      bool                       `json:"yes"`
	At       docstore.Time              `json:"at"`
	Maybe    *docstore.Time             `json:"maybe"`
	Omitted  *docstore.Time             `json:"omitted,omitempty"`
	Never    docstore.Time              `json:"never,omitzero"`
	NoPart   part                       `json:"no_part,omitzero"`
	JSON     json.RawMessage            `json:"json"`
	Bytes    []byte                     `json:"bytes"`
	List     []string                   `json:"list"`
	Empty    []string                   `json:"empty"`
	None     []string                   `json:"none"`
	Parts    []part                     `json:"parts"`
	Part     part                       `json:"part"`
	Pointer  *part                      `json:"pointer"`
	Map      map[string]int             `json:"map"`
	Deep     map[string]map[string]part `json:"deep"`
	NoMap    map[string]int             `json:"no_map"`
}

type part struct {
	Name  string          `json:"name"`
	Times []docstore.Time `json:"times,omitempty"`
	Inner *part           `json:"inner,omitempty"`
}

func (e everything) DocumentID() string { return e.ID }

func roundTrip(t *testing.T, s *subject) {
	spec := docstore.Spec{Collection: "everything"}
	must(t, s.Declare(t.Context(), spec))
	c := docstore.NewCollection[everything](s.Store, spec)
	nested := part{Name: "ä", Times: []docstore.Time{*seen(0), *seen(-time.Hour)}, Inner: &part{Name: "inner", Inner: &part{}}}
	for _, v := range []everything{
		{ID: "zero", JSON: json.RawMessage("null")},
		{
			ID: "full", Text: "a\x00\"\\\u2028👩‍👧 بيانات", Int: -1, Greatest: large, Least: -large, Small: math.MaxUint8,
			Fraction: 0.1, Yes: true, At: *seen(time.Millisecond), Maybe: seen(-50 * 365 * 24 * time.Hour), Omitted: seen(1),
			Never: *seen(0), NoPart: nested, JSON: json.RawMessage(`{"b":[1.50,"\u0041ä",{"":null}],"a":1}`),
			Bytes: []byte{0, 255, 128}, List: []string{"b", "", "a"}, Empty: []string{}, Parts: []part{nested, {}}, Part: nested, Pointer: &nested,
			Map: map[string]int{"a": 1, "ü": -2}, Deep: map[string]map[string]part{"x": {"y": nested}, "none": {}},
		},
	} {
		must(t, c.Insert(t.Context(), v))
		got, err := c.Get(t.Context(), v.ID)
		must(t, err)
		if !reflect.DeepEqual(got, v) {
			t.Errorf("got\n%+v, want\n%+v", got, v)
		}
	}
	_, err := c.Update(t.Context(), "full", func(v *everything) error { v.Hidden, v.List = "hidden", nil; return nil })
	must(t, err)
	if v, err := c.Get(t.Context(), "full"); err != nil || v.Hidden != "" || v.List != nil || v.Text == "" {
		t.Errorf("got %+v, %v", v, err)
	}
}

func omitted(t *testing.T, s *subject) {
	spec := docstore.Spec{Collection: "everything", Indexes: []docstore.Index{{Name: "by_never", Fields: []string{"never"}}}}
	must(t, s.Declare(t.Context(), spec))
	c := docstore.NewCollection[everything](s.Store, spec)
	must(t, c.Insert(t.Context(), everything{ID: "a", Never: *seen(0)}, everything{ID: "b"}, everything{ID: "c", Never: *seen(-time.Hour)}))
	page, err := s.Find(t.Context(), "everything", docstore.Query{Index: "by_never"})
	must(t, err)
	wantIDs(t, "by a field that is left out", s.ids(t, page.Documents), "ca")
	_, err = c.Update(t.Context(), "a", func(v *everything) error { v.Never = docstore.Time{}; return nil })
	must(t, err)
	page, err = s.Find(t.Context(), "everything", docstore.Query{Index: "by_never"})
	must(t, err)
	wantIDs(t, "once another has lost it", s.ids(t, page.Documents), "c")
}

func timeKept(t *testing.T, s *subject) {
	for id, at := range map[string]time.Time{
		"micro": noon().Add(1234567 * time.Nanosecond),
		"zone":  noon().In(time.FixedZone("", -5*3600)),
		"old":   time.Date(1900, 1, 1, 0, 0, 0, 1e6, time.UTC),
		"late":  time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
		"zero":  {},
	} {
		must(t, s.things.Insert(t.Context(), thing{ID: id, Seen: new(docstore.At(at))}))
		v, err := s.things.Get(t.Context(), id)
		must(t, err)
		if want := at.UTC().Truncate(time.Millisecond); !v.Seen.Time.Equal(want) || v.Seen.Location() != time.UTC {
			t.Errorf("%s: got %v, want %v", id, v.Seen.Time, want)
		}
	}
	page, err := s.Find(t.Context(), things, docstore.Query{Index: "by_seen"})
	must(t, err)
	if got, want := s.ids(t, page.Documents), []string{"zero", "old", "zone", "micro", "late"}; !reflect.DeepEqual(got, want) {
		t.Errorf("in order of time: %q, want %q", got, want)
	}
}

func otherFields(t *testing.T, s *subject) {
	raw := s.encode(t, everything{ID: "a", Text: "x", Int: 3})
	var v counter
	must(t, s.Codec().Decode(raw, &v))
	if v != (counter{ID: "a"}) {
		t.Errorf("got %+v", v)
	}
}

func otherShape(t *testing.T, s *subject) {
	raw := s.encode(t, counter{ID: "a", Kind: "text"})
	var v struct {
		Kind int `json:"kind"`
	}
	if err := s.Codec().Decode(raw, &v); err == nil {
		t.Errorf("a text became the number %d", v.Kind)
	}
	if err := s.Codec().Decode(raw[:len(raw)/2], new(counter)); err == nil {
		t.Error("half a document was read")
	}
	if _, err := s.Codec().Encode(struct{ C chan int }{}); err == nil {
		t.Error("a channel was encoded")
	}
}
