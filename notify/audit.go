package notify

import (
	"context"

	"manus/audit"
	"manus/identity"
)

// What the audit log tells of alerts. The subject is the key of what the alert is about; of
// a test it is the channel.
const (
	eventRetried            audit.Kind = "alert-retried"
	eventAcknowledged       audit.Kind = "alert-acknowledged"
	eventAcknowledgedByLink audit.Kind = "alert-acknowledged-by-link" // whoever had the link
	eventTested             audit.Kind = "alerts-tested"
)

// note puts what the caller does into the audit log, before it is done: so nothing is done
// that isn't there. Errors are the store's.
func (s *Service) note(ctx context.Context, kind audit.Kind, subject string) error {
	if s.c.Audit == nil {
		return nil
	}
	e := audit.NewEvent(ctx, identity.From(ctx).UserID, kind, s.c.Now())
	e.Subject = subject
	return s.c.Audit.Append(ctx, e)
}
