package sqlitedump

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	lib "modernc.org/sqlite/lib"

	"manus/backup"
	"manus/docstore/sqlitedocs"
	"manus/internal/lockedfile"
)

var _ backup.Restorer = (*Restorer)(nil)

// Restorer is a SQLite file that dumps are restored into.
//
// All of a dump takes the place of the file at once: whoever opens it sees the old
// database or the new one, whenever this process is killed; where there was none, an empty
// file, which no server takes for a store that is yet to be made. Single tables are copied into
// it in one transaction. No other process may have the file open: it would go on with the
// old one, or with what it remembers of tables that are others by then.
type Restorer struct{ path string }

// NewRestorer restores into the file at path, which is made, with its folder, when
// there is none; both for the owner's eyes only. The folder must have space for the
// database once more.
func NewRestorer(path string) *Restorer { return &Restorer{path} }

// Format is SQLite's.
func (r *Restorer) Format() backup.Format { return backup.SQLite }

// existing is what is in the file that is restored into.
type existing struct {
	rows map[string]int64 // by table
	// opaque tells what is there that isn't a database that can be read; empty when
	// that isn't so.
	opaque string
}

// Plan tells what Restore would do. The error is ErrNotEmpty or ErrInUse, together with the
// plan, when Restore would return that. This process hasn't the file open.
func (r *Restorer) Plan(ctx context.Context, contents *backup.Contents, o backup.RestoreOptions) (backup.Plan, error) {
	plan := backup.Plan{Target: r.path, Steps: []backup.PlanStep{}}
	documents := map[string]int64{}
	if contents != nil {
		if _, err := contents.Only(o.Collections); err != nil {
			return plan, err
		}
		for _, collection := range contents.Collections {
			documents[collection.Name] = collection.Documents
		}
	}
	there, err := r.look(ctx)
	if err != nil {
		return plan, err
	}
	for _, table := range involved(documents, there, o) {
		step := backup.PlanStep{Collection: table, Restore: len(o.Collections) > 0, Documents: -1, Existing: -1}
		if n, ok := documents[table]; ok {
			step.Restore, step.Documents = true, n
		}
		if n, ok := there.rows[table]; ok {
			step.Existing = n
		}
		plan.Steps = append(plan.Steps, step)
	}
	if err := r.refuse(there, o); err != nil {
		return plan, err
	}
	return plan, isLocked(r.path)
}

// involved names the tables that a restore changes, in order.
func involved(documents map[string]int64, there existing, o backup.RestoreOptions) []string {
	tables := slices.Clone(o.Collections)
	if len(tables) == 0 {
		tables = slices.AppendSeq(slices.Collect(maps.Keys(documents)), maps.Keys(there.rows))
	}
	slices.Sort(tables)
	return slices.Compact(tables)
}

// refuse returns ErrNotEmpty when a restore would take away what o doesn't allow it to.
func (r *Restorer) refuse(there existing, o backup.RestoreOptions) error {
	if o.Drop {
		return nil
	}
	if there.opaque != "" {
		return fmt.Errorf("%w: %s", backup.ErrNotEmpty, there.opaque)
	}
	for _, table := range involved(nil, there, o) {
		whole := len(o.Collections) == 0
		if there.rows[table] > 0 && !(whole && sqlitedocs.IsOwnTable(table)) {
			return fmt.Errorf("%w: %s has rows in the table %s", backup.ErrNotEmpty, r.path, table)
		}
	}
	return nil
}

// look finds out what is in the file.
func (r *Restorer) look(ctx context.Context) (existing, error) {
	info, err := os.Stat(r.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return existing{opaque: r.strayLog()}, nil
	case err != nil:
		return existing{}, fmt.Errorf("there can't be a file %s: name another folder after --to, or a file that ends with .db: %w", r.path, cause(err))
	case !info.Mode().IsRegular():
		return existing{}, fmt.Errorf("%s is no file: name another folder after --to, or a file that ends with .db", r.path)
	case info.Size() == 0 && r.strayLog() != "": // which reading the file would remove
		return existing{opaque: r.strayLog()}, nil
	}
	db := open(r.path, live)
	defer db.Close() //nolint:errcheck // nothing was written
	var rows map[string]int64
	err = onConn(ctx, db, func(c *sql.Conn) (err error) {
		rows, err = countRows(ctx, c)
		return err
	})
	return r.judge(ctx, rows, err)
}

// strayLog says that there is a log without the database it belongs to, if so. SQLite
// would take it for that of the next database of this name.
func (r *Restorer) strayLog() string {
	for _, ending := range []string{"-wal", "-journal"} {
		info, err := os.Stat(r.path + ending)
		if err == nil && info.Size() > 0 && !(ending == "-journal" && wasEmpty(r.path+ending)) {
			return r.path + ending + " may have the last changes of a database of which nothing else is left"
		}
	}
	return ""
}

