package mongodump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"manus/backup"
	"manus/internal/words"
)

// restoring puts the collections of an archive in databases where there are none of
// their names.
type restoring struct {
	conn     *conn
	archive  *archiveReader
	whole    bool // every database of the archive is restored
	progress func(read int64)

	collections map[namespace]*collection // by what they are in the archive
	free        sync.Pool                 // of batches
}

// newRestoring takes the collections of these names from the archive, or all. They are those
// of every database, or else of the one of a name, for which into is a guess: the name of
// where it goes.
func newRestoring(a *archiveReader, from, into string, only []string, progress func(int64)) (*restoring, error) {
	r := &restoring{archive: a, whole: from == "" && into == "", progress: progress, collections: map[namespace]*collection{}}
	if !r.whole {
		var err error
		if from, err = a.choose(from, into); err != nil {
			return nil, err
		}
	}
	r.free.New = func() any { return &batch{} }
	if progress == nil {
		r.progress = func(int64) {}
	}
	for _, e := range a.entries {
		wanted := len(only) == 0 || slices.Contains(only, r.label(e.Database)+e.Collection)
		if e.Database == "" || !r.whole && e.Database != from || !wanted || !restorable(e.Collection) {
			continue
		}
		m, err := metadataOf(e)
		if err != nil {
			return nil, err
		}
		r.collections[e.data()] = &collection{metadata: m, called: m.Name, label: r.label(e.Database)}
	}
	for _, name := range only {
		if !slices.Contains(r.names(), name) {
			return nil, backup.NoCollection(name, r.names())
		}
	}
	return r, nil
}

// restorable tells whether a collection of an archive is one of users. mongodump writes
// users and roles of a database as $admin.system.…
func restorable(name string) bool { return ofUsers(name) && !strings.HasPrefix(name, "$admin.") }

// choose is the archive's database that is restored into a database: the one that is named,
// the only one there is, or else the one of the same name. The rest of a whole server's
// archive is not looked at.
func (a *archiveReader) choose(from, into string) (string, error) {
	switch all := a.databases(); {
	case from != "" && slices.Contains(all, from):
		return from, nil
	case from != "":
		return "", fmt.Errorf("the archive has no database %q; it has %s", from, strings.Join(all, ", "))
	case len(all) == 0:
		return into, nil // of an empty database
	case len(all) == 1:
		return all[0], nil
	case slices.Contains(all, into):
		return into, nil
	default:
		return "", fmt.Errorf("the archive has several databases, %s, and none of them is named %s: say which one with --from-database", strings.Join(all, ", "), into)
	}
}

// databases are those that the archive has something of.
func (a *archiveReader) databases() (all []string) {
	for _, e := range a.entries {
		if e.Database != "" && !slices.Contains(all, e.Database) { // without one, it's the oplog
			all = append(all, e.Database)
		}
	}
	return all
}

// label is what the names of a database's collections begin with in contents.
func (r *restoring) label(database string) string {
	if !r.whole {
		return ""
	}
	return database + "."
}

// databases are those of the archive that are restored.
func (r *restoring) databases() []string {
	var all []string
	for n := range r.collections {
		if !slices.Contains(all, n.database) {
			all = append(all, n.database)
		}
	}
	return all
}

// sorted are the collections by their names.
func (r *restoring) sorted() []*collection {
	return slices.SortedFunc(maps.Values(r.collections), func(a, b *collection) int { return strings.Compare(a.label+a.Name, b.label+b.Name) })
}

// names are those of the collections, in order.
func (r *restoring) names() (names []string) {
	for _, c := range r.sorted() {
		names = append(names, c.label+c.Name)
	}
	return names
}

// restore creates the collections where place says that those of a database go, puts the
// documents in them, and then builds the indexes, which takes less time than keeping them up
// to date. Nothing expires before expire is called.
func (r *restoring) restore(ctx context.Context, c *conn, place func(database string) *conn) error {
	r.conn = c
	for from, restored := range r.collections {
		restored.in = place(from.database)
	}
	for _, c := range r.sorted() {
		if err := r.create(ctx, c); err != nil {
			return err
		}
	}
	if err := r.insert(ctx); err != nil {
		return err
	}
	for _, c := range r.sorted() {
		if err := r.index(ctx, c, func(index bson.Raw) bool { return !expires(index) }); err != nil {
			return err
		}
	}
	return nil
}

