package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"manus/httpapi"
	"manus/language"
)

// Bounds of a search.
const (
	maxQuery = 100 // characters
	maxTerms = 8
	maxFound = 40
)

// docsEntry is what a search can find: an operation, or a problem, whose Group is empty.
type docsEntry struct {
	Method, Path string
	Title        language.Text
	Group        language.Text
	Address      string // of the page; Anchor is its place there
	Anchor       string
	weights      map[string]int // by word
}

// docsSearch is the page of what was found.
type docsSearch struct {
	docs
	Found []docsEntry
	More  bool
}

func newDocsIndex(m docsModel) (index []docsEntry) {
	for _, group := range m.groups {
		for _, o := range group.Operations {
			index = append(index, newDocsEntry(group, o))
		}
	}
	for _, kind := range m.problems {
		e := docsEntry{Title: language.Text{En: kind.Name, Ar: kind.Name}, Address: kind.Type(), weights: map[string]int{}}
		e.learn(6, kind.Name)
		e.learn(1, kind.Detail.En, kind.Detail.Ar)
		index = append(index, e)
	}
	return index
}

func newDocsEntry(group docsGroup, o docsOperation) docsEntry {
	e := docsEntry{Method: o.Method(), Path: httpapi.Prefix + o.Path(), Title: o.Summary, Group: group.Name, Address: group.Path(), Anchor: o.ID, weights: map[string]int{}}
	e.learn(8, o.ID, o.Path())
	e.learn(6, o.Summary.En, o.Summary.Ar)
	e.learn(4, group.Name.En, group.Name.Ar, e.Method)
	e.learnFields(3, o.Parameters)
	e.learnFields(3, o.Body)
	for _, answer := range o.Answers {
		e.learnFields(2, answer.Fields)
	}
	e.learn(1, o.Description.En, o.Description.Ar)
	return e
}

func (e *docsEntry) learn(weight int, texts ...string) {
	for _, text := range texts {
		for _, word := range wordsIn(text) {
			e.weights[word] = max(e.weights[word], weight)
		}
	}
}

func (e *docsEntry) learnFields(weight int, fields []httpapi.Field) {
	for _, field := range fields {
		e.learn(weight, field.Name)
		e.learn(1, field.Doc.En, field.Doc.Ar)
		e.learnFields(weight, field.Fields)
	}
}

// score is how well an entry is what the terms are for; 0 where it lacks one of them. The
// beginning of a word counts half of the word.
func (e *docsEntry) score(terms []string) (sum int) {
	for _, term := range terms {
		best := 2 * e.weights[term]
		for word, weight := range e.weights {
			if weight > best && strings.HasPrefix(word, term) {
				best = weight
			}
		}
		if best == 0 {
			return 0
		}
		sum += best
	}
	return sum
}

// wordsIn are the words of a text as they are compared: without case, and in Arabic without
// vowels, the article and what hands write differently.
func wordsIn(text string) []string {
	all := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r)
	})
	for i, word := range all {
		word = plainArabic.Replace(word)
		if rest, ok := strings.CutPrefix(word, "ال"); ok && len(rest) > len("ال") {
			word = rest
		}
		all[i] = word
	}
	return all
}

var plainArabic = strings.NewReplacer("أ", "ا", "إ", "ا", "آ", "ا", "ى", "ي", "ة", "ه",
	"\u064b", "", "\u064c", "", "\u064d", "", "\u064e", "", "\u064f", "", "\u0650", "", "\u0651", "", "\u0652", "", "\u0640", "")

// queryOf is what a request looks for in the reference; empty for nothing. What is too long
// is cut.
func queryOf(r *http.Request) string {
	query := []rune(strings.TrimSpace(strings.ToValidUTF8(r.URL.Query().Get("q"), "")))
	return string(query[:min(len(query), maxQuery)])
}

// find are the entries that have all words of a query, the best first.
func (m docsModel) find(query string) (found []docsEntry) {
	terms := wordsIn(query)
	terms = terms[:min(len(terms), maxTerms)]
	scores := map[string]int{}
	for _, e := range m.index {
		if score := e.score(terms); score > 0 {
			found, scores[e.Address+"#"+e.Anchor] = append(found, e), score
		}
	}
	slices.SortStableFunc(found, func(a, b docsEntry) int {
		return cmp.Compare(scores[b.Address+"#"+b.Anchor], scores[a.Address+"#"+a.Anchor])
	})
	return found
}

func (p *Pages) searchDocs(w http.ResponseWriter, r *http.Request, query string) {
	m := p.reference.Load().model()
	found := m.find(query)
	d := p.docsIn(p.frame(r), m)
	d.Query = query
	d.kept = map[string][]string{"q": {query}}
	w.Header().Set("Cache-Control", "no-store")
	p.show(w, r, http.StatusOK, "docs-search.html", docsSearch{d, found[:min(len(found), maxFound)], len(found) > maxFound})
}
