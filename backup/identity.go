package backup

import (
	"context"
	"errors"
	"sync"
	"time"

	"manus/docstore"
)

// identity remembers which installation this is, once that is known.
type identity struct {
	mu    sync.Mutex
	id    string
	store bool      // there is one, whether it says so or not
	asked time.Time // when the store last didn't say
}

// storeTimeout bounds how long a store is asked for its id, which nothing else waits for
// on the day on which there is no store.
const storeTimeout = 5 * time.Second

// askEvery is how long it is taken for granted that a store doesn't tell.
const askEvery = time.Minute

// installation is the id of the installation, by which it knows its own backups: that of
// the store, where one is made if it is to be. It is empty when that can't be told.
func (s *Service) installation(ctx context.Context, make bool) string {
	w := s.whose
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.id != "" || !make && !w.asked.IsZero() && time.Since(w.asked) < askEvery {
		return w.id
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	w.asked = time.Now()
	err := s.withStore(ctx, func(store docstore.Store) (err error) {
		w.store = true
		w.id, err = storedID(ctx, docstore.NewCollection[Status](store, spec), make)
		return err
	})
	if make && err != nil && !errors.Is(err, docstore.ErrNotFound) {
		s.Log.WarnContext(ctx, "the store doesn't say which installation this is, so the backup won't either", "error", err)
	}
	return w.id
}

// hasStore tells whether there is a store, once it has been asked.
func (w *identity) hasStore() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.store
}

// storedID reads the id that a store has, or makes it.
func storedID(ctx context.Context, states *docstore.Collection[Status], make bool) (string, error) {
	if !make {
		st, err := states.Get(ctx, theSchedule)
		return st.Installation, err
	}
	st, err := states.Upsert(ctx, Status{ID: theSchedule}, func(st *Status, _ bool) error {
		if st.Installation != "" {
			return docstore.ErrUnchanged
		}
		st.Installation = docstore.NewID()
		return nil
	})
	return st.Installation, err
}
