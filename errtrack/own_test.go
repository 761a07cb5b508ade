package errtrack

import (
	"sync"
	"testing"

	"manus/internal/storetest"
)

// TestOwnEventsHaveAProject: it is made for the first of them, is used under another name
// too, and is made again when it has been deleted.
func TestOwnEventsHaveAProject(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	r.start(t)
	take := func() {
		t.Helper()
		if err := r.TakeOwn(t.Context(), []byte(`{"exception":[{"type":"broken","value":"it broke"}]}`)); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for range 5 {
		all.Go(take)
	}
	all.Wait()
	p, err := r.ownProject(t.Context())
	if err != nil || p.Name != "Manus" || r.DSN(p) == "" {
		t.Fatalf("it is %+v, %v", p, err)
	}
	renamed := "Backend"
	if _, err := r.ChangeProject(t.Context(), p.ID, ProjectChange{Name: &renamed}); err != nil {
		t.Fatal(err)
	}
	take()
	if again, err := r.ownProject(t.Context()); err != nil || again.ID != p.ID {
		t.Errorf("after another name it is %+v, %v", again, err)
	}
	if err := r.DeleteProject(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	take()
	if again, err := r.ownProject(t.Context()); err != nil || again.ID == p.ID {
		t.Errorf("after it was deleted it is %+v, %v", again, err)
	}
	if err := r.TakeOwn(t.Context(), []byte(`no event`)); err == nil {
		t.Error("what is no event is taken")
	}
}
