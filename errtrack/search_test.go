package errtrack

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/internal/storetest"
)

// TestSearchesFindTheSameHoweverMany: words that few issues have, words that more have than are
// looked up, and what is without them, are found page by page in each order.
func TestSearchesFindTheSameHoweverMany(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	var issues []Issue
	var found []posting
	post := func(word, issue string) { found = append(found, posting{postingID(r.p.ID, word, issue)}) }
	for n := range 2 * fewFound {
		i := Issue{
			ID: fmt.Sprintf("%06d", n*7919%10_007), Short: fmt.Sprint("I-", n), Project: r.p.ID, Status: []Status{Unresolved, Resolved}[n%10/9], Count: int64(n % 3),
			LastSeen: docstore.At(r.clock.Now().Add(time.Duration(n/400) * time.Second)),
		}
		post("weverywhere", i.ID)
		if n%100 == 0 {
			post("wrare", i.ID)
		}
		if n%2 == 0 {
			post("wcommon", i.ID)
		}
		if n == 300 { // what had the word is a part of this one
			i.Absorbed = []string{"gone"}
			issues = append(issues, Issue{ID: "gone", Short: "I-GONE", Project: r.p.ID, Status: Merged, Into: i.ID})
			post("wmerged", "gone")
		}
		issues = append(issues, i)
	}
	if err := errors.Join(r.issues.Insert(t.Context(), issues...), r.postings.Insert(t.Context(), found...)); err != nil {
		t.Fatal(err)
	}
	ids := func(fits func(n int) bool, sort Sort) (want []string) {
		some := slices.Clone(issues)
		slices.SortFunc(some, func(a, b Issue) int {
			if sort == ByCount {
				return cmp.Or(-cmp.Compare(a.Count, b.Count), -cmp.Compare(a.ID, b.ID))
			}
			return cmp.Or(-a.LastSeen.Compare(b.LastSeen.Time), -cmp.Compare(a.ID, b.ID))
		})
		for _, i := range some {
			var n int
			if _, err := fmt.Sscanf(i.Short, "I-%d", &n); err == nil && fits(n) {
				want = append(want, i.ID)
			}
		}
		return want
	}
	for query, fits := range map[string]func(n int) bool{
		"everywhere":                       func(int) bool { return true },
		"rare":                             func(n int) bool { return n%100 == 0 },
		"everywhere rare is:resolved":      func(int) bool { return false },
		"everywhere is:resolved":           func(n int) bool { return n%10 == 9 },
		"everywhere !common is:unresolved": func(n int) bool { return n%2 == 1 && n%10 != 9 },
		"rare !common":                     func(int) bool { return false },
		"!everywhere":                      func(int) bool { return false },
		"every*":                           func(int) bool { return true },
		"ra* common":                       func(n int) bool { return n%100 == 0 },
		"merged":                           func(n int) bool { return n == 300 },
		"!merged rare":                     func(n int) bool { return n%100 == 0 && n != 300 },
		"nowhere":                          func(int) bool { return false },
	} {
		for _, sort := range []Sort{ByLastSeen, ByCount} {
			want := ids(fits, sort)
			var got []string
			q := Search{Project: r.p.ID, Query: query, Sort: sort, Limit: 1 + len(want)/4}
			for range 10 {
				page, next, err := r.Issues(t.Context(), q)
				if err != nil {
					t.Fatalf("%s by %s: %v", query, sort, err)
				}
				for _, i := range page {
					got = append(got, i.ID)
				}
				if q.Cursor = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s by %s: %d issues, not the %d in their order", query, sort, len(got), len(want))
			}
		}
	}
	for _, cursor := range []string{"x", docstore.EncodeCursor([]any{int64(1), "a"}), docstore.EncodeCursor([]any{"2026", "a"})} {
		if _, _, err := r.Issues(t.Context(), Search{Project: r.p.ID, Query: "rare", Cursor: cursor}); !errors.Is(err, docstore.ErrCursor) {
			t.Errorf("the cursor %s of another list: %v", cursor, err)
		}
	}
}

// TestASearchForFewReadsThemTogether: each read may be a round trip to a server.
func TestASearchForFewReadsThemTogether(t *testing.T) {
	t.Parallel()
	counting := &countingStore{Store: storetest.New(t, Specs()...)}
	r := newRig(t, counting)
	for n := range fewFound {
		i := Issue{ID: fmt.Sprintf("%06d", n), Short: fmt.Sprint("I-", n), Project: r.p.ID, Status: Unresolved}
		if n > 0 {
			i.Status, i.Into = Merged, fmt.Sprintf("%06d", n/2)
		}
		if err := errors.Join(r.issues.Insert(t.Context(), i), r.postings.Insert(t.Context(), posting{postingID(r.p.ID, "wrare", i.ID)})); err != nil {
			t.Fatal(err)
		}
	}
	counting.calls.Store(0)
	found, _, err := r.Issues(t.Context(), Search{Project: r.p.ID, Query: "rare"})
	if err != nil || len(found) != 1 || found[0].ID != "000000" {
		t.Errorf("it finds %d issues, %v", len(found), err)
	}
	if calls := counting.calls.Load(); calls > 5 {
		t.Errorf("it takes %d calls", calls)
	}
}

// TestAnIssueIsFoundByItsNewestRelease, however many words its texts have had before, and however
// many tags: a search for today's release doesn't leave out the oldest bugs.
func TestAnIssueIsFoundByItsNewestRelease(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	var events []*event.Event
	for n := range wordsKept / 10 {
		e := r.event("a", n)
		e.Tags = map[string]string{"bug": "a"}
		for k := range 20 {
			e.Tags[fmt.Sprintf("a%02d%d", k, n%2)] = fmt.Sprint(n)
		}
		events = append(events, e)
	}
	r.counted(t, events...)
	if i := r.only(t); i.Words != wordsKept {
		t.Fatalf("it is found by %d words", i.Words)
	}
	for _, release := range []string{"2.0.0", "2.1.0"} { // what is remembered is another thing the second time
		e := r.event("a", 1_000+len(release)+int(release[2]))
		e.Release, e.Environment = release, "canary"+release[:3]
		r.counted(t, e)
		for _, query := range []string{"release:" + release, "environment:canary" + release[:3]} {
			if got := r.list(t, Search{Query: query}); got == "" {
				t.Errorf("%s finds nothing", query)
			}
		}
	}
	if i := r.only(t); i.Words != wordsKept || i.Places != 6 || !slices.Contains(i.Releases(), "2.1.0") {
		t.Errorf("it is found by %d words and %d places, and was seen in %v", i.Words, i.Places, i.Releases())
	}
}
