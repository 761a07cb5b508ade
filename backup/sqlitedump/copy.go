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

// copy copies tables of a dump into the file, in one transaction: whenever this process is
// killed, all of them are in it or none.
func (r *Restorer) copy(ctx context.Context, into *seized, dump io.Reader, o backup.RestoreOptions, progress func(read int64)) (copied backup.Contents, err error) {
	if into.conn == nil {
		return copied, fmt.Errorf("%s can't be read, so single collections can't be put into it: leave --collection out and restore all of the backup", r.path)
	}
	_, err = withScratch(ctx, r.path, forRestore, work, dump, progress, func(scratch *os.File, contents backup.Contents) error {
		if copied, err = contents.Only(o.Collections); err != nil {
			return err
		}
		if err := into.take(ctx, scratch.Name(), copied); err != nil {
			return translateError(ctx, r.path, err)
		}
		return nil
	})
	return copied, err
}

// take copies tables of a scratch database into the transaction that holds the file, and
// commits it.
func (s *seized) take(ctx context.Context, scratch string, contents backup.Contents) error {
	if _, err := s.conn.ExecContext(ctx, "ATTACH ? AS backup", uri(scratch, private)); err != nil {
		return err
	}
	for _, collection := range contents.Collections {
		if err := copyTable(ctx, s.conn, collection); err != nil {
			return fmt.Errorf("the table %s: %w", collection.Name, err)
		}
	}
	_, err := s.conn.ExecContext(ctx, "COMMIT")
	s.made = s.made && err != nil
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
		err = errors.New("it differs from the backup's after it was copied, so nothing was changed; try again, and look after this machine's memory and disk")
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
