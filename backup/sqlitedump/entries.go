package sqlitedump

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"

	"modernc.org/sqlite"
)

// set is what is known of entries that were read in any order: how many they are, and two
// sums of their hashes. Sets of different entries differ but by a chance of one in 2^100 or
// so; as the hashes are others in every process, nobody can make entries for which it
// isn't so.
type set struct{ n, sum, other uint64 }

var seed, otherSeed = maphash.MakeSeed(), maphash.MakeSeed()

func (s *set) add(entry []byte) {
	s.join(set{1, maphash.Bytes(seed, entry), maphash.Bytes(otherSeed, entry)})
}

func (s *set) join(with set) {
	s.n, s.sum, s.other = s.n+with.n, s.sum+with.sum, s.other+with.other
}

// bytes is the set as SQL has it.
func (s set) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.n)
	b = binary.BigEndian.AppendUint64(b, s.sum)
	return binary.BigEndian.AppendUint64(b, s.other)
}

func parseSet(b []byte) set {
	return set{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
}

// entriesFunction is the SQL function that is the set of the entries it is called with.
// The first argument is how many of those that follow must not be NULL: otherwise there
// is no entry.
const entriesFunction = "manus_entries"

// entries is one call of the function.
type entries struct {
	set
	buf []byte
}

var _ sqlite.AggregateFunction = (*entries)(nil)

// Step adds a row's entry.
func (e *entries) Step(_ *sqlite.FunctionContext, row []driver.Value) error {
	filled, ok := row[0].(int64)
	if !ok {
		return fmt.Errorf("%s wants a number first", entriesFunction)
	}
	for _, value := range row[1 : 1+filled] {
		if value == nil {
			return nil
		}
	}
	e.buf = e.buf[:0]
	for _, value := range row[1:] {
		if err := e.append(value); err != nil {
			return err
		}
	}
	e.add(e.buf)
	return nil
}

func (e *entries) append(value driver.Value) error {
	switch v := value.(type) {
	case nil:
		e.buf = appendNumber(e.buf, tagNull, 0)
	case int64:
		e.buf = appendNumber(e.buf, tagInteger, uint64(v))
	case float64:
		e.buf = appendNumber(e.buf, tagReal, math.Float64bits(v))
	case string:
		e.buf = append(appendNumber(e.buf, tagText, uint64(len(v))), v...)
	case []byte:
		e.buf = append(appendNumber(e.buf, tagBlob, uint64(len(v))), v...)
	default:
		return fmt.Errorf("SQLite has a new kind of value: %T", value)
	}
	return nil
}

func appendNumber(b []byte, tag byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, tag), n)
}

// WindowValue is the function's result.
func (e *entries) WindowValue(*sqlite.FunctionContext) (driver.Value, error) { return e.bytes(), nil }

// WindowInverse is what the function can't do.
func (e *entries) WindowInverse(*sqlite.FunctionContext, []driver.Value) error {
	return fmt.Errorf("%s is no window function", entriesFunction)
}

// Final has nothing to release.
func (e *entries) Final(*sqlite.FunctionContext) {}
