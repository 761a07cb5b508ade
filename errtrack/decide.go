package errtrack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"manus/audit"
	"manus/docstore"
	"manus/identity"
	"manus/internal/words"
	"manus/language"
)

// What the audit log tells of errors. The subject is a project's or an issue's id.
const (
	eventProjectMade    audit.Kind = "error-project-created"
	eventProjectChanged audit.Kind = "error-project-changed"
	eventProjectDeleted audit.Kind = "error-project-deleted"
	eventIssueChanged   audit.Kind = "issue-changed"
	eventIssueMerged    audit.Kind = "issue-merged"
	eventIssueSplit     audit.Kind = "issue-split"
	eventMonitorRemoved audit.Kind = "check-in-removed"
	eventMapsUploaded   audit.Kind = "source-maps-uploaded"
	eventReleaseNamed   audit.Kind = "release-changed"
	eventReleaseRemoved audit.Kind = "release-removed"
)

// note puts what the caller does into the audit log, before it is done: so nothing is done
// that isn't there. Errors are the store's.
func (s *Service) note(ctx context.Context, kind audit.Kind, subject string) error {
	if s.c.Audit == nil {
		return nil
	}
	e := audit.NewEvent(ctx, identity.From(ctx).UserID, kind, s.c.Now())
	e.Subject = subject
	return s.c.Audit.Append(ctx, e)
}

// IssueChange is what people decide of an issue; nil leaves it as it is.
type IssueChange struct {
	Status *Status
	// In is in which release it is resolved, see Resolution.
	In string
	// Ignore is until when it is ignored. Count and Users are how many more.
	Ignore         *Ignore
	Assignee, Note *string
}

const maxNote = 2000

// ChangeIssue changes an issue. It returns ErrNoIssue, ErrInvalid or an error of the store.
func (s *Service) ChangeIssue(ctx context.Context, name string, c IssueChange) (Issue, error) {
	issue, err := s.Issue(ctx, name)
	now := docstore.At(s.c.Now())
	if err == nil {
		tried := issue
		err = c.apply(&tried, now) // what can't be isn't worth noting
	}
	if err == nil {
		err = s.note(ctx, eventIssueChanged, issue.ID)
	}
	if err != nil {
		return issue, err
	}
	issue, err = s.issues.Update(ctx, issue.ID, func(issue *Issue) error {
		if issue.Status == Merged || issue.Status == Splitting {
			return docstore.ErrNotFound
		}
		return c.apply(issue, now)
	})
	return issue, docstore.NotFoundAs(err, ErrNoIssue)
}

func (c IssueChange) apply(issue *Issue, now docstore.Time) error {
	if c.Ignore != nil && (c.Status == nil || *c.Status != Ignored) {
		return invalid("body.ignore", "It goes with the status ignored alone.", "لا يكون إلا مع الحالة ignored.")
	}
	if c.Ignore != nil && !c.Ignore.Until.IsZero() && !c.Ignore.Until.After(now.Time) {
		return invalid("body.ignore.until", "It is in the past: give a time to come, or a span from now such as 24h or 7d.", "وقت مضى: أعطِ وقتًا آتيًا، أو مدة من الآن مثل 24h أو 7d.")
	}
	if c.In != "" && (c.Status == nil || *c.Status != Resolved) || !slices.Contains([]string{"", "release", "next"}, c.In) {
		return invalid("body.in", `It is "release" or "next", and goes with the status resolved alone.`, "إما release أو next، ولا يكون إلا مع الحالة resolved.")
	}
	if c.Status != nil {
		if !slices.Contains(Statuses, *c.Status) {
			return invalid("body.status", "It is one of unresolved, resolved and ignored.", "واحدة من: unresolved و resolved و ignored.")
		}
		issue.decide(*c.Status, c.In, c.Ignore, now)
	}
	for _, text := range []struct{ to, from *string }{{&issue.Assignee, c.Assignee}, {&issue.Note, c.Note}} {
		if text.from != nil {
			*text.to = language.Cut(*text.from, maxNote)
		}
	}
	return nil
}

