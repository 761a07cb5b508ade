package sqlitedump

import (
	"bufio"
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
	sum hash.Hash
	buf *bufio.Writer // to hash more than a value at once
}

var _ sqlite.AggregateFunction = (*digest)(nil)

func newDigest() *digest {
	sum := sha256.New()
	return &digest{sum, bufio.NewWriterSize(sum, 16<<10)}
}

// Step hashes a row, whose memory is SQLite's own and soon something else. Writing to
// a hash can't fail.
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
			_, _ = d.buf.WriteString(v)
		case []byte:
			d.number(tagBlob, uint64(len(v)))
			_, _ = d.buf.Write(v)
		default:
			return fmt.Errorf("SQLite has a new kind of value: %T", value)
		}
	}
	return nil
}

func (d *digest) number(tag byte, n uint64) {
	_, _ = d.buf.Write(binary.BigEndian.AppendUint64(append(d.buf.AvailableBuffer(), tag), n))
}

// WindowValue is the function's result.
func (d *digest) WindowValue(*sqlite.FunctionContext) (driver.Value, error) {
	err := d.buf.Flush()
	return d.sum.Sum(nil), err
}

// WindowInverse is what the function can't do.
func (d *digest) WindowInverse(*sqlite.FunctionContext, []driver.Value) error {
	return fmt.Errorf("%s is no window function", digestFunction)
}

// Final has nothing to release.
func (d *digest) Final(*sqlite.FunctionContext) {}
