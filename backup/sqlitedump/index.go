package sqlitedump

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// index is an index of a table with rowids, whose entries are in the order of numbers and
// bytes. An entry has the values of the keys, and the rowid after them.
type index struct {
	root   int64    // the number of its first page
	unique bool     // no two entries have the same keys
	keys   []string // SQL expressions of the table's columns
	filled int      // so many keys, the first ones, aren't NULL in the rows that have entries

	found set // the entries that it has

	mu       sync.Mutex
	expected set // the entries that it should have, by the rows that have been read
}

// newIndex is nil for an index of another kind, and for one that the schema says
// strange things of.
func newIndex(ctx context.Context, c *sql.Conn, table, name string) (*index, error) {
	i := &index{}
	var text string
	var partial bool
	err := c.QueryRowContext(ctx, `SELECT s.rootpage, l."unique", l.partial, coalesce(s.sql, '')
		FROM main.sqlite_schema AS s, pragma_index_list(?1) AS l WHERE s.type = 'index' AND s.name = ?2 AND l.name = ?2`, table, name).
		Scan(&i.root, &i.unique, &partial, &text)
	if err != nil {
		return nil, err
	}
	columns, err := keyColumns(ctx, c, name)
	switch {
	case err != nil || columns == nil:
		return nil, err
	case !partial && !hasExpression(columns):
		i.keys = columns
		return i, nil
	}
	if i.keys, i.filled = parseDeclared(text); len(i.keys) != len(columns) {
		return nil, nil
	}
	return i, nil
}

// keyColumns are the columns of an index's keys as SQL has them, empty for expressions.
// They are nil where an order isn't that of bytes, or is turned round.
func keyColumns(ctx context.Context, c *sql.Conn, name string) (columns []string, err error) {
	var n int
	err = c.QueryRowContext(ctx, `SELECT count(*) FROM pragma_index_xinfo(?)
		WHERE desc <> 0 OR coll <> 'BINARY' OR (cid = -1) <> (key = 0)`, name).Scan(&n)
	if err != nil || n > 0 {
		return nil, err
	}
	columns, err = queryStrings(ctx, c, "SELECT coalesce(name, '') FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno", name)
	for i, column := range columns {
		if column != "" {
			columns[i] = quote(column)
		}
	}
	return columns, err
}

func hasExpression(columns []string) bool {
	for _, column := range columns {
		if column == "" {
			return true
		}
	}
	return false
}

// The statement by which the store makes an index (sqlitedocs has it): of fields of the
// documents that have all of them, and the id perhaps.
var (
	declaration = regexp.MustCompile(`^CREATE (?:UNIQUE )?INDEX "[a-z0-9_.]+" ON "[a-z0-9_]+" \((.*)\) WHERE (.*)$`)
	fieldKey    = regexp.MustCompile(`^doc ->> '\$\.[a-z0-9_]+'$`)
)

// parseDeclared returns the keys of an index of the store's, and how many of the first
// can't be NULL in it; no keys for another index.
func parseDeclared(text string) (keys []string, filled int) {
	parts := declaration.FindStringSubmatch(text)
	if parts == nil {
		return nil, 0
	}
	keys, conditions := strings.Split(parts[1], ", "), strings.Split(parts[2], " AND ")
	filled = len(conditions)
	if len(keys) != filled && (len(keys) != filled+1 || keys[filled] != "id") {
		return nil, 0
	}
	for i, condition := range conditions {
		if !fieldKey.MatchString(keys[i]) || condition != keys[i]+" IS NOT NULL" {
			return nil, 0
		}
	}
	return keys, filled
}

// entryCall is the SQL function's call that is the set of entries for rows.
func (i *index) entryCall() string {
	return fmt.Sprintf("%s(%d, %s, rowid)", entriesFunction, i.filled, strings.Join(i.keys, ", "))
}

// expect adds what entryCall has returned.
func (i *index) expect(text []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.expected.join(parseSet(text))
}
