package uptime

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"manus/httpapi"
	"manus/language"
	"manus/uptime/probe"
)

// DefaultPlace is what the server's own place is called that has no name.
const DefaultPlace = "here"

var validPlace = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// IsPlace tells whether a place may be called so.
func IsPlace(name string) bool { return validPlace.MatchString(name) }

// Bounds of places, and of what one tells at a time.
const (
	maxPlaces  = 50
	maxReport  = 1000 // results
	maxListed  = 500  // monitors that are down of which a place tells what was tried
	maxTried   = 10   // looks that it tells of for each
	maxTold    = 500  // bytes of a text
	maxPages   = 4    // that a place looks at as strangers do
	maxDropped = 1 << 40
)

// Report is what a place tells the server: how it sees the monitors now, and what it has found
// since it last did.
type Report struct {
	Place string `json:"place" maxLength:"32" doc:"What the place is called." ar:"ما يُسمّى به الموقع."`
	// Instance tells two programs apart that have the same name.
	Instance string `json:"instance" minLength:"1" maxLength:"64" doc:"Which program it is that says so; another one for each." ar:"أيّ برنامج يقول ذلك؛ ولكلّ برنامج غيره."`
	// Now is the time by the clock of the place, by which all others are.
	Now     time.Time `json:"now" doc:"The time by the clock that all other times are of." ar:"الوقت بالساعة التي تُقاس بها كلّ الأوقات الأخرى."`
	View    View      `json:"view"`
	Results []Found   `json:"results" maxItems:"1000" doc:"Checks, in any order. What was handed in before counts once." ar:"فحوص، بأيّ ترتيب. وما سُلّم من قبل يُعدّ مرّة واحدة."`
	// Pages are what strangers are shown of the status page, where the place looks.
	Pages []PageLook `json:"pages,omitempty" maxItems:"4" doc:"Whether strangers are shown the status page as it should be, where the place looks; what isn't listed isn't looked at any more." ar:"هل يُعرض على الناس ما ينبغي من صفحة الحالة، حيث ينظر الموقع؛ وما لا يُذكر لم يعد يُنظر إليه."`
	// Leaving is set by the last report of a program that ends.
	Leaving bool `json:"leaving,omitempty" doc:"The program ends: another one may have its name at once." ar:"البرنامج ينتهي: فيجوز أن يحمل آخر اسمه فورًا."`
	// Dropped is how many results were given up in all, as the server was gone for too long.
	Dropped int64 `json:"dropped,omitempty" minimum:"0" doc:"How many results were given up before they could be handed in." ar:"كم نتيجة تُركت قبل أن يمكن تسليمها."`
}

// View is how a place sees what it watches.
type View struct {
	// CutOff is set while the place reaches nothing: then the rest is of before.
	CutOff bool `json:"cut_off,omitempty" doc:"The place reaches nothing, so it says nothing of what it watches." ar:"لا يصل الموقع إلى شيء، فلا يقول شيئًا عمّا يراقبه."`
	// Up are the monitors that have been up for long, and Seen all others of which something is
	// known.
	Up   []string `json:"up" maxItems:"20000" doc:"The monitors that are up." ar:"المراقَبات العاملة."`
	Seen []Seen   `json:"seen" maxItems:"20000" doc:"Those that are down, or were lately." ar:"المتعطّلة، أو التي كانت كذلك قبل قليل."`
}

// Seen is how a place sees a monitor.
type Seen struct {
	Monitor string    `json:"monitor" maxLength:"64"`
	Down    bool      `json:"down,omitempty"`
	Since   time.Time `json:"since"`
	Tried   []Try     `json:"tried,omitempty" maxItems:"10" doc:"The checks that have shown it to be down." ar:"الفحوص التي بيّنت أنّه متعطّل."`
}

// Try is a check that has shown a monitor to be down.
type Try struct {
	At    time.Time     `json:"at"` // when it had
	Error language.Text `json:"error"`
}

