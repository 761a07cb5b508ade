package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"manus/docstore"
	"manus/internal/words"
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

// looking is the installation that looks at backups: that which a person has named, or the
// store's, or where no store says, the only one that has backups there. It is empty when
// nothing says which it is.
func (s *Service) looking(ctx context.Context, all []Backup) (string, error) {
	if s.As == "" {
		return cmp.Or(s.installation(ctx, false), onlyOwner(all)), nil
	}
	ids := owners(all)
	found := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasPrefix(id, s.As) })
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("%w: no installation %q has any at %s; these have: %s", ErrNotFound, s.As, s.places(), cmp.Or(strings.Join(ids, ", "), "none"))
	}
	return "", fmt.Errorf("%w; these ids begin with %q: %s; write more", ErrUndecided, s.As, strings.Join(found, ", "))
}

// Owner is an installation that has backups somewhere.
type Owner struct {
	Installation string
	Backups      int
	// Newest is the newest verified backup; without a File where there is none.
	Newest Backup
}

// String tells an owner from others, for people.
func (o Owner) String() string {
	newest := "none verified"
	if o.Newest.File != "" {
		newest = "newest verified " + o.Newest.ID + " of " + stamp(o.Newest.CreatedAt) + " with " + words.Count(o.Newest.Documents, "document")
	}
	return fmt.Sprintf("%s: %s, %s", o.Installation, words.Count(o.Backups, "backup"), newest)
}

// Owners are the installations that have backups, that with the newest one first.
func (c Catalogue) Owners() []Owner {
	var all []Owner
	for _, id := range owners(c) {
		own := slices.DeleteFunc(slices.Clone(c), func(b Backup) bool { return b.Installation != id })
		newest, _ := own.Restorable()
		all = append(all, Owner{Installation: id, Backups: len(own), Newest: newest})
	}
	return all
}

// Undecided tells whether nothing says which of several installations looks at them.
func (c Catalogue) Undecided() bool {
	return slices.ContainsFunc(c, func(b Backup) bool { return b.kind == unclaimed })
}

// Undecided returns ErrUndecided, with the choice that a person has, where that is so.
func (s *Service) Undecided(all Catalogue) error {
	if !all.Undecided() {
		return nil
	}
	return fmt.Errorf("%w; %s", ErrUndecided, s.choice(all))
}

// choice is what a person has to choose from where it isn't this installation's backups that
// are meant.
func (s *Service) choice(all Catalogue) string {
	var of strings.Builder
	for _, owner := range all.Owners() {
		fmt.Fprintf(&of, "  %s\n", owner)
	}
	return fmt.Sprintf("at %s there are those of\n%ssay which by --installation, or name a backup by its ID", s.places(), &of)
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
