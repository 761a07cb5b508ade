package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"time"

	"manus/config"
)

// watchFile applies a changed manus.yaml, until ctx ends.
func (a *App) watchFile(ctx context.Context, path string) {
	reload := newReloader(path, a.apply)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if err := reload.check(ctx); err != nil {
			a.log.ErrorContext(ctx, "could not apply the changed "+filepath.Base(path), "error", err)
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
	path  string
	apply func(config.File) error
	seen  []byte // the hash of what was last looked at
}

func newReloader(path string, apply func(config.File) error) *reloader {
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
	return r.apply(file)
}
