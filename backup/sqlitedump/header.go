package sqlitedump

import (
	"encoding/binary"
	"errors"
	"strings"
)

// The header of a database file, at its beginning.
// See https://www.sqlite.org/fileformat2.html#the_database_header.
const (
	headerSize  = 100
	magic       = "SQLite format 3\x00"
	atPageSize  = 16 // two bytes; 1 stands for 65536
	atVersions  = 18 // one byte for writing and one for reading: 1, or 2 with a log beside it
	atChanges   = 24
	atPages     = 28
	atChangesOf = 92 // the changes for which the number of pages is right
)

// header is what is to be known of a dump before SQLite looks at it.
type header struct {
	pageSize int64
	pages    int64 // 0 when the file doesn't say
}

// errNoDatabase is what a dump is that doesn't begin with a header.
var errNoDatabase = errors.New("it is no SQLite database")

// parseHeader reads the header of a database file, of which start is the beginning.
func parseHeader(start []byte) (header, error) {
	var h header
	if len(start) < headerSize || !strings.HasPrefix(string(start[:len(magic)]), magic) {
		return h, errNoDatabase
	}
	h.pageSize = int64(binary.BigEndian.Uint16(start[atPageSize:]))
	if h.pageSize == 1 {
		h.pageSize = 65536
	}
	if h.pageSize < 512 || h.pageSize&(h.pageSize-1) != 0 {
		return h, errNoDatabase
	}
	for _, version := range start[atVersions : atVersions+2] {
		if version != 1 && version != 2 {
			return h, errors.New("it is a SQLite database of a version that this program doesn't know: use a newer one")
		}
	}
	if binary.BigEndian.Uint32(start[atChanges:]) == binary.BigEndian.Uint32(start[atChangesOf:]) {
		h.pages = int64(binary.BigEndian.Uint32(start[atPages:]))
	}
	return h, nil
}

// fits tells whether a file of that many bytes can have the header.
func (h header) fits(size int64) bool {
	if h.pages != 0 {
		return size == h.pages*h.pageSize
	}
	return size%h.pageSize == 0
}

// standAlone says in the header that there is no log beside the file: it opens where
// none can be made too, and never mistakes another file's log for its own. Whoever
// wants one will say so again.
func standAlone(start []byte) {
	if len(start) >= headerSize {
		start[atVersions], start[atVersions+1] = 1, 1
	}
}
