package mongodump

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"manus/backup"
	"manus/internal/mongotest"
)

// rich is a server with what FerretDB 1 hasn't: options of collections, views, indexes of all
// kinds, and documents that expire. It stands before a FerretDB, which has the documents, and
// keeps the definitions itself. Documents that are past their time are deleted the moment that
// there is something by which they expire: no server is as quick.
type rich struct {
	uri     string
	ferret  *mongo.Client
	mu      sync.Mutex
	defined map[string]map[string]*definition // by database and collection
}

// definition is what it keeps of a collection.
type definition struct {
	options bson.D
	indexes []bson.D // as they are listed, but for that by _id
}

const longestName = 255 // of database.collection, as in MongoDB

// startRich serves until the test ends.
func startRich(t *testing.T) *rich {
	t.Helper()
	uri := mongotest.URI(t)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rich{uri: "mongodb://" + listener.Addr().String() + "/?directConnection=true", ferret: client, defined: map[string]map[string]*definition{}}
	hosts := options.Client().ApplyURI(uri).Hosts
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(ctx, c, hosts[0]) })
		}
	})
	t.Cleanup(func() {
		stop()
		_ = listener.Close()
		all.Wait()
		_ = client.Disconnect(context.Background())
	})
	return s
}

// serve relays one client's commands, but for those that are about definitions.
func (s *rich) serve(ctx context.Context, client net.Conn, behind string) {
	defer client.Close()
	ferret, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	defer ferret.Close()
	defer context.AfterFunc(ctx, func() { client.Close(); ferret.Close() })()
	for {
		request, err := readWire(client)
		if err != nil {
			return
		}
		reply, err := s.answer(ctx, ferret, request)
		if err != nil {
			return
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

// readWire reads a whole message.
func readWire(from io.Reader) ([]byte, error) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	whole := append(head, make([]byte, binary.LittleEndian.Uint32(head)-16)...)
	_, err := io.ReadFull(from, whole[16:])
	return whole, err
}

// commandAt is where the command begins in an OP_MSG.
const commandAt = 16 + 4 + 1

// commandOf is the command in an OP_MSG; nil for other messages.
func commandOf(message []byte) bson.D {
	if binary.LittleEndian.Uint32(message[12:]) != 2013 {
		return nil
	}
	text := message[commandAt:]
	var command bson.D
	if bson.Unmarshal(text[:binary.LittleEndian.Uint32(text)], &command) != nil {
		return nil
	}
	return command
}

// renamed is a command about another collection, in whichever of its fields that is named.
func renamed(request []byte, command bson.D, name string) []byte {
	size := binary.LittleEndian.Uint32(request[commandAt:])
	command = slices.Clone(command)
	if at := slices.IndexFunc(command, func(e bson.E) bool { return e.Key == "collection" }); at >= 0 {
		command[at].Value = name
	} else {
		command[0].Value = name
	}
	message := append(messageOf(request, command), request[commandAt+size:]...)
	binary.LittleEndian.PutUint32(message, uint32(len(message)))
	copy(message[4:12], request[4:12])
	copy(message[16:20], request[16:20])
	return message
}

// messageOf is a message like another one, with another document.
func messageOf(like []byte, document bson.D) []byte {
	text, err := bson.Marshal(document)
	if err != nil {
		panic(err)
	}
	message := slices.Concat(like[:16], make([]byte, 5), text)
	binary.LittleEndian.PutUint32(message, uint32(len(message)))
	binary.LittleEndian.PutUint32(message[8:], binary.LittleEndian.Uint32(like[4:]))
	return message
}

func valueOf(document bson.D, key string) any {
	for _, e := range document {
		if e.Key == key {
			return e.Value
		}
	}
	return nil
}

func without(document bson.D, keys ...string) bson.D {
	return slices.DeleteFunc(slices.Clone(document), func(e bson.E) bool { return slices.Contains(keys, e.Key) })
}

// answer does a command, with FerretDB's help where it is about documents.
func (s *rich) answer(ctx context.Context, ferret net.Conn, request []byte) ([]byte, error) {
	relayed := func(message []byte) ([]byte, error) {
		if _, err := ferret.Write(message); err != nil {
			return nil, err
		}
		return readWire(ferret)
	}
	command := commandOf(request)
	if command == nil {
		return relayed(request)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	database, _ := valueOf(command, "$db").(string)
	name, _ := command[0].Value.(string)
	if of, ok := valueOf(command, "collection").(string); ok {
		name = of
	}
	d := s.defined[database][name]
	if len(database)+1+len(name) > longestName {
		return messageOf(request, bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: 73}, {Key: "codeName", Value: "InvalidNamespace"}, {Key: "errmsg", Value: "too long"}}), nil
	}
	fine := messageOf(request, bson.D{{Key: "ok", Value: 1.0}})
	switch command[0].Key {
	case "create":
		d := s.define(database, name)
		d.options = without(command, "create", "$db", "lsid", "writeConcern", "$clusterTime")
		if valueOf(d.options, "viewOn") != nil {
			return fine, nil
		}
		return relayed(messageOf(request, bson.D{{Key: "create", Value: s.stored(database, name)}, {Key: "$db", Value: database}}))
	case "createIndexes":
		d := s.define(database, name)
		for _, index := range valueOf(command, "indexes").(bson.A) {
			d.indexes = append(d.indexes, index.(bson.D))
			s.expire(ctx, database, name, index.(bson.D))
		}
		return fine, nil
	case "collMod":
		after := valueOf(command, expireOption)
		d.options = append(without(d.options, expireOption), bson.E{Key: expireOption, Value: after})
		s.expire(ctx, database, name, bson.D{{Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: expireOption, Value: after}})
		return fine, nil
	case "drop":
		stored := s.stored(database, name)
		delete(s.defined[database], name)
		if d != nil && valueOf(d.options, "viewOn") != nil {
			return fine, nil
		}
		return relayed(renamed(request, command, stored))
	case "dropDatabase":
		delete(s.defined, database)
	case "listIndexes":
		listed := []bson.D{{{Key: "v", Value: 2}, {Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "name", Value: "_id_"}}}
		if d != nil {
			listed = append(listed, d.indexes...)
		}
		return messageOf(request, append(cursorOf(0, listed...), bson.E{Key: "ok", Value: 1.0})), nil
	case "listCollections":
		reply, err := relayed(request)
		if err != nil {
			return nil, err
		}
		return messageOf(request, append(cursorOf(0, s.infos(database, commandOf(reply))...), bson.E{Key: "ok", Value: 1.0})), nil
	}
	if stored := s.stored(database, name); stored != name {
		return relayed(renamed(request, command, stored))
	}
	return relayed(request)
}

// stored is what FerretDB calls a collection: buckets of time series, and what is asked of a
// series itself, which the test asks nothing else of than whether it is empty.
func (s *rich) stored(database, name string) string {
	series := strings.TrimPrefix(name, bucketsPrefix)
	if d := s.defined[database][series]; d != nil && valueOf(d.options, timeseries) != nil {
		return bucketsHere + series
	}
	return name
}

const bucketsHere = "buckets_of_"

// define is what is known of a collection from now on.
func (s *rich) define(database, name string) *definition {
	if s.defined[database] == nil {
		s.defined[database] = map[string]*definition{}
	}
	if s.defined[database][name] == nil {
		s.defined[database][name] = &definition{}
	}
	return s.defined[database][name]
}

// infos are FerretDB's collections with their options, and the views.
func (s *rich) infos(database string, reply bson.D) (infos []bson.D) {
	cursor, _ := valueOf(reply, "cursor").(bson.D)
	listed, _ := valueOf(cursor, "firstBatch").(bson.A)
	for _, of := range listed {
		name, _ := valueOf(of.(bson.D), "name").(string)
		if series, ok := strings.CutPrefix(name, bucketsHere); ok {
			infos = append(infos, info(series, timeseries, s.defined[database][series].options), info(bucketsPrefix+series, "collection", bson.D{}))
			continue
		}
		options := bson.D{}
		if d := s.defined[database][name]; d != nil {
			options = append(options, d.options...)
		}
		infos = append(infos, info(name, "collection", options))
	}
	for name, d := range s.defined[database] {
		if valueOf(d.options, "viewOn") != nil {
			infos = append(infos, info(name, view, d.options))
		}
	}
	return infos
}

// expire deletes what is past its time by an index.
func (s *rich) expire(ctx context.Context, database, name string, index bson.D) {
	after, ok := bsonSeconds(valueOf(index, expireOption))
	if !ok {
		return
	}
	field := valueOf(index, "key").(bson.D)[0].Key
	past := bson.D{{Key: field, Value: bson.D{{Key: "$lt", Value: time.Now().Add(-after)}, {Key: "$type", Value: "date"}}}}
	_, _ = s.ferret.Database(database).Collection(name).DeleteMany(ctx, past) // or the test sees what is left
}

func bsonSeconds(value any) (time.Duration, bool) {
	switch n := value.(type) {
	case int32:
		return time.Duration(n) * time.Second, true
	case int64:
		return time.Duration(n) * time.Second, true
	case float64:
		return time.Duration(n) * time.Second, true
	}
	return 0, false
}

// database is a database of the test's own there, by a client that isn't what is tested.
func (s *rich) database(t *testing.T) *mongo.Database {
	t.Helper()
	return database(t, s.uri)
}

// command runs a command as a client would.
func command(t *testing.T, db *mongo.Database, command ...bson.E) {
	t.Helper()
	if err := db.RunCommand(t.Context(), bson.D(command)).Err(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

// aged are documents of which every second one is past the time that expire gives them.
func aged(count int) []bson.D {
	var documents []bson.D
	for i := range count {
		at := time.Now().Add(-time.Duration(i%2) * 48 * time.Hour)
		documents = append(documents, bson.D{{Key: "_id", Value: i}, {Key: "at", Value: at}, {Key: "text", Value: strings.Repeat("x", 50)}})
	}
	return documents
}

var expiring = bson.D{{Key: "key", Value: bson.D{{Key: "at", Value: 1}}}, {Key: "name", Value: "at_1"}, {Key: expireOption, Value: int32(3600)}}

// Documents that are past their time are still there until a server looks, and in a dump of
// such a moment. They come out of it, and only then go.
func TestDocumentsPastTheirTimeAreComparedBeforeTheyGo(t *testing.T) {
	t.Parallel()
	server := startRich(t)
	db, target := server.database(t), server.database(t)
	command(t, db, bson.E{Key: "create", Value: "clustered"}, bson.E{Key: "clusteredIndex", Value: bson.D{{Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "unique", Value: true}}})
	insert(t, db, "clustered", bson.D{{Key: "_id", Value: time.Now().Add(-48 * time.Hour)}}, bson.D{{Key: "_id", Value: time.Now()}})
	insert(t, db, "tokens", aged(100)...)
	server.mu.Lock() // as a server has it whose thread for this comes once a minute
	server.define(db.Name(), "tokens").indexes = []bson.D{expiring, {{Key: "key", Value: bson.D{{Key: "text", Value: "hashed"}}}, {Key: "name", Value: "text_hashed"}}}
	clustered := server.define(db.Name(), "clustered")
	clustered.options = append(clustered.options, bson.E{Key: expireOption, Value: int64(3600)})
	server.mu.Unlock()

	s := source(server.uri, db)
	archive, contents := dumped(t, s)
	if contents.Documents() != 102 {
		t.Fatalf("there is %v", contents)
	}
	comesBack(t, s, restorer(server.uri, target), archive, contents)
	_, after := dumped(t, source(server.uri, target))
	for i, want := range []int64{1, 50} { // those that aren't past it
		if got := after.Collections[i]; got.Documents != want || got.Definition != contents.Collections[i].Definition {
			t.Errorf("later there is %v", got)
		}
	}
}

// What an operator of MongoDB has in a database comes back, whatever this program makes of
// such things itself.
func TestWhatMongoDBHasComesBack(t *testing.T) {
	t.Parallel()
	server := startRich(t)
	db, target := server.database(t), server.database(t)
	french := bson.D{{Key: "locale", Value: "fr"}, {Key: "strength", Value: int32(1)}}
	filter := bson.D{{Key: "a", Value: bson.D{{Key: "$exists", Value: true}}}}
	for name, options := range map[string]bson.D{
		"capped":  {{Key: "capped", Value: true}, {Key: "size", Value: int32(1 << 20)}, {Key: "max", Value: int32(500)}},
		"french":  {{Key: "collation", Value: french}},
		"checked": {{Key: "validator", Value: filter}, {Key: "validationLevel", Value: "strict"}, {Key: "validationAction", Value: "error"}},
		"images":  {{Key: "changeStreamPreAndPostImages", Value: bson.D{{Key: "enabled", Value: true}}}},
		"view":    {{Key: "viewOn", Value: "french"}, {Key: "pipeline", Value: bson.A{bson.D{{Key: "$match", Value: filter}}}}, {Key: "collation", Value: french}},
	} {
		command(t, db, append(bson.D{{Key: "create", Value: name}}, options...)...)
		if name != "view" {
			insert(t, db, name, numbered(0, 300, 100)...)
		}
	}
	index := func(name string, key any, more ...bson.E) bson.D {
		return append(bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "text", Value: key}}}, {Key: "name", Value: name}}, more...)
	}
	command(t, db, bson.E{Key: "createIndexes", Value: "french"}, bson.E{Key: "indexes", Value: bson.A{
		index("partial", 1, bson.E{Key: "partialFilterExpression", Value: filter}, bson.E{Key: "unique", Value: true}),
		index("hashed", "hashed"), index("geo", "2dsphere", bson.E{Key: "2dsphereIndexVersion", Value: int32(3)}),
		index("words", "text", bson.E{Key: "weights", Value: bson.D{{Key: "text", Value: int32(1)}}}, bson.E{Key: "default_language", Value: "english"}),
		index("sorted", -1, bson.E{Key: "collation", Value: french}, bson.E{Key: "hidden", Value: true}),
	}})
	s := source(server.uri, db)
	archive, contents := dumped(t, s)
	if len(contents.Collections) != 5 {
		t.Fatalf("there is %v", contents)
	}
	comesBack(t, s, restorer(server.uri, target), archive, contents)
	_, again := dumped(t, source(server.uri, target))
	equal(t, again, contents)
}

