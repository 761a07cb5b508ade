package sqlitedump

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"manus/backup"
	"manus/docstore/sqlitedocs"
)

// How files are opened. None of it makes a file that isn't there.
var (
	// live is a file that others write to as well. Their locks are waited for.
	live = url.Values{"mode": {"rw"}, "_pragma": {"busy_timeout(2000)", "cache_size(-2048)", "temp_store(MEMORY)", "trusted_schema(0)"}}
	// private is a file that nobody else has and nobody writes to: SQLite needs no
	// locks and no files beside it.
	private = url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": {"cache_size(-2048)", "temp_store(MEMORY)", "trusted_schema(0)", "cell_size_check(1)"}}
	// alone is a file that nobody else may have open.
	alone = url.Values{"mode": {"rw"}, "_pragma": {"busy_timeout(0)", "synchronous(FULL)", "cache_size(-16384)", "temp_store(MEMORY)", "trusted_schema(0)", "foreign_keys(0)"}}
)

// open is the file at path; it isn't looked at before the first query.
func open(path string, how url.Values) *sql.DB { return sql.OpenDB(connector(uri(path, how))) }

func uri(path string, how url.Values) string {
	absolute, _ := filepath.Abs(path) // fails only when the working folder is gone
	file := url.URL{Scheme: "file", Path: cmp.Or(absolute, path), RawQuery: how.Encode()}
	return file.String()
}

// digesting is SQLite with the function that digests rows. It is a driver of our own:
// nobody else's connections get the function.
var digesting = sync.OnceValue(func() *sqlite.Driver {
	d := &sqlite.Driver{}
	d.MustRegisterFunction(digestFunction, &sqlite.FunctionImpl{
		NArgs:         -1,
		MakeAggregate: func(sqlite.FunctionContext) (sqlite.AggregateFunction, error) { return newDigest(), nil },
		VolatileArgs:  true, // a digest keeps none of them
	})
	return d
})

// connector makes connections to what it names.
type connector string

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return digesting().Open(string(c))
}

func (connector) Driver() driver.Driver { return digesting() }

// onConn runs f with a connection of its own.
func onConn(ctx context.Context, db *sql.DB, f func(*sql.Conn) error) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.Close())
}

// translateError says in the operator's words what can be done about an error with the
// file at path, and makes it ErrUnavailable where a later try may succeed.
func translateError(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if sqlitedocs.IsFull(err) {
		return fmt.Errorf("%w: there is no space left for the database file %s: free some and try again: %w", backup.ErrUnavailable, path, err)
	}
	switch primary(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return fmt.Errorf("%w: the database file %s is locked by another process: try again later: %w", backup.ErrUnavailable, path, err)
	case lib.SQLITE_IOERR, lib.SQLITE_NOMEM:
		return fmt.Errorf("%w: the database file %s can't be read: look after its disk and try again: %w", backup.ErrUnavailable, path, err)
	case lib.SQLITE_CANTOPEN, lib.SQLITE_PERM, lib.SQLITE_READONLY:
		return fmt.Errorf("%w: the database file %s can't be opened: this user needs to read and write it and its folder: %w", backup.ErrUnavailable, path, err)
	case lib.SQLITE_NOTADB, lib.SQLITE_CORRUPT:
		return fmt.Errorf("the database file %s is damaged, or no SQLite database: restore it from a backup: %w", path, err)
	}
	return err
}

// primary is SQLite's result code, 0 when err isn't SQLite's.
// See https://www.sqlite.org/rescode.html.
func primary(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}
