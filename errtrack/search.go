package errtrack

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/errtrack/grouping"
	"manus/internal/words"
	"manus/language"
)

// Search is what issues are looked for by. What is empty takes all.
type Search struct {
	Project, Environment, Release string
	Status                        Status
	// Query is in Sentry's form, see readQuery.
	Query  string
	Sort   Sort
	Limit  int
	Cursor string
}

// Sort is what issues are in the order of, the greatest first.
type Sort string

// The orders of issues.
const (
	ByLastSeen  Sort = "last_seen"
	ByFirstSeen Sort = "first_seen"
	ByCount     Sort = "count"
	ByUsers     Sort = "users"
)

// value is what an issue has its place by.
func (o Sort) value(i Issue) any {
	switch o {
	case ByFirstSeen:
		return i.FirstSeen
	case ByCount:
		return i.Count
	case ByUsers:
		return i.Users
	}
	return i.LastSeen
}

// Bounds of what is searched.
const (
	// fewFound is how many issues a word may be in for all of them to be looked at. Where each
	// word is in more, issues are looked at in the order that is wanted, at most maxLooked for a
	// page: the next page goes on there.
	fewFound  = 500
	maxLooked = 2000
	// maxFound is how many issues may be found by words that begin with something.
	maxFound = 50_000
)

var errTooMany = wrongQuery("More than "+words.Count(maxFound, "issue")+" have words that begin so: write more of it.", "مشكلات كثيرة فيها كلمات تبدأ هكذا: اكتب المزيد منها.")

// Issues are a page of those that are looked for, and the cursor of the next page. It
// returns ErrInvalid, ErrNoProject, docstore.ErrCursor or an error of the store.
func (s *Service) Issues(ctx context.Context, q Search) (found []Issue, next string, err error) {
	asked, err := readQuery(q.Query, s.c.Now())
	if err != nil {
		return nil, "", err
	}
	for key, value := range map[string]string{"environment": q.Environment, "release": q.Release} {
		if value != "" {
			asked.terms = append(asked.terms, term{words: []word{{text: tagWord(tag{key, value})}}})
		}
	}
	if q.Status != "" {
		asked.statuses = slices.DeleteFunc(slices.Clone(asked.statuses), func(s Status) bool { return s != q.Status })
	}
	q.Sort, q.Limit = cmp.Or(q.Sort, ByLastSeen), cmp.Or(q.Limit, docstore.DefaultLimit)
	projects, err := s.searched(ctx, q.Project)
	if err == nil {
		err = s.refuseFields(ctx, projects, asked.keys)
	}
	if err != nil {
		return nil, "", err
	}
	among := map[string]sought{}
	var lists []iter.Seq2[Issue, error]
	for _, p := range projects {
		if among[p.ID], err = s.seek(ctx, p.ID, asked); err != nil {
			return nil, "", err
		}
		of, err := s.issuesOf(ctx, p.ID, among[p.ID].few(), asked.statuses, q)
		if err != nil {
			return nil, "", err
		}
		lists = append(lists, of...)
	}
	looked := 0
	for issue, err := range merged(lists, q.Sort.compare) {
		if err != nil {
			return nil, "", err
		}
		looked++
		fits, err := among[issue.Project].fits(ctx, issue)
		if err != nil {
			return nil, "", err
		}
		if fits {
			found = append(found, issue)
		}
		if len(found) == q.Limit || looked == maxLooked {
			return found, docstore.EncodeCursor([]any{q.Sort.value(issue), issue.ID}), nil
		}
	}
	return found, "", nil
}

