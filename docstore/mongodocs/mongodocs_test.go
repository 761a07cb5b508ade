package mongodocs

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"manus/docstore"
	"manus/internal/mongotest"
)

type person struct {
	ID    string        `json:"_id"`
	Email string        `json:"email,omitempty"`
	Team  *string       `json:"team"`
	Seen  docstore.Time `json:"seen,omitzero"`
	Count int           `json:"count"`
}

func (p person) DocumentID() string { return p.ID }

var people = docstore.Spec{Collection: "people", Of: person{}, Indexes: []docstore.Index{
	{Name: "by_email", Fields: []string{"email"}, Unique: true},
	{Name: "by_team", Fields: []string{"team", "seen"}},
}}

func declared(t *testing.T, uri, database string) (*Store, *docstore.Collection[person]) {
	t.Helper()
	s := open(t, uri, database)
	if err := s.Declare(t.Context(), people); err != nil {
		t.Fatal(err)
	}
	return s, docstore.NewCollection[person](s, people)
}

func TestDocumentsAndIndexesAreNativeOnes(t *testing.T) {
	t.Parallel()
	s, c := declared(t, mongotest.URI(t), database(t))
	at := docstore.At(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	if err := c.Insert(t.Context(), person{ID: "1", Email: "a@b", Seen: at, Count: 3}); err != nil {
		t.Fatal(err)
	}
	var doc bson.M
	if err := s.database.Collection("people").FindOne(t.Context(), bson.D{{Key: "email", Value: "a@b"}}).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	rev, _ := doc["_rev"].(int64)
	delete(doc, "_rev")
	want := bson.M{"_id": "1", "email": "a@b", "seen": bson.NewDateTimeFromTime(at.Time), "count": int32(3)} // and no team, which is null
	if rev == 0 || !reflect.DeepEqual(doc, want) {
		t.Errorf("there is %v, want %v", doc, want)
	}
	built, err := s.database.Collection("people").Indexes().ListSpecifications(t.Context())
	if err != nil || len(built) != 3 {
		t.Fatalf("there are the indexes %v, %v", built, err)
	}
	for _, index := range people.Indexes {
		if !slices.ContainsFunc(built, func(b mongo.IndexSpecification) bool { return b.Name == index.Name && isBuilt(index, b) }) {
			t.Errorf("the index %s isn't among %v", index.Name, built)
		}
	}
}

func TestADocumentOfSomebodyElseCanBeChanged(t *testing.T) {
	t.Parallel()
	s, c := declared(t, mongotest.URI(t), database(t))
	if _, err := s.database.Collection("people").InsertOne(t.Context(), bson.D{{Key: "_id", Value: "1"}, {Key: "count", Value: 7.0}}); err != nil {
		t.Fatal(err)
	}
	for want := 8; want < 10; want++ {
		if p, err := c.Update(t.Context(), "1", func(p *person) error { p.Count++; return nil }); err != nil || p.Count != want {
			t.Errorf("got %+v, %v", p, err)
		}
	}
}

func TestAnIndexOfAnotherShapeIsBuiltAnew(t *testing.T) {
	t.Parallel()
	name := database(t)
	_, c := declared(t, mongotest.URI(t), name)
	if err := c.Insert(t.Context(), person{ID: "1", Email: "b", Count: 1}, person{ID: "2", Email: "a", Count: 2}); err != nil {
		t.Fatal(err)
	}
	changed := docstore.Spec{Collection: "people", Of: person{}, Indexes: []docstore.Index{{Name: "by_email", Fields: []string{"count", "email"}}}}
	s := open(t, mongotest.URI(t), name)
	if err := s.Declare(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	built, err := s.database.Collection("people").Indexes().ListSpecifications(t.Context())
	if err != nil || !slices.ContainsFunc(built, func(b mongo.IndexSpecification) bool { return b.Name == "by_email" && isBuilt(changed.Indexes[0], b) }) {
		t.Errorf("there are %v, %v", built, err)
	}
}

func TestARefusedIndexNamesTheDocumentsAndNotTheirValues(t *testing.T) {
	t.Parallel()
	name := database(t)
	s := open(t, mongotest.URI(t), name)
	plain := docstore.Spec{Collection: "people", Of: person{}}
	if err := s.Declare(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	c := docstore.NewCollection[person](s, plain)
	for i := range 16 {
		if err := c.Insert(t.Context(), person{ID: fmt.Sprint("id", i), Email: fmt.Sprint("secret", i/2)}); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Declare(t.Context(), people)
	if !docstore.ConflictsOn(err, "by_email") {
		t.Fatalf("got %v", err)
	}
	if text := err.Error(); strings.Contains(text, "secret") || !strings.Contains(text, `"id0" and "id1"; "id2" and "id3"`) || !strings.Contains(text, "people can't get the unique index by_email on email") {
		t.Errorf("it says %s", text)
	}
}

func TestManyCopiesStartAtOnce(t *testing.T) {
	t.Parallel()
	name := database(t)
	var group sync.WaitGroup
	for range 10 {
		s := open(t, mongotest.URI(t), name)
		group.Go(func() {
			if err := s.Declare(t.Context(), people); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// unreliable forwards connections to a server. At random it breaks one when a
// request has been heard, or when the answer has come: neither reaches the other end.
func unreliable(t *testing.T, uri string, odds float64) string {
	t.Helper()
	return relayed(t, uri, func([]byte) error {
		if rand.Float64() < odds {
			return errors.New("broken")
		}
		return nil
	})
}

// relayed forwards connections to a server. A message for which hear returns an error
// doesn't reach the other end, and breaks its connection.
func relayed(t *testing.T, uri string, hear func(message []byte) error) string {
	t.Helper()
	target, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); group.Wait() })
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer client.Close()
				server, err := net.Dial("tcp", target.Host)
				if err != nil {
					return
				}
				defer server.Close()
				for forward(server, client, hear) == nil && forward(client, server, hear) == nil {
				}
			})
		}
	})
	through := *target
	through.Host = listener.Addr().String()
	return through.String()
}