// decide gives the issue a status.
func (i *Issue) decide(status Status, in string, ignore *Ignore, now docstore.Time) {
	i.Status, i.Ignore = status, nil
	switch status {
	case Resolved:
		i.Resolution = &Resolution{At: now, In: in, Release: i.newestRelease(), Seen: i.Releases()}
	case Ignored:
		i.Ignore = &Ignore{}
		if ignore != nil {
			*i.Ignore = *ignore
		}
		if i.Ignore.Count > 0 {
			i.Ignore.More, i.Ignore.Count = i.Ignore.Count, i.Ignore.Count+i.Count
		}
		if i.Ignore.Users > 0 {
			i.Ignore.MoreUsers, i.Ignore.Users = i.Ignore.Users, i.Ignore.Users+i.Users
		}
	}
}

// whole is an issue that isn't just being split.
func (s *Service) whole(ctx context.Context, name string) (Issue, error) {
	for range maxMerges {
		issue, err := s.Issue(ctx, name)
		if err == nil {
			issue, err = s.finishSplit(ctx, issue)
		}
		some := false
		if err == nil {
			some, err = s.finishMoves(ctx, issue)
		}
		if err != nil || !some {
			return issue, err
		}
	}
	return Issue{}, fmt.Errorf("%w: the issue %s is split all the time", docstore.ErrUnavailable, name)
}

// Merge makes an issue a part of another, for good: what comes with its hashes belongs
// there from now on. It is a chain of steps, of which each can be done again; one that was
// cut short is ended by Sweep. It returns ErrNoIssue, ErrInvalid,
// ErrMergedAtOnce or an error of the store.
func (s *Service) Merge(ctx context.Context, name, into string) (Issue, error) {
	from, err := s.whole(ctx, name)
	if err != nil {
		return from, err
	}
	to, err := s.whole(ctx, into)
	if err != nil {
		return to, err
	}
	if from.ID == to.ID || from.Project != to.Project {
		return to, invalid("body.into", "It is another issue of the same project.", "مشكلة أخرى من المشروع نفسه.")
	}
	if len(from.Hashes)+len(to.Hashes) > maxHashes || len(to.Absorbed) >= maxHashes {
		return to, invalid("body.into", "Together they would have more than "+words.Count(maxHashes, "fingerprint")+", which is as many as an issue may have.", fmt.Sprintf("لو جُمعتا لتجاوزت البصمات الحد الأقصى لمشكلة واحدة: %d.", maxHashes))
	}
	if err := s.note(ctx, eventIssueMerged, from.ID); err != nil {
		return to, err
	}
	from, err = s.issues.Update(ctx, from.ID, func(i *Issue) error {
		if i.Status == Merged {
			return docstore.ErrUnchanged // by another copy, into what it says
		}
		if slices.ContainsFunc(i.Moved, func(m moved) bool { return len(m.Hashes) > 0 }) {
			return invalid("path.id", "The issue is just being split: try again in a moment.", "تُقسَّم المشكلة الآن: حاول بعد لحظات.")
		}
		i.Status, i.Into, i.MergedAt = Merged, to.ID, docstore.At(s.c.Now())
		return nil
	})
	if err != nil {
		return to, docstore.NotFoundAs(err, ErrNoIssue)
	}
	return s.finishMerge(ctx, from)
}

// finishMerge does what follows from an issue's having become a part of another.
func (s *Service) finishMerge(ctx context.Context, from Issue) (Issue, error) {
	to, err := s.passOn(ctx, from)
	if err != nil {
		return to, err
	}
	if err := s.giveHashes(ctx, from.Hashes, from, to.ID); err != nil {
		return to, err
	}
	_, err = s.issues.Update(ctx, from.ID, func(i *Issue) error { i.MergeDone = i.Status == Merged; return nil })
	return to, docstore.NotFoundAs(err, nil)
}

// passOn has what a merged issue has counted counted by what it is a part of, once, and
// returns that. A merged issue doesn't change, so it may be done by several copies at once.
// It returns ErrNoIssue, ErrMergedAtOnce or an error of the store.
func (s *Service) passOn(ctx context.Context, from Issue) (Issue, error) {
	chain := []Issue{from}
	for id := from.Into; len(chain) <= maxMerges; {
		to, err := s.issues.Update(ctx, id, func(i *Issue) error {
			if i.Status == Merged || slices.Contains(i.Absorbed, from.ID) {
				return docstore.ErrUnchanged
			}
			i.absorb(from)
			return nil
		})
		switch {
		case err != nil:
			return to, docstore.NotFoundAs(err, ErrNoIssue)
		case to.Status != Merged:
			return to, nil
		case slices.Contains(to.Absorbed, from.ID):
			return s.passOn(ctx, to)
		}
		if k := slices.IndexFunc(chain, func(i Issue) bool { return i.ID == to.Into }); k >= 0 {
			return Issue{}, s.openRing(ctx, append(chain[k:], to))
		}
		chain, id = append(chain, to), to.Into
	}
	return Issue{}, invalid("path.id", "The issue has been merged into others too many times, one after another.", "دُمجت المشكلة في غيرها مرات متتالية أكثر مما يمكن.")
}

