package mail

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"manus/language"
	"manus/readiness"
)

// checkSPF is that the domain has one such record, which lets somebody send, but not everybody.
func (c PromisesConfig) checkSPF(ctx context.Context) readiness.Finding {
	domain := c.domain()
	if domain == "" {
		return noDomain
	}
	found, err := c.records(ctx, domain, spfBegin, " ")
	switch {
	case err != nil:
		return readiness.NotMeasured(unheard.Quoting(domain, err.Error()))
	case len(found) == 0:
		return readiness.Broken(language.Text{En: "# says nothing: receivers may take the product's mails for spam.", Ar: "لا يذكر # شيئًا: قد يعدّ المستلمون رسائل المنتَج مزعجة."}.Quoting(domain), mendSPF)
	case len(found) > 1:
		return readiness.Broken(severalRecords(domain, found), mendSPF)
	}
	senders, err := (&spfReader{PromisesConfig: c}).read(ctx, domain, found[0])
	return judgeSPF(language.Text{En: "#: #", Ar: "#: #"}.Quoting(domain, language.Cut(found[0], 300)), senders, err)
}

var (
	mendSPF  = language.Text{En: "Have the domain's DNS say it, as whoever sends your mail tells you: one TXT record such as 'v=spf1 include:… -all'.", Ar: "أضف إلى DNS النطاق ما يطلبه مزوّد بريدك: سجلّ TXT واحد مثل 'v=spf1 include:… -all'."}
	endsSPF  = language.Text{En: "It says nothing of others' mail: let it end with -all or ~all.", Ar: "لا يذكر شيئًا عن بريد غيرك: اجعله ينتهي بـ \u200e-all أو \u200e~all."}
	nobody   = language.Text{En: "It lets nobody send, this product neither: name what sends your mail, such as 'v=spf1 include:… -all'.", Ar: "لا يسمح لأحد بالإرسال ولا لهذا المنتَج: اذكر ما يرسل بريدك مثل 'v=spf1 include:… -all'."}
	notKnown = language.Text{En: "It isn't known whom # lets send, as that depends on each mail.", Ar: "لا يُعرف لمن يسمح # بالإرسال لأنّ ذلك يتوقّف على كلّ رسالة."}
	everyone = language.Text{En: "By # everybody may send: name only what sends your mail, and let it end with -all or ~all.", Ar: "يسمح # لأيّ أحد بالإرسال: لا تذكر إلّا ما يرسل بريدك، واجعله ينتهي بـ \u200e-all أو \u200e~all."}
	unusable = language.Text{En: "Receivers take it for none, as it can't be followed; mend this: #.", Ar: "يعدّه المستلمون كأن لم يكن لأنّه لا يمكن تتبّعه؛ أصلح هذا: #."}
)

func judgeSPF(said language.Text, s senders, err error) readiness.Finding {
	if invalid, ok := errors.AsType[*spfError](err); ok {
		return readiness.Broken(said, unusable.Quoting(invalid.term))
	}
	switch {
	case err != nil:
		return readiness.NotMeasured(unheard.Quoting("SPF", err.Error()))
	case s.everybody != "":
		return readiness.Broken(said, everyone.Quoting(s.everybody))
	case !s.somebody && s.unknown == "":
		return readiness.Broken(said, nobody)
	case s.others == '?':
		return readiness.Doubtful(said, endsSPF)
	case s.unknown != "" && (s.open || !s.somebody):
		return readiness.NotMeasured(said.Then(notKnown.Quoting(s.unknown)))
	}
	return readiness.Kept(said)
}

const (
	spfBegin = "v=spf1"
	// maxLookups is how many terms may ask the DNS (RFC 7208, 4.6.4).
	maxLookups = 10
	// maxVoid is how many questions may have no answer, and maxServers how many servers a domain's
	// mail may go to.
	maxVoid    = 2
	maxServers = 10
	// A range of addresses that is wider than these is everybody's: nobody has such a one.
	widest4, widest6 = 8, 16
)

