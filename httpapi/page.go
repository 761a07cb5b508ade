package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ProblemPage answers a request with a problem as a page for people, and tells whether it
// could.
type ProblemPage func(w http.ResponseWriter, r *http.Request, p *Problem) (shown bool)

// programs is below which path nothing is for people.
const programs = "/api"

// forPeople tells whether what is asked for is a page, whose problems people may read.
func (x *exchange) forPeople(r *http.Request) bool {
	e := x.endpoint
	return x.api.Page != nil && e.operation == nil && e.Problem == nil && !e.Proves && !strings.HasPrefix(r.URL.Path+"/", programs+"/")
}

// VaryByAccept says in an answer's headers that a request with another Accept would have got
// another one.
func VaryByAccept(header http.Header) {
	if !slices.Contains(header["Vary"], "Accept") {
		header.Add("Vary", "Accept")
	}
}

// PrefersHTML tells whether a request is a person's, by a browser: those name HTML, and nothing
// that they like as well is JSON.
func PrefersHTML(r *http.Request) bool {
	var html, json, anything float64
	for _, line := range r.Header["Accept"] {
		for entry := range strings.SplitSeq(line, ",") {
			media, parameters, _ := strings.Cut(entry, ";")
			quality := qualityOf(parameters)
			switch media = strings.ToLower(strings.TrimSpace(media)); {
			case media == "text/html", media == "application/xhtml+xml":
				html = max(html, quality)
			case media == "application/json", strings.HasSuffix(media, "+json"):
				json = max(json, quality)
			case media == "*/*", media == "application/*", media == "*":
				anything = max(anything, quality)
			}
		}
	}
	return html > json && html >= anything
}

// qualityOf is the weight among an entry's parameters: 1 where it has none, and 0 where that
// isn't a weight.
func qualityOf(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		quality, err := strconv.ParseFloat(value, 64)
		if err != nil || !(quality >= 0 && quality <= 1) {
			return 0
		}
		return quality
	}
	return 1
}
