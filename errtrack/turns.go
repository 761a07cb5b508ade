package errtrack

import (
	"context"
	"slices"
	"sync"
)

// turns are lines of what waits, of each project one. What is next is taken from all lines in
// turn, so that a project that sends much waits for itself.
type turns[T comparable] struct {
	lines map[string][]T
	next  []string // the projects that something waits of, in the order of their turns
}

func (t *turns[T]) join(project string, one T) {
	if t.lines == nil {
		t.lines = map[string][]T{}
	}
	if len(t.lines[project]) == 0 {
		t.next = append(t.next, project)
	}
	t.lines[project] = append(t.lines[project], one)
}

// take is what is next, which leaves its line.
func (t *turns[T]) take() (one T, some bool) {
	if len(t.next) == 0 {
		return one, false
	}
	project := t.next[0]
	one = t.lines[project][0]
	t.leave(project, one)
	if n := len(t.next) - 1; n > 0 && t.next[0] == project {
		t.next = append(t.next[1:], project)
	}
	return one, true
}

// leave takes something out of its project's line, and tells whether it was there.
func (t *turns[T]) leave(project string, one T) bool {
	line := t.lines[project]
	at := slices.Index(line, one)
	if at < 0 {
		return false
	}
	switch {
	case len(line) == 1:
		delete(t.lines, project)
		t.next = slices.DeleteFunc(t.next, func(p string) bool { return p == project })
	case at == 0: // most often, and without moving the others
		line[0] = *new(T)
		t.lines[project] = line[1:]
	default:
		t.lines[project] = slices.Delete(line, at, at+1)
	}
	return true
}

// gate lets a few do something at once, the projects in turn.
type gate struct {
	mu    sync.Mutex
	free  int
	turns turns[chan struct{}]
}

// enter waits for a place; it returns an error when ctx ends before there is one.
func (g *gate) enter(ctx context.Context, project string) error {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.turns.join(project, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	waited := g.turns.leave(project, turn)
	g.mu.Unlock()
	if !waited { // the place was given meanwhile
		g.leave()
	}
	return context.Cause(ctx)
}

// leave gives a place to whose turn it is.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if turn, some := g.turns.take(); some {
		close(turn)
	} else {
		g.free++
	}
}

// waiting are the events that wait to be kept.
type waiting struct {
	some chan struct{} // has something when something waits

	mu    sync.Mutex
	turns turns[*arrival]
	bytes map[string]int64 // of each project, until they are kept
	all   int64
}

// join has an event wait, if there is room for it: as much may wait of a project as is free.
// So one alone never has more than half of the room, and others always find some.
func (w *waiting) join(a *arrival) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	project := a.kept.Project
	if w.bytes[project]+a.size > maxWaiting-w.all {
		return false
	}
	w.bytes[project] += a.size
	w.all += a.size
	w.turns.join(project, a)
	w.signal()
	return true
}

func (w *waiting) signal() {
	select {
	case w.some <- struct{}{}:
	default:
	}
}

// take takes events of all projects, at most so many and not many more bytes.
func (w *waiting) take(most int, bytes int64) (all []*arrival) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for size := int64(0); len(all) < most && size < bytes; {
		a, some := w.turns.take()
		if !some {
			return all
		}
		all, size = append(all, a), size+a.size
	}
	w.signal() // there may be more
	return all
}

// leave makes room, once an event has been kept or not.
func (w *waiting) leave(a *arrival) {
	w.mu.Lock()
	defer w.mu.Unlock()
	project := a.kept.Project
	w.all -= a.size
	if w.bytes[project] -= a.size; w.bytes[project] == 0 {
		delete(w.bytes, project)
	}
}
