package statuspage

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"

	"manus/language"
)

// Shown is what strangers should find at a moment, and where.
type Shown struct {
	// Policy is the Content-Security-Policy of pages; empty where they needn't have one.
	Policy string      `json:"policy,omitempty"`
	Files  []ShownFile `json:"files"` // none where it isn't known where strangers find them
}

// ShownFile is one of the files: a page in a language, or JSON, which has none.
type ShownFile struct {
	URL      string       `json:"url"`
	Language language.Tag `json:"language,omitempty"`
	Body     string       `json:"body"`
}

// summary is the JSON that says how everything is.
const summary = "api/v2/summary.json"

// Shown is what is answered now. It returns ErrNothingRead.
func (s *Service) Shown() (Shown, error) {
	now := s.site.Load()
	if now == nil {
		return Shown{}, ErrNothingRead
	}
	shown := Shown{Policy: policy}
	url := strings.TrimSuffix(now.settings.URL, "/")
	if url == "" {
		return shown, nil
	}
	page := url + "/" + mainPage
	if now.settings.Root {
		page = url + "/"
	}
	for _, tag := range languages {
		shown.Files = append(shown.Files, ShownFile{page, tag, string(now.files[mainPage][tag].plain().body)})
	}
	shown.Files = append(shown.Files, ShownFile{url + "/" + summary, "", string(now.files[summary].in("").plain().body)})
	return shown, nil
}

// copied is what strangers should find of the files of a page, at their root's URL.
func copied(files map[string][]byte, url string) (shown Shown) {
	url = strings.TrimSuffix(url, "/") + "/"
	for _, tag := range languages {
		name := fileName(mainPage, tag)
		shown.Files = append(shown.Files, ShownFile{url + strings.TrimPrefix(name, "index.html"), tag, string(files[name])})
	}
	shown.Files = append(shown.Files, ShownFile{url + summary, "", string(files[summary])})
	return shown
}

// said is what a file tells: when it is from, and what is so by it, such as how a component is. Proxies may
// pack it otherwise, and write its markup anew; the words stay.
type said struct {
	at  time.Time
	tag language.Tag
	is  map[string]string
}

// In the HTML of a page, markFact is on what says something that can be compared, and markAge on
// the time that it is from.
const (
	markFact = "data-is"
	markAge  = "data-updated"
)

var errForeign = errors.New("it is no status page")

// read reads a file of ours, or what is answered in its place. It returns errForeign for what tells nothing.
func (f ShownFile) read(body []byte) (s said, err error) {
	s.is = map[string]string{}
	if f.Language == "" {
		err = s.readJSON(body)
	} else {
		err = s.readHTML(body)
	}
	if err != nil || s.at.IsZero() || len(s.is) == 0 {
		return s, errForeign
	}
	return s, nil
}

func (s *said) readJSON(body []byte) error {
	type entry struct {
		ID, Name, Status, Impact string
		Updates                  []struct{ Status, Body string } `json:"incident_updates"`
	}
	var answer struct {
		Page struct {
			UpdatedAt time.Time `json:"updated_at"`
		}
		Status                struct{ Indicator, Description string }
		Components, Incidents []entry
		Works                 []entry `json:"scheduled_maintenances"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	s.at, s.is["overall"] = answer.Page.UpdatedAt, answer.Status.Description+" ("+answer.Status.Indicator+")"
	for kind, entries := range map[string][]entry{"component": answer.Components, "incident": answer.Incidents, "work": answer.Works} {
		for _, e := range entries {
			text := e.Name + " " + e.Status + " " + e.Impact
			for _, u := range e.Updates {
				text += " " + u.Status + " " + u.Body
			}
			s.is[kind+"/"+e.ID] = joinedWords(text)
		}
	}
	return nil
}

func (s *said) readHTML(body []byte) error {
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return err
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "html" {
			s.tag = language.Tag(attribute(n, "lang"))
		}
		if key := attribute(n, markFact); key != "" {
			s.is[key] = joinedWords(s.is[key] + " " + textIn(n))
		}
		if n.Data == "time" && n.Parent != nil && hasAttribute(n.Parent, markAge) {
			s.at, _ = time.Parse(time.RFC3339, attribute(n, "datetime")) // what is none is zero
		}
	}
	return nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func hasAttribute(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func textIn(n *html.Node) string {
	var text strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			text.WriteString(d.Data + " ")
		}
	}
	return text.String()
}

// joinedWords is a text in which spaces are one.
func joinedWords(text string) string { return strings.Join(strings.Fields(text), " ") }

// unlike says in which way something differs from what may be shown by now: the oldest is first. It is
// empty where it doesn't.
func (s said) unlike(allowed []said, within time.Duration) language.Text {
	last := allowed[len(allowed)-1]
	oldest := last.at.Add(-within)
	for _, a := range allowed {
		if a.at.Before(oldest) {
			oldest = a.at
		}
	}
	if s.at.Before(oldest) {
		old := last.at.Sub(s.at).Truncate(time.Second)
		return language.Text{
			En: "It is " + language.English.Duration(old) + " older than what there is.",
			Ar: "هي أقدم من الموجود بـ" + language.Arabic.Duration(old) + ".",
		}
	}
	keys := map[string]bool{}
	for key := range s.is {
		keys[key] = true
	}
	for key := range last.is {
		keys[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.ContainsFunc(allowed, func(a said) bool { return a.is[key] == s.is[key] }) {
			return instead(s.is[key], last.is[key])
		}
	}
	return language.Text{}
}

// maxQuoted bounds what is quoted of a page, in characters.
const maxQuoted = 80

// instead says what is shown, and what should be.
func instead(shown, is string) language.Text {
	shown, is = apart(shown, is)
	nothing := language.Text{En: "nothing", Ar: "لا شيء"}
	quoted := func(tag language.Tag, text string) string {
		if text == "" {
			return nothing.In(tag)
		}
		return tag.Quote("“" + language.Cut(text, maxQuoted) + "”")
	}
	return language.Text{
		En: "Shown is " + quoted(language.English, shown) + " where it should be " + quoted(language.English, is) + ".",
		Ar: "المعروض " + quoted(language.Arabic, shown) + " والصحيح " + quoted(language.Arabic, is) + ".",
	}
}

// apart are two texts from where they begin to differ, if they are long.
func apart(a, b string) (string, string) {
	if min(len(a), len(b)) <= maxQuoted {
		return a, b
	}
	same := 0 // up to the last space that both have
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			break
		}
		if a[i] == ' ' {
			same = i + 1
		}
	}
	if same == 0 {
		return a, b
	}
	return "…" + a[same:], "…" + b[same:]
}

// maxShown bounds what is read of a file that strangers are sent, in bytes.
const maxShown = 4 << 20

func readAll(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxShown+1))
	if len(body) > maxShown {
		err = cmp.Or(err, errForeign)
	}
	return body, err
}
