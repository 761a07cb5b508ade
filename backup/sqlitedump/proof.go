package sqlitedump

import (
	"context"
	"database/sql"
	"hash/maphash"
	"io"
	"slices"
	"sync"
)

// proof is that the indexes of a table belong to it: each has one entry for each row that
// it should have one for, with the row's values, and no other; the entries are in their
// order, so that SQLite finds them; and no two are alike where the index is unique.
//
// That the entries are those of the rows is seen from their number and the sums of their
// hashes, in whatever order either were read. Their order, and whether some are alike, is
// seen in the index itself.
type proof struct {
	table string
	format
	root    int64 // the number of the table's first page
	indexes []*index
	fields  []string // that are read of each document

	mu      sync.Mutex
	doubted bool // something isn't as the store makes it, or isn't known
}

// set is what is known of entries that were read in any order: how many they are, and two
// sums of their hashes. Those of other entries are the same by a chance of one in 2^100 or
// so, which nobody can bring about: the hashes are others in every process.
type set struct{ n, sum, other uint64 }

var seed, otherSeed = maphash.MakeSeed(), maphash.MakeSeed()

func (s *set) add(entry []byte) {
	s.join(set{1, maphash.Bytes(seed, entry), maphash.Bytes(otherSeed, entry)})
}

func (s *set) join(with set) {
	s.n, s.sum, s.other = s.n+with.n, s.sum+with.sum, s.other+with.other
}

// newProof finds out what is to be read of a table. It is in doubt from the beginning
// about one that isn't of documents, or has an index of another kind.
func newProof(ctx context.Context, c *sql.Conn, f format, table string) (*proof, error) {
	p := &proof{table: table, format: f, doubted: !f.utf8}
	rows, err := c.QueryContext(ctx, `SELECT type, name, coalesce(cast(rootpage AS INTEGER), 0), coalesce(sql, '') FROM main.sqlite_schema
		WHERE type IN ('table', 'index') AND tbl_name = ? COLLATE NOCASE ORDER BY rowid`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // only read from
	for rows.Next() {
		var kind, text string
		var of index
		if err := rows.Scan(&kind, &of.name, &of.root, &text); err != nil {
			return nil, err
		}
		p.add(kind, &of, text)
	}
	return p, rows.Err()
}

// add takes a part of the table's definition.
func (p *proof) add(kind string, of *index, text string) {
	switch {
	case kind == "table" && tableText.MatchString(text):
		p.root = of.root
	case kind == "index" && text == "":
		p.addPrimary(of)
	case kind == "index" && p.addDeclared(of, text):
	default:
		p.doubted = true
	}
}

// doubt leaves it to SQLite whether the table and its indexes are whole.
func (p *proof) doubt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doubted = true
}

// holds tells whether the proof holds, after all has been read.
func (p *proof) holds() bool {
	return !p.doubted && !slices.ContainsFunc(p.indexes, func(i *index) bool { return i.expected != i.found })
}

// maxParts is in how many parts a table is read at most.
const maxParts = 16

// parts are the pages that lead to all the rows, to be read at the same time.
func (p *proof) parts(ctx context.Context, file io.ReaderAt) (parts [][]int64, err error) {
	t := &tree{ctx: ctx, file: file, format: p.format, leaf: tableLeaf}
	branches, ok := t.branches(p.root)
	if !ok {
		p.doubt()
		return nil, t.failed
	}
	return slices.Collect(slices.Chunk(branches, len(branches)/maxParts+1)), nil
}

// readRows reads a part of the table for the entries that its indexes should have.
func (p *proof) readRows(ctx context.Context, file io.ReaderAt, part []int64) error {
	r := &rowReader{proof: p, documents: newDocumentReader(p.fields), sets: make([]set, len(p.indexes))}
	r.tree = tree{ctx: ctx, file: file, format: p.format, leaf: tableLeaf, each: r.row}
	for _, branch := range part {
		if !r.walk(branch, 1) {
			p.doubt()
			return r.failed
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range r.sets {
		p.indexes[i].expected.join(s)
	}
	return nil
}

// rowReader reads rows of a table of documents.
type rowReader struct {
	*proof
	tree
	documents *documentReader
	sets      []set // of entries, for each index
	values    []value
	entry     []byte
}

// row reads a row.
func (r *rowReader) row(cell []byte) (ok bool) {
	size, n := varint(cell)
	rowid, m := varint(cell[n:])
	if n == 0 || m == 0 || size > maxRecord {
		return false
	}
	record, ok := r.record(cell[n+m:], int64(size))
	if !ok {
		return false
	}
	r.values, ok = parseRecord(record, r.values[:0])
	if !ok || len(r.values) != 2 || r.values[0].tag != tagText || r.values[1].tag != tagText {
		return false
	}
	if len(r.fields) > 0 && !r.documents.read(r.values[1].text) {
		return false
	}
	for i, index := range r.indexes {
		r.entry = index.entry(r.entry[:0], r.values[0], r.documents.values, int64(rowid))
		if len(r.entry) > 0 {
			r.sets[i].add(r.entry)
		}
	}
	return true
}

// readEntries reads an index.
func (p *proof) readEntries(ctx context.Context, file io.ReaderAt, i *index) error {
	r := &entryReader{index: i}
	r.tree = tree{ctx: ctx, file: file, format: p.format, leaf: indexLeaf, each: r.entry}
	if !r.walk(r.root, 0) {
		p.doubt()
		return r.failed
	}
	i.found, i.read = r.entries, true
	return nil
}

// entryReader reads the entries of an index.
type entryReader struct {
	*index
	tree
	entries   set
	last, now entry
	buf       []byte
}

// entry is one with memory of its own.
type entry struct {
	record []byte
	values []value
}

// entry reads an entry.
func (r *entryReader) entry(cell []byte) (ok bool) {
	size, n := varint(cell)
	if n == 0 || size > maxRecord {
		return false
	}
	record, ok := r.record(cell[n:], int64(size))
	if !ok {
		return false
	}
	r.now.record = append(r.now.record[:0], record...)
	r.now.values, ok = parseRecord(r.now.record, r.now.values[:0])
	if !ok || len(r.now.values) != len(r.keys)+1 || r.entries.n > 0 && !r.inOrder(r.last.values, r.now.values) {
		return false
	}
	r.buf = r.buf[:0]
	for _, v := range r.now.values {
		r.buf = v.appendTo(r.buf)
	}
	r.entries.add(r.buf)
	r.last, r.now = r.now, r.last
	return true
}
