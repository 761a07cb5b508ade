package statuspage

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"manus/design"
	"manus/internal/words"
	"manus/language"
)

// Policy is what manus.yaml says of the page, under status_page.
type Policy struct {
	Title language.Text `yaml:"title"`
	// About is a sentence or two above everything else.
	About language.Text `yaml:"about"`
	// Home is where the title leads: the product's own address.
	Home string `yaml:"home"`
	// Logo is the path of a picture in place of Manus's; a relative one begins where manus.yaml is.
	Logo   string       `yaml:"logo"`
	Accent design.Brand `yaml:"accent"`
	// Components are what the page lists; none is the product's own monitors.
	Components []Listed `yaml:"components"`
	// PrivateWebhooks lets the webhooks of subscribers, who may be anybody, be at addresses of the own network.
	PrivateWebhooks bool `yaml:"private_webhooks"`
}

// Listed is a component as manus.yaml has it.
type Listed struct {
	ID       string        `yaml:"id"`
	Name     language.Text `yaml:"name"`
	About    language.Text `yaml:"about"`
	Group    language.Text `yaml:"group"`
	Monitors []string      `yaml:"monitors"` // ids of monitors
}

// Concerns tells whether one of the ids is the component's, or that of a monitor of it.
func (l Listed) Concerns(ids ...string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return id != "" && (id == l.ID || slices.Contains(l.Monitors, id)) })
}

// Bounds of what it may say.
const (
	MaxComponents = 200
	maxMonitors   = 20 // of a component
	maxName       = 100
	maxAbout      = 500
)

var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Problems says what is wrong with it, where these are the monitors that there are.
func (p Policy) Problems(monitors ...string) (problems []string) {
	add := func(place, why string) {
		if why != "" {
			problems = append(problems, "status_page."+place+": "+why)
		}
	}
	add("title", lineProblem(p.Title, maxName))
	add("about", lineProblem(p.About, maxAbout))
	if u, err := url.Parse(p.Home); p.Home != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(p.Home) > 2000) {
		add("home", "is no address; use the form https://example.com")
	}
	for _, problem := range p.Accent.Problems() {
		problems = append(problems, "status_page.accent."+problem)
	}
	if len(p.Components) > MaxComponents {
		add("components", "list at most "+words.Count(MaxComponents, "component"))
		return problems
	}
	seen := map[string]bool{}
	for i, c := range p.Components {
		at := func(field string) string { return fmt.Sprintf("components[%d].%s", i, field) }
		switch {
		case !validID.MatchString(c.ID):
			add(at("id"), "is lower-case letters, digits, '-', '_' and '.', at most 64")
		case seen[c.ID]:
			add(at("id"), "is that of another component, too")
		case strings.HasSuffix(c.ID, ".json"), strings.HasSuffix(c.ID, ".ar"):
			add(at("id"), "ends in .json or .ar, which is the address of something else; use another one")
		}
		seen[c.ID] = true
		if c.Name == (language.Text{}) {
			add(at("name"), "is missing; write {en: API, ar: الواجهة}, or one of the two")
		}
		add(at("name"), lineProblem(c.Name, maxName))
		add(at("about"), lineProblem(c.About, maxAbout))
		add(at("group"), lineProblem(c.Group, maxName))
		if len(c.Monitors) > maxMonitors {
			add(at("monitors"), "list at most "+words.Count(maxMonitors, "monitor"))
		}
		for _, m := range c.Monitors {
			if !slices.Contains(monitors, m) {
				add(at("monitors"), "names a monitor that isn't in 'monitors'; the product's own are health, ready and homepage")
				break
			}
		}
	}
	return problems
}

// lineProblem is what is wrong with a text of one line; empty where nothing is.
func lineProblem(text language.Text, most int) string {
	for _, one := range []string{text.En, text.Ar} {
		if len([]rune(one)) > most || strings.ContainsFunc(one, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return "is one line of at most " + words.Count(int64(most), "character")
		}
	}
	return ""
}

func (p Policy) title() language.Text {
	return language.Text{En: cmp.Or(p.Title.En, p.Title.Ar, "Status"), Ar: cmp.Or(p.Title.Ar, p.Title.En, "حالة الخدمة")}
}

// ReadLogo reads the picture that the policy names, below a folder; the zero Picture where
// it names none. Its errors are fit for whoever has written the policy.
func (p Policy) ReadLogo(dir string) (design.Picture, error) {
	if p.Logo == "" {
		return design.Picture{}, nil
	}
	path := p.Logo
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	picture, err := design.ReadPicture(path)
	if err != nil {
		err = fmt.Errorf("status_page.logo: %w", err)
	}
	return picture, err
}
