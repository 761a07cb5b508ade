package mongodump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// archiveWriter writes an archive. Several goroutines may write their collections'
// documents at once. After an error every call returns that error.
type archiveWriter struct {
	mu       sync.Mutex
	out      io.Writer
	progress func(written int64)
	written  int64
	err      error

	table   *crc64.Table
	open    map[namespace]uint64 // the checksums of those that haven't ended
	current namespace            // of the block that is being written, or none
}

// newArchiveWriter writes everything that comes before the documents. progress is
// told after each write how many bytes there have been.
func newArchiveWriter(out io.Writer, h header, entries []entry, progress func(int64)) (*archiveWriter, error) {
	a := &archiveWriter{out: out, progress: progress, table: ecma(), open: map[namespace]uint64{}}
	h.Version, h.Tool = formatVersion, toolVersion
	text := binary.LittleEndian.AppendUint32(nil, magic)
	text = a.append(text, h)
	for _, e := range entries {
		text = a.append(text, e)
		a.open[e.data()] = 0
	}
	if len(text) > maxPrelude {
		return nil, errors.New("the database has too many collections and indexes for an archive")
	}
	a.write(binary.LittleEndian.AppendUint32(text, terminator))
	return a, a.err
}

// documents writes documents of a collection, each as it is, one after the other.
func (a *archiveWriter) documents(of namespace, documents []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begin(of)
	a.open[of] = crc64.Update(a.open[of], a.table, documents)
	a.write(documents)
	return a.err
}

// end writes that a collection has no more documents.
func (a *archiveWriter) end(of namespace) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current != of {
		a.begin(of) // mongodump has a block of documents for every collection too
	}
	text := binary.LittleEndian.AppendUint32(nil, terminator)
	text = a.append(text, blockHeader{of.database, of.collection, true, int64(a.open[of])})
	a.write(binary.LittleEndian.AppendUint32(text, terminator))
	a.current = namespace{}
	delete(a.open, of)
	return a.err
}

// finish tells whether everything was written.
func (a *archiveWriter) finish() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil && len(a.open) > 0 {
		return fmt.Errorf("collections that haven't been ended: %d", len(a.open))
	}
	return a.err
}

// begin makes sure that what is written next belongs to the collection.
func (a *archiveWriter) begin(of namespace) {
	if _, open := a.open[of]; !open && a.err == nil {
		a.err = fmt.Errorf("documents of the collection %q, which has ended or never begun", of.collection)
	}
	if a.current == of {
		return
	}
	var text []byte
	if a.current != (namespace{}) {
		text = binary.LittleEndian.AppendUint32(text, terminator)
	}
	a.write(a.append(text, blockHeader{Database: of.database, Collection: of.collection}))
	a.current = of
}

func (a *archiveWriter) append(text []byte, document any) []byte {
	more, err := bson.Marshal(document)
	if err != nil && a.err == nil {
		a.err = err
	}
	return append(text, more...)
}

// write keeps the first error, of which a writer that takes too little is one.
func (a *archiveWriter) write(text []byte) {
	if a.err != nil {
		return
	}
	n, err := a.out.Write(text)
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	a.err = err
	a.written += int64(n)
	if err == nil && a.progress != nil {
		a.progress(a.written)
	}
}
