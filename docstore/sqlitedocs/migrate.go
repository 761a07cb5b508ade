package sqlitedocs

import (
	"fmt"
	"slices"
	"strings"

	"manus/docstore"
)

// formatVersion is the layout of the file as a whole, kept in its
// user_version. A program finds a higher one when the file has been used by a
// newer program; it refuses to touch it then.
const formatVersion = 1

// ownTables are the tables that hold no documents: what Ping writes to, and the notes
// that earlier versions kept of their migrations.
var ownTables = []string{"schema_migrations", "write_probe"}

// IsOwnTable tells whether a table of a store's file is the engine's own: no
// collection has its name, and a file with rows in nothing else is empty.
func IsOwnTable(name string) bool { return slices.Contains(ownTables, name) }

// prepareFile brings a new file to formatVersion.
func prepareFile(w *conn) error {
	return transaction(w, func() error {
		value, err := w.value("PRAGMA user_version")
		if err != nil {
			return err
		}
		if version, _ := value.(int64); version > formatVersion {
			return fmt.Errorf("it was written by a newer version of this program (format %d; this one knows %d): use that version", version, formatVersion)
		}
		for _, text := range []string{
			"CREATE TABLE IF NOT EXISTS write_probe (writes INTEGER NOT NULL) STRICT",
			"INSERT INTO write_probe SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM write_probe)",
			fmt.Sprintf("PRAGMA user_version = %d", formatVersion),
		} {
			if err := w.script(text); err != nil {
				return err
			}
		}
		return nil
	})
}

func transaction(w *conn, f func() error) error {
	if err := w.script("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := f(); err != nil {
		_ = w.script("ROLLBACK") // err is what matters
		return err
	}
	return w.script("COMMIT")
}

// The statement that makes a collection's table has its quoted name between these.
const (
	tableBegin = "CREATE TABLE "
	tableRest  = " (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT"
)

// migrate makes what collections declare, up to the first that can't be.
func migrate(w *conn, all []*collection) error {
	for _, c := range all {
		if err := c.migrate(w); err != nil {
			return err
		}
	}
	return nil
}

// migrate makes the table and its indexes as declared, inside the writer's
// transaction. An index whose declaration has changed since is built anew.
func (c *collection) migrate(w *conn) error {
	err := step(w, migration{
		kind:       "table",
		name:       c.spec.Collection,
		definition: tableBegin + c.table + tableRest,
	})
	if err != nil {
		return unavailable(err)
	}
	for _, index := range c.spec.Indexes {
		name := c.indexName(index)
		err := step(w, migration{
			kind:       "index",
			name:       name,
			definition: c.indexText(index),
			undo:       "DROP INDEX IF EXISTS " + quote(name) + "; ",
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
	kind, name string // of what it makes, as sqlite_schema has them
	definition string // the statement that makes it
	undo       string // what makes room when an older definition is in place
}

// step runs a migration unless the file has what it makes, all of it or nothing.
// SQLite keeps the statement that made a table or an index.
func step(w *conn, m migration) error {
	there, err := w.value("SELECT sql FROM sqlite_schema WHERE type = ? AND name = ?", m.kind, m.name)
	if err != nil || there == m.definition {
		return err
	}
	if _, err := w.exec("SAVEPOINT step"); err != nil {
		return err
	}
	if err := w.script(m.undo + m.definition); err != nil {
		_, _ = w.exec("ROLLBACK TO step") // err is what matters
		_, _ = w.exec("RELEASE step")
		return err
	}
	_, err = w.exec("RELEASE step")
	return err
}