// A collection that goes with whoever has made it is a collection like others once it comes
// out of a backup.
func TestTemporaryCollectionsComeBackForGood(t *testing.T) {
	t.Parallel()
	server := startRich(t)
	db := server.database(t)
	command(t, db, bson.E{Key: "create", Value: "c"}, bson.E{Key: "temp", Value: true})
	insert(t, db, "c", numbered(0, 10, 100)...)
	s := source(server.uri, db)
	archive, contents := dumped(t, s)
	drilled, err := s.Drill(t.Context(), bytes.NewReader(archive), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, drilled, contents)
}

// A name that is as long as it can be in its database would be too long in the scratch one.
func TestTheLongestNamesCanBeDrilled(t *testing.T) {
	t.Parallel()
	server := startRich(t)
	db := server.database(t)
	name := strings.Repeat("n", longestName-len(db.Name())-1)
	insert(t, db, name, numbered(0, 300, 300)...)
	insert(t, db, strings.Repeat("m", 50), numbered(0, 3, 300)...)
	s := source(server.uri, db)
	archive, contents := dumped(t, s)
	drilled, err := s.Drill(t.Context(), bytes.NewReader(archive), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, drilled, contents)
}

// A time series comes back as the buckets that have its measurements, and they expire only
// after they have been compared.
func TestTimeSeriesComeBackAsBuckets(t *testing.T) {
	t.Parallel()
	server := startRich(t)
	db, target := server.database(t), server.database(t)
	series := bson.D{{Key: "timeField", Value: "at"}, {Key: "metaField", Value: "of"}, {Key: "granularity", Value: "seconds"}, {Key: "bucketMaxSpanSeconds", Value: int32(3600)}}
	command(t, db, bson.E{Key: "create", Value: "weather"}, bson.E{Key: timeseries, Value: series})
	insert(t, db, "others", numbered(0, 3, 100)...)
	var buckets []bson.D
	for i := range 300 {
		at := time.Now().Add(-48 * time.Hour)
		buckets = append(buckets, bson.D{{Key: "_id", Value: bson.NewObjectIDFromTimestamp(at)}, {Key: "control", Value: bson.D{{Key: "version", Value: int32(2)}}}, {Key: "meta", Value: i}, {Key: "data", Value: bson.Binary{Subtype: 7, Data: make([]byte, 100)}}})
	}
	insert(t, db, bucketsPrefix+"weather", buckets...)
	server.mu.Lock()
	server.define(db.Name(), "weather").options = append(server.define(db.Name(), "weather").options, bson.E{Key: expireOption, Value: int64(3600)})
	server.mu.Unlock()
	s := source(server.uri, db)
	archive, contents := dumped(t, s)
	if n, ok := contents.Count("weather"); !ok || n != 300 || len(contents.Collections) != 2 {
		t.Fatalf("there is %v", contents)
	}
	drilled, err := s.Drill(t.Context(), bytes.NewReader(archive), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, drilled, contents)
	r := restorer(server.uri, target)
	for _, o := range []backup.RestoreOptions{{}, {Collections: []string{"weather"}, Drop: true}} {
		restored, err := r.Restore(t.Context(), bytes.NewReader(archive), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := contents.Only(o.Collections)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, restored, want)
	}
	if _, err := r.Restore(t.Context(), bytes.NewReader(archive), backup.RestoreOptions{}, nil); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("it overwrites: %v", err)
	}
	_, again := dumped(t, source(server.uri, target))
	equal(t, again, contents)
}
