package incident

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"manus/language"
)

// Policy is manus.yaml's section of incidents.
type Policy struct {
	// Templates are what incidents can be opened with in a hurry.
	Templates []Template `yaml:"templates"`
	// Tell is when people who have asked for it are told.
	Tell Telling `yaml:"tell"`
}

// Template says of an incident what whoever opens it doesn't.
type Template struct {
	ID         string   `yaml:"id" json:"id"`
	Title      string   `yaml:"title" json:"title"`
	TitleAr    string   `yaml:"title_ar" json:"title_ar"`
	Severity   Severity `yaml:"severity" json:"severity" enum:"minor,major,critical"`
	Components []string `yaml:"components" json:"components"`
	Text       string   `yaml:"text" json:"text" doc:"Markdown." ar:"بصيغة Markdown."`
	TextAr     string   `yaml:"text_ar" json:"text_ar"`
}

const maxTemplates = 100

var validTemplate = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// DefaultPolicy has no templates.
func DefaultPolicy() Policy {
	return Policy{Templates: []Template{}, Tell: Telling{Together: time.Minute, AutomaticAfter: 5 * time.Minute}}
}

// Bounds of when people are told.
const (
	maxTogether  = time.Hour
	maxAutomatic = 366 * 24 * time.Hour
)

// Problems says what is wrong with a policy.
func (p Policy) Problems() (problems []string) {
	if len(p.Templates) > maxTemplates {
		return []string{fmt.Sprintf("incidents.templates: list at most %d", maxTemplates)}
	}
	if p.Tell.Together < 0 || p.Tell.Together > maxTogether {
		problems = append(problems, "incidents.tell.together: use 0s to 1h")
	}
	if p.Tell.AutomaticAfter < 0 || p.Tell.AutomaticAfter > maxAutomatic {
		problems = append(problems, "incidents.tell.automatic_after: use 0s to 8784h")
	}
	seen := map[string]bool{}
	for n, t := range p.Templates {
		wrong := func(err error) {
			problems = append(problems, fmt.Sprintf("incidents.templates[%d].%s", n, err))
		}
		if !validTemplate.MatchString(t.ID) {
			wrong(invalid("id", "use at most 64 lower-case letters, digits, '-' and '_'", ""))
		} else if seen[t.ID] {
			wrong(invalid("id", "is the same as an earlier template's; give each its own", ""))
		}
		seen[t.ID] = true
		o := t.Over(Opening{})
		i := Incident{Title: o.Title, Severity: cmp.Or(o.Severity, Major), Components: o.Components}
		if err := cmp.Or(i.check(), checkText(o.Text, true)); err != nil {
			wrong(err)
		}
	}
	return problems
}

// Over is an opening with what it doesn't say from the template.
func (t Template) Over(o Opening) Opening {
	if trim(o.Title) == (language.Text{}) {
		o.Title = trim(language.Text{En: t.Title, Ar: t.TitleAr})
	}
	if trim(o.Text) == (language.Text{}) {
		o.Text = trim(language.Text{En: t.Text, Ar: t.TextAr})
	}
	if len(o.Components) == 0 {
		o.Components = t.Components
	}
	o.Severity = cmp.Or(o.Severity, t.Severity)
	return o
}

// Templates are what incidents can be opened with.
func (s *Service) Templates() []Template { return s.policy.Load().Templates }

// Telling is when people are told of updates.
func (s *Service) Telling() Telling { return s.policy.Load().Tell }

// fill is an opening with what its template says.
func (p *Policy) fill(o Opening) (Opening, error) {
	if o.Template == "" {
		return o, nil
	}
	k := slices.IndexFunc(p.Templates, func(t Template) bool { return t.ID == o.Template })
	if k >= 0 {
		return p.Templates[k].Over(o), nil
	}
	var ids []string
	for _, t := range p.Templates {
		ids = append(ids, t.ID)
	}
	en, ar := "there is none of that id; manus.yaml has no templates (incidents.templates)", "لا يوجد قالب بهذا المعرّف؛ لا قوالب في manus.yaml"
	if len(ids) > 0 {
		en, ar = "there is none of that id; there are: "+strings.Join(ids, ", "), "لا يوجد قالب بهذا المعرّف؛ القوالب: "+language.Arabic.Isolate(strings.Join(ids, ", "))
	}
	return o, invalid("template", en, ar)
}
