package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"manus/health"
	"manus/language"
	"manus/readiness"
)

// healthPromises are those of the store, of what strangers are answered, and of reports.
func (a *App) healthPromises() []readiness.Check {
	return []readiness.Check{
		{ID: "health.database", Essential: true, Basis: true, Offline: a.options.NoStore != nil, Title: language.Text{En: "The database takes a write and gives it back", Ar: "قاعدة البيانات تقبل كتابة وتعيدها"}, Measure: a.measureStore},
		{ID: "health.public", Essential: true, Title: language.Text{En: "Health, readiness and version are answered at the public address", Ar: "تجيب عناوين الصحّة والجاهزية والإصدار على العنوان العلني"}, Measure: a.measureHealth},
		{ID: "health.drill", Title: language.Text{En: "/ready turns 503 when what it can't do without fails", Ar: "تجيب /ready بـ 503 حين يتعطّل ما لا غنى عنه"}, Offline: true, Measure: a.measureDrill},
		{
			ID: "errors.reported", Keep: 6 * time.Hour, Patience: 9 * time.Second, WhenAsked: true,
			Title: language.Text{En: "An error of the server is reported, and found again", Ar: "خطأ الخادم يُبلَّغ عنه ويُعثر عليه"}, Measure: a.measureReports,
		},
	}
}

// measureStore writes into the store, reads that and removes it.
func (a *App) measureStore(ctx context.Context) readiness.Finding {
	if err := a.options.NoStore; err != nil {
		return readiness.Broken(language.Text{En: "It can't be opened: #.", Ar: "تعذّر فتحها: #."}.Quoting(err.Error()), language.Text{En: "Mend that first: most of the other checks need the store.", Ar: "أصلح هذا أوّلًا: معظم الفحوص الأخرى تحتاج إلى المخزن."})
	}
	began := time.Now()
	if err := a.Readiness.TryStore(ctx); err != nil {
		return readiness.Broken(language.Text{En: "It doesn't: #.", Ar: "لا تفعل: #."}.Quoting(err.Error()), mendStore)
	}
	took := time.Since(began)
	return readiness.Kept(language.Both(func(t language.Tag) string {
		return language.Text{En: "Written, read and removed within #.", Ar: "كُتبت وقُرئت وأُزيلت خلال #."}.Quoting(t.Took(took)).In(t)
	}))
}

// answered are the addresses by which others see whether the product is well.
var answered = []string{"/live", "/health", "/ready", "/version", "/api/v1/live", "/api/v1/health", "/api/v1/ready", "/api/v1/version"}

// measureHealth asks them from outside of this process.
func (a *App) measureHealth(ctx context.Context) readiness.Finding {
	base, there := a.ServedAt(ctx), a.copiesThere(ctx)
	switch {
	case base == "" && there.none():
		return ofCopies(nil)
	case base == "":
		return readiness.NotMeasured(servedNowhere)
	}
	outside := a.newOutside()
	defer outside.close()
	replies, errs := make([]reply, len(answered)), make([]error, len(answered))
	var asking sync.WaitGroup
	for i, path := range answered {
		asking.Go(func() { replies[i], errs[i] = outside.ask(ctx, base+path, nil) })
	}
	asking.Wait()
	var slowest time.Duration
	var said struct{ Version string }
	for i, path := range answered {
		if wrong, is := there.wrong(base+path, replies[i], errs[i]); is {
			return wrong
		}
		slowest = max(slowest, replies[i].took)
		if strings.HasSuffix(path, "/version") {
			_ = json.Unmarshal(replies[i].body, &said) // it is proved whose it is
		}
	}
	return readiness.Kept(language.Both(func(t language.Tag) string {
		return language.Text{En: "All are answered by a copy on this store, as it has proved, the slowest in #, by version #.", Ar: "تُجاب كلّها من نسخة على هذا المخزن كما أثبتت، أبطؤها خلال #، بالإصدار #."}.Quoting(t.Took(slowest), said.Version).In(t)
	}))
}