// refuseFields returns ErrInvalid for a field of Sentry's, by its name, that issues aren't
// found by here, and that is no tag of these projects either.
func (s *Service) refuseFields(ctx context.Context, projects []Project, keys []string) error {
	for _, key := range keys {
		if !strings.Contains(key, ".") {
			continue
		}
		has, err := s.hasTag(ctx, projects, key)
		if err != nil {
			return err
		}
		if has {
			continue
		}
		if key, _, _ = strings.Cut(key, "."); key == "user" {
			return wrongQuery("People can't be searched by: of them only an estimate of their number is kept.", "لا يمكن البحث بالأشخاص: لا يُحفظ عنهم إلا تقدير لعددهم.")
		}
		return wrongQuery("There is no such field, and no issue has a tag of this name.", "لا يوجد حقل كهذا، وليس لأي مشكلة وسم بهذا الاسم.")
	}
	return nil
}

// hasTag tells whether an issue of projects has had a tag.
func (s *Service) hasTag(ctx context.Context, projects []Project, key string) (bool, error) {
	for _, p := range projects {
		from := p.ID + separator + tagWord(tag{key: key})
		_, err := s.postings.First(ctx, docstore.Query{From: from, Until: from + string(unicode.MaxRune)})
		if docstore.NotFoundAs(err, nil) != nil || err == nil {
			return err == nil, err
		}
	}
	return false, nil
}

// Hint says why a search may have found nothing: it asks for a tag that no issue has had.
// Elsewhere it is empty. Errors are as those of Issues.
func (s *Service) Hint(ctx context.Context, q Search) (language.Text, error) {
	asked, err := readQuery(q.Query, s.c.Now())
	if err != nil {
		return language.Text{}, err
	}
	projects, err := s.searched(ctx, q.Project)
	if err != nil {
		return language.Text{}, err
	}
	for _, key := range asked.keys {
		has, err := s.hasTag(ctx, projects, key)
		if err != nil {
			return language.Text{}, err
		}
		if name := language.Line(language.Cut(key, maxTagKey)); !has && key != "release" && key != "environment" {
			more := searchable
			if key == "project" {
				more = language.Text{
					En: "Those of one project are found by ?project= of the API, or --project.",
					Ar: "تُوجد مشكلات مشروع واحد بـ ?project= في الواجهة البرمجية أو \u200e--project.",
				}
			}
			return language.Text{
				En: "No issue has had a tag " + name + ". " + more.En,
				Ar: "لم يكن لأي مشكلة وسم " + language.Arabic.Isolate(name) + ". " + more.Ar,
			}, nil
		}
	}
	return language.Text{}, nil
}

func (s *Service) searched(ctx context.Context, project string) ([]Project, error) {
	if project == "" {
		return s.Projects(ctx)
	}
	p, err := s.Project(ctx, project)
	return []Project{p}, err
}

// sought is a query, with the issues of a project that are found by its words.
type sought struct {
	*Service
	query
	project string
	// issues are those of each term's words; nil where they are so many that each issue is
	// asked about.
	issues [][]map[string]bool
}

// seek looks which issues are found by a query's words. It returns ErrInvalid where they are
// too many.
func (s *Service) seek(ctx context.Context, project string, asked query) (sought, error) {
	w := sought{s, asked, project, make([][]map[string]bool, len(asked.terms))}
	for i, t := range asked.terms {
		w.issues[i] = make([]map[string]bool, len(t.words))
		for k, one := range t.words {
			if !one.prefix && w.few() != nil {
				continue // each of these is asked about
			}
			var err error
			if w.issues[i][k], err = s.found(ctx, project, one.text, one.prefix); err != nil {
				return w, err
			}
		}
	}
	return w, nil
}

// few are the issues that one of the words is in, if that is in few; else it is nil. Others
// don't fit.
func (w sought) few() (ids map[string]bool) {
	for i, t := range w.terms {
		for _, issues := range w.issues[i] {
			if !t.not && issues != nil && len(issues) <= fewFound && (ids == nil || len(issues) < len(ids)) {
				ids = issues
			}
		}
	}
	return ids
}

