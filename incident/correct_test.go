package incident

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/language"
)

func TestWhatIsCorrectedStaysToBeSeen(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var i incidentBody
	r.call(t, "operator", "POST", "/ops/incidents", `{"title":"Logins fail","title_ar":"تعذّر الدخول","severity":"major","text":"We look.","text_ar":"نحقق."}`, &i)
	r.clock.Add(time.Minute)
	path := "/ops/incidents/" + i.ID + "/updates/"
	for _, text := range []string{"We **look** into it.", "We look into it now."} {
		if code, body := r.call(t, "operator", "PATCH", path+i.Updates[0].ID, `{"text":"`+text+`"}`, &i); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
	}
	u := i.Updates[0]
	if len(i.Updates) != 1 || u.Text != "We look into it now." || u.TextAr != "" || len(u.Earlier) != 2 || u.Earlier[0].Text != "We look." || u.Earlier[0].TextAr != "نحقق." || u.Earlier[0].Until != docstore.At(r.clock.Now()).String() {
		t.Errorf("%+v", i)
	}
	if i.TitleAr != "تعذّر الدخول" {
		t.Errorf("its title is %q", i.TitleAr)
	}
	// The same again is nothing new, and "last" is a person's.
	r.call(t, "operator", "PATCH", path+"last", `{"text":"We look into it now."}`, &i)
	if len(i.Updates[0].Earlier) != 2 {
		t.Errorf("%+v", i.Updates[0])
	}
	for body, want := range map[string]int{`{"text":""}`: 422, `{"text":"x"}`: 404} {
		if code, answer := r.call(t, "operator", "PATCH", path+"nothing", body, nil); code != want {
			t.Errorf("%s: %d %s", body, code, answer)
		}
	}
	for n := range maxEarlier {
		_, err := r.Correct(t.Context(), i.ID, "last", en(strings.Repeat("x", n+1)))
		if (err != nil) != (n >= maxEarlier-2) {
			t.Fatalf("correction %d: %v", n, err)
		}
	}
	if told := r.told.take(); told != "investigating" {
		t.Errorf("people were told %q", told)
	}
}

func TestAnIncidentHoldsSoMuchText(t *testing.T) {
	t.Parallel()
	r := setup(t)
	i, err := r.Open(t.Context(), Opening{Title: en("x"), Text: en("x")})
	if err != nil {
		t.Fatal(err)
	}
	long := language.Text{En: strings.Repeat("\U0001d11e", maxText), Ar: strings.Repeat("\U0001d11e", maxText)}
	for n := 0; err == nil && n < maxUpdates; n++ {
		i, err = r.Say(t.Context(), i.ID, Saying{Text: long})
	}
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "as much text") {
		t.Fatalf("%v", err)
	}
	i, err = r.newest(t)
	if err != nil || i.said() > maxSaid || i.said() < maxSaid/2 {
		t.Errorf("it has %d bytes, %v", i.said(), err)
	}
	if _, err := r.Say(t.Context(), i.ID, Saying{Status: Resolved, Text: long}); err != nil {
		t.Errorf("it can't be resolved: %v", err)
	}
}

// newest is the one that began last.
func (r *rig) newest(t *testing.T) (Incident, error) {
	t.Helper()
	all, _, err := r.Incidents(t.Context(), false, 1, "")
	if err != nil || len(all) == 0 {
		return Incident{}, errors.Join(err, ErrNone)
	}
	return all[0], nil
}

