package sqlitedump

import (
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"hash"
	"math"

	"modernc.org/sqlite"
)

// digestFunction is the SQL function that is the SHA-256 of all the rows it is called
// with, in their order. It runs inside of SQLite, where the values are: handing each
// of them over to database/sql takes several times as long as hashing them.
const digestFunction = "manus_digest"

// maxArguments is how many columns it is called with at most; SQLite's own limit may
// be as low as 127.
const maxArguments = 100

// Tags of the values. Each is followed by eight bytes: the number, or how many bytes
// of text or blob follow. So no two different rows of as many columns are alike.
const (
	tagNull byte = iota
	tagInteger
	tagReal
	tagText
	tagBlob
)

// digest is one call of the function.
type digest struct {
	sum  hash.Hash
	wait []byte // written, but not hashed yet
}

var _ sqlite.AggregateFunction = (*digest)(nil)

func newDigest() *digest {
	return &digest{sum: sha256.New(), wait: make([]byte, 0, 16<<10)}
}

// Step hashes a row.
func (d *digest) Step(_ *sqlite.FunctionContext, row []driver.Value) error {
	for _, value := range row {
		switch v := value.(type) {
		case nil:
			d.number(tagNull, 0)
		case int64:
			d.number(tagInteger, uint64(v))
		case float64:
			d.number(tagReal, math.Float64bits(v))
		case string:
			d.number(tagText, uint64(len(v)))
			appendBytes(d, v)
		case []byte:
			d.number(tagBlob, uint64(len(v)))
			appendBytes(d, v)
		default:
			return fmt.Errorf("SQLite has a new kind of value: %T", value)
		}
	}
	return nil
}

func (d *digest) number(tag byte, n uint64) {
	if len(d.wait)+9 > cap(d.wait) {
		d.flush()
	}
	d.wait = binary.BigEndian.AppendUint64(append(d.wait, tag), n)
}

// appendBytes copies v, which is SQLite's own memory and soon something else.
func appendBytes[T string | []byte](d *digest, v T) {
	for len(v) > 0 {
		if len(d.wait) == cap(d.wait) {
			d.flush()
		}
		n := min(len(v), cap(d.wait)-len(d.wait))
		d.wait = append(d.wait, v[:n]...)
		v = v[n:]
	}
}

func (d *digest) flush() {
	d.sum.Write(d.wait)
	d.wait = d.wait[:0]
}

// WindowValue is the function's result.
func (d *digest) WindowValue(*sqlite.FunctionContext) (driver.Value, error) {
	d.flush()
	return d.sum.Sum(nil), nil
}

// WindowInverse is what the function can't do.
func (d *digest) WindowInverse(*sqlite.FunctionContext, []driver.Value) error {
	return fmt.Errorf("%s is no window function", digestFunction)
}

// Final has nothing to release.
func (d *digest) Final(*sqlite.FunctionContext) {}
