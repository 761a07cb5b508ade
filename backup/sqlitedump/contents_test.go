package sqlitedump

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"manus/backup"
)

// contentsAfter is what is in a new database after the statements.
func contentsAfter(t *testing.T, statements ...string) backup.Contents {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manus.db")
	exec1(t, openDB(t, path), statements...)
	_, contents := dump(t, New(path))
	return contents
}

func TestNoTwoDifferentRowsAreAlike(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, rows := range []string{
		"(NULL, NULL)", "(0, NULL)", "(NULL, 0)", "(0.0, NULL)", "('', NULL)", "(x'', NULL)", "(NULL, '')",
		"('0', 0)", "(0, '0')", "(x'30', 0)", "(0, 0)", "(0, 0.0)", "(1, 0)", "(1.5, 0)", "('1.5', 0)",
		"('ab', 'c')", "('a', 'bc')", "('abc', '')", "('', 'abc')", "(x'6162', 'c')",
		"('ab', 'c'), ('d', 'e')", "('d', 'e'), ('ab', 'c')", "('ab', 'c'), ('ab', 'c')",
		"(9007199254740993, 0)", "(9007199254740992, 0)", "(9007199254740992.0, 0)", "(-9223372036854775808, 0)", "(9223372036854775807, 0)",
		"('a' || char(0) || 'b', 0)", "('a' || char(0), 0)", "('a', 0)", "(1e999, 0)", "(-1e999, 0)",
		"(CAST(x'ff' AS TEXT), 0)", "(x'ff', 0)", "(CAST(x'fe' AS TEXT), 0)", "(zeroblob(100000), 0)", "(zeroblob(100001), 0)",
	} {
		table := contentsAfter(t, "CREATE TABLE t (a, b)", "INSERT INTO t VALUES "+rows).Collections[0]
		if other, ok := seen[table.SHA256]; ok {
			t.Errorf("%s is as %s", rows, other)
		}
		seen[table.SHA256] = rows
	}
	if empty := contentsAfter(t, "CREATE TABLE t (a, b)").Collections[0]; seen[empty.SHA256] != "" || empty.Documents != 0 {
		t.Errorf("no rows are as %s", seen[empty.SHA256])
	}
}

func TestTheSameRowsAreAlikeHoweverTheyCameToBe(t *testing.T) {
	t.Parallel()
	one := contentsAfter(t, "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID", "INSERT INTO t VALUES ('a', 1), ('b', 2), ('c', 3)")
	other := contentsAfter(t, "PRAGMA page_size = 512", "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID",
		"INSERT INTO t VALUES ('c', 0), ('x', 2)", "INSERT INTO t VALUES ('b', 2), ('a', 1)", "DELETE FROM t WHERE id = 'x'", "UPDATE t SET n = 3 WHERE id = 'c'")
	if !sameContents(one, other) {
		t.Errorf("%+v and %+v", one, other)
	}
}

func TestADefinitionIsThatOfTheTableItsIndexesAndTriggers(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, more := range []string{
		"SELECT 1", "CREATE INDEX i ON t (a)", "CREATE UNIQUE INDEX i ON t (a)", "CREATE INDEX i ON t (b)", "CREATE INDEX j ON T (a)",
		"CREATE TRIGGER r AFTER INSERT ON T BEGIN DELETE FROM t; END", "ALTER TABLE t ADD COLUMN c",
	} {
		table := contentsAfter(t, "CREATE TABLE t (a, b)", "CREATE TABLE other (x)", more).Collections[1]
		if other, ok := seen[table.Definition]; ok || table.Name != "t" {
			t.Errorf("%s of %s is as %s", more, table.Name, other)
		}
		seen[table.Definition] = more
	}
}

func TestAnIndexDoesntChangeTheOrderOfRows(t *testing.T) {
	t.Parallel()
	rows := "INSERT INTO t VALUES (3, 'c'), (1, 'a'), (2, 'b')"
	plain := contentsAfter(t, "CREATE TABLE t (a, b)", rows)
	indexed := contentsAfter(t, "CREATE TABLE t (a, b)", "CREATE INDEX covers ON t (a, b)", rows)
	if plain.Collections[0].SHA256 != indexed.Collections[0].SHA256 {
		t.Error("the digest differs")
	}
}

func TestOnlyTablesWithRowsOfTheirOwnAreContents(t *testing.T) {
	t.Parallel()
	contents := contentsAfter(t, `CREATE TABLE "odd ""name"" ünd -- " (a INTEGER PRIMARY KEY AUTOINCREMENT, "b ""c""")`, `INSERT INTO "odd ""name"" ünd -- " VALUES (1, 2)`,
		"CREATE VIRTUAL TABLE words USING fts5(text)", "INSERT INTO words VALUES ('hello')", "CREATE VIEW v AS SELECT 1", "CREATE TABLE sqliteish (a)", "ANALYZE")
	if len(contents.Collections) != 2 || contents.Collections[0].Name != `odd "name" ünd -- ` || contents.Collections[1].Name != "sqliteish" {
		t.Errorf("they are %+v", contents.Collections)
	}
}

func TestATableOfManyColumnsIsDigestedWhole(t *testing.T) {
	t.Parallel()
	const many = 250
	columns, values := make([]string, many), make([]string, many)
	for i := range columns {
		columns[i], values[i] = fmt.Sprint("c", i), "0"
	}
	define := "CREATE TABLE t (" + strings.Join(columns, ", ") + ")"
	seen := map[string]bool{}
	changes := []int{0, maxArguments - 1, maxArguments, 2*maxArguments - 1, 2 * maxArguments, many - 1}
	for _, i := range changes {
		values[i] = "1"
		seen[contentsAfter(t, define, "INSERT INTO t VALUES ("+strings.Join(values, ", ")+")").Collections[0].SHA256] = true
	}
	if len(seen) != len(changes) {
		t.Errorf("%d digests of %d different rows", len(seen), len(changes))
	}
}
