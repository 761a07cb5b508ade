package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/seal"
	"manus/queue"
)

func attemptRules() []rule {
	return []rule{
		{"what fails is tried again after waits that grow", retries},
		{"a snoozed job waits as it says and no attempt is counted", snoozes},
		{"a job that a server wants later has failed, and waits no less than others", later},
		{"a job is discarded when it is canceled or its attempts are used up", discards},
		{"a dead job is listed and can be retried until it is swept", dead},
		{"what is retried isn't swept with the dead", retriedInTime},
		{"without time for the dead only the log tells of them", unkept},
		{"a job ends with its lifetime", lifetimes},
		{"the last error stands in the job while it waits and after it is done", lastError},
		{"whoever must know of a discard is told before it", toldOfDiscards},
		{"what could not be told is not discarded yet and not worked at any more", untold},
		{"a copy that stops while it tells of a discard has another one tell", toldByAnother},
		{"nobody is told of a job that is deleted or another copy's", toldOfOwn},
		{"whoever must know is told too of what can't be opened", toldUnopened},
		{"a panic is a failed attempt", panics},
		{"an attempt's context ends with its timeout", timeouts},
		{"attempts that kill the program are used up too", poison},
	}
}

var errNo = errors.New("no")

// fails is work that fails always.
func fails(context.Context, queue.Job[task]) error { return errNo }

func retries(t *testing.T, s *site) {
	w := s.worker(t, fails, func(c *queue.Config[task]) { c.FirstRetry, c.LastRetry = 4*time.Second, time.Minute })
	w.put(t, queue.Job[task]{ID: "a"})
	for n, full := range []time.Duration{4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute, time.Minute} {
		w.drain(t)
		stored := w.raw(t, "a")
		wait := stored.DueAt.Sub(w.clock.Now())
		if wait < full*4/5-time.Millisecond || wait > full || stored.Attempts != n+1 || stored.Claim != "" {
			t.Errorf("after %d attempts: %+v, which is in %v", n+1, stored, wait)
		}
		w.clock.Add(wait - time.Millisecond)
		w.drain(t)
		if got := len(w.worked()); got != n+1 {
			t.Errorf("a moment before its time: %d attempts", got)
		}
		w.clock.Add(time.Millisecond)
	}
	for i, job := range w.attempts {
		if job.Attempt != i+1 {
			t.Errorf("attempt %d is told as %d", i+1, job.Attempt)
		}
	}
	if log := w.log.String(); strings.Count(log, "it will be tried again") != 7 || !strings.Contains(log, "task=a") {
		t.Errorf("the log: %s", log)
	}
}

func snoozes(t *testing.T, s *site) {
	naps := []time.Duration{10 * time.Minute, 0, 20 * queue.MaxWait}
	w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
		nap := naps[0]
		naps = naps[1:]
		return fmt.Errorf("it says: %w", queue.Snooze(errNo, nap))
	}, func(c *queue.Config[task]) { c.MaxAttempts = 1 })
	w.put(t, queue.Job[task]{ID: "a"})
	for _, nap := range []time.Duration{10 * time.Minute, time.Second, queue.MaxWait} {
		w.drain(t)
		if stored := w.raw(t, "a"); !stored.DueAt.Equal(w.clock.Now().Add(nap)) || stored.Attempts != 0 || stored.Claim != "" {
			t.Errorf("%+v at %v", stored, w.clock.Now())
		}
		w.clock.Add(nap)
	}
	if !errors.Is(queue.Snooze(errNo, 0), errNo) || !errors.Is(queue.Cancel(errNo), errNo) {
		t.Error("the cause is lost")
	}
}

// later waits for as long as it is asked to, and for as long as it would anyway.
func later(t *testing.T, s *site) {
	waits := []time.Duration{0, 10 * time.Minute, time.Second, 20 * queue.MaxWait}
	w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
		return fmt.Errorf("it says: %w", queue.Later(errNo, waits[job.Attempt-1]))
	}, func(c *queue.Config[task]) { c.KeepDead, c.MaxAttempts = time.Hour, len(waits)+1 })
	w.put(t, queue.Job[task]{ID: "a"})
	for i, least := range []time.Duration{4 * time.Second, 10 * time.Minute, 16 * time.Second, queue.MaxWait} {
		w.drain(t)
		stored := w.raw(t, "a")
		if wait := stored.DueAt.Sub(w.clock.Now()); wait < least || wait > least*5/4 || stored.Attempts != i+1 {
			t.Errorf("after %d attempts it waits %v, not %v", stored.Attempts, wait, least)
		}
		w.clock.Add(queue.MaxWait)
	}
	if !errors.Is(queue.Later(errNo, 0), errNo) {
		t.Error("the cause is lost")
	}
}

