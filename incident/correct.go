package incident

import (
	"context"
	"slices"
	"time"

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

// EarlierTimes are when an incident was said to have been, before that was corrected.
type EarlierTimes struct {
	StartedAt  docstore.Time `json:"started_at"`
	ResolvedAt docstore.Time `json:"resolved_at,omitzero"` // zero as long as it wasn't resolved
	Until      docstore.Time `json:"until"`
}

// maxLate is how long before it was first told of an incident can have begun: as far back as the public
// page's figures go.
const maxLate = 90 * 24 * time.Hour

// retime corrects when it began and when it was over, where they aren't nil.
func (i *Incident) retime(began, over *time.Time, now docstore.Time) error {
	before := EarlierTimes{i.StartedAt, i.ResolvedAt, now}
	if began != nil {
		if i.StartedAt = docstore.At(*began); !i.OpenSince.IsZero() {
			i.OpenSince = i.StartedAt
		}
	}
	times := i.times()
	first, last := times[0], times[len(times)-1]
	if over != nil {
		if last.end == nil {
			return invalid("resolved_at", "the incident isn't resolved yet; resolve it first", "لم تُحل الحادثة بعد؛ أعلن حلّها أوّلًا")
		}
		last.end.Over = docstore.At(*over)
		i.ResolvedAt = last.end.Over
	}
	switch {
	case before.StartedAt.Equal(i.StartedAt.Time) && before.ResolvedAt.Equal(i.ResolvedAt.Time):
		return nil
	case began != nil && i.StartedAt.After(now.Time):
		return invalid("started_at", "is in the future", "في المستقبل")
	case over != nil && i.ResolvedAt.After(now.Time):
		return invalid("resolved_at", "is in the future", "في المستقبل")
	case began != nil && i.Updates[0].At.Sub(i.StartedAt.Time) > maxLate:
		return invalid("started_at", "is more than 90 days before the first update", "قبل أوّل تحديث بأكثر من 90 يومًا")
	case began != nil && first.end != nil && !first.end.over().After(i.StartedAt.Time):
		return invalid("started_at", "is not before "+language.English.Moment(first.end.over().Time)+", when it was over", "ليس قبل انتهائها في "+language.Arabic.Isolate(language.Arabic.Moment(first.end.over().Time)))
	case over != nil && !i.ResolvedAt.After(last.from.Time):
		return invalid("resolved_at", "is not after "+language.English.Moment(last.from.Time)+", when it began or was opened again", "ليس بعد بدايتها أو إعادة فتحها في "+language.Arabic.Isolate(language.Arabic.Moment(last.from.Time)))
	case len(i.EarlierTimes) >= maxEarlier:
		return invalid("started_at", "its times have been corrected "+words.Count(maxEarlier, "time")+"; write an update", "صُحِّحت أوقاتها بأقصى عدد من المرات؛ اكتب تحديثًا")
	}
	i.EarlierTimes = append(i.EarlierTimes, before)
	return nil
}

// openTime is a time in which an incident was open; end is the update that resolved it, nil while it is open.
type openTime struct {
	from docstore.Time
	end  *Update
}

// times are those in which it was open: after the first, it was opened again.
func (i *Incident) times() []openTime {
	all := []openTime{{from: i.StartedAt}}
	for k := range i.Updates {
		u, last := &i.Updates[k], &all[len(all)-1]
		switch {
		case u.Status == Resolved && last.end == nil:
			last.end = u
		case u.Status != Resolved && last.end != nil:
			all = append(all, openTime{from: u.At})
		}
	}
	return all
}

// over is when an incident was over that the update has resolved.
func (u *Update) over() docstore.Time {
	if u.Over.IsZero() {
		return u.At
	}
	return u.Over
}

func later(a, b docstore.Time) docstore.Time {
	if a.Before(b.Time) {
		return b
	}
	return a
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
