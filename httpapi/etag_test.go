package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"manus/docstore"
	"manus/identity"
	"manus/internal/storetest"
)

type kettle struct {
	ID    string `json:"_id"`
	Title string `json:"title"`
}

func (k kettle) DocumentID() string { return k.ID }

type kettleInput struct {
	KettlePath
	Body struct {
		Title string `json:"title" maxLength:"20"`
	}
}

// KettlePath is exported as huma wants it.
type KettlePath struct {
	ID string `path:"id" maxLength:"64"`
}

func kettles(t *testing.T) (send func(method, path, body string, header ...string) *httptest.ResponseRecorder, meanwhile *func()) {
	t.Helper()
	spec := docstore.Spec{Collection: "kettles", Of: kettle{}}
	all := docstore.NewCollection[kettle](storetest.New(t, spec), spec)
	if err := all.Insert(t.Context(), kettle{"one", "Blue"}); err != nil {
		t.Fatal(err)
	}
	api := newAPI(slog.New(slog.DiscardHandler))
	group := Group{API: api, Kinds: Kinds{{Err: docstore.ErrNotFound, Status: 404, Name: "no-kettle"}}}
	meanwhile = new(func())
	*meanwhile = func() {}
	change := func(ctx context.Context, in *kettleInput) (*Output[kettle], error) {
		(*meanwhile)()
		return OutputOf(all.Update(ctx, in.ID, func(k *kettle) error { k.Title = in.Body.Title; return nil }))
	}
	Register(group, Route{Pattern: "GET /kettles/{id}", ID: "get"}, func(ctx context.Context, in *KettlePath) (*Output[kettle], error) {
		return OutputOf(all.Get(ctx, in.ID))
	})
	Register(group, Route{Pattern: "PATCH /kettles/{id}", ID: "change"}, change)
	Register(group, Route{Pattern: "PATCH /unread/{id}", ID: "change-unread"}, change)
	Register(group, Route{Pattern: "DELETE /kettles/{id}", ID: "delete"}, func(ctx context.Context, in *KettlePath) (*Nothing, error) {
		(*meanwhile)()
		return nil, all.Delete(ctx, in.ID)
	})
	return func(method, path, body string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r.WithContext(identity.With(r.Context(), identity.Caller{UserID: "u", LoginID: "l"})))
		return w
	}, meanwhile
}

