package mail_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"manus/internal/smtptest"
	"manus/mail"
	"manus/readiness"
)

func accepting(t *testing.T, url string) *mail.SMTP {
	t.Helper()
	server, err := mail.NewSMTP(url, "Manus <manus@example.com>")
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func TestAMailServerIsTriedAndNothingIsSent(t *testing.T) {
	t.Parallel()
	server := smtptest.Start(t)
	if _, err := accepting(t, "smtp://"+server.Addr).Accepts(t.Context(), "ops@example.com"); err != nil {
		t.Error(err)
	}
	server.RefuseRecipients(550)
	if _, err := accepting(t, "smtp://"+server.Addr).Accepts(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "550") {
		t.Errorf("a recipient that is refused: %v", err)
	}
	if mails := server.Mails(); len(mails) != 0 {
		t.Errorf("it has sent %v", mails)
	}
	if _, err := accepting(t, "smtp://"+smtptest.StartTLS(t).Addr).Accepts(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody believes: %v", err)
	}
}

func TestAMailServerThatHangsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = accepting(t, "smtp://user:secret-password@"+listener.Addr().String()+"?tls=off").Accepts(ctx, "")
	if err == nil || errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "secret") {
		t.Errorf("it says %v", err)
	}
}

func TestWithoutAMailServerThatIsSaid(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{true, false} {
		for _, c := range mail.Promises(mail.PromisesConfig{Kept: kept}) {
			want := readiness.Skipped
			if !kept && c.ID == "system.mail" {
				want = readiness.Warn
			}
			if f := c.Measure(t.Context()); f.Status != want || f.Evidence.Ar == "" {
				t.Errorf("%s, kept %v: %s", c.ID, kept, f.Status)
			}
		}
	}
}
