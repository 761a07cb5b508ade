package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/language"
	"manus/queue"
)

func TestAnAccountIsMadeByTheLinkInTheMail(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	tokens, signedIn, err := b.Register(t.Context(), NewUser{Email: "Amal@Example.com", Password: pass, FullName: "Amal"})
	if err != nil || signedIn || tokens.Access != "" {
		t.Fatalf("got %+v, %v, %v", tokens, signedIn, err)
	}
	if _, err := b.Login(t.Context(), Credentials{Email: email, Password: pass}); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("it signs in before it is confirmed: %v", err)
	}
	token := b.link(t, "Amal@Example.com")
	other, _, _ := parseLink(token)
	forged, _ := formatLink(other, newSecret())
	for _, wrong := range []string{forged, token[:len(token)-1], "", "ml_", token + "A"} {
		if err := b.Verify(t.Context(), wrong); !errors.Is(err, ErrInvalidLink) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if err := b.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	signed, err := b.Login(t.Context(), Credentials{Email: email, Password: pass})
	if err != nil || !signed.User.EmailVerified || signed.User.FullName != "Amal" || signed.User.Role != identity.User {
		t.Errorf("got %+v, %v", signed.User, err)
	}
}

// Who opens a link twice, or whose mail program opens it beforehand, is told the same each
// time: the account is theirs.
func TestALinkOpenedSeveralTimesIsAnsweredAlike(t *testing.T) {
	t.Parallel()
	store, clock := testStore(t), clocktest.New()
	mails := withMail(t, store, clock)
	b := copyOf(t, store, clock, []string{secretA}, mails, confirmFirst)
	other := copyOf(t, store, clock, []string{secretA}, mails, confirmFirst)
	open := func(token string) {
		t.Helper()
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { errs[i] = []bench{b, other}[i%2].Verify(t.Context(), token) })
		}
		wg.Wait()
		if err := errors.Join(append(errs, other.Verify(t.Context(), token))...); err != nil {
			t.Errorf("opened several times: %v", err)
		}
	}
	for i := range 5 {
		address := fmt.Sprintf("person%d@example.com", i)
		if _, _, err := b.Register(t.Context(), NewUser{Email: address, Password: pass}); err != nil {
			t.Fatal(err)
		}
		open(b.link(t, address))
	}
	users, _, err := b.List(t.Context(), 10, "")
	if err != nil || len(users) != 5 {
		t.Fatalf("%d accounts, %v", len(users), err)
	}
	var links []string
	for _, address := range []string{"amal@new.example", "amal@newer.example"} {
		if err := b.ChangeEmail(t.Context(), users[0].ID, address); err != nil {
			t.Fatal(err)
		}
		links = append(links, b.link(t, address))
		open(links[len(links)-1])
	}
	if err := b.Verify(t.Context(), links[0]); !errors.Is(err, ErrInvalidLink) {
		t.Errorf("the link to an address that isn't the account's any more: %v", err)
	}
	clock.Add(emailLifetime)
	if err := b.Verify(t.Context(), links[1]); !errors.Is(err, ErrInvalidLink) {
		t.Errorf("after its time: %v", err)
	}
}

