package httpapi

import (
	"net/http"
	"strings"
)

// Encodings tells whether a client takes answers with Brotli, and with gzip.
func Encodings(r *http.Request) (br, gzip bool) {
	for _, line := range r.Header["Accept-Encoding"] {
		for entry := range strings.SplitSeq(line, ",") {
			name, quality, _ := strings.Cut(strings.TrimSpace(entry), ";")
			if q, found := strings.CutPrefix(strings.ReplaceAll(quality, " ", ""), "q="); found && strings.Trim(q, "0.") == "" {
				continue // refused
			}
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "br":
				br = true
			case "gzip", "x-gzip":
				gzip = true
			}
		}
	}
	return br, gzip
}
