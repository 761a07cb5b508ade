package app

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// faultsOf sends a body to an operation and returns where the answer finds faults.
func faultsOf(t *testing.T, a *App, token string, o operation, body string) (places []string) {
	t.Helper()
	code, answer := call(t, a, o.method, strings.ReplaceAll(o.path, "{id}", "x"), token, body)
	var problem struct{ Errors []struct{ Location string } }
	if err := json.Unmarshal([]byte(answer), &problem); err != nil || code != http.StatusUnprocessableEntity {
		t.Errorf("%s: %.100s is answered %d %.200s", o.id, body, code, answer)
	}
	for _, fault := range problem.Errors {
		places = append(places, fault.Location)
	}
	return places
}

func TestNullIsNoValueOfWhatIsRequired(t *testing.T) {
	t.Parallel()
	inbox := newInbox(t) // whose operator may ask for everything
	a := inbox.App
	worker := inbox.key(t, "worker")
	asked := 0
	for _, o := range operations(t, a) {
		token := inbox.token
		if o.id == "append-event" { // only for them
			token = worker
		}
		for _, name := range o.body.Required {
			asked++
			if places := faultsOf(t, a, token, o, `{"`+name+`":null}`); !slices.Contains(places, "body."+name) {
				t.Errorf("%s takes null for %s: faults at %v", o.id, name, places)
			}
		}
		if len(o.body.Required) > 0 {
			faultsOf(t, a, token, o, "null")
		}
	}
	if asked < 25 {
		t.Errorf("only %d were asked", asked)
	}
	code, answer := call(t, a, "POST", "/api/v1/auth/login", "", `{"email":"amal@example.com","password":"x","passkey":{"ceremony_id":"x","credential":null}}`)
	if code != http.StatusUnprocessableEntity || !strings.Contains(answer, "body.passkey.credential") {
		t.Errorf("deeper down: %d %s", code, answer)
	}
}

// The longest texts that the reference allows are taken in, however JSON writes their
// characters, all of a body's together.
func TestWhatTheReferenceAllowsIsNeverTooLong(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	token := register(t, a).Access
	asked := 0
	for _, o := range operations(t, a) {
		var fields []string
		for name, property := range o.body.Properties { // those of a pattern are ASCII
			if property.MaxLength > 0 {
				fields = append(fields, `"`+name+`":"`+strings.Repeat(`\ud83d\ude00`, property.MaxLength)+`"`)
			}
		}
		if fields == nil {
			continue
		}
		asked++
		path := strings.ReplaceAll(o.path, "{id}", "x")
		code, answer := call(t, a, o.method, path, token, "{"+strings.Join(fields, ",")+"}")
		if code == http.StatusRequestEntityTooLarge || strings.Contains(answer, "expected length <=") {
			t.Errorf("%s: %d %.300s", o.id, code, answer)
		}
	}
	if asked < 15 {
		t.Errorf("only %d were asked", asked)
	}
}

func TestAMessageIsCountedInCharacters(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	token := register(t, a).Access
	_, answer := call(t, a, "POST", "/api/v1/sessions", token, "")
	var session struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &session); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		letter string
		count  int
		want   int
	}{
		{"é", 9000, 202}, {"é", 16384, 202}, {`\u00e9`, 16384, 202}, {`\ud83d\ude00`, 16384, 202}, {"<", 16384, 202},
		{"é", 16385, 422}, {`\ud83d\ude00`, 16385, 422}, {"a", 300000, 413},
	} {
		body := `{"text":"` + strings.Repeat(c.letter, c.count) + `"}`
		if code, answer := call(t, a, "POST", "/api/v1/sessions/"+session.ID+"/messages", token, body); code != c.want {
			t.Errorf("%d of %s: %d %.200s", c.count, c.letter, code, answer)
		}
	}
}
