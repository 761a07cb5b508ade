package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"manus/language"
	"manus/readiness"
)

// signs are how a status looks on a terminal: a sign, so that colour is never alone, and its
// colour there.
var signs = map[readiness.Status]struct {
	sign, colour string
	word         language.Text
}{
	readiness.Pass:    {"✓", "\x1b[32m", language.Text{En: "holds", Ar: "يصحّ"}},
	readiness.Warn:    {"!", "\x1b[33m", language.Text{En: "look after it", Ar: "يحتاج إلى عناية"}},
	readiness.Fail:    {"✗", "\x1b[31m", language.Text{En: "FAILS", Ar: "لا يصحّ"}},
	readiness.Skipped: {"-", "\x1b[2m", language.Text{En: "not measured", Ar: "لم يُقَس"}},
}

// groupTitles are what the groups are called for people.
var groupTitles = map[readiness.Group]language.Text{
	readiness.Secrets: {En: "Secrets", Ar: "الأسرار"},
	readiness.Health:  {En: "Health", Ar: "الصحّة"},
	readiness.Backups: {En: "Backups", Ar: "النسخ الاحتياطية"},
	readiness.Limits:  {En: "Rate limits", Ar: "حدود الطلبات"},
	readiness.Errors:  {En: "Errors", Ar: "الأخطاء"},
	readiness.Uptime:  {En: "Uptime and alerts", Ar: "التوفّر والتنبيهات"},
	readiness.Billing: {En: "Billing", Ar: "الفوترة"},
	readiness.System:  {En: "System", Ar: "النظام"},
}

// checkProgress shows on a terminal how far a report is.
type checkProgress struct {
	line  statusLine
	width int
	all   int // how many checks there are; 0 where that isn't known
	done  int
}

func newCheckProgress(p *process, quiet bool) *checkProgress {
	if quiet {
		return &checkProgress{line: statusLine{out: io.Discard}}
	}
	return &checkProgress{line: statusLine{out: p.err}, width: widthOf(p.err)}
}

// show shows what was measured last, in one line.
func (c *checkProgress) show(r readiness.CheckBody) {
	c.done++
	text := fmt.Sprintf("%d/%d  %s %s", c.done, max(c.all, c.done), signs[r.Status].sign, r.Title)
	if c.width > 0 && utf8.RuneCountInString(text) >= c.width {
		text = language.Cut(text, c.width-2) + "…"
	}
	c.line.set(text)
}

func (c *checkProgress) end() { c.line.end() }

// checkSheet is a report as a person reads it.
type checkSheet struct {
	*sheet
	out io.Writer
	tag language.Tag
}

func newCheckSheet(p *process, tag language.Tag) checkSheet {
	return checkSheet{newSheet(p), p.out, tag}
}

// print writes the report: each promise in its group, then what to do, then the score.
func (s checkSheet) print(body readiness.Body) error {
	var group readiness.Group
	for _, c := range body.Checks {
		if c.Group != group {
			group = c.Group
			s.head(groupTitles[group].In(s.tag))
		}
		s.coloured(c.Status, func() { s.line("  "+signs[c.Status].sign+" ", c.Title) })
		s.line("    ", bareNumbers(c.Evidence+s.age(c)))
	}
	s.mends(body)
	s.gap()
	s.coloured(body.Status, func() { s.line("", bareNumbers(s.sum(body))) })
	_, err := io.WriteString(s.out, strings.TrimLeft(s.text.String(), "\n"))
	return err
}

// coloured has what is written in the colour of a status, where there are colours.
func (s checkSheet) coloured(status readiness.Status, write func()) {
	if s.bold {
		s.text.WriteString(signs[status].colour)
		defer s.text.WriteString("\x1b[0m")
	}
	write()
}

// old is how long ago something may have been measured without that being said.
const old = 2 * time.Minute

// age is how long ago something was measured, where that isn't now.
func (s checkSheet) age(c readiness.CheckBody) string {
	at, err := time.Parse(time.RFC3339, c.MeasuredAt)
	if err != nil || time.Since(at) < old {
		return ""
	}
	return language.Text{En: " (measured # ago)", Ar: " (قيس قبل #)"}.Quoting(s.tag.Duration(time.Since(at))).In(s.tag)
}

// isolated is a number, or Arabic with one, that is kept apart from the text around it.
var isolated = regexp.MustCompile(`[\x{2066}-\x{2068}]((?:[0-9][0-9.,٫٬]*|[\p{Arabic}\p{Mn} ])+)\x{2069}`)

