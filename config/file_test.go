package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"manus/billing"
	"manus/ratelimit"
)

const examplePath = "../manus.example.yaml" // app holds it against the defaults

func TestExampleFileShowsEveryKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	keys := keysOf(reflect.TypeFor[File]())
	if len(keys) < 10 {
		t.Fatalf("only the keys %v were found", keys)
	}
	for _, key := range keys {
		if !strings.Contains(string(text), key+":") {
			t.Errorf("%s is not in the example", key)
		}
	}
}

// keysOf is every YAML key of a struct, and of the structs inside it.
func keysOf(typ reflect.Type) (keys []string) {
	switch typ.Kind() {
	case reflect.Slice, reflect.Pointer, reflect.Map:
		return keysOf(typ.Elem())
	case reflect.Struct:
		for i := range typ.NumField() {
			field := typ.Field(i)
			if name, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); name != "" && name != "-" {
				keys = append(keys, name)
			}
			keys = append(keys, keysOf(field.Type)...)
		}
	}
	return keys
}

func TestFileChangesOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	trial := DefaultFile(ratelimit.Routes{})
	trial.Billing.Trial.Days = 30
	plans := DefaultFile(ratelimit.Routes{})
	plans.Billing.Plans = []billing.Plan{
		{ID: "free", Name: "Free", PriceUSD: new(0), Runs: new(billing.Runs(3)), Reset: billing.Calendar},
		{ID: "basic", Name: "Team", Runs: new(billing.Unlimited), Reset: billing.Anniversary},
	}
	for _, c := range []struct {
		name, text string
		want       File
	}{
		{"all defaults", "{}\n", DefaultFile(ratelimit.Routes{})},
		{"as large as it may be", "{}\n" + strings.Repeat("#", maxFile-3), DefaultFile(ratelimit.Routes{})},
		{"one key", "trial: {days: 30}\n", trial},
		{"a list of its own", `
plans:
  - {id: free, name: Free, price_usd: 0, runs: 3, reset: calendar}
  - {id: basic, name: Team, runs: unlimited, reset: anniversary}
`, plans},
	} {
		got, err := LoadFile(write(t, "manus.yaml", c.text), ratelimit.Routes{})
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
}

// keys are as many of a mapping.
func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  k%d: 1\n", i)
	}
	return b.String()
}

// bomb is a monitor of many headers, many times.
func bomb() string {
	return "monitors:\n- &a\n  headers:\n" + strings.ReplaceAll(keys(maxKeys), "  k", "    k") + strings.Repeat("- *a\n", 1000)
}

func TestFractionsAreTakenWhereTheyMayBe(t *testing.T) {
	t.Parallel()
	got, problems := parseFile([]byte("monitors: [{id: a, type: http, url: https://a.example.com, slo: 0.999}]\n"), ratelimit.Routes{})
	if len(problems) > 0 || len(got.Monitors) != 1 || got.Monitors[0].SLO != 0.999 {
		t.Errorf("got %+v, %v", got.Monitors, problems)
	}
}

func TestFileOfTheSettingsIsApplied(t *testing.T) {
	t.Parallel()
	path := write(t, "manus.yaml", "trial: {days: 30}\n")
	settings, err := Load(Source{Environ: enough(), ConfigFile: path})
	if err != nil {
		t.Fatal(err)
	}
	if settings.Billing.Trial.Days != 30 || settings.ConfigPath != path {
		t.Errorf("got %+v", settings)
	}
}

