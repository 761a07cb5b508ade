package errtrack

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"unicode"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/errtrack/grouping"
)

// posting says that an issue is found by a word: its id says it all, so that the issues of
// a word, or of a word's beginning, are a range of ids.
type posting struct {
	ID string `json:"_id"`
}

// DocumentID is the posting's id.
func (p posting) DocumentID() string { return p.ID }

var postingSpec = docstore.Spec{Collection: "error_words", Of: posting{}, Transient: true}

// separator stands between the parts of a posting's id, and in no part.
const separator = "\x1f"

func postingID(project, word, issue string) string {
	return project + separator + word + separator + issue
}

// What words are of: of text, or a tag.
const (
	ofText = "w"
	ofTag  = "t"
)

func tagWord(t tag) string { return ofTag + clean(t.key) + ":" + clean(strings.ToLower(t.value)) }

// clean is text without characters that separate.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

const (
	minWord = 2
	maxWord = 40
)

// wordsOf are those of an event's words that its issue may not be found by yet, as far as is
// remembered: that is most of them only the first time.
func (s *Service) wordsOf(seen sighting, e *event.Event) []string {
	issue, known := s.byHash.Get(seen.hashes[0])
	if !known {
		return tokensOf(e, seen.group, seen.tags)
	}
	var all, fresh []string // only these, so that what waits to be counted is small
	if s.known.Has(wordKey(issue, isFull)) {
		all = placesOf(seen.tags)
	} else {
		all = tokensOf(e, seen.group, seen.tags)
	}
	for _, word := range all {
		if !s.isFoundBy(issue, word) {
			fresh = append(fresh, word)
		}
	}
	return fresh
}

// placesOf are the words of the release and the environment among tags.
func placesOf(tags []tag) (words []string) {
	for _, t := range tags {
		if word := tagWord(t); isPlace(word) {
			words = append(words, word)
		}
	}
	return words
}

// isPlace tells whether a word is a release or an environment.
func isPlace(word string) bool {
	return strings.HasPrefix(word, ofTag+"release:") || strings.HasPrefix(word, ofTag+"environment:")
}

// isFoundBy tells whether an issue is remembered to be found by a word, or to have no room for it.
func (s *Service) isFoundBy(issue, word string) bool {
	full := isFull
	if isPlace(word) {
		full = isFullOfPlaces
	}
	return s.known.Has(wordKey(issue, word)) || s.known.Has(wordKey(issue, full))
}

// findBy are those of new words that there is room for. Releases and environments have a room
// of their own: however long the issue lives and its texts differ, it is found by new ones.
func (i *Issue) findBy(words []string) (all []string) {
	for _, word := range words {
		n, most := &i.Words, wordsKept
		if isPlace(word) {
			n, most = &i.Places, placesKept
		}
		if *n < most {
			*n++
			all = append(all, word)
		}
	}
	return all
}

// tokensOf are the words that an event's issue is found by: of its texts, its stack's
// functions and files, and its tags.
func tokensOf(e *event.Event, g grouping.Group, tags []tag) []string {
	if e.IsCheck() { // nobody looks for what is gone in a moment
		return nil
	}
	w := wordSet{seen: map[string]bool{}}
	for _, t := range tags {
		w.add(tagWord(t))
	}
	w.text(g.Title)
	w.text(g.Culprit)
	w.text(e.Message)
	for i := len(e.Exceptions) - 1; i >= 0; i-- {
		w.text(e.Exceptions[i].Type)
		w.text(e.Exceptions[i].Value)
		w.frames(e.Exceptions[i].Frames)
	}
	w.frames(e.Stack)
	return w.all
}

// wordSet collects words, each once, up to a bound.
type wordSet struct {
	all  []string
	seen map[string]bool
}

func (w *wordSet) add(word string) {
	if len(w.all) < maxTokens && !w.seen[word] {
		w.seen[word] = true
		w.all = append(w.all, word)
	}
}

func (w *wordSet) frames(frames []event.Frame) {
	for i := len(frames) - 1; i >= 0 && len(w.all) < maxTokens; i-- {
		w.text(frames[i].Function)
		w.text(frames[i].Module)
		w.text(frames[i].Filename)
	}
}

// text adds the words of a text: what is between characters that are no letters, digits or
// underscores, and of identifiers each part as well.
func (w *wordSet) text(text string) {
	const most = 2000
	text = text[:min(len(text), most)]
	for word := range strings.FieldsFuncSeq(text, isBetweenWords) {
		if len(w.all) >= maxTokens {
			return
		}
		w.word(word)
		parts := identifierParts(word)
		for _, part := range parts[:min(len(parts), 8)] {
			w.word(part)
		}
	}
}

