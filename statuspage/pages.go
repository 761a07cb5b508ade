package statuspage

import (
	"bytes"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"manus/design"
	"manus/language"
)

// page is what every page has.
type page struct {
	*site
	Tag   language.Tag
	path  string
	links links
}

func (s *site) newPage(path string, tag language.Tag) *page {
	return &page{site: s, Tag: tag, path: path, links: s.linksFrom(path, tag)}
}

func (s *site) linksFrom(path string, tag language.Tag) links {
	l := links{tag: tag, files: s.settings.files}
	for _, c := range path {
		if c == '/' {
			l.depth++
		}
	}
	return l
}

// Calendar is where the calendar is in the page's language.
func (p *page) Calendar() string {
	switch {
	case !p.links.files:
		return p.Asset("status/calendar.ics") + "?lang=" + p.Tag.String()
	case p.Tag == language.Arabic:
		return p.Asset("status/calendar.ar.ics")
	}
	return p.Asset("status/calendar.ics")
}

// To is where another page is, In the same page in another language, Asset what is in none.
func (p *page) To(path string) string    { return p.links.to(path) }
func (p *page) Asset(path string) string { return p.links.asset(path) }
func (p *page) OtherPage() string        { return p.links.in(p.path, p.Other()) }

// Other is the language that the page isn't in.
func (p *page) Other() language.Tag {
	if p.Tag == language.Arabic {
		return language.English
	}
	return language.Arabic
}

func (p *page) Name() string       { return p.Title.In(p.Tag) }
func (p *page) Home() string       { return p.settings.Home }
func (p *page) Style() string      { return p.Asset(p.style) }
func (p *page) Script() string     { return p.Asset(p.script) }
func (p *page) Logo() string       { return p.Asset(p.logo) }
func (p *page) IsStale() bool      { return !p.stale.IsZero() }
func (p *page) Age() time.Duration { return p.stale.Sub(p.At).Truncate(time.Second) }

// IsLost tells that the page is so old that it can't say how everything is now.
func (p *page) IsLost() bool { return p.IsStale() && p.Age() > lostAfter }

// lostAfter is as in status.js.
const lostAfter = 150 * time.Second

// mainData is what the page itself shows.
type mainData struct {
	*page
	room
	About  string
	Now    []Incident    // that are open, as many as are shown
	Under  []Maintenance // that are under way, as many as are shown
	Coming []Maintenance
	Recent []day
	Left   bool // there are more incidents than those
	// WorkLeft tells that there is more planned work.
	WorkLeft bool
}

// recentDays are how far back the page itself goes.
const recentDays = 15

// room is how much the page itself shows: open incidents, each with so many updates of so many characters, planned
// works, and the latest incidents by name.
type room struct{ now, updates, text, works, recent int }

// rooms are tried in turn, until the page is at most maxFront long. With the last it is as long as its components are.
var rooms = []room{{30, 20, 10_000, 30, 15}, {15, 5, 2000, 15, 15}, {8, 3, 600, 5, 10}, {4, 2, 300, 3, 8}, {3, 1, 150, 1, 3}}

// maxFront is how long the page itself is at most, in bytes, before it shows less.
const maxFront = 88_000

// front is the page itself.
func (s *site) front(tag language.Tag) (body []byte) {
	p := s.newPage(mainPage, tag)
	for _, r := range rooms {
		if body = s.render("main.html", p.main(r), tag); len(body) <= maxFront {
			break
		}
	}
	return body
}

func (p *page) main(r room) any {
	coming := p.coming()
	d := mainData{
		page: p, room: r, About: p.settings.About.In(p.Tag),
		Now: p.Open[:min(len(p.Open), r.now)], Under: p.On[:min(len(p.On), r.works)], Coming: coming[:min(len(coming), r.works)],
	}
	d.Recent, d.Left = cutDays(p.days(recentDays), r.recent)
	d.WorkLeft = len(d.Under) < len(p.On) || len(d.Coming) < len(coming)
	return d
}

// Updates is what the template of updates gets: as many as there is room for.
func (d mainData) Updates(newest []Update) any {
	newest = slices.Clone(newest[:min(len(newest), d.updates)])
	for i := range newest {
		u := &newest[i]
		u.Text = d.cut(u.Text)
		u.Earlier = slices.Clone(u.Earlier[max(0, len(u.Earlier)-d.updates):])
		for k := range u.Earlier {
			u.Earlier[k].Text = d.cut(u.Earlier[k].Text)
		}
	}
	return d.page.Updates(newest)
}

// IsShort tells that there isn't room for all that was said of an incident.
func (d mainData) IsShort(newest []Update) bool {
	return len(newest) > d.updates || slices.ContainsFunc(newest, func(u Update) bool {
		return u.Text != d.cut(u.Text) || len(u.Earlier) > d.updates
	})
}

