package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

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
	Register(group, Route{Scope: identity.Write, Pattern: "PATCH /pots", ID: "change", Problems: []error{errCold, errHot}}, handler)
	Register(group, Route{Access: Persons, Pattern: "GET /pots", ID: "see"}, func(context.Context, *Nothing) (*Nothing, error) { return nil, nil })
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
		"see":    {"unauthorized not-for-keys rate-limited", ""},
	}
	for _, o := range api.Reference() {
		if got := [2]string{names(o.Problems), names(o.Theirs)}; got != want[o.ID] {
			t.Errorf("%s: %q", o.ID, got)
		}
	}
	statuses := func(o Operation) (all []string) {
		path := api.huma.OpenAPI().Paths[o.Path()]
		operation := map[string]*huma.Operation{"GET": path.Get, "POST": path.Post, "PATCH": path.Patch}[o.Method()]
		for status, response := range operation.Responses {
			if response.Ref == problemRef && status != "default" {
				all = append(all, status)
			}
		}
		slices.Sort(all)
		return all
	}
	for _, o := range api.Reference() { // the document is for programs what the pages are for people
		var told []string
		for _, kind := range slices.Concat(o.Problems, o.Theirs) {
			told = append(told, strconv.Itoa(kind.Status))
		}
		slices.Sort(told)
		if told = slices.Compact(told); !slices.Equal(statuses(o), told) {
			t.Errorf("%s: %q in the document, %q in the reference", o.ID, statuses(o), told)
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

// Groups come in the order in which they are needed, whoever registers first; what a room adds to
// another one's group stands behind that one's own.
func TestGroupsStandInTheOrderInWhichTheyAreNeeded(t *testing.T) {
	t.Parallel()
	api := New(Config{Log: slog.New(slog.DiscardHandler)})
	add := func(id, name, about string, chapter Chapter) {
		group := Group{API: api, Name: language.Text{En: name, Ar: "ش"}, About: language.Text{En: about}, Chapter: chapter}
		Register(group, Route{Access: Public, Pattern: "GET /" + id, ID: id}, func(context.Context, *Nothing) (*Nothing, error) { return nil, nil })
	}
	add("report", "Running", "", 0) // of a room that comes before its group's
	add("run", "Running", "To run it.", ChapterOperating)
	add("use", "Using", "To use it.", ChapterProduct)
	add("walk", "Walking", "To walk.", ChapterOperating)
	add("enter", "Entering", "To enter.", ChapterSigningIn)
	var groups, operations []string
	for _, group := range api.Groups() {
		groups = append(groups, group.Name.En)
	}
	for _, o := range api.Reference() {
		operations = append(operations, o.ID)
	}
	if got := strings.Join(groups, " ") + ": " + strings.Join(operations, " "); got != "Entering Using Running Walking: run use walk enter report" {
		t.Error(got)
	}
	raw, err := api.OpenAPI()
	var doc struct{ Tags []struct{ Name string } }
	if err == nil {
		err = json.Unmarshal(raw, &doc)
	}
	if err != nil || len(doc.Tags) != 4 || doc.Tags[0].Name != "Entering" || doc.Tags[2].Name != "Running" {
		t.Error(doc, err)
	}
}
