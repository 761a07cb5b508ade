package sqlitedocs

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"manus/docstore"
)

// conn is one connection with its prepared statements, used by one goroutine
// at a time. It is the driver's own: what database/sql does around it, for pools and
// transactions that aren't used here, costs as much as a small read. Its statements run to
// their end whatever a request's context says: each is short, and watching a context costs
// more than most of them.
type conn struct {
	raw        driverConn
	statements map[string]statement
}

// driverConn and statement are what is used of the driver.
type (
	driverConn interface {
		driver.Conn
		driver.ConnPrepareContext
		driver.ExecerContext
		sqlite.DBStatus
	}
	statement interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}
)

// openConn opens a connection to what dsn names.
func openConn(dsn string) (*conn, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	return &conn{raw.(driverConn), map[string]statement{}}, nil
}

// statement prepares a text once. The texts are as many as the ways in which
// the declared indexes can be asked, so the map stays small.
func (c *conn) statement(text string) (statement, error) {
	if stmt, ok := c.statements[text]; ok {
		return stmt, nil
	}
	prepared, err := c.raw.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	c.statements[text] = prepared.(statement)
	return c.statements[text], nil
}

// close closes the statements, without which SQLite would keep the file open,
// and the connection.
func (c *conn) close() error {
	var errs []error
	for _, stmt := range c.statements {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

// script runs statements that are needed once, one after another.
func (c *conn) script(text string) error {
	_, err := c.raw.ExecContext(context.Background(), text, nil)
	return err
}

// exec runs a statement and tells how many rows it has changed.
func (c *conn) exec(text string, args ...any) (int64, error) {
	stmt, err := c.statement(text)
	if err != nil {
		return 0, err
	}
	values, err := arguments(args)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(context.Background(), values)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query calls each with every row until it returns false. The values are good until it
// returns.
func (c *conn) query(each func(row []driver.Value) bool, text string, args ...any) (err error) {
	stmt, err := c.statement(text)
	if err != nil {
		return err
	}
	values, err := arguments(args)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(context.Background(), values)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(row); {
		case err == io.EOF: //nolint:errorlint // as drivers return it
			return nil
		case err != nil:
			return err
		case !each(row):
			return nil
		}
	}
}

// value is the first value of the first row; nil when there is none.
func (c *conn) value(text string, args ...any) (value driver.Value, err error) {
	err = c.query(func(row []driver.Value) bool {
		value = row[0]
		return false
	}, text, args...)
	return value, err
}

// written is how many pages the connection has written to the log, or was about to when it
// failed, since that was last asked with reset.
func (c *conn) written(reset bool) int {
	pages, _, _ := c.raw.Status(sqlite.DBStatusCacheWrite, reset) // it fails for an unknown counter only
	return pages
}

// arguments are args as the driver takes them.
func arguments(args []any) ([]driver.NamedValue, error) {
	values := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		value, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return nil, err
		}
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: value}
	}
	return values, nil
}

// jsonCodec encodes documents as JSON text.
type jsonCodec struct{}

// Encode makes a document's JSON text.
func (jsonCodec) Encode(v any) (docstore.Raw, error) { return json.Marshal(v) }

// Decode reads a document's JSON text.
func (jsonCodec) Decode(raw docstore.Raw, v any) error {
	err := json.Unmarshal(raw, v)
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%w: a document isn't JSON: %w", docstore.ErrCorrupt, err)
	}
	if err != nil {
		return fmt.Errorf("a stored document can't be read: %w", err)
	}
	return nil
}

var errClosed = fmt.Errorf("%w: it has been closed", docstore.ErrUnavailable)

// unavailable makes an engine's error ErrUnavailable, or ErrCorrupt where no later try
// helps. Nil and what is one of them already it leaves as it is.
func unavailable(err error) error {
	switch {
	case err == nil, errors.Is(err, docstore.ErrUnavailable), errors.Is(err, docstore.ErrCorrupt):
		return err
	case isDamage(err):
		return fmt.Errorf("%w: %w", docstore.ErrCorrupt, err)
	case IsFull(err):
		return fmt.Errorf("%w: there is no space left on the disk with the data: free some, and writing goes on by itself: %w", docstore.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", docstore.ErrUnavailable, err)
}

// isDamage tells whether SQLite finds that the file isn't what it has written.
func isDamage(err error) bool {
	result := primary(err)
	return result == lib.SQLITE_CORRUPT || result == lib.SQLITE_NOTADB
}

// IsFull tells whether the disk or the user's share of it is full. The file of the
// shared memory, which SQLite makes longer first, has an error of its own.
func IsFull(err error) bool {
	return primary(err) == lib.SQLITE_FULL || code(err) == lib.SQLITE_IOERR_SHMSIZE || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// code is SQLite's extended result code, 0 when err isn't SQLite's.
// See https://www.sqlite.org/rescode.html.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// primary is the result code without its extension.
func primary(err error) int { return code(err) & 0xff }

func isUnique(err error) bool {
	return code(err) == lib.SQLITE_CONSTRAINT_UNIQUE || code(err) == lib.SQLITE_CONSTRAINT_PRIMARYKEY
}
