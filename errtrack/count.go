package errtrack

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/internal/words"
)

// hash says which issue the events belong to that have it.
type hash struct {
	ID    string `json:"_id"` // see hashID
	Issue string `json:"issue"`
}

// DocumentID is the hash's id.
func (h hash) DocumentID() string { return h.ID }

var hashSpec = docstore.Spec{Collection: "error_hashes", Of: hash{}, Transient: true}

// hashID is the id of a hash in a project.
func hashID(project, h string) string { return project + "/" + h }

const (
	countWithin = 30 * time.Second
	// rounds bound how often the events of a batch are taken to their issues: the first time
	// to where they belonged a moment ago.
	rounds = 8
)

// count counts events of a batch at their issues, makes those that are new, and tells what
// is to be told. It may be done again, after it has been done in part or as a whole, by
// several copies at once too, with more events of the batch as well: each event is counted
// once. A batch is counted as far as it is kept before the process's next one is.
// Errors are the store's.
func (s *Service) count(writer string, number int64, all []sighting) error {
	ctx, cancel := context.WithTimeout(context.Background(), countWithin)
	defer cancel()
	m := mark{Writer: writer, Batch: number, At: docstore.At(s.c.Now())}
	all, err := s.ofProjects(ctx, all)
	if err != nil {
		return err
	}
	left := all
	for round := range rounds {
		if len(left) == 0 {
			return s.addTotals(ctx, m, all)
		}
		c := counting{Service: s, mark: m, again: round > 0, letters: 5 + round}
		if left, err = c.count(ctx, left); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: the issues of %s change all the time", docstore.ErrUnavailable, words.Count(len(left), "event"))
}

// counting is one round of counting a batch.
type counting struct {
	*Service
	mark mark
	// again means that what is remembered of hashes was wrong: the store is asked.
	again   bool
	letters int // of a new issue's short name
}

// at is what is counted at one issue.
type at struct {
	seen  []sighting
	words []string // that it may not be found by yet
	issue Issue    // afterwards
	// sure are the hashes of which the store has just said that they belong to it. It may be
	// made for them, and takes those that it hasn't had.
	sure map[string]bool
	// isNew means that nobody has known any of the hashes.
	isNew bool
}

// count counts events, and returns those that don't belong where they were thought to.
func (c counting) count(ctx context.Context, all []sighting) (elsewhere []sighting, err error) {
	byIssue, err := c.assign(ctx, all)
	if err != nil {
		return nil, err
	}
	if err := c.newWords(ctx, byIssue); err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(byIssue))
	changes := make([]docstore.Change, len(ids))
	for i, id := range ids {
		at := byIssue[id]
		initial := newIssue(id, at.seen[0], c.mark.At)
		if initial.Short, err = c.shortOf(ctx, initial, c.letters); err != nil {
			return nil, err
		}
		if changes[i], err = c.issues.UpsertChange(initial, &at.issue, func(issue *Issue, exists bool) error { return c.countAt(issue, at, exists) }); err != nil {
			return nil, err
		}
	}
	var counted []*at
	for i, failure := range c.c.Store.Batch(ctx, changes) {
		at := byIssue[ids[i]]
		switch {
		case errors.Is(failure, errElsewhere), docstore.ConflictsOn(failure, byShort):
			elsewhere = append(elsewhere, at.seen...)
		case failure != nil:
			err = errors.Join(err, failure)
		default:
			counted = append(counted, at)
		}
	}
	return elsewhere, errors.Join(err, c.afterCount(ctx, counted))
}

