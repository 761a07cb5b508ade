package imported

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"manus/uptime"
	"manus/uptime/probe"
)

// isUptimeRobot tells whether records are monitors of UptimeRobot's API, in version 2 or 3.
func isUptimeRobot(records []record) bool {
	return len(records) > 0 && records[0].has("friendlyname")
}

// columns are what columns of UptimeRobot's tables are also called.
var columns = map[string]string{
	"monitortype": "type", "name": "friendlyname", "monitorname": "friendlyname", "urlip": "url", "monitorurl": "url", "urliphost": "url", "urlorip": "url",
	"intervalsecs": "interval", "intervalsec": "interval", "intervalseconds": "interval", "intervalinseconds": "interval", "monitoringinterval": "interval",
	"keyword": "keywordvalue", "timeoutsecs": "timeout", "timeoutseconds": "timeout", "httpmethod": "httpmethodtype", "monitorstatus": "status",
}

// isCSV tells whether a file begins with the names of such columns.
func isCSV(file []byte) bool {
	_, names := header(file)
	return slices.Contains(names, "url") && (slices.Contains(names, "friendlyname") || slices.Contains(names, "type"))
}

// header reads the names of columns, and what stands between them.
func header(file []byte) (comma rune, names []string) {
	first, _, _ := bytes.Cut(file, []byte("\n"))
	comma = ','
	if len(first) > 4096 {
		return comma, nil
	}
	for _, other := range ";\t" {
		if bytes.Count(first, []byte(string(other))) > bytes.Count(first, []byte(string(comma))) {
			comma = other
		}
	}
	reader := csv.NewReader(bytes.NewReader(first))
	reader.Comma = comma
	fields, err := reader.Read()
	if err != nil {
		return comma, nil
	}
	for _, field := range fields {
		name := plainKey(field)
		names = append(names, orElse(columns[name], name))
	}
	return comma, names
}

func readCSV(file []byte) ([]*draft, error) {
	comma, names := header(file)
	reader := csv.NewReader(bytes.NewReader(file))
	reader.Comma, reader.FieldsPerRecord, reader.ReuseRecord = comma, -1, true
	if _, err := reader.Read(); err != nil {
		return nil, unreadable("CSV", err)
	}
	var records []record
	for {
		fields, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, errors.New("the file isn't valid CSV: look at line " + strconv.Itoa(wrong.Line))
		}
		if err != nil {
			return nil, unreadable("CSV", err)
		}
		if len(records) == uptime.MaxMonitors {
			return nil, errTooMany
		}
		r := record{}
		for i, field := range fields {
			if i < len(names) {
				r[names[i]] = field
			}
		}
		records = append(records, r)
	}
	if len(records) == 0 {
		return nil, errEmpty
	}
	return readUptimeRobot(records), nil
}

func readUptimeRobot(records []record) (drafts []*draft) {
	for _, r := range records {
		drafts = append(drafts, robotMonitor(r))
	}
	return drafts
}

// robotKinds are the types by their numbers in version 2.
var robotKinds = map[string]string{"1": "http", "2": "keyword", "3": "ping", "4": "port", "5": "heartbeat", "https": "http", "httphttps": "http", "website": "http", "tcp": "port", "cron": "heartbeat", "cronjob": "heartbeat"}

func robotMonitor(r record) *draft {
	d := newDraft(r.text("friendlyname"))
	status := strings.ToLower(r.text("status"))
	d.Paused = status == "paused" || status == "0"
	kind := plainKey(r.text("type"))
	address := r.text("url")
	switch orElse(robotKinds[kind], kind) {
	case "http", "https":
		robotRequest(d, r, address)
	case "keyword":
		robotRequest(d, r, address)
		robotKeyword(d, r)
	case "api":
		robotRequest(d, r, address)
		d.lookAt("what has to hold of the answer isn't taken over: write it under expect")
	case "ping":
		d.setHost(probe.ICMP, bareHost(address), "")
	case "port":
		d.setHost(probe.TCP, bareHost(address), robotPort(r, address))
	case "heartbeat":
		d.setHeartbeat(seconds(r.number("interval")), seconds(r.number("graceperiod")))
	case "dns":
		d.setHost(probe.DNS, bareHost(address), "")
		d.lookAt("which records it has to have isn't taken over: write them under expect")
	case "":
		d.leave("it has no type")
	default:
		d.leave("a monitor of type %s isn't known here", quoted(r.text("type")))
	}
	d.setTimes(seconds(r.number("interval")), seconds(r.number("timeout")))
	return d
}

