package console

import (
	"html/template"
	"math"
	"net/http"

	"manus/design"
	"manus/language"
)

// componentsPage shows the components that pages are made of, to those who make pages.
func (p *Pages) componentsPage(w http.ResponseWriter, r *http.Request) {
	type state struct {
		Class string
		Sign  template.HTML
		Word  language.Text
	}
	data := struct {
		frame
		Symbols, Bars, Chart template.HTML
		States               []state
	}{frame: p.frame(r), Symbols: design.Symbols}
	for _, s := range []struct {
		level design.Level
		word  language.Text
	}{
		{design.Up, language.Text{En: "Operational", Ar: "تعمل"}}, {design.Degraded, language.Text{En: "Degraded", Ar: "أداء متراجع"}},
		{design.Partial, language.Text{En: "Partial outage", Ar: "انقطاع جزئي"}}, {design.Down, language.Text{En: "Outage", Ar: "انقطاع"}},
		{design.Work, language.Text{En: "Maintenance", Ar: "صيانة"}}, {design.Unknown, language.Text{En: "Not known", Ar: "غير معروف"}},
	} {
		data.States = append(data.States, state{s.level.Class(), design.Sign(s.level), s.word})
	}
	levels := make([]design.Level, 90)
	values := make([]float64, 90)
	for i := range levels {
		levels[i] = design.Up
		values[i] = 40 + 12*math.Sin(float64(i)/5) + 6*math.Sin(float64(i)*1.7)
	}
	copy(levels, make([]design.Level, 12)) // not watched yet
	copy(levels[30:], []design.Level{design.Unknown, design.Unknown, design.Unknown})
	levels[48], levels[60], levels[61], levels[75] = design.Work, design.Degraded, design.Partial, design.Down
	data.Bars, data.Chart = design.Bars(levels), design.Line(values)
	p.show(w, r, http.StatusOK, "components.html", data)
}
