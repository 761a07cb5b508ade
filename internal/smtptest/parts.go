package smtptest

import (
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"strings"
)

// Text is a mail's plain text, as it was written.
func (m Mail) Text() string { return m.part("text/plain") }

// HTML is a mail's HTML; empty where it has none.
func (m Mail) HTML() string { return m.part("text/html") }

// Subject is a mail's subject, as it was written.
func (m Mail) Subject() string {
	text, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return m.Header.Get("Subject")
	}
	return text
}

func (m Mail) part(kind string) string {
	is, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(is, "multipart/") {
		if err == nil && is != kind {
			return ""
		}
		return decoded(m.Header.Get("Content-Transfer-Encoding"), strings.NewReader(m.Body))
	}
	parts := multipart.NewReader(strings.NewReader(m.Body), params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err != nil {
			return ""
		}
		if is, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type")); is == kind {
			return decoded(p.Header.Get("Content-Transfer-Encoding"), p)
		}
	}
}

func decoded(encoding string, body io.Reader) string {
	switch encoding {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