func discards(t *testing.T, s *site) {
	w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
		if job.ID == "b" {
			return fmt.Errorf("again: %w", queue.Cancel(errNo))
		}
		return errNo
	}, func(c *queue.Config[task]) { c.MaxAttempts, c.KeepDead = 3, time.Hour })
	w.put(t, queue.Job[task]{ID: "a"}, queue.Job[task]{ID: "b"})
	for range 5 {
		w.drain(t)
		w.clock.Add(time.Minute)
	}
	attempts := map[string]int{}
	for _, id := range w.worked() {
		attempts[id]++
	}
	if attempts["a"] != 3 || attempts["b"] != 1 {
		t.Errorf("attempts: %v", attempts)
	}
	died, _, err := w.List(t.Context(), queue.Dead, 9, "")
	must(t, err)
	if len(died) != 2 || died[1].ID != "a" || died[1].Error != "no" || died[1].Attempt != 3 || died[0].Error != "again: no" {
		t.Errorf("got %+v", died)
	}
	if log := w.log.String(); strings.Count(log, "given up") != 2 {
		t.Errorf("the log: %s", log)
	}
}

func dead(t *testing.T, s *site) {
	result := error(queue.Cancel(errors.New(strings.Repeat("é", 2000))))
	w := s.worker(t, func(context.Context, queue.Job[task]) error { return result },
		func(c *queue.Config[task]) { c.KeepDead, c.Lifetime = 24*time.Hour, time.Hour })
	for _, job := range numbered(3, "a") {
		w.put(t, job)
		w.drain(t)
		w.clock.Add(time.Minute)
	}
	page, next, err := w.List(t.Context(), queue.Dead, 2, "")
	must(t, err)
	if len(page) != 2 || page[0].ID != "a0002" || page[1].ID != "a0001" || !page[0].DeadAt.Equal(noon().Add(2*time.Minute)) || !page[0].ExpiresAt.Equal(page[0].DeadAt.Add(24*time.Hour)) || page[0].Attempt != 1 || page[0].Args.Number != 2 {
		t.Errorf("the first page: %+v", page)
	}
	if text := page[0].Error; text != strings.Repeat("é", 500) {
		t.Errorf("its error is %q", text)
	}
	rest, next, err := w.List(t.Context(), queue.Dead, 2, next)
	if err != nil || next != "" || len(rest) != 1 || rest[0].ID != "a0000" {
		t.Errorf("the second page: %+v, %q, %v", rest, next, err)
	}
	w.put(t, numbered(1, "a")...) // it is there
	w.clock.Add(12 * time.Hour)
	w.drain(t)
	if len(w.worked()) != 3 {
		t.Errorf("a dead one was worked at: %v", w.worked())
	}
	must(t, w.Retry(t.Context(), "a0001"))
	for _, id := range []string{"a0001", "nobody"} {
		if err := w.Retry(t.Context(), id); !errors.Is(err, docstore.ErrNotFound) {
			t.Errorf("retrying %s: %v", id, err)
		}
	}
	result = nil
	w.drain(t)
	w.wantWorked(t, "with the one retried", "a0000", "a0001", "a0002", "a0001")
	if last := w.attempts[3]; last.Attempt != 1 || last.Args.Number != 1 || !last.ExpiresAt.Equal(w.clock.Now().Add(time.Hour)) {
		t.Errorf("it was retried as %+v", last)
	}
	w.wantLeft(t, "then", "a0002", "a0000")
	w.clock.Add(11*time.Hour + 58*time.Minute)
	must(t, w.Sweep(t.Context()))
	w.wantLeft(t, "when the first has been dead for a day", "a0002")
}

