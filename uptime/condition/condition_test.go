package condition

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"manus/language"
)

func ptr(n float64) *float64 { return &n }

// seen is a check's result with everything in it.
func seen() *Observation {
	return &Observation{
		Status: 200, Latency: 1500 * time.Millisecond,
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}, "X-Part": {"a", "b"}},
		Body: []byte(`{"status":"healthy","ok":true,"n":5,"text":"5","none":null,"list":[1,"two",[3],{"a":4}],"a b":{"c-d":1},"حالة":"سليم",
			"checks":{"db":{"state":"ok"},"mail":{"state":"ok"}},"parts":[{"up":true,"ms":3},{"up":false,"ms":8}],"empty":[]}`),
		CertificateDays: ptr(20.5), DomainDays: ptr(-3.25),
		Answer: []string{"192.0.2.7", "192.0.2.8"}, Rcode: "NOERROR",
	}
}

// evaluate compiles a text and evaluates it.
func evaluate(t *testing.T, text string, o *Observation) Verdict {
	t.Helper()
	c, err := Compile(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c.Evaluate(o)
}

func TestWhatHolds(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`status == 200`, `200 == status`, `200 <= status && 300 > status`, `status in [200, 204]`, `status != 404`, `status==200`,
		`latency < 2s`, `latency >= 1500ms`, `latency < 1m30s`, `2s > latency`, `  latency  <=  1.5s  `,
		`header.content-type contains "json"`, `header["Content-Type"] matches '^application/json\b'`, `header.x-part == "a, b"`, `header.x-other == null`,
		`json.status == "healthy"`, `json.status == 'healthy'`, `json["status"] in ["ok", "healthy"]`, `json.ok`, `json.ok == true`, `!(json.n > 5)`,
		`json.n == 5`, `json.n != "5"`, `json.text == "5"`, `json.none == null`, `json.nothing == null`, `json.n > -1e3`,
		`json.list[0] == 1`, `json.list[-1].a == 4`, `json.list[2][0] == 3`, `json.list contains "two"`, `len(json.list) == 4`, `len(json) > 5`,
		`json["a b"].c-d == 1`, `json.حالة == "سليم"`, `json.checks[*].state == "ok"`, `json.parts[*].ms < 10`, `len(json.parts[*].ms) == 2`, `len(json.empty) == 0`,
		`json.n == json.list[2][0] || json.n == json.n`, `json.list[1] == "\u0074wo"`,
		`certificate.days > 14`, `certificate.days > 20`, `domain.days < 0`, `dns.answer contains "192.0.2.7"`, `dns.rcode == "NOERROR"`, `len(dns.answer) == 2`,
		`body contains "healthy"`, `body matches '(?s)^\{.*\}$'`, `len(body) > 10`, `!(body contains "down")`,
		`status == 500 || status == 200 && latency < 2s`, `!!(status == 200)`, `((status == 200))`, `! json.none == 1 || json.ok`,
	} {
		if v := evaluate(t, text, seen()); !v.Holds {
			t.Errorf("%s: %s", text, v.Found.En)
		}
	}
}

