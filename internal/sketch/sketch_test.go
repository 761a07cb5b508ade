package sketch_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"manus/internal/sketch"
)

// durations are as of requests: most are alike, and a few take long.
func durations(r *rand.Rand, n int) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = time.Duration(math.Exp(r.NormFloat64()*1.5+3) * float64(time.Millisecond))
	}
	return all
}

// However durations are shared out among sketches, stored and put together: the quantiles are
// those of all, to one percent.
func TestMergedSketchesAreOneOfAll(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		all := durations(r, 1+r.IntN(3000))
		parts := make([]sketch.Sketch, 1+r.IntN(30))
		for i := range parts {
			parts[i] = sketch.New()
		}
		for _, d := range all {
			parts[r.IntN(len(parts))].Observe(d)
		}
		merged := sketch.New()
		for _, part := range parts {
			if err := merged.Merge(part.Bytes()); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(all)
		if merged.Count() != int64(len(all)) {
			t.Fatalf("there are %d of %d", merged.Count(), len(all))
		}
		for _, q := range []float64{0, 0.5, 0.95, 0.99, 1} {
			want := float64(all[max(0, int(math.Ceil(q*float64(len(all))))-1)]) / float64(time.Millisecond)
			if got := merged.Quantile(q); math.Abs(got-want) > sketch.Accuracy*want*1.000001 {
				t.Fatalf("quantile %v of %d is %v, want %v", q, len(all), got, want)
			}
		}
	}
}

func TestASketchOfNothing(t *testing.T) {
	t.Parallel()
	s := sketch.New()
	if err := s.Merge(s.Bytes()); err != nil || s.Quantile(0.5) != 0 || s.Count() != 0 {
		t.Errorf("%v %v %v", s.Quantile(0.5), s.Count(), err)
	}
	if s.Observe(-time.Second); s.Quantile(0.99) != 0 || s.Count() != 1 {
		t.Errorf("less than nothing is %v", s.Quantile(0.99))
	}
	if err := sketch.New().Merge([]byte("no sketch")); err == nil {
		t.Error("what is no sketch was read as one")
	}
}

func TestSketchesAreBoundedWhateverIsMeasured(t *testing.T) {
	t.Parallel()
	const longest = 24 * time.Hour
	s := sketch.New()
	for d := time.Duration(1); d < longest; d += max(1, d/1000) {
		for range 3 {
			s.Observe(d)
		}
	}
	s.Observe(longest)
	if n := len(s.Bytes()); n > 4096 {
		t.Errorf("%d bytes", n)
	}
	if got := s.Quantile(1); math.Abs(got/8.64e7-1) > sketch.Accuracy {
		t.Errorf("the longest is %v ms", got)
	}
	if got := s.Quantile(0); got != 0 {
		t.Errorf("the shortest is %v ms", got)
	}
}
