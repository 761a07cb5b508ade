package docstore

import (
	"encoding/base64"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var roomSpec = Spec{Collection: "rooms", Indexes: []Index{
	{Name: "by_floor", Fields: []string{"floor", "name"}},
	{Name: "by_door", Fields: []string{"door"}, Unique: true},
}}

func TestAPlanHasTheIndexAndTheFieldsLeft(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		query Query
		rest  []string
	}{
		{Query{}, nil},
		{Query{Index: "by_floor"}, []string{"floor", "name"}},
		{Query{Index: "by_floor", Equal: []any{1}}, []string{"name"}},
		{Query{Index: "by_floor", Equal: []any{1, "a"}}, []string{}},
	} {
		plan, err := PlanQuery(roomSpec, test.query)
		if err != nil || plan.Index.Name != test.query.Index || !slices.Equal(plan.Rest, test.rest) || plan.Limit != DefaultLimit || plan.After != nil {
			t.Errorf("%+v: got %+v, %v", test.query, plan, err)
		}
	}
}

func TestAPlanHoldsPlainScalarsAndLeavesTheCallersAlone(t *testing.T) {
	t.Parallel()
	type (
		floor int8
		name  string
		flag  bool
	)
	at := time.Date(2024, 2, 29, 13, 0, 0, 1999, time.FixedZone("", 3600))
	for _, test := range []struct{ value, want any }{
		{"a\x00", "a\x00"}, {name("a"), "a"}, {true, true}, {flag(false), false},
		{7, int64(7)}, {floor(-7), int64(-7)}, {uint64(math.MaxInt64), int64(math.MaxInt64)},
		{Time{at}, At(at)},
	} {
		equal := []any{test.value}
		plan, err := PlanQuery(roomSpec, Query{Index: "by_floor", Equal: equal, From: test.value, Until: test.value})
		if err != nil || plan.Equal[0] != test.want || plan.From != test.want || plan.Until != test.want {
			t.Errorf("%#v became %#v, %v", test.value, plan.Equal, err)
		}
		if !reflect.DeepEqual(equal[0], test.value) {
			t.Errorf("the caller's %#v became %#v", test.value, equal[0])
		}
	}
}

func TestACursorIsReadAsItWasMade(t *testing.T) {
	t.Parallel()
	for _, position := range [][]any{
		{"id"}, {""}, {"a\x00\"<>&\u2028ä", "id"}, {int64(math.MinInt64), "id"}, {int64(math.MaxInt64), true, "id"},
		{strings.Repeat("\x00", 8<<10), "id"},
	} {
		after, err := DecodeCursor(EncodeCursor(position), len(position))
		if err != nil || !slices.Equal(after, position) {
			t.Errorf("%.40q became %.40q, %v", position, after, err)
		}
	}
}

func TestNewIDsSortInTheOrderTheyAreMade(t *testing.T) {
	t.Parallel()
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = NewID()
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 1000 {
		t.Error("ids are out of order or not unique")
	}
}

func FuzzCursor(f *testing.F) {
	for _, cursor := range []string{
		EncodeCursor([]any{"id"}), EncodeCursor([]any{int64(-1), "ä", "id"}), EncodeCursor([]any{true, "id", "id"}), "", "x", "!",
		base64.RawURLEncoding.EncodeToString([]byte(`[1.5,{},"a"]`)),
		base64.RawURLEncoding.EncodeToString([]byte(`[99999999999999999999,null,"a"] x`)),
	} {
		f.Add(cursor)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		plan, err := PlanQuery(roomSpec, Query{Index: "by_floor", Cursor: cursor})
		switch {
		case err != nil && !errors.Is(err, ErrInvalid):
			t.Errorf("got %v", err)
		case err == nil && cursor != "":
			again, err := DecodeCursor(EncodeCursor(plan.After), len(plan.Rest)+1)
			if err != nil || !slices.Equal(again, plan.After) {
				t.Errorf("%q became %q, %v", plan.After, again, err)
			}
		}
	})
}
