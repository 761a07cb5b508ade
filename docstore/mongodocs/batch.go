package mongodocs

import (
	"context"
	"errors"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"manus/docstore"
	"manus/internal/mongodriver"
)

const (
	// together is how many documents are read or added by one command, and atOnce how many of
	// a batch are replaced or removed at a time, by one command each: of many replacements
	// MongoDB tells how many were made, and not which.
	together = 256
	atOnce   = 16
)

// GetAll returns the documents with the ids, by one command for each 256.
func (s *Store) GetAll(ctx context.Context, collection string, ids ...string) ([]docstore.Raw, error) {
	c, err := s.collections.Get(collection)
	if err != nil {
		return nil, err
	}
	docs := make([]docstore.Raw, 0, len(ids))
	for some := range slices.Chunk(ids, together) {
		var found []docstore.Raw
		err := s.retry(ctx, func(ctx context.Context) error {
			found, err = c.getAll(ctx, some)
			return err
		})
		if err != nil {
			return nil, err
		}
		docs = append(docs, found...)
	}
	return docs, ctx.Err()
}

// getAll returns the documents with the ids, nil for those that there aren't.
func (c *collection) getAll(ctx context.Context, ids []string) ([]docstore.Raw, error) {
	cursor, err := c.Find(ctx, condition(id, "$in", ids), options.Find().SetBatchSize(int32(len(ids))+1)) //nolint:gosec // at most together
	if err != nil {
		return nil, failed(err)
	}
	defer cursor.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	byID := map[string]docstore.Raw{}
	for cursor.Next(ctx) {
		byID[cursor.Current.Lookup(id).StringValue()] = docstore.Raw(slices.Clone(cursor.Current))
	}
	docs := make([]docstore.Raw, len(ids))
	for i, docID := range ids {
		docs[i] = byID[docID]
	}
	return docs, failed(cursor.Err())
}

// Batch applies independent changes: those of each collection together, and those of one
// document one after another.
func (s *Store) Batch(ctx context.Context, changes []docstore.Change) []error {
	errs := make([]error, len(changes))
	var group errgroup.Group
	for name, mine := range byCollection(changes) {
		group.Go(func() error {
			c, err := s.collections.Get(name)
			for len(mine) > 0 && err == nil {
				var now []int
				now, mine = ofEachOne(changes, mine)
				s.batch(ctx, c, changes, now, errs)
			}
			for _, i := range mine {
				errs[i] = err
			}
			return nil
		})
	}
	_ = group.Wait() // each change has an error of its own
	return errs
}

// byCollection are the changes of each collection, by their places.
func byCollection(changes []docstore.Change) map[string][]int {
	all := map[string][]int{}
	for i, change := range changes {
		all[change.Collection] = append(all[change.Collection], i)
	}
	return all
}

// ofEachOne takes the first change of each document, as many as are made together.
func ofEachOne(changes []docstore.Change, places []int) (firsts, others []int) {
	taken := map[string]bool{}
	for _, i := range places {
		if id := changes[i].ID; taken[id] || len(firsts) == together {
			others = append(others, i)
		} else {
			taken[id] = true
			firsts = append(firsts, i)
		}
	}
	return firsts, others
}

// batch makes changes of one collection, each of another document.
func (s *Store) batch(ctx context.Context, c *collection, changes []docstore.Change, places []int, errs []error) {
	// In one order, so that no two batches wait for each other.
	slices.SortFunc(places, func(a, b int) int { return strings.Compare(changes[a].ID, changes[b].ID) })
	ids := make([]string, len(places))
	for k, i := range places {
		ids[k] = changes[i].ID
	}
	fail := func(err error) {
		for _, i := range places {
			errs[i] = err
		}
	}
	for _, docID := range ids {
		done, err := s.turns.take(ctx, c.spec.Collection+"/"+docID)
		if err != nil {
			fail(err)
			return
		}
		defer done()
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	upsert := func(i int, w *write, made *step) {
		group.Go(func() error {
			errs[i] = s.upsert(ctx, c, changes[i], w, made)
			return nil
		})
	}
	if len(places) == 1 && changes[places[0]].Apply != nil {
		upsert(places[0], &write{}, nil)
		_ = group.Wait()
		return
	}
	docs, err := s.changed(ctx, c, changes, places)
	if err != nil {
		fail(err)
		return
	}
	fresh := adding{Store: s, collection: c}
	for _, i := range places {
		made, err := stepOf(changes[i], docs[changes[i].ID])
		switch {
		case err != nil || made == nil:
			errs[i] = err
		case made.old == nil:
			errs[i] = fresh.put(i, made.next)
		default:
			upsert(i, &write{}, made)
		}
	}
	for i, w := range fresh.add(ctx) {
		upsert(i, w, nil)
	}
	_ = group.Wait() // each change has an error of its own
}

// changed are the documents that changes begin from, by their ids. What is only added isn't
// looked for.
func (s *Store) changed(ctx context.Context, c *collection, changes []docstore.Change, places []int) (map[string]docstore.Raw, error) {
	var ids []string
	for _, i := range places {
		if changes[i].Apply != nil {
			ids = append(ids, changes[i].ID)
		}
	}
	found, err := s.GetAll(ctx, c.spec.Collection, ids...)
	docs := make(map[string]docstore.Raw, len(found))
	for k, doc := range found {
		docs[ids[k]] = doc
	}
	return docs, err
}

// adding is documents of a batch that are new.
type adding struct {
	*Store
	*collection
	places []int
	docs   []bson.Raw
}

func (a *adding) put(place int, doc docstore.Raw) error {
	stored, err := a.stamped(doc, newRevision())
	if err == nil {
		a.places, a.docs = append(a.places, place), append(a.docs, stored)
	}
	return err
}

// add adds the documents by one command, and returns those that have to be looked at one by
// one, by their places: they were refused, or it isn't known.
func (a *adding) add(ctx context.Context) map[int]*write {
	if len(a.docs) == 0 {
		return nil
	}
	done, err := a.enter(ctx)
	if err == nil {
		defer done()
		err = a.reach.check()
	}
	if err == nil {
		err = within(ctx, attemptTimeout, func(ctx context.Context) error {
			_, err := a.InsertMany(ctx, a.docs, options.InsertMany().SetOrdered(false))
			return err
		})
	}
	left := map[int]*write{}
	many, ok := errors.AsType[mongo.BulkWriteException](err)
	for k, i := range a.places {
		if err != nil && (!ok || many.WriteConcernError != nil) {
			left[i] = &write{mine: []int64{revisionOf(docstore.Raw(a.docs[k]))}}
		}
	}
	for _, refusal := range many.WriteErrors {
		i := a.places[refusal.Index]
		if left[i] == nil {
			left[i] = &write{}
		}
		if slices.Contains(mongodriver.TransientCodes(), refusal.Code) {
			left[i].mine = []int64{revisionOf(docstore.Raw(a.docs[refusal.Index]))}
		}
	}
	return left
}
