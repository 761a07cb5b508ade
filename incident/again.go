package incident

import (
	"strings"
	"time"

	"manus/language"
)

// How often a work comes again, every time or every other one.
var (
	everyWords = map[string][2]language.Text{
		"DAILY":   {{En: "every day", Ar: "كل يوم"}, {En: "every other day", Ar: "كل يومين"}},
		"WEEKLY":  {{En: "every week", Ar: "كل أسبوع"}, {En: "every other week", Ar: "كل أسبوعين"}},
		"MONTHLY": {{En: "every month", Ar: "كل شهر"}, {En: "every other month", Ar: "كل شهرين"}},
		"YEARLY":  {{En: "every year", Ar: "كل سنة"}, {En: "every other year", Ar: "كل سنتين"}},
	}
	dayWords = map[string]language.Text{
		"MO": {En: "Mondays", Ar: "الاثنين"}, "TU": {En: "Tuesdays", Ar: "الثلاثاء"}, "WE": {En: "Wednesdays", Ar: "الأربعاء"}, "TH": {En: "Thursdays", Ar: "الخميس"},
		"FR": {En: "Fridays", Ar: "الجمعة"}, "SA": {En: "Saturdays", Ar: "السبت"}, "SU": {En: "Sundays", Ar: "الأحد"},
	}
	againWords = language.Text{En: "comes again", Ar: "تتكرر"}
	endedWords = language.Text{En: "does not come again", Ar: "لن تتكرر"}
)

// Again says in words by which rule a maintenance comes again; empty for one that doesn't. What
// has no words here is said to come again.
func (m Maintenance) Again() language.Text {
	switch {
	case m.Rule == "":
		return language.Text{}
	case !m.CancelledAt.IsZero():
		return endedWords
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(strings.ToUpper(m.Rule), ";") {
		name, value, _ := strings.Cut(part, "=")
		parts[name] = value
	}
	said, ok := ruleWords(parts)
	if !ok {
		return againWords
	}
	if m.Zone != "" && m.Zone != time.UTC.String() {
		said.En += ", by the clocks of " + m.Zone
		said.Ar += "، بتوقيت " + language.Arabic.Isolate(m.Zone)
	}
	return said
}

// ruleWords are those of a rule's parts; false where there are others than are known here.
func ruleWords(parts map[string]string) (said language.Text, ok bool) {
	every, ok := everyWords[parts["FREQ"]]
	for name := range parts {
		ok = ok && (name == "FREQ" || name == "INTERVAL" || name == "WKST" || name == "COUNT" || name == "UNTIL" || name == "BYDAY" && parts["FREQ"] == "WEEKLY")
	}
	switch parts["INTERVAL"] {
	case "", "1":
		said = every[0]
	case "2":
		said = every[1]
	default:
		ok = false
	}
	var days []language.Text
	for day := range strings.SplitSeq(parts["BYDAY"], ",") {
		if name, is := dayWords[day]; is {
			days = append(days, name)
		}
	}
	for i, day := range days {
		by, byAr := ", ", " و"
		switch i {
		case 0:
			by, byAr = " on ", " يوم "
		case len(days) - 1:
			by = " and "
		}
		said.En, said.Ar = said.En+by+day.En, said.Ar+byAr+day.Ar
	}
	return said, ok
}
