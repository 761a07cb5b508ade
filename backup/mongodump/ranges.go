package mongodump

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// mostRanges bounds how many ranges a collection is read as.
const mostRanges = 64

// ranges are filters of which each document that is there all the time matches exactly
// one. They are one after the other by _id, which never changes.
//
// A comparison only ever matches values of its own kind, so a collection is split
// only when its first and last _id have one kind, and all between them with it:
// numbers of several types compare as one kind, of which whole ones are taken, as
// none is before them that isn't a number like them. A collection with an order of its own
// for texts isn't split.
func (c *conn) ranges(ctx context.Context, m *collection, documents, bytes int64) ([]bson.D, error) {
	n := min(bytes/c.split, documents, mostRanges)
	whole := []bson.D{{}}
	if n < 2 || m.capped() || m.Options.Lookup("collation").Value != nil {
		return whole, nil
	}
	kind, err := c.kind(ctx, m.data())
	if err != nil || !slices.Contains(splittable, kind) {
		return whole, err
	}
	var borders []bson.RawValue
	for range n - 1 {
		border, err := c.border(ctx, m.data(), borders, documents/n)
		if err != nil {
			return nil, err
		}
		if border.Value == nil {
			break
		}
		if border.Type != kind {
			return whole, nil // somebody has added one of another kind
		}
		borders = append(borders, border)
	}
	return between(borders), nil
}

// splittable are the kinds of _id that a collection is split by.
var splittable = []bson.Type{bson.TypeObjectID, bson.TypeString, bson.TypeInt32, bson.TypeInt64, bson.TypeDateTime, bson.TypeBinary}

// kind is the type of all of a collection's _ids, or 0 if there are several.
func (c *conn) kind(ctx context.Context, collection string) (bson.Type, error) {
	var kinds []bson.Type
	for _, direction := range []int{1, -1} {
		end, err := c.one(ctx, c.database.Collection(collection), bson.D{}, byID(direction))
		if err != nil || end == nil {
			return 0, err
		}
		kinds = append(kinds, end.Lookup("_id").Type)
	}
	if kinds[0] != kinds[1] {
		return 0, nil
	}
	return kinds[0], nil
}

// border is the _id that a number of documents are before, counted from the last border.
func (c *conn) border(ctx context.Context, collection string, before []bson.RawValue, skip int64) (bson.RawValue, error) {
	filter := bson.D{}
	if len(before) > 0 {
		filter = idIs(bson.E{Key: "$gte", Value: before[len(before)-1]})
	}
	found, err := c.one(ctx, c.database.Collection(collection), filter, byID(1).SetSkip(skip))
	if err != nil || found == nil {
		return bson.RawValue{}, err
	}
	return found.Lookup("_id"), nil
}

func byID(direction int) *options.FindOneOptionsBuilder {
	id := func(value int) bson.D { return bson.D{{Key: "_id", Value: value}} }
	return options.FindOne().SetSort(id(direction)).SetProjection(id(1))
}

// between are the ranges that the borders divide everything into.
func between(borders []bson.RawValue) []bson.D {
	if len(borders) == 0 {
		return []bson.D{{}}
	}
	var ranges []bson.D
	var from bson.D
	for _, border := range borders {
		ranges = append(ranges, idIs(append(from, bson.E{Key: "$lt", Value: border})...))
		from = bson.D{{Key: "$gte", Value: border}}
	}
	return append(ranges, idIs(from...))
}

func idIs(conditions ...bson.E) bson.D {
	return bson.D{{Key: "_id", Value: bson.D(conditions)}}
}
