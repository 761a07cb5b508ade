package uptime

import (
	"context"
	"slices"
	"strings"
	"time"

	"manus/language"
	"manus/readiness"
)

// PromisesConfig is what the promises of watching are about.
type PromisesConfig struct {
	// Addresses are those that have to be watched, each in all forms that it has; none where
	// nobody knows where the product is reached.
	Addresses func(ctx context.Context) [][]string
	// Pulse is what tells outward that somebody watches; nil: nothing does.
	Pulse *Pulse
	// Trial is set where the product is only being tried, on one machine.
	Trial bool
}

// Promises are what is measured of watching.
func (s *Service) Promises(c PromisesConfig) []readiness.Check {
	return []readiness.Check{
		{
			ID: "uptime.monitors", Essential: true, Title: language.Text{En: "Monitors watch the health, readiness and homepage addresses", Ar: "تُراقَب عناوين الصحّة والجاهزية والصفحة الرئيسية"},
			Measure: func(ctx context.Context) readiness.Finding { return s.checkMonitors(ctx, c) },
		},
		{
			ID: "uptime.elsewhere", Title: language.Text{En: "They are watched from another machine too", Ar: "تُراقَب من جهاز آخر أيضًا"},
			Measure: func(ctx context.Context) readiness.Finding { return s.checkElsewhere(ctx, c) },
		},
		{
			ID: "uptime.heartbeat", OfCopy: true, Title: language.Text{En: "Somebody else notices when this machine is dead", Ar: "يلاحظ طرف آخر توقّف هذا الجهاز"},
			Measure: func(context.Context) readiness.Finding { return c.checkPulse() },
		},
	}
}

// onOneMachine is why something isn't measured where the product is being tried.
var onOneMachine = readiness.NotMeasured(language.Text{En: "The product is being tried on one machine, which nobody watches from elsewhere.", Ar: "المنتَج قيد التجربة على جهاز واحد لا يراقبه أحد من موقع آخر."})

// watching are the monitors of the addresses, nil for one that isn't watched. Errors are the store's.
func (s *Service) watching(ctx context.Context, addresses [][]string) ([]*Watched, error) {
	all, err := s.Monitors(ctx)
	own := make([]*Watched, len(addresses))
	for i, forms := range addresses {
		of := func(w Watched) bool { return slices.Contains(forms, w.URL) }
		if at := slices.IndexFunc(all, func(w Watched) bool { return of(w) && w.Status != Paused }); at >= 0 {
			own[i] = &all[at]
		} else if at := slices.IndexFunc(all, of); at >= 0 {
			own[i] = &all[at]
		}
	}
	return own, err
}

var (
	mendWatch = language.Text{En: "See 'manus monitor list'; without monitors of its own in manus.yaml the product watches these by itself.", Ar: "انظر manus monitor list؛ يراقب المنتَج هذه العناوين من تلقاء نفسه ما لم تكن لها مراقَبات في manus.yaml."}
	unasked   = language.Text{En: "The store doesn't say what is watched: #.", Ar: "لا يذكر المخزن ما يُراقَب: #."}
	mendStore = language.Text{En: "See /ready for why the store can't be used.", Ar: "انظر \u200e/ready لمعرفة سبب تعذّر استعمال المخزن."}
	nowhere   = readiness.NotMeasured(language.Text{En: "It isn't known where the product is reached: set PUBLIC_URL.", Ar: "لا يُعرف عنوان المنتَج: اضبط PUBLIC_URL."})
)