// senders are whom a record lets send.
type senders struct {
	everybody string // the term by which all may; empty: not all
	somebody  bool   // somebody may
	unknown   string // a term of which it isn't known whom it lets send
	open      bool   // that may be everybody
	others    byte   // what is said of those that aren't named: + - ~ or ?
}

func (s *senders) add(t senders) {
	s.everybody, s.somebody = cmp.Or(s.everybody, t.everybody), s.somebody || t.somebody
	s.unknown, s.open = cmp.Or(s.unknown, t.unknown), s.open || t.open
}

// spfError is a record that receivers can't follow, and the term by which.
type spfError struct{ term string }

func (e *spfError) Error() string { return "it can't be followed: " + e.term }

// spfReader reads a record and those that it leads to.
type spfReader struct {
	PromisesConfig
	lookups, void int
}

// follow reads the record that a term leads to.
func (r *spfReader) follow(ctx context.Context, term spfTerm) (senders, error) {
	if term.dependsOnMail() {
		return senders{unknown: term.text, open: true, others: '-'}, nil
	}
	found, err := r.records(ctx, strings.TrimSuffix(term.domain, "."), spfBegin, " ")
	switch {
	case err != nil:
		return senders{}, err
	case len(found) != 1: // none, or several
		return senders{}, &spfError{term.text}
	}
	return r.read(ctx, term.domain, found[0])
}

// read reads a domain's record.
func (r *spfReader) read(ctx context.Context, domain, record string) (s senders, err error) {
	s.others = '?'
	terms, redirect, err := parseSPF(record)
	for _, term := range terms {
		if r.lookups += term.lookups(); r.lookups > maxLookups {
			return s, &spfError{term.text}
		}
		if term.name == "all" {
			if s.others = term.says; s.others == '+' {
				s.add(senders{everybody: term.text + " (" + domain + ")"})
			}
			return s, err
		}
		named, failure := r.named(ctx, domain, term)
		if failure != nil {
			return s, failure
		}
		if term.says == '+' {
			s.add(named)
		}
	}
	if err != nil || redirect.domain == "" {
		return s, err
	}
	if r.lookups++; r.lookups > maxLookups {
		return s, &spfError{redirect.text}
	}
	rest, err := r.follow(ctx, redirect)
	s.add(rest)
	s.others = rest.others
	return s, err
}

// named are whom a term of a domain's record names.
func (r *spfReader) named(ctx context.Context, domain string, term spfTerm) (s senders, err error) {
	at := term
	at.domain = cmp.Or(term.domain, domain)
	switch {
	case term.name == "include":
		return r.follow(ctx, term)
	case term.name == "ptr": // by the name of who sends, so not everybody
		return senders{unknown: term.text}, nil
	case term.dependsOnMail():
		return senders{unknown: term.text, open: true}, nil
	case term.name == "a" || term.name == "exists":
		s.somebody, err = r.hasAddress(ctx, at)
	case term.name == "mx":
		s.somebody, err = r.hasServers(ctx, at)
	default:
		s.somebody = true
	}
	if s.somebody && (term.wide || term.name == "exists") { // which is there for whoever sends
		s.everybody = term.text + " (" + domain + ")"
	}
	return s, err
}

// hasAddress tells whether a term's domain has one.
func (r *spfReader) hasAddress(ctx context.Context, term spfTerm) (bool, error) {
	addresses, err := r.resolver().LookupNetIP(ctx, "ip", strings.TrimSuffix(term.domain, ".")+".")
	return r.answered(len(addresses), err, term)
}

