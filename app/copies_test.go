package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"manus/config"
	"manus/internal/mongotest"
	"manus/internal/redistest"
	"manus/internal/waittest"
)

// copies are some copies of the product on one database and one Redis.
func copies(t *testing.T, n int, redis *redistest.Server) []*App {
	t.Helper()
	secret := config.RandomSecret()
	database := mongotest.Database(t)
	all := make([]*App, n)
	for i := range all {
		all[i], _ = setup(t, func(s *config.Settings) {
			s.MongoDB = config.NewSecret(mongotest.URI(t))
			s.MongoDatabase = database
			s.JWTSecret = secret
			if redis != nil {
				s.Redis = config.NewSecret(redis.URL())
			}
		})
	}
	return all
}

// get is a call that succeeds, and its answer.
func get[T any](t *testing.T, a *App, method, path, token, body string) (answer T) {
	t.Helper()
	status, text := call(t, a, method, path, token, body)
	if status >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestNobodyCanTellWhichCopyAnswers(t *testing.T) {
	t.Parallel()
	for name, redis := range map[string]*redistest.Server{"with Redis": redistest.Start(t), "without": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := copies(t, 3, redis)
			person := register(t, all[0])
			session := get[struct{ ID string }](t, all[1], "POST", "/api/v1/sessions", person.Access, `{}`).ID
			request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+all[2].Addr()+"/api/v1/sessions/"+session+"/events", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+person.Access)
			request.Header.Set("Accept", "text/event-stream")
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			lines := bufio.NewScanner(response.Body)
			for i := range 6 {
				if i == 3 && redis != nil {
					redis.Kill(t) // later, but not lost
				}
				get[struct{}](t, all[i%3], "POST", "/api/v1/sessions/"+session+"/messages", person.Access, fmt.Sprintf(`{"text":"message %d"}`, i))
				for !strings.HasPrefix(lines.Text(), "data: ") || !strings.Contains(lines.Text(), fmt.Sprintf(`"message %d"`, i)) {
					if strings.HasPrefix(lines.Text(), "data: ") && !strings.Contains(lines.Text(), fmt.Sprintf(`"message %d"`, i-1)) {
						t.Fatalf("instead of message %d comes %s", i, lines.Text())
					}
					if !lines.Scan() {
						t.Fatal(lines.Err())
					}
				}
			}
			if _, ready := call(t, all[0], "GET", "/ready", "", ""); !strings.Contains(ready, `"mongodb":{"status":"ok"`) {
				t.Errorf("/ready says %s", ready)
			}
			if used := get[struct {
				Used int `json:"runs_used"`
			}](t, all[2], "GET", "/api/v1/billing/subscription", person.Access, "").Used; used != 1 {
				t.Errorf("%d runs are used", used)
			}
		})
	}
}

func TestATokenRevokedOnOneCopyIsRefusedOnAll(t *testing.T) {
	t.Parallel()
	all := copies(t, 3, nil)
	me := func(a *App, token string) int {
		status, _ := call(t, a, "GET", "/api/v1/auth/me", token, "")
		return status
	}
	person := register(t, all[0])
	for _, end := range []struct{ path, body string }{
		{"/api/v1/auth/logout", ""},
		{"/api/v1/auth/logout-all", ""},
	} {
		for _, a := range all { // each has it in its memory
			if status := me(a, person.Access); status != 200 {
				t.Fatalf("%s: %d before", end.path, status)
			}
		}
		if status, text := call(t, all[0], "POST", end.path, person.Access, end.body); status != 204 {
			t.Fatalf("%s: %d %s", end.path, status, text)
		}
		if status := me(all[0], person.Access); status != 401 {
			t.Errorf("%s: %d on the copy that did it", end.path, status)
		}
		for _, a := range all[1:] {
			waittest.Poll(t, func() bool { return me(a, person.Access) == 401 }) // after a second at most
		}
		person = get[signedIn](t, all[1], "POST", "/api/v1/auth/login", "", `{"email":"amal@example.com","password":"correct horse battery staple"}`)
	}
}
