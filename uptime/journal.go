package uptime

import (
	"context"
	"encoding/json"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/internal/timeline"
	"manus/lease"
)

// journal is about watching itself: since when nobody has, and when this program was cut
// off. That holds for all monitors, so a restart writes one document and not one a monitor.
type journal struct {
	ID    string      `json:"_id"`
	Fence lease.Fence `json:"fence"`
	// Alive is up to when somebody has watched.
	Alive docstore.Time `json:"alive"`
	// Gaps are the times in which nobody has, or was cut off.
	Gaps timeline.Spans `json:"gaps,omitempty"`
	// CutOff is since when this program is cut off; zero while it isn't.
	CutOff docstore.Time `json:"cut_off,omitzero"`
	// Answered are the references that have, at some time; see network.
	Answered []string `json:"answered,omitempty"`
	// Told is set when people were told that it is cut off.
	Told bool `json:"told,omitempty"`
	// Changes counts what was decided of monitors beside manus.yaml, such as pauses: all copies
	// learn of them by it.
	Changes int64 `json:"changes,omitempty"`
	// Own are the product's own monitors, as the copy that watches has them.
	Own json.RawMessage `json:"own,omitempty"`
	// Muted is up to when nobody is told of any monitor.
	Muted docstore.Time `json:"muted,omitzero"`

	Pending      []Alert       `json:"pending,omitempty"`
	PendingSince docstore.Time `json:"pending_since,omitzero"`
}

const theJournal = "journal"

// DocumentID is the same for all: there is one.
func (j journal) DocumentID() string { return j.ID }

func (j *journal) outbox() audit.Outbox[Alert] {
	return audit.Outbox[Alert]{Events: &j.Pending, Since: &j.PendingSince}
}

var journalSpec = docstore.Spec{Collection: "uptime_journal", Of: journal{}, Indexes: []docstore.Index{audit.PendingIndex}}

const (
	// maxGaps bounds the gaps; of more the oldest are forgotten.
	maxGaps = 1000
	// smallGap is how long nobody may watch without that being a gap: a restart, or another
	// copy that takes over.
	smallGap = 15 * time.Second
	gapsFor  = 400 * 24 * time.Hour
	// toldAfter is how long it may be cut off before people are told.
	toldAfter = 30 * time.Second
)

// write changes the journal, as the copy that watches.
func (s *Service) write(ctx context.Context, held lease.Held, change func(*journal)) (journal, error) {
	j, err := s.journals.Upsert(ctx, journal{ID: theJournal}, func(j *journal, _ bool) error {
		if err := held.Admit(&j.Fence); err != nil {
			return err
		}
		change(j)
		return nil
	})
	if err == nil && len(j.Pending) > 0 {
		s.own.Send(ctx, j)
	}
	return j, err
}

// isWatched notes that somebody watches, since just now or since he last noted it. Where that
// is long ago nobody has: he was killed, or his machine was suspended.
func (j *journal) isWatched(now time.Time) {
	if !j.Alive.IsZero() && now.Sub(j.Alive.Time) > smallGap {
		j.addGap(timeline.Between(j.Alive.Time, now))
	}
	j.Alive = docstore.At(now)
}

func (j *journal) addGap(gap timeline.Span) {
	old := timeline.Span{From: 0, Until: gap.Until - int64(gapsFor/time.Millisecond)}
	j.Gaps = j.Gaps.Or(gap).Without(timeline.Of(old))
	j.Gaps = j.Gaps[max(0, len(j.Gaps)-maxGaps):]
}

// cutOff notes that this program is cut off since a moment, or that it isn't any more.
func (j *journal) cutOff(since time.Time, is bool, now time.Time) {
	if is && j.CutOff.IsZero() {
		j.CutOff = docstore.At(since)
	}
	switch {
	case is && !j.Told && now.Sub(j.CutOff.Time) >= toldAfter:
		j.Told = true
		j.note(networkAlert(j.CutOff, false, now), now)
	case !is && !j.CutOff.IsZero():
		j.addGap(timeline.Between(j.CutOff.Time, now))
		if j.Told {
			j.note(networkAlert(j.CutOff, true, now), now)
		}
		j.CutOff, j.Told = docstore.Time{}, false
	}
}

func (j *journal) note(a Alert, now time.Time) {
	a.ID = docstore.NewID()
	j.outbox().Note(a, now)
}

// unknown are the times in which nobody knows how things were, up to a moment.
func (j journal) unknown(now time.Time) timeline.Spans {
	gaps := j.Gaps
	if !j.CutOff.IsZero() {
		gaps = gaps.Or(timeline.Between(j.CutOff.Time, now))
	}
	if !j.Alive.IsZero() && now.Sub(j.Alive.Time) > smallGap {
		gaps = gaps.Or(timeline.Between(j.Alive.Time, now))
	}
	return gaps
}

// journal is the one there is. Errors are the store's.
func (s *Service) journal(ctx context.Context) (journal, error) {
	j, err := s.journals.Get(ctx, theJournal)
	return j, docstore.NotFoundAs(err, nil)
}
