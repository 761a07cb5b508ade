package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"

	"manus/config"
)

// A line for each request is gathered with others for so long, or until there are so many
// bytes: a write of its own costs a good part of a small request.
const (
	gatherFor = 100 * time.Millisecond
	gatherMax = 64 << 10
)

// newLogger makes the log, and what writes the lines that are still gathered.
func newLogger(w io.Writer, s config.Settings, coloured bool) (logger *slog.Logger, flush func()) {
	lines := &gatherer{w: w}
	options := &slog.HandlerOptions{Level: s.LogLevel}
	var handler slog.Handler
	if s.LogFormat == "text" {
		handler = slog.NewTextHandler(lines, options)
	} else {
		options.ReplaceAttr = inMilliseconds
		handler = slog.NewJSONHandler(lines, options)
	}
	if s.Dev {
		handler = devHandler{handler, lines, coloured}
	}
	return slog.New(promptHandler{handler, lines}), lines.flush
}

// inMilliseconds is a span of time as a number with its unit in the name: JSON has none.
func inMilliseconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.Float64(a.Key+"_ms", float64(a.Value.Duration().Microseconds())/1000)
	}
	return a
}

// gatherer writes what it is given together with what else comes within gatherFor. What is
// killed before has lost that.
type gatherer struct {
	w io.Writer

	mu    sync.Mutex
	lines []byte
}

// Write keeps a line.
func (g *gatherer) Write(line []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.lines) == 0 {
		time.AfterFunc(gatherFor, g.flush)
	}
	if g.lines = append(g.lines, line...); len(g.lines) >= gatherMax {
		g.write()
	}
	return len(line), nil
}

func (g *gatherer) flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.write()
}

func (g *gatherer) write() {
	if len(g.lines) > 0 {
		_, _ = g.w.Write(g.lines) // there is nowhere to tell that the log can't be written
	}
	g.lines = g.lines[:0]
}

// promptHandler writes at once what is wrong, and what stands before it.
type promptHandler struct {
	slog.Handler
	lines *gatherer
}

// Handle writes a record, or gathers it.
func (h promptHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.lines.flush()
	}
	return err
}

// WithAttrs is the same handler with attributes in each record.
func (h promptHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return promptHandler{h.Handler.WithAttrs(attrs), h.lines}
}

// WithGroup is the same handler with a group around what follows.
func (h promptHandler) WithGroup(name string) slog.Handler {
	return promptHandler{h.Handler.WithGroup(name), h.lines}
}

// logLibraries has what libraries write to the standard logger, such as net/http of its
// connections, go into a log.
func logLibraries(to *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(libraryWriter{to})
}

// libraryWriter logs lines of libraries. What they quote is foreign, such as an answer that
// nobody has asked for, and may have a secret in it: a line is cut where that begins.
type libraryWriter struct{ log *slog.Logger }

// Write logs a line.
func (w libraryWriter) Write(line []byte) (int, error) {
	said, _, quotes := strings.Cut(string(line), `"`)
	if said = strings.TrimSpace(said); quotes {
		said += " …"
	}
	w.log.Warn("a library warns", "text", said)
	return len(line), nil
}
