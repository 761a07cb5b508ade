package sqlitedump

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
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
	f.Fuzz(func(t *testing.T, document []byte) { sameAsSQLite(t, db, document) })
}

// sameAsSQLite tells whether a document was read, and finds fault when SQLite reads
// something else.
func sameAsSQLite(t *testing.T, db *sql.DB, document []byte) bool {
	t.Helper()
	d := newDocumentReader([]string{"b", "a"})
	if !d.read(document) {
		return false // then SQLite is asked
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
	return true
}

// MANUS_TEST_DOCUMENTS is how many documents are made.
func TestDocumentsAreReadAsSQLiteReadsThem(t *testing.T) {
	t.Parallel()
	documents := 5000
	if n, err := strconv.Atoi(os.Getenv("MANUS_TEST_DOCUMENTS")); err == nil {
		documents = n
	}
	db := sql.OpenDB(connector(":memory:"))
	defer db.Close()
	random, read := rand.New(rand.NewPCG(1, 2)), 0
	for range documents {
		if sameAsSQLite(t, db, []byte(someObject(random, 3))) {
			read++
		}
	}
	t.Logf("%d of %d were read", read, documents)
	if read < documents/4 || read == documents {
		t.Error("the test is no test")
	}
}

func one(random *rand.Rand, of ...string) string { return of[random.IntN(len(of))] }

func someObject(random *rand.Rand, depth int) string {
	var members []string
	for range random.IntN(4) {
		name := one(random, `"a"`, `"b"`, `"a"`, `"A"`, `""`, `"ab"`, `"a.b"`, `"\""`, someText(random))
		members = append(members, name+one(random, ":", ":", " : ")+someValue(random, depth-1))
	}
	return one(random, "{", "{", "{ ") + strings.Join(members, one(random, ",", ",", ",", " ,\n")) + one(random, "}", "}", " }")
}

func someValue(random *rand.Rand, depth int) string {
	switch random.IntN(7) {
	case 0:
		return one(random, "true", "false", "null")
	case 1:
		if depth > 0 {
			return someObject(random, depth)
		}
	case 2:
		if depth > 0 {
			return "[" + someValue(random, depth-1) + "," + someValue(random, depth-1) + "]"
		}
	case 3:
		return one(random, "0", "-0", "1.5", "1e5", "-1E-5", "01", "-", "1.", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551616", "TRUE", "nul")
	case 4:
		return fmt.Sprint(int64(random.Uint64()) >> random.IntN(64))
	}
	return someText(random)
}

func someText(random *rand.Rand) string {
	text := ""
	for range random.IntN(5) {
		text += one(random, "a", "b", " ", "é", "\u2028", "\U0001F600", `\n`, `\"`, `\\`, `\/`, `\u0061`, `\u00e9`, `\ud83d\ude00`, "<", "'", "\x7f", one(random, "x", `\u0000`, `\ud83d`, `\ude00`, `\q`, "\x01", "\xff", `\u12`, "\xed\xa0\x80"))
	}
	return `"` + text + `"`
}

func shown(v value) string {
	if v.tag == tagInteger {
		return fmt.Sprint(int64(v.bits))
	}
	return string(v.text)
}
