package account

import (
	"errors"
	"strings"
	"testing"
	"time"

	"manus/language"
)

func TestWhoMayRegister(t *testing.T) {
	t.Parallel()
	domains := []string{"example.com", "example.org"}
	for _, c := range []struct {
		r       Registration
		address string
		want    error
	}{
		{Registration{}, "amal@anywhere.net", nil},
		{Registration{Mode: Open}, "amal@anywhere.net", nil},
		{Registration{Mode: Closed}, "amal@example.com", ErrClosed},
		{Registration{Mode: ByInvitation}, "amal@example.com", ErrInvitedOnly},
		{Registration{Domains: domains}, "Amal@Example.COM", nil},
		{Registration{Domains: domains}, "amal@example.org", nil},
		{Registration{Domains: domains}, "amal@sub.example.com", ErrWrongDomain},
		{Registration{Domains: domains}, "amal@badexample.com", ErrWrongDomain},
		{Registration{Domains: domains}, "amal@example.com.evil.net", ErrWrongDomain},
		{Registration{Domains: domains}, "amal@example.com@evil.net", ErrInvalidEmail},
	} {
		b := setup(t, func(config *Config) { config.Registration = c.r })
		if _, _, err := b.Register(t.Context(), NewUser{Email: c.address, Password: pass}); !errors.Is(err, c.want) {
			t.Errorf("%+v, %s: %v, want %v", c.r, c.address, err, c.want)
		}
	}
}

// An account by invitation: the link alone makes it, once a password is chosen, whatever
// registration says.
func TestWhoIsInvitedJoins(t *testing.T) {
	t.Parallel()
	b := setupMail(t, func(c *Config) {
		c.Registration = Registration{Mode: ByInvitation, Domains: []string{"other.example"}}
		c.Product, c.Support = language.Text{En: "Tea", Ar: "شاي"}, "help@tea.example"
	})
	if err := b.Invite(t.Context(), "Amal@Example.com", language.English); err != nil {
		t.Fatal(err)
	}
	token := b.link(t, "Amal@Example.com")
	if m := b.sent(t)[0].Message; !strings.Contains(m.Subject, "invited to Tea") || !strings.Contains(m.Text, "/account/join?token=") || !strings.Contains(m.Text, "help@tea.example") {
		t.Errorf("the mail: %s\n%s", m.Subject, m.Text)
	}
	if err := b.Verify(t.Context(), token); !errors.Is(err, ErrInvalidLink) {
		t.Errorf("confirming made an account without a password: %v", err)
	}
	id, _, _ := parseLink(token)
	forged, _ := formatLink(id, newSecret())
	for _, wrong := range []string{forged, "", token + "A"} {
		if err := b.Join(t.Context(), wrong, "Amal", pass); !errors.Is(err, ErrInvalidLink) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if err := b.Join(t.Context(), token, "Amal", "short"); !errors.Is(err, ErrWeakPassword) {
		t.Errorf("a weak password: %v", err)
	}
	for range 2 { // the form is sent twice
		if err := b.Join(t.Context(), token, "Amal", pass); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := b.Login(t.Context(), Credentials{Email: email, Password: pass})
	if err != nil || !signed.User.EmailVerified || signed.User.FullName != "Amal" {
		t.Errorf("got %+v, %v", signed.User, err)
	}
	if err := b.Invite(t.Context(), email, language.English); !errors.Is(err, ErrTaken) {
		t.Errorf("somebody with an account was invited: %v", err)
	}
}

func TestAnInvitationEnds(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	if err := b.Invite(t.Context(), email, language.Arabic); err != nil {
		t.Fatal(err)
	}
	token := b.link(t, email)
	b.clock.Add(invitationLifetime + time.Minute)
	if err := b.Join(t.Context(), token, "", pass); !errors.Is(err, ErrInvalidLink) {
		t.Errorf("after a week: %v", err)
	}
}
