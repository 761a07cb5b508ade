package billing

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/readiness"
)

// Promises are what is measured of billing. This version takes no payments: what would be
// measured of Stripe has its rows, which say so.
func (s *Service) Promises() []readiness.Check {
	unbuilt := func(name string, title language.Text) readiness.Check {
		return readiness.Check{ID: "billing." + name, Title: title, Offline: true, Measure: func(context.Context) readiness.Finding { return noPayments }}
	}
	return []readiness.Check{
		{
			ID: "billing.plans", Keep: time.Hour, Title: language.Text{En: "Every account is on a plan that is on offer", Ar: "كلّ حساب على باقة معروضة"},
			Measure: s.checkPlans,
		},
		unbuilt("stripe", language.Text{En: "Stripe answers and takes a write", Ar: "تجيب Stripe وتقبل الكتابة"}),
		unbuilt("webhook", language.Text{En: "Stripe's events arrive", Ar: "تصل أحداث Stripe"}),
		unbuilt("key", language.Text{En: "Production has no test key", Ar: "لا يُستعمل مفتاح تجريبي في الإنتاج"}),
	}
}

var noPayments = readiness.NotMeasured(language.Text{En: "This version takes no payments: Stripe isn't built in.", Ar: "لا تتلقّى هذه النسخة مدفوعات: Stripe غير مضمَّنة فيها."})

// maxLooked bounds how many accounts are looked at.
const maxLooked = 20_000

// checkPlans is that no account is on a plan that was taken out of manus.yaml: it has the
// first one's quota then, whatever was sold to it.
func (s *Service) checkPlans(ctx context.Context) readiness.Finding {
	catalog := s.catalog.Load()
	lost, looked := map[string]int{}, 0
	for sub, err := range s.subscriptions.All(ctx, docstore.Query{Limit: docstore.MaxLimit}) {
		if err != nil {
			return readiness.Broken(language.Text{En: "The store doesn't say which plans accounts are on: #.", Ar: "لا يذكر المخزن باقات الحسابات: #."}.Quoting(err.Error()),
				language.Text{En: "See /ready for why the store can't be used.", Ar: "انظر \u200e/ready لمعرفة سبب تعذّر استعمال المخزن."})
		}
		if looked++; looked > maxLooked {
			break
		}
		if _, err := catalog.plan(sub.Plan); err != nil {
			lost[sub.Plan]++
		}
	}
	if len(lost) > 0 {
		return readiness.Broken(
			language.Text{En: "Accounts are on plans that aren't in the catalogue, and have the first one's quota: #.", Ar: "توجد حسابات على باقات ليست في القائمة، ولها حصّة الباقة الأولى: #."}.Quoting(strings.Join(slices.Sorted(maps.Keys(lost)), ", ")),
			language.Text{En: "Put the plans back into manus.yaml, or the accounts on others: manus user set-plan.", Ar: "أعد الباقات إلى manus.yaml، أو انقل الحسابات إلى غيرها: manus user set-plan."})
	}
	return readiness.Kept(language.Both(func(t language.Tag) string {
		return language.Text{En: "# plans are on offer; # accounts with a subscription were looked at.", Ar: "عدد الباقات المعروضة #؛ وعدد الحسابات ذات الاشتراك التي نُظر فيها #."}.
			Quoting(t.Number(len(catalog.Plans)), t.Number(min(looked, maxLooked))).In(t)
	}))
}
