package subscribe

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"manus/docstore"
)

// derived is the key that earlier versions made of a link's token.
func derived(token string) string {
	secret, _, _ := strings.Cut(token[strings.IndexByte(token, '.')+1:], ".")
	return keyPrefix + base64.StdEncoding.EncodeToString([]byte("manus webhook "+secret))
}

// tokenOf is the token of a link.
func tokenOf(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("token")
}

// Who gets a payload, by a log or a channel that it is passed on to, can't sign another one.
func TestAPayloadDoesntTellWhatItIsSignedWith(t *testing.T) {
	t.Parallel()
	r := setup(t)
	hook := receive(t, true)
	if err := r.Ask(t.Context(), Asking{Webhook: hook.URL}); err != nil {
		t.Fatal(err)
	}
	r.work(t, r.Service)
	r.told(t, "u1")
	if got := hook.types(); got != "status.confirm status.incident " {
		t.Fatalf("it got %s", got)
	}
	notice := hook.bodies[1]
	var e struct{ Data noticeData }
	if err := json.Unmarshal([]byte(notice), &e); err != nil {
		t.Fatal(err)
	}
	if hook.key == derived(tokenOf(t, e.Data.UnsubscribeURL)) || strings.Contains(notice, strings.TrimPrefix(hook.key, keyPrefix)) {
		t.Errorf("%s is in %s", hook.key, notice)
	}
}

// told has all told of a notice.
func (r *rig) told(t *testing.T, of string) {
	t.Helper()
	if err := r.Announce(t.Context(), Ref{"incident", "i1", of}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	r.work(t, r.Service)
}

// A receiver that has subscribed before there were keys goes on with what it knows, and gets a key of its
// own once it subscribes again; both hold then.
func TestAReceiverOfAnEarlierVersionGoesOnWithWhatItKnows(t *testing.T) {
	t.Parallel()
	r := setup(t)
	hook := receive(t, true)
	p := private{URL: hook.URL, Secret: newSecret()}
	sub := Subscriber{ID: idOf("webhook", hook.URL), ConfirmedAt: docstore.At(r.clock.Now())}
	if err := errors.Join(r.close(&sub, p), r.subscribers.Insert(t.Context(), sub)); err != nil {
		t.Fatal(err)
	}
	before := derived(token(sub.ID, p.Secret))
	hook.key = before
	r.told(t, "u1")
	if err := r.Ask(t.Context(), Asking{Webhook: hook.URL}); err != nil {
		t.Fatal(err)
	}
	r.work(t, r.Service)
	r.told(t, "u2")
	if got := hook.types(); got != "status.incident status.confirm status.incident " || hook.key == before {
		t.Fatalf("it got %s with %s", got, hook.key)
	}
	verifier, err := standardwebhooks.NewWebhook(before)
	if err == nil {
		err = verifier.Verify([]byte(hook.bodies[2]), hook.headers[2])
	}
	if err != nil {
		t.Errorf("by the key of before: %v", err)
	}
}

// What is refused for good is said so once.
func TestARefusalIsSaidOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	hook := receive(t, false)
	hook.code = http.StatusGone
	err := r.challenge(t.Context(), Subscriber{ID: "x", Asked: []asked{{ID: "y"}}}, private{URL: hook.URL, Key: newKey()})
	if !errors.Is(err, errRefused) || strings.Count(err.Error(), errRefused.Error()) != 1 {
		t.Error(err)
	}
	r.c.AllowPrivate = func() bool { return false }
	r.poster = newPoster(r.c)
	err = r.challenge(t.Context(), Subscriber{ID: "x", Asked: []asked{{ID: "y"}}}, private{URL: hook.URL, Key: newKey()})
	if !errors.Is(err, errPrivate) || strings.Contains(err.Error(), "ALLOW_PRIVATE_TARGETS") || strings.Count(err.Error(), errRefused.Error()) != 1 {
		t.Error(err)
	}
}