// Where a rollback journal says how many pages the database had.
// See https://www.sqlite.org/fileformat2.html#the_rollback_journal.
const (
	journalPagesAt = 16
	journalPagesTo = 20
)

// wasEmpty tells whether a journal is that of a database in which nothing was, as a
// restore into a new file has that is killed.
func wasEmpty(journal string) bool {
	file, err := os.Open(journal)
	if err != nil {
		return false
	}
	defer file.Close() //nolint:errcheck // it was read
	start := make([]byte, journalPagesTo)
	_, err = io.ReadFull(file, start)
	return err == nil && binary.BigEndian.Uint32(start[journalPagesAt:]) == 0
}

// judge takes a file that SQLite can't read for one that something is in.
func (r *Restorer) judge(ctx context.Context, rows map[string]int64, err error) (existing, error) {
	if isUnreadable(err) && ctx.Err() == nil {
		return existing{opaque: r.path + " is damaged, or no SQLite database"}, nil
	}
	if err != nil {
		return existing{}, translateError(ctx, r.path, err)
	}
	return existing{rows: rows}, nil
}

func isUnreadable(err error) bool {
	return primary(err) == lib.SQLITE_NOTADB || primary(err) == lib.SQLITE_CORRUPT
}

// countRows counts the rows of every table.
func countRows(ctx context.Context, c *sql.Conn) (map[string]int64, error) {
	tables, err := listTables(ctx, c)
	if err != nil {
		return nil, err
	}
	rows := map[string]int64{}
	for _, table := range tables {
		var n int64
		if err := c.QueryRowContext(ctx, "SELECT count(*) FROM main."+quote(table)).Scan(&n); err != nil {
			return nil, err
		}
		rows[table] = n
	}
	return rows, nil
}

// Restore puts a dump, or the collections of it that o names, in place and returns
// what it has restored. It returns ErrNotEmpty, and has changed nothing, when
// something is there that o.Drop doesn't allow to be dropped, ErrDamaged for a dump
// that isn't whole, and ErrInUse when a server has the file open.
func (r *Restorer) Restore(ctx context.Context, dump io.Reader, o backup.RestoreOptions, progress func(read int64)) (backup.Contents, error) {
	if err := ctx.Err(); err != nil {
		return backup.Contents{}, err
	}
	there, err := r.look(ctx)
	if err == nil {
		err = r.refuse(there, o)
	}
	if err != nil {
		return backup.Contents{}, err
	}
	made, err := makeFolder(filepath.Dir(r.path))
	if err != nil {
		removeEmpty(made)
		return backup.Contents{}, fmt.Errorf("there can't be a folder for %s: name another one after --to: %w", r.path, cause(err))
	}
	restored, err := r.alone(ctx, o, func(old *seized) (backup.Contents, error) {
		if len(o.Collections) > 0 {
			return r.copy(ctx, old, dump, o, progress)
		}
		return r.replace(ctx, old, dump, progress)
	})
	if err != nil {
		removeEmpty(made)
	}
	return restored, err
}

// makeFolder makes a folder durably, for the owner's eyes only, with those above it that
// are missing. It returns those that it has made, the lowest first.
func makeFolder(path string) (made []string, err error) {
	for above := path; ; above = filepath.Dir(above) {
		if _, err := os.Lstat(above); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, above)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return made, err
	}
	for _, folder := range made {
		if err := lockedfile.SyncFolder(filepath.Dir(folder)); err != nil {
			return made, err
		}
	}
	return made, nil
}

// removeEmpty removes folders, the lowest of which are first, until one isn't empty.
func removeEmpty(folders []string) {
	for _, folder := range folders {
		_ = os.Remove(folder) // or it is somebody's
	}
}

// alone changes the file while nobody else has it open, or returns ErrInUse.
func (r *Restorer) alone(ctx context.Context, o backup.RestoreOptions, change func(*seized) (backup.Contents, error)) (contents backup.Contents, err error) {
	old, err := r.seize(ctx)
	if err != nil {
		return contents, err
	}
	defer func() { err = errors.Join(err, old.release()) }()
	there, err := r.lookAgain(ctx, old)
	if err == nil {
		err = r.refuse(there, o) // somebody may have written since
	}
	if err != nil {
		return contents, err
	}
	return change(old)
}

func (r *Restorer) lookAgain(ctx context.Context, old *seized) (existing, error) {
	if old.conn == nil {
		return r.look(ctx)
	}
	rows, err := countRows(ctx, old.conn)
	return r.judge(ctx, rows, err)
}
