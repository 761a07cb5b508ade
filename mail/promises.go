package mail

import (
	"cmp"
	"context"
	"errors"
	"net"
	stdmail "net/mail"
	"net/netip"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/publicsuffix"

	"manus/language"
	"manus/readiness"
)

// PromisesConfig is what the promises of mail are about.
type PromisesConfig struct {
	Server *SMTP // nil: there is none
	// Kept is set where mails are kept in the store instead.
	Kept bool
	// From is the sender, and To whom mails have to reach; empty is the sender.
	From, To string
	// Resolver tells what the domain says of its mail; nil is the machine's.
	Resolver *net.Resolver
}

// keepAnswer is how long what others have answered stands: they aren't asked each minute.
const keepAnswer = 10 * time.Minute

// Promises are what is measured of mail.
func Promises(c PromisesConfig) []readiness.Check {
	check := func(name string, title language.Text, measure func(context.Context) readiness.Finding) readiness.Check {
		return readiness.Check{ID: "system." + name, Title: title, Keep: keepAnswer, Patience: 9 * time.Second, Measure: func(ctx context.Context) readiness.Finding {
			switch {
			case c.Kept && c.Server == nil:
				return readiness.NotMeasured(language.Text{En: "Mails are kept in the store, to be looked at: there is no mail server.", Ar: "تُحفظ رسائل البريد في المخزن للاطّلاع عليها: لا يوجد خادم بريد."})
			case c.Server == nil && name != "mail":
				return readiness.NotMeasured(language.Text{En: "There is no mail server, so nothing is sent.", Ar: "لا يوجد خادم بريد، فلا يُرسل شيء."})
			case c.Server == nil:
				return readiness.Doubtful(language.Text{En: "There is no mail server: who forgets a password can't set another.", Ar: "لا يوجد خادم بريد: من ينسى كلمة مروره لا يستطيع تعيين أخرى."}, language.Text{En: "Set SMTP_URL and MAIL_FROM.", Ar: "اضبط SMTP_URL وMAIL_FROM."})
			}
			return measure(ctx)
		}}
	}
	return []readiness.Check{
		check("mail", language.Text{En: "The mail server takes mails of the product", Ar: "يقبل خادم البريد رسائل المنتَج"}, c.checkServer),
		check("spf", language.Text{En: "The sender's domain says who may send its mail (SPF)", Ar: "يذكر نطاق المرسِل من يُسمح له بإرسال بريده (SPF)"}, c.checkSPF),
		check("dmarc", language.Text{En: "The sender's domain says what becomes of forged mail (DMARC)", Ar: "يذكر نطاق المرسِل مصير البريد المزوَّر (DMARC)"}, c.checkDMARC),
	}
}

// Accepts has the server take a sender and a recipient, and sends nothing: the errors are those of
// Send.
func (s *SMTP) Accepts(ctx context.Context, to string) (how language.Text, err error) {
	connected, cancel := context.WithCancel(ctx) // closes the connection, however it went
	defer cancel()
	from, err := stdmail.ParseAddress(s.from)
	if err != nil {
		return how, errFrom
	}
	if to == "" {
		to = from.Address
	}
	options := append(s.options[:len(s.options):len(s.options)], gomail.WithDialContextFunc(s.dialUntil(connected)))
	client, err := gomail.NewClient(s.host, options...)
	if err != nil {
		return how, err
	}
	began := time.Now()
	conn, err := client.DialToSMTPClientWithContext(connected) // TLS and signing in are a part of that
	if err != nil {
		return how, s.whyUnsent(ctx, err, time.Since(began))
	}
	how = language.Text{En: "without TLS", Ar: "بلا TLS"}
	if _, encrypted := conn.TLSConnectionState(); encrypted || s.fromTLS {
		how = language.Text{En: "with TLS", Ar: "عبر TLS"}
	}
	err = conn.Mail(from.Address)
	if err == nil {
		err = conn.Rcpt(to)
	}
	if err == nil {
		err = conn.Reset()
	}
	if err == nil {
		_ = conn.Quit() // it was taken by then
	}
	if err != nil {
		err = s.whyUnsent(ctx, err, time.Since(began))
	}
	return how, err
}

// checkServer is that the server would take a mail now.
func (c PromisesConfig) checkServer(ctx context.Context) readiness.Finding {
	began := time.Now()
	how, err := c.Server.Accepts(ctx, c.To)
	if err != nil {
		return readiness.Broken(
			language.Text{En: "It doesn't: #.", Ar: "لا يقبلها: #."}.Quoting(strings.TrimSuffix(err.Error(), ".")),
			language.Text{En: "Mend SMTP_URL, MAIL_FROM or the address that alerts go to (ALERT_EMAIL), by what the server answers.", Ar: "أصلح SMTP_URL أو MAIL_FROM أو عنوان التنبيهات (ALERT_EMAIL) بحسب ما يجيب به الخادم."})
	}
	took := time.Since(began)
	return readiness.Kept(language.Both(func(t language.Tag) string {
		return language.Text{En: "It has taken the sender and the recipient #, in #; nothing was sent.", Ar: "قبِل المرسِل والمستلم #، خلال #؛ لم يُرسل شيء."}.Quoting(how.In(t), t.Took(took)).In(t)
	}))
}

