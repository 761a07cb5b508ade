package mongodump

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"manus/internal/words"
)

// archiveReader reads an archive of whatever origin. Its errors wrap
// backup.ErrDamaged where the bytes are not an archive's, or not all of it; an error
// of the underlying reader is returned as it is.
type archiveReader struct {
	in      *bufio.Reader
	read    int64 // bytes so far
	header  header
	entries []entry

	table   *crc64.Table
	streams map[namespace]*stream
	current *stream // of the block that is being read
}

// stream is what has been read of a collection.
type stream struct {
	sum   uint64
	ended bool
}

// newArchiveReader reads everything that comes before the documents.
func newArchiveReader(in io.Reader) (*archiveReader, error) {
	a := &archiveReader{in: bufio.NewReaderSize(in, 8<<10), table: ecma(), streams: map[namespace]*stream{}}
	number, err := a.number()
	if err != nil {
		return nil, truncated(err)
	}
	if number != magic {
		return nil, damaged("it doesn't begin as an archive of mongodump does")
	}
	if err := a.decode(&a.header); err != nil {
		return nil, truncated(terminated(err))
	}
	if a.header.Version != "" && a.header.Version != formatVersion {
		return nil, fmt.Errorf("the archive has the format version %q; only %s is known: make it anew with a mongodump of today", a.header.Version, formatVersion)
	}
	for {
		var e entry
		err := a.decode(&e)
		if errors.Is(err, errTerminator) {
			return a, nil
		}
		if err != nil {
			return nil, truncated(err)
		}
		if err := a.add(e); err != nil {
			return nil, err
		}
	}
}

func (a *archiveReader) add(e entry) error {
	if e.Collection == "" || a.streams[e.data()] != nil {
		return damaged("it lists a collection twice, or one without a name")
	}
	if a.read > maxPrelude {
		return damaged("its list of collections is longer than %s", words.Count(maxPrelude, "byte"))
	}
	a.streams[e.data()] = &stream{}
	a.entries = append(a.entries, e)
	return nil
}

// next goes on to the next block. It returns io.EOF at the archive's end, if all
// collections have had theirs.
func (a *archiveReader) next() (of namespace, last bool, err error) {
	text, err := a.raw(nil)
	if err == io.EOF { //nolint:errorlint // what wraps it is an error of the reader
		return of, false, a.finish()
	}
	if err != nil {
		return of, false, terminated(err)
	}
	h, ok := blockHeaderOf(text)
	if !ok {
		return of, false, damaged("a block has another header than mongodump writes")
	}
	of = namespace{h.Database, h.Collection}
	a.current = a.streams[of]
	if a.current == nil || a.current.ended {
		return of, false, damaged("it has documents of a collection that it doesn't list, or that has ended")
	}
	if !h.EOF {
		return of, false, nil
	}
	return of, true, a.ended(uint64(h.CRC)) //nolint:gosec // the bits, not the number
}

// blockHeaderOf is strict, as a block's header has no checksum of its own.
func blockHeaderOf(text bson.Raw) (h blockHeader, ok bool) {
	if !wellFormed(text) {
		return h, false
	}
	var oks [4]bool
	h.Database, oks[0] = text.Lookup("db").StringValueOK()
	h.Collection, oks[1] = text.Lookup("collection").StringValueOK()
	h.EOF, oks[2] = text.Lookup("EOF").BooleanOK()
	h.CRC, oks[3] = text.Lookup("CRC").Int64OK()
	return h, !slices.Contains(oks[:], false) && (h.EOF || h.CRC == 0)
}

// ended reads the rest of a block that ends a collection, with a checksum.
func (a *archiveReader) ended(sum uint64) error {
	switch size, err := a.number(); {
	case err != nil:
		return truncated(err)
	case size != terminator:
		return damaged("a block that ends a collection has documents")
	case a.current.sum != sum:
		return damaged("the checksum of a collection's documents is wrong")
	}
	a.current.ended = true
	return nil
}

// document appends the block's next document to dst. It returns dst as it is when the
// block has no more.
func (a *archiveReader) document(dst []byte) ([]byte, error) {
	begin := len(dst)
	dst, err := a.raw(dst)
	if errors.Is(err, errTerminator) {
		return dst, nil
	}
	if err != nil {
		return dst, truncated(err)
	}
	a.current.sum = crc64.Update(a.current.sum, a.table, dst[begin:])
	return dst, nil
}

func (a *archiveReader) finish() error {
	for of, stream := range a.streams {
		if !stream.ended {
			return damaged("it ends before all documents of %q", of.collection)
		}
	}
	return io.EOF
}

// errTerminator is returned where a terminator was instead of a document.
var errTerminator = errors.New("a terminator")

// terminated makes a terminator damage.
func terminated(err error) error {
	if errors.Is(err, errTerminator) {
		return damaged("a terminator is where a header belongs")
	}
	return err
}

// decode reads a document that has a meaning for the archive. The end of the archive
// is io.EOF.
func (a *archiveReader) decode(into any) error {
	text, err := a.raw(nil)
	if err != nil {
		return err
	}
	if !wellFormed(text) {
		return damaged("%w", errMalformed)
	}
	if err := bson.Unmarshal(text, into); err != nil {
		return damaged("a header has fields of other types")
	}
	return nil
}

// raw appends a document to dst without looking into it.
func (a *archiveReader) raw(dst []byte) ([]byte, error) {
	size, err := a.number()
	if err != nil {
		return dst, err
	}
	if size == terminator {
		return dst, errTerminator
	}
	if size < minDocument || size > maxDocument {
		return dst, damaged("a document of %s", words.Count(int64(size), "byte"))
	}
	begin := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, size)
	// Before there is room for a large document, there is to be more of it than a length.
	for _, more := range []int{min(int(size)-4, 64<<10), max(0, int(size)-4-64<<10)} {
		at := len(dst)
		dst = append(dst, make([]byte, more)...)
		n, err := io.ReadFull(a.in, dst[at:])
		a.read += int64(n)
		if err != nil {
			return dst[:begin], truncated(err)
		}
	}
	if dst[len(dst)-1] != 0 {
		return dst[:begin], damaged("%w", errMalformed)
	}
	return dst, nil
}

// number reads a length, or what is in its place. At the end of the archive it
// returns io.EOF.
func (a *archiveReader) number() (uint32, error) {
	var text [4]byte
	n, err := io.ReadFull(a.in, text[:])
	a.read += int64(n)
	if n > 0 {
		err = truncated(err)
	}
	return binary.LittleEndian.Uint32(text[:]), err
}

// truncated makes the end of the archive, where more was to come, damage. What wraps
// such an end is an error of the reader.
func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // see above
		return damaged("it has been cut off: %w", io.ErrUnexpectedEOF)
	}
	return err
}
