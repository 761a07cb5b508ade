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
	a, _ := setup(t)
	token := register(t, a).Access
	asked := 0
	for _, o := range operations(t, a) {
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
