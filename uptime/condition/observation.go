package condition

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"manus/language"
)

// Subject is what a condition can be about.
type Subject string

// The subjects, as conditions name them.
const (
	Status          Subject = "status"
	Latency         Subject = "latency"
	Body            Subject = "body"
	Header          Subject = "header"
	JSON            Subject = "json"
	CertificateDays Subject = "certificate.days"
	DomainDays      Subject = "domain.days"
	DNSAnswer       Subject = "dns.answer"
	DNSRcode        Subject = "dns.rcode"
)

// subjects are all of them, with what their values are.
var subjects = map[Subject]kind{
	Status: number, Latency: span, Body: text, Header: text, JSON: anything,
	CertificateDays: number, DomainDays: number, DNSAnswer: list, DNSRcode: text,
}

// Observation is what a check has found, as far as conditions are about it. What it
// hasn't found is left out. It is for one check, and for one goroutine.
type Observation struct {
	Status  int
	Latency time.Duration
	Header  http.Header
	// Body is the answer's. BodyCut says that it is the beginning only, which a text is
	// looked for in all the same and JSON isn't; BodyFault is why it can't be read at all.
	Body      []byte
	BodyCut   bool
	BodyFault language.Text
	// CertificateDays and DomainDays are how long they are still valid; negative where
	// they have expired.
	CertificateDays, DomainDays *float64
	// Answer is the records' values, as Rcode the answer's code: "NXDOMAIN".
	Answer []string
	Rcode  string
	// Until is when there is no more time for patterns, which take some of that for a long body: what is
	// left then isn't known. Zero is never.
	Until time.Time

	written any // Body as a text, once it was asked for
	decoded *document
}

// isLate tells whether there is no more time for patterns.
func (o *Observation) isLate() bool { return !o.Until.IsZero() && !time.Now().Before(o.Until) }

// document is a body as JSON.
type document struct {
	root  any
	fault language.Text
}

// The values of subjects and in JSON are float64, time.Duration, string, bool, []any,
// map[string]any, nil for null, and those below.
type (
	missing struct{}      // there is none
	unknown language.Text // why it can't be known
	each    []any         // what a path with [*] leads to
)

// value is a subject's; path is behind its name.
func (o *Observation) value(s Subject, path []step) any {
	switch s {
	case Status:
		if o.Status == 0 {
			return missing{}
		}
		return float64(o.Status)
	case Latency:
		return o.Latency
	case Body:
		if o.BodyFault != (language.Text{}) {
			return unknown(o.BodyFault)
		}
		if o.written == nil {
			o.written = string(o.Body)
		}
		return o.written
	case Header:
		return o.header(path[0].name)
	case JSON:
		return o.json(path)
	case CertificateDays:
		return days(o.CertificateDays)
	case DomainDays:
		return days(o.DomainDays)
	case DNSAnswer:
		all := make([]any, len(o.Answer))
		for i, record := range o.Answer {
			all[i] = record
		}
		return all
	case DNSRcode:
		if o.Rcode == "" {
			return missing{}
		}
		return o.Rcode
	}
	return missing{}
}

func days(n *float64) any {
	if n == nil {
		return missing{}
	}
	return *n
}

func (o *Observation) header(name string) any {
	values := o.Header.Values(name)
	if len(values) == 0 {
		return missing{}
	}
	return strings.Join(values, ", ")
}

// json is what a path leads to in the body.
func (o *Observation) json(path []step) any {
	if o.decoded == nil {
		o.decoded = o.decode()
	}
	if o.decoded.fault != (language.Text{}) {
		return unknown(o.decoded.fault)
	}
	if at := slices.IndexFunc(path, step.isEach); at >= 0 {
		return each(collect(nil, o.decoded.root, path, at))
	}
	return follow(o.decoded.root, path)
}

func (o *Observation) decode() *document {
	d := &document{fault: o.BodyFault}
	switch {
	case o.BodyFault != (language.Text{}):
	case o.BodyCut:
		d.fault = language.Text{En: "the body is longer than what is read of it", Ar: "جسم الرد أطول من القدر الذي يُقرأ منه"}
	case json.Unmarshal(o.Body, &d.root) != nil:
		d.fault = language.Text{En: "the body isn't JSON", Ar: "جسم الرد ليس JSON"}
	}
	return d
}

// collect adds what a path leads to whose step at is the first for each.
func collect(found []any, from any, path []step, at int) []any {
	var members []any
	switch parent := follow(from, path[:at]).(type) {
	case []any:
		members = parent
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(parent)) {
			members = append(members, parent[name])
		}
	}
	rest := path[at+1:]
	for _, member := range members {
		if next := slices.IndexFunc(rest, step.isEach); next >= 0 {
			found = collect(found, member, rest, next)
		} else {
			found = append(found, follow(member, rest))
		}
	}
	return found
}

// follow is what a path leads to that has no steps for each.
func follow(at any, path []step) any {
	for _, s := range path {
		switch parent := at.(type) {
		case map[string]any:
			member, ok := parent[s.name]
			if !ok || s.isIndex {
				return missing{}
			}
			at = member
		case []any:
			i := s.index
			if i < 0 {
				i += len(parent)
			}
			if !s.isIndex || i < 0 || i >= len(parent) {
				return missing{}
			}
			at = parent[i]
		default:
			return missing{}
		}
	}
	return at
}
