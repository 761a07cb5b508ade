package notify

import (
	"context"
	"slices"
	"time"

	"manus/docstore"
)

// Told is an event of the past, and who would have been told of it.
type Told struct {
	At    time.Time
	Event Event
	// Channels would have been told at once, Later in a digest and Escalated when nobody
	// had acknowledged it for as long as it lasted.
	Channels, Later, Escalated []string
	// Was are the channels it went to in fact.
	Was []string
}

// Replay runs the events since a time through a policy, the oldest first, and says who
// would have been told. It changes nothing. Errors are the store's, yield's, and those of
// a policy that names no zone.
func Replay(ctx context.Context, store docstore.Store, p Policy, since time.Time, yield func(Told) error) error {
	one := func(ChannelConfig) ([]Channel, error) { return []Channel{nil}, nil }
	r, err := newRouting(p, one)
	if err != nil {
		return err
	}
	windows := map[string][]time.Time{}
	occurrences := docstore.NewCollection[occurrence](store, occurrenceSpec)
	for past, err := range occurrences.All(ctx, docstore.Query{Index: "by_time", From: docstore.At(since)}) {
		if err != nil {
			return err
		}
		if err := yield(r.replay(past, windows)); err != nil {
			return err
		}
	}
	return nil
}

// replay says who would have been told of an occurrence. windows are the alerts of each
// channel before it.
func (r *routing) replay(past occurrence, windows map[string][]time.Time) Told {
	told := Told{At: past.ReceivedAt.Time, Event: past.Event}
	for lane := range past.Lanes {
		told.Was = append(told.Was, channelOf(lane))
	}
	o := occurrence{Event: past.Event, ReceivedAt: past.ReceivedAt}
	r.plan(&o)
	quiet := !r.quietUntil(o.Event, told.At).IsZero()
	for lane := range o.Lanes {
		recent := slices.DeleteFunc(windows[lane], func(at time.Time) bool { return told.At.Sub(at) >= r.AtMost.Within })
		if quiet || len(recent) >= r.AtMost.Alerts {
			told.Later = append(told.Later, lane)
		} else {
			told.Channels, recent = append(told.Channels, lane), append(recent, told.At)
		}
		windows[lane] = recent
	}
	for _, e := range o.Escalations {
		at := e.At.Time
		if until := r.quietUntil(o.Event, at); !until.IsZero() {
			at = until
		}
		unattended := (past.End == nil || past.Ended.After(at)) && (past.AcknowledgedAt.IsZero() || past.AcknowledgedAt.After(at))
		if unattended {
			told.Escalated = append(told.Escalated, e.Channels...)
		}
	}
	for _, list := range []*[]string{&told.Channels, &told.Later, &told.Escalated, &told.Was} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return told
}
