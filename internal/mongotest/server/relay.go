package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// relay stands between clients and FerretDB and forwards messages of MongoDB's
// wire protocol, whatever they are, with three differences:
//
//   - One request at a time is with FerretDB, from its first byte to the last of
//     its reply, whoever sent it. MongoDB changes a document atomically; FerretDB 1
//     reads it, changes it and writes it, and loses what was written in between.
//   - Indexes lose what FerretDB refuses, see withoutRefusedOptions.
//   - A change of the document that has an id, and something else as it is to be, is made of
//     the document that has the id, see byIDAlone.
//
// Every client has a connection to FerretDB of its own, because a connection has
// a state: FerretDB refuses a second handshake. So a client that sends nonsense,
// or hangs up at any moment, takes nobody with it.
type relay struct {
	listener net.Listener
	store    string
	turn     sync.Mutex // of the request that is with FerretDB
	ctx      context.Context
	cancel   context.CancelFunc
	clients  sync.WaitGroup
}

// startRelay relays to the store, which is an address, until stop is called.
func startRelay(store string) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, store: store}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.clients.Go(r.accept)
	return r, nil
}

func (r *relay) addr() string { return r.listener.Addr().String() }

// stop ends the relay and its connections, and waits for them.
func (r *relay) stop() {
	r.cancel()
	_ = r.listener.Close()
	r.clients.Wait()
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil { // or the client was gone before we were there
			r.clients.Go(func() { r.serve(client) })
		}
	}
}

