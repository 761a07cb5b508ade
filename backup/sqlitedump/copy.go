package sqlitedump

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"

	"manus/backup"
)

// copy copies tables of a dump into the file, in one transaction.
func (r *Restorer) copy(ctx context.Context, dump io.Reader, o backup.RestoreOptions, progress func(read int64)) (copied backup.Contents, err error) {
	_, err = withScratch(ctx, r.path, forRestore, work, dump, progress, func(scratch *os.File, contents backup.Contents) error {
		if copied, err = contents.Only(o.Collections); err != nil {
			return fmt.Errorf("%w: name one that it has, or none to restore all", err)
		}
		return r.copyInto(ctx, scratch.Name(), copied, o)
	})
	return copied, err
}

func (r *Restorer) copyInto(ctx context.Context, scratch string, contents backup.Contents, o backup.RestoreOptions) (err error) {
	if _, err := makeFile(r.path); err != nil {
		return err
	}
	db := open(r.path, shared)
	defer func() { err = errors.Join(err, db.Close()) }()
	err = onConn(ctx, db, func(c *sql.Conn) error { return r.copyAll(ctx, c, scratch, contents, o) })
	if err != nil {
		err = translateError(ctx, r.path, err)
	}
	return err
}

// copyAll copies the tables in a transaction, which ends with the connection at the latest.
func (r *Restorer) copyAll(ctx context.Context, c *sql.Conn, scratch string, contents backup.Contents, o backup.RestoreOptions) error {
	if _, err := c.ExecContext(ctx, "ATTACH ? AS backup", uri(scratch, private)); err != nil {
		return err
	}
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	rows, err := countRows(ctx, c)
	if err == nil {
		err = r.refuse(existing{rows: rows}, o) // somebody may have written since
	}
	if err != nil {
		return err
	}
	for _, collection := range contents.Collections {
		if err := copyTable(ctx, c, collection); err != nil {
			return fmt.Errorf("the table %s: %w", collection.Name, err)
		}
	}
	_, err = c.ExecContext(ctx, "COMMIT")
	return err
}

// copyTable puts a table of the backup in the place of the one of that name, and makes
// sure that it is the same then.
func copyTable(ctx context.Context, c *sql.Conn, collection backup.Collection) error {
	table := collection.Name
	if _, err := c.ExecContext(ctx, "DROP TABLE IF EXISTS main."+quote(table)); err != nil {
		return err
	}
	if err := define(ctx, c, table, "type = 'table'"); err != nil {
		return err
	}
	columns, err := listColumns(ctx, c, "backup", table, given)
	if err != nil {
		return err
	}
	insert := fmt.Sprintf("INSERT INTO main.%s (%s) SELECT %[2]s FROM backup.%[1]s NOT INDEXED", quote(table), quoted(columns))
	if _, err := c.ExecContext(ctx, insert); err != nil {
		return err
	}
	if err := define(ctx, c, table, "type <> 'table'"); err != nil {
		return err
	}
	copied, err := readTable(ctx, c, table)
	if err == nil && copied != collection {
		err = errors.New("it differs from the backup's after it was copied")
	}
	return err
}

// define runs the statements that made a table of the backup, or what belongs to it.
func define(ctx context.Context, c *sql.Conn, table, which string) error {
	statements, err := queryStrings(ctx, c, "SELECT sql FROM backup.sqlite_schema WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL AND "+which+" ORDER BY rowid", table)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := c.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