// bareNumbers leaves the marks away around such behind Arabic, where they stand right without:
// many terminals show them.
func bareNumbers(text string) string {
	var b strings.Builder
	for {
		at := isolated.FindStringSubmatchIndex(text)
		if at == nil {
			return b.String() + text
		}
		b.WriteString(text[:at[0]])
		number := text[at[0]:at[1]]
		if endsArabic(b.String()) {
			number = text[at[2]:at[3]]
		}
		b.WriteString(number)
		text = text[at[1]:]
	}
}

// endsArabic tells whether the last letter of a text is Arabic, but for what is isolated.
func endsArabic(text string) bool {
	inside := 0
	for _, r := range slices.Backward([]rune(text)) {
		switch {
		case r == '\u2069':
			inside++
		case r >= '\u2066' && r <= '\u2068':
			inside--
		case inside == 0 && unicode.IsLetter(r):
			return unicode.Is(unicode.Arabic, r)
		}
	}
	return false
}

// mends are what to do, what fails first.
func (s checkSheet) mends(body readiness.Body) {
	for _, status := range []readiness.Status{readiness.Fail, readiness.Warn} {
		var mends []string
		of := map[string][]string{} // which checks have each
		for _, c := range body.Checks {
			if c.Status != status || c.Mend == "" {
				continue
			}
			if of[c.Mend] == nil {
				mends = append(mends, c.Mend)
			}
			of[c.Mend] = append(of[c.Mend], c.ID)
		}
		if len(mends) > 0 {
			s.head(language.Text{En: "To mend", Ar: "للإصلاح"}.In(s.tag) + " - " + signs[status].word.In(s.tag))
		}
		for _, mend := range mends {
			s.line("  "+signs[status].sign+" ", strings.Join(of[mend], ", ")+": "+bareNumbers(mend))
		}
	}
}

var (
	checkSum = language.Text{En: "Score #, with # of # measured: # hold, # to look after, # fail.", Ar: "النتيجة #، وقد قيس # من #: يصحّ #، ويحتاج إلى عناية #، ولا يصحّ #."}
	partSum  = language.Text{En: "Score # at most, as only # of # were measured: # hold, # to look after, # fail.", Ar: "النتيجة # لا أكثر، إذ لم يُقَس إلّا # من #: يصحّ #، ويحتاج إلى عناية #، ولا يصحّ #."}
)

// sum is the report in a line.
func (s checkSheet) sum(body readiness.Body) string {
	n := map[readiness.Status]int{}
	for _, c := range body.Checks {
		n[c.Status]++
	}
	sum, all, measured := checkSum, len(body.Checks), len(body.Checks)-n[readiness.Skipped]
	if 2*measured < all {
		sum = partSum
	}
	var values []string
	for _, number := range []int{body.Score, measured, all, n[readiness.Pass], n[readiness.Warn], n[readiness.Fail]} {
		values = append(values, s.tag.Number(number))
	}
	return sum.Quoting(values...).In(s.tag)
}

// writeJUnit writes a report as build servers read it. What is doubtful passes there, and
// says so in its output.
func writeJUnit(path string, body readiness.Body) error {
	type message struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testCase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Failure *message `xml:"failure,omitempty"`
		Skipped *message `xml:"skipped,omitempty"`
		Output  string   `xml:"system-out,omitempty"`
	}
	type suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Time     string     `xml:"timestamp,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skips    int        `xml:"skipped,attr"`
		Cases    []testCase `xml:"testcase"`
	}
	all := suite{Name: "manus check", Time: body.MeasuredAt, Tests: len(body.Checks)}
	for _, c := range body.Checks {
		one := testCase{Class: string(c.Group), Name: c.ID}
		switch c.Status {
		case readiness.Fail:
			all.Failures++
			one.Failure = &message{c.Title, c.Evidence + "\n" + c.Mend}
		case readiness.Skipped:
			all.Skips++
			one.Skipped = &message{Message: c.Evidence}
		default:
			one.Output = strings.TrimSpace(c.Title + "\n" + c.Evidence + "\n" + c.Mend)
		}
		all.Cases = append(all.Cases, one)
	}
	data, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), junitPattern)
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // it has the other name by then
	_, err = file.Write(append([]byte(xml.Header), append(data, '\n')...))
	if err := errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

const junitPattern = ".manus-check-*.xml"

// canWriteJUnit tells why writeJUnit couldn't write there: in the place of a link or a device
// nothing is put.
func canWriteJUnit(path string) error {
	if there, err := os.Lstat(path); err == nil && !there.Mode().IsRegular() {
		return fmt.Errorf("%s is a folder, a link or a device; name a file", path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), junitPattern)
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}
