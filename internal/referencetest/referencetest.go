// Package referencetest holds the reference of the API against what routes answer in tests.
package referencetest

import (
	"context"
	"log/slog"
	"testing"

	"manus/httpapi"
)

// Log is a log that fails the test in which a route answers a problem that it doesn't name.
func Log(t testing.TB) *slog.Logger { return slog.New(holds{t}) }

type holds struct{ t testing.TB }

func (h holds) Enabled(context.Context, slog.Level) bool { return true }
func (h holds) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h holds) WithGroup(string) slog.Handler            { return h }
func (h holds) Handle(_ context.Context, r slog.Record) error {
	if r.Message == httpapi.Unnamed {
		r.Attrs(func(a slog.Attr) bool { h.t.Errorf("%s: %s", httpapi.Unnamed, a); return true })
	}
	return nil
}