func TestWrongFileIsRefusedWhole(t *testing.T) {
	t.Parallel()
	const compare = "; compare it with manus.example.yaml"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "says nothing; write {} for all defaults, or what you want to change"},
		{"only comments", "# nothing\n\n", "says nothing; write {} for all defaults, or what you want to change"},
		{"an empty document", "---\n", "says nothing; write {} for all defaults, or what you want to change"},
		{"a fraction", "trial: {days: 1.5}\n", "line 1 has a value of the wrong kind; use a whole number"},
		{"a fraction by another name", "trial: {days: &a 1e0}\nlimits: {default: {cost: *a}}\n", "line 1 has a value of the wrong kind; use a whole number\nmanus.yaml: line 1 has a value of the wrong kind; use a whole number"},
		{"a fractional cost", "limits:\n  default: {cost: 1.5}\n", "line 2 has a value of the wrong kind; use a whole number"},
		{"a limit beyond a bound", "limits: {default: {limit: 2000000/minute}}\n", "line 1 has a value that can't be used; use limits of 1 to 1000000 requests"},
		{"unknown key", "trial:\n  days: 3\n  dayz: hunter2\n", "line 3 has an unknown key, dayz" + compare},
		{"two unknown keys", "a: 1\nb: 2\n", "line 1 has an unknown key, a" + compare + "\nmanus.yaml: line 2 has an unknown key, b" + compare},
		{"a setting of the environment", "jwt_secret_key: hunter2\n", "line 1 has an unknown key, jwt_secret_key; set it in the environment"},
		{"a key that is no name", "hunter2 and more: 1\n", "line 1 has an unknown key" + compare},
		{"a key of two lines", "\"hunter2\\nfield\": 1\n", "line 1 has an unknown key" + compare},
		{"text for a number", "trial: {days: hunter2}\n", "line 1 has a value of the wrong kind; use a whole number"},
		{"too large a number", "trial: {days: 99999999999999999999}\n", "line 1 has a value of the wrong kind; use a whole number"},
		{"a list for a text", "trial:\n  plan: [hunter2]\n", "line 2 has a value of the wrong kind" + compare},
		{"a text for a list", "plans: hunter2\n", "line 1 has a value of the wrong kind; use a list, each entry beginning with '- '"},
		{"a text for a mapping", "trial: hunter2\n", "line 1 has a value of the wrong kind" + compare},
		{"a list at the top", "- hunter2\n", "line 1 has a value of the wrong kind" + compare},
		{"a setting's own rule", "trial:\n  runs: hunter2\n", "line 2 has a value that can't be used; use a whole number from 0, or 'unlimited'"},
		{"two of the same kind", "trial:\n  runs: hunter2\n  days: hunter2\n", "line 2 has a value that can't be used; use a whole number from 0, or 'unlimited'\nmanus.yaml: line 3 has a value of the wrong kind; use a whole number"},
		{"a plan without runs", "plans: [{id: free, name: Free, price_usd: 0, reset: calendar}]\ntrial: {days: 0}\n", "plans[0].runs: use a whole number from 0, or 'unlimited'"},
		{"a key twice", "trial: {days: 3}\ntrial: {days: 4}\n", "line 2 has a key a second time; keep one of them"},
		{"no YAML", "trial: {days: hunter2\nplans: []\n", "is not valid YAML near line 1; check the indentation, the colons and the quotes there"},
		{"an unknown anchor", "trial: *hunter2\n", "is not valid YAML; check the indentation, the colons and the quotes there"},
		{"a wrong tag", "trial:\n  days: !!int hunter2\n", "is not valid YAML; check the indentation, the colons and the quotes there"},
		{"two documents", "trial: {days: 3}\n---\ntrial: {days: 4}\n", "has more than one document; keep what is before the second '---'"},
		{"a broken second document", "trial: {days: 3}\n---\n{hunter2", "has more than one document; keep what is before the second '---'"},
		{"too large", "#" + strings.Repeat("#", maxFile), "the file has more than 8192 KiB; check that it is the right file"},
		{"too many keys", "plans:\n- id: free\nlimits:\n" + keys(maxKeys+1), "line 4 has a value that can't be used; use at most 1000 keys"},
		{"aliases without end", bomb(), "repeats too much by aliases, such as *name; write out what they stand for"},
		{"directives without end", strings.Repeat("%TAG !a! b\n", 101) + "---\n{}\n", "has many %TAG directives; take them out"},
		{"a share that isn't one", "monitors: [{id: a, type: http, url: https://a.example.com, slo: hunter2}]\n", "line 1 has a value of the wrong kind" + compare},
		{"no plans", "plans: []\ntrial: {days: 0}\n", "plans: list 1 to 32 plans"},
		{"a plan that is not there", "trial: {plan: hunter2}\n", "trial.plan: name one of the plans"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file, err := LoadFile(write(t, "manus.yaml", c.text), ratelimit.Routes{})
			if err == nil || err.Error() != "manus.yaml: "+c.want {
				t.Errorf("got  %v\nwant manus.yaml: %s", err, c.want)
			}
			if !reflect.DeepEqual(file, File{}) {
				t.Error("a refused file is returned")
			}
		})
	}
}

// tea is a program with three routes, one of which has a limit of its own.
func tea() ratelimit.Routes {
	own := ratelimit.NewRule("5/minute", ratelimit.ByAddress)
	own.Route = "POST /tea/{id}"
	known := []ratelimit.Subject{ratelimit.ByUser}
	return ratelimit.Routes{
		Patterns: []string{"GET /tea", "GET /coffee", own.Route}, Rules: []ratelimit.Rule{own},
		Tell: map[string][]ratelimit.Subject{"GET /tea": known, "GET /coffee": known, own.Route: known},
	}
}

