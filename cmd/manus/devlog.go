package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// devHandler is the log of a person who tries the product: a short line for each request,
// by its answer in colour on a terminal, and what goes wrong.
type devHandler struct {
	slog.Handler // of everything but requests
	out          io.Writer
	coloured     bool
}

// Enabled tells whether a record may be shown; requests are, whatever the level, but for routine.
func (h devHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.Handler.Enabled(ctx, level)
}

// Handle writes a record.
func (h devHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "request" && h.Enabled(ctx, r.Level) {
		_, err := io.WriteString(h.out, h.request(r))
		return err
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// request is the line of a request: 15:04:05 POST /api/v1/sessions 201 3.2ms.
func (h devHandler) request(r slog.Record) string {
	said := map[string]slog.Value{}
	r.Attrs(func(a slog.Attr) bool {
		said[a.Key] = a.Value
		return true
	})
	method, route := said["method"].String(), said["route"].String()
	route = strings.TrimSuffix(strings.TrimPrefix(route, method+" "), "{$}")
	status := said["status"].Int64()
	answer := strconv.FormatInt(status, 10)
	if h.coloured {
		answer = colourOf(status) + answer + "\x1b[0m"
	}
	return fmt.Sprintf("%s  %-6s %s  %s  %s\n", r.Time.Format(time.TimeOnly), method, answer, cmp.Or(route, "(no such address)"), short(said["took"].Duration()))
}

// colourOf is the colour of a status: green for what was done, yellow for what was refused, red
// for what went wrong.
func colourOf(status int64) string {
	switch {
	case status >= 500:
		return "\x1b[31m"
	case status >= 400:
		return "\x1b[33m"
	case status >= 300:
		return "\x1b[36m"
	}
	return "\x1b[32m"
}

// short is a duration with as many digits as anybody reads.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// WithAttrs is the same handler with attributes in each record but those of requests.
func (h devHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

// WithGroup is the same handler with a group around what follows.
func (h devHandler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
