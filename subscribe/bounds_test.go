package subscribe

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/clocktest"
)

// However its address is written, a mailbox gets three mails that ask in a day, and who asks is told so.
func TestAMailboxIsAskedThriceADayHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	r := setupAt(t, clocktest.New())
	for n, email := range []string{"vic@example.com", "vic+1@example.com", "V.I.C+2@Example.com", "vic+3@example.com", "vi.c@example.com"} {
		err := r.Ask(t.Context(), Asking{Email: email})
		if often := n >= maxAsked; errors.Is(err, ErrAskedOften) != often || err != nil && !often {
			t.Errorf("%s: %v", email, err)
		}
		r.work(t, r.Service)
	}
	// Requests of one moment are counted where they are answered, each.
	for n := range 5 {
		if err := r.Ask(t.Context(), Asking{Email: fmt.Sprintf("amal+%d@example.com", n)}); err != nil {
			t.Fatal(err)
		}
	}
	r.work(t, r.Service)
	if n := len(r.smtp.Mails()); n != 2*maxAsked {
		t.Errorf("%d mails to two mailboxes", n)
	}
	r.clock.Add(confirmWithin + time.Millisecond)
	if err := r.Ask(t.Context(), Asking{Email: "vic+9@example.com"}); err != nil {
		t.Error(err)
	}
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, _, err := r.tallies.Find(t.Context(), docstore.Query{Index: byExpiry, Limit: 9})
	if err != nil || len(left) != 1 { // of the network
		t.Errorf("%d tallies are left, %v", len(left), err)
	}
}

func TestANetworkAsksSoOftenAnHour(t *testing.T) {
	t.Parallel()
	r := setupAt(t, clocktest.New())
	ask := func(n int, from string) error {
		return r.Ask(t.Context(), Asking{Email: fmt.Sprintf("n%d@example.com", n), From: netip.MustParseAddr(from)})
	}
	for n := range ofNetwork.most {
		if err := ask(n, fmt.Sprintf("192.0.2.%d", n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(1000, "192.0.2.200"); !errors.Is(err, ErrCrowded) {
		t.Errorf("once more: %v", err)
	}
	if err := ask(1001, "198.51.100.1"); err != nil {
		t.Errorf("another network: %v", err)
	}
	r.clock.Add(time.Hour)
	if err := ask(1002, "192.0.2.201"); err != nil {
		t.Errorf("an hour later: %v", err)
	}
	for from, other := range map[string]string{"2001:db8:1::1": "2001:db8:1:ffff::1", "::ffff:192.0.2.1": "192.0.2.9"} {
		if networkOf(netip.MustParseAddr(from)) != networkOf(netip.MustParseAddr(other)) {
			t.Errorf("%s and %s are two networks", from, other)
		}
	}
}

// Strangers who fill the place of those that wait push out each other, and keep nobody from asking.
func TestWhoWaitsLongestMakesRoom(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.c.mostWaiting = 3
	r.subscribe(t, "told@example.com", "en")
	for n := range 8 {
		if err := r.Ask(t.Context(), Asking{Email: fmt.Sprintf("n%d@example.com", n)}); err != nil {
			t.Fatal(err)
		}
		r.work(t, r.Service)
		r.clock.Add(time.Second)
	}
	if n := len(r.smtp.Mails()); n != 9 {
		t.Errorf("%d were asked", n)
	}
	waiting, err := r.counted(t.Context(), byExpiry, 100)
	told, countErr := r.Count(t.Context())
	if err = errors.Join(err, countErr); err != nil || waiting > 3 || told != 1 {
		t.Errorf("%d wait, %d are told, %v", waiting, told, err)
	}
	last := r.smtp.Mails()[8]
	if err := r.Confirm(t.Context(), tokenIn(t, last, confirmPath)); err != nil || !strings.HasPrefix(last.To, "n7@") {
		t.Errorf("%s: %v", last.To, err)
	}
}

// A mail server that is away for some attempts doesn't use up what an address may be asked.
func TestAnAttemptThatFailsUsesUpNothing(t *testing.T) {
	t.Parallel()
	r := setup(t)
	if err := r.Ask(t.Context(), Asking{Email: "amal@example.com"}); err != nil {
		t.Fatal(err)
	}
	for range 2 * maxAsked {
		r.smtp.Refuse(451)
		r.work(t, r.Service)
		r.clock.Add(5 * time.Minute)
	}
	r.work(t, r.Service)
	if err := r.Confirm(t.Context(), tokenIn(t, r.smtp.Wait(t, 1)[0], confirmPath)); err != nil {
		t.Error(err)
	}
}
