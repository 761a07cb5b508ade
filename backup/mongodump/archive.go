package mongodump

import (
	"errors"
	"fmt"
	"hash/crc64"

	"manus/backup"
)

// The archive format is mongodump's --archive, version 0.1, as mongo-tools describes
// it in common/archive/spec.md: a magic number; a header; for each collection its
// metadata; a terminator; then blocks, in any order of the collections. A block is a
// header that names the collection, documents as they are, and a terminator. A
// collection's last block has no documents, and the checksum of all of them.
const (
	magic      = 0x8199e26d
	terminator = 0xffffffff
	// formatVersion is the only one that there has been.
	formatVersion = "0.1"
	// toolVersion takes the place of mongodump's own.
	toolVersion = "manus"

	// maxDocument bounds a document: MongoDB's own limit for those of users is
	// 16 MiB, and for some that it makes itself 16 KiB more.
	maxDocument = 16<<20 + 16<<10
	// minDocument is the size of one without fields.
	minDocument = 5
	// maxPrelude bounds header and metadata together.
	maxPrelude = 32 << 20
)

// header is the archive's.
type header struct {
	// Concurrent is how many collections may have begun and not ended at a time:
	// mongorestore restores at least that many at once.
	Concurrent int32  `bson:"concurrent_collections"`
	Version    string `bson:"version"`
	Server     string `bson:"server_version"`
	Tool       string `bson:"tool_version"`
}

// entry is what the archive says of a collection, before the documents.
type entry struct {
	Database   string `bson:"db"`
	Collection string `bson:"collection"`
	// Metadata is JSON, see [metadata]; empty for collections that have none.
	Metadata string `bson:"metadata"`
	Size     int64  `bson:"size"`
	// Type is "view", "timeseries", or "" or "collection" for others.
	Type string `bson:"type"`
}

// data is where the documents of the entry's collection are in the archive.
func (e entry) data() namespace {
	return namespace{e.Database, dataOf(e.Collection, e.Type)}
}

// dataOf is the name of the collection that has the documents of one: those of a time series
// are its buckets, which the server keeps beside it.
func dataOf(name, kind string) string {
	if kind == timeseries {
		return bucketsPrefix + name
	}
	return name
}

const (
	view          = "view"
	timeseries    = "timeseries"
	bucketsPrefix = "system.buckets."
)

// namespace is a collection's full name.
type namespace struct{ database, collection string }

// blockHeader begins a block.
type blockHeader struct {
	Database   string `bson:"db"`
	Collection string `bson:"collection"`
	// EOF is set for a collection's last block. CRC is 0 in all others.
	EOF bool `bson:"EOF"`
	// CRC is the CRC-64-ECMA of the collection's documents, in their order.
	CRC int64 `bson:"CRC"`
}

func ecma() *crc64.Table { return crc64.MakeTable(crc64.ECMA) }

// damaged is an error that wraps backup.ErrDamaged.
func damaged(format string, values ...any) error {
	return fmt.Errorf("%w: %w", backup.ErrDamaged, fmt.Errorf(format, values...))
}

var errMalformed = errors.New("a document isn't well-formed BSON")