// Planned is what the template of a planned work gets.
func (d mainData) Planned(m Maintenance) any {
	m.Text = d.cut(m.Text)
	return d.page.Planned(m)
}

// cut is as much of a text as there is room for.
func (r room) cut(text language.Text) language.Text {
	short := func(text string) string {
		if cut := language.Cut(text, r.text); cut != text {
			return cut + "…"
		}
		return text
	}
	return language.Text{En: short(text.En), Ar: short(text.Ar)}
}

// IsCut tells that there are more open incidents than those that are shown.
func (d mainData) IsCut() bool { return len(d.Now) < len(d.Open) }

// cutDays are as many of the days as have so many incidents together.
func cutDays(days []day, most int) (some []day, cut bool) {
	for _, d := range days {
		if len(d.Incidents) > most {
			if d.Incidents = d.Incidents[:most]; most > 0 {
				some = append(some, d)
			}
			return some, true
		}
		most -= len(d.Incidents)
		some = append(some, d)
	}
	return some, false
}

// Subscribe is where people ask to be told of everything; empty where they can't.
func (p *page) Subscribe() string {
	to := p.settings.Subscribe
	switch {
	case to == "":
		return ""
	case strings.Contains(to, "://"):
		return to + "?lang=" + p.Tag.String()
	}
	return p.To(to)
}

// Sentence says in a few words how everything is.
func (p *page) Sentence() language.Text { return p.sentence() }

func (v *view) sentence() language.Text {
	if len(v.Rows) == 0 && v.Overall == Unknown {
		return nothingWatched
	}
	return overallWords[v.Overall]
}

// List is the list of components.
func (p *page) List() template.HTML { return p.rowsIn(p.Tag, p.links) }

// day is what was on a day, or, where there was nothing, on several.
type day struct {
	From, Until time.Time // the earliest and the latest day
	Incidents   []Incident
	Unlisted    bool // those that began on it aren't all there
}

// days are the last days, the latest first, with the incidents that began on them; days on which none did
// are put together.
func (p *page) days(n int) (all []day) {
	began := map[int64][]Incident{}
	for _, list := range [][]Incident{p.Open, p.Past} {
		for _, incident := range list {
			began[dayOf(incident.StartedAt)] = append(began[dayOf(incident.StartedAt)], incident)
		}
	}
	for i := range n {
		at := p.At.UTC().Truncate(dayLength).AddDate(0, 0, -i)
		d := day{at, at, began[dayOf(at)], at.Before(p.IncidentsSince)}
		if last := len(all) - 1; last >= 0 && len(d.Incidents) == 0 && len(all[last].Incidents) == 0 && all[last].Unlisted == d.Unlisted {
			all[last].From = at
			continue
		}
		all = append(all, d)
	}
	return all
}

func (p *page) history() any {
	return struct {
		*page
		Days  []day
		Works []Maintenance
	}{p, p.days(HistoryDays), p.works()}
}

// works is the work that is over: of one that comes again, its text stands at the last time.
func (p *page) works() []Maintenance {
	all, said := slices.Clone(p.Over), map[string]bool{}
	for i := range all {
		if m := &all[i]; m.Series != "" && said[m.Series] {
			m.Text = language.Text{}
		} else {
			said[m.Series] = true
		}
	}
	return all
}

func (p *page) incident(i Incident) any {
	return struct {
		*page
		shownIncident
		Counts []countedIncident
	}{p, p.Show(i), p.counts(i)}
}

// countedIncident is what the figures of a component say of the time of an incident.
type countedIncident struct {
	ID, Name string
	Day      Day
}

// counts are what figures say of the time of an incident that is over, where they don't say that all of it was down.
// What they don't reach back to, and of which they have only sums, is left out.
func (p *page) counts(i Incident) (all []countedIncident) {
	open := i.open()
	if open.IsOpen() {
		return nil
	}
	for _, id := range i.Components {
		r := p.view.component(id)
		if r == nil || r.Counted == nil || !r.Counted.reaches(open) {
			continue
		}
		if d := r.Counted.of(open); d.Down.Truncate(time.Second) != open.Length().Truncate(time.Second) {
			all = append(all, countedIncident{id, r.Name.In(p.Tag), d})
		}
	}
	return all
}

// shownIncident is an incident with how it stands in a page.
type shownIncident struct {
	Incident
	Link    string
	Words   language.Text // of its severity
	Level   design.Level
	Affects []string // names
	Newest  []Update // the newest first
	Lasted  time.Duration
	// Became is its stage; a post-mortem changes nothing of that.
	Became     Stage
	IsResolved bool
	IsAnalysed bool // there is a post-mortem
}

