package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/queue"
)

func TestWhatAMessageSays(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.Timezone = "Asia/Riyadh"
		p.Rules = []Rule{{On: "*", Channels: []string{"a", "b"}, RemindEvery: 2 * time.Hour}}
		p.Runbooks = map[string]string{"*": "https://wiki/any", "monitor.*": "https://wiki/monitors", "monitor.down": "https://wiki/down"}
	})
	e := r.down(1)
	e.Project, e.Environment, e.Components = "shop", "production", []string{"api"}
	e.Tried, e.Looks = nil, []Look{{At: e.At, Place: "fra", Found: language.Text{En: "no answer", Ar: "لا رد"}, Said: "full"}}
	r.tell(t, e)
	r.clock.Add(2*time.Hour + time.Minute)
	r.work(t)
	r.work(t)
	r.tell(t, r.up(1))
	a, b := r.receivers["a"].messages(), r.receivers["b"].messages()
	if len(a) != 3 || len(b) != 3 {
		t.Fatalf("%s; %s", r.receivers["a"].said(), r.receivers["b"].said())
	}
	for i, want := range []string{
		"[{Since 23 November 2026, 15:00 +03} {Project shop} {Environment production} {Monitor health} {Component api} {Event monitor.down} {Level critical}]",
		"[{Since 23 November 2026, 15:00 +03} {Has lasted 2 hours 1 minute} {Project shop} {Environment production} {Monitor health} {Component api} {Event monitor.down} {Level critical}]",
		"[{Since 23 November 2026, 15:00 +03} {Ended 23 November 2026, 17:01 +03} {Lasted 2 hours 1 minute} {Project shop} {Environment production} {Monitor health} {Component api} {Event monitor.down}]",
	} {
		if got := fmt.Sprint(a[i].Facts); got != want {
			t.Errorf("%s: the facts are %s", a[i].Title, got)
		}
	}
	for i, want := range []string{"الصحة متوقفة (1)", "تذكير: الصحة متوقفة (1)", "انتهى: الصحة متوقفة (1)"} {
		facts := fmt.Sprint(b[i].Facts)
		if b[i].Title != want || b[i].Language != language.Arabic || !strings.Contains(facts, "منذ 23 نوفمبر 2026، الساعة 15:00 بتوقيت Asia/Riyadh") || !strings.Contains(facts, "المشروع shop") || i < 2 && !strings.Contains(facts, "المستوى حرج") {
			t.Errorf("in Arabic: %s %s", b[i].Title, facts)
		}
	}
	if !strings.Contains(fmt.Sprint(b[2].Facts), "استمرّ ساعتان ودقيقة") {
		t.Errorf("it has lasted %s", b[2].Facts)
	}
	for _, m := range append(a[:2:2], b[:2]...) { // by the operator's clocks, in the reader's language
		want := language.Text{En: "15:00:00 +03, from fra: no answer; it said: full", Ar: "15:00:00 بتوقيت Asia/Riyadh، من fra: لا رد؛ وقال: full"}.In(m.Language)
		if got := strings.NewReplacer("\u2068", "", "\u2069", "").Replace(strings.Join(m.Lines, "\n")); got != want {
			t.Errorf("what was tried is %q", got)
		}
	}
	if a[0].Runbook != "https://wiki/down" || a[0].Level != Critical || a[0].Kind != "monitor.down" {
		t.Errorf("%+v", a[0])
	}
}

func TestWhatHasNoEndIsAtAMomentAndHasTheNearestRunbook(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.Runbooks = map[string]string{"*": "https://wiki/any", "issue.*": "https://wiki/issues"}
	})
	r.clock.Add(time.Hour)
	r.tell(t, Event{Kind: "issue.new", Occurrence: "1", At: docstore.At(r.clock.Now().Add(-time.Hour)), Level: Warning, Title: language.Text{En: "A bug"}})
	m := r.receivers["a"].messages()[0]
	if fmt.Sprint(m.Facts) != "[{At 23 November 2026, 12:00 UTC} {Event issue.new} {Level warning}]" || m.Runbook != "https://wiki/issues" || m.Level != Warning {
		t.Errorf("%+v", m)
	}
	if none := r.receivers["b"].messages()[0].Title; none != "A bug" { // it has no words in Arabic
		t.Errorf("in Arabic: %s", none)
	}
}

