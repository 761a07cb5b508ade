package language

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
	cldr "golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// arabicDigits are 0 to 9 in Arabic too, as CLDR has it for "ar" since version 46:
// every reader knows them, while ٠ to ٩ are the custom of some countries, which
// "ar" doesn't name. x/text, at version 32, has to be told.
var arabicDigits = cldr.MustParse("ar-u-nu-latn")

func (t Tag) cldr() cldr.Tag {
	if t == Arabic {
		return arabicDigits
	}
	return cldr.English
}

// Number is a number as it is written in the language: 1,234.5. The options are
// those of x/text, such as how many digits are shown.
func (t Tag) Number(n any, options ...number.Option) string {
	return message.NewPrinter(t.cldr()).Sprint(number.Decimal(n, options...))
}

// Plural is a text about a number of things, in each form that a language has for
// numbers: English two, Arabic six.
type Plural struct{ En, Ar Forms }

// Forms are the forms by CLDR's names; one that is empty is as Other. Zero is for none in
// both languages. In each of them # stands for the number.
type Forms struct{ Zero, One, Two, Few, Many, Other string }

// Events are so many events, as more than one room counts them.
var Events = Plural{
	En: Forms{One: "# event", Other: "# events"},
	Ar: Forms{Zero: "لا أحداث", One: "حدث واحد", Two: "حدثان", Few: "# أحداث", Many: "# حدثًا", Other: "# حدث"},
}

// In is the text about n things. There are never fewer than none.
func (p Plural) In(tag Tag, n int) string {
	n = max(n, 0)
	forms := p.En
	if tag == Arabic {
		forms = p.Ar
	}
	form := plural.Cardinal.MatchPlural(tag.cldr(), n, 0, 0, 0, 0)
	if n == 0 {
		form = plural.Zero // also in English, for which CLDR has none
	}
	return strings.ReplaceAll(forms.of(form), "#", tag.Number(n))
}

func (f Forms) of(form plural.Form) string {
	text := map[plural.Form]string{plural.Zero: f.Zero, plural.One: f.One, plural.Two: f.Two, plural.Few: f.Few, plural.Many: f.Many}[form]
	return cmp.Or(text, f.Other)
}

// months are the names of a year's months. The Arabic ones are CLDR's for "ar".
var months = [...]Text{
	{"January", "يناير"}, {"February", "فبراير"}, {"March", "مارس"}, {"April", "أبريل"},
	{"May", "مايو"}, {"June", "يونيو"}, {"July", "يوليو"}, {"August", "أغسطس"},
	{"September", "سبتمبر"}, {"October", "أكتوبر"}, {"November", "نوفمبر"}, {"December", "ديسمبر"},
}

// Date is the day of a moment, where that moment's clock stands: 31 July 2026.
// With its month in words it is read alike wherever its reader is from. In text of
// the other direction it is to be isolated.
func (t Tag) Date(at time.Time) string {
	return fmt.Sprintf("%d %s %d", at.Day(), months[at.Month()-1].In(t), at.Year())
}

// Moment is a moment to the minute, in UTC. As a date it is to be isolated.
func (t Tag) Moment(at time.Time) string { return t.MomentIn(at, time.UTC) }

// MomentIn is a moment to the minute, by the clock of a zone. As a date it is to be
// isolated.
func (t Tag) MomentIn(at time.Time, zone *time.Location) string {
	at = at.In(zone)
	return t.dayAndTime(at) + " " + t.clock(at)
}

// ClockIn is the time of day at a moment to the second, in a time zone. It is to be isolated.
func (t Tag) ClockIn(at time.Time, zone *time.Location) string {
	at = at.In(zone)
	return at.Format(time.TimeOnly) + " " + t.clock(at)
}

// Between is a span of time to the minute, in UTC. Of one that ends on the day on which it begins, the day
// is said once. As a date it is to be isolated.
func (t Tag) Between(from, until time.Time) string {
	from, until = from.UTC(), until.UTC()
	if t.Date(from) != t.Date(until) {
		return t.Moment(from) + " – " + t.Moment(until)
	}
	return t.dayAndTime(from) + until.Format(" – 15:04 ") + t.clock(until)
}