// Show is how an incident stands in this page.
func (p *page) Show(i Incident) shownIncident {
	s := shownIncident{
		Incident: i, Link: p.To("status/incidents/" + i.ID), Words: severityWords[i.Severity], Level: severityLevels[i.Severity], Affects: p.names(i.Components, p.Tag),
		Newest: slices.Clone(i.Updates), Became: i.Stage(), IsResolved: i.IsOver(), IsAnalysed: i.Stage() == Postmortem,
	}
	for _, name := range i.Former {
		s.Affects = append(s.Affects, name.In(p.Tag))
	}
	slices.Reverse(s.Newest)
	if s.IsResolved {
		s.Became, s.Level, s.Lasted = Resolved, design.Up, i.open().Length().Truncate(time.Second)
	}
	return s
}

// Updates is what the template of updates gets.
func (p *page) Updates(newest []Update) any {
	return struct {
		Page   *page
		Newest []Update
	}{p, newest}
}

// DaysOf is what the template of days gets.
func (p *page) DaysOf(days []day) any {
	return struct {
		Page *page
		Days []day
	}{p, days}
}

// shownOfSeries is how many of the times of a work that comes again are on the page; how it does stands
// there in words, and feeds and calendars have more.
const shownOfSeries = 2

// coming is the planned work that the page shows.
func (p *page) coming() (some []Maintenance) {
	times := map[string]int{}
	for _, m := range p.Next {
		if times[m.Series]++; m.Series == "" || times[m.Series] <= shownOfSeries {
			some = append(some, m)
		}
	}
	return some
}

// Planned is what the template of a planned work gets.
func (p *page) Planned(m Maintenance) any {
	return struct {
		Page   *page
		Work   Maintenance
		Length time.Duration
	}{p, m, m.Until.Sub(m.From)}
}

// Names are those of components.
func (p *page) Names(ids []string) []string { return p.names(ids, p.Tag) }

// Markdown is a text as it was written. Its headings begin below that of what it stands in.
func (p *page) Markdown(text string) template.HTML {
	above := 3
	if strings.HasPrefix(p.path, "status/incidents/") {
		above = 2
	}
	return template.HTML(headings.ReplaceAllStringFunc(string(p.markdown(text)), func(tag string) string { //nolint:gosec // as it was, but for numbers
		at := len(tag) - len("1>")
		return tag[:at] + strconv.Itoa(min(int(tag[at]-'0')+above, 6)) + ">"
	}))
}

// headings are the tags of headings in HTML whose texts have none: there < is an entity.
var headings = regexp.MustCompile(`</?h[1-6]>`)

// componentData is what a component's own page shows.
type componentData struct {
	*page
	*row
	Bars      template.HTML
	Figures   template.HTML
	Table     []tableDay // today first
	Incidents []Incident
}

// tableDay is a day of a component in words.
type tableDay struct {
	At      time.Time
	Day     Day
	Percent string
	Level   design.Level
}

// IsOpen tells that there is something to open: it wasn't up all the time.
func (d tableDay) IsOpen() bool { return !d.Day.isWhole() }

// ID is by which the day is linked to.
func (d tableDay) ID() string { return d.At.Format(time.DateOnly) }

func (p *page) component(r *row) any {
	w := &writer{tag: p.Tag, links: p.links, durations: map[time.Duration]string{}}
	w.bars(r)
	d := componentData{page: p, row: r, Bars: template.HTML(w.out)} //nolint:gosec // numbers, and words of ours
	w.out = nil
	w.figures(r.Total)
	d.Figures = template.HTML(w.out) //nolint:gosec // as above
	for i := len(r.Days) - 1; i >= 0; i-- {
		one := r.Days[i]
		if one == (Day{}) {
			continue
		}
		at := p.At.UTC().Truncate(dayLength).AddDate(0, 0, i-len(r.Days)+1)
		d.Table = append(d.Table, tableDay{at, one, one.percent(), one.level()})
	}
	for _, list := range [][]Incident{p.Open, p.Past} {
		for _, i := range list {
			if slices.Contains(i.Components, r.ID) {
				d.Incidents = append(d.Incidents, i)
			}
		}
	}
	return d
}

// nothing is the page for addresses at which there is nothing, gone the one for what can't be read
// just now.
func (s *site) nothing(tag language.Tag) *file {
	return s.missing(404, language.Text{En: "There is nothing here", Ar: "لا شيء هنا"}, language.Text{En: "The address is wrong, or what was here is gone.", Ar: "العنوان خاطئ، أو أُزيل ما كان هنا."}, tag)
}

