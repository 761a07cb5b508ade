package errtrack

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"manus/errtrack/event"
	"manus/internal/words"
	"manus/language"
)

// query is what a text asks of issues, in Sentry's form
// (https://docs.sentry.io/concepts/search/). All of it has to hold.
type query struct {
	statuses []Status           // one of them
	terms    []term             // what the issue is found by
	tests    []func(Issue) bool // of the issue itself
	keys     []string           // of tags that are asked for
}

// term are words that an issue is found by, all of them; or it is none that is.
type term struct {
	words []word
	not   bool
}

// word is one of what issues are found by, or how some of these begin.
type word struct {
	text   string
	prefix bool
}

// part is one of a query as it is written: a text, or a key's value.
type part struct {
	not, hasKey, quoted bool
	key, value          string
}

// Bounds of a search.
const (
	maxQuery = 500
	maxTerms = 20
)

// searchable is what a query may have, for whoever wrote another.
var searchable = language.Text{
	En: "What can be searched: words; tag:value with any tag; release:, environment:, transaction:, level:, is:unresolved, resolved, ignored, assigned or unassigned, has:tag, assigned:name, " +
		"error.type:, message:, firstRelease:, timesSeen:>10, usersSeen:>10, firstSeen:-24h, lastSeen:>2026-01-31, age:+7d; ! before it for those without, * behind a value for anything, quotes around what has spaces.",
	Ar: "ما يمكن البحث به: الكلمات؛ و tag:value بأي وسم؛ و release:\u200e و environment:\u200e و transaction:\u200e و level:\u200e و is:\u200e مع unresolved أو resolved أو ignored أو assigned أو unassigned، و has:tag و assigned:name و " +
		"error.type:\u200e و message:\u200e و firstRelease:\u200e و timesSeen:>10 و usersSeen:>10 و firstSeen:-24h و lastSeen:>2026-01-31 و age:+7d؛ وقبلها ! للنفي، و * بعد القيمة لأي شيء، وعلامتا اقتباس حول ما فيه مسافات.",
}

// wrongQuery is an ErrInvalid that tells what can be searched.
func wrongQuery(en, ar string) error {
	return invalid("query.query", en+" "+searchable.En, ar+" "+searchable.Ar)
}

// readQuery reads a query. Every error is an ErrInvalid.
func readQuery(text string, now time.Time) (q query, err error) {
	if utf8.RuneCountInString(text) > maxQuery {
		return q, invalid("query.query", "A query has at most "+words.Count(maxQuery, "character")+".", fmt.Sprintf("أقصى طول للاستعلام بالأحرف: %d.", maxQuery))
	}
	parts, err := partsOf(text)
	if err != nil {
		return q, err
	}
	if slices.ContainsFunc(parts, func(p part) bool { return !p.hasKey && !p.quoted && (p.value == "OR" || p.value == "AND") }) {
		return q, wrongQuery("OR and AND can't be searched by: all of a query has to hold.", "لا يمكن البحث بـ OR و AND: لا بد من تحقق كل ما في الاستعلام.")
	}
	q.statuses = Statuses
	for _, p := range parts {
		if err := q.add(p, now); err != nil {
			return q, err
		}
	}
	asked := len(q.tests)
	for _, t := range q.terms {
		asked += len(t.words)
	}
	if asked > maxTerms {
		return q, invalid("query.query", "A query has at most "+words.Count(maxTerms, "word")+".", fmt.Sprintf("أقصى عدد لكلمات الاستعلام: %d.", maxTerms))
	}
	return q, nil
}

// partsOf takes a query apart at spaces that stand in no quotes.
func partsOf(text string) (parts []part, err error) {
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		var p part
		rest, p.not = strings.CutPrefix(rest, "!")
		open, i, said := false, 0, []byte{}
		for ; i < len(rest) && (open || !strings.ContainsRune(" \t\r\n", rune(rest[i]))); i++ {
			switch c := rest[i]; {
			case c == '\\' && open && i+1 < len(rest):
				i++
				said = append(said, rest[i])
			case c == '"':
				open, p.quoted = !open, true
			case c == ':' && !p.quoted && !p.hasKey && i > 0:
				p.key, p.hasKey, said = string(said), true, said[:0]
			default:
				said = append(said, c)
			}
		}
		if open {
			return nil, wrongQuery("A quote has no end.", "علامة اقتباس بلا نهاية.")
		}
		p.value, rest = string(said), rest[i:]
		parts = append(parts, p)
	}
	return parts, nil
}