func TestWhatAClientHasIsNotSentAgain(t *testing.T) {
	t.Parallel()
	send, _ := kettles(t)
	first := send("GET", "/kettles/one", "")
	tag := first.Header().Get("ETag")
	if first.Code != 200 || len(tag) < 10 {
		t.Fatal(first.Code, first.Header())
	}
	for _, has := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		if w := send("GET", "/kettles/one", "", "If-None-Match", has); w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("ETag") != tag {
			t.Errorf("%s: %d %s %v", has, w.Code, w.Body, w.Header())
		}
	}
	send("PATCH", "/kettles/one", `{"title":"Red"}`)
	if w := send("GET", "/kettles/one", "", "If-None-Match", tag); w.Code != 200 || w.Header().Get("ETag") == tag {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := send("GET", "/kettles/none", "", "If-None-Match", "*"); w.Code != 404 || w.Header().Get("ETag") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestAChangeIsMadeOfWhatWasRead(t *testing.T) {
	t.Parallel()
	send, meanwhile := kettles(t)
	tagNow := func() string { return send("GET", "/kettles/one", "").Header().Get("ETag") }
	stale := tagNow()
	for _, match := range []func() string{func() string { return "*" }, func() string { return `"other", ` + tagNow() }} {
		if w := send("PATCH", "/kettles/one", `{"title":"Red"}`, "If-Match", match()); w.Code != 200 {
			t.Errorf("%s: %d %s", match(), w.Code, w.Body)
		}
	}
	if stale == tagNow() {
		t.Fatal("the tag stays")
	}
	for _, refused := range [][3]string{
		{"PATCH", "/kettles/one", stale}, {"PATCH", "/kettles/one", "W/" + tagNow()}, {"DELETE", "/kettles/one", stale},
		{"PATCH", "/kettles/none", "*"}, {"PATCH", "/unread/one", "*"},
	} {
		wantProblem(t, send(refused[0], refused[1], `{"title":"Green"}`, "If-Match", refused[2]), 412, "changed-meanwhile")
	}
	// Somebody else is in between the look and the change.
	for _, method := range []string{"PATCH", "DELETE"} {
		tag := tagNow()
		*meanwhile = func() {
			*meanwhile = func() {}
			if w := send("PATCH", "/kettles/one", `{"title":"Black `+method+`"}`); w.Code != 200 {
				t.Error(w.Code, w.Body)
			}
		}
		wantProblem(t, send(method, "/kettles/one", `{"title":"Green"}`, "If-Match", tag), 412, "changed-meanwhile")
	}
	if w := send("GET", "/kettles/one", ""); !strings.Contains(w.Body.String(), "Black DELETE") {
		t.Errorf("got %s", w.Body)
	}
	if w := send("DELETE", "/kettles/one", "", "If-Match", tagNow()); w.Code != http.StatusNoContent {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := send("GET", "/kettles/one", ""); w.Code != 404 {
		t.Error(w.Code)
	}
}

// What is changed twice by one request was changed by that.
func TestOnlyTheFirstChangeIsGuarded(t *testing.T) {
	t.Parallel()
	spec := docstore.Spec{Collection: "kettles", Of: kettle{}}
	all := docstore.NewCollection[kettle](storetest.New(t, spec), spec)
	if err := all.Insert(t.Context(), kettle{"one", "Blue"}); err != nil {
		t.Fatal(err)
	}
	guard := &docstore.Guard{}
	ctx := docstore.WithGuard(t.Context(), guard)
	_, err := all.Get(ctx, "one")
	guard.Close()
	paint := func(ctx context.Context, title string) error {
		_, err := all.Update(ctx, "one", func(k *kettle) error { k.Title = title; return nil })
		return err
	}
	if err := errors.Join(err, paint(ctx, "Red"), paint(ctx, "Green")); err != nil {
		t.Error(err)
	}
}

// boiling is a kettle that counts, as nobody changes by the API.
type boiling struct {
	Kettle kettle `json:"kettle"`
	Boiled int    `json:"boiled"`
}

func (b boiling) DocumentID() string { return b.Kettle.ID }

func (b boiling) Changeable() any { return b.Kettle }

// TestWhatChangesByItselfIsInNobodysWay has something counted before a change, and while it is made.
func TestWhatChangesByItselfIsInNobodysWay(t *testing.T) {
	t.Parallel()
	spec := docstore.Spec{Collection: "boiling", Of: boiling{}}
	all := docstore.NewCollection[boiling](storetest.New(t, spec), spec)
	if err := all.Insert(t.Context(), boiling{Kettle: kettle{"one", "Blue"}}); err != nil {
		t.Fatal(err)
	}
	count := func() {
		if _, err := all.Update(t.Context(), "one", func(b *boiling) error { b.Boiled++; return nil }); err != nil {
			t.Error(err)
		}
	}
	api, looks, busy := newAPI(slog.New(slog.DiscardHandler)), 0, 0
	Register(Group{API: api}, Route{Pattern: "GET /boiling/{id}", ID: "get"}, func(ctx context.Context, in *KettlePath) (*Output[boiling], error) {
		return OutputOf(all.Get(ctx, in.ID))
	})
	Register(Group{API: api}, Route{Pattern: "PATCH /boiling/{id}", ID: "change"}, func(ctx context.Context, in *kettleInput) (*Output[boiling], error) {
		if looks++; looks <= busy {
			count()
		}
		return OutputOf(all.Update(ctx, in.ID, func(b *boiling) error { b.Kettle.Title = in.Body.Title; return nil }))
	})
	send := func(method, body string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/api/v1/boiling/one", strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r.WithContext(identity.With(r.Context(), identity.Caller{UserID: "u", LoginID: "l"})))
		return w
	}
	tag := send("GET", "").Header().Get("ETag")
	count()
	if w := send("GET", "", "If-None-Match", tag); w.Code != 200 || w.Header().Get("ETag") == tag {
		t.Errorf("what was counted isn't sent: %d %v", w.Code, w.Header())
	}
	for busy = range 3 {
		looks = 0
		if w := send("PATCH", `{"title":"Red"}`, "If-Match", tag); w.Code != 200 || looks != busy+1 {
			t.Errorf("with %d counted in between: %d after %d looks: %s", busy, w.Code, looks, w.Body)
		}
		wantProblem(t, send("PATCH", `{"title":"Green"}`, "If-Match", tag[:3]+"x"+tag[4:]), 412, "changed-meanwhile")
		tag = send("GET", "").Header().Get("ETag")
	}
	stale := tag
	send("PATCH", `{"title":"Black"}`)
	wantProblem(t, send("PATCH", `{"title":"Green"}`, "If-Match", stale), 412, "changed-meanwhile")
	busy, looks, tag = 1000, 0, send("GET", "").Header().Get("ETag")
	wantProblem(t, send("PATCH", `{"title":"Green"}`, "If-Match", tag), 412, "changed-meanwhile")
}