// fits tells whether an issue is one that the query asks for.
func (w sought) fits(ctx context.Context, issue Issue) (bool, error) {
	if slices.ContainsFunc(w.tests, func(holds func(Issue) bool) bool { return !holds(issue) }) {
		return false, nil
	}
	for i, t := range w.terms {
		all := true
		for k, one := range t.words {
			has, err := w.has(ctx, issue, one.text, w.issues[i][k])
			if err != nil {
				return false, err
			}
			if all = has; !all {
				break
			}
		}
		if all == t.not {
			return false, nil
		}
	}
	return true, nil
}

// has tells whether an issue, or one that has become a part of it, is found by a word.
func (w sought) has(ctx context.Context, issue Issue, word string, issues map[string]bool) (bool, error) {
	for _, id := range append([]string{issue.ID}, issue.Absorbed...) {
		if issues != nil {
			if issues[id] {
				return true, nil
			}
			continue
		}
		_, err := w.postings.Get(ctx, postingID(w.project, word, id))
		if docstore.NotFoundAs(err, nil) != nil || err == nil {
			return err == nil, err
		}
	}
	return false, nil
}

// issuesOf are lists of a project's issues, each in the order that is wanted: of some, or else of
// all of each status.
func (s *Service) issuesOf(ctx context.Context, project string, some map[string]bool, statuses []Status, q Search) (lists []iter.Seq2[Issue, error], err error) {
	if some != nil {
		few, err := s.inOrder(ctx, some, statuses, q)
		return []iter.Seq2[Issue, error]{func(yield func(Issue, error) bool) {
			for _, issue := range few {
				if !yield(issue, nil) {
					return
				}
			}
		}}, err
	}
	for _, status := range statuses {
		lists = append(lists, s.issues.All(ctx, docstore.Query{
			Index: "by_" + string(q.Sort), Equal: []any{project, string(status)}, Descending: true, Limit: docstore.DefaultLimit, Cursor: q.Cursor,
		}))
	}
	return lists, nil
}

// inOrder are some issues behind the cursor, or what they have become a part of, in the order
// that is wanted.
func (s *Service) inOrder(ctx context.Context, some map[string]bool, statuses []Status, q Search) (all []Issue, err error) {
	behind := func(Issue) bool { return true }
	if q.Cursor != "" {
		if behind, err = q.Sort.behind(q.Cursor); err != nil {
			return nil, err
		}
	}
	seen := maps.Clone(some)
	ids := slices.Collect(maps.Keys(some))
	for n := 0; len(ids) > 0 && n < maxMerges; n++ {
		read, err := s.issues.GetAll(ctx, ids...)
		if err != nil {
			return nil, err
		}
		ids = nil
		for _, issue := range read {
			if into := issue.Into; into != "" && !seen[into] { // it is merged
				seen[into], ids = true, append(ids, into)
			}
			if slices.Contains(statuses, issue.Status) && behind(issue) {
				all = append(all, issue)
			}
		}
	}
	slices.SortFunc(all, q.Sort.compare)
	return all, nil
}

// behind tells of issues whether they come after a cursor's place. It returns
// docstore.ErrCursor.
func (o Sort) behind(cursor string) (func(Issue) bool, error) {
	place, err := docstore.DecodeCursor(cursor, 2)
	if err != nil {
		return nil, err
	}
	var last Issue
	last.ID, _ = place[1].(string)
	at, isTime := place[0].(docstore.Time)
	n, isNumber := place[0].(int64)
	if byTime := o == ByLastSeen || o == ByFirstSeen; byTime && !isTime || !byTime && !isNumber {
		return nil, docstore.ErrCursor
	}
	last.FirstSeen, last.LastSeen, last.Count, last.Users = at, at, n, n
	return func(issue Issue) bool { return o.compare(issue, last) > 0 }, nil
}

// compare has the greatest first.
func (o Sort) compare(a, b Issue) int {
	return cmp.Or(-compareValues(o.value(a), o.value(b)), -cmp.Compare(a.ID, b.ID))
}

