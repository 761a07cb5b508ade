// Package docstore keeps documents: it is the one interface every capability
// stores through, so that its rules are written once and run on an embedded
// SQLite file ([manus/docstore/sqlitedocs]) as they do on MongoDB ([manus/docstore/mongodocs]).
//
// One aggregate is one document, and every business step is one atomic change
// of one document; there are no transactions across documents. Work that
// spans documents is a chain of idempotent steps.
//
// The package knows nothing of what the documents mean. The meaning of its
// own methods, concurrency and crashes included, is fixed by the suite in
// [manus/docstore/docstoretest], which every engine passes.
package docstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
)

// Raw is one document in its engine's own encoding (JSON text in SQLite, BSON
// in MongoDB). Only the engine's [Codec] reads or makes it.
type Raw []byte

// Document is an encoded document and the id it is stored under, which is
// valid UTF-8.
type Document struct {
	ID   string
	Body Raw
}

// Spec declares a collection and its indexes. Every collection has the index
// by id; the others are named here, and a query may only use a declared one.
// Names are lower case letters, digits and _.
type Spec struct {
	Collection string
	Indexes    []Index
	// Of is a value of the type that the documents are of, for Copy. A map in it says of its
	// keys that they are plain, see Check.
	Of Entity
	// Transient says that the documents come and go, so that none is as good as many.
	Transient bool
}

// Index declares an ordered index on top-level fields, ties ordered by id. A
// document that lacks one of the fields, or has null there, is not in it.
// A field holds strings, integers, booleans or a [Time], the same kind in every
// document. Strings are valid UTF-8 of any characters, NUL included, and are
// ordered by their bytes. A page can't be continued after a document whose
// indexed strings are longer than 8 KiB together, as a cursor repeats them.
type Index struct {
	Name   string
	Fields []string
	Unique bool
}

// validName is what collections, indexes and fields may be called; none of it
// needs escaping anywhere.
var validName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Check tells what is wrong with a declaration: ErrInvalid for a name that isn't
// allowed, an index of no fields, or a map that doesn't say what its keys are. Engines call
// it first in Declare.
//
// The keys of a map are names of fields in MongoDB. One that has a dot, begins with a dollar
// sign or holds a NUL can't be queried there, and servers that speak its protocol refuse the whole document. So
// a field with a map has the tag docstore:"plainkeys", by which the program says that its
// keys are none of these, whoever gives them; what can't say that is a list of structs, or
// JSON as text ([encoding/json.RawMessage]).
func (s Spec) Check() error {
	names := []string{s.Collection}
	for _, index := range s.Indexes {
		names = append(append(names, index.Name), index.Fields...)
		if len(index.Fields) == 0 {
			return fmt.Errorf("%w: index %q has no fields", ErrInvalid, index.Name)
		}
	}
	for _, name := range names {
		if !validName.MatchString(name) {
			return fmt.Errorf("%w: the name %q is not lower case letters, digits and _", ErrInvalid, name)
		}
	}
	if s.Of == nil {
		return nil
	}
	return checkMaps(reflect.TypeOf(s.Of), map[reflect.Type]bool{})
}

// checkMaps looks for maps in a type of documents that don't say that their keys are plain.
func checkMaps(t reflect.Type, seen map[reflect.Type]bool) error {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return checkMaps(t.Elem(), seen)
	case reflect.Struct:
	default:
		return nil
	}
	if seen[t] {
		return nil
	}
	seen[t] = true
	for field := range t.Fields() {
		if !field.IsExported() || field.Tag.Get("json") == "-" {
			continue
		}
		if hasMap(field.Type) && field.Tag.Get("docstore") != "plainkeys" {
			return fmt.Errorf("%w: the map %v.%s doesn't say that its keys are plain, see docstore.Spec.Check", ErrInvalid, t, field.Name)
		}
		if err := checkMaps(field.Type, seen); err != nil {
			return err
		}
	}
	return nil
}

// hasMap tells whether a field holds a map, or maps.
func hasMap(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Map:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return hasMap(t.Elem())
	}
	return false
}

// IDIndex is the name under which a conflict on the id itself is reported.
const IDIndex = "_id"

// Query selects a range of one index, in the index's order.
type Query struct {
	// Index is a declared index's name; empty means by id.
	Index string
	// Equal holds the values of the index's leading fields.
	Equal []any
	// From (included) and Until (excluded) bound the field after those, or
	// the id when there is none. A nil bound is open.
	From, Until any
	// Descending turns the order of the fields after Equal, and of the id.
	Descending bool
	// Limit is the greatest number of documents returned, 1 to MaxLimit;
	// 0 means DefaultLimit.
	Limit int
	// Cursor is a Page's Next, to go on after that page.
	Cursor string
}

// Bounds of Query.Limit.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Page is a query's answer. Next is empty when nothing follows.
type Page struct {
	Documents []Raw
	Next      string
}

