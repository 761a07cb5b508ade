package notify

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/language"
)

// stormy is a rig whose channels are told of everything in digests, and where issues stand as
// the map says.
func stormy(t *testing.T) (*rig, map[string]Standing) {
	t.Helper()
	r := setup(t, func(p *Policy) {
		p.QuietHours = &QuietHours{From: "12:00", Until: "13:00", Except: []string{"channel.*"}}
	})
	standing := map[string]Standing{}
	r.c.Issue = func(_ context.Context, subject string) (Standing, error) {
		s, ok := standing[subject]
		if !ok {
			return s, ErrNoAlert
		}
		return s, nil
	}
	return r, standing
}

// issue tells of an issue.
func (r *rig) issue(t *testing.T, kind, subject string, n int, before int64) {
	t.Helper()
	r.tell(t, Event{Kind: kind, Subject: subject, Occurrence: fmt.Sprint(subject, n), Before: before, At: docstore.At(r.clock.Now()), Title: language.Text{En: "New error", Ar: "خطأ جديد"}})
}

// morning is what the channels are told then.
func (r *rig) morning(t *testing.T) (en, ar Message) {
	t.Helper()
	r.clock.Add(time.Hour + time.Second)
	r.work(t)
	a, b := r.receivers["a"].messages(), r.receivers["b"].messages()
	if len(a) != 1 || len(b) != 1 || a[0].State != Digest {
		t.Fatalf("%s; %s", r.receivers["a"].said(), r.receivers["b"].said())
	}
	return a[0], b[0]
}

// TestAStormIsToldByItsSize: one bug is one line, however many alerts there were of it, with
// the events since the first of these.
func TestAStormIsToldByItsSize(t *testing.T) {
	t.Parallel()
	r, standing := stormy(t)
	r.issue(t, "issue.new", "SHOP-1", 1, 0)
	for n := range 12 {
		r.issue(t, "issue.spike", "SHOP-1", n+2, int64(n)*1000)
	}
	standing["SHOP-1"] = Standing{Subject: "SHOP-1", Title: "TypeError: x is undefined", Project: "shop", Events: 41_000, Releases: []string{"1", "2", "3"}}
	en, ar := r.morning(t)
	if en.Title != "1 bug, 41,000 events, 3 releases" || en.Text != "13 alerts that were held back." ||
		!strings.HasPrefix(fmt.Sprint(en.Facts), "[{Project shop} {issue.new 1} {issue.spike 12} {Since ") || fmt.Sprint(en.Lines) != "[41,000 events, 3 releases — SHOP-1 — TypeError: x is undefined (shop)]" {
		t.Errorf("%+v", en)
	}
	if ar.Title != "خطأ واحد، 41,000 حدث، 3 إصدارات" || ar.Text != "13 تنبيهًا أُرجئ." || ar.Lines[0] != "41,000 حدث، 3 إصدارات — \u2068SHOP-1\u2069 — \u2068TypeError: x is undefined (shop)\u2069" {
		t.Errorf("%+v", ar)
	}
}

// TestTheBugsWithTheMostEventsAreFirst: of events that were there before nothing is said, what
// was merged is one, and what is gone is counted.
func TestTheBugsWithTheMostEventsAreFirst(t *testing.T) {
	t.Parallel()
	r, standing := stormy(t)
	for n := range 20 {
		name := fmt.Sprint("SHOP-", 10+n)
		r.issue(t, "issue.new", name, 1, 0)
		standing[name] = Standing{Subject: name, Title: "Error: " + name, Project: "shop", Events: int64(n + 1), Releases: []string{"1"}}
	}
	for name, before := range map[string]int64{"WEB-1": 1_000_000, "WEB-2": 50, "WEB-3": 100, "WEB-4": 7} {
		r.issue(t, "issue.regressed", name, 1, before)
	}
	standing["WEB-1"] = Standing{Subject: "WEB-1", Title: "old", Project: "web", Events: 1_000_002, Releases: []string{"1", "2"}}
	standing["WEB-2"] = Standing{Subject: "WEB-2", Title: "merged", Project: "web", Events: 1000}
	standing["WEB-3"] = standing["WEB-2"]
	en, _ := r.morning(t)
	if en.Title != "23 bugs, 1,062 events, 3 releases, 2 projects" { // 210 of the shop's, 2 and 850; WEB-4 is gone
		t.Errorf("the title is %q", en.Title)
	}
	if len(en.Lines) != maxLines || en.LinesLeft != 8 || en.Lines[0] != "850 events — WEB-2 — merged (web)" || en.Lines[1] != "20 events, 1 release — SHOP-29 — Error: SHOP-29 (shop)" {
		t.Errorf("the lines are %q, and %d more", en.Lines, en.LinesLeft)
	}
}

func TestAStormBesideOtherAlerts(t *testing.T) {
	t.Parallel()
	r, standing := stormy(t)
	r.tell(t, r.down(1))
	r.issue(t, "issue.new", "SHOP-1", 1, 0)
	standing["SHOP-1"] = Standing{Subject: "SHOP-1", Title: "boom", Project: "shop", Events: 1}
	en, ar := r.morning(t)
	if en.Title != "2 alerts that were held back" || en.Text != "None of those held back is over. Errors of programs: 1 bug, 1 event." || len(en.Lines) != 2 || en.Lines[1] != "1 event — SHOP-1 — boom (shop)" {
		t.Errorf("%+v", en)
	}
	if ar.Text != "لم ينتهِ أيّ ممّا أُرجئ. أخطاء البرامج: خطأ واحد، حدث واحد." {
		t.Errorf("%+v", ar)
	}
}

// TestAStormOfKindsIsLookedAtInPart: however many issues there are, a bounded number is read.
func TestAStormOfKindsIsLookedAtInPart(t *testing.T) {
	t.Parallel()
	r, _ := stormy(t)
	read := 0
	r.c.Issue = func(_ context.Context, subject string) (Standing, error) {
		read++
		return Standing{Subject: subject, Title: subject, Project: "shop", Events: 2}, nil
	}
	before := map[string]int64{}
	for n := range maxStood + 500 {
		before[fmt.Sprintf("SHOP-%d", n)] = 1
	}
	w, err := r.stormOf(t.Context(), before)
	if err != nil || read != maxStood || w.sum(language.English) != "2,500 bugs, at least 2,000 events" || w.sum(language.Arabic) != "2,500 خطأ، ما لا يقلّ عن 2,000 حدث" {
		t.Errorf("%d were read, and it is %s, %v", read, w.sum(language.Arabic), err)
	}
}
