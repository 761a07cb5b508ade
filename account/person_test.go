package account

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"manus/audit"
	"manus/docstore"
	"manus/identity"
	"manus/internal/clocktest"
	"manus/mail"
)

// held is another room that keeps something of people.
type held struct {
	erased atomic.Int64
	err    atomic.Pointer[error]
}

func (h *held) Export(_ context.Context, userID string, add func(string, iter.Seq2[any, error]) error) error {
	return add("held", func(yield func(any, error) bool) { yield(map[string]string{"of": userID}, nil) })
}

func (h *held) Erase(context.Context, string) error {
	if err := h.err.Load(); err != nil {
		return *err
	}
	h.erased.Add(1)
	return nil
}

func TestAnExportHasEverythingAndNoSecret(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.PersonalData = []PersonalData{&held{}} })
	tokens := b.register(t)
	app := b.withTOTP(t, tokens.User.ID, "")
	newDevice().register(t, b, tokens.User.ID, false)
	_, key, err := b.makeKey(t.Context(), tokens.User.ID, "my key", []identity.Scope{identity.Read}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := b.Export(t.Context(), tokens.User.ID, &out); err != nil {
		t.Fatal(err)
	}
	archive, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range archive.File {
		opened, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(opened)
		if err != nil {
			t.Fatal(err)
		}
		var values []any
		if err := json.Unmarshal(text, &values); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		files[f.Name] = string(text)
	}
	for name, want := range map[string]string{
		"account.json": "amal@example.com", "devices.json": `"created_at"`, "api-keys.json": "my key", "identities.json": "[]",
		"security-events.json": string(eventTOTPOn), "held.json": tokens.User.ID,
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s: %s", name, files[name])
		}
	}
	for _, secret := range []string{key, app.seed, app.recovery[0], "argon2id", tokens.Refresh} {
		if strings.Contains(strings.Join([]string{files["account.json"], files["devices.json"], files["api-keys.json"]}, ""), secret) {
			t.Errorf("it has %.8s…", secret)
		}
	}
}

