package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"manus/internal/machine"
	"manus/internal/words"
	"manus/language"
	"manus/readiness"
)

// world is what is around the program. The zero one is the real one; tests have others.
type world struct {
	roots    *x509.CertPool // whom certificates are believed from; nil: the machine's
	resolver *net.Resolver  // nil: the machine's
	machine  machine.Machine
	disk     func(path string) (machine.Disk, error) // nil: the machine's
}

func (w world) diskOf(path string) (machine.Disk, error) {
	if w.disk != nil {
		return w.disk(path)
	}
	return w.machine.DiskOf(path)
}

// systemPromises are those about several rooms, and about what is around them.
func (a *App) systemPromises() []readiness.Check {
	return []readiness.Check{
		a.checkStatusPage(),
		{ID: "system.tls", Essential: true, Keep: 10 * time.Minute, Patience: 9 * time.Second, Title: language.Text{En: "The public address has a certificate that lasts", Ar: "للعنوان العلني شهادة سارية"}, Measure: a.measureTLS},
		{ID: "system.hsts", Keep: 10 * time.Minute, Title: language.Text{En: "Browsers are told to use HTTPS only (HSTS)", Ar: "يُطلب من المتصفّحات استعمال HTTPS وحده (HSTS)"}, Measure: a.measureHSTS},
		{ID: "system.clock", Title: language.Text{En: "The clocks agree", Ar: "الساعات متّفقة"}, Measure: a.measureClocks},
		{ID: "system.disk", OfCopy: true, Offline: true, Title: language.Text{En: "There is room on the data's disk", Ar: "توجد مساحة على قرص البيانات"}, Measure: a.measureDisk},
		{ID: "system.memory", OfCopy: true, Offline: true, Title: language.Text{En: "There is memory to spare", Ar: "توجد ذاكرة كافية"}, Measure: a.measureMemory},
		{ID: "system.files", OfCopy: true, Title: language.Text{En: "More files and connections can be opened", Ar: "يمكن فتح مزيد من الملفّات والاتصالات"}, Measure: a.measureFiles},
		a.checkCopies(),
	}
}

// reply is what somebody outside gets from an address.
type reply struct {
	status int
	header http.Header
	body   []byte
	// challenge is what a copy of the server proves in its header that it is one.
	challenge string
	// began is when it was asked for, and took how long that lasted.
	began time.Time
	took  time.Duration
}

// maxAnswer bounds the part of an answer that is read.
const maxAnswer = 1 << 20

// ask asks for an address as somebody outside does. It isn't led elsewhere.
func (a *App) ask(ctx context.Context, address string) (got reply, err error) {
	outside := a.newOutside()
	defer outside.close()
	return outside.ask(ctx, address, nil)
}

// outside asks as somebody outside does, over as few connections as that takes, and has who
// answers prove that it is a copy of this server.
type outside struct {
	http.Client
	dialer net.Dialer
	way    atomic.Pointer[way] // of the last connection
}

// way is where a connection goes from and to.
type way struct{ from, to netip.Addr }

func (a *App) newOutside() *outside {
	o := &outside{}
	o.Client = http.Client{
		Transport:     &http.Transport{DialContext: o.dial, TLSClientConfig: &tls.Config{RootCAs: a.options.world.roots}, Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return o
}

func (o *outside) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := o.dialer.DialContext(ctx, network, address)
	if err == nil {
		o.way.Store(&way{addressOf(conn.LocalAddr()), addressOf(conn.RemoteAddr())})
	}
	return conn, err
}

func addressOf(a net.Addr) netip.Addr {
	address, _ := netip.ParseAddrPort(a.String())
	return address.Addr().Unmap()
}

func (o *outside) close() { o.CloseIdleConnections() }

// ask asks for an address, with headers.
func (o *outside) ask(ctx context.Context, address string, header http.Header) (got reply, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return got, errors.New("is no address")
	}
	for name, values := range header {
		request.Header[name] = values
	}
	got.challenge = readiness.NewChallenge()
	request.Header.Set("User-Agent", "Manus check")
	request.Header.Set(readiness.ChallengeHeader, got.challenge)
	got.began = time.Now()
	response, err := o.Do(request)
	if err != nil {
		if wrong, ok := errors.AsType[*url.Error](err); ok {
			err = wrong.Err
		}
		return got, err
	}
	defer response.Body.Close() //nolint:errcheck // it is read
	got.took, got.status, got.header = time.Since(got.began), response.StatusCode, response.Header
	got.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return got, err
}

