package mongodocs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"manus/docstore"
	"manus/internal/words"
)

// revision is the field that changes with every write.
const revision = "_rev"

const id = docstore.IDIndex

// maxDocument is the size of the largest document that MongoDB keeps.
const maxDocument = 16 << 20

var errTooLarge = fmt.Errorf("a document has more than %s, which is the most that MongoDB keeps", words.Count(maxDocument, "byte"))

// collection is a declared collection.
type collection struct {
	*mongo.Collection
	spec    docstore.Spec
	indexed map[string]bool // fields
}

func newCollection(database *mongo.Database, spec docstore.Spec) *collection {
	c := &collection{Collection: database.Collection(spec.Collection), spec: spec, indexed: map[string]bool{}}
	for _, index := range spec.Indexes {
		for _, field := range index.Fields {
			c.indexed[field] = true
		}
	}
	return c
}

// Spec is what was declared.
func (c *collection) Spec() docstore.Spec { return c.spec }

// newRevision is a number that no other write of the document has: it is drawn
// rather than counted, so that a document that was deleted and made anew isn't taken
// for the one before.
func newRevision() int64 { return rand.Int64() }

// revisionOf is 0 for a document that was written by somebody else.
func revisionOf(doc docstore.Raw) int64 {
	rev, _ := bson.Raw(doc).Lookup(revision).AsInt64OK()
	return rev
}

// stamped is a document as it is stored: with its revision, and without nulls in
// indexed fields, as indexes leave out documents that have no such field.
func (c *collection) stamped(doc docstore.Raw, rev int64) ([]byte, error) {
	if len(doc) > maxDocument {
		return nil, errTooLarge
	}
	elements, err := bsoncore.Document(doc).Elements()
	if err != nil {
		return nil, err
	}
	stored := make([]byte, 0, len(doc)+len(revision)+16)
	at, stored := bsoncore.AppendDocumentStart(stored)
	for _, element := range elements {
		key := element.Key()
		if key == revision || c.indexed[key] && element.Value().Type == bsoncore.TypeNull {
			continue
		}
		stored = append(stored, element...)
	}
	return bsoncore.AppendDocumentEnd(bsoncore.AppendInt64Element(stored, revision, rev), at)
}

// get returns nil when there is no such document.
func (c *collection) get(ctx context.Context, docID string) (docstore.Raw, error) {
	doc, err := c.FindOne(ctx, bson.D{{Key: id, Value: docID}}).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	return docstore.Raw(doc), failed(err)
}

// filter selects a plan's range, and order is the index's.
func filter(plan docstore.Plan) (filter, order bson.D) {
	var all bson.A
	for i, value := range plan.Equal {
		all = append(all, bson.D{{Key: plan.Index.Fields[i], Value: native(value)}})
	}
	for _, field := range plan.Rest {
		all = append(all, condition(field, "$exists", true)) // what the index is limited to
	}
	fields := ordered(plan)
	if plan.From != nil {
		all = append(all, condition(fields[0], "$gte", native(plan.From)))
	}
	if plan.Until != nil {
		all = append(all, condition(fields[0], "$lt", native(plan.Until)))
	}
	if plan.After != nil {
		all = append(all, after(fields, plan)...)
	}
	direction := 1
	if plan.Descending {
		direction = -1
	}
	for _, field := range fields {
		order = append(order, bson.E{Key: field, Value: direction})
	}
	if len(all) == 0 {
		return bson.D{}, order
	}
	return bson.D{{Key: "$and", Value: all}}, order
}

// ordered are the fields that a plan's range is ordered by: those after the equal
// ones, and the id where they may be equal.
func ordered(plan docstore.Plan) []string {
	if plan.Index.Unique && len(plan.Rest) > 0 {
		return plan.Rest
	}
	return append(slices.Clip(plan.Rest), id)
}

