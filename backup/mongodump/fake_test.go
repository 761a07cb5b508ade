package mongodump

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"manus/backup"
	"manus/internal/processtest"
	"manus/internal/waittest"
)

// fake is a server that speaks as much of MongoDB's protocol as a backup needs, for
// what no server of the tests can: it is as fast as the network, as large as it's said
// to be, and what the test wants it to be. Its documents are all alike.
type fake struct {
	uri         string
	hello       bson.D         // what it says of itself besides
	collections map[string]int // how many documents there are in each
	infos       []bson.D       // other collections
	document    []byte
	refuse      string               // the command that it refuses, with a text that has a secret
	code        int                  // why; 0 is 72
	before      func(command string) // is called before it answers

	mu    sync.Mutex
	asked []bson.Raw
	left  map[int64]int // documents that cursors have still
}

// start serves until the test ends.
func (f *fake) start(t *testing.T) *fake {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.uri, f.left = "mongodb://"+listener.Addr().String()+"/?directConnection=true", map[int64]int{}
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	all.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer context.AfterFunc(ctx, func() { c.Close() })()
				f.serve(c)
			})
		}
	})
	t.Cleanup(func() { stop(); _ = listener.Close(); all.Wait() })
	return f
}

// serve answers one client, in OP_MSG but for the driver's first question, which is an
// OP_QUERY.
func (f *fake) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		head := make([]byte, 16)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(head)-16)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		kind, begin := binary.LittleEndian.Uint32(head[12:]), 5
		before := []byte{0, 0, 0, 0, 0}
		if kind == 2004 {
			begin = 4 + bytes.IndexByte(body[4:], 0) + 1 + 8
			kind, before = 1, slices.Concat(make([]byte, 16), []byte{1, 0, 0, 0})
		}
		command := bson.Raw(body[begin:])
		command = command[:binary.LittleEndian.Uint32(command)]
		if first, err := command.IndexErr(0); err == nil && f.before != nil {
			f.before(first.Key())
		}
		answer := f.answer(command)
		text := binary.LittleEndian.AppendUint32(nil, uint32(16+len(before)+len(answer)))
		text = append(text, 0, 0, 0, 0)
		text = append(text, head[4:8]...)
		text = binary.LittleEndian.AppendUint32(text, kind)
		if _, err := c.Write(slices.Concat(text, before, answer)); err != nil {
			return
		}
	}
}

func (f *fake) answer(command bson.Raw) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, slices.Clone(command))
	first, err := command.IndexErr(0)
	if err != nil {
		return nil
	}
	var answer bson.D
	switch name := first.Key(); name {
	case f.refuse:
		answer = bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: cmp.Or(f.code, 72)}, {Key: "codeName", Value: "InvalidOptions"}, {Key: "errmsg", Value: "secret"}}
	case "hello", "isMaster", "ismaster":
		answer = append(bson.D{{Key: "isWritablePrimary", Value: true}, {Key: "helloOk", Value: true}, {Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48_000_000}, {Key: "maxWriteBatchSize", Value: 100_000}, {Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21}}, f.hello...)
	case "buildInfo":
		answer = bson.D{{Key: "version", Value: "8.0.0"}}
	case "listCollections":
		answer = cursorOf(0, f.infos...)
		if strings.HasPrefix(command.Lookup("$db").StringValue(), scratchPrefix) {
			answer = cursorOf(0)
		}
	case "listIndexes":
		answer = cursorOf(0, bson.D{{Key: "v", Value: 2}, {Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "name", Value: "_id_"}})
	case "collStats":
		n := f.collections[first.Value().StringValue()]
		answer = bson.D{{Key: "count", Value: n}, {Key: "size", Value: n * len(f.document)}}
	case "listDatabases":
		answer = bson.D{{Key: "databases", Value: bson.A{}}}
	case "find":
		id := int64(len(f.left) + 1)
		f.left[id] = f.collections[first.Value().StringValue()]
		if limit, ok := command.Lookup("limit").AsInt64OK(); ok {
			f.left[id] = min(f.left[id], int(limit))
		}
		return f.batch(id, "firstBatch", command.Lookup("batchSize"))
	case "getMore":
		return f.batch(first.Value().AsInt64(), "nextBatch", command.Lookup("batchSize"))
	default:
		answer = bson.D{{Key: "n", Value: 1}}
	}
	if answer[0].Key != "ok" {
		answer = append(answer, bson.E{Key: "ok", Value: 1})
	}
	text, err := bson.Marshal(answer)
	if err != nil {
		panic(err)
	}
	return text
}

