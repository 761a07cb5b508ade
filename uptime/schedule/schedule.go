// Package schedule says which of many things that are looked at again and again is next.
// Each has an interval, and a place in it that follows from its id: so the work is spread
// evenly, and is at the same times after every start. Looks are bounded in all and by host.
//
// Times are those that have passed since the start, by a clock that never steps; see
// [New].
package schedule

import (
	"container/heap"
	"hash/fnv"
	"time"
)

// Entry is a thing that is looked at.
type Entry struct {
	ID    string
	Host  string // where it is: the looks at one are bounded
	Every time.Duration
}

// Limits bound the looks that are under way.
type Limits struct{ InAll, PerHost int }

// Schedule is the looks to come. It isn't safe for concurrent use.
type Schedule struct {
	limits Limits
	start  time.Duration // since 1970, when times began to be counted
	tasks  map[string]*task
	due    tasks // a heap of those that wait for their time
	ready  queue // those whose time has come, and for which there is no room yet
	hosts  map[string]*host
	busy   int
}

// New is a schedule without entries, whose times count from a moment.
func New(limits Limits, start time.Time) *Schedule {
	return &Schedule{limits: limits, start: time.Duration(start.UnixNano()), tasks: map[string]*task{}, hosts: map[string]*host{}}
}

// task is an entry with what becomes of it.
type task struct {
	Entry
	at    time.Duration // when it is due, or was
	state state
	index int  // in the heap, while it waits
	gone  bool // it was taken out while a look was under way, or while it was ready
}

type state int

const (
	waiting  state = iota // for its time
	ready                 // for room
	underWay              // a look is
)

type host struct {
	busy int
	held queue // those that wait for another look at the same host
}

// Set makes the schedule have these entries and no others. What it has already goes on as
// it was, unless it is looked at at another interval or at another host now. What is new
// comes within one interval.
func (s *Schedule) Set(entries []Entry, now time.Duration) {
	wanted := make(map[string]bool, len(entries))
	for _, e := range entries {
		wanted[e.ID] = true
		t := s.tasks[e.ID]
		if t != nil && t.Entry == e {
			continue
		}
		s.remove(t)
		t = &task{Entry: e}
		s.tasks[e.ID] = t
		s.wait(t, s.regular(e, now))
	}
	for id, t := range s.tasks {
		if !wanted[id] {
			s.remove(t)
			delete(s.tasks, id)
		}
	}
}

func (s *Schedule) remove(t *task) {
	if t == nil {
		return
	}
	t.gone = true
	if t.state == waiting {
		heap.Remove(&s.due, t.index)
	}
}

func (s *Schedule) wait(t *task, at time.Duration) {
	t.at, t.state = at, waiting
	heap.Push(&s.due, t)
}

// regular is the first time after a moment that is an entry's by its interval.
func (s *Schedule) regular(e Entry, after time.Duration) time.Duration {
	every := max(e.Every, time.Millisecond)
	digest := fnv.New64a()
	digest.Write([]byte(e.ID))
	place := time.Duration(digest.Sum64() % uint64(every))
	since := (s.start + after - place) % every
	return after + every - since
}

// Look is a look that begins.
type Look struct {
	ID   string
	Late time.Duration // after it was due
	task *task
}

// Begin takes what is due, as far as there is room for it. Each look has to be ended by
// [Schedule.End].
func (s *Schedule) Begin(now time.Duration) []Look {
	for len(s.due) > 0 && s.due[0].at <= now {
		t := heap.Pop(&s.due).(*task)
		t.state = ready
		s.ready.push(t)
	}
	var looks []Look
	for s.busy < s.limits.InAll {
		t := s.ready.pop()
		if t == nil {
			break
		}
		h := s.hosts[t.Host]
		if h == nil {
			h = &host{}
			s.hosts[t.Host] = h
		}
		switch {
		case t.gone:
			s.admit(t.Host, h)
		case h.busy >= s.limits.PerHost:
			h.held.push(t)
		default:
			t.state = underWay
			h.busy++
			s.busy++
			looks = append(looks, Look{t.ID, now - t.at, t})
		}
	}
	return looks
}

// End says that a look is over. It is repeated at a moment, which is now where that has passed,
// or when it is zero, in turn: looks that would have been due meanwhile are left out.
func (s *Schedule) End(look Look, again, now time.Duration) {
	t := look.task
	h := s.hosts[t.Host]
	h.busy--
	s.busy--
	s.admit(t.Host, h)
	if t.gone {
		return
	}
	if again == 0 {
		again = s.regular(t.Entry, now)
	}
	s.wait(t, max(again, now))
}

// admit has the next go on that waits for a look at a host to end, and forgets a host at
// which nothing goes on.
func (s *Schedule) admit(name string, h *host) {
	if next := h.held.pop(); next != nil {
		s.ready.push(next)
	} else if h.busy == 0 {
		delete(s.hosts, name)
	}
}

// Hurry has an entry looked at at a moment, if that is before its time.
func (s *Schedule) Hurry(id string, at time.Duration) {
	if t := s.tasks[id]; t != nil && t.state == waiting && t.at > at {
		t.at = at
		heap.Fix(&s.due, t.index)
	}
}

// Next is when Begin has something to do that it hasn't now; false when only the end of a
// look can bring that about.
func (s *Schedule) Next() (at time.Duration, ok bool) {
	switch {
	case s.busy >= s.limits.InAll:
		return 0, false
	case s.ready.len() > 0:
		return 0, true
	case len(s.due) == 0:
		return 0, false
	}
	return s.due[0].at, true
}

// tasks is a heap by time, and by id among those of one time.
type tasks []*task

func (t tasks) Len() int { return len(t) }
func (t tasks) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].ID < t[j].ID
}
func (t tasks) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

func (t *tasks) Push(one any) {
	added := one.(*task)
	added.index = len(*t)
	*t = append(*t, added)
}

func (t *tasks) Pop() any {
	last := len(*t) - 1
	one := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	return one
}

// queue is first in, first out.
type queue struct {
	tasks []*task
	begun int // those before it have been taken
}

func (q *queue) len() int { return len(q.tasks) - q.begun }

func (q *queue) push(t *task) { q.tasks = append(q.tasks, t) }

func (q *queue) pop() *task {
	if q.len() == 0 {
		q.tasks, q.begun = nil, 0
		return nil
	}
	t := q.tasks[q.begun]
	q.tasks[q.begun] = nil
	if q.begun++; q.begun > len(q.tasks)/2 {
		q.tasks = append(q.tasks[:0], q.tasks[q.begun:]...)
		q.begun = 0
	}
	return t
}