// Found is what a check of a monitor has found.
type Found struct {
	Monitor string `json:"monitor" maxLength:"64"`
	probe.Result
	// Place is where it was checked from; empty for the server's own place.
	Place string `json:"-"`
}

// PageLook is what a place finds of a public page, or of a copy of it, as strangers are shown it.
type PageLook struct {
	Page  string        `json:"page" enum:"page,copy"`
	URL   string        `json:"url" maxLength:"2000"`
	State string        `json:"state" enum:"same,differs,unknown" doc:"Unknown ends nothing that was said before." ar:"القيمة unknown لا تُنهي شيئًا مما قيل قبلها."`
	Since time.Time     `json:"since" doc:"Since when it differs." ar:"منذ متى يختلف."`
	Text  language.Text `json:"text" doc:"How it differs." ar:"كيف يختلف."`
}

// States of a PageLook.
const (
	PageSame    = "same"
	PageDiffers = "differs"
	PageUnknown = "unknown"
)

// Receipt is what the server says to a report.
type Receipt struct {
	// Now is the time by the server's clock.
	Now time.Time `json:"now"`
	// ClockOff is how many seconds the place's clock is behind, where the server has corrected
	// its times.
	ClockOff float64 `json:"clock_off_seconds"`
	// Kept and Refused are how many of the results were kept, now or before, and how many weren't.
	Kept    int `json:"kept"`
	Refused int `json:"refused"`
	// Version is that of the list of monitors that the place watches by now.
	Version string `json:"version"`
}

// Watchlist is what a place watches.
type Watchlist struct {
	Version  string    `json:"version"`
	Monitors []Monitor `json:"monitors"`
}

