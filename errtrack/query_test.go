package errtrack

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/errtrack/event"
	"manus/httpapi"
	"manus/internal/storetest"
)

// TestAQueryInSentrysForm finds what it asks for, or says what can be asked for.
func TestAQueryInSentrysForm(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	old := r.event("a", 1)
	old.Exceptions[0].Type, old.Exceptions[0].Value = "KeyError", "no such key: cart total"
	old.Tags = map[string]string{"plan": "Very Large", "http.status": "500", "name": "سلام م"}
	r.counted(t, old, r.event("bb", 2), r.event("bb", 3))
	r.change2(t, "a", IssueChange{Assignee: new("Mona")})
	r.change2(t, "bb", IssueChange{Status: new(Resolved)})
	r.clock.Add(48 * time.Hour)
	late := r.event("ccc", 4)
	late.Level, late.User, late.Release = event.Fatal, nil, "2.0.0"
	r.counted(t, late)
	const a, b, c = "KeyError: no such key: cart total 1", "Error: bb 2", "Error: ccc 1"
	for query, want := range map[string]string{
		"KeyErr*": a, "keyerror": a, "KeyError": a, `"cart total"`: a, `!"cart bb"`: c + ", " + a + ", " + b, "*KeyError": a, "cart !total": "", "car": "",
		"error.type:KeyErr*": a, "message:cart": a, `!error.type:Error`: a, "main.bb": b, "a": "!A word",
		`plan:"very large"`: a, "plan:very*": a, "tags[plan]:ver*": a, "http.status:500": a, "http.status:500 geo.city:x": "!There is no such field", `name:"سلام م"`: a, "name:سلام*": a, "مشكلة": "", "!plan:*": c + ", " + b, "has:plan": a, "!has:plan": c + ", " + b, `plan:""`: c + ", " + b,
		"has:user": a + ", " + b, "!has:user": c, "is:assigned": a, "is:unassigned": c + ", " + b, "assigned:mona": a, "assigned:none": c + ", " + b, "!assigned:mo*": c + ", " + b,
		"is:unresolved": c + ", " + a, "!is:unresolved": b, "is:resolved is:unresolved": "", "is:archived": "", "is:nonsense": "!is: takes",
		"level:fatal": c, "!level:fatal": a + ", " + b, "level:nonsense": "!level: takes",
		"timesSeen:2": b, "timesSeen:>1": b, "timesSeen:>=1": c + ", " + a + ", " + b, "times_seen:<2": c + ", " + a, "!timesSeen:<=1": b, "timesSeen:many": "!timesSeen: takes", "usersSeen:>1": b,
		"firstSeen:-24h": c, "age:-1d": c, "age:+1d": a + ", " + b, "lastSeen:-1w": c + ", " + a + ", " + b, "!lastSeen:-24h": a + ", " + b, "lastSeen:>" + r.clock.Now().Add(-time.Hour).Format(time.RFC3339): c,
		"lastSeen:<" + r.clock.Now().Format(time.DateOnly): a + ", " + b, "firstSeen:" + r.clock.Now().Format(time.DateOnly): c, "firstSeen:yesterday": "!firstSeen: takes", "age:-x": "!age: takes", "age:-20000w": "!age: takes",
		"release:2.0.*": c, "environment:production": c + ", " + a + ", " + b, "firstRelease:1.0.0": a + ", " + b, "!release:2.0.0": a + ", " + b,
		"user.id:1": "!People can't", "!user.email:x@example.com": "!People can't", "geo.city:Riyadh": "!There is no such field", "unseen:x": "",
		"one OR two": "!OR and AND", "a OR b": "!OR and AND", "(error.type:[a OR b)": "!OR and AND",
		"error.type:[KeyError,TypeError]": "!Lists of values", "plan:[a, b]": "!Lists of values", `plan:"[a,b]"`: "", "assigned:me": "!assigned: takes", `assigned:"me"`: "",
		"release:latest": "!release: takes the name", "first_release:latest": "!first_release: takes the name", `release:"latest"`: "", "error.type:*Error": "!A * may stand behind a value",
		"level:": "!There is no value", `"open`: "!A quote", "x*y": "!A * may", "plan:*e": "!A * may", "!": "!A word", strings.Repeat("x", 41): "!A word has at most",
		strings.Repeat("x", 501): "!A query has at most", strings.Repeat("xx ", 21): "!A query has at most",
	} {
		issues, _, err := r.Issues(t.Context(), Search{Query: query})
		var got []string
		for _, i := range issues {
			got = append(got, i.Title+" "+string(rune('0'+i.Count)))
		}
		if wrong, ok := strings.CutPrefix(want, "!"); ok && !strings.HasPrefix(query, `!"`) {
			why, says := errors.AsType[*httpapi.Invalid](err)
			if !says || !errors.Is(err, ErrInvalid) || !strings.HasPrefix(why.Why.En, wrong) || why.Why.Ar == "" || why.Field != "query.query" {
				t.Errorf("%s: found %q, %v", query, got, err)
			}
			continue
		}
		slices.Sort(got) // those that were seen at the same time are in any order
		expected := slices.DeleteFunc(strings.Split(want, ", "), func(one string) bool { return one == "" })
		slices.Sort(expected)
		if found, want := strings.Join(got, ", "), strings.Join(expected, ", "); err != nil || found != want {
			t.Errorf("%s: found %s, %v; want %s", query, found, err, want)
		}
	}
	if hint, err := r.Hint(t.Context(), Search{Query: "project:shop"}); err != nil || !strings.Contains(hint.En, "?project= of the API, or --project") {
		t.Errorf("of project:shop the hint is %q, %v", hint.En, err)
	}
	for query, says := range map[string]bool{"plan:x": false, "release:x": false, "enviroment:production": true, "!unseen:x": true, "nothing": false} {
		if hint, err := r.Hint(t.Context(), Search{Query: query}); err != nil || (hint.En != "") != says || (hint.Ar != "") != says {
			t.Errorf("%s: the hint is %q, %v", query, hint.En, err)
		}
	}
}