// after goes on behind the position of a cursor: where the first field is greater,
// or equal and the second is greater, and so on. The first one's bound is given by
// itself as well, so that the index is entered there.
func after(fields []string, plan docstore.Plan) bson.A {
	beyond := "$gt"
	if plan.Descending {
		beyond = "$lt"
	}
	var ways bson.A
	for i, field := range fields {
		var way bson.A
		for j, equal := range fields[:i] {
			way = append(way, bson.D{{Key: equal, Value: native(plan.After[j])}})
		}
		ways = append(ways, bson.D{{Key: "$and", Value: append(way, condition(field, beyond, native(plan.After[i])))}})
	}
	if len(ways) == 1 {
		return ways
	}
	return bson.A{condition(fields[0], beyond+"e", native(plan.After[0])), bson.D{{Key: "$or", Value: ways}}}
}

func condition(field, operator string, value any) bson.D {
	return bson.D{{Key: field, Value: bson.D{{Key: operator, Value: value}}}}
}

// native is a value as documents hold it.
func native(value any) any {
	if t, ok := value.(docstore.Time); ok {
		return bson.NewDateTimeFromTime(t.Time)
	}
	return value
}

// find reads one document more than the limit to know whether more follow.
func (c *collection) find(ctx context.Context, plan docstore.Plan) (docstore.Page, error) {
	where, order := filter(plan)
	limit := plan.Limit + 1
	// With a batch that is larger than the limit the server ends the cursor itself.
	some := options.Find().SetSort(order).SetLimit(int64(limit)).SetBatchSize(int32(limit) + 1) //nolint:gosec // at most MaxLimit
	cursor, err := c.Find(ctx, where, some)
	if err != nil {
		return docstore.Page{}, failed(err)
	}
	defer cursor.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	var page docstore.Page
	for cursor.Next(ctx) {
		if len(page.Documents) == plan.Limit {
			page.Next = docstore.EncodeCursor(position(page.Documents[plan.Limit-1], plan))
			break
		}
		page.Documents = append(page.Documents, docstore.Raw(slices.Clone(cursor.Current)))
	}
	return page, failed(cursor.Err())
}

// position is where a document stands in a plan's order.
func position(doc docstore.Raw, plan docstore.Plan) []any {
	var at []any
	for _, field := range append(slices.Clip(plan.Rest), id) {
		at = append(at, scalar(bson.Raw(doc).Lookup(field)))
	}
	return at
}

// scalar is a stored value as a cursor holds it.
func scalar(value bson.RawValue) any {
	switch value.Type {
	case bson.TypeString:
		return value.StringValue()
	case bson.TypeBoolean:
		return value.Boolean()
	case bson.TypeDateTime:
		return docstore.At(value.Time())
	}
	n, _ := value.AsInt64OK()
	return n
}

// conflict finds the unique index that refuses a document. Servers tell it in texts,
// each in its own, so it is looked for. It is nil when what the document conflicted
// with has gone meanwhile.
func (c *collection) conflict(ctx context.Context, doc bson.Raw) error {
	for _, index := range c.spec.Indexes {
		same, indexed := sameAs(doc, index)
		if !index.Unique || !indexed {
			continue
		}
		err := c.FindOne(ctx, same, options.FindOne().SetProjection(bson.D{{Key: id, Value: 1}})).Err()
		if err == nil {
			return c.conflictOn(index.Name)
		}
		if !errors.Is(err, mongo.ErrNoDocuments) {
			return failed(err)
		}
	}
	return nil
}

func (c *collection) conflictOn(index string) error {
	return &docstore.ConflictError{Collection: c.spec.Collection, Index: index}
}

// sameAs selects other documents that have the same values in an index, if the
// document is in it.
func sameAs(doc bson.Raw, index docstore.Index) (filter bson.D, indexed bool) {
	all := bson.A{condition(id, "$ne", doc.Lookup(id))}
	for _, field := range index.Fields {
		value, err := doc.LookupErr(field)
		if err != nil {
			return nil, false
		}
		all = append(all, bson.D{{Key: field, Value: value}})
	}
	return bson.D{{Key: "$and", Value: all}}, true
}
