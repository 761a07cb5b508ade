package channels

import (
	"context"
	"errors"
	"mime"
	"net/mail"
	"strings"
	"testing"

	manusmail "manus/mail"

	"manus/internal/smtptest"
	"manus/notify"
)

// mailing is a mail channel to two addresses by a real server.
func mailing(t *testing.T, server *smtptest.Server) []notify.Channel {
	t.Helper()
	smtp, err := manusmail.NewSMTP("smtp://"+server.Addr, "Manus <alerts@app.example.com>")
	if err != nil {
		t.Fatal(err)
	}
	parts, err := New(notify.ChannelConfig{ID: "mail", Type: "mail", To: []string{"Amal <amal@example.com>", "ops@example.com"}}, Dependencies{SendMail: smtp.Send})
	if err != nil || len(parts) != 2 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	return parts
}

func send(t *testing.T, channel notify.Channel, messages ...notify.Message) {
	t.Helper()
	for _, m := range messages {
		if err := channel.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheMailsOfAnOccurrenceAreAThread(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	again := down()
	again.ID, again.State = "0199-4", notify.Reminder
	for _, part := range mailing(t, server) {
		send(t, part, down(), down(), again, over(down()), digest(down()), ends(down()))
	}
	mails := server.Wait(t, 12)
	if mails[0].To != "amal@example.com" || mails[6].To != "ops@example.com" || mails[0].Header.Get("Message-Id") == mails[6].Header.Get("Message-Id") {
		t.Errorf("%+v", mails)
	}
	for _, mails := range [][]smtptest.Mail{mails[:6], mails[6:]} {
		first := mails[0].Header.Get("Message-Id")
		if mails[1].Header.Get("Message-Id") != first {
			t.Error("the same message is another mail")
		}
		seen := map[string]bool{}
		for i, m := range mails[1:] {
			want := first
			if i == 0 || i == 3 { // the first one again, and the digest
				want = ""
			}
			if i == 4 { // the ends of what that digest has told
				want = mails[4].Header.Get("Message-Id")
			}
			if m.Header.Get("References") != want || m.Header.Get("In-Reply-To") != want || seen[m.Header.Get("Message-Id")] {
				t.Errorf("mail %d: %v", i+1, m.Header)
			}
			seen[m.Header.Get("Message-Id")] = true
		}
	}
}

func TestAMailOfAnAlert(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	send(t, mailing(t, server)[0], downInArabic())
	got := server.Wait(t, 1)[0]
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	if err != nil || subject != "API متوقّف" {
		t.Errorf("%q, %v", subject, err)
	}
	for name, want := range map[string]string{"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "Content-Language": "ar"} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q", name, got.Header.Get(name))
		}
	}
	if text, html := strings.Index(got.Body, "text/plain"), strings.Index(got.Body, "text/html"); text < 0 || html < text {
		t.Error("plain text isn't first")
	}
}

func TestARefusedAddressIsToldWithoutItsName(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	part := mailing(t, server)[0]
	for _, c := range []struct {
		code              int
		toAll             bool
		refused, unusable bool
	}{{451, false, false, false}, {554, false, true, false}, {450, true, false, false}, {550, true, true, true}} {
		if server.Refuse(c.code); c.toAll {
			server.RefuseRecipients(c.code)
		}
		err := part.Send(t.Context(), down())
		if err == nil || notify.IsRefused(err) != c.refused || notify.IsUnusable(err) != c.unusable || strings.Contains(strings.ToLower(err.Error()), "amal") {
			t.Errorf("%d: refused %v, unusable %v, %v", c.code, notify.IsRefused(err), notify.IsUnusable(err), err)
		}
	}
	wrong := mailbox{"amal@example.com", func(context.Context, manusmail.Message) error { return manusmail.ErrSignIn }}
	if err := wrong.Send(t.Context(), down()); notify.IsRefused(err) || !notify.IsUnusable(err) {
		t.Errorf("got %v", err)
	}
	invalid := mailbox{"amal@example.com", func(context.Context, manusmail.Message) error { return manusmail.ErrInvalid }}
	if err := invalid.Send(t.Context(), down()); !notify.IsRefused(err) || !errors.Is(err, manusmail.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestAHugeMessageIsStillAMail(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	smtp, err := manusmail.NewSMTP("smtp://"+server.Addr, "Manus <alerts@app.example.com>")
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range []notify.Message{huge("en"), huge("ar"), {}} {
		part := mailbox{"ops@example.com", func(ctx context.Context, message manusmail.Message) error {
			if len(message.HTML) > 64<<10 || len(message.Text) > 64<<10 || len(message.Subject) > 200 || message.Subject == "" {
				t.Errorf("%d: %d bytes of HTML, %d of text, subject %q", i, len(message.HTML), len(message.Text), message.Subject)
			}
			if m.Acknowledge != "" && !(strings.Contains(message.HTML, m.Acknowledge) && strings.Contains(message.Text, m.Acknowledge)) {
				t.Errorf("%d: a link is lost", i)
			}
			return smtp.Send(ctx, message)
		}}
		send(t, part, m)
	}
	if _, err := mail.ParseAddressList(server.Wait(t, 3)[2].Header.Get("From")); err != nil {
		t.Error(err)
	}
}
