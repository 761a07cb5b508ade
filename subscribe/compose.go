package subscribe

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"html/template"
	"net/url"
	"strings"

	"manus/design"
	"manus/language"
	"manus/mail"
)

// The pages that links lead to, below the site's address.
const (
	confirmPath     = "/status/subscribe/confirm"
	unsubscribePath = "/status/unsubscribe"
)

// link is where a subscriber's link leads to.
func (s *Service) link(path string, sub Subscriber, p private, tag language.Tag) string {
	text := token(sub.ID, p.Secret)
	if path == confirmPath {
		text += "." + sub.last().ID
	}
	link := s.c.BaseURL() + path + "?token=" + url.QueryEscape(text)
	if tag == language.Arabic {
		link += "&lang=ar"
	}
	return link
}

var (
	confirmSubject = language.Text{En: "Confirm that you want to be told", Ar: "أكِّد رغبتك في تلقي الإشعارات"}
	confirmText    = language.Text{
		En: "Somebody, most likely you, wants this address to be told of incidents and planned work of #.",
		Ar: "طلب شخص ما، ولعله أنت، إبلاغ هذا العنوان بالحوادث وأعمال الصيانة في #.",
	}
	confirmWhat    = language.Text{En: "It would be told of: #.", Ar: "وسيُبلَّغ بما يخص: #."}
	confirmAll     = language.Text{En: "It would be told of everything.", Ar: "وسيُبلَّغ بكل شيء."}
	confirmUntil   = language.Text{En: "So far it is told of: #. That changes only if you confirm this.", Ar: "يُبلَّغ حاليًا بما يخص: #. ولا يتغير ذلك إلا إن أكّدت."}
	confirmUntil0  = language.Text{En: "So far it is told of everything. That changes only if you confirm this.", Ar: "يُبلَّغ حاليًا بكل شيء. ولا يتغير ذلك إلا إن أكّدت."}
	confirmHere    = language.Text{En: "Confirm it here, within a day:", Ar: "أكِّد ذلك هنا خلال يوم:"}
	confirmButton  = language.Text{En: "Confirm", Ar: "أؤكِّد"}
	confirmElse    = language.Text{En: "If it wasn't you, do nothing: you won't be told.", Ar: "إن لم تكن أنت فلا تفعل شيئًا: لن تصلك أي إشعارات."}
	seeAll         = language.Text{En: "All of it", Ar: "التفاصيل كاملة"}
	earlierText    = language.Text{En: "Before that", Ar: "قبل ذلك"}
	unsubscribeWhy = language.Text{En: "You have asked to be told of incidents and planned work of #.", Ar: "تصلك هذه الرسالة لأنك طلبت إبلاغك بالحوادث وأعمال الصيانة في #."}
	unsubscribeNow = language.Text{En: "Unsubscribe", Ar: "إلغاء الاشتراك"}
)

// letter is a mail as it is written, as HTML and as text.
type letter struct {
	Lang            language.Tag
	Title, Colour   string
	Lead            string
	Facts           []mailFact
	Parts           []mailPart
	News, Before    []mailEntry
	BeforeName      string
	Link, Button    string
	Spell           bool // the link stands there in letters, too
	After           string
	Unsubscribe     string
	UnsubscribeName string
}

type mailFact struct{ Name, Value string }

type mailPart struct{ Name, Is, Colour string }

type mailEntry struct {
	Status, At, Plain string
	HTML              template.HTML
}

//go:embed mail.html
var mailPage string

var mailTemplate = design.Letter("notice", mailPage)

// html is the letter as HTML.
func (l letter) html() (string, error) {
	var page bytes.Buffer
	err := mailTemplate.Execute(&page, l)
	return page.String(), err
}

// text is the letter as plain text.
func (l letter) text() string {
	parts := []string{l.Title, l.Lead}
	var lines []string
	for _, f := range l.Facts {
		lines = append(lines, f.Name+": "+l.Lang.Isolate(f.Value))
	}
	for _, p := range l.Parts {
		lines = append(lines, l.Lang.Isolate(p.Name)+": "+p.Is)
	}
	parts = append(parts, strings.Join(lines, "\n"))
	parts = append(parts, entryTexts(l.Lang, l.News)...)
	if l.Link != "" {
		parts = append(parts, l.Button+":\n"+l.Link)
	}
	if len(l.Before) > 0 {
		parts = append(append(parts, l.BeforeName+":"), entryTexts(l.Lang, l.Before)...)
	}
	after := l.After
	if l.Unsubscribe != "" {
		after = "-- \n" + after + "\n" + l.UnsubscribeName + ": " + l.Unsubscribe
	}
	return paragraphs(append(parts, after)...)
}

func entryTexts(tag language.Tag, all []mailEntry) (parts []string) {
	for _, e := range all {
		parts = append(parts, strings.TrimSuffix(e.Status+" · "+tag.Isolate(e.At)+"\n"+e.Plain, "\n"))
	}
	return parts
}

// name is what the page is called; where it has no name, where it is.
func (s *Service) name() language.Text {
	if s.c.Title != nil {
		if name := s.c.Title(); name != (language.Text{}) {
			return name
		}
	}
	if u, err := url.Parse(s.c.BaseURL()); err == nil && u.Host != "" {
		return language.Text{En: u.Host}
	}
	return language.Text{En: s.c.BaseURL()}
}

// subject is a mail's, with the page's name before it.
func subject(name, text string) string {
	text = language.Line("[" + name + "] " + text)
	for len(text) > maxSubject {
		text = language.Cut(text, len([]rune(text))*3/4)
	}
	return text
}

