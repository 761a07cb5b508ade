package docstore

import (
	"fmt"
	"sync"
)

// Declared is what an engine knows of the collections that have been declared, by
// their names: a C of each. It is safe for concurrent use.
type Declared[C interface{ Spec() Spec }] struct{ all sync.Map }

// Add notes a collection that has been declared, again perhaps.
func (d *Declared[C]) Add(c C) { d.all.Store(c.Spec().Collection, c) }

// Get is a collection. It returns ErrInvalid for one that hasn't been declared.
func (d *Declared[C]) Get(name string) (C, error) {
	if c, ok := d.all.Load(name); ok {
		return c.(C), nil
	}
	var none C
	return none, fmt.Errorf("%w: collection %q was not declared", ErrInvalid, name)
}

// Plan is a collection, and PlanQuery for it. Errors as Get and PlanQuery.
func (d *Declared[C]) Plan(name string, q Query) (C, Plan, error) {
	c, err := d.Get(name)
	if err != nil {
		return c, Plan{}, err
	}
	plan, err := PlanQuery(c.Spec(), q)
	return c, plan, err
}

// Existing is an update's change as an upsert's: it returns ErrNotFound for a document
// that there isn't.
func Existing(change func(old Raw) (Raw, error)) func(old Raw) (Raw, error) {
	return func(old Raw) (Raw, error) {
		if old == nil {
			return nil, ErrNotFound
		}
		return change(old)
	}
}
