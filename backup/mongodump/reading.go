package mongodump

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"manus/backup"
)

// reading reads all documents of a database once, several collections and ranges at a
// time, and says what there was.
type reading struct {
	conn        *conn
	collections []*collection
	// documents takes documents of a collection, as they are and one after the
	// other; ended is called when it has no more. Both are called by several
	// goroutines, and may be nil.
	documents func(c *collection, documents []byte) error
	ended     func(c *collection) error

	// heavy is held by who reads large documents, of which a reply has as many
	// bytes as the largest, whatever it is asked for.
	heavy sync.Mutex
}

// collection is a collection that is read, or written.
type collection struct {
	metadata
	called        string          // its name where it is, which in a scratch database may be a shorter one
	in            *conn           // the database that it is in
	from          *mongo.Database // and how that is read
	label         string          // what comes before its name in contents
	size, average int64           // of its documents together and of each, about

	mu      sync.Mutex
	tally   tally
	pending int // ranges
}

// data is where its documents are.
func (c *collection) data() string { return dataOf(c.called, c.Type) }

// add adds what is to be read of a database.
func (r *reading) add(ctx context.Context, in *conn, from *mongo.Database, label string) error {
	defined, err := in.define(ctx)
	for _, m := range defined {
		r.collections = append(r.collections, &collection{metadata: m, called: m.Name, in: in, from: from, label: label})
	}
	return err
}

// read reads everything. At most as many collections as there are workers have begun
// and not ended at any time, which is what the archive's header says.
func (r *reading) read(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(1 + r.conn.workers) // who divides is one of them
	group.Go(func() error {
		return r.divide(ctx, func(c *collection, filter bson.D) {
			group.Go(func() error { return r.scanRange(ctx, c, filter) })
		})
	})
	return group.Wait()
}

// divide starts to read the ranges of all collections, each when a worker is free. The
// largest come first, so that none of those is left to one worker at the end.
func (r *reading) divide(ctx context.Context, start func(*collection, bson.D)) error {
	order := slices.Clone(r.collections)
	counts := map[*collection]int64{}
	for _, c := range order {
		if c.Type != view {
			counts[c], c.size = c.in.size(ctx, c.data())
			c.average = c.size / max(1, counts[c])
		}
	}
	slices.SortStableFunc(order, func(a, b *collection) int { return cmp.Compare(b.size, a.size) })
	for _, c := range order {
		ranges, err := c.in.ranges(ctx, c, counts[c], c.size)
		if err != nil {
			return err
		}
		c.pending = len(ranges)
		for _, filter := range ranges {
			if err := ctx.Err(); err != nil {
				return err
			}
			start(c, filter)
		}
	}
	return nil
}