// bareHost is the host of what may be an address of the web.
func bareHost(address string) string {
	if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	if host, port := hostPort(address); port != "" {
		return host
	}
	host, _, _ := strings.Cut(address, "/")
	return host
}

// robotPort is the port, which some types of version 2 don't name.
func robotPort(r record, address string) string {
	known := map[string]string{"1": "80", "2": "443", "3": "21", "4": "25", "5": "110", "6": "143", "http": "80", "https": "443", "ftp": "21", "smtp": "25", "pop3": "110", "imap": "143"}
	_, inAddress := hostPort(address)
	port := orElse(orElse(known[strings.ToLower(r.text("subtype"))], r.text("port")), inAddress)
	return orElse(port, "0")
}

// robotMethods are HTTP's by their numbers in version 2.
var robotMethods = map[string]string{"1": "HEAD", "2": "GET", "3": "POST", "4": "PUT", "5": "PATCH", "6": "DELETE", "7": "OPTIONS"}

func robotRequest(d *draft, r record, address string) {
	d.setURL(address)
	method := orElse(r.text("httpmethod"), r.text("httpmethodtype"))
	method = orElse(robotMethods[method], orElse(method, "GET"))
	d.setMethod(method)
	body := orElse(r.text("postvaluedata"), r.text("postvalue"))
	switch {
	case method == "HEAD" || method == "GET": // which send none
	case body == "" && (r.object("postvaluedata") != nil || r.object("postvalue") != nil):
		d.hold("the body of the request is a list of fields: write it under body")
	default:
		d.setBody(body)
	}
	d.setHeaders(r.object("customhttpheaders"))
	switch strings.ToLower(orElse(r.text("authtype"), r.text("httpauthtype"))) {
	case "bearer":
		d.Auth = uptime.Auth{Type: "bearer"}
	case "digest", "2":
		d.hold("it says who asks by digest, which there isn't here")
	default:
		d.basic(r.text("httpusername"), r.text("httppassword"))
	}
	if r.off("followredirections") {
		none := 0
		d.Redirect = &none
	}
	d.robotStatus(r)
	d.certificate = r.flag("sslexpirationreminder") && strings.HasPrefix(d.URL, "https:")
	d.domain = r.flag("domainexpirationreminder")
	if r.flag("ignoresslerrors") || r.off("checksslerrors") {
		d.note("faults of its certificate weren't told, and are here")
	}
}

var statusClass = regexp.MustCompile(`^([1-5])[xX]{2}$`)

// robotStatus reads which statuses are good.
func (d *draft) robotStatus(r record) {
	var codes []string
	for _, code := range r.list("successhttpresponsecodes") {
		if class := statusClass.FindStringSubmatch(code); class != nil {
			code = class[1] + "00-" + class[1] + "99"
		}
		codes = append(codes, code)
	}
	if slices.Equal(codes, []string{"200-299", "300-399"}) {
		codes = []string{"200-399"}
	}
	good := []string{"200-399"}
	for _, pair := range strings.Split(r.text("customhttpstatuses"), "_") { // 404:1_200:0
		code, verdict, _ := strings.Cut(pair, ":")
		switch {
		case verdict == "1":
			good = append(good, code)
		case verdict == "0" && code >= "200" && code < "400":
			d.lookAt("the status %s wasn't good: write that under expect", quoted(code))
		}
	}
	if len(good) > 1 {
		codes = good
	}
	d.expectStatus(codes)
}

func robotKeyword(d *draft, r record) {
	word := r.text("keywordvalue")
	condition := "body contains " + strconv.Quote(word)
	if kind := plainKey(r.text("keywordcasetype")); kind == "1" || kind == "caseinsensitive" {
		condition = "body matches " + strconv.Quote("(?i)"+regexp.QuoteMeta(word))
	}
	switch kind := plainKey(r.text("keywordtype")); {
	case word == "":
		d.lookAt("the word isn't in the file: write it under expect, as body contains \"word\"")
		return
	case kind == "1" || kind == "exists" || kind == "alertexists" || kind == "keywordexists": // then it is down
		condition = "!(" + condition + ")"
	case kind == "2" || strings.Contains(kind, "notexist"):
	default:
		d.lookAt("whether the word has to be there or mustn't isn't in the file: it has to be there here")
	}
	d.Expect = append(d.Expect, condition)
}