// forward passes one message of the wire protocol on.
func forward(to io.Writer, from io.Reader, hear func([]byte) error) error {
	var size [4]byte
	if _, err := io.ReadFull(from, size[:]); err != nil {
		return err
	}
	message := make([]byte, binary.LittleEndian.Uint32(size[:]))
	copy(message, size[:])
	if _, err := io.ReadFull(from, message[4:]); err != nil {
		return err
	}
	if err := hear(message); err != nil {
		return err
	}
	_, err := to.Write(message)
	return err
}

// TestABatchIsFewCommands: what is read, and what is added, is so together.
func TestABatchIsFewCommands(t *testing.T) {
	t.Parallel()
	var reads, inserts, others atomic.Int64
	s, c := declared(t, relayed(t, mongotest.URI(t), func(message []byte) error {
		switch {
		case bytes.Contains(message, []byte("\x02find\x00")):
			reads.Add(1)
		case bytes.Contains(message, []byte("\x02insert\x00")):
			inserts.Add(1)
		case bytes.Contains(message, []byte("\x02update\x00")), bytes.Contains(message, []byte("\x02delete\x00")):
			others.Add(1)
		}
		return nil
	}), database(t))
	var ids []string
	var people []docstore.Change
	for i := range 200 {
		ids = append(ids, fmt.Sprint(i))
		one, err := c.InsertChange(person{ID: ids[i], Email: ids[i]})
		if err != nil {
			t.Fatal(err)
		}
		people = append(people, one)
	}
	look := func(what string, errs []error, wantReads, wantInserts, wantOthers int64) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if r, i, o := reads.Swap(0), inserts.Swap(0), others.Swap(0); r != wantReads || i != wantInserts || o != wantOthers {
			t.Errorf("%s took %d reads, %d insertions and %d others", what, r, i, o)
		}
	}
	look("to add one", s.Batch(t.Context(), people[:1]), 0, 1, 0)
	look("to add 199", s.Batch(t.Context(), people[1:]), 0, 1, 0)
	_, errs := c.UpdateAll(t.Context(), ids[:20], func(_ int, p *person) error { p.Count++; return nil })
	look("to change 20", errs, 1, 0, 20)
	_, errs = c.UpdateAll(t.Context(), ids, func(int, *person) error { return docstore.ErrUnchanged })
	look("to change none", errs, 1, 0, 0)
	all, err := c.GetAll(t.Context(), ids...)
	look("to read all", []error{err}, 1, 0, 0)
	if len(all) != 200 || all["7"].Count != 1 || all["77"].Count != 0 {
		t.Errorf("there are %d", len(all))
	}
}

