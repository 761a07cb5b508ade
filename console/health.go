package console

import (
	"cmp"
	"html/template"
	"maps"
	"net/http"
	"slices"

	"golang.org/x/text/number"

	"manus/design"
	"manus/health"
	"manus/language"
)

// healthPage says how the program stands.
type healthPage struct {
	frame
	message
	Symbols template.HTML
	State   design.Level
	Checks  []shownCheck
	Hints   []string
	Ready   bool // it is about that, and not about whether the program runs
}

// Sign is that of the whole.
func (h healthPage) Sign() template.HTML { return design.Sign(h.State) }

// Class is that of the whole.
func (h healthPage) Class() string { return h.State.Class() }

// shownCheck is how one thing stands that the program depends on.
type shownCheck struct {
	Name    string
	Title   language.Text
	State   language.Text
	Class   string
	Sign    template.HTML
	Latency string // empty where nothing was asked
}

// ShowHealth shows people what /health and, with how the program stands, /ready tell programs.
func (p *Pages) ShowHealth(w http.ResponseWriter, r *http.Request, ready *health.Readiness) bool {
	page, status := healthPage{frame: p.frame(r), message: running, Symbols: design.Symbols, State: design.Up}, http.StatusOK
	if ready != nil {
		stands := readiness[ready.Status]
		page.Ready, page.message, page.State, page.Hints = true, stands.message, stands.level, ready.Hints
		page.Checks, status = shownChecks(page.Lang, ready.Checks), ready.HTTPStatus()
	}
	return p.shown(w, r, status, "health.html", page)
}

// shownChecks are checks by their names.
func shownChecks(tag language.Tag, checks map[string]health.Result) (all []shownCheck) {
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		result := checks[name]
		state := results[result.Status]
		shown := shownCheck{Name: name, Title: cmp.Or(checkNames[name], language.Text{En: name}), State: state.word, Class: state.level.Class(), Sign: design.Sign(state.level)}
		if result.Status != health.Skipped {
			shown.Latency = milliseconds.Quoting(tag.Number(result.LatencyMS, number.MaxFractionDigits(1))).In(tag)
		}
		all = append(all, shown)
	}
	return all
}

var (
	running = message{
		language.Text{En: "The program runs", Ar: "البرنامج يعمل"},
		language.Text{En: "It answers. Whether it can do its work is another question.", Ar: "إنّه يجيب. أمّا قدرته على أداء عمله فسؤال آخر."},
	}
	readiness = map[health.Status]struct {
		message
		level design.Level
	}{
		health.Ready: {message{
			language.Text{En: "It is ready", Ar: "الخدمة جاهزة"},
			language.Text{En: "What it depends on works.", Ar: "كلّ ما تعتمد عليه يعمل."},
		}, design.Up},
		health.Degraded: {message{
			language.Text{En: "It is ready, but something fails", Ar: "الخدمة جاهزة، لكنّ شيئًا يتعطّل"},
			language.Text{En: "It can do its work without what fails below.", Ar: "يمكنها أداء عملها بدون ما يتعطّل أدناه."},
		}, design.Degraded},
		health.Unavailable: {message{
			language.Text{En: "It isn't ready", Ar: "الخدمة غير جاهزة"},
			language.Text{En: "It can't do its work just now, or is about to stop.", Ar: "لا يمكنها أداء عملها الآن، أو هي على وشك التوقّف."},
		}, design.Down},
	}
	results = map[health.Status]struct {
		word  language.Text
		level design.Level
	}{
		health.OK:      {language.Text{En: "Works", Ar: "يعمل"}, design.Up},
		health.Failed:  {language.Text{En: "Fails", Ar: "متعطّل"}, design.Down},
		health.Skipped: {language.Text{En: "Not set up", Ar: "غير مُعدّ"}, design.None},
	}
	checkNames = map[string]language.Text{
		"database": {En: "Database", Ar: "قاعدة البيانات"}, "mongodb": {En: "Database (MongoDB)", Ar: "قاعدة البيانات (MongoDB)"},
		"redis": {En: "Redis", Ar: "خادم Redis"}, "limits": {En: "Shared counts of limits", Ar: "عدّ الحدود المشترك"}, "stripe": {En: "Payments (Stripe)", Ar: "الدفع (Stripe)"},
	}
	milliseconds = language.Text{En: "# ms", Ar: "# مللي ثانية"}
)
