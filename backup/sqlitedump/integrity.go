package sqlitedump

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"manus/backup"
	"manus/internal/words"
)

// inspect has a scratch database checked and reads what is in it, on all processors. It
// returns ErrDamaged for one that can't be used.
//
// What it finds to be whole, SQLite's own integrity_check finds to be whole. That looks up
// every row in every index, all over the file, which is nine tenths of its time. Here
// SQLite checks every page and row with its quick_check, which leaves out only whether
// indexes belong to their tables; that is proved by reading each of both from end to end
// (see [proof]). Where it can't be proved so, integrity_check decides.
func inspect(ctx context.Context, path string) (backup.Contents, error) {
	file, err := os.Open(path)
	if err != nil {
		return backup.Contents{}, unreadable(err)
	}
	defer file.Close() //nolint:errcheck // only read from
	db := open(path, private)
	defer db.Close() //nolint:errcheck // only read from
	db.SetMaxIdleConns(maxWorkers)
	contents, err := (&inspection{db: db, file: file}).run(ctx)
	if err != nil {
		return backup.Contents{}, blame(ctx, path, err)
	}
	return contents, nil
}

func unreadable(err error) error {
	return fmt.Errorf("%w: the scratch database can't be read: look after its disk and try again: %w", backup.ErrUnavailable, err)
}

// inspection is the work on one scratch database.
type inspection struct {
	db   *sql.DB
	file *os.File
}

func (i *inspection) run(ctx context.Context) (contents backup.Contents, err error) {
	all := i.tasks(ctx)
	all.do(func(ctx context.Context, c *sql.Conn) (err error) {
		contents, err = readContents(ctx, c)
		return err
	})
	all.do(checkPages)
	proofs, err := i.prepare(all.ctx)
	for _, p := range proofs {
		err = errors.Join(err, i.start(all, p))
	}
	if err = errors.Join(all.Wait(), err); err != nil {
		return contents, err
	}
	return contents, i.decide(ctx, proofs)
}

// tasks are done at the same time, as many as there are processors.
type tasks struct {
	*errgroup.Group
	ctx context.Context // ends with the first error
	db  *sql.DB
}

// maxWorkers bounds the connections, and with them the memory.
const maxWorkers = 4

func (i *inspection) tasks(ctx context.Context) tasks {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(min(runtime.GOMAXPROCS(0), maxWorkers))
	return tasks{group, ctx, i.db}
}

// do does a task with a connection of its own, and waits before that until one may begin.
func (t tasks) do(task func(context.Context, *sql.Conn) error) {
	t.Go(func() error {
		return onConn(t.ctx, t.db, func(c *sql.Conn) error { return task(t.ctx, c) })
	})
}

// prepare finds out what is to be proved of each table that more can be wrong with than
// quick_check sees.
func (i *inspection) prepare(ctx context.Context) (proofs []*proof, err error) {
	format, err := readFormat(i.file)
	if err != nil {
		return nil, err
	}
	err = onConn(ctx, i.db, func(c *sql.Conn) error {
		tables, err := queryStrings(ctx, c, `SELECT name FROM pragma_table_list AS t WHERE schema = 'main' AND
			(type = 'virtual' OR wr <> 0 OR EXISTS (SELECT 1 FROM pragma_index_list(t.name)))`)
		for _, table := range tables {
			p, failed := newProof(ctx, c, format, table)
			if failed != nil {
				return failed
			}
			proofs = append(proofs, p)
		}
		return err
	})
	return proofs, err
}

// start has a table's rows read in some parts, and each of its indexes.
func (i *inspection) start(all tasks, p *proof) error {
	if p.doubted {
		return nil
	}
	parts, err := p.parts(all.ctx, i.file)
	for _, part := range parts {
		all.Go(func() error { return p.readRows(all.ctx, i.file, part) })
	}
	for _, index := range p.indexes {
		all.Go(func() error { return p.readEntries(all.ctx, i.file, index) })
	}
	return err
}

// decide has SQLite check all that belongs to the tables of which nothing is proved.
func (i *inspection) decide(ctx context.Context, proofs []*proof) error {
	all := i.tasks(ctx)
	for _, p := range proofs {
		if !p.holds() {
			all.do(p.decide)
		}
	}
	return all.Wait()
}

// checkPages has SQLite check every page and every row, and every reference between rows.
func checkPages(ctx context.Context, c *sql.Conn) error {
	if err := verdict(ctx, c, "SELECT quick_check FROM pragma_quick_check LIMIT 1"); err != nil {
		return err
	}
	tables, err := queryStrings(ctx, c, `SELECT "table" FROM pragma_foreign_key_check LIMIT 1`)
	if err == nil && len(tables) > 0 {
		err = damaged(fmt.Errorf("the table %s has rows that refer to rows which there aren't", tables[0]))
	}
	return err
}

// decide has SQLite look up every row of the table in its indexes.
func (p *proof) decide(ctx context.Context, c *sql.Conn) error {
	// They are all over the file.
	if _, err := c.ExecContext(ctx, "PRAGMA cache_size = -8192"); err != nil {
		return err
	}
	err := verdict(ctx, c, "SELECT integrity_check FROM pragma_integrity_check(?) LIMIT 1", p.table)
	for _, index := range p.indexes {
		if err == nil && index.read && index.where != "" && index.found != index.expected {
			err = index.count(ctx, c, p.table)
		}
	}
	return err
}

// count has SQLite count the rows that should have an entry in an index which not all
// rows are in: of such a one, integrity_check doesn't count the entries.
func (i *index) count(ctx context.Context, c *sql.Conn, table string) error {
	var rows uint64
	err := c.QueryRowContext(ctx, "SELECT count(*) FROM main."+quote(table)+" NOT INDEXED WHERE "+i.where).Scan(&rows)
	if err == nil && rows != i.found.n {
		err = damaged(fmt.Errorf("the index %s has %s for %s", i.name, words.Count(i.found.n, "entry"), words.Count(rows, "row")))
	}
	return err
}

// verdict is what a check of SQLite's has found first, unless all is well.
func verdict(ctx context.Context, c *sql.Conn, query string, args ...any) error {
	var found string
	err := c.QueryRowContext(ctx, query, args...).Scan(&found)
	if err == nil && found != "ok" {
		err = damaged(errors.New(found))
	}
	return err
}