// confirmation is the mail that asks an address.
func (s *Service) confirmation(sub Subscriber, p private) (mail.Message, error) {
	wish := sub.last()
	tag, until := cmp.Or(wish.Wish.Language, language.English), ""
	if !sub.ConfirmedAt.IsZero() {
		until = s.about(sub.Wish, confirmUntil, confirmUntil0).In(tag)
	}
	name := s.name().In(tag)
	l := letter{
		Lang: tag, Title: confirmSubject.In(tag), Colour: design.Accent, Lead: confirmText.Quoting(name).In(tag) + " " + s.about(wish.Wish, confirmWhat, confirmAll).In(tag),
		Link: s.link(confirmPath, sub, p, tag), Button: confirmButton.In(tag), Spell: true, After: confirmElse.In(tag),
	}
	if until != "" {
		l.Lead += " " + until
	}
	html, err := l.html()
	l.Button = strings.TrimSuffix(confirmHere.In(tag), ":")
	return mail.Message{
		ID: messageID("confirm", wish.ID), FromName: senderName(name), Subject: subject(name, l.Title), Language: tag.String(), Text: l.text(), HTML: html,
	}, err
}

// senderName is a page's name as the sender of its mails.
func senderName(name string) string { return language.Cut(language.Line(name), 60) }

// about says of which components a wish is; all is said where it is of all.
func (s *Service) about(w Wish, some, all language.Text) language.Text {
	if len(w.Components) == 0 {
		return all
	}
	names := map[string]language.Text{}
	if s.c.Names != nil {
		names = s.c.Names(w.Components)
	}
	list := func(tag language.Tag, by string) string {
		var called []string
		for _, id := range w.Components {
			called = append(called, language.Line(cmp.Or(names[id].In(tag), id)))
		}
		return strings.Join(called, by)
	}
	return language.Text{
		En: strings.Replace(some.En, "#", list(language.English, ", "), 1),
		Ar: strings.Replace(some.Ar, "#", language.Arabic.Isolate(list(language.Arabic, "، ")), 1),
	}
}

// messageID is the same for what is the same.
func messageID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func paragraphs(parts ...string) string {
	var kept []string
	for _, part := range parts {
		if part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "\n\n") + "\n"
}

// maxSubject is in bytes, as a mail's.
const maxSubject = 150

// How much of what was said a mail may have: entries, and characters of each; the first for which it is
// short enough. The last always is.
var mailBounds = []struct{ entries, text int }{{maxEntries, 3000}, {3, 3000}, {1, 2000}, {1, 500}}

// maxPart bounds a mail's HTML and text, in bytes, as package mail does.
const maxPart = 60 << 10

// compose is the mail of a notice.
func (s *Service) compose(sub Subscriber, p private, id string, n Notice) (mail.Message, error) {
	tag := cmp.Or(sub.Wish.Language, language.English)
	name := s.name().In(tag)
	m := mail.Message{
		ID: messageID(id), Thread: messageID("thread", n.Thread, sub.ID), FromName: senderName(name), Subject: subject(name, n.Status.In(tag)+": "+n.Title.In(tag)),
		Language: tag.String(), Unsubscribe: s.link(unsubscribePath, sub, p, tag),
	}
	l := s.noticeLetter(n, tag)
	l.After, l.Unsubscribe, l.UnsubscribeName = unsubscribeWhy.Quoting(name).In(tag), m.Unsubscribe, unsubscribeNow.In(tag)
	var err error
	for _, most := range mailBounds {
		l.News, l.Before = s.entries(n.News, tag, most.entries, most.text), s.entries(n.Before, tag, most.entries, most.text)
		if m.HTML, err = l.html(); err != nil {
			return m, err
		}
		if m.Text = l.text(); len(m.HTML) <= maxPart && len(m.Text) <= maxPart {
			break
		}
	}
	return m, nil
}

// noticeLetter is what a mail of a notice says beside what was said.
func (s *Service) noticeLetter(n Notice, tag language.Tag) letter {
	l := letter{
		Lang: tag, Title: language.Line(n.Title.In(tag)), Colour: cmp.Or(n.Colour, design.Accent), BeforeName: earlierText.In(tag),
		Link: s.page(n.Path, tag), Button: seeAll.In(tag),
	}
	for _, f := range n.Facts {
		value := f.Value.In(tag)
		switch {
		case !f.Until.IsZero():
			value = tag.Between(f.From, f.Until)
		case !f.From.IsZero():
			value = tag.Moment(f.From)
		}
		l.Facts = append(l.Facts, mailFact{f.Name.In(tag), value})
	}
	for _, a := range n.Affected {
		l.Parts = append(l.Parts, mailPart{language.Line(a.Name.In(tag)), a.Status.In(tag), cmp.Or(a.Colour, "#8a9499")})
	}
	return l
}

// page is where a notice's page is.
func (s *Service) page(path string, tag language.Tag) string {
	if s.c.PageURL != nil {
		return s.c.PageURL(path, tag)
	}
	page := s.c.BaseURL() + path
	if tag == language.Arabic {
		page += "?lang=ar"
	}
	return page
}

// maxEntries bounds what was said before.
const maxEntries = 10

// entries are the latest of what was said, each cut where it is too long.
func (s *Service) entries(all []Entry, tag language.Tag, most, text int) (entries []mailEntry) {
	for _, e := range all[:min(len(all), most)] {
		said := language.Cut(e.Text.In(tag), text)
		entries = append(entries, mailEntry{Status: e.Status.In(tag), At: tag.Moment(e.At), Plain: s.c.Plain(said), HTML: s.c.Markdown(said)})
	}
	return entries
}
