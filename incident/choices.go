package incident

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"manus/docstore"
	"manus/internal/words"
	"manus/language"
)

// choices are what incidents and planned work may be about, as a server has noted it for commands, which
// may not know its manus.yaml.
type choices struct {
	ID  string   `json:"_id"`
	IDs []string `json:"ids"`
}

const theChoices = "choices"

// DocumentID is the same for all: there is one.
func (c choices) DocumentID() string { return c.ID }

var choicesSpec = docstore.Spec{Collection: "incident_choices", Of: choices{}}

// known are what there is to choose from; none where no server has said so yet.
func (s *Service) known(ctx context.Context) ([]string, error) {
	if s.c.Known != nil {
		return s.c.Known(ctx)
	}
	c, err := s.choices.Get(ctx, theChoices)
	return c.IDs, docstore.NotFoundAs(err, nil)
}

// NoteChoices notes for commands what there is to choose from. Errors are the store's.
func (s *Service) NoteChoices(ctx context.Context) error {
	if s.c.Known == nil {
		return nil
	}
	ids, err := s.c.Known(ctx)
	if err != nil {
		return err
	}
	_, err = s.choices.Upsert(ctx, choices{ID: theChoices}, func(c *choices, exists bool) error {
		if exists && slices.Equal(c.IDs, ids) {
			return docstore.ErrUnchanged
		}
		c.IDs = ids
		return nil
	})
	return err
}

// chosen returns ErrInvalid for a component that there isn't, unless it was there before.
func (s *Service) chosen(ctx context.Context, components, before []string) error {
	if len(components) == 0 {
		return nil
	}
	if err := checkComponents(components); err != nil {
		return err
	}
	known, err := s.known(ctx)
	if err != nil || len(known) == 0 {
		return err
	}
	for _, c := range components {
		if !slices.Contains(known, c) && !slices.Contains(before, c) {
			return notChosen(c, known)
		}
	}
	return nil
}

// maxNamed is how many of them an error names.
const maxNamed = 30

func notChosen(c string, known []string) error {
	list, more := strings.Join(known[:min(len(known), maxNamed)], ", "), ""
	if len(known) > maxNamed {
		more = ", …"
	}
	perhaps, perhapsAr := "", ""
	if near := words.Nearest(c, 2, slices.Values(known)); near != "" {
		perhaps, perhapsAr = "perhaps "+near+" is meant; ", "لعلّ المقصود "+language.Arabic.Isolate(near)+"؛ "
	}
	return invalid("components", strconv.Quote(c)+" is no component of the status page, and no monitor; "+perhaps+"there are: "+list+more,
		language.Arabic.Quote(c)+" ليس مكوّنًا في صفحة الحالة ولا مراقَبًا؛ "+perhapsAr+"الموجود: "+language.Arabic.Isolate(list+more))
}
