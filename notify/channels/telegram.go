package channels

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"manus/notify"
)

const (
	telegramServer = "https://api.telegram.org"
	telegramText   = 4096 // UTF-16's units
	telegramEvery  = time.Second
)

// telegramMessage is plain text: without a parse mode there is nothing to escape.
type telegramMessage struct {
	ChatID              string           `json:"chat_id"`
	Text                string           `json:"text"`
	Entities            []telegramEntity `json:"entities"`
	LinkPreview         telegramPreview  `json:"link_preview_options"`
	DisableNotification bool             `json:"disable_notification,omitempty"`
}

// telegramEntity is a stretch of the text, in UTF-16's units.
type telegramEntity struct {
	Type   string `json:"type"`
	Offset int    `json:"offset"`
	Length int    `json:"length"`
}

type telegramPreview struct {
	IsDisabled bool `json:"is_disabled"`
}

// telegramAnswer is what Telegram answers every call.
type telegramAnswer struct {
	OK         bool `json:"ok"`
	Parameters struct {
		RetryAfter float64 `json:"retry_after"`
	} `json:"parameters"`
}

func newTelegram(c notify.ChannelConfig, _ Dependencies) receiver {
	address := strings.TrimSuffix(cmp.Or(c.URL, telegramServer), "/") + "/bot" + c.Secret + "/sendMessage"
	read := func(body []byte) (a telegramAnswer) {
		_ = json.Unmarshal(body, &a) // zero for what isn't one
		return a
	}
	return receiver{
		every:    telegramEvery,
		unusable: []string{"chat not found", "upgraded to a supergroup", "not enough rights", "have no rights to send"},
		took:     func(body []byte) bool { return read(body).OK },
		wait:     func(body []byte) float64 { return read(body).Parameters.RetryAfter },
		compose: func(d draft) request {
			return request{url: address, body: encode(telegramMessageOf(d, c.Chat))}
		},
	}
}

func telegramMessageOf(d draft, chat string) telegramMessage {
	text := shortened(d, func(d draft) string { return unmentioned(d.plainText()) }, func(text string) bool { return units(text) <= telegramText })
	return telegramMessage{
		ChatID: chat, Text: text, LinkPreview: telegramPreview{IsDisabled: true}, DisableNotification: d.State == notify.Test,
		Entities: []telegramEntity{{Type: "bold", Length: units(unmentioned(d.directed(d.Title)))}},
	}
}
