package mongodump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"go.mongodb.org/mongo-driver/v2/bson"

	"manus/backup"
)

// example is an archive of collections that are interleaved.
func example(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	one, two, none := namespace{"db", "one"}, namespace{"db", "two.ü"}, namespace{"db", "none"}
	a, err := newArchiveWriter(&out, header{Concurrent: 2, Server: "7.0.0"}, []entry{
		{Database: "db", Collection: "one", Metadata: `{"indexes":[{"v":{"$numberInt":"2"},"key":{"_id":{"$numberInt":"1"}},"name":"_id_"}]}`},
		{Database: "db", Collection: "two.ü", Metadata: `{"options":{"capped":true,"size":{"$numberInt":"100"}},"indexes":[]}`},
		{Database: "db", Collection: "none"},
	}, nil)
	err = errors.Join(err,
		a.documents(one, raw(t, 1, 2)), a.documents(one, raw(t, 3)),
		a.documents(two, raw(t, 4)),
		a.end(none),
		a.documents(one, raw(t, 5)),
		a.end(two), a.end(one), a.finish())
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// raw are documents one after the other.
func raw(t testing.TB, ids ...int) []byte {
	t.Helper()
	var all []byte
	for _, id := range ids {
		text, err := bson.Marshal(bson.D{{Key: "_id", Value: id}, {Key: "a", Value: bson.A{"b", bson.D{}}}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	return all
}

func TestAnArchiveIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	text := example(t)
	all, err := archived(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"one": raw(t, 1, 2, 3, 5), "two.ü": raw(t, 4), "none": nil} {
		documents, there := all[name]
		var got []byte
		for _, document := range documents {
			got = append(got, document...)
		}
		if !there || !bytes.Equal(got, want) {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
	a, err := newArchiveReader(iotest.OneByteReader(bytes.NewReader(text)))
	if err != nil || a.header != (header{2, "0.1", "7.0.0", "manus"}) || len(a.entries) != 3 || a.entries[0].Database != "db" {
		t.Errorf("it begins with %+v, %v", a, err)
	}
}

func TestAnArchiveThatIsCutOffIsDamaged(t *testing.T) {
	t.Parallel()
	text := example(t)
	for length := range len(text) {
		if _, err := archived(text[:length]); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%d of %d bytes: %v", length, len(text), err)
		}
	}
	if _, err := archived(append(slices.Clone(text), 0)); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("a byte too many: %v", err)
	}
}

// TestNoDamageGoesUnseen changes two bits of each byte of an archive, one at a time. It has no checksums of its
// header and metadata, of which the reader may only see something else.
func TestNoDamageGoesUnseen(t *testing.T) {
	t.Parallel()
	text := example(t)
	whole, err := archived(text)
	if err != nil {
		t.Fatal(err)
	}
	blocks := bytes.Index(text, []byte{0xff, 0xff, 0xff, 0xff})
	for at := range len(text) {
		for _, bit := range []int{at % 8, (at + 3) % 8} {
			changed := slices.Clone(text)
			changed[at] ^= 1 << bit
			got, err := archived(changed)
			switch {
			case err != nil && !errors.Is(err, backup.ErrDamaged) && !strings.Contains(err.Error(), "format version"):
				t.Errorf("bit %d of byte %d: %v", bit, at, err)
			case err == nil && at >= blocks && sameDocuments(got, whole):
				t.Errorf("bit %d of byte %d changes nothing", bit, at)
			}
		}
	}
}

func sameDocuments(a, b map[string][]bson.Raw) bool {
	for name := range b {
		if !slices.EqualFunc(a[name], b[name], func(a, b bson.Raw) bool { return bytes.Equal(a, b) }) {
			return false
		}
	}
	return len(a) == len(b)
}

func TestAnErrorOfTheReaderIsNotDamage(t *testing.T) {
	t.Parallel()
	text := example(t)
	gone := fmt.Errorf("the destination is gone: %w", io.EOF)
	for length := range len(text) + 1 {
		_, err := archivedOf(io.MultiReader(bytes.NewReader(text[:length]), iotest.ErrReader(gone)))
		if !errors.Is(err, gone) || errors.Is(err, backup.ErrDamaged) {
			t.Errorf("gone at %d: %v", length, err)
		}
	}
}

func TestWhatIsNoArchiveIsRefused(t *testing.T) {
	t.Parallel()
	u32 := func(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }
	doc := func(d bson.D) string {
		text, err := bson.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	head, end := u32(magic)+doc(bson.D{}), u32(terminator)
	listed := func(name string) string {
		return doc(bson.D{{Key: "db", Value: "d"}, {Key: "collection", Value: name}})
	}
	block := func(eof bool) string {
		return doc(bson.D{{Key: "db", Value: "d"}, {Key: "collection", Value: "c"}, {Key: "EOF", Value: eof}, {Key: "CRC", Value: int64(0)}})
	}
	some, last := block(false), block(true)
	for name, text := range map[string]string{
		"nothing":                      "",
		"another file":                 "SQLite format 3\x00",
		"no header":                    u32(magic) + end,
		"a length of 2 GB":             u32(magic) + u32(math.MaxInt32) + "x",
		"a length of 4":                u32(magic) + u32(4),
		"a header of another type":     u32(magic) + doc(bson.D{{Key: "version", Value: bson.A{}}}) + end,
		"a document without its 0":     u32(magic) + u32(5) + "x",
		"a field that doesn't end":     u32(magic) + u32(7) + "\x10a\x00",
		"a collection without a name":  head + listed("") + end,
		"a collection twice":           head + listed("c") + listed("c") + end,
		"a collection without its end": head + listed("c") + end + some + end,
		"one that isn't listed":        head + end + last + end,
		"an end after the end":         head + listed("c") + end + last + end + last + end,
		"documents at the end":         head + listed("c") + end + last + doc(bson.D{}) + end,
		"a terminator too many":        head + listed("c") + end + end + last + end,
		"a wrong checksum":             head + listed("c") + end + some + doc(bson.D{}) + end + last + end,
		"a block without a checksum":   head + listed("c") + end + listed("c") + end + last + end,
	} {
		if _, err := archived([]byte(text)); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := archived([]byte(head + listed("c") + end + some + end + last + end)); err != nil {
		t.Errorf("what is left out may be left out: %v", err)
	}
	if _, err := archived([]byte(u32(magic) + doc(bson.D{{Key: "version", Value: "0.2"}}) + end)); err == nil || !strings.Contains(err.Error(), "0.2") {
		t.Errorf("a later version: %v", err)
	}
}

func TestDocumentsBelongToCollectionsThatHaveBegun(t *testing.T) {
	t.Parallel()
	a, err := newArchiveWriter(io.Discard, header{}, []entry{{Database: "d", Collection: "c"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.finish(); err == nil {
		t.Error("it finishes before the collection has ended")
	}
	if err := a.documents(namespace{"d", "other"}, raw(t, 1)); err == nil {
		t.Error("it takes documents of a collection that it doesn't list")
	}
	if err := a.end(namespace{"d", "c"}); err == nil {
		t.Error("it goes on after an error")
	}
}

func TestWellFormedDocumentsAreThoseOfTheDriver(t *testing.T) {
	t.Parallel()
	for name, value := range kinds {
		text, err := bson.Marshal(bson.D{{Key: "a", Value: value}, {Key: "b", Value: bson.A{value, value}}})
		if err != nil {
			t.Fatal(err)
		}
		if !wellFormed(text) {
			t.Errorf("%s isn't taken", name)
		}
		for length := range len(text) {
			if wellFormed(text[:length]) {
				t.Errorf("%s is taken with %d of %d bytes", name, length, len(text))
			}
		}
	}
	deep := func(levels int) []byte {
		text := []byte{5, 0, 0, 0, 0}
		for range levels {
			inner := append([]byte("\x03a\x00"), text...)
			text = append(binary.LittleEndian.AppendUint32(nil, uint32(len(inner)+5)), append(inner, 0)...)
		}
		return text
	}
	if !wellFormed(deep(maxDepth-1)) || wellFormed(deep(maxDepth)) {
		t.Errorf("%d levels aren't the limit", maxDepth)
	}
}

func FuzzWellFormed(f *testing.F) {
	f.Add(raw(f, 1))
	for _, value := range kinds {
		text, err := bson.Marshal(bson.D{{Key: "a", Value: value}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if wellFormed(text) && bson.Raw(text).Validate() != nil {
			t.Errorf("the driver doesn't take %q", text)
		}
	})
}

func FuzzArchive(f *testing.F) {
	f.Add(example(f))
	stock, err := os.ReadFile("testdata/mongodump.archive")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stock)
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := archived(text)
		if err != nil && !errors.Is(err, backup.ErrDamaged) && !strings.Contains(err.Error(), "format version") {
			t.Error(err)
		}
		if a, err := newArchiveReader(bytes.NewReader(text)); err == nil {
			if r, err := newRestoring(a, "", "db", nil, nil); err == nil {
				for _, c := range r.collections {
					c.definition()
				}
			}
		}
	})
}

func TestArchivesOfOlderToolsAreUnderstood(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	old := `{"options":{"capped":true,"size":1000},"indexes":[{"v":1,"key":{"_id":1},"name":"_id_","ns":"db.c"},{"v":1,"key":{"a":1.0},"name":"a_1","ns":"db.c","background":true}]}`
	entries := []entry{
		{Database: "db", Collection: "c", Metadata: old},
		{Database: "db", Collection: "bare"},
		{Database: "db", Collection: "$admin.system.users"}, {Database: "db", Collection: "system.indexes"}, {Collection: "oplog"},
	}
	a, err := newArchiveWriter(&out, header{}, entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := errors.Join(a.documents(e.data(), raw(t, 1)), a.end(e.data())); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := newArchiveReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRestoring(reader, "", "another", nil, nil)
	if err != nil || !slices.Equal(r.databases(), []string{"db"}) || !slices.Equal(r.names(), []string{"bare", "c"}) {
		t.Fatalf("it restores %v, %v", r, err)
	}
	// temp is what a collection is while a job of MongoDB's makes it.
	current := `{"indexes":[{"v":{"$numberInt":"2"},"name":"a_1","key":{"a":{"$numberInt":"1"}}}],"uuid":"00","collectionName":"c","type":"collection","options":{"size":{"$numberLong":"1000"},"capped":true,"temp":true}}`
	m, err := metadataOf(entry{Collection: "c", Metadata: current, Type: "collection"})
	if err != nil || m.definition() != r.collections[namespace{"db", "c"}].definition() || !m.capped() {
		t.Errorf("the definition of %v isn't that of %v, %v", m, r.collections[namespace{"db", "c"}].metadata, err)
	}
	for _, other := range []string{`{"indexes":[]}`, strings.Replace(current, "1000", "1001", 1), strings.Replace(current, `"name":`, `"unique":true,"name":`, 1), strings.Replace(current, `"1"`, `"-1"`, 1)} {
		if m, err := metadataOf(entry{Collection: "c", Metadata: other}); err != nil || m.definition() == r.collections[namespace{"db", "c"}].definition() {
			t.Errorf("the definition of %s is the same, %v", other, err)
		}
	}
	for _, broken := range []string{"{", "[]", `{"options": 1}`, `{"indexes": [1]}`, `{"unknown": {"a": {"b": 1}`} {
		if _, err := metadataOf(entry{Metadata: broken}); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("the metadata %s: %v", broken, err)
		}
	}
}