// domain is the sender's; empty for one that nobody else knows.
func (c PromisesConfig) domain() string {
	from, err := stdmail.ParseAddress(c.From)
	if err != nil {
		return ""
	}
	domain := strings.ToLower(from.Address[strings.LastIndexByte(from.Address, '@')+1:])
	if _, err := netip.ParseAddr(strings.Trim(domain, "[]")); err == nil || !strings.Contains(domain, ".") {
		return ""
	}
	return domain
}

func (c PromisesConfig) resolver() *net.Resolver { return cmp.Or(c.Resolver, net.DefaultResolver) }

// records are what a domain says in TXT records that begin so, with one of these behind it. None
// is no error.
func (c PromisesConfig) records(ctx context.Context, name, begin, behind string) (found []string, err error) {
	all, err := c.resolver().LookupTXT(ctx, name+".") // no domain of the machine's is put behind it
	if missing, ok := errors.AsType[*net.DNSError](err); ok && missing.IsNotFound {
		return nil, nil
	}
	for _, text := range all {
		rest, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(text)), begin)
		if ok && (rest == "" || strings.ContainsRune(behind, rune(rest[0]))) {
			found = append(found, strings.TrimSpace(text))
		}
	}
	return found, err
}

var (
	noDomain = readiness.NotMeasured(language.Text{En: "The sender MAIL_FROM has no domain that others could look up.", Ar: "ليس للمرسِل MAIL_FROM نطاق يمكن لغيره البحث عنه."})
	unheard  = language.Text{En: "The resolver doesn't say what # has: #.", Ar: "لا يذكر خادم الأسماء ما لدى #: #."}
	several  = language.Text{En: "# has # of these records, so none of them holds.", Ar: "لدى # من هذه السجلّات #، فلا يسري أيّ منها."}
	mendMARC = language.Text{En: "Have the DNS say it: one TXT record at _dmarc of the domain, such as 'v=DMARC1; p=quarantine; rua=mailto:…'.", Ar: "أضف إلى DNS سجلّ TXT واحدًا عند \u200e_dmarc من النطاق، مثل 'v=DMARC1; p=quarantine; rua=mailto:…'."}
)

// checkDMARC is that the domain, or the one that it was registered under, has one such record.
func (c PromisesConfig) checkDMARC(ctx context.Context) readiness.Finding {
	domain := c.domain()
	if domain == "" {
		return noDomain
	}
	at := domain
	found, err := c.records(ctx, "_dmarc."+domain, "v=dmarc1", " ;")
	if registered, known := publicsuffix.EffectiveTLDPlusOne(domain); err == nil && len(found) == 0 && known == nil && registered != domain {
		at = registered
		found, err = c.records(ctx, "_dmarc."+registered, "v=dmarc1", " ;")
	}
	switch {
	case err != nil:
		return readiness.NotMeasured(unheard.Quoting("_dmarc."+at, err.Error()))
	case len(found) == 0:
		return readiness.Broken(language.Text{En: "# says nothing: anybody may write in its name.", Ar: "لا يذكر # شيئًا: يستطيع أيّ أحد الكتابة باسمه."}.Quoting(domain), mendMARC)
	case len(found) > 1:
		return readiness.Broken(severalRecords(at, found), mendMARC)
	}
	said := language.Text{En: "#: #", Ar: "#: #"}.Quoting(at, language.Cut(found[0], 300))
	tags := tagsOf(found[0])
	policy := tags["p"]
	if sub, ok := tags["sp"]; ok && at != domain {
		policy = sub
	}
	share, err := strconv.Atoi(tags["pct"])
	switch holds := err != nil || share >= 100; {
	case policy == "none":
		return readiness.Doubtful(said, language.Text{En: "Forged mail is delivered all the same (p=none): once reports show only your own mail, use p=quarantine or p=reject.", Ar: "يُسلَّم البريد المزوَّر رغم ذلك (p=none): متى أظهرت التقارير بريدك وحده، استعمل p=quarantine أو p=reject."})
	case policy != "quarantine" && policy != "reject":
		return readiness.Broken(said, language.Text{En: "It says no policy that there is: use p=quarantine or p=reject.", Ar: "لا يذكر سياسة معروفة: استعمل p=quarantine أو p=reject."})
	case !holds || tags["t"] == "y":
		return readiness.Doubtful(said, language.Text{En: "It isn't done to all forged mail: once reports show only your own mail, take pct= and t=y away.", Ar: "لا يسري على كلّ البريد المزوَّر: متى أظهرت التقارير بريدك وحده، أزل pct= وt=y."})
	}
	return readiness.Kept(said)
}

func severalRecords(domain string, found []string) language.Text {
	return language.Both(func(t language.Tag) string { return several.Quoting(domain, t.Number(len(found))).In(t) })
}

// tagsOf are what a DMARC record says.
func tagsOf(record string) map[string]string {
	tags := map[string]string{}
	for part := range strings.SplitSeq(strings.ToLower(record), ";") {
		name, value, _ := strings.Cut(part, "=")
		tags[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return tags
}