func compareValues(a, b any) int {
	if at, ok := a.(docstore.Time); ok {
		return at.Compare(b.(docstore.Time).Time)
	}
	return cmp.Compare(a.(int64), b.(int64))
}

// merged goes through several lists that are in order as if they were one.
func merged[T any](lists []iter.Seq2[T, error], compare func(a, b T) int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		type head struct {
			value T
			next  func() (T, error, bool)
		}
		var heads []head
		for _, list := range lists {
			next, stop := iter.Pull2(list)
			defer stop()
			value, err, ok := next()
			if err != nil {
				yield(value, err)
				return
			}
			if ok {
				heads = append(heads, head{value, next})
			}
		}
		for len(heads) > 0 {
			first := 0
			for i := range heads {
				if compare(heads[i].value, heads[first].value) < 0 {
					first = i
				}
			}
			h := &heads[first]
			if !yield(h.value, nil) {
				return
			}
			value, err, ok := h.next()
			if err != nil {
				yield(value, err)
				return
			}
			if h.value = value; !ok {
				heads = slices.Delete(heads, first, first+1)
			}
		}
	}
}

// HowMany says how many issues have a status, of one project or of all. Errors are as those of
// Issues.
func (s *Service) HowMany(ctx context.Context, project string, status Status) (n int, err error) {
	projects, err := s.searched(ctx, project)
	if err != nil {
		return 0, err
	}
	for _, p := range projects {
		for _, err := range s.issues.All(ctx, docstore.Query{Index: "by_" + string(ByLastSeen), Equal: []any{p.ID, string(status)}, Limit: docstore.DefaultLimit}) {
			if err != nil {
				return 0, err
			}
			n++
		}
	}
	return n, nil
}

// Issue is one, by its id or by what people call it. It returns ErrNoIssue.
func (s *Service) Issue(ctx context.Context, name string) (Issue, error) {
	for range maxMerges {
		issue, err := s.issues.Get(ctx, name)
		if errors.Is(err, docstore.ErrNotFound) {
			issue, err = s.issues.First(ctx, docstore.Query{Index: byShort, Equal: []any{strings.ToUpper(name)}})
		}
		if err != nil {
			return issue, docstore.NotFoundAs(err, ErrNoIssue)
		}
		if issue.Status != Merged {
			return issue, s.stands(ctx, issue.Project, ErrNoIssue)
		}
		name = issue.Into // who has an old link is to see what it has become
	}
	return Issue{}, ErrNoIssue
}

// stands returns an error when the project has been deleted, and what it had is about to be.
func (s *Service) stands(ctx context.Context, project string, gone error) error {
	_, err := s.projectOf(ctx, project)
	if errors.Is(err, ErrNoProject) {
		return gone
	}
	return err
}

// maxMerges is how often an issue can have been merged that has been merged, one after
// another.
const maxMerges = 20

// Bounds of a page of events.
const (
	// maxEventsPage is how many bytes of JSON the events of a page have together, unless it is one alone.
	maxEventsPage = 4 << 20
	// eventsTogether is how many events are read at once: packed, they may be large.
	eventsTogether = 10
)

// Events are a page of an issue's events, the newest first, and the cursor of the next
// page: at most limit, and fewer where they are large. Errors as of Issues, or ErrNoIssue.
func (s *Service) Events(ctx context.Context, issueID string, limit int, cursor string) (found []Kept, next string, err error) {
	issue, err := s.Issue(ctx, issueID)
	if err != nil {
		return nil, "", err
	}
	limit = cmp.Or(limit, docstore.DefaultLimit)
	mapping, cancel := context.WithTimeout(ctx, mapWithin)
	defer cancel()
	size, last := 0, kept{}
	for k, err := range s.eventsOf(ctx, issue, true, min(limit, eventsTogether), cursor) {
		if err != nil {
			return nil, "", err
		}
		shown, bytes, err := s.shown(mapping, k, issue.ID)
		if err != nil {
			return nil, "", err
		}
		if size += bytes; len(found) > 0 && size > maxEventsPage {
			return found, docstore.EncodeCursor([]any{last.At, last.ID}), nil
		}
		if found, last = append(found, shown), k; len(found) == limit {
			return found, docstore.EncodeCursor([]any{k.At, k.ID}), nil
		}
	}
	return found, "", nil
}

