package docstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Entity is what a typed collection holds: a struct whose json tags name the
// stored fields, its id under "_id".
type Entity interface {
	// DocumentID is the id the value is stored under.
	DocumentID() string
}

// Collection is a store's collection seen as values of one type.
type Collection[T Entity] struct {
	store Store
	name  string
}

// NewCollection views spec's collection in store as values of type T. The
// caller declares spec (Store.Declare) before using it. A collection that is never
// used needs no store.
func NewCollection[T Entity](store Store, spec Spec) *Collection[T] {
	return &Collection[T]{store: store, name: spec.Collection}
}

// Get returns the value with the id, or ErrNotFound.
func (c *Collection[T]) Get(ctx context.Context, id string) (T, error) {
	var value T
	raw, err := c.store.Get(ctx, c.name, id)
	if err != nil {
		return value, err
	}
	guardFrom(ctx).note(c.name, id, raw)
	err = c.store.Codec().Decode(raw, &value)
	return value, err
}

// GetAll returns the values with the ids by one [Store].GetAll, those that there are.
func (c *Collection[T]) GetAll(ctx context.Context, ids ...string) (map[string]T, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	docs, err := c.store.GetAll(ctx, c.name, ids...)
	if err != nil {
		return nil, err
	}
	values := make(map[string]T, len(docs))
	for i, raw := range docs {
		if raw == nil {
			continue
		}
		var value T
		if err := c.store.Codec().Decode(raw, &value); err != nil {
			return nil, err
		}
		values[ids[i]] = value
	}
	return values, nil
}

// Find returns a page of values and the cursor of the next page, empty when
// nothing follows. Errors as Store.Find.
func (c *Collection[T]) Find(ctx context.Context, q Query) (values []T, next string, err error) {
	page, err := c.store.Find(ctx, c.name, q)
	if err != nil {
		return nil, "", err
	}
	values = make([]T, len(page.Documents))
	for i, raw := range page.Documents {
		if err := c.store.Codec().Decode(raw, &values[i]); err != nil {
			return nil, "", err
		}
	}
	return values, page.Next, nil
}

// All goes through every value of the query's range, reading a page at a time.
// It ends after the first error.
func (c *Collection[T]) All(ctx context.Context, q Query) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			values, next, err := c.Find(ctx, q)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, value := range values {
				if !yield(value, nil) {
					return
				}
			}
			if q.Cursor = next; next == "" {
				return
			}
		}
	}
}

// Show turns each value into what show makes of it, until the first error.
func Show[S, T any](values iter.Seq2[S, error], show func(S) T) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for value, err := range values {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(show(value), nil) {
				return
			}
		}
	}
}

// First returns the first value of the query's range, or ErrNotFound.
func (c *Collection[T]) First(ctx context.Context, q Query) (T, error) {
	q.Limit = 1
	values, _, err := c.Find(ctx, q)
	if err == nil && len(values) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return values[0], nil
}

// Insert adds values. Errors as Store.Insert.
func (c *Collection[T]) Insert(ctx context.Context, values ...T) error {
	docs := make([]Document, len(values))
	for i, value := range values {
		raw, err := c.store.Codec().Encode(value)
		if err != nil {
			return err
		}
		docs[i] = Document{ID: value.DocumentID(), Body: raw}
	}
	return c.store.Insert(ctx, c.name, docs...)
}

// ErrUnchanged is returned by a change function to leave the value as it is, and
// ErrRemoved to remove it, without that being an error.
var (
	ErrUnchanged = errors.New("left unchanged")
	ErrRemoved   = errors.New("removed")
)

// Update changes the value with the id by compare-and-swap and returns it as
// change left it. change may run again on a fresh value, so it only touches
// the value it is given and variables it sets anew on each run.
// Errors as Store.Upsert, or ErrNotFound when there is none.
func (c *Collection[T]) Update(ctx context.Context, id string, change func(*T) error) (T, error) {
	var value T
	err := c.store.Upsert(ctx, c.name, id, guardFrom(ctx).guarded(c.name, id, c.updating(id, &value, change)))
	return value, err
}