// assign finds the issues that events belong to.
func (c counting) assign(ctx context.Context, all []sighting) (map[string]*at, error) {
	byIssue := map[string]*at{}
	asked := map[string]*asking{}
	var unknown []*asking
	for _, seen := range all {
		own := seen.hashes[0]
		if asked[own] != nil {
			continue
		}
		q := &asking{hashes: seen.hashes}
		asked[own] = q
		if known, ok := c.byHash.Get(own); ok && !c.again {
			q.issue = known
			continue
		}
		q.sure = true
		unknown = append(unknown, q)
	}
	if err := c.ask(ctx, unknown); err != nil {
		return nil, err
	}
	for _, seen := range all {
		own := seen.hashes[0]
		q := asked[own]
		if byIssue[q.issue] == nil {
			byIssue[q.issue] = &at{sure: map[string]bool{}, isNew: q.isNew}
		}
		a := byIssue[q.issue]
		a.seen = append(a.seen, seen)
		a.sure[own] = q.sure
		a.isNew = a.isNew && q.isNew
	}
	return byIssue, nil
}

// asking is which issue an event's hashes belong to.
type asking struct {
	hashes []string
	issue  string
	was    string // what the own hash belonged to, as it was read
	sure   bool
	isNew  bool
}

// ask asks the store which issues hashes belong to: to that of the first hash that is
// known, or else to one that is yet to be made. The others, unless they are known as
// another's, belong to it from then on. All that is new is written together.
func (c counting) ask(ctx context.Context, all []*asking) error {
	if len(all) == 0 {
		return nil
	}
	reading := c.byHash.Begin()
	l := looking{counting: c, given: map[string]string{}, has: map[string]int{}, hashes: map[string]*hash{}, now: map[string]Issue{}}
	if err := l.read(ctx, all); err != nil {
		return err
	}
	var changes []docstore.Change
	now := make([][]hash, len(all))
	for i, q := range all {
		if err := l.look(ctx, q); err != nil {
			return err
		}
		now[i] = make([]hash, len(q.hashes))
		for k, id := range q.hashes {
			if _, taken := l.given[id]; taken && k > 0 {
				continue
			}
			l.given[id] = q.issue
			change, err := c.hashes.UpsertChange(hash{ID: id, Issue: q.issue}, &now[i][k], func(h *hash, exists bool) error {
				if exists && (k > 0 || h.Issue != q.was || h.Issue == q.issue) { // another copy has given it to another
					return docstore.ErrUnchanged
				}
				h.Issue = q.issue
				return nil
			})
			if err != nil {
				return err
			}
			changes = append(changes, change)
		}
	}
	if err := errors.Join(c.c.Store.Batch(ctx, changes)...); err != nil {
		return err
	}
	for i, q := range all {
		if now[i][0].Issue != q.issue {
			q.issue, q.isNew = now[i][0].Issue, false
		}
		c.byHash.PutRead(q.hashes[0], q.issue, reading)
	}
	return nil
}

// looking is what is given to issues as a batch's events are looked at.
type looking struct {
	counting
	given map[string]string // issues of hashes
	has   map[string]int    // how many hashes an issue has then
	// hashes are as they were read together, nil for those that there weren't: each is good for
	// one look. issues are those that they belong to, read together too; now are what those are.
	hashes map[string]*hash
	issues map[string]Issue
	now    map[string]Issue
}

// read reads the hashes of events, and the issues that these belong to.
func (c *looking) read(ctx context.Context, all []*asking) error {
	var ids, issues []string
	for _, q := range all {
		ids = append(ids, q.hashes...)
	}
	found, err := c.Service.hashes.GetAll(ctx, ids...)
	if err != nil {
		return err
	}
	for _, id := range ids {
		c.hashes[id] = nil
	}
	for id, h := range found {
		c.hashes[id] = &h
		issues = append(issues, h.Issue)
	}
	slices.Sort(issues)
	c.issues, err = c.Service.issues.GetAll(ctx, slices.Compact(issues)...)
	return err
}

// hashOf is a hash as it is said to be: at the first look as it was read with the others.
func (c *looking) hashOf(ctx context.Context, id string) (hash, error) {
	h, read := c.hashes[id]
	delete(c.hashes, id)
	switch {
	case !read:
		return c.Service.hashes.Get(ctx, id)
	case h == nil:
		return hash{}, docstore.ErrNotFound
	}
	return *h, nil
}

