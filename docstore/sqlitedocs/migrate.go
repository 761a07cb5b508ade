package sqlitedocs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"manus/docstore"
)

// formatVersion is the layout of the file as a whole, kept in its
// user_version. A program finds a higher one when the file has been used by a
// newer program; it refuses to touch it then.
const formatVersion = 1

// ownTables are the names that collections can't have.
var ownTables = []string{"schema_migrations", "write_probe"}

// prepareFile brings a new file to formatVersion.
func prepareFile(ctx context.Context, w *conn) error {
	return transaction(ctx, w, func() error {
		var version int
		if err := w.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version > formatVersion {
			return fmt.Errorf("it was written by a newer version of this program (format %d; this one knows %d): use that version", version, formatVersion)
		}
		for _, text := range []string{
			"CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, definition TEXT NOT NULL, applied_at TEXT NOT NULL) STRICT",
			"CREATE TABLE IF NOT EXISTS write_probe (writes INTEGER NOT NULL) STRICT",
			"INSERT INTO write_probe SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM write_probe)",
			fmt.Sprintf("PRAGMA user_version = %d", formatVersion),
		} {
			if _, err := w.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
}

func transaction(ctx context.Context, w *conn, f func() error) error {
	if _, err := w.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := f(); err != nil {
		_, _ = w.ExecContext(ctx, "ROLLBACK") // err is what matters
		return err
	}
	_, err := w.ExecContext(ctx, "COMMIT")
	return err
}

// migrate makes the table and its indexes as declared, inside the writer's
// transaction. What has been done stands in schema_migrations; an index whose
// declaration has changed since is built anew.
func (c *collection) migrate(w *conn) error {
	err := step(w, migration{
		name:       "table " + c.spec.Collection,
		definition: "CREATE TABLE " + c.table + " (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT",
	})
	if err != nil {
		return unavailable(err)
	}
	for _, index := range c.spec.Indexes {
		name := c.indexName(index)
		err := step(w, migration{
			name:       "index " + name,
			definition: c.indexText(index),
			undo:       "DROP INDEX IF EXISTS " + quote(name),
		})
		if err != nil {
			return c.outcome(err)
		}
	}
	return nil
}

// indexText is the statement that builds an index. Only documents with all of
// its fields are in it; ties are ordered by id.
func (c *collection) indexText(index docstore.Index) string {
	kind, columns, present := "INDEX", []string{}, []string{}
	for _, name := range index.Fields {
		columns = append(columns, field(name))
		present = append(present, field(name)+" IS NOT NULL")
	}
	if index.Unique {
		kind = "UNIQUE INDEX"
	} else {
		columns = append(columns, "id")
	}
	return fmt.Sprintf("CREATE %s %s ON %s (%s) WHERE %s",
		kind, quote(c.indexName(index)), c.table, strings.Join(columns, ", "), strings.Join(present, " AND "))
}

// migration is one step of bringing a file to what the program declares.
type migration struct {
	name       string // what it is recorded under
	definition string // the statement that does it
	undo       string // what makes room when an older definition is in place
}

// step runs a migration that hasn't been run with this definition, all of it
// or nothing.
func step(w *conn, m migration) error {
	var recorded string
	err := w.queryRow(&recorded, "SELECT definition FROM schema_migrations WHERE name = ?", m.name)
	if err == nil && recorded == m.definition {
		return nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if _, err := w.exec("SAVEPOINT step"); err != nil {
		return err
	}
	if err := m.run(context.Background(), w); err != nil {
		_, _ = w.exec("ROLLBACK TO step") // err is what matters
		_, _ = w.exec("RELEASE step")
		return err
	}
	_, err = w.exec("RELEASE step")
	return err
}

func (m migration) run(ctx context.Context, w *conn) error {
	if m.undo != "" {
		if _, err := w.ExecContext(ctx, m.undo); err != nil {
			return err
		}
	}
	if _, err := w.ExecContext(ctx, m.definition); err != nil {
		return err
	}
	_, err := w.exec("INSERT OR REPLACE INTO schema_migrations (name, definition, applied_at) VALUES (?, ?, ?)",
		m.name, m.definition, docstore.At(time.Now()).String())
	return err
}
