package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"manus/errtrack"
	"manus/errtrack/event"
)

const searchedIssues = 10_000

// search looks for issues among many, whose events come over months by the inbox's clock, as
// so many new ones at once are a flood.
func (b bench) search() error {
	var ahead atomic.Int64
	from := time.Now().Add(-30 * 24 * time.Hour)
	s, err := prepare(b.ctx, func() time.Time { return from.Add(time.Duration(ahead.Load())) })
	if err != nil {
		return err
	}
	defer s.stop()
	ctx, end := context.WithCancel(b.ctx)
	var running, sending sync.WaitGroup
	running.Go(func() { s.inbox.Run(ctx) })
	begin := time.Now()
	numbers := make(chan int, 256)
	failed := make(chan error, 64)
	for range 64 {
		sending.Go(func() {
			for n := range numbers {
				if err := s.inbox.Take(ctx, "1", searched(n, from.Add(time.Duration(ahead.Load())))); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	n := 0
	for ; n < b.events && time.Since(begin) < 6*time.Minute; n++ {
		if n < searchedIssues {
			ahead.Add(int64(7 * time.Second))
		}
		numbers <- n
	}
	close(numbers)
	sending.Wait()
	end()
	running.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	fmt.Printf("%d events of %d kinds were taken in %s.\n\n", n, searchedIssues, time.Since(begin).Round(time.Second))
	fmt.Println("| query | found | p50 | most of 20 |")
	fmt.Println("| --- | ---: | ---: | ---: |")
	for _, q := range []errtrack.Search{
		{}, {Sort: errtrack.ByCount}, {Query: "production"}, {Query: "ordersBEEF"}, {Query: "environment:production level:error"},
		{Query: "release:1.3 BugB*"}, {Query: "bug:BugBCDE"}, {Query: "placed !region:eu"}, {Query: "nothing"},
	} {
		q.Project = "1"
		var took []time.Duration
		found := 0
		var failure error
		for range 20 {
			begin := time.Now()
			issues, _, err := s.inbox.Issues(b.ctx, q)
			took, found, failure = append(took, time.Since(begin)), len(issues), err
		}
		if failure != nil {
			fmt.Printf("| `%s` | %s | %s | %s |\n", q.Query, failure, at(took, 50), at(took, 100))
			continue
		}
		fmt.Printf("| `%s` %s | %d | %s | %s |\n", q.Query, q.Sort, found, at(took, 50), at(took, 100))
	}
	return nil
}

func searched(n int, now time.Time) *event.Event {
	bug := "Bug" + letters(n%searchedIssues)
	return &event.Event{
		ID: fmt.Sprintf("%032x", n+1), Timestamp: now, Level: event.Error, Platform: "go", Release: fmt.Sprint("1.", n%5), Environment: "production",
		Tags: map[string]string{"bug": bug, "region": []string{"eu", "us"}[n%2]},
		Exceptions: []event.Exception{{Type: bug + "Error", Value: "order could not be placed", Frames: []event.Frame{
			{Function: "main.serve", Filename: "main.go", InApp: true}, {Function: "orders.place" + bug, Filename: "orders.go", InApp: true},
		}}},
	}
}
