package console

import (
	"net/http"
	"net/url"
	"strings"

	"manus/httpapi"
)

// requestFor is an example of a request for a shell, with curl: its values are those of the
// document's examples.
func requestFor(server string, o httpapi.Operation) string {
	address := server + httpapi.Prefix + o.Path()
	lines, query := []string{}, url.Values{}
	for _, p := range o.Parameters {
		switch {
		case p.Where == "path":
			address = strings.ReplaceAll(address, "{"+p.Name+"}", url.PathEscape(p.Example))
		case p.Where == "query" && p.Required:
			query.Set(p.Name, p.Example)
		case p.Where == "header" && p.Name == "Idempotency-Key":
			lines = append(lines, "-H "+quoted(p.Name+": "+p.Example))
		}
	}
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	if o.Access != httpapi.Public {
		lines = append([]string{`-H "Authorization: Bearer $TOKEN"`}, lines...)
	}
	if o.Example != "" {
		lines = append(lines, "-H "+quoted("Content-Type: application/json"), "-d "+quoted(o.Example))
	}
	return strings.Join(append([]string{"curl " + methodOf(o) + quoted(address)}, lines...), " \\\n  ")
}

// methodOf names the method where curl wouldn't take it by itself.
func methodOf(o httpapi.Operation) string {
	method := o.Method()
	if method == http.MethodGet || method == http.MethodPost && o.Example != "" {
		return ""
	}
	return "-X " + method + " "
}

// quoted is a text as one word of a shell that takes nothing in it for its own.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
