// Package mongodump backs up a MongoDB database. It is a [backup.Source] and a
// [backup.Restorer] over the driver. What it writes is what mongodump writes with
// --archive, so that mongorestore restores it too, and it restores what mongodump has
// written.
//
// A dump is no snapshot: each document that is there all the time is in it exactly
// once, as it was at some moment of the dump. Views are dumped as what they are, and
// not as what they show, and time series as the buckets that the server keeps their
// measurements in. Collections of the server's own (system.…, of which system.js is the
// exception) are left out otherwise, users and roles among them.
//
// Any server is enough that speaks MongoDB's protocol: nothing is asked for that a
// standalone one doesn't have. The package knows nothing of what documents mean.
package mongodump

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
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
// mongodb+srv:// URI, or without a name every database that the URI's user may see but for
// MongoDB's own: then collections are called database.collection. Documents are read as
// the URI's readPreference says. Its methods return [ErrURI] for a URI that isn't one; no
// error repeats the URI.
func NewSource(uri, database string) *Source {
	return &Source{uri: uri, database: database, limits: normally(), now: time.Now, stale: staleAfter}
}

// String names the hosts and the database, without user and password.
func (s *Source) String() string {
	text, err := target(s.uri, s.database, s.limits)
	if err != nil {
		return "MongoDB"
	}
	return text
}

// target names a database for people, without user and password.
func target(uri, database string, l limits) (string, error) {
	o, err := clientOptions(uri, l)
	if err != nil {
		return "", err
	}
	return "mongodb://" + strings.Join(o.Hosts, ",") + "/" + database, nil
}

// Format is that of mongodump's archives.
func (s *Source) Format() backup.Format { return backup.Archive }

// Size is how many bytes the documents have.
func (s *Source) Size(ctx context.Context) (size int64, err error) {
	err = s.connected(ctx, s.database, func(c *conn) error {
		from, err := s.databases(ctx, c)
		for _, database := range from {
			var stats struct {
				Size float64 `bson:"dataSize"`
			}
			if err := c.run(ctx, database.name(), &stats, bson.D{{Key: "dbStats", Value: 1}}); err != nil {
				return err
			}
			size += int64(stats.Size)
		}
		return err
	})
	return size, err
}

// databases are those to be dumped.
func (s *Source) databases(ctx context.Context, c *conn) ([]*conn, error) {
	if s.database != "" {
		return []*conn{c}, nil
	}
	names, err := c.databaseNames(ctx)
	var all []*conn
	for _, name := range names {
		if _, scratch := scratchMade(name); !scratch && !slices.Contains([]string{"admin", "config", "local"}, name) {
			all = append(all, c.on(name))
		}
	}
	return all, err
}

// Dump writes the database as an archive. w is expected to fail when ctx ends.
func (s *Source) Dump(ctx context.Context, w io.Writer, progress func(written int64)) (contents backup.Contents, err error) {
	err = s.connected(ctx, s.database, func(c *conn) error {
		from, err := s.databases(ctx, c)
		if err != nil {
			return err
		}
		r := &reading{conn: c}
		for _, database := range from {
			if err := r.add(ctx, database, database.database, s.label(database.name())); err != nil {
				return err
			}
		}
		if err := r.dump(ctx, w, progress); err != nil {
			return err
		}
		contents = r.contents()
		contents.Clock, contents.Databases = c.clock, s.database == ""
		return nil
	})
	return contents, err
}

// label is what the names of a database's collections begin with in contents.
func (s *Source) label(database string) string {
	if s.database != "" {
		return ""
	}
	return database + "."
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
	of := func(c *collection) namespace { return namespace{c.from.Name(), c.data()} }
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
		entries = append(entries, entry{Database: c.from.Name(), Collection: c.Name, Metadata: text, Type: c.Type})
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
