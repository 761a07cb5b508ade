package sqlitedump

import (
	"context"
	"database/sql"
	"math"
	"os"
	"strings"
	"sync/atomic"
)

// proof is that the indexes of a table belong to it: each has one entry for each row that
// it should have one for, with the row's values, and no other; the entries are in their
// order, so that SQLite finds them; and no two are alike where the index is unique.
//
// That the entries are those of the rows is seen from their number and the sums of their
// hashes, in whatever order either were read. Their order, and whether some are alike, is
// seen in the index itself.
type proof struct {
	table   string
	format  format
	indexes []*index
	last    int64       // the highest rowid
	doubt   atomic.Bool // something isn't as it should be, or isn't known
}

// prepare finds out which indexes the table has. It is in doubt when one is of another
// kind than those that can be proved.
func (p *proof) prepare(ctx context.Context, c *sql.Conn) error {
	var plain bool
	err := c.QueryRowContext(ctx, `SELECT type <> 'virtual' AND wr = 0 AND NOT EXISTS
		(SELECT 1 FROM pragma_table_xinfo(?1) WHERE hidden <> 0 OR lower(name) = 'rowid')
		FROM pragma_table_list WHERE schema = 'main' AND name = ?1`, p.table).Scan(&plain)
	if err != nil || !plain || !p.format.utf8 {
		p.doubt.Store(true)
		return err
	}
	names, err := queryStrings(ctx, c, "SELECT name FROM pragma_index_list(?)", p.table)
	for _, name := range names {
		if err == nil {
			err = p.add(ctx, c, name)
		}
	}
	if err == nil && len(p.indexes) > 0 {
		err = c.QueryRowContext(ctx, "SELECT coalesce(max(rowid), 0) FROM main."+quote(p.table)+" NOT INDEXED").Scan(&p.last)
	}
	return err
}

func (p *proof) add(ctx context.Context, c *sql.Conn, name string) error {
	index, err := newIndex(ctx, c, p.table, name)
	if index == nil {
		p.doubt.Store(true)
		return err
	}
	p.indexes = append(p.indexes, index)
	return nil
}

// readRows reads a part of the table for the entries that its indexes should have.
func (p *proof) readRows(ctx context.Context, c *sql.Conn, part span) error {
	calls, sets := make([]string, len(p.indexes)), make([][]byte, len(p.indexes))
	var results []any
	for i, index := range p.indexes {
		calls[i] = index.entryCall()
		results = append(results, &sets[i])
	}
	query := "SELECT " + strings.Join(calls, ", ") + " FROM main." + quote(p.table) + " NOT INDEXED WHERE rowid BETWEEN ? AND ?"
	if err := c.QueryRowContext(ctx, query, part.first, part.last).Scan(results...); err != nil {
		return err
	}
	for i, index := range p.indexes {
		index.expect(sets[i])
	}
	return nil
}

// readEntries reads an index.
func (p *proof) readEntries(ctx context.Context, file *os.File, i *index) error {
	r := newIndexReader(ctx, file, p.format, i)
	err := r.read()
	if err == nil && r.odd {
		p.doubt.Store(true)
	}
	i.found = r.entries
	return err
}

// holds tells whether the proof holds, after all has been read.
func (p *proof) holds() bool {
	for _, index := range p.indexes {
		if index.expected != index.found {
			return false
		}
	}
	return !p.doubt.Load()
}

// span is a part of a table: the rows from its first to its last rowid.
type span struct{ first, last int64 }

// A table is read in so many parts at most, of so many rowids at least.
const (
	maxParts = 16
	minPart  = 50_000
)

// parts divides all the rowids that there can be, such that those from 0 to the highest
// are shared out evenly.
func parts(highest int64) []span {
	size := max(minPart, highest/maxParts+1)
	all := []span{{math.MinInt64, math.MaxInt64}}
	for i := range highest / size {
		next := (i + 1) * size
		all[i].last = next - 1
		all = append(all, span{next, math.MaxInt64})
	}
	return all
}
