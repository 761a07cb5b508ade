package heartbeat

import (
	"fmt"
	"time"

	"manus/language"
)

// Tell says in words how a job is and why, where that is bad; else it is empty.
func (s *Schedule) Tell(st Standing, r Record) language.Text {
	en, ar := s.moment(language.English), s.moment(language.Arabic)
	grace := func(tag language.Tag) string { return tag.Duration(s.Grace) }
	switch st.Kind {
	case Overdue:
		if r.Good.IsZero() {
			return language.Text{
				En: fmt.Sprintf("No success was ever reported; one was expected by %s, and %s of grace are over", en(st.Expected), grace(language.English)),
				Ar: fmt.Sprintf("لم يصل أي نجاح؛ كان متوقعًا في %s وانقضت مهلة %s", ar(st.Expected), grace(language.Arabic)),
			}
		}
		return language.Text{
			En: fmt.Sprintf("No success was reported since %s; one was expected by %s, and %s of grace are over", en(r.Good.Time), en(st.Expected), grace(language.English)),
			Ar: fmt.Sprintf("لم يصل نجاح منذ %s؛ كان متوقعًا في %s وانقضت مهلة %s", ar(r.Good.Time), ar(st.Expected), grace(language.Arabic)),
		}
	case Failed:
		text := language.Text{En: fmt.Sprintf("It reported at %s that it failed", en(st.Since)), Ar: fmt.Sprintf("أبلغ في %s أنه فشل", ar(st.Since))}
		if status := r.lastFail().Status; status != 0 {
			text.En += fmt.Sprintf(", with exit status %d", status)
			text.Ar += " برمز خروج " + language.Arabic.Isolate(fmt.Sprint(status))
		}
		return text
	case TooLong:
		began := r.Running[0].At.Time
		return language.Text{
			En: fmt.Sprintf("The run that began at %s hasn't ended within %s", en(began), language.English.Duration(st.Since.Sub(began))),
			Ar: fmt.Sprintf("التشغيل الذي بدأ في %s لم ينته؛ والمدة: %s", ar(began), language.Arabic.Duration(st.Since.Sub(began))),
		}
	}
	return language.Text{}
}

// moment writes moments by the clocks of the schedule's zone.
func (s *Schedule) moment(tag language.Tag) func(time.Time) string {
	return func(at time.Time) string { return tag.Isolate(tag.MomentIn(at, s.Zone())) }
}

// lastFail is the last ping that has ended a run badly; the zero value where there was none.
func (r Record) lastFail() Ping {
	for i := len(r.Pings) - 1; i >= 0; i-- {
		if r.Pings[i].Signal == Fail {
			return r.Pings[i]
		}
	}
	return Ping{}
}
