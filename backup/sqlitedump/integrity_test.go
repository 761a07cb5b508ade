package sqlitedump

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/backup"
	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/processtest"
)

// thing is a document with what indexes may be of.
type thing struct {
	ID    string        `json:"_id"`
	Name  string        `json:"name"`
	Rank  int64         `json:"rank"`
	Done  bool          `json:"done"`
	At    docstore.Time `json:"at"`
	Owner *string       `json:"owner"`
	Label string        `json:"label,omitempty"`
	More  []any         `json:"more"`
}

func (t thing) DocumentID() string { return t.ID }

var things = docstore.Spec{Collection: "things", Of: thing{}, Indexes: []docstore.Index{
	{Name: "by_name", Fields: []string{"name"}},
	{Name: "by_rank", Fields: []string{"done", "rank"}},
	{Name: "by_owner", Fields: []string{"owner", "at"}},
	{Name: "by_label", Fields: []string{"label"}, Unique: true},
	{Name: "by_name_and_label", Fields: []string{"name", "label"}, Unique: true},
}}

func someThing(random *rand.Rand, n int) thing {
	names := []string{"Ada", "ada", "", "Zoë \U0001F600", `"quoted" \ <&>`, "line\nbreak", "a\u2028b", strings.Repeat("long ", 50)}
	t := thing{ID: fmt.Sprintf("%x-%d", random.Uint64(), n), Name: names[random.IntN(len(names))], Rank: random.Int64N(1000) - 500,
		Done: n%3 == 0, At: docstore.At(time.Unix(random.Int64N(2e9), 0)), More: []any{1.5e300, "x", map[string]any{"name": "other"}, nil, true}}
	if n%4 == 0 {
		t.Owner = &t.Name
	}
	if n%2 == 0 {
		t.Label = fmt.Sprintf("%x", random.Uint32())
	}
	if n%50 == 0 {
		t.More = append(t.More, strings.Repeat("longer than a page ", random.IntN(500)))
	}
	return t
}

// makeStore makes the store of a server, with documents of all kinds and with free pages.
func makeStore(t testing.TB, pageSize, documents int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "manus.db")
	change(t, path, fmt.Sprint("PRAGMA page_size = ", pageSize), "CREATE TABLE first (a)", "DROP TABLE first")
	store, err := sqlitedocs.Open(t.Context(), path)
	if err == nil {
		err = store.Declare(t.Context(), things)
	}
	if err != nil {
		t.Fatal(err)
	}
	collection, random := docstore.NewCollection[thing](store, things), rand.New(rand.NewPCG(uint64(documents), uint64(pageSize)))
	all := make([]thing, documents)
	for n := range all {
		all[n] = someThing(random, n)
	}
	if err := collection.Insert(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	change(t, path, "DELETE FROM things WHERE rowid % 7 = 0 OR rowid BETWEEN 50 AND 100", "PRAGMA journal_mode = DELETE")
	return path
}

