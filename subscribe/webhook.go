package subscribe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"manus/docstore"
	"manus/internal/guard"
	"manus/queue"
)

// event is what a webhook's receiver gets, as Standard Webhooks has it.
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"`
}

// challengeData is what is sent first. Who has it, has the secret that all events are signed
// with.
type challengeData struct {
	Challenge      string   `json:"challenge"`
	Secret         string   `json:"secret"`
	Components     []string `json:"components"` // none: all
	ConfirmURL     string   `json:"confirm_url"`
	UnsubscribeURL string   `json:"unsubscribe_url"`
}

type noticeData struct {
	ID             string      `json:"id"`
	Title          string      `json:"title"`
	TitleAr        string      `json:"title_ar"`
	Status         string      `json:"status"`
	Severity       string      `json:"severity,omitempty"` // of an incident
	Components     []string    `json:"components"`
	Affected       []partData  `json:"affected"` // how those are
	Updates        []entryData `json:"updates"`  // the newest first
	URL            string      `json:"url"`
	UnsubscribeURL string      `json:"unsubscribe_url"`
}

type partData struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	NameAr string `json:"name_ar"`
	Status string `json:"status"` // in the words of Statuspage's API
}

type entryData struct {
	At     string `json:"at"`
	Status string `json:"status"`
	Text   string `json:"text"` // Markdown
	TextAr string `json:"text_ar"`
}

func (s *Service) eventData(sub Subscriber, p private, n Notice) noticeData {
	data := noticeData{
		ID: n.Thread, Title: n.Title.En, TitleAr: n.Title.Ar, Status: n.State, Severity: n.Severity, Affected: []partData{}, Components: append([]string{}, n.Components...), Updates: []entryData{},
		URL: s.page(n.Path, ""), UnsubscribeURL: s.link(unsubscribePath, sub, p, ""),
	}
	for _, e := range append(append([]Entry{}, n.News...), n.Before...) {
		if len(data.Updates) < maxEntries {
			data.Updates = append(data.Updates, entryData{docstore.At(e.At).String(), e.State, e.Text.En, e.Text.Ar})
		}
	}
	for _, a := range n.Affected {
		data.Affected = append(data.Affected, partData{a.ID, a.Name.En, a.Name.Ar, a.State})
	}
	return data
}

// challenge asks a webhook's receiver. One that answers with the challenge has confirmed;
// others have a person open the link.
func (s *Service) challenge(ctx context.Context, sub Subscriber, p private) error {
	text := newSecret()
	answer, err := s.exchange(ctx, p, messageID("confirm", sub.last().ID), event{
		Type: "status.confirm", Data: challengeData{text, keysOf(p)[0], append([]string{}, sub.last().Wish.Components...), s.link(confirmPath, sub, p, ""), s.link(unsubscribePath, sub, p, "")},
	})
	if err != nil && !errors.Is(err, errRefused) {
		err = fmt.Errorf("%w: %w", errRefused, err) // whoever wants it asks again
	}
	if err != nil {
		return err
	}
	if !strings.Contains(answer, text) {
		return nil
	}
	return docstore.NotFoundAs(s.confirm(ctx, sub.ID, sub.last().ID), nil)
}

// newKey is a key that events to a receiver are signed with, as Standard Webhooks has keys. Nothing else
// that it is sent tells anything of it.
func newKey() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // it never fails
	return keyPrefix + base64.StdEncoding.EncodeToString(raw[:])
}

const keyPrefix = "whsec_"

// keysOf are those that events to a receiver are signed with; the first is the one that it is sent. The
// receivers of earlier versions know one that follows from their links.
func keysOf(p private) (keys []string) {
	if p.Key != "" {
		keys = append(keys, p.Key)
	}
	if p.Key == "" || p.Derived {
		keys = append(keys, keyPrefix+base64.StdEncoding.EncodeToString([]byte("manus webhook "+p.Secret)))
	}
	return keys
}

// sign is the signatures of a body, one by each key, as Standard Webhooks has a key that changes.
func sign(p private, id string, at time.Time, body []byte) (string, error) {
	var all []string
	for _, key := range keysOf(p) {
		signer, err := standardwebhooks.NewWebhook(key)
		if err != nil {
			return "", err
		}
		signature, err := signer.Sign(id, at, body)
		if err != nil {
			return "", err
		}
		all = append(all, signature)
	}
	return strings.Join(all, " "), nil
}

// post sends an event, which a receiver takes by any status of 2xx.
func (s *Service) post(ctx context.Context, p private, id string, e event) error {
	_, err := s.exchange(ctx, p, messageID(id), e)
	return err
}

// errPrivate is that a receiver is in a network of one's own.
var errPrivate = errors.New("an address of a private network, which subscribers' webhooks may be at only with status_page.private_webhooks: true")

// errSlow is that a receiver hasn't answered in time.
var errSlow = errors.New("the receiver has not answered in time")

type poster struct{ client *http.Client }

// Bounds of an exchange; sizes are in bytes.
const (
	patience  = 10 * time.Second
	quick     = 2 * time.Second // of those who aren't known to be slow
	maxAnswer = 16 << 10
	maxHeader = 32 << 10
)

func newPoster(c Config) poster {
	control := func(network, address string, raw syscall.RawConn) error {
		return guard.Control(c.AllowPrivate())(network, address, raw)
	}
	dialer := &net.Dialer{Timeout: patience / 2, Control: control}
	return poster{&http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: patience / 2, MaxResponseHeaderBytes: maxHeader, DisableCompression: true,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
		},
	}}
}

// exchange posts an event and returns what is answered. Its error doesn't name the address.
func (s *Service) exchange(ctx context.Context, p private, id string, e event) (string, error) {
	at := s.c.Now().UTC()
	e.Timestamp = at
	body, err := json.Marshal(e)
	if err != nil {
		return "", queue.Cancel(err)
	}
	signature, err := sign(p, id, at, body)
	if err != nil {
		return "", queue.Cancel(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return "", queue.Cancel(ErrAddress)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Manus/" + s.c.Version,
		standardwebhooks.HeaderWebhookID: id, standardwebhooks.HeaderWebhookTimestamp: strconv.FormatInt(at.Unix(), 10), standardwebhooks.HeaderWebhookSignature: signature,
	} {
		request.Header.Set(name, value)
	}
	response, err := s.poster.client.Do(request)
	if err != nil {
		return "", unreached(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // what came of it counts
	switch {
	case response.StatusCode >= 200 && response.StatusCode <= 299:
		return string(answer), nil
	case response.StatusCode == http.StatusGone:
		return "", fmt.Errorf("%w: the receiver answered %d", errRefused, response.StatusCode)
	}
	return "", fmt.Errorf("the receiver answered %d", response.StatusCode)
}

// unreached is why a receiver wasn't reached, without its address.
func unreached(err error) error {
	if cause := guard.Cause(err); errors.Is(cause, guard.ErrPrivate) {
		return fmt.Errorf("%w: %w", errRefused, errPrivate)
	} else if cause != nil {
		return fmt.Errorf("%w: %w", errRefused, cause)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return errSlow
	}
	return errors.New("the receiver can't be reached")
}