// serve relays a client's requests until either side hangs up.
func (r *relay) serve(client net.Conn) {
	defer client.Close()
	store, err := net.Dial("tcp", r.store)
	if err != nil {
		return
	}
	defer store.Close()
	defer context.AfterFunc(r.ctx, func() { client.Close(); store.Close() })()
	requests, replies := bufio.NewReader(client), bufio.NewReader(store)
	for {
		request, err := readMessage(requests)
		if err != nil {
			return
		}
		reply, err := r.exchange(store, replies, withoutRefusedOptions(request))
		if err != nil {
			return
		}
		// FerretDB answers even those who don't listen.
		if request.moreToCome() {
			continue
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

// exchange sends a request to FerretDB and waits for the whole reply, even if
// there is no client any more to give it to: only then has the request been done.
func (r *relay) exchange(store io.Writer, replies *bufio.Reader, request message) (message, error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	ask := func(request message) (message, error) {
		if _, err := store.Write(request); err != nil {
			return nil, err
		}
		return readMessage(replies)
	}
	request, err := byIDAlone(request, ask)
	if err != nil {
		return nil, err
	}
	return ask(request)
}

// message is a message of the wire protocol, with its header: four numbers of 32
// bits, which are its length, its ID, the ID it answers, and the kind of message.
type message []byte

const (
	headerLen = 16
	// maxMessageLen is what FerretDB and MongoDB accept, and say so in their hello.
	maxMessageLen = 48_000_000
	// opMsg is the kind of message that all commands have. Four bytes of flags
	// come after its header, then sections that have a byte for their kind.
	opMsg = 2013
	// flagMoreToCome says that the sender doesn't want a reply.
	flagMoreToCome = 1 << 1
	// sectionBody is the kind of the section that is the command: a document; sectionSequence
	// that of one that has a length, a name and documents.
	sectionBody     = 0
	sectionSequence = 1
	// bodyStart is where the document of the first section begins.
	bodyStart = headerLen + 4 + 1
)

// readMessage reads a whole message.
func readMessage(from io.Reader) (message, error) {
	header := make([]byte, headerLen)
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(header)
	if size < headerLen || size > maxMessageLen {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	whole := make(message, size)
	copy(whole, header)
	_, err := io.ReadFull(from, whole[headerLen:])
	return whole, err
}

func (m message) isCommand() bool {
	return len(m) > bodyStart && binary.LittleEndian.Uint32(m[12:]) == opMsg
}

func (m message) moreToCome() bool {
	return m.isCommand() && binary.LittleEndian.Uint32(m[headerLen:])&flagMoreToCome != 0
}

// body is the document of a command, if it comes first, as drivers have it.
func (m message) body() (document bson.Raw, ok bool) {
	if !m.isCommand() || m[bodyStart-1] != sectionBody {
		return nil, false
	}
	document = bson.Raw(m[bodyStart:])
	if len(document) < 4 {
		return nil, false
	}
	size := binary.LittleEndian.Uint32(document)
	if uint64(size) > uint64(len(document)) {
		return nil, false
	}
	document = document[:size]
	return document, document.Validate() == nil
}

// refusedOptions are those of indexes that withoutRefusedOptions takes away.
var refusedOptions = []string{"partialFilterExpression", "ns"}

// withoutRefusedOptions takes options away from a createIndexes command that FerretDB 1
// refuses: ns, a collection's name that mongorestore repeats in its indexes and MongoDB
// doesn't look at, and partialFilterExpression. What the product wants of that, that a unique
// index leaves documents alone which lack one of its fields, FerretDB's indexes
// do by themselves: they are SQLite's, to which what isn't there is NULL. A filter
// that leaves out anything else would not be obeyed, and an index never says that
// it has one. Everything else is as it was.
func withoutRefusedOptions(m message) message {
	body, ok := m.body()
	if !ok {
		return m
	}
	if first, err := body.IndexErr(0); err != nil || first.Key() != "createIndexes" {
		return m
	}
	var command bson.D
	if err := bson.Unmarshal(body, &command); err != nil {
		return m
	}
	for _, field := range command {
		indexes, ok := field.Value.(bson.A)
		if field.Key != "indexes" || !ok {
			continue
		}
		for i := range indexes {
			if index, ok := indexes[i].(bson.D); ok {
				indexes[i] = slices.DeleteFunc(index, func(option bson.E) bool { return slices.Contains(refusedOptions, option.Key) })
			}
		}
	}
	rest := m[bodyStart+len(body):]
	changed, err := bson.Marshal(command)
	if err != nil {
		return m
	}
	m = slices.Concat(m[:bodyStart], changed, rest)
	binary.LittleEndian.PutUint32(m, uint32(len(m)))
	return m
}

// byIDAlone has a command that changes or deletes one document, selected by its id and
// another field, select it by its id alone, where the document that has the id has the other
// field as it is to be. MongoDB looks at that document only; FerretDB 1 reads the whole collection,
// unless the id is all that it is told. It asks FerretDB in the turn of the command. Everything
// else is as it was.
func byIDAlone(m message, ask func(message) (message, error)) (message, error) {
	body, ok := m.body()
	if !ok || binary.LittleEndian.Uint32(m[headerLen:]) != 0 {
		return m, nil
	}
	first, err := body.IndexErr(0)
	if err != nil || first.Key() != "update" && first.Key() != "delete" {
		return m, nil
	}
	statement, ok := m.onlyStatement(body, first.Key()+"s")
	if !ok {
		return m, nil
	}
	q, _ := statement.Lookup("q").DocumentOK()
	selected, err := q.Elements()
	if err != nil || len(selected) != 2 || selected[0].Key() != "_id" || selected[0].Value().Type != bson.TypeString || selected[1].Value().Type != bson.TypeInt64 {
		return m, nil
	}
	byID := bson.D{{Key: "_id", Value: selected[0].Value()}}
	found, err := ask(newCommand(bson.D{
		{Key: "find", Value: first.Value()}, {Key: "filter", Value: byID}, {Key: "limit", Value: int32(1)}, {Key: "singleBatch", Value: true}, {Key: "$db", Value: body.Lookup("$db")},
	}))
	if err != nil {
		return nil, err
	}
	answer, _ := found.body()
	document, ok := answer.Lookup("cursor", "firstBatch", "0").DocumentOK()
	if !ok || !document.Lookup(selected[1].Key()).Equal(selected[1].Value()) {
		return m, nil
	}
	var changed bson.D
	if err := bson.Unmarshal(statement, &changed); err != nil {
		return m, nil //nolint:nilerr // FerretDB says what is wrong with it
	}
	for i := range changed {
		if changed[i].Key == "q" {
			changed[i].Value = byID
		}
	}
	raw, err := bson.Marshal(changed)
	if err != nil {
		return m, nil //nolint:nilerr // as above
	}
	return withStatement(m[:bodyStart+len(body)], first.Key()+"s", raw), nil
}

// onlyStatement is the one document of a sequence that is all that comes after the command.
func (m message) onlyStatement(body bson.Raw, name string) (bson.Raw, bool) {
	start := []byte{sectionSequence, 0, 0, 0, 0}
	rest := m[bodyStart+len(body):]
	if len(rest) < len(start)+len(name)+1+4 || rest[0] != sectionSequence || string(rest[len(start):len(start)+len(name)+1]) != name+"\x00" {
		return nil, false
	}
	statement := bson.Raw(rest[len(start)+len(name)+1:])
	if uint64(binary.LittleEndian.Uint32(statement)) != uint64(len(statement)) || statement.Validate() != nil {
		return nil, false
	}
	return statement, true
}

// withStatement is a message with a sequence of one document behind its command.
func withStatement(m message, name string, statement bson.Raw) message {
	sequence := binary.LittleEndian.AppendUint32(nil, uint32(4+len(name)+1+len(statement)))
	whole := slices.Concat(m, []byte{sectionSequence}, sequence, []byte(name), []byte{0}, []byte(statement))
	binary.LittleEndian.PutUint32(whole, uint32(len(whole)))
	return whole
}

// newCommand is a message that has a command alone.
func newCommand(body bson.D) message {
	raw, err := bson.Marshal(body)
	if err != nil {
		panic(err) // it is of our own making
	}
	m := append(make(message, bodyStart), raw...)
	binary.LittleEndian.PutUint32(m, uint32(len(m)))
	binary.LittleEndian.PutUint32(m[12:], opMsg)
	return m
}
