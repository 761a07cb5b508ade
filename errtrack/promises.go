package errtrack

import (
	"context"
	"slices"
	"strings"

	"manus/language"
	"manus/readiness"
)

// Promises are what is measured of the inbox.
func (s *Service) Promises() []readiness.Check {
	return []readiness.Check{{
		ID: "errors.kept", Title: language.Text{En: "The inbox keeps the errors that it is sent", Ar: "يحفظ الصندوق ما يُرسل إليه من أخطاء"}, Measure: s.checkLosses,
	}}
}

// avoidable are the reasons for which events are lost that could be kept: not for what was sent,
// nor because programs choose not to send it.
var avoidable = []string{
	lostToLimit, lostToLoad, lostToStore, lostToBound,
	lostByClient + "queue_overflow", lostByClient + "buffer_overflow", lostByClient + "cache_overflow", lostByClient + "ratelimit_backoff", lostByClient + "network_error", lostByClient + "send_error", lostByClient + "backpressure",
}

// losing is a project of which events are lost.
type losing struct {
	name string
	why  []string
	lost int64
	kept int64
}

// checkLosses is that nothing was lost since yesterday that could have been kept.
func (s *Service) checkLosses(ctx context.Context) readiness.Finding {
	s.noteLosses(context.WithoutCancel(ctx)) // those of this moment too
	projects, err := s.Projects(ctx)
	var all []losing
	var kept int64
	for _, p := range projects {
		var one losing
		if one, err = s.losingOf(ctx, p); err != nil {
			break
		}
		if kept += one.kept; one.lost > 0 {
			all = append(all, one)
		}
	}
	if err != nil {
		return readiness.Broken(language.Text{En: "The store doesn't say what was lost: #.", Ar: "لا يقول المخزن ما فُقد: #."}.Quoting(err.Error()),
			language.Text{En: "See /ready for why the store can't be used.", Ar: "انظر \u200e/ready لمعرفة سبب تعذّر استعمال المخزن."})
	}
	return judgeLosses(all, kept)
}

// losingOf is what a project has lost and kept since yesterday.
func (s *Service) losingOf(ctx context.Context, p Project) (losing, error) {
	t, err := s.totalsOf(ctx, p.ID)
	one := losing{name: p.Name, kept: t.Days.since(s.yesterday())}
	for _, l := range t.Losses {
		if n := l.Days.since(s.yesterday()); n > 0 && slices.Contains(avoidable, l.Reason) {
			one.lost, one.why = one.lost+n, append(one.why, l.Reason)
		}
	}
	return one, err
}

// manyLost is how many events are more than an accident.
const manyLost = 10

// maxLosing is how many of these are named.
const maxLosing = 5

func judgeLosses(all []losing, kept int64) readiness.Finding {
	if len(all) == 0 {
		return readiness.Kept(language.Both(func(t language.Tag) string {
			return language.Text{En: "Events kept since yesterday: #; none was lost.", Ar: "الأحداث المحفوظة منذ أمس: #، ولم يُفقد أيّ حدث."}.Quoting(t.Number(kept)).In(t)
		}))
	}
	slices.SortFunc(all, func(x, y losing) int { return int(min(1, max(-1, y.lost-x.lost))) })
	evidence := language.Both(func(t language.Tag) string {
		var parts []string
		for _, one := range all[:min(len(all), maxLosing)] {
			parts = append(parts, language.Text{En: "#: # lost (#), # kept", Ar: "#: فُقد # (#) وحُفظ #"}.Quoting(one.name, t.Number(one.lost), strings.Join(one.why, ", "), t.Number(one.kept)).In(t))
		}
		return language.Text{En: "Since yesterday: ", Ar: "منذ أمس: "}.In(t) + strings.Join(parts, language.Text{En: "; ", Ar: "؛ "}.In(t)) + "."
	})
	mend := language.Text{
		En: "For rate_limited raise the project's per_minute or find what floods it, for busy look at the load, for unavailable at the store and its disk; docs/errors.md has all reasons.",
		Ar: "لـ rate_limited ارفع per_minute للمشروع أو ابحث عمّا يغرقه، ولـ busy انظر إلى الحمل، ولـ unavailable إلى المخزن وقرصه؛ وكلّ الأسباب في docs/errors.md.",
	}
	if slices.ContainsFunc(all, func(one losing) bool { return one.lost >= manyLost && one.lost > one.kept }) {
		return readiness.Broken(evidence, mend)
	}
	return readiness.Doubtful(evidence, mend)
}