func isBetweenWords(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }

func (w *wordSet) word(word string) {
	if len(word) >= minWord && len(word) <= maxWord {
		w.add(ofText + strings.ToLower(strings.ToValidUTF8(word, "")))
	}
}

// identifierParts are the words that camelCase or snake_case are made of; none for a word
// alone.
func identifierParts(word string) (parts []string) {
	start, before := 0, rune(0)
	for i, r := range word {
		if r == '_' || unicode.IsUpper(r) && unicode.IsLower(before) {
			parts = append(parts, strings.Trim(word[start:i], "_"))
			start = i
		}
		before = r
	}
	if len(parts) == 0 {
		return nil
	}
	return append(parts, strings.Trim(word[start:], "_"))
}

// wordSeed makes keys of what is remembered, of which there is room for many more than of
// words.
var wordSeed = maphash.MakeSeed()

// isFull stands for all words of an issue that is found by as many as may be, and isFullOfPlaces
// for its releases and environments.
const (
	isFull         = ""
	isFullOfPlaces = ofTag
)

func wordKey(issue, word string) uint64 {
	var h maphash.Hash
	h.SetSeed(wordSeed)
	_, _ = h.WriteString(issue)
	_, _ = h.WriteString(separator)
	_, _ = h.WriteString(word)
	return h.Sum64()
}

// newWords finds for each issue the words of its events that it isn't found by yet. One that
// is new is found by none.
func (s *Service) newWords(ctx context.Context, byIssue map[string]*at) error {
	var ids []string
	for id, at := range byIssue {
		at.words = s.unknownWords(id, at.seen)
		for _, word := range at.words {
			if !at.isNew {
				ids = append(ids, postingID(at.seen[0].project, word, id))
			}
		}
	}
	there, err := s.postings.GetAll(ctx, ids...)
	if err != nil || len(there) == 0 {
		return err
	}
	for id, at := range byIssue {
		at.words = slices.DeleteFunc(at.words, func(word string) bool {
			_, known := there[postingID(at.seen[0].project, word, id)]
			if known {
				s.known.Put(wordKey(id, word), struct{}{})
			}
			return known
		})
	}
	return nil
}

// unknownWords are those of events that the issue isn't remembered to be found by.
func (s *Service) unknownWords(issue string, seen []sighting) (words []string) {
	for _, one := range seen {
		for _, word := range one.tokens {
			if !s.isFoundBy(issue, word) {
				words = append(words, word)
			}
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// post has issues found by their new words.
func (s *Service) post(ctx context.Context, counted []*at) error {
	var changes []docstore.Change
	for _, at := range counted {
		for _, word := range at.words {
			change, err := s.postings.UpsertChange(posting{postingID(at.issue.Project, word, at.issue.ID)}, new(posting), func(_ *posting, exists bool) error {
				if exists {
					return docstore.ErrUnchanged
				}
				return nil
			})
			if err != nil {
				return err
			}
			changes = append(changes, change)
		}
	}
	if len(changes) > 0 {
		if err := errors.Join(s.c.Store.Batch(ctx, changes)...); err != nil {
			return err
		}
	}
	for _, at := range counted {
		if at.issue.Words >= wordsKept {
			s.known.Put(wordKey(at.issue.ID, isFull), struct{}{})
		}
		if at.issue.Places >= placesKept {
			s.known.Put(wordKey(at.issue.ID, isFullOfPlaces), struct{}{})
		}
		for _, word := range at.words {
			s.known.Put(wordKey(at.issue.ID, word), struct{}{})
		}
	}
	return nil
}

// found are the issues of a project that are found by a word, or by all that begin with
// it: nil where they are more than fewFound, and it returns ErrInvalid where those of a
// beginning are too many.
func (s *Service) found(ctx context.Context, project, word string, prefix bool) (map[string]bool, error) {
	from := project + separator + word
	if !prefix {
		from += separator
	}
	page := docstore.MaxLimit
	if !prefix {
		page = fewFound + 1
	}
	issues := map[string]bool{}
	for p, err := range s.postings.All(ctx, docstore.Query{From: from, Until: from + string(unicode.MaxRune), Limit: page}) {
		if err != nil {
			return nil, err
		}
		issues[p.ID[strings.LastIndex(p.ID, separator)+1:]] = true
		if !prefix && len(issues) > fewFound {
			return nil, nil
		}
		if len(issues) > maxFound {
			return nil, errTooMany
		}
	}
	return issues, nil
}
