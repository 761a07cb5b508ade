package channels

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"manus/notify"
)

const (
	pagerDutyServer  = "https://events.pagerduty.com"
	pagerDutySummary = 1024
)

// pagerDutyEvent is an event of the Events API v2: an alert's, or a change, which is shown
// beside a service's incidents and calls nobody.
type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action,omitempty"`
	DedupKey   string            `json:"dedup_key,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"`
	Links      []pagerDutyLink   `json:"links,omitempty"`
	Client     string            `json:"client,omitempty"`
	ClientURL  string            `json:"client_url,omitempty"`
}

type pagerDutyPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity,omitempty"`
	Timestamp string            `json:"timestamp,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   map[string]string `json:"custom_details,omitempty"`
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

func newPagerDuty(c notify.ChannelConfig, _ Dependencies) receiver {
	server := strings.TrimSuffix(cmp.Or(c.URL, pagerDutyServer), "/")
	return receiver{
		unusable: []string{"invalid routing key", "'routing_key'"},
		took: func(body []byte) bool {
			var a struct{ Status string }
			return json.Unmarshal(body, &a) == nil && a.Status == "success"
		},
		compose: func(d draft) request {
			path, event := pagerDutyEventOf(d, c.Secret)
			return request{url: server + path, body: encode(event)}
		},
	}
}

// pagerDutyEventOf is an event and the path that it goes to. What is told of an occurrence
// again has the same key, and so is one incident.
func pagerDutyEventOf(d draft, key string) (path string, event pagerDutyEvent) {
	event = pagerDutyEvent{RoutingKey: key, Links: pagerDutyLinks(d), Payload: pagerDutyPayloadOf(d)}
	if d.State == notify.Test || d.State == notify.Digest && d.IsOver() { // others that the digest told of may last
		event.Payload.Severity, event.Payload.Class = "", "" // which changes don't have
		return "/v2/change/enqueue", event
	}
	event.DedupKey = cmp.Or(d.Thread, d.ID)
	// What was over before it was told resolves too: an earlier attempt may have been taken
	// without anybody knowing. Without an incident PagerDuty leaves it alone.
	if d.IsOver() {
		return "/v2/enqueue", pagerDutyEvent{RoutingKey: key, Action: "resolve", DedupKey: event.DedupKey}
	}
	event.Action, event.Client, event.ClientURL = "trigger", "Manus", d.URL
	return "/v2/enqueue", event
}

func pagerDutyPayloadOf(d draft) *pagerDutyPayload {
	payload := pagerDutyPayload{
		Summary: cut(d.Title, pagerDutySummary, units, as), Source: cmp.Or(d.Source, "Manus"), Severity: pagerDutySeverity(d.Level), Class: d.Kind,
		Details: map[string]string{"details": d.details()},
	}
	if !d.At.IsZero() {
		payload.Timestamp = d.At.UTC().Format(time.RFC3339)
	}
	return &payload
}

func pagerDutyLinks(d draft) []pagerDutyLink {
	var links []pagerDutyLink
	for _, l := range d.links() {
		links = append(links, pagerDutyLink{*l.url, l.name.In(d.Language)})
	}
	return links
}

// pagerDutySeverity is one of PagerDuty's four, which are ours.
func pagerDutySeverity(level notify.Level) string {
	switch level {
	case notify.Critical, notify.Error, notify.Warning:
		return string(level)
	}
	return string(notify.Info)
}
