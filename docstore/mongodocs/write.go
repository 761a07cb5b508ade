package mongodocs

import (
	"context"
	"errors"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"manus/docstore"
)

// write is a write that is being tried. An attempt whose answer got lost may have been
// carried out, now or later: the revision that it was to leave tells.
type write struct {
	mine   []int64 // the revisions of such attempts
	before int64   // the revision that they were to replace; 0 is no document
}

// resolve finds out what became of such attempts by the document as it is now, nil
// where there is none: done means that one of them was carried out. If none was, another
// may be made, which replaces the same revision: so at most one of them ever is.
func (w *write) resolve(doc docstore.Raw) (done bool, err error) {
	switch rev := revisionOf(doc); {
	case len(w.mine) == 0:
		return false, nil
	case doc != nil && slices.Contains(w.mine, rev):
		return true, nil
	case rev != w.before:
		return false, errNoIdea
	}
	return false, nil
}

// unknown notes an attempt that failed with a transient error.
func (w *write) unknown(err error, before, rev int64) error {
	if transient(err) {
		w.mine, w.before = append(w.mine, rev), before
	}
	return err
}

// Insert adds documents in the order given.
func (s *Store) Insert(ctx context.Context, collection string, docs ...docstore.Document) error {
	c, err := s.collections.Get(collection)
	if err != nil {
		return err
	}
	if len(docs) == 0 {
		return ctx.Err()
	}
	stored := make([]bson.Raw, len(docs))
	for i, doc := range docs {
		if stored[i], err = c.stamped(doc.Body, newRevision()); err != nil {
			return err
		}
	}
	w := &write{}
	return s.retry(ctx, func(ctx context.Context) error {
		for len(stored) > 0 {
			n, err := c.insert(ctx, stored, w)
			stored = stored[n:]
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// insert makes one attempt and returns how many documents at the start are known to
// be stored.
func (c *collection) insert(ctx context.Context, docs []bson.Raw, w *write) (n int, err error) {
	_, err = c.InsertMany(ctx, docs)
	if err == nil {
		return len(docs), nil
	}
	no, duplicate := refused(err)
	if !no {
		return 0, w.unknown(failed(err), 0, revisionOf(docstore.Raw(docs[0])))
	}
	n = stoppedAt(err)
	there, failure := c.get(ctx, docs[n].Lookup(id).StringValue())
	switch {
	case failure != nil:
		return n, failure
	case there != nil && revisionOf(there) == revisionOf(docstore.Raw(docs[n])):
		return n + 1, nil // by an attempt before
	case there != nil && len(w.mine) > 0:
		return n, errNoIdea
	case there != nil:
		return n, c.conflictOn(id)
	}
	return n, c.why(ctx, docs[n], err, duplicate)
}

// why is why a document was refused: a unique index, or else the
// server's error. It is errAgain when what the document conflicted with has gone.
func (c *collection) why(ctx context.Context, doc bson.Raw, refusal error, duplicate bool) error {
	err := c.conflict(ctx, doc)
	switch {
	case err != nil:
		return err
	case duplicate:
		return errAgain
	}
	return failed(refusal)
}

// stoppedAt is the index of the document that an ordered insert has stopped at.
func stoppedAt(err error) int {
	if many, ok := errors.AsType[mongo.BulkWriteException](err); ok && len(many.WriteErrors) > 0 {
		return many.WriteErrors[0].Index
	}
	return 0
}

// Upsert changes one document, or makes it. It retries a compare-and-swap until no other
// writer gets in between. Writers of this process take turns at a document, so that they
// don't get in each other's way.
func (s *Store) Upsert(ctx context.Context, collection, docID string, change func(docstore.Raw) (docstore.Raw, error)) error {
	c, err := s.collections.Get(collection)
	if err != nil {
		return err
	}
	done, err := s.turns.take(ctx, collection+"/"+docID)
	if err != nil {
		return err
	}
	defer done()
	return s.upsert(ctx, c, docstore.Change{Collection: collection, ID: docID, Apply: change}, &write{}, nil)
}

// step is what a change makes of a document as it was read; next is empty for a removal.
type step struct{ old, next docstore.Raw }

// stepOf is what a change makes of a document; nil where it leaves it as it is.
func stepOf(change docstore.Change, old docstore.Raw) (*step, error) {
	if change.Apply == nil {
		if old != nil {
			return nil, &docstore.ConflictError{Collection: change.Collection, Index: docstore.IDIndex}
		}
		return &step{nil, change.New}, nil
	}
	next, err := change.Apply(old)
	if err != nil || next == nil || old == nil && len(next) == 0 {
		return nil, err
	}
	return &step{old, next}, nil
}

// upsert makes a change whose turn it is. What was made of it already, if anything, is the
// first attempt.
func (s *Store) upsert(ctx context.Context, c *collection, change docstore.Change, w *write, made *step) error {
	return s.retry(ctx, func(ctx context.Context) error {
		next := made
		if made = nil; next == nil {
			old, err := c.get(ctx, change.ID)
			if err != nil {
				return err
			}
			if done, err := w.resolve(old); done || err != nil {
				return err
			}
			if next, err = stepOf(change, old); err != nil || next == nil {
				return err
			}
		}
		if len(next.next) == 0 {
			return c.remove(ctx, w, change.ID, next.old)
		}
		return c.swap(ctx, w, change.ID, next.old, next.next)
	})
}

// remove makes one attempt to delete the document as it was read.
func (c *collection) remove(ctx context.Context, w *write, docID string, old docstore.Raw) error {
	before := revisionOf(old)
	result, err := c.DeleteOne(ctx, as(docID, before))
	switch {
	case err != nil:
		return w.unknown(failed(err), before, newRevision())
	case result.DeletedCount == 0:
		return errAgain
	}
	return nil
}

// as selects the document with a revision.
func as(docID string, rev int64) bson.D {
	return bson.D{{Key: id, Value: docID}, {Key: revision, Value: orNull(rev)}}
}

// swap makes one attempt to replace old, which may be nil, by next.
func (c *collection) swap(ctx context.Context, w *write, docID string, old, next docstore.Raw) error {
	before, rev := revisionOf(old), newRevision()
	doc, err := c.stamped(next, rev)
	if err != nil {
		return err
	}
	swapped := int64(1)
	if old == nil {
		_, err = c.InsertOne(ctx, doc)
	} else {
		var result *mongo.UpdateResult
		result, err = c.ReplaceOne(ctx, as(docID, before), doc)
		if err == nil {
			swapped = result.MatchedCount
		}
	}
	no, duplicate := refused(err)
	switch {
	case no:
		return c.why(ctx, doc, err, duplicate)
	case err != nil:
		return w.unknown(failed(err), before, rev)
	case swapped == 0:
		return errAgain
	}
	return nil
}

// orNull is what the revision of a document is that was written by somebody else: in
// a filter, null is also no such field.
func orNull(rev int64) any {
	if rev == 0 {
		return nil
	}
	return rev
}

// Delete removes the document with the id, or returns ErrNotFound.
func (s *Store) Delete(ctx context.Context, collection, docID string) error {
	c, err := s.collections.Get(collection)
	if err != nil {
		return err
	}
	tried := false
	return s.retry(ctx, func(ctx context.Context) error {
		result, err := c.DeleteOne(ctx, bson.D{{Key: id, Value: docID}})
		switch {
		case err != nil:
			tried = true
			return failed(err)
		case result.DeletedCount == 0 && tried:
			return errNoIdea // whether it was us
		case result.DeletedCount == 0:
			return docstore.ErrNotFound
		}
		return nil
	})
}

// DeleteRange removes documents from the start of the query's range: first it looks
// for their ids, then it deletes those that are still in the range.
func (s *Store) DeleteRange(ctx context.Context, collection string, q docstore.Query) (int, error) {
	c, plan, err := s.collections.Plan(collection, q)
	if err != nil {
		return 0, err
	}
	deleted := 0
	for deleted < plan.Limit {
		found, gone := 0, 0
		err := s.retry(ctx, func(ctx context.Context) error {
			found, gone, err = c.deleteSome(ctx, plan, plan.Limit-deleted)
			return err
		})
		if deleted += gone; err != nil || found == 0 {
			return deleted, err
		}
	}
	return deleted, nil
}

// deleteSome removes at most limit documents. Others may have removed some of those
// that were found.
func (c *collection) deleteSome(ctx context.Context, plan docstore.Plan, limit int) (found, gone int, err error) {
	where, order := filter(plan)
	cursor, err := c.Find(ctx, where, options.Find().SetSort(order).SetLimit(int64(limit)).SetProjection(bson.D{{Key: id, Value: 1}}))
	if err != nil {
		return 0, 0, failed(err)
	}
	var docs []bson.Raw
	if err := cursor.All(ctx, &docs); err != nil || len(docs) == 0 {
		return 0, 0, failed(err)
	}
	ids := make(bson.A, len(docs))
	for i, doc := range docs {
		ids[i] = doc.Lookup(id)
	}
	result, err := c.DeleteMany(ctx, append(condition(id, "$in", ids), where...))
	if err != nil {
		return len(docs), 0, failed(err)
	}
	return len(docs), int(result.DeletedCount), nil
}

// turns lets one writer of this process at a time change a document.
type turns struct {
	mu      sync.Mutex
	waiting map[string]*turn
}

type turn struct {
	free  chan struct{}
	users int
}

// take waits for the document's turn; done is to be called at its end.
func (t *turns) take(ctx context.Context, document string) (done func(), err error) {
	t.mu.Lock()
	mine := t.waiting[document]
	if mine == nil {
		mine = &turn{free: make(chan struct{}, 1)}
		t.waiting[document] = mine
	}
	mine.users++
	t.mu.Unlock()

	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.waiting, document)
		}
	}
	select {
	case mine.free <- struct{}{}:
		return func() { <-mine.free; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