// checkStatusPage is that the page is there, at its own address where it has one, and isn't old.
func (a *App) checkStatusPage() readiness.Check {
	return readiness.Check{
		ID: "uptime.statuspage", Title: language.Text{En: "The status page is up, and is of now", Ar: "صفحة الحالة متاحة وحديثة"},
		Measure: func(ctx context.Context) readiness.Finding {
			base, page := a.settings.StatusURL, "/"
			if base == "" {
				base, page = a.ServedAt(ctx), "/status"
			}
			if base == "" {
				return readiness.NotMeasured(servedNowhere)
			}
			if base == a.ServedAt(ctx) {
				if why, not := a.notReached(ctx, base); not {
					return why
				}
			}
			return a.measureStatusPage(ctx, base+page, base+"/api/v2/summary.json")
		},
	}
}

var (
	servedNowhere = language.Text{En: "It isn't known where the product is reached: set PUBLIC_URL.", Ar: "لا يُعرف عنوان المنتَج: اضبط PUBLIC_URL."}
	mendReach     = language.Text{En: "See that the address leads to this installation: its DNS, the proxy before it and STATUS_URL or PUBLIC_URL.", Ar: "تحقّق من أنّ العنوان يقود إلى هذا التثبيت: DNS والوكيل الذي أمامه وSTATUS_URL أو PUBLIC_URL."}
)

// statusTooOld is how old the page may be: it is made anew twice a minute.
const statusTooOld = 2 * time.Minute

func (a *App) measureStatusPage(ctx context.Context, page, summary string) readiness.Finding {
	var last reply
	for _, address := range []string{page, summary} {
		got, err := a.ask(ctx, address)
		switch {
		case err != nil:
			return unreached(address, err)
		case got.status == http.StatusTooManyRequests:
			return readiness.NotMeasured(tooMany)
		case got.status != http.StatusOK:
			return readiness.Broken(language.Text{En: "# answers #.", Ar: "# يجيب بـ #."}.Quoting(address, strconv.Itoa(got.status)), mendReach)
		}
		last = got
	}
	return judgeStatusPage(page, last)
}

func judgeStatusPage(page string, got reply) readiness.Finding {
	var told struct {
		Page struct {
			UpdatedAt time.Time `json:"updated_at"`
		} `json:"page"`
	}
	if err := json.Unmarshal(got.body, &told); err != nil || told.Page.UpdatedAt.IsZero() {
		return readiness.Broken(language.Text{En: "What answers beside # is no status page of Manus.", Ar: "ما يجيب بجانب # ليس صفحة حالة من Manus."}.Quoting(page), mendReach)
	}
	age := time.Since(told.Page.UpdatedAt)
	evidence := language.Both(func(t language.Tag) string {
		return language.Text{En: "# is answered in #; it is # old.", Ar: "# تُجاب خلال #؛ عمرها #."}.Quoting(page, t.Took(got.took), t.Duration(age)).In(t)
	})
	if age > statusTooOld {
		return readiness.Broken(evidence, language.Text{En: "See whether its server reaches the store, and whether a cache before it keeps the page.", Ar: "انظر هل يصل خادمها إلى المخزن، وهل تحتفظ ذاكرة وسيطة أمامه بالصفحة."})
	}
	return readiness.Kept(evidence)
}

// publicAddresses are the addresses that others reach the product by.
func (a *App) publicAddresses() (all []*url.URL) {
	for _, text := range []string{a.settings.PublicURL, a.settings.StatusURL} {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			all = append(all, u)
		}
	}
	return all
}

