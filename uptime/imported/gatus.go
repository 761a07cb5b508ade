package imported

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"manus/uptime"
	"manus/uptime/probe"
)

// gatusFile is a configuration of Gatus, as far as it says what is watched. Entries are read
// one by one, so that one that is wrong doesn't hide the others.
type gatusFile struct {
	Endpoints []yaml.Node `yaml:"endpoints"`
	Services  []yaml.Node `yaml:"services"` // what they were called before version 4
	External  []yaml.Node `yaml:"external-endpoints"`
	Suites    []yaml.Node `yaml:"suites"`
}

type gatusEndpoint struct {
	Enabled    *bool             `yaml:"enabled"`
	Name       string            `yaml:"name"`
	Group      string            `yaml:"group"`
	URL        string            `yaml:"url"`
	Method     string            `yaml:"method"`
	Body       string            `yaml:"body"`
	GraphQL    bool              `yaml:"graphql"`
	Headers    map[string]string `yaml:"headers"`
	Interval   time.Duration     `yaml:"interval"`
	Conditions []string          `yaml:"conditions"`
	DNS        *struct {
		Type string `yaml:"query-type"`
		Name string `yaml:"query-name"`
	} `yaml:"dns"`
	Client struct {
		Timeout        time.Duration `yaml:"timeout"`
		Insecure       bool          `yaml:"insecure"`
		IgnoreRedirect bool          `yaml:"ignore-redirect"`
		Resolver       string        `yaml:"dns-resolver"`
		Proxy          string        `yaml:"proxy-url"`
		Network        string        `yaml:"network"`
		Tunnel         string        `yaml:"tunnel"`
		OAuth2         any           `yaml:"oauth2"`
		IAP            any           `yaml:"identity-aware-proxy"`
		Kerberos       any           `yaml:"kerberos"`
		TLS            any           `yaml:"tls"`
	} `yaml:"client"`
	Maintenance []yaml.Node `yaml:"maintenance-windows"`
	Heartbeat   struct {
		Interval time.Duration `yaml:"interval"`
	} `yaml:"heartbeat"` // of external ones
}

// readGatus reads a configuration.
func readGatus(text []byte) ([]*draft, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, unreadable("YAML", err)
	}
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		return nil, errForeign
	}
	if left := maxNodes; !within(&document, &left) {
		return nil, errors.New("the file has too much in it, once its aliases (*name) are written out: split it")
	}
	var file gatusFile
	if err := document.Decode(&file); err != nil {
		return nil, errors.New("the file isn't a configuration of Gatus that can be read: endpoints has to be a list")
	}
	endpoints := append(file.Endpoints, file.Services...)
	all := len(endpoints) + len(file.External) + len(file.Suites)
	switch {
	case all == 0:
		return nil, errForeign
	case all > uptime.MaxMonitors:
		return nil, errTooMany
	}
	var drafts []*draft
	for i := range endpoints {
		drafts = append(drafts, gatusDraft(&endpoints[i], gatusKind))
	}
	for i := range file.External {
		drafts = append(drafts, gatusDraft(&file.External[i], gatusExternal))
	}
	for i := range file.Suites {
		drafts = append(drafts, gatusDraft(&file.Suites[i], func(d *draft, _ gatusEndpoint) {
			d.leave("it is a suite, in which one request needs what another one was answered")
		}))
	}
	return drafts, nil
}

// Bounds of a file once its aliases are written out. The parser compares each key of a mapping
// with all others.
const (
	maxNodes = 1_000_000
	maxKeys  = 2_000
)

// within counts what a node has in it, and returns false as soon as that is too much.
func within(node *yaml.Node, left *int) bool {
	if *left--; *left < 0 || node.Kind == yaml.MappingNode && len(node.Content) > 2*maxKeys {
		return false
	}
	if node.Kind == yaml.AliasNode && !within(node.Alias, left) {
		return false
	}
	for _, child := range node.Content {
		if !within(child, left) {
			return false
		}
	}
	return true
}

