package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
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

// kind is a kind of data that a database is filled with.
type kind struct {
	name   string
	what   string   // it is, for people
	define []string // its table, and indexes as the store makes them
	insert string
	row    func(t *texts, n int) (id string, data any)
}

// events are what the product has most of, small ones what compresses best and has the
// most rows for its size, random ones what doesn't compress at all.
var (
	events = kind{"events", "events of sessions", []string{documents}, insertDocument,
		func(t *texts, n int) (string, any) { id, doc := t.event(n); return id, doc }}
	small = kind{"small", "small JSON documents", []string{documents, bySession}, insertDocument, (*texts).small}
	blobs = kind{"random", "random bytes", []string{"CREATE TABLE files (id TEXT PRIMARY KEY NOT NULL, data BLOB NOT NULL) STRICT"}, "INSERT INTO files VALUES (?, ?)", (*texts).random4k}
)

const (
	documents      = `CREATE TABLE "session_events" (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) STRICT`
	bySession      = `CREATE UNIQUE INDEX "session_events.by_session" ON "session_events" (doc ->> '$.session_id', doc ->> '$.seq') WHERE doc ->> '$.session_id' IS NOT NULL AND doc ->> '$.seq' IS NOT NULL`
	insertDocument = "INSERT INTO session_events VALUES (?, ?)"
)

// small is a document of about 300 bytes, that is much like the others.
func (*texts) small(n int) (id string, doc any) {
	id = fmt.Sprintf("%08x", uint32(n)*2_654_435_761) // all over the index, and no two alike
	return id, fmt.Sprintf(`{"_id":%q,"session_id":"0192f0c1-7d1e-7c7b-9f3a-%012x","seq":%d,"type":"message","at":"2026-09-2%dT10:%02d:00.000Z","data":{"role":"assistant","status":"delivered","text":"The weather tomorrow will be sunny, with light winds from the west and a high of twenty degrees in the afternoon.","language":"en","model":"default"}}`,
		id, n/500, n%500, n/100_000%10, n/1000%60)
}

// random4k is random bytes.
func (t *texts) random4k(int) (id string, data any) {
	b := make([]byte, 4000)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], t.random.Uint64())
	}
	return t.id(), b
}

// makeDatabase fills an embedded store in the folder with about so many megabytes, and
// returns its size in bytes.
func makeDatabase(ctx context.Context, dir string, k kind, megabytes int) (int64, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	path := filepath.Join(dir, "manus.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)")
	if err != nil {
		return 0, err
	}
	defer db.Close() //nolint:errcheck // closed below
	for _, statement := range k.define {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return 0, err
		}
	}
	t := newTexts(uint64(megabytes))
	for n, done := 0, false; !done; {
		if n, err = insertSome(ctx, db, k, t, n); err != nil {
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

func insertSome(ctx context.Context, db *sql.DB, k kind, t *texts, n int) (int, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return n, err
	}
	defer tx.Rollback() //nolint:errcheck // it may be done
	insert, err := tx.PrepareContext(ctx, k.insert)
	if err != nil {
		return n, err
	}
	defer insert.Close() //nolint:errcheck // only read
	for range 10_000 {
		id, data := k.row(t, n)
		if _, err := insert.ExecContext(ctx, id, data); err != nil {
			return n, err
		}
		n++
	}
	return n, tx.Commit()
}
