package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"manus/docstore"
)

// CutShort runs a test of steps that span several calls of the store, as often as those
// have calls: each time another one fails, with docstore.ErrUnavailable and nothing done,
// and the last time none. The test makes its service on the store that it is given, has
// the steps cut short by calling cut, which fails it unless the error is returned, and
// then holds what is left to be taken up again.
func CutShort(t *testing.T, specs []docstore.Spec, test func(store docstore.Store, cut func(steps func() error))) {
	t.Helper()
	const enough = 1000
	for n := range enough {
		store := &failing{Store: New(t, specs...)}
		failed := false
		test(store, func(steps func() error) {
			t.Helper()
			store.arm(n)
			err := steps()
			if failed = store.disarm(); failed != errors.Is(err, docstore.ErrUnavailable) {
				t.Errorf("call %d: it has failed: %v, and what is told is: %v", n+1, failed, err)
			}
		})
		if !failed {
			return
		}
	}
	t.Errorf("the steps have no end")
}

// Unsteady is a store that is gone for a while when a test says so.
type Unsteady struct{ failing }

// NewUnsteady opens an Unsteady that is there. It is closed when the test ends.
func NewUnsteady(t testing.TB, specs ...docstore.Spec) *Unsteady {
	t.Helper()
	return &Unsteady{failing{Store: New(t, specs...)}}
}

// SetGone has every call fail with docstore.ErrUnavailable and do nothing, or no more.
func (u *Unsteady) SetGone(gone bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gone = gone
}

// failing is a store of which one call fails, or all.
type failing struct {
	docstore.Store
	mu    sync.Mutex
	gone  bool // all fail
	armed bool
	left  int // calls before the one that fails
}

// arm has the call after so many others fail.
func (f *failing) arm(left int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.left = true, left
}

// disarm has no call fail any more, and tells whether one has.
func (f *failing) disarm() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	return f.left < 0
}

// call is an error for the call that fails.
func (f *failing) call() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return docstore.ErrUnavailable
	}
	if !f.armed || f.left < 0 {
		return nil
	}
	if f.left--; f.left < 0 {
		return docstore.ErrUnavailable
	}
	return nil
}

func (f *failing) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Store.Get(ctx, collection, id)
}

func (f *failing) GetAll(ctx context.Context, collection string, ids ...string) ([]docstore.Raw, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Store.GetAll(ctx, collection, ids...)
}

func (f *failing) Find(ctx context.Context, collection string, q docstore.Query) (docstore.Page, error) {
	if err := f.call(); err != nil {
		return docstore.Page{}, err
	}
	return f.Store.Find(ctx, collection, q)
}

func (f *failing) Insert(ctx context.Context, collection string, docs ...docstore.Document) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.Store.Insert(ctx, collection, docs...)
}

func (f *failing) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.Store.Upsert(ctx, collection, id, change)
}

func (f *failing) Delete(ctx context.Context, collection, id string) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.Store.Delete(ctx, collection, id)
}

func (f *failing) DeleteRange(ctx context.Context, collection string, q docstore.Query) (int, error) {
	if err := f.call(); err != nil {
		return 0, err
	}
	return f.Store.DeleteRange(ctx, collection, q)
}

func (f *failing) Batch(ctx context.Context, changes []docstore.Change) []error {
	if err := f.call(); err != nil {
		errs := make([]error, len(changes))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	return f.Store.Batch(ctx, changes)
}