// gatusDraft reads an entry.
func gatusDraft(node *yaml.Node, kind func(*draft, gatusEndpoint)) *draft {
	var e gatusEndpoint
	err := node.Decode(&e)
	name := unescaped(e.Name)
	if e.Group != "" {
		name = unescaped(e.Group) + " / " + name
	}
	d := newDraft(name)
	if _, partly := errors.AsType[*yaml.TypeError](err); err != nil && (!partly || e.URL == "" && e.Name == "") {
		d.leave("it can't be read (line %d of the file)", node.Line)
		return d
	}
	if err != nil {
		d.leave("a value in it is of the wrong kind (from line %d of the file)", node.Line)
		return d
	}
	d.Paused = e.Enabled != nil && !*e.Enabled
	d.withoutEnvironment(&e)
	kind(d, e)
	d.setTimes(e.Interval, e.Client.Timeout)
	if len(e.Maintenance) > 0 {
		d.lookAt("it has maintenance windows: make them under /ops/maintenances")
	}
	return d
}

// variable finds what Gatus puts a variable of the environment for, and the $$ that it doesn't.
var variable = regexp.MustCompile(`\$\$|\$\{[^}]*\}|\$[A-Za-z_]\w*`)

// ofEnvironment is the first variable in a text; empty where there is none.
func ofEnvironment(text string) string {
	for _, found := range variable.FindAllString(text, -1) {
		if found != "$$" {
			return found
		}
	}
	return ""
}

// unescaped is a text in which Gatus writes $$ for $.
func unescaped(text string) string { return strings.ReplaceAll(text, "$$", "$") }

// withoutEnvironment takes out of an endpoint what is in the environment, which nobody reads here:
// there may be secrets in it.
func (d *draft) withoutEnvironment(e *gatusEndpoint) {
	address := e.URL
	if e.DNS != nil {
		address += e.DNS.Name
	}
	if name := ofEnvironment(address); name != "" {
		d.leave("its address has %s of the environment: put the value in its place, as envsubst does, and import it again", name)
	}
	if name := ofEnvironment(e.Body); name != "" {
		e.Body = ""
		d.hold("the body of the request has %s of the environment, which manus.yaml doesn't read: write it under body", name)
	}
	headers := make(map[string]string, len(e.Headers))
	for _, header := range slices.Sorted(maps.Keys(e.Headers)) {
		name := ofEnvironment(e.Headers[header])
		if name == "" || strings.EqualFold(header, "Authorization") { // which isn't printed anyhow
			headers[header] = unescaped(e.Headers[header])
			continue
		}
		d.hold("the header %s has %s of the environment, which manus.yaml doesn't read: write its value", quoted(header), name)
	}
	e.Headers = headers
	e.Conditions = slices.DeleteFunc(e.Conditions, func(condition string) bool {
		name := ofEnvironment(condition)
		if name != "" {
			d.lookAt("a condition has %s of the environment, which manus.yaml doesn't read: write it under expect", name)
		}
		return name != ""
	})
	if ofEnvironment(e.Client.Proxy) != "" || strings.Contains(e.Client.Proxy, "@") {
		e.Client.Proxy = ""
		d.hold("its proxy's address has a password, or is in the environment: write it under proxy")
	}
}

func gatusExternal(d *draft, e gatusEndpoint) {
	if e.Heartbeat.Interval == 0 {
		d.lookAt("it had no time within which it had to be told of: a day is meant here")
		e.Heartbeat.Interval = maxEvery
	}
	d.setHeartbeat(e.Heartbeat.Interval, 0)
}