// change2 changes a bug's issue.
func (r *rig) change2(t testing.TB, bug string, c IssueChange) {
	t.Helper()
	issues, _, err := r.Issues(t.Context(), Search{Query: "main." + bug + " release:1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range issues {
		if strings.Contains(i.Culprit, "main."+bug) {
			if _, err := r.ChangeIssue(t.Context(), i.ID, c); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestASplitLeavesEachItsOwn: what is left of an issue shows its own events, and so does
// what was split off.
func TestASplitLeavesEachItsOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	r.counted(t, r.event("a", 1), r.event("a", 2))
	r.clock.Add(time.Hour)
	other := r.event("bb", 3)
	other.Level, other.Release = event.Fatal, "2.0.0"
	r.counted(t, other)
	issues, _, err := r.Issues(t.Context(), Search{Sort: ByCount})
	if err != nil || len(issues) != 2 {
		t.Fatal(issues, err)
	}
	before, split := issues[0], issues[1]
	merged, err := r.Merge(t.Context(), split.ID, before.ID)
	if err != nil || merged.Title != split.Title || merged.Level != event.Fatal {
		t.Fatalf("what is merged shows %s %s, %v", merged.Title, merged.Level, err)
	}
	apart, err := r.Split(t.Context(), merged.ID, []string{strings.TrimPrefix(split.Hashes[0], r.p.ID+"/")})
	if err != nil {
		t.Fatal(err)
	}
	left, err := r.Issue(t.Context(), before.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ got, want Issue }{{left, before}, {apart, split}} {
		g, w := c.got, c.want
		if g.Title != w.Title || g.Value != w.Value || g.Culprit != w.Culprit || g.Level != w.Level || g.Count != w.Count || g.Users != w.Users || !g.LastSeen.Equal(w.LastSeen.Time) || !g.FirstSeen.Equal(w.FirstSeen.Time) ||
			g.LastRelease != w.LastRelease || g.FirstRelease != w.FirstRelease || len(g.Tags) != len(w.Tags) || g.First != w.First || len(g.Hours) != len(w.Hours) {
			t.Errorf("it shows %+v\nwant %+v", g, w)
		}
		for k := range min(len(g.Tags), len(w.Tags)) {
			if len(g.Tags[k].Values) != len(w.Tags[k].Values) || g.Tags[k].Values[0] != w.Tags[k].Values[0] {
				t.Errorf("the tag %v, want %v", g.Tags[k], w.Tags[k])
			}
		}
	}
}