// notPublic is why what others reach isn't measured; false where it can be.
func (a *App) notPublic() (readiness.Finding, bool) {
	switch {
	case a.settings.Dev:
		return readiness.NotMeasured(language.Text{En: "The product is being tried on one machine, which nobody else reaches.", Ar: "المنتَج قيد التجربة على جهاز واحد لا يصل إليه غيره."}), true
	case a.settings.PublicURL == "":
		return readiness.NotMeasured(servedNowhere), true
	}
	return readiness.Finding{}, false
}

const (
	certificateDoubtful = 14 * 24 * time.Hour
	certificateBroken   = 3 * 24 * time.Hour
)

// measureTLS is that each public address has a certificate that browsers believe, for a while.
func (a *App) measureTLS(ctx context.Context) readiness.Finding {
	if why, not := a.notPublic(); not {
		return why
	}
	mend := language.Text{En: "Renew the certificate where TLS ends, and see that it is renewed by itself.", Ar: "جدّد الشهادة حيث ينتهي TLS، وتحقّق من أنّها تُجدَّد تلقائيًّا."}
	shortest, said := time.Duration(1<<62), []string{}
	for _, u := range a.publicAddresses() {
		if u.Scheme != "https" {
			return readiness.Broken(language.Text{En: "# isn't https: on its way everybody can read and change what is sent.", Ar: "# ليس https: يستطيع أيّ أحد في الطريق قراءة ما يُرسل وتغييره."}.Quoting(u.String()),
				language.Text{En: "Put a proxy with a certificate before the server, and set PUBLIC_URL to https://….", Ar: "ضع أمام الخادم وكيلًا له شهادة، واضبط PUBLIC_URL على https://…."})
		}
		until, err := a.certifiedUntil(ctx, u)
		if err != nil {
			return readiness.Broken(language.Text{En: "#: #.", Ar: "#: #."}.Quoting(u.String(), err.Error()), mend)
		}
		left := time.Until(until)
		shortest, said = min(shortest, left), append(said, fmt.Sprintf("%s (%s)", u.Host, until.UTC().Format(time.DateOnly)))
	}
	evidence := language.Both(func(t language.Tag) string {
		return language.Text{En: "Believed, for another #: #.", Ar: "موثوقة، وباقٍ على انتهائها #: #."}.Quoting(t.Duration(shortest), strings.Join(said, ", ")).In(t)
	})
	switch {
	case shortest < certificateBroken:
		return readiness.Broken(evidence, mend)
	case shortest < certificateDoubtful:
		return readiness.Doubtful(evidence, mend)
	}
	return readiness.Kept(evidence)
}

// certifiedUntil is when the first certificate ends of those by which an address is believed.
func (a *App) certifiedUntil(ctx context.Context, u *url.URL) (time.Time, error) {
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: a.options.world.roots, ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")))
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close() //nolint:errcheck // nothing is sent
	var last time.Time
	for _, chain := range conn.(*tls.Conn).ConnectionState().VerifiedChains {
		ends := slices.MinFunc(chain, func(x, y *x509.Certificate) int { return x.NotAfter.Compare(y.NotAfter) }).NotAfter
		if ends.After(last) { // of several ways to believe it one is enough
			last = ends
		}
	}
	return last, nil
}

// hstsAtLeast is how long browsers are to remember it.
const hstsAtLeast = 180 * 24 * time.Hour

