package notify

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/queue"
)

// prefixes are what a title begins with.
var prefixes = map[State]language.Text{
	Over:      {En: "Resolved: ", Ar: "انتهى: "},
	Passed:    {En: "Resolved already: ", Ar: "انتهى قبل إرساله: "},
	Reminder:  {En: "Reminder: ", Ar: "تذكير: "},
	Escalated: {En: "Nobody has acknowledged: ", Ar: "لم يستلمه أحد: "},
}

func titleOf(state State, title language.Text, tag language.Tag) string {
	return prefixes[state].In(tag) + title.In(tag)
}

// The names of facts.
var (
	factSince     = language.Text{En: "Since", Ar: "منذ"}
	factAt        = language.Text{En: "At", Ar: "في"}
	factEnded     = language.Text{En: "Ended", Ar: "انتهى في"}
	factLasted    = language.Text{En: "Lasted", Ar: "استمرّ"}
	factLasts     = language.Text{En: "Has lasted", Ar: "مستمرّ منذ"}
	factProject   = language.Text{En: "Project", Ar: "المشروع"}
	factWhere     = language.Text{En: "Environment", Ar: "البيئة"}
	factMonitor   = language.Text{En: "Monitor", Ar: "المراقَب"}
	factComponent = language.Text{En: "Component", Ar: "المكوّن"}
	factEvent     = language.Text{En: "Event", Ar: "الحدث"}
	factLevel     = language.Text{En: "Level", Ar: "المستوى"}
	factSource    = language.Text{En: "Installation", Ar: "التثبيت"}
)

// levelWords are the levels for people.
var levelWords = map[Level]language.Text{
	Critical: {En: "critical", Ar: "حرج"}, Error: {En: "error", Ar: "خطأ"}, Warning: {En: "warning", Ar: "تحذير"}, Info: {En: "info", Ar: "معلومة"},
}

// from says in a message which installation it is from.
func (s *Service) from(m Message) Message {
	if m.Source = s.c.Source; m.Source != "" {
		m.Facts = append(m.Facts, Fact{factSource.In(m.Language), m.Source})
	}
	return m
}

// message is what is said of an occurrence: the same at every attempt, until there is
// something else to say. That has another ID, as a receiver may have taken an attempt that
// nobody knows of, and keep only the first message of an ID.
func (s *Service) message(l *lane, n int, at time.Time, o occurrence, say State) Message {
	r, e, tag := s.rules.Load(), o.Event, l.language
	m := Message{
		ID: alertID(o.ID, l.name, say, n), Thread: o.ID, State: say, Kind: e.Kind, Level: e.level(), At: at, Language: tag,
		Facts: r.facts(o, at, tag), Lines: e.lines(tag, r.zone), Runbook: r.runbook(e.Kind),
	}
	m.Title, m.Text, m.URL = o.words(say, tag)
	if o.End != nil {
		m.Lines = o.End.lines(tag, r.zone)
	}
	if o.isOpen() && s.c.PublicURL != "" && len(s.c.Secrets) > 0 {
		m.Acknowledge = strings.TrimSuffix(s.c.PublicURL, "/") + "/alerts/" + token(s.c.Secrets[0], o.ID)
	}
	return s.from(m)
}

// words are the title, the text and the link by which an occurrence is told and listed.
func (o occurrence) words(say State, tag language.Tag) (title, text, url string) {
	title, text, url = titleOf(say, o.Event.Title, tag), o.Event.Text.In(tag), o.Event.URL
	if o.End == nil {
		return title, text, url
	}
	ended := paragraphs(o.End.Title.In(tag), o.End.Text.In(tag))
	if say == Passed {
		ended = paragraphs(text, ended)
	}
	return title, ended, cmp.Or(o.End.URL, url)
}

func paragraphs(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(t string) bool { return t == "" }), "\n\n")
}

// runbook is the address of what to do; that of the kind itself goes before that of many.
func (r *routing) runbook(kind string) string {
	on := ""
	for pattern := range r.Runbooks {
		if names(pattern, kind) && len(pattern) > len(on) {
			on = pattern
		}
	}
	return r.Runbooks[on]
}

// facts are what a message says beside its text.
func (r *routing) facts(o occurrence, now time.Time, tag language.Tag) []Fact {
	var facts []Fact
	add := func(name language.Text, value string) {
		if value != "" {
			facts = append(facts, Fact{name.In(tag), value})
		}
	}
	switch begun := tag.MomentIn(o.Event.At.Time, r.zone); {
	case o.End != nil:
		add(factSince, begun)
		add(factEnded, tag.MomentIn(o.Ended.Time, r.zone))
		add(factLasted, tag.Duration(o.Ended.Sub(o.Event.At.Time)))
	case kindOf(o.Event.Kind).Ends:
		add(factSince, begun)
		if lasts := now.Sub(o.Event.At.Time); lasts >= time.Minute {
			add(factLasts, tag.Duration(lasts))
		}
	default:
		add(factAt, begun)
	}
	add(factProject, o.Event.Project)
	add(factWhere, o.Event.Environment)
	add(factMonitor, o.Event.Monitor)
	add(factComponent, strings.Join(o.Event.Components, ", "))
	add(factEvent, o.Event.Kind)
	if o.End == nil {
		add(factLevel, levelWords[o.Event.level()].In(tag))
	}
	return facts
}