// UpdateAll is Update for several values by one Store.Batch, each by itself. It
// returns the values as change left them, and an error for each.
func (c *Collection[T]) UpdateAll(ctx context.Context, ids []string, change func(i int, value *T) error) ([]T, []error) {
	if len(ids) == 0 {
		return nil, nil
	}
	values, changes := make([]T, len(ids)), make([]Change, len(ids))
	for i, id := range ids {
		changes[i] = Change{Collection: c.name, ID: id, Apply: c.updating(id, &values[i], func(value *T) error { return change(i, value) })}
	}
	return values, c.store.Batch(ctx, changes)
}

// updating changes the value in a document, and leaves it in value.
func (c *Collection[T]) updating(id string, value *T, change func(*T) error) func(Raw) (Raw, error) {
	return func(old Raw) (Raw, error) {
		if old == nil {
			return nil, ErrNotFound
		}
		var fresh T
		if err := c.store.Codec().Decode(old, &fresh); err != nil {
			return nil, err
		}
		err := change(&fresh)
		*value = fresh
		return c.changed(id, fresh, err)
	}
}

// Upsert is Update for a value that may not exist yet: change gets initial,
// with exists false, when there is none. initial carries the id.
func (c *Collection[T]) Upsert(ctx context.Context, initial T, change func(value *T, exists bool) error) (T, error) {
	var value T
	step, err := c.UpsertChange(initial, &value, change)
	if err != nil {
		return value, err
	}
	err = c.store.Upsert(ctx, c.name, step.ID, guardFrom(ctx).guarded(c.name, step.ID, step.Apply))
	return value, err
}

// UpsertChange is Upsert as a step of a [Store]'s Batch, which leaves the value in into.
func (c *Collection[T]) UpsertChange(initial T, into *T, change func(value *T, exists bool) error) (Change, error) {
	id := initial.DocumentID()
	start, err := c.store.Codec().Encode(initial) // each run gets maps and slices of its own
	return Change{Collection: c.name, ID: id, Apply: func(old Raw) (Raw, error) {
		exists := old != nil
		if !exists {
			old = start
		}
		return c.updating(id, into, func(v *T) error { return change(v, exists) })(old)
	}}, err
}

// InsertChange is Insert of one value as a step of a [Store]'s Batch.
func (c *Collection[T]) InsertChange(value T) (Change, error) {
	id := value.DocumentID()
	raw, err := c.store.Codec().Encode(value)
	return Change{Collection: c.name, ID: id, New: raw}, err
}

func (c *Collection[T]) changed(id string, value T, err error) (Raw, error) {
	switch {
	case errors.Is(err, ErrUnchanged):
		return nil, nil
	case errors.Is(err, ErrRemoved):
		return Removed, nil
	case err != nil:
		return nil, err
	case value.DocumentID() != id:
		return nil, fmt.Errorf("collection %s: a change may not give a document another id", c.name)
	}
	return c.store.Codec().Encode(value)
}

// Delete removes the value with the id, or returns ErrNotFound.
func (c *Collection[T]) Delete(ctx context.Context, id string) error {
	if guard := guardFrom(ctx); guard != nil {
		return c.store.Upsert(ctx, c.name, id, guard.guarded(c.name, id, remove))
	}
	return c.store.Delete(ctx, c.name, id)
}

func remove(old Raw) (Raw, error) {
	if old == nil {
		return nil, ErrNotFound
	}
	return Removed, nil
}

// DeleteAll removes every value in the query's range, a bounded number at a
// time, and says how many went. Writers are never held up for long, and a
// call that was interrupted is simply made again.
func (c *Collection[T]) DeleteAll(ctx context.Context, q Query) (int, error) {
	q.Limit, q.Cursor = MaxLimit, ""
	total := 0
	for {
		n, err := c.store.DeleteRange(ctx, c.name, q)
		total += n
		if err != nil || n < q.Limit {
			return total, err
		}
	}
}
