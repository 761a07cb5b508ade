package incident

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestEveryErrorOfAPlanStandsInArabic goes through what package planned says, as its sources have it.
func TestEveryErrorOfAPlanStandsInArabic(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("planned/planned.go")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`(?:New|Errorf)\("[a-z_]+: ([^"]+)"`).FindAllSubmatch(source, -1)
	for _, found := range said {
		why := regexp.MustCompile(`%[a-z]`).ReplaceAllString(string(found[1]), "7")
		if _, ok := planPhrases.Find(why); !ok {
			t.Errorf("there is no Arabic for %q", why)
		}
	}
	if len(said) < 9 {
		t.Errorf("only %d were found", len(said))
	}
}

// What the library says of a rule is said in Arabic too.
func TestFaultsOfRulesAreToldInTheLanguageOfTheAnswer(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for rule, want := range map[string]string{
		"every Sunday":               "ليست على صورة",
		"FREQ=SOMETIMES":             "لا توجد FREQ هي \u2068SOMETIMES\u2069",
		"FREQ=WEEKLY;BYDAY=XX":       "لا يوجد يوم هو \u2068XX\u2069",
		"FREQ=WEEKLY;BYDAY=":         "لا قيمة في \u2068BYDAY\u2069",
		"FREQ=WEEKLY;ON=SU":          "لا توجد خاصية \u2068ON\u2069",
		"INTERVAL=2":                 "تنقصها FREQ",
		"FREQ=DAILY;INTERVAL=-1":     "تكون interval أكبر من 0",
		"FREQ=DAILY;INTERVAL=x":      "عددًا صحيحًا: صيغتها خاطئة",
		"FREQ=MONTHLY;BYMONTHDAY=32": "تكون \u2068bymonthday\u2069 بين \u20681\u2069 و\u206831\u2069 أو بين \u2068-1\u2069 و\u2068-31\u2069",
		"FREQ=YEARLY;BYMONTH=13":     "تكون \u2068bymonth\u2069 بين \u20681\u2069 و\u206812\u2069",
		"FREQ=YEARLY;BYDAY=77MO":     "تكون \u2068byday\u2069 بين",
		"FREQ=DAILY;UNTIL=tomorrow":  "ليس \u2068\\\"TOMORROW\\\"\u2069 وقتًا على الصورة",
	} {
		body := `{"title":"x","starts_at":"2030-01-01T00:00:00Z","ends_at":"2030-01-01T01:00:00Z","rrule":"` + rule + `"}`
		code, answer := r.call(t, "operator", "POST", "/ops/maintenances?lang=ar", body, nil)
		if code != 422 || !strings.Contains(answer, want) || !strings.Contains(answer, "body.rrule") {
			t.Errorf("%s: %d %s", rule, code, answer)
		}
	}
}
