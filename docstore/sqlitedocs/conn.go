package sqlitedocs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"

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
	case isFull(err):
		return fmt.Errorf("%w: there is no space left on the disk with the data: free some, and writing goes on by itself: %w", docstore.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", docstore.ErrUnavailable, err)
}

// isDamage tells whether SQLite finds that the file isn't what it has written.
func isDamage(err error) bool {
	result := primary(err)
	return result == lib.SQLITE_CORRUPT || result == lib.SQLITE_NOTADB
}

// isFull tells whether the disk or the user's share of it is full. The file of the
// shared memory, which SQLite makes longer first, has an error of its own.
func isFull(err error) bool {
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
