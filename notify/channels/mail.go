package channels

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"strings"

	"manus/design"
	"manus/language"
	"manus/mail"
	"manus/notify"
)

// Bounds of a mail, in bytes, which package mail has too.
const (
	maxAddress = 254
	maxSubject = 200
	maxPart    = 64 << 10
)

// mailbox is one address of a mail channel.
type mailbox struct {
	address string
	send    func(context.Context, mail.Message) error
}

func newMail(c notify.ChannelConfig, d Dependencies) []notify.Channel {
	var parts []notify.Channel
	for _, address := range c.To {
		parts = append(parts, mailbox{address, d.SendMail})
	}
	return parts
}

// Send sends a mail. Its error doesn't name the person.
func (b mailbox) Send(ctx context.Context, m notify.Message) error {
	message, err := b.message(m)
	if err != nil {
		return notify.Refused(err)
	}
	if err = b.send(ctx, message); err == nil {
		return nil
	}
	told := mail.Anonymous(err, b.address)
	if errors.Is(err, mail.ErrRefused) || errors.Is(err, mail.ErrInvalid) {
		told = notify.Refused(told)
	}
	if errors.Is(err, mail.ErrAddress) || errors.Is(err, mail.ErrSignIn) {
		told = notify.Unusable(told)
	}
	return told
}

// message is the mail for the address. The first one of a thread has the thread's own id,
// so that mail programs show the later ones, which refer to it, as its answers; everybody
// has a thread of their own, as a mail that is kept is known by its id.
func (b mailbox) message(m notify.Message) (mail.Message, error) {
	id, thread := b.own(m.ID), cmp.Or(m.Follows, m.Thread)
	if thread != "" {
		thread = b.own(thread)
	}
	if m.State == notify.Raised && thread != "" {
		id = thread
	}
	html, text, err := mailTexts(tidy(m))
	return mail.Message{
		ID: id, Thread: thread, To: b.address, Subject: subject(m), Text: text, HTML: html, Language: m.Language.String(),
	}, err
}

// own is an id that is the address's own and doesn't tell the address.
func (b mailbox) own(id string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(b.address)))
	return id + "-" + hex.EncodeToString(sum[:6])
}

func subject(m notify.Message) string { return cut(tidy(m).Title, maxSubject, inBytes, as) }

//go:embed mail.html
var mailPage string

var mailTemplate = design.Letter("alert", mailPage)

var whySent = language.Text{
	En: "You get this mail because the settings of the service have your address for alerts.",
	Ar: "تصلك هذه الرسالة لأنّ إعدادات الخدمة تتضمّن عنوانك للتنبيهات.",
}

// mailTexts are a mail's HTML and its plain text, each short enough for a mail.
func mailTexts(d draft) (html, text string, err error) {
	html = shortened(d, func(d draft) string {
		var page bytes.Buffer
		err = mailTemplate.Execute(&page, mailView(d))
		return page.String()
	}, fitsMail)
	text = shortened(d, func(d draft) string {
		return blocks(d.plainText(), d.directed(whySent.In(d.Language))) + "\n"
	}, fitsMail)
	return html, text, err
}

func fitsMail(part string) bool { return len(part) <= maxPart }

type mailLink struct{ Name, URL string }

// mailView is what the template shows of a draft.
func mailView(d draft) any {
	v := struct {
		draft
		Lang                    language.Tag
		Colour, ListName, After string
		Paragraphs, List        []string
		Buttons                 []mailLink
	}{draft: d, Lang: d.Language, Colour: hexColour(d.colour()), ListName: d.listName(), List: d.list(), After: whySent.In(d.Language)}
	if d.Text != "" {
		v.Paragraphs = strings.Split(d.Text, "\n\n")
	}
	for _, l := range d.links() {
		v.Buttons = append(v.Buttons, mailLink{l.name.In(d.Language), *l.url})
	}
	return v
}