// openRing undoes one of several merges that were made at once, each into the next, so that
// there was nothing left that counts. Whoever meets it undoes the same one: the first whose
// counts nobody has. It returns an error in any case, as all is different then.
func (s *Service) openRing(ctx context.Context, ring []Issue) error {
	alone := slices.DeleteFunc(slices.Clone(ring), func(i Issue) bool {
		return slices.ContainsFunc(ring, func(other Issue) bool { return slices.Contains(other.Absorbed, i.ID) })
	})
	if len(alone) == 0 {
		return fmt.Errorf("%w: the issue %s has counted itself", docstore.ErrCorrupt, ring[0].ID)
	}
	first := slices.MinFunc(alone, func(a, b Issue) int { return strings.Compare(a.ID, b.ID) })
	_, err := s.issues.Update(ctx, first.ID, func(i *Issue) error {
		if i.Status != Merged || i.Into != first.Into || i.MergedAt != first.MergedAt {
			return docstore.ErrUnchanged
		}
		i.Status, i.Into, i.MergedAt = Unresolved, "", docstore.Time{}
		return nil
	})
	return cmp.Or(err, ErrMergedAtOnce)
}

// Split gives some of an issue's hashes an issue of their own, for good, with those of its
// events that are kept. When it was cut short it is done again. It returns ErrNoIssue,
// ErrInvalid or an error of the store.
func (s *Service) Split(ctx context.Context, name string, fingerprints []string) (Issue, error) {
	from, err := s.whole(ctx, name)
	if err != nil {
		return from, err
	}
	var hashes []string
	for _, f := range fingerprints {
		if hashes = append(hashes, hashID(from.Project, f)); !slices.Contains(from.Hashes, hashID(from.Project, f)) {
			return from, invalid("body.fingerprints", "The issue doesn't have one of them; its own are the fingerprints that it is shown with.", "ليست إحداها من بصمات المشكلة؛ وبصماتها هي fingerprints المعروضة معها.")
		}
	}
	slices.Sort(hashes)
	if hashes = slices.Compact(hashes); len(hashes) == 0 || len(hashes) == len(from.Hashes) {
		return from, invalid("body.fingerprints", "They are some of the issue's fingerprints, and not all: those of one alone can't be split.", "بعض بصمات المشكلة لا كلها؛ فما له بصمة واحدة لا يُقسَّم.")
	}
	if err := s.note(ctx, eventIssueSplit, from.ID); err != nil {
		return from, err
	}
	split, err := s.makeSplit(ctx, from, hashes)
	if err != nil {
		return split, err
	}
	return s.finishSplit(ctx, split)
}

// finishSplit gives an issue that is being split off its hashes, and what was counted of
// them, once. It is a chain of steps that several copies may do at once: meanwhile nobody
// counts these, but helps to end it. It returns ErrNoIssue or an error of the store.
func (s *Service) finishSplit(ctx context.Context, split Issue) (Issue, error) {
	for range maxMerges {
		if split.Status != Splitting {
			return split, nil
		}
		from, err := s.issues.Update(ctx, split.SplitFrom, func(i *Issue) error { return i.move(split) })
		if docstore.NotFoundAs(err, nil) != nil {
			return split, err
		}
		k := from.movedTo(split.ID)
		var given moved
		if k >= 0 {
			given = from.Moved[k]
		}
		if err := s.giveHashes(ctx, given.Hashes, from, split.ID); err != nil {
			return split, err
		}
		if len(given.Hashes) > 0 {
			if err := s.recount(ctx, from.ID); err != nil {
				return split, err
			}
		}
		into := Issue{}
		if k < 0 && from.Status == Merged {
			if into, err = s.passOn(ctx, from); err != nil {
				return split, err
			}
		}
		was := split.SplitFrom
		split, err = s.issues.Update(ctx, split.ID, func(i *Issue) error {
			switch {
			case i.Status != Splitting || i.SplitFrom != was:
				return docstore.ErrUnchanged
			case into.ID != "":
				i.SplitFrom = into.ID
				return nil
			case len(given.Hashes) == 0: // another has had them
				return docstore.ErrRemoved
			}
			i.receive(given)
			return nil
		})
		if err == nil && k >= 0 {
			err = s.forgetMoved(ctx, was, split.ID)
		}
		if err == nil && into.ID == "" && len(given.Hashes) == 0 && split.Status == Splitting {
			err = ErrNoIssue
		}
		if err != nil {
			return split, docstore.NotFoundAs(err, ErrNoIssue)
		}
	}
	return split, fmt.Errorf("%w: the issue %s is merged all the time", docstore.ErrUnavailable, split.SplitFrom)
}

