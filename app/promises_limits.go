package app

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"manus/httpapi"
	"manus/language"
	"manus/ratelimit"
	"manus/readiness"
)

// limitsPromises are those of the limits of requests.
func (a *App) limitsPromises() []readiness.Check {
	return []readiness.Check{
		{ID: "limits.routes", Essential: true, Offline: true, Title: language.Text{En: "Every route has a limit", Ar: "لكلّ مسار حدّ"}, Measure: a.measureRoutes},
		{ID: "limits.store", Essential: true, Title: language.Text{En: "All copies count requests together", Ar: "تعدّ كلّ النسخ الطلبات معًا"}, Measure: a.measureCounts},
		{ID: "limits.forged", Essential: true, Title: language.Text{En: "Nobody gets around a limit by a forged address", Ar: "لا يتجاوز أحد حدًّا بعنوان مزوّر"}, Measure: a.measureForged},
		{ID: "limits.proxy", Title: language.Text{En: "The proxy before the server is known to it", Ar: "الوكيل الذي أمام الخادم معروف له"}, OfCopy: true, Measure: a.measureProxy},
	}
}

// measureRoutes asks the router for its routes, and the limits for the rules of each.
func (a *App) measureRoutes(context.Context) readiness.Finding {
	routes := a.routes().Patterns
	var bare []string
	for _, pattern := range routes {
		method, path, _ := strings.Cut(pattern, " ")
		rules := a.Limits.Match(method, strings.TrimSuffix(path, "{$}"), "")
		if !slices.ContainsFunc(rules, func(r ratelimit.Rule) bool { return r.Mode != ratelimit.Shadow && len(r.Limit) > 0 }) {
			bare = append(bare, pattern)
		}
	}
	mend := language.Text{En: "Give these routes a rule in limits of manus.yaml with 'mode: enforce', or take the rules away that only count.", Ar: "أعطِ هذه المسارات قاعدة في limits في manus.yaml مع 'mode: enforce'، أو أزل القواعد التي تعدّ فقط."}
	if len(bare) > 0 {
		return readiness.Broken(language.Text{En: "# of # have none that refuses: #", Ar: "# من # بلا حدّ يرفض: #"}.Quoting(strconv.Itoa(len(bare)), strconv.Itoa(len(routes)), firstOf(bare)), mend)
	}
	evidence := language.Text{En: "All # routes have one.", Ar: "للمسارات كلّها، وعددها #، حدّ."}.Quoting(strconv.Itoa(len(routes)))
	if allowed := a.settings.Limits.Allow; len(allowed) > 0 && !a.settings.Dev {
		return readiness.Doubtful(language.Text{En: evidence.En + " Never limited are requests from: " + strings.Join(allowed, ", "), Ar: evidence.Ar + " ولا تُحدّ أبدًا طلبات من: " + language.Arabic.Isolate(strings.Join(allowed, ", "))},
			language.Text{En: "See whether limits.allow in manus.yaml has only networks that are yours.", Ar: "تحقّق من أنّ limits.allow في manus.yaml لا يضمّ إلّا شبكاتك."})
	}
	return readiness.Kept(evidence)
}

// firstOf are the first of names, and how many more there are.
func firstOf(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " … (+" + strconv.Itoa(len(names)-most) + ")"
}

// measureCounts counts a request that there isn't, in Redis; without one, it sees whether there is
// only one copy.
func (a *App) measureCounts(ctx context.Context) readiness.Finding {
	if a.shared != nil {
		err := a.shared.Try(ctx)
		if err == nil && a.breaker != nil {
			err = a.breaker.Err()
		}
		if err != nil {
			return readiness.Broken(language.Text{En: "Redis doesn't count: #.", Ar: "لا يعدّ Redis: #."}.Quoting(err.Error()), language.Text{En: "See that Redis runs, that REDIS_URL is right, and that it takes writes.", Ar: "تحقّق من أنّ Redis يعمل وأنّ REDIS_URL صحيح وأنّه يقبل الكتابة."})
		}
		return readiness.Kept(language.Text{En: "A request was counted in Redis, and is forgotten after a second.", Ar: "عُدّ طلب في Redis ويُنسى بعد ثانية."})
	}
	copies, err := a.Readiness.Copies(ctx)
	switch {
	case err != nil:
		return readiness.Broken(language.Text{En: "The store doesn't say which copies there are: #.", Ar: "لا يقول المخزن أيّ النسخ موجودة: #."}.Quoting(err.Error()), mendStore)
	case len(copies) == 0:
		return readiness.NotMeasured(language.Text{En: "No server runs on this store, so nothing is counted: see system.copies.", Ar: "لا يعمل أيّ خادم على هذا المخزن فلا يُعدّ شيء: انظر system.copies."})
	case len(copies) > 1:
		return readiness.Broken(language.Text{En: "# copies run, and each counts by itself: together they let through as much more.", Ar: "تعمل # نسخ وتعدّ كلّ منها وحدها، فتسمح معًا بأضعاف الحدّ."}.Quoting(strconv.Itoa(len(copies))),
			language.Text{En: "Set REDIS_URL on every copy.", Ar: "اضبط REDIS_URL على كلّ نسخة."})
	}
	return readiness.Kept(language.Text{En: "There is one copy, which counts in its memory.", Ar: "توجد نسخة واحدة تعدّ في ذاكرتها."})
}

