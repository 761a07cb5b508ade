package sqlitedump

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
)

// format is what the header says of all pages.
type format struct {
	pageSize, usable int64 // in bytes
	utf8             bool  // is how texts are
}

// Where the header has more of it.
const (
	atReserved = 20
	atEncoding = 56
)

// readFormat reads the header of a file, which fill has looked at.
func readFormat(file io.ReaderAt) (format, error) {
	start := make([]byte, headerSize)
	if _, err := file.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return format{}, unreadable(err)
	}
	h, err := parseHeader(start)
	if err != nil {
		return format{}, damaged(err)
	}
	return format{h.pageSize, h.pageSize - int64(start[atReserved]), binary.BigEndian.Uint32(start[atEncoding:]) == 1}, nil
}

// tree reads the cells of a table or an index in their order, out of the file itself.
// That takes a third of the time in which SQLite hands out their values, and sees all of
// each record. It knows what SQLite writes; to everything else it isn't ok, which need not
// mean damage. See https://www.sqlite.org/fileformat2.html#b_tree_pages.
type tree struct {
	ctx  context.Context
	file io.ReaderAt
	format
	leaf byte                        // the kind of its leaves
	each func(cell []byte) (ok bool) // is called with each cell of a row or an entry

	failed   error                      // the file can't be read, or the context has ended
	pages    [maxDepth + 1][]byte       // the one of each depth that is being read
	overflow struct{ page, all []byte } // of a record that is in several pages
}

// Kinds of leaves. The pages above them are of the same kind less 8.
const (
	indexLeaf = 10
	tableLeaf = 13
	above     = 8
)

// Bounds, beyond which it isn't what SQLite makes, or should not be in memory.
const (
	maxDepth  = 20
	maxRecord = 16 << 20
)

// walk reads a page's cells and those of the pages below it. A page that is in the tree
// twice is for each to find: its cells come again.
func (t *tree) walk(number int64, depth int) (ok bool) {
	n, ok := t.node(number, depth)
	if !ok {
		return false
	}
	for i := range n.cells {
		cell, ok := n.cell(i)
		if !ok || n.inner && !t.walk(child(cell), depth+1) {
			return false
		}
		if n.inner {
			cell = cell[4:]
		}
		if n.inner && t.leaf == tableLeaf { // only a rowid to find the way by
			continue
		}
		if !t.each(cell) {
			return false
		}
	}
	return !n.inner || t.walk(child(n.page[8:]), depth+1)
}

// branches are the pages right below a tree's root, or else the root.
func (t *tree) branches(root int64) (numbers []int64, ok bool) {
	n, ok := t.node(root, 0)
	if !ok || !n.inner {
		return []int64{root}, ok
	}
	for i := range n.cells {
		cell, ok := n.cell(i)
		if !ok {
			return nil, false
		}
		numbers = append(numbers, child(cell))
	}
	return append(numbers, child(n.page[8:])), true
}

// node is a page of a tree.
type node struct {
	page  []byte // without the space at the end that SQLite doesn't use
	inner bool   // pages are below it
	cells int
	at    int // where the list of its cells is
}

func (t *tree) node(number int64, depth int) (n node, ok bool) {
	if depth > maxDepth {
		return n, false
	}
	if t.pages[depth] == nil {
		t.pages[depth] = make([]byte, t.pageSize)
	}
	if !t.load(number, t.pages[depth]) {
		return n, false
	}
	page := t.pages[depth][:t.usable]
	n = node{page, page[0] == t.leaf-above, int(binary.BigEndian.Uint16(page[3:])), 8}
	if n.inner {
		n.at = 12
	}
	return n, (n.inner || page[0] == t.leaf) && n.at+2*n.cells <= len(page)
}

// cell is what is at a cell's place, up to the page's end.
func (n node) cell(i int) (cell []byte, ok bool) {
	at := int(binary.BigEndian.Uint16(n.page[n.at+2*i:]))
	if at < n.at+2*n.cells || at > len(n.page)-4 {
		return nil, false
	}
	return n.page[at:], true
}

// child is the number of the page below a cell.
func child(cell []byte) int64 { return int64(binary.BigEndian.Uint32(cell)) }

// load reads a page. The first belongs to SQLite's own table, which isn't read.
func (t *tree) load(number int64, page []byte) (ok bool) {
	if t.failed = t.ctx.Err(); t.failed != nil || number < 2 {
		return false
	}
	_, err := t.file.ReadAt(page, (number-1)*t.pageSize)
	if err != nil && !errors.Is(err, io.EOF) {
		t.failed = unreadable(err)
	}
	return err == nil
}

// record is the record of so many bytes that begins in a cell. It is there until the next.
func (t *tree) record(cell []byte, size int64) (record []byte, ok bool) {
	local := t.local(size)
	switch {
	case size > maxRecord || local > int64(len(cell)):
		return nil, false
	case local == size:
		return cell[:size], true
	case local+4 > int64(len(cell)):
		return nil, false
	}
	if t.overflow.page == nil {
		t.overflow.page = make([]byte, t.pageSize)
	}
	all, page := append(t.overflow.all[:0], cell[:local]...), t.overflow.page
	for next := child(cell[local:]); int64(len(all)) < size; next = child(page) {
		if !t.load(next, page) {
			return nil, false
		}
		all = append(all, page[4:4+min(size-int64(len(all)), t.usable-4)]...)
	}
	t.overflow.all = all
	return all, true
}

// local is how much of a record of so many bytes is in the cell itself.
func (t *tree) local(size int64) int64 {
	most, least := t.usable-35, (t.usable-12)*32/255-23
	if t.leaf == indexLeaf {
		most = (t.usable-12)*64/255 - 23
	}
	if size <= most {
		return size
	}
	if fits := least + (size-least)%(t.usable-4); fits <= most {
		return fits
	}
	return least
}