func retriedInTime(t *testing.T, s *site) {
	w := s.worker(t, func(context.Context, queue.Job[task]) error { return queue.Cancel(nil) },
		func(c *queue.Config[task]) { c.KeepDead = time.Minute })
	w.put(t, queue.Job[task]{ID: "a"})
	w.drain(t)
	must(t, w.Retry(t.Context(), "a"))
	w.clock.Add(2 * time.Minute)
	must(t, w.Sweep(t.Context()))
	w.wantLeft(t, "when it would not have been kept any more", "a")
}

func unkept(t *testing.T, s *site) {
	w := s.worker(t, func(context.Context, queue.Job[task]) error { return queue.Cancel(errNo) })
	w.put(t, queue.Job[task]{ID: "a"})
	w.drain(t)
	w.wantLeft(t, "then")
	if log := w.log.String(); !strings.Contains(log, "a task was given up") || !strings.Contains(log, "task=a") || !strings.Contains(log, "error=no") {
		t.Errorf("the log: %s", log)
	}
}

func lifetimes(t *testing.T, s *site) {
	w := s.worker(t, fails, func(c *queue.Config[task]) { c.Lifetime, c.KeepDead = time.Hour, time.Hour })
	w.put(t, queue.Job[task]{ID: "late", ExpiresAt: noon().Add(time.Second)}, queue.Job[task]{ID: "a"})
	w.clock.Add(time.Second)
	w.drain(t)
	w.wantWorked(t, "what isn't too late", "a")
	for stored := w.raw(t, "a"); !stored.DueAt.IsZero(); stored = w.raw(t, "a") {
		w.clock.Add(stored.DueAt.Sub(w.clock.Now()))
		w.drain(t)
		must(t, w.Sweep(t.Context()))
	}
	died, _, err := w.List(t.Context(), queue.Dead, 9, "")
	must(t, err)
	if len(died) != 2 || died[1].DeadAt.After(noon().Add(time.Hour)) || died[1].Error != "no" || died[0].Error != "it could not be done in time" {
		t.Errorf("got %+v", died)
	}
}

func lastError(t *testing.T, s *site) {
	results := []error{
		errNo, queue.Snooze(errors.New("busy"), time.Minute), errors.New("\xff" + strings.Repeat("é", 2000)), nil,
	}
	w := s.worker(t, func(context.Context, queue.Job[task]) error {
		result := results[0]
		results = results[1:]
		return result
	}, func(c *queue.Config[task]) { c.KeepDone = time.Hour })
	w.put(t, queue.Job[task]{ID: "a"})
	long := strings.Repeat("é", 499)
	for i, want := range []string{"no", "busy", long, long} {
		w.drain(t)
		got, err := w.Get(t.Context(), "a")
		must(t, err)
		if got.Error != want || got.DeadAt != (time.Time{}) {
			t.Errorf("after %d attempts: %+v, want the error %q", i+1, got, want)
		}
		w.clock.Add(time.Minute)
	}
	for i, want := range []string{"", "no", "busy", long} {
		if got := w.attempts[i].Error; got != want {
			t.Errorf("attempt %d knows of %q, want %q", i+1, got, want)
		}
	}
}

// told notes what OnDiscard was told, and answers with result.
type told struct {
	mu     sync.Mutex
	jobs   []queue.Job[task]
	whys   []string
	result error
}

func (o *told) onDiscard(c *queue.Config[task]) {
	c.PerLane = 1 // one after the other
	c.OnDiscard = func(ctx context.Context, job queue.Job[task], why error) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.jobs, o.whys = append(o.jobs, job), append(o.whys, why.Error())
		return errors.Join(o.result, ctx.Err())
	}
}

func (o *told) want(t *testing.T, when string, want ...string) {
	t.Helper()
	var got []string
	for i, job := range o.jobs {
		got = append(got, job.ID+": "+o.whys[i])
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s it was told %q, want %q", when, got, want)
	}
}

