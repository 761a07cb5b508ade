package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"

	"manus/config"
)

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
	file, err := config.LoadFile(r.path)
	if err != nil {
		return err
	}
	r.apply(file)
	return nil
}
