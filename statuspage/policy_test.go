package statuspage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"manus/design"
	"manus/language"
)

func TestWhatIsWrongWithAPageIsSaidWithItsPlace(t *testing.T) {
	t.Parallel()
	name := language.Text{En: "API"}
	for _, c := range []struct {
		policy Policy
		want   string // empty: nothing is wrong
	}{
		{Policy{}, ""},
		{Policy{Title: name, Home: "https://example.com/a", Components: []Listed{{ID: "api", Name: name, Monitors: []string{"health"}}, {ID: "web.2_x-y", Name: language.Text{Ar: "الموقع"}}}}, ""},
		{Policy{Title: language.Text{En: "a\nb"}}, "status_page.title: is one line"},
		{Policy{About: language.Text{Ar: strings.Repeat("ا", 501)}}, "status_page.about: is one line of at most 500 characters"},
		{Policy{Home: "javascript:alert(1)"}, "status_page.home: is no address"},
		{Policy{Home: "//example.com"}, "status_page.home: is no address"},
		{Policy{Components: []Listed{{ID: "API", Name: name}}}, "status_page.components[0].id: is lower-case"},
		{Policy{Components: []Listed{{ID: "../x", Name: name}}}, "status_page.components[0].id: is lower-case"},
		{Policy{Components: []Listed{{ID: "api.json", Name: name}}}, "status_page.components[0].id: ends in .json"},
		{Policy{Components: []Listed{{ID: "a", Name: name}, {ID: "a", Name: name}}}, "status_page.components[1].id: is that of another"},
		{Policy{Components: []Listed{{ID: "a"}}}, "status_page.components[0].name: is missing"},
		{Policy{Components: []Listed{{ID: "a", Name: name, Monitors: []string{"health", "shop"}}}}, "status_page.components[0].monitors: names a monitor that isn't in 'monitors'"},
		{Policy{Components: []Listed{{ID: "a", Name: name, Monitors: make([]string, 21)}}}, "list at most 20 monitors"},
		{Policy{Components: make([]Listed, 201)}, "list at most 200 components"},
		{Policy{Accent: design.Brand{Light: "#ffcc00"}}, "status_page.accent.light: has a contrast of 1.4 to 1"},
		{Policy{Accent: design.Brand{Dark: "red"}}, "status_page.accent.dark: is no colour"},
	} {
		got := strings.Join(c.policy.Problems("health"), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestALogoIsAPicture(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct{ body, kind, wrong string }{
		"a.svg":    {"<?xml version=\"1.0\"?><!-- x --><svg xmlns=\"http://www.w3.org/2000/svg\"/>", "image/svg+xml", ""},
		"a.png":    {"\x89PNG\r\n\x1a\nxx", "image/png", ""},
		"a.jpg":    {"\xff\xd8\xffxx", "image/jpeg", ""},
		"a.webp":   {"RIFF0000WEBPVP8 ", "image/webp", ""},
		"page.svg": {"<html><svg/></html>", "", "is no picture that is known"},
		"text.png": {"hello", "", "is no picture that is known"},
		"empty":    {"", "", "is no picture that is known"},
		"big.png":  {"\x89PNG\r\n\x1a\n" + strings.Repeat("x", 64<<10), "", "larger than 64 KiB"},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(c.body), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Policy{Logo: name}.ReadLogo(dir)
		if got.Type != c.kind || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %q, %v", name, got.Type, err)
		}
	}
	for _, name := range []string{"none.svg", "."} {
		if _, err := (Policy{Logo: name}).ReadLogo(dir); err == nil {
			t.Errorf("%s is a picture", name)
		}
	}
	logo, err := Policy{Logo: filepath.Join(dir, "a.svg")}.ReadLogo("/elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	h := refreshed(t, busy(), func(s *Settings) { s.Picture = logo })
	w := get(t, h, "/"+h.site.Load().logo)
	if w.Header().Get("Content-Type") != "image/svg+xml" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%v", w.Header())
	}
}
