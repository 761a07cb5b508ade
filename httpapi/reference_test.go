package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"manus/identity"
	"manus/language"
)

type recorded struct {
	slog.Handler
	said *[]string
}

func (r recorded) Enabled(context.Context, slog.Level) bool { return true }
func (r recorded) Handle(_ context.Context, record slog.Record) error {
	*r.said = append(*r.said, record.Message)
	return nil
}

// What a route can be answered follows from what it is and from what it names; a handler that
// answers something else is still understood, and the log says that the reference is wrong.
func TestAnOperationTellsWhatItCanBeAnswered(t *testing.T) {
	t.Parallel()
	errCold, errHot, errOdd := errors.New("cold"), errors.New("hot"), errors.New("odd")
	said := []string{}
	api := New(Config{Log: slog.New(recorded{slog.DiscardHandler, &said})})
	group := Group{API: api, Name: language.Text{En: "Tea", Ar: "شاي"}, Kinds: Kinds{{Err: errCold, Status: 409, Name: "cold"}, {Err: errHot, Status: 409, Name: "hot"}, {Err: errOdd, Status: 409, Name: "hot"}}}
	type input struct {
		Cursor string `query:"cursor"`
		Body   struct {
			Cups int `json:"cups" example:"2"`
		}
	}
	var answered error
	handler := func(context.Context, *input) (*Nothing, error) { return nil, answered }
	Register(group, Route{Access: Public, Pattern: "POST /pots", ID: "make", Status: http.StatusCreated, Problems: []error{errHot}}, handler)
	Register(group, Route{Scope: identity.Write, Pattern: "PATCH /pots", ID: "change"}, handler)
	Register(group, Route{Access: Persons, Pattern: "GET /pots", ID: "see", Problems: []error{}}, func(context.Context, *Nothing) (*Nothing, error) { return nil, nil })
	names := func(kinds Kinds) string {
		all := make([]string, len(kinds))
		for i, kind := range kinds {
			all[i] = kind.Name
		}
		return strings.Join(all, " ")
	}
	want := map[string][2]string{
		"make":   {"invalid-cursor invalid-idempotency-key broken-body slow-body idempotency-key-in-use too-large unsupported-media-type invalid-request idempotency-key-reused too-many-idempotency-keys rate-limited", "hot"},
		"change": {"invalid-cursor broken-body unauthorized forbidden slow-body changed-meanwhile too-large unsupported-media-type invalid-request rate-limited", "cold hot"},
		"see":    {"unauthorized not-for-keys invalid-request rate-limited", ""},
	}
	for _, o := range api.Reference() {
		if got := [2]string{names(o.Problems), names(o.Theirs)}; got != want[o.ID] {
			t.Errorf("%s: %q", o.ID, got)
		}
	}
	if o := api.Reference()[0]; o.Example != "{\n  \"cups\": 2\n}" || !o.Body[0].Required {
		t.Errorf("%+v", o)
	}
	for _, c := range []struct {
		err     error
		unnamed bool
	}{{errCold, true}, {errHot, false}, {errOdd, false}} {
		answered, said = c.err, []string{}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/pots", strings.NewReader(`{"cups":1}`)))
		if w.Code != http.StatusConflict || slices.Contains(said, Unnamed) != c.unnamed {
			t.Errorf("%v: %d %s", c.err, w.Code, said)
		}
	}
}