// giveHashes has hashes of an issue belong to another; they may be said yet to belong to one
// that it has absorbed.
func (s *Service) giveHashes(ctx context.Context, hashes []string, from Issue, to string) error {
	for _, id := range hashes {
		_, err := s.hashes.Update(ctx, id, func(h *hash) error {
			if h.Issue != from.ID && !slices.Contains(from.Absorbed, h.Issue) || h.Issue == to {
				return docstore.ErrUnchanged
			}
			h.Issue = to
			return nil
		})
		if docstore.NotFoundAs(err, nil) != nil {
			return err
		}
	}
	if len(hashes) > 0 {
		s.byHash.Forget()
	}
	return nil
}

// finishMoves ends what was begun of taking hashes from an issue, and tells whether there
// was something.
func (s *Service) finishMoves(ctx context.Context, from Issue) (some bool, err error) {
	for _, m := range from.Moved {
		if len(m.Hashes) == 0 {
			continue
		}
		some = true
		split, err := s.issues.Get(ctx, m.To)
		if err == nil && split.Status == Splitting {
			_, err = s.finishSplit(ctx, split)
		} else if err == nil {
			err = s.forgetMoved(ctx, from.ID, m.To)
		}
		if err != nil && !errors.Is(err, docstore.ErrNotFound) && !errors.Is(err, ErrNoIssue) {
			return some, err
		}
	}
	return some, nil
}

// maxMoved bounds what an issue knows to have given to others: so many are not split off at
// once.
const maxMoved = 100

// receive counts what was counted of the issue's hashes where it was split off.
func (i *Issue) receive(m moved) {
	i.Status, i.SplitFrom = Unresolved, ""
	i.Hashes, i.OfHash, i.Count, i.Counted = m.Hashes, m.OfHash, m.Count, m.Counted
}

// forgetMoved keeps of what an issue has given to another only that it has.
func (s *Service) forgetMoved(ctx context.Context, from, to string) error {
	_, err := s.issues.Update(ctx, from, func(i *Issue) error {
		k := i.movedTo(to)
		if k < 0 {
			return docstore.ErrUnchanged
		}
		i.Moved[k] = moved{To: to}
		return nil
	})
	return docstore.NotFoundAs(err, nil)
}

// movedTo is where in Moved it stands what an issue was given; -1 if it wasn't given any.
func (i *Issue) movedTo(id string) int {
	return slices.IndexFunc(i.Moved, func(m moved) bool { return m.To == id })
}

// move takes the hashes of an issue that is split off, once, and what was counted of them.
func (i *Issue) move(split Issue) error {
	if i.Status == Merged || i.movedTo(split.ID) >= 0 {
		return docstore.ErrUnchanged
	}
	m := moved{To: split.ID, Counted: i.Counted}
	for _, h := range split.Hashes {
		if at := slices.Index(i.Hashes, h); at >= 0 {
			m.Hashes, m.OfHash = append(m.Hashes, h), append(m.OfHash, i.OfHash[at])
			m.Count += i.OfHash[at]
			i.Lost = append(i.Lost[max(0, len(i.Lost)-maxHashes+1):], h)
			i.Hashes, i.OfHash = slices.Delete(i.Hashes, at, at+1), slices.Delete(i.OfHash, at, at+1)
		}
	}
	i.Count -= m.Count
	i.Moved = append(i.Moved[max(0, len(i.Moved)-maxMoved+1):], m)
	return nil
}

// maxRecount is how many events are counted for an issue that was split off.
const maxRecount = 20_000

