package mail_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

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

// What a server answers is told, but not all of it, and never what it was sent to sign in.
func TestAMailServersAnswerIsToldWithoutTheSecret(t *testing.T) {
	t.Parallel()
	const password = "secret-password"
	plain := base64.StdEncoding.EncodeToString([]byte("\x00user\x00" + password))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = fmt.Fprintf(conn, "554 %s %s %s\r\n", plain, password, strings.Repeat("never mind ", 300))
			_ = conn.Close()
		}
	}()
	_, err = accepting(t, "smtp://user:"+password+"@"+listener.Addr().String()+"?tls=off").Accepts(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "never mind") || len(err.Error()) > 500 || strings.Contains(err.Error(), plain) || strings.Contains(err.Error(), password) {
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

// zone is a DNS server with TXT records, and with what begins with A or MX.
func zone(t *testing.T, texts map[string][]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		name := question.Question[0].Name
		if answer.Rcode = dns.RcodeSuccess; texts[name] == nil {
			answer.Rcode = dns.RcodeNameError
		}
		for _, text := range texts[name] {
			record, err := dns.NewRR(name + " 60 IN " + text)
			if kind, _, _ := strings.Cut(text, " "); kind != "A" && kind != "MX" {
				record, err = &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{text}}, nil
			}
			if err == nil && record.Header().Rrtype == question.Question[0].Qtype {
				answer.Answer = append(answer.Answer, record)
			}
		}
		_ = w.WriteMsg(answer)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// domainSays is what a check finds of a domain's records.
func domainSays(t *testing.T, check string, texts map[string][]string) readiness.Finding {
	t.Helper()
	for _, c := range mail.Promises(mail.PromisesConfig{Server: accepting(t, "smtp://127.0.0.1:1"), From: "Manus <manus@mail.example.com>", Resolver: zone(t, texts)}) {
		if c.ID == check {
			return c.Measure(t.Context())
		}
	}
	t.Fatalf("there is no check %s", check)
	panic("unreachable")
}

func TestWhoMaySendIsFollowedByTheRecords(t *testing.T) {
	t.Parallel()
	var crowd []string
	for i := range 11 {
		crowd = append(crowd, fmt.Sprintf("MX 10 mx%d.example.com.", i))
	}
	others := map[string][]string{
		"good.example.net.":   {"v=spf1 ip4:192.0.2.0/24 -all"},
		"all.example.net.":    {"v=spf1 +all"},
		"none.example.net.":   {"something else"},
		"two.example.net.":    {"v=spf1 -all", "v=spf1 ~all"},
		"nobody.example.net.": {"v=spf1 -all"},
		"loop.example.net.":   {"v=spf1 include:loop.example.net -all"},
		"macro.example.net.":  {"v=spf1 exists:%{i}.spf.example.net -all"},
		"mx.example.com.":     {"A 192.0.2.1"},
		"off.example.net.":    {"MX 0 ."},
		"lost.example.net.":   {"MX 10 missing.example.net."},
		"crowd.example.net.":  crowd,
	}
	for record, want := range map[string]readiness.Status{
		"v=spf1 include:good.example.net -all":                        readiness.Pass,
		"v=spf1 redirect=good.example.net":                            readiness.Pass,
		"V=SPF1 MX ~ALL":                                              readiness.Pass,
		"v=spf1 a:mail.example.com/28//64 ptr exp=x.example.net -all": readiness.Pass,
		"v=spf1 ip6:2001:db8::/32 -all":                               readiness.Pass,
		"v=spf1 ptr mx -all":                                          readiness.Pass,
		"v=spf1 exists:missing.example.net mx -all":                   readiness.Pass,
		"v=spf1 a:missing.example.net a:missing.example.org mx:lost.example.net ip4:192.0.2.1 -all": readiness.Fail, // three questions have no answer
		"v=spf1 a:missing.example.net mx:off.example.net ip4:192.0.2.1 -all":                        readiness.Pass,

		// It depends on the mail, so it isn't known.
		"v=spf1 exists:%{i}.spf.example.net -all":            readiness.Skipped,
		"v=spf1 exists:%{i}.spf.example.net mx -all":         readiness.Skipped,
		"v=spf1 include:%{d2}.example.net -all":              readiness.Skipped,
		"v=spf1 include:macro.example.net mx -all":           readiness.Skipped,
		"v=spf1 a:%{l}.example.net -all":                     readiness.Skipped,
		"v=spf1 redirect=%{d}.example.net":                   readiness.Skipped,
		"v=spf1 ptr -all":                                    readiness.Skipped,
		"v=spf1 exists:%{i}.spf.example.net +all":            readiness.Fail,
		"v=spf1 -exists:%{i}.spf.example.net mx -all":        readiness.Pass,
		"v=spf1 ip4:192.0.2.1 -all redirect=all.example.net": readiness.Pass, // it is never followed
		"v=spf1 ip4:192.0.2.1 -all +all":                     readiness.Pass, // nor what is behind all
		"v=spf1 ip4:192.0.2.1 ?include:all.example.net -all": readiness.Pass,

		"v=spf1 ip4:192.0.2.1":      readiness.Warn,
		"v=spf1 ip4:192.0.2.1 ?all": readiness.Warn,

		"v=spf1 all":                                readiness.Fail,
		"v=spf1 a:missing.example.net -all":         readiness.Fail,
		"v=spf1 mx:lost.example.net -all":           readiness.Fail,
		"v=spf1 mx:off.example.net -all":            readiness.Fail,
		"v=spf1 mx:crowd.example.net mx -all":       readiness.Fail,
		"v=spf1 exists:mx.example.com -all":         readiness.Fail, // it is, whoever sends
		"v=spf1 +all":                               readiness.Fail,
		"v=spf1 -all":                               readiness.Fail,
		"v=spf1":                                    readiness.Fail,
		"v=spf1 include:nobody.example.net -all":    readiness.Fail,
		"v=spf1 ip4:0.0.0.0/0 -all":                 readiness.Fail,
		"v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all": readiness.Fail,
		"v=spf1 ip6:::/0 -all":                      readiness.Fail,
		"v=spf1 a/0 -all":                           readiness.Fail,
		"v=spf1 mx//0 -all":                         readiness.Fail,
		"v=spf1 include:all.example.net -all":       readiness.Fail,
		"v=spf1 redirect=all.example.net":           readiness.Fail,
		"v=spf1 redirect=none.example.net":          readiness.Fail,
		"v=spf1 redirect=":                          readiness.Fail,
		"v=spf1 mx redirect=good.example.net redirect=good.example.net": readiness.Fail,
		"v=spf1 include:missing.example.net -all":                       readiness.Fail,
		"v=spf1 include:two.example.net -all":                           readiness.Fail,
		"v=spf1 include:loop.example.net -all":                          readiness.Fail,
		"v=spf1 mx bogus:x -all":                                        readiness.Fail,
		"v=spf1 mx -all bogus:x":                                        readiness.Fail,
		"v=spf1 ip4:192.0.2.300 -all":                                   readiness.Fail,
		"v=spf1 ip4:192.0.2.0/33 -all":                                  readiness.Fail,
		"v=spf1 include -all":                                           readiness.Fail,
		"v=spf1 " + strings.Repeat("mx ", 11) + "-all":                  readiness.Fail,
	} {
		others["mail.example.com."] = []string{record, "A 192.0.2.2", "MX 10 mx.example.com."}
		if f := domainSays(t, "system.spf", maps.Clone(others)); f.Status != want {
			t.Errorf("%s: %s: %s %s", record, f.Status, f.Evidence.En, f.Mend.En)
		}
	}
}

func TestWhatBecomesOfForgedMailIsRead(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]readiness.Status{
		"v=DMARC1; p=reject":              readiness.Pass,
		"v=DMARC1; p=Quarantine; pct=100": readiness.Pass,
		"v=DMARC1; p=none; sp=reject":     readiness.Pass, // it is the registered domain's, for one under it
		"v=DMARC1; p=reject; sp=none":     readiness.Warn,
		"v=DMARC1; p=none":                readiness.Warn,
		"v=DMARC1; p=reject; pct=0":       readiness.Warn,
		"v=DMARC1; p=reject; pct=50":      readiness.Warn,
		"v=DMARC1; p=reject; t=y":         readiness.Warn,
		"v=DMARC1; p=everything":          readiness.Fail,
		"v=DMARC1":                        readiness.Fail,
		"v=DMARC10; p=reject":             readiness.Fail,
	} {
		if f := domainSays(t, "system.dmarc", map[string][]string{"_dmarc.example.com.": {record}}); f.Status != want {
			t.Errorf("%s: %s: %s %s", record, f.Status, f.Evidence.En, f.Mend.En)
		}
	}
	own := map[string][]string{"_dmarc.example.com.": {"v=DMARC1; p=none"}, "_dmarc.mail.example.com.": {"v=DMARC1; p=reject; sp=none"}}
	if f := domainSays(t, "system.dmarc", own); f.Status != readiness.Pass {
		t.Errorf("of its own: %s: %s", f.Status, f.Evidence.En)
	}
}
