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
	missing  []Document // to be inserted together
	progress Progress
	report   func(Progress)
}

// row is a document of either store, as its type has it.
type row struct {
	id    string
	value Entity
	text  []byte // as JSON, which is the same for both engines
}

// side goes through a store's documents.
type side struct {
	row
	more bool
	pull func() (row, error, bool)
	stop func()
}

func (s *side) advance() (err error) {
	s.row, err, s.more = s.pull()
	return err
}

// copy goes through both stores in the order of the ids, side by side.
func (c *copier) copy(ctx context.Context) error {
	var want, there side
	want.pull, want.stop = iter.Pull2(c.rows(ctx, c.from))
	defer want.stop()
	there.pull, there.stop = iter.Pull2(c.rows(ctx, c.to))
	defer there.stop()
	err := errors.Join(want.advance(), there.advance())
	for err == nil && (want.more || there.more) {
		switch {
		case !want.more || there.more && there.id < want.id:
			err = errors.Join(c.remove(ctx, there.id), there.advance())
		case !there.more || want.id < there.id:
			err = errors.Join(c.add(ctx, want.row), want.advance())
		default:
			err = errors.Join(c.replace(ctx, there.row, want.row), there.advance(), want.advance())
		}
	}
	if err == nil {
		err = c.insert(ctx)
	}
	return err
}

func (c *copier) remove(ctx context.Context, id string) error {
	c.progress.Written++
	return NotFoundAs(c.to.Delete(ctx, c.spec.Collection, id), nil)
}

func (c *copier) add(ctx context.Context, want row) error {
	body, err := c.to.Codec().Encode(want.value)
	if err != nil {
		return err
	}
	c.progress.Documents++
	c.progress.Written++
	if c.missing = append(c.missing, Document{ID: want.id, Body: body}); len(c.missing) < DefaultLimit {
		return nil
	}
	return c.insert(ctx)
}

func (c *copier) insert(ctx context.Context) error {
	err := c.to.Insert(ctx, c.spec.Collection, c.missing...)
	c.missing = c.missing[:0]
	c.report(c.progress)
	return err
}

func (c *copier) replace(ctx context.Context, there, want row) error {
	c.progress.Documents++
	if bytes.Equal(there.text, want.text) {
		return nil
	}
	body, err := c.to.Codec().Encode(want.value)
	if err != nil {
		return err
	}
	c.progress.Written++
	return c.to.Upsert(ctx, c.spec.Collection, want.id, func(Raw) (Raw, error) { return body, nil })
}

// rows are a store's documents in the order of their ids.
func (c *copier) rows(ctx context.Context, store Store) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for q := (Query{Limit: DefaultLimit}); ; {
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
		for r, err := range c.rows(ctx, store) {
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
		return fmt.Errorf("the copy has %d documents with the hash %x, and there are %d with %x: somebody has written meanwhile; stop all servers and copy again", counts[1], to[:6], counts[0], from[:6])
	}
	c.progress.Documents, c.progress.Verified, c.progress.Hash = counts[0], true, fmt.Sprintf("%x", from)
	c.report(c.progress)
	return nil
}