func cursorOf(id int64, documents ...bson.D) bson.D {
	return bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: id}, {Key: "ns", Value: "a.b"}, {Key: "firstBatch", Value: append([]bson.D{}, documents...)}}}}
}

// batch is the answer with a cursor's next documents, no more than 16 MiB of them.
func (f *fake) batch(id int64, name string, size bson.RawValue) []byte {
	n := f.left[id]
	if asked, ok := size.AsInt64OK(); ok {
		n = min(n, int(asked))
	}
	n = min(n, max(1, 16<<20/max(1, len(f.document))))
	if f.left[id] -= n; f.left[id] == 0 {
		id = 0
	}
	var elements []byte
	for i := range n {
		elements = append(append(append(elements, 3), strconv.Itoa(i)...), 0)
		elements = append(elements, f.document...)
	}
	array := append(binary.LittleEndian.AppendUint32(nil, uint32(len(elements)+5)), append(elements, 0)...)
	text, err := bson.Marshal(bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: id}, {Key: "ns", Value: "a.b"}, {Key: name, Value: bson.RawValue{Type: bson.TypeArray, Value: array}}}}, {Key: "ok", Value: 1}})
	if err != nil {
		panic(err)
	}
	return text
}

// commands are what it was asked for by a name.
func (f *fake) commands(name string) []bson.Raw {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.asked), func(c bson.Raw) bool {
		first, err := c.IndexErr(0)
		return err != nil || first.Key() != name
	})
}

func info(name, kind string, options bson.D) bson.D {
	return bson.D{{Key: "name", Value: name}, {Key: "type", Value: kind}, {Key: "options", Value: options}}
}

func TestAMajorityIsAskedForWhereThereIsOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hello    bson.D
		majority bool
	}{
		"a replica set": {bson.D{{Key: "setName", Value: "rs"}}, true},
		"a router":      {bson.D{{Key: "msg", Value: "isdbgrid"}}, true},
		"alone":         {nil, false},
	} {
		f := (&fake{hello: c.hello, infos: []bson.D{info("c", "collection", bson.D{})}, document: raw(t, 1), collections: map[string]int{"c": 10}}).start(t)
		contents, err := NewSource(f.uri, "d").Dump(t.Context(), io.Discard, nil)
		if err != nil || contents.Documents() != 10 {
			t.Fatal(contents, err)
		}
		for _, find := range f.commands("find") {
			level, _ := find.Lookup("readConcern", "level").StringValueOK()
			if (level == "majority") != c.majority {
				t.Errorf("%s is asked %v", name, find)
			}
		}
	}
}

