package uptime

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"manus/internal/words"
	"manus/language"
	"manus/uptime/confirm"
	"manus/uptime/probe"
	"manus/uptime/schedule"
)

// Monitor is what is watched, how, and what is expected of it, as manus.yaml has it.
type Monitor struct {
	ID   string     `yaml:"id" json:"id"`
	Name string     `yaml:"name" json:"name"`
	Type probe.Kind `yaml:"type" json:"type"`
	// URL is an address for http; host:port for tcp and tls; a name for dns, icmp and domain; none
	// for a heartbeat.
	URL     string        `yaml:"url" json:"url"`
	Every   time.Duration `yaml:"every" json:"every"`
	Timeout time.Duration `yaml:"timeout" json:"timeout"`
	Expect  []string      `yaml:"expect" json:"expect,omitempty"`
	// Confirm is when it is looked at again before it is down, counted from the first failure;
	// UpAfter how many successes in a row it takes to be up again.
	Confirm *[]time.Duration `yaml:"confirm" json:"confirm,omitempty"`
	UpAfter int              `yaml:"up_after" json:"up_after,omitempty"`
	// Parent is a monitor without which this one can't be up: while that one is down, nobody is
	// told of this one.
	Parent string  `yaml:"parent" json:"parent,omitempty"`
	SLO    float64 `yaml:"slo" json:"slo,omitempty"`
	Paused bool    `yaml:"paused" json:"paused,omitempty"`
	// Locations says where it is watched from.
	Locations Locations `yaml:"locations" json:"locations,omitzero"`

	Method   string            `yaml:"method" json:"method,omitempty"`
	Headers  map[string]string `yaml:"headers" json:"headers,omitempty"`
	Body     string            `yaml:"body" json:"body,omitempty"`
	Auth     Auth              `yaml:"auth" json:"auth,omitzero"`
	Redirect *int              `yaml:"redirects" json:"redirects,omitempty"` // how many are followed
	Proxy    string            `yaml:"proxy" json:"proxy,omitempty"`
	IP       int               `yaml:"ip" json:"ip,omitempty"` // 4 or 6 for that version alone
	// Private lets it be at an address of a private network.
	Private    bool   `yaml:"private" json:"private,omitempty"`
	ServerName string `yaml:"server_name" json:"server_name,omitempty"` // that the certificate has to have
	// Certificate is shown to the target, and CA is a file of those that it is trusted by, in place of
	// the machine's.
	Certificate Certificate `yaml:"certificate" json:"-"`
	CA          string      `yaml:"ca" json:"-"`
	stamp       string      // of these files

	Record   string `yaml:"record" json:"record,omitempty"` // of dns
	Resolver string `yaml:"resolver" json:"resolver,omitempty"`

	// These are of a heartbeat, as Every is: see [heartbeat.Expectation].
	Cron       string        `yaml:"cron" json:"cron,omitempty"`
	Timezone   string        `yaml:"timezone" json:"timezone,omitempty"`
	Grace      time.Duration `yaml:"grace" json:"grace,omitempty"`
	MaxRuntime time.Duration `yaml:"max_runtime" json:"max_runtime,omitempty"`
}

// Auth is how a request says who asks. The secret stands in the environment.
type Auth struct {
	Type string `yaml:"type" json:"type,omitempty"` // basic or bearer
	User string `yaml:"user" json:"user,omitempty"`
}

// What holds where a monitor says nothing, and bounds of what it may say.
const (
	defaultEvery   = time.Minute
	defaultTimeout = 10 * time.Second
	defaultUpAfter = 2
	minEvery       = 5 * time.Second
	maxEvery       = 24 * time.Hour
	maxConfirm     = 10
	maxUpAfter     = 100
	maxNameLength  = 100
	maxAbove       = 10 // parents and theirs
	// MaxMonitors is how many there may be.
	MaxMonitors = 20_000
)

var defaultConfirm = []time.Duration{5 * time.Second, 15 * time.Second, 35 * time.Second}

var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Secrets has what monitors authenticate themselves with, by SecretVariable.
type Secrets map[string]string

// SecretVariable is the variable of the environment that a monitor's secret is in.
func SecretVariable(id string) string {
	return "MONITOR_" + strings.ToUpper(strings.ReplaceAll(id, "-", "_")) + "_SECRET"
}

// usual is the monitor with what holds where it says nothing.
func (m Monitor) usual() Monitor {
	if m.Type == Heartbeat {
		return m.usualHeartbeat()
	}
	m.Name, m.Every, m.Timeout = cmp.Or(m.Name, m.ID), cmp.Or(m.Every, defaultEvery), cmp.Or(m.Timeout, defaultTimeout)
	m.UpAfter = cmp.Or(m.UpAfter, defaultUpAfter)
	if m.Confirm == nil {
		m.Confirm = &defaultConfirm
	}
	return m
}

func (m Monitor) policy() confirm.Policy {
	return confirm.Policy{Again: *m.Confirm, UpAfter: m.UpAfter}
}

// confirming is how long it takes to be sure that it is down.
func (m Monitor) confirming() time.Duration {
	if again := *m.Confirm; len(again) > 0 {
		return again[len(again)-1]
	}
	return 0
}

// noticing is how long it may take until a place sees it otherwise after it has changed.
func (m Monitor) noticing() time.Duration { return m.Every + m.confirming() }

// recovering is how long it may take until a place sees it up after it is.
func (m Monitor) recovering() time.Duration {
	if len(*m.Confirm) == 0 { // it is looked at in turn
		return time.Duration(m.UpAfter)*m.Every + m.Timeout
	}
	return m.noticing() + m.Timeout
}

