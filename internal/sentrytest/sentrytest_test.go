package sentrytest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"manus/internal/sentrytest"
)

// essence is what has to arrive of each scenario: items of a type, and a text in one of
// them. Where SDKs differ, it has the client's name before.
var essence = map[string]struct {
	item string
	n    int // at least
	text string
}{
	"uncaught":            {"event", 1, "can't be paid"},
	"go-uncaught":         {"event", 1, "nil pointer dereference"},
	"rejection":           {"event", 1, "can't read properties of nothing"},
	"go-rejection":        {"event", 1, "assignment to entry in nil map"},
	"python-rejection":    {"event", 1, "can't be paid"},
	"string-panic":        {"event", 1, `"message":"the till is empty"`},
	"caught":              {"event", 1, "can't be paid"},
	"wrapped":             {"event", 1, "checkout: order 17: out of stock"},
	"locals":              {"event", 1, "4111111111111111"},
	"message":             {"event", 1, "the shop is open"},
	"template":            {"event", 1, "stock of "},
	"context":             {"event", 1, "signed in"},
	"fingerprint":         {"event", 1, "database-down"},
	"transaction":         {"transaction", 1, "db.query"},
	"browser-transaction": {"transaction", 1, "ui.render"},
	"spans":               {"span", 1, "db.query"},
	"browser-spans":       {"span", 1, "ui.render"},
	"session":             {"session", 1, "shop"},
	"checkin":             {"check_in", 4, "backup-interval"},
	"feedback":            {"feedback", 1, "nothing happened"},
	"attachment":          {"attachment", 2, "two coffees"},
	"many=30":             {"event", 30, ""},
	"recursion":           {"event", 1, "too deep"},
	"route":               {"event", 1, "can't be paid"},
	"preflight":           {"event", 1, "can't be paid"},
}

func TestEachScenarioOfEachClientArrives(t *testing.T) {
	t.Parallel()
	for _, client := range sentrytest.Clients {
		for _, scenario := range client.Scenarios {
			t.Run(client.Name+"-"+string(scenario), func(t *testing.T) {
				t.Parallel()
				server := sentrytest.Capture(t)
				client.Play(t, server.DSN, scenario)
				want, own := essence[client.Name+"-"+string(scenario)]
				if !own {
					want = essence[string(scenario)]
				}
				n, told := 0, want.text == ""
				for _, item := range server.Items(t) {
					if item.Type == want.item {
						n++
						told = told || bytes.Contains(item.Payload, []byte(want.text))
					}
				}
				if n < want.n || !told {
					t.Errorf("%d items %s have come, %q in them: %v", n, want.item, want.text, told)
					for _, r := range server.Requests() {
						t.Logf("%s %s %.3000q", r.Method, r.Path, r.Body)
					}
				}
				asked := false
				for _, r := range server.Requests() {
					asked = asked || r.Method == http.MethodOptions
				}
				if asked != (scenario == sentrytest.Preflight) {
					t.Errorf("whether the browser has asked for leave: %v", asked)
				}
			})
		}
	}
}

func TestTheCommandLineReports(t *testing.T) {
	t.Parallel()
	server := sentrytest.Capture(t)
	environment := []string{"SENTRY_DSN=" + server.DSN}
	sentrytest.CLI(t, t.TempDir(), environment, "send-event", "-m", "the backup of %s failed", "-a", "tea", "-t", "host:web-1", "-r", "shop@1.4.2")
	sentrytest.CLI(t, t.TempDir(), environment, "monitors", "run", "backup-cli", "--", "true")
	types := map[string]int{}
	for _, item := range server.Items(t) {
		types[item.Type]++
	}
	if types["event"] != 1 || types["check_in"] != 2 {
		t.Errorf("%v have come", types)
	}
}

func TestTheCommandLineGivesAFileItsDebugID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.js"), []byte("throw new Error('no');\n//# sourceMappingURL=app.js.map\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.js.map"), []byte(`{"version":3,"sources":["app.mjs"],"names":[],"mappings":"AAAA"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	sentrytest.CLI(t, dir, nil, "sourcemaps", "inject", ".")
	text, err := os.ReadFile(filepath.Join(dir, "app.js.map"))
	if err != nil {
		t.Fatal(err)
	}
	var sourcemap struct {
		ID string `json:"debugId"`
	}
	if err := json.Unmarshal(text, &sourcemap); err != nil || len(strings.Split(sourcemap.ID, "-")) != 5 {
		t.Errorf("%v, the map is %s", err, text)
	}
}
