package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/language"
)

func TestWhatAMessageSays(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) {
		p.Timezone = "Asia/Riyadh"
		p.Rules = []Rule{{On: "*", Channels: []string{"a", "b"}, RemindEvery: 2 * time.Hour}}
		p.Runbooks = map[string]string{"*": "https://wiki/any", "monitor.*": "https://wiki/monitors", "monitor.down": "https://wiki/down"}
	})
	e := r.down(1)
	e.Project, e.Environment, e.Component = "shop", "production", "api"
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
		"[{Since 2026-11-23 15:00 +03} {Project shop} {Environment production} {Monitor health} {Component api}]",
		"[{Since 2026-11-23 15:00 +03} {Has lasted 2 hours 1 minute} {Project shop} {Environment production} {Monitor health} {Component api}]",
		"[{Since 2026-11-23 15:00 +03} {Ended 2026-11-23 17:01 +03} {Lasted 2 hours 1 minute} {Project shop} {Environment production} {Monitor health} {Component api}]",
	} {
		if got := fmt.Sprint(a[i].Facts); got != want {
			t.Errorf("%s: the facts are %s", a[i].Title, got)
		}
	}
	for i, want := range []string{"الصحة متوقفة (1)", "تذكير: الصحة متوقفة (1)", "انتهى: الصحة متوقفة (1)"} {
		facts := fmt.Sprint(b[i].Facts)
		if b[i].Title != want || b[i].Language != language.Arabic || !strings.Contains(facts, "منذ 23 نوفمبر 2026، الساعة 15:00 بتوقيت Asia/Riyadh") || !strings.Contains(facts, "المشروع shop") {
			t.Errorf("in Arabic: %s %s", b[i].Title, facts)
		}
	}
	if !strings.Contains(fmt.Sprint(b[2].Facts), "استمرّ ساعتان ودقيقة") {
		t.Errorf("it has lasted %s", b[2].Facts)
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
	if fmt.Sprint(m.Facts) != "[{At 2026-11-23 12:00 UTC}]" || m.Runbook != "https://wiki/issues" || m.Level != Warning {
		t.Errorf("%+v", m)
	}
	if none := r.receivers["b"].messages()[0].Title; none != "A bug" { // it has no words in Arabic
		t.Errorf("in Arabic: %s", none)
	}
}

func TestADigestSpeaksOfAnyNumber(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	for _, c := range []struct {
		count, over int
		en, ar      string
	}{
		{1, 0, "1 alert that was held back / None of them is over.", "تنبيه واحد أُرجئ / لم ينتهِ أيّ منها."},
		{2, 1, "2 alerts that were held back / 1 of them is over.", "تنبيهان أُرجئا / انتهى واحد منها."},
		{3, 3, "3 alerts that were held back / 3 of them are over.", "3 تنبيهات أُرجئت / انتهت 3 منها."},
		{11, 2, "11 alerts that were held back / 2 of them are over.", "11 تنبيهًا أُرجئ / انتهى اثنان منها."},
		{100, 11, "100 alerts that were held back / 11 of them are over.", "100 تنبيه أُرجئ / انتهى 11 منها."},
	} {
		d := digest{kinds: map[string]int{}, worst: Info}
		for n := range c.count {
			d.add(heldAlert{Kind: "monitor.down", Level: levels[n%len(levels)], Over: n < c.over, Title: language.Text{En: fmt.Sprint(n), Ar: fmt.Sprint(n)}, At: docstore.At(r.clock.Now().Add(time.Duration(n) * time.Minute))})
		}
		for tag, want := range map[language.Tag]string{language.English: c.en, language.Arabic: c.ar} {
			m := r.digestMessage(&lane{language: tag}, "id", d)
			if got := m.Title + " / " + m.Text; got != want {
				t.Errorf("got %q, not %q", got, want)
			}
			if len(m.Lines) > maxLines+1 || m.Level != levels[min(c.count, len(levels))-1] {
				t.Errorf("%d lines, %s", len(m.Lines), m.Level)
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