// Change is one step of a batch: Apply gets the document as it stands, nil
// when there is none, and returns what it shall be. Returning nil leaves it as
// it is, returning Removed removes it. Apply may run again, so it has no effects
// of its own; it runs where other writes wait, so it is quick. Without Apply the step adds New,
// and is a ConflictError where there is a document already.
type Change struct {
	Collection string
	ID         string
	Apply      func(old Raw) (Raw, error)
	New        Raw
}

// Removed is what a change returns for a document that shall be no more.
var Removed = Raw{}

// Store keeps documents. Writes are durable when the method returns nil. When
// it returns a context's error or ErrUnavailable, the write may or may not
// have happened.
//
// Every method may return ErrUnavailable (the engine can't be reached or can't
// write now; the cause is wrapped for the operator), ErrCorrupt (what is stored can't
// be read, and never will), the context's error, and
// ErrInvalid for a collection that hasn't been declared. A read sees every
// write that was acknowledged before it began. Methods are safe for concurrent
// use.
type Store interface {
	// Declare makes the collections and indexes exist. It is idempotent, may
	// be called by several processes at once, and builds what is missing.
	// A ConflictError means that stored documents violate a unique index that
	// was to be built, ErrInvalid that a name isn't allowed.
	Declare(ctx context.Context, specs ...Spec) error

	// Get returns the document with the id, or ErrNotFound.
	Get(ctx context.Context, collection, id string) (Raw, error)

	// GetAll returns the documents with the ids, in their order, nil for those that there
	// aren't. They aren't all of the same moment.
	GetAll(ctx context.Context, collection string, ids ...string) ([]Raw, error)

	// Find returns a page of documents in index order. ErrInvalid means that
	// the query doesn't fit the index, which is a mistake of the program; the
	// one of them that a client can cause is ErrCursor: the cursor can't be
	// from a query like it.
	Find(ctx context.Context, collection string, q Query) (Page, error)

	// Insert adds documents in the order given and stops at the first that
	// conflicts (ConflictError); those before it are stored. A crash leaves a
	// prefix of them.
	Insert(ctx context.Context, collection string, docs ...Document) error

	// Upsert changes one document by compare-and-swap, or makes it: change gets
	// nil when there is none. ConflictError when the new body violates a unique
	// index, or the error that change returned, in which case nothing is written.
	// Like Change.Apply, change may run again, is quick, leaves the document as it
	// is by returning nil, and removes it by returning Removed.
	Upsert(ctx context.Context, collection, id string, change func(old Raw) (Raw, error)) error

	// Delete removes the document with the id, or returns ErrNotFound.
	Delete(ctx context.Context, collection, id string) error

	// DeleteRange removes at most q.Limit documents from the start of the
	// query's range and says how many went. Callers repeat it until the answer
	// is less than the limit. ErrInvalid as for Find.
	DeleteRange(ctx context.Context, collection string, q Query) (int, error)

	// Batch applies independent changes, each atomic by itself, and returns an
	// error for each in their order. An engine may commit them together; no
	// order between them is promised.
	Batch(ctx context.Context, changes []Change) []error

	// Codec turns values into this engine's documents and back.
	Codec() Codec

	// Ping proves that the engine answers and, as far as can be told without
	// writing, would take a write. An engine that can tell goes on failing after a write
	// for which the disk had no space, until one as large would succeed.
	Ping(ctx context.Context) error

	// Close waits for writes under way and releases the engine. Later calls
	// return ErrUnavailable.
	Close() error
}

// Codec encodes struct values by their json tags in the engine's own format. Decode
// returns ErrCorrupt for what Encode can't have made.
type Codec interface {
	Encode(v any) (Raw, error)
	Decode(raw Raw, v any) error
}

// Errors that a Store returns, to be tested with errors.Is.
var (
	ErrNotFound    = errors.New("no such document")
	ErrConflict    = errors.New("a document with this value exists already")
	ErrInvalid     = errors.New("invalid query")
	ErrCursor      = fmt.Errorf("%w: not a cursor of this list", ErrInvalid)
	ErrUnavailable = errors.New("the store is unavailable")
	ErrCorrupt     = errors.New("the stored data is damaged")
)

// NotFoundAs is err, or another error (none, if as is nil) in place of ErrNotFound.
func NotFoundAs(err, as error) error {
	if errors.Is(err, ErrNotFound) {
		return as
	}
	return err
}

// ConflictError says which unique index refused a write. errors.Is(err,
// ErrConflict) holds for it.
type ConflictError struct {
	Collection string
	Index      string // IDIndex when it was the id itself
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: unique index %s: %v", e.Collection, e.Index, ErrConflict)
}

// Is reports that a ConflictError is an ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// ConflictsOn reports whether err is a conflict on the named index.
func ConflictsOn(err error, index string) bool {
	var conflict *ConflictError
	return errors.As(err, &conflict) && conflict.Index == index
}