func TestErasingLeavesNothingPersonal(t *testing.T) {
	t.Parallel()
	other := &held{}
	store, c := testStore(t), clocktest.New()
	b := copyOf(t, store, c, []string{secretA}, withMail(t, store, c), func(c *Config) { c.PersonalData = []PersonalData{other} })
	caller := identity.With(t.Context(), identity.Caller{Agent: "Amal's phone"})
	tokens, _, err := b.Register(caller, NewUser{Email: email, Password: pass, FullName: "Amal Haddad"})
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := b.makeKey(t.Context(), tokens.User.ID, "Amal's key", []identity.Scope{identity.Read}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Erase(t.Context(), tokens.User.ID); err != nil {
		t.Fatal(err)
	}
	b.wantAlive(t, tokens, false)
	if _, err := b.authenticateKey(t.Context(), key); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("the key lives: %v", err)
	}
	if other.erased.Load() == 0 {
		t.Error("the other room wasn't asked")
	}
	sent := b.sent(t)
	if len(sent) != 1 || sent[0].Subject != notices[eventErased].subject.En || sent[0].To != email {
		t.Errorf("what is left in the outbox: %+v", sent)
	}
	for _, spec := range append(Specs(), audit.Specs()...) {
		page, err := store.Find(t.Context(), spec.Collection, docstore.Query{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range page.Documents {
			if strings.Contains(strings.ToLower(string(raw)), "amal") {
				t.Errorf("%s still has %s", spec.Collection, raw)
			}
			if spec.Collection != audit.Specs()[0].Collection {
				t.Errorf("%s still has a document: %s", spec.Collection, raw)
			}
		}
	}
	if _, _, err := b.Register(t.Context(), NewUser{Email: email, Password: pass}); err != nil {
		t.Errorf("the address isn't free: %v", err)
	}
}

// TestAfterAnErasureOnlyTheGoodbyeIsMailed has notices that wait in the account, and one
// that came into the queue of mails just before.
func TestAfterAnErasureOnlyTheGoodbyeIsMailed(t *testing.T) {
	t.Parallel()
	store, c := testStore(t), clocktest.New()
	server := copyOf(t, store, c, []string{secretA}, withMail(t, store, c))
	command := copyOf(t, store, c, []string{secretA}, func(c *Config) { c.Offline = true })
	user, err := server.Create(t.Context(), NewUser{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	phone := identity.With(t.Context(), identity.Caller{Agent: "Amal's phone", Address: netip.MustParseAddr("192.0.2.7")})
	for range 2 {
		if err := command.SetPassword(phone, user.ID, "a new password", false); err != nil {
			t.Fatal(err)
		}
	}
	if err := command.Erase(t.Context(), user.ID); err != nil {
		t.Fatal(err)
	}
	left, err := server.Get(t.Context(), user.ID)
	if err != nil || len(left.Pending) != 3 {
		t.Fatalf("%+v, %v", left.Pending, err)
	}
	for _, e := range left.Pending {
		if e.Kind != eventErased && e.MailTo+e.Address+e.Agent != "" || e.Kind == eventErased && e.MailTo != email {
			t.Errorf("it keeps %+v", e)
		}
	}
	if err := server.c.Mail.Send(t.Context(), mail.Message{To: email, Subject: "A notice", Text: "It came late."}); err != nil {
		t.Fatal(err)
	}
	server.clock.Add(time.Minute)
	for range 2 {
		if err := server.finishErasures(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if sent := server.sent(t); len(sent) != 1 || sent[0].Subject != notices[eventErased].subject.En || sent[0].To != email {
		t.Errorf("the mails are %+v", sent)
	}
}

func TestAnErasureThatWasCutShortIsFinished(t *testing.T) {
	t.Parallel()
	other := &held{}
	b := setup(t, func(c *Config) { c.PersonalData = []PersonalData{other} })
	tokens := b.register(t)
	broken := errors.New("cut short")
	other.err.Store(&broken)
	if err := b.Erase(t.Context(), tokens.User.ID); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	b.wantAlive(t, tokens, false)
	if left, err := b.Get(t.Context(), tokens.User.ID); err != nil || left.Email != "" || left.FullName != "" || left.PasswordHash != "" {
		t.Errorf("what is left: %+v, %v", left, err)
	}
	other.err.Store(nil)
	b.clock.Add(time.Minute)
	if err := b.finishErasures(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), tokens.User.ID); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("got %v", err)
	}
}

// What has just begun is still under way, and is left to whoever began it.
func TestOnlyErasuresThatWereCutShortAreFinishedAndAllOfThem(t *testing.T) {
	t.Parallel()
	server := setup(t)
	command := copyOf(t, server.store, server.clock, []string{secretA}, func(c *Config) { c.Offline = true })
	var users []User
	for _, address := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		user, err := server.Create(t.Context(), NewUser{Email: address, Password: pass})
		if err == nil {
			err = command.Erase(t.Context(), user.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, user)
	}
	for _, left := range []bool{true, false} {
		if err := server.finishErasures(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			if _, err := server.Get(t.Context(), u.ID); errors.Is(err, ErrUnknownUser) == left {
				t.Errorf("%s should be left: %v: %v", u.Email, left, err)
			}
		}
		server.clock.Add(unfinishedAfter + time.Second)
	}
}

func TestAnExportTellsWhetherThereIsAPassword(t *testing.T) {
	t.Parallel()
	if !newExportedUser(User{PasswordHash: "a hash"}).HasPassword || newExportedUser(User{}).HasPassword {
		t.Error("it doesn't")
	}
}

func TestACommandsErasureIsTheServersToFinish(t *testing.T) {
	t.Parallel()
	server := setup(t)
	tokens := server.register(t)
	command := copyOf(t, server.store, server.clock, []string{secretB}, func(c *Config) { c.Offline = true })
	if err := command.Erase(t.Context(), tokens.User.ID); err != nil {
		t.Fatal(err)
	}
	server.clock.Add(time.Minute)
	if err := server.finishErasures(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Get(t.Context(), tokens.User.ID); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("got %v", err)
	}
}

// Of the logins that an erasure has still to remove none is alive, not even one that was
// ended long before.
func TestNoLoginIsOfAnErasedAccount(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.Offline = true })
	id := b.register(t).User.ID
	if _, err := b.LogoutEverybody(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.login(t, ""), b.Erase(t.Context(), id)); err != nil {
		t.Fatal(err)
	}
	left, err := b.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	logins := 0
	for l, err := range b.logins.All(t.Context(), docstore.Query{Index: "by_user", Equal: []any{id}}) {
		if logins++; err != nil || l.Epoch >= left.Epoch {
			t.Errorf("one is of epoch %d, and the account of %d; %v", l.Epoch, left.Epoch, err)
		}
	}
	if logins != 2 {
		t.Errorf("there are %d", logins)
	}
}

func TestAnExportThatFailsIsNoArchive(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.PersonalData = []PersonalData{brokenData{}} })
	tokens := b.register(t)
	server := serve(t, b)
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/api/v1/auth/me/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+tokens.Access)
	response, err := server.Client().Do(r)
	if err != nil {
		return // broken off before the head: as well
	}
	defer response.Body.Close()
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("half an archive ends like a whole one")
	}
}

