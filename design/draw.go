package design

import (
	"html/template"
	"strconv"
)

// Level is what a bar shows of its time. Trouble stands higher the worse it is.
type Level int

// The levels. Of none there is no bar, only the line that it would stand on.
const (
	None     Level = iota // nothing was known yet
	Up                    // no trouble
	Work                  // maintenance
	Unknown               // nobody looked
	Degraded              // some trouble
	Partial               // much
	Down                  // most of the time
)

// Bars are drawn as one path for each level: a line as wide as the bars are high, dashed so
// that each day is a dash. A day is 4 units wide with its gap, and the drawing 34 high.
const (
	dayWidth   = 4
	dash       = "3 1"
	barsHeight = 34
)

var barStyles = [...]struct {
	class  string
	height int
	stroke string // a pattern's reference, where it isn't the class's colour
}{
	None: {"none", 2, ""}, Up: {"up", 22, ""}, Work: {"work", 14, ""}, Unknown: {"unknown", 22, "url(#hatch)"},
	Degraded: {"degraded", 26, ""}, Partial: {"partial", 30, ""}, Down: {"down", barsHeight, ""},
}

// barRules are what all bars of a level have: in the style sheet, as pages have hundreds of them.
var barRules = func() string {
	rules := ".bars path { stroke-dasharray: " + dash + "; }\n"
	for _, style := range barStyles {
		rules += ".bars ." + style.class + " { stroke-width: " + strconv.Itoa(style.height) + "; }\n"
	}
	return rules
}()

// AppendBars appends a drawing of the levels, the oldest first, to HTML. [Symbols] has to stand
// in the page, and its style sheet is [Stylesheet]. What it says has to be said in words beside it: it is hidden from those who
// don't see it.
func AppendBars(to []byte, levels []Level) []byte {
	width := len(levels)*dayWidth - 1
	to = append(to, `<svg class="bars" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 `...)
	to = strconv.AppendInt(to, int64(width), 10)
	to = append(to, ` 34">`...)
	for level, style := range barStyles {
		open := false
		for from := 0; from < len(levels); {
			until := from
			for until < len(levels) && levels[until] == Level(level) {
				until++
			}
			if until == from {
				from++
				continue
			}
			if !open {
				open = true
				to = append(to, `<path class="`...)
				to = append(to, style.class...)
				if style.stroke != "" {
					to = append(to, `" stroke="`...)
					to = append(to, style.stroke...)
				}
				to = append(to, `" d="`...)
			}
			to = append(to, 'M')
			to = strconv.AppendInt(to, int64(from*dayWidth), 10)
			to = append(to, ' ')
			to = strconv.AppendInt(to, int64(barsHeight-style.height/2), 10)
			to = append(to, 'h')
			to = strconv.AppendInt(to, int64((until-from)*dayWidth-1), 10)
			from = until
		}
		if open {
			to = append(to, `"/>`...)
		}
	}
	return append(to, `</svg>`...)
}

// Bars is AppendBars for templates.
func Bars(levels []Level) template.HTML {
	return template.HTML(AppendBars(nil, levels)) //nolint:gosec // numbers, and words of ours
}

// Symbols are what drawings refer to. It stands once in a page that has bars or signs.
var Symbols = func() template.HTML {
	all := `<svg class="unseen" aria-hidden="true" width="0" height="0"><pattern id="hatch" class="hatch" width="4" height="4" patternUnits="userSpaceOnUse"><path d="M-1 1l2-2M0 4l4-4M3 5l2-2"/></pattern>`
	for level, path := range signs {
		all += `<symbol id="` + barStyles[level].class + `" viewBox="0 0 16 16"><path d="` + path + `"/></symbol>`
	}
	return template.HTML(all + `</svg>`) //nolint:gosec // words of ours
}()

// Line draws values in order, none below 0, from the left edge to the right one.
func Line(values []float64) template.HTML {
	const width, height = 600, 100
	highest := 0.0
	for _, v := range values {
		highest = max(highest, v)
	}
	var points []byte
	for i, v := range values {
		x := float64(i) * width / float64(max(1, len(values)-1))
		y := float64(height)
		if highest > 0 {
			y = height - max(0, v)/highest*(height-4)
		}
		points = append(points, "ML"[min(i, 1)])
		points = strconv.AppendFloat(points, x, 'f', 1, 64)
		points = append(points, ' ')
		points = strconv.AppendFloat(points, y, 'f', 1, 64)
	}
	line := string(points)
	//nolint:gosec // numbers, and words of ours
	return template.HTML(`<svg class="chart" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 600 100"><path class="area" d="` + line + `V100H0z"/><path class="line" d="` + line + `"/></svg>`)
}

// Sign is the sign of a state, beside its word: a shape of its own, as colours aren't seen by
// everybody. Symbols has to stand in the page.
func Sign(l Level) template.HTML {
	return template.HTML(`<svg class="sign" aria-hidden="true"><use href="#` + l.Class() + `"/></svg>`) //nolint:gosec // words of ours
}

// signs are a tick, a minus, a triangle, a spanner, a question mark and a cross, each cut out of its shape.
var signs = [...]string{
	None:     "M8 0a8 8 0 1 0 0 16A8 8 0 0 0 8 0zm0 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2z",
	Up:       "M8 0a8 8 0 1 0 0 16A8 8 0 0 0 8 0zm3.9 6.6-4.6 5a1 1 0 0 1-1.5 0L4 9.7a1 1 0 0 1 1.4-1.4l1.1 1.2 3.9-4.3a1 1 0 1 1 1.5 1.4z",
	Work:     "M8 0a8 8 0 1 0 0 16A8 8 0 0 0 8 0zm1 4v3.6l2.4 1.4a1 1 0 1 1-1 1.7L7.5 9a1 1 0 0 1-.5-.9V4a1 1 0 1 1 2 0z",
	Unknown:  "M8 0a8 8 0 1 0 0 16A8 8 0 0 0 8 0zm-.9 11.1h1.8v1.7H7.1zM8 3.2c1.7 0 2.9 1 2.9 2.6 0 1.2-.7 1.8-1.3 2.3-.5.4-.8.7-.8 1.3v.4H7.2v-.5c0-1.3.7-1.9 1.3-2.4.4-.4.7-.6.7-1.1S8.7 4.8 8 4.8s-1.3.4-1.4 1.2H5c.1-1.7 1.3-2.8 3-2.8z",
	Degraded: "M1 1h14v14H1zm3 6v2h8V7z",
	Partial:  "M8 .6 16 15H0zM7.1 6v4.5h1.8V6zm0 5.6v1.7h1.8v-1.7z",
	Down:     "M4.7 0h6.6L16 4.7v6.6L11.3 16H4.7L0 11.3V4.7zM5.3 4 4 5.3 6.7 8 4 10.7 5.3 12 8 9.3l2.7 2.7 1.3-1.3L9.3 8 12 5.3 10.7 4 8 6.7z",
}

// Class is the style sheet's class of a level.
func (l Level) Class() string { return barStyles[l].class }
