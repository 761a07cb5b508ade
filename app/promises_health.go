package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"manus/language"
	"manus/readiness"
)

// healthPromises are those of the store, of what strangers are answered, and of reports.
func (a *App) healthPromises() []readiness.Check {
	return []readiness.Check{
		{ID: "health.database", Essential: true, Offline: a.options.NoStore != nil, Title: language.Text{En: "The database takes a write and gives it back", Ar: "قاعدة البيانات تقبل كتابة وتعيدها"}, Measure: a.measureStore},
		{ID: "health.public", Essential: true, Title: language.Text{En: "Health, readiness and version are answered at the public address", Ar: "تجيب عناوين الصحّة والجاهزية والإصدار على العنوان العلني"}, Measure: a.measureHealth},
		{ID: "health.drill", Title: language.Text{En: "/ready turns 503 when what it can't do without fails", Ar: "تجيب /ready بـ 503 حين يتعطّل ما لا غنى عنه"}, Offline: true, Measure: a.measureDrill},
		{
			ID: "errors.reported", Keep: 6 * time.Hour, Patience: 10 * time.Second, WhenAsked: true,
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
	return readiness.Kept(language.Text{En: "Written, read and removed within #.", Ar: "كُتبت وقُرئت وأُزيلت خلال #."}.Quoting(time.Since(began).Round(time.Millisecond / 10).String()))
}

// answered are the addresses by which others see whether the product is well.
var answered = []string{"/live", "/health", "/ready", "/version", "/api/v1/live", "/api/v1/health", "/api/v1/ready", "/api/v1/version"}

// measureHealth asks them from outside of this process.
func (a *App) measureHealth(ctx context.Context) readiness.Finding {
	base := a.ServedAt(ctx)
	if base == "" {
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
	var version string
	for i, path := range answered {
		got, err := replies[i], errs[i]
		switch {
		case err != nil:
			return readiness.Broken(language.Text{En: "# can't be reached: #.", Ar: "تعذّر الوصول إلى #: #."}.Quoting(base+path, err.Error()), mendReach)
		case got.status != http.StatusOK:
			return readiness.Broken(language.Text{En: "# answers #.", Ar: "# يجيب بـ #."}.Quoting(base+path, strconv.Itoa(got.status)), mendReach)
		}
		slowest = max(slowest, got.took)
		if version, err = versionOf(path, got.body, version); err != nil {
			return readiness.Broken(language.Text{En: "What answers at # isn't this product: #.", Ar: "ما يجيب على # ليس هذا المنتَج: #."}.Quoting(base+path, err.Error()), mendReach)
		}
	}
	return a.judgeVersion(ctx, version, slowest)
}

// versionOf is what an answer says of the version, or else what was said before.
func versionOf(path string, body []byte, before string) (string, error) {
	if !strings.HasSuffix(path, "/version") {
		return before, nil
	}
	var said struct{ Version string }
	if err := json.Unmarshal(body, &said); err != nil || said.Version == "" {
		return before, errors.New("it tells no version")
	}
	return said.Version, nil
}

// judgeVersion is whether what answers in public is a copy on this store.
func (a *App) judgeVersion(ctx context.Context, version string, slowest time.Duration) readiness.Finding {
	copies, err := a.Readiness.Copies(ctx)
	evidence := language.Text{En: "All are answered, the slowest in #, by version #.", Ar: "تُجاب كلّها، أبطؤها خلال #، بالإصدار #."}.Quoting(slowest.Round(time.Millisecond/10).String(), version)
	if err != nil || len(copies) == 0 {
		return readiness.Kept(evidence)
	}
	for _, c := range copies {
		if c.Version == version {
			return readiness.Kept(evidence)
		}
	}
	return readiness.Broken(evidence, language.Text{En: "No copy on this store has that version: the address leads to another installation, or a cache answers.", Ar: "لا توجد على هذا المخزن نسخة بهذا الإصدار: يقود العنوان إلى تثبيت آخر أو تجيب ذاكرة وسيطة."})
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
	trial, err := a.TryReports(ctx)
	if err != nil {
		return readiness.Broken(language.Text{En: "It isn't: #.", Ar: "لا: #."}.Quoting(err.Error()), language.Text{En: "See that SENTRY_DSN is right and can be reached; without it, see why the inbox takes nothing: manus errors test.", Ar: "تحقّق من صحّة SENTRY_DSN وإمكان الوصول إليه؛ وإن لم يُضبط فانظر لِمَ لا يقبل الصندوق شيئًا: manus errors test."})
	}
	took := trial.Took.Round(time.Millisecond).String()
	if trial.Issue == "" {
		return readiness.Kept(language.Text{En: "# has accepted it, in #.", Ar: "قبله # خلال #."}.Quoting(trial.Host, took))
	}
	return readiness.Kept(language.Text{En: "It was kept and found again in #, as # in the inbox, which nobody is told of.", Ar: "حُفظ وعُثر عليه خلال #، وهو # في الصندوق ولا يُبلَّغ به أحد."}.Quoting(took, trial.Issue))
}
