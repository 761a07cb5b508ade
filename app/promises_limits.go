package app

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

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
	case len(copies) > 1:
		return readiness.Broken(language.Text{En: "# copies run, and each counts by itself: together they let through as much more.", Ar: "تعمل # نسخ وتعدّ كلّ منها وحدها، فتسمح معًا بأضعاف الحدّ."}.Quoting(strconv.Itoa(len(copies))),
			language.Text{En: "Set REDIS_URL on every copy.", Ar: "اضبط REDIS_URL على كلّ نسخة."})
	}
	return readiness.Kept(language.Text{En: "There is one copy, which counts in its memory.", Ar: "توجد نسخة واحدة تعدّ في ذاكرتها."})
}

// remaining is what RateLimit says is left.
var remaining = regexp.MustCompile(`r=(\d+)`)

// measureForged sends a request, and another one that claims to be of somebody else, and sees whether
// they are counted as of one. It claims to be of one address only: of several it would look like a
// proxy.
func (a *App) measureForged(ctx context.Context) readiness.Finding {
	base := a.ServedAt(ctx)
	if base == "" {
		return readiness.NotMeasured(servedNowhere)
	}
	const forged = "203.0.113.77" // nobody's: RFC 5737
	var left []int
	for _, header := range []http.Header{{}, {"X-Forwarded-For": {forged}, "Forwarded": {"for=" + forged}, "X-Real-Ip": {forged}}} {
		got, err := a.askWith(ctx, base+"/version", header)
		if err != nil {
			return readiness.Broken(language.Text{En: "# can't be reached: #.", Ar: "تعذّر الوصول إلى #: #."}.Quoting(base, err.Error()), mendReach)
		}
		n, err := leftOf(got.header)
		if err != nil {
			return readiness.NotMeasured(language.Text{En: "Requests from here aren't limited (limits.allow), so nothing is seen of it.", Ar: "لا تُحدّ الطلبات من هنا (limits.allow)، فلا يُرى شيء."})
		}
		left = append(left, n)
	}
	if left[0] <= left[1] {
		return readiness.Broken(language.Text{En: "A request that claims to be of somebody else was counted as theirs: a limit by address holds for nobody.", Ar: "عُدّ طلب يدّعي أنّه من غير مرسله طلبًا لذلك الغير: فلا يسري حدّ بالعنوان على أحد."},
			language.Text{En: "Name in TRUSTED_PROXIES only the addresses of your own proxies, and have the outermost one overwrite X-Forwarded-For.", Ar: "لا تذكر في TRUSTED_PROXIES إلّا عناوين وكلائك، واجعل أوّلهم يستبدل X-Forwarded-For."})
	}
	return readiness.Kept(language.Text{En: "A request with a forged address was counted as of its sender: # were left before it, # after.", Ar: "عُدّ طلب بعنوان مزوّر طلبًا لمرسله: بقي # قبله و# بعده."}.Quoting(strconv.Itoa(left[0]), strconv.Itoa(left[1])))
}

var errNotLimited = errors.New("it isn't limited")

func leftOf(header http.Header) (int, error) {
	found := remaining.FindStringSubmatch(header.Get("RateLimit"))
	if found == nil {
		return 0, errNotLimited
	}
	return strconv.Atoi(found[1])
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
