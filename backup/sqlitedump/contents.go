package sqlitedump

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"manus/backup"
)

// readContents reads all tables. What it returns is of one moment where the
// connection is in a transaction.
func readContents(ctx context.Context, c *sql.Conn) (backup.Contents, error) {
	contents := backup.Contents{Collections: []backup.Collection{}}
	var version string
	if err := c.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return contents, err
	}
	contents.Server = "SQLite " + version
	tables, err := listTables(ctx, c)
	if err != nil {
		return contents, err
	}
	for _, table := range tables {
		collection, err := readTable(ctx, c, table)
		if err != nil {
			return contents, fmt.Errorf("the table %s: %w", table, err)
		}
		contents.Collections = append(contents.Collections, collection)
	}
	return contents, nil
}

// listTables names the tables that hold rows of their own, ordered by
// their names. SQLite's own, virtual ones, and those in which virtual ones keep their
// data aren't among them.
func listTables(ctx context.Context, c *sql.Conn) ([]string, error) {
	return queryStrings(ctx, c, `SELECT name FROM pragma_table_list
		WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
}

// Which columns a table has, in pragma_table_xinfo.
const (
	given  = "hidden = 0"       // those that rows are inserted with
	stored = "hidden IN (0, 3)" // and those that SQLite computes of them and stores
)

func listColumns(ctx context.Context, c *sql.Conn, schema, table, which string) ([]string, error) {
	return queryStrings(ctx, c, "SELECT name FROM pragma_table_xinfo(?, ?) WHERE "+which+" ORDER BY cid", table, schema)
}

func queryStrings(ctx context.Context, c *sql.Conn, query string, args ...any) ([]string, error) {
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// readTable counts and digests a table's rows, in the order of its key: the one in
// which they are stored.
func readTable(ctx context.Context, c *sql.Conn, table string) (backup.Collection, error) {
	collection := backup.Collection{Name: table}
	columns, err := listColumns(ctx, c, "main", table, stored)
	if err != nil {
		return collection, err
	}
	calls := digestCalls(columns)
	sums := make([][]byte, len(calls))
	results := []any{&collection.Documents}
	for i := range sums {
		results = append(results, &sums[i])
	}
	// NOT INDEXED: an index that has all columns would be read instead, in its order.
	query := "SELECT count(*), " + strings.Join(calls, ", ") + " FROM main." + quote(table) + " NOT INDEXED"
	if err := c.QueryRowContext(ctx, query).Scan(results...); err != nil {
		return collection, err
	}
	all := sha256.Sum256(slices.Concat(sums...))
	collection.SHA256 = hex.EncodeToString(all[:])
	collection.Definition, err = readDefinition(ctx, c, table)
	return collection, err
}

// digestCalls calls the digest of the columns, more than once where they are many.
func digestCalls(columns []string) []string {
	var calls []string
	for some := range slices.Chunk(columns, maxArguments) {
		calls = append(calls, digestFunction+"("+quoted(some)+")")
	}
	return calls
}

// readDefinition digests the statements that made a table, its indexes and triggers.
func readDefinition(ctx context.Context, c *sql.Conn, table string) (string, error) {
	var sum []byte
	err := c.QueryRowContext(ctx, "SELECT "+digestFunction+`(type, name, sql ORDER BY type, name)
		FROM main.sqlite_schema WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL`, table).Scan(&sum)
	return hex.EncodeToString(sum), err
}

func quoted(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = quote(name)
	}
	return strings.Join(all, ", ")
}

// quote is the name as SQL takes it, whatever it is.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
