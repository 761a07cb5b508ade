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
	link := s.c.BaseURL() + path + "?token=" + url.QueryEscape(token(sub.ID, p.Secret))
	if tag == language.Arabic {
		link += "&lang=ar"
	}
	return link
}

var (
	confirmSubject = language.Text{En: "Confirm that you want to be told", Ar: "أكِّد رغبتك في تلقي الإشعارات"}
	confirmText    = language.Text{
		En: "Somebody, most likely you, wants this address to be told of incidents and planned work of #. Confirm it here, within a day:",
		Ar: "طلب شخص ما، ولعله أنت، إبلاغ هذا العنوان بالحوادث وأعمال الصيانة في #. أكِّد ذلك هنا خلال يوم:",
	}
	confirmElse    = language.Text{En: "If it wasn't you, do nothing: you won't be told.", Ar: "إن لم تكن أنت فلا تفعل شيئًا: لن تصلك أي إشعارات."}
	seeAll         = language.Text{En: "All of it:", Ar: "التفاصيل كاملة:"}
	earlierText    = language.Text{En: "Before that:", Ar: "قبل ذلك:"}
	unsubscribeNow = language.Text{En: "You have asked to be told. To unsubscribe:", Ar: "تصلك هذه الرسالة بناءً على طلبك. لإلغاء الاشتراك:"}
)

// confirmation is the mail that asks an address.
func (s *Service) confirmation(sub Subscriber, p private) mail.Message {
	tag := sub.Asked.Language
	return mail.Message{
		ID: messageID("confirm", sub.ID, sub.AskedAt[len(sub.AskedAt)-1].String()), Subject: confirmSubject.In(tag), Language: tag.String(),
		Text: paragraphs(confirmText.Quoting(s.c.BaseURL()).In(tag), s.link(confirmPath, sub, p, tag), confirmElse.In(tag)),
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
		text := tag.Isolate(e.At.UTC().Format("2006-01-02 15:04 UTC")) + " · " + e.Status.In(tag)
		if said := language.Cut(e.Text.In(tag), 3000); said != "" {
			text += "\n" + said
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "\n\n")
}