func TestWhatDoesNotHoldSaysWhatWasFound(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 100)
	for _, c := range []struct {
		text string
		o    *Observation
		want string
	}{
		{`status == 200`, &Observation{Status: 503}, "status is 503"},
		{`200 == status`, &Observation{Status: 503}, "status is 503"},
		{`status in [200, 204]`, &Observation{Status: 503}, "status is 503"},
		{`!(status == 503)`, &Observation{Status: 503}, "status is 503"},
		{`latency < 2s`, &Observation{Latency: 2500123 * time.Microsecond}, "latency is 2.5s"},
		{`status == 200 && latency < 1s`, seen(), "latency is 1.5s"},
		{`status == 500 || latency < 1s`, seen(), "status is 200"},
		{`json.status == "down"`, seen(), `json.status is "healthy"`},
		{`json.ok == false`, seen(), "json.ok is true"},
		{`json.list == 1`, seen(), `json.list is [1,"two",[3],{"a":4}]`},
		{`json.text > 3`, seen(), `json.text is "5"`},
		{`json.n matches "5"`, seen(), "json.n is 5"},
		{`json.n contains "5"`, seen(), "json.n is 5"},
		{`json.parts[*].up`, seen(), "json.parts[*].up is false"},
		{`json.parts[*].ms < 5`, seen(), "json.parts[*].ms is 8"},
		{`json.parts[*].other == 1`, seen(), "json.parts[*].other is missing"},
		{`json.empty[*] == 1`, seen(), "json.empty[*] leads to nothing"},
		{`json.checks[*].state != "ok"`, seen(), `json.checks[*].state is "ok"`},
		{`len(dns.answer) > 2`, seen(), "len(dns.answer) is 2"},
		{`dns.answer contains "192.0.2.9"`, seen(), `dns.answer is ["192.0.2.7","192.0.2.8"]`},
		{`certificate.days > 30`, seen(), "certificate.days is 20.5"},
		{`domain.days > 0`, seen(), "domain.days is -3.25"},
		{`body contains "secret"`, &Observation{Body: []byte("token=hidden")}, "the body isn't so"},
		{`header.server == "x"`, &Observation{Header: http.Header{"Server": {long + "\x1b[2J\u202e"}}}, `header.server is "` + strings.TrimSuffix(long[:100], " ") + ` "`},
	} {
		v := evaluate(t, c.text, c.o)
		if v.Holds || v.Found.En != c.want {
			t.Errorf("%s: %v, %q instead of %q", c.text, v.Holds, v.Found.En, c.want)
		}
	}
	arabic := evaluate(t, `status == 200`, &Observation{Status: 503}).Found.Ar
	if arabic != language.Arabic.Isolate("status")+": 503" {
		t.Errorf("in Arabic: %q", arabic)
	}
}

// Neither a comparison nor its contrary holds of what isn't known.
func TestWhatIsNotKnownDoesNotHoldEitherWay(t *testing.T) {
	t.Parallel()
	packed := language.Text{En: "the body is packed with br", Ar: "…"}
	for _, c := range []struct {
		text string
		o    *Observation
		want string
	}{
		{`status == 200`, &Observation{}, "status is missing"},
		{`certificate.days > 14`, &Observation{}, "certificate.days is missing"},
		{`json.a == 1`, &Observation{Body: []byte("<html>")}, "the body isn't JSON"},
		{`json.a == 1`, &Observation{Body: []byte(`{"a":1} x`)}, "the body isn't JSON"},
		{`json.a == 1`, &Observation{Body: []byte(strings.Repeat(`[`, 20_000))}, "the body isn't JSON"},
		{`json.a == 1`, &Observation{Body: []byte(`{"a":1}`), BodyCut: true}, "the body is longer than what is read of it"},
		{`json.a == 1`, &Observation{BodyFault: packed}, packed.En},
		{`body contains "x"`, &Observation{BodyFault: packed}, packed.En},
		{`len(body) > 1`, &Observation{BodyFault: packed}, packed.En},
		{`json.a.b == 1`, &Observation{Body: []byte(`{"a":1}`)}, "json.a.b is missing"},
		{`json.a[0] == 1`, &Observation{Body: []byte(`{"a":{"0":1}}`)}, "json.a[0] is missing"},
		{`json.a[9] == 1`, &Observation{Body: []byte(`{"a":[1]}`)}, "json.a[9] is missing"},
		{`json.a[-2] == 1`, &Observation{Body: []byte(`{"a":[1]}`)}, "json.a[-2] is missing"},
		{`len(json.a) > 1`, &Observation{Body: []byte(`{"a":1}`)}, "len(json.a) is missing"},
		{`header.x contains "a"`, &Observation{}, "header.x is missing"},
		{`header.x == ""`, &Observation{}, "header.x is missing"},
		{`dns.rcode == "NOERROR"`, &Observation{}, "dns.rcode is missing"},
		{`json.text > 3`, seen(), `json.text is "5"`},
	} {
		for _, text := range []string{c.text, "!(" + c.text + ")"} {
			if v := evaluate(t, text, c.o); v.Holds || v.Found.En != c.want {
				t.Errorf("%s: %v, %q instead of %q", text, v.Holds, v.Found.En, c.want)
			}
		}
	}
	if v := evaluate(t, `json.state != "down"`, &Observation{Body: []byte(`{}`)}); v.Holds {
		t.Error("a state that isn't there isn't down")
	}
	if v := evaluate(t, `json.state == "up" || status == 200`, &Observation{Status: 200}); !v.Holds {
		t.Error("what is known isn't enough")
	}
	if v := evaluate(t, `body contains "be"`, &Observation{Body: []byte("beginning"), BodyCut: true}); !v.Holds {
		t.Error("the beginning of a body isn't looked at")
	}
}

func TestAWrongConditionIsShownWithThePlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, message, place string }{
		{``, "it ends where something to compare should stand", ``},
		{`status`, "it ends where a comparison, such as == should stand", ``},
		{`status = 200`, "write == for =", `= 200`},
		{`status == 200 & latency < 2s`, "write && for &", `& latency < 2s`},
		{`status == 200 and latency < 2s`, "write && for and", `and latency < 2s`},
		{`not json.ok`, "write ! for not", `not json.ok`},
		{`status == 200 == 3`, `'=' stands where &&, || or the end should`, `== 3`},
		{`statsu == 200`, `there is no "statsu"; there are body, certificate.days, dns.answer, dns.rcode, domain.days, header, json, latency, status`, `statsu == 200`},
		{`certificate.day > 3`, `there is no "certificate.day"; there are body, certificate.days, dns.answer, dns.rcode, domain.days, header, json, latency, status`, `certificate.day > 3`},
		{`status == "200"`, "status is a number, and this is a text", `"200"`},
		{`"x" == status`, "status is a number, and this is a text", `"x" == status`},
		{`latency < 2`, "a span of time has a unit, such as 2s or 500ms, and a number has none", `2`},
		{`status < 2s`, "a span of time has a unit, such as 2s or 500ms, and a number has none", `2s`},
		{`latency < 2x`, `"2x" is no number and no span of time, such as 2s, 500ms or 1m30s`, `2x`},
		{`json.n < 2s`, "JSON has no spans of time; compare with a number", `2s`},
		{`body < "x"`, "only numbers and spans of time are less or more; one of the sides is a text", `< "x"`},
		{`body matches '('`, "the regular expression can't be used: error parsing regexp: missing closing ): `(`", `'('`},
		{`body matches '(.{900}){1}'`, "the regular expression can't be used: it is too large", `'(.{900}){1}'`},
		{`body matches 5`, "write the regular expression as a text, such as '^OK'", `5`},
		{`status matches '2..'`, "status is a number; only a text matches", `matches '2..'`},
		{`status contains 2`, "status is a number, which contains nothing", `contains 2`},
		{`body contains 2`, "body contains texts; this is a number", `2`},
		{`"x" contains body`, "write what is looked at before contains, such as body", `"x" contains body`},
		{`status in 200`, "write a list, such as [200, 204]", `200`},
		{`status in ["a"]`, "status is a number, and this is a text", `["a"]`},
		{`status in [200 204]`, "'2' stands where a comma or a closing bracket should", `204]`},
		{`status in [status]`, "a list has texts, numbers and spans of time", `status]`},
		{`dns.answer == "192.0.2.7"`, "dns.answer is a list; use contains, or len(…)", `"192.0.2.7"`},
		{`1 == 1`, "both sides are the same at each check; name what is to be compared, such as status", `1 == 1`},
		{`json.a == json.b[*]`, "write the path with [*] before ==", `json.b[*]`},
		{`header == "x"`, `name one header, as in header.content-type or header["Content-Type"]`, `header == "x"`},
		{`json.a[ == 1`, "'=' stands where something to compare should", `== 1`},
		{`json.a[1.5] == 1`, "a place in a list is a whole number", `1.5] == 1`},
		{`json. == 1`, "'=' stands where a name after the point should", `== 1`},
		{`(status == 200`, "it ends where a closing parenthesis should stand", ``},
		{`status == "200`, `the quotes aren't closed, or have a \ without a meaning; between single quotes it has none`, `"200`},
		{`json.حالة = "سليم"`, "write == for =", `= "سليم"`},
		{"status == 200\nstatus", "'s' stands where &&, || or the end should", "status"},
		{strings.Repeat(" ", 1001), "the condition is longer than 1000 bytes", " "},
	} {
		_, err := Compile(c.text)
		wrong, ok := errors.AsType[*Error](err)
		if !ok || wrong.Message != c.message || c.text[wrong.At:] != c.place {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func TestTheCaretIsUnderThePlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`latency < 2`: "a span of time has a unit, such as 2s or 500ms, and a number has none\n" +
			"    latency < 2\n" +
			"              ^",
		"json.حالة\t= 1": "write == for =\n" +
			"    json.حالة = 1\n" +
			"              ^",
		strings.Repeat("(", 100) + "x": `there is no "x"; there are ` + known() + "\n" +
			"    …" + strings.Repeat("(", 60) + "x\n" +
			"    " + strings.Repeat(" ", 61) + "^",
	} {
		if _, err := Compile(text); err == nil || err.Error() != want {
			t.Errorf("got\n%v\ninstead of\n%s", err, want)
		}
	}
}

