// Package design is how every page looks: one style sheet of tokens and components, the
// drawings that they need, and the rule that colours can be read. It knows no page.
package design

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

//go:embed design.css
var sheet string

// Stylesheet is the style sheet, with a page's own rules behind it.
func Stylesheet(b Brand, own string) []byte {
	return []byte(sheet + barRules + b.css() + own)
}

// Brand is what an owner of pages may change of the colours; what is empty stays as it is.
type Brand struct {
	// Light and Dark are the colour of links and buttons in each theme, as #0f6b5c.
	Light string `yaml:"light"`
	Dark  string `yaml:"dark"`
}

// css sets the accent, and on it white or black, whichever is read better.
func (b Brand) css() string {
	rule := func(colour string) string {
		if colour == "" {
			return ""
		}
		on := "#ffffff"
		if accent, err := ParseColour(colour); err != nil || Contrast(accent, white) < Contrast(accent, black) {
			on = "#000000"
		}
		return ":root { --accent: " + colour + "; --on-accent: " + on + "; }\n"
	}
	dark := rule(b.Dark)
	if dark != "" {
		dark = "@media (prefers-color-scheme: dark) { " + dark + "}\n"
	}
	light := rule(b.Light)
	if light != "" {
		light = "@media not (prefers-color-scheme: dark) { " + light + "}\n"
	}
	return light + dark
}

// Problems says what is wrong with the colours: those of texts have to be readable on the
// backgrounds that there are (WCAG 2.2, 1.4.3).
func (b Brand) Problems() (problems []string) {
	for _, theme := range []struct {
		name, colour, better string
		tokens               map[string]Colour
	}{{"light", b.Light, "darker", Light()}, {"dark", b.Dark, "lighter", Dark()}} {
		if theme.colour == "" {
			continue
		}
		colour, err := ParseColour(theme.colour)
		if err != nil {
			problems = append(problems, theme.name+": "+err.Error())
			continue
		}
		least := math.Inf(1)
		for _, background := range []string{"page", "panel"} {
			least = min(least, Contrast(colour, theme.tokens[background]))
		}
		if least < TextContrast {
			problems = append(problems, fmt.Sprintf("%s: has a contrast of %.1f to 1 with the page behind it, and texts need %.1f; use a %s colour", theme.name, math.Floor(least*10)/10, TextContrast, theme.better))
		}
	}
	return problems
}

// What WCAG 2.2 demands at level AA: of texts, and of what is drawn and has a meaning.
const (
	TextContrast    = 4.5
	DrawingContrast = 3.0
)

// Colour is a colour's red, green and blue, in sRGB.
type Colour [3]uint8

var (
	white = Colour{255, 255, 255}
	black = Colour{}
)

// ParseColour reads #0f6b5c. Its error is fit for whoever has written it.
func ParseColour(text string) (c Colour, err error) {
	n, parse := strconv.ParseUint(strings.TrimPrefix(text, "#"), 16, 32)
	if len(text) != 7 || text[0] != '#' || parse != nil {
		return c, errors.New("is no colour; write it in the form #0f6b5c, in quotes")
	}
	return Colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil //nolint:gosec // its bytes, one by one
}

// luminance is WCAG's relative luminance.
func (c Colour) luminance() float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// Contrast is how well one colour is seen on another one, from 1 to 21 (WCAG's ratio).
func Contrast(a, b Colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// Light are the colours of the light theme by their tokens' names, Dark those of the dark
// one.
func Light() map[string]Colour {
	light, _, _ := strings.Cut(sheet, darkTheme)
	return colours(light)
}

// Dark are those of the dark theme; see Light.
func Dark() map[string]Colour {
	_, dark, _ := strings.Cut(sheet, darkTheme)
	return colours(dark)
}

const darkTheme = "@media (prefers-color-scheme: dark)"

var token = regexp.MustCompile(`(?m)^\s*--([a-z-]+): (#[0-9a-f]{6});`)

func colours(css string) map[string]Colour {
	found := map[string]Colour{}
	for _, m := range token.FindAllStringSubmatch(css, -1) {
		found[m[1]], _ = ParseColour(m[2])
	}
	return found
}
