package subscribe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/smtptest"
	"manus/internal/storetest"
	"manus/language"
	"manus/mail"
)

const secretA, secretB = "a secret of thirty-two letters!!", "another one of thirty-two letter"

type rig struct {
	*Service
	clock *clocktest.Clock
	smtp  *smtptest.Server
	store docstore.Store

	mu     sync.Mutex
	notice Notice
	gone   bool
}

func setup(t *testing.T) *rig {
	t.Helper()
	return setupAt(t, clocktest.Running(0))
}

func setupAt(t *testing.T, clock *clocktest.Clock) *rig {
	t.Helper()
	r := &rig{clock: clock, smtp: smtptest.Start(t), store: storetest.New(t), notice: aNotice()}
	if err := r.store.Declare(t.Context(), Specs()...); err != nil {
		t.Fatal(err)
	}
	r.Service = r.open(t, secretA)
	return r
}

func aNotice() Notice {
	at := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	status := language.Text{En: "Identified", Ar: "عُرف السبب"}
	return Notice{
		Thread: "i1", Components: []string{"api"}, Title: language.Text{En: "Logins fail", Ar: "تعذّر الدخول"}, Status: status, State: "identified", At: at,
		News:   []Entry{{at, status, "identified", language.Text{En: "It is the *disk*."}}},
		Before: []Entry{{at.Add(-time.Hour), language.Text{En: "Investigating"}, "investigating", language.Text{En: "We look."}}}, Path: "/status/incidents/i1",
	}
}