func TestAConditionKnowsWhatItIsAbout(t *testing.T) {
	t.Parallel()
	c, err := Compile(`status == 200 || len(json.a) > 1`)
	if err != nil || !slices.Equal(c.Subjects(), []Subject{Status, JSON}) || c.String() != `status == 200 || len(json.a) > 1` {
		t.Errorf("%v: %+v", err, c)
	}
}

func FuzzCompile(f *testing.F) {
	for _, text := range corpus {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Compile(text)
		if err == nil {
			c.Evaluate(seen())
			c.Evaluate(&Observation{})
			if again, err := Compile(c.String()); err != nil || again.Evaluate(seen()) != c.Evaluate(seen()) {
				t.Errorf("%q isn't the same twice", text)
			}
			return
		}
		wrong, ok := errors.AsType[*Error](err)
		if !ok || wrong.At < 0 || wrong.At > len(text) || wrong.Message == "" {
			t.Fatalf("%q: %#v", text, err)
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) < 3 || utf8.RuneCountInString(lines[len(lines)-1]) > utf8.RuneCountInString(lines[len(lines)-2])+1 {
			t.Errorf("%q: the caret is beside the text:\n%v", text, err)
		}
	})
}

// corpus are conditions of each form.
var corpus = []string{
	`status == 200`, `json.status == "healthy"`, `latency < 2s`, `certificate.days > 14`, `status in [200, 204]`, `!(body contains "x")`,
	`header["A"] matches '^a+$' || json.a[0][-1]["b"][*].c != null && len(dns.answer) >= 1`, `"\`, `json[`, `((((`, `json.ok`, `1e9 < json.a`, `null == json`,
}

func FuzzEvaluate(f *testing.F) {
	for _, body := range []string{`{"a":[{"b":1},{"b":"x"}]}`, `[]`, `null`, `"x"`, `{"a":`, "\xff", `1e308`, `[[[[[[]]]]]]`, `{"a":{"b":{"c":null}}}`} {
		f.Add([]byte(body), "value", int64(200), 1.5, false)
	}
	all := []string{
		`json.a[*].b == 1`, `json[*] == null`, `json[*][*] != "x"`, `json.a.b.c == null`, `json[-1] > 1`, `json contains "x"`, `json matches "x"`, `json in [1, "x", null, true]`,
		`len(json) > 1`, `len(json[*]) > 1`, `json.a == json.b`, `body matches '(a|b)*c'`, `body contains "a"`, `header.x contains "a"`, `status > 1`, `latency < 1s`,
		`certificate.days > 1 || domain.days < 1`, `dns.answer contains "x" && dns.rcode == "x"`,
	}
	var conditions []*Condition
	for _, text := range all {
		c, err := Compile(text)
		if err != nil {
			f.Fatal(err)
		}
		contrary, err := Compile("!(" + text + ")")
		if err != nil {
			f.Fatal(err)
		}
		conditions = append(conditions, c, contrary)
	}
	f.Fuzz(func(t *testing.T, body []byte, value string, n int64, days float64, cut bool) {
		o := &Observation{
			Status: int(n), Latency: time.Duration(n), Header: http.Header{"X": {value}}, Body: body, BodyCut: cut,
			CertificateDays: &days, DomainDays: &days, Answer: []string{value}, Rcode: value,
		}
		for i := 0; i < len(conditions); i += 2 {
			is, isnt := conditions[i].Evaluate(o), conditions[i+1].Evaluate(o)
			if is.Holds && isnt.Holds {
				t.Errorf("%s holds, and so does its contrary, of %q", conditions[i], body)
			}
			for _, v := range []Verdict{is, isnt} {
				if v.Holds != (v.Found == language.Text{}) || len(v.Found.En) > 1000 || strings.ContainsAny(v.Found.En, "\n\x1b") || v.Found.Ar == "" != v.Holds {
					t.Errorf("%s: %+v", conditions[i], v)
				}
			}
		}
	})
}

// The time and memory that an evaluation takes grow with the body, whatever is in both.
func TestEvaluatingIsBounded(t *testing.T) {
	t.Parallel()
	body := []byte("[" + strings.Repeat("[[[[[[[[1]]]]]]]],", 10_000) + "1]")
	started := time.Now()
	for _, text := range []string{
		"json" + strings.Repeat("[*]", 300) + " == 1", `body matches '(x*)*y|(1|\[|\])*z'`, `body matches '([\[\]1,]+)+q'`,
		strings.Repeat("!", 990) + "json.a", strings.Repeat("(", 490) + "json.a" + strings.Repeat(")", 490),
	} {
		if v := evaluate(t, text, &Observation{Body: body}); v.Holds {
			t.Errorf("%s holds", text)
		}
	}
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Many patterns and a long body end when there is no more time, and don't hold by that, negated or not.
func TestPatternsEndInTime(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`body matches 'x'`, `!(body matches 'y')`} {
		o := Observation{Body: []byte("x"), Until: time.Now().Add(time.Hour)}
		if v := evaluate(t, text, &o); !v.Holds {
			t.Errorf("%s doesn't hold in time: %s", text, v.Found.En)
		}
		o.Until = time.Now()
		if v := evaluate(t, text, &o); v.Holds || !strings.Contains(v.Found.En, "too long") {
			t.Errorf("%s: %+v", text, v)
		}
	}
	if v := evaluate(t, "status == 200", &Observation{Status: 200, Until: time.Now()}); !v.Holds {
		t.Errorf("what takes no time: %+v", v)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	for _, text := range []string{`status == 200`, `latency < 2s && certificate.days > 14`, `json.status == "healthy"`, `body contains "healthy"`, `header.content-type matches 'json'`} {
		b.Run(strings.ReplaceAll(text, " ", ""), func(b *testing.B) {
			c, err := Compile(text)
			if err != nil {
				b.Fatal(err)
			}
			kept := *seen()
			b.ReportAllocs()
			for b.Loop() {
				o := kept // each check's result is a new one
				if !c.Evaluate(&o).Holds {
					b.Fatal("it doesn't hold")
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(`json.status == "healthy" && latency < 2s`); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleCompile() {
	_, err := Compile(`status == 200 and latency < 2s`)
	fmt.Println(err)
	// Output:
	// write && for and
	//     status == 200 and latency < 2s
	//                   ^
}
