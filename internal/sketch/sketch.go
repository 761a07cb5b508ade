// Package sketch tells quantiles of durations without keeping them: to one percent, in a few
// hundred bytes (DDSketch, https://arxiv.org/abs/1908.10693). Sketches of several processes,
// hours and days can be put together, and are then what one of all would have been.
//
// It knows nothing of what the durations are of.
package sketch

import (
	"math"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// Accuracy is how far a quantile may be off, as a part of it.
const Accuracy = 0.01

// accuracy is that of all that is stored: with another one, sketches can't be put together.
var accuracy = func() mapping.IndexMapping {
	m, err := mapping.NewLogarithmicMapping(Accuracy)
	if err != nil {
		panic(err) // it is a constant
	}
	return m
}()

// least is what counts as something.
const least = time.Microsecond

// Sketch is what is known of some durations. Its size is bounded, as durations are. One
// goroutine at a time uses it.
type Sketch struct{ d *ddsketch.DDSketch }

// New is a sketch of nothing.
func New() Sketch {
	return Sketch{ddsketch.NewDDSketchFromStoreProvider(accuracy, store.BufferedPaginatedStoreConstructor)}
}

// Observe adds a duration. One that is less than a microsecond counts as 0.
func (s Sketch) Observe(d time.Duration) {
	if d < least {
		d = 0
	}
	_ = s.d.Add(float64(d) / float64(time.Millisecond)) // which is in its range
}

// Merge adds what Bytes has written. After an error the sketch may have a part of it.
func (s Sketch) Merge(written []byte) error { return s.d.DecodeAndMergeWith(written) }

// Bytes are the sketch as it is stored.
func (s Sketch) Bytes() (out []byte) {
	s.d.Encode(&out, true)
	return out
}

// Count is how many durations there are.
func (s Sketch) Count() int64 { return int64(s.d.GetCount()) }

// Quantile is the least that so large a part of all are at or below, in milliseconds: of
// few, the 99th percentile is the longest. It is 0 of none.
func (s Sketch) Quantile(q float64) float64 {
	n := s.d.GetCount()
	if n == 0 {
		return 0
	}
	before := max(0, math.Ceil(q*n)-1)
	// The half lies between two ranks, so that no rounding gets to another one.
	value, _ := s.d.GetValueAtQuantile(min(1, (before+0.5)/max(1, n-1)))
	return value
}