func TestEveryMessageSaysWhichInstallationItIsFrom(t *testing.T) {
	t.Parallel()
	r := setup(t, onlyA)
	r.c.Source = "staging (app.example.com)"
	r.tell(t, r.down(1), r.down(2), r.down(3))
	if _, err := r.Test(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	r.clock.Add(10 * time.Minute)
	r.work(t)
	r.work(t)
	r.tell(t, r.up(1))
	told := map[State]bool{}
	for _, m := range r.receivers["a"].messages() {
		told[m.State] = true
		if m.Source != r.c.Source || !strings.HasSuffix(fmt.Sprint(m.Facts), "{Installation staging (app.example.com)}]") {
			t.Errorf("%s: %s, %s", m.Title, m.Source, m.Facts)
		}
	}
	if len(told) != 4 {
		t.Errorf("told was %v", told)
	}
}

func TestADigestSpeaksOfAnyNumber(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	for _, c := range []struct {
		count, over, ended int
		level              Level
		en, ar             string
	}{
		{1, 0, 0, Info, "1 alert that was held back / None of those held back is over.", "تنبيه واحد أُرجئ / لم ينتهِ أيّ ممّا أُرجئ."},
		{2, 1, 0, Warning, "2 alerts that were held back / 1 of those held back is over.", "تنبيهان أُرجئا / انتهى واحد ممّا أُرجئ."},
		{11, 2, 0, Critical, "11 alerts that were held back / 2 of those held back are over.", "11 تنبيهًا أُرجئ / انتهى اثنان ممّا أُرجئ."},
		{100, 11, 0, Critical, "100 alerts that were held back / 11 of those held back are over.", "100 تنبيه أُرجئ / انتهى 11 ممّا أُرجئ."},
		{5, 4, 3, Info, "2 alerts that were held back; 3 alerts are over / 1 of those held back is over.", "تنبيهان أُرجئا؛ انتهت 3 تنبيهات / انتهى واحد ممّا أُرجئ."},
		{4, 2, 2, Critical, "2 alerts that were held back; 2 alerts are over / None of those held back is over.", "تنبيهان أُرجئا؛ انتهى تنبيهان / لم ينتهِ أيّ ممّا أُرجئ."},
		{3, 3, 0, Info, "3 alerts are over / 3 of those held back are over.", "انتهت 3 تنبيهات / انتهت 3 ممّا أُرجئ."},
		{3, 3, 1, Info, "3 alerts are over / 2 of those held back are over.", "انتهت 3 تنبيهات / انتهى اثنان ممّا أُرجئ."},
		{1, 1, 1, Info, "1 alert is over / An earlier message has told that they began.", "انتهى تنبيه واحد / سبق أن أُبلغ ببدايتها في رسالة سابقة."}, // which isn't kept any more
		{2, 2, 2, Info, "2 alerts are over / An earlier message has told that they began.", "انتهى تنبيهان / سبق أن أُبلغ ببدايتها في رسالة سابقة."},
		{12, 12, 12, Info, "12 alerts are over / An earlier message has told that they began.", "انتهى 12 تنبيهًا / سبق أن أُبلغ ببدايتها في رسالة سابقة."},
		{100, 100, 100, Info, "100 alerts are over / An earlier message has told that they began.", "انتهى 100 تنبيه / سبق أن أُبلغ ببدايتها في رسالة سابقة."},
	} {
		d := newDigest()
		for n := range c.count {
			h := heldAlert{Kind: "monitor.down", Level: levels[n%len(levels)], Over: n < c.over, Title: language.Text{En: fmt.Sprint(n), Ar: fmt.Sprint(n)}, At: docstore.At(r.clock.Now().Add(time.Duration(n) * time.Minute))}
			if n < c.ended {
				h.Began, h.Ended = "an earlier one", docstore.At(r.clock.Now().Add(24*time.Hour+time.Duration(n)*time.Minute))
			}
			d.add(h)
		}
		d.cut()
		for tag, want := range map[language.Tag]string{language.English: c.en, language.Arabic: c.ar} {
			m, err := r.digestMessage(t.Context(), &lane{language: tag}, queue.Job[alert]{ID: "id", QueuedAt: r.clock.Now()}, d)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Title + " / " + m.Text; got != want {
				t.Errorf("got %q, not %q", got, want)
			}
			if len(m.Lines) > maxLines || m.Level != c.level || m.AllOver != (c.over == c.count) || (m.Follows != "") != (c.ended == c.count) {
				t.Errorf("%s: %d lines, %s, all over: %v, it follows %q", m.Title, len(m.Lines), m.Level, m.AllOver, m.Follows)
			}
			if c.over < c.count && strings.HasPrefix(m.Lines[0], prefixes[Over].In(tag)) {
				t.Errorf("what lasts isn't first: %q", m.Lines)
			}
		}
	}
}

func TestWhatIsTooLongIsCut(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	e := r.down(1)
	e.Title.En, e.Text.Ar, e.Tried = strings.Repeat("ا", 1000), strings.Repeat("b", 10_000), []string{strings.Repeat("c", 1000)}
	for range 30 {
		e.Tried = append(e.Tried, "again")
	}
	e.Looks = []Look{{Said: "more"}}
	r.tell(t, e)
	for _, m := range append(r.receivers["a"].messages(), r.receivers["b"].messages()...) {
		if len([]rune(m.Title)) > maxTitle || len([]rune(m.Text)) > maxText || len(m.Lines) != maxTried || len([]rune(m.Lines[0])) > maxTitle {
			t.Errorf("%d, %d, %d, %d", len([]rune(m.Title)), len([]rune(m.Text)), len(m.Lines), len(m.Lines[0]))
		}
	}
	if len(e.Tried) != 31 {
		t.Error("the event of whoever tells it was changed")
	}
}
