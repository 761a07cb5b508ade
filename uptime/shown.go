package uptime

import (
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/language"
)

// shownPage is how a place finds that strangers are shown a page.
type shownPage struct {
	Page  string        `json:"page"`
	URL   string        `json:"url"`
	State string        `json:"state"`
	Text  language.Text `json:"text,omitzero"`
	// Differs is since when it differs, by what people were told; zero while they aren't told so.
	Differs docstore.Time `json:"differs,omitzero"`
}

func (l shownPage) look() PageLook { return PageLook{l.Page, l.URL, l.State, l.Differs.Time, l.Text} }

// judgePages takes what a place finds of pages. People are told when one differs, and of the end of
// that: by its being as it should be, or by nobody's looking any more. A place that was
// started again, or is cut off, says nothing, which changes nothing.
func (p *place) judgePages(looks []PageLook, now time.Time) {
	before := p.Pages
	p.Pages = nil
	for _, l := range looks {
		page := shownPage{Page: l.Page, URL: l.URL, State: l.State, Text: l.Text}
		if i := slices.IndexFunc(before, func(b shownPage) bool { return b.Page == l.Page }); i >= 0 {
			page.Differs = before[i].Differs
			before = slices.Delete(before, i, i+1)
		}
		switch {
		case l.State == PageDiffers && page.Differs.IsZero():
			page.Differs = docstore.At(l.Since)
			p.note(p.differsAlert(page), now)
		case l.State == PageSame && !page.Differs.IsZero():
			p.note(p.endOfPage(page, pageAgrees, now), now)
			page.Differs = docstore.Time{}
		}
		p.Pages = append(p.Pages, page)
	}
	for _, page := range before {
		if !page.Differs.IsZero() {
			p.note(p.endOfPage(page, pageForgotten, now), now)
		}
	}
}

// pageNames are what alerts call a page.
var pageNames = map[string]language.Text{
	"page": {En: "the status page", Ar: "صفحة الحالة"},
	"copy": {En: "the copy of the status page", Ar: "نسخة صفحة الحالة"},
}

// Titles of alerts, for what a page is called.
var (
	pageDiffers   = language.Text{En: "strangers aren’t shown # as it should be", Ar: "لا تظهر # للزوار كما ينبغي"}
	pageAgrees    = language.Text{En: "strangers are shown # as it should be again", Ar: "عادت # تظهر للزوار كما ينبغي"}
	pageForgotten = language.Text{En: "nobody looks any more how strangers are shown #", Ar: "لم يعد أحد يتحقق من # كما تظهر للزوار"}
)

func (p *place) pageAlert(page shownPage, title language.Text) Alert {
	name := pageNames[page.Page]
	return Alert{
		Kind: StatusDiffers, Occurrence: page.Page + "/" + page.Differs.String(), At: page.Differs,
		Title: aboutPlace(p.Name, strings.Replace(title.En, "#", name.En, 1), strings.Replace(title.Ar, "#", name.Ar, 1)),
	}
}

func (p *place) differsAlert(page shownPage) Alert {
	a := p.pageAlert(page, pageDiffers)
	a.Text = language.Text{
		En: "Looked at from there, as strangers do: " + page.URL + ". " + page.Text.En + " What caches may still have, or is being published, doesn’t count.",
		Ar: "بالنظر من هناك كما يفعل الزوار: " + language.Arabic.Isolate(page.URL) + ". " + page.Text.Ar + " ولا يُعدّ من ذلك ما قد تحتفظ به الذاكرات الوسيطة أو ما يجري نشره.",
	}
	return a
}

// endOfPage says that people needn't mind a page any more.
func (p *place) endOfPage(page shownPage, title language.Text, now time.Time) Alert {
	lasted := now.Sub(page.Differs.Time).Round(time.Second)
	a := p.pageAlert(page, title)
	a.Over, a.At = true, docstore.At(now)
	a.Text = language.Text{En: page.URL + ": it lasted " + language.English.Duration(lasted) + ".", Ar: language.Arabic.Isolate(page.URL) + ". المدة: " + language.Arabic.Duration(lasted) + "."}
	return a
}
