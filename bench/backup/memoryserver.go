package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// memoryServer speaks as much of MongoDB's protocol as a dump asks for, and has the
// documents in memory: it is as fast as a server can be, so that what is measured is
// the program that dumps. It has a few batches of documents, again and again.
type memoryServer struct {
	uri         string
	collections map[string]int // documents in each
	documents   [][]byte

	mu   sync.Mutex
	left map[int64]int // documents that each cursor has still
}

// startMemoryServer serves about so many megabytes in four collections until the
// program ends.
func startMemoryServer(megabytes int) (*memoryServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &memoryServer{uri: "mongodb://" + listener.Addr().String() + "/?directConnection=true", collections: map[string]int{}, left: map[int64]int{}}
	texts, size := newTexts(1), 0
	for n := range 20_000 {
		var fields bson.D
		if _, doc := texts.event(n); bson.UnmarshalExtJSON([]byte(doc), false, &fields) != nil {
			return nil, fmt.Errorf("a document isn't one")
		}
		text, err := bson.Marshal(fields)
		if err != nil {
			return nil, err
		}
		s.documents = append(s.documents, text)
		size += len(text)
	}
	for i := range 4 {
		s.collections[fmt.Sprint("events", i)] = megabytes * 1e6 / 4 * len(s.documents) / size
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s, nil
}

// serve answers one client, in OP_MSG but for a first OP_QUERY.
func (s *memoryServer) serve(c net.Conn) {
	defer c.Close() //nolint:errcheck // a client has gone
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
		kind, begin, before := binary.LittleEndian.Uint32(head[12:]), 5, make([]byte, 5)
		if kind == 2004 { // OP_QUERY, which OP_REPLY answers
			begin = 4 + bytes.IndexByte(body[4:], 0) + 1 + 8
			kind, before = 1, append(make([]byte, 16), 1, 0, 0, 0)
		}
		command := bson.Raw(body[begin:])
		answer := s.answer(command[:binary.LittleEndian.Uint32(command)])
		text := binary.LittleEndian.AppendUint32(nil, uint32(16+len(before)+len(answer)))
		text = append(append(text, 0, 0, 0, 0), head[4:8]...)
		text = append(binary.LittleEndian.AppendUint32(text, kind), before...)
		if _, err := (&net.Buffers{text, answer}).WriteTo(c); err != nil {
			return
		}
	}
}

func (s *memoryServer) answer(command bson.Raw) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := command.IndexErr(0)
	if err != nil {
		return nil
	}
	name := func() string { return first.Value().StringValue() }
	var answer bson.D
	switch first.Key() {
	case "hello", "isMaster", "ismaster":
		answer = bson.D{{Key: "isWritablePrimary", Value: true}, {Key: "ismaster", Value: true}, {Key: "helloOk", Value: true}, {Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48_000_000}, {Key: "maxWriteBatchSize", Value: 100_000}, {Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21}}
	case "buildInfo":
		answer = bson.D{{Key: "version", Value: "8.0.0"}, {Key: "versionArray", Value: bson.A{8, 0, 0, 0}}}
	case "listCollections":
		infos := bson.A{}
		for name := range s.collections {
			infos = append(infos, bson.D{{Key: "name", Value: name}, {Key: "type", Value: "collection"}, {Key: "options", Value: bson.D{}}, {Key: "info", Value: bson.D{{Key: "readOnly", Value: false}}}})
		}
		answer = cursor(infos)
	case "listIndexes":
		answer = cursor(bson.A{bson.D{{Key: "v", Value: 2}, {Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "name", Value: "_id_"}}})
	case "listDatabases":
		answer = bson.D{{Key: "databases", Value: bson.A{bson.D{{Key: "name", Value: "manus"}}}}}
	case "count":
		answer = bson.D{{Key: "n", Value: s.collections[name()]}}
	case "collStats":
		n := s.collections[name()]
		answer = bson.D{{Key: "count", Value: n}, {Key: "size", Value: n * len(s.documents[0])}}
	case "dbStats":
		n := 0
		for _, documents := range s.collections {
			n += documents
		}
		answer = bson.D{{Key: "dataSize", Value: float64(n * len(s.documents[0]))}}
	case "find":
		id := int64(len(s.left) + 1)
		s.left[id] = s.collections[name()]
		if limit, ok := command.Lookup("limit").AsInt64OK(); ok && limit > 0 {
			s.left[id] = min(s.left[id], int(limit))
		}
		return s.batch(id, "firstBatch", command.Lookup("batchSize"), 101)
	case "getMore":
		return s.batch(first.Value().AsInt64(), "nextBatch", command.Lookup("batchSize"), len(s.documents))
	}
	text, err := bson.Marshal(append(answer, bson.E{Key: "ok", Value: 1}))
	if err != nil {
		panic(err) // a mistake above
	}
	return text
}

func cursor(batch bson.A) bson.D {
	return bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "manus.$cmd"}, {Key: "firstBatch", Value: batch}}}}
}

// batch is the answer with a cursor's next documents, at most 16 MiB as from a real
// server. The cursor's own number says where it is.
func (s *memoryServer) batch(id int64, name string, size bson.RawValue, usual int) []byte {
	n := usual
	if asked, ok := size.AsInt64OK(); ok && asked > 0 {
		n = int(asked)
	}
	at := s.left[id]
	n = min(n, at)
	const most = 16 << 20
	elements := make([]byte, 0, min(most, n*1100)+1<<20)
	sent := 0
	for ; sent < n && len(elements) < most; sent++ {
		elements = append(strconv.AppendInt(append(elements, 3), int64(sent), 10), 0)
		elements = append(elements, s.documents[(at-sent)%len(s.documents)]...)
	}
	if s.left[id] -= sent; s.left[id] == 0 {
		id = 0
	}
	array := append(binary.LittleEndian.AppendUint32(nil, uint32(len(elements)+5)), append(elements, 0)...)
	text, err := bson.Marshal(bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: id}, {Key: "ns", Value: "manus.c"}, {Key: name, Value: bson.RawValue{Type: bson.TypeArray, Value: array}}}}, {Key: "ok", Value: 1}})
	if err != nil {
		panic(err) // a mistake above
	}
	return text
}