func toldOfDiscards(t *testing.T, s *site) {
	var o told
	var w *worker
	w = s.worker(t, func(ctx context.Context, job queue.Job[task]) error {
		must(t, w.Update(ctx, job.ID, func(args *task) { args.Note = "changed" }))
		if job.ID == "canceled" {
			return queue.Cancel(errNo)
		}
		return errNo
	}, o.onDiscard, func(c *queue.Config[task]) { c.MaxAttempts, c.FirstRetry, c.LastRetry = 2, time.Minute, time.Minute })
	w.put(t,
		queue.Job[task]{ID: "canceled"}, queue.Job[task]{ID: "cut short"}, queue.Job[task]{ID: "expired", ExpiresAt: noon()},
		queue.Job[task]{ID: "expires", ExpiresAt: noon().Add(90 * time.Second)}, queue.Job[task]{ID: "failed"},
		queue.Job[task]{ID: "too late", ExpiresAt: noon().Add(40 * time.Second)},
	)
	w.cutShort(t, "cut short", 2)
	w.drain(t)
	o.want(t, "at once",
		"canceled: no", "cut short: its attempts are used up, and the last was cut short; it may have killed the program",
		"expired: it could not be done in time", "too late: no")
	if job := o.jobs[0]; job.Args.Note != "changed" || job.State != queue.Pending || job.Attempt != 1 {
		t.Errorf("it was told of %+v", job)
	}
	o.jobs, o.whys = nil, nil
	w.clock.Add(2 * time.Minute)
	w.drain(t)
	slices.SortFunc(o.jobs, func(a, b queue.Job[task]) int { return strings.Compare(a.ID, b.ID) })
	slices.Sort(o.whys)
	o.want(t, "later", "expires: it could not be done in time; the last error: no", "failed: no")
	w.wantLeft(t, "then")
}

func untold(t *testing.T, s *site) {
	o := told{result: docstore.ErrNotFound} // an error like any other
	w := s.worker(t, func(context.Context, queue.Job[task]) error { return queue.Cancel(errNo) }, o.onDiscard,
		func(c *queue.Config[task]) { c.KeepDead, c.Lifetime = time.Hour, time.Hour })
	w.put(t, queue.Job[task]{ID: "a"})
	var told []string
	for n, full := range []time.Duration{5 * time.Second, time.Minute, 2 * time.Minute, 15 * time.Minute} {
		w.drain(t)
		told = append(told, "a: no")
		o.want(t, "each time", told...)
		w.wantWorked(t, "once", "a")
		job, err := w.Get(t.Context(), "a")
		must(t, err)
		if job.State != queue.Pending || job.Error != "no" || !job.DeadAt.Equal(noon()) || job.Attempt != 1 {
			t.Errorf("got %+v", job)
		}
		if wait := w.raw(t, "a").DueAt.Sub(w.clock.Now()); wait < full*4/5-time.Millisecond || wait > full {
			t.Errorf("time %d: it is tried again in %v", n+1, wait)
		}
		if err := w.Retry(t.Context(), "a"); !errors.Is(err, docstore.ErrNotFound) {
			t.Errorf("it is retried: %v", err)
		}
		w.clock.Set(noon().Add([]time.Duration{time.Minute, 2 * time.Minute, 2 * time.Hour, 3 * time.Hour}[n])) // it isn't expired by that
	}
	o.result = nil
	w.drain(t)
	o.want(t, "at last", append(told, "a: no")...)
	died, _, err := w.List(t.Context(), queue.Dead, 9, "")
	if err != nil || len(died) != 1 || died[0].Error != "no" || !died[0].DeadAt.Equal(noon()) || died[0].Attempt != 1 || !died[0].ExpiresAt.Equal(w.clock.Now().Add(time.Hour)) {
		t.Errorf("got %+v, %v", died, err)
	}
	if log := w.log.String(); strings.Count(log, "could not be told") != 4 || strings.Count(log, "a task was given up") != 1 {
		t.Errorf("the log: %s", log)
	}
	must(t, w.Retry(t.Context(), "a"))
	w.drain(t)
	w.wantWorked(t, "when it is retried", "a", "a")
}

func toldByAnother(t *testing.T, s *site) {
	began := make(chan struct{})
	w := s.worker(t, cancels, func(c *queue.Config[task]) {
		c.OnDiscard = func(ctx context.Context, _ queue.Job[task], _ error) error {
			close(began)
			<-ctx.Done()
			return ctx.Err()
		}
	})
	stop := w.run(t)
	w.put(t, queue.Job[task]{ID: "a"})
	<-began
	stop()
	var o told
	other := s.worker(t, done, o.onDiscard)
	other.drain(t)
	o.want(t, "at once", "a: no")
	other.wantWorked(t, "what is given up")
	if log := w.log.String(); log != "" {
		t.Errorf("the log: %s", log)
	}
}

