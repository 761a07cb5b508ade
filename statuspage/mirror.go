package statuspage

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"time"
)

// Snapshot is all that the page tells, and how it looks, for a copy of it elsewhere.
type Snapshot struct {
	Settings Settings `json:"settings"`
	Model    Model    `json:"model"`
}

// Snapshot is all that it tells now. It returns the error of Read.
func (s *Service) Snapshot(ctx context.Context) (Snapshot, error) {
	model, err := s.c.Read(ctx)
	settings := *s.settings.Load()
	settings.Components = nil // the model has them, without their monitors
	return Snapshot{settings, model}, err
}

// MirrorConfig is what a mirror is made of.
type MirrorConfig struct {
	// Fetch asks for the page as it is now.
	Fetch func(context.Context) (Snapshot, error)
	// Dir is the folder of the files, and URL where its root will be; empty where that isn't known.
	Dir, URL string
	Markdown Markdown
	Plain    func(text string) string
	// Wrote is told of what strangers should find at URL by now; nil where nobody asks.
	Wrote func(Shown)
	Now   func() time.Time // the clock; nil means time.Now
	Log   *slog.Logger
}

// mirrorEvery is how often the page is fetched: more seldom than it says that it is old.
const mirrorEvery = 10 * time.Second

// Mirror keeps the page of another machine as files in a folder until ctx ends. While it can't
// be fetched, the files say how old they are: so a machine that is dead doesn't look well.
func Mirror(ctx context.Context, c MirrorConfig) {
	var page *Service
	page = New(Config{Now: c.Now, Markdown: c.Markdown, Plain: c.Plain, Log: c.Log, Read: func(ctx context.Context) (Model, error) {
		got, err := c.Fetch(ctx)
		if err != nil {
			return Model{}, err
		}
		got.Settings.URL, got.Settings.Root = c.URL, true
		if !reflect.DeepEqual(got.Settings, *page.settings.Load()) {
			page.Set(got.Settings)
		}
		return got.Model, nil
	}}, Settings{})
	tick := time.NewTicker(mirrorEvery)
	defer tick.Stop()
	var written *site
	for said := ""; ; {
		err := page.Refresh(ctx)
		if now := page.site.Load(); now != written {
			failure := page.keep(c)
			if err = errors.Join(err, failure); failure == nil {
				written = now
			}
		}
		if text := textOf(err); text != said && ctx.Err() == nil {
			if said = text; err != nil {
				c.Log.WarnContext(ctx, "the copy of the status page isn't up to date; it is tried again", "error", err)
			} else {
				c.Log.InfoContext(ctx, "the copy of the status page is up to date again")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// keep writes the files, and says what is in them.
func (s *Service) keep(c MirrorConfig) error {
	files, err := s.exported()
	if errors.Is(err, ErrNothingRead) { // there is nothing to write yet
		return nil
	}
	if err == nil {
		err = writeAll(c.Dir, files)
	}
	if err == nil && c.Wrote != nil && c.URL != "" {
		c.Wrote(copied(files, c.URL))
	}
	return err
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
