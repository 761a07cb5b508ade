package uptime

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"manus/internal/guard"
	"manus/uptime/condition"
)

// TestEveryProblemOfAMonitorStandsInArabic goes through what is said of monitors that the API is given,
// as the sources have it. Of conditions that can't be read the place is shown, in English.
func TestEveryProblemOfAMonitorStandsInArabic(t *testing.T) {
	t.Parallel()
	sentence, seen := regexp.MustCompile(`^([a-z_.]*|[a-z_]+(, [a-z_]+)* and [a-z_]+): .*[a-z]{2}`), 0
	elsewhere := []string{"is 7", "list at most 7", "is the same as an earlier monitor's; give each its own"} // what guard says, and what is of manus.yaml alone
	for _, name := range []string{"monitor.go", "definition.go", "heartbeat.go", "quorum.go", "made.go", "probe/prepare.go", "heartbeat/schedule.go", "heartbeat/zone.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			text, ok := n.(*ast.BasicLit)
			if !ok || text.Kind != token.STRING {
				return true
			}
			said, _ := strconv.Unquote(text.Value)
			_, why := fieldOf(regexp.MustCompile(`%[a-z]`).ReplaceAllString(said, "7"))
			if !sentence.MatchString(said) || slices.Contains(elsewhere, why) {
				return true
			}
			seen++
			if _, known := problemPhrases.Find(why); !known {
				if _, known = problemPhrases.Find(why + "7"); !known { // what differs is added to it
					t.Errorf("%s has no Arabic for %q", name, why)
				}
			}
			return true
		})
	}
	for _, err := range []error{guard.ErrPrivate, guard.ErrSpecial, guard.ErrNever} {
		if _, known := problemPhrases.Find("is " + err.Error()); !known {
			t.Errorf("there is no Arabic for %v", err)
		}
	}
	if seen < 40 {
		t.Errorf("only %d were found", seen)
	}
}

// TestEveryErrorOfAConditionStandsInArabic goes through what the parser says, and what its messages
// have in them.
func TestEveryErrorOfAConditionStandsInArabic(t *testing.T) {
	t.Parallel()
	messages := map[string]int{"fail": 1, "unexpected": 0, "Errorf": 0, "New": 0} // which of the arguments it is
	seen := 0
	for _, name := range []string{"condition/parse.go", "condition/evaluate.go", "../internal/cron/cron.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		said := func(text ast.Expr) {
			literal, ok := text.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return
			}
			message, _ := strconv.Unquote(literal.Value)
			if message = regexp.MustCompile(`%[a-z]`).ReplaceAllString(message, "7"); message == "7" || message == "null" || message == "JSON" {
				return
			}
			seen++
			if _, known := problemPhrases.Find(message); !known {
				t.Errorf("%s has no Arabic for %q", name, message)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if called, ok := n.Fun.(*ast.SelectorExpr); ok {
					if i, is := messages[called.Sel.Name]; is && i < len(n.Args) {
						said(n.Args[i])
					}
				}
			case *ast.ValueSpec: // a kind of values
				if of, ok := n.Type.(*ast.Ident); ok && of.Name == "kind" {
					said(n.Values[0])
				}
			}
			return true
		})
	}
	if seen < 45 {
		t.Errorf("only %d were found", seen)
	}
}

// A message is in one language as a whole, and says where in what was sent the fault is.
func TestFaultsOfExpressionsAreToldInTheLanguageOfTheAnswer(t *testing.T) {
	t.Parallel()
	for why, want := range map[string]string{
		problemOf(t, `status = 200`):           "اكتب \u2068==\u2069 مكان \u2068=\u2069، عند المحرف 8 من \u2068status = 200\u2069",
		problemOf(t, `status == 200 &`):        "اكتب \u2068&&\u2069 مكان \u2068&\u2069، عند المحرف 15 من \u2068status == 200 &\u2069",
		problemOf(t, `latency < 2`):            "للمدّة وحدة، مثل 2s أو 500ms، وليس للعدد وحدة، عند المحرف 11 من \u2068latency < 2\u2069",
		problemOf(t, `status contains 2`):      "القيمة \u2068status\u2069 عدد، ولا تحتوي على شيء، عند المحرف 8 من \u2068status contains 2\u2069",
		problemOf(t, `len(body`):               "ينتهي الشرط حيث يُنتظر قوس الإغلاق )، عند المحرف 9 من \u2068len(body\u2069",
		problemOf(t, "body matches '(\n\n a'"): "لا يصلح هذا التعبير النمطي: ينقص قوس الإغلاق ): \u2068(\n\n a\u2069، عند المحرف 14 من \u2068body matches '( a'\u2069",
		"61 * * * * is no line; it is like":    "قيمة غير مقبولة: \u206861 * * * * is no line; it is like\u2069",
		`"61" is no minute (0-59) as in a crontab; it is like '0 3 * * *', and its time zone stands in timezone`: "ليس جدولًا صالحًا (\u2068\"61\"\u2069 ليس دقيقة (0-59) كما في crontab)؛ يُكتب مثل '0 3 * * *'، ومنطقته الزمنية في timezone",
	} {
		text := problemText(why)
		if text.En != why || text.Ar != want {
			t.Errorf("%s is said as %s", why, text.Ar)
		}
	}
	d := newDesk(t, nil, nil)
	d.does(t, "POST", "?lang=ar", `{"id":"x","type":"http","url":"https://shop.example.com","expect":["status = 200"]}`, 422, "body.expect", "عند المحرف 8 من")
	d.does(t, "POST", "?lang=ar", `{"id":"x","type":"heartbeat","cron":"61 * * * *"}`, 422, "body.cron", "ليس دقيقة (0-59)")
}

func problemOf(t *testing.T, text string) string {
	t.Helper()
	_, err := condition.Compile(text)
	if err == nil {
		t.Fatalf("%s is a condition", text)
	}
	return err.Error()
}
