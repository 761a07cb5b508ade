// Package backup makes backups that have been restored. A dump of a database is
// compressed, hashed, encrypted and written to several destinations at once; then it
// is read back from there, restored into a scratch database and compared with what
// was dumped. Only then it counts as verified, and the lack of verified backups
// raises an alarm.
//
// It knows no database and no object store: those are a [Source], a [Restorer] and a
// [Target], which adapters in the folders below provide. The folder as a target is
// here ([NewFolder]).
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Source is a database that backups are made of. It is used by one run at a time.
//
// Its methods return [ErrUnavailable] when the database can't be reached now, the
// context's error within a second of its end, and leave no goroutine behind.
type Source interface {
	// String names the database for people, without a password.
	String() string

	// Format is what its dumps are named by: [Archive] or [SQLite].
	Format() Format

	// Size is about how many bytes Dump will write. It is for progress and for the
	// sizes of parts, and may be wrong.
	Size(ctx context.Context) (int64, error)

	// Dump writes the database to w and returns what it has written, hashes
	// included. It calls progress, from one goroutine at a time, with the number of
	// bytes written so far; progress is quick.
	Dump(ctx context.Context, w io.Writer, progress func(written int64)) (Contents, error)

	// Drill restores a dump into a scratch database beside the source, has the
	// engine check its integrity, and returns what is in it, by reading it again. Of a
	// dump of every database in which there is only one, it may leave out that one's name.
	// The scratch database is gone when it returns. One that a killed process has
	// left is removed by the next Drill. It returns [ErrDamaged] for a dump that
	// can't be restored.
	Drill(ctx context.Context, dump io.Reader, progress func(read int64)) (Contents, error)
}

// Restorer is a database that a dump can be restored into.
type Restorer interface {
	// Format is the format of the dumps that it takes.
	Format() Format

	// Plan tells what Restore would do. Contents is nil for a dump of which that
	// isn't known. It changes nothing, and returns [ErrNotEmpty] together with the
	// plan when Restore would.
	Plan(ctx context.Context, contents *Contents, o RestoreOptions) (Plan, error)

	// Restore puts the dump in place and returns what it has restored. It returns
	// [ErrNotEmpty], and has changed nothing, when there is something already that
	// o.Drop doesn't allow to be dropped, and [ErrInUse] while somebody is at work there;
	// [ErrDamaged] for a dump that can't be read to its end.
	Restore(ctx context.Context, dump io.Reader, o RestoreOptions, progress func(read int64)) (Contents, error)
}

// RestoreOptions is what is to be restored, and how.
type RestoreOptions struct {
	// Database is the only one to be restored of a dump of several, under whatever name the
	// Restorer's own has; empty means all of them, under their own names.
	Database string
	// Collections are the only ones to be restored; empty means all.
	Collections []string
	// Drop allows that what is there already is dropped first.
	Drop bool
	// Databases says that what is restored are several databases, as Contents has it.
	Databases bool
}

// Plan is what a restore will do, for a person to read before it is done.
type Plan struct {
	// Target is where it restores to, without a password.
	Target string     `json:"target"`
	Steps  []PlanStep `json:"steps"`
}

// PlanStep is what happens to one collection.
type PlanStep struct {
	Collection string `json:"collection"`
	// Restore is set for those that come out of the backup; others are dropped, as
	// the whole database is replaced.
	Restore bool `json:"restore"`
	// Documents is how many the backup has; -1 when that isn't known.
	Documents int64 `json:"documents"`
	// Existing is how many the target has now, which are dropped; -1 when it has no
	// such collection.
	Existing int64 `json:"existing"`
}

// Format is the format of a dump. It is a part of a backup's name.
type Format string

// The formats of dumps.
const (
	// Archive is what mongodump writes with --archive.
	Archive Format = "archive"
	// SQLite is a database file of SQLite.
	SQLite Format = "sqlite"
)

