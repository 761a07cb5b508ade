package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"manus/app"
	"manus/docstore"
	"manus/errtrack"
	"manus/errtrack/event"
	"manus/internal/words"
	"manus/language"
)

type errorsShow struct {
	Issue string `arg:"" help:"The issue, as 'manus errors list' shows it."`
	JSON  bool   `name:"json" help:"All that is known of it, with its latest event, as JSON."`
}

// Run shows an issue, and of its latest event what somebody looks for at night.
func (c errorsShow) Run(p *process, parent *errorsCommand) error {
	return parent.with(p, func(a *app.App) error {
		i, err := a.Errors.Issue(p.ctx, c.Issue)
		if err != nil {
			return unknown(err)
		}
		whole, err := a.Errors.Whole(p.ctx, i, language.English)
		if err != nil {
			return err
		}
		latest, err := a.Errors.End(p.ctx, i.ID, true)
		if err != nil && !errors.Is(err, errtrack.ErrNoEvent) {
			return err
		}
		isKept := err == nil
		if c.JSON {
			shown := struct {
				Issue  errtrack.WholeIssue `json:"issue"`
				Latest *errtrack.Kept      `json:"latest_event"`
			}{Issue: whole}
			if isKept {
				shown.Latest = &latest
			}
			return printJSON(p.out, shown)
		}
		s := newSheet(p)
		s.issue(i, whole, time.Now())
		if isKept {
			s.event(latest)
		} else {
			s.gap()
			s.line("", "None of its events is kept any more.")
		}
		_, err = io.WriteString(p.out, s.text.String())
		return err
	})
}

// printJSON writes JSON in which nothing speaks to a terminal: JSON leaves some characters
// as they are that do.
func printJSON(out io.Writer, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high := (r - 0x10000) >> 10
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+high, 0xdc00+(r-0x10000)&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	_, err = io.WriteString(out, b.String()+"\n")
	return err
}

// sheet is text for a terminal of some width, 0 for no bound. What strangers have sent is
// cleaned as it is written.
type sheet struct {
	text  strings.Builder
	width int
	bold  bool // what matters is in bold letters
}

// exactly is up to how many people the estimate is none.
const exactly = 100

const (
	minWidth = 20
	mostTags = 12
	// mostValues are those of a tag, mostFrames those of libraries in a row, mostLines those of
	// a text, and mostCrumbs what happened before.
	mostValues = 3
	mostFrames = 3
	mostLines  = 12
	mostCrumbs = 10
	mostVars   = 12
	// mostSources are the frames of a stack that have a line of source shown.
	mostSources = 8
)

func newSheet(p *process) *sheet {
	return &sheet{width: widthOf(p.out), bold: p.coloured(p.out)}
}

// widthOf is how wide a terminal is; 0 for what is none.
func widthOf(out io.Writer) int {
	file, ok := out.(*os.File)
	if !ok || !isTerminal(out) {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return max(width, minWidth)
}

func (s *sheet) gap() { s.text.WriteString("\n") }

// line writes a text behind something, in as many lines as it needs, each under the first.
func (s *sheet) line(before, text string) {
	text = language.Line(text)
	indent := utf8.RuneCountInString(before)
	room := s.width - indent
	if s.width > 0 && room < minWidth { // then it begins a line of its own
		s.text.WriteString(strings.TrimRight(before, " ") + "\n")
		before, indent, room = "  ", 2, s.width-2
	}
	for s.width > 0 && utf8.RuneCountInString(text) > room {
		head := language.Cut(text, room)
		if at := strings.LastIndexByte(head, ' '); at > 0 {
			head = head[:at]
		}
		s.text.WriteString(before + head + "\n")
		text, before = strings.TrimLeft(text[len(head):], " "), strings.Repeat(" ", indent)
	}
	s.text.WriteString(strings.TrimRight(before+text, " ") + "\n")
}

// cutLine writes one line, with its spaces as they are.
func (s *sheet) cutLine(text string) {
	text = strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, strings.ReplaceAll(text, "\t", "    "))
	if s.width > 0 && utf8.RuneCountInString(text) > s.width {
		text = language.Cut(text, s.width-1) + "…"
	}
	s.text.WriteString(strings.TrimRight(text, " ") + "\n")
}