// issueOf is what an issue is called now, as of this batch: what has changed since is seen
// when its events are counted.
func (c *looking) issueOf(ctx context.Context, id string) (issue Issue, err error) {
	if now, known := c.now[id]; known {
		return now, nil
	}
	if read, ok := c.issues[id]; ok {
		issue, err = c.becomes(ctx, read)
	} else {
		issue, err = c.nowCalled(ctx, id)
	}
	if err == nil {
		c.now[id] = issue
	}
	return issue, err
}

// look finds the issue of an event's hashes.
func (c *looking) look(ctx context.Context, q *asking) error {
	for k, id := range q.hashes {
		if issue, mine := c.given[id]; mine {
			if k == 0 {
				q.was = issue
			} else if c.has[issue]++; c.has[issue] > maxHashes {
				break
			}
			q.issue = issue
			return nil
		}
		h, err := c.hashOf(ctx, id)
		for was := ""; err == nil && h.Issue != was; { // else it has moved on meanwhile
			was = h.Issue
			if k == 0 {
				q.was = was
			}
			now, failure := c.issueOf(ctx, was)
			if failure != nil {
				return failure
			}
			own := slices.Contains(now.Hashes, q.hashes[0])
			c.has[now.ID] = max(c.has[now.ID], len(now.Hashes))
			if !own {
				c.has[now.ID]++
			}
			if own || now.takes(q.hashes[0]) && c.has[now.ID] <= maxHashes {
				q.issue = now.ID
				return nil
			}
			h, err = c.hashOf(ctx, id)
		}
		if docstore.NotFoundAs(err, nil) != nil {
			return err
		}
	}
	// nobody has known them, or those that have them have no room
	q.issue, q.isNew = docstore.NewID(), true
	c.has[q.issue] = 1
	return nil
}

// nowCalled is what an issue has become a part of, or itself, when what it is to have of
// others' counts is there. One that there isn't is empty but for its id.
func (s *Service) nowCalled(ctx context.Context, id string) (Issue, error) {
	issue, err := s.issues.Get(ctx, id)
	if errors.Is(err, docstore.ErrNotFound) {
		return Issue{ID: id}, nil
	}
	if err != nil {
		return issue, err
	}
	return s.becomes(ctx, issue)
}

// becomes is nowCalled of an issue that was read.
func (s *Service) becomes(ctx context.Context, issue Issue) (Issue, error) {
	id := issue.ID
	_, err := s.finishMoves(ctx, issue)
	if err == nil && issue.Status == Merged {
		issue, err = s.passOn(ctx, issue)
	}
	if err == nil {
		issue, err = s.finishSplit(ctx, issue)
	}
	if errors.Is(err, ErrMergedAtOnce) { // which is undone
		return s.nowCalled(ctx, id)
	}
	if errors.Is(err, ErrNoIssue) { // it has been removed since: another takes its place
		return Issue{ID: docstore.NewID()}, nil
	}
	return issue, err
}

// errElsewhere is why events aren't counted at an issue: it isn't theirs any more.
var errElsewhere = errors.New("the events belong to another issue")

// countAt counts events of a batch at an issue, but for those that it has counted.
func (c counting) countAt(issue *Issue, at *at, exists bool) error {
	if issue.Status == Merged || issue.Status == Splitting {
		return errElsewhere
	}
	marks, fresh := c.mark.take(issue.Counted, at.seen, c.unfinished.has)
	if exists && len(fresh) == 0 {
		return docstore.ErrUnchanged
	}
	for _, seen := range fresh {
		own := seen.hashes[0]
		known := exists && slices.Contains(issue.Hashes, own)
		if !known && !at.sure[own] || !issue.takes(own) {
			return errElsewhere
		}
		issue.countHash(own, 1)
	}
	issue.Counted = marks
	at.words = issue.findBy(at.words)
	issue.see(fresh)
	issue.judge(fresh, !exists, *c.policy.Load(), c.c.Now())
	return nil
}