func TestRulesTakeThePlaceOfThoseThatRoutesHave(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{}":                           "POST /tea/{id}",
		"limits: {allow: [192.0.2.1]}": "POST /tea/{id}",
		"plans: [{id: free, name: Free, price_usd: 0, runs: 3, reset: calendar}]\ntrial: {days: 0}": "POST /tea/{id}",
		"limits: {rules: []}": "",
		"limits: {rules: [{route: 'GET /tea', limit: 1/minute, by: [user]}]}":                       "GET /tea",
		"limits: {rules: [{route: 'POST /tea/{another}', limit: 1/minute, by: [user]}]}":            "POST /tea/{another}",
		"limits: {rules: [{route: 'POST /', limit: 1/minute, by: [user], plans: {pro: 2/minute}}]}": "POST /",
	} {
		file, err := LoadFile(write(t, "manus.yaml", text), tea())
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		got := ""
		for _, rule := range file.Limits.Rules {
			got += rule.Route
		}
		if got != want {
			t.Errorf("%s: the rules are for %q, want %q", text, got, want)
		}
	}
}

func TestRulesForWhatIsNotThereAreProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"limits: {rules: [{route: 'POST /tea', limit: 1/minute, by: [user]}]}":                            "limits.rules[0].route: there is no such route POST /tea",
		"limits: {rules: [{route: 'GET /coffee/', limit: 1/minute, by: [user]}]}":                         "limits.rules[0].route: there is no such route GET /coffee/",
		"limits: {rules: [{route: 'POST /tea/1', limit: 1/minute, by: [user]}]}":                          "limits.rules[0].route: there is no such route POST /tea/1",
		"limits: {rules: [{route: 'GET /tea', limit: 1/minute, by: [user], plans: {hunter2: 2/minute}}]}": "limits.rules[0].plans of GET /tea: there is no such plan hunter2; use ids of the plans on offer",
		"limits: {default: {plans: {hunter2: 2/minute}}}":                                                 "limits.default.plans: there is no such plan hunter2; use ids of the plans on offer",
		"plans: [{id: free, name: Free, price_usd: 0, runs: 3, reset: calendar}]\ntrial: {days: 0}\nlimits: {rules: [{route: 'GET /tea', limit: 1/minute, by: [user], plans: {pro: 2/minute}}]}": "limits.rules[0].plans of GET /tea: there is no such plan pro; use ids of the plans on offer",
	} {
		if _, err := LoadFile(write(t, "manus.yaml", text), tea()); err == nil || err.Error() != "manus.yaml: "+want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestProblemsNameTheFileThatTheyAreIn(t *testing.T) {
	t.Parallel()
	_, err := Load(Source{Environ: enough(), ConfigFile: write(t, "limits-of-ours.yaml", "a: 1\n")})
	if err == nil || !strings.HasPrefix(err.Error(), "limits-of-ours.yaml: line 1") {
		t.Errorf("got %v", err)
	}
}

func TestFileThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	_, err := LoadFile(filepath.Join(t.TempDir(), "manus.yaml"), ratelimit.Routes{})
	if want := "manus.yaml: the file does not exist; check the path"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestFileWithoutEndIsRefusedInFewWords(t *testing.T) {
	t.Parallel()
	var keys strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&keys, "key-%d: 1\n", i)
	}
	for name, text := range map[string]string{
		"aliases that multiply": "plans:\n- &a {id: a, name: " + strings.Repeat("a", 50_000) + "}\n" + strings.Repeat("- *a\n", 40_000),
		"unknown keys":          keys.String(),
		"wrong plans":           "plans:\n" + strings.Repeat("- {}\n", 40_000),
	} {
		_, err := LoadFile(write(t, "manus.yaml", text), ratelimit.Routes{})
		if err == nil || len(err.Error()) > 10_000 {
			t.Errorf("%s: the error is %.200v", name, err)
		}
	}
}

func FuzzLoadFile(f *testing.F) {
	f.Add([]byte("plans:\n  - {id: free, name: '@', price_usd: 0, runs: @, reset: @}\ntrial: {plan: @, days: 1}\n"))
	f.Add([]byte("trial: &a {days: '@'}\nplans: [*a, *a]\n@: *a\n"))
	f.Add([]byte("trial:\n  days: !!int @\n  <<: @\n---\n@"))
	f.Add([]byte("trial: *@\n%YAML @\n"))
	f.Add([]byte("? [@]\n: !!binary @\n\"@\\n\": |\n @"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, problems := parseFile(withSecret(data), ratelimit.Routes{})
		mustNotShow(t, &problems)
	})
}

