package subscribe

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/clocktest"
	"manus/internal/processtest"
	"manus/internal/smtptest"
	"manus/internal/storetest"
	"manus/mail"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"tells": tellForever})
	m.Run()
}

// tellForever tells what is announced in a store, by a mail server, with a clock that is ahead.
func tellForever(args []string) error {
	ctx := context.Background()
	store, err := sqlitedocs.Open(ctx, args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(ctx, Specs()...); err != nil {
		return err
	}
	ahead, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	s, err := newTeller(store, args[1], clocktest.Running(time.Duration(ahead)*time.Minute).Now)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	s.Run(ctx)
	return nil
}

// newTeller is a service that tells of one notice.
func newTeller(store docstore.Store, smtp string, now func() time.Time) (*Service, error) {
	sender, err := mail.NewSMTP("smtp://"+smtp+"?tls=off", "Status <status@example.com>")
	if err != nil {
		return nil, err
	}
	return New(Config{
		Store: store, Secrets: []string{secretA}, Send: sender.Many().Send, BaseURL: func() string { return "https://example.com" }, Version: "test", Now: now, Log: slog.New(slog.DiscardHandler),
		Read: func(context.Context, Ref) (Notice, bool, error) { return aNotice(), true, nil },
	})
}

// enter has n mailboxes subscribed.
func (s *Service) enter(t testing.TB, n int) {
	t.Helper()
	var all []Subscriber
	for k := range n {
		address, key, err := readEmail(fmt.Sprintf("n%d@example.com", k))
		if err != nil {
			t.Fatal(err)
		}
		sub := Subscriber{ID: idOf("mail", key), ConfirmedAt: docstore.At(s.c.Now())}
		if err := s.close(&sub, private{Email: address, Secret: newSecret()}); err != nil {
			t.Fatal(err)
		}
		if all = append(all, sub); len(all) == 500 || k == n-1 {
			if err := s.subscribers.Insert(t.Context(), all...); err != nil {
				t.Fatal(err)
			}
			all = nil
		}
	}
}

// A process is killed again and again while it tells many: each is told, and twice only who was being
// told when it was killed.
func TestWhoeverIsKilledEachIsTold(t *testing.T) {
	t.Parallel()
	const n, kills = 150, 5
	path := t.TempDir() + "/manus.db"
	smtp := smtptest.Start(t)
	store := storetest.File(t, path, Specs()...)
	s, err := newTeller(store, smtp.Addr, clocktest.Running(0).Now)
	if err != nil {
		t.Fatal(err)
	}
	s.enter(t, n)
	if err := s.Announce(t.Context(), Ref{"incident", "i1", "u1"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for round := range kills {
		p := processtest.Start(t, "tells", path, smtp.Addr, strconv.Itoa(2*round))
		p.Await(t, "ready")
		smtp.Wait(t, (round+1)*n/(kills+1))
		p.Kill(t)
	}
	last, err := newTeller(store, smtp.Addr, clocktest.Running(2*kills*time.Minute).Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := last.notices.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := last.deliveries.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	told, ids := map[string]int{}, map[string]string{}
	twice := 0
	for _, m := range smtp.Mails() {
		if told[m.To]++; told[m.To] > 1 {
			twice++
			if ids[m.To] != m.Header.Get("Message-ID") {
				t.Errorf("%s got two different mails", m.To)
			}
		}
		ids[m.To] = m.Header.Get("Message-ID")
	}
	if len(told) != n || twice > kills*atOnce {
		t.Errorf("%d of %d were told, %d twice", len(told), n, twice)
	}
	t.Logf("%d told, %d twice", len(told), twice)
}

func TestOfSeveralCopiesOneTellsEach(t *testing.T) {
	t.Parallel()
	const n, copies = 60, 3
	r := setup(t)
	r.enter(t, n)
	var all sync.WaitGroup
	for range copies {
		s := r.open(t, secretA)
		all.Go(func() {
			for range 2 {
				if err := s.Announce(t.Context(), Ref{"incident", "i1", "u1"}, time.Time{}); err != nil {
					t.Error(err)
				}
				r.work(t, s)
			}
		})
	}
	all.Wait()
	r.work(t, r.Service)
	if mails := r.smtp.Mails(); len(mails) != n {
		t.Errorf("%d mails to %d", len(mails), n)
	}
}