func TestARegistrationThatWasCutShortGoesOn(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	if _, _, err := b.Register(t.Context(), NewUser{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	token := b.link(t, email)
	id, _, _ := parseLink(token)
	r, err := b.requests.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	// As if the program had been killed before the request was deleted.
	if err := b.requests.Put(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(t.Context(), token); err != nil {
		t.Errorf("the link doesn't go on: %v", err)
	}
	users, _, err := b.List(t.Context(), 10, "")
	if err != nil || len(users) != 1 {
		t.Errorf("%d accounts, %v", len(users), err)
	}
}

func TestALinkOfAnAddressThatHasBecomeAnothersSaysSo(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	if _, _, err := b.Register(t.Context(), NewUser{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	token := b.link(t, email)
	if _, err := b.Create(t.Context(), NewUser{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Verify(t.Context(), token); !errors.Is(err, ErrTaken) {
			t.Errorf("got %v", err)
		}
	}
}

func TestLinksExpire(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	if _, _, err := b.Register(t.Context(), NewUser{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	token := b.link(t, email)
	b.clock.Add(registrationLifetime)
	if err := b.Verify(t.Context(), token); !errors.Is(err, ErrInvalidLink) {
		t.Errorf("got %v", err)
	}
	b.clock.Add(time.Second)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _, err := b.requests.List(t.Context(), queue.All, 10, ""); err != nil || len(left) != 0 {
		t.Errorf("%d requests are left, %v", len(left), err)
	}
}

func TestRegistrationTellsNothingOfTheAddress(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	if _, err := b.Create(t.Context(), NewUser{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	server := serve(t, b)
	known := call(t, server, "POST", "/auth/register", "", credentials).want(t, http.StatusAccepted)
	unknown := call(t, server, "POST", "/auth/register", "", strings.Replace(credentials, "amal", "nobody", 1)).want(t, http.StatusAccepted)
	if withoutID(known) != withoutID(unknown) {
		t.Errorf("known:   %s\nunknown: %s", known.body, unknown.body)
	}
	if err := b.requests.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, m := range b.sent(t) {
		told[m.To] = m.Subject
	}
	if told[email] != mails[mailKnown].subject.En || told["nobody@example.com"] != mails[mailRegister].subject.En {
		t.Errorf("got %v", told)
	}
	// Neither does asking for a new password.
	known = call(t, server, "POST", "/auth/password/forgot", "", `{"email":"amal@example.com"}`).want(t, http.StatusAccepted)
	unknown = call(t, server, "POST", "/auth/password/forgot", "", `{"email":"stranger@example.com"}`).want(t, http.StatusAccepted)
	if withoutID(known) != withoutID(unknown) {
		t.Errorf("known:   %s\nunknown: %s", known.body, unknown.body)
	}
	before := len(b.sent(t))
	if err := b.requests.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := b.sent(t); len(after) != before+1 || after[before].To != email {
		t.Errorf("%d mails more", len(after)-before)
	}
}

// What is written down for a request is the same for every address, so the time
// it takes is too: this is what TestRegistrationTellsNothingOfTheAddress can't see.
func TestStrangersRequestsReadNothingOfAccounts(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	counted := &countingStore{Store: b.store}
	b.users = docstore.NewCollection[User](counted, userSpec)
	if _, _, err := b.Register(t.Context(), NewUser{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	if err := b.ForgotPassword(t.Context(), email); err != nil {
		t.Fatal(err)
	}
	if counted.calls.Load() != 0 {
		t.Errorf("accounts were looked at %d times", counted.calls.Load())
	}
}

func TestAFloodToOneAddressIsBounded(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	if _, err := b.Create(t.Context(), NewUser{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		for range 20 {
			if err := b.ForgotPassword(t.Context(), email); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.requests.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.sent(t)); n != maxTickets {
		t.Errorf("a thousand requests sent %d mails", n)
	}
	for i := range 2 * maxTickets {
		if err := b.requestRegistration(t.Context(), User{ID: docstore.NewID(), Email: "v@example.com", EmailKey: "v@example.com"}); err != nil {
			t.Fatal(err)
		}
		if err := b.requests.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.clock.Add(time.Second)
		if n := len(b.sent(t)) - maxTickets; n != min(i+1, maxTickets) {
			t.Errorf("%d registrations sent %d mails", i+1, n)
		}
	}
}

func TestAResetSignsInNobodyAndLeavesTheSecondFactor(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	user, err := b.Create(t.Context(), NewUser{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	before, err := b.Login(t.Context(), Credentials{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	app := b.withTOTP(t, user.ID, "")
	if err := b.ForgotPassword(t.Context(), "AMAL@example.com"); err != nil {
		t.Fatal(err)
	}
	token := b.link(t, email)
	if err := b.ResetPassword(t.Context(), token, "12345678"); !errors.Is(err, ErrCommonPassword) {
		t.Errorf("a common password: %v", err)
	}
	// Of many at once, one sets its password.
	const copies = 5
	var wg sync.WaitGroup
	results := make([]error, copies)
	for i := range copies {
		wg.Go(func() { results[i] = b.ResetPassword(t.Context(), token, fmt.Sprint("a new password ", i)) })
	}
	wg.Wait()
	set := -1
	for i, err := range results {
		switch {
		case err == nil && set < 0:
			set = i
		case !errors.Is(err, ErrInvalidLink):
			t.Errorf("%d: %v", i, err)
		}
	}
	if set < 0 {
		t.Fatal("nobody has set a password")
	}
	b.wantAlive(t, before, false)
	now := Credentials{Email: email, Password: fmt.Sprint("a new password ", set)}
	if _, err := b.Login(t.Context(), now); !errors.Is(err, ErrSecondFactor) {
		t.Errorf("the second factor is skipped: %v", err)
	}
	b.clock.Add(time.Minute)
	now.OTP = app.code(b.clock.Now())
	if _, err := b.Login(t.Context(), now); err != nil {
		t.Error(err)
	}
}

// The link of a reset shows whose the mailbox is, as that of a confirmation does.
func TestAResetVerifiesTheAddress(t *testing.T) {
	t.Parallel()
	b := setupMail(t, func(c *Config) { c.ConfirmFirst = false })
	if user := b.register(t).User; user.EmailVerified {
		t.Error("it is verified before")
	}
	if err := b.ForgotPassword(t.Context(), email); err != nil {
		t.Fatal(err)
	}
	if err := b.ResetPassword(t.Context(), b.link(t, email), "a new password"); err != nil {
		t.Fatal(err)
	}
	if user, known, err := b.byEmail(t.Context(), email); err != nil || !known || !user.EmailVerified {
		t.Errorf("it isn't verified after: %+v, %v", user, err)
	}
}

func TestOtherLinksDieWithAReset(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	user, err := b.Create(t.Context(), NewUser{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	links := make([]string, 2)
	for i := range links {
		if err := b.ForgotPassword(t.Context(), email); err != nil {
			t.Fatal(err)
		}
		links[i] = b.link(t, email)
	}
	if err := b.ResetPassword(t.Context(), links[1], "a new password"); err != nil {
		t.Fatal(err)
	}
	if err := b.ResetPassword(t.Context(), links[0], "another password"); !errors.Is(err, ErrInvalidLink) {
		t.Errorf("got %v", err)
	}
	// A link for one purpose is none for another.
	if err := b.ForgotPassword(t.Context(), email); err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(t.Context(), b.link(t, email)); !errors.Is(err, ErrInvalidLink) {
		t.Errorf("got %v", err)
	}
	// A disabled account gets none.
	if err := b.SetDisabled(t.Context(), user.ID, true); err != nil {
		t.Fatal(err)
	}
	n := len(b.sent(t))
	if err := b.ForgotPassword(t.Context(), email); err != nil {
		t.Fatal(err)
	}
	if err := b.requests.Drain(t.Context()); err != nil || len(b.sent(t)) != n {
		t.Errorf("a disabled account got a link: %v", err)
	}
}

func TestAnAddressChangesWhenItsMailboxSaysSo(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	user, err := b.Create(t.Context(), NewUser{Email: email, Password: pass, Language: "ar"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ForgotPassword(t.Context(), email); err != nil {
		t.Fatal(err)
	}
	reset := b.link(t, email)
	if err := b.ChangeEmail(t.Context(), user.ID, "amal@new.example"); err != nil {
		t.Fatal(err)
	}
	if now, err := b.Get(t.Context(), user.ID); err != nil || now.Email != email {
		t.Errorf("it changed already: %+v, %v", now, err)
	}
	link := b.link(t, "amal@new.example")
	if err := b.Verify(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	now, err := b.Get(t.Context(), user.ID)
	if err != nil || now.Email != "amal@new.example" || !now.EmailVerified {
		t.Errorf("got %+v, %v", now, err)
	}
	if err := b.ResetPassword(t.Context(), reset, "a new password"); !errors.Is(err, ErrInvalidLink) {
		t.Errorf("a link in the old mailbox still works: %v", err)
	}
	told := map[string]bool{}
	for _, m := range b.sent(t) {
		if m.Language == "ar" && strings.Contains(m.HTML, `dir="rtl"`) {
			told[m.To+" "+m.Subject] = true
		}
	}
	for _, kind := range []audit.Kind{eventEmailChangeAsked, eventEmailChanged} {
		if !told[email+" "+notices[kind].subject.Ar] {
			t.Errorf("the old mailbox isn't told of %s: %v", kind, told)
		}
	}
	// An address that has become another's is refused, to its mailbox alone.
	if _, err := b.Create(t.Context(), NewUser{Email: "taken@example.com", Password: pass}); err != nil {
		t.Fatal(err)
	}
	if err := b.ChangeEmail(t.Context(), user.ID, "taken@example.com"); err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(t.Context(), b.link(t, "taken@example.com")); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v", err)
	}
}

func TestLinksAreMadeFromThePublicURL(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	server := serve(t, b)
	r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/api/v1/auth/register", strings.NewReader(credentials))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-Host", "evil.example")
	r.Header.Set("Accept-Language", "ar-EG,en")
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	b.link(t, email)
	m := b.sent(t)[0]
	if !strings.Contains(m.Text, "\nhttps://app.example.com/account/verify?token=ml_") || strings.Contains(m.Text+m.HTML, "evil") {
		t.Errorf("got %s", m.Text)
	}
	if m.Language != "ar" || m.Subject != mails[mailRegister].subject.Ar {
		t.Errorf("it isn't in the person's language: %q", m.Subject)
	}
}

func TestWithoutMailPeopleAreToldSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.register(t).User
	if err := b.ForgotPassword(t.Context(), email); !errors.Is(err, ErrNoMail) {
		t.Errorf("got %v", err)
	}
	if err := b.ChangeEmail(t.Context(), user.ID, "new@example.com"); !errors.Is(err, ErrNoMail) {
		t.Errorf("got %v", err)
	}
}

func TestEveryMailStandsInBothLanguages(t *testing.T) {
	t.Parallel()
	letters := map[string]letter{}
	for kind, l := range mails {
		letters[fmt.Sprint("mail ", kind)] = l
	}
	for kind, l := range notices {
		letters[string(kind)] = l
	}
	for name, l := range letters {
		for _, w := range []language.Text{l.subject, l.body} {
			if w.En == "" || w.Ar == "" || w.En == w.Ar {
				t.Errorf("%s: %+v", name, w)
			}
		}
		var log bytes.Buffer
		b := bench{Service: &Service{c: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}}
		for _, tag := range []language.Tag{language.English, language.Arabic} {
			m := b.compose(tag, l, "https://app.example.com", nil)
			if !strings.HasSuffix(m.HTML, "</html>\n") || !strings.Contains(m.Text, l.body.In(tag)) || log.Len() > 0 {
				t.Errorf("%s is %+v; the log has %s", name, m, &log)
			}
		}
	}
}

func TestWhatAnArabicMailTellsIsNotReversed(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	at := docstore.At(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	e := audit.Event{Kind: eventNewDevice, At: at, Address: "2001:db8::1", Agent: "curl/8"}
	m := b.notice(User{Language: language.Arabic}, e, email)
	for _, line := range []string{"الوقت: \u206823 نوفمبر 2026، الساعة 12:00 بالتوقيت العالمي\u2069\n", "عنوان الشبكة: \u20682001:db8::1\u2069\n", "البرنامج: \u2068curl/8\u2069\n"} {
		if !strings.Contains(m.Text, line) {
			t.Errorf("%q isn't in %q", line, m.Text)
		}
	}
	if !strings.Contains(m.HTML, "<bdi>2001:db8::1</bdi>") || m.Language != "ar" {
		t.Errorf("%s: %s", m.Language, m.HTML)
	}
	if m := b.notice(User{}, e, email); !strings.Contains(m.Text, "\nNetwork address: 2001:db8::1\n") || m.Language != "en" || !strings.Contains(m.HTML, `<html lang="en" dir="ltr">`) {
		t.Errorf("%s: %q", m.Language, m.Text)
	}
}

func TestWhatGoesOnByMailIsSaidInTheLanguageThatIsAskedFor(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	server := serve(t, b)
	for path, body := range map[string]string{"/auth/register": credentials, "/auth/password/forgot": `{"email":"nobody@example.com"}`} {
		for query, want := range map[string][2]string{"": {"en", "on its way"}, "?lang=ar": {"ar", "رسالة"}} {
			a := call(t, server, "POST", path+query, "", body)
			if a.status != 202 || a.header.Get("Content-Language") != want[0] || !strings.Contains(a.body, want[1]) {
				t.Errorf("%s%s: %d %v %s", path, query, a.status, a.header, a.body)
			}
		}
	}
}

func FuzzParseLink(f *testing.F) {
	token, _ := formatLink(docstore.NewID(), newSecret())
	f.Add(token)
	f.Add("ml_")
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, err := parseLink(text)
		if err != nil {
			return
		}
		if again, err := formatLink(id, secret); err != nil || again != text {
			t.Errorf("%q became %q, %v", text, again, err)
		}
	})
}

func TestALinkOpensItsPageInTheLanguageOfTheMail(t *testing.T) {
	t.Parallel()
	b := setupMail(t)
	for tag, arabic := range map[language.Tag]bool{language.English: false, language.Arabic: true} {
		if err := b.mailLink(t.Context(), tag, letter{}, "reset", "ml_x", email, b.clock.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		mails := b.sent(t)
		text := mails[len(mails)-1].Text
		if !strings.Contains(text, "https://app.example.com/account/reset?token=ml_x") || strings.Contains(text, "&lang=ar") != arabic || strings.Contains(text, "&lang=en") {
			t.Errorf("in %s: %s", tag, text)
		}
	}
}

func TestARequestThatIsGivenUpIsToldOfFirst(t *testing.T) {
	t.Parallel()
	var told []string
	failing := true
	b := setupMail(t, func(c *Config) {
		c.OnGivenUp = func(_ context.Context, id string, _ error) error {
			if failing {
				return errors.New("nobody listens")
			}
			told = append(told, id)
			return nil
		}
	})
	if err := b.ForgotPassword(t.Context(), email); err != nil {
		t.Fatal(err)
	}
	b.clock.Add(resetLifetime + time.Minute)
	for range 2 {
		if err := b.requests.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		failing = false
		b.clock.Add(time.Hour)
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], "reset/") {
		t.Errorf("told of %q", told)
	}
}
