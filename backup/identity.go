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
	asked time.Time // when the store last didn't tell
	// silent is set when there is a store that couldn't be asked.
	silent bool
}

// storeTimeout bounds how long a store is asked for its id: on the day on which there is no
// store, nothing shall wait for that.
const storeTimeout = 5 * time.Second

// askEvery is how long it is taken for granted that a store doesn't tell.
const askEvery = time.Minute

// installation is the id of the installation, by which it knows its own backups: that of
// the store, where one is made if it is to be. It is empty when that can't be told.
func (s *Service) installation(ctx context.Context, create bool) string {
	w := s.whose
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.id != "" || !create && !w.asked.IsZero() && time.Since(w.asked) < askEvery {
		return w.id
	}
	w.asked = time.Now()
	err := w.ask(ctx, s, create)
	if create && err != nil && !errors.Is(err, docstore.ErrNotFound) {
		s.Log.WarnContext(ctx, "the store doesn't say which installation this is, so the backup won't either", "error", err)
	}
	return w.id
}

// ask asks the store.
func (w *identity) ask(ctx context.Context, s *Service, create bool) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := s.withStore(ctx, func(store docstore.Store) (err error) {
		w.id, err = storedID(ctx, docstore.NewCollection[Status](store, spec), create)
		return err
	})
	w.silent = err != nil && !errors.Is(err, docstore.ErrNotFound)
	return err
}

// isSilent tells whether there is a store that couldn't be asked.
func (w *identity) isSilent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.silent
}

// onlyOwner is the installation that all backups are of; empty when they are of several.
func onlyOwner(all []Backup) string {
	if ids := owners(all); len(ids) == 1 {
		return ids[0]
	}
	return ""
}

// storedID reads the id that a store has, or makes it.
func storedID(ctx context.Context, states *docstore.Collection[Status], create bool) (string, error) {
	if !create {
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
