package design

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Everybody can read what is written, and see what is drawn (WCAG 2.2, 1.4.3 and 1.4.11), in both
// themes.
func TestColoursCanBeReadInBothThemes(t *testing.T) {
	t.Parallel()
	for theme, c := range map[string]map[string]Colour{"light": Light(), "dark": Dark()} {
		if len(c) < 20 {
			t.Fatalf("%s has %d colours", theme, len(c))
		}
		check := func(front, back string, least float64) {
			a, known := c[front]
			b, alsoKnown := c[back]
			if got := Contrast(a, b); !known || !alsoKnown || got < least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, and %.1f is needed", theme, front, back, got, least)
			}
		}
		states := []string{"up", "degraded", "partial", "down", "work", "unknown"}
		for _, back := range []string{"page", "panel", "code"} {
			for _, front := range append([]string{"ink", "soft", "accent"}, states...) {
				check(front, back, TextContrast)
			}
		}
		for _, back := range []string{"page", "panel"} {
			check("control", back, DrawingContrast)
			for _, s := range states {
				check(s+"-fill", back, DrawingContrast)
			}
		}
		for _, s := range states {
			check("on-state", s, TextContrast)
		}
		check("on-accent", "accent", TextContrast)
	}
}

// Where something can be written or pressed is seen in each of its states: its border differs from what
// is inside of it and from whatever page it is on (WCAG 2.2, 1.4.11).
func TestBordersOfInputsAreSeen(t *testing.T) {
	t.Parallel()
	border, background := regexp.MustCompile(`border: \d+px \w+ var\(--([a-z-]+)\)`), regexp.MustCompile(`background: var\(--([a-z-]+)\)`)
	for selector, inside := range map[string]string{
		"\ninput, select, textarea": "", "\n:is(input, select, textarea):disabled": "", "\n:is(input, select, textarea):is(:user-invalid, [aria-invalid=true])": "page",
		"\n.button:disabled": "panel", "\n.empty": "panel",
	} {
		_, rule, found := strings.Cut(sheet, selector+" {")
		rule, _, _ = strings.Cut(rule, "}")
		edge, back := border.FindStringSubmatch(rule), background.FindStringSubmatch(rule)
		if !found || edge == nil || back == nil && inside == "" {
			t.Errorf("%q: no border is found in %q", selector, rule)
			continue
		}
		if back != nil {
			inside = back[1]
		}
		for theme, c := range map[string]map[string]Colour{"light": Light(), "dark": Dark()} {
			for _, beside := range []string{inside, "page", "panel"} {
				if got := Contrast(c[edge[1]], c[beside]); got < DrawingContrast {
					t.Errorf("%q in %s: its border has a contrast of %.2f with %s", selector, theme, got, beside)
				}
			}
		}
	}
	if !strings.Contains(sheet, "\n:focus-visible { outline: 3px solid var(--accent)") { // whose contrast is that of texts
		t.Error("what has the focus isn't outlined")
	}
}

func TestThemesHaveTheSameColours(t *testing.T) {
	t.Parallel()
	light, dark := Light(), Dark()
	for name := range light {
		if _, there := dark[name]; !there {
			t.Errorf("%s has no dark colour", name)
		}
	}
	for name := range dark {
		if _, there := light[name]; !there {
			t.Errorf("%s has no light colour", name)
		}
	}
	// Rules behind the tokens use them, and no side of a page that isn't its reader's.
	_, rules, _ := strings.Cut(sheet, "* { box-sizing")
	rules, _, _ = strings.Cut(rules, "@media print")
	if found := regexp.MustCompile(`#[0-9a-f]{3,8}\b|(?:margin|padding|border)-(?:left|right)|[^-](?:left|right):`).FindAllString(rules, -1); found != nil {
		t.Errorf("the sheet has %q", slices.Compact(found))
	}
}

func TestABrandIsReadable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		brand Brand
		want  string // of the problem; empty for none
		css   string
	}{
		{Brand{}, "", ""},
		{Brand{Light: "#6b2fa0"}, "", "@media not (prefers-color-scheme: dark) { :root { --accent: #6b2fa0; --on-accent: #ffffff; }"},
		{Brand{Dark: "#c9a2f2"}, "", "@media (prefers-color-scheme: dark) { :root { --accent: #c9a2f2; --on-accent: #000000; }"},
		{Brand{Light: "#ffcc00"}, "light: has a contrast of 1.4 to 1 with the page behind it, and texts need 4.5; use a darker colour", ""},
		{Brand{Dark: "#222222"}, "dark: has a contrast of 1.", ""},
		{Brand{Light: "red"}, "light: is no colour", ""}, {Brand{Light: "#12345"}, "is no colour", ""}, {Brand{Light: "#+12345"}, "is no colour", ""}, {Brand{Light: "#} body{"}, "is no colour", ""},
	} {
		got := strings.Join(c.brand.Problems(), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c.brand, got)
		}
		if c.want == "" && !strings.Contains(string(Stylesheet(c.brand, "")), c.css) {
			t.Errorf("%+v isn't in the sheet", c.brand)
		}
	}
}

func TestALineStaysInItsDrawing(t *testing.T) {
	t.Parallel()
	for _, values := range [][]float64{nil, {0}, {5}, {0, 0, 0}, {1, 2, 3}, {-1, 4}} {
		if drawn := string(Line(values)); strings.Contains(drawn, "NaN") || strings.Contains(drawn, "Inf") {
			t.Errorf("%v: %s", values, drawn)
		}
	}
}
