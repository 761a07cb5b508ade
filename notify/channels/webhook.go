package channels

import (
	"fmt"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"manus/notify"
)

// keyPrefix begins a key of Standard Webhooks.
const keyPrefix = "whsec_"

// splitKeys are the secrets of which there may be two, while one replaces the other.
func splitKeys(secret string) []string {
	var keys []string
	for key := range strings.SplitSeq(secret, ",") {
		keys = append(keys, strings.TrimSpace(key))
	}
	return keys
}

// event is what a webhook's receiver gets, as Standard Webhooks has it.
type event struct {
	Type      string    `json:"type"` // "alert." and the state
	Timestamp time.Time `json:"timestamp"`
	Data      eventData `json:"data"`
}

type eventData struct {
	ID          string   `json:"id"`
	Thread      string   `json:"thread"`
	Follows     string   `json:"follows"`
	State       string   `json:"state"`
	Kind        string   `json:"kind"`
	Level       string   `json:"level"`
	Title       string   `json:"title"`
	Text        string   `json:"text"`
	Facts       []named  `json:"facts"`
	Lines       []string `json:"lines"`
	LinesLeft   int      `json:"lines_left"` // how many more there were
	URL         string   `json:"url"`
	Runbook     string   `json:"runbook"`
	Acknowledge string   `json:"acknowledge"`
	At          string   `json:"at"`
	Language    string   `json:"language"`
}

type named struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func newWebhook(c notify.ChannelConfig, d Dependencies) receiver {
	sign := signer(splitKeys(c.Secret))
	return receiver{compose: func(m draft) request {
		body := encode(eventOf(m))
		at := d.Now()
		return request{url: c.URL, body: body, header: map[string]string{
			standardwebhooks.HeaderWebhookID:        m.ID,
			standardwebhooks.HeaderWebhookTimestamp: fmt.Sprint(at.Unix()),
			standardwebhooks.HeaderWebhookSignature: sign(m.ID, at, body),
		}}
	}}
}

func eventOf(m draft) event {
	at := m.At.UTC()
	data := eventData{
		ID: m.ID, Thread: m.Thread, Follows: m.Follows, State: string(m.State), Kind: m.Kind, Level: string(m.Level), Title: m.Title, Text: m.Text,
		Facts: []named{}, Lines: append([]string{}, m.Lines...), LinesLeft: m.left, URL: m.URL, Runbook: m.Runbook,
		Acknowledge: m.Acknowledge, At: at.Format(time.RFC3339), Language: m.Language.String(),
	}
	for _, fact := range m.Facts {
		data.Facts = append(data.Facts, named(fact))
	}
	return event{Type: "alert." + data.State, Timestamp: at, Data: data}
}

// signer signs with each of the keys: the receiver needs to know one of them.
func signer(keys []string) func(id string, at time.Time, body []byte) string {
	return func(id string, at time.Time, body []byte) string {
		var signatures []string
		for _, key := range keys {
			webhook, err := standardwebhooks.NewWebhook(key)
			if err != nil {
				continue // New has refused it
			}
			if signature, err := webhook.Sign(id, at, body); err == nil {
				signatures = append(signatures, signature)
			}
		}
		return strings.Join(signatures, " ")
	}
}
