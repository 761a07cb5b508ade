package imported

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"manus/internal/guard"
	"manus/internal/words"
	"manus/language"
	"manus/uptime"
	"manus/uptime/probe"
)

// draft is a monitor while it is made.
type draft struct {
	uptime.Monitor
	name    string // for people
	leftOut string
	look    []string
	notes   []string

	certificate, domain bool // it was also told when these expire
}

// newDraft is a draft of a monitor that has a name, which is a stranger's text.
func newDraft(name string) *draft {
	return &draft{name: language.Line(name)}
}

func (d *draft) lookAt(format string, args ...any) {
	d.look = append(d.look, line(format, args...))
}

func (d *draft) note(format string, args ...any) { d.notes = append(d.notes, line(format, args...)) }

// hold pauses a monitor, which would be told to be down for what is missing in it.
func (d *draft) hold(format string, args ...any) {
	d.Paused = true
	d.lookAt(format+"; it is paused until then", args...)
}

// leave leaves a monitor out. The first reason is the one that is told.
func (d *draft) leave(format string, args ...any) {
	if d.leftOut == "" {
		d.leftOut = line(format, args...)
	}
}

// maxComment bounds a sentence with a stranger's text in it, in characters.
const maxComment = 300

func line(format string, args ...any) string {
	return language.Cut(language.Line(fmt.Sprintf(format, args...)), maxComment)
}

// quoted is a stranger's text in a sentence.
func quoted(text string) string {
	return `"` + language.Cut(language.Line(text), 80) + `"`
}

// secretName finds names of what is secret.
var secretName = regexp.MustCompile(`(?i)authori[sz]ation|cookie|token|secret|passw|passphrase|pwd|api[-_.]?key|access[-_.]?key|private[-_.]?key|credential|signature|session|jwt|bearer|^x?-?(auth|key|sig|sid|pass|code)$|-key$|_key$|-auth$`)

// secretText finds a secret's name in a body: in JSON, in a form or in XML.
var secretText = regexp.MustCompile(`(?i)[\w.-]*(token|secret|passw|passphrase|pwd|api[-_.]?key|access[-_.]?key|credential|authori[sz]ation|client_assertion)[\w.-]*["']?\s*[:=>]`)

// setURL makes it a monitor of an address of the web.
func (d *draft) setURL(address string) {
	d.Type = probe.HTTP
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		d.leave("its address can't be read")
		return
	}
	asRead := u.String()
	if u.User != nil {
		password, _ := u.User.Password()
		d.basic(u.User.Username(), password)
		u.User = nil
	}
	u.Fragment, u.RawFragment = "", ""
	if secrets := d.setQuery(u); !secrets && u.String() == asRead { // or Arabic would be escaped
		d.URL = address
	} else {
		d.URL = u.String()
	}
	d.setPrivate(u.Hostname())
}

// setQuery takes secrets out of an address, and returns whether there are any.
func (d *draft) setQuery(u *url.URL) (secrets bool) {
	parts := strings.Split(u.RawQuery, "&")
	for i, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err == nil && value != "" && secretName.MatchString(plain) {
			parts[i], secrets = name+"=SECRET", true
			d.hold("its address has a secret, %s, which isn't printed: put it back in url", quoted(plain))
		}
	}
	u.RawQuery = strings.Join(parts, "&")
	return secrets
}

// setHost makes it a monitor of a host, with a port or, where that is empty, without.
func (d *draft) setHost(kind probe.Kind, host, port string) {
	d.Type = kind
	host = strings.Trim(strings.TrimSpace(host), "[]")
	d.URL = host
	if port != "" {
		d.URL = host + ":" + port
		if strings.Contains(host, ":") {
			d.URL = "[" + host + "]:" + port
		}
	}
	d.setPrivate(host)
}

// privateNames are endings of names that no public resolver has.
var privateNames = []string{".local", ".localhost", ".localdomain", ".lan", ".internal", ".intranet", ".intra", ".corp", ".home", ".home.arpa", ".svc", ".private"}

// setPrivate lets it be in a private network, where its host is there by its looks.
func (d *draft) setPrivate(host string) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		d.Private = d.Private || errors.Is(guard.Check(ip, false), guard.ErrPrivate)
		return
	}
	inside := !strings.Contains(host, ".") && host != "" ||
		slices.ContainsFunc(privateNames, func(ending string) bool { return strings.HasSuffix(host, ending) })
	if inside && !d.Private && d.Type != probe.DNS && d.Type != probe.Domain {
		d.Private = true
		d.note("its name is of a private network, so private is set")
	}
}

// basic has it say who asks, by a name and a password, which isn't kept.
func (d *draft) basic(user, password string) {
	if d.Auth.Type != "" || user == "" && password == "" {
		return
	}
	d.Auth = uptime.Auth{Type: "basic", User: user}
}

