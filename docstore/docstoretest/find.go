package docstoretest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
)

func getRules() []rule {
	return []rule{
		{"Get returns the document or ErrNotFound", get},
		{"GetAll returns documents in the order of the ids", getAll},
		{"text of any kind is kept and found", texts},
		{"a big document is kept and found", bigDocument},
	}
}

func get(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	v, err := s.things.Get(t.Context(), "b")
	must(t, err)
	if v.ID != "b" || *v.Email != "a@x" || *v.Rank != 1 || *v.Active || !v.Seen.Equal(seen(time.Millisecond).Time) {
		t.Errorf("got %+v", v)
	}
	for _, id := range []string{"", "B", "bb", "b\x00", "%", "nobody"} {
		_, err := s.Get(t.Context(), things, id)
		wantError(t, fmt.Sprintf("the id %q", id), err, docstore.ErrNotFound)
	}
}

func getAll(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	ids := []string{"c", "nobody", "a", "", "c", "i"}
	docs, err := s.GetAll(t.Context(), things, ids...)
	must(t, err)
	if len(docs) != len(ids) || docs[1] != nil || docs[3] != nil {
		t.Fatalf("got %d documents, and of those that there aren't %q and %q", len(docs), docs[1], docs[3])
	}
	wantIDs(t, "the documents", s.ids(t, []docstore.Raw{docs[0], docs[2], docs[4], docs[5]}), "caci")
	if docs, err := s.GetAll(t.Context(), things); err != nil || len(docs) != 0 {
		t.Errorf("of no ids: %d documents, %v", len(docs), err)
	}
	many := make([]string, 1500)
	for i := range many {
		many[i] = string(rune('a' + i%26))
	}
	found, err := s.GetAll(t.Context(), things, many...)
	must(t, err)
	for i, doc := range found {
		if there := i%26 < len(sample()); there != (doc != nil) {
			t.Fatalf("the document %s at %d is there: %v", many[i], i, doc != nil)
		}
	}
}

