package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"manus/idempotency"
)

// killed remembers which id a key's work makes, and no answer: as the program does that is
// killed each time between the work and its answer.
type killed map[string]string

func (k killed) Begin(_ context.Context, r idempotency.Request) (idempotency.Run, error) {
	if k[r.Key] == "" {
		k[r.Key] = fmt.Sprintf("01a21e13-456d-7c49-9e89-%012d", len(k))
	}
	return idempotency.Run{MadeID: k[r.Key]}, nil
}

func (k killed) End(context.Context, idempotency.Run, idempotency.Answer) error { return nil }

// TestWorkThatIsDoneAgainMakesTheSame sends each request that makes something twice, with a
// key, where the first one's answer was lost.
func TestWorkThatIsDoneAgainMakesTheSame(t *testing.T) {
	t.Parallel()
	inbox := newInbox(t)
	a, operator := inbox.App, inbox.token
	a.api.Remember(killed{})
	send := func(key, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1"+path, strings.NewReader(body))
		r.RemoteAddr = "192.0.2.1:1"
		r.Host = "localhost:8080"
		r.Header.Set("Authorization", "Bearer "+operator)
		r.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		a.api.ServeHTTP(w, r)
		return w
	}
	session, later := "", func(hours time.Duration) string { return time.Now().Add(hours * time.Hour).UTC().Format(time.RFC3339) }
	for _, c := range [][3]string{ // the path, the body, what tells one that is made from another
		{"/sessions", `{"title":"Tea"}`, "id"},
		{"/sessions/SESSION/messages", `{"text":"Hello"}`, "seq"},
		{"/auth/api-keys", `{"name":"laptop","scopes":["read"]}`, "id"},
		{"/auth/register", `{"email":"new@example.com","password":"correct horse battery staple"}`, "user"},
		{"/ops/projects", `{"name":"Kitchen"}`, "id"},
		{"/ops/monitors", `{"id":"kettle","type":"http","url":"https://example.com/"}`, "id"},
		{"/ops/incidents", `{"title":"No tea","text":"The kettle is broken."}`, "id"},
		{"/ops/maintenances", `{"title":"Descaling","text":"No tea for an hour.","starts_at":"` + later(1) + `","ends_at":"` + later(2) + `"}`, "id"},
	} {
		path, made := strings.Replace(c[0], "SESSION", session, 1), [2]string{}
		for i := range made {
			w := send("key of "+c[0], path, c[1])
			var answer map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 201 && w.Code != 202 {
				t.Errorf("%s: %d %s", c[0], w.Code, w.Body)
			}
			made[i] = fmt.Sprint(answer[c[2]])
		}
		if made[0] != made[1] {
			t.Errorf("%s makes %s, then %s", c[0], made[0], made[1])
		}
		if c[0] == "/sessions" {
			session = made[0]
		}
	}
	_, usage := call(t, a, "GET", "/api/v1/billing/subscription", operator, "")
	if !strings.Contains(usage, `"runs_used":1,`) {
		t.Errorf("it took more than one run: %s", usage)
	}
}