// expire makes documents expire as they do where they come from. It comes after everything
// that looks at them: from now on the server deletes those that are past it.
func (r *restoring) expire(ctx context.Context) error {
	for _, c := range r.sorted() {
		if err := r.index(ctx, c, expires); err != nil {
			return err
		}
		after := c.Options.Lookup(expireOption)
		if after.Value == nil {
			continue
		}
		var answer bson.Raw
		err := r.conn.run(ctx, c.in.name(), &answer, bson.D{{Key: "collMod", Value: c.called}, {Key: expireOption, Value: after}})
		if err != nil {
			return wrap(err, "making documents of the collection %q expire", c.Name)
		}
	}
	return nil
}

// create creates a collection or a view.
func (r *restoring) create(ctx context.Context, m *collection) error {
	command := bson.D{{Key: "create", Value: m.called}}
	elements, _ := m.Options.Elements()
	for _, option := range elements {
		if !slices.Contains(notRestored, option.Key()) && option.Key() != expireOption {
			command = append(command, bson.E{Key: option.Key(), Value: option.Value()})
		}
	}
	var answer bson.Raw
	err := r.conn.run(ctx, m.in.name(), &answer, command)
	return wrap(err, "creating the collection %q", m.Name)
}

// index builds those of a collection's indexes that are picked.
func (r *restoring) index(ctx context.Context, m *collection, pick func(bson.Raw) bool) error {
	indexes := bson.A{}
	for _, index := range m.restorable() {
		elements, err := index.Elements()
		if err != nil {
			return damaged("an index of the collection %q can't be read", m.Name)
		}
		if !pick(index) {
			continue
		}
		spec := bson.D{}
		for _, option := range elements {
			if option.Key() != "v" && option.Key() != "ns" {
				spec = append(spec, bson.E{Key: option.Key(), Value: option.Value()})
			}
		}
		indexes = append(indexes, spec)
	}
	if m.Type == view || len(indexes) == 0 {
		return nil
	}
	err := r.conn.within(ctx, r.conn.building, func(ctx context.Context) error {
		command := bson.D{{Key: "createIndexes", Value: m.called}, {Key: "indexes", Value: indexes}}
		return m.in.primary.RunCommand(ctx, command).Err()
	})
	if said, ok := errors.AsType[mongo.ServerError](err); ok && said.HasErrorCode(duplicateKey) {
		err = fmt.Errorf("%w: documents that a unique index doesn't allow: %w", backup.ErrDamaged, err)
	}
	return wrap(err, "building the indexes of %q", m.Name)
}

// duplicateKey is the code of what a unique index refuses.
const duplicateKey = 11000

// wrap says what was being done.
func wrap(err error, format string, values ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(values, err)...)
}

// batch is documents that are inserted together.
type batch struct {
	of   *collection
	text []byte
	ends []int // of each document in text
}

// alone tells whether nothing more is read until the batch has been inserted: because
// the order matters, or because of the memory.
func (b *batch) alone() bool { return b.of.capped() || len(b.text) > largeBatch }

const (
	// batchDocuments bounds the documents of a batch.
	batchDocuments = 5_000
	// largeBatch is how many bytes a batch has that is inserted while nothing more is
	// read, and not kept.
	largeBatch = 1 << 20
)

// insert reads the archive to its end, while several workers insert what it has. When
// something fails, inserts that are under way are waited for: a server goes on with one
// that nobody waits for, and would create the database again after it has been dropped.
func (r *restoring) insert(ctx context.Context) error {
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(1 + r.conn.workers) // who reads is one of them
	group.Go(func() error {
		return r.stream(reading, func(b *batch) error {
			switch {
			case b.of == nil || len(b.ends) == 0:
				r.release(b)
			case b.alone():
				return r.insertBatch(ctx, b)
			default:
				group.Go(func() error { return r.insertBatch(ctx, b) })
			}
			return nil
		})
	})
	return group.Wait()
}

