package incident

import (
	"context"
	"slices"

	"manus/docstore"
	"manus/internal/words"
	"manus/language"
)

// Earlier is what an update said before it was corrected.
type Earlier struct {
	Text  language.Text `json:"text"` // Markdown
	Until docstore.Time `json:"until"`
}

// maxEarlier is how often an update can be corrected.
const maxEarlier = 20

// Correct puts another text in the place of an update's. What stood there stays to be seen,
// with until when it did. People aren't told again. With update "last" it is the last one that
// a person has written. It returns ErrNone, ErrInvalid or an error of the store.
func (s *Service) Correct(ctx context.Context, id, update string, text language.Text) (Incident, error) {
	text = trim(text)
	if err := checkText(text, true); err != nil {
		return Incident{}, err
	}
	return s.step(ctx, id, func(i *Incident, now docstore.Time) error {
		u := i.find(update)
		switch {
		case u == nil:
			return docstore.ErrNotFound
		case u.Text == text:
			return docstore.ErrUnchanged
		case len(u.Earlier) >= maxEarlier:
			return invalid("text", "it has been corrected "+words.Count(maxEarlier, "time")+"; write another update", "صُحِّح هذا التحديث بأقصى عدد من المرات؛ اكتب تحديثًا آخر")
		case i.said()+size(text) > maxSaid:
			return tooMuch()
		}
		u.Earlier = append(u.Earlier, Earlier{u.Text, now})
		u.Text = text
		s.note(ctx, i, eventCorrected, "", now)
		return nil
	})
}

// find is an update by its id, or the last one of a person; nil where there is none.
func (i *Incident) find(update string) *Update {
	for k, u := range slices.Backward(i.Updates) {
		if u.ID == update || update == "last" && !u.Automatic {
			return &i.Updates[k]
		}
	}
	return nil
}

// Postmortem is what was found out after an incident.
type Postmortem struct {
	Text      language.Text `json:"text"` // Markdown
	WrittenAt docstore.Time `json:"written_at"`
	// PublishedAt is zero as long as only operators see it.
	PublishedAt docstore.Time `json:"published_at,omitzero"`
}

// Published stands in the place of an update where people are told of a post-mortem; no update has
// such an id.
const Published = "/postmortem"

// WritePostmortem writes what was found out, in the place of what was written before, and
// publishes it or takes it back. An empty text takes it away. It returns ErrNone, ErrInvalid, also
// for one that is to be published before the incident is resolved, or an error of the store.
func (s *Service) WritePostmortem(ctx context.Context, id string, text language.Text, publish bool) (Incident, error) {
	text = trim(text)
	if err := checkText(text, publish); err != nil {
		return Incident{}, err
	}
	return s.step(ctx, id, func(i *Incident, now docstore.Time) error {
		if publish && i.Status() != Resolved {
			return invalid("published", "the incident isn't resolved yet", "لم تُحل الحادثة بعد")
		}
		before := i.Postmortem
		i.Postmortem = Postmortem{}
		if i.said()+size(text) > maxSaid {
			return tooMuch()
		}
		if text != (language.Text{}) {
			i.Postmortem = Postmortem{Text: text, WrittenAt: now}
		}
		tell := ""
		switch {
		case publish && before.PublishedAt.IsZero():
			i.Postmortem.PublishedAt, tell = now, Published
		case publish:
			i.Postmortem.PublishedAt = before.PublishedAt
		}
		s.note(ctx, i, eventPostmortem, tell, now)
		return nil
	})
}