type brokenData struct{}

func (brokenData) Export(context.Context, string, func(string, iter.Seq2[any, error]) error) error {
	return errors.New("broken")
}
func (brokenData) Erase(context.Context, string) error { return nil }

func TestTheOwnerIsToldOfNewDevicesAndChanges(t *testing.T) {
	t.Parallel()
	store, c := testStore(t), clocktest.New()
	b := copyOf(t, store, c, []string{secretA}, withMail(t, store, c))
	from := func(agent string) context.Context {
		return identity.With(t.Context(), identity.Caller{Agent: agent})
	}
	if _, err := b.Create(t.Context(), NewUser{Email: email, Password: pass}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		agent string
		mails int
	}{{"Firefox/120.0 (Linux)", 0}, {"Firefox/120.0 (Linux)", 0}, {"Firefox/121.2 (Linux)", 0}, {"curl/8", 1}, {"curl/8", 1}, {"Firefox/122.0 (Linux)", 1}} {
		if _, err := b.Login(from(c.agent), Credentials{Email: email, Password: pass}); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sent(t)); n != c.mails {
			t.Errorf("after %s there are %d mails", c.agent, n)
		}
	}
	if m := b.sent(t)[0]; !strings.Contains(m.Text, "curl/8") || !strings.Contains(m.Text, "23 November 2026, 12:00 UTC") || m.To != email {
		t.Errorf("got %+v", m)
	}
}

