package uptime

import (
	"context"
	"time"

	"manus/internal/timeline"
)

// Past is how a monitor is, and the times from which figures of any window are worked out. Planned work isn't
// in it: what that excuses, whoever asks knows.
type Past struct {
	ID      string
	Name    string
	Status  Status
	History timeline.History
	// Cut and Paused are why it was unknown at times: nobody watched anything or who did was cut
	// off, and it was paused or not in the list.
	Cut, Paused timeline.Spans
}

// Pasts are those of monitors by their ids, of the last so many days; of one that there isn't there
// is none. Errors are the store's.
func (s *Service) Pasts(ctx context.Context, days int, ids ...string) (map[string]Past, error) {
	set, j, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	states, err := s.states.GetAll(ctx, ids...)
	if err != nil {
		return nil, err
	}
	var monitors []Monitor
	for _, id := range ids {
		if m, there := set.byID[id]; there {
			monitors = append(monitors, m)
		}
	}
	hearts, err := s.heartsOf(ctx, monitors, nil)
	if err != nil {
		return nil, err
	}
	now := s.c.Now()
	gaps := j.unknown(now)
	window := timeline.Between(now.AddDate(0, 0, -days), now.Add(time.Second))
	cut := gaps.Within(window)
	pasts := make(map[string]Past, len(monitors))
	for _, m := range monitors {
		st := states[m.ID]
		w := Watched{}
		h := st.history(gaps, nil)
		w.Status, w.Since = st.status(m, gaps, nil, now)
		w.showBeats(s.beats(m, hearts, h.Unknown, now))
		pasts[m.ID] = Past{ID: m.ID, Name: m.Name, Status: w.Status, History: h, Cut: cut, Paused: st.Pauses}
	}
	return pasts, nil
}