// open is a copy of the service.
func (r *rig) open(t *testing.T, secrets ...string) *Service {
	t.Helper()
	sender, err := mail.NewSMTP("smtp://"+r.smtp.Addr+"?tls=off", "Status <status@example.com>")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{
		Store: r.store, Secrets: secrets, Send: sender.Many().Send, BaseURL: func() string { return "https://example.com" }, AllowPrivate: func() bool { return true }, Version: "test", Now: r.clock.Now, Log: slog.New(slog.DiscardHandler),
		Read: func(context.Context, Ref) (Notice, bool, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.notice, !r.gone, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// work does all there is to do.
func (r *rig) work(t *testing.T, s *Service) {
	t.Helper()
	for _, drain := range []func(context.Context) error{s.requests.Drain, s.notices.Drain, s.deliveries.Drain} {
		if err := drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

var linked = regexp.MustCompile(`https://example\.com(/status/\S+)\?token=(su_\S+?)(&lang=ar)?\s`)

// tokenIn is the token of a mail's link to a page.
func tokenIn(t *testing.T, m smtptest.Mail, path string) string {
	t.Helper()
	for _, found := range linked.FindAllStringSubmatch(m.Text(), -1) {
		if found[1] == path {
			text, err := url.QueryUnescape(found[2])
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
	}
	t.Fatalf("no link to %s in %q", path, m.Text())
	return ""
}

// subscribe has an address told, and returns its token.
func (r *rig) subscribe(t *testing.T, email string, tag language.Tag, components ...string) string {
	t.Helper()
	n := len(r.smtp.Mails())
	if err := r.Ask(t.Context(), Asking{Email: email, Components: components, Language: tag}); err != nil {
		t.Fatal(err)
	}
	r.work(t, r.Service)
	text := tokenIn(t, r.smtp.Wait(t, n+1)[n], confirmPath)
	if err := r.Confirm(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAMailboxIsToldOnceItHasConfirmedAndUntilItUnsubscribes(t *testing.T) {
	t.Parallel()
	r := setup(t)
	if err := r.Ask(t.Context(), Asking{Email: "Amal@Example.com"}); err != nil {
		t.Fatal(err)
	}
	r.work(t, r.Service)
	confirmation := r.smtp.Wait(t, 1)[0]
	tell := func(of string) {
		t.Helper()
		if err := r.Announce(t.Context(), Ref{"incident", "i1", of}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		r.work(t, r.Service)
	}
	tell("u0")
	if n := len(r.smtp.Mails()); n != 1 {
		t.Fatalf("%d mails before it has confirmed", n)
	}
	token := tokenIn(t, confirmation, confirmPath)
	if cut := r.CanConfirm(t.Context(), token[:len(token)-1]); !errors.Is(cut, ErrLink) || r.CanConfirm(t.Context(), token) != nil {
		t.Errorf("a link that isn't whole: %v", cut)
	}
	for range 2 { // a second click is no error
		if err := r.Confirm(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // a notice that is announced again is one
		tell("u1")
	}
	mails := r.smtp.Mails()
	if len(mails) != 2 {
		t.Fatalf("%d mails", len(mails))
	}
	m := mails[1]
	text := m.Text()
	for _, want := range []string{"Logins fail", "It is the *disk*.", "https://example.com/status/incidents/i1", "Before that:", "We look.", "Unsubscribe: "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	unsubscribe := m.Header.Get("List-Unsubscribe")
	if m.To != "Amal@Example.com" || m.Subject() != "[example.com] Identified: Logins fail" || m.Header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" ||
		unsubscribe != "<https://example.com/status/unsubscribe?token="+url.QueryEscape(tokenIn(t, m, unsubscribePath))+">" {
		t.Errorf("%+v", m)
	}
	whole := tokenIn(t, m, unsubscribePath)
	for _, cut := range []string{"", whole[:len(whole)-1], whole[:10], whole + "x"} {
		if err := r.Unsubscribe(t.Context(), cut); !errors.Is(err, ErrUnsubscribed) || !errors.Is(r.CanUnsubscribe(t.Context(), cut), ErrUnsubscribed) {
			t.Errorf("by %q somebody is told no more: %v", cut, err)
		}
	}
	if err := errors.Join(r.CanUnsubscribe(t.Context(), whole), r.Unsubscribe(t.Context(), whole)); err != nil {
		t.Fatal(err)
	}
	if err := r.Unsubscribe(t.Context(), whole); !errors.Is(err, ErrUnsubscribed) {
		t.Errorf("once more: %v", err)
	}
	tell("u2")
	if n := len(r.smtp.Mails()); n != 2 {
		t.Errorf("%d mails after it has unsubscribed", n)
	}
	if n, err := r.Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d are left, %v", n, err)
	}
	if err := r.Confirm(t.Context(), token); !errors.Is(err, ErrLink) {
		t.Errorf("the link that confirmed: %v", err)
	}
}

// A stranger asks for an address again and again: nothing of its wish changes, and it gets a few mails.
func TestAStrangerCanNeitherChangeAWishNorFillAMailbox(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.subscribe(t, "amal@example.com", language.English, "api")
	for n := range 10 {
		err := r.Ask(t.Context(), Asking{Email: "AMAL@example.com", Components: []string{"web"}, Language: language.Arabic})
		if often := n+1 >= maxAsked; errors.Is(err, ErrAskedOften) != often || err != nil && !often {
			t.Fatalf("the %d. time: %v", n+1, err)
		}
		r.work(t, r.Service)
		r.clock.Add(time.Minute)
	}
	mails := r.smtp.Mails()
	if len(mails) != maxAsked {
		t.Errorf("%d mails", len(mails))
	}
	all, _, err := r.subscribers.Find(t.Context(), docstore.Query{Index: byConfirmed, Limit: 10})
	if err != nil || len(all) != 1 || all[0].Wish.Language != language.English || all[0].Wish.Components[0] != "api" {
		t.Fatalf("%+v, %v", all, err)
	}
	// Its owner can.
	if err := r.Confirm(t.Context(), tokenIn(t, mails[len(mails)-1], confirmPath)); err != nil {
		t.Fatal(err)
	}
	if sub, err := r.subscribers.Get(t.Context(), all[0].ID); err != nil || sub.Wish.Components[0] != "web" {
		t.Errorf("%+v, %v", sub, err)
	}
	r.clock.Add(confirmWithin)
	if err := r.Ask(t.Context(), Asking{Email: "amal@example.com"}); err != nil {
		t.Fatal(err)
	}
	r.work(t, r.Service)
	r.smtp.Wait(t, maxAsked+1)
}

func TestTheStoreDoesntKnowWhoIsTold(t *testing.T) {
	t.Parallel()
	r := setup(t)
	if err := r.Ask(t.Context(), Asking{Email: "amal@example.com"}); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for _, s := range Specs() {
			page, err := r.store.Find(t.Context(), s.Collection, docstore.Query{Index: s.Indexes[0].Name, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page.Documents {
				if strings.Contains(string(d), "amal") {
					t.Errorf("%s has the address: %s", s.Collection, d)
				}
			}
		}
	}
	check()
	r.work(t, r.Service)
	token := tokenIn(t, r.smtp.Wait(t, 1)[0], confirmPath)
	if err := r.Confirm(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	check()
	// Another secret takes over: it is sealed anew, and the first isn't needed any more.
	if err := r.open(t, secretB, secretA).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := r.open(t, secretB)
	if err := later.Announce(t.Context(), Ref{"incident", "i1", "u1"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	r.work(t, later)
	r.smtp.Wait(t, 2)
	if err := later.Unsubscribe(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if n, err := later.Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d are left, %v", n, err)
	}
}

func TestEachIsToldOfWhatTheyWantInTheirLanguage(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.subscribe(t, "all@example.com", language.Arabic)
	r.subscribe(t, "api@example.com", language.English, "api", "web", "A B")
	r.subscribe(t, "web@example.com", language.English, "web")
	tell := func(of string, components ...string) (to string) {
		t.Helper()
		n := len(r.smtp.Mails())
		r.notice.Components = components
		if err := r.Announce(t.Context(), Ref{"incident", "i1", of}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		r.work(t, r.Service)
		for _, who := range []string{"all", "api", "web"} {
			for _, m := range r.smtp.Mails()[n:] {
				if strings.HasPrefix(m.To, who) {
					to += who + " "
				}
			}
		}
		return to
	}
	for of, c := range map[string]struct{ about, want string }{"a": {"api", "all api "}, "b": {"web", "all api web "}, "c": {"disk", "all "}} {
		if to := tell(of, c.about); to != c.want {
			t.Errorf("of %s are told: %s", c.about, to)
		}
	}
	if to := tell("d"); to != "all api web " {
		t.Errorf("of everything are told: %s", to)
	}
	for _, m := range r.smtp.Mails() {
		if m.To != "all@example.com" {
			continue
		}
		if text := m.Text(); m.Header.Get("Content-Language") != "ar" || !strings.Contains(text, "lang=ar") || strings.Contains(text, "Unsubscribe:") {
			t.Errorf("%+v\n%s", m.Header, text)
		}
	}
	// What isn't so any more by then is told to nobody.
	r.gone = true
	if to := tell("e"); to != "" {
		t.Errorf("of what was taken back are told: %s", to)
	}
}

// receiver is a webhook's receiver, which confirms if it echoes.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	echo  bool
	code  int
	key   string
	came  []event
	wrong int

	bodies  []string
	headers []http.Header
}

func receive(t *testing.T, echo bool) *receiver {
	t.Helper()
	r := &receiver{echo: echo, code: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		text, _ := io.ReadAll(q.Body)
		var e struct {
			Type string
			Data challengeData
		}
		_ = json.Unmarshal(text, &e)
		if e.Type == "status.confirm" {
			r.key = e.Data.Secret
		}
		if verifier, err := standardwebhooks.NewWebhook(r.key); err != nil || verifier.Verify(text, q.Header) != nil {
			r.wrong++
		}
		r.came, r.bodies, r.headers = append(r.came, event{Type: e.Type, Data: e.Data}), append(r.bodies, string(text)), append(r.headers, q.Header)
		w.WriteHeader(r.code)
		if r.echo {
			fmt.Fprint(w, e.Data.Challenge)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) types() (all string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.came {
		all += e.Type + " "
	}
	if r.wrong > 0 {
		all += "with a wrong signature"
	}
	return all
}

func TestAWebhookIsToldOnceItHasAnsweredWithTheChallenge(t *testing.T) {
	t.Parallel()
	r := setup(t)
	echoes, silent := receive(t, true), receive(t, false)
	for _, hook := range []*receiver{echoes, silent} {
		if err := r.Ask(t.Context(), Asking{Webhook: hook.URL + "/hook"}); err != nil {
			t.Fatal(err)
		}
	}
	tell := func(of string) {
		t.Helper()
		r.work(t, r.Service)
		if err := r.Announce(t.Context(), Ref{"incident", "i1", of}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		r.work(t, r.Service)
	}
	tell("u1")
	if got := echoes.types() + "| " + silent.types(); got != "status.confirm status.incident | status.confirm " {
		t.Fatalf("they got %s", got)
	}
	// A person opens the link that the other was sent.
	data, _ := silent.came[0].Data.(challengeData)
	_, text, _ := strings.Cut(data.ConfirmURL, "token=")
	if err := r.Confirm(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	tell("u2")
	if got := silent.types(); got != "status.confirm status.incident " {
		t.Errorf("it got %s", got)
	}
	echoes.code = http.StatusGone
	for n := range maxRefused {
		tell(fmt.Sprint("gone", n))
	}
	if n, err := r.Count(t.Context()); err != nil || n != 1 {
		t.Errorf("%d are left, %v", n, err)
	}
}

// A mailbox that is gone is erased after some notices; a mail server that refuses everybody
// erases nobody.
func TestWhoTakesNothingIsErasedUnlessTheMailServerIsAtFault(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.subscribe(t, "gone@example.com", language.English)
	tell := func(from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			if err := r.Announce(t.Context(), Ref{"incident", "i1", fmt.Sprint(n)}, time.Time{}); err != nil {
				t.Fatal(err)
			}
			r.work(t, r.Service)
		}
	}
	left := func(want int) {
		t.Helper()
		if n, err := r.Count(t.Context()); err != nil || n != want {
			t.Errorf("%d are left, %v", n, err)
		}
	}
	r.smtp.RefuseRecipients(550)
	r.clock.Add(othersTaken + time.Minute)
	tell(0, 2*maxRefused)
	left(1)
	r.taken.Store(r.clock.Now().UnixMilli()) // it takes another's
	tell(100, 100+maxRefused-1)
	left(1)
	tell(200, 201)
	left(0)
}

// Who announces it may not know when it may be told.
func TestANoticeWaitsForItsTime(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.subscribe(t, "amal@example.com", language.English)
	r.notice.NotBefore = r.clock.Now().Add(10 * time.Minute)
	if err := r.Announce(t.Context(), Ref{"incident", "i1", "u1"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r.work(t, r.Service)
		if n := len(r.smtp.Mails()); n != 1 {
			t.Fatalf("%d mails", n)
		}
		r.clock.Add(5 * time.Minute)
	}
	r.work(t, r.Service)
	r.smtp.Wait(t, 2)
}

func TestWhatCantBeWrittenToIsRefused(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, email := range []string{"amal", "a@b", "Amal <amal@example.com>", "a@example.com\r\nBcc: b@example.com", strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("b", 255) + ".com", "a,b@example.com"} {
		if err := r.Ask(t.Context(), Asking{Email: email}); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %v", email, err)
		}
	}
	for _, address := range []string{"", "x", "ftp://example.com", "https://", "https://user:secret@example.com/", "https://example.com/#x", "https://example.com/" + strings.Repeat("x", maxURL)} {
		if err := r.Ask(t.Context(), Asking{Webhook: address}); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, text := range []string{"", "su_", "su_x.y", "su_" + strings.Repeat("x", 1000) + ".y", "x"} {
		if err := r.Confirm(t.Context(), text); !errors.Is(err, ErrLink) {
			t.Errorf("%q: %v", text, err)
		}
	}
	// An address of the own network isn't dialled unless that is allowed.
	hook := receive(t, true)
	guarded := r.open(t, secretA)
	guarded.poster = newPoster(Config{AllowPrivate: func() bool { return false }})
	if err := guarded.Ask(t.Context(), Asking{Webhook: hook.URL}); err != nil {
		t.Fatal(err)
	}
	r.work(t, guarded)
	if got := hook.types(); got != "" {
		t.Errorf("it got %s", got)
	}
}

func FuzzToken(f *testing.F) {
	f.Add("su_a.b")
	f.Fuzz(func(t *testing.T, text string) {
		if address, key, err := readEmail(text); err == nil && (address == "" || key == "" || strings.ContainsAny(address, "\r\n")) {
			t.Errorf("%q is %q", text, address)
		}
		if address, err := (&Service{c: Config{AllowPrivate: func() bool { return false }}}).readURL(text); err == nil && !strings.HasPrefix(address, "https://") {
			t.Errorf("%q is %q", text, address)
		}
	})
}
