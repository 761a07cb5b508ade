package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // makes the database
)

// texts makes documents as the product has them: ids and times, and what people write,
// in words of which some are used much more often than others.
type texts struct {
	random *rand.Rand
	words  []string
	often  *rand.Zipf
}

func newTexts(seed uint64) *texts {
	random := rand.New(rand.NewPCG(seed, 1))
	t := &texts{random: random, often: rand.NewZipf(random, 1.1, 8, 19_999)}
	syllables := []string{"ba", "be", "con", "da", "der", "el", "en", "fa", "ge", "hi", "in", "ka", "la", "li", "ma", "men", "mi", "na", "no", "or", "pa", "per", "ra", "re", "sa", "ser", "ta", "ter", "ti", "un", "ver", "za"}
	for range 20_000 {
		word := ""
		for range 1 + random.IntN(4) {
			word += syllables[random.IntN(len(syllables))]
		}
		t.words = append(t.words, word)
	}
	return t
}

// id is a random one, as a UUID is written.
func (t *texts) id() string {
	a, b := t.random.Uint64(), t.random.Uint64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
}

func (t *texts) text(words int) string {
	var b bytes.Buffer
	for i := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.words[t.often.Uint64()])
	}
	return b.String()
}

// event is one document of a session's log, of about 800 bytes.
func (t *texts) event(n int) (id, doc string) {
	id = t.id()
	at := time.Unix(1_790_000_000+int64(n), t.random.Int64N(1e9)).UTC().Format(time.RFC3339Nano)
	return id, fmt.Sprintf(`{"_id":%q,"session_id":%q,"seq":%d,"type":"message","at":%q,"data":{"role":"user","text":%q,"tokens":%d}}`,
		id, t.id(), n%500, at, t.text(60+t.random.IntN(80)), t.random.IntN(4000))
}

// makeDatabase fills an embedded store in the folder with about so many megabytes, and
// returns its size in bytes.
func makeDatabase(ctx context.Context, dir string, megabytes int) (int64, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	path := filepath.Join(dir, "manus.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)")
	if err != nil {
		return 0, err
	}
	defer db.Close() //nolint:errcheck // closed below
	if _, err := db.ExecContext(ctx, "CREATE TABLE session_events (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT"); err != nil {
		return 0, err
	}
	t := newTexts(uint64(megabytes))
	for n, done := 0, false; !done; {
		if n, err = insertSome(ctx, db, t, n); err != nil {
			return 0, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		done = info.Size() >= int64(megabytes)*1e6
	}
	if _, err := db.ExecContext(ctx, "PRAGMA journal_mode=WAL"); err != nil {
		return 0, err
	}
	if err := db.Close(); err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func insertSome(ctx context.Context, db *sql.DB, t *texts, n int) (int, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return n, err
	}
	defer tx.Rollback() //nolint:errcheck // it may be done
	insert, err := tx.PrepareContext(ctx, "INSERT INTO session_events VALUES (?, ?)")
	if err != nil {
		return n, err
	}
	defer insert.Close() //nolint:errcheck // only read
	for range 10_000 {
		id, doc := t.event(n)
		if _, err := insert.ExecContext(ctx, id, doc); err != nil {
			return n, err
		}
		n++
	}
	return n, tx.Commit()
}