// remaining is what RateLimit says is left.
var remaining = regexp.MustCompile(`r=(\d+)`)

// forged are the headers of a request that claims to be of somebody else, whom no other
// measurement claims to be: reports that run at once would count each other's.
func forged() http.Header {
	nobodys := httpapi.Nobodys.Addr().As16()
	_, _ = rand.Read(nobodys[httpapi.Nobodys.Bits()/8:]) // it never fails
	of := netip.AddrFrom16(nobodys).String()
	return http.Header{"X-Forwarded-For": {of}, "Forwarded": {`for="[` + of + `]"`}, "X-Real-Ip": {of}}
}

// between is how many requests are sent between two forged ones, and rounds how often that is
// done before it is believed that they are counted apart: what was counted before may be
// forgotten meanwhile.
const (
	between = 3
	rounds  = 3
)

// measureForged sends forged requests with others between them, and sees whether all are counted
// as of one. A trusted proxy may say whom a request is of: where this program has the address of
// one, it sends them from another address of this machine.
func (a *App) measureForged(ctx context.Context) readiness.Finding {
	base := a.ServedAt(ctx)
	if base == "" {
		return readiness.NotMeasured(servedNowhere)
	}
	if why, not := a.notReached(ctx, base); not {
		return why
	}
	outside := a.newOutside()
	defer outside.close()
	f := outside.measureForged(ctx, base)
	way := outside.way.Load()
	if f.Status != readiness.Fail || way == nil || !a.trusts(way.from) || a.trusts(somebodys) {
		return f
	}
	for _, stranger := range a.strangers(*way) {
		outside := a.newOutside()
		defer outside.close()
		outside.dialer.LocalAddr = &net.TCPAddr{IP: stranger.AsSlice()}
		if f := outside.measureForged(ctx, base); outside.way.Load() != nil {
			return f
		}
	}
	return readiness.Doubtful(language.Text{En: "A request from here, #, may claim to be of somebody else, as TRUSTED_PROXIES names that address: others weren't tried.", Ar: "يجوز لطلب من هنا، #، أن يدّعي أنّه من غير مرسله لأنّ TRUSTED_PROXIES يذكر هذا العنوان، ولم تُجرَّب عناوين أخرى."}.Quoting(way.from.String()),
		language.Text{En: "If others than your proxies send from there, name only the proxies' own addresses in TRUSTED_PROXIES; else run the check on another machine.", Ar: "إن كان غير وكلائك يرسل من هناك فلا تذكر في TRUSTED_PROXIES إلّا عناوين الوكلاء، وإلّا فشغّل الفحص على جهاز آخر."})
}

// somebodys is an address that is no proxy's: where even that is trusted, everybody is.
var somebodys = netip.MustParseAddr("203.0.113.77")