// add has a part asked for too.
func (q *query) add(p part, now time.Time) error {
	if !p.hasKey {
		return q.addText(p)
	}
	if p.value == "" && !p.quoted {
		return wrongQuery("There is no value after a colon.", "لا قيمة بعد نقطتين.")
	}
	if err := p.unknown(); err != nil {
		return err
	}
	switch key := strings.ToLower(strings.ReplaceAll(p.key, "_", "")); key {
	case "is":
		return q.addIs(p)
	case "has":
		return q.addHas(p)
	case "level":
		return q.addLevel(p)
	case "assigned":
		return q.addField(p, func(i Issue) string { return cmp.Or(i.Assignee, "none") })
	case "firstrelease":
		return q.addField(p, func(i Issue) string { return i.FirstRelease })
	case "error.type":
		return q.addField(p, func(i Issue) string { return i.Type })
	case "message", "title", "error.value", "stack.function", "stack.filename", "stack.module":
		return q.addText(p)
	case "timesseen":
		return q.addNumber(p, func(i Issue) int64 { return i.Count })
	case "usersseen":
		return q.addNumber(p, func(i Issue) int64 { return i.Users })
	case "firstseen", "age":
		return q.addTime(p, now, func(i Issue) time.Time { return i.FirstSeen.Time })
	case "lastseen":
		return q.addTime(p, now, func(i Issue) time.Time { return i.LastSeen.Time })
	}
	return q.addTag(p)
}

// unknown returns an ErrInvalid for a value that Sentry finds others by, and that no issue here
// has; in quotes it is as any other.
func (p part) unknown() error {
	switch key := strings.ToLower(strings.ReplaceAll(p.key, "_", "")); {
	case p.quoted:
	case strings.HasPrefix(p.value, "["):
		return wrongQuery("Lists of values can't be searched by: search for each value by itself.", "لا يمكن البحث بقائمة من القيم: ابحث بكل قيمة وحدها.")
	case key == "assigned" && (p.value == "me" || p.value == "my_teams"):
		return wrongQuery("assigned: takes the name that was written there, or none: it isn't known who you are.", "تأخذ assigned:\u200e الاسم كما كُتب، أو none: لا يُعرف من أنت.")
	case (key == "release" || key == "firstrelease") && p.value == "latest":
		return wrongQuery(p.key+": takes the name of a release: which one is the latest can't be searched by.", "هنا يُنتظر اسم إصدار: لا يمكن البحث بأحدث إصدار.")
	}
	return nil
}

// beginning is a value without the "*" at its end, and whether it had one.
func (p part) beginning() (value string, prefix bool, err error) {
	value = p.value
	if !p.quoted {
		value, prefix = strings.CutSuffix(p.value, "*")
		if strings.Contains(value, "*") {
			return "", false, wrongQuery("A * may stand behind a value, not before it or within.", "لا تكون * إلا بعد القيمة، لا قبلها ولا في وسطها.")
		}
	}
	return value, prefix, nil
}

// addText asks for words. A "*" before one isn't looked at: parts of names are words
// themselves, and types of Go begin with one.
func (q *query) addText(p part) error {
	if !p.quoted {
		p.value = strings.TrimLeft(p.value, "*")
	}
	value, prefix, err := p.beginning()
	if err != nil {
		return err
	}
	t := term{not: p.not}
	all := strings.FieldsFunc(value, isBetweenWords)
	for i, one := range all {
		begins := prefix && i == len(all)-1 && strings.HasSuffix(value, one)
		switch {
		case len(one) > maxWord:
			return wrongQuery("A word has at most "+words.Count(maxWord, "letter")+".", fmt.Sprintf("أقصى طول للكلمة: %d.", maxWord))
		case len(one) >= minWord || begins:
			t.words = append(t.words, word{ofText + strings.ToLower(one), begins})
		}
	}
	if len(t.words) == 0 {
		return wrongQuery("A word has at least "+words.Count(minWord, "letter")+".", "الكلمة حرفان على الأقل.")
	}
	q.terms = append(q.terms, t)
	return nil
}

// addTag asks for a tag's value, which may also be written as tags[name]:value. None is
// those that don't have it.
func (q *query) addTag(p part) error {
	if name, ok := strings.CutPrefix(p.key, "tags["); ok {
		p.key = strings.TrimSuffix(name, "]")
	}
	q.keys = append(q.keys, p.key)
	value, prefix, err := p.beginning()
	if err != nil {
		return err
	}
	if value == "" { // key:"" has it nowhere, key:* somewhere
		prefix, p.not = true, p.not != p.quoted
	}
	q.terms = append(q.terms, term{[]word{{tagWord(tag{p.key, value}), prefix}}, p.not})
	return nil
}

