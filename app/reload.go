package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"manus/config"
)

// watchFile applies a changed manus.yaml, until ctx ends.
func (a *App) watchFile(ctx context.Context) { watchFile(ctx, a.settings, a.apply, a.log) }

func watchFile(ctx context.Context, settings config.Settings, apply func(config.Settings) error, log *slog.Logger) {
	name := filepath.Base(settings.ConfigPath)
	reload := newReloader(settings, apply)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for started := false; ; started = true {
		switch applied, err := reload.check(); {
		case err != nil:
			log.ErrorContext(ctx, "could not apply the changed "+name+"; what was in force stays so, and the server can't be started with it", "error", err)
		case applied && started:
			log.InfoContext(ctx, "the changed "+name+" is in force")
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// reloader applies a changed manus.yaml, or refuses it whole. It looks at the
// contents: times of files can be anything.
type reloader struct {
	settings config.Settings // those of the start
	apply    func(config.Settings) error
	seen     []byte // the hash of what was last looked at
}

func newReloader(settings config.Settings, apply func(config.Settings) error) *reloader {
	return &reloader{settings: settings, apply: apply}
}

// check tells whether it has applied another file than the one before.
func (r *reloader) check() (applied bool, err error) {
	text, err := os.ReadFile(r.settings.ConfigPath)
	if err != nil {
		text = []byte(err.Error())
	}
	hash := sha256.Sum256(text)
	if bytes.Equal(hash[:], r.seen) {
		return false, nil
	}
	r.seen = hash[:]
	settings, err := r.settings.Reload(Routes())
	if err == nil {
		err = r.apply(settings)
	}
	return err == nil, err
}
