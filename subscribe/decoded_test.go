package subscribe

import (
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"

	"manus/internal/smtptest"
)

func decoded(m smtptest.Mail) io.Reader {
	switch m.Header.Get("Content-Transfer-Encoding") {
	case "quoted-printable":
		return quotedprintable.NewReader(strings.NewReader(m.Body))
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, strings.NewReader(m.Body))
	}
	return strings.NewReader(m.Body)
}