// head begins a part.
func (s *sheet) head(text string) {
	s.gap()
	s.strong(func() { s.line("", text) })
}

// strong has what is written stand out, where that can be.
func (s *sheet) strong(write func()) {
	if s.bold {
		s.text.WriteString("\x1b[1m")
		defer s.text.WriteString("\x1b[0m")
	}
	write()
}

// rows write names with what they have; empty ones are left out.
func (s *sheet) rows(indent string, all [][2]string) {
	widest := 0
	for _, row := range all {
		if strings.TrimSpace(row[1]) != "" {
			widest = max(widest, utf8.RuneCountInString(language.Line(row[0])))
		}
	}
	for _, row := range all {
		if strings.TrimSpace(row[1]) != "" {
			name := language.Line(row[0])
			s.line(indent+name+strings.Repeat(" ", widest-utf8.RuneCountInString(name)+2), row[1])
		}
	}
}

// issue writes what is known of all its events.
func (s *sheet) issue(i errtrack.Issue, whole errtrack.WholeIssue, now time.Time) {
	s.strong(func() { s.line("", i.Short+"  "+string(i.Status)+"  "+string(i.Level)) })
	s.line("", i.Title)
	s.gap()
	lastDay := int64(0)
	for _, n := range whole.Stats.Hours {
		lastDay += n
	}
	people, regressed := "", ""
	if i.Users > 0 {
		people = fmt.Sprintf("%d, or some percent more or less", i.Users)
	}
	if i.Users > 0 && i.Users <= exactly {
		people = strconv.FormatInt(i.Users, 10)
	}
	if i.Regressed > 0 {
		regressed = words.Count(i.Regressed, "time")
	}
	seen := func(at docstore.Time, release string) string {
		text := at.UTC().Format(time.RFC3339) + " (" + words.Span(now.Sub(at.Time)) + " ago)"
		if release != "" {
			text += ", release " + release
		}
		return text
	}
	rows := [][2]string{
		{"in", i.Culprit}, {"events", fmt.Sprintf("%d, %d in the last 24 hours", i.Count, lastDay)}, {"people", people},
		{"first seen", seen(i.FirstSeen, i.FirstRelease)}, {"last seen", seen(i.LastSeen, i.LastRelease)}, {"state", stateOf(i, now)}, {"came back", regressed},
		{"assignee", i.Assignee}, {"note", i.Note}, {"why one issue", whole.Why},
	}
	for _, a := range whole.Alerts {
		for _, became := range a.Became {
			rows = append(rows, [2]string{a.Kind, became})
		}
	}
	s.rows("", append(rows, [2]string{"alerts", whole.NextTold}))
	s.tags(whole.Tags)
}

// stateOf says what people have decided of an issue.
func stateOf(i errtrack.Issue, now time.Time) string {
	switch {
	case i.Status == errtrack.Resolved && i.Resolution != nil:
		text := "resolved at " + i.Resolution.At.UTC().Format(time.RFC3339)
		switch in, release := i.Resolution.In, i.Resolution.Release; {
		case in == "release" && release != "":
			text += ", in the release " + release + ": events of older ones don't bring it back"
		case in == "next" && release != "":
			text += ", in the next release after " + release + ": events of that and of older ones don't bring it back"
		case in != "":
			text += ": no event has named a release, so the next one brings it back"
		}
		return text
	case i.Status == errtrack.Ignored && i.Ignore != nil:
		var until []string
		g := i.Ignore
		if !g.Until.IsZero() {
			left := "the next event brings it back"
			if g.Until.After(now) {
				left = "in " + words.Span(g.Until.Sub(now))
			}
			until = append(until, g.Until.UTC().Format(time.RFC3339)+" ("+left+")")
		}
		if g.Count > 0 {
			until = append(until, fmt.Sprintf("%s more, which is at %d", words.Count(g.More, "event"), g.Count))
		}
		if g.Users > 0 {
			until = append(until, fmt.Sprintf("%s more, which is at %d", words.Count(g.MoreUsers, "user"), g.Users))
		}
		if len(until) == 0 {
			return "ignored for good"
		}
		return "ignored until " + strings.Join(until, ", or ")
	}
	return ""
}

