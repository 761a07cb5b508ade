package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"

	"manus/billing"
	"manus/config"
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

// runs is sessions as billing sees them.
type runs struct{ sessions *session.Service }

// Exists tells whether a session came of a run.
func (r *runs) Exists(ctx context.Context, sessionID string) (bool, error) {
	return r.sessions.Exists(ctx, sessionID)
}

// reloader applies a changed manus.yaml, or refuses it whole. It looks at the
// contents: times of files can be anything.
type reloader struct {
	path  string
	apply func(config.File)
	seen  []byte // the hash of what was last looked at
}

func newReloader(path string, apply func(config.File)) *reloader {
	return &reloader{path: path, apply: apply}
}

func (r *reloader) check(context.Context) error {
	text, err := os.ReadFile(r.path)
	if err != nil {
		text = []byte(err.Error())
	}
	hash := sha256.Sum256(text)
	if bytes.Equal(hash[:], r.seen) {
		return nil
	}
	r.seen = hash[:]
	if err != nil {
		return err
	}
	file, err := config.LoadFile(r.path, Routes())
	if err != nil {
		return err
	}
	r.apply(file)
	return nil
}
