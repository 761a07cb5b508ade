package app

import (
	"context"
	"errors"

	"manus/billing"
	"manus/session"
)

// quota is billing as sessions see it.
type quota struct{ *billing.Service }

// Reserve takes one run.
func (q quota) Reserve(ctx context.Context, userID, sessionID string) error {
	return refusal(q.Service.Reserve(ctx, userID, sessionID))
}

// refusal is why billing gives no run, as sessions know it.
func refusal(err error) error {
	switch {
	case errors.Is(err, billing.ErrQuotaExhausted):
		return session.ErrQuotaExhausted
	case errors.Is(err, billing.ErrTooManyAtOnce):
		return session.ErrTooManyAtOnce
	}
	return err
}