// texts also differ only behind a NUL, where a careless engine stops reading.
func texts(t *testing.T, s *subject) {
	all := []string{
		"", " ", `"`, `'`, "`", `\`, `\u0000`, "\x00", "\x00\x00", "a", "a\x00", "a\x00b", "a\x00c", "%", "_", "$", "$ne", ".", "a.b",
		"\n", "null", "true", "0", "0.0", "1e3", "{}", "[]", "--", "'; DROP TABLE things; --", "<script>&", "ä", "a\u0308",
		"بيانات", "日本語", "👩‍👩‍👧", "\ufeff", "\u2028", "\U0010ffff", strings.Repeat("long", 2000),
	}
	slices.Sort(all)
	for i, text := range all {
		must(t, s.things.Insert(t.Context(), thing{ID: "id" + text, Email: new(text), Note: fmt.Sprint(i)}))
	}
	for i, text := range all {
		v, err := s.things.Get(t.Context(), "id"+text)
		if err != nil || v.Note != fmt.Sprint(i) || *v.Email != text {
			t.Errorf("by the id of %.20q: %v %v", text, v.Note, err)
		}
		v, err = s.things.First(t.Context(), docstore.Query{Index: "by_email", Equal: []any{text}})
		if err != nil || v.Note != fmt.Sprint(i) {
			t.Errorf("by the e-mail %.20q: %v %v", text, v.Note, err)
		}
		v, err = s.things.First(t.Context(), docstore.Query{Index: "by_email", From: text})
		if err != nil || v.Note != fmt.Sprint(i) {
			t.Errorf("from the e-mail %.20q: %v %v", text, v.Note, err)
		}
	}
	for i, id := range s.walk(t, docstore.Query{Index: "by_email", Limit: 1}) {
		if id != "id"+all[i] {
			t.Fatalf("place %d has %.20q, want %.20q", i, id, "id"+all[i])
		}
	}
}

func bigDocument(t *testing.T, s *subject) {
	note := strings.Repeat("0123456789abcdeä", 1<<16)
	must(t, s.things.Insert(t.Context(), thing{ID: "a", Note: note}, thing{ID: "b", Note: note, Email: new("b@x")}))
	v, err := s.things.Get(t.Context(), "a")
	if err != nil || v.Note != note {
		t.Errorf("%d bytes went in, %d came out: %v", len(note), len(v.Note), err)
	}
	v, err = s.things.First(t.Context(), docstore.Query{Index: "by_email"})
	if err != nil || v.Note != note {
		t.Errorf("%d bytes went in, %d were found: %v", len(note), len(v.Note), err)
	}
}

// shape is a query on the sample and the ids it selects.
type shape struct {
	query docstore.Query
	want  string
}

type (
	emailAddress string
	rank         int32
)

func shapes() []shape {
	type q = docstore.Query
	equal := func(values ...any) []any { return values }
	return []shape{
		{q{}, "abcdefghi"},
		{q{Descending: true}, "ihgfedcba"},
		{q{From: "c", Until: "f"}, "cde"},
		{q{From: "c", Until: "f", Descending: true}, "edc"},
		{q{From: "h0"}, "i"},
		{q{Until: "a"}, ""},

		{q{Index: "by_email"}, "gdbhaf"}, // by bytes; a missing one isn't in it
		{q{Index: "by_email", Descending: true}, "fahbdg"},
		{q{Index: "by_email", Equal: equal("b@x")}, "h"},
		{q{Index: "by_email", Equal: equal("")}, "g"},
		{q{Index: "by_email", Equal: equal("B@X")}, ""},
		{q{Index: "by_email", Equal: equal(emailAddress("b@x"))}, "h"},
		{q{Index: "by_email", From: "a", Until: "n"}, "bha"},
		{q{Index: "by_email", From: "n", Until: "a"}, ""},
		{q{Index: "by_email", From: "b@x", Until: "b@x"}, ""},
		{q{Index: "by_email", From: "b@x", Descending: true}, "fah"},

		{q{Index: "by_seat"}, "dfbha"},
		{q{Index: "by_seat", Descending: true}, "ahbfd"},
		{q{Index: "by_seat", From: "c"}, "bha"},
		{q{Index: "by_seat", Equal: equal("red")}, "bha"},
		{q{Index: "by_seat", Equal: equal("red"), From: "b", Descending: true}, "ah"},
		{q{Index: "by_seat", Equal: equal("red", "a@x")}, "b"},
		{q{Index: "by_seat", Equal: equal("red", "a@x"), Until: "b"}, ""},

		{q{Index: "by_team"}, "fdecab"}, // ties by id
		{q{Index: "by_team", Descending: true}, "bacedf"},
		{q{Index: "by_team", From: "c"}, "cab"},
		{q{Index: "by_team", Until: "c", Descending: true}, "edf"},
		{q{Index: "by_team", Equal: equal("red")}, "cab"},
		{q{Index: "by_team", Equal: equal("red"), Descending: true}, "bac"},
		{q{Index: "by_team", Equal: equal("red"), From: 0}, "ab"},
		{q{Index: "by_team", Equal: equal("red"), Until: rank(1)}, "c"},
		{q{Index: "by_team", Equal: equal("red"), From: -3, Until: uint8(2), Descending: true}, "bac"},
		{q{Index: "by_team", Equal: equal("blue"), From: -large, Until: large}, "fd"},
		{q{Index: "by_team", Equal: equal("red", 1)}, "ab"},
		{q{Index: "by_team", Equal: equal("red", 1), Descending: true}, "ba"},
		{q{Index: "by_team", Equal: equal("red", 1), From: "b"}, "b"}, // after the fields, the id
		{q{Index: "by_team", Equal: equal("red", 1), Until: "b", Descending: true}, "a"},
		{q{Index: "by_team", Equal: equal("green")}, ""},

		{q{Index: "by_rank"}, "fcgabde"},
		{q{Index: "by_rank", From: -3, Until: 2}, "cgab"},
		{q{Index: "by_rank", From: large}, "e"},
		{q{Index: "by_rank", Equal: equal(0)}, "g"},

		{q{Index: "by_active"}, "beac"}, // false before true
		{q{Index: "by_active", Descending: true}, "caeb"},
		{q{Index: "by_active", Equal: equal(true)}, "ac"},
		{q{Index: "by_active", Equal: equal(false), Descending: true}, "eb"},
		{q{Index: "by_active", From: true}, "ac"},
		{q{Index: "by_active", Until: true}, "be"},

		{q{Index: "by_seen"}, "eabf"}, // null isn't in it
		{q{Index: "by_seen", Descending: true}, "fbae"},
		{q{Index: "by_seen", Equal: equal(*seen(0))}, "a"},
		{q{Index: "by_seen", From: *seen(0)}, "abf"},
		{q{Index: "by_seen", From: *seen(time.Microsecond)}, "abf"},
		{q{Index: "by_seen", From: *seen(time.Millisecond)}, "bf"},
		{q{Index: "by_seen", Until: *seen(time.Millisecond)}, "ea"},
		{q{Index: "by_seen", Until: docstore.Time{Time: noon().In(time.FixedZone("", 3600))}}, "e"},
	}
}

func findRules() []rule {
	return []rule{
		{"Find selects a range of an index in its order", findShapes},
		{"Find follows a document through its changes", findChanged},
		{"Find refuses what doesn't fit the index", findInvalid},
		{"Find returns no more than the limit", findLimits},
	}
}

func findShapes(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	for _, shape := range shapes() {
		page, err := s.Find(t.Context(), things, shape.query)
		must(t, err)
		wantIDs(t, fmt.Sprintf("%+v", shape.query), s.ids(t, page.Documents), shape.want)
		if page.Next != "" {
			t.Errorf("%+v: a cursor, though nothing follows", shape.query)
		}
	}
}

func findChanged(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), thing{ID: "a", Rank: new(int64(1))}, thing{ID: "b", Rank: new(int64(2))}))
	check := func(what, want string) {
		t.Helper()
		page, err := s.Find(t.Context(), things, docstore.Query{Index: "by_rank"})
		must(t, err)
		wantIDs(t, what, s.ids(t, page.Documents), want)
	}
	for _, step := range []struct {
		what string
		rank *int64
		want string
	}{
		{"moved behind", new(int64(3)), "ba"},
		{"without the field", nil, "b"},
		{"with it again", new(int64(0)), "ab"},
	} {
		_, err := s.things.Update(t.Context(), "a", func(v *thing) error { v.Rank = step.rank; return nil })
		must(t, err)
		check(step.what, step.want)
	}
	must(t, s.things.Delete(t.Context(), "a"))
	check("deleted", "b")
}

func findInvalid(t *testing.T, s *subject) {
	for what, q := range map[string]docstore.Query{
		"an index that isn't declared": {Index: "by_note"},
		"an index called by its field": {Index: "email"},
		"a name that SQL would read":   {Index: `by_email" --`},
		"more values than fields":      {Index: "by_email", Equal: []any{"a", "b"}},
		"values without an index":      {Equal: []any{"a"}},
		"null":                         {Index: "by_email", Equal: []any{nil}},
		"a fraction":                   {Index: "by_rank", From: 1.5},
		"a list":                       {Index: "by_rank", Equal: []any{[]int{1}}},
		"bytes":                        {Index: "by_email", Until: []byte("a")},
		"an object":                    {Index: "by_email", Equal: []any{map[string]any{"$ne": ""}}},
		"an instant of another type":   {Index: "by_seen", From: noon()},
		"a pointer":                    {Index: "by_rank", From: new(1)},
		"too great a number":           {Index: "by_rank", From: uint64(1 << 63)},
		"a negative limit":             {Limit: -1},
		"too high a limit":             {Limit: docstore.MaxLimit + 1},
	} {
		_, err := s.Find(t.Context(), things, q)
		wantError(t, what, err, docstore.ErrInvalid)
		if errors.Is(err, docstore.ErrCursor) {
			t.Errorf("%s is said to be the client's mistake", what)
		}
		_, err = s.DeleteRange(t.Context(), things, q)
		wantError(t, "deleting "+what, err, docstore.ErrInvalid)
	}
}

