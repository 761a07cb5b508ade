package statuspage

import (
	"html/template"
	"strings"
	"time"

	"manus/design"
	"manus/language"
)

// writer writes the list of components, which a page has many of: appending is a hundred
// times as fast as a template. What comes from outside goes through text.
type writer struct {
	out   []byte
	tag   language.Tag
	links links
	// durations are those that were written before: most components have the same few.
	durations map[time.Duration]string
	levels    [HistoryDays]design.Level
	ago, now  string // the ends of the bars' scale
}

// rowsIn is the list of all components, in their groups.
func (v *view) rowsIn(tag language.Tag, l links) template.HTML {
	w := &writer{
		out: make([]byte, 0, 4096+900*len(v.Rows)), tag: tag, links: l, durations: map[time.Duration]string{},
		ago: daysAgo.In(tag, HistoryDays), now: today.In(tag),
	}
	open := false // a list
	list := func(is bool) {
		if is && !open {
			w.raw(`<ul class="rows panel">`)
		}
		if !is && open {
			w.raw(`</ul>`)
		}
		open = is
	}
	for i := range v.Groups {
		g := &v.Groups[i]
		if g.Name == (language.Text{}) {
			list(true)
			w.row(&g.Rows[0], "h3")
			continue
		}
		list(false)
		w.group(g)
	}
	list(false)
	return template.HTML(w.out) //nolint:gosec // what isn't ours has gone through text
}

func (w *writer) raw(parts ...string) {
	for _, part := range parts {
		w.out = append(w.out, part...)
	}
}

func (w *writer) text(s string) { w.raw(template.HTMLEscapeString(s)) }

func (w *writer) group(g *group) {
	w.raw(`<details class="group panel"`)
	if g.Status != Operational {
		w.raw(` open`)
	}
	w.raw(`><summary><h3>`)
	w.text(g.Name.In(w.tag))
	w.raw(`</h3>`)
	w.status(g.Status)
	w.raw(`</summary><ul class="rows">`)
	for i := range g.Rows {
		w.row(&g.Rows[i], "h4")
	}
	w.raw(`</ul></details>`)
}

// status writes how something is: by a word and a sign, and a colour.
func (w *writer) status(s Status) {
	w.raw(`<span class="badge `, s.level().Class(), `">`, string(design.Sign(s.level())))
	w.text(statusWords[s].In(w.tag))
	w.raw(`</span>`)
}

func (w *writer) row(r *row, heading string) {
	w.raw(`<li><div class="name" data-is="component/`)
	w.text(r.ID)
	w.raw(`"><`, heading, `><a href="`)
	w.text(w.links.to("status/components/" + r.ID))
	w.raw(`">`)
	w.text(r.Name.In(w.tag))
	w.raw(`</a></`, heading, `>`)
	w.status(r.Status)
	w.raw(`</div>`)
	if about := r.About.In(w.tag); about != "" {
		w.raw(`<p class="soft about">`)
		w.text(about)
		w.raw(`</p>`)
	}
	if r.IsMeasured() {
		w.bars(r)
		w.raw(`<p class="scale"><span>`, w.ago, `</span><span>`)
		w.raw(`<a href="`)
		w.text(w.links.to(openedPath(r.ID)))
		w.raw(`">`)
		w.figures(r.Total)
		w.raw(`</a></span><span>`, w.now, `</span></p>`)
	}
	w.raw(`</li>`)
}

func (w *writer) bars(r *row) {
	for i := range r.Days {
		w.levels[i] = r.Days[i].level()
	}
	w.out = design.AppendBars(w.out, w.levels[:])
}

// figures are for how much of the time it was up, and for how long it was not, or nobody knows.
func (w *writer) figures(d Day) {
	percent := d.percent()
	part := func(text language.Text, d time.Duration) {
		w.raw(strings.Replace(text.In(w.tag), "#", w.duration(max(d, time.Second)), 1))
	}
	if percent != "" {
		w.raw(`<b><bdi>`, percent, `</bdi></b> · `)
	}
	switch {
	case d.Down > 0:
		part(down, d.Down)
	case d.Trouble > 0:
		w.raw(`<b>`, noOutage.In(w.tag), `</b> · `)
		part(troubled, d.Trouble)
	case percent == "":
		w.raw(noFigures.In(w.tag))
		return
	default:
		w.raw(noDown.In(w.tag))
	}
	if d.Unknown >= time.Minute {
		w.raw(` · `, strings.Replace(notKnown.In(w.tag), "#", w.duration(d.Unknown), 1))
	}
}

func (w *writer) duration(d time.Duration) string {
	d = d.Truncate(time.Second)
	text, known := w.durations[d]
	if !known {
		text = w.tag.Duration(d)
		w.durations[d] = text
	}
	return text
}