// TestALostAnswerDoublesNothingOfABatch: what was added all the same is not added to again.
func TestALostAnswerDoublesNothingOfABatch(t *testing.T) {
	t.Parallel()
	var asked, lost atomic.Bool
	s, c := declared(t, relayed(t, mongotest.URI(t), func(message []byte) error {
		if bytes.Contains(message, []byte("\x02insert\x00")) {
			asked.Store(true)
		} else if asked.Load() && bytes.Contains(message, []byte("\x10n\x00")) && lost.CompareAndSwap(false, true) {
			return errors.New("broken")
		}
		return nil
	}), database(t))
	if err := c.Insert(t.Context(), person{ID: "0", Email: "0", Count: 7}); err != nil || !lost.Load() {
		t.Fatalf("an insertion whose answer is lost (%v): %v", lost.Load(), err)
	}
	asked.Store(false)
	lost.Store(false)
	changes, now := make([]docstore.Change, 8), make([]person, 8)
	for k := range changes {
		id := fmt.Sprint(k)
		var err error
		if changes[k], err = c.UpsertChange(person{ID: id, Email: id}, &now[k], func(p *person, _ bool) error { p.Count++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Batch(t.Context(), changes)...); err != nil || !lost.Load() {
		t.Fatalf("a batch whose answer is lost (%v): %v", lost.Load(), err)
	}
	for k := range changes {
		if p, err := c.Get(t.Context(), fmt.Sprint(k)); err != nil || p.Count != []int{8, 1}[min(k, 1)] {
			t.Errorf("%d is %d: %v", k, p.Count, err)
		}
	}
}

func TestBrokenConnectionsLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	name := database(t)
	uri := unreliable(t, mongotest.URI(t), 0.03)
	const writers, times = 4, 40
	_, whole := declared(t, mongotest.URI(t), name)
	if err := whole.Insert(t.Context(), person{ID: "shared"}); err != nil {
		t.Fatal(err)
	}
	var shared, maybe atomic.Int64
	var group sync.WaitGroup
	for w := range writers {
		_, c := declared(t, uri, name)
		group.Go(func() {
			mine := fmt.Sprint("mine", w)
			known := true
			for i := range times {
				// One document has one writer: that can always be found out.
				p, err := c.Upsert(t.Context(), person{ID: mine}, func(p *person, _ bool) error { p.Count++; return nil })
				switch {
				case errors.Is(err, docstore.ErrUnavailable):
					known = false // the budget of attempts ran out
				case err != nil || known && p.Count != i+1:
					t.Errorf("%s: got %+v, %v after %d", mine, p, err, i)
				}
				// Another has all of them.
				switch _, err := c.Update(t.Context(), "shared", func(p *person) error { p.Count++; return nil }); {
				case err == nil:
					shared.Add(1)
				case errors.Is(err, docstore.ErrUnavailable):
					maybe.Add(1)
				default:
					t.Error(err)
				}
				// And each makes new ones, with a value that nobody else may have.
				id := fmt.Sprintf("new%d-%d", w, i)
				if err := c.Insert(t.Context(), person{ID: id, Email: id}); err != nil && !errors.Is(err, docstore.ErrUnavailable) {
					t.Errorf("insert %s: %v", id, err)
				} else if err == nil {
					if _, err := whole.Get(t.Context(), id); err != nil {
						t.Errorf("%s was acknowledged: %v", id, err)
					}
				}
				if err := c.Delete(t.Context(), id); err != nil && !errors.Is(err, docstore.ErrUnavailable) && !errors.Is(err, docstore.ErrNotFound) {
					t.Errorf("delete %s: %v", id, err)
				}
			}
		})
	}
	group.Wait()
	p, err := whole.Get(t.Context(), "shared")
	if n := int64(p.Count); err != nil || n < shared.Load() || n > shared.Load()+maybe.Load() {
		t.Errorf("%d were acknowledged, of %d it isn't known, and %d are there: %v", shared.Load(), maybe.Load(), n, err)
	}
}

func TestAnInsertOfManyIsAPrefixAlsoThroughBrokenConnections(t *testing.T) {
	t.Parallel()
	name := database(t)
	_, c := declared(t, unreliable(t, mongotest.URI(t), 0.1), name)
	_, whole := declared(t, mongotest.URI(t), name)
	for round := range 10 {
		var docs []person
		for i := range 5 {
			docs = append(docs, person{ID: fmt.Sprintf("%d-%d", round, i), Email: fmt.Sprintf("%d-%d", round, i)})
		}
		acknowledged := c.Insert(t.Context(), docs...)
		if acknowledged != nil && !errors.Is(acknowledged, docstore.ErrUnavailable) {
			t.Fatal(acknowledged)
		}
		found, _, err := whole.Find(t.Context(), docstore.Query{From: fmt.Sprintf("%d-", round), Until: fmt.Sprintf("%d.", round)})
		if err != nil || acknowledged == nil && len(found) != len(docs) {
			t.Errorf("%d are there, %v", len(found), err)
		}
		for i, p := range found {
			if p.ID != docs[i].ID {
				t.Errorf("in the place of %s is %s", docs[i].ID, p.ID)
			}
		}
	}
}

func TestAStoreThatIsGoneIsUnavailableAtOnceAndComesBack(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	for name, end := range map[string]func(testing.TB){"cut": server.Cut, "frozen": server.Freeze} {
		s, c := declared(t, server.URI(), database(t))
		if err := c.Insert(t.Context(), person{ID: "1"}); err != nil {
			t.Fatal(err)
		}
		end(t)
		for s.reach.check() == nil { // at first, commands wait for it to come back
			if _, err := c.Get(t.Context(), "1"); err != nil && !errors.Is(err, docstore.ErrUnavailable) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for range 1000 { // then they don't
			if _, err := c.Get(t.Context(), "1"); !errors.Is(err, errGone) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := s.Ping(t.Context()); !errors.Is(err, docstore.ErrUnavailable) {
			t.Errorf("%s: the ping says %v", name, err)
		}
		server.Mend(t)
		for s.reach.check() != nil { // until the driver's heartbeat, for which its own ping waits
			_ = s.client.Ping(t.Context(), nil)
		}
		if _, err := c.Update(t.Context(), "1", func(p *person) error { p.Count++; return nil }); err != nil {
			t.Errorf("%s, and back: %v", name, err)
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("%s, and back: %v", name, err)
		}
	}
}

func TestAPingOnAConnectionThatHasGoneSilentEndsWhenItShould(t *testing.T) {
	t.Parallel()
	var silent atomic.Bool
	s := open(t, relayed(t, mongotest.URI(t), func(message []byte) error {
		if silent.Load() && bytes.Contains(message, []byte(probe)) { // heartbeats are something else
			<-t.Context().Done()
			return t.Context().Err()
		}
		return nil
	}), database(t))
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	silent.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A server that answers everything but writes isn't ready: here between it and the store is
// somebody who makes its answers to writes refusals.
func TestAServerThatRefusesWritesIsNotReady(t *testing.T) {
	t.Parallel()
	var refuses atomic.Bool
	s := open(t, relayed(t, mongotest.URI(t), func(message []byte) error {
		if at := bytes.Index(message, []byte("\x01ok\x00")); refuses.Load() && at >= 0 && bytes.Contains(message, []byte("\x10n\x00")) {
			clear(message[at+4 : at+12]) // 1, as a number of 8 bytes
		}
		return nil
	}), database(t))
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names, err := s.database.ListCollectionNames(t.Context(), bson.D{}); err != nil || len(names) > 0 {
		t.Errorf("to ask has made %v, %v", names, err)
	}
	refuses.Store(true)
	if err := s.ping(t.Context()); err != nil {
		t.Errorf("it doesn't answer: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, docstore.ErrUnavailable) {
		t.Errorf("while writes are refused: %v", err)
	}
	refuses.Store(false)
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("and then: %v", err)
	}
}

func TestReachGivesAServerTimeToComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reach{}
		see := func(kinds ...string) {
			e := &event.TopologyDescriptionChangedEvent{}
			for _, kind := range kinds {
				e.NewDescription.Servers = append(e.NewDescription.Servers, event.ServerDescription{Kind: kind})
			}
			r.monitor().TopologyDescriptionChanged(e)
		}
		want := func(what string, gone bool) {
			t.Helper()
			if err := r.check(); (err != nil) != gone {
				t.Errorf("%s: %v", what, err)
			}
		}
		see("Unknown")
		want("at the start", false)
		see("Standalone")
		time.Sleep(time.Hour)
		want("all is well", false)
		see("RSSecondary", "Unknown")
		want("it has just gone", false)
		time.Sleep(grace)
		see("Unknown", "Unknown")
		time.Sleep(time.Millisecond)
		want("it has been gone for a while", true)
		see("RSSecondary", "RSPrimary")
		want("it is back", false)
		see("Unknown")
		time.Sleep(grace)
		want("it has gone again", false)
		time.Sleep(time.Millisecond)
		want("and stays away", true)
	})
}

func TestAURIIsNeverRepeated(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"mongodb://u:hunter2@h/?tls=maybe", "mongodb://u:hunter2@h:port/", "hunter2", "mongodb://u:hunter2@h/?authMechanism=hunter2"} {
		if _, err := Open(t.Context(), uri, "x"); !errors.Is(err, ErrURI) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", uri, err)
		}
	}
	if _, err := Open(t.Context(), "mongodb+srv://u:hunter2@mongo.invalid/", "x"); !errors.Is(err, docstore.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("hosts that can't be looked up: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, "mongodb://u:hunter2@127.0.0.1:1/", "x"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestADocumentThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	s, c := declared(t, mongotest.URI(t), database(t))
	if err := c.Insert(t.Context(), person{ID: "1", Email: strings.Repeat("x", maxDocument)}); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStructsThatWouldBeEncodedOtherwiseThanAsJSONAreRefused(t *testing.T) {
	t.Parallel()
	type inner struct{ A int }
	for _, v := range []any{struct{ inner }{}, struct{ a int }{1}} {
		if _, err := newCodec().Encode(v); err == nil {
			t.Errorf("%T was encoded", v)
		}
	}
}

func FuzzDecode(f *testing.F) {
	codec := newCodec()
	for _, p := range []person{{}, {ID: "1", Email: "a", Team: new("x"), Seen: docstore.At(time.Unix(1, 0)), Count: 2}} {
		raw, err := codec.Encode(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(raw))
	}
	c := &collection{spec: people, indexed: map[string]bool{"team": true}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p person
		if codec.Decode(raw, &p) == nil {
			if _, err := json.Marshal(p); err != nil {
				t.Error(err)
			}
		}
		if stored, err := c.stamped(raw, 7); err == nil && bson.Raw(stored).Validate() == nil && revisionOf(stored) != 7 {
			t.Errorf("the revision of %x is lost", raw)
		}
	})
}