func (s *site) gone(tag language.Tag) *file {
	return s.missing(503, language.Text{En: "This can’t be read just now", Ar: "تتعذّر القراءة الآن"}, language.Text{En: "Try again in a few minutes.", Ar: "حاول مرّة أخرى بعد دقائق."}, tag)
}

func (s *site) missing(status int, title, text language.Text, tag language.Tag) *file {
	p := s.newPage(mainPage, tag)
	p.links.root = "/"
	f := newFile(htmlType, pages, func() []byte {
		return s.render("missing.html", struct {
			*page
			What, Why language.Text
		}{p, title, text}, tag)
	})
	f.status = status
	return f
}

// render makes a page.
func (s *site) render(name string, data any, tag language.Tag) []byte {
	var out bytes.Buffer
	if err := templates()[tag].ExecuteTemplate(&out, name, data); err != nil {
		panic(err) // a mistake in the program, which tests of each page find
	}
	return out.Bytes()
}

// templates are those of the pages, in each language.
var templates = sync.OnceValue(func() map[language.Tag]*template.Template {
	all := map[language.Tag]*template.Template{}
	for _, tag := range languages {
		all[tag] = template.Must(template.New("").Funcs(functions(tag)).ParseFS(embedded, "pages/*.html"))
	}
	return all
})

// functions are how a page says something in a language.
func functions(tag language.Tag) template.FuncMap {
	return template.FuncMap{
		"text":          tag.Pick,
		"say":           func(text language.Text) string { return text.In(tag) },
		"duration":      func(d time.Duration) string { return whole(tag.Duration(d)) },
		"seconds":       hours,
		"stretchesLeft": func(n int) string { return stretchesLeft.In(tag, n) },
		"date":          func(at time.Time) string { return whole(tag.Date(at.UTC())) },
		"short":         func(at time.Time) template.HTML { return shortDate(tag, at.UTC()) },
		"old":           tag.Ago,
		"between":       func(from, until time.Time) template.HTML { return between(tag, from, until) },
		"moment":        func(at time.Time) template.HTML { return momentIn(tag, at) },
		"status":        func(s Status) template.HTML { return badgeOf(s.level(), statusWords[s].In(tag)) },
		"badge":         badgeOf,
		"stage":         func(s Stage) string { return s.Words().In(tag) },
		"sign":          design.Sign,
		"level":         Status.level,
		"symbols":       func() template.HTML { return design.Symbols },
		"counted":       func(n int) string { return incidentsOf.In(tag, n) },
		"ago":           func() string { return daysAgo.In(tag, HistoryDays) },
		"minute":        func() time.Duration { return time.Minute },
	}
}

// hours is a time as hours, minutes and seconds, which is exact and short in tables.
func hours(d time.Duration) template.HTML {
	s := int64(d / time.Second)
	return template.HTML(fmt.Sprintf("<bdi>%d:%02d:%02d</bdi>", s/3600, s/60%60, s%60)) //nolint:gosec // numbers
}

// badgeOf is a state in a word, with its sign.
func badgeOf(level design.Level, word string) template.HTML {
	//nolint:gosec // the word is escaped, the rest ours
	return template.HTML(`<span class="badge ` + level.Class() + `">` + string(design.Sign(level)) + template.HTMLEscapeString(word) + `</span>`)
}

// momentIn is a moment for people and for programs.
func momentIn(tag language.Tag, at time.Time) template.HTML {
	at = at.UTC()
	//nolint:gosec // of times
	return template.HTML(`<time datetime="` + at.Format(time.RFC3339) + `"><bdi>` + unbroken(tag, tag.Moment(at), at) + `</bdi></time>`)
}

// between is a span of time for people.
func between(tag language.Tag, from, until time.Time) template.HTML {
	return template.HTML(`<bdi>` + unbroken(tag, tag.Between(from, until), from.UTC(), until.UTC()) + `</bdi>`) //nolint:gosec // of times
}

// shortDate is a day whose year a narrow table can do without.
func shortDate(tag language.Tag, at time.Time) template.HTML {
	year := at.Format(" 2006")
	return template.HTML(`<bdi>` + whole(strings.TrimSuffix(tag.Date(at), year)) + `<span class="year">` + whole(year) + `</span></bdi>`) //nolint:gosec // of times
}

// whole is a text of which no line ends within.
func whole(text string) string { return strings.ReplaceAll(text, " ", "\u00a0") }

// unbroken is a text in which no line ends within the days that it names, nor before UTC.
func unbroken(tag language.Tag, text string, days ...time.Time) string {
	for _, day := range days {
		text = strings.ReplaceAll(text, tag.Date(day), whole(tag.Date(day)))
	}
	return template.HTMLEscapeString(strings.ReplaceAll(text, " UTC", whole(" UTC")))
}