// stream reads the archive, and hands on its batches.
func (r *restoring) stream(ctx context.Context, hand func(*batch) error) error {
	for {
		of, last, err := r.archive.next()
		if err == io.EOF { //nolint:errorlint // what wraps it is an error of the reader
			return nil
		}
		if err == nil && !last {
			err = r.block(ctx, of, hand)
		}
		if err != nil {
			return err
		}
		r.progress(r.archive.read)
	}
}

// block reads a block's documents, those of collections that aren't wanted too.
func (r *restoring) block(ctx context.Context, of namespace, hand func(*batch) error) error {
	c := r.collections[of]
	for more := true; more && ctx.Err() == nil; {
		b := r.free.Get().(*batch)
		b.of = c
		var err error
		if more, err = r.fill(b); err != nil {
			return err
		}
		if err := hand(b); err != nil {
			return err
		}
		r.progress(r.archive.read)
	}
	return ctx.Err()
}

// fill reads as many documents of the block as a batch has.
func (r *restoring) fill(b *batch) (more bool, err error) {
	for len(b.text) < r.conn.batch && len(b.ends) < batchDocuments {
		before := len(b.text)
		if b.text, err = r.archive.document(b.text); err != nil {
			return false, err
		}
		if len(b.text) == before {
			return false, nil
		}
		b.ends = append(b.ends, len(b.text))
	}
	return true, nil
}

// release makes a batch free, and its memory if it's large.
func (r *restoring) release(b *batch) {
	if len(b.text) > largeBatch {
		b.text = nil
	}
	b.text, b.ends = b.text[:0], b.ends[:0]
	r.free.Put(b)
}

// insertBatch inserts documents, and counts them once they are.
func (r *restoring) insertBatch(ctx context.Context, b *batch) error {
	var hashed tally
	documents := make([]bson.Raw, 0, len(b.ends))
	begin := 0
	for _, end := range b.ends {
		document := b.text[begin:end]
		if !wellFormed(document) {
			return damaged("%w in the collection %q", errMalformed, b.of.Name)
		}
		hashed.add(document)
		documents = append(documents, document)
		begin = end
	}
	how := options.InsertMany().SetOrdered(b.of.capped())
	if b.of.Type == timeseries || b.of.Options.Lookup("validator").Value != nil { // what was there before it stays
		how.SetBypassDocumentValidation(true)
	}
	err := r.conn.within(ctx, r.conn.patience, func(ctx context.Context) error {
		_, err := b.of.in.primary.Collection(b.of.data()).InsertMany(ctx, documents, how)
		return err
	})
	if err != nil {
		return refused(b.of.Name, err)
	}
	b.of.mu.Lock()
	b.of.tally.merge(hashed)
	b.of.mu.Unlock()
	r.release(b)
	return nil
}

// refused says how many documents a server won't take, and never which.
func refused(collection string, err error) error {
	many, ok := errors.AsType[mongo.BulkWriteException](err)
	if _, lasting := errors.AsType[refusal](err); !lasting || !ok || len(many.WriteErrors) == 0 {
		return wrap(err, "inserting documents into %q", collection)
	}
	return fmt.Errorf("%w: MongoDB doesn't take %s of the collection %q, the first with code %d",
		backup.ErrDamaged, words.Count(len(many.WriteErrors), "document"), collection, many.WriteErrors[0].Code)
}

// contents is what has been restored, as the server has it now.
func (r *restoring) contents(ctx context.Context) (backup.Contents, error) {
	all := backup.Contents{Server: serverName(r.conn.server), Databases: r.whole, Collections: []backup.Collection{}}
	places := map[string]*conn{}
	for from, c := range r.collections {
		places[from.database] = c.in
	}
	for database, in := range places {
		defined, err := in.define(ctx)
		if err != nil {
			return all, err
		}
		for _, m := range defined {
			if c := r.collections[namespace{database, dataOf(m.Name, m.Type)}]; c != nil {
				c.metadata = m
				all.Collections = append(all.Collections, c.contents())
			}
		}
	}
	sortByName(all.Collections)
	return all, nil
}
