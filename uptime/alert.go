package uptime

import (
	"math"
	"time"

	"manus/docstore"
	"manus/internal/timeline"
	"manus/language"
)

// about are texts with a monitor's name in the place of %s.
func about(m Monitor, en, ar string) language.Text {
	return language.Text{En: m.Name + " " + en, Ar: language.Arabic.Isolate(m.Name) + " " + ar}
}

// downAlert says that a monitor is down: since when, why, and what was tried. For how long
// isn't in the text, which is that of reminders too.
func downAlert(m Monitor, st State, now time.Time) Alert {
	a := Alert{Kind: MonitorDown, Occurrence: st.occurrence(), At: st.Confirm.Since, Title: about(m, "is down", "متوقف"), Looks: st.Tried}
	if n := len(st.Tried); n > 0 {
		last := st.Tried[n-1].Error
		a.Text = language.Text{En: last.En + ".", Ar: last.Ar + "."}
	}
	return a
}

// upAlert says that a monitor is up again, and for how long it was down.
func upAlert(m Monitor, st State, now time.Time) Alert {
	a := Alert{Kind: MonitorDown, Occurrence: st.occurrence(), Over: true, At: st.Confirm.Since, Title: about(m, "is up again", "يعمل من جديد")}
	if n := len(st.Down); n > 0 && st.Down[n-1].Until == st.Confirm.Since.UnixMilli() { // unless the clock was set back
		lasted := st.Down[n-1].Length().Round(time.Second)
		a.Text = language.Text{
			En: "It was down for " + language.English.Duration(lasted) + ".",
			Ar: "مدة التوقف: " + language.Arabic.Duration(lasted) + ".",
		}
	}
	return a
}

// Why what was told of a monitor is over, though nobody has seen that.
var (
	goneTitle   = language.Text{En: "isn't watched any more", Ar: "لم يعد تحت المراقبة"}
	pausedTitle = language.Text{En: "is paused, and isn't watched meanwhile", Ar: "أوقفت مراقبته مؤقتًا"}
)

// endAlert says that what was told of a monitor is over, as the title says.
func endAlert(m Monitor, kind, occurrence string, title language.Text, now time.Time) Alert {
	return Alert{Kind: kind, Occurrence: occurrence, Over: true, At: docstore.At(now), Title: about(m, title.En, title.Ar)}
}

func flapAlert(m Monitor, st State, now time.Time) Alert {
	return Alert{
		Kind: MonitorFlapping, Occurrence: st.Confirm.Flapping.String(), At: st.Confirm.Flapping, Title: about(m, "goes up and down", "يتوقف ويعود مرارًا"),
		Text: language.Text{
			En: "You aren't told of each time until it has been quiet for half an hour.",
			Ar: "لن يصلك تنبيه عن كل مرة حتى يستقر نصف ساعة.",
		},
	}
}

// calmAlert says that a monitor has stopped going up and down. since is when it began to.
func calmAlert(m Monitor, since docstore.Time, st State, now time.Time) Alert {
	a := Alert{Kind: MonitorFlapping, Occurrence: since.String(), Over: true, At: docstore.At(now), Title: about(m, "is stable again and up", "استقر ويعمل")}
	if st.Confirm.Down {
		a.Title = about(m, "is stable again, and down", "استقر وهو متوقف")
	}
	return a
}

// burnAlert says that an error budget burns: by which rule, and what is left of it.
func burnAlert(m Monitor, b burning, r burnRule, h timeline.History, now time.Time) Alert {
	a := Alert{Kind: SLOBurning, Severity: b.Severity, Occurrence: b.occurrence(), At: b.Since, Title: about(m, "burns its error budget", "يستهلك ميزانية أخطائه")}
	if b.Severity == Page {
		a.Title = about(m, "burns its error budget fast", "يستهلك ميزانية أخطائه بسرعة")
	}
	h.Since = 0
	down := h.Figure(timeline.Between(now.Add(-r.long), now)).Down
	total, left := budget(h, m.SLO, now)
	part := func(t language.Tag, d time.Duration) string { return percentOf(t, float64(d)/float64(total)) }
	en, ar := language.English, language.Arabic
	a.Text = language.Text{
		En: "In the last " + en.Duration(r.long) + " it was down for " + en.Duration(down) + ", " + part(en, down) + " of what its SLO allows in 30 days (" + en.Duration(total) + "). ",
		Ar: "في آخر " + ar.Duration(r.long) + " كانت مدة التوقف: " + ar.Duration(down) + "، أي " + part(ar, down) + " مما يسمح به هدفه في 30 يومًا (" + ar.Duration(total) + "). ",
	}
	if left > 0 {
		a.Text.En += part(en, left) + " is left, " + en.Duration(left) + "."
		a.Text.Ar += "بقي " + part(ar, left) + "، أي " + ar.Duration(left) + "."
	} else {
		a.Text.En += "Nothing is left."
		a.Text.Ar += "لم يبق شيء."
	}
	return a
}