// scanRange reads a range, and ends the collection if it was the last one.
func (r *reading) scanRange(ctx context.Context, c *collection, filter bson.D) error {
	var read tally
	if c.Type != view {
		var err error
		if read, err = r.scan(ctx, c, filter); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.tally.merge(read)
	c.pending--
	last := c.pending == 0
	c.mu.Unlock()
	if last && r.ended != nil {
		return r.ended(c)
	}
	return nil
}

// scan reads a range's documents, batch by batch.
func (r *reading) scan(ctx context.Context, c *collection, filter bson.D) (tally, error) {
	if c.average > int64(r.conn.batch) {
		r.heavy.Lock()
		defer r.heavy.Unlock()
	}
	s := scanner{reading: r, of: c, room: int64(r.conn.batch)}
	err := r.conn.within(ctx, r.conn.patience, func(ctx context.Context) (err error) {
		s.cursor, err = c.from.Collection(c.data()).Find(ctx, filter, options.Find().SetBatchSize(s.count(c.average)))
		return err
	})
	if err != nil {
		return s.tally, err
	}
	defer s.close(ctx)
	for more := true; more && err == nil; {
		more, err = s.batch(ctx)
	}
	return s.tally, err
}

// scanner reads what a cursor has.
type scanner struct {
	*reading
	of     *collection
	cursor *mongo.Cursor
	tally  tally
	room   int64 // about how many bytes a batch is to have
	buffer []byte
}

// mostDocuments bounds how many documents are asked for at once.
const mostDocuments = 100_000

// count is how many documents of an average size are about one batch. Where the size
// isn't known, the first batch finds out.
func (s *scanner) count(average int64) int32 {
	if average <= 0 {
		return 100
	}
	return int32(min(max(s.room/average, 1), mostDocuments))
}

// batch hands on the documents of one batch, and fetches the next. They are hashed
// here, by each of the workers.
func (s *scanner) batch(ctx context.Context) (more bool, err error) {
	before := s.tally
	for s.cursor.RemainingBatchLength() > 0 && s.cursor.Next(ctx) {
		s.tally.add(s.cursor.Current)
		if err := s.hand(s.cursor.Current); err != nil {
			return false, err
		}
	}
	if err := s.flush(); err != nil {
		return false, err
	}
	if read := s.tally.documents - before.documents; read > 0 {
		s.cursor.SetBatchSize(s.count((s.tally.bytes - before.bytes) / read))
	}
	return s.fetch(ctx)
}

// hand collects small documents, so that what comes after has less to do; large ones
// it hands on at once.
func (s *scanner) hand(document []byte) error {
	if len(s.buffer)+len(document) > int(s.room) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if len(document) > int(s.room) && s.documents != nil {
		return s.documents(s.of, document)
	}
	if s.documents != nil {
		s.buffer = append(s.buffer, document...)
	}
	return nil
}

func (s *scanner) flush() error {
	if len(s.buffer) == 0 {
		return nil
	}
	err := s.documents(s.of, s.buffer)
	s.buffer = s.buffer[:0]
	return err
}

// fetch asks the server for the next batch, and takes its first document.
func (s *scanner) fetch(ctx context.Context) (more bool, err error) {
	err = s.conn.within(ctx, s.conn.patience, func(ctx context.Context) error {
		more = s.cursor.Next(ctx)
		return s.cursor.Err()
	})
	if err != nil || !more {
		return false, err
	}
	s.tally.add(s.cursor.Current)
	return true, s.hand(s.cursor.Current)
}

// close frees the cursor in the server. After an error it has little time for it:
// servers free cursors by themselves.
func (s *scanner) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	_ = s.cursor.Close(ctx)
}

// contents is what was read.
func (r *reading) contents() backup.Contents {
	all := backup.Contents{Server: serverName(r.conn.server), Collections: []backup.Collection{}}
	for _, c := range r.collections {
		all.Collections = append(all.Collections, c.contents())
	}
	sortByName(all.Collections)
	return all
}

// contents is what is in the collection.
func (c *collection) contents() backup.Collection {
	return backup.Collection{
		Name:       c.label + c.Name,
		Documents:  c.tally.documents,
		SHA256:     c.tally.hex(),
		Definition: c.definition(),
	}
}

func sortByName(all []backup.Collection) {
	slices.SortFunc(all, func(a, b backup.Collection) int { return cmp.Compare(a.Name, b.Name) })
}

func serverName(version string) string { return "MongoDB " + version }

// tally counts documents and adds their hashes up, in whatever order they come.
//
// The sum is that of the SHA-256 of each document's bytes, modulo 2^256. A sum rather
// than an exclusive or, so that a document that is there twice isn't as one that isn't
// there at all. It tells apart what differs by accident, of which a wrong
// answer has a chance of 2^-256; somebody who may choose the documents of both sides
// could find others of the same sum, but whoever can do that has the database anyway,
// and a backup's bytes have hashes and keys of their own. Each reader hashes what it
// reads, so that hashing is never the work of one processor alone.
type tally struct {
	documents int64
	bytes     int64
	sum       [4]uint64 // the lowest first
}

func (t *tally) add(document []byte) {
	hash := sha256.Sum256(document)
	var words [4]uint64
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(hash[8*i:])
	}
	t.merge(tally{1, int64(len(document)), words})
}

func (t *tally) merge(o tally) {
	t.documents += o.documents
	t.bytes += o.bytes
	var carry uint64
	for i := range t.sum {
		t.sum[i], carry = bits.Add64(t.sum[i], o.sum[i], carry)
	}
}

func (t *tally) hex() string {
	return fmt.Sprintf("%016x%016x%016x%016x", t.sum[3], t.sum[2], t.sum[1], t.sum[0])
}
