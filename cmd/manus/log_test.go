package main

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"manus/config"
)

// written is each write to a log, without the times.
type written struct {
	mu    sync.Mutex
	parts []string
}

var timeOfLine = regexp.MustCompile(`time=\S+ `)

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parts = append(w.parts, timeOfLine.ReplaceAllString(string(p), ""))
	return len(p), nil
}

// take returns what has been written since it was last asked.
func (w *written) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	parts := w.parts
	w.parts = nil
	return parts
}

func TestLinesAreGatheredButNotWhatIsWrong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w written
		log, flush := newLogger(&w, config.Settings{LogFormat: "text"})
		want := func(when string, parts ...string) {
			t.Helper()
			if got := w.take(); !slices.Equal(got, parts) {
				t.Errorf("%s: %q", when, got)
			}
		}
		log.Info("a")
		log.With("k", 1).WithGroup("g").Info("b", "v", 2)
		want("at once")
		time.Sleep(gatherFor)
		synctest.Wait()
		want("after a while", "level=INFO msg=a\nlevel=INFO msg=b k=1 g.v=2\n")
		log.Info("c")
		log.With("k", 1).Warn("d")
		want("what is wrong", "level=INFO msg=c\nlevel=WARN msg=d k=1\n")
		long := strings.Repeat("x", gatherMax)
		log.Info(long)
		want("more than is gathered", "level=INFO msg="+long+"\n")
		log.Info("e")
		flush()
		want("at the end", "level=INFO msg=e\n")
	})
}