// tags write how often each has which value.
func (s *sheet) tags(tags map[string][]errtrack.ValueCount) {
	keys := slices.SortedFunc(maps.Keys(tags), func(a, b string) int {
		first := func(key string) int { return slices.Index([]string{"release", "environment"}, key) }
		return cmp.Or(-cmp.Compare(first(a), first(b)), strings.Compare(a, b))
	})
	if len(keys) == 0 {
		return
	}
	s.head("Tags")
	var rows [][2]string
	for _, key := range keys[:min(len(keys), mostTags)] {
		total := int64(0)
		for _, v := range tags[key] {
			total += v.Count
		}
		var values []string
		for _, v := range tags[key] {
			if v.Value != "" && len(values) < mostValues {
				values = append(values, fmt.Sprintf("%s %d%%", language.Cut(v.Value, 60), (100*v.Count+total/2)/max(1, total)))
			}
		}
		if more := len(tags[key]) - len(values); more > 0 {
			values = append(values, fmt.Sprintf("and %d more", more))
		}
		rows = append(rows, [2]string{key, strings.Join(values, ", ")})
	}
	s.rows("  ", rows)
	if more := len(keys) - mostTags; more > 0 {
		s.line("  ", "and "+words.Count(more, "tag")+" more: see --json")
	}
}

// event writes an event: where it failed first.
func (s *sheet) event(k errtrack.Kept) {
	e := k.Event
	s.head("Latest event, " + e.Timestamp.UTC().Format(time.RFC3339))
	if e.Message != "" {
		s.paragraph("  ", e.Message)
	}
	own := k.Own()
	for n, x := range slices.Backward(e.Exceptions) {
		s.gap()
		begin := ""
		if n < len(e.Exceptions)-1 {
			begin = "Caused by "
		}
		s.paragraph("  ", begin+x.Type+": "+x.Value)
		if x.Handled != nil && !*x.Handled {
			s.line("  ", "(the program didn't catch it)")
		}
		s.frames(x.Frames, own)
	}
	s.frames(e.Stack, own)
	s.request(e)
	s.crumbs(e.Breadcrumbs)
	s.raws("Contexts", e.Contexts, "trace")
	s.raws("Extra data", e.Extra)
	var user string
	if u := e.User; u != nil {
		user = strings.Join(slices.DeleteFunc([]string{u.ID, u.Username, u.Email, u.IP}, func(one string) bool { return one == "" }), ", ")
	}
	s.head("More of it")
	s.rows("  ", [][2]string{
		{"event", e.ID}, {"person", user}, {"release", e.Release}, {"environment", e.Environment}, {"transaction", e.Transaction}, {"server", e.ServerName}, {"logger", e.Logger},
		{"trace", e.TraceID}, {"sdk", strings.TrimSpace(e.SDK.Name + " " + e.SDK.Version)}, {"left out", strings.Join(e.Cut, ", ")}, {"scrubbed", strings.Join(e.Scrubbed, ", ")},
	})
}

// paragraph writes a text of several lines.
func (s *sheet) paragraph(indent, text string) {
	all := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range all[:min(len(all), mostLines)] {
		s.line(indent, language.Cut(line, 1000))
	}
	if more := len(all) - mostLines; more > 0 {
		s.line(indent, "… "+words.Count(more, "line")+" more: see --json")
	}
}

