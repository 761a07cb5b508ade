package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/getsentry/sentry-go"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/language"
)

// Trial is how a test of the reporter went.
type Trial struct {
	EventID string
	// Host is that which has accepted the event; empty for this program's own inbox.
	Host string
	// Issue is what it is part of, where the inbox has been asked; it is an ignored one.
	Issue string
	// Took is from its being reported to its being accepted, or counted in the inbox.
	Took time.Duration
}

// Try reports a test event as any other, and waits until it is delivered. Where that is into
// this program's own inbox, find is asked for its issue until that has it; it returns "" as
// long as it hasn't. The event is of the level info, and all trials are one issue, which the
// inbox ignores from the beginning: nobody is told.
//
// The error is why it wasn't delivered, or not found again before ctx ended.
//
// A check's is an issue of its own in this program's inbox, for who has found it to remove.
func (r *Reporter) Try(ctx context.Context, check bool, find func(ctx context.Context, eventID string) (issue string, err error)) (Trial, error) {
	t := Trial{EventID: event.ID(docstore.NewID()), Host: r.host}
	e := sentry.NewEvent()
	e.EventID, e.Level, e.Fingerprint = sentry.EventID(t.EventID), sentry.LevelInfo, []string{event.TrialFingerprint}
	e.Message, e.Tags = "A test: errors of Manus are reported, and found again", map[string]string{"test": "manus errors test"}
	if check && r.toOwn {
		e.Fingerprint, e.Message, e.Tags = []string{event.CheckFingerprint + t.EventID}, event.CheckMessage, map[string]string{"test": "manus check"}
	}
	done := r.queue.await(e.EventID)
	defer r.queue.forget(e.EventID)
	began := time.Now()
	r.client.CaptureEvent(e, nil, nil)
	select {
	case err := <-done:
		if err != nil {
			return t, fmt.Errorf("%s hasn't taken the test event: %w", cmp.Or(t.Host, "the inbox"), err)
		}
	case <-ctx.Done():
		return t, stopped(ctx, began, "the test event wasn't delivered")
	}
	if !r.toOwn {
		t.Took = time.Since(began)
		return t, nil
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var err error
		if t.Issue, err = find(ctx, t.EventID); t.Issue != "" {
			t.Took = time.Since(began)
			return t, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
			return t, errors.Join(stopped(ctx, began, "the test event was taken, and wasn't found in the inbox"), err)
		}
	}
}

// stopped is why it isn't waited for any longer: it was for as long as somebody has, or they
// have gone.
func stopped(ctx context.Context, began time.Time, what string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s within %s", what, language.English.Took(time.Since(began)))
	}
	return fmt.Errorf("%s: %w", what, context.Cause(ctx))
}
