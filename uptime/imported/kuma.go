package imported

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"manus/uptime/probe"
)

// isKuma tells whether records are monitors of Uptime Kuma, of whose backup nothing else is
// left.
func isKuma(records []record) bool {
	return len(records) > 0 && slices.ContainsFunc([]string{"maxretries", "retryinterval", "upsidedown", "acceptedstatuscodes", "acceptedstatuscodesjson"}, records[0].has)
}

// kuma reads the monitors of a backup, of its API or of its database.
type kuma struct {
	byID map[string]record
}

func readKuma(records []record) (drafts []*draft) {
	k := kuma{map[string]record{}}
	for _, r := range records {
		k.byID[r.text("id")] = r
	}
	for _, r := range records {
		if r.text("type") != "group" {
			drafts = append(drafts, k.monitor(r))
		}
	}
	return drafts
}

func (k kuma) monitor(r record) *draft {
	d := newDraft(r.text("name"))
	d.Paused = r.off("active")
	k.setGroups(d, r)
	kumaKind(d, r)
	d.setTimes(seconds(r.number("interval")), seconds(r.number("timeout")))
	d.setRetries(int(r.number("maxretries")), seconds(r.number("retryinterval")))
	if r.flag("upsidedown") {
		d.hold("it is watched upside down, which there isn't here: write what is to hold under expect")
	}
	return d
}

// setGroups notes in which groups it is. What is in a group that is paused is paused.
func (k kuma) setGroups(d *draft, r record) {
	var path []string
	for parent, depth := k.byID[r.text("parent")], 0; parent != nil && depth < 20; parent, depth = k.byID[parent.text("parent")], depth+1 {
		path = append([]string{parent.text("name")}, path...)
		d.Paused = d.Paused || parent.off("active")
	}
	if len(path) > 0 {
		d.note("its group: %s", strings.Join(path, " / "))
	}
}

// kumaKind reads what is of one kind of monitors.
func kumaKind(d *draft, r record) {
	host, port := r.text("hostname"), strconv.Itoa(int(r.number("port")))
	switch kind := r.text("type"); kind {
	case "http", "keyword", "json-query":
		kumaRequest(d, r)
		kumaAnswer(d, r, kind)
	case "real-browser":
		kumaRequest(d, r)
		d.lookAt("it was looked at with a browser: here the page is fetched, and no script of it runs")
	case "port":
		d.setHost(probe.TCP, host, port)
	case "ping":
		d.setHost(probe.ICMP, host, "")
	case "tailscale-ping":
		d.setHost(probe.ICMP, host, "")
		d.Private = true
		d.lookAt("it was a ping of Tailscale: here it is one of ICMP, through the same network")
	case "smtp":
		d.setHost(probe.TCP, host, port)
		d.lookAt("it spoke SMTP: here only a connection is made")
	case "websocket-upgrade":
		webSocket(d, r.text("url"))
	case "dns":
		kumaDNS(d, r)
	case "push":
		d.setHeartbeat(seconds(r.number("interval")), time.Duration(max(r.number("maxretries"), 0))*seconds(r.number("retryinterval")))
	case "":
		d.leave("it has no type")
	default:
		d.leave("a monitor of type %s isn't known here: watch its port by type tcp, or have what it does call a heartbeat", quoted(kind))
	}
}