// measureHSTS is that browsers that have been there once aren't led astray later.
func (a *App) measureHSTS(ctx context.Context) readiness.Finding {
	if why, not := a.notPublic(); not {
		return why
	}
	if !strings.HasPrefix(a.settings.PublicURL, "https://") {
		return readiness.NotMeasured(language.Text{En: "PUBLIC_URL isn't https.", Ar: "PUBLIC_URL ليس https."})
	}
	got, err := a.ask(ctx, a.settings.PublicURL+"/live")
	if err != nil {
		return seeHealth(unreached(a.settings.PublicURL, err))
	}
	mend := language.Text{En: "Have the proxy where TLS ends send 'Strict-Transport-Security: max-age=31536000'.", Ar: "اجعل الوكيل الذي ينتهي عنده TLS يرسل 'Strict-Transport-Security: max-age=31536000'."}
	said := got.header.Get("Strict-Transport-Security")
	age := hstsAge(said)
	switch evidence := (language.Text{En: "It answers: Strict-Transport-Security: #", Ar: "يجيب بـ: Strict-Transport-Security: #"}).Quoting(cmp.Or(said, "-")); {
	case age <= 0:
		return readiness.Broken(evidence, mend)
	case age < hstsAtLeast:
		return readiness.Doubtful(evidence, mend)
	default:
		return readiness.Kept(evidence)
	}
}

// hstsAge is the time that a header says.
func hstsAge(header string) time.Duration {
	for part := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(part, "=")
		seconds, err := strconv.ParseInt(strings.Trim(strings.TrimSpace(value), `"`), 10, 32)
		if strings.EqualFold(strings.TrimSpace(name), "max-age") && err == nil {
			return time.Duration(seconds) * time.Second
		}
	}
	return 0
}

// skew is how far another clock is ahead of this one.
type skew struct {
	of    language.Text
	ahead time.Duration
}

// in says so, to the second: answers say no more.
func (s skew) in(t language.Tag) string {
	by, of := s.ahead.Round(time.Second), s.of.In(t)
	switch {
	case by > 0:
		return language.Text{En: "# is # ahead", Ar: "# متقدّمة #"}.Quoting(of, t.Took(by)).In(t)
	case by < 0:
		return language.Text{En: "# is # behind", Ar: "# متأخّرة #"}.Quoting(of, t.Took(-by)).In(t)
	}
	return language.Text{En: "# agrees", Ar: "# متّفقة معها"}.Quoting(of).In(t)
}

const (
	skewDoubtful = 2 * time.Second
	skewBroken   = 30 * time.Second
)

// measureClocks is that this machine's clock goes as others do.
func (a *App) measureClocks(ctx context.Context) readiness.Finding {
	var skews []skew
	var silent []string
	ask := func(of language.Text, clock func(context.Context) (time.Time, error)) {
		began := time.Now()
		at, err := clock(ctx)
		if err != nil {
			silent = append(silent, of.En+": "+err.Error())
			return
		}
		skews = append(skews, skew{of, at.Sub(began.Add(time.Since(began) / 2))})
	}
	if a.clock != nil {
		ask(language.Text{En: "the database", Ar: "قاعدة البيانات"}, a.clock)
	}
	if a.redis != nil {
		ask(language.Text{En: "Redis", Ar: "Redis"}, a.redis.Clock)
	}
	if base := a.ServedAt(ctx); base != "" {
		ask(language.Text{En: "what answers at " + base, Ar: "إجابات " + language.Arabic.Isolate(base)}, func(ctx context.Context) (time.Time, error) { return a.answeredAt(ctx, base) })
	}
	return judgeClocks(skews, silent)
}

// answeredAt is what time an answer says it is, which is told in whole seconds.
func (a *App) answeredAt(ctx context.Context, base string) (time.Time, error) {
	got, err := a.ask(ctx, base+"/live")
	if err != nil {
		return time.Time{}, err
	}
	at, err := http.ParseTime(got.header.Get("Date"))
	return at.Add(500 * time.Millisecond), err
}

