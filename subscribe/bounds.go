package subscribe

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"manus/docstore"
)

// tally is how often something was asked for lately: for a mailbox or a receiver, whatever its address is
// written like, or by a network.
type tally struct {
	ID        string        `json:"_id"`
	Requests  []tallied     `json:"requests"`
	ExpiresAt docstore.Time `json:"expires_at"`
}

// tallied is one time at which it was asked for.
type tallied struct {
	ID string        `json:"id"` // two within a millisecond are two
	At docstore.Time `json:"at"`
}

// DocumentID is the tally's id.
func (t tally) DocumentID() string { return t.ID }

var tallySpec = docstore.Spec{Collection: "subscription_tallies", Of: tally{}, Transient: true, Indexes: []docstore.Index{
	{Name: byExpiry, Fields: []string{"expires_at"}},
}}

// bound is how often something may be asked for in a time.
type bound struct {
	most   int
	within time.Duration
	err    error
}

var (
	ofMailbox = bound{maxAsked, confirmWithin, ErrAskedOften}
	ofNetwork = bound{60, time.Hour, ErrCrowded}
)

// recent are those of the times that count.
func (b bound) recent(all []tallied, now time.Time) []tallied {
	return slices.DeleteFunc(slices.Clone(all), func(one tallied) bool { return now.Sub(one.At.Time).Abs() >= b.within })
}

// check returns the bound's error where it is reached, or one of the store.
func (s *Service) check(ctx context.Context, id string, b bound) error {
	t, err := s.tallies.Get(ctx, id)
	if err == nil && len(b.recent(t.Requests, s.c.Now())) >= b.most {
		return b.err
	}
	return docstore.NotFoundAs(err, nil)
}

// count counts a request, once however often it is called for it. It returns the bound's error where it is
// reached, or one of the store.
func (s *Service) count(ctx context.Context, id string, b bound, request tallied) error {
	now := s.c.Now()
	_, err := s.tallies.Upsert(ctx, tally{ID: id}, func(t *tally, _ bool) error {
		if slices.Contains(t.Requests, request) {
			return docstore.ErrUnchanged
		}
		if t.Requests = b.recent(t.Requests, now); len(t.Requests) >= b.most {
			return b.err
		}
		t.Requests, t.ExpiresAt = append(t.Requests, request), docstore.At(now.Add(b.within))
		return nil
	})
	if errors.Is(err, docstore.ErrUnchanged) {
		return nil
	}
	return err
}

// mailboxOf is the same for all addresses that lead to a mailbox by the usual rules, dots and what follows
// a + among them, and for all of a webhook that differ behind the path.
func mailboxOf(to private) string {
	if to.URL != "" {
		if u, err := url.Parse(to.URL); err == nil {
			return idOf("webhook", strings.ToLower(u.Host)+u.EscapedPath())
		}
		return idOf("webhook", to.URL)
	}
	local, domain, _ := strings.Cut(strings.ToLower(to.Email), "@")
	local, _, _ = strings.Cut(local, "+")
	return idOf("mailbox", strings.ReplaceAll(local, ".", "")+"@"+domain)
}

// networkOf is whose addresses are taken to be one stranger's.
func networkOf(from netip.Addr) string {
	bits := 24
	if from = from.Unmap().WithZone(""); from.Is6() {
		bits = 48
	}
	network, err := from.Prefix(bits)
	if err != nil {
		return idOf("network", "unknown")
	}
	return idOf("network", network.String())
}

// makeRoom has those go first who have waited to be confirmed for longest, where too many wait: so that
// nobody can keep others from asking. It returns how many wait then.
func (s *Service) makeRoom(ctx context.Context, waiting int) (int, error) {
	oldest, _, err := s.subscribers.Find(ctx, docstore.Query{Index: byExpiry, Limit: min(s.c.mostWaiting/10+2, docstore.MaxLimit)})
	if err != nil || len(oldest) == 0 {
		return waiting, err
	}
	n, err := s.subscribers.DeleteAll(ctx, docstore.Query{Index: byExpiry, Until: oldest[len(oldest)-1].ExpiresAt})
	s.c.Log.WarnContext(ctx, "too many addresses wait to be confirmed; those that have waited for longest were erased", "erased", n)
	return max(0, waiting-n), err
}
