package channels

import (
	"cmp"
	"strings"

	"manus/language"
	"manus/notify"
)

// ntfy's limits, in bytes. A longer message would come as a file.
const (
	ntfyTitle = 250
	ntfyText  = 4000
)

type ntfyMessage struct {
	Topic    string       `json:"topic"`
	Title    string       `json:"title"`
	Message  string       `json:"message"` // plain text
	Priority int          `json:"priority"`
	Tags     []string     `json:"tags"`
	Click    string       `json:"click,omitempty"`
	Actions  []ntfyAction `json:"actions,omitempty"` // three at most
}

type ntfyAction struct {
	Action string `json:"action"`
	Label  string `json:"label"`
	URL    string `json:"url"`
}

func newNtfy(c notify.ChannelConfig, _ Dependencies) receiver {
	server, topic := splitTopic(c.URL)
	header := map[string]string{}
	if c.Secret != "" {
		header["Authorization"] = "Bearer " + c.Secret
	}
	return receiver{
		took: hasField("id"),
		compose: func(d draft) request {
			return request{url: server, header: header, body: encode(ntfyMessageOf(d, topic))}
		},
	}
}

// splitTopic parts a topic's address into the server's and the topic.
func splitTopic(address string) (server, topic string) {
	address = strings.TrimSuffix(address, "/")
	end := strings.LastIndexByte(address, '/') + 1
	return address[:end], address[end:]
}

func ntfyMessageOf(d draft, topic string) ntfyMessage {
	m := ntfyMessage{
		Topic: topic, Title: cut(d.directed(d.Title), ntfyTitle, inBytes, as), Priority: ntfyPriority(d), Tags: []string{ntfyTag(d)}, Click: d.URL,
		Message: shortened(d, func(d draft) string { return cmp.Or(d.details(), d.directed(d.Title), noText) }, func(text string) bool { return len(text) <= ntfyText }),
	}
	for _, l := range d.links() {
		m.Actions = append(m.Actions, ntfyAction{"view", language.Text.In(l.name, d.Language), *l.url})
	}
	return m
}

// ntfyPriority is from 1, without sound and shown last, to 5, which goes on ringing.
func ntfyPriority(d draft) int {
	switch {
	case d.State == notify.Test:
		return 1
	case d.IsOver():
		return 3
	}
	priority, ok := map[notify.Level]int{notify.Critical: 5, notify.Error: 4, notify.Warning: 3}[d.Level]
	if !ok {
		return 2
	}
	return priority
}

// ntfyTag is the name of the sign that is shown before the title.
func ntfyTag(d draft) string {
	switch {
	case d.IsOver():
		return "white_check_mark"
	case d.State == notify.Test:
		return "test_tube"
	}
	tag, ok := map[notify.Level]string{notify.Critical: "rotating_light", notify.Error: "red_circle", notify.Warning: "warning"}[d.Level]
	if !ok {
		return "information_source"
	}
	return tag
}
