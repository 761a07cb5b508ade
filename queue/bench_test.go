package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"manus/docstore"
	"manus/internal/storetest"
)

// chore is what the benchmarks' jobs have to know.
type chore struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
}

const benchText = "what a short job has to know: an id, an address, a few words of text"

// BenchmarkJobs compares jobs from Put to done with the least that the store does for
// them: the same documents inserted and deleted, by as many goroutines. The goroutines
// put one job each and wait until it is done; "backlog" are jobs that wait already, put
// by another copy.
func BenchmarkJobs(b *testing.B) {
	for _, goroutines := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("floor/goroutines=%d", goroutines), func(b *testing.B) { benchFloor(b, goroutines) })
		b.Run(fmt.Sprintf("queue/goroutines=%d", goroutines), func(b *testing.B) { benchQueue(b, goroutines) })
		b.Run(fmt.Sprintf("backlog/at_a_time=%d", goroutines), func(b *testing.B) { benchBacklog(b, goroutines) })
	}
}

func inParallel(b *testing.B, goroutines int, do func(i int) error) {
	b.Helper()
	var next atomic.Int64
	b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	if goroutines == 1 {
		for i := range b.N {
			if err := do(i); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := do(int(next.Add(1))); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

func benchFloor(b *testing.B, goroutines int) {
	store := storetest.New(b, Spec[chore]("chores"))
	jobs := docstore.NewCollection[document[chore]](store, Spec[chore]("chores"))
	q := New(Config[chore]{Store: store, Collection: "chores"})
	inParallel(b, goroutines, func(i int) error {
		now := docstore.At(q.c.Now())
		d := document[chore]{ID: docstore.NewID(), Lane: "a", Args: &chore{i, benchText}, QueuedAt: now, DueAt: now, Claim: q.me, Attempts: 1, Deadline: now}
		if err := jobs.Insert(b.Context(), d); err != nil {
			return err
		}
		return jobs.Delete(b.Context(), d.ID)
	})
}

// benched is a queue at work whose jobs tell when they are worked at.
func benched(b *testing.B, goroutines int, work func(chore)) *Queue[chore] {
	b.Helper()
	return New(Config[chore]{
		Store: storetest.New(b, Spec[chore]("chores")), Collection: "chores", Noun: "chore", PerLane: goroutines, Log: slog.New(slog.DiscardHandler),
		Work: func(_ context.Context, job Job[chore]) error { work(job.Args); return nil },
	})
}

func benchQueue(b *testing.B, goroutines int) {
	var waiting sync.Map
	q := benched(b, 2*goroutines, func(c chore) { // some wait until it is written down
		done, _ := waiting.LoadAndDelete(c.Number)
		close(done.(chan struct{}))
	})
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { q.Run(ctx) })
	inParallel(b, goroutines, func(i int) error {
		done := make(chan struct{})
		waiting.Store(i, done)
		if err := q.Put(b.Context(), Job[chore]{Lane: "a", Args: chore{i, benchText}}); err != nil {
			return err
		}
		<-done
		return nil
	})
	stop()
	running.Wait()
}

func benchBacklog(b *testing.B, goroutines int) {
	q := benched(b, goroutines, func(chore) {})
	inParallel(b, 64, func(i int) error {
		return q.Put(b.Context(), Job[chore]{ID: strconv.Itoa(i), Lane: "a", Args: chore{i, benchText}})
	})
	b.ResetTimer()
	if err := q.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	if left, _, err := q.List(b.Context(), All, 1, ""); err != nil || len(left) > 0 {
		b.Fatal(left, err)
	}
}
