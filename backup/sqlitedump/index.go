package sqlitedump

import (
	"regexp"
	"slices"
	"strings"
)

// index is an index of a table of documents. Its entries have the values of its keys, and
// the rowid after them.
type index struct {
	name   string
	root   int64 // the number of its first page
	unique bool  // no two entries have the same keys
	keys   []key
	where  string // which rows have entries: those with no key that is NULL; empty for all

	expected set // by the rows
	found    set // in the index
	read     bool
}

// key is a field of the documents, by its position among those that are read, or theID.
type key int

const theID key = -1

// The statements by which the store makes tables of documents and their indexes; see
// sqlitedocs, which writes them.
var (
	tableText = regexp.MustCompile(`^CREATE TABLE "?[a-z_][a-z0-9_]*"? \(id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL\) STRICT$`)
	indexText = regexp.MustCompile(`^CREATE (UNIQUE )?INDEX "[a-z0-9_.]+" ON "([a-z0-9_]+)" \(([^()]+)\) WHERE ([^()]+)$`)
	fieldText = regexp.MustCompile(`^doc ->> '\$\.([a-z_][a-z0-9_]*)'$`)
)

// addPrimary adds the index that SQLite makes of the ids.
func (p *proof) addPrimary(i *index) {
	i.unique, i.keys = true, []key{theID}
	p.indexes = append(p.indexes, i)
}

// addDeclared adds an index that the store has made: of fields, and of the id perhaps,
// for the documents that have all of the fields. It isn't ok about any other.
func (p *proof) addDeclared(i *index, text string) (ok bool) {
	parts := indexText.FindStringSubmatch(text)
	if parts == nil || parts[2] != p.table {
		return false
	}
	i.unique, i.where = parts[1] != "", parts[4]
	var present []string
	for _, expression := range strings.Split(parts[3], ", ") {
		if expression == "id" {
			i.keys = append(i.keys, theID)
			continue
		}
		field := fieldText.FindStringSubmatch(expression)
		if field == nil {
			return false
		}
		i.keys = append(i.keys, p.field(field[1]))
		present = append(present, expression+" IS NOT NULL")
	}
	p.indexes = append(p.indexes, i)
	return strings.Join(present, " AND ") == i.where
}

// field is the key of a field, which is read of each document from now on.
func (p *proof) field(name string) key {
	if i := slices.Index(p.fields, name); i >= 0 {
		return key(i)
	}
	p.fields = append(p.fields, name)
	return key(len(p.fields) - 1)
}

// entry appends a row's entry to b; there is none where that is empty.
func (i *index) entry(b []byte, id value, fields []value, rowid int64) []byte {
	for _, k := range i.keys {
		v := id
		if k != theID {
			v = fields[k]
		}
		if i.where != "" && v.tag == tagNull {
			return b[:0]
		}
		b = v.appendTo(b)
	}
	return integerValue(rowid).appendTo(b)
}

// inOrder tells whether one entry may follow another: it comes after it, and isn't one
// that there must be only once.
func (i *index) inOrder(last, now []value) bool {
	filled := true
	for at, v := range now {
		if at == len(i.keys) && i.unique && filled {
			return false // only the rowids differ
		}
		order, ok := compare(last[at], v)
		if !ok || order > 0 {
			return false
		}
		if order < 0 {
			return true
		}
		filled = filled && v.tag != tagNull
	}
	return false
}
