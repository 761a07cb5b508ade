package imported

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"manus/internal/words"
	"manus/language"
	"manus/uptime"
	"manus/uptime/probe"
)

// finish gives monitors their ids, and leaves out what wouldn't be accepted.
func finish(from string, drafts []*draft) Import {
	all := Import{From: from}
	names := ids{}
	for _, own := range uptime.OwnIDs { // which would take the place of the product's
		names[own] = true
	}
	for _, d := range drafts {
		d.ID = names.of(cmp.Or(slug(d.name), slug(host(d.Monitor)), string(d.Type), "monitor"))
		d.accept()
		m := Monitor{Name: d.name, Look: d.look, Notes: d.notes}
		if d.leftOut == "" {
			m.Monitor = d.Monitor
		} else {
			m = Monitor{Name: cmp.Or(d.name, d.ID), LeftOut: d.leftOut}
			delete(names, d.ID)
		}
		all.Monitors = append(all.Monitors, m)
	}
	all.addExpiries(drafts, names)
	return all
}

// maxExpect is how many conditions a monitor may have.
const maxExpect = 50

// accept leaves out what uptime would refuse: a condition, or the monitor.
func (d *draft) accept() {
	d.Name = language.Cut(strings.Map(printable, d.name), 100)
	if d.Name == d.ID {
		d.Name = ""
	}
	if d.Auth.Type != "" {
		d.look = append(d.look, fmt.Sprintf("set %s to %s, which isn't printed", uptime.SecretVariable(d.ID), secretOf(d.Auth)))
	}
	expect := d.Expect
	d.Expect = nil
	if d.leftOut == "" {
		if wrong := (uptime.Policy{d.Monitor}).Problems(); len(wrong) > 0 {
			d.leave("%s", strings.TrimPrefix(firstLine(wrong[0]), "monitors."+d.ID+"."))
			return
		}
	}
	if len(expect) > maxExpect {
		d.lookAt("it has more than %s: the first ones are taken over", words.Count(maxExpect, "condition"))
		expect = expect[:maxExpect]
	}
	for _, condition := range expect {
		d.Expect = append(d.Expect, condition)
		if len((uptime.Policy{d.Monitor}).Problems()) > 0 {
			d.Expect = append([]string(nil), d.Expect[:len(d.Expect)-1]...) // nil where none is left
			d.lookAt("what had to hold can't be taken over (%s): write it under expect", quoted(condition))
		}
	}
}

func secretOf(a uptime.Auth) string {
	if a.Type == "basic" {
		return "the password"
	}
	return "the token"
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return ' '
	}
	return r
}

// addExpiries has monitors look at certificates and domains that were looked at by the way.
func (i *Import) addExpiries(drafts []*draft, names ids) {
	done := map[string]bool{}
	add := func(m uptime.Monitor, name string) {
		if done[string(m.Type)+m.URL] {
			return
		}
		done[string(m.Type)+m.URL] = true
		m.ID, m.Name, m.Every = names.of(slug(name)), name, expiryEvery
		if len((uptime.Policy{m}).Problems()) == 0 {
			i.Monitors = append(i.Monitors, Monitor{Name: name, Monitor: m, Beside: true})
		}
	}
	for _, d := range drafts {
		at := host(d.Monitor)
		if d.leftOut != "" || at == "" {
			continue
		}
		if d.certificate {
			add(uptime.Monitor{Type: probe.TLS, URL: net.JoinHostPort(at, port(d.URL)), Private: d.Private}, "Certificate of "+at)
		}
		if domain := registered(at); d.domain && domain != "" {
			add(uptime.Monitor{Type: probe.Domain, URL: domain}, "Domain "+domain)
		}
	}
}

// expiryEvery is how often a certificate and a domain are looked at.
const expiryEvery = 12 * time.Hour

// host is what a monitor looks at, without a port.
func host(m uptime.Monitor) string {
	if m.Type == probe.HTTP {
		if u, err := url.Parse(m.URL); err == nil {
			return strings.ToLower(u.Hostname())
		}
	}
	if host, _, err := net.SplitHostPort(m.URL); err == nil {
		return strings.ToLower(host)
	}
	return strings.ToLower(m.URL)
}

func port(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Port() == "" {
		return "443"
	}
	return u.Port()
}

// maxID is how long an id may be, in bytes.
const maxID = 64

// slug is a text as an id: its letters from a to z and digits, with a dash between words. It is
// empty where there is no such letter.
func slug(text string) string {
	var id strings.Builder
	letters := false
	for _, r := range norm.NFKD.String(language.Cut(text, 200)) {
		r = unicode.ToLower(r)
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			letters = letters || r >= 'a'
			id.WriteRune(r)
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’': // within a word
		case id.Len() > 0 && !strings.HasSuffix(id.String(), "-"):
			id.WriteByte('-')
		}
	}
	if !letters {
		return ""
	}
	return strings.Trim(id.String()[:min(id.Len(), maxID)], "-")
}

// ids are those that are taken.
type ids map[string]bool

// of is an id that isn't taken yet.
func (taken ids) of(id string) string {
	free := id
	for n := 2; taken[free]; n++ {
		end := fmt.Sprintf("-%d", n)
		free = strings.TrimSuffix(id[:min(len(id), maxID-len(end))], "-") + end
	}
	taken[free] = true
	return free
}

// clauses are what is different of all of a program's monitors.
var clauses = map[string][]string{
	"Uptime Kuma": {"Who is told isn't in it, nor are status pages: see alerts. Without retries in Uptime Kuma, what is usual here holds: 5, 15 and 35 seconds."},
	"Gatus":       {"Who is told isn't in it: see alerts. Failures are confirmed as is usual here, after 5, 15 and 35 seconds, whatever the thresholds of alerts were."},
	"UptimeRobot": {"Who is told isn't in it, nor are status pages and maintenance windows: see alerts."},
}

// about are the lines before the list.
func (i Import) about() []string {
	return append([]string{"Monitors of " + i.From + ", for manus.yaml."}, slices.Clone(clauses[i.From])...)
}