// kumaRequest reads what is asked of a server.
func kumaRequest(d *draft, r record) {
	d.setURL(r.text("url"))
	d.setMethod(r.text("method"))
	if headers := r.text("headers"); headers != "" && r.object("headers") == nil {
		d.hold("its headers can't be read: write them under headers")
	}
	d.setBody(r.text("body"))
	switch r.text("httpbodyencoding") {
	case "xml":
		d.setHeaders(map[string]string{"Content-Type": "text/xml; charset=utf-8"})
	case "form":
		d.setHeaders(map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	case "json", "":
		if d.Body != "" {
			d.setHeaders(map[string]string{"Content-Type": "application/json"})
		}
	}
	d.setHeaders(r.object("headers"))
	switch method := r.text("authmethod"); method {
	case "", "null":
	case "basic":
		d.basic(r.text("basicauthuser"), r.text("basicauthpass"))
	default:
		d.hold("it says who asks by %s, which there isn't here", quoted(method))
	}
	if !r.has("authmethod") {
		d.basic(r.text("basicauthuser"), r.text("basicauthpass"))
	}
	if redirects := int(r.number("maxredirects")); r.text("maxredirects") != "" && redirects != 5 {
		redirects = min(max(redirects, 0), 20)
		d.Redirect = &redirects
	}
	if r.flag("ignoretls") {
		d.lookAt("its certificate wasn't looked at, and is here: is it valid?")
	}
	if n := r.number("proxyid"); n != 0 {
		d.lookAt("it was asked through a proxy: write that under proxy")
	}
	switch r.text("ipfamily") {
	case "ipv4":
		d.IP = 4
	case "ipv6":
		d.IP = 6
	}
	d.certificate = r.flag("expirynotification") && strings.HasPrefix(d.URL, "https:")
	d.domain = r.flag("domainexpirynotification")
}

// kumaAnswer reads what has to hold of an answer.
func kumaAnswer(d *draft, r record, kind string) {
	codes := r.list("acceptedstatuscodes")
	if len(codes) == 0 {
		codes = r.list("acceptedstatuscodesjson")
	}
	d.expectStatus(codes)
	switch {
	case kind == "keyword" && r.flag("invertkeyword"):
		d.Expect = append(d.Expect, "!(body contains "+strconv.Quote(r.text("keyword"))+")")
	case kind == "keyword":
		d.Expect = append(d.Expect, "body contains "+strconv.Quote(r.text("keyword")))
	case kind == "json-query":
		path, ok := simplePath(r.text("jsonpath"))
		if !ok {
			d.lookAt("what it asks of the JSON isn't a plain path (%s): write it under expect", quoted(r.text("jsonpath")))
			return
		}
		d.Expect = append(d.Expect, compared(path, r.text("jsonpathoperator"), r.text("expectedvalue")))
	}
}

// expectStatus has an answer's status be one of several, such as 204 or 200-299.
func (d *draft) expectStatus(codes []string) {
	var some []string
	for _, code := range codes {
		from, until, isRange := strings.Cut(code, "-")
		a, err := strconv.Atoi(strings.TrimSpace(from))
		b := a
		if isRange && err == nil {
			b, err = strconv.Atoi(strings.TrimSpace(until))
		}
		switch {
		case err != nil || a < 100 || b > 999 || a > b:
			d.lookAt("the status %s can't be read: write it under expect", quoted(code))
		case a == b:
			some = append(some, fmt.Sprintf("status == %d", a))
		default:
			some = append(some, fmt.Sprintf("status >= %d && status <= %d", a, b))
		}
	}
	if len(some) > 0 && !slices.Equal(some, []string{"status >= 200 && status <= 299"}) {
		d.Expect = append(d.Expect, strings.Join(some, " || "))
	}
}

// plainPath is a path of JSONata that is one of ours as well.
var plainPath = regexp.MustCompile(`^\$?\.?([A-Za-z_]\w*(\[-?\d{1,6}\])*(\.[A-Za-z_]\w*(\[-?\d{1,6}\])*)*)?$`)

func simplePath(path string) (string, bool) {
	if !plainPath.MatchString(path) {
		return "", false
	}
	if path = strings.TrimPrefix(strings.TrimPrefix(path, "$"), "."); path != "" {
		path = "." + path
	}
	return "json" + path, true
}

// compared is a condition on what may be a number in JSON, or a text of one.
func compared(subject, operator, value string) string {
	number, isNumber := literal(value)
	switch operator {
	case "", "==", "!=":
		holds := subject + " == " + strconv.Quote(value)
		if isNumber {
			holds = subject + " in [" + number + ", " + strconv.Quote(value) + "]"
		}
		if operator == "!=" {
			return "!(" + holds + ")"
		}
		return holds
	case "contains":
		return subject + " contains " + strconv.Quote(value)
	}
	return subject + " " + operator + " " + value
}

// literal is a value as JSON may have it other than as a text.
func literal(value string) (string, bool) {
	var v any
	if len(value) > 40 || json.Unmarshal([]byte(value), &v) != nil {
		return "", false
	}
	switch v.(type) {
	case float64, bool:
		return value, true
	}
	return "", false
}

func kumaDNS(d *draft, r record) {
	d.setHost(probe.DNS, r.text("hostname"), "")
	d.Record = r.text("dnsresolvetype")
	servers := strings.FieldsFunc(r.text("dnsresolveserver"), func(c rune) bool { return c == ',' || c == ' ' })
	if len(servers) > 1 {
		d.note("it asked several resolvers")
	}
	if len(servers) > 0 {
		d.setResolver(servers[0], strconv.Itoa(int(r.number("port"))))
	}
	conditions, _ := r["conditions"].([]any)
	for _, c := range conditions {
		d.kumaCondition(c)
	}
}

// kumaCondition reads one of the conditions that version 2 has.
func (d *draft) kumaCondition(c any) {
	object, _ := c.(map[string]any)
	text := func(key string) string { return record(object).text(key) }
	contains := "dns.answer contains " + strconv.Quote(text("value"))
	switch variable, operator := text("variable"), text("operator"); {
	case variable == "record" && operator == "equals" && text("andOr") != "or":
		d.Expect = append(d.Expect, contains)
	case variable == "record" && operator == "not_equals" && text("andOr") != "or":
		d.Expect = append(d.Expect, "!("+contains+")")
	default:
		d.lookAt("a condition can't be taken over (%s): write it under expect", quoted(variable+" "+operator+" "+text("value")))
	}
}

// setResolver has a resolver be asked, which has to be an address.
func (d *draft) setResolver(address, port string) {
	ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
	if err != nil {
		d.lookAt("the resolver %s isn't an address, so this machine's is asked: write one under resolver", quoted(address))
		return
	}
	d.Resolver = ip.String()
	if port != "" && port != "0" && port != "53" {
		d.Resolver = net.JoinHostPort(ip.String(), port)
	}
	d.setPrivate(ip.String())
}

// webSocket has only the connection be looked at.
func webSocket(d *draft, address string) {
	scheme, rest, _ := strings.Cut(address, "://")
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "/")
	host, port := hostPort(rest[strings.LastIndex(rest, "@")+1:])
	if scheme == "wss" || scheme == "https" {
		d.setHost(probe.TLS, host, orElse(port, "443"))
	} else {
		d.setHost(probe.TCP, host, orElse(port, "80"))
	}
	d.lookAt("it spoke WebSocket: here only the connection is looked at")
}

func orElse(text, usual string) string {
	if text == "" {
		return usual
	}
	return text
}
