package notify

import (
	"maps"
	"slices"
	"strings"
	"time"

	"manus/language"
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
	factMonitor   = language.Text{En: "Monitor", Ar: "المراقب"}
	factComponent = language.Text{En: "Component", Ar: "المكوّن"}
)

// message is what is said of an occurrence: the same at every attempt, until there is
// something else to say. That has another ID, as a receiver may have taken an attempt that
// nobody knows of, and keep only the first message of an ID.
func (s *Service) message(l *lane, n int, at time.Time, o occurrence, say State) Message {
	r, e, tag := s.rules.Load(), o.Event, l.language
	m := Message{
		ID: alertID(o.ID, l.name, say, n), Thread: o.ID, State: say, Kind: e.Kind, Level: e.level(), At: at, Language: tag,
		Title: titleOf(say, e.Title, tag), Text: e.Text.In(tag), Facts: r.facts(o, at, tag), Lines: e.Tried,
		URL: e.URL, Runbook: r.runbook(e.Kind),
	}
	if o.End != nil {
		m.Text, m.Lines = paragraphs(o.End.Title.In(tag), o.End.Text.In(tag)), o.End.Tried
		if say == Passed {
			m.Text = paragraphs(e.Text.In(tag), m.Text)
		}
		if o.End.URL != "" {
			m.URL = o.End.URL
		}
	}
	if o.isOpen() && s.c.PublicURL != "" && len(s.c.Secrets) > 0 {
		m.Acknowledge = strings.TrimSuffix(s.c.PublicURL, "/") + "/alerts/" + token(s.c.Secrets[0], o.ID)
	}
	return m
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
	add(factComponent, o.Event.Component)
	return facts
}

var (
	digestTitle = language.Text{En: "Alerts that were held back", Ar: "تنبيهات أُرجئت"}
	digestCount = language.Plural{
		En: language.Forms{One: "# alert that was held back", Other: "# alerts that were held back"},
		Ar: language.Forms{Zero: "لا تنبيهات أُرجئت", One: "تنبيه واحد أُرجئ", Two: "تنبيهان أُرجئا", Few: "# تنبيهات أُرجئت", Many: "# تنبيهًا أُرجئ", Other: "# تنبيه أُرجئ"},
	}
	digestOver = language.Plural{
		En: language.Forms{Zero: "None of them is over.", One: "# of them is over.", Other: "# of them are over."},
		Ar: language.Forms{Zero: "لم ينتهِ أيّ منها.", One: "انتهى واحد منها.", Two: "انتهى اثنان منها.", Few: "انتهت # منها.", Many: "انتهى # منها.", Other: "انتهى # منها."},
	}
	digestMore = language.Plural{
		En: language.Forms{One: "and # more", Other: "and # more"},
		Ar: language.Forms{Zero: "ولا غيرها", One: "وواحد آخر", Two: "واثنان آخران", Few: "و# أخرى", Many: "و# غيرها", Other: "و# غيرها"},
	}
)

// digestMessage says what a digest holds: how much of which kind, and the worst of it.
func (s *Service) digestMessage(l *lane, id string, d digest) Message {
	r, tag := s.rules.Load(), l.language
	d.cut()
	m := Message{
		ID: id, State: Digest, Kind: string(Digest), Level: d.worst, At: s.c.Now(), Language: tag,
		Title: digestCount.In(tag, d.count), Text: digestOver.In(tag, d.over),
	}
	for _, kind := range slices.Sorted(maps.Keys(d.kinds)) {
		m.Facts = append(m.Facts, Fact{kind, tag.Number(d.kinds[kind])})
	}
	m.Facts = append(m.Facts, Fact{factSince.In(tag), tag.MomentIn(d.first, r.zone)})
	for _, h := range d.lines {
		state := Raised
		if h.Over {
			state = Over
		}
		m.Lines = append(m.Lines, titleOf(state, h.Title, tag)+" — "+tag.Isolate(h.At.In(r.zone).Format("15:04")))
	}
	if more := d.count - len(d.lines); more > 0 {
		m.Lines = append(m.Lines, digestMore.In(tag, more))
	}
	return m
}
