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

// Forms are the forms by CLDR's names; one that is empty is as Other. In each of
// them # stands for the number.
type Forms struct{ Zero, One, Two, Few, Many, Other string }

// In is the text about n things. There are never fewer than none.
func (p Plural) In(tag Tag, n int) string {
	n = max(n, 0)
	forms := p.En
	if tag == Arabic {
		forms = p.Ar
	}
	form := plural.Cardinal.MatchPlural(tag.cldr(), n, 0, 0, 0, 0)
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
func (t Tag) Moment(at time.Time) string {
	at = at.UTC()
	return Text{
		En: at.Format("2006-01-02 15:04 UTC"),
		Ar: t.Date(at) + at.Format("، الساعة 15:04 بالتوقيت العالمي"),
	}.In(t)
}
