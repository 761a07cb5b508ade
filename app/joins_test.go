package app

import (
	"errors"
	"fmt"
	"testing"

	"manus/billing"
	"manus/docstore"
	"manus/session"
)

func TestWhatBillingRefusesSessionsUnderstand(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]error{
		billing.ErrQuotaExhausted: session.ErrQuotaExhausted,
		billing.ErrTooManyAtOnce:  session.ErrTooManyAtOnce,
		docstore.ErrUnavailable:   docstore.ErrUnavailable,
	} {
		if got := refusal(fmt.Errorf("wrapped: %w", err)); !errors.Is(got, want) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if err := refusal(nil); err != nil {
		t.Error(err)
	}
}