func (t Tag) dayAndTime(at time.Time) string {
	return t.Date(at) + at.Format(Text{En: ", 15:04", Ar: "، الساعة 15:04"}.In(t))
}

// clock is by whose clocks a moment is.
func (t Tag) clock(at time.Time) string {
	if at.Location() == time.UTC {
		return Text{En: "UTC", Ar: "بالتوقيت العالمي"}.In(t)
	}
	return Text{En: at.Format("MST"), Ar: "بتوقيت " + at.Location().String()}.In(t)
}

// units are what a duration is told in, the largest first.
var units = []struct {
	length    time.Duration
	name, ago Plural
}{
	{24 * time.Hour, Plural{Forms{One: "# day", Other: "# days"}, Forms{One: "يوم", Two: "يومان", Few: "# أيّام", Many: "# يومًا", Other: "# يوم"}},
		Plural{Forms{One: "# day ago", Other: "# days ago"}, Forms{One: "قبل يوم", Two: "قبل يومين", Few: "قبل # أيّام", Many: "قبل # يومًا", Other: "قبل # يوم"}}},
	{time.Hour, Plural{Forms{One: "# hour", Other: "# hours"}, Forms{One: "ساعة", Two: "ساعتان", Few: "# ساعات", Many: "# ساعة", Other: "# ساعة"}},
		Plural{Forms{One: "# hour ago", Other: "# hours ago"}, Forms{One: "قبل ساعة", Two: "قبل ساعتين", Few: "قبل # ساعات", Many: "قبل # ساعة", Other: "قبل # ساعة"}}},
	{time.Minute, Plural{Forms{One: "# minute", Other: "# minutes"}, Forms{One: "دقيقة", Two: "دقيقتان", Few: "# دقائق", Many: "# دقيقة", Other: "# دقيقة"}},
		Plural{Forms{One: "# minute ago", Other: "# minutes ago"}, Forms{One: "قبل دقيقة", Two: "قبل دقيقتين", Few: "قبل # دقائق", Many: "قبل # دقيقة", Other: "قبل # دقيقة"}}},
	{time.Second, Plural{Forms{Zero: "less than a second", One: "# second", Other: "# seconds"}, Forms{Zero: "أقلّ من ثانية", One: "ثانية", Two: "ثانيتان", Few: "# ثوانٍ", Many: "# ثانية", Other: "# ثانية"}},
		Plural{Forms{Zero: "now", One: "# second ago", Other: "# seconds ago"}, Forms{Zero: "الآن", One: "قبل ثانية", Two: "قبل ثانيتين", Few: "قبل # ثوانٍ", Many: "قبل # ثانية", Other: "قبل # ثانية"}}},
}

// Ago is how long before now something was, in its largest whole unit: 2 days ago.
func (t Tag) Ago(d time.Duration) string {
	unit := units[len(units)-1]
	for _, larger := range units {
		if d >= larger.length {
			unit = larger
			break
		}
	}
	return unit.ago.In(t, int(d/unit.length))
}

// Duration is how long something takes, in its two largest units: 2 days 3 hours. What is
// less than a second is that.
func (t Tag) Duration(d time.Duration) string {
	d = max(d, 0)
	var parts []string
	for i, unit := range units {
		n := int(d / unit.length)
		d -= time.Duration(n) * unit.length
		if n > 0 || i == len(units)-1 && len(parts) == 0 {
			parts = append(parts, unit.name.In(t, n))
		}
		if len(parts) > 0 && (len(parts) == 2 || n == 0) {
			break
		}
	}
	return strings.Join(parts, Text{En: " ", Ar: " و"}.In(t))
}

// Took is how long something has taken that is soon done: 12.7 ms, 1.25 s.
func (t Tag) Took(d time.Duration) string {
	if d = max(d, 0); d < time.Second {
		return t.Number(float64(d.Round(time.Millisecond/10))/float64(time.Millisecond)) + Text{En: " ms", Ar: " ملّي ثانية"}.In(t)
	}
	return t.Number(d.Round(10*time.Millisecond).Seconds()) + Text{En: " s", Ar: " ث"}.In(t)
}
