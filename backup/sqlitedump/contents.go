package sqlitedump

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"slices"
	"strings"

	"modernc.org/sqlite"

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