func findLimits(t *testing.T, s *subject) {
	many := make([]thing, docstore.MaxLimit+1)
	for i := range many {
		many[i].ID = fmt.Sprintf("%04d", i)
	}
	must(t, s.things.Insert(t.Context(), many...))
	for limit, want := range map[int]int{0: docstore.DefaultLimit, 1: 1, docstore.MaxLimit: docstore.MaxLimit} {
		page, err := s.Find(t.Context(), things, docstore.Query{Limit: limit})
		must(t, err)
		if len(page.Documents) != want || page.Next == "" {
			t.Errorf("limit %d: %d documents and the cursor %q", limit, len(page.Documents), page.Next)
		}
	}
	for limit, want := range map[int]int{0: docstore.DefaultLimit, 1: 1} {
		n, err := s.DeleteRange(t.Context(), things, docstore.Query{Limit: limit})
		must(t, err)
		if n != want {
			t.Errorf("limit %d: deleted %d", limit, n)
		}
	}
}

func pageRules() []rule {
	return []rule{
		{"pages of every size visit every document once", pageSizes},
		{"pages visit what stays once while others come and go", pageChanges},
		{"cursors from strangers are refused or stay in the range", forgedCursors},
		{"cursors continue after a reopening", cursorKept},
	}
}

// walk is the ids of all pages of a query. All pages but the last are full.
func (s *subject) walk(t *testing.T, q docstore.Query) []string {
	t.Helper()
	var ids []string
	for {
		page, err := s.Find(t.Context(), things, q)
		must(t, err)
		if len(page.Documents) > q.Limit || (page.Next != "" && len(page.Documents) < q.Limit) {
			t.Fatalf("%+v: a page of %d", q, len(page.Documents))
		}
		if q.Cursor != "" && len(page.Documents) == 0 {
			t.Fatalf("%+v: a cursor led to nothing", q)
		}
		ids = append(ids, s.ids(t, page.Documents)...)
		if page.Next == "" {
			return ids
		}
		q.Cursor = page.Next
	}
}

