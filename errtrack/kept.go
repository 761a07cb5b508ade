package errtrack

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/errtrack/grouping"
)

// kept is an event as the store has it. Its id is the place in the batch that it was taken
// in, so that events are added at the end; and what a batch holds is a range of ids.
type kept struct {
	ID         string        `json:"_id"`
	EventID    string        `json:"event_id"`
	Project    string        `json:"project"`
	Group      string        `json:"group"` // a hash's id
	At         docstore.Time `json:"at"`
	ReceivedAt docstore.Time `json:"received_at"`
	// Rank is how long it is kept when there are more than there may be: the lowest go
	// first, see rankOf.
	Rank int64  `json:"rank"`
	Body []byte `json:"body"` // the event, by zstd
}

// DocumentID is the kept event's id.
func (k kept) DocumentID() string { return k.ID }

// byEvent is the index that keeps an event from being kept twice.
const byEvent = "by_event"

var keptSpec = docstore.Spec{Collection: "error_events", Of: kept{}, Transient: true, Indexes: []docstore.Index{
	{Name: byEvent, Fields: []string{"event_id", "project"}, Unique: true},
	{Name: "by_group", Fields: []string{"group", "at"}},
	{Name: "by_rank", Fields: []string{"project", "rank", "at"}},
}}

// Bounds of what a program's clock is believed: an event of later than now is of now, and
// so is one that is said to be older than that.
const oldest = 30 * 24 * time.Hour

// believed is a time of a program's as far as it can be.
func believed(at, now time.Time) time.Time {
	if at.After(now) || now.Sub(at) > oldest {
		return now
	}
	return at
}

// newKept is an event of a project, ready to be kept but for its place.
func newKept(project string, e *event.Event, g grouping.Group, now time.Time) (kept, error) {
	e.Timestamp = believed(e.Timestamp, now)
	body, err := json.Marshal(e)
	if err != nil {
		return kept{}, fmt.Errorf("the event can't be written: %w", err)
	}
	return kept{
		EventID: e.ID, Project: project, Group: hashID(project, g.Hashes[0]),
		At: docstore.At(e.Timestamp), ReceivedAt: docstore.At(now), Rank: rankOf(e.ID), Body: zip(body),
	}, nil
}

// event is the event itself. It returns ErrCorrupt.
func (k kept) event() (event.Event, error) {
	e, _, err := k.unpacked()
	return e, err
}

// unpacked is the event itself, and how many bytes of JSON it is. It returns ErrCorrupt.
func (k kept) unpacked() (e event.Event, size int, err error) {
	body, err := unzip(k.Body)
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	if err != nil {
		err = fmt.Errorf("%w: the event %s: %w", docstore.ErrCorrupt, k.EventID, err)
	}
	return e, len(body), err
}

// pinned is the rank of what stays as long as its age lets it: the first event of an issue,
// and those by which it came back.
const pinned = 63

// rankOf is how often a coin falls the same way in a row, as the event's id has it: half of
// all events have 0, a quarter 1. When the lowest ranks go first, the oldest of them before
// the others, what is left is spread over all of the time that there were events.
func rankOf(eventID string) int64 {
	return int64(min(bits.TrailingZeros64(maphash.String(rankSeed, eventID)), pinned-1))
}

// rankSeed differs from process to process, so that nobody makes ids that stay.
var rankSeed = maphash.MakeSeed()

// maxBody bounds a kept event before it is packed, which is bounded when it is read.
const maxBody = 16 << 20

var (
	zipper = sync.OnceValue(func() *zstd.Encoder {
		z, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(128<<10))
		return z
	})
	unzipper = sync.OnceValue(func() *zstd.Decoder {
		z, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBody))
		return z
	})
)

func zip(body []byte) []byte            { return zipper().EncodeAll(body, nil) }
func unzip(body []byte) ([]byte, error) { return unzipper().DecodeAll(body, nil) }
