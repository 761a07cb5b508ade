package subscribe

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/smtptest"
	"manus/internal/storetest"
	"manus/mail"
)

// BenchmarkTelling10000 tells ten thousand mailboxes of an update, by a real mail server and
// a store on disk, and mails an operator meanwhile, again and again. The server is on this
// machine, or 50 ms away.
func BenchmarkTelling10000(b *testing.B) {
	b.Run("near", func(b *testing.B) { tellMany(b, 0) })
	b.Run("far", func(b *testing.B) { tellMany(b, 25*time.Millisecond) })
}

func tellMany(b *testing.B, away time.Duration) {
	b.Helper()
	const n = 10_000
	for b.Loop() {
		b.StopTimer()
		theirs, operators := smtptest.Start(b), smtptest.Start(b)
		store := storetest.File(b, b.TempDir()+"/manus.db", append(Specs(), mail.Specs()...)...)
		s, err := newTeller(store, behind(b, theirs.Addr, away), time.Now)
		if err != nil {
			b.Fatal(err)
		}
		s.enter(b, n)
		alert := alerts(b, store, operators)
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		var took []time.Duration
		b.StartTimer()
		began := time.Now()
		if err := s.Announce(ctx, Ref{"incident", "i1", "u1"}, time.Time{}); err != nil {
			b.Fatal(err)
		}
		for k := range n {
			theirs.Tried(b)
			if k%200 == 100 {
				took = append(took, alert())
			}
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/10000")
		b.StopTimer()
		stop()
		<-done
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "ms-alert-p50")
		b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "ms-alert-max")
		b.StartTimer()
	}
}

// behind is the address of a server that is so far away.
func behind(b *testing.B, address string, away time.Duration) string {
	b.Helper()
	if away == 0 {
		return address
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", address)
			if err != nil {
				_ = in.Close()
				continue
			}
			go pass(in, out, away)
			go pass(out, in, away)
		}
	}()
	return listener.Addr().String()
}

// pass passes on what comes, a while later.
func pass(from, to net.Conn, later time.Duration) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		time.Sleep(later)
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// alerts is what mails an operator and returns how long that took.
func alerts(b *testing.B, store docstore.Store, to *smtptest.Server) func() time.Duration {
	b.Helper()
	sender, err := mail.NewSMTP("smtp://"+to.Addr+"?tls=off", "alerts@example.com")
	if err != nil {
		b.Fatal(err)
	}
	outbox, err := mail.New(mail.Config{Store: store, Secrets: []string{secretA}, Sender: sender, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); outbox.Run(ctx) }()
	b.Cleanup(func() { stop(); <-done })
	return func() time.Duration {
		began := time.Now()
		if err := outbox.Send(b.Context(), mail.Message{To: "operator@example.com", Subject: "down", Text: "x", Language: "en"}); err != nil {
			b.Fatal(err)
		}
		to.Tried(b)
		return time.Since(began)
	}
}