func pageSizes(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	for _, shape := range shapes() {
		for size := 1; size <= len(shape.want)+1; size++ {
			q := shape.query
			q.Limit = size
			wantIDs(t, fmt.Sprintf("%+v", q), s.walk(t, q), shape.want)
		}
	}
}

func pageChanges(t *testing.T, s *subject) {
	for _, descending := range []bool{false, true} {
		rankOf := func(place int64) *int64 {
			if descending {
				place = -place
			}
			return &place
		}
		q := docstore.Query{Index: "by_rank", Limit: 2, Descending: descending}
		for i, id := range []string{"a", "b", "c", "d", "e", "f"} {
			must(t, s.things.Insert(t.Context(), thing{ID: id, Rank: rankOf(int64(10 * i))}))
		}
		page, err := s.Find(t.Context(), things, q)
		must(t, err)
		seen := s.ids(t, page.Documents) // a, b

		must(t, s.things.Insert(t.Context(), thing{ID: "x", Rank: rankOf(5)}))  // before the cursor
		must(t, s.things.Insert(t.Context(), thing{ID: "y", Rank: rankOf(15)})) // after it
		must(t, s.things.Delete(t.Context(), "a"))                              // seen
		must(t, s.things.Delete(t.Context(), "b"))                              // what the cursor was made of
		must(t, s.things.Delete(t.Context(), "d"))                              // not seen yet

		q.Cursor = page.Next
		wantIDs(t, fmt.Sprintf("descending %v", descending), append(seen, s.walk(t, q)...), "abycef")
		for _, id := range s.all(t, things) {
			must(t, s.things.Delete(t.Context(), id))
		}
	}
}

func forgedCursors(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	q := docstore.Query{Index: "by_team", Equal: []any{"red"}, Limit: 1} // a cursor of it holds a rank and an id
	for _, forged := range []string{
		"x", "!", "\x00", "ä", " ", "null", encode("x"), encode("null"), encode("{}"), encode("[]"), encode(`["a"]`), encode(`[1]`),
		encode(`[1,2]`), encode(`[1,null]`), encode(`[null,"a"]`), encode(`[1.5,"a"]`), encode(`[1e3,"a"]`), encode(`[99999999999999999999,"a"]`),
		encode(`[[1],"a"]`), encode(`[{"$gt":""},"a"]`), encode(`[1,"a","b"]`), encode(`[1,"a"`),
		docstore.EncodeCursor([]any{"a"}), docstore.EncodeCursor([]any{"red", int64(1), "a"}),
		docstore.EncodeCursor([]any{int64(1), strings.Repeat("a", 1<<20)}),
	} {
		q.Cursor = forged
		_, err := s.Find(t.Context(), things, q)
		wantError(t, fmt.Sprintf("%.40q", forged), err, docstore.ErrCursor)
		_, err = s.DeleteRange(t.Context(), things, q)
		wantError(t, fmt.Sprintf("deleting after %.40q", forged), err, docstore.ErrCursor)
	}
	q.Limit = 9
	for cursor, want := range map[string]string{encode(`[-3,"zzz"]`): "ab", encode(`[1,"a"]`): "b", encode(`[-9,""]`): "cab", encode(`[9,""]`): ""} {
		q.Cursor = cursor
		page, err := s.Find(t.Context(), things, q)
		must(t, err)
		wantIDs(t, cursor, s.ids(t, page.Documents), want)
	}
}

func cursorKept(t *testing.T, s *subject) {
	must(t, s.things.Insert(t.Context(), sample()...))
	q := docstore.Query{Index: "by_team", Limit: 4}
	page, err := s.Find(t.Context(), things, q)
	must(t, err)
	s = s.reopen(t)
	q.Cursor = page.Next
	wantIDs(t, "after a reopening", s.walk(t, q), "ab")
}