func TestProvidersGetTheirSecretsFromTheEnvironment(t *testing.T) {
	t.Parallel()
	file := write(t, "manus.yaml", `providers:
  - {id: google, name: Google, issuer: "https://accounts.google.com", client_id: a, redirect_urls: ["https://app.example.com/in"]}
  - {id: my-idp, name: Mine, issuer: "https://id.example.com", client_id: b, redirect_urls: ["https://app.example.com/in"]}
`)
	source := Source{ConfigFile: file, Environ: enough(
		"OIDC_GOOGLE_CLIENT_SECRET=hunter2-google", "OIDC_MY_IDP_CLIENT_SECRET_FILE="+write(t, "secret", "hunter2-mine\n"))}
	settings, err := Load(source)
	if err != nil {
		t.Fatal(err)
	}
	if len(settings.Providers) != 2 || settings.Providers[0].ClientSecret != "hunter2-google" || settings.Providers[1].ClientSecret != "hunter2-mine" {
		t.Errorf("got %d providers", len(settings.Providers))
	}
	source.Environ = append(source.Environ, "OIDC_MY_IDP_CLIENT_SECRET=hunter2-again")
	if _, err := Load(source); err == nil || !strings.Contains(err.Error(), "OIDC_MY_IDP_CLIENT_SECRET: is set together with OIDC_MY_IDP_CLIENT_SECRET_FILE") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("both: %v", err)
	}
}

func TestProblemsOfProviders(t *testing.T) {
	t.Parallel()
	_, err := LoadFile(write(t, "manus.yaml", `providers:
  - {id: "not an id", name: X, issuer: "http://accounts.example.com", client_id: a, redirect_urls: []}
  - {id: b, name: B, issuer: "https://b.example.com", client_id: a, redirect_urls: ["https://app.example.com/in"]}
  - {id: b, name: B, issuer: "https://b.example.com", client_id: a, redirect_urls: ["https://app.example.com/in"]}
`), ratelimit.Routes{})
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, want := range []string{"providers[0].id: ", "providers[0].issuer: ", "providers[0].redirect_urls: ", "providers[2].id: is the same"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s isn't said: %v", want, err)
		}
	}
}

// provider is a line of manus.yaml with a provider of its own.
func provider(i int) string {
	return fmt.Sprintf("  - {id: p%d, name: P, issuer: \"https://p%d.example.com\", client_id: a, redirect_urls: [\"https://app.example.com/in\"]}\n", i, i)
}

func TestProvidersAreAtMostTwenty(t *testing.T) {
	t.Parallel()
	text := "providers:\n"
	for i := range maxProviders {
		text += provider(i)
	}
	if _, err := LoadFile(write(t, "manus.yaml", text), ratelimit.Routes{}); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
	_, err := LoadFile(write(t, "manus.yaml", text+provider(maxProviders)), ratelimit.Routes{})
	if want := "manus.yaml: providers: list at most 20"; err == nil || err.Error() != want {
		t.Errorf("one more: %v", err)
	}
}

// An operator sees each problem until there are more than anybody reads, and then how
// many more there are.
func TestProblemsOfAFileAreListedUpToFifty(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{
		maxFileProblems:     "manus.yaml: line 50 has an unknown key, a49; compare it with manus.example.yaml",
		maxFileProblems + 7: "manus.yaml: has 7 more problems; mend these first",
	} {
		text := ""
		for i := range n {
			text += fmt.Sprintf("a%d: 1\n", i)
		}
		_, err := LoadFile(write(t, "manus.yaml", text), ratelimit.Routes{})
		lines := strings.Split(err.Error(), "\n")
		if got := lines[len(lines)-1]; got != want || len(lines) != min(n, maxFileProblems+1) {
			t.Errorf("of %d problems, %d lines, the last one: %s", n, len(lines), got)
		}
	}
}

// BenchmarkMonitors is what it takes to read a file of ten thousand monitors, and to judge it.
func BenchmarkMonitors(b *testing.B) {
	text := []byte("monitors:\n")
	for i := range 10_000 {
		text = fmt.Appendf(text, "- id: m%05d\n  type: http\n  url: https://127.0.%d.%d:8443/health\n  private: true\n  expect: [\"status == 200\", 'json.status == \"healthy\"', \"latency < 2s\"]\n", i, i/250+1, i%250+1)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := parseFile(text, ratelimit.Routes{}); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}
