package mail

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"manus/internal/storetest"
	"manus/internal/waittest"
)

// senderFunc is a mail server that does what a test says.
type senderFunc func(Message) error

func (f senderFunc) Send(_ context.Context, m Message) error { return f(m) }

func TestWhatExpiredWhileNobodyRanIsNotSent(t *testing.T) {
	t.Parallel()
	o := setup(t, storetest.New(t, Specs()...), senderFunc(func(Message) error {
		t.Error("it was sent")
		return nil
	}))
	m := hello()
	m.ExpiresAt = o.clock.Now().Add(time.Hour)
	if err := o.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	o.clock.Add(time.Hour)
	o.empty(t)
	if !strings.Contains(o.log.String(), "given up") {
		t.Errorf("the log: %s", o.log)
	}
}

func TestTheLogNeverNamesThePerson(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ to, answer string }{
		"in other letters":  {"Amal@Example.com", "550 no such user amal@example.com here"},
		"with a name":       {"Amal <amal@example.com>", "550 <amal@example.com> is unknown"},
		"with a quote":      {`"amal b"@example.com`, `550 <"amal b"@example.com> or amal b@example.com`},
		"as a quotation":    {`amal"b`, fmt.Sprintf("can't be parsed: %q", `amal"b`)},
		"no address at all": {"amal", "amal is no address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := setup(t, storetest.New(t, Specs()...), senderFunc(func(Message) error {
				return fmt.Errorf("%w: %s", ErrRefused, c.answer)
			}))
			m := hello()
			m.To = c.to
			if err := o.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			o.empty(t)
			if log := o.log.String(); !strings.Contains(log, "given up") || strings.Contains(strings.ToLower(log), "amal") {
				t.Errorf("the log: %s", log)
			}
		})
	}
}

func TestACopyWithoutTheSecretLeavesAMailToTheOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	sent := make(chan string, 1)
	sender := senderFunc(func(m Message) error { sent <- m.To; return nil })
	o := setup(t, storetest.Open(t, path, Specs()...), sender)
	old := outbox{clock: o.clock, log: &waittest.Log{}}
	var err error
	old.Outbox, err = New(Config{Store: storetest.Open(t, path, Specs()...), Secrets: []string{"another-secret-of-more-than-32-bytes-71de"}, Sender: sender, Now: o.clock.Now, Log: slog.New(slog.NewTextHandler(old.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Send(t.Context(), hello()); err != nil {
		t.Fatal(err)
	}
	stop := old.run(t)
	old.log.Until(t, func() bool { return strings.Contains(old.log.String(), "mail=") })
	stop()
	o.clock.Add(claimed)
	o.run(t)
	if to := <-sent; to != hello().To {
		t.Errorf("sent to %s", to)
	}
}

func TestErasureFindsAnAddressWithAName(t *testing.T) {
	t.Parallel()
	o := setup(t, storetest.New(t, Specs()...), nil)
	m := hello()
	m.To = "Amal <amal@example.com>"
	if err := o.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := o.Erase(t.Context(), "amal@example.com"); err != nil || o.left(t) != 0 {
		t.Errorf("it is still there: %v", err)
	}
}
