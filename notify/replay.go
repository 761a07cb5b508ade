package notify

import (
	"context"
	"slices"
	"time"

	"manus/docstore"
	"manus/language"
)

// Told is an event of the past, and who would have been told of it.
type Told struct {
	At    time.Time
	Event Event
	// Channels would have been told at once, Later in a digest and Escalated when nobody
	// had acknowledged it for as long as it lasted.
	Channels, Later, Escalated []string
	// Was are the channels that have taken it in fact, at once or in a digest.
	Was []string
	// Why says of each rule for its kind why nobody would have been told; empty where somebody
	// would.
	Why []language.Text
}

// Replay runs the events since a time through a policy, the oldest first, and says who
// would have been told. It changes nothing. Errors are the store's, yield's, and those of
// a policy that names no zone.
func Replay(ctx context.Context, store docstore.Store, p Policy, since time.Time, yield func(Told) error) error {
	one := func(ChannelConfig) ([]Channel, error) { return []Channel{nil}, nil }
	r, err := newRouting(p, nil, one)
	if err != nil {
		return err
	}
	windows := map[string][]time.Time{}
	occurrences, held := docstore.NewCollection[occurrence](store, occurrenceSpec), docstore.NewCollection[heldAlert](store, heldSpec)
	for past, err := range occurrences.All(ctx, docstore.Query{Index: "by_time", From: docstore.At(since)}) {
		if err != nil {
			return err
		}
		told := r.replay(past, windows)
		if told.Was, err = taken(ctx, held, past); err != nil {
			return err
		}
		if err := yield(told); err != nil {
			return err
		}
	}
	return nil
}

// taken are the channels that have taken an occurrence.
func taken(ctx context.Context, held *docstore.Collection[heldAlert], past occurrence) (channels []string, err error) {
	for lane, sent := range past.Lanes {
		told := sent.Told != ""
		if !told && !sent.HeldUntil.IsZero() {
			h, err := held.Get(ctx, idOf(past.ID, lane))
			if err = docstore.NotFoundAs(err, nil); err != nil {
				return nil, err
			}
			told = h.Digest != ""
		}
		if told {
			channels = append(channels, channelOf(lane))
		}
	}
	slices.Sort(channels)
	return slices.Compact(channels), nil
}

// replay says who would have been told of an occurrence. windows are the alerts of each
// channel before it.
func (r *routing) replay(past occurrence, windows map[string][]time.Time) Told {
	told := Told{At: past.ReceivedAt.Time, Event: past.Event}
	o := occurrence{Event: past.Event, ReceivedAt: past.ReceivedAt}
	r.plan(&o)
	if len(o.Lanes) == 0 {
		told.Why = untold(o.Unheard)
	}
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
	for _, list := range []*[]string{&told.Channels, &told.Later, &told.Escalated} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return told
}