// percentOf is a part as percent, never rounded up.
func percentOf(t language.Tag, part float64) string {
	return t.Number(math.Floor(part*100)) + language.Text{En: " %", Ar: "\u200e%"}.In(t)
}

// burntAlert says that an error budget burns no longer.
func burntAlert(m Monitor, b burning, h timeline.History, now time.Time) Alert {
	a := Alert{Kind: SLOBurning, Severity: b.Severity, Occurrence: b.occurrence(), Over: true, At: docstore.At(now), Title: about(m, "no longer burns its error budget", "لم يعد يستهلك ميزانية أخطائه")}
	if m.SLO <= 0 {
		a.Text = language.Text{En: "It has no SLO any more.", Ar: "لم يعد له هدف."}
		return a
	}
	if total, left := budget(h, m.SLO, now); total > 0 {
		part := max(0, float64(left)/float64(total))
		a.Text = language.Text{
			En: percentOf(language.English, part) + " of what its SLO allows in 30 days is left.",
			Ar: "بقي " + percentOf(language.Arabic, part) + " مما يسمح به هدفه في 30 يومًا.",
		}
	}
	return a
}

// networkAlert is about this program: it can't reach anything.
func networkAlert(since docstore.Time, over bool, now time.Time) Alert {
	a := Alert{Kind: NetworkDown, Occurrence: since.String(), Over: over, At: since}
	if over {
		lasted := now.Sub(since.Time).Round(time.Second)
		a.At = docstore.At(now)
		a.Title = language.Text{En: "The monitor's own network is back", Ar: "عادت شبكة المراقِب نفسه"}
		a.Text = language.Text{
			En: "It was gone for " + language.English.Duration(lasted) + ". What was up or down meanwhile isn't known, and counts as neither.",
			Ar: "مدة الانقطاع: " + language.Arabic.Duration(lasted) + ". ما كان يعمل أو متوقفًا في تلك المدة غير معروف ولا يُحسب.",
		}
		return a
	}
	a.Title = language.Text{En: "The monitor's own network is gone", Ar: "انقطعت شبكة المراقِب نفسه"}
	a.Text = language.Text{
		En: "Nothing can be reached from here, so nothing is known of what is watched. You aren't told of each monitor.",
		Ar: "لا يمكن الوصول إلى أي شيء من هنا، فلا يُعرف حال ما يُراقب. لن يصلك تنبيه عن كل مراقَب.",
	}
	return a
}

// silentAlert says that nothing is heard of a place any more. heard is when it was last.
func silentAlert(name string, heard docstore.Time, now time.Time) Alert {
	silence := now.Sub(heard.Time).Round(time.Second)
	return Alert{
		Kind: ProbeSilent, Occurrence: heard.String(), At: heard, Title: aboutPlace(name, "nothing is heard of the place", "انقطعت أخبار الموقع"),
		Text: language.Text{
			En: "It has been silent for " + language.English.Duration(silence) + ". Its program, its machine or its way to the server is gone; nothing is said of monitors by that. Those that it watches are judged by the other places.",
			Ar: "مدة صمته حتى الآن: " + language.Arabic.Duration(silence) + ". توقف برنامجه أو جهازه أو طريقه إلى الخادم، ولا يدل ذلك على حال المراقَبات، وتحكم فيها المواقع الأخرى.",
		},
	}
}

// heardAlert says that a place is heard of again.
func heardAlert(name string, silent docstore.Time, now time.Time) Alert {
	lasted := now.Sub(silent.Time).Round(time.Second)
	return Alert{
		Kind: ProbeSilent, Occurrence: silent.String(), Over: true, At: docstore.At(now), Title: aboutPlace(name, "the place is heard of again", "عادت أخبار الموقع"),
		Text: language.Text{
			En: "It was silent for " + language.English.Duration(lasted) + ". What it has found meanwhile comes in now, and changes nothing of what was told.",
			Ar: "كانت مدة صمته: " + language.Arabic.Duration(lasted) + ". تصل الآن نتائجه من تلك المدة، ولا تغير شيئًا مما قيل.",
		},
	}
}

// forgottenAlert says that a place that was silent is no more.
func forgottenAlert(name string, silent docstore.Time, now time.Time) Alert {
	return Alert{Kind: ProbeSilent, Occurrence: silent.String(), Over: true, At: docstore.At(now), Title: aboutPlace(name, "the place was removed", "أزيل الموقع")}
}

func aboutPlace(name, en, ar string) language.Text {
	return language.Text{En: name + ": " + en, Ar: language.Arabic.Isolate(name) + ": " + ar}
}
