package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"manus/docstore"
	"manus/language"
	"manus/queue"
)

// Story says what has become of an event, by its key: where it was told, where it waits and
// for what, where it was given up; or why nobody is told of it. It returns ErrNoAlert for an
// event that isn't known, or isn't kept any more, or an error of the store.
func (s *Service) Story(ctx context.Context, key string) ([]language.Text, error) {
	o, err := s.occurrences.Get(ctx, idOf(key))
	if err != nil {
		return nil, docstore.NotFoundAs(err, ErrNoAlert)
	}
	if len(o.Lanes) == 0 {
		return untold(o.Unheard), nil
	}
	return s.tried(ctx, o, "")
}

// tried says what has become of an occurrence on each lane, but for one.
func (s *Service) tried(ctx context.Context, o occurrence, except string) (all []language.Text, err error) {
	for _, lane := range slices.Sorted(maps.Keys(o.Lanes)) {
		if lane == except {
			continue
		}
		said, err := s.triedOn(ctx, o, lane)
		if err != nil {
			return nil, err
		}
		all = append(all, said)
	}
	return all, nil
}

// triedOn says what has become of an occurrence on a lane.
func (s *Service) triedOn(ctx context.Context, o occurrence, lane string) (language.Text, error) {
	sent := o.Lanes[lane]
	id, digest := alertID(o.ID, lane, sent.As, 0), false
	if !sent.HeldUntil.IsZero() {
		h, err := s.held.Get(ctx, idOf(o.ID, lane))
		switch {
		case docstore.NotFoundAs(err, nil) != nil:
			return language.Text{}, err
		case err == nil && h.Digest == "":
			return s.waitsForDigest(lane, sent), nil
		}
		id, digest = h.Digest, true
	}
	job, err := s.alerts.Get(ctx, id)
	if errors.Is(err, docstore.ErrNotFound) {
		if sent.Told != "" {
			return onLane(lane, "told", "أُبلغ"), nil
		}
		return onLane(lane, "not sent: what was to be sent isn't kept any more", "لم يُرسل: لم يعد ما كان سيُرسل محفوظًا"), nil
	}
	if err != nil {
		return language.Text{}, err
	}
	dead, err := s.isDead(ctx, lane)
	return s.stateOf(job, lane, digest, dead), err
}

// onLane says something of a lane.
func onLane(lane, en, ar string) language.Text {
	return language.Text{En: lane + ": " + en + ".", Ar: language.Arabic.Isolate(lane) + ": " + ar + "."}
}

func (s *Service) waitsForDigest(lane string, sent *sending) language.Text {
	why := language.Text{En: "more alerts than at_most", Ar: "تنبيهات أكثر من at_most"}
	if sent.Quiet {
		why = language.Text{En: "quiet hours", Ar: "ساعات الهدوء"}
	}
	until := s.moment(sent.HeldUntil)
	return onLane(lane, fmt.Sprintf("held for a digest until %s, for %s", until.En, why.En), fmt.Sprintf("أُرجئ إلى ملخّص حتى %s، بسبب %s", until.Ar, why.Ar))
}

func (s *Service) moment(at docstore.Time) language.Text {
	zone := s.rules.Load().zone
	return language.Text{En: language.English.MomentIn(at.Time, zone), Ar: language.Arabic.MomentIn(at.Time, zone)}
}

var attempts = language.Plural{
	En: language.Forms{Zero: "not tried yet", One: "tried once", Other: "tried # times"},
	Ar: language.Forms{Zero: "لم يُحاول بعد", One: "حُوول مرّة", Two: "حُوول مرّتين", Few: "حُوول # مرّات", Many: "حُوول # مرّة", Other: "حُوول # مرّة"},
}

// stateOf says where a message stands.
func (s *Service) stateOf(job queue.Job[alert], lane string, digest, dead bool) language.Text {
	in := language.Text{}
	if digest {
		in = language.Text{En: " in a digest", Ar: " في ملخّص"}
	}
	if job.State == queue.Done {
		at := s.moment(docstore.At(job.DoneAt))
		return onLane(lane, "told"+in.En+" at "+at.En, "أُبلغ"+in.Ar+" في "+at.Ar)
	}
	begin := language.Text{En: "waits" + in.En, Ar: "ينتظر" + in.Ar}
	if job.State == queue.Dead {
		begin = language.Text{En: "given up" + in.En, Ar: "تُرك" + in.Ar}
	}
	en := []string{begin.En, attempts.In(language.English, job.Attempt)}
	ar := []string{begin.Ar, attempts.In(language.Arabic, job.Attempt)}
	if dead {
		en, ar = append(en, "the channel is dead"), append(ar, "القناة معطّلة")
	}
	if said := strings.TrimSuffix(language.Cut(language.Line(job.Error), maxTitle), "."); said != "" {
		en, ar = append(en, "at last: "+said), append(ar, "وآخر خطأ: "+language.Arabic.Isolate(said))
	}
	return onLane(lane, strings.Join(en, ", "), strings.Join(ar, "، "))
}

// untold says why nobody is told.
func untold(all []unheard) (why []language.Text) {
	if len(all) == 0 {
		return []language.Text{{En: "Nobody is told, as no alert channel was set up.", Ar: "لا يُبلَّغ أحد، إذ لم تُعدّ قناة تنبيه."}}
	}
	rtl := language.Arabic.Isolate
	for _, u := range all {
		rule := fmt.Sprintf("alerts.rules[%d]", u.Rule)
		switch f := u.Filter; {
		case f.Name != "" && f.Has == "":
			why = append(why, language.Text{
				En: fmt.Sprintf("%s is for %s %s; this has none.", rule, f.Name, f.Takes),
				Ar: fmt.Sprintf("%s لما فيه %s، ولا شيء منه هنا.", rtl(rule), rtl(f.Name+" "+f.Takes)),
			})
		case f.Name != "":
			why = append(why, language.Text{
				En: fmt.Sprintf("%s is for %s %s; this is of %s.", rule, f.Name, f.Takes, f.Has),
				Ar: fmt.Sprintf("%s لما فيه %s، وهذا فيه %s.", rtl(rule), rtl(f.Name+" "+f.Takes), rtl(f.Has)),
			})
		case len(u.Channels) == 0:
			why = append(why, language.Text{En: rule + " tells nobody: its channels are [].", Ar: rtl(rule) + " لا تُبلّغ أحدًا: قنواتها []."})
		default:
			names := strings.Join(u.Channels, ", ")
			why = append(why, language.Text{En: fmt.Sprintf("%s tells %s, which isn't set up.", rule, names), Ar: fmt.Sprintf("%s تُبلّغ %s، ولم تُعدّ.", rtl(rule), rtl(names))})
		}
	}
	return why
}