// frames write a stack, the newest call first. The program's own code is marked, and has
// its source; of libraries in a row the first are shown.
func (s *sheet) frames(frames []event.Frame, own func(*event.Frame) bool) {
	ofLibraries, sources, said := 0, 0, ""
	hidden := func() {
		if more := ofLibraries - mostFrames; more > 0 {
			s.line("      ", "… "+words.Count(more, "frame")+" more of libraries")
		}
		ofLibraries = 0
	}
	for _, f := range slices.Backward(frames) {
		where := language.Line(cmp.Or(f.Filename, f.AbsPath, f.Module, "?"))
		if f.Line > 0 {
			where += ":" + strconv.Itoa(f.Line)
			if f.Column > 0 && f.SourceMap != nil && f.SourceMap.Minified == nil { // much may be on one line
				where += ":" + strconv.Itoa(f.Column)
			}
		}
		if f.Function != "" {
			where += " in " + f.Function
		}
		if !own(&f) {
			if ofLibraries++; ofLibraries <= mostFrames {
				s.line("      ", where)
			}
			continue
		}
		hidden()
		s.strong(func() { s.line("    * ", where) })
		why := "" // it isn't mapped; said once of frames that follow one another
		if f.SourceMap != nil {
			why = f.SourceMap.Why
		}
		if why != said && why != "" {
			s.line("      ", why)
		}
		said = why
		if sources++; sources == 1 {
			s.source(f, 3)
			s.vars(f.Vars)
		} else if sources <= mostSources {
			s.source(f, 0)
		}
	}
	hidden()
}

// source writes the line that failed, which is marked, with some about it.
func (s *sheet) source(f event.Frame, about int) {
	for k := max(0, f.ContextLine-about); k < min(len(f.Context), f.ContextLine+about+1); k++ {
		mark := " "
		if k == f.ContextLine {
			mark = ">"
		}
		number := ""
		if f.Line > 0 {
			number = strconv.Itoa(f.Line - f.ContextLine + k)
		}
		s.cutLine(fmt.Sprintf("      %s %5s | %s", mark, number, f.Context[k]))
	}
}

func (s *sheet) vars(vars map[string]json.RawMessage) {
	var rows [][2]string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if len(rows) < mostVars {
			rows = append(rows, [2]string{name + " =", plain(vars[name], 200)})
		}
	}
	s.rows("          ", rows)
}

// plain is JSON for a person: of a string its text.
func plain(raw json.RawMessage, most int) string {
	text := string(raw)
	var said any
	if json.Unmarshal(raw, &said) == nil {
		if words, isText := said.(string); isText {
			text = words
		} else {
			var b strings.Builder
			encoder := json.NewEncoder(&b)
			encoder.SetEscapeHTML(false)
			if encoder.Encode(said) == nil {
				text = b.String()
			}
		}
	}
	if short := language.Cut(text, most); short != text {
		return short + "…"
	}
	return text
}

func (s *sheet) request(e event.Event) {
	r := e.Request
	if r == nil {
		return
	}
	s.head("Request")
	address := r.URL
	if r.Query != "" && !strings.Contains(address, "?") {
		address += "?" + r.Query
	}
	s.line("  ", strings.TrimSpace(r.Method+" "+address))
	var rows [][2]string
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		rows = append(rows, [2]string{name, language.Cut(r.Headers[name], 200)})
	}
	s.rows("  ", append(rows, [2]string{"body", language.Cut(r.Data, 500)}))
}

func (s *sheet) crumbs(all []event.Breadcrumb) {
	if len(all) == 0 {
		return
	}
	last := all[max(0, len(all)-mostCrumbs):]
	s.head(fmt.Sprintf("What happened before, the last %d of %d", len(last), len(all)))
	for _, c := range last {
		at := "--:--:--"
		if !c.Timestamp.IsZero() {
			at = c.Timestamp.UTC().Format(time.TimeOnly)
		}
		text := c.Message
		for _, name := range slices.Sorted(maps.Keys(c.Data)) {
			text += " " + name + "=" + plain(c.Data[name], 100)
		}
		kind := language.Line(cmp.Or(c.Category, c.Type))
		if c.Level != "" && c.Level != event.Info {
			kind += " " + string(c.Level)
		}
		s.line("  "+at+"  ", strings.TrimSpace(kind+"  "+language.Cut(text, 400)))
	}
}

func (s *sheet) raws(title string, all map[string]json.RawMessage, but ...string) {
	var rows [][2]string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(but, name) {
			rows = append(rows, [2]string{name, plain(all[name], 300)})
		}
	}
	if len(rows) > 0 {
		s.head(title)
		s.rows("  ", rows)
	}
}