// change runs statements by which SQLite would let itself be fooled, each as if the file
// had just been opened.
func change(t testing.TB, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=writable_schema(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range append([]string{""}, statements...) {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if strings.Contains(statement, "sqlite_schema") {
			db.SetMaxIdleConns(0)
			db.SetMaxIdleConns(1)
		}
	}
}

// fullCheck is what SQLite's integrity_check says of a database.
func fullCheck(t testing.TB, path string) error {
	t.Helper()
	db := open(path, private)
	defer db.Close()
	return onConn(t.Context(), db, func(c *sql.Conn) error { return verdict(t.Context(), c, "PRAGMA integrity_check(1)") })
}

// unproved names the tables of which it isn't proved that their indexes belong to them.
func unproved(t testing.TB, path string) (tables []string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	i := &inspection{db: open(path, private), file: file}
	defer i.db.Close()
	all := i.tasks(t.Context())
	proofs, err := i.prepare(t.Context())
	for _, p := range proofs {
		err = errors.Join(err, i.start(all, p))
	}
	if err := errors.Join(err, all.Wait()); err != nil {
		t.Fatal(err)
	}
	for _, p := range proofs {
		if !p.holds() {
			tables = append(tables, p.table)
		}
	}
	return tables
}

func TestIndexesOfAStoreAreProvedWithoutIntegrityCheck(t *testing.T) {
	t.Parallel()
	for _, pageSize := range []int{512, 4096, 65536} {
		path := makeStore(t, pageSize, 2000)
		if tables := unproved(t, path); len(tables) > 0 {
			t.Errorf("with pages of %d bytes, these aren't: %v", pageSize, tables)
		}
		if _, err := inspect(t.Context(), path); err != nil {
			t.Error(err)
		}
	}
}

// rewritten is the statement that changes what the schema says of an index.
func rewritten(index, from, to string) string {
	return fmt.Sprintf("UPDATE sqlite_schema SET sql = replace(sql, %s, %s) WHERE name = '%s'", literal(from), literal(to), index)
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// without is statements that are run while indexes are hidden.
func without(index string, statements ...string) []string {
	hide := fmt.Sprintf("CREATE TABLE IF NOT EXISTS hidden AS SELECT * FROM sqlite_schema WHERE name LIKE '%s'", index)
	all := append([]string{hide, fmt.Sprintf("DELETE FROM sqlite_schema WHERE name LIKE '%s'", index)}, statements...)
	return append(all, "INSERT INTO sqlite_schema SELECT * FROM hidden", "DROP TABLE hidden")
}

// rebuilt is an index that was made in another way than the schema says.
func rebuilt(index, from, to string) []string {
	return []string{rewritten(index, from, to), "REINDEX \"" + index + "\"", rewritten(index, to, from)}
}

// What is changed by hand between the restore and the check is found, and it is the proof
// that finds what is wrong with an index alone.
func TestWhateverIntegrityCheckFindsInAnIndexIsFound(t *testing.T) {
	t.Parallel()
	good := makeStore(t, 1024, 400)
	for name, statements := range map[string][]string{
		"an entry is missing":            without("things.by_name", `INSERT INTO things VALUES ('new', '{"name":"new"}')`),
		"the only entry of many":         without("things.by_label", `INSERT INTO things VALUES ('new', '{"label":"new"}')`),
		"one missing and one too many":   without("things.by_name", "DELETE FROM things WHERE rowid = 5", `INSERT INTO things (rowid, id, doc) VALUES (50, 'new', '{"name":"new"}')`),
		"another key":                    without("things.by_name", "UPDATE things SET doc = json_set(doc, '$.name', 'Adb') WHERE rowid = 5"),
		"another id":                     without("things.by_name", "UPDATE things SET id = 'other' WHERE rowid = 5"),
		"another type of key":            without("things.by_rank", "UPDATE things SET doc = json_set(doc, '$.rank', doc ->> '$.rank') WHERE rowid = 5", "UPDATE things SET doc = json_set(doc, '$.rank', cast(doc ->> '$.rank' AS TEXT)) WHERE rowid = 6"),
		"a key that was NULL":            without("things.by_owner", "UPDATE things SET doc = json_set(doc, '$.owner', 'x') WHERE doc ->> '$.owner' IS NULL AND rowid < 10"),
		"another rowid":                  without("things.by_name", "UPDATE things SET rowid = 60 WHERE rowid = 5"),
		"keys of two rows are exchanged": without("things.by_label", "CREATE TABLE two AS SELECT rowid AS r, doc FROM things WHERE doc ->> '$.label' IS NOT NULL LIMIT 2", "UPDATE things SET doc = json_set(doc, '$.label', (SELECT doc ->> '$.label' FROM two WHERE r <> things.rowid)) WHERE rowid IN (SELECT r FROM two)", "DROP TABLE two"),
		"a document isn't JSON":          without("things.by_%", "UPDATE things SET doc = doc || ',' WHERE rowid = 5"),
		"duplicates in a unique index":   {rewritten("things.by_label", "UNIQUE INDEX", "INDEX"), "UPDATE things SET doc = json_set(doc, '$.label', 'twice') WHERE rowid IN (1, 2, 3)", rewritten("things.by_label", "CREATE INDEX", "CREATE UNIQUE INDEX")},
		"descending order":               rebuilt("things.by_label", "doc ->> '$.label')", "doc ->> '$.label' DESC)"),
		"the order of letters":           rebuilt("things.by_name", "(doc ->> '$.name', id)", "((doc ->> '$.name') COLLATE NOCASE, id)"),
		"keys in another order":          rebuilt("things.by_rank", "(doc ->> '$.done', doc ->> '$.rank', id)", "(doc ->> '$.rank', doc ->> '$.done', id)"),
		"a key too many":                 rebuilt("things.by_name", "(doc ->> '$.name', id)", "(doc ->> '$.name', id, doc)"),
		"a key too few":                  rebuilt("things.by_name", "(doc ->> '$.name', id)", "(doc ->> '$.name')"),
		"rows that have no entries":      rebuilt("things.by_owner", "WHERE ", "WHERE doc ->> '$.done' AND "),
		"all entries of another index":   {"UPDATE sqlite_schema SET rootpage = (SELECT sum(rootpage) FROM sqlite_schema WHERE name IN ('things.by_name', 'things.by_rank')) - rootpage WHERE name IN ('things.by_name', 'things.by_rank')"},
		"an id that is there twice":      withoutPrimary("UPDATE things SET id = 'twice' WHERE rowid IN (5, 6)"),
		"an id that isn't in its index":  withoutPrimary("INSERT INTO things VALUES ('new', '{}')", "REINDEX \"things.by_name\""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := copied(t, good)
			change(t, path, statements...)
			if fullCheck(t, path) == nil {
				t.Fatal("integrity_check doesn't find it")
			}
			if tables := unproved(t, path); !slices.Contains(tables, "things") {
				t.Errorf("the proof holds but for %v", tables)
			}
			if _, err := inspect(t.Context(), path); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// SQLite's own check doesn't count the entries of indexes that only some rows are in. An
// entry without a row makes a query fail, or find what isn't so.
func TestEntriesWithoutARowAreFoundThoughIntegrityCheckDoesnt(t *testing.T) {
	t.Parallel()
	good := makeStore(t, 1024, 400)
	for name, statements := range map[string][]string{
		"an entry too many":              without("things.by_name", "DELETE FROM things WHERE rowid = 5"),
		"a key that became NULL":         without("things.by_rank", "UPDATE things SET doc = json_set(doc, '$.rank', NULL) WHERE rowid = 5"),
		"rows that should have no entry": rebuilt("things.by_owner", "doc ->> '$.owner' IS NOT NULL AND doc ->> '$.at' IS NOT NULL", "id IS NOT NULL"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := copied(t, good)
			change(t, path, statements...)
			if err := fullCheck(t, path); err != nil {
				t.Errorf("it does: %v", err)
			}
			if _, err := inspect(t.Context(), path); !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), "things.by_") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// withoutPrimary is statements that are run while the index of the ids is another one.
func withoutPrimary(statements ...string) []string {
	all := []string{"CREATE TABLE hidden AS SELECT * FROM sqlite_schema WHERE name IN ('things', 'sqlite_autoindex_things_1')",
		rewritten("things", "TEXT PRIMARY KEY NOT NULL", "TEXT NOT NULL"),
		"DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_things_1'"}
	if strings.HasPrefix(statements[0], "UPDATE") {
		all[2] = `UPDATE sqlite_schema SET name = 'other', sql = 'CREATE INDEX other ON things (id)' WHERE name = 'sqlite_autoindex_things_1'`
	}
	return append(append(all, statements...),
		"UPDATE sqlite_schema SET sql = (SELECT sql FROM hidden WHERE name = 'things') WHERE name = 'things'",
		"DELETE FROM sqlite_schema WHERE name = 'other'",
		"INSERT INTO sqlite_schema SELECT * FROM hidden WHERE type = 'index'", "DROP TABLE hidden")
}

func copied(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, data)
}

func written(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manus.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pageOf is the last page in the file of a kind, with so many cells at least.
func pageOf(t *testing.T, data []byte, pageSize int, kind byte, cells int) []byte {
	t.Helper()
	for at := len(data) - pageSize; at > 0; at -= pageSize {
		if page := data[at : at+pageSize]; page[0] == kind && int(binary.BigEndian.Uint16(page[3:])) >= cells {
			return page
		}
	}
	t.Fatalf("no page is of the kind %d", kind)
	return nil
}

// Bytes are changed by hand between the restore and the check.
func TestWhateverIntegrityCheckFindsInPagesIsFound(t *testing.T) {
	t.Parallel()
	const pageSize = 1024
	good, err := os.ReadFile(makeStore(t, pageSize, 400))
	if err != nil {
		t.Fatal(err)
	}
	big := binary.BigEndian
	free := func(data []byte) []byte { return data[(big.Uint32(data[32:])-1)*pageSize:] }
	cellOf := func(page []byte, i int) []byte {
		at := 8
		if page[0] < indexLeaf {
			at = 12
		}
		return page[big.Uint16(page[at+2*i:]):]
	}
	for name, patch := range map[string]func(data []byte){
		"the first free page is a table's":     func(data []byte) { big.PutUint32(data[32:], 3) },
		"a free page that there isn't":         func(data []byte) { big.PutUint32(free(data)[8:], 1<<20) },
		"too few free pages":                   func(data []byte) { big.PutUint32(data[36:], big.Uint32(data[36:])-1) },
		"the list of free pages is cut short":  func(data []byte) { big.PutUint32(free(data)[4:], 0) },
		"a free page is in use":                func(data []byte) { big.PutUint32(free(data)[8:], 4) },
		"a row's size is beyond its page":      func(data []byte) { copy(cellOf(pageOf(t, data, pageSize, tableLeaf, 2), 1), "\xff\xff\x7f") },
		"an entry's size is beyond its page":   func(data []byte) { copy(cellOf(pageOf(t, data, pageSize, indexLeaf, 2), 1), "\xff\xff\x7f") },
		"an entry's record has a wrong header": func(data []byte) { cellOf(pageOf(t, data, pageSize, indexLeaf, 3), 1)[1] ^= 0x10 },
		"a value is of a kind that isn't":      func(data []byte) { cellOf(pageOf(t, data, pageSize, indexLeaf, 3), 1)[2] = 11 },
		"a row's record has a wrong header":    func(data []byte) { cellOf(pageOf(t, data, pageSize, tableLeaf, 2), 1)[3] = 0x7f },
		"a row's text is a blob": func(data []byte) {
			cell := cellOf(pageOf(t, data, pageSize, tableLeaf, 2), 1)
			_, n := varint(cell)
			_, m := varint(cell[n:])
			cell[n+m+1] ^= 1
		},
		"a cell is in two places":       func(data []byte) { page := pageOf(t, data, pageSize, indexLeaf, 3); copy(page[8:10], page[10:12]) },
		"a cell is outside of its page": func(data []byte) { pageOf(t, data, pageSize, indexLeaf, 3)[8] = 0xff },
		"two entries are exchanged": func(data []byte) {
			page := pageOf(t, data, pageSize, indexLeaf, 3)
			a, b := big.Uint16(page[8:]), big.Uint16(page[10:])
			big.PutUint16(page[8:], b)
			big.PutUint16(page[10:], a)
		},
		"two rows are exchanged": func(data []byte) {
			page := pageOf(t, data, pageSize, tableLeaf, 2)
			a, b := big.Uint16(page[8:]), big.Uint16(page[10:])
			big.PutUint16(page[8:], b)
			big.PutUint16(page[10:], a)
		},
		"two branches of an index are exchanged": func(data []byte) {
			page := pageOf(t, data, pageSize, indexLeaf-above, 2)
			a, b := cellOf(page, 0), cellOf(page, 1)
			x, y := big.Uint32(a), big.Uint32(b)
			big.PutUint32(a, y)
			big.PutUint32(b, x)
		},
		"an entry that leads the way is another": func(data []byte) {
			page := pageOf(t, data, pageSize, indexLeaf-above, 2)
			cell := cellOf(page, 1)
			cell[4+1+3+1] ^= 0x40
		},
		"a page is in the tree twice": func(data []byte) {
			page := pageOf(t, data, pageSize, indexLeaf-above, 2)
			copy(cellOf(page, 0)[:4], cellOf(page, 1)[:4])
		},
		"an index goes round in a circle": func(data []byte) {
			page := pageOf(t, data, pageSize, indexLeaf-above, 2)
			at := bytes.Index(data, page[:64])
			big.PutUint32(page[8:], uint32(at/pageSize+1))
		},
		"a page has fewer entries":       func(data []byte) { page := pageOf(t, data, pageSize, indexLeaf, 3); page[4]-- },
		"a page is of another kind":      func(data []byte) { pageOf(t, data, pageSize, indexLeaf, 3)[0] = tableLeaf },
		"free bytes are counted wrongly": func(data []byte) { pageOf(t, data, pageSize, indexLeaf, 3)[7]++ },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := bytes.Clone(good)
			patch(data)
			path := written(t, data)
			if fullCheck(t, path) == nil {
				t.Fatal("integrity_check doesn't find it")
			}
			if _, err := inspect(t.Context(), path); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The verdict is never better than integrity_check's, and worse only about entries that
// it doesn't count, or rows that can't be read.
func TestTheVerdictIsThatOfIntegrityCheck(t *testing.T) {
	t.Parallel()
	tries := processtest.Size(processtest.Damages, 200)
	const pageSize, documents = 512, 300
	good, err := os.ReadFile(makeStore(t, pageSize, documents))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(26, 11))
	path := written(t, good)
	counts := map[string]int{}
	for range tries {
		data := bytes.Clone(good)
		at := damage(random, data, pageSize)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		full := fullCheck(t, path)
		_, err := inspect(t.Context(), path)
		switch {
		case full != nil && err == nil:
			t.Errorf("byte %d was changed: %v, and it isn't found", at, full)
		case full != nil:
			counts["both find it"]++
		case err == nil:
			counts["neither"]++
		case strings.Contains(err.Error(), " entr"):
			counts["entries without a row"]++
		default:
			t.Errorf("byte %d was changed: %v, but integrity_check says that all is well", at, err)
		}
	}
	t.Logf("%d databases with %d rows: %v", tries, tries*documents, counts)
	if counts["both find it"] == 0 || counts["neither"] == 0 {
		t.Error("the test is no test")
	}
}

// damage changes something in a page of an index most of the time, and returns where.
func damage(random *rand.Rand, data []byte, pageSize int) (at int) {
	for {
		at = pageSize * (1 + random.IntN(len(data)/pageSize-1))
		kind := data[at]
		if kind == indexLeaf || kind == indexLeaf-above || random.IntN(10) == 0 {
			break
		}
	}
	page := data[at : at+pageSize]
	switch random.IntN(4) {
	case 0: // two cells are exchanged
		a, b := 8+2*random.IntN(4), 8+2*random.IntN(4)
		x, y := binary.BigEndian.Uint16(page[a:]), binary.BigEndian.Uint16(page[b:])
		binary.BigEndian.PutUint16(page[a:], y)
		binary.BigEndian.PutUint16(page[b:], x)
	case 1: // a bit
		page[random.IntN(pageSize)] ^= 1 << random.IntN(8)
	case 2: // a letter, or what stands for one
		page[pageSize-1-random.IntN(pageSize*3/4)]++
	case 3: // a part of the page comes from elsewhere in it
		from, to := random.IntN(pageSize-8), random.IntN(pageSize-8)
		copy(page[to:to+1+random.IntN(7)], page[from:])
	}
	return at
}

func TestWhatIsNotTheStoresIsLeftToIntegrityCheck(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string][]string{
		"no rowids":          {"CREATE TABLE t (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID", "INSERT INTO t VALUES (1, 2)"},
		"other columns":      {"CREATE TABLE t (a TEXT PRIMARY KEY, b)", "INSERT INTO t VALUES (1, 2)"},
		"another order":      {"CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, doc TEXT NOT NULL) STRICT"},
		"another index":      {"CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT", "CREATE INDEX i ON t (doc)"},
		"another expression": {"CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT", `CREATE INDEX "i" ON "t" (doc ->> '$.a.b', id) WHERE doc ->> '$.a.b' IS NOT NULL`},
		"another condition":  {"CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT", `CREATE INDEX "i" ON "t" (doc ->> '$.a', id) WHERE doc ->> '$.b' IS NOT NULL`},
		"a virtual table":    {"CREATE VIRTUAL TABLE t USING fts5(a)", "INSERT INTO t VALUES ('hello')"},
		"UTF-16":             {"PRAGMA encoding = 'UTF-16'", "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT", "INSERT INTO t VALUES ('a', '{}')"},
		"no JSON":            {"CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT", `CREATE INDEX "i" ON "t" (doc ->> '$.a', id) WHERE doc ->> '$.a' IS NOT NULL`, "INSERT INTO t VALUES ('a', '{a:1}')"},
		"fractions":          {"CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT", `CREATE INDEX "i" ON "t" (doc ->> '$.a', id) WHERE doc ->> '$.a' IS NOT NULL`, `INSERT INTO t VALUES ('a', '{"a":0.1}')`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "manus.db")
			change(t, path, append(statements, "CREATE TABLE nothing_to_prove (a INTEGER PRIMARY KEY, b)")...)
			if tables := unproved(t, path); !slices.Contains(tables, "t") || slices.Contains(tables, "nothing_to_prove") {
				t.Errorf("these are left to it: %v", tables)
			}
			if _, err := inspect(t.Context(), path); err != nil {
				t.Error(err)
			}
		})
	}
}
