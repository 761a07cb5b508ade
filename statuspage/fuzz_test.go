package statuspage

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"manus/language"
)

// Whatever a client says that it takes, it gets something, and never what it refuses.
func FuzzAcceptEncoding(f *testing.F) {
	for _, line := range []string{"gzip, deflate, br, zstd", "br;q=0, gzip;q=0.5", "*", ";;,,q=", "BR ; Q = 0", "gzip;q=0.000"} {
		f.Add(line)
	}
	made := newFile(htmlType, pages, func() []byte { return []byte(strings.Repeat("tea ", 1000)) })
	f.Fuzz(func(t *testing.T, line string) {
		v := made.accepted(&http.Request{Header: http.Header{"Accept-Encoding": {line}}})
		names := map[string]string{"br": "br", "gzip": "gzip", "": ""}
		if name, known := names[v.encoding]; !known || !strings.Contains(strings.ToLower(line), name) || len(v.body) == 0 {
			t.Errorf("%q gets %q", line, v.encoding)
		}
		if has([]string{line}, v.etag) && !strings.Contains(line, v.etag) && !strings.Contains(line, "*") {
			t.Errorf("%q has %s", line, v.etag)
		}
	})
}

// Whatever is planned, a calendar has lines of 75 bytes at most, whole characters, and as many
// parts as there are works.
func FuzzCalendar(f *testing.F) {
	f.Add("Upgrade", "a\nb, c; d\\ \r\nBEGIN:VEVENT")
	f.Add(strings.Repeat("ترقية", 40), "\x00\x7f\u2028")
	f.Fuzz(func(t *testing.T, title, text string) {
		v := newView(Model{Maintenances: []Maintenance{{ID: "m", Title: language.Text{En: title}, Text: language.Text{En: text}, From: now, Until: now.Add(time.Hour), Progress: InProgress}}}, language.Text{En: "Status"}, now)
		calendar := string((&site{view: v}).calendar(language.English))
		begins := 0
		for line := range strings.SplitSeq(strings.TrimSuffix(calendar, "\r\n"), "\r\n") {
			if len(line) > 75 || strings.ContainsAny(line, "\r\n\x00") || !utf8.ValidString(line) {
				t.Errorf("a line of %d bytes: %q", len(line), line)
			}
			if strings.HasPrefix(line, "BEGIN:") {
				begins++
			}
		}
		if begins != 2 {
			t.Errorf("%d parts: %s", begins, calendar)
		}
	})
}
