package docstore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Time is an instant as documents store it: UTC, to the millisecond. In JSON
// it has a fixed width, so that its text sorts as the instant does; in BSON it
// is a native date.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// At is t as a document stores it.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// String is the stored text, which is RFC 3339.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalText writes the fixed-width text.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON writes the fixed-width text in quotes.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalText reads any RFC 3339 text.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("not an RFC 3339 time: %w", err)
	}
	at := At(parsed)
	if year := at.Year(); year < 0 || year > 9999 { // an offset can lead there
		return errors.New("not a time between the years 0 and 9999")
	}
	*t = at
	return nil
}

// UnmarshalJSON reads any RFC 3339 text in quotes; null leaves t as it is.
func (t *Time) UnmarshalJSON(data []byte) error {
	if n := len(data); n == len(timeLayout)+2 && data[0] == '"' && bytes.IndexByte(data, '\\') < 0 {
		return t.UnmarshalText(data[1 : n-1]) // as it was written here
	}
	var text *string
	if err := json.Unmarshal(data, &text); err != nil || text == nil {
		return err
	}
	return t.UnmarshalText([]byte(*text))
}

// bsonDate is the BSON type number of a UTC date
// (https://bsonspec.org/spec.html).
const bsonDate = 0x09

// MarshalBSONValue writes a native BSON date.
func (t Time) MarshalBSONValue() (typ byte, data []byte, err error) {
	return bsonDate, binary.LittleEndian.AppendUint64(nil, uint64(t.UnixMilli())), nil //nolint:gosec // two's complement is what BSON stores
}

// UnmarshalBSONValue reads a native BSON date.
func (t *Time) UnmarshalBSONValue(typ byte, data []byte) error {
	if typ != bsonDate || len(data) != 8 {
		return fmt.Errorf("not a BSON date (type %#x)", typ)
	}
	*t = At(time.UnixMilli(int64(binary.LittleEndian.Uint64(data)))) //nolint:gosec // as written above
	return nil
}
