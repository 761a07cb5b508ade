package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// relayed starts a FerretDB and a relay to it, and returns where the relay listens.
func relayed(t *testing.T) string {
	t.Helper()
	addr, stop, err := start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return addr
}

// collection is one and the same collection, by a client of its own.
func collection(t *testing.T, addr string, more ...*options.ClientOptions) *mongo.Collection {
	t.Helper()
	// Without a timeout, a test that gets no answer would have to be killed.
	client, err := mongo.Connect(append(more, options.Client().ApplyURI(uriOf(addr)).SetTimeout(time.Minute))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client.Database("test").Collection("documents")
}

type document struct {
	ID string `bson:"_id"`
	N  int    `bson:"n"`
}

// increment adds one to a document, as often as it says, at the same time.
func increment(t *testing.T, documents *mongo.Collection, id string, times int) {
	t.Helper()
	var all sync.WaitGroup
	for range times {
		all.Go(func() {
			result, err := documents.UpdateOne(t.Context(), bson.M{"_id": id}, bson.M{"$inc": bson.M{"n": 1}})
			if err != nil || result.ModifiedCount != 1 {
				t.Errorf("increment %s: %v %v", id, result, err)
			}
		})
	}
	all.Wait()
}

func TestConcurrentUpdatesAreAtomic(t *testing.T) {
	t.Parallel()
	addr := relayed(t)
	first := collection(t, addr)
	if _, err := first.InsertOne(t.Context(), document{ID: "counter"}); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for range 10 {
		documents := collection(t, addr)
		clients.Go(func() { increment(t, documents, "counter", 10) })
	}
	clients.Wait()
	var counter document
	if err := first.FindOne(t.Context(), bson.M{"_id": "counter"}).Decode(&counter); err != nil || counter.N != 100 {
		t.Errorf("100 times one is %d: %v", counter.N, err)
	}
}

func TestClientsMayHangUpAtAnyMoment(t *testing.T) {
	t.Parallel()
	addr := relayed(t)
	documents := collection(t, addr)
	if _, err := documents.InsertMany(t.Context(), []document{{ID: "counter"}, {ID: "theirs"}}); err != nil {
		t.Fatal(err)
	}
	request := newCommand(ordered(
		"update", "documents",
		"updates", bson.A{bson.M{"q": bson.M{"_id": "theirs"}, "u": bson.M{"$inc": bson.M{"n": 1}}}},
		"$db", "test",
	))
	var all sync.WaitGroup
	all.Go(func() { increment(t, documents, "counter", 100) })
	for i := range 100 {
		all.Go(func() {
			conn := dial(t, addr)
			defer conn.Close()
			// Of the whole request, a part, or nothing.
			if _, err := conn.Write(request[:len(request)*(i%5)/4]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var counter document
	if err := documents.FindOne(t.Context(), bson.M{"_id": "counter"}).Decode(&counter); err != nil || counter.N != 100 {
		t.Errorf("100 times one is %d: %v", counter.N, err)
	}
}

func TestUniqueIndexesLeaveOutDocumentsWithoutTheFields(t *testing.T) {
	t.Parallel()
	documents := collection(t, relayed(t))
	both := bson.M{"a": bson.M{"$exists": true}, "b": bson.M{"$exists": true}}
	index := mongo.IndexModel{
		Keys:    ordered("a", 1, "b", 1),
		Options: options.Index().SetUnique(true).SetPartialFilterExpression(both),
	}
	for range 2 { // the second time, it is there already
		if name, err := documents.Indexes().CreateOne(t.Context(), index); err != nil || name != "a_1_b_1" {
			t.Fatalf("the index %q: %v", name, err)
		}
	}
	for _, of := range []struct {
		document bson.M
		taken    bool
	}{
		{bson.M{"a": 1, "b": 1}, false},
		{bson.M{"a": 1, "b": 1}, true},
		{bson.M{"a": 1, "b": 2}, false},
		{bson.M{"a": 1}, false},
		{bson.M{"a": 1}, false},
		{bson.M{}, false},
		{bson.M{}, false},
		// What is null is there, as it is for $exists.
		{bson.M{"a": 1, "b": nil}, false},
		{bson.M{"a": 1, "b": nil}, true},
	} {
		_, err := documents.InsertOne(t.Context(), of.document)
		if mongo.IsDuplicateKeyError(err) != of.taken || !of.taken && err != nil {
			t.Errorf("%v: %v", of.document, err)
		}
	}
}

func TestNonsenseClosesItsOwnConnectionOnly(t *testing.T) {
	t.Parallel()
	addr := relayed(t)
	documents := collection(t, addr)
	header := func(size, kind uint32) []byte {
		header := make([]byte, headerLen)
		binary.LittleEndian.PutUint32(header, size)
		binary.LittleEndian.PutUint32(header[12:], kind)
		return header
	}
	for name, nonsense := range map[string][]byte{
		"too long":               header(maxMessageLen+1, opMsg),
		"negative":               header(1<<31, opMsg),
		"shorter than a header":  header(headerLen-1, opMsg),
		"another protocol":       []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"an unknown kind":        header(headerLen, 12345),
		"a command of nothing":   header(headerLen, opMsg),
		"a command of no length": append(header(headerLen+10, opMsg), make([]byte, 10)...),
		"a document too long":    append(header(headerLen+10, opMsg), "\x00\x00\x00\x00\x00\xff\xff\xff\x7f\x00"...),
	} {
		conn := dial(t, addr)
		if _, err := conn.Write(nonsense); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// A reset is for what nobody wanted to read.
		if answer, err := io.ReadAll(conn); len(answer) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: not closed, but %q %v", name, answer, err)
		}
		if err := documents.Database().Client().Ping(t.Context(), nil); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

func TestWhoDoesNotWantAReplyGetsNone(t *testing.T) {
	t.Parallel()
	// With one connection, a reply too many would be taken for that of the next.
	documents := collection(t, relayed(t), options.Client().SetMaxPoolSize(1))
	silent := documents.Clone(options.Collection().SetWriteConcern(writeconcern.Unacknowledged()))
	for i := range 10 {
		id := fmt.Sprint(i)
		if _, err := silent.InsertOne(t.Context(), document{ID: id, N: i}); err != nil {
			t.Fatal(err)
		}
		var found document
		if err := documents.FindOne(t.Context(), bson.M{"_id": id}).Decode(&found); err != nil || found.N != i {
			t.Fatalf("%s is %v: %v", id, found, err)
		}
	}
}

func TestNothingIsTakenButWhatFerretDBRefuses(t *testing.T) {
	t.Parallel()
	indexes := func(filter ...any) bson.D {
		return ordered(
			"createIndexes", "documents",
			"indexes", bson.A{
				ordered(append([]any{"key", ordered("a", int32(1), "b", int64(-1)), "name", "one", "unique", true}, filter...)...),
				ordered("key", ordered("partialFilterExpression", 1.0), "name", "two"),
			},
			"lsid", bson.M{"id": bson.Binary{Subtype: 4, Data: bytes.Repeat([]byte{7}, 16)}},
			"$clusterTime", bson.Timestamp{T: 1, I: 2},
			"$db", "test",
		)
	}
	filter := []any{"partialFilterExpression", bson.M{"a": bson.M{"$exists": true}}, "ns", "test.documents"}
	with, without := newCommand(indexes(filter...)), newCommand(indexes())
	if got := withoutRefusedOptions(with); !bytes.Equal(got, without) {
		t.Errorf("\n%q instead of\n%q", got, without)
	}
	// What comes after the command stays: a checksum, or more sections.
	tail := []byte("tail")
	longer := func(m message) message {
		m = slices.Concat(m, tail)
		binary.LittleEndian.PutUint32(m, uint32(len(m)))
		return m
	}
	if got := withoutRefusedOptions(longer(with)); !bytes.Equal(got, longer(without)) {
		t.Errorf("\n%q instead of\n%q", got, longer(without))
	}
	for _, same := range []message{
		without,
		newCommand(ordered("find", "createIndexes", "indexes", bson.A{ordered(filter...)})),
		newCommand(ordered("createIndexes", "documents", "indexes", "none")),
		newCommand(ordered("createIndexes", "documents", "indexes", bson.A{"none"})),
		newCommand(ordered()),
		with[:len(with)-1],
		with[:bodyStart+2],
		with[:headerLen],
	} {
		if got := withoutRefusedOptions(slices.Clone(same)); !bytes.Equal(got, same) {
			t.Errorf("\n%q became\n%q", same, got)
		}
	}
}

// TestADocumentIsChangedAsItIsToBe: what selects a document by its id and another field
// changes it where it has that, and only there.
func TestADocumentIsChangedAsItIsToBe(t *testing.T) {
	t.Parallel()
	documents := collection(t, relayed(t))
	if _, err := documents.InsertMany(t.Context(), []document{{"a", 1}, {"b", 1}}); err != nil {
		t.Fatal(err)
	}
	as := func(id string, n int64) bson.D { return ordered("_id", id, "n", n) }
	for i, step := range []struct {
		id      string
		n       int64
		changed int64
	}{{"a", 2, 0}, {"a", 1, 1}, {"a", 1, 0}, {"nobody", 1, 0}, {"b", 1, 1}} {
		result, err := documents.ReplaceOne(t.Context(), as(step.id, step.n), document{step.id, 7})
		if err != nil || result.MatchedCount != step.changed {
			t.Errorf("step %d changes %d: %v", i, result.MatchedCount, err)
		}
	}
	for i, step := range []struct {
		id      string
		n       int64
		deleted int64
	}{{"a", 1, 0}, {"a", 7, 1}, {"a", 7, 0}} {
		result, err := documents.DeleteOne(t.Context(), as(step.id, step.n))
		if err != nil || result.DeletedCount != step.deleted {
			t.Errorf("step %d deletes %d: %v", i, result.DeletedCount, err)
		}
	}
	if n, err := documents.CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
		t.Errorf("%d are left: %v", n, err)
	}
}

func TestAChangeIsByTheIDAloneWhereThatIsTheSame(t *testing.T) {
	t.Parallel()
	change := func(name string, more ...any) message {
		statement, err := bson.Marshal(ordered(append(more, "limit", int32(1))...))
		if err != nil {
			t.Fatal(err)
		}
		return withStatement(newCommand(ordered(name, "documents", "$db", "test")), name+"s", statement)
	}
	there := newCommand(ordered("cursor", ordered("firstBatch", bson.A{ordered("_id", "a", "rev", int64(7))}, "id", int64(0)), "ok", 1.0))
	none := newCommand(ordered("cursor", ordered("firstBatch", bson.A{}), "ok", 1.0))
	byBoth, byID := ordered("_id", "a", "rev", int64(7)), ordered("_id", "a")
	for i, test := range []struct{ from, answer, to message }{
		{change("update", "q", byBoth, "u", byID), there, change("update", "q", byID, "u", byID)},
		{change("delete", "q", byBoth), there, change("delete", "q", byID)},
		{change("delete", "q", byBoth), none, nil},
		{change("delete", "q", byBoth), newCommand(ordered("ok", 0.0)), nil},
		{change("delete", "q", byBoth), message("?"), nil},
		{change("delete", "q", ordered("_id", "a", "rev", int64(8))), there, nil},
		{change("delete", "q", ordered("_id", "a", "rev", nil)), there, nil},
		{change("delete", "q", ordered("_id", "a", "rev", int64(7), "more", 1)), there, nil},
		{change("delete", "q", ordered("rev", int64(7), "_id", "a")), there, nil},
		{change("delete", "q", "all"), there, nil},
		{change("delete"), there, nil},
		{change("find", "q", byBoth), there, nil},
		{newCommand(ordered("delete", "documents")), there, nil},
		{slices.Concat(change("delete", "q", byBoth), message("tail")), there, nil},
		{change("delete", "q", byBoth)[:bodyStart+45], there, nil},
	} {
		if test.to == nil {
			test.to = test.from
		}
		got, err := byIDAlone(slices.Clone(test.from), func(message) (message, error) { return test.answer, nil })
		if err != nil || !bytes.Equal(got, test.to) {
			t.Errorf("%d:\n%q instead of\n%q: %v", i, got, test.to, err)
		}
	}
	gone := errors.New("gone")
	if _, err := byIDAlone(change("delete", "q", byBoth), func(message) (message, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Errorf("FerretDB is gone: %v", err)
	}
}

func TestTheProgramRunsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// What it prints tells that it's ready, which is when it is to stop.
	var out strings.Builder
	err := run(ctx, t.TempDir(), true, io.MultiWriter(&out, writerFunc(func([]byte) { cancel() })))
	if err != nil || strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), `"proxied_uri":"mongodb://127.0.0.1:`) {
		t.Errorf("%q %v", &out, err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(text []byte) (int, error) { f(text); return len(text), nil }

// dial connects for no longer than a minute.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// ordered is a document of names and values.
func ordered(pairs ...any) bson.D {
	document := bson.D{}
	for pair := range slices.Chunk(pairs, 2) {
		document = append(document, bson.E{Key: pair[0].(string), Value: pair[1]})
	}
	return document
}