// Contents is what is in a dump or a database. Two of the same contents are Equal,
// however they came to be written.
type Contents struct {
	// Server is the database's name and version, such as "SQLite 3.54.1".
	Server string `json:"server"`
	// Clock is what the server's clock showed when the dump was begun; zero where it has
	// none of its own.
	Clock time.Time `json:"server_clock,omitzero"`
	// Databases is set where every database of a server was dumped: then the names of
	// collections are database.collection.
	Databases bool `json:"databases,omitempty"`
	// Collections are ordered by their names.
	Collections []Collection `json:"collections"`
}

// Collection is what is in a collection, or a table.
type Collection struct {
	Name      string `json:"name"`
	Documents int64  `json:"documents"`
	// SHA256 tells two collections of different documents apart, in hexadecimal.
	// What it is made of is up to the source; the order in which documents are read
	// doesn't matter unless the source says so.
	SHA256 string `json:"sha256"`
	// Definition is a hash of how the collection is defined: its options and
	// indexes, or its schema; in hexadecimal.
	Definition string `json:"definition,omitempty"`
}

// Count is how many documents a collection of that name has; not ok when there is none.
func (c Contents) Count(name string) (documents int64, ok bool) {
	i := slices.IndexFunc(c.Collections, func(c Collection) bool { return c.Name == name })
	if i < 0 {
		return 0, false
	}
	return c.Collections[i].Documents, true
}

// ofOneDatabase is what is in the only database that there is, as it would be called without
// its name.
func (c Contents) ofOneDatabase() Contents {
	c.Databases, c.Collections = false, slices.Clone(c.Collections)
	for i := range c.Collections {
		_, c.Collections[i].Name, _ = strings.Cut(c.Collections[i].Name, ".")
	}
	return c
}

// Documents is how many documents there are in all collections.
func (c Contents) Documents() int64 {
	var n int64
	for _, collection := range c.Collections {
		n += collection.Documents
	}
	return n
}

// Of is what is in one database of several, by the collections' own names; everything when
// there is no name. The error says which databases there are.
func (c Contents) Of(database string) (Contents, error) {
	if database == "" {
		return c, nil
	}
	if !c.Databases {
		return Contents{}, errors.New("the backup is of one database alone: leave --from-database out")
	}
	one := []Collection{}
	for _, collection := range c.Collections {
		if of, name, _ := strings.Cut(collection.Name, "."); of == database {
			collection.Name = name
			one = append(one, collection)
		}
	}
	if len(one) == 0 {
		return Contents{}, fmt.Errorf("the backup has no database %q; it has %s", database, strings.Join(c.DatabaseNames(), ", "))
	}
	c.Databases, c.Collections = false, one
	return c, nil
}