func (q *query) addHas(p part) error {
	switch p.value {
	case "user":
		q.test(p.not, func(i Issue) bool { return i.Users > 0 })
		return nil
	case "assignee", "assigned":
		q.test(p.not, func(i Issue) bool { return i.Assignee != "" })
		return nil
	}
	return q.addTag(part{not: p.not, key: p.value, value: "*"})
}

func (q *query) test(not bool, holds func(Issue) bool) {
	q.tests = append(q.tests, func(i Issue) bool { return holds(i) != not })
}

func (q *query) addIs(p part) error {
	status := Status(strings.ToLower(p.value))
	switch status {
	case "archived": // as Sentry calls it
		status = Ignored
	case "assigned", "unassigned":
		q.test(p.not, func(i Issue) bool { return (i.Assignee != "") == (status == "assigned") })
		return nil
	}
	if !slices.Contains(Statuses, status) {
		return wrongQuery("is: takes unresolved, resolved, ignored, assigned and unassigned.", "تأخذ is:\u200e واحدة من: unresolved و resolved و ignored و assigned و unassigned.")
	}
	q.statuses = slices.DeleteFunc(slices.Clone(q.statuses), func(s Status) bool { return (s == status) == p.not })
	return nil
}

func (q *query) addLevel(p part) error {
	level := event.Level(strings.ToLower(p.value))
	if !slices.Contains(event.Levels, level) {
		return wrongQuery("level: takes debug, info, warning, error and fatal.", "تأخذ level:\u200e واحدة من: debug و info و warning و error و fatal.")
	}
	q.test(p.not, func(i Issue) bool { return i.Level == level })
	return nil
}

// addField asks for a text of the issue's.
func (q *query) addField(p part, of func(Issue) string) error {
	value, prefix, err := p.beginning()
	value = strings.ToLower(value)
	q.test(p.not, func(i Issue) bool {
		has := strings.ToLower(of(i))
		return has == value || prefix && strings.HasPrefix(has, value)
	})
	return err
}

// compared is a value without the comparison before it, and that.
func (p part) compared() (value string, holds func(order int) bool) {
	for _, by := range []struct {
		sign  string
		holds func(order int) bool
	}{
		{">=", func(order int) bool { return order >= 0 }}, {"<=", func(order int) bool { return order <= 0 }},
		{">", func(order int) bool { return order > 0 }}, {"<", func(order int) bool { return order < 0 }},
	} {
		if value, ok := strings.CutPrefix(p.value, by.sign); ok {
			return value, by.holds
		}
	}
	return p.value, nil
}

func (q *query) addNumber(p part, of func(Issue) int64) error {
	value, holds := p.compared()
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return wrongQuery(p.key+": takes a number, also as >10, >=10, <10 or <=10.", "هنا يُنتظر عدد، أو مثل \u200e>10 و \u200e>=10 و \u200e<10 و \u200e<=10.")
	}
	if holds == nil {
		holds = func(order int) bool { return order == 0 }
	}
	q.test(p.not, func(i Issue) bool { return holds(cmp.Compare(of(i), n)) })
	return nil
}

const day = 24 * time.Hour

// addTime asks for a time: -24h is within the last 24 hours, +24h longer ago.
func (q *query) addTime(p part, now time.Time, of func(Issue) time.Time) error {
	value, holds := p.compared()
	wrong := wrongQuery(p.key+": takes -24h for the last 24 hours, +7d for longer ago than that, or a date as 2026-01-31, >2026-01-31T12:00:00 or <=2026-01-31.",
		"هنا يُنتظر \u200e-24h لآخر 24 ساعة، أو \u200e+7d لما قبلها، أو تاريخ مثل 2026-01-31 أو \u200e>2026-01-31T12:00:00.")
	if holds == nil && value != "" && (value[0] == '-' || value[0] == '+') {
		ago, err := words.ReadSpan(value[1:])
		if err != nil {
			return wrong
		}
		within, at := value[0] == '-', now.Add(-ago)
		q.test(p.not, func(i Issue) bool { return of(i).Before(at) != within })
		return nil
	}
	for _, layout := range []struct {
		form string
		is   time.Duration // how long a time of this form is
	}{{time.DateOnly, day}, {"2006-01-02T15:04:05", time.Second}, {time.RFC3339, time.Second}} {
		at, err := time.Parse(layout.form, value)
		if err != nil {
			continue
		}
		q.test(p.not, func(i Issue) bool {
			if holds == nil {
				return !of(i).Before(at) && of(i).Before(at.Add(layout.is))
			}
			return holds(of(i).Compare(at))
		})
		return nil
	}
	return wrong
}
