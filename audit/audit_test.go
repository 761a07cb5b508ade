package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/internal/referencetest"
	"manus/internal/storetest"
)

// clocked is a log with a clock that the test moves.
type clocked struct {
	*Log
	clock *clocktest.Clock
	store docstore.Store
	said  bytes.Buffer
}

func setup(t testing.TB) *clocked {
	t.Helper()
	c := &clocked{store: storetest.New(t, Specs()...), clock: clocktest.New()}
	c.Log = New(Config{Store: c.store, Now: c.clock.Now, Log: slog.New(slog.NewTextHandler(&c.said, nil))})
	return c
}

// lines are the kinds of an account's lines, or of all, latest first.
func (c *clocked) lines(t testing.TB, userID string) string {
	t.Helper()
	found, next, err := c.List(t.Context(), userID, 100, "")
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	var kinds []string
	for _, e := range found {
		kinds = append(kinds, string(e.Kind))
	}
	return strings.Join(kinds, " ")
}

func TestAnEventIsOneLineHoweverOftenItIsAppended(t *testing.T) {
	t.Parallel()
	c := setup(t)
	e := NewEvent(t.Context(), "amal", "password-changed", c.clock.Now())
	e.MailTo = "amal@example.com"
	for range 3 {
		if err := c.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if lines := c.lines(t, "amal"); lines != "password-changed" {
		t.Errorf("there are %s", lines)
	}
	raw, err := c.store.Get(t.Context(), "audit", e.ID)
	if err != nil || bytes.Contains(raw, []byte("example.com")) {
		t.Errorf("it says whom it was mailed to: %s, %v", raw, err)
	}
}

func TestALineSaysWhoDidIt(t *testing.T) {
	t.Parallel()
	c := setup(t)
	ctx, cancel := context.WithCancel(identity.With(t.Context(), identity.Caller{
		UserID: "amal", KeyID: "key", Agent: "curl/8", Address: netip.MustParseAddr("192.0.2.7"),
	}))
	cancel() // a client that leaves takes nothing with it
	c.Record(ctx, "amal", "signed-out")
	found, _, err := c.List(t.Context(), "amal", 100, "")
	if err != nil || len(found) != 1 {
		t.Fatalf("got %+v, %v", found, err)
	}
	want := Event{ID: found[0].ID, UserID: "amal", Kind: "signed-out", At: docstore.At(c.clock.Now()), Address: "192.0.2.7", Agent: "curl/8", ByKey: "key"}
	if found[0] != want {
		t.Errorf("got %+v", found[0])
	}
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	c.Record(ctx, "amal", "signed-in")
	if !strings.Contains(c.said.String(), "signed-in") {
		t.Error("nobody hears of a line that was lost")
	}
}

func TestLinesAreListedByAccountAndByTime(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for _, who := range []string{"amal", "bob", "amal", "amal"} {
		c.clock.Add(time.Second)
		c.Record(t.Context(), who, Kind(fmt.Sprintf("%s-%d", who, c.clock.Now().Second())))
	}
	if got := c.lines(t, "amal") + ", " + c.lines(t, ""); got != "amal-4 amal-3 amal-1, amal-4 amal-3 bob-2 amal-1" {
		t.Errorf("listed are %s", got)
	}
	page, next, err := c.List(t.Context(), "amal", 2, "")
	if err != nil || len(page) != 2 || next == "" {
		t.Fatalf("got %+v, %q, %v", page, next, err)
	}
	if page, next, err = c.List(t.Context(), "amal", 2, next); err != nil || len(page) != 1 || page[0].Kind != "amal-1" || next != "" {
		t.Errorf("the next page is %+v, %q, %v", page, next, err)
	}
}

func TestAPersonsLinesAreExportedAndForgotten(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for _, who := range []string{"amal", "bob"} {
		c.Record(identity.With(t.Context(), identity.Caller{Agent: who + "'s phone"}), who, "signed-in")
	}
	export := func() (files string) {
		err := c.Export(t.Context(), "amal", func(name string, values iter.Seq2[any, error]) error {
			for value, err := range values {
				text, encodeErr := json.Marshal(value)
				if err != nil || encodeErr != nil {
					t.Fatal(err, encodeErr)
				}
				files += name + string(text)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	if got := export(); !strings.Contains(got, `"kind":"signed-in"`) || !strings.Contains(got, "amal's phone") || strings.Contains(got, "bob") || !strings.HasPrefix(got, "security-events{") {
		t.Errorf("exported was %s", got)
	}
	for range 2 {
		if err := c.Erase(t.Context(), "amal"); err != nil {
			t.Fatal(err)
		}
	}
	if got := export(); strings.Contains(got, "phone") || !strings.Contains(got, `"kind":"signed-in"`) {
		t.Errorf("left is %s", got)
	}
	if found, _, err := c.List(t.Context(), "bob", 1, ""); err != nil || found[0].Agent != "bob's phone" {
		t.Errorf("of another: %+v, %v", found, err)
	}
}

// unwritable is a store that can be read only.
type unwritable struct{ docstore.Store }

func (unwritable) Upsert(context.Context, string, string, func(docstore.Raw) (docstore.Raw, error)) error {
	return docstore.ErrUnavailable
}

func TestLinesThatCouldNotBeForgottenAreToldOf(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.Record(t.Context(), "amal", "signed-in")
	elsewhere := New(Config{Store: unwritable{c.store}})
	if err := elsewhere.Erase(t.Context(), "amal"); !errors.Is(err, docstore.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestOldLinesGo(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.Record(t.Context(), "amal", "old")
	c.clock.Add(time.Hour)
	c.Record(t.Context(), "amal", "young")
	c.clock.Add(retention - time.Minute)
	if err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lines := c.lines(t, "amal"); lines != "young" {
		t.Errorf("there are %s", lines)
	}
}

func TestCountedEventsAreOneLineForAnAccountAndAnHour(t *testing.T) {
	t.Parallel()
	c := setup(t)
	copies := []*Counter{NewCounter(c.Log, "failures", "sign-in-failed"), NewCounter(c.Log, "failures", "sign-in-failed")}
	for range 2 {
		for _, counter := range copies {
			for _, who := range []string{"amal", "amal", "bob", ""} {
				counter.Add(t.Context(), who)
			}
			counter.Flush(t.Context())
			counter.Flush(t.Context()) // nothing is counted twice
		}
		c.clock.Add(time.Hour)
	}
	found, _, err := c.List(t.Context(), "", 100, "")
	if err != nil || len(found) != 4 {
		t.Fatalf("got %+v, %v", found, err)
	}
	for _, e := range found {
		want := int64(4)
		if e.UserID == "bob" {
			want = 2
		}
		if e.Count != want || e.Kind != "sign-in-failed" || e.ID != "failures/"+e.UserID+"/"+e.At.Format("2006-01-02T15") {
			t.Errorf("got %+v", e)
		}
	}
}

func TestACounterCountsSoManyAccountsAtOnce(t *testing.T) {
	t.Parallel()
	counter := NewCounter(setup(t).Log, "failures", "sign-in-failed")
	for i := range maxCounted + 1 {
		counter.Add(t.Context(), fmt.Sprint(i))
	}
	counter.Add(t.Context(), "0")
	taken := counter.take()
	if len(taken) != maxCounted || taken["0"].Count != 2 {
		t.Errorf("%d accounts", len(taken))
	}
}

func TestWhatCouldNotBeCountedIsLogged(t *testing.T) {
	t.Parallel()
	c := setup(t)
	counter := NewCounter(c.Log, "failures", "sign-in-failed")
	counter.Add(t.Context(), "amal")
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	counter.Flush(t.Context())
	if said := c.said.String(); !strings.Contains(said, "amal") || !strings.Contains(said, "count=1") {
		t.Errorf("the log has %q", said)
	}
}

func TestEverybodySeesTheirOwnLinesAndOperatorsAll(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.Record(t.Context(), "amal", "signed-in")
	c.Record(t.Context(), "bob", "signed-out")
	callers := map[string]identity.Caller{
		"amal": {UserID: "amal", LoginID: "1", Role: identity.User},
		"key":  {UserID: "amal", KeyID: "k", Role: identity.User, Scopes: []identity.Scope{identity.Read}},
		"root": {UserID: "root", LoginID: "2", Role: identity.Operator},
	}
	api := httpapi.New(httpapi.Config{Log: referencetest.Log(t), Version: "test", Caller: func(r *http.Request) (identity.Caller, error) {
		return callers[r.Header.Get("Authorization")], nil
	}})
	c.Routes(api)
	get := func(who, path string) string {
		r := httptest.NewRequestWithContext(t.Context(), "GET", httpapi.Prefix+path, nil)
		r.Header.Set("Authorization", who)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		body := w.Body.String()
		return fmt.Sprint(w.Code, strings.Contains(body, "signed-in"), strings.Contains(body, "signed-out"))
	}
	for request, want := range map[[2]string]string{
		{"", "/auth/me/events"}:         "401 false false",
		{"key", "/auth/me/events"}:      "403 false false",
		{"amal", "/auth/me/events"}:     "200 true false",
		{"amal", "/ops/audit"}:          "403 false false",
		{"root", "/ops/audit"}:          "200 true true",
		{"root", "/ops/audit?user=bob"}: "200 false true",
	} {
		if got := get(request[0], request[1]); got != want {
			t.Errorf("%v: got %s, want %s", request, got, want)
		}
	}
}
