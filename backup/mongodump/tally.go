package mongodump

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
)

// tally counts documents and adds their hashes up, in whatever order they come.
//
// The sum is that of the SHA-256 of each document's bytes, modulo 2^256. A sum rather
// than an exclusive or, so that a document that is there twice isn't as one that isn't
// there at all. It tells apart what differs by accident, of which a wrong
// answer has a chance of 2^-256; somebody who may choose the documents of both sides
// could find others of the same sum, but whoever can do that has the database anyway,
// and a backup's bytes have hashes and keys of their own. Each reader hashes what it
// reads, so that hashing is never the work of one processor alone.
type tally struct {
	documents int64
	bytes     int64
	sum       [4]uint64 // the lowest first
}

func (t *tally) add(document []byte) {
	hash := sha256.Sum256(document)
	var words [4]uint64
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(hash[8*i:])
	}
	t.merge(tally{1, int64(len(document)), words})
}

func (t *tally) merge(o tally) {
	t.documents += o.documents
	t.bytes += o.bytes
	var carry uint64
	for i := range t.sum {
		t.sum[i], carry = bits.Add64(t.sum[i], o.sum[i], carry)
	}
}

func (t *tally) hex() string {
	var text []byte
	for i := range t.sum {
		text = binary.BigEndian.AppendUint64(text, t.sum[len(t.sum)-1-i])
	}
	return hex.EncodeToString(text)
}
