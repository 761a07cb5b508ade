package subscribe

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

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
	confirmElse    = language.Text{En: "If it wasn't you, do nothing: you won't be told.", Ar: "إن لم تكن أنت فلا تفعل شيئًا: لن تصلك أي إشعارات."}
	seeAll         = language.Text{En: "All of it:", Ar: "التفاصيل كاملة:"}
	earlierText    = language.Text{En: "Before that:", Ar: "قبل ذلك:"}
	unsubscribeNow = language.Text{En: "You have asked to be told. To unsubscribe:", Ar: "تصلك هذه الرسالة بناءً على طلبك. لإلغاء الاشتراك:"}
)

// confirmation is the mail that asks an address.
func (s *Service) confirmation(sub Subscriber, p private) mail.Message {
	wish := sub.last()
	tag, until := wish.Wish.Language, ""
	if !sub.ConfirmedAt.IsZero() {
		until = s.about(sub.Wish, confirmUntil, confirmUntil0).In(tag)
	}
	return mail.Message{
		ID: messageID("confirm", wish.ID), Subject: confirmSubject.In(tag), Language: tag.String(),
		Text: paragraphs(confirmText.Quoting(s.c.BaseURL()).In(tag), s.about(wish.Wish, confirmWhat, confirmAll).In(tag), until, confirmHere.In(tag), s.link(confirmPath, sub, p, tag), confirmElse.In(tag)),
	}
}

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

// compose is the mail of a notice.
func (s *Service) compose(sub Subscriber, p private, id string, n Notice) mail.Message {
	tag := sub.Wish.Language
	unsubscribe := s.link(unsubscribePath, sub, p, tag)
	title := language.Line(n.Title.In(tag))
	for len(title) > maxSubject {
		title = language.Cut(title, len([]rune(title))*3/4)
	}
	page := n.Path
	if tag == language.Arabic {
		page += "?lang=ar"
	}
	before := entries(n.Before, tag)
	if before != "" {
		before = earlierText.In(tag) + "\n\n" + before
	}
	return mail.Message{
		ID: messageID(id), Thread: messageID("thread", n.Thread, sub.ID), Subject: "[" + n.Status.In(tag) + "] " + title, Language: cmp.Or(tag, language.English).String(),
		Unsubscribe: unsubscribe,
		Text: paragraphs(n.Title.In(tag), entries(n.News, tag), seeAll.In(tag)+"\n"+s.c.BaseURL()+page, before,
			"-- \n"+unsubscribeNow.In(tag)+"\n"+unsubscribe),
	}
}

// maxEntries bounds what was said before.
const maxEntries = 10

func entries(all []Entry, tag language.Tag) string {
	var parts []string
	for _, e := range all[:min(len(all), maxEntries)] {
		text := tag.Isolate(tag.Moment(e.At)) + " · " + e.Status.In(tag)
		if said := language.Cut(e.Text.In(tag), 3000); said != "" {
			text += "\n" + said
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "\n\n")
}
