package sqlitedocs

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"manus/docstore"
)

// peopleStored is how many documents the benchmarks work on.
const peopleStored = 10_000

func somebody(i int) person {
	return person{ID: fmt.Sprintf("id%06d", i), Email: fmt.Sprintf("%06d@example.org", i), Team: fmt.Sprint("team", i%100), Age: i}
}

// peopleAt are the three things that the benchmarks do.
type peopleAt interface {
	byID(ctx context.Context, id string) (person, error)
	byEmail(ctx context.Context, email string) (person, error)
	celebrate(ctx context.Context, id string) error // one year older, durably
}

// BenchmarkAgainstRawDriver compares docstore with what a program would write
// by hand on database/sql: the same table, index and settings, prepared
// statements, one transaction a change.
func BenchmarkAgainstRawDriver(b *testing.B) {
	path := filepath.Join(b.TempDir(), "manus.db")
	s := open(b, path)
	documents := docstorePeople{docstore.NewCollection[person](s, people)}
	many := make([]person, peopleStored)
	for i := range many {
		many[i] = somebody(i)
	}
	if err := documents.Insert(b.Context(), many...); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for _, work := range []struct {
		name       string
		goroutines int
		do         func(ctx context.Context, at peopleAt, i int) error
	}{
		{"get", 1, get}, {"get", 16, get}, {"find", 1, find}, {"find", 16, find}, {"update", 1, update}, {"update", 16, update}, {"update", 64, update},
	} {
		for _, engine := range []struct {
			name string
			open func(b *testing.B, path string) peopleAt
		}{{"docstore", openDocstore}, {"raw", openRaw}} {
			b.Run(fmt.Sprintf("%s/goroutines=%d/%s", work.name, work.goroutines, engine.name), func(b *testing.B) {
				at := engine.open(b, path)
				var next atomic.Int64
				b.SetParallelism(max(1, work.goroutines/runtime.GOMAXPROCS(0)))
				if work.goroutines == 1 {
					for b.Loop() {
						check(b, work.do(b.Context(), at, int(next.Add(1))))
					}
					return
				}
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						check(b, work.do(b.Context(), at, int(next.Add(1))))
					}
				})
			})
		}
	}
}

func check(b *testing.B, err error) {
	if err != nil {
		b.Error(err)
	}
}

// scattered visits the documents in no order.
func scattered(i int) person { return somebody(i * 7919 % peopleStored) }

func get(ctx context.Context, at peopleAt, i int) error {
	want := scattered(i)
	got, err := at.byID(ctx, want.ID)
	if err == nil && got.Email != want.Email {
		err = fmt.Errorf("got %+v", got)
	}
	return err
}

func find(ctx context.Context, at peopleAt, i int) error {
	want := scattered(i)
	got, err := at.byEmail(ctx, want.Email)
	if err == nil && got.ID != want.ID {
		err = fmt.Errorf("got %+v", got)
	}
	return err
}

func update(ctx context.Context, at peopleAt, i int) error {
	return at.celebrate(ctx, scattered(i).ID)
}

type docstorePeople struct{ *docstore.Collection[person] }

func openDocstore(b *testing.B, path string) peopleAt {
	return docstorePeople{docstore.NewCollection[person](open(b, path), people)}
}

func (p docstorePeople) byID(ctx context.Context, id string) (person, error) { return p.Get(ctx, id) }

func (p docstorePeople) byEmail(ctx context.Context, email string) (person, error) {
	return p.First(ctx, docstore.Query{Index: "by_email", Equal: []any{email}})
}

func (p docstorePeople) celebrate(ctx context.Context, id string) error {
	_, err := p.Update(ctx, id, func(v *person) error { v.Age++; return nil })
	return err
}

// rawPeople has one connection for writing, without which SQLite's writers
// fail on each other's locks, and a pool for reading.
type rawPeople struct {
	writer                  *sql.DB
	get, find, read, update *sql.Stmt
}

func openRaw(b *testing.B, path string) peopleAt {
	pool := func(pragma string, connections int) *sql.DB {
		db, err := sql.Open("sqlite", dsn(path, pragma, cacheSize)+"&_txlock=immediate")
		if err != nil {
			b.Fatal(err)
		}
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
		b.Cleanup(func() { check(b, db.Close()) })
		return db
	}
	prepare := func(db *sql.DB, text string) *sql.Stmt {
		stmt, err := db.PrepareContext(b.Context(), text)
		if err != nil {
			b.Fatal(err)
		}
		return stmt
	}
	reader, writer := pool("query_only(1)", readersAtOnce()), pool("query_only(0)", 1)
	return rawPeople{
		writer: writer,
		get:    prepare(reader, "SELECT doc FROM people WHERE id = ?"),
		find:   prepare(reader, "SELECT doc FROM people WHERE doc ->> '$.email' = ?"),
		read:   prepare(writer, "SELECT doc FROM people WHERE id = ?"),
		update: prepare(writer, "UPDATE people SET doc = ? WHERE id = ?"),
	}
}

func one(ctx context.Context, stmt *sql.Stmt, arg string) (v person, err error) {
	var doc []byte
	if err = stmt.QueryRowContext(ctx, arg).Scan(&doc); err == nil {
		err = json.Unmarshal(doc, &v)
	}
	return v, err
}

func (p rawPeople) byID(ctx context.Context, id string) (person, error) { return one(ctx, p.get, id) }

func (p rawPeople) byEmail(ctx context.Context, email string) (person, error) {
	return one(ctx, p.find, email)
}

func (p rawPeople) celebrate(ctx context.Context, id string) error {
	tx, err := p.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	v, err := one(ctx, tx.StmtContext(ctx, p.read), id)
	if err != nil {
		return err
	}
	v.Age++
	doc, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := tx.StmtContext(ctx, p.update).ExecContext(ctx, string(doc), id); err != nil {
		return err
	}
	return tx.Commit()
}
