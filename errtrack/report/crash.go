package report

import (
	"context"
	"iter"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/getsentry/sentry-go"

	"manus/docstore"
	"manus/errtrack/event"
)

// Crashed reports how an earlier run of the program has ended, as Go's runtime has written it
// down (see [debug.SetCrashOutput]): by a panic in any goroutine, or a fatal error. It waits
// for as long as ctx lasts, and tells whether nothing is left to do: the report was accepted,
// or that isn't how a program ends. Where it is told again, the id is to be the same, 32
// hexadecimal digits.
//
// [debug.SetCrashOutput]: https://pkg.go.dev/runtime/debug#SetCrashOutput
func (r *Reporter) Crashed(ctx context.Context, id, text string, at time.Time) (done bool) {
	x, found := readCrash(text)
	if r == nil || !found {
		return true
	}
	return r.crash(ctx, id, at, x)
}

// crash reports a crash, and tells whether that was accepted.
func (r *Reporter) crash(ctx context.Context, id string, at time.Time, x sentry.Exception) bool {
	e := sentry.NewEvent()
	e.EventID, e.Level, e.Timestamp, e.Exception = sentry.EventID(id), sentry.LevelFatal, at, []sentry.Exception{x}
	outcome := r.queue.await(e.EventID)
	defer r.queue.forget(e.EventID)
	r.client.CaptureEvent(e, nil, nil)
	select {
	case err := <-outcome:
		return err == nil
	case <-ctx.Done():
		return false
	}
}

// CrashesAs says under which id a panic that [Reporter.Crashing] meets is reported: that of
// its crash, if the next start is to report it again.
func (r *Reporter) CrashesAs(id string) {
	if r != nil {
		r.crashID.Store(&id)
	}
}

// Crashing is deferred where a goroutine begins: when it panics, that is reported, and then
// goes on as it does. When the report was accepted, the next start isn't to report it again.
func (r *Reporter) Crashing() {
	cause := recover()
	if cause == nil {
		return
	}
	if r != nil && cause != http.ErrAbortHandler { //nolint:errorlint // the sentinel itself is what is panicked with
		id := event.ID(docstore.NewID())
		if own := r.crashID.Swap(nil); own != nil { // the first panic is the program's end
			id = *own
		}
		ctx, cancel := context.WithTimeout(context.Background(), flushFor)
		if r.crash(ctx, id, time.Now(), panicked(cause, callers(), false)) {
			_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
		}
		cancel()
	}
	panic(cause)
}

// readCrash reads what the runtime writes: a line that says why, then goroutines, of which the
// first is the one that failed. A call is a line, and the next one says where that is.
func readCrash(text string) (x sentry.Exception, found bool) {
	unhandled := false
	x.Mechanism = &sentry.Mechanism{Type: "crash", Handled: &unhandled}
	head, goroutines, _ := strings.Cut(text, "\ngoroutine ")
	for line := range strings.Lines(head) {
		kind, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if kind == "panic" || kind == "fatal error" {
			x.Type = kind
			x.Value, _, _ = strings.Cut(value, " [recovered")
			break
		}
	}
	first, _, _ := strings.Cut(goroutines, "\n\n")
	lines := strings.Split(first, "\n")
	x.Stacktrace = &sentry.Stacktrace{Frames: readStack(lines[1:])}
	return x, x.Type != ""
}

// readStack reads the calls of a goroutine into the protocol's order.
func readStack(lines []string) (stack []sentry.Frame) {
	for call, place := range pairs(lines) {
		call = strings.TrimPrefix(call, "created by ")
		call, _, _ = strings.Cut(call, " in goroutine ")
		if i := strings.LastIndexByte(call, '('); i > 0 && strings.HasSuffix(call, ")") {
			call = call[:i] // without its arguments
		}
		if call == "panic" { // what is above has made a crash of it
			stack = nil
			continue
		}
		file, line, _ := strings.Cut(strings.TrimSpace(place), ":")
		line, _, _ = strings.Cut(line, " ")
		number, _ := strconv.Atoi(line) // 0 where it can't be told
		if frame := newFrame(runtime.Frame{Function: call, File: file, Line: number}); frame.Module != "runtime" && len(stack) < maxFrames {
			stack = append(stack, frame)
		}
	}
	slices.Reverse(stack)
	return stack
}

// pairs are lines, two by two.
func pairs(lines []string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := 0; i+1 < len(lines); i += 2 {
			if !yield(lines[i], lines[i+1]) {
				return
			}
		}
	}
}

// IsCrash tells whether a text is what the runtime writes when it kills a program, as
// [Reporter.Crashed] reports it.
func IsCrash(text string) bool {
	_, found := readCrash(text)
	return found
}
