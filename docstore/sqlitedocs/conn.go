package sqlitedocs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"manus/docstore"
)

// conn is one connection with its prepared statements, used by one goroutine
// at a time. Its statements run to their end whatever a request's context
// says: each is short, and watching a context costs more than most of them.
type conn struct {
	*sql.Conn
	statements map[string]*sql.Stmt
}

// statement prepares a text once. The texts are as many as the ways in which
// the declared indexes can be asked, so the map stays small.
func (c *conn) statement(text string) (*sql.Stmt, error) {
	if stmt, ok := c.statements[text]; ok {
		return stmt, nil
	}
	stmt, err := c.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	c.statements[text] = stmt
	return stmt, nil
}

// release closes the statements, without which SQLite would keep the file open,
// and gives the connection back to its pool.
func (c *conn) release() error {
	var errs []error
	for _, stmt := range c.statements {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, c.Close())...)
}

func (c *conn) exec(text string, args ...any) (sql.Result, error) {
	stmt, err := c.statement(text)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(context.Background(), args...)
}

func (c *conn) query(text string, args ...any) (*sql.Rows, error) {
	stmt, err := c.statement(text)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(context.Background(), args...)
}

func (c *conn) queryRow(dest any, text string, args ...any) error {
	stmt, err := c.statement(text)
	if err != nil {
		return err
	}
	return stmt.QueryRowContext(context.Background(), args...).Scan(dest)
}

// jsonCodec encodes documents as JSON text.
type jsonCodec struct{}

// Encode makes a document's JSON text.
func (jsonCodec) Encode(v any) (docstore.Raw, error) { return json.Marshal(v) }

// Decode reads a document's JSON text.
func (jsonCodec) Decode(raw docstore.Raw, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("a stored document can't be read: %w", err)
	}
	return nil
}

var errClosed = fmt.Errorf("%w: it has been closed", docstore.ErrUnavailable)

// unavailable wraps an engine's error, nil included.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", docstore.ErrUnavailable, err)
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
