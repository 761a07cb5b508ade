package probe

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"manus/internal/guard"
	"manus/language"
	"manus/uptime/condition"
)

const (
	maxRecords   = 100
	maxRecord    = 255  // in characters
	answerSize   = 1232 // over UDP (DNS flag day 2020)
	machinesFile = "/etc/resolv.conf"
)

// askAgain is after how long a question is put again that may have been lost on its way.
const askAgain = 2 * time.Second

// dns asks resolvers, one after the other, until one answers.
func (a *attempt) dns() error {
	resolvers := a.resolvers
	if resolvers == nil {
		config, err := dns.ClientConfigFromFile(machinesFile)
		if err != nil || len(config.Servers) == 0 {
			return ownFault("DNS: this machine has no resolver", "DNS: لا يوجد خادم أسماء على هذا الجهاز")
		}
		for _, server := range config.Servers {
			resolvers = append(resolvers, net.JoinHostPort(server, config.Port))
		}
	}
	for i := 0; ; i++ {
		answer, err := a.ask("udp", resolvers[i%len(resolvers)])
		if err == nil && answer.Truncated {
			answer, err = a.ask("tcp", resolvers[i%len(resolvers)])
		}
		if err == nil {
			return a.answered(answer)
		}
		timeout, ok := err.(net.Error) //nolint:errorlint // the library returns it as it is
		if lost := ok && timeout.Timeout(); a.ctx.Err() != nil || !lost && i+1 >= len(resolvers) {
			return err
		}
	}
}

// ask puts the question to a resolver.
func (a *attempt) ask(network, resolver string) (*dns.Msg, error) {
	conn, err := a.dialResolver(network, resolver)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	a.watch.enter(resolving)
	question := new(dns.Msg).SetQuestion(dns.Fqdn(a.host), a.record)
	question.SetEdns0(answerSize, false)
	client := dns.Client{Net: network, Timeout: askAgain, UDPSize: answerSize}
	answer, _, err := client.ExchangeWithConnContext(a.ctx, question, &dns.Conn{Conn: conn, UDPSize: answerSize})
	if _, unreadable := errors.AsType[*dns.Error](err); unreadable {
		return nil, newFault("DNS: the resolver's answer can't be read", "DNS: تعذّرت قراءة إجابة خادم الأسماء")
	}
	if err != nil {
		return nil, err
	}
	asked := question.Question[0]
	if !answer.Response || len(answer.Question) != 1 || !strings.EqualFold(answer.Question[0].Name, asked.Name) || answer.Question[0].Qtype != asked.Qtype {
		return nil, newFault("DNS: the resolver answered what it wasn't asked", "DNS: أجاب خادم الأسماء عن سؤال لم يُطرح عليه")
	}
	return answer, nil
}

// dialResolver dials one that was chosen as any target; the machine's own is trusted.
func (a *attempt) dialResolver(network, resolver string) (net.Conn, error) {
	dialer := net.Dialer{}
	if a.resolvers != nil {
		dialer.Control = guard.Control(a.AllowPrivate)
	}
	ctx, cancel := context.WithTimeout(a.ctx, askAgain)
	defer cancel()
	a.watch.enter(connecting)
	conn, err := dialer.DialContext(ctx, network, resolver)
	if err == nil {
		a.keep(conn)
	}
	return conn, err
}

// answered notes an answer. One that has nothing is a fault, unless conditions say else.
func (a *attempt) answered(answer *dns.Msg) error {
	a.seen.Rcode = dns.RcodeToString[answer.Rcode]
	a.seen.Answer = []string{}
	names, ring := aliases(answer)
	for _, record := range answer.Answer {
		if record.Header().Rrtype == a.record && names[strings.ToLower(record.Header().Name)] && len(a.seen.Answer) < maxRecords {
			a.seen.Answer = append(a.seen.Answer, value(record))
		}
	}
	slices.Sort(a.seen.Answer) // resolvers turn them round
	kind := dns.TypeToString[a.record]
	switch {
	case a.uses(condition.DNSRcode):
	case answer.Rcode == dns.RcodeNameError:
		return newFault("DNS: there is no such name (NXDOMAIN)", "DNS: لا يوجد اسم كهذا (NXDOMAIN)")
	case answer.Rcode != dns.RcodeSuccess:
		return newFault("DNS: the resolver failed (%s)", "DNS: أخفق خادم الأسماء (%s)", a.seen.Rcode)
	case ring && a.record != dns.TypeCNAME:
		return newFault("DNS: the name's aliases lead round in a ring", "DNS: تدور الأسماء البديلة للاسم في حلقة")
	case len(a.seen.Answer) == 0 && !a.uses(condition.DNSAnswer):
		return newFault("DNS: the name has no %s record", "DNS: لا يوجد للاسم سجل %s", kind)
	}
	return nil
}

// aliases are the name that was asked for and those that it leads to, in lower case. What an
// answer has of other names, nobody has asked for.
func aliases(answer *dns.Msg) (names map[string]bool, ring bool) {
	leads := map[string]string{}
	for _, record := range answer.Answer {
		if alias, ok := record.(*dns.CNAME); ok {
			leads[strings.ToLower(alias.Hdr.Name)] = strings.ToLower(alias.Target)
		}
	}
	names = map[string]bool{}
	for name := strings.ToLower(answer.Question[0].Name); name != ""; name = leads[name] {
		if names[name] {
			return names, true
		}
		names[name] = true
	}
	return names, false
}

// value is a record's, without the dot that ends names.
func value(record dns.RR) string {
	switch r := record.(type) {
	case *dns.TXT:
		return language.Cut(strings.Join(r.Txt, ""), maxRecord)
	case *dns.CNAME, *dns.NS, *dns.PTR, *dns.MX, *dns.SRV:
		return strings.TrimSuffix(written(r), ".")
	}
	return written(record)
}

// written is a record's value as zone files have it.
func written(record dns.RR) string {
	return language.Cut(strings.TrimPrefix(record.String(), record.Header().String()), maxRecord)
}
