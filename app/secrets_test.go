package app

import (
	"encoding/json"
	"io"
	"mime/quotedprintable"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"manus/config"
	"manus/internal/smtptest"
)

var linkToken = regexp.MustCompile(`token=(ml_[A-Za-z0-9_-]+)`)

// form posts one of the pages' forms.
func form(t *testing.T, a *App, path string, values url.Values) (int, string) {
	t.Helper()
	return callType(t, a, "POST", path, "", "application/x-www-form-urlencoded", values.Encode())
}

// plain is a mail's text, decoded.
func plain(t *testing.T, m smtptest.Mail) string {
	t.Helper()
	text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(m.Body)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAPersonsWayLeavesNoSecretBehind goes the whole way of a person with mail, a
// second factor and an API key, then reads everything that the run has written.
func TestAPersonsWayLeavesNoSecretBehind(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	a, log := setup(t, func(s *config.Settings) {
		s.SMTP, s.MailFrom, s.PublicURL = config.NewSecret("smtp://"+server.Addr), "no-reply@app.example.com", "https://app.example.com"
		s.KeepMails = false
	})
	const password, second = "correct horse battery staple", "another battery staple"
	secrets := []string{"amal@example.com", password, second, a.settings.JWTSecret.Reveal()}
	answer := func(status int, method, path, token, body string) map[string]any {
		t.Helper()
		got, text := call(t, a, method, path, token, body)
		if got != status {
			t.Fatalf("%s %s: %d %s", method, path, got, text)
		}
		var parsed map[string]any
		_ = json.Unmarshal([]byte(text), &parsed) // some have no body
		return parsed
	}
	link := func(n int) string {
		t.Helper()
		found := linkToken.FindStringSubmatch(plain(t, server.Wait(t, n)[n-1]))
		if found == nil {
			t.Fatalf("mail %d has no link", n)
		}
		secrets = append(secrets, found[1])
		return found[1]
	}

	answer(202, "POST", "/api/v1/auth/register", "", person)
	token := link(1)
	if status, page := call(t, a, "GET", "/account/verify?token="+token, "", ""); status != 200 || !strings.Contains(page, token) {
		t.Errorf("%d %s", status, page)
	}
	answer(422, "POST", "/api/v1/auth/login", "", person)
	if status, page := form(t, a, "/account/verify", url.Values{"token": {token}}); status != 200 || !strings.Contains(page, "Your address is confirmed") {
		t.Errorf("%d %s", status, page)
	}
	login := `{"email":"amal@example.com","password":"` + password + `"}`
	first := answer(200, "POST", "/api/v1/auth/login", "", login)
	secrets = append(secrets, first["access_token"].(string), first["refresh_token"].(string))

	if status, page := form(t, a, "/account/forgot", url.Values{"email": {"amal@example.com"}}); status != 200 || !strings.Contains(page, "Look into your mailbox") {
		t.Errorf("%d %s", status, page)
	}
	token = link(2)
	if status, page := form(t, a, "/account/reset", url.Values{"token": {token}, "password": {"short"}}); status != 422 || !strings.Contains(page, token) || !strings.Contains(page, "8 to 256") {
		t.Errorf("%d %s", status, page)
	}
	if status, page := form(t, a, "/account/reset", url.Values{"token": {token}, "password": {second}}); status != 200 || !strings.Contains(page, "Your password was changed") {
		t.Errorf("%d %s", status, page)
	}
	answer(401, "GET", "/api/v1/auth/me", first["access_token"].(string), "")
	login = `{"email":"amal@example.com","password":"` + second + `"}`
	me := answer(200, "POST", "/api/v1/auth/login", "", login)["access_token"].(string)

	seed := answer(200, "POST", "/api/v1/auth/totp", me, "")["secret"].(string)
	code, err := totp.GenerateCode(seed, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	codes := answer(200, "POST", "/api/v1/auth/totp/confirm", me, `{"otp":"`+code+`"}`)["recovery_codes"].([]any)
	recovery, another := codes[0].(string), codes[1].(string)
	key := answer(201, "POST", "/api/v1/auth/api-keys", me, `{"name":"ci","scopes":["read"]}`)["key"].(string)
	secrets = append(secrets, me, seed, recovery, another, key)
	answer(200, "GET", "/api/v1/auth/me", key, "")
	answer(401, "POST", "/api/v1/auth/login", "", login)
	answer(401, "POST", "/api/v1/auth/login", "", `{"email":"amal@example.com","password":"`+second+`","otp":"`+code+`"}`)
	last := answer(200, "POST", "/api/v1/auth/login", "", `{"email":"amal@example.com","password":"`+second+`","otp":"`+recovery+`"}`)
	secrets = append(secrets, last["access_token"].(string), last["refresh_token"].(string))
	// What goes wrong, too.
	answer(422, "POST", "/api/v1/auth/login", "", person)
	answer(400, "POST", "/api/v1/auth/login", "", person[:40])
	answer(404, "GET", "/amal@example.com", me, "")
	answer(422, "POST", "/api/v1/auth/verify", "", `{"token":"`+token+`"}`)
	answer(403, "DELETE", "/api/v1/auth/totp", me, "")
	answer(204, "DELETE", "/api/v1/auth/totp", me, `{"password":"`+second+`","otp":"`+another+`"}`)
	server.Wait(t, 6)

	lines := log.String()
	if strings.Count(lines, `"msg":"request"`) < 20 {
		t.Errorf("the log is missing: %s", lines)
	}
	for _, secret := range secrets {
		if strings.Contains(lines, secret) {
			t.Errorf("the log has %.12s…", secret)
		}
	}
	// The store has the person's address, and nothing that proves anybody.
	for _, name := range []string{"manus.db", "manus.db-wal"} {
		data, err := os.ReadFile(filepath.Join(a.settings.DataDir, name))
		if err != nil {
			continue
		}
		for _, secret := range secrets[1:] {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s has %.12s…", name, secret)
			}
		}
	}
	// A mail has no secret but the link it was asked for.
	for i, m := range server.Mails() {
		text := plain(t, m)
		for _, secret := range secrets[1:] {
			if strings.Contains(text, secret) && !(i < 2 && strings.HasPrefix(secret, "ml_")) {
				t.Errorf("mail %d has %.12s…", i+1, secret)
			}
		}
	}
}
