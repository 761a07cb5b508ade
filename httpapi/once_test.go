package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"manus/docstore"
	"manus/idempotency"
	"manus/identity"
	"manus/internal/storetest"
)

type potBody struct {
	ID   string `json:"id"`
	Cups int64  `json:"cups"`
}

type potInput struct {
	Body struct {
		Tea string `json:"tea" maxLength:"20"`
	}
}

// pots is a door behind which pots are made, by work, each counted.
func pots(t *testing.T, work func(tea string) error) (send func(user, key, body string) *httptest.ResponseRecorder, made *atomic.Int64) {
	t.Helper()
	repeats, err := idempotency.New(idempotency.Config{Store: storetest.New(t, idempotency.Specs()...), Secrets: []string{"a-secret-of-more-than-32-bytes-3c8e21"}})
	if err != nil {
		t.Fatal(err)
	}
	api := newAPI(slog.New(slog.DiscardHandler))
	api.Remember(repeats)
	made = &atomic.Int64{}
	Register(Group{API: api}, Route{Pattern: "POST /pots", ID: "make-pot", Status: http.StatusCreated}, func(ctx context.Context, in *potInput) (*Output[potBody], error) {
		n := made.Add(1)
		return OutputOf(potBody{docstore.IDFrom(ctx), n}, work(in.Body.Tea))
	})
	return func(user, key, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/pots", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r.WithContext(identity.With(r.Context(), identity.Caller{UserID: user, LoginID: "l"})))
		return w
	}, made
}

func TestARequestWithAKeyIsDoneOnce(t *testing.T) {
	t.Parallel()
	send, made := pots(t, func(string) error { return nil })
	const green = `{"tea":"green"}`
	first, again := send("u", `"one"`, green), send("u", "one", green) // as the draft has it, and bare
	if first.Code != 201 || again.Code != 201 || first.Body.String() != again.Body.String() || made.Load() != 1 {
		t.Errorf("%d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if first.Header().Get("Idempotency-Replayed") != "" || again.Header().Get("Idempotency-Replayed") != "true" || again.Header().Get("Content-Type") != first.Header().Get("Content-Type") {
		t.Errorf("%v, then %v", first.Header(), again.Header())
	}
	wantProblem(t, send("u", "one", `{"tea":"black"}`), 422, "idempotency-key-reused")
	for _, key := range []string{`"open`, strings.Repeat("x", 256), "é", `a"b`, `""`} {
		wantProblem(t, send("u", key, green), 400, "invalid-idempotency-key")
	}
	if made.Load() != 1 {
		t.Errorf("%d were made", made.Load())
	}
	for i, other := range [][2]string{{"u", "two"}, {"somebody else", "one"}, {"u", ""}, {"u", ""}} {
		if w := send(other[0], other[1], green); w.Code != 201 || made.Load() != int64(i+2) {
			t.Errorf("%q: %d %s, %d were made", other, w.Code, w.Body, made.Load())
		}
	}
}

func TestARequestIsNotDoneBesideItself(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan bool), make(chan bool)
	send, made := pots(t, func(string) error { begun <- true; <-goOn; return nil })
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- send("u", "one", `{"tea":"green"}`) }()
	<-begun
	beside := send("u", "one", `{"tea":"green"}`)
	wantProblem(t, beside, 409, "idempotency-key-in-use")
	if beside.Header().Get("Retry-After") == "" {
		t.Error("it doesn't say when to try again")
	}
	close(goOn)
	if w, again := <-first, send("u", "one", `{"tea":"green"}`); again.Body.String() != w.Body.String() || made.Load() != 1 {
		t.Errorf("%s, then %s", w.Body, again.Body)
	}
}

// What is refused frees its key; what fails is done again as the same.
func TestOnlySuccessesAreRemembered(t *testing.T) {
	t.Parallel()
	var fails error
	panics := false
	send, _ := pots(t, func(string) error {
		if panics {
			panic("the pot breaks")
		}
		return fails
	})
	fails = ErrForbidden
	wantProblem(t, send("u", "refused", `{"tea":"green"}`), 403, "forbidden")
	wantProblem(t, send("u", "refused", `{}`), 422, "invalid-request")
	fails = docstore.ErrUnavailable
	wantProblem(t, send("u", "fails", `{"tea":"green"}`), 503, "unavailable")
	panics = true
	wantProblem(t, send("u", "fails", `{"tea":"green"}`), 500, "internal")
	wantProblem(t, send("u", "fails", `{"tea":"black"}`), 422, "idempotency-key-reused")
	fails, panics = nil, false
	if w := send("u", "refused", `{"tea":"black"}`); w.Code != 201 {
		t.Errorf("put right: %d %s", w.Code, w.Body)
	}
	first, again := send("u", "fails", `{"tea":"green"}`), send("u", "fails", `{"tea":"green"}`)
	if first.Code != 201 || first.Body.String() != again.Body.String() || !strings.Contains(first.Body.String(), `"id":"0`) {
		t.Errorf("%d %s, then %s", first.Code, first.Body, again.Body)
	}
}