func judgeClocks(skews []skew, silent []string) readiness.Finding {
	if len(skews) == 0 {
		if len(silent) == 0 {
			return readiness.NotMeasured(language.Text{En: "There is no other clock to ask.", Ar: "لا توجد ساعة أخرى تُسأل."})
		}
		return readiness.NotMeasured(language.Text{En: "No other clock answers: #.", Ar: "لا تجيب أيّ ساعة أخرى: #."}.Quoting(strings.Join(silent, "; ")))
	}
	worst := time.Duration(0)
	for _, s := range skews {
		worst = max(worst, s.ahead.Abs())
	}
	evidence := language.Both(func(t language.Tag) string {
		var parts []string
		for _, s := range skews {
			parts = append(parts, s.in(t))
		}
		text := language.Text{En: "Beside this machine's clock: ", Ar: "بالنسبة إلى ساعة هذا الجهاز: "}.In(t) + strings.Join(parts, language.Text{En: ", ", Ar: "، "}.In(t)) + "."
		if len(silent) > 0 {
			text += language.Text{En: " Not told: #.", Ar: " ولم يُذكر: #."}.Quoting(strings.Join(silent, "; ")).In(t)
		}
		return text
	})
	mend := language.Text{En: "Have every machine's clock set by NTP: timedatectl set-ntp true.", Ar: "اضبط ساعات الأجهزة كلّها عبر NTP: timedatectl set-ntp true."}
	switch {
	case worst > skewBroken:
		return readiness.Broken(evidence, mend)
	case worst > skewDoubtful || len(silent) > 0:
		return readiness.Doubtful(evidence, mend)
	}
	return readiness.Kept(evidence)
}

// judgeRoom is a finding about how much is left of something.
func judgeRoom(r machine.Room, doubtful, broken float64, evidence, mend language.Text) readiness.Finding {
	switch {
	case r.Share() < broken:
		return readiness.Broken(evidence, mend)
	case r.Share() < doubtful:
		return readiness.Doubtful(evidence, mend)
	}
	return readiness.Kept(evidence)
}

// untold is a finding where the machine doesn't tell.
func untold(err error) readiness.Finding {
	return readiness.NotMeasured(language.Text{En: "The machine doesn't tell: #.", Ar: "لا يذكر الجهاز ذلك: #."}.Quoting(err.Error()))
}

// left says how much of something is left, with its share.
func left(free, total string, r machine.Room) language.Text {
	return language.Text{En: "# of # are free (# %).", Ar: "# من # خالية (# %)."}.Quoting(free, total, strconv.Itoa(int(100*r.Share())))
}

func (a *App) measureDisk(context.Context) readiness.Finding {
	disk, err := a.options.world.diskOf(a.settings.DataDir)
	if err != nil {
		return untold(err)
	}
	room, where := left(words.Size(int64(disk.Free)), words.Size(int64(disk.Total)), disk.Room), absolute(a.settings.DataDir)
	evidence := language.Both(func(t language.Tag) string { return t.Quote(where) + ": " + room.In(t) })
	return judgeRoom(disk.Room, 0.10, 0.03, evidence,
		language.Text{En: "Free some or give it a larger disk: without room nothing is stored.", Ar: "أخلِ مساحة أو استعمل قرصًا أكبر: بلا مساحة لا يُحفظ شيء."})
}

func (a *App) measureMemory(context.Context) readiness.Finding {
	room, err := a.options.world.machine.Memory()
	if err != nil {
		return untold(err)
	}
	return judgeRoom(room, 0.10, 0.04, left(words.Size(int64(room.Free)), words.Size(int64(room.Total)), room),
		language.Text{En: "Give the container or the machine more memory, or take something else from it: without any the kernel ends the server.", Ar: "أعطِ الحاوية أو الجهاز ذاكرة أكبر، أو أخلِه من غير ذلك: بلا ذاكرة يُنهي النظام الخادم."})
}

func (a *App) measureFiles(context.Context) readiness.Finding {
	room, err := a.options.world.machine.Files()
	if err != nil {
		return untold(err)
	}
	number := func(n uint64) string { return language.English.Number(int64(n)) }
	return judgeRoom(room, 0.20, 0.05, left(number(room.Free), number(room.Total), room),
		language.Text{En: "Raise the limit: LimitNOFILE= in systemd, ulimits in compose. If it was enough before, see what holds so many connections open.", Ar: "ارفع الحدّ: LimitNOFILE= في systemd أو ulimits في compose. وإن كان كافيًا من قبل فانظر ما يُبقي اتصالات كثيرة مفتوحة."})
}
