package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/clocktest"
	"manus/internal/processtest"
	"manus/internal/smtptest"
	"manus/internal/storetest"
	"manus/internal/waittest"
)

const secret = "a-first-secret-of-more-than-32-bytes-9f2c"

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"sends": sendAndSay})
	m.Run()
}

// sendAndSay puts a mail into the outbox of a store, says so, and waits to be killed.
func sendAndSay(args []string) error {
	ctx := context.Background()
	store, err := sqlitedocs.Open(ctx, args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(ctx, Specs()...); err != nil {
		return err
	}
	o, err := New(Config{Store: store, Secrets: []string{secret}, Sender: refuser{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := o.Send(ctx, hello()); err != nil {
		return err
	}
	fmt.Println("sent")
	processtest.UntilInputEnds()
	return nil
}

// refuser is a mail server that isn't there.
type refuser struct{}

func (refuser) Send(context.Context, Message) error { return errors.New("connection refused") }

func hello() Message {
	return Message{To: "amal@example.com", Subject: "مرحبًا يا أمل", Text: "أهلًا: https://app.example.com/?token=ml_secret\n", HTML: "<p dir=\"rtl\">أهلًا</p>", Language: "ar"}
}

// What the queue does by itself: how long a claim lasts, and the longest wait for another
// try.
const (
	claimed   = time.Minute
	lastRetry = 15 * time.Minute
)

type outbox struct {
	*Outbox
	clock *clocktest.Clock
	log   *waittest.Log
}

func setup(t *testing.T, store docstore.Store, sender Sender) outbox {
	t.Helper()
	o := outbox{clock: clocktest.New(), log: &waittest.Log{}}
	var err error
	o.Outbox, err = New(Config{Store: store, Secrets: []string{secret}, Sender: sender, Now: o.clock.Now, Log: slog.New(slog.NewTextHandler(o.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func smtpAt(t *testing.T, addr string) *SMTP {
	t.Helper()
	s, err := NewSMTP("smtp://"+addr, "Manus <no-reply@app.example.com>")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs the outbox until the test ends, or stop is called.
func (o outbox) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// empty sends or gives up what there is.
func (o outbox) empty(t *testing.T) {
	t.Helper()
	if err := o.mails.Drain(t.Context()); err != nil || o.left(t) != 0 {
		t.Fatalf("%d mails are left: %v", o.left(t), err)
	}
}

// left is how many mails are in the outbox.
func (o outbox) left(t *testing.T) int {
	t.Helper()
	kept, err := o.Kept(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(kept)
}

func TestAMailArrivesWhole(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	o := setup(t, storetest.New(t, Specs()...), smtpAt(t, server.Addr))
	o.run(t)
	m := hello()
	m.ID = "0199-an-id"
	for range 3 { // the same mail
		if err := o.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	got := server.Wait(t, 1)[0]
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	if err != nil || subject != m.Subject || got.To != m.To || got.From != "no-reply@app.example.com" {
		t.Errorf("got %q %+v, %v", subject, got, err)
	}
	for name, want := range map[string]string{
		"Message-Id": "<0199-an-id@app.example.com>", "Auto-Submitted": "auto-generated", "Content-Language": "ar",
		"From": `"Manus" <no-reply@app.example.com>`, "To": "<amal@example.com>",
	} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("%s is %q", name, value)
		}
	}
	if got.Header.Get("Date") == "" {
		t.Error("it has no date")
	}
	kind, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatal(kind, err)
	}
	reader := multipart.NewReader(strings.NewReader(got.Body), params["boundary"])
	for _, want := range [][2]string{{"text/plain; charset=UTF-8", m.Text}, {"text/html; charset=UTF-8", m.HTML}} {
		part, err := reader.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil || part.Header.Get("Content-Type") != want[0] || strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n")) != strings.TrimSpace(want[1]) {
			t.Errorf("%s: %q, %v", part.Header.Get("Content-Type"), text, err)
		}
	}
}

func TestAMailThatGoesOnWithAnotherRefersToIt(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	o := setup(t, storetest.New(t, Specs()...), smtpAt(t, server.Addr))
	o.run(t)
	for id, thread := range map[string]string{"first": "first", "second": "first", "alone": ""} {
		m := hello()
		m.ID, m.Thread = id, thread
		if err := o.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"<first@app.example.com>": "", "<second@app.example.com>": "<first@app.example.com>", "<alone@app.example.com>": ""}
	for _, got := range server.Wait(t, 3) {
		refers, known := want[got.Header.Get("Message-Id")]
		if !known || got.Header.Get("References") != refers || got.Header.Get("In-Reply-To") != refers || got.Header.Get("X-Auto-Response-Suppress") != "All" {
			t.Errorf("got %v", got.Header)
		}
	}
}

func TestAMailThatWasSentIsNotSentAgainUnderItsID(t *testing.T) {
	t.Parallel()
	sent := make(chan string, 9)
	o := setup(t, storetest.New(t, Specs()...), senderFunc(func(m Message) error { sent <- m.ID; return nil }))
	o.run(t)
	for _, id := range []string{"a", "a", "a", "b"} { // as who isn't sure that it was put
		m := hello()
		m.ID = id
		if err := o.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if id == "a" {
			waittest.Poll(t, func() bool { return o.left(t) == 0 }) // which only the store knows
		}
	}
	if first, second := <-sent, <-sent; first != "a" || second != "b" {
		t.Errorf("sent were %s and %s", first, second)
	}
}

func TestAServerThatHangsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	hanging := smtptest.Start(t)
	hanging.Hang()
	o := setup(t, storetest.Open(t, path, Specs()...), smtpAt(t, hanging.Addr))
	stop := o.run(t)
	if err := o.Send(t.Context(), hello()); err != nil {
		t.Fatal(err)
	}
	hanging.Tried(t)
	stop()
	// The next start has it, once the claim of the one before is over.
	good := smtptest.Start(t)
	next := setup(t, storetest.Open(t, path, Specs()...), smtpAt(t, good.Addr))
	next.clock.Add(claimed)
	next.run(t)
	good.Wait(t, 1)
}

func TestATemporaryRefusalIsTriedAgain(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	server.Refuse(451)
	server.Refuse(421)
	o := setup(t, storetest.New(t, Specs()...), smtpAt(t, server.Addr))
	o.run(t)
	if err := o.Send(t.Context(), hello()); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		o.log.Until(t, func() bool { return strings.Count(o.log.String(), "it will be tried again") == n+1 })
		o.clock.Add(2 * lastRetry)
	}
	server.Wait(t, 1)
	if strings.Contains(o.log.String(), "amal@example.com") {
		t.Errorf("the log names the person: %s", o.log)
	}
}

func TestARefusalForGoodIsGivenUpAndTold(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	server.Refuse(550)
	o := setup(t, storetest.New(t, Specs()...), smtpAt(t, server.Addr))
	if err := o.Send(t.Context(), hello()); err != nil {
		t.Fatal(err)
	}
	o.empty(t)
	server.Tried(t)
	if log := o.log.String(); !strings.Contains(log, "given up") || strings.Contains(log, "amal@example.com") || strings.Contains(log, "ml_secret") {
		t.Errorf("the log: %s", log)
	}
}

func TestWhatIsTooLateIsNotSent(t *testing.T) {
	t.Parallel()
	o := setup(t, storetest.New(t, Specs()...), refuser{})
	m := hello()
	m.ExpiresAt = o.clock.Now().Add(time.Second)
	if err := o.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	o.empty(t)
	if !strings.Contains(o.log.String(), "given up") {
		t.Errorf("the log: %s", o.log)
	}
}

func TestTwoCopiesSendEachMailOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	server := smtptest.Start(t)
	const mails = 50
	copies := []outbox{
		setup(t, storetest.Open(t, path, Specs()...), smtpAt(t, server.Addr)),
		setup(t, storetest.Open(t, path, Specs()...), smtpAt(t, server.Addr)),
	}
	for i := range mails {
		m := hello()
		m.ID = fmt.Sprint("mail-", i)
		if err := copies[i%2].Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range copies {
		o.run(t)
	}
	server.Wait(t, mails)
	waittest.Poll(t, func() bool { return copies[0].left(t) == 0 }) // which only the store knows
	seen := map[string]int{}
	for _, m := range server.Mails() {
		seen[m.Header.Get("Message-Id")]++
	}
	if len(seen) != mails || len(server.Mails()) != mails {
		t.Errorf("%d mails, of which %d are different", len(server.Mails()), len(seen))
	}
}

func TestAMailThatWasAcceptedSurvivesAKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	p := processtest.Start(t, "sends", path)
	p.Await(t, "sent")
	p.Kill(t)
	server := smtptest.Start(t)
	o := setup(t, storetest.File(t, path, Specs()...), smtpAt(t, server.Addr))
	o.clock.Set(time.Now())
	o.run(t)
	server.Wait(t, 1)
}

func TestTheStoreHasNoMailInClear(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	o := setup(t, storetest.Open(t, path, Specs()...), nil)
	if err := o.Send(t.Context(), hello()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal"} {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for _, word := range []string{"amal", "ml_secret", "مرحبًا"} {
			if bytes.Contains(data, []byte(word)) {
				t.Errorf("%s has %s", filepath.Base(name), word)
			}
		}
	}
	kept, err := o.Kept(t.Context(), 10)
	if err != nil || len(kept) != 1 || kept[0].Text != hello().Text || kept[0].To != hello().To {
		t.Fatalf("got %+v, %v", kept, err)
	}
	if one, err := o.Get(t.Context(), kept[0].ID); err != nil || one.HTML != hello().HTML {
		t.Errorf("got %+v, %v", one, err)
	}
	if err := o.Erase(t.Context(), "Amal@Example.com"); err != nil || o.left(t) != 0 {
		t.Errorf("it is still there: %v", err)
	}
}

func TestKeptMailsGoWithTheirTime(t *testing.T) {
	t.Parallel()
	o := setup(t, storetest.New(t, Specs()...), nil)
	if err := o.Send(t.Context(), hello()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pass time.Duration
		left int
	}{{maxLifetime, 1}, {time.Second, 0}} {
		o.clock.Add(c.pass)
		if err := o.Sweep(t.Context()); err != nil || o.left(t) != c.left {
			t.Errorf("%d are left, %v", o.left(t), err)
		}
	}
}

func TestWhatIsNoMailIsRefused(t *testing.T) {
	t.Parallel()
	o := setup(t, storetest.New(t, Specs()...), nil)
	for name, change := range map[string]func(*Message){
		"nobody":         func(m *Message) { m.To = "" },
		"two lines to":   func(m *Message) { m.To = "a@example.com\r\nBcc: b@example.com" },
		"two lines on":   func(m *Message) { m.Subject = "Hello\nBcc: b@example.com" },
		"two lines of":   func(m *Message) { m.Thread = "a\r\nBcc: b@example.com" },
		"a long address": func(m *Message) { m.To = strings.Repeat("a", 255) },
		"a long subject": func(m *Message) { m.Subject = strings.Repeat("a", 201) },
		"a long text":    func(m *Message) { m.Text = strings.Repeat("a", maxPart+1) },
		"long HTML":      func(m *Message) { m.HTML = strings.Repeat("a", maxPart+1) },
	} {
		m := hello()
		change(&m)
		if err := o.Send(t.Context(), m); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACertificateThatNobodyTrustsIsRefused(t *testing.T) {
	t.Parallel()
	server := smtptest.StartTLS(t)
	if err := smtpAt(t, server.Addr).Send(t.Context(), hello()); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	if len(server.Mails()) != 0 {
		t.Error("it was sent")
	}
}

func TestURLsOfMailServers(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"smtp://mail.example.com": true, "smtp://u:hunter2@mail.example.com:587": true, "smtps://u:hunter2@mail.example.com": true,
		"smtp://u:p%40ss@mail.example.com:25?tls=off": true, "smtp://[::1]:2525": true, "smtp://mail.example.com/": true,
		"": false, "mail.example.com:587": false, "http://mail.example.com": false, "smtp://": false, "smtp://u:hunter2@": false,
		"smtp://mail.example.com/inbox": false, "smtp://mail.example.com?tls=no": false, "smtps://mail.example.com?tls=off": false,
		"smtp://mail.example.com:99999": false, "smtp://u:hunter2@mail example.com": false, "smtp://u:hunter2%zz@h": false,
	} {
		_, err := NewSMTP(text, "a@example.com")
		if (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error has the password: %v", err)
		}
	}
	if _, err := NewSMTP("smtp://localhost", "not an address"); !errors.Is(err, errFrom) {
		t.Errorf("got %v", err)
	}
}

func FuzzNewSMTP(f *testing.F) {
	f.Add("smtp://u:p@mail.example.com:587?tls=off", "A <a@example.com>")
	f.Add("smtps://[::1]:465", "a@b")
	f.Fuzz(func(t *testing.T, text, from string) {
		s, err := NewSMTP(text, from)
		if (s == nil) == (err == nil) {
			t.Error("neither or both")
		}
		if err != nil && err != errURL && err != errFrom { //nolint:errorlint // the values themselves have no foreign words
			t.Errorf("got %v", err)
		}
	})
}
