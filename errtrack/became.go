package errtrack

import (
	"context"

	"manus/language"
)

// Alerted is what has become of an alert of an issue: on which channels it was told, waits, or
// was given up, or why nobody is told, a sentence each.
type Alerted struct {
	Kind   string
	Became []language.Text
}

// Alerted says what has become of an issue's alerts: of its being new, or of the last time that
// it came back, and of its last spikes; and what will be told of it next. Errors are those of
// Config.Became.
func (s *Service) Alerted(ctx context.Context, i Issue) (all []Alerted, next language.Text, err error) {
	add := func(kind, occurrence string) {
		if err != nil {
			return
		}
		a := Alerted{Kind: kind}
		if s.c.Became != nil {
			a.Became, err = s.c.Became(ctx, kind, i.Short, occurrence)
		}
		if len(a.Became) == 0 {
			a.Became = []language.Text{i.unknownAlert(occurrence)}
		}
		all = append(all, a)
	}
	if i.Regressed == 0 {
		add(IssueNew, i.ID)
	} else {
		add(IssueRegressed, i.comeback())
	}
	for _, spike := range i.Spikes {
		if !spike.Told.IsZero() {
			add(IssueSpike, i.spikeOccurrence(spike))
		}
	}
	return all, s.nextTold(i), err
}

// unknownAlert says why nothing is known of an alert.
func (i *Issue) unknownAlert(occurrence string) language.Text {
	for _, waits := range i.Pending {
		if waits.Occurrence == occurrence {
			return language.Text{En: "It waits to be told: the server does that within seconds of its start.", Ar: "ينتظر أن يُبلَّغ: يفعل الخادم ذلك خلال ثوانٍ من بدئه."}
		}
	}
	return language.Text{
		En: "Nothing is known of it: what was told is kept for 30 days, and what is split off another issue isn't told.",
		Ar: "لا يُعرف عنه شيء: يُحفظ ما أُبلغ ثلاثين يومًا، وما فُصل عن مشكلة أخرى لا يُبلَّغ.",
	}
}

// nextTold says what of the issue is told from now on.
func (s *Service) nextTold(i Issue) language.Text {
	switch i.Status {
	case Resolved:
		return language.Text{En: "It is resolved: it is told when it comes back.", Ar: "هي محلولة: يُبلَّغ عند عودتها."}
	case Ignored:
		if g := i.Ignore; g == nil || g.Until.IsZero() && g.Count == 0 && g.Users == 0 {
			return language.Text{En: "It is ignored: nothing is told of it.", Ar: "هي متجاهلة: لا يُبلَّغ عنها شيء."}
		}
		return language.Text{En: "It is ignored: it is told once that has an end.", Ar: "هي متجاهلة: يُبلَّغ حين ينتهي ذلك."}
	}
	switch {
	case s.c.RulesUnread:
		return language.Text{
			En: "More events aren't told, unless it was resolved or ignored and is back. Whether many of them are is in the server's manus.yaml: give it with --config.",
			Ar: "لا تُبلَّغ أحداث أخرى إلا إن حُلّت أو تُجوهلت ثم عادت. أمّا هل تُبلَّغ إن كثرت ففي ملف manus.yaml الخاص بالخادم: أعطه مع --config.",
		}
	case len(s.policy.Load().Spikes) > 0:
		return language.Text{
			En: "More events aren't told, unless it was resolved or ignored and is back, or there are as many as a rule for issue.spike names.",
			Ar: "لا تُبلَّغ أحداث أخرى إلا إن حُلّت أو تُجوهلت ثم عادت، أو بلغ عددها ما تحدّده قاعدة issue.spike.",
		}
	}
	return language.Text{
		En: "More events aren't told, unless it was resolved or ignored and is back: no rule for issue.spike says how many are worth telling.",
		Ar: "لا تُبلَّغ أحداث أخرى إلا إن حُلّت أو تُجوهلت ثم عادت: لا قاعدة issue.spike تحدّد كم منها يستحقّ.",
	}
}