// versionOf names a list by what is in it.
func versionOf(monitors []Monitor) string {
	text, _ := json.Marshal(monitors) // it has nothing that JSON hasn't
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Errors of places.
var (
	ErrPlaceTaken   = errors.New("another program with this name is at work: give each place its own PROBE_NAME")
	ErrPlaceKey     = errors.New("an API key speaks for one place alone, and a place has one: make a key for each, or forget the place (DELETE /ops/probes/{name}) before it gets another key")
	ErrOwnPlace     = errors.New("this is what the server's own place is called: choose another PROBE_NAME")
	ErrTooManyPlace = errors.New("there are as many places as there can be: forget those that are no more")
	ErrNoPlace      = errors.New("there is no such place")
	ErrReport       = errors.New("this is no report of a place")
)

func wrongReport(field, en, ar string) error {
	return &httpapi.Invalid{Of: ErrReport, Field: "body." + field, Why: language.Text{En: en, Ar: ar}}
}

// problem says what is wrong with a report; nil if nothing is.
func (r *Report) problem() error {
	switch {
	case !IsPlace(r.Place):
		return wrongReport("place", "use lower-case letters, digits and '-', at most 32", "استعمل حروفًا لاتينية صغيرة وأرقامًا و'-'، 32 على الأكثر")
	case r.Instance == "" || len(r.Instance) > 64:
		return wrongReport("instance", "use from 1 to 64 characters", "استعمل من 1 إلى 64 حرفًا")
	case !isTime(r.Now):
		return wrongReport("now", "is no time of this century", "ليس وقتًا من هذا القرن")
	case len(r.Results) > maxReport:
		return wrongReport("results", "hand in at most 1000 at a time", "سلّم 1000 على الأكثر في المرة")
	case len(r.Pages) > maxPages || slices.ContainsFunc(r.Pages, PageLook.isWrong):
		return wrongReport("pages", "are at most 4, each a page or a copy that is same, differs or unknown", "4 على الأكثر، كل منها page أو copy وحالته same أو differs أو unknown")
	case len(r.View.Up)+len(r.View.Seen) > MaxMonitors:
		return wrongReport("view", "there can't be so many monitors", "لا يمكن أن يوجد هذا العدد")
	case slices.ContainsFunc(r.View.Seen, func(s Seen) bool { return !isTime(s.Since) || len(s.Tried) > maxTried }):
		return wrongReport("view.seen", "since is no time of this century, or more than 10 checks are listed", "الوقت ليس من هذا القرن، أو ذُكر أكثر من 10 فحوص")
	}
	return nil
}

func (l PageLook) isWrong() bool {
	return l.Page != "page" && l.Page != "copy" || !slices.Contains([]string{PageSame, PageDiffers, PageUnknown}, l.State) || l.State == PageDiffers && !isTime(l.Since)
}

func isTime(at time.Time) bool { return at.Year() >= 2020 && at.Year() < 2120 }

// tidy makes a report be of what is watched, its times be the server's, and its texts be fit
// for people. What the place may not say, or the server can't know, is left out.
func (r *Report) tidy(off time.Duration, now time.Time, watched map[string]Monitor) {
	foreign := func(id string) bool {
		m, there := watched[id]
		return !there || !m.isSeenFrom(r.Place)
	}
	moment := func(at time.Time) time.Time {
		if at = at.Add(off); at.After(now) {
			at = now
		}
		return at.UTC().Truncate(time.Millisecond)
	}
	said := map[string]bool{}
	again := func(id string) bool { // or a view could be as long as a report
		before := said[id]
		said[id] = true
		return before
	}
	r.View.Up = slices.DeleteFunc(r.View.Up, func(id string) bool { return foreign(id) || again(id) })
	r.View.Seen = slices.DeleteFunc(r.View.Seen, func(s Seen) bool { return foreign(s.Monitor) || again(s.Monitor) })
	listed := 0
	for i := range r.View.Seen {
		s := &r.View.Seen[i]
		s.Since = moment(s.Since)
		if len(s.Tried) > 0 {
			listed++
		}
		if listed > maxListed {
			s.Tried = nil
		}
		for j := range s.Tried {
			s.Tried[j] = Try{moment(s.Tried[j].At), tidied(s.Tried[j].Error)}
		}
	}
	for i := range r.Pages {
		l := &r.Pages[i]
		l.URL, l.Since, l.Text = language.Line(language.Cut(l.URL, maxTold)), moment(l.Since), tidied(l.Text)
	}
	r.Results = slices.DeleteFunc(r.Results, func(f Found) bool {
		at := f.At.Add(off)
		return foreign(f.Monitor) || at.After(now.Add(time.Minute)) || now.Sub(at) > rawFor
	})
	for i := range r.Results {
		f := &r.Results[i]
		f.Place, f.At, f.Error = r.Place, moment(f.At), tidied(f.Error)
		f.StatusCode = min(max(0, f.StatusCode), 999)
		for _, ms := range []*float64{&f.DNS, &f.Connect, &f.TLS, &f.FirstByte, &f.Total} {
			*ms = min(max(0, *ms), float64(maxEvery/time.Millisecond))
		}
		f.Failed = f.Failed[:min(len(f.Failed), maxTried)]
		for j, condition := range f.Failed {
			f.Failed[j] = language.Line(language.Cut(condition, maxTold))
		}
	}
	slices.SortStableFunc(r.Results, func(a, b Found) int { return cmp.Or(cmp.Compare(a.Monitor, b.Monitor), a.At.Compare(b.At)) })
	r.Dropped = min(max(0, r.Dropped), maxDropped)
}

// tidied is a text of somebody else, as it is shown to people.
func tidied(t language.Text) language.Text {
	return language.Text{En: language.Line(language.Cut(t.En, maxTold)), Ar: isolated(language.Cut(t.Ar, maxTold))}
}

// isolated is a line in which names may be isolated from the direction of the words around
// them, each up to its end.
func isolated(text string) string {
	open := 0
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\u2068' && open < maxTried:
			open++
		case r == '\u2069' && open > 0:
			open--
		case r == '\u2068' || r == '\u2069':
			return -1
		case !unicode.IsPrint(r):
			return ' '
		}
		return r
	}, text)
	return strings.TrimSpace(text) + strings.Repeat("\u2069", open)
}