// target is what is checked.
func (m Monitor) target(secrets Secrets) probe.Target {
	t := probe.Target{
		Kind: m.Type, Address: m.URL, Timeout: m.Timeout, Expect: m.Expect, IP: m.IP, AllowPrivate: m.Private,
		Request: probe.Request{Method: m.Method, Header: m.Headers, Body: m.Body, Proxy: m.Proxy},
		Trust:   probe.Trust{ServerName: m.ServerName},
		Lookup:  probe.Lookup{Type: m.Record, Resolver: m.Resolver},
	}
	switch m.Auth.Type {
	case "basic":
		t.Request.User, t.Request.Password = m.Auth.User, secrets[SecretVariable(m.ID)]
	case "bearer":
		t.Request.Bearer = secrets[SecretVariable(m.ID)]
	}
	if m.Redirect != nil {
		t.Request.Redirects = cmp.Or(*m.Redirect, -1)
	}
	return t
}

// host is where it is, as checks at one place are bounded.
func (m Monitor) host() string {
	if u, err := url.Parse(m.URL); err == nil && u.Host != "" {
		return strings.ToLower(u.Hostname())
	}
	if host, _, err := net.SplitHostPort(m.URL); err == nil {
		return strings.ToLower(host)
	}
	return strings.ToLower(m.URL)
}

func (m Monitor) entry() schedule.Entry {
	if m.Type == Heartbeat {
		return schedule.Entry{ID: m.ID, Host: m.ID, Every: listenedEvery}
	}
	return schedule.Entry{ID: m.ID, Host: m.host(), Every: m.Every}
}

// OwnIDs are the monitors of the product itself, which manus.yaml needn't list.
var OwnIDs = []string{"health", "ready", "homepage"}

// Policy is manus.yaml's list of monitors.
type Policy []Monitor

// Problems says in a sentence each what is wrong with the list, and with the files of certificates that
// it names. It doesn't know the environment.
func (p Policy) Problems() []string {
	if len(p) > MaxMonitors {
		return []string{fmt.Sprintf("monitors: list at most %s", words.Count(MaxMonitors, "monitor"))}
	}
	var problems []string
	prober := probe.New(probe.Options{})
	byID := make(map[string]Monitor, len(p))
	for i, m := range p {
		where := fmt.Sprintf("monitors[%d]", i)
		if validID.MatchString(m.ID) {
			where = "monitors." + m.ID
		}
		for _, sentence := range m.problems(prober) {
			problems = append(problems, where+"."+sentence)
		}
		if _, twice := byID[m.ID]; twice {
			problems = append(problems, where+".id: is the same as an earlier monitor's; give each its own")
		}
		byID[m.ID] = m
	}
	for _, m := range p {
		if problem := lineage(m, byID); problem != "" {
			problems = append(problems, "monitors."+m.ID+"."+problem)
		}
	}
	return problems
}

// problems says what is wrong with a monitor by itself.
func (m Monitor) problems(prober *probe.Prober) (problems []string) {
	given := m
	m = m.usual()
	add := func(wrong bool, sentence string) {
		if wrong {
			problems = append(problems, sentence)
		}
	}
	add(!validID.MatchString(m.ID), "id: use lower-case letters, digits, '-' and '_', at most 64")
	add(m.Name != language.Cut(m.Name, maxNameLength) || strings.ContainsFunc(m.Name, func(r rune) bool { return !unicode.IsPrint(r) }), "name: use one line of at most 100 characters")
	add(!(m.SLO >= 0 && m.SLO < 1), "slo: use a number below 1, such as 0.999")
	if m.Type == Heartbeat {
		return append(problems, given.heartbeatProblems()...)
	}
	for _, key := range given.heartbeatKeys() {
		problems = append(problems, key+": is of heartbeats only")
	}
	add(m.Every < minEvery || m.Every > maxEvery, "every: use from 5s to 24h")
	add(m.Timeout >= m.Every && m.Every >= minEvery, "timeout: is not shorter than every")
	add(m.UpAfter < 1 || m.UpAfter > maxUpAfter, "up_after: use a number from 1 to 100")
	problems = append(problems, m.Locations.problems()...)
	add(len(*m.Confirm) > maxConfirm || !slices.IsSorted(*m.Confirm) || slices.ContainsFunc(*m.Confirm, func(d time.Duration) bool { return d < time.Second || d > time.Hour }),
		"confirm: use at most 10 times from 1s to 1h, each after the one before")
	add(!slices.Contains([]string{"", "basic", "bearer"}, m.Auth.Type), "auth.type: use basic or bearer; the secret is "+SecretVariable(m.ID))
	if _, err := prober.Prepare(m.target(nil)); err != nil {
		problems = append(problems, each(err)...)
	}
	_, wrong := m.trust()
	return append(problems, wrong...)
}

// each are the errors that were joined.
func each(err error) (texts []string) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []string{err.Error()}
	}
	for _, one := range joined.Unwrap() {
		texts = append(texts, each(one)...)
	}
	return texts
}

// lineage says what is wrong with whose child a monitor is.
func lineage(m Monitor, byID map[string]Monitor) string {
	at := m
	for range maxAbove {
		if at.Parent == "" {
			return ""
		}
		parent, there := byID[at.Parent]
		switch {
		case !there && at.ID == m.ID && !slices.Contains(OwnIDs, m.Parent):
			return "parent: there is no monitor " + language.Cut(m.Parent, 64)
		case !there:
			return ""
		}
		at = parent
	}
	return "parent: goes round in a ring, or has more than ten above it"
}