// setHeaders takes headers over, but for secrets.
func (d *draft) setHeaders(headers map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := strings.TrimSpace(headers[name])
		switch {
		case strings.EqualFold(name, "Authorization"):
			d.authorize(value)
		case secretName.MatchString(name), strings.HasPrefix(value, "Bearer "), strings.HasPrefix(value, "eyJ"):
			d.hold("the header %s looks like a secret, which isn't printed: write it under headers if manus.yaml may have it", quoted(name))
		default:
			if d.Headers == nil {
				d.Headers = map[string]string{}
			}
			d.Headers[http.CanonicalHeaderKey(name)] = value
		}
	}
}

// authorize reads the header that says who asks.
func (d *draft) authorize(value string) {
	scheme, secret, _ := strings.Cut(value, " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		d.Auth = uptime.Auth{Type: "bearer"}
	case "basic":
		user := ""
		if both, err := base64.StdEncoding.DecodeString(strings.TrimSpace(secret)); err == nil {
			user, _, _ = strings.Cut(string(both), ":")
		}
		d.Auth = uptime.Auth{Type: "basic", User: user}
	default:
		d.hold("it says who asks in a way that isn't known here (Authorization), and which isn't printed: write it under headers if manus.yaml may have it")
	}
}

// setBody takes a request's body over, unless it has a secret.
func (d *draft) setBody(body string) {
	switch {
	case body == "":
	case secretText.MatchString(body):
		d.hold("the body of the request looks as if it had a secret, and isn't printed: write it under body if manus.yaml may have it")
	default:
		d.Body = body
	}
}

// setMethod takes a method over that isn't the usual one.
func (d *draft) setMethod(method string) {
	if method = strings.ToUpper(method); method != "GET" {
		d.Method = method
	}
}

// Bounds of a monitor's times.
const (
	minEvery   = 5 * time.Second
	maxEvery   = 24 * time.Hour
	minTimeout = 100 * time.Millisecond
	maxTimeout = time.Minute
)

// setTimes sets how often it is looked at, and how long that may take; zero for what holds here.
func (d *draft) setTimes(every, timeout time.Duration) {
	if d.Type == uptime.Heartbeat {
		return
	}
	if every == 0 {
		every = time.Minute
	}
	d.Every = min(max(every, minEvery), maxEvery)
	if d.Every != every {
		d.note("it was looked at every %s", uptime.Period(every))
	}
	if timeout == 0 && d.Every > 10*time.Second {
		return
	}
	if timeout == 0 {
		timeout = d.Every * 4 / 5
	}
	d.Timeout = min(max(timeout, minTimeout), maxTimeout)
	if d.Timeout >= d.Every {
		d.Timeout = d.Every * 4 / 5
	}
	if d.Timeout != timeout {
		d.note("its timeout was %s", uptime.Period(timeout))
	}
}

// Bounds of a heartbeat's times.
const (
	minBeat  = 30 * time.Second
	maxBeat  = 366 * 24 * time.Hour
	maxGrace = 31 * 24 * time.Hour
)

// setHeartbeat makes it a job that reports by itself, so often, and so much later at the latest; zero
// for what holds here. Its address, which is a secret, is another one here.
func (d *draft) setHeartbeat(every, grace time.Duration) {
	d.Type = uptime.Heartbeat
	d.Every = min(max(every, minBeat), maxBeat)
	if d.Every != every {
		d.note("it was to be called every %s", uptime.Period(every))
	}
	if grace > 0 {
		d.Grace = min(max(grace, time.Second), maxGrace)
	}
	d.lookAt("what calls it has to call another address, which 'manus monitor show' says")
}

func seconds(n float64) time.Duration {
	return time.Duration(n * float64(time.Second)).Round(time.Millisecond)
}

// maxAgain is how often it may be looked at again before it is down, and in how long.
const (
	maxAgain = 10
	maxUntil = time.Hour
)

// setRetries has it be down after so many looks more, each some time after the one before.
func (d *draft) setRetries(n int, apart time.Duration) {
	if n <= 0 || d.Type == uptime.Heartbeat {
		return
	}
	apart = max(apart, time.Second)
	until := min(time.Duration(n)*apart, maxUntil)
	if time.Duration(n)*apart > maxUntil || n > maxAgain {
		d.note("it was down after %s more, %s apart", words.Count(n, "failure"), uptime.Period(apart))
	}
	count := min(n, maxAgain)
	var again []time.Duration
	for i := range count {
		again = append(again, (until * time.Duration(i+1) / time.Duration(count)).Round(time.Second))
	}
	d.Confirm = &again
}

// registered is the domain of a host that somebody has registered; empty where there is none.
func registered(host string) string {
	if _, public := publicsuffix.PublicSuffix(host); !public {
		return ""
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return ""
	}
	return domain
}
