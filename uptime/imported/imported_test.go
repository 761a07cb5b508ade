package imported

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"go.yaml.in/yaml/v3"

	"manus/uptime"
)

var update = flag.Bool("update", false, "write what is printed of the samples anew")

func samples(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.*")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, ".want") })
}

// parsed is what manus.yaml would be.
func parsed(t testing.TB, text []byte) uptime.Policy {
	t.Helper()
	var file struct {
		Monitors uptime.Policy `yaml:"monitors"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return file.Monitors
}

// What is printed of each sample is as was looked at, is accepted, and has no secret.
func TestSamplesOfEachProgram(t *testing.T) {
	t.Parallel()
	for _, name := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = file.Close() }()
			i, err := Read(file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := i.YAML()
			if err != nil {
				t.Fatal(err)
			}
			holds(t, i, text)
			got := string(text) + "---\n" + i.Summary()
			if strings.Contains(strings.ToLower(got), "s3cret") {
				t.Errorf("a secret is printed:\n%s", got)
			}
			golden := name + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || string(want) != got {
				t.Errorf("%v: it is now\n%s", err, got)
			}
		})
	}
}

// holds fails unless what is printed is accepted and is what was read, and nothing of the file
// is missing.
func holds(t testing.TB, i Import, text []byte) {
	t.Helper()
	all := parsed(t, text)
	if problems := all.Problems(); len(problems) > 0 {
		t.Errorf("%q:\n%s", problems, text)
	}
	var want uptime.Policy
	for _, m := range i.Monitors {
		if m.LeftOut == "" {
			want = append(want, m.Monitor)
		} else if m.Name == "" {
			t.Errorf("it isn't said what was left out: %+v", m)
		}
	}
	if len(want) != len(all) {
		t.Fatalf("%d of %d monitors are printed:\n%s", len(all), len(want), text)
	}
	for n := range all {
		if got := all[n]; !same(got, want[n]) {
			t.Errorf("%+v was printed of %+v:\n%s", got, want[n], text)
		}
	}
}

func same(a, b uptime.Monitor) bool {
	if len(a.Expect) == 0 && len(b.Expect) == 0 {
		a.Expect, b.Expect = nil, nil
	}
	if len(a.Headers) == 0 && len(b.Headers) == 0 {
		a.Headers, b.Headers = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"empty":             {"", "the file is empty"},
		"blank":             {" \n\t\n", "the file is empty"},
		"a mark alone":      {"\ufeff", "the file is empty"},
		"too long":          {strings.Repeat(" ", maxFile+1), "larger than 8 MiB"},
		"a database":        {"SQLite format 3\x00\x10\x00", "sqlite3 -json kuma.db"},
		"packed":            {"PK\x03\x04abc", "unpack it first"},
		"packed by gzip":    {"\x1f\x8babc", "unpack it first"},
		"a picture":         {"\x89PNG\r\n\x1a\n\x00\x00", "neither a backup of Uptime Kuma"},
		"prose":             {"Dear all,\n\nour monitors are listed below.", "neither a backup of Uptime Kuma"},
		"other YAML":        {"monitors:\n- id: shop\n", "neither a backup of Uptime Kuma"},
		"other JSON":        {`{"users": []}`, "neither a backup of Uptime Kuma"},
		"a list":            {`[1, 2]`, "neither a backup of Uptime Kuma"},
		"an empty list":     {`[]`, "neither a backup of Uptime Kuma"},
		"cut off JSON":      {`{"monitorList": [{"name": "s3cret"`, "isn't valid JSON"},
		"JSON with a fault": {`{"monitorList": [{"name": s3cret}]}`, "isn't valid JSON: it is wrong at byte"},
		"broken YAML":       {"endpoints:\n- name: [s3cret\n  url: x\n", "isn't valid YAML: look at line"},
		"no list":           {"endpoints: s3cret\n", "endpoints has to be a list"},
		"broken CSV":        {"Type,Friendly Name,URL/IP\nHTTP,\"s3cret\n", "isn't valid CSV: look at line 2"},
		"columns alone":     {"Type,Friendly Name,URL/IP\n", "the file is empty"},
		"an API's error":    {`{"stat":"fail","error":{"type":"invalid_parameter","parameter_name":"api_key","passed_value":"s3cret"}}`, "an error of UptimeRobot's API"},
		"deep JSON":         {`{"monitorList": ` + strings.Repeat("[", 100_000), "isn't valid JSON"},
		"deep YAML":         {"endpoints: " + strings.Repeat("[", 100_000), "isn't valid YAML"},
		"a bomb": {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n" +
			"f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\nendpoints: [{name: x, conditions: *f}]\n", "too much in it, once its aliases"},
		"many keys": {"endpoints:\n- name: a\n  headers: {" + func() (keys string) {
			for n := range 3000 {
				keys += fmt.Sprintf("k%d: v, ", n)
			}
			return keys
		}() + "}\n", "too much in it"},
		"many": {"Type,Friendly Name,URL/IP\n" + strings.Repeat("Ping,a,b.example\n", uptime.MaxMonitors+1), "more than 20000 monitors"},
	} {
		i, err := Read(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, %d monitors", name, err, len(i.Monitors))
		}
	}
	if _, err := Read(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("what can't be read: %v", err)
	}
}

// A file is told by what is in it, however it is written.
func TestWhichProgramAFileIsOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[{"id": 1, "name": "a", "type": "ping", "hostname": "a.example", "maxretries": 0}]`: "Uptime Kuma",
		`{"monitorList": []}`: "Uptime Kuma",
		`{"endpoints": [{"name": "a", "url": "icmp://a.example", "conditions": []}]}`: "Gatus",
		"services:\n- name: a\n  url: https://a.example\n":                            "Gatus",
		"---\n# ours\nexternal-endpoints: [{name: a, token: b}]\n":                    "Gatus",
		`{"data": [{"friendlyName": "a", "type": "PING", "url": "a.example"}]}`:       "UptimeRobot",
		`[{"friendly_name": "a", "type": 3, "url": "a.example"}]`:                     "UptimeRobot",
		"Friendly Name;Monitor Type;URL\na;Ping;a.example\n":                          "UptimeRobot",
	} {
		if i, err := Read(strings.NewReader(text)); err != nil || i.From != want {
			t.Errorf("%s is of %q: %v", text, i.From, err)
		}
	}
}

func TestIDsAreMadeOfNames(t *testing.T) {
	t.Parallel()
	taken := ids{}
	for _, c := range [][2]string{
		{"Shop", "shop"}, {"shop!", "shop-2"}, {"  Café – Zürich ", "cafe-zurich"}, {"Don't panic", "dont-panic"}, {"API / v2", "api-v2"}, {"متجر API", "api"},
		{"3000", ""}, {"المتجر", ""}, {"☃", ""}, {"", ""}, {strings.Repeat("x", 80), strings.Repeat("x", 64)}, {strings.Repeat("x", 90), strings.Repeat("x", 62) + "-2"},
	} {
		got := slug(c[0])
		if got != "" {
			got = taken.of(got)
		}
		if got != c[1] {
			t.Errorf("%q becomes %q", c[0], got)
		}
	}
}

// What any file has becomes monitors that are accepted, and no line of it becomes another one.
func FuzzRead(f *testing.F) {
	for _, name := range samples(f) {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, file []byte) { printed(t, file) })
}

// secret is what must never be printed, wherever a file has it.
const secret = "S3cretS3cretS3cret"

func printed(t *testing.T, file []byte) {
	t.Helper()
	i, err := Read(bytes.NewReader(file))
	if err != nil {
		return
	}
	text, err := i.YAML()
	if err != nil {
		t.Fatal(err)
	}
	holds(t, i, text)
	if said := string(text) + i.Summary(); strings.Contains(said, secret) {
		t.Errorf("a secret is printed:\n%s", said)
	}
}

// Values of all kinds, in the fields of a backup and of an API.
func FuzzFields(f *testing.F) {
	f.Add("Shop", "http", "https://shop.example.com/?a=b#c", `{"X-A": "b"}`, `{"a": 1}`, "word", "200-299", "60", "443")
	f.Add("a\nb: c # d", "keyword", "http://u:p@[::1]:80/%zz", `{"Authorization": "Basic dTpw"}`, "a\u2028b\x00", "\"'\\\n", "2xx", "1e300", "-1")
	f.Add("\u202e", "dns", "مثال.example", "null", "", "", "", "0.1", "99999")
	f.Add("- ", "port", "fe80::1%eth0", "[]", " ", "", "", "NaN", "22")
	f.Add("x", "4", "ftp.example.com:21", "", "", "", "", "300", "")
	f.Fuzz(func(t *testing.T, name, kind, address, headers, body, word, codes, number, port string) {
		kuma := map[string]any{
			"name": name, "type": kind, "url": address, "hostname": address, "headers": headers, "body": body, "keyword": word, "jsonPath": word, "expectedValue": body, "jsonPathOperator": codes, "active": true,
			"accepted_statuscodes": []string{codes}, "interval": number, "timeout": number, "maxretries": number, "retryInterval": number, "port": port, "basic_auth_user": name, "basic_auth_pass": secret, "pushToken": secret, "databaseConnectionString": secret, "oauth_client_secret": secret, "mqttPassword": secret,
			"dns_resolve_server": address, "dns_resolve_type": codes, "expiryNotification": true, "domainExpiryNotification": true, "maxredirects": number,
		}
		robot := map[string]any{
			"friendly_name": name, "type": kind, "url": address, "custom_http_headers": headers, "post_value": body, "http_method": number, "keyword_value": word, "keyword_type": codes, "interval": number, "timeout": number,
			"port": port, "sub_type": port, "custom_http_statuses": codes, "successHttpResponseCodes": []string{codes}, "http_username": name, "http_password": secret, "gracePeriod": number, "keyword_case_type": port,
		}
		for _, one := range []map[string]any{kuma, robot} {
			file, err := json.Marshal([]any{one, one})
			if err != nil {
				t.Fatal(err)
			}
			printed(t, file)
		}
	})
}

// Conditions of Gatus, with the endpoints that they are of.
func FuzzGatus(f *testing.F) {
	for _, c := range []string{"[STATUS] == 200", "[BODY].a[0].b == any(1, x)", "len([BODY]) > 5", "has([BODY].x) == true", "[HEADER].A-B != pat(*x?)", "[CERTIFICATE_EXPIRATION] > 48h", "[RESPONSE_TIME] < 300", "200 == [STATUS]", "[BODY] == pat(\\*)", "[STATUS] == pat(2*)", "[BODY][*].é == 1e5"} {
		f.Add("name", "https://a.example", c)
	}
	f.Add("a: b", "tls://[::1]", "[CONNECTED] == false")
	f.Add("", "icmp://a_b.example", "[DNS_RCODE] == NXDOMAIN")
	f.Fuzz(func(t *testing.T, name, address, condition string) {
		file, err := yaml.Marshal(map[string]any{"endpoints": []any{
			map[string]any{"name": name, "url": address, "conditions": []string{condition}, "body": condition, "headers": map[string]string{name: address, "Authorization": "Bearer " + secret, "X-Api-Key": secret, "Cookie": secret}},
			map[string]any{"name": name, "url": address, "dns": map[string]string{"query-name": name, "query-type": "A"}, "conditions": []string{condition}, "client": map[string]any{"oauth2": map[string]string{"client-secret": secret}, "proxy-url": "http://u:" + secret + "@proxy"}},
		}, "external-endpoints": []any{map[string]string{"name": name, "token": secret}}})
		if err != nil {
			t.Skip(err)
		}
		printed(t, file)
	})
}