// there are the copies of the server that are there, as far as is known.
type there struct {
	copies []readiness.Copy
	unsure error // why they may not be all
}

func (t there) none() bool { return len(t.copies) == 0 && t.unsure == nil }

func (a *App) copiesThere(ctx context.Context) (t there) {
	if t.copies, t.unsure = a.Readiness.Copies(ctx); t.unsure != nil && a.Readiness.Copy.ID != "" {
		t.copies = []readiness.Copy{a.Readiness.Copy}
	}
	return t
}

// wrong is what is wrong with the answer of an address that a copy on this store should have given,
// or with not having one; false where nothing is.
func (t there) wrong(address string, got reply, err error) (f readiness.Finding, is bool) {
	proven := readiness.Proven(t.copies, got.challenge, got.header)
	answers := language.Text{En: "# answers #.", Ar: "# يجيب بـ #."}.Quoting(address, strconv.Itoa(got.status))
	switch {
	case err != nil:
		return t.mending(unreached(address, err)), true
	case got.status == http.StatusTooManyRequests:
		return readiness.NotMeasured(tooMany), true
	case proven && got.status == http.StatusServiceUnavailable && strings.HasSuffix(address, "/ready"):
		return notReady(address, got.body), true
	case got.status != http.StatusOK:
		return t.mending(readiness.Broken(answers, mendReach)), true
	case proven:
		return readiness.Finding{}, false
	case t.unsure != nil:
		return readiness.NotMeasured(language.Text{En: "# answers, but the store doesn't say which copies of the server there are: #.", Ar: "# يجيب، لكنّ المخزن لا يقول أيّ نسخ الخادم موجودة: #."}.Quoting(address, t.unsure.Error())), true
	}
	return t.mending(readiness.Broken(
		language.Text{En: "What answers at # isn't a copy of the server on this store: it can't prove that.", Ar: "ما يجيب على # ليس نسخة من الخادم على هذا المخزن: لا يستطيع إثبات ذلك."}.Quoting(address),
		language.Text{En: "See that the address leads to this installation, that no cache answers for it, and that the proxy passes the headers Manus-Challenge and Manus-Proof.", Ar: "تحقّق من أنّ العنوان يقود إلى هذا التثبيت، وأنّ ذاكرة وسيطة لا تجيب عنه، وأنّ الوكيل يمرّر الترويستين Manus-Challenge وManus-Proof."})), true
}

// mending has what is broken mended by starting the server, where none runs.
func (t there) mending(f readiness.Finding) readiness.Finding {
	if t.none() {
		f.Mend = mendStart
	}
	return f
}

var tooMany = language.Text{En: "Too many requests were sent from here a moment ago; ask again in a minute.", Ar: "أُرسلت من هنا طلبات كثيرة قبل لحظات؛ أعد المحاولة بعد دقيقة."}

// unreached is an address that can't be reached.
func unreached(address string, err error) readiness.Finding {
	mend := mendReach
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		mend = language.Text{En: "Browsers don't believe the certificate of the address either: see system.tls.", Ar: "المتصفّحات أيضًا لا تثق بشهادة العنوان: انظر system.tls."}
	}
	return readiness.Broken(language.Text{En: "# can't be reached: #.", Ar: "تعذّر الوصول إلى #: #."}.Quoting(address, err.Error()), mend)
}

