package notify

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

// Promises are what is measured of alerts. Kept says that mails are kept in the store, so that
// they reach nobody.
func (s *Service) Promises(kept bool) []readiness.Check {
	return []readiness.Check{
		{
			ID: "uptime.channels", Title: language.Text{En: "Each alert channel has delivered within a month", Ar: "أوصلت كلّ قناة تنبيه رسالة خلال شهر"},
			Measure: func(ctx context.Context) readiness.Finding { return s.checkChannels(ctx, kept) },
		},
		{
			ID: "uptime.person", Essential: true, Offline: true, Title: language.Text{En: "An alert channel reaches a person", Ar: "تصل قناة تنبيه إلى إنسان"},
			Measure: func(context.Context) readiness.Finding { return s.checkPerson(kept) },
		},
	}
}

var (
	reachNobody = readiness.NotMeasured(language.Text{En: "Mails are kept in the store, to be looked at: there is no mail server, and no other channel.", Ar: "تُحفظ رسائل البريد في المخزن للاطّلاع عليها: لا خادم بريد ولا قناة أخرى."})
	noChannel   = language.Text{En: "There is no alert channel: nobody is told of anything.", Ar: "لا توجد قناة تنبيه: لا يُنبَّه أحد إلى شيء."}
	mendChannel = language.Text{En: "Set ALERT_EMAIL (with SMTP_URL) or SLACK_WEBHOOK_URL, or add another in manus.yaml.", Ar: "اضبط ALERT_EMAIL (مع SMTP_URL) أو SLACK_WEBHOOK_URL، أو أضف قناة في manus.yaml."}
)

// sending are the lanes in whose channels something leaves this installation, by their names.
func (s *Service) sending(kept bool) (lanes map[string]*lane, keeps bool) {
	lanes = map[string]*lane{}
	for name, l := range s.rules.Load().lanes {
		if kept && l.config.Type == "mail" {
			keeps = true
		} else {
			lanes[name] = l
		}
	}
	return lanes, keeps
}

// checkPerson is that there is a channel that a person reads.
func (s *Service) checkPerson(kept bool) readiness.Finding {
	lanes, keeps := s.sending(kept)
	var people []string
	for name, l := range lanes {
		if l.config.Type != "webhook" { // which a program takes
			people = append(people, name+" ("+l.config.Type+")")
		}
	}
	slices.Sort(people)
	switch {
	case len(people) > 0:
		return readiness.Kept(language.Text{En: "By #.", Ar: "عبر #."}.Quoting(strings.Join(people, ", ")))
	case keeps:
		return reachNobody
	case len(lanes) > 0:
		return readiness.Broken(language.Text{En: "All channels are webhooks, which programs take.", Ar: "القنوات كلّها خطّافات ويب تتلقّاها برامج."}, mendChannel)
	}
	return readiness.Broken(noChannel, mendChannel)
}

// checkChannels is that a receiver has taken something on each lane of late, by what the room
// knows of deliveries itself.
func (s *Service) checkChannels(ctx context.Context, kept bool) readiness.Finding {
	lanes, keeps := s.sending(kept)
	switch {
	case len(lanes) == 0 && keeps:
		return reachNobody
	case len(lanes) == 0:
		return readiness.Broken(noChannel, mendChannel)
	}
	now := s.c.Now()
	var good, bad, doubtful []language.Text
	for _, name := range slices.Sorted(maps.Keys(lanes)) {
		state, err := s.lanes.Get(ctx, name)
		if err = docstore.NotFoundAs(err, nil); err != nil {
			return readiness.Broken(language.Text{En: "The store doesn't say what was delivered: #.", Ar: "لا يذكر المخزن ما أُوصل: #."}.Quoting(err.Error()),
				language.Text{En: "See /ready for why the store can't be used.", Ar: "انظر \u200e/ready لمعرفة سبب تعذّر استعمال المخزن."})
		}
		text := state.told(lanes[name], now)
		switch {
		case !state.proves(lanes[name], now):
			bad = append(bad, text)
		case !state.FailingSince.IsZero():
			doubtful = append(doubtful, text)
		default:
			good = append(good, text)
		}
	}
	evidence := language.Both(func(t language.Tag) string {
		var parts []string
		for _, text := range slices.Concat(bad, doubtful, good) {
			parts = append(parts, text.In(t))
		}
		return strings.Join(parts, " ")
	})
	mend := language.Text{En: "Try it: manus notify test CHANNEL. What was given up is listed by 'manus notify list --failed'.", Ar: "جرّبها: manus notify test CHANNEL. وما تُرك يسرده الأمر manus notify list --failed."}
	switch {
	case len(bad) > 0:
		return readiness.Broken(evidence, mend)
	case len(doubtful) > 0:
		return readiness.Doubtful(evidence, mend)
	}
	return readiness.Kept(evidence)
}

// proves tells whether something was delivered so lately, to where the lane leads now, that it is taken to work.
func (l laneState) proves(to *lane, now time.Time) bool {
	return !l.Dead && !l.DeliveredAt.IsZero() && !l.elsewhere(to) && now.Sub(l.DeliveredAt.Time) < proofLasts
}

// elsewhere tells whether what was delivered went to another receiver than that of the settings.
func (l laneState) elsewhere(to *lane) bool {
	return l.DeliveredTo != "" && l.DeliveredTo != to.config.receiver()
}

// told is what is known of a lane's deliveries.
func (l laneState) told(to *lane, now time.Time) language.Text {
	name := to.name
	return language.Both(func(t language.Tag) string {
		ago := func(at docstore.Time) string { return t.Duration(now.Sub(at.Time).Abs()) }
		switch {
		case l.Dead:
			return language.Text{En: "#: has taken nothing for #.", Ar: "#: لا تقبل شيئًا منذ #."}.Quoting(name, ago(l.FailingSince)).In(t)
		case l.DeliveredAt.IsZero():
			return language.Text{En: "#: has never delivered anything.", Ar: "#: لم توصل شيئًا قطّ."}.Quoting(name).In(t)
		case l.elsewhere(to):
			return language.Text{En: "#: has delivered nothing since its address or secret was changed.", Ar: "#: لم توصل شيئًا منذ تغيّر عنوانها أو سرّها."}.Quoting(name).In(t)
		case !l.FailingSince.IsZero():
			return language.Text{En: "#: has delivered # ago, but has been failing for #.", Ar: "#: أوصلت قبل #، لكنّها تفشل منذ #."}.Quoting(name, ago(l.DeliveredAt), ago(l.FailingSince)).In(t)
		}
		return language.Text{En: "#: has delivered # ago.", Ar: "#: أوصلت قبل #."}.Quoting(name, ago(l.DeliveredAt)).In(t)
	})
}
