package docstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// WatchDamage is the store, except that it tells of the first ErrCorrupt that any call
// returns, and that from then on Ping returns it: damage doesn't heal, and pages that
// nobody reads just now hide it. tell is quick.
func WatchDamage(store Store, tell func(error)) Store {
	return &watched{Store: store, tell: tell}
}

type watched struct {
	Store
	tell  func(error)
	once  sync.Once
	found atomic.Pointer[error]
}

// noted is err, which is looked at.
func (w *watched) noted(err error) error {
	if err != nil && errors.Is(err, ErrCorrupt) {
		w.once.Do(func() {
			w.found.Store(&err)
			w.tell(err)
		})
	}
	return err
}

// Declare is the store's.
func (w *watched) Declare(ctx context.Context, specs ...Spec) error {
	return w.noted(w.Store.Declare(ctx, specs...))
}

// Get is the store's.
func (w *watched) Get(ctx context.Context, collection, id string) (Raw, error) {
	raw, err := w.Store.Get(ctx, collection, id)
	return raw, w.noted(err)
}

// GetAll is the store's.
func (w *watched) GetAll(ctx context.Context, collection string, ids ...string) ([]Raw, error) {
	docs, err := w.Store.GetAll(ctx, collection, ids...)
	return docs, w.noted(err)
}

// Find is the store's.
func (w *watched) Find(ctx context.Context, collection string, q Query) (Page, error) {
	page, err := w.Store.Find(ctx, collection, q)
	return page, w.noted(err)
}

// Insert is the store's.
func (w *watched) Insert(ctx context.Context, collection string, docs ...Document) error {
	return w.noted(w.Store.Insert(ctx, collection, docs...))
}

// Upsert is the store's.
func (w *watched) Upsert(ctx context.Context, collection, id string, change func(Raw) (Raw, error)) error {
	return w.noted(w.Store.Upsert(ctx, collection, id, change))
}

// Delete is the store's.
func (w *watched) Delete(ctx context.Context, collection, id string) error {
	return w.noted(w.Store.Delete(ctx, collection, id))
}

// DeleteRange is the store's.
func (w *watched) DeleteRange(ctx context.Context, collection string, q Query) (int, error) {
	n, err := w.Store.DeleteRange(ctx, collection, q)
	return n, w.noted(err)
}

// Batch is the store's.
func (w *watched) Batch(ctx context.Context, changes []Change) []error {
	errs := w.Store.Batch(ctx, changes)
	for _, err := range errs {
		_ = w.noted(err)
	}
	return errs
}

// Ping is the store's, once there is damage only that.
func (w *watched) Ping(ctx context.Context) error {
	if err := w.found.Load(); err != nil {
		return *err
	}
	return w.noted(w.Store.Ping(ctx))
}

// Codec is the store's.
func (w *watched) Codec() Codec { return watchedCodec{w.Store.Codec(), w} }

type watchedCodec struct {
	Codec
	watch *watched
}

// Decode is the codec's.
func (c watchedCodec) Decode(raw Raw, v any) error { return c.watch.noted(c.Codec.Decode(raw, v)) }