// hasServers tells whether the mail of a term's domain goes to servers that have an address.
func (r *spfReader) hasServers(ctx context.Context, term spfTerm) (bool, error) {
	servers, err := r.resolver().LookupMX(ctx, strings.TrimSuffix(term.domain, ".")+".")
	if some, err := r.answered(len(servers), err, term); !some || err != nil {
		return false, err
	}
	if len(servers) > maxServers {
		return false, &spfError{term.text}
	}
	has := false
	for _, server := range servers {
		of := term
		if of.domain = server.Host; of.domain == "." { // it takes no mail
			continue
		}
		one, err := r.hasAddress(ctx, of)
		if err != nil {
			return false, err
		}
		has = has || one
	}
	return has, nil
}

// answered tells whether a question of a term has an answer; of too many without one nothing holds.
func (r *spfReader) answered(n int, err error, term spfTerm) (bool, error) {
	missing, ok := errors.AsType[*net.DNSError](err)
	switch {
	case n > 0:
		return true, nil
	case err != nil && !(ok && missing.IsNotFound):
		return false, err
	}
	if r.void++; r.void > maxVoid {
		return false, &spfError{term.text}
	}
	return false, nil
}

// spfTerm is a term of a record.
type spfTerm struct {
	text, name, domain string
	says               byte // + - ~ or ?
	wide               bool // a range of addresses that is everybody's
}

// dependsOnMail tells whether where it leads does (a macro).
func (t spfTerm) dependsOnMail() bool { return strings.Contains(t.domain, "%") }

// lookups is how often it asks the DNS.
func (t spfTerm) lookups() int {
	switch t.name {
	case "include", "a", "mx", "ptr", "exists":
		return 1
	}
	return 0
}

var (
	spfModifier  = regexp.MustCompile(`^([a-z][a-z0-9_.-]*)=(.*)$`)
	spfMechanism = regexp.MustCompile(`^([-+?~]?)([a-z0-9]+)(?::(\S+?))?(?:/(\d{1,3}))?(?://(\d{1,3}))?$`)
)

// parseSPF reads a record's terms, and where it leads if none of them fits. One that there isn't
// makes the whole record invalid.
func parseSPF(record string) (terms []spfTerm, redirect spfTerm, err error) {
	for _, text := range strings.Fields(strings.ToLower(record))[1:] {
		if m := spfModifier.FindStringSubmatch(text); m != nil {
			if m[1] == "redirect" {
				if m[2] == "" || redirect.text != "" {
					return nil, redirect, &spfError{text}
				}
				redirect = spfTerm{text: text, domain: m[2]}
			}
			continue // others change nothing of who may send
		}
		term, ok := parseTerm(text)
		if !ok {
			return nil, redirect, &spfError{text}
		}
		terms = append(terms, term)
	}
	return terms, redirect, nil
}

func parseTerm(text string) (t spfTerm, ok bool) {
	m := spfMechanism.FindStringSubmatch(text)
	if m == nil {
		return t, false
	}
	t = spfTerm{text: text, name: m[2], domain: m[3], says: cmp.Or(m[1], "+")[0]}
	bits4, ok4 := bitsOf(m[4], 32)
	bits6, ok6 := bitsOf(m[5], 128)
	address, err := netip.ParseAddr(m[3])
	bare := m[4] == "" && m[5] == ""
	switch t.name {
	case "all":
		ok = m[3] == "" && bare
	case "include", "exists":
		ok = m[3] != "" && bare
	case "ptr":
		ok = bare
	case "a", "mx":
		t.wide = bits4 < widest4 || bits6 < widest6
		ok = ok4 && ok6
	case "ip4":
		t.wide = bits4 < widest4
		ok = err == nil && address.Is4() && ok4 && m[5] == ""
	case "ip6":
		bits6, ok6 = bitsOf(m[4], 128)
		t.wide = bits6 < widest6
		ok = err == nil && address.Is6() && ok6 && m[5] == ""
	}
	return t, ok
}

// bitsOf is the length of a prefix; without one it is an address alone.
func bitsOf(text string, most int) (bits int, ok bool) {
	if text == "" {
		return most, true
	}
	bits, err := strconv.Atoi(text)
	return bits, err == nil && bits <= most
}