func TestViewsAreDumpedAsWhatTheyAre(t *testing.T) {
	t.Parallel()
	options := bson.D{{Key: "viewOn", Value: "c"}, {Key: "pipeline", Value: bson.A{bson.D{{Key: "$match", Value: bson.D{{Key: "a", Value: 1.5}}}}}}}
	f := (&fake{infos: []bson.D{info("v", view, options), info("system.views", "collection", bson.D{}), info("system.js", "collection", bson.D{})}}).start(t)
	var archive bytes.Buffer
	contents, err := NewSource(f.uri, "d").Dump(t.Context(), &archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(contents.Collections) != 2 || contents.Collections[1].Name != "v" || contents.Collections[1].Documents != 0 || len(f.commands("find")) != 1 {
		t.Errorf("there is %v", contents)
	}
	r := &Restorer{uri: f.uri, database: scratchPrefix + "empty", limits: patient()}
	if _, err := r.Restore(t.Context(), &archive, backup.RestoreOptions{Collections: []string{"v"}}, nil); err != nil {
		t.Fatal(err)
	}
	created := f.commands("create")
	if len(created) != 1 || len(f.commands("createIndexes")) != 0 {
		t.Fatalf("it was created by %v", created)
	}
	for _, option := range options {
		want, err := bson.Marshal(bson.D{option})
		if err != nil {
			t.Fatal(err)
		}
		if got := created[0].Lookup(option.Key); !got.Equal(bson.Raw(want).Lookup(option.Key)) {
			t.Errorf("the view has %s %v", option.Key, got)
		}
	}
}

func TestWhatAServerRefusesIsToldByItsCode(t *testing.T) {
	t.Parallel()
	archive := archiveOf(t, metadata{Name: "c"})
	for command, want := range map[string]error{"create": backup.ErrDamaged, "listDatabases": nil, "buildInfo": nil} {
		f := (&fake{refuse: command}).start(t)
		_, err := NewSource(f.uri, "d").Drill(t.Context(), bytes.NewReader(archive), nil)
		if err == nil || want != nil && !errors.Is(err, want) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "InvalidOptions (code 72)") {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// labelled runs f, and every goroutine that it starts, under a label.
func labelled(t *testing.T, f func()) {
	t.Helper()
	pprof.Do(t.Context(), pprof.Labels("test", t.Name()), func(context.Context) { f() })
}

// stacks are those of the goroutines under the test's label.
func stacks(t *testing.T) (all []string) {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Error(err)
	}
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(stack, fmt.Sprintf("%q", t.Name())) {
			all = append(all, stack)
		}
	}
	return all
}

// The insert is answered when it has been dropped, or when nothing is done but wait for it:
// who reads the archive has come to its end, and is waited for no longer.
func TestNothingIsDroppedWhileTheServerIsStillInserting(t *testing.T) {
	t.Parallel()
	inserting, answer, dropped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	begun := sync.OnceFunc(func() { close(inserting) })
	isDropped := func() bool {
		select {
		case <-dropped:
			return true
		default:
			return false
		}
	}
	waiting := func() bool {
		all := stacks(t)
		reading := func(stack string) bool { return strings.Contains(stack, ".(*restoring).stream") }
		restoring := func(stack string) bool { return strings.Contains(stack, "errgroup.(*Group).Wait") }
		return slices.ContainsFunc(all, restoring) && !slices.ContainsFunc(all, reading)
	}
	f := (&fake{before: func(command string) {
		switch command {
		case "insert":
			begun()
			select {
			case <-answer:
			case <-t.Context().Done():
			}
		case "dropDatabase":
			close(dropped)
		}
	}}).start(t)
	archive := archiveOf(t, metadata{Name: "c"}, numbered(0, 100, 50)...)
	cut := readerFunc(func([]byte) (int, error) {
		<-inserting
		return 0, io.EOF
	})
	s := NewSource(f.uri, "d")
	s.limits.batch = 1 << 10
	var drill sync.WaitGroup
	drill.Go(func() {
		labelled(t, func() {
			if _, err := s.Drill(t.Context(), io.MultiReader(bytes.NewReader(archive[:len(archive)*3/4]), cut), nil); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	})
	waittest.Poll(t, func() bool { return isDropped() || waiting() })
	if isDropped() {
		t.Error("it was dropped before the insert was answered")
	}
	close(answer)
	drill.Wait()
	if !isDropped() {
		t.Error("it wasn't dropped")
	}
}

// TestMemoryIsBounded lets a process of its own dump and drill far more than it may
// have of memory.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("the race detector has a memory of its own")
	}
	for name, c := range map[string]struct{ size, each int }{
		"small documents": {1 << 10, 50_000},
		"large documents": {1 << 20, 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// By such an _id, no collection is split.
			text, err := bson.Marshal(bson.D{{Key: "_id", Value: 1.5}, {Key: "x", Value: bson.Binary{Data: make([]byte, c.size)}}})
			if err != nil {
				t.Fatal(err)
			}
			f := &fake{document: text, collections: map[string]int{}}
			for i := range 4 {
				name := fmt.Sprint("c", i)
				f.collections[name], f.infos = c.each, append(f.infos, info(name, "collection", bson.D{}))
			}
			f.start(t)
			out, err := processtest.Command(t.Context(), "measures", f.uri).CombinedOutput()
			if err != nil {
				t.Fatalf("%v %s", err, out)
			}
			var kib, documents int
			if _, err := fmt.Sscan(string(out), &kib, &documents); err != nil || documents != 4*c.each {
				t.Fatalf("it says %q, %v", out, err)
			}
			if kib > 96<<10 {
				t.Errorf("%d MiB of memory for %d MiB of documents", kib>>10, 4*c.each*c.size>>20)
			}
		})
	}
}

// measure dumps a database into a drill, and says how much memory that took at most, and
// how many documents there were.
func measure(args []string) error {
	s := NewSource(args[0], "d")
	in, out := io.Pipe()
	dumped := make(chan error, 1)
	var contents backup.Contents
	go func() {
		var err error
		contents, err = s.Dump(context.Background(), out, nil)
		dumped <- errors.Join(err, out.CloseWithError(err))
	}()
	_, err := s.Drill(context.Background(), in, nil)
	if err := errors.Join(err, <-dumped); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println(strings.Fields(after)[0], contents.Documents())
	return err
}