var (
	digestTitle = language.Text{En: "Alerts that were held back", Ar: "تنبيهات أُرجئت"}
	digestCount = language.Plural{
		En: language.Forms{One: "# alert that was held back", Other: "# alerts that were held back"},
		Ar: language.Forms{Zero: "لا تنبيهات أُرجئت", One: "تنبيه واحد أُرجئ", Two: "تنبيهان أُرجئا", Few: "# تنبيهات أُرجئت", Many: "# تنبيهًا أُرجئ", Other: "# تنبيه أُرجئ"},
	}
	digestEnded = language.Plural{
		En: language.Forms{One: "# alert is over", Other: "# alerts are over"},
		Ar: language.Forms{Zero: "لم ينتهِ أيّ تنبيه", One: "انتهى تنبيه واحد", Two: "انتهى تنبيهان", Few: "انتهت # تنبيهات", Many: "انتهى # تنبيهًا", Other: "انتهى # تنبيه"},
	}
	digestBoth = language.Text{En: "; ", Ar: "؛ "} // between these two
	digestOver = language.Plural{
		En: language.Forms{Zero: "None of those held back is over.", One: "# of those held back is over.", Other: "# of those held back are over."},
		Ar: language.Forms{Zero: "لم ينتهِ أيّ ممّا أُرجئ.", One: "انتهى واحد ممّا أُرجئ.", Two: "انتهى اثنان ممّا أُرجئ.", Few: "انتهت # ممّا أُرجئ.", Many: "انتهى # ممّا أُرجئ.", Other: "انتهى # ممّا أُرجئ."},
	}
	digestBegan = language.Text{En: "An earlier message has told that they began.", Ar: "سبق أن أُبلغ ببدايتها في رسالة سابقة."}
)

// digestMessage says what a digest holds: how much of which kind, and the worst of it. Of
// issues it says how large they have become, as of the time that it is sent.
// One thing that is over is told like any other that is.
func (s *Service) digestMessage(ctx context.Context, l *lane, job queue.Job[alert], d digest) (Message, error) {
	if d.count == 1 && d.over == 1 {
		o, err := s.occurrences.Get(ctx, d.lines[0].Occurrence)
		if err == nil && o.End != nil {
			return s.endMessage(l, job, o, d.lines[0]), nil
		}
		if docstore.NotFoundAs(err, nil) != nil {
			return Message{}, err
		}
	}
	var w storm
	if len(d.issues) > 0 {
		var err error
		if w, err = s.stormOf(ctx, d.issues); err != nil {
			return Message{}, err
		}
	}
	r, tag := s.rules.Load(), l.language
	m := Message{
		ID: job.ID, State: Digest, Kind: string(Digest), Level: d.worst, At: job.QueuedAt, Language: tag,
		Title: d.title(tag), Text: digestBegan.In(tag), AllOver: d.over == d.count,
	}
	if d.ended == d.count {
		m.Follows = d.lines[0].Began
	} else {
		m.Text = digestOver.In(tag, d.over-d.ended)
	}
	switch {
	case w.issues > 0 && d.others == 0:
		m.Title, m.Text = w.sum(tag), d.title(tag)+"."
		if len(w.projects) == 1 {
			m.Facts = append(m.Facts, Fact{factProject.In(tag), w.worst[0].Project})
		}
	case w.issues > 0:
		m.Text += " " + stormBeside.In(tag) + w.sum(tag) + "."
	}
	for _, kind := range slices.Sorted(maps.Keys(d.kinds)) {
		m.Facts = append(m.Facts, Fact{kind, tag.Number(d.kinds[kind])})
	}
	m.Facts = append(m.Facts, Fact{factSince.In(tag), tag.MomentIn(d.first, r.zone)})
	if !m.AllOver {
		m.Facts = append(m.Facts, Fact{factLevel.In(tag), levelWords[d.worst].In(tag)})
	}
	for _, h := range d.lines {
		state, at := Raised, h.At
		if h.Over {
			state = Over
		}
		if h.Began != "" {
			at = h.Ended
		}
		m.Lines = append(m.Lines, titleOf(state, h.Title, tag)+" — "+tag.Isolate(at.In(r.zone).Format("15:04")))
	}
	m.Lines = append(m.Lines, w.lines(tag)...)
	m.LinesLeft = max(0, d.others-len(d.lines)+w.issues-len(w.worst))
	return s.from(m), nil
}

// title says how many began, and how many are over that an earlier digest has told of.
func (d digest) title(tag language.Tag) string {
	switch {
	case d.over == d.count:
		return digestEnded.In(tag, d.count)
	case d.ended > 0:
		return digestCount.In(tag, d.count-d.ended) + digestBoth.In(tag) + digestEnded.In(tag, d.ended)
	}
	return digestCount.In(tag, d.count)
}

// endMessage tells of the one thing in a digest that it is over.
func (s *Service) endMessage(l *lane, job queue.Job[alert], o occurrence, h heldAlert) Message {
	say := Passed
	if h.Began != "" {
		say = Over
	}
	m := s.message(l, 0, job.QueuedAt, o, say)
	m.ID, m.Follows = job.ID, h.Began
	return m
}