func (a *App) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(a.settings.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// strangers are addresses of this machine that aren't a trusted proxy's, from which the same
// place is reached: it has to be on this machine too.
func (a *App) strangers(w way) (all []netip.Addr) {
	if w.from != w.to && !w.from.IsLoopback() {
		return nil
	}
	own, _ := net.InterfaceAddrs() // none where it doesn't tell
	for _, address := range append(own, &net.IPNet{IP: net.IPv4(127, 0, 0, 2)}) {
		network, ok := address.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(network.IP)
		if ip = ip.Unmap(); ip.Is4() == w.from.Is4() && !ip.IsLinkLocalUnicast() && !a.trusts(ip) {
			all = append(all, ip)
		}
	}
	return all
}

func (o *outside) measureForged(ctx context.Context, base string) readiness.Finding {
	claim := forged()
	for range rounds {
		before, after, together, err := o.countedTogether(ctx, base+"/version", claim)
		unlimited, isUnlimited := errors.AsType[unlimitedError](err)
		switch {
		case isUnlimited && unlimited.status != http.StatusOK:
			return readiness.NotMeasured(language.Text{En: "# answers #, so nothing is seen of it.", Ar: "# يجيب بـ #، فلا يُرى شيء."}.Quoting(base+"/version", strconv.Itoa(unlimited.status)))
		case isUnlimited:
			return readiness.NotMeasured(language.Text{En: "Answers to requests from here say nothing of a limit: they have none (limits.allow), or a proxy takes the header RateLimit away.", Ar: "لا تذكر الإجابات عن الطلبات من هنا حدًّا: إمّا أنّها بلا حدّ (limits.allow) أو أنّ وكيلًا يزيل الترويسة RateLimit."})
		case errors.Is(err, errRefused):
			return readiness.NotMeasured(language.Text{En: "Too many requests were sent from here a moment ago; ask again in a minute.", Ar: "أُرسلت من هنا طلبات كثيرة قبل لحظات؛ أعد المحاولة بعد دقيقة."})
		case err != nil:
			return readiness.Broken(language.Text{En: "# can't be reached: #.", Ar: "تعذّر الوصول إلى #: #."}.Quoting(base, err.Error()), mendReach)
		case together:
			return readiness.Kept(language.Text{En: "Requests with a forged address were counted with # others of their sender: # were left before them, # after.", Ar: "عُدّت طلبات بعنوان مزوّر مع # أخرى لمرسلها: بقي # قبلها و# بعدها."}.Quoting(strconv.Itoa(between), strconv.Itoa(before), strconv.Itoa(after)))
		}
	}
	return readiness.Broken(language.Text{En: "A request that claims to be of somebody else was counted as theirs: a limit by address holds for nobody.", Ar: "عُدّ طلب يدّعي أنّه من غير مرسله طلبًا لذلك الغير: فلا يسري حدّ بالعنوان على أحد."},
		language.Text{En: "Name in TRUSTED_PROXIES only the addresses of your own proxies, and have the outermost one overwrite X-Forwarded-For.", Ar: "لا تذكر في TRUSTED_PROXIES إلّا عناوين وكلائك، واجعل أوّلهم يستبدل X-Forwarded-For."})
}

// unlimitedError is an answer that says nothing of a limit.
type unlimitedError struct{ status int }

func (unlimitedError) Error() string { return "it isn't limited" }

var errRefused = errors.New("it is refused for now")

// countedTogether sends a forged request, others, and a forged one again, and tells how many more
// the forged ones had left, and whether the others were counted with them. It returns an
// unlimitedError or errRefused where nothing is seen.
func (o *outside) countedTogether(ctx context.Context, address string, claim http.Header) (before, after int, together bool, err error) {
	before, refused, err := o.left(ctx, address, claim)
	if err != nil {
		return 0, 0, false, err
	}
	for range between {
		_, other, err := o.left(ctx, address, nil)
		switch {
		case err != nil:
			return 0, 0, false, err
		case refused && other:
			return 0, 0, false, errRefused
		case refused:
			return before, 0, false, nil // theirs alone is used up
		case other:
			return before, 0, before < between, nil
		}
	}
	after, refused, err = o.left(ctx, address, claim)
	return before, after, before-after > between || refused && before <= between, err
}

// left asks for an address, and tells how many more of such requests are let through, or that
// it was refused.
func (o *outside) left(ctx context.Context, address string, header http.Header) (n int, refused bool, err error) {
	got, err := o.ask(ctx, address, header)
	if err != nil || got.status == http.StatusTooManyRequests {
		return 0, err == nil, err
	}
	found := remaining.FindStringSubmatch(got.header.Get("RateLimit"))
	if found == nil {
		return 0, false, unlimitedError{got.status}
	}
	n, err = strconv.Atoi(found[1])
	return n, false, err
}

// measureProxy is whether requests come through a proxy that isn't believed.
func (a *App) measureProxy(context.Context) readiness.Finding {
	switch {
	case a.api == nil:
		return readiness.NotMeasured(language.Text{En: "Only a server that runs sees its proxies.", Ar: "لا يرى الوكلاء إلّا خادم يعمل."})
	case a.api.HasUntrustedProxy():
		return readiness.Broken(language.Text{En: "Requests come through a proxy that isn't believed: all clients behind it share their limits.", Ar: "تصل الطلبات عبر وكيل غير موثوق: يتقاسم كلّ من خلفه حدودهم."},
			language.Text{En: "Name the proxy's address in TRUSTED_PROXIES; the log says which one it is.", Ar: "اذكر عنوان الوكيل في TRUSTED_PROXIES؛ يذكره السجلّ."})
	}
	return readiness.Kept(language.Text{En: "No request has come through a proxy that isn't believed.", Ar: "لم يصل أيّ طلب عبر وكيل غير موثوق."})
}
