package incident

import (
	"context"
	"errors"
	"strings"
	"testing"

	"manus/docstore"
)

// What isn't there can't be chosen, by a server or by a command that goes by what a server has noted;
// what was chosen before stays.
func TestOnlyWhatIsThereCanBeChosen(t *testing.T) {
	t.Parallel()
	command := setup(t)
	ids := []string{"api", "shop", "db-1"}
	c := command.c
	c.Known = func(context.Context) ([]string, error) { return ids, nil }
	server := New(c)
	anything, err := command.Open(t.Context(), Opening{Title: en("x"), Text: en("x"), Components: []string{"whatever"}})
	if err != nil {
		t.Fatalf("before any server has noted what there is: %v", err)
	}
	if err := errors.Join(server.NoteChoices(t.Context()), server.NoteChoices(t.Context())); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Service{"server": server, "command": command.Service} {
		for component, says := range map[string]string{
			"nope": `"nope" is no component of the status page, and no monitor; there are: api, shop, db-1`, "shpo": "there are: api", "shops": "perhaps shop is meant", "A b": "is no id", "api": "", "db-1": "",
		} {
			chosen := []string{"api", component}
			_, opened := s.Open(t.Context(), Opening{Title: en("x"), Text: en("x"), Components: chosen})
			now := docstore.At(s.c.Now())
			_, planned := s.Plan(t.Context(), Maintenance{Title: en("x"), Components: chosen, StartsAt: now, EndsAt: docstore.At(now.AddDate(0, 0, 1))})
			_, changed := s.Change(t.Context(), anything.ID, Change{Components: &[]string{"whatever", component}})
			for _, err := range []error{opened, planned, changed} {
				if says == "" && err != nil || says != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says)) {
					t.Errorf("%s: %s: %v", name, component, err)
				}
			}
		}
	}
	ids = []string{"api"}
	if err := server.NoteChoices(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := command.Open(t.Context(), Opening{Title: en("x"), Text: en("x"), Components: []string{"shop"}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("what is there no more is taken: %v", err)
	}
}