func TestANoticeSurvivesACrashAndIsOneMail(t *testing.T) {
	t.Parallel()
	store, c := testStore(t), clocktest.New()
	server := copyOf(t, store, c, []string{secretA}, withMail(t, store, c))
	user, err := server.Create(t.Context(), NewUser{Email: email, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	// A command leaves its notes behind, as a crash right after the change does.
	command := copyOf(t, store, c, []string{secretA}, func(c *Config) { c.Offline = true })
	if err := command.SetPassword(t.Context(), user.ID, "a new password", false); err != nil {
		t.Fatal(err)
	}
	left, err := server.Get(t.Context(), user.ID)
	if err != nil || len(left.Pending) != 1 {
		t.Fatalf("%d events are pending, %v", len(left.Pending), err)
	}
	// Two copies of the server bring them on their way at once, one of them late.
	server.clock.Add(time.Minute)
	if err := server.relay.DeliverStale(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.relay.Deliver(t.Context(), left); err != nil {
		t.Fatal(err)
	}
	if n := len(server.sent(t)); n != 1 {
		t.Errorf("%d mails", n)
	}
	events, _, err := server.c.Audit.List(t.Context(), user.ID, 100, "")
	if err != nil || len(events) != 2 || events[0].Kind != eventPasswordSet || events[0].MailTo != "" {
		t.Errorf("got %+v, %v", events, err)
	}
	if now, err := server.Get(t.Context(), user.ID); err != nil || len(now.Pending) != 0 || !now.PendingSince.IsZero() {
		t.Errorf("got %+v, %v", now, err)
	}
}

func TestFailedAttemptsAreOneLineAnHour(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.register(t).User
	for range 3 {
		for range 4 {
			if _, err := b.Login(t.Context(), Credentials{Email: email, Password: "not the password"}); !errors.Is(err, ErrBadCredentials) {
				t.Fatal(err)
			}
		}
		if _, err := b.Login(t.Context(), Credentials{Email: "nobody@example.com", Password: pass}); !errors.Is(err, ErrBadCredentials) {
			t.Fatal(err)
		}
		b.failures.Flush(t.Context())
	}
	events, _, err := b.c.Audit.List(t.Context(), "", 100, "")
	if err != nil {
		t.Fatal(err)
	}
	var lines []audit.Event
	for _, e := range events {
		if e.Kind == eventSignInFailed {
			lines = append(lines, e)
		}
	}
	if len(lines) != 1 || lines[0].Count != 12 || lines[0].UserID != user.ID {
		t.Errorf("got %+v", lines)
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b)
	first := call(t, server, "POST", "/auth/register", "", credentials).want(t, 201).tokens(t)
	second := call(t, server, "POST", "/auth/login", "", credentials).want(t, 200).tokens(t)
	stranger := call(t, server, "POST", "/auth/register", "", `{"email":"b@example.com","password":"correct horse battery staple"}`).want(t, 201).tokens(t)
	var list struct{ Items []deviceBody }
	read := func(token string) []deviceBody {
		t.Helper()
		list.Items = nil
		if err := json.Unmarshal([]byte(call(t, server, "GET", "/auth/devices", token, "").want(t, 200).body), &list); err != nil {
			t.Fatal(err)
		}
		return list.Items
	}
	devices := read(second.AccessToken)
	if len(devices) != 2 || !devices[0].Current || devices[1].Current || devices[0].Agent == "" {
		t.Fatalf("got %+v", devices)
	}
	call(t, server, "PATCH", "/auth/devices/"+devices[1].ID, second.AccessToken, `{"name":"the old laptop"}`).want(t, 200)
	if named := read(second.AccessToken); named[1].Name != "the old laptop" {
		t.Errorf("got %+v", named)
	}
	call(t, server, "PATCH", "/auth/devices/"+devices[1].ID, stranger.AccessToken, `{"name":"mine"}`).want(t, 404)
	call(t, server, "DELETE", "/auth/devices/"+devices[1].ID, stranger.AccessToken, "").want(t, 404)
	call(t, server, "DELETE", "/auth/devices/"+devices[1].ID, second.AccessToken, "").want(t, 204)
	call(t, server, "GET", "/auth/me", first.AccessToken, "").want(t, 401)
	if left := read(second.AccessToken); len(left) != 1 {
		t.Errorf("got %+v", left)
	}
	call(t, server, "POST", "/auth/logout-all", second.AccessToken, "").want(t, 204)
	third := call(t, server, "POST", "/auth/login", "", credentials).want(t, 200).tokens(t)
	if left := read(third.AccessToken); len(left) != 1 {
		t.Errorf("ended logins are listed: %+v", left)
	}
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b)
	me := call(t, server, "POST", "/auth/register", "", credentials).want(t, 201).tokens(t)
	call(t, server, "POST", "/auth/api-keys", me.AccessToken, `{"name":"x","scopes":["king"]}`).want(t, 422)
	call(t, server, "POST", "/auth/api-keys", me.AccessToken, `{"name":"x","scopes":["operator"]}`).want(t, 403)
	call(t, server, "POST", "/auth/api-keys", me.AccessToken, `{"name":"x","scopes":["read"],"expires_at":"2020-01-01T00:00:00Z"}`).want(t, 422)
	reader := newKey(t, server, me.AccessToken, `{"name":"reader","scopes":["read"]}`)
	writer := newKey(t, server, me.AccessToken, `{"name":"writer","scopes":["write"],"expires_at":"2026-11-24T00:00:00Z"}`)
	if !strings.HasPrefix(reader, "mk_") || len(reader) < 60 {
		t.Errorf("got %q", reader)
	}
	call(t, server, "GET", "/auth/me", reader, "").want(t, 200)
	call(t, server, "PATCH", "/auth/me", reader, `{"full_name":"X"}`).want(t, 403)
	call(t, server, "GET", "/auth/me", writer, "").want(t, 403)
	call(t, server, "PATCH", "/auth/me", writer, `{"full_name":"X"}`).want(t, 200)
	for _, route := range []string{"GET /auth/api-keys", "GET /auth/devices", "POST /auth/logout-all", "DELETE /auth/me", "POST /auth/totp", "GET /auth/me/export", "POST /auth/password"} {
		method, path, _ := strings.Cut(route, " ")
		if a := call(t, server, method, path, writer, ""); a.status != 403 && a.status != 422 {
			t.Errorf("%s by a key: %d", route, a.status)
		}
	}
	list := call(t, server, "GET", "/auth/api-keys", me.AccessToken, "").want(t, 200)
	if strings.Contains(list.body, reader) || !strings.Contains(list.body, `"last_used_at":"2026-11-23T12:00:00.000Z"`) {
		t.Errorf("got %s", list.body)
	}
	// With the right id and another secret it is nobody's.
	id, _, err := parseKey(reader)
	if err != nil {
		t.Fatal(err)
	}
	call(t, server, "GET", "/auth/me", forgedKey(t, id), "").want(t, 401)
	b.clock.Add(12 * time.Hour)
	call(t, server, "PATCH", "/auth/me", writer, `{"full_name":"X"}`).want(t, 401)
	call(t, server, "GET", "/auth/me", reader, "").want(t, 200)
	again := call(t, server, "POST", "/auth/login", "", credentials).want(t, 200).tokens(t)
	call(t, server, "DELETE", "/auth/api-keys/nonsense", again.AccessToken, "").want(t, 404)
	call(t, server, "DELETE", "/auth/api-keys/"+id, again.AccessToken, "").want(t, 204)
	call(t, server, "GET", "/auth/me", reader, "").want(t, 401)
	last := newKey(t, server, again.AccessToken, `{"name":"last","scopes":["read"]}`)
	if err := b.SetDisabled(t.Context(), me.User.ID, true); err != nil {
		t.Fatal(err)
	}
	call(t, server, "GET", "/auth/me", last, "").want(t, 401)
}

// newKey makes an API key and returns it.
func newKey(t *testing.T, server *httptest.Server, token, body string) string {
	t.Helper()
	var made struct{ Key string }
	if err := json.Unmarshal([]byte(call(t, server, "POST", "/auth/api-keys", token, body).want(t, 201).body), &made); err != nil {
		t.Fatal(err)
	}
	return made.Key
}

// forgedKey is a well-formed key with somebody's id.
func forgedKey(t *testing.T, id string) string {
	t.Helper()
	parsed, err := uuid.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return formatKey(parsed, secret{})
}

func FuzzParseKey(f *testing.F) {
	f.Add(formatKey(uuid.New(), secret{}))
	f.Add("mk_")
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, err := parseKey(text)
		if err != nil {
			return
		}
		if again := formatKey(uuid.MustParse(id), secret); again != text {
			t.Errorf("%q became %q", text, again)
		}
	})
}

func TestCommonAndPersonalPasswordsAreRefused(t *testing.T) {
	t.Parallel()
	if n := len(common()); n < 3000 {
		t.Errorf("only %d passwords are known", n)
	}
	for password, refused := range map[string]bool{
		"password": true, "PASSWORD": true, "iloveyou": true, "ｐａｓｓｗｏｒｄ": true, "aaaaaaaaaa": true,
		"amal@example.com": true, "amalhaddad": true, "Amal Haddad": true, "example2026!": true, "manus1234": true,
		"correct horse battery staple": false, "7fQ!x92k": false, "كلمة سر طويلة": false, "password of mine": false,
	} {
		err := checkPassword(password, "amal@example.com", "Amal Haddad")
		if errors.Is(err, ErrCommonPassword) != refused || !refused && err != nil {
			t.Errorf("%q: %v", password, err)
		}
	}
}
