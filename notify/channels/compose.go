package channels

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strings"
	"unicode"

	"manus/language"
	"manus/notify"
)

// draft is a message whose texts are clean and bounded, and that may have been shortened.
type draft struct {
	notify.Message
	// left is how many of its lines were left out, cut whether its text was shortened.
	left int
}

// Bounds of a draft, in characters. With all of them it is still a mail.
const (
	maxTitle    = 300
	maxText     = 4000
	maxFacts    = 25
	maxFactName = 100
	maxFact     = 500
	maxLines    = 60
	maxLine     = 300
	maxLink     = 900
)

// tidy makes a draft of a message. A link that isn't a web page's address is told as a fact.
func tidy(m notify.Message) draft {
	d := draft{Message: m, left: m.LinesLeft + max(len(m.Lines)-maxLines, 0)}
	d.Title, d.Text = cmp.Or(oneLine(m.Title, maxTitle), oneLine(m.Kind, maxTitle), noText), paragraphs(m.Text, maxText)
	d.Source = dropIsolates(oneLine(m.Source, maxFact))
	d.Facts, d.Lines = nil, nil
	for _, fact := range m.Facts[:min(len(m.Facts), maxFacts)] {
		if value := dropIsolates(oneLine(fact.Value, maxFact)); value != "" {
			d.Facts = append(d.Facts, notify.Fact{Name: oneLine(fact.Name, maxFactName), Value: value})
		}
	}
	for _, line := range m.Lines[:min(len(m.Lines), maxLines)] {
		d.Lines = append(d.Lines, oneLine(line, maxLine))
	}
	for _, l := range d.links() {
		page := asPage(*l.url)
		if page == "" {
			d.Facts = append(d.Facts, notify.Fact{Name: l.name.In(m.Language), Value: dropIsolates(oneLine(*l.url, maxFact))})
		}
		*l.url = page
	}
	return d
}

// noText stands where there is no text: receivers refuse messages that say nothing.
const noText = "-"

// link is a page that a message leads to.
type link struct {
	name language.Text
	url  *string
}

var (
	lookWord        = language.Text{En: "Details", Ar: "التفاصيل"}
	runbookWord     = language.Text{En: "Runbook", Ar: "دليل المعالجة"}
	acknowledgeWord = language.Text{En: "Acknowledge", Ar: "أتولّى الأمر"}
	triedWords      = language.Text{En: "What was tried", Ar: "ما جرت تجربته"}
	holdsWords      = language.Text{En: "What it holds", Ar: "ما تضمّه"}
)

const colon = ": "

// links are those that a draft has.
func (d *draft) links() []link {
	return slices.DeleteFunc([]link{{lookWord, &d.URL}, {runbookWord, &d.Runbook}, {acknowledgeWord, &d.Acknowledge}},
		func(l link) bool { return *l.url == "" })
}

// asPage is the address of a web page as every receiver takes it; empty for what isn't one.
func asPage(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return ""
	}
	address = u.String()
	if len(mrkdwn(address)) > maxLink || strings.ContainsFunc(address, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("<>|\"`\\^{}", c) }) {
		return ""
	}
	return address
}

// Characters of format (Unicode's category Cf), none of which can be seen. Those of direction
// that turn around what comes after them can't stay; of the isolates one mustn't end ours. The
// others that stay are marks of direction, and what joins letters and parts them.
const (
	overrides = "\u202a\u202b\u202c\u202d\u202e"
	isolates  = "\u2066\u2067\u2068\u2069"
	stays     = isolates + "\u200c\u200d\u200e\u200f\u061c"
)

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\t", " ")

// paragraphs is text without what can't be seen, of at most n characters.
func paragraphs(text string, n int) string {
	text = lineEnds.Replace(language.Cut(text, 2*n))
	text = strings.Map(func(c rune) rune {
		if c != '\n' && unicode.IsControl(c) || unicode.Is(unicode.Cf, c) && !strings.ContainsRune(stays, c) {
			return -1
		}
		return c
	}, text)
	text = closed(text)
	for strings.Contains(text, "\n\n\n") {
		text = strings.ReplaceAll(text, "\n\n\n", "\n\n")
	}
	return cut(strings.TrimSpace(text), n, characters, as)
}

// closed is text whose isolates end where they begin: in the same line.
func closed(text string) string {
	if !strings.ContainsAny(text, isolates) {
		return text
	}
	const pop = "\u2069"
	lines := strings.Split(text, "\n")
	for n, line := range lines {
		open := 0
		line = strings.Map(func(c rune) rune {
			switch {
			case !strings.ContainsRune(isolates, c):
			case string(c) != pop:
				open++
			case open == 0:
				return -1
			default:
				open--
			}
			return c
		}, line)
		lines[n] = line + strings.Repeat(pop, open)
	}
	return strings.Join(lines, "\n")
}

// oneLine is text in one line, as paragraphs.
func oneLine(text string, n int) string {
	return cut(strings.Join(strings.Fields(paragraphs(text, 2*n)), " "), n, characters, as)
}

func dropIsolates(text string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(isolates, c) {
			return -1
		}
		return c
	}, text)
}

