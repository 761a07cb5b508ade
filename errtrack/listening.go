package errtrack

import (
	"context"
	"slices"
	"time"

	"manus/docstore"
)

// listening is when programs could report to one of the copies: each copy says every while
// that it still can. What wasn't heard at another time says nothing of a job, as its
// program may have reported to nobody: a program that was off, asleep or without its
// store accuses no job.
type listening struct {
	ID    string `json:"_id"`
	Spans []span `json:"spans"`
}

// DocumentID is the one document's id.
func (l listening) DocumentID() string { return l.ID }

// span is a time through which a copy has listened, by its own clock.
type span struct {
	By    string        `json:"by"`
	From  docstore.Time `json:"from"`
	Until docstore.Time `json:"until"`
}

var listeningSpec = docstore.Spec{Collection: "error_listening", Of: listening{}, Transient: true}

const (
	listeningID = "check-ins"
	// listenEvery is how often a copy says that it listens. One that hasn't for deafAfter has
	// not listened meanwhile; nor has one whose clock was put forward.
	listenEvery = 15 * time.Second
	deafAfter   = 3 * listenEvery
	// skew is how far the copies' clocks may differ; a span that ends later was noted by a
	// clock that was put back since.
	skew = time.Minute
	// maxSpans is how many are remembered.
	maxSpans = 100
)

// listen notes that this copy listens, and returns what is known of all of them.
func (s *Service) listen(ctx context.Context, now docstore.Time) (listening, error) {
	return s.listening.Upsert(ctx, listening{ID: listeningID}, func(l *listening, _ bool) error {
		l.hear(s.ear, now)
		return nil
	})
}

// hear has a copy listen until now: on from when it last said so, or from now on.
func (l *listening) hear(by string, now docstore.Time) {
	l.Spans = slices.DeleteFunc(l.Spans, func(s span) bool { return s.Until.After(now.Add(skew)) })
	for i := range l.Spans {
		if s := &l.Spans[i]; s.By == by && now.Sub(s.Until.Time) <= deafAfter {
			if now.Before(s.From.Time) {
				s.From = now
			}
			s.Until = now
			return
		}
	}
	l.Spans = append(l.Spans, span{by, now, now})
	if len(l.Spans) > maxSpans {
		slices.SortFunc(l.Spans, func(a, b span) int { return a.Until.Compare(b.Until.Time) })
		l.Spans = slices.Delete(l.Spans, 0, len(l.Spans)-maxSpans)
	}
}

// through tells whether there was a copy that listened at every moment from one to another.
func (l listening) through(from, to time.Time) bool {
	for {
		earliest := to
		for _, s := range l.Spans {
			if !s.Until.Before(to) && s.From.Before(earliest) {
				earliest = s.From.Time
			}
		}
		if !earliest.After(from) {
			return true
		}
		if !earliest.Before(to) {
			return false
		}
		to = earliest
	}
}
