package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
)

// note is what is written while backups are made.
type note struct {
	ID   string `json:"_id"`
	Text string `json:"text"`
}

// DocumentID is its id.
func (n note) DocumentID() string { return n.ID }

var notes = docstore.Spec{Collection: "notes", Of: note{}}

const perSecond = 500

// writes tells how long durable writes to the store take, five hundred a second from
// this process, while backups of it are made by another, and while none is.
func (b *bench) writes() error {
	store, err := sqlitedocs.Open(b.ctx, b.store())
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // the program ends
	if err := store.Declare(b.ctx, notes); err != nil {
		return err
	}
	fmt.Printf("\n| %d writes/s meanwhile | backup took | write p50 | p99 | p99.9 | worst |\n| --- | ---: | ---: | ---: | ---: | ---: |\n", perSecond)
	for round := range b.rounds {
		for _, w := range []way{
			{"no backup", b.shell("sleep 10")},
			{"`sqlite3 .backup`, `gzip -6`", b.shell("timeout 60 sh -ec '" + quoted(stock) + "' || true")},
			{"manus, gzip", b.ours("gzip", "--no-verify")},
			{"manus, zstd", b.ours("zstd", "--no-verify")},
			{"manus, gzip, restored and compared", b.ours("gzip")},
		} {
			if err := b.writesDuring(store, w, round); err != nil {
				return err
			}
		}
	}
	return nil
}

// quoted is a line of sh inside of single quotes.
func quoted(line string) string {
	out := ""
	for _, r := range line {
		if r == '\'' {
			out += `'"'"'`
			continue
		}
		out += string(r)
	}
	return out
}

func (b *bench) writesDuring(store docstore.Store, w way, round int) error {
	if err := b.prepare(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(b.ctx)
	var took []time.Duration
	var failed error
	var writing sync.WaitGroup
	writing.Go(func() { took, failed = write(ctx, store) })
	o, err := b.once(w)
	// The store has something to catch up with afterwards, which is a part of it.
	select {
	case <-time.After(2 * time.Second):
	case <-b.ctx.Done():
	}
	stop()
	writing.Wait()
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	slices.Sort(took)
	at := func(permille int) time.Duration {
		return took[min(len(took)-1, len(took)*permille/1000)].Round(10 * time.Microsecond)
	}
	fmt.Printf("| %s (round %d) | %.1f s | %v | %v | %v | %v |\n", w.name, round+1, o.took.Seconds(), at(500), at(990), at(999), at(1000))
	return nil
}

// write writes until ctx ends, and tells how long each write took from when it was due.
func write(ctx context.Context, store docstore.Store) (took []time.Duration, err error) {
	collection := docstore.NewCollection[note](store, notes)
	t := newTexts(uint64(time.Now().UnixNano()))
	began := time.Now()
	for i := 0; ; i++ {
		due := began.Add(time.Duration(i) * time.Second / perSecond)
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return took, nil
		}
		if err := collection.Insert(context.WithoutCancel(ctx), note{ID: docstore.NewID(), Text: t.text(60)}); err != nil {
			return took, err
		}
		took = append(took, time.Since(due))
	}
}