// DatabaseNames are the names of the databases, where there are several.
func (c Contents) DatabaseNames() []string {
	var names []string
	for _, collection := range c.Collections {
		of, _, _ := strings.Cut(collection.Name, ".")
		names = append(names, of)
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// Only is what is in the collections of these names, or in all when there are none. The
// error names one that isn't there.
func (c Contents) Only(names []string) (Contents, error) {
	for _, name := range names {
		if !slices.ContainsFunc(c.Collections, func(c Collection) bool { return c.Name == name }) {
			return Contents{}, NoCollection(name, c.names())
		}
	}
	c.Collections = slices.DeleteFunc(slices.Clone(c.Collections), func(c Collection) bool {
		return len(names) > 0 && !slices.Contains(names, c.Name)
	})
	return c, nil
}

func (c Contents) names() []string {
	names := make([]string, len(c.Collections))
	for i, collection := range c.Collections {
		names[i] = collection.Name
	}
	return names
}

// shownNames is how many names an error lists: more than the product has.
const shownNames = 100

// NoCollection is the error that says that a backup hasn't a collection, and which it has.
func NoCollection(name string, has []string) error {
	more := ""
	if len(has) > shownNames {
		has, more = has[:shownNames], fmt.Sprintf(" and %d more", len(has)-shownNames)
	}
	return fmt.Errorf("the backup has no collection %q; it has %s%s", name, strings.Join(has, ", "), more)
}

// Target is a destination of backups: a folder, or a bucket's prefix. Names are
// those of files, without slashes. It is safe for concurrent use, by several
// processes too.
//
// Its methods return the context's error soon after its end, wrap [fs.ErrNotExist]
// for a name that there isn't, and [ErrUnavailable] when the target can't be reached
// now, or has no space. Others say what to do.
type Target interface {
	// String names the target for people, without a password: a path, or
	// s3://bucket/prefix.
	String() string

	// Create begins a file, of about size bytes. Nobody sees it before Commit
	// has returned nil, and then it is whole and on the disk. The context is that of
	// all the upload's methods.
	Create(ctx context.Context, name string, size int64) (Upload, error)

	// Put writes a small file as a whole, durably, in place of one that may be
	// there: whoever reads it gets the old or the new one, never anything between.
	Put(ctx context.Context, name string, data []byte) error

	// Open reads a file.
	Open(ctx context.Context, name string) (io.ReadCloser, error)

	// List has every file whose name begins with prefix, by name.
	List(ctx context.Context, prefix string) ([]File, error)

	// Remove removes a file. One that is gone already is no error.
	Remove(ctx context.Context, name string) error

	// Locks tells whether what is written can't be removed for a time, that which took
	// the place of another too.
	Locks() bool

	// Begun tells whether an upload has begun the file and not been released: its
	// process is at work, or was killed and Clean hasn't been called since.
	Begun(ctx context.Context, name string) (bool, error)

	// Clean removes what dead processes have left: unfinished uploads, and of the files
	// that they have committed but not released those that orphan picks. It returns
	// what it has removed, for people to read. Files that have come there in another
	// way, and names that don't begin with prefix, are never touched.
	Clean(ctx context.Context, prefix string, orphan func(name string) bool) ([]string, error)
}

// Upload is a file being written.
//
// Until Release is called the file belongs to this process, and no Clean of another
// one takes it for an orphan. Once it has been called, no Clean ever does.
type Upload interface {
	io.Writer

	// Commit makes the file whole, durable and seen by others.
	Commit() error

	// Release ends the upload. Before Commit it removes all of it, as far as
	// possible even when the context has ended; after it, it leaves the file as it
	// is. It may be called more than once.
	Release() error
}

// File is a file in a target.
type File struct {
	Name     string
	Size     int64
	Modified time.Time
}

// Errors of the room, to be tested with errors.Is. They are wrapped with what is to
// be done.
var (
	// ErrUnavailable: a database or a target can't be reached now, or has no space, and a
	// later try may succeed.
	ErrUnavailable = errors.New("unavailable")
	// ErrDamaged: a backup isn't what was written.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrWrongKey: none of the given keys opens an encrypted backup.
	ErrWrongKey = errors.New("the backup is encrypted")
	// ErrNotEmpty: the database to restore into has something that would be lost.
	ErrNotEmpty = errors.New("the database to restore into is not empty")
	// ErrInUse: somebody is at work on the database to restore into. It is ErrUnavailable too.
	ErrInUse error = inUse{}
	// ErrNotFound: no destination has such a backup.
	ErrNotFound = errors.New("no such backup")
	// ErrUndecided: the backups are of several installations, and nothing says which is meant.
	ErrUndecided = errors.New("several installations have backups here, and nothing says which of them is meant")
	// ErrEmpty: there is nothing in the database that is to be backed up.
	ErrEmpty = errors.New("the database is empty")
)

type inUse struct{}

func (inUse) Error() string        { return "in use" }
func (inUse) Is(target error) bool { return target == ErrUnavailable } //nolint:errorlint // as errors.Is wants it
