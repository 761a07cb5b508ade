// Package statuspage is the public page: how everything is and was, what is told of trouble
// and of planned work, in English and Arabic, as pages, as the JSON that clients of
// Atlassian's Statuspage read, as feed, calendar and badges.
//
// It knows nobody who watches, and stores nothing. A function gives it a [Model], which it
// reads again and again; what came of it is rendered when it is first asked for, kept in
// memory, and answered from there, also when nothing can be read any more: then it says so.
package statuspage

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"manus/design"
	"manus/internal/timeline"
	"manus/language"
)

// Config is what a Service is made of.
type Config struct {
	// Read is how everything is now.
	Read func(context.Context) (Model, error)
	// Incident is one that may be too old for the model; false where there is none that the page
	// may tell of.
	Incident func(ctx context.Context, id string) (Incident, bool, error)
	Markdown Markdown
	// Plain is a text of Markdown without its marks; nil: as it is.
	Plain func(text string) string
	Now   func() time.Time // the clock; nil means time.Now
	Log   *slog.Logger
}

// Settings are what the page looks like and where it is. They may change while it is served.
type Settings struct {
	Policy
	Picture design.Picture // the logo
	// URL is where the page's root is, for what is read elsewhere: scheme and host; empty where
	// that isn't known.
	URL string
	// Root is set where the page is at the root of a host of its own, and not at /status.
	Root bool
	// Subscribe is where people ask to be told: a path from the page's root, or an address; empty
	// where they can't.
	Subscribe string

	files bool // links lead to files
}

// Service is the page. It is safe for concurrent use.
type Service struct {
	c        Config
	settings atomic.Pointer[Settings]
	site     atomic.Pointer[site] // nil as long as nothing was read

	mu    sync.Mutex // of a refresh
	read  time.Time  // when the last one that could be read was
	shown *view
}

// New makes a Service. The settings have no problems.
func New(c Config, settings Settings) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{c: c}
	s.settings.Store(&settings)
	return s
}

// Set has the page look otherwise from now on.
func (s *Service) Set(settings Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.Store(&settings)
	if s.shown != nil {
		s.show(s.shown, time.Time{})
	}
}

// SetURL is Set with where its root is.
func (s *Service) SetURL(url string) {
	settings := *s.settings.Load()
	settings.URL = url
	s.Set(settings)
}

// Look is how the page looks, for pages of others that belong to it.
type Look struct {
	Name        string // the page's title
	Style, Logo string // paths from the site's root; empty where nothing was read yet
}

// Look is how it looks in a language.
func (s *Service) Look(tag language.Tag) Look {
	now := s.site.Load()
	if now == nil {
		return Look{Name: s.settings.Load().title().In(tag)}
	}
	return Look{now.Title.In(tag), "/" + now.style, "/" + now.logo}
}

// Title is what the page is called; empty where nobody has said.
func (s *Service) Title() language.Text { return s.settings.Load().Title }

// Listed are the components on the page, in its order.
func (s *Service) Listed() (all []Component) {
	if now := s.site.Load(); now != nil {
		for i := range now.Rows {
			all = append(all, now.Rows[i].Component)
		}
	}
	return all
}

const (
	// readEvery is how soon a change is seen, by whichever copy it was made. Reading takes a
	// fiftieth of the time at most, unless a change was seen later than readBy then, and an
	// eighth, unless that is later than readLast: one slow answer isn't to be seen for long.
	readEvery = 500 * time.Millisecond
	readBy    = 700 * time.Millisecond
	readLast  = 3 * time.Second
	// renderEvery is how soon what has not changed is said anew, with its time.
	renderEvery = 30 * time.Second
	// exact is how exact figures are while they grow.
	exact = 10 * time.Second
	// staleAfter is how old it may be before the page says that it is.
	staleAfter = 15 * time.Second
	// readTimeout bounds a read of a store that hangs.
	readTimeout = 10 * time.Second
)

// Run reads again and again, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		err := s.Refresh(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			s.c.Log.WarnContext(ctx, "the status page can't be read anew; it is answered as it was", "error", err)
		}
		failed = err != nil
		timer.Reset(pause(time.Since(began)))
	}
}

// pause is how long nothing is read after something was that took so long.
func pause(took time.Duration) time.Duration {
	return max(readEvery, min(50*took, readBy), min(7*took, readLast))
}

// Refresh reads once. It returns the error of Read; what was shown goes on to be then.
func (s *Service) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	model, err := s.c.Read(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.Now()
	if err != nil {
		s.grow(now)
		return err
	}
	s.read = now
	next := newView(model, s.settings.Load().title(), now.Truncate(exact))
	if before := s.shown; before != nil && s.site.Load().stale.IsZero() && now.Sub(before.At).Abs() < renderEvery && before.tells(next) {
		return nil
	}
	next.At = now
	s.show(next, time.Time{})
	return nil
}

// grow has the page say how old it is.
func (s *Service) grow(now time.Time) {
	if s.shown == nil || now.Sub(s.read) < staleAfter {
		return
	}
	if said := s.site.Load().stale; said.IsZero() || now.Sub(said).Abs() >= renderEvery {
		s.show(s.shown, now)
	}
}

// show has a view be answered; stale is when it was found to be old.
func (s *Service) show(v *view, stale time.Time) {
	s.shown = v
	next := newSite(v, *s.settings.Load(), s.c.Markdown, stale)
	next.plain = s.c.Plain
	s.site.Store(next)
}

// tells tells whether another view says the same.
func (v *view) tells(o *view) bool {
	a, b := *v, *o
	a.At, b.At = time.Time{}, time.Time{}
	a.Rows, b.Rows, a.Groups, b.Groups = nil, nil, nil, nil // groups are of rows
	return slices.EqualFunc(v.Rows, o.Rows, row.tells) && reflect.DeepEqual(a, b)
}

// tells tells whether another row says the same. What is long is compared without reflection, as this is done
// twice a second.
func (r row) tells(o row) bool {
	if r.Total != o.Total || r.Status != o.Status || !r.Since.Equal(o.Since) || !reflect.DeepEqual(r.Component, o.Component) {
		return false
	}
	return r.Counted == o.Counted || r.Counted != nil && o.Counted != nil && r.Counted.tells(o.Counted)
}

func (c *counted) tells(o *counted) bool {
	spans := func(c *counted) [9]timeline.Spans {
		return [9]timeline.Spans{c.Up, c.Down, c.Work, c.Unknown, c.Measured, c.Unseen, c.Trouble, c.Cut, c.Paused}
	}
	if c.Window != o.Window || c.Days != o.Days || c.Folded != o.Folded || !slices.Equal(c.Told, o.Told) || !slices.Equal(c.Disturbed, o.Disturbed) {
		return false
	}
	a, b := spans(c), spans(o)
	return slices.EqualFunc(a[:], b[:], func(x, y timeline.Spans) bool { return slices.Equal(x, y) })
}

// languages are those that pages are in.
var languages = []language.Tag{language.English, language.Arabic}
