package sqlitedump

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"manus/backup"
)

// engine opens SQLite files. Its connections have the function that digests rows.
type engine struct{ driver *sqlite.Driver }

func newEngine() (engine, error) {
	e := engine{&sqlite.Driver{}} // one of our own: nobody else's connections get the function
	return e, e.driver.RegisterFunction(digestFunction, &sqlite.FunctionImpl{
		NArgs:         -1,
		MakeAggregate: func(sqlite.FunctionContext) (sqlite.AggregateFunction, error) { return newDigest(), nil },
		VolatileArgs:  true, // a digest keeps none of them
	})
}

// How files are opened. None of it makes a file that isn't there.
var (
	// live is a file that others write to as well. Their locks are waited for.
	live = url.Values{"mode": {"rw"}, "_pragma": {"busy_timeout(2000)", "cache_size(-2048)", "temp_store(MEMORY)", "trusted_schema(0)"}}
	// private is a file that nobody else has and nobody writes to: SQLite needs no
	// locks and no files beside it.
	private = url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": {"cache_size(-2048)", "temp_store(MEMORY)", "trusted_schema(0)", "cell_size_check(1)"}}
)

// open is the file at path; it isn't looked at before the first query.
func (e engine) open(path string, how url.Values) *sql.DB {
	return sql.OpenDB(connector{e.driver, uri(path, how)})
}

func uri(path string, how url.Values) string {
	absolute, err := filepath.Abs(path)
	if err != nil { // only when the working folder is gone
		absolute = path
	}
	file := url.URL{Scheme: "file", Path: absolute, RawQuery: how.Encode()}
	return file.String()
}

// connector makes connections of an engine.
type connector struct {
	driver *sqlite.Driver
	dsn    string
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.driver.Open(c.dsn)
}

func (c connector) Driver() driver.Driver { return c.driver }

// translateError says in the operator's words what can be done about an error with the
// file at path, and makes it ErrUnavailable where a later try may succeed.
func translateError(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch primary(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return fmt.Errorf("%w: the database file %s is locked by another process: try again later: %w", backup.ErrUnavailable, path, err)
	case lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_NOMEM:
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
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}
