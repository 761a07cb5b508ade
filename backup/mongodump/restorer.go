package mongodump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"manus/backup"
)

var _ backup.Restorer = (*Restorer)(nil)

// Restorer is a database on a MongoDB server that archives are restored into, those of
// mongodump too. It is a [backup.Restorer]. Of an archive with several databases it
// takes the one of its own name.
//
// Only collections that are restored are ever dropped: others stay as they are, but
// without o.Drop they keep a whole archive from being restored if they have documents.
// An empty collection counts as none, and gets the definition that the archive has. A
// restore that fails leaves what it has restored until then.
type Restorer struct {
	uri, database string
	limits        limits
	ownNames      bool
}

// UnderOwnNames makes a backup of every database be restored into databases of their own
// names. Without it, such a one is refused.
func (r *Restorer) UnderOwnNames() *Restorer {
	r.ownNames = true
	return r
}

// NewRestorer is the database with a name on the server or cluster of a mongodb:// or
// mongodb+srv:// URI. Its methods return [ErrURI] for a URI that isn't one; no error
// repeats the URI.
func NewRestorer(uri, database string) *Restorer {
	return &Restorer{uri: uri, database: database, limits: normally()}
}

// Format is that of mongodump's archives.
func (r *Restorer) Format() backup.Format { return backup.Archive }

// Plan tells which collections Restore would restore, and drop. Where it isn't known
// what is in the dump, it tells of those that are in the database, as they are the ones
// that may be dropped.
func (r *Restorer) Plan(ctx context.Context, contents *backup.Contents, o backup.RestoreOptions) (plan backup.Plan, err error) {
	err = connected(ctx, r.uri, r.database, r.limits, func(c *conn) error {
		if plan.Target, err = target(r.uri, r.database, r.limits); err != nil {
			return err
		}
		var databases []string
		if contents != nil && contents.Databases {
			databases = contents.DatabaseNames()
		}
		if _, err := r.place(c, databases != nil); err != nil {
			return err
		}
		there, err := c.existingIn(ctx, databases)
		if err != nil {
			return err
		}
		names, documents := planned(contents, there)
		for _, name := range o.Collections {
			if contents != nil && !slices.Contains(names, name) {
				return backup.NoCollection(name, names)
			}
		}
		if len(o.Collections) > 0 {
			names = slices.Sorted(slices.Values(o.Collections))
		}
		for _, name := range names {
			step := backup.PlanStep{Collection: name, Restore: true, Documents: -1, Existing: -1}
			if n, known := documents[name]; known {
				step.Documents = n
			}
			if n, exists := there[name]; exists {
				step.Existing = n.documents
			}
			plan.Steps = append(plan.Steps, step)
		}
		return there.check(names, o)
	})
	return plan, err
}

// planned are the collections that a plan tells of, and how many documents the dump has
// of each, as far as that is known.
func planned(contents *backup.Contents, there existing) (names []string, documents map[string]int64) {
	if contents == nil {
		return slices.Sorted(maps.Keys(there)), nil
	}
	documents = map[string]int64{}
	for _, c := range contents.Collections {
		documents[c.Name] = c.Documents
	}
	return slices.Sorted(maps.Keys(documents)), documents
}

// Restore restores an archive, after whatever would be in its way has been dropped if
// that is allowed. dump is expected to fail when ctx ends.
func (r *Restorer) Restore(ctx context.Context, dump io.Reader, o backup.RestoreOptions, progress func(read int64)) (contents backup.Contents, err error) {
	a, err := newArchiveReader(dump)
	if err != nil {
		return contents, err
	}
	database := r.database
	if o.Databases {
		database = ""
	}
	restoring, err := newRestoring(a, o.Database, database, o.Collections, progress)
	if err != nil {
		return contents, err
	}
	err = connected(ctx, r.uri, r.database, r.limits, func(c *conn) error {
		place, err := r.place(c, o.Databases)
		if err != nil {
			return err
		}
		var databases []string
		if o.Databases {
			databases = restoring.databases()
		}
		there, err := c.existingIn(ctx, databases)
		if err != nil {
			return err
		}
		names := restoring.names()
		if err := there.check(names, o); err != nil {
			return err
		}
		contents, err = restoring.over(ctx, c, there, place)
		return err
	})
	return contents, err
}

// over restores, in the place of what there is. An error says what that leaves.
func (r *restoring) over(ctx context.Context, c *conn, there existing, place func(database string) *conn) (contents backup.Contents, err error) {
	err = there.drop(ctx, r.names())
	if err == nil {
		err = r.restore(ctx, c, place)
	}
	if err == nil {
		err = r.expire(ctx)
	}
	if err == nil {
		contents, err = r.contents(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%w; what was restored until then is left in the database: the same command with --drop begins anew", err)
	}
	return contents, err
}

// existing is what there is in the database already, by name.
type existing map[string]found

type found struct {
	in        *conn
	name      string
	documents int64
	view      bool
}

// place says where each database of a dump goes.
func (r *Restorer) place(c *conn, several bool) (func(database string) *conn, error) {
	switch {
	case !several:
		return func(string) *conn { return c }, nil
	case !r.ownNames:
		return nil, errors.New("the backup is of several databases, which are restored under their own names: name none in the URI that they go to, nor in MONGODB_DATABASE; or choose one of them with --from-database")
	}
	return c.on, nil
}

// existingIn looks at what there is in databases, by the names database.collection; or where
// none is named in that of the connection.
func (c *conn) existingIn(ctx context.Context, databases []string) (existing, error) {
	if databases == nil {
		return c.existing(ctx)
	}
	all := existing{}
	for _, database := range databases {
		there, err := c.on(database).existing(ctx)
		if err != nil {
			return nil, err
		}
		for name, found := range there {
			all[database+"."+name] = found
		}
	}
	return all, nil
}

// existing looks at what there is. How many documents a server says there are isn't
// to be relied on after a crash; whether there are any is looked at.
func (c *conn) existing(ctx context.Context) (existing, error) {
	all, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	there := existing{}
	for _, l := range all {
		if l.Type == view {
			there[l.Name] = found{in: c, name: l.Name, view: true}
			continue
		}
		first, err := c.one(ctx, c.primary.Collection(l.Name), bson.D{}, options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}}))
		if err != nil {
			return nil, err
		}
		documents := int64(0)
		if first != nil {
			documents, _ = c.size(ctx, l.Name)
			documents = max(documents, 1)
		}
		there[l.Name] = found{in: c, name: l.Name, documents: documents}
	}
	return there, nil
}

// check returns backup.ErrNotEmpty for what may not be dropped.
func (e existing) check(names []string, o backup.RestoreOptions) error {
	if o.Drop {
		return nil
	}
	var kept []string
	for name, found := range e {
		restored := slices.Contains(names, name)
		if restored && found.view || found.documents > 0 && (restored || len(o.Collections) == 0) {
			kept = append(kept, name)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	slices.Sort(kept)
	return fmt.Errorf("%w: it has %s",
		backup.ErrNotEmpty, strings.Join(kept[:min(len(kept), 10)], ", "))
}

// drop drops those of the collections that there are.
func (e existing) drop(ctx context.Context, names []string) error {
	for _, name := range names {
		found, exists := e[name]
		if !exists {
			continue
		}
		err := found.in.within(ctx, found.in.patience, func(ctx context.Context) error { return found.in.primary.Collection(found.name).Drop(ctx) })
		if err != nil {
			return wrap(err, "dropping the collection %q", name)
		}
	}
	return nil
}