// makeSplit makes the issue of some of an issue's hashes, from the events that are kept.
// When it has been made before, by a call that was cut short, it is the same.
func (s *Service) makeSplit(ctx context.Context, from Issue, hashes []string) (Issue, error) {
	sum := sha256.Sum256([]byte(from.ID + "\x00" + strconv.Itoa(len(from.Absorbed)) + "\x00" + strings.Join(hashes, "\x00")))
	part := from
	part.Hashes = hashes
	split, err := s.summary(ctx, part, hex.EncodeToString(sum[:16]), func(split Issue, seen sighting) error {
		found := at{seen: []sighting{seen}, issue: split}
		if found.words = s.unknownWords(split.ID, found.seen); len(found.words) == 0 {
			return nil
		}
		return s.post(ctx, []*at{&found})
	})
	if errors.Is(err, ErrNoEvent) {
		err = invalid("body.fingerprints", "No event of these is kept any more.", "لم يبقَ حدث محفوظ من هذه.")
	}
	if err != nil {
		return split, err
	}
	split.Hashes, split.OfHash = hashes, make([]int64, len(hashes))
	split.Status, split.SplitFrom, split.Count, split.Counted = Splitting, from.ID, 0, nil
	short, err := s.shortOf(ctx, split, 7)
	split.Short = short
	if err != nil {
		return split, err
	}
	return s.issues.Upsert(ctx, split, func(i *Issue, exists bool) error {
		if exists {
			return docstore.ErrUnchanged
		}
		*i = split
		return nil
	})
}

// summary is an issue as the events show it that are kept of an issue's hashes; of so many
// that there is an end to it, the newest. Each is passed on, with its words, unless
// nobody asks for them. It returns ErrNoEvent, or an error of the store or of each.
func (s *Service) summary(ctx context.Context, of Issue, id string, each func(Issue, sighting) error) (sum Issue, err error) {
	counted := 0
	for k, err := range s.eventsOf(ctx, of, true, docstore.DefaultLimit, "") {
		if err != nil {
			return sum, err
		}
		e, err := k.event()
		if err != nil {
			return sum, err
		}
		seen := newSighting(k, &e, groupOfKept(k, &e))
		if counted == 0 {
			sum = newIssue(id, seen, docstore.At(s.c.Now()))
		}
		sum.First = k.ID
		sum.see([]sighting{seen})
		if each != nil {
			seen.tokens = tokensOf(&e, seen.group, seen.tags)
			if err := each(sum, seen); err != nil {
				return sum, err
			}
		}
		if counted++; counted == maxRecount {
			return sum, s.findFirst(ctx, of, &sum)
		}
	}
	if counted == 0 {
		return sum, ErrNoEvent
	}
	return sum, nil
}

// findFirst has a summary begin with the first event that is kept.
func (s *Service) findFirst(ctx context.Context, of Issue, sum *Issue) error {
	for k, err := range s.eventsOf(ctx, of, false, 1, "") {
		if err != nil {
			return err
		}
		e, err := k.event()
		sum.First, sum.FirstSeen, sum.FirstRelease = k.ID, k.At, language.Cut(e.Release, maxTagged)
		return err
	}
	return nil
}

// recounts is how often what is left of an issue is looked at, if that changes meanwhile:
// then the last look counts, and tags and people lack what came since.
const recounts = 3

// recount has an issue that hashes were taken from show what is left to it, as the events do
// that are kept; its total is exact already. It may be done again. Errors are the store's.
func (s *Service) recount(ctx context.Context, id string) error {
	errChanged := errors.New("the issue has changed")
	for n := range recounts {
		before, err := s.issues.Get(ctx, id)
		if err != nil {
			return docstore.NotFoundAs(err, nil)
		}
		left, err := s.summary(ctx, before, id, nil)
		if errors.Is(err, ErrNoEvent) { // nothing better is known
			return nil
		}
		if err != nil {
			return err
		}
		_, err = s.issues.Update(ctx, id, func(i *Issue) error {
			switch {
			case i.Status == Merged:
				return docstore.ErrUnchanged
			case (i.Count != before.Count || !slices.Equal(i.Hashes, before.Hashes)) && n+1 < recounts:
				return errChanged
			}
			i.showAs(left)
			return nil
		})
		if !errors.Is(err, errChanged) {
			return docstore.NotFoundAs(err, nil)
		}
	}
	return nil
}