// Bounds of the marks that are kept: of processes that have ended they are needed only by
// one that was paused, was taken for dead, and goes on with what others have counted.
const (
	markKept  = 24 * time.Hour
	marksKept = 32
)

// take marks those events of a batch that aren't marked yet, and returns them. Of other
// processes the marks stay that may be needed: in any case of those that are unfinished.
func (m mark) take(marks []mark, all []sighting, unfinished func(writer string) bool) (with []mark, fresh []sighting) {
	var ended []mark
	for _, other := range marks {
		switch {
		case other.Writer == m.Writer && other.Batch > m.Batch:
			return marks, nil
		case other.Writer == m.Writer && other.Batch == m.Batch:
			m.Events = slices.Clone(other.Events)
		case other.Writer == m.Writer:
		case unfinished(other.Writer):
			with = append(with, other)
		case m.At.Sub(other.At.Time) <= markKept:
			ended = append(ended, other)
		}
	}
	for _, seen := range all {
		if m.add(seen.place) {
			fresh = append(fresh, seen)
		}
	}
	slices.SortStableFunc(ended, func(a, b mark) int { return b.At.Compare(a.At.Time) })
	return append(append(with, ended[:min(len(ended), marksKept)]...), m), fresh
}

// add marks an event by its place in the batch, and tells whether it wasn't.
func (m *mark) add(place int) bool {
	for len(m.Events) <= place/8 {
		m.Events = append(m.Events, 0)
	}
	bit := byte(1) << (place % 8)
	isNew := m.Events[place/8]&bit == 0
	m.Events[place/8] |= bit
	return isNew
}

// joinMarks are the marks of what two issues have counted.
func joinMarks(marks, others []mark) []mark {
	joined := slices.Clone(marks)
	for _, other := range others {
		k := slices.IndexFunc(joined, func(m mark) bool { return m.Writer == other.Writer })
		switch {
		case k < 0:
			joined = append(joined, other)
		case joined[k].Batch < other.Batch:
			joined[k] = other
		case joined[k].Batch == other.Batch:
			joined[k].Events = slices.Clone(joined[k].Events)
			for i, bits := range other.Events {
				if i == len(joined[k].Events) {
					joined[k].Events = append(joined[k].Events, 0)
				}
				joined[k].Events[i] |= bits
			}
		}
	}
	return joined
}

// afterCount does what follows from what was counted: again, where that was cut short.
func (c counting) afterCount(ctx context.Context, counted []*at) error {
	if err := errors.Join(c.pin(ctx, counted), c.post(ctx, counted)); err != nil {
		return err
	}
	for _, at := range counted {
		if len(at.issue.Pending) > 0 {
			c.relay.Send(ctx, at.issue)
		}
	}
	return nil
}

// pin has the events stay that were the first of an issue, or that it came back by.
func (c counting) pin(ctx context.Context, counted []*at) error {
	var ids []string
	for _, at := range counted {
		for _, s := range at.seen {
			if s.kept == at.issue.First || s.kept == at.issue.Regression.Kept {
				ids = append(ids, s.kept)
			}
		}
	}
	_, errs := c.events.UpdateAll(ctx, ids, func(_ int, k *kept) error {
		if k.Rank == pinned {
			return docstore.ErrUnchanged
		}
		k.Rank = pinned
		return nil
	})
	for _, err := range errs {
		if docstore.NotFoundAs(err, nil) != nil {
			return err
		}
	}
	return nil
}

// shortOf is what people call a new issue: its project's name and some letters.
func (s *Service) shortOf(ctx context.Context, issue Issue, letters int) (string, error) {
	p, err := s.projectOf(ctx, issue.Project)
	if errors.Is(err, ErrNoProject) { // it was deleted since
		p, err = Project{ID: issue.Project}, nil
	}
	sum := sha256.Sum256([]byte(issue.ID))
	return strings.ToUpper(p.prefix()) + "-" + base32.HexEncoding.EncodeToString(sum[:])[:letters], err
}