// checkMonitors is that the addresses are watched, and were looked at as often as they should.
func (s *Service) checkMonitors(ctx context.Context, c PromisesConfig) readiness.Finding {
	addresses := c.Addresses(ctx)
	if len(addresses) == 0 {
		return nowhere
	}
	own, err := s.watching(ctx, addresses)
	if err != nil {
		return readiness.Broken(unasked.Quoting(err.Error()), mendStore)
	}
	j, err := s.journal(ctx)
	if err != nil {
		return readiness.Broken(unasked.Quoting(err.Error()), mendStore)
	}
	now := s.c.Now()
	watches := j.Alive.IsZero() || now.Sub(j.Alive.Time).Abs() <= smallGap // before the first look nobody has
	worst, said := readiness.Pass, []language.Text{}
	for i, w := range own {
		status, text := w.watchedWell(addresses[i][0], watches, j.resumed(), now)
		if said = append(said, text); status == readiness.Fail || worst == readiness.Pass {
			worst = status
		}
	}
	evidence := language.Both(func(t language.Tag) string {
		var parts []string
		for _, text := range said {
			parts = append(parts, text.In(t))
		}
		return strings.Join(parts, " ")
	})
	switch worst {
	case readiness.Fail:
		return readiness.Broken(evidence, mendWatch)
	case readiness.Warn:
		return readiness.Doubtful(evidence, mendWatch)
	}
	return readiness.Kept(evidence)
}

// lateBy is how much later than it should a look may be.
const lateBy = 30 * time.Second

// resumed is when somebody has begun to watch again, after nobody did; zero if that never was.
func (j journal) resumed() time.Time {
	if len(j.Gaps) == 0 || j.Gaps.IsOpen() {
		return time.Time{}
	}
	return time.UnixMilli(j.Gaps[len(j.Gaps)-1].Until)
}

// watchedWell tells how well an address is watched by a monitor, nil being none. What was looked at
// before a while in which nobody watched is looked at in its turn, as after a first start.
func (w *Watched) watchedWell(address string, somebody bool, resumed, now time.Time) (readiness.Status, language.Text) {
	switch {
	case w == nil:
		return readiness.Fail, language.Text{En: "Nothing watches #.", Ar: "لا شيء يراقب #."}.Quoting(address)
	case w.Status == Paused:
		return readiness.Fail, language.Text{En: "The monitor # is paused.", Ar: "المراقَب # موقوف مؤقّتًا."}.Quoting(w.ID)
	case !somebody:
		return readiness.Fail, language.Text{En: "No copy of the server watches #.", Ar: "لا تراقب أيّ نسخة من الخادم #."}.Quoting(address)
	case w.Last.At.IsZero():
		return readiness.Warn, language.Text{En: "# hasn't been looked at yet.", Ar: "لم يُنظر في # بعد."}.Quoting(w.ID)
	}
	age := now.Sub(w.Last.At).Abs()
	text := language.Both(func(t language.Tag) string {
		return language.Text{En: "#: looked at # ago, #.", Ar: "#: نُظر فيه قبل #، #."}.Quoting(w.ID, t.Duration(age), statusWords[w.Status].In(t)).In(t)
	})
	late := 2*w.Every + w.Timeout + lateBy
	switch {
	case age > late && now.Sub(resumed).Abs() <= late:
		return readiness.Warn, text
	case age > late:
		return readiness.Fail, text
	case w.Status == Down:
		return readiness.Warn, text
	}
	return readiness.Pass, text
}

var statusWords = map[Status]language.Text{
	Up: {En: "up", Ar: "يعمل"}, Down: {En: "down", Ar: "متوقّف"}, Unknown: {En: "not known yet", Ar: "غير معروف بعد"}, Maintenance: {En: "under maintenance", Ar: "قيد الصيانة"},
}

