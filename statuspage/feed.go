package statuspage

import (
	"encoding/xml"
	"strings"
	"time"

	"manus/language"
)

// What an Atom feed has (RFC 4287).
type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	Lang    string      `xml:"xml:lang,attr"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Links   []atomLink  `xml:"link"`
	Author  string      `xml:"author>name"`
	Entries []atomEntry `xml:"entry"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr"`
	Type string `xml:"type,attr"`
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	ID        string     `xml:"id"`
	Title     string     `xml:"title"`
	Published string     `xml:"published"`
	Updated   string     `xml:"updated"`
	Links     []atomLink `xml:"link"`
	Content   atomText   `xml:"content"`
}

type atomText struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

// maxEntries is how many a feed has.
const maxEntries = 50

// feed are the latest incidents and works. An incident is one entry that grows: readers show
// it anew when something was said.
func (s *site) feed(tag language.Tag) []byte {
	l := links{tag: tag, root: s.root(), files: s.settings.files}
	f := atomFeed{
		Lang: tag.String(), ID: l.asset("status/feed.atom"), Title: s.Title.In(tag), Author: s.Title.In(tag),
		Links: []atomLink{{"self", "application/atom+xml", l.asset("status/feed.atom")}, {"alternate", "text/html", l.to(mainPage)}},
	}
	var updated time.Time
	entry := func(id, title, page string, began, at time.Time, content string) {
		if at.After(updated) {
			updated = at
		}
		f.Entries = append(f.Entries, atomEntry{
			ID: id, Title: title, Published: began.UTC().Format(time.RFC3339), Updated: at.UTC().Format(time.RFC3339),
			Links: []atomLink{{"alternate", "text/html", l.to(page)}}, Content: atomText{"html", content},
		})
	}
	for _, list := range [][]Incident{s.Open, s.Past} {
		for _, i := range list {
			var b strings.Builder
			for k := len(i.Updates) - 1; k >= 0; k-- {
				u := i.Updates[k]
				b.WriteString("<p><strong>" + stageWords[u.Stage].In(tag) + "</strong> " + string(momentIn(tag, u.At)) + "</p>" + string(s.markdown(u.Text.In(tag))))
			}
			page := "status/incidents/" + i.ID
			entry(l.asset(page), i.Title.In(tag), page, i.StartedAt, i.last().At, b.String())
		}
	}
	for _, list := range [][]Maintenance{s.On, s.Next} {
		for _, m := range list {
			when := ""
			if m.IsCancelled() {
				when = "<p><strong>" + cancelled.In(tag) + "</strong></p>"
			}
			when += "<p>" + string(momentIn(tag, m.From)) + " – " + string(momentIn(tag, m.Until)) + "</p>"
			entry(l.asset("status#"+m.ID), m.Title.In(tag), mainPage, m.CreatedAt, m.ChangedAt, when+string(s.markdown(m.Text.In(tag))))
		}
	}
	if updated.IsZero() {
		updated = time.Unix(0, 0)
	}
	f.Updated = updated.UTC().Format(time.RFC3339)
	f.Entries = f.Entries[:min(len(f.Entries), maxEntries)]
	out, err := xml.MarshalIndent(f, "", " ")
	if err != nil {
		panic(err) // texts and times can be written
	}
	return append([]byte(xml.Header), out...)
}

// root is where the page's addresses begin, for what is read elsewhere.
func (s *site) root() string { return s.settings.URL + "/" }
