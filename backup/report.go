package backup

import (
	"context"
	"errors"
	"slices"

	"manus/docstore"
)

// report notes in the store how a run has ended, or else tells at once what is wrong.
func (s *Service) report(ctx context.Context, m Manifest, failed error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	err := s.noteEnd(ctx, m, failed)
	if err == nil {
		return
	}
	if failed != nil {
		s.tellNow(ctx, newAlert(AlertFailed, failure(failed), s.Now()))
	}
	if m.Suspicious != "" {
		s.tellNow(ctx, newAlert(AlertSuspicious, doubted(m.File, m.Suspicious), s.Now()))
	}
	if !errors.Is(err, docstore.ErrNotFound) {
		s.Log.WarnContext(ctx, "how a backup has ended could not be noted in the store", "error", err)
	}
}

// noteEnd returns ErrNotFound where nobody keeps the state of backups.
func (s *Service) noteEnd(ctx context.Context, m Manifest, failed error) error {
	return s.withStore(ctx, func(store docstore.Store) error {
		relay := newRelay(store, func() *Service { return s })
		var earlier []Alert
		st, err := relay.Aggregates.Update(ctx, theSchedule, func(st *Status) error {
			earlier = slices.Clone(st.Pending)
			st.ended(m, failed, s.Now())
			return nil
		})
		switch {
		case err != nil:
			return err
		case s.Alarm == nil:
			s.logAlerts(ctx, st.Pending, earlier)
		default:
			relay.Send(ctx, st)
		}
		return nil
	})
}

// logAlerts has the log tell what has just been noted, and waits for who has an alarm.
func (s *Service) logAlerts(ctx context.Context, pending, earlier []Alert) {
	for _, alert := range pending {
		if !slices.ContainsFunc(earlier, func(a Alert) bool { return a.ID == alert.ID }) {
			_ = s.tell(ctx, alert) // the log takes everything
		}
	}
}

// withStore does something with the store that has the state of backups, and returns
// ErrNotFound where there is none.
func (s *Service) withStore(ctx context.Context, do func(docstore.Store) error) error {
	if s.OpenStore == nil {
		return docstore.ErrNotFound
	}
	store, err := s.OpenStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // what was noted is durable
	return do(store)
}
