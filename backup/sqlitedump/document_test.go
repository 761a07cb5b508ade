package sqlitedump

import (
	"database/sql"
	"fmt"
	"testing"
)

// FuzzDocument compares what is read of documents with what SQLite reads of them.
func FuzzDocument(f *testing.F) {
	for _, document := range []string{
		`{}`, `{"a":1}`, `{"a":"x","b":null}`, ` { "a" : -7 , "b" : true } `, `{"a":1,"a":2}`, `{"b":{"a":1},"a":[1]}`, `{"b":[{"a":"x"},[]],"a":false}`,
		`{"a":"é\u00e9\ud83d\ude00\n\"\\\/"}`, `{"a":"\ud83d"}`, `{"a":"\u0000"}`, `{"\u0061":1,"a":2}`, `{"a":0,"b":-0}`, `{"a":01}`, `{"a":1.0}`, `{"a":1e2}`,
		`{"a":9223372036854775807,"b":-9223372036854775808}`, `{"a":9223372036854775808}`, `{"a":"x`, `{"a":1}x`, `{"a":1,}`, `{a:1}`, `{'a':1}`, `{"a":+1}`, `{"a":.5}`, `{"a":NaN}`,
		`{"a":"x` + "\x01" + `"}`, `{"a":"` + "\xff" + `","b":"\u00e9` + "\xff" + `"}`, `[{"a":1}]`, `"a"`, ``, `{"":1,"a":""}`, `{"a":tru}`, `{"b":1.5e+10,"a":"\b\f\r\t"}`, `{"a":1}` + "\x00",
	} {
		f.Add([]byte(document))
	}
	db := sql.OpenDB(connector(":memory:"))
	f.Cleanup(func() { db.Close() })
	f.Fuzz(func(t *testing.T, document []byte) {
		d := newDocumentReader([]string{"b", "a"})
		if !d.read(document) {
			return // then SQLite is asked
		}
		for i, name := range d.names {
			var v any
			var kind string
			query := fmt.Sprintf("SELECT v, typeof(v) FROM (SELECT cast(? AS TEXT) ->> '$.%s' AS v)", name)
			if err := db.QueryRowContext(t.Context(), query, document).Scan(&v, &kind); err != nil {
				t.Fatalf("%q: %v", document, err)
			}
			if got := d.values[i]; got.tag != tagNull && fmt.Sprint(v) != shown(got) || kind != [...]string{"null", "integer", "real", "text"}[got.tag] {
				t.Errorf("%q: %s is %q, to SQLite the %s %q", document, name, shown(got), kind, v)
			}
		}
	})
}

func shown(v value) string {
	if v.tag == tagInteger {
		return fmt.Sprint(int64(v.bits))
	}
	return string(v.text)
}