// How long a text is to a receiver.
func characters(text string) int { return len([]rune(text)) }
func inBytes(text string) int    { return len(text) }

// units are UTF-16's, in which some receivers count; where it isn't known in what one
// counts, they are the safe side.
func units(text string) int {
	n := 0
	for _, c := range text {
		n++
		if c > 0xffff {
			n++
		}
	}
	return n
}

func as(text string) string { return text }

// cut writes a text the way a receiver wants it, and as much of it as the receiver takes:
// what is cut is the text before it is written, so that no escape is torn.
func cut(text string, n int, size func(string) int, write func(string) string) string {
	if whole := write(text); size(whole) <= n {
		return whole
	}
	short := func(length int) string { return write(strings.TrimSpace(language.Cut(text, length)) + "…") }
	return short(sort.Search(n, func(length int) bool { return size(short(length+1)) > n }))
}

// shortened makes something of a draft that is as short as it has to be: it leaves lines
// out, then text, then facts; never the title or the links.
func shortened[T any](d draft, make func(draft) T, fits func(T) bool) T {
	for {
		made := make(d)
		if fits(made) || !d.shorten() {
			return made
		}
	}
}

// shorten leaves half of something out.
func (d *draft) shorten() bool {
	switch {
	case len(d.Lines) > 0:
		half := len(d.Lines) / 2
		d.left += len(d.Lines) - half
		d.Lines = d.Lines[:half]
	case len(d.Text) > 0:
		d.Text = strings.TrimSuffix(cut(d.Text, characters(d.Text)/2, characters, as), "…")
		if d.Text != "" {
			d.Text += "…"
		}
		if characters(d.Text) < 20 {
			d.Text = ""
		}
	case len(d.Facts) > 0:
		d.Facts = d.Facts[:len(d.Facts)/2]
	default:
		return false
	}
	return true
}

var more = language.Plural{
	En: language.Forms{One: "and # more", Other: "and # more"},
	Ar: language.Forms{One: "وواحد غيرها", Two: "واثنان غيرها", Few: "و# غيرها", Many: "و# غيرها", Other: "و# غيرها"},
}

// list is what was tried, or what a digest holds. What was tried begins with a time, and is said in
// English.
func (d draft) list() []string {
	lines := make([]string, len(d.Lines))
	for i, line := range d.Lines {
		lines[i] = d.Language.Isolate(line)
	}
	if d.left > 0 {
		lines = append(lines, "… "+more.In(d.Language, d.left))
	}
	return lines
}

// listName is what the list is called.
func (d draft) listName() string {
	if d.State == notify.Digest {
		return holdsWords.In(d.Language)
	}
	return triedWords.In(d.Language)
}

// directed begins each line of Arabic with a mark, by which what shows it lets it run from
// the right, also where a Latin name comes first.
func (d draft) directed(text string) string {
	const mark = "\u200f"
	if d.Language != language.Arabic || text == "" {
		return text
	}
	return mark + strings.ReplaceAll(text, "\n", "\n"+mark)
}

// details are a draft's texts but for its title and links, as plain text.
func (d draft) details() string {
	var facts, lines []string
	for _, fact := range d.Facts {
		facts = append(facts, d.directed(fact.Name+colon+d.Language.Isolate(fact.Value)))
	}
	for _, line := range d.list() {
		lines = append(lines, d.directed("- "+line))
	}
	if len(lines) > 0 {
		lines = slices.Insert(lines, 0, d.directed(d.listName()+":"))
	}
	return blocks(d.directed(d.Text), strings.Join(facts, "\n"), strings.Join(lines, "\n"))
}

// linked are a draft's links as plain text. An address stands alone in its line, which
// runs from the left.
func (d draft) linked() string {
	var lines []string
	for _, l := range d.links() {
		lines = append(lines, d.directed(l.name.In(d.Language)+":")+"\n"+*l.url)
	}
	return strings.Join(lines, "\n")
}

// plainText is all of a draft as plain text: what every receiver can show.
func (d draft) plainText() string { return blocks(d.directed(d.Title), d.details(), d.linked()) }

// blocks puts an empty line between texts.
func blocks(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(text string) bool { return text == "" }), "\n\n")
}

// unmentioned takes "@everyone" and the like their force.
func unmentioned(text string) string { return strings.ReplaceAll(text, "@", "@\u200b") }

// escaper writes a backslash before each of some characters.
func escaper(characters string) func(string) string {
	var pairs []string
	for _, c := range characters {
		pairs = append(pairs, string(c), `\`+string(c))
	}
	return strings.NewReplacer(pairs...).Replace
}

// colour is one of Okabe and Ito's, which the colour-blind can tell from each other. What
// it says the title says too.
func (d draft) colour() int {
	switch {
	case d.IsOver():
		return 0x009e73
	case d.State == notify.Test:
		return 0x0072b2
	}
	colour, ok := map[notify.Level]int{notify.Critical: 0xb3261e, notify.Error: 0xd55e00, notify.Warning: 0xe69f00}[d.Level]
	if !ok {
		return 0x0072b2
	}
	return colour
}

func hexColour(colour int) string { return fmt.Sprintf("#%06x", colour) }
