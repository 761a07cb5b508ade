package docstore

import (
	"context"
	"sync"
	"sync/atomic"
)

// Lazy is a store that is opened when it is first used, for programs that may not
// need it. codec is the engine's. What open returns as an error is what every method
// returns then; it is called once.
func Lazy(codec Codec, open func() (Store, error)) Store {
	l := &lazy{codec: codec}
	l.open = sync.OnceValues(func() (Store, error) {
		l.opened.Store(true)
		return open()
	})
	return l
}

type lazy struct {
	codec  Codec
	open   func() (Store, error)
	opened atomic.Bool
}

// opened runs f on the store.
func opened[T any](l *lazy, f func(Store) (T, error)) (T, error) {
	s, err := l.open()
	if err != nil {
		var none T
		return none, err
	}
	return f(s)
}

func (l *lazy) do(f func(Store) error) error {
	_, err := opened(l, func(s Store) (struct{}, error) { return struct{}{}, f(s) })
	return err
}

func (l *lazy) Codec() Codec { return l.codec }

func (l *lazy) Declare(ctx context.Context, specs ...Spec) error {
	return l.do(func(s Store) error { return s.Declare(ctx, specs...) })
}

func (l *lazy) Get(ctx context.Context, collection, id string) (Raw, error) {
	return opened(l, func(s Store) (Raw, error) { return s.Get(ctx, collection, id) })
}

func (l *lazy) Find(ctx context.Context, collection string, q Query) (Page, error) {
	return opened(l, func(s Store) (Page, error) { return s.Find(ctx, collection, q) })
}

func (l *lazy) Insert(ctx context.Context, collection string, docs ...Document) error {
	return l.do(func(s Store) error { return s.Insert(ctx, collection, docs...) })
}

func (l *lazy) Upsert(ctx context.Context, collection, id string, change func(old Raw) (Raw, error)) error {
	return l.do(func(s Store) error { return s.Upsert(ctx, collection, id, change) })
}

func (l *lazy) Delete(ctx context.Context, collection, id string) error {
	return l.do(func(s Store) error { return s.Delete(ctx, collection, id) })
}

func (l *lazy) DeleteRange(ctx context.Context, collection string, q Query) (int, error) {
	return opened(l, func(s Store) (int, error) { return s.DeleteRange(ctx, collection, q) })
}

func (l *lazy) Batch(ctx context.Context, changes []Change) []error {
	errs, err := opened(l, func(s Store) ([]error, error) { return s.Batch(ctx, changes), nil })
	for range changes[len(errs):] {
		errs = append(errs, err)
	}
	return errs
}

func (l *lazy) Ping(ctx context.Context) error {
	return l.do(func(s Store) error { return s.Ping(ctx) })
}

// Close closes the store if it was opened.
func (l *lazy) Close() error {
	if !l.opened.Load() {
		return nil
	}
	s, err := l.open()
	if err != nil {
		return nil // there is nothing to close
	}
	return s.Close()
}
