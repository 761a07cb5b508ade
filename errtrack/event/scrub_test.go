package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func newScrubber(t testing.TB) *Scrubber {
	t.Helper()
	s, err := NewScrubber([]string{"national_id"}, []string{`\bCASE-\d+\b`})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// key is a text of a provider's form which secret scanners don't take for a real one.
func key(parts ...string) string { return strings.Join(parts, "") }

// secretTexts are texts with what may not be left of them.
var secretTexts = []struct{ text, secret string }{
	{"card 4111 1111 1111 1111, thanks", "1111 1111"},
	{`'user,card\n4111111111111111,12/30\nAKIAIOSFODNN7EXAMPLE\nok'`, "4111111111111111"},
	{`'user,card\n4111111111111111,12/30\nAKIAIOSFODNN7EXAMPLE\nok'`, "AKIAIOSFODNN7EXAMPLE"},
	{`"Bob\t4111111111111111\r\n"`, "4111111111111111"},
	{`'a\nghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nb'`, "ghp_aaaa"},
	{`'a\nBearer hunter2hunter2\nb'`, "hunter2hunter2"},
	{`'host=x\npwd=hunter2\nb=c'`, "hunter2"},
	{`'a\ncvv=123\nb'`, "123"},
	{`'run\n--token hunter2 --verbose'`, "hunter2"},
	{"password           = hunter2", "hunter2"},
	{"password\t\t= hunter2", "hunter2"},
	{`password = """hunter2"""`, "hunter2"},
	{`connect(user="a", password="""hunter2""")`, "hunter2"},
	{"card 4111-1111-1111-1111", "1111-1111"},
	{"4111111111111111", "4111111"},
	{"paid 12 378282246310005 ok", "378282246310005"},
	{"3782 822463 10005", "822463"},
	{"6011111111111117/5555555555554444", "5555"},
	{"a=4111+1111+1111+1111", "1111+1111"},
	{"cut eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl.", "eyJ"},
	{"cut eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl.", "c2lnbmF0dXJl"},
	{"Authorization: Bearer abcdefgh1", "abcdefgh1"},
	{"sent bearer%20AbCdEfGhIj", "AbCdEfGhIj"},
	{"Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"},
	{"Authorization: Digest username=x, response=y", "response"},
	{"-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\nafter", "MIIEow"},
	{`-----BEGIN PRIVATE KEY-----\nMIIEow`, "MIIEow"},
	{"MIIEow\n-----END EC PRIVATE KEY-----", "MIIEow"},
	{key("sk_", "live_4eC39HqLyjWDarjtT1zdp7dc"), "4eC39HqL"},
	{key("x=%20sk_", "test_4eC39HqLyjWDarjtT1zdp7dc"), "4eC39HqL"},
	{key("rk_", "live_4eC39HqLyjWDarjtT1zdp7dc"), "4eC39HqL"},
	{key("the key whsec_", "MDEyMzQ1Njc4OWFiY2RlZg=="), "MDEyMz"},
	{key("mk_", strings.Repeat("aB3-", 18)), "aB3-aB3"},
	{key("ghp_", strings.Repeat("aB3x", 9)), "aB3x"},
	{key("github_pat_", strings.Repeat("aB3x", 9)), "aB3x"},
	{key("xoxb-", "1234567890-abcdefghij"), "abcdefghij"},
	{key("https://hooks.slack.", "com/services/T000/B000/XXXXXXXXXXXXXXXXXXXXXXXX"), "XXXX"},
	{key("AKIA", "IOSFODNN7EXAMPLE"), "IOSFODNN"},
	{key("AIza", strings.Repeat("aB3x5", 7)), "aB3x5"},
	{key("SG.", strings.Repeat("a", 22), ".", strings.Repeat("b", 43)), "bbbb"},
	{"mongodb://root:hunter2@db:27017/x", "hunter2"},
	{"redis://:hun/ter2@cache:6379", "ter2"},
	{"postgres://app:p@ss/w@rd@db/x?sslmode=off", "w@rd"},
	{"GET https://sam:hunter2@example.com/a?b=c", "hunter2"},
	{"https://example.com/reset?token=hunter2&lang=en", "hunter2"},
	{"https://example.com/?next=%2Flogin%3Faccess_token%3Dhunter2%26a", "hunter2"},
	{"user[password]=hunter2&a=b", "hunter2"},
	{"password=hun;ter2&a=b", "ter2"},
	{"Server=db;Password=hunter2;Timeout=3", "hunter2"},
	{"login failed (user=sam, password=hunter2)", "hunter2"},
	{"password: hunter2", "hunter2"},
	{`{"user":"sam","password":"hun\"ter2","a":1}`, "ter2"},
	{`{"pin": 4242, "a": 1}`, "4242"},
	{`{"credentials":{"user":"sam","key":"hunter2"},"a":1}`, "hunter2"},
	{`{"credentials":["a",{"b":"hunter2`, "hunter2"},
	{`{\"api_key\":\"hunter2\",\"a\":1}`, "hunter2"},
	{`[["password","hunter2"],["a","b"]]`, "hunter2"},
	{`{'passwd': 'hunter2', 'a': 1}`, "hunter2"},
	{"Cookie: a=hunter2; b=c", "hunter2"},
	{"X-Api-Key: hunter2", "hunter2"},
	{"--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nhunter2\r\n--b--", "hunter2"},
	{"see CASE-1234", "1234"},
	{"run --token hunter2 -v", "hunter2"},
	{"curl -u sam:hunter2 https://a", "hunter2"},
	{`app --db-password "hunter2 3"`, "hunter2"},
	{`["app","--token","hunter2"]`, "hunter2"},
	{`['app', '--api-key', 'hunter2']`, "hunter2"},
	{"<password>hunter2</password>", "hunter2"},
	{`<wsse:Password Type="t">hunter2</wsse:Password>`, "hunter2"},
	{"<a><Token><![CDATA[hunter2]]></Token></a>", "hunter2"},
	{`{"name":"token","value":"hunter2"}`, "hunter2"},
	{`[{"name":"x","value":"y"},{"Key": "db_password", "Value": "hunter2"}]`, "hunter2"},
	{`{"value":"hunter2","note":[1,{}],"name":"token"}`, "hunter2"},
	{`{"key":"password","a":{"value":1},"value":["hunter2"]}`, "hunter2"},
	{`[{'name': 'token', 'value': 'hunter2'}`, "hunter2"},
	{`<input type="hidden" name="csrf_token" value="hunter2">`, "hunter2"},
	{`{"headers":[["Host","x"],["Authorization","hunter2"]]}`, "hunter2"},
	{`("Authorization", "hunter2")`, "hunter2"},
	{`then ["Cookie","mysecret1"]`, "mysecret1"},
	{`{"a":["password","password1hunter2"]}`, "hunter2"},
	{`[(b'host', b'x'), (b'authorization', b'hunter2')]`, "hunter2"},
	{"connect.sid=hunter2; a=b", "hunter2"},
	{"koa.sess=hunter2", "hunter2"},
	{".AspNetCore.Identity.Application=hunter2", "hunter2"},
	{"wordpress_logged_in_0a=hunter2", "hunter2"},
	{"Set-Cookie: a=hunter2; Path=/", "hunter2"},
	{"amqp://u:hunter2@h/v", "hunter2"},
	{"redis://:hunter2@h", "hunter2"},
	{"user=u password=hunter2 host=h", "hunter2"},
	{"CREATE USER 'u' IDENTIFIED BY 'hunter2'", "hunter2"},
	{"ALTER ROLE u WITH PASSWORD 'hunter2'", "hunter2"},
	{"UPDATE u SET password='hunter2' WHERE id=1", "hunter2"},
	{"INSERT INTO users (email, password) VALUES ('a', 'hunter2')", "hunter2"},
	{"a%3D1%26password%3Dhunter2%26b%3D1", "hunter2"},
	{"https://a/?q=%7B%22password%22%3A%22hunter2%22%7D&b=c", "hunter2"},
	{`{\"password\":\"hunter2\"}`, "hunter2"},
	{`{"a":"{"b":"{\"password\":\"hunter2\"}"}"}`, "hunter2"},
	{"https://a/cb?code=hunter2-0aB1cD2eF3&state=x", "hunter2"},
	{"https://x.blob/y?se=1&sig=hunter2%2B0aB1cD2eF3gH%3D", "hunter2"},
	{"X-Amz-Signature=hunter2&a", "hunter2"},
	{"AccountName=a;AccountKey=hunter2==;E", "hunter2"},
	{"Ocp-Apim-Subscription-Key: hunter2", "hunter2"},
	{"4111.1111.1111.1111", "1111.1111"},
	{"4111_1111_1111_1111", "1111_1111"},
	{"4111%201111%201111%201111", "201111"},
	{"4111 1111 1111 1111", "1111 1111"},
	{"4111  1111  1111  1111", "1111  1111"},
	{key("shpss_", strings.Repeat("a1", 16)), "a1a1"},
	{key("dckr_pat_", strings.Repeat("a1", 13)), "a1a1"},
	{key("lin_api_", strings.Repeat("a1", 20)), "a1a1"},
	{key("gsk_", strings.Repeat("a1", 26)), "a1a1"},
	{key("ATATT3", strings.Repeat("xF", 30)), "xFxF"},
	{key("SK", strings.Repeat("a1", 16)), "a1a1"},
	{key("key-", strings.Repeat("a1", 16)), "a1a1"},
	{key("sk-", "ant-api03-", strings.Repeat("a1", 20)), "a1a1"},
	{"national-id=hunter2", "hunter2"},
	{"DB_PASSWORD: nothunter2", "hunter2"},
	{"DB_PASSWORD: not-hunter2", "hunter2"},
	{"DB_PASSWORD: hunter2 is wrong", "hunter2"},
	{"DB_PASSWORD=not%20hunter2&a=b", "hunter2"},
	{"DB_PASSWORD: NOT", "NOT"},
	{"Cookie: none=hunter2", "hunter2"},
	{"Cookie: not a=hunter2", "hunter2"},
	{"Authorization: no hunter2", "hunter2"},
	{"DB_PASSWORD=must", "must"},
}

// harmless are texts that stay as they are.
var harmless = []string{
	"", "a", "the author of 3 passengers", "Unexpected token: }", "Unexpected token < in JSON at position 0", "wrong password: too short",
	"invalid credentials: nobody of that name", "max_tokens=4096&tokens_used=12", "550e8400-e29b-41d4-a716-446655440000", "12345678-1234-1234-1234-123456789012",
	"at 1700000000000 and 1700000000000000000", "order ORD4111111111111111 of 0.4111111111111111", "4111111111111112", "2026-11-26T22:30:00.123456Z",
	"9ec79c33ec9942ab8353589fcb2e04dc", "https://example.com/@sam/a?page=2", "https://unpkg.com/@sentry/browser@8", "sam@example.com", "bearer authentication failed",
	"Bearer of news", "basic information", "token expired", "a: b, c: d", `{"a":"b","session_count":3,"has_password":true,"password":null}`,
	"handleRequestWithContext", "task-management-component", "skeleton-loading-placeholder-x", "/usr/lib/python3/dist-packages/requests/adapters.py", "[scrubbed]",
	"unknown flag: --token", "--password is required", "use --token to sign in", "-v --tokens 5", "a - token b", "git log --author sam", "<div>token</div>", "List<Token> x < 3",
	"<password></password>", `{"name":"total","value":"12"}`, `{"name":"tokens","value":"12"}`, `["password","token"]`, `["password is wrong","x"]`, "unexpected token '}' at 3",
	"INSERT INTO users (email, password) VALUES ($1, $2)", "INSERT INTO t (a, b) VALUES ('a', 'b')", "https://a/cb?code=404&state=x", "error_code=ECONNREFUSED", "10.0.0.1 10.0.0.2 10.0.0.3", "1700000000.123456 took 0.000123456789012",
	"key-management-service-component-list-of-all", "SKU12345678901234567890123456789012", "https://a/?q=%7B%22a%22%3A%22b%22%7D", "version 4.11.1111.1111 of 2026_11_26_22_30_00_123456",
	"-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "password=[scrubbed]&a=b", "author=sam&csrf_enabled=true", "10.0.0.1:8080",
	"DB_PASSWORD: not set", "API_TOKEN: must be 32 characters", "ALERT_HOOK2_SECRET: is missing; set it to 32 bytes", "Unexpected token = in JSON", "cookie: none set", "Authorization: Required.",
	"apiKey: Invalid, it has expired", "smtp_pass = not set", "JWT_SECRET: can't be read", "--token missing",
}

func TestTexts(t *testing.T) {
	t.Parallel()
	s := newScrubber(t)
	for _, c := range secretTexts {
		if got := s.text(c.text, plain); strings.Contains(got, c.secret) || !strings.Contains(got, Scrubbed) {
			t.Errorf("%q becomes %q", c.text, got)
		}
	}
	for _, text := range harmless {
		if got := s.text(text, plain); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	for text, want := range map[string]string{
		"https://sam:pw@example.com/a?token=x&b=c":  "https://[scrubbed]@example.com/a?token=[scrubbed]&b=c",
		`{"a":1,"password":"x","b":2}`:              `{"a":1,"password":"[scrubbed]","b":2}`,
		"paid with 4111 1111 1111 1111.":            "paid with [scrubbed].",
		"Cookie: a=b; c=d\r\nHost: x":               "Cookie: [scrubbed]\r\nHost: x",
		"Bearer abcdefgh1, then":                    "Bearer [scrubbed], then",
		`'a\npaid\t4111111111111111\nC:\\new\temp'`: `'a\npaid\t[scrubbed]\nC:\\new\temp'`,
	} {
		if got := s.text(text, plain); got != want {
			t.Errorf("%q becomes %q and not %q", text, got, want)
		}
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	s := newScrubber(t)
	for line, want := range map[string]string{
		`password := os.Getenv("PASSWORD")`:  `password := os.Getenv("PASSWORD")`,
		`login(user, password=password)`:     `login(user, password=password)`,
		`const apiKey = "hunter2";`:          `const apiKey = "[scrubbed]";`,
		`"password": "hunter2",`:             `"password": "[scrubbed]",`,
		`db = "postgres://a:hunter2@db/x"`:   `db = "postgres://[scrubbed]@db/x"`,
		`if token == nil { return errToken}`: `if token == nil { return errToken}`,
		// In a string, as in any text.
		`connect("postgres://host/db?user=app&password=hunter2")`:          `connect("postgres://host/db?user=app&password=[scrubbed]")`,
		`connect("host=db user=app password=hunter2")`:                     `connect("host=db user=app password=[scrubbed]")`,
		`os.system("curl -u admin:hunter2 https://example.com/")`:          `os.system("curl -u [scrubbed] https://example.com/")`,
		`connect("https://api.example.com/v1?api_key=hunter2")`:            `connect("https://api.example.com/v1?api_key=[scrubbed]")`,
		`raise LookupError("no: password=hunter2 for api_key=KKKK1234 x")`: `raise LookupError("no: password=[scrubbed] for api_key=[scrubbed] x")`,
		`log = f"login token=QWERTYTOKEN99"`:                               `log = f"login token=[scrubbed]"`,
		`log = f'login token=QWERTYTOKEN99'`:                               `log = f'login token=[scrubbed]'`,
		"db.Exec(`CREATE USER u IDENTIFIED BY 'hunter2'`)":                 "db.Exec(`CREATE USER u IDENTIFIED BY '[scrubbed]'`)",
		`run('don\'t', "-x", 'token=hunter2') # it's password=x`:           `run('don\'t', "-x", 'token=[scrubbed]') # it's password=x`,
		`x = """login token=hunter2`:                                       `x = """login token=[scrubbed]`,
		`{snip}user=app", "a", f("host=db password=hunter2");{snip}`:       `{snip}user=app", "a", f("host=db password=[scrubbed]");{snip}`,
		// Beside a name.
		`os.environ["DB_PASSWORD"] = "hunter2"`:         `os.environ["DB_PASSWORD"] = "[scrubbed]"`,
		`process.env['DB_PASSWORD'] = 'hunter2'`:        `process.env['DB_PASSWORD'] = '[scrubbed]'`,
		`os.environ.setdefault("API_TOKEN", "hunter2")`: `os.environ.setdefault("API_TOKEN", "[scrubbed]")`,
		`os.Setenv("API_TOKEN", "hunter2")`:             `os.Setenv("API_TOKEN", "[scrubbed]")`,
		`errors.add("password", "is too short")`:        `errors.add("password", "is too short")`,
		`setenv("API_TOKEN", "must hunter2")`:           `setenv("API_TOKEN", "[scrubbed]")`,
		`env["API_TOKEN"] = token()`:                    `env["API_TOKEN"] = token()`,
		`token = env.get("API_TOKEN", None)`:            `token = env.get("API_TOKEN", None)`,
		// What the program puts in stays.
		`log(f"token={token} password={user.password!r}", a)`:      `log(f"token={token} password={user.password!r}", a)`,
		`fmt.Errorf("password=%s, token: %q", p, t)`:               `fmt.Errorf("password=%s, token: %q", p, t)`,
		"fetch(`/x?api_key=${apiKey}&token=#{t}`, {token: token})": "fetch(`/x?api_key=${apiKey}&token=#{t}`, {token: token})",
		`fn get<'a>(api_key: &'a str, token: Token) -> T {`:        `fn get<'a>(api_key: &'a str, token: Token) -> T {`,
	} {
		if got := s.text(line, source); got != want {
			t.Errorf("%s becomes %s and not %s", line, got, want)
		}
	}
	line := strings.Repeat("MIIEow+/", 8)
	for _, lines := range [][]string{
		{"k = `-----BEGIN PRIVATE KEY-----", line, "abc=", "-----END PRIVATE KEY-----`", "next()"},
		{"abc=", line, "-----END PRIVATE KEY-----`", "next()"},
		{"-----BEGIN PRIVATE KEY-----", "abc=", line},
		{line, line},
	} {
		e := Event{Stack: []Frame{{Context: slices.Clone(lines)}}}
		s.Scrub(&e)
		if got := strings.Join(e.Stack[0].Context, "\n"); strings.Contains(got, "MIIE") || strings.Contains(got, "abc=") || strings.Contains(strings.Join(lines, ""), "next") && !strings.Contains(got, "next()") {
			t.Errorf("%q becomes %q", lines, got)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := newScrubber(t)
	for name := range strings.FieldsSeq(`password passwd pwd PWD userPassword USER_PASSWORD password1 new-password user[password] passWord secret client_secret clientSecret
		token access_token accessToken accesstoken refreshToken x-csrf-token csrfmiddlewaretoken XSRF-TOKEN api_key apikey apiKey APIKey X-API-Key HTTP_X_API_KEY
		authorization Authorization Proxy-Authorization HTTP_AUTHORIZATION auth auth_header cookie Cookie Set-Cookie cookies session sessionid session_id sessionId
		JSESSIONID PHPSESSID user_session private_key privateKey credentials aws_credentials card_number cardNumber cc_number creditCard cvc cvv cvv2 card_cvc
		iban ssn social_security_number pin otp jwt bearer passphrase smtp_pass db_pass recovery_codes verification_code access_tokens secretKey AWS_SECRET_ACCESS_KEY
		id_token stripe_key ssh_key sys.argv national_id customerNationalId Kennwort mot.passwort contraseña كلمة_المرور national_id_hash password_hash`) {
		if !s.names.secret(name) {
			t.Errorf("%s isn't secret", name)
		}
	}
	for name := range strings.FieldsSeq(`author authority authenticated authentication_url passenger passengers tokens tokens_used max_tokens maxTokens total_tokens prompt_tokens
		token_count token_type tokenizer session_count sessionDuration secretary keyboard key public_key monkey primary_key compass bypass pass_rate pinned spin spam pan_zoom
		expires_in token_expires_in password_changed_at password_policy auth_method auth_type cookies_enabled csrf_enabled secret_name card cardinality id email user
		username ip_address url status code error_code country_code zip_code national identity hash message oauth_provider sidebar side inside idempotency-key`) {
		if s.names.secret(name) {
			t.Errorf("%s is secret", name)
		}
	}
}

// TestEveryPlace: wherever an event can hold a text, no secret is left in it: a field that
// is added to the types is filled here by itself.
func TestEveryPlace(t *testing.T) {
	t.Parallel()
	s := newScrubber(t)
	for _, c := range secretTexts {
		var e Event
		fill(reflect.ValueOf(&e).Elem(), "Event", c.text, "note", c.text)
		s.Scrub(&e)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		var plain bytes.Buffer
		dumpTexts(&plain, reflect.ValueOf(e))
		if source := strings.Join(e.Stack[0].Context, "\n"); strings.Contains(source, c.secret) {
			// What is no value in source, as nothing quotes it.
			plain.Reset()
			e.Stack, e.Exceptions = nil, nil
			dumpTexts(&plain, reflect.ValueOf(e))
		}
		if strings.Contains(plain.String(), c.secret) {
			t.Errorf("%q is left of %q in %s", c.secret, c.text, text)
		}
	}
}

// TestEveryName: what a name says is secret is left in no place that has names, at any depth.
func TestEveryName(t *testing.T) {
	t.Parallel()
	s := newScrubber(t)
	for _, name := range []string{"password", "X-Api-Key", "sessionId", "national_id", `pass\u0077ord`} {
		for _, value := range []string{`"hunter2"`, `{"a":["hunter2"]}`, `[[["hunter2"]],"hunter2"]`, `["hunter2", {"b": "hunter2"}]`} {
			for _, around := range []string{`{"%s":%s}`, `{"a":1,"%s" : %s ,"b":{}}`, `[[{"a":{"b":[{"%s":%s}]}}]]`} {
				raw := fmt.Sprintf(around, name, value)
				quoted, _ := json.Marshal(raw)
				for _, raw := range []string{raw, string(quoted)} {
					if name[0] == 'p' && strings.Contains(name, `\`) && raw[0] == '"' {
						continue // escaped within a text
					}
					e := decode(t, `{"extra":{"x":`+raw+`},"contexts":{"x":`+raw+`},"breadcrumbs":[{"data":{"x":`+raw+`}}],"stacktrace":{"frames":[{"vars":{"x":`+raw+`}}]},"request":{"data":`+raw+`}}`)
					s.Scrub(&e)
					text, err := json.Marshal(e)
					if err != nil || strings.Contains(string(text), "hunter2") {
						t.Errorf("%s becomes %s: %v", raw, text, err)
					}
					if got := strings.Join(e.Scrubbed, " "); got != "stack breadcrumbs request contexts extra" {
						t.Errorf("scrubbed is %s", got)
					}
				}
			}
		}
	}
	e := decode(t, `{"tags":{"token":"hunter2"},"request":{"headers":{"Cookie":"hunter2","Host":"x"}},"extra":{"password":["hunter2"],"max_tokens":5,"secret":null}}`)
	if s.Scrub(&e); strings.Contains(dump(e), "hunter2") || string(e.Extra["max_tokens"]) != "5" || e.Request.Headers["Host"] != "x" || !json.Valid(e.Extra["password"]) {
		t.Error(dump(e))
	}
}

// TestWhatStandsBeside: secrets of JSON that another of its strings names are gone, whatever
// they are, and what stands around them isn't.
func TestWhatStandsBeside(t *testing.T) {
	t.Parallel()
	s := newScrubber(t)
	for raw, want := range map[string]string{
		`[["Host","x"],["Authorization","h"],["cookie",["h"]]]`:           `[["Host","x"],["Authorization","[scrubbed]"],["cookie","[scrubbed]"]]`,
		`["app","--token","h","-v"]`:                                      `["app","--token","[scrubbed]","-v"]`,
		`["'app'","'--token'","'h'"]`:                                     `["'app'","'--token'","[scrubbed]"]`,
		`[{"name":"token","type":"x","value":{"a":["h"]}},{"value":"y"}]`: `[{"name":"token","type":"x","value":"[scrubbed]"},{"value":"y"}]`,
		`{"value": "h" , "key": "X-Api-Key"}`:                             `{"value": "[scrubbed]" , "key": "X-Api-Key"}`,
		`{"name":"token","value":"` + strings.Repeat("h", 3000) + `"}`:    `{"name":"token","value":"[scrubbed]"}`,
		`{"name":"token","value":true}`:                                   `{"name":"token","value":true}`,
		`{"name":"page","value":"y"}`:                                     `{"name":"page","value":"y"}`,
		`["password","token","pin"]`:                                      `["password","token","pin"]`,
	} {
		if got := string(s.raw([]byte(raw))); got != want {
			t.Errorf("%s becomes %s", raw, got)
		}
		if got := s.text(raw, plain); got != want && !strings.Contains(raw, "pin") {
			t.Errorf("as text, %s becomes %s", raw, got)
		}
	}
	hostile := []byte(strings.Repeat(`{"value":`, 1<<15) + `1` + strings.Repeat(`}`, 1<<15))
	began := time.Now()
	if s.raw(hostile); time.Since(began) > 10*time.Second {
		t.Errorf("it takes %s to look at %d bytes", time.Since(began), len(hostile))
	}
}

// TestHarmlessEvents: an event without secrets is as it was.
func TestHarmlessEvents(t *testing.T) {
	t.Parallel()
	s := newScrubber(t)
	for _, text := range harmless {
		var e, same Event
		fill(reflect.ValueOf(&e).Elem(), "Event", text, "note")
		fill(reflect.ValueOf(&same).Elem(), "Event", text, "note")
		if s.Scrub(&e); !reflect.DeepEqual(e, same) {
			t.Errorf("%q has changed: %s", text, dump(e))
		}
	}
	e := decode(t, string(sized(50)))
	same := decode(t, string(sized(50)))
	if s.Scrub(&e); !reflect.DeepEqual(e, same) {
		t.Errorf("scrubbed %q: %s", e.Scrubbed, dump(e))
	}
}

// TestOwnFields: people's addresses are kept, as those who are affected are counted by them,
// until the operator says otherwise.
func TestOwnFields(t *testing.T) {
	t.Parallel()
	e := decode(t, `{"user":{"id":"7","email":"sam@example.com","ip_address":"10.0.0.1"},"extra":{"customerEmail":"sam@example.com"},"stacktrace":{"frames":[{"vars":{"a":1}}]}}`)
	newScrubber(t).Scrub(&e)
	if e.User.Email != "sam@example.com" || e.User.IP != "10.0.0.1" || len(e.Scrubbed) > 0 {
		t.Error(dump(e))
	}
	s, err := NewScrubber([]string{"email", "ip_address", "vars"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Scrub(&e)
	if *e.User != (User{ID: "7", Email: Scrubbed, IP: Scrubbed}) || string(e.Extra["customerEmail"]) != string(quotedMark) || e.Stack[0].Vars != nil {
		t.Error(dump(e))
	}
	headers := map[string]string{}
	for name := range strings.FieldsSeq("X-Forwarded-For X-Real-IP Forwarded CF-Connecting-IP True-Client-IP REMOTE_ADDR HTTP_X_FORWARDED_FOR X-Forwarded-Proto Host") {
		headers[name] = "10.0.0.1"
	}
	if s.Scrub(&Event{Request: &Request{Headers: headers}}); headers["Host"] != "10.0.0.1" || headers["X-Forwarded-Proto"] != "10.0.0.1" {
		t.Error("other headers are gone", headers)
	}
	for name, value := range headers {
		if name != "Host" && name != "X-Forwarded-Proto" && value != Scrubbed {
			t.Errorf("%s is %s", name, value)
		}
	}
	if s, err = NewScrubber(nil, []string{`\b\d{9}\b`}); err != nil {
		t.Fatal(err)
	}
	e = decode(t, `{"extra":{"id":123456789,"at":1234567890,"all":[{"x":123456789}]}}`)
	if s.Scrub(&e); string(e.Extra["id"]) != string(quotedMark) || string(e.Extra["at"]) != "1234567890" || strings.Contains(dump(e), "123456789,") || strings.Contains(dump(e), "123456789}") {
		t.Error(dump(e))
	}
	for _, c := range [][2][]string{{{""}, nil}, {{"-"}, nil}, {nil, {"("}}, {nil, {"a*"}}, {nil, {""}}, {nil, {strings.Repeat("a", 501)}}, {make([]string, 101), nil}, {nil, make([]string, 101)}} {
		if _, err := NewScrubber(c[0], c[1]); err == nil {
			t.Errorf("%q can be", c)
		}
	}
}

// TestExempt: what is never looked at are ids, levels, and our own words.
func TestExempt(t *testing.T) {
	t.Parallel()
	var exempt []string
	for of, fields := range structs {
		for _, f := range fields {
			if f.exempt {
				exempt = append(exempt, of.Name()+"."+f.name)
			}
		}
	}
	slices.Sort(exempt)
	if got := strings.Join(exempt, " "); got != "Breadcrumb.level Event.cut Event.event_id Event.level Event.scrubbed Event.span_id Event.trace_id Image.debug_id SourceMap.why" {
		t.Error(got)
	}
}

// fill sets every text that an event can hold; maps have these names.
func fill(v reflect.Value, path, text string, names ...string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), path, text, names...)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Tag.Get("scrub") != "-" { // see TestExempt
				fill(v.Field(i), path+"."+f.Name, text, names...)
			}
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			deep := map[string]any{}
			for _, name := range names {
				deep[name] = text
			}
			quoted, _ := json.Marshal(map[string]any{"note": []any{text, deep}})
			v.SetBytes(quoted)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), path, text, names...)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, name := range names {
			one := reflect.New(v.Type().Elem()).Elem()
			fill(one, path, text, names...)
			v.SetMapIndex(reflect.ValueOf(name), one)
		}
	case reflect.Bool, reflect.Int:
	default:
		panic("fill doesn't know how to fill " + path)
	}
}

// dumpTexts writes every text of an event, JSON in it as the texts that it has.
func dumpTexts(out *bytes.Buffer, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		out.WriteString(v.String() + "\x00")
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			dumpTexts(out, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() != reflect.TypeFor[time.Time]() {
				dumpTexts(out, v.Field(i))
			}
		}
	case reflect.Slice:
		if raw, ok := v.Interface().(json.RawMessage); ok {
			var value any
			if err := json.Unmarshal(raw, &value); err != nil {
				out.WriteString(err.Error())
			}
			dumpTexts(out, reflect.ValueOf(value))
			return
		}
		for i := range v.Len() {
			dumpTexts(out, v.Index(i))
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			dumpTexts(out, key)
			dumpTexts(out, value)
		}
	default:
	}
}

// FuzzScrub: no text makes the scrubber panic, what is scrubbed stays so, and JSON stays
// JSON.
func FuzzScrub(f *testing.F) {
	s := newScrubber(f)
	for _, c := range secretTexts {
		f.Add(c.text)
	}
	for _, text := range harmless {
		f.Add(text)
	}
	for _, text := range []string{"://a", `name="`, "token='", `{"a":"`, "4111 ", "-----BEGIN ", "eyJ-", "%3d", `[["token",`, "token: a "} { // each of them to look for an end
		f.Add(strings.Repeat(text, 500))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, is := range []kind{plain, source, quoted} {
			once := s.text(text, is)
			if twice := s.text(once, is); twice != once {
				t.Errorf("%q becomes %q, and that %q", text, once, twice)
			}
		}
		quoted, _ := json.Marshal(text)
		for _, raw := range []string{text, string(quoted), `{"a":` + string(quoted) + `,` + string(quoted) + `:[1]}`} {
			valid := json.Valid([]byte(raw))
			e := Event{Message: text, Extra: map[string]json.RawMessage{text: json.RawMessage(raw)}, Stack: []Frame{{Context: strings.Split(text, "\n")}}}
			s.Scrub(&e)
			first := dump(e)
			if s.Scrub(&e); dump(e) != first {
				t.Errorf("%s becomes %s", first, dump(e))
			}
			for _, out := range e.Extra {
				if valid && !json.Valid(out) {
					t.Errorf("%s becomes %s", raw, out)
				}
			}
		}
	})
}

func BenchmarkScrub(b *testing.B) {
	s := newScrubber(b)
	builtin, err := NewScrubber(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, s := range map[string]*Scrubber{"": builtin, "patterns": s} {
		for _, kb := range []int{4, 50} {
			e := decode(b, string(sized(kb)))
			b.Run(fmt.Sprint(kb, "KB", name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					s.Scrub(&e)
				}
			})
		}
	}
}

// TestTagsWithoutAnEndTakeNoLonger: a text full of them is gone through once.
func TestTagsWithoutAnEndTakeNoLonger(t *testing.T) {
	t.Parallel()
	s, err := NewScrubber(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("<password>", 100_000)
	start := time.Now()
	if got := s.text(text, plain); got != text {
		t.Error("it is changed")
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it takes %v", took)
	}
}

// TestStringsOfSource: what is scrubbed as a text is so in a string of a line of source,
// whatever quotes it.
func TestStringsOfSource(t *testing.T) {
	t.Parallel()
	s := newScrubber(t)
	for _, c := range secretTexts {
		for _, quote := range []string{`"`, `'`, "`", `"""`} {
			if strings.ContainsAny(c.text, quote+"\r\n\\") {
				continue
			}
			for _, line := range []string{"log(" + quote + c.text + quote + ", x)", "x = " + quote + c.text, c.text + quote + ", x)"} {
				if got := s.text(line, source); strings.Contains(got, c.secret) {
					t.Errorf("%s becomes %s", line, got)
				}
			}
		}
	}
	for _, text := range harmless {
		if strings.ContainsAny(text, "\"'\r\n\\") {
			continue
		}
		if line := `log("` + text + `", x)`; s.text(line, source) != line {
			t.Errorf("%s becomes %s", line, s.text(line, source))
		}
	}
}
