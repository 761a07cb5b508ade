package subscribe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/waittest"
	"manus/language"
)

// named has the page list two components.
func (r *rig) named() {
	all := map[string]language.Text{"api": {En: "API", Ar: "الواجهة"}, "shop": {En: "The shop", Ar: "المتجر"}}
	r.c.Names = func(ids []string) map[string]language.Text {
		names := map[string]language.Text{}
		for _, id := range ids {
			if name, there := all[id]; there {
				names[id] = name
			}
		}
		return names
	}
}

// A stranger can ask for somebody's address. The mail says for what, and what holds until then; a link
// confirms what its own mail has said, whatever was asked for since.
func TestAMailSaysWhatItsLinkConfirms(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.named()
	first := r.subscribe(t, "amal@example.com", language.English, "api", "evil.example.com")
	if text := r.smtp.Mails()[0].Text(); !strings.Contains(text, "It would be told of: API.") || strings.Contains(text, "evil") || strings.Contains(text, "So far") {
		t.Error(text)
	}
	id := idOf("mail", "amal@example.com")
	wants := func(want string) {
		t.Helper()
		sub, err := r.subscribers.Get(t.Context(), id)
		if err != nil || strings.Join(sub.Wish.Components, " ") != want {
			t.Errorf("it is told of %q, %v; want %q", sub.Wish.Components, err, want)
		}
	}
	wants("api")
	for i, c := range []struct {
		Asking
		want, so string
	}{
		{Asking{Components: []string{"shop", "api"}}, "It would be told of: API, The shop.", "So far it is told of: API. That changes only if you confirm this."},
		{Asking{Language: language.Arabic}, "وسيُبلَّغ بكل شيء.", "يُبلَّغ حاليًا بما يخص: \u2068الواجهة\u2069. ولا يتغير"},
	} {
		c.Email = "Amal@example.com"
		if err := r.Ask(t.Context(), c.Asking); err != nil {
			t.Fatal(err)
		}
		r.work(t, r.Service)
		if text := r.smtp.Wait(t, i+2)[i+1].Text(); !strings.Contains(text, c.want) || !strings.Contains(text, c.so) {
			t.Error(text)
		}
		wants("api")
	}
	if err := r.Confirm(t.Context(), first); err != nil { // opened again, as somebody else asks
		t.Error(err)
	}
	wants("api")
	mails := r.smtp.Mails()
	if err := r.Confirm(t.Context(), tokenIn(t, mails[1], confirmPath)); err != nil {
		t.Error(err)
	}
	wants("api shop")
	if err := r.Ask(t.Context(), Asking{Email: "other@example.com", Components: []string{"evil.example.com"}}); err != nil {
		t.Fatal(err)
	}
	r.work(t, r.Service)
	if n := len(r.smtp.Mails()); n != len(mails) {
		t.Errorf("for what there isn't %d mails were sent", n-len(mails))
	}
}

// There are so many and no more. Nobody learns by that who is told.
func TestThereIsABoundOfSubscribers(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.c.most = 2
	r.subscribe(t, "a@example.com", language.English)
	token := r.subscribe(t, "b@example.com", language.English)
	ask := func(email string, mails int, full error) {
		t.Helper()
		before := len(r.smtp.Mails())
		if err := r.Ask(t.Context(), Asking{Email: email}); !errors.Is(err, full) {
			t.Fatal(err)
		}
		r.work(t, r.Service)
		if n := len(r.smtp.Mails()) - before; n != mails {
			t.Errorf("%s: %d mails, want %d", email, n, mails)
		}
	}
	r.clock.Add(recount)
	ask("c@example.com", 0, ErrFull)
	ask("a@example.com", 1, ErrFull) // who is there needs no room
	if err := r.Unsubscribe(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	r.clock.Add(recount)
	ask("c@example.com", 1, nil)
}

// hanging is a receiver that takes what it is sent and doesn't answer.
type hanging struct {
	*httptest.Server
	began, gaveUp *atomic.Int64 // requests, and those that were given up
}

func newHanging(t *testing.T, began, gaveUp *atomic.Int64) hanging {
	t.Helper()
	ended := make(chan struct{})
	h := hanging{began: began, gaveUp: gaveUp}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		_, _ = q.Body.Read(make([]byte, 1<<20)) // or the end of the connection isn't noticed
		_, _ = q.Body.Read(make([]byte, 1))
		began.Add(1)
		select {
		case <-q.Context().Done():
			gaveUp.Add(1)
		case <-ended:
		}
	}))
	t.Cleanup(func() { close(ended); h.Close() })
	return h
}