// notReady is what /ready says of why a copy can't do its work.
func notReady(address string, body []byte) readiness.Finding {
	var said health.Readiness
	_ = json.Unmarshal(body, &said) // who says nothing names nothing
	var failed []string
	for name, check := range said.Checks {
		if check.Status == health.Failed {
			failed = append(failed, name)
		}
	}
	slices.Sort(failed)
	if len(failed) == 0 {
		return readiness.Broken(language.Text{En: "# says that the server isn't ready: it stops.", Ar: "يقول # إنّ الخادم غير جاهز: إنّه يتوقّف."}.Quoting(address), mendStart)
	}
	return readiness.Broken(language.Text{En: "# says that the server isn't ready: # failed.", Ar: "يقول # إنّ الخادم غير جاهز: فشل #."}.Quoting(address, strings.Join(failed, ", ")),
		language.Text{En: "The address leads here; mend what isn't there: see the checks of it in this report, and the log.", Ar: "العنوان يقود إلى هنا؛ أصلح ما ليس متاحًا: انظر فحوصه في هذا التقرير، والسجلّ."})
}

// notReached is why nothing can be measured at the public address, of which health.public says
// what to do; false where it can.
func (a *App) notReached(ctx context.Context, base string) (readiness.Finding, bool) {
	got, err := a.ask(ctx, base+"/live")
	wrong, is := a.copiesThere(ctx).wrong(base+"/live", got, err)
	return seeHealth(wrong), is
}

// seeHealth is what health.public finds, elsewhere: one thing that is broken is told of once.
func seeHealth(f readiness.Finding) readiness.Finding {
	if f.Status != readiness.Fail {
		return f
	}
	return readiness.NotMeasured(language.Both(func(t language.Tag) string {
		return f.Evidence.In(t) + " " + language.Text{En: "See health.public.", Ar: "انظر health.public."}.In(t)
	}))
}

// measureDrill works out what /ready would answer if each critical check failed, by what answers
// it when one does.
func (a *App) measureDrill(context.Context) readiness.Finding {
	mend := language.Text{En: "Name what the server can't do without in READY_CRITICAL: database, and redis where there is one.", Ar: "سمِّ في READY_CRITICAL ما لا يستغني عنه الخادم: database، وredis إن وُجد."}
	var critical []string
	for name, would := range a.health.Drill() {
		if would.HTTPStatus() != http.StatusServiceUnavailable {
			return readiness.Broken(language.Text{En: "With # failing it would answer #.", Ar: "لو تعطّل # لأجابت بـ #."}.Quoting(name, strconv.Itoa(would.HTTPStatus())), mend)
		}
		critical = append(critical, name)
	}
	if len(critical) == 0 {
		return readiness.Broken(language.Text{En: "Nothing that is there is critical: a balancer would send requests to a server that can't answer them.", Ar: "لا شيء ممّا هو موجود حاسم: سيرسل الموزّع طلبات إلى خادم لا يستطيع إجابتها."}, mend)
	}
	slices.Sort(critical)
	return readiness.Kept(language.Text{En: "It would with each of these failing: #.", Ar: "ستفعل لو تعطّل أيّ من هذه: #."}.Quoting(strings.Join(critical, ", ")))
}

// measureReports reports a test error, and finds it again.
func (a *App) measureReports(ctx context.Context) readiness.Finding {
	trial, err := a.checkReports(ctx)
	if err != nil {
		return readiness.Broken(language.Text{En: "It isn't: #.", Ar: "لا: #."}.Quoting(err.Error()), language.Text{En: "See that SENTRY_DSN is right and can be reached; without it, see why the inbox takes nothing: manus errors test.", Ar: "تحقّق من صحّة SENTRY_DSN وإمكان الوصول إليه؛ وإن لم يُضبط فانظر لِمَ لا يقبل الصندوق شيئًا: manus errors test."})
	}
	return readiness.Kept(language.Both(func(t language.Tag) string {
		if trial.Issue == "" {
			return language.Text{En: "# has accepted it, in #.", Ar: "قبله # خلال #."}.Quoting(trial.Host, t.Took(trial.Took)).In(t)
		}
		return language.Text{En: "It was kept in the inbox, found again in #, and removed; nobody was told of it.", Ar: "حُفظ في الصندوق وعُثر عليه خلال # ثمّ أُزيل، ولم يُبلَّغ به أحد."}.Quoting(t.Took(trial.Took)).In(t)
	}))
}