// Two people, and a client that sends again as it got no answer.
func TestWithAKeyItIsOnceAndNothingIsLost(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			i, err := r.Open(t.Context(), Opening{Title: en("x"), Text: en("x"), Key: "deploy-17"})
			if err != nil || i.ID != "k.deploy-17" {
				t.Errorf("%+v, %v", i, err)
			}
		})
	}
	all.Wait()
	for range 4 {
		for _, key := range []string{"a", "b", ""} {
			all.Go(func() {
				if _, err := r.Say(t.Context(), "k.deploy-17", Saying{Text: en("from " + key), Key: key}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	i, err := r.newest(t)
	if err != nil || len(i.Updates) != 1+2+4 {
		t.Fatalf("%+v, %v", i, err)
	}
	if _, err := r.Open(t.Context(), Opening{Title: en("x"), Text: en("x"), Key: "a b"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a key with a space: %v", err)
	}
	// Both resolve it: it was over the first time.
	for range 2 {
		r.clock.Add(time.Minute)
		if i, err = r.Say(t.Context(), i.ID, Saying{Status: Resolved, Text: en("over")}); err != nil {
			t.Fatal(err)
		}
	}
	if last := i.Updates[len(i.Updates)-1]; !i.ResolvedAt.Before(last.At.Time) {
		t.Errorf("it was over at %v", i.ResolvedAt)
	}
}

func TestAPostmortemIsSeenOnceItIsPublished(t *testing.T) {
	t.Parallel()
	r := setup(t)
	i, err := r.Open(t.Context(), Opening{Title: en("x"), Text: en("x")})
	if err != nil {
		t.Fatal(err)
	}
	path := "/ops/incidents/" + i.ID + "/postmortem"
	if code, body := r.call(t, "operator", "PUT", path, `{"text":"The disk.","published":true}`, nil); code != 422 || !strings.Contains(body, "body.published") {
		t.Errorf("before it is resolved: %d %s", code, body)
	}
	var b incidentBody
	if code, body := r.call(t, "operator", "PUT", path, `{"text":"The disk."}`, &b); code != 200 || b.Postmortem == nil || b.Postmortem.PublishedAt != "" {
		t.Errorf("%d %s", code, body)
	}
	if _, err := r.Say(t.Context(), i.ID, Saying{Status: Resolved, Text: en("over")}); err != nil {
		t.Fatal(err)
	}
	published := docstore.At(r.clock.Now()).String()
	for _, text := range []string{"The **disk**.", "The disk was full."} {
		if code, body := r.call(t, "operator", "PUT", path, `{"text":"`+text+`","published":true}`, &b); code != 200 || b.Postmortem.PublishedAt != published || b.Postmortem.Text != text {
			t.Errorf("%d %s", code, body)
		}
		r.clock.Add(time.Hour)
	}
	if told := r.told.take(); told != "investigating, resolved, postmortem" {
		t.Errorf("people were told %s", told)
	}
	if code, body := r.call(t, "operator", "PUT", path, `{"published":true}`, nil); code != 422 {
		t.Errorf("nothing is published: %d %s", code, body)
	}
	if r.call(t, "operator", "PUT", path, `{}`, &b); b.Postmortem != nil {
		t.Errorf("%+v", b.Postmortem)
	}
}

func TestATemplateSaysWhatIsntSaid(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.SetPolicy(Policy{Templates: []Template{{ID: "db", Title: "Database trouble", TitleAr: "مشكلة في قاعدة البيانات", Severity: Critical, Components: []string{"api"}, Text: "We look."}}})
	var i incidentBody
	if code, body := r.call(t, "operator", "POST", "/ops/incidents", `{"template":"db"}`, &i); code != 201 || i.Title != "Database trouble" || i.TitleAr == "" || i.Severity != Critical || !slices.Equal(i.Components, []string{"api"}) || i.Updates[0].Text != "We look." {
		t.Errorf("%d %s", code, body)
	}
	i = incidentBody{}
	if code, body := r.call(t, "operator", "POST", "/ops/incidents", `{"template":"db","title":"Slow","severity":"minor","components":["web"],"text":"x"}`, &i); code != 201 || i.Title != "Slow" || i.TitleAr != "" || i.Severity != Minor || !slices.Equal(i.Components, []string{"web"}) || i.Updates[0].Text != "x" {
		t.Errorf("%d %s", code, body)
	}
	if code, body := r.call(t, "operator", "POST", "/ops/incidents", `{"template":"disk"}`, nil); code != 422 || !strings.Contains(body, "there are: db") {
		t.Errorf("%d %s", code, body)
	}
	var list struct{ Items []Template }
	if code, body := r.call(t, "operator", "GET", "/ops/incidents/templates", "", &list); code != 200 || len(list.Items) != 1 {
		t.Errorf("%d %s", code, body)
	}
}

func TestProblemsOfTemplatesSayWhere(t *testing.T) {
	t.Parallel()
	good := Template{ID: "a", Title: "x", Text: "x"}
	if found := (Policy{Templates: []Template{good}}).Problems(); found != nil {
		t.Errorf("%v", found)
	}
	for want, change := range map[string]func(*Template){
		"[1].id: use":         func(t *Template) { t.ID = "A b" },
		"[1].id: is the same": func(t *Template) { t.ID = "a" },
		"[1].title":           func(t *Template) { t.Title = "" },
		"[1].title_ar":        func(t *Template) { t.TitleAr = "a\nb" },
		"[1].severity":        func(t *Template) { t.Severity = "bad" },
		"[1].components":      func(t *Template) { t.Components = []string{"A B"} },
		"[1].text: say":       func(t *Template) { t.Text = " " },
		"[1].text_ar":         func(t *Template) { t.TextAr = strings.Repeat("x", maxText+1) },
	} {
		other := good
		other.ID = "b"
		change(&other)
		found := (Policy{Templates: []Template{good, other}}).Problems()
		if len(found) != 1 || !strings.HasPrefix(found[0], "incidents.templates"+want) {
			t.Errorf("%s: %q", want, found)
		}
	}
}

// Whoever tells people fails, or the process is killed between the change and the telling:
// the next look tells.
func TestWhatIsNotedIsToldInTurn(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.told.fails = 2
	i, err := r.Open(t.Context(), Opening{Title: en("x"), Text: en("x")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Say(t.Context(), i.ID, Saying{Status: Identified, Text: en("x")}); err != nil {
		t.Fatal(err)
	}
	if told := r.told.take(); told != "" {
		t.Errorf("it was told %q", told)
	}
	r.clock.Add(time.Minute)
	for range 2 {
		if err := r.work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if told := r.told.take(); told != "investigating, identified" {
		t.Errorf("it was told %q", told)
	}
	if i, err = r.Incident(t.Context(), i.ID); err != nil || len(i.Pending) != 0 {
		t.Errorf("%+v, %v", i.Pending, err)
	}
	if lines, _, err := r.log.List(t.Context(), "", 10, ""); err != nil || len(lines) != 2 {
		t.Errorf("the audit log has %d lines, %v", len(lines), err)
	}
}