// checkElsewhere is that another place reports of each of the addresses.
func (s *Service) checkElsewhere(ctx context.Context, c PromisesConfig) readiness.Finding {
	if c.Trial {
		return onOneMachine
	}
	addresses := c.Addresses(ctx)
	if len(addresses) == 0 {
		return nowhere
	}
	own, err := s.watching(ctx, addresses)
	places, failure := s.Places(ctx)
	if err == nil {
		err = failure
	}
	if err != nil {
		return readiness.Broken(unasked.Quoting(err.Error()), mendStore)
	}
	mend := language.Text{En: "Start 'manus watch' on another machine, or see why it isn't heard of there.", Ar: "شغّل manus watch على جهاز آخر، أو انظر هناك لماذا لا يُسمع منه."}
	if len(places) == 0 {
		return readiness.Doubtful(language.Text{En: "There is no other place: nobody notices when only this machine's network is cut off.", Ar: "لا يوجد موقع مراقبة آخر: لن يلاحظ أحد انقطاع شبكة هذا الجهاز وحدها."}, mend)
	}
	var heard, silent []string
	watched, seen := 0, 0
	for _, p := range places {
		if p.Silent || p.CutOff {
			silent = append(silent, p.Name)
		} else {
			heard = append(heard, p.Name)
		}
	}
	for _, w := range own {
		if w == nil { // see checkMonitors
			continue
		}
		if watched++; slices.ContainsFunc(heard, w.isSeenFrom) {
			seen++
		}
	}
	evidence := language.Both(func(t language.Tag) string {
		return language.Text{En: "# of # addresses are seen from: #. Not heard of: #.", Ar: "عدد العناوين المراقَبة من موقع آخر # من #، والمواقع: #. ولا يُسمع من: #."}.
			Quoting(t.Number(seen), t.Number(watched), listed(heard), listed(silent)).In(t)
	})
	switch {
	case seen < watched || watched == 0:
		return readiness.Broken(evidence, mend)
	case len(silent) > 0:
		return readiness.Doubtful(evidence, mend)
	}
	return readiness.Kept(evidence)
}

// listed are names for people.
func listed(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ", ")
}

// pulseLate is how long ago the last answer may be.
const pulseLate = 3 * time.Minute

// checkPulse is that whoever waits for this program's heartbeat has heard it.
func (c PromisesConfig) checkPulse() readiness.Finding {
	mend := language.Text{En: "Set HEARTBEAT_URL to one of a service that tells when it isn't asked for any more, and see that it answers.", Ar: "اضبط HEARTBEAT_URL على عنوان خدمة تنبّه حين لا يُطلب، وتحقّق من أنّها تجيب."}
	if c.Pulse == nil {
		if c.Trial {
			return onOneMachine
		}
		return readiness.Doubtful(language.Text{En: "Nobody is told that this installation is alive: HEARTBEAT_URL isn't set.", Ar: "لا يُخبَر أحد بأنّ هذا التثبيت يعمل: HEARTBEAT_URL غير مضبوط."}, mend)
	}
	c.Pulse.mu.Lock()
	defer c.Pulse.mu.Unlock()
	p, now := c.Pulse, time.Now()
	switch {
	case p.began.IsZero():
		return readiness.NotMeasured(language.Text{En: "No server runs, which would send it.", Ar: "لا يعمل خادم يرسله."})
	case p.failure != nil:
		return readiness.Broken(language.Text{En: "The heartbeat can't be sent: #.", Ar: "تعذّر إرسال النبضة: #."}.Quoting(p.failure.Error()), mend)
	case p.answered.IsZero() && now.Sub(p.began) < pulseLate:
		return readiness.Doubtful(language.Text{En: "It hasn't been sent yet: the server has just started.", Ar: "لم تُرسل النبضة بعد: بدأ الخادم للتوّ."}, mend)
	case now.Sub(p.answered) > pulseLate:
		return readiness.Broken(language.Text{En: "It isn't sent, because nobody watches the monitors.", Ar: "لا تُرسل النبضة لأنّ أحدًا لا يراقب."}, mendWatch)
	}
	ago := now.Sub(p.answered)
	return readiness.Kept(language.Both(func(t language.Tag) string {
		return language.Text{En: "Whoever waits for it has answered # ago.", Ar: "أجاب من ينتظرها قبل #."}.Quoting(t.Duration(ago)).In(t)
	}))
}
