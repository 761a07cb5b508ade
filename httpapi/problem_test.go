package httpapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"manus/identity"
)

// TestAProblemInTheFormThatClientsRead: what the door refuses has it too.
func TestAProblemInTheFormThatClientsRead(t *testing.T) {
	t.Parallel()
	api := New(Config{Log: slog.New(slog.DiscardHandler), Caller: func(r *http.Request) (identity.Caller, error) {
		return identity.Caller{UserID: r.Header.Get("Authorization")}, nil
	}})
	api.Handle(Route{Pattern: "GET /odd", Problem: func(p *Problem) any { return map[string]string{"detail": p.Detail} }}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, r, nil, ErrNotFound)
	}))
	for caller, want := range map[string]string{"": `{"detail":"Sign in first`, "amal": `{"detail":"There is nothing at this address."}`} {
		r := httptest.NewRequest("GET", "/odd", nil)
		r.Header.Set("Authorization", caller)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code < 400 || w.Header().Get("Content-Type") != "application/json" || !strings.HasPrefix(w.Body.String(), want) {
			t.Errorf("%q is answered %d %s %s", caller, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}
