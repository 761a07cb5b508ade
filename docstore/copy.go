package docstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"

	"manus/internal/words"
)

// Progress is how far Copy has come with one collection.
type Progress struct {
	Collection string
	// Documents is how many have been looked at. Written is how many of them had to
	// be written or deleted in the target.
	Documents, Written int
	// Verified is set at the end, when the collection has been read again in both
	// stores and found to be the same; Hash is what both have.
	Verified bool
	Hash     string
}

// ErrNotEmpty is returned by Copy for a target that holds documents of its own.
var ErrNotEmpty = errors.New("the store to copy into is not empty")

// ErrUnfinished is returned by CheckCopied.
var ErrUnfinished = errors.New("a copy of data into this store was begun and not finished")

// copying stands in a store while a copy into it is under way.
type copying struct {
	ID      string `json:"_id"`
	BegunAt Time   `json:"begun_at"`
}

// DocumentID is the same for all: there is one at a time.
func (c copying) DocumentID() string { return c.ID }

const theCopy = "copy"

// CopySpec is the collection that Copy needs in the store it copies into.
var CopySpec = Spec{Collection: "data_copies", Of: copying{}}

// CheckCopied returns ErrUnfinished for a store that is only in part a copy of
// another, which nobody should work on.
func CheckCopied(ctx context.Context, store Store) error {
	_, err := NewCollection[copying](store, CopySpec).Get(ctx, theCopy)
	if err == nil {
		return ErrUnfinished
	}
	return NotFoundAs(err, nil)
}

// Copy makes the collections of one store those of another, whichever engines they
// are on, and reads both again to see that they are. Both have the collections
// declared. What is there already isn't written again, so a copy that was cut short
// is simply made again. Nobody may work on the stores meanwhile; if somebody has
// written to from, it is an error at the end.
func Copy(ctx context.Context, from, to Store, specs []Spec, progress func(Progress)) error {
	marks := NewCollection[copying](to, CopySpec)
	if err := CheckCopied(ctx, to); err == nil {
		if err := checkEmpty(ctx, to, specs); err != nil {
			return err
		}
		if err := marks.Insert(ctx, copying{ID: theCopy, BegunAt: At(time.Now())}); err != nil {
			return err
		}
	} else if !errors.Is(err, ErrUnfinished) {
		return err
	}
	copiers := make([]copier, len(specs))
	for i, spec := range specs {
		copiers[i] = copier{spec: spec, from: from, to: to, report: progress, progress: Progress{Collection: spec.Collection}}
		if err := copiers[i].copy(ctx); err != nil {
			return fmt.Errorf("collection %s: %w", spec.Collection, err)
		}
	}
	for i := range copiers {
		if err := copiers[i].verify(ctx); err != nil {
			return fmt.Errorf("collection %s: %w", copiers[i].spec.Collection, err)
		}
	}
	return marks.Delete(ctx, theCopy)
}

func checkEmpty(ctx context.Context, store Store, specs []Spec) error {
	for _, spec := range specs {
		page, err := store.Find(ctx, spec.Collection, Query{Limit: 1})
		if err != nil {
			return err
		}
		if len(page.Documents) > 0 {
			return fmt.Errorf("%w: there is something in %s", ErrNotEmpty, spec.Collection)
		}
	}
	return nil
}

// copier copies one collection.
type copier struct {
	spec     Spec
	from, to Store
	progress Progress
	report   func(Progress)
}

// row is a document of either store, as its type has it.
type row struct {
	id    string
	value Entity
	text  []byte // as JSON, which is the same for both engines
}

// copy goes through from in the order of the ids, and makes what to has between the
// same ids the same.
func (c *copier) copy(ctx context.Context) error {
	var want []row
	var begin any
	for r, err := range c.rows(ctx, c.from, Query{}) {
		if err != nil {
			return err
		}
		if len(want) == DefaultLimit {
			if err := c.match(ctx, want, Query{From: begin, Until: r.id}); err != nil {
				return err
			}
			want, begin = nil, r.id
		}
		want = append(want, r)
	}
	return c.match(ctx, want, Query{From: begin})
}