// gatusKind reads what is of one kind of endpoints, which the scheme of the address says.
func gatusKind(d *draft, e gatusEndpoint) {
	scheme, rest, found := strings.Cut(e.URL, "://")
	if !found {
		scheme, rest = "", e.URL
	}
	host, port := hostPort(rest)
	switch {
	case e.DNS != nil:
		d.setHost(probe.DNS, strings.TrimSuffix(e.DNS.Name, "."), "")
		d.Record = e.DNS.Type
		d.setResolver(hostPort(rest))
	case scheme == "http" || scheme == "https":
		gatusRequest(d, e)
	case scheme == "tcp":
		d.setHost(probe.TCP, host, port)
	case scheme == "icmp":
		d.setHost(probe.ICMP, rest, "")
	case scheme == "tls":
		d.setHost(probe.TLS, host, orElse(port, "443"))
	case scheme == "starttls":
		d.setHost(probe.TCP, host, orElse(port, "25"))
		d.lookAt("it spoke STARTTLS: here only a connection is made, and no certificate is seen")
	case scheme == "ssh":
		d.setHost(probe.TCP, host, orElse(port, "22"))
		d.lookAt("it signed in by SSH: here only a connection is made")
	case scheme == "ws" || scheme == "wss":
		webSocket(d, e.URL)
	case scheme == "grpc" || scheme == "grpcs":
		d.setHost(probe.TCP, host, port)
		d.lookAt("it spoke gRPC: here only a connection is made")
	default:
		d.leave("an address of the kind %s isn't known here", quoted(scheme+"://"))
	}
	gatusClient(d, e)
	for _, text := range e.Conditions {
		d.gatusCondition(unescaped(text))
	}
	if d.Type == probe.HTTP && !expects(d.Expect, "status") {
		d.Expect = append(d.Expect, "status > 0") // any
	}
	if d.Type == probe.TLS && !expects(d.Expect, "certificate.days") {
		d.Expect = append(d.Expect, "certificate.days > 0")
	}
}

func expects(conditions []string, subject string) bool {
	for _, c := range conditions {
		if strings.Contains(c, subject) {
			return true
		}
	}
	return false
}

func hostPort(address string) (host, port string) {
	address, _, _ = strings.Cut(address, "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, ""
	}
	return host, port
}

func gatusRequest(d *draft, e gatusEndpoint) {
	d.setURL(unescaped(e.URL))
	d.setMethod(e.Method)
	body := strings.NewReplacer("[ENDPOINT_NAME]", e.Name, "[ENDPOINT_GROUP]", e.Group, "[ENDPOINT_URL]", e.URL).Replace(unescaped(e.Body))
	if strings.Contains(body, "[RANDOM_STRING_") {
		d.lookAt("the body of the request had a text by chance, which is always the same here")
	}
	if e.GraphQL && body != "" {
		body = fmt.Sprintf(`{"query":%s}`, quotedJSON(body))
		d.setHeaders(map[string]string{"Content-Type": "application/json"})
	}
	d.setBody(body)
	d.setHeaders(e.Headers)
	if e.Client.IgnoreRedirect {
		none := 0
		d.Redirect = &none
	}
	d.Proxy = e.Client.Proxy
}

// gatusClient reads how it is asked, whatever its kind.
func gatusClient(d *draft, e gatusEndpoint) {
	c := e.Client
	if c.Insecure && (d.Type == probe.HTTP && strings.HasPrefix(d.URL, "https:") || d.Type == probe.TLS) {
		d.lookAt("its certificate wasn't looked at, and is here: is it valid?")
	}
	switch c.Network {
	case "ip4":
		d.IP = 4
	case "ip6":
		d.IP = 6
	}
	if c.Resolver != "" {
		d.lookAt("it asked the resolver %s for its address: here this machine's is asked", quoted(c.Resolver))
	}
	if c.Proxy != "" && d.Type != probe.HTTP {
		d.lookAt("it was asked through a proxy, which there is for type http alone")
	}
	for _, way := range []struct {
		there bool
		name  string
	}{{c.OAuth2 != nil, "OAuth 2"}, {c.IAP != nil, "an identity-aware proxy"}, {c.Kerberos != nil, "Kerberos"}, {c.TLS != nil, "a client's certificate"}, {c.Tunnel != "", "a tunnel"}} {
		if way.there {
			d.hold("it was asked by %s, which there isn't here", way.name)
		}
	}
}