func toldOfOwn(t *testing.T, s *site) {
	var o told
	var w *worker
	w = s.worker(t, func(ctx context.Context, job queue.Job[task]) error {
		if job.ID == "deleted" {
			must(t, w.Delete(ctx, job.ID))
			return queue.Cancel(errNo)
		}
		w.cutShort(t, job.ID, 1) // another copy has claimed it meanwhile
		return queue.Cancel(errNo)
	}, o.onDiscard)
	w.put(t, queue.Job[task]{ID: "deleted"}, queue.Job[task]{ID: "lost"})
	w.drain(t)
	w.wantWorked(t, "both", "deleted", "lost")
	o.want(t, "of neither")
	w.wantLeft(t, "as the other copy's", "lost")
	if log := w.log.String(); log != "" {
		t.Errorf("the log: %s", log)
	}
}

func toldUnopened(t *testing.T, s *site) {
	var o told
	first, other := s.worker(t, done, sealing(t, secret)), s.worker(t, done, o.onDiscard)
	first.put(t, queue.Job[task]{ID: "a", Group: "g", Args: task{Number: 1}, ExpiresAt: noon().Add(time.Minute)})
	other.drain(t)
	other.clock.Add(time.Minute)
	other.drain(t)
	if len(o.jobs) != 1 || o.jobs[0].Group != "g" || o.jobs[0].Args != (task{}) || !strings.Contains(o.whys[0], seal.ErrUnreadable.Error()) {
		t.Errorf("it was told of %+v: %q", o.jobs, o.whys)
	}
	other.wantLeft(t, "then")
}

func panics(t *testing.T, s *site) {
	w := s.worker(t, func(_ context.Context, job queue.Job[task]) error {
		if job.Attempt == 1 {
			panic("a programming mistake")
		}
		return nil
	})
	w.put(t, queue.Job[task]{ID: "a"})
	w.drain(t)
	if log := w.log.String(); !strings.Contains(log, "a programming mistake") || !strings.Contains(log, "attempts.go") || !strings.Contains(log, "tried again") {
		t.Errorf("the log: %s", log)
	}
	w.clock.Add(time.Minute)
	w.drain(t)
	w.wantWorked(t, "again", "a", "a")
	w.wantLeft(t, "then")
}

func timeouts(t *testing.T, s *site) {
	w := s.worker(t, func(ctx context.Context, _ queue.Job[task]) error {
		<-ctx.Done()
		return ctx.Err()
	}, func(c *queue.Config[task]) { c.Timeout = 10 * time.Millisecond })
	w.put(t, queue.Job[task]{ID: "a"})
	w.drain(t)
	if log := w.log.String(); !strings.Contains(log, context.DeadlineExceeded.Error()) || !strings.Contains(log, "tried again") {
		t.Errorf("the log: %s", log)
	}
}

// cutShort leaves a job as copies do that were killed while they worked at it.
func (w *worker) cutShort(t *testing.T, id string, attempts int) {
	t.Helper()
	must(t, w.store.Upsert(t.Context(), collection, id, func(old docstore.Raw) (docstore.Raw, error) {
		var d map[string]any
		if err := w.store.Codec().Decode(old, &d); err != nil {
			return nil, err
		}
		d["attempts"], d["claim"] = attempts, "somebody"
		return w.store.Codec().Encode(d)
	}))
}

func poison(t *testing.T, s *site) {
	w := s.worker(t, done, func(c *queue.Config[task]) { c.MaxAttempts, c.KeepDead = 2, time.Hour })
	w.put(t, queue.Job[task]{ID: "a"})
	w.cutShort(t, "a", 2)
	w.drain(t)
	w.wantWorked(t, "a third time")
	if died, _, err := w.List(t.Context(), queue.Dead, 9, ""); err != nil || len(died) != 1 || died[0].Attempt != 3 {
		t.Errorf("got %+v, %v", died, err)
	}
}