// match makes to's documents of a range those that are wanted there.
func (c *copier) match(ctx context.Context, want []row, where Query) error {
	c.progress.Documents += len(want)
	missing := map[string]row{}
	for _, r := range want {
		missing[r.id] = r
	}
	for there, err := range c.rows(ctx, c.to, where) {
		if err == nil {
			err = c.replace(ctx, there, missing[there.id])
		}
		if err != nil {
			return err
		}
		delete(missing, there.id)
	}
	err := c.insert(ctx, slices.DeleteFunc(want, func(r row) bool { return missing[r.id].value == nil }))
	c.report(c.progress)
	return err
}

// replace makes a document what is wanted in its place, which may be none.
func (c *copier) replace(ctx context.Context, there, want row) (err error) {
	if bytes.Equal(there.text, want.text) {
		return nil
	}
	body := Removed
	if want.value != nil {
		if body, err = c.to.Codec().Encode(want.value); err != nil {
			return err
		}
	}
	c.progress.Written++
	return c.to.Upsert(ctx, c.spec.Collection, there.id, func(Raw) (Raw, error) { return body, nil })
}

func (c *copier) insert(ctx context.Context, rows []row) (err error) {
	docs := make([]Document, len(rows))
	for i, r := range rows {
		docs[i].ID = r.id
		if docs[i].Body, err = c.to.Codec().Encode(r.value); err != nil {
			return err
		}
	}
	c.progress.Written += len(docs)
	return c.to.Insert(ctx, c.spec.Collection, docs...)
}

// rows are a store's documents of a range, in the order of their ids.
func (c *copier) rows(ctx context.Context, store Store, q Query) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for {
			page, err := store.Find(ctx, c.spec.Collection, q)
			if err != nil {
				yield(row{}, err)
				return
			}
			for _, raw := range page.Documents {
				r, err := c.read(store, raw)
				if !yield(r, err) || err != nil {
					return
				}
			}
			if q.Cursor = page.Next; page.Next == "" {
				return
			}
		}
	}
}

func (c *copier) read(store Store, raw Raw) (row, error) {
	value := reflect.New(reflect.TypeOf(c.spec.Of))
	if err := store.Codec().Decode(raw, value.Interface()); err != nil {
		return row{}, err
	}
	entity := value.Elem().Interface().(Entity)
	var fields map[string]any
	if err := store.Codec().Decode(raw, &fields); err != nil {
		return row{}, err
	}
	for name, field := range fields {
		if field != nil && !strings.HasPrefix(name, "_") && !slices.Contains(fieldsOf(value.Elem().Type()), name) {
			return row{}, fmt.Errorf("the document %s has a field %q that this version of the program doesn't know; use the version that wrote it", entity.DocumentID(), name)
		}
	}
	text, err := json.Marshal(entity)
	return row{entity.DocumentID(), entity, text}, err
}

// fieldsOf are the names of a struct's fields in documents.
func fieldsOf(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

// verify reads both stores again.
func (c *copier) verify(ctx context.Context) error {
	var counts [2]int
	var sums [2]hash.Hash
	for i, store := range []Store{c.from, c.to} {
		sums[i] = sha256.New()
		for r, err := range c.rows(ctx, store, Query{}) {
			if err != nil {
				return err
			}
			counts[i]++
			fmt.Fprintf(sums[i], "%d ", len(r.text))
			sums[i].Write(r.text)
		}
	}
	from, to := sums[0].Sum(nil), sums[1].Sum(nil)
	if counts[0] != counts[1] || !bytes.Equal(from, to) {
		return fmt.Errorf("the copy has %s with the hash %x, and there are %d with %x: somebody has written meanwhile; stop all servers and copy again", words.Count(counts[1], "document"), to[:6], counts[0], from[:6])
	}
	c.progress.Documents, c.progress.Verified, c.progress.Hash = counts[0], true, fmt.Sprintf("%x", from)
	c.report(c.progress)
	return nil
}
