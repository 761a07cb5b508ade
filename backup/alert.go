package backup

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"manus/audit"
	"manus/docstore"
)

// Alarm tells operators.
type Alarm interface {
	// Tell passes an alert on. One with the key of an earlier alert follows it up. It
	// may be called again with the same alert, by another process too; after an error
	// it is.
	Tell(ctx context.Context, alert Alert) error
}

// Alert is something that an operator has to know.
type Alert struct {
	// ID tells an alert that is told again from another one.
	ID string        `json:"id"`
	At docstore.Time `json:"at"`
	// Key is what the alert is about: [AlertFailed] or [AlertSilence].
	Key string `json:"key"`
	// Over is set when what it is about is over.
	Over bool `json:"over,omitempty"`
	// Text is one or two sentences.
	Text string `json:"text"`
}

// DocumentID is the alert's id.
func (a Alert) DocumentID() string { return a.ID }

// The keys of alerts.
const (
	AlertFailed  = "backup-failed"
	AlertSilence = "backup-silence"
)

const tellTimeout = 10 * time.Second

// tell passes an alert on, if there is somebody to tell.
func (s *Service) tell(ctx context.Context, alert Alert) error {
	if s.Alarm == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	return s.Alarm.Tell(ctx, alert)
}

// tellNow passes on an alert that can't be noted in the store, and says whether it was
// taken. It goes to the log when it wasn't.
func (s *Service) tellNow(ctx context.Context, alert Alert) bool {
	err := s.tell(ctx, alert)
	if err != nil {
		s.Log.ErrorContext(ctx, "an alert could not be passed on", "alert", alert.Key, "text", alert.Text, "error", err)
	}
	return err == nil
}

func newAlert(key, text string, now time.Time) Alert {
	return Alert{ID: docstore.NewID(), At: docstore.At(now), Key: key, Text: text}
}

// failure says that a run has failed; nil is no failure.
func failure(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("A backup has failed: %s.", cut(err))
}

// alert notes what is wrong, or when that is empty, and it had been noted that
// something is, that it is over. It is a part of the atomic change of what it tells of.
func (st *state) alert(key, wrong, over string, now time.Time) {
	raised := map[string]*docstore.Time{AlertFailed: &st.FailureTold, AlertSilence: &st.Told}[key]
	alert := newAlert(key, wrong, now)
	switch {
	case wrong != "":
		*raised = alert.At
		// One about the same that still waits is out of date.
		st.Pending = slices.DeleteFunc(st.Pending, func(a Alert) bool { return a.Key == key })
	case raised.IsZero():
		return
	default:
		*raised = docstore.Time{}
		alert.Over, alert.Text = true, over
	}
	st.outbox().Note(alert, now)
}

// ended notes how a run has ended.
func (st *state) ended(err error, now time.Time) {
	st.alert(AlertFailed, failure(err), "A backup was made again.", now)
}

func (st *state) outbox() audit.Outbox[Alert] {
	return audit.Outbox[Alert]{Events: &st.Pending, Since: &st.PendingSince}
}

// newRelay takes the alerts of the state in a store to the alarm of the service.
func newRelay(store docstore.Store, service func() *Service, now func() time.Time, log *slog.Logger) *audit.Relay[state, Alert] {
	return &audit.Relay[state, Alert]{
		Aggregates: docstore.NewCollection[state](store, spec),
		Outbox:     (*state).outbox,
		Publish:    func(ctx context.Context, _ state, a Alert) error { return service().tell(ctx, a) },
		Now:        now,
		Log:        log,
	}
}
