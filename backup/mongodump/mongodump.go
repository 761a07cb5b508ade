// Package mongodump backs up a MongoDB database. It is a [backup.Source] and a
// [backup.Restorer] over the driver. What it writes is what mongodump writes with
// --archive, so that mongorestore restores it too, and it restores what mongodump has
// written.
//
// A dump is no snapshot: each document that is there all the time is in it exactly
// once, as it was at some moment of the dump. Views are dumped as what they are, and
// not as what they show. Collections of the server's own (system.…, of which system.js
// is the exception) are left out, users and roles among them. Time series are refused.
//
// Any server is enough that speaks MongoDB's protocol: nothing is asked for that a
// standalone one doesn't have. The package knows nothing of what documents mean.
package mongodump

import (
	"context"
	"errors"
	"io"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"manus/backup"
)

var _ backup.Source = (*Source)(nil)

// Source is a database on a MongoDB server that backups are made of. It is a
// [backup.Source], and connects for each of its methods anew.
type Source struct {
	uri, database string
	limits        limits
	now           func() time.Time
	// stale is how old scratch databases are that nobody is at work with any more.
	stale time.Duration
}

// NewSource is the database with a name on the server or cluster of a mongodb:// or
// mongodb+srv:// URI. Documents are read as the URI's readPreference says. Its
// methods return [ErrURI] for a URI that isn't one; no error repeats the URI.
func NewSource(uri, database string) *Source {
	return &Source{uri: uri, database: database, limits: normally(), now: time.Now, stale: staleAfter}
}

// Format is that of mongodump's archives.
func (s *Source) Format() backup.Format { return backup.Archive }

// Size is how many bytes the database's documents have.
func (s *Source) Size(ctx context.Context) (size int64, err error) {
	err = s.connected(ctx, s.database, func(c *conn) error {
		var stats struct {
			Size float64 `bson:"dataSize"`
		}
		err := c.run(ctx, s.database, &stats, bson.D{{Key: "dbStats", Value: 1}})
		size = int64(stats.Size)
		return err
	})
	return size, err
}

// Dump writes the database as an archive. w is expected to fail when ctx ends.
func (s *Source) Dump(ctx context.Context, w io.Writer, progress func(written int64)) (contents backup.Contents, err error) {
	err = s.connected(ctx, s.database, func(c *conn) error {
		r, err := newReading(ctx, c, c.database)
		if err != nil {
			return err
		}
		if err := r.dump(ctx, w, progress); err != nil {
			return err
		}
		contents = r.contents()
		return nil
	})
	return contents, err
}

// dump writes what is read as an archive.
func (r *reading) dump(ctx context.Context, w io.Writer, progress func(int64)) error {
	entries, err := r.entries()
	if err != nil {
		return err
	}
	a, err := newArchiveWriter(w, header{Concurrent: int32(r.conn.workers), Server: r.conn.server}, entries, progress)
	if err != nil {
		return err
	}
	of := func(c *collection) namespace { return namespace{r.from.Name(), c.Name} }
	r.documents = func(c *collection, documents []byte) error { return a.documents(of(c), documents) }
	r.ended = func(c *collection) error { return a.end(of(c)) }
	if err := r.read(ctx); err != nil {
		return err
	}
	return a.finish()
}

// entries is what the archive says of the collections.
func (r *reading) entries() ([]entry, error) {
	var entries []entry
	for _, c := range r.collections {
		text, err := c.json()
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{Database: r.from.Name(), Collection: c.Name, Metadata: text, Type: c.Type})
	}
	return entries, nil
}

// connected lets something be done with a connection to a database of the server.
func (s *Source) connected(ctx context.Context, database string, do func(*conn) error) error {
	return connected(ctx, s.uri, database, s.limits, do)
}

func connected(ctx context.Context, uri, database string, l limits, do func(*conn) error) error {
	c, err := open(ctx, uri, database, l)
	if err != nil {
		return err
	}
	defer c.close()
	err = do(c)
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return errors.Join(ctx.Err(), err) // which of several ended first is by chance
	}
	return err
}