// eventsOf goes through an issue's events, of all its hashes.
func (s *Service) eventsOf(ctx context.Context, issue Issue, newestFirst bool, page int, cursor string) iter.Seq2[kept, error] {
	var lists []iter.Seq2[kept, error]
	for _, h := range issue.Hashes {
		lists = append(lists, s.events.All(ctx, docstore.Query{Index: "by_group", Equal: []any{h}, Descending: newestFirst, Limit: min(page, docstore.DefaultLimit), Cursor: cursor}))
	}
	return merged(lists, func(a, b kept) int {
		order := cmp.Or(a.At.Compare(b.At.Time), cmp.Compare(a.ID, b.ID))
		if newestFirst {
			return -order
		}
		return order
	})
}

// End is one end of an issue's events.
func (s *Service) End(ctx context.Context, issueID string, latest bool) (Kept, error) {
	issue, err := s.Issue(ctx, issueID)
	if err != nil {
		return Kept{}, err
	}
	for k, err := range s.eventsOf(ctx, issue, latest, 1, "") {
		if err != nil {
			return Kept{}, err
		}
		return s.shownAlone(ctx, k, issue.ID)
	}
	return Kept{}, ErrNoEvent
}

// Kept is an event as it is kept, with where it belongs.
type Kept struct {
	event.Event
	IssueID    string        `json:"issue_id"`
	ProjectID  string        `json:"project_id"`
	ReceivedAt docstore.Time `json:"received_at"`
}

// Own tells which of its frames are of the program's own code: as its SDK marks them, or by
// their paths where that can't tell.
func (k Kept) Own() func(*event.Frame) bool { return grouping.Own(&k.Event) }

// shown is an event as it is shown, and how many bytes of JSON it was kept as; its frames are mapped
// as long as ctx lasts.
func (s *Service) shown(ctx context.Context, k kept, issueID string) (Kept, int, error) {
	e, size, err := k.unpacked()
	shown := Kept{Event: e, IssueID: issueID, ProjectID: k.Project, ReceivedAt: k.ReceivedAt}
	if err == nil {
		s.mapShown(ctx, &shown)
	}
	return shown, size, err
}

func (s *Service) shownAlone(ctx context.Context, k kept, issueID string) (Kept, error) {
	ctx, cancel := context.WithTimeout(ctx, mapWithin)
	defer cancel()
	shown, _, err := s.shown(ctx, k, issueID)
	return shown, err
}

// Event is one event, of a project by its id or its name, or of any where that is empty: ids
// are known to be one's alone within a project. It returns ErrNoEvent, ErrNoProject, or
// ErrSeveralEvents where several projects have one.
func (s *Service) Event(ctx context.Context, project, eventID string) (Kept, error) {
	projects, err := s.searched(ctx, project)
	if err != nil {
		return Kept{}, err
	}
	id := event.ID(eventID)
	if id == "" {
		return Kept{}, ErrNoEvent
	}
	var found []kept
	for k, err := range s.events.All(ctx, docstore.Query{Index: byEvent, Equal: []any{id}, Limit: docstore.DefaultLimit}) {
		if err != nil {
			return Kept{}, err
		}
		if slices.ContainsFunc(projects, func(p Project) bool { return p.ID == k.Project }) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return Kept{}, ErrNoEvent
	case 1:
	default:
		return Kept{}, ErrSeveralEvents
	}
	h, err := s.hashes.Get(ctx, found[0].Group)
	if docstore.NotFoundAs(err, nil) != nil {
		return Kept{}, err
	}
	return s.shownAlone(ctx, found[0], h.Issue)
}
