package incident

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"manus/language"
)

// How often a work comes again, and on which days.
var (
	everyWords = map[string]language.Plural{
		"DAILY": {
			En: language.Forms{One: "every day", Other: "every # days"},
			Ar: language.Forms{One: "كل يوم", Two: "كل يومين", Few: "كل # أيّام", Many: "كل # يومًا", Other: "كل # يوم"},
		},
		"WEEKLY": {
			En: language.Forms{One: "every week", Other: "every # weeks"},
			Ar: language.Forms{One: "كل أسبوع", Two: "كل أسبوعين", Few: "كل # أسابيع", Many: "كل # أسبوعًا", Other: "كل # أسبوع"},
		},
		"MONTHLY": {
			En: language.Forms{One: "every month", Other: "every # months"},
			Ar: language.Forms{One: "كل شهر", Two: "كل شهرين", Few: "كل # أشهر", Many: "كل # شهرًا", Other: "كل # شهر"},
		},
		"YEARLY": {
			En: language.Forms{One: "every year", Other: "every # years"},
			Ar: language.Forms{One: "كل سنة", Two: "كل سنتين", Few: "كل # سنوات", Many: "كل # سنة", Other: "كل # سنة"},
		},
	}
	dayWords = map[string]language.Text{
		"MO": {En: "Monday", Ar: "الاثنين"}, "TU": {En: "Tuesday", Ar: "الثلاثاء"}, "WE": {En: "Wednesday", Ar: "الأربعاء"}, "TH": {En: "Thursday", Ar: "الخميس"},
		"FR": {En: "Friday", Ar: "الجمعة"}, "SA": {En: "Saturday", Ar: "السبت"}, "SU": {En: "Sunday", Ar: "الأحد"},
	}
	placeWords = map[string]language.Text{
		"1": {En: "first", Ar: "الأوّل"}, "2": {En: "second", Ar: "الثاني"}, "3": {En: "third", Ar: "الثالث"}, "4": {En: "fourth", Ar: "الرابع"}, "5": {En: "fifth", Ar: "الخامس"}, "-1": {En: "last", Ar: "الأخير"},
	}
	timesWords = language.Plural{
		En: language.Forms{One: "once", Other: "# times"},
		Ar: language.Forms{One: "مرّة واحدة", Two: "مرّتين", Few: "# مرّات", Many: "# مرّة", Other: "# مرّة"},
	}
	againWords = language.Text{En: "comes again", Ar: "تتكرر"}
	endedWords = language.Text{En: "does not come again", Ar: "لن تتكرر"}
)

// Again says in words by which rule a maintenance comes again; empty for one that doesn't. What
// has no words here is said to come again, with its end.
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
	said, known := ruleWords(parts)
	if !known {
		said = againWords
	}
	said = joinTexts(said, endWords(parts, m.Zone))
	if known && m.Zone != "" && m.Zone != time.UTC.String() {
		said.En += ", by the clocks of " + m.Zone
		said.Ar += "، بتوقيت " + language.Arabic.Isolate(m.Zone)
	}
	return said
}

// joinTexts is one text behind another.
func joinTexts(said, more language.Text) language.Text {
	return language.Text{En: said.En + more.En, Ar: said.Ar + more.Ar}
}

// ruleWords are those of a rule's parts but its end; false where there are others than are known here.
func ruleWords(parts map[string]string) (said language.Text, known bool) {
	every, known := everyWords[parts["FREQ"]]
	for name := range parts {
		known = known && slices.Contains([]string{"FREQ", "INTERVAL", "WKST", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY"}, name)
	}
	interval := 1
	if text := parts["INTERVAL"]; text != "" {
		n, err := strconv.Atoi(text)
		interval, known = n, known && err == nil && n > 0
	}
	if !known {
		return said, false
	}
	said = language.Both(func(tag language.Tag) string { return every.In(tag, interval) })
	days, known := daysOf(parts)
	return joinTexts(said, days), known
}

// daysOf are the days of a rule in words, empty where it names none.
func daysOf(parts map[string]string) (said language.Text, known bool) {
	var days []language.Text
	by, monthDays := parts["BYDAY"], parts["BYMONTHDAY"]
	switch {
	case by == "" && monthDays == "":
		return said, true
	case by != "" && monthDays != "":
		return said, false
	case by != "" && parts["FREQ"] == "WEEKLY":
		said, known = language.Text{En: " on ", Ar: " يوم "}, true
		for name := range strings.SplitSeq(by, ",") {
			day := dayWords[name]
			days = append(days, language.Text{En: day.En + "s", Ar: day.Ar})
			known = known && day != language.Text{}
		}
	case by != "" && parts["FREQ"] == "MONTHLY":
		said, known = language.Text{En: " on the ", Ar: " يوم "}, true
		for name := range strings.SplitSeq(by, ",") {
			at := max(0, len(name)-2)
			day, place := dayWords[name[at:]], placeWords[strings.TrimPrefix(name[:at], "+")]
			days = append(days, language.Text{En: place.En + " " + day.En, Ar: day.Ar + " " + place.Ar})
			known = known && day != language.Text{} && place != language.Text{}
		}
	case parts["FREQ"] == "MONTHLY":
		said, known = language.Text{En: " on ", Ar: " في "}, true
		for name := range strings.SplitSeq(monthDays, ",") {
			day := language.Text{En: "day " + name, Ar: "اليوم " + name}
			if name == "-1" {
				day = language.Text{En: "the last day", Ar: "اليوم الأخير"}
			}
			n, err := strconv.Atoi(name)
			days = append(days, day)
			known = known && err == nil && (n > 0 || n == -1)
		}
	}
	return joinTexts(said, listed(days)), known
}

// listed is a list of days in a sentence.
func listed(days []language.Text) (said language.Text) {
	for i, day := range days {
		by := language.Text{En: ", ", Ar: " و"}
		switch i {
		case 0:
			by = language.Text{}
		case len(days) - 1:
			by.En = " and "
		}
		said = joinTexts(said, joinTexts(by, day))
	}
	return said
}

// endWords are of how often or until when it comes; empty where that isn't said.
func endWords(parts map[string]string, zone string) (said language.Text) {
	if n, err := strconv.Atoi(parts["COUNT"]); err == nil {
		said = language.Text{En: ", " + timesWords.In(language.English, n), Ar: "، " + timesWords.In(language.Arabic, n)}
	}
	place, err := time.LoadLocation(zone)
	if err != nil {
		place = time.UTC
	}
	for _, layout := range []string{"20060102T150405Z", "20060102T150405", "20060102"} {
		if until, err := time.Parse(layout, parts["UNTIL"]); err == nil {
			if strings.HasSuffix(layout, "Z") {
				until = until.In(place)
			}
			return joinTexts(said, language.Text{En: ", until " + language.English.Date(until), Ar: "، حتى " + language.Arabic.Date(until)})
		}
	}
	return said
}