// tell has a webhook told that was confirmed.
func (r *rig) tell(t *testing.T, address string) {
	t.Helper()
	sub := Subscriber{ID: idOf("webhook", address), ConfirmedAt: docstore.At(r.clock.Now())}
	if err := r.close(&sub, private{URL: address, Secret: newSecret()}); err != nil {
		t.Fatal(err)
	}
	if err := r.subscribers.Insert(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
}

// runs has it work until the test ends.
func (r *rig) runs(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { cancel(); working.Wait() })
}

func good(t *testing.T) (address string, told <-chan struct{}) {
	t.Helper()
	heard := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard <- struct{}{} }))
	t.Cleanup(server.Close)
	return server.URL, heard
}

// More webhooks of one host than there is room for hang: another is told before any of them is
// given up.
func TestAHostThatHangsDelaysNobody(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var began, gaveUp atomic.Int64
	h := newHanging(t, &began, &gaveUp)
	for i := range atOnce + atHost {
		r.tell(t, fmt.Sprint(h.URL, "/", i))
	}
	address, told := good(t)
	if err := r.Announce(t.Context(), Ref{"incident", "i1", "u1"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := r.notices.Drain(t.Context()); err != nil { // so these are before it
		t.Fatal(err)
	}
	r.tell(t, address)
	if err := r.Announce(t.Context(), Ref{"incident", "i1", "u2"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	r.c.quick = patience
	r.runs(t)
	<-told
	if n := gaveUp.Load(); n > 0 || began.Load() > 2*atHost {
		t.Errorf("it was told when %d of %d requests were given up", n, began.Load())
	}
}

// Many hosts hang: each holds up others for a moment, once. Of the next notice they are told beside
// them.
func TestHostsThatHangDelayOthersOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var began, gaveUp atomic.Int64
	const hosts = atOnce + 12
	for range hosts {
		r.tell(t, newHanging(t, &began, &gaveUp).URL)
	}
	address, told := good(t)
	r.tell(t, address)
	r.c.quick = 300 * time.Millisecond
	r.runs(t)
	announce := func(of string) {
		t.Helper()
		if err := r.Announce(t.Context(), Ref{"incident", "i1", of}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		<-told
	}
	announce("u1")
	slow := func() (n int) {
		for sub, err := range r.subscribers.All(t.Context(), docstore.Query{Limit: docstore.MaxLimit}) {
			if err != nil {
				t.Fatal(err)
			}
			if sub.Slow {
				n++
			}
		}
		return n
	}
	waittest.Poll(t, func() bool { return slow() == hosts && gaveUp.Load() >= hosts }) // they notice later that we went
	before := gaveUp.Load()
	announce("u2")
	if n := gaveUp.Load(); n != before {
		t.Errorf("of the second notice it was told when %d more requests were given up", n-before)
	}
}

// A receiver that was slow and is quick again is told with others again, and of each notice once.
func TestAReceiverThatIsQuickAgain(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var slow atomic.Bool
	ids := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		ids <- q.Header.Get("Webhook-Id")
		if _, _ = q.Body.Read(make([]byte, 1<<20)); slow.CompareAndSwap(true, false) {
			_, _ = q.Body.Read(make([]byte, 1))
			<-q.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	r.tell(t, server.URL)
	isSlow := func() bool {
		sub, err := r.subscribers.Get(t.Context(), idOf("webhook", server.URL))
		if err != nil {
			t.Fatal(err)
		}
		return sub.Slow
	}
	slow.Store(true)
	if err := r.Announce(t.Context(), Ref{"incident", "i1", "u1"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	r.c.quick = time.Second // longer than a busy machine holds its answer up
	r.work(t, r.Service)
	if first, second := <-ids, <-ids; first != second || first == "" || isSlow() {
		t.Errorf("it was told as %q and %q, and is slow: %t", first, second, isSlow())
	}
	if len(ids) != 0 {
		t.Error("it was told again")
	}
}
