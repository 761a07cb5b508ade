package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/internal/clocktest"
	"manus/internal/processtest"
	"manus/internal/storetest"
)

func isLost(err error) bool { return errors.Is(err, errLeaseLost) }

// say writes messages to a session and brings them to workers.
func (b bench) say(t testing.TB, id string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := b.Write(t.Context(), "u", id, text, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.relayAll(t.Context(), b.relay.take()); err != nil {
		t.Fatal(err)
	}
}

// claim claims for a minute, without waiting.
func (b bench) claim(t testing.TB, key string) []Claimed {
	t.Helper()
	claimed, err := b.Claim(t.Context(), worker(key), maxClaimed, time.Minute, 0)
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

// onClock is setup with a clock that the test sets.
func onClock(t testing.TB) (bench, *clocktest.Clock) {
	t.Helper()
	b, clock := setup(t), clocktest.New()
	b.now = clock.Now
	return b, clock
}

// ids are what was claimed, as a person reads it.
func ids(claimed []Claimed) string {
	var all []string
	for _, c := range claimed {
		all = append(all, strconv.FormatInt(c.Seq, 10)+"x"+strconv.Itoa(c.Attempt))
	}
	return strings.Join(all, " ")
}

func TestMessagesOfASessionAreDoneOneAfterTheOther(t *testing.T) {
	t.Parallel()
	b, _ := onClock(t)
	id := b.create(t).ID
	b.say(t, id, "one", "two")
	first := b.claim(t, "a")
	if ids(first) != "1x1" || first[0].Owner != "u" || string(first[0].Data) != `{"text":"one"}` {
		t.Fatalf("claimed %+v", first)
	}
	if more := b.claim(t, "b"); len(more) != 0 {
		t.Errorf("another has %s meanwhile", ids(more))
	}
	b.say(t, id, "three") // while the first is in hand
	for seq := int64(1); seq <= 3; seq++ {
		if err := answer(t.Context(), b.Service, worker("a"), first[0]); err != nil {
			t.Fatal(err)
		}
		if err := b.Finish(t.Context(), worker("a"), workID(first[0].Event), first[0].Lease); err != nil {
			t.Errorf("the same told again: %v", err)
		}
		first = b.claim(t, "a")
		if want := map[int64]string{1: "2x1", 2: "3x1", 3: ""}[seq]; ids(first) != want {
			t.Fatalf("after %d: %q, want %q", seq, ids(first), want)
		}
	}
	b.say(t, id, "four")
	if again := b.claim(t, "a"); len(again) != 1 || again[0].Message != again[0].Seq {
		t.Errorf("after a rest: %s", ids(again))
	}
}

func TestALeaseThatIsOverIsLost(t *testing.T) {
	t.Parallel()
	b, clock := onClock(t)
	id := b.create(t).ID
	b.say(t, id, "one")
	first := b.claim(t, "a")[0]
	clock.Add(time.Minute - time.Millisecond)
	if early := b.claim(t, "b"); len(early) != 0 {
		t.Errorf("it is had by two: %s", ids(early))
	}
	clock.Add(time.Millisecond)
	if err := b.Finish(t.Context(), worker("a"), workID(first.Event), first.Lease); !isLost(err) {
		t.Errorf("done when the lease is over: %v", err)
	}
	second := b.claim(t, "a") // another worker with the same key
	if ids(second) != "1x2" || workID(second[0].Event) != workID(first.Event) {
		t.Fatalf("got %s", ids(second))
	}
	for name, err := range map[string]error{
		"done":               b.Finish(t.Context(), worker("a"), workID(first.Event), first.Lease),
		"released":           b.Release(t.Context(), worker("a"), workID(first.Event), first.Lease),
		"by another key":     b.Finish(t.Context(), worker("b"), workID(first.Event), second[0].Lease),
		"without its lease":  b.Finish(t.Context(), worker("b"), workID(first.Event), ""),
		"another's, prefix":  b.Finish(t.Context(), worker("a"), workID(first.Event), second[0].Lease[:5]),
		"one that never was": b.Finish(t.Context(), worker("a"), id+".2", second[0].Lease),
	} {
		if !isLost(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Finish(t.Context(), worker("a"), workID(first.Event), ""); err != nil {
		t.Errorf("known by the key alone: %v", err)
	}
	if err := b.Finish(t.Context(), worker("b"), workID(first.Event), second[0].Lease); !isLost(err) {
		t.Errorf("another tells that it did what has been done: %v", err)
	}
	for _, bad := range []string{"", "x", id, id + ".0", id + ".01", id + ".-1", id + ".1.1", "." + id, ".1"} {
		if err := b.Finish(t.Context(), worker("a"), bad, ""); !errors.Is(err, errNoWork) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWhatComesBackAgainAndAgainWaits(t *testing.T) {
	t.Parallel()
	b, clock := onClock(t)
	b.say(t, b.create(t).ID, "one")
	for i, wait := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second} {
		c := b.claim(t, "a")
		if len(c) != 1 || c[0].Attempt != i+1 {
			t.Fatalf("attempt %d: %s", i+1, ids(c))
		}
		if err := b.Release(t.Context(), worker("a"), workID(c[0].Event), c[0].Lease); err != nil {
			t.Fatal(err)
		}
		clock.Add(wait - time.Millisecond)
		if early := b.claim(t, "b"); wait > 0 && len(early) != 0 {
			t.Errorf("it is there before %v", wait)
		}
		clock.Add(time.Millisecond)
	}
	if got := releaseWait(1000); got != time.Minute {
		t.Errorf("in the end it waits for %v", got)
	}
}

func TestWhatIsGoneIsNoWork(t *testing.T) {
	t.Parallel()
	b, _ := onClock(t)
	var all []string
	for range 4 {
		id := b.create(t).ID
		all = append(all, id)
		b.say(t, id, "secret of "+id)
	}
	if err := b.Delete(t.Context(), "u", all[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stop(t.Context(), "u", all[1]); err != nil {
		t.Fatal(err)
	}
	// A copy that was relaying while the session was deleted.
	if err := b.raise(t.Context(), []Event{{SessionID: all[0], Seq: 1, Type: Message}}); err != nil {
		t.Fatal(err)
	}
	claimed := b.claim(t, "a")
	if len(claimed) != 2 {
		t.Errorf("claimed %s", ids(claimed))
	}
	if err := b.Erase(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	found, _, _, err := b.readFeed(t.Context(), 0, 100)
	if err != nil || len(found) != 0 {
		t.Errorf("of erased accounts there is %+v, %v", found, err)
	}
	if err := b.Finish(t.Context(), worker("a"), workID(claimed[0].Event), claimed[0].Lease); !isLost(err) {
		t.Errorf("done for an erased account: %v", err)
	}
	if more := b.claim(t, "a"); len(more) != 0 {
		t.Errorf("claimed %s", ids(more))
	}
}

// feed reads all of the feed, in pages, and holds it against the order of each session.
func (b bench) readAll(t testing.TB) (all []string) {
	t.Helper()
	last := map[string]int64{}
	for after, more := int64(0), true; more; {
		var found []fed
		var err error
		found, after, more, err = b.readFeed(t.Context(), after, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.Seq <= last[f.SessionID] {
				t.Errorf("%s comes after %d", workID(f.Event), last[f.SessionID])
			}
			last[f.SessionID] = f.Seq
			all = append(all, workID(f.Event))
		}
	}
	return all
}

func TestCopiesThatRelayTheSameMakeOneFeed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	copies := []bench{b, onStore(t, b.store, b.path, pace{}), onStore(t, b.store, b.path, pace{})}
	sessions := []string{b.create(t).ID, b.create(t).ID, b.create(t).ID}
	const each = 20
	var wg sync.WaitGroup
	for i, c := range copies {
		wg.Go(func() {
			for n := range each {
				if _, err := c.Write(t.Context(), "u", sessions[(i+n)%3], "x", ""); err != nil {
					t.Error(err)
				}
				if err := c.relayAll(t.Context(), sessions); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all := b.readAll(t)
	slices.Sort(all)
	if len(all) != 3*each || len(slices.Compact(all)) != 3*each {
		t.Errorf("the feed has %d messages of %d", len(all), 3*each)
	}
}

func TestARelayThatIsCutShortIsTakenUp(t *testing.T) {
	t.Parallel()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(steps func() error)) {
		b := onStore(t, store, "", pace{})
		id := b.create(t).ID
		for range 2 {
			if _, err := b.Write(t.Context(), "u", id, "x", ""); err != nil {
				t.Fatal(err)
			}
		}
		cut(func() error { return b.relayAll(t.Context(), []string{id}) })
		clock := clocktest.Running(time.Hour)
		other := onStore(t, store, "", pace{})
		other.now = clock.Now
		if err := other.relayStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all := other.readAll(t); len(all) != 2 {
			t.Errorf("the feed has %v", all)
		}
		for seq := 1; seq <= 2; seq++ {
			c := other.claim(t, "a")
			if len(c) != 1 || c[0].Seq != int64(seq) {
				t.Fatalf("claimed %s, want message %d", ids(c), seq)
			}
			if err := other.Finish(t.Context(), worker("a"), workID(c[0].Event), c[0].Lease); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestOldEntriesOfTheFeedGoAndPlacesStay(t *testing.T) {
	t.Parallel()
	b, clock := onClock(t)
	id := b.create(t).ID
	b.say(t, id, "one", "two")
	clock.Add(feedKept + time.Hour)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.say(t, id, "three")
	found, last, _, err := b.readFeed(t.Context(), 0, 100)
	if err != nil || len(found) != 2 || last != 3 || found[0].place != 2 {
		t.Errorf("the feed has %+v up to %d, %v", found, last, err)
	}
	if c := b.claim(t, "a"); ids(c) != "1x1" { // work isn't given up
		t.Errorf("claimed %s", ids(c))
	}
}

func TestAWriterKilledAtAnyTimeLosesNoMessage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	b := onStore(t, storetest.File(t, path, Specs()...), path, pace{})
	id := b.create(t).ID
	told := 0
	for range processtest.Size(processtest.CrashRounds, 3) {
		p := processtest.Start(t, "relay", path, id)
		for range 5 {
			p.Await(t, "wrote ")
			told++
		}
		told += len(p.Kill(t))
	}
	clock := clocktest.Running(time.Hour)
	b.now = clock.Now
	if err := b.relayStale(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := b.readAll(t); len(all) < told {
		t.Errorf("%d messages were taken, and the feed has %d", told, len(all))
	}
	done := 0
	for c := b.claim(t, "a"); len(c) > 0; c = b.claim(t, "a") {
		if done++; c[0].Seq != int64(done) {
			t.Fatalf("message %d comes as number %d", c[0].Seq, done)
		}
		if err := b.Finish(t.Context(), worker("a"), workID(c[0].Event), c[0].Lease); err != nil {
			t.Fatal(err)
		}
	}
	if done < told {
		t.Errorf("%d messages were taken, and workers have had %d", told, done)
	}
}

func TestAKilledWorkersMessagesAreAnsweredByOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.db")
	b := onStore(t, storetest.File(t, path, Specs()...), path, pace{})
	var sessions []string
	for range 5 {
		id := b.create(t).ID
		b.say(t, id, "one", "two", "three")
		sessions = append(sessions, id)
	}
	for range 2 {
		killed := processtest.Start(t, "work", path, "killed")
		killed.Await(t, "has ")
		killed.Kill(t)
	}
	processtest.Start(t, "work", path, "other")
	for _, id := range sessions {
		for answered := 0; answered < 3; {
			answered = 0
			for _, e := range b.log(t, id) {
				if e.Answers == "" {
					continue
				}
				if answered++; e.Answers != fmt.Sprintf("%s.%d", id, answered) {
					t.Fatalf("the answer %d of %s is to %s", answered, id, e.Answers)
				}
			}
			if err := t.Context().Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAClaimWaitsForWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(t).ID
	got := make(chan []Claimed)
	go func() {
		c, err := b.Claim(context.WithoutCancel(t.Context()), worker("a"), 1, time.Minute, maxClaimWait)
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	b.say(t, id, "one")
	if c := <-got; ids(c) != "1x1" {
		t.Errorf("claimed %s", ids(c))
	}
	if c, err := b.Claim(t.Context(), worker("a"), 1, time.Minute, time.Millisecond); len(c) != 0 || err != nil {
		t.Errorf("with nothing to do: %s, %v", ids(c), err)
	}
	go func() {
		c, _ := b.Claim(context.WithoutCancel(t.Context()), worker("a"), 1, time.Minute, maxClaimWait)
		got <- c
	}()
	b.Close() // the program stops
	if c := <-got; len(c) != 0 {
		t.Errorf("claimed %s", ids(c))
	}
}

func TestWorkOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b, yes)
	id := b.create(t).ID
	b.say(t, id, "one")
	for _, path := range [][2]string{{"GET", "/work/events"}, {"POST", "/work/claim"}, {"POST", "/work/x/done"}, {"POST", "/work/x/release"}, {"POST", "/sessions/" + id + "/events"}} {
		body := ""
		if path[0] == "POST" {
			body = `{}`
			if strings.HasSuffix(path[1], "/events") {
				body = `{"type":"step.finished"}`
			}
		}
		call(t, server, "u", path[0], path[1], body, 403) // not even the session's owner
		call(t, server, "", path[0], path[1], body, 401)
	}
	call(t, server, "worker", "GET", "/sessions/"+id, "", 200)
	call(t, server, "worker", "GET", "/sessions/"+id+"/events", "", 200)
	call(t, server, "worker", "GET", "/sessions", "", 403)
	call(t, server, "worker", "POST", "/sessions/"+id+"/messages", `{"text":"x"}`, 403)
	if page := call(t, server, "worker", "GET", "/work/events?after=0", "", 200); !strings.Contains(page, `"id":"`+id+`.1","cursor":"1"`) || !strings.Contains(page, `"next_cursor":""`) {
		t.Errorf("got %s", page)
	}
	if page := call(t, server, "worker", "GET", "/work/events?after=1", "", 200); !strings.Contains(page, `"items":[]`) {
		t.Errorf("got %s", page)
	}
	call(t, server, "worker", "GET", "/work/events?after=x", "", 400)
	call(t, server, "worker", "POST", "/work/claim", `{"limit":101}`, 422)
	call(t, server, "worker", "POST", "/work/claim", `{"lease_seconds":1801}`, 422)
	if claimed := call(t, server, "worker", "POST", "/work/claim", `{"limit":5,"lease_seconds":30}`, 200); !strings.Contains(claimed, `"id":"`+id+`.1"`) || !strings.Contains(claimed, `"attempt":1`) {
		t.Errorf("got %s", claimed)
	}
	events := "/sessions/" + id + "/events"
	first := call(t, server, "worker", "POST", events, `{"type":"answer","data":{"text":"1"},"answers":"`+id+`.1"}`, 202)
	if again := call(t, server, "worker", "POST", events, `{"type":"answer","data":{"text":"1"},"answers":"`+id+`.1"}`, 202); again != first {
		t.Errorf("the same again is %s, and was %s", again, first)
	}
	if other := call(t, server, "worker", "POST", events, `{"type":"answer","data":{"text":"2"},"answers":"`+id+`.1"}`, 409); !strings.Contains(other, "already-answered") {
		t.Errorf("got %s", other)
	}
	call(t, server, "worker", "POST", events, `{"type":"answer","answers":"`+id+`.2"}`, 422) // no message: the answer
	call(t, server, "worker", "POST", events, `{"type":"answer","answers":"`+b.create(t).ID+`.1"}`, 422)
	call(t, server, "worker", "POST", "/work/"+id+".1/release", "", 204)
	call(t, server, "worker", "POST", "/work/"+id+".1/done", "", 409)
	call(t, server, "worker", "POST", "/work/claim", "", 200)
	call(t, server, "worker", "POST", "/work/"+id+".1/done", `{}`, 204)
	call(t, server, "worker", "POST", "/work/"+id+".1/done", "", 204)
	call(t, server, "worker", "POST", "/work/nonsense/done", "", 404)
}

func TestTheFeedIsFollowedAcrossABreak(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := serve(t, b, yes)
	one, two := b.create(t).ID, b.create(t).ID
	b.say(t, one, "one")
	follow := func(after string) *bufio.Reader {
		response := request(t, server, "worker", "GET", "/work/events?after="+after, "", "Accept", "text/event-stream")
		return bufio.NewReader(response.Body)
	}
	expect := func(reader *bufio.Reader, place int64, id string) {
		t.Helper()
		if e, err := next(reader); err != nil || e.id != place || !strings.Contains(e.data, `"id":"`+id+`"`) {
			t.Errorf("got %+v, %v", e, err)
		}
	}
	stream := follow("0")
	expect(stream, 1, one+".1")
	b.say(t, two, "two")
	expect(stream, 2, two+".1")
	b.say(t, one, "three")
	expect(follow("2"), 3, one+".2")
	again := request(t, server, "worker", "GET", "/work/events", "", "Accept", "text/event-stream", "Last-Event-ID", "1")
	expect(bufio.NewReader(again.Body), 2, two+".1")
}
