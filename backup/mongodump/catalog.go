package mongodump

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// ofUsers tells whether a collection is of the database's users rather than of the
// server, as mongodump has it.
func ofUsers(name string) bool {
	return name == "system.js" || !strings.HasPrefix(name, "system.")
}

// list is the collections of the database, by name.
func (c *conn) list(ctx context.Context) (all []mongo.CollectionSpecification, err error) {
	err = c.within(ctx, c.patience, func(ctx context.Context) (err error) {
		all, err = c.primary.ListCollectionSpecifications(ctx, bson.D{})
		return err
	})
	all = slices.DeleteFunc(all, func(l mongo.CollectionSpecification) bool { return !ofUsers(l.Name) })
	slices.SortFunc(all, func(a, b mongo.CollectionSpecification) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// define has the definitions of all collections, by name.
func (c *conn) define(ctx context.Context) ([]metadata, error) {
	all, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	var defined []metadata
	for _, l := range all {
		m := metadata{Options: l.Options, Name: l.Name, Type: l.Type}
		if l.UUID != nil {
			m.UUID = hex.EncodeToString(l.UUID.Data)
		}
		if l.Type != view {
			if m.Indexes, err = c.indexes(ctx, l.Name); err != nil {
				return nil, err
			}
		}
		defined = append(defined, m)
	}
	return defined, nil
}

// indexes lists a collection's indexes: none of one that has gone meanwhile.
func (c *conn) indexes(ctx context.Context, collection string) ([]bson.Raw, error) {
	var all []bson.Raw
	err := c.within(ctx, c.patience, func(ctx context.Context) error {
		cursor, err := c.primary.Collection(collection).Indexes().List(ctx)
		if err != nil {
			return err
		}
		return cursor.All(ctx, &all)
	})
	return all, err
}

// size is about how much there is in a collection; nothing where that can't be told,
// which makes the reading slower but not wrong.
func (c *conn) size(ctx context.Context, collection string) (documents, bytes int64) {
	var stats struct {
		Count float64 `bson:"count"`
		Size  float64 `bson:"size"`
	}
	if err := c.run(ctx, c.primary.Name(), &stats, bson.D{{Key: "collStats", Value: collection}}); err != nil {
		return 0, 0
	}
	return int64(stats.Count), int64(stats.Size)
}

// one finds the first of a collection's documents, in an order if there is one; nil if
// there is none.
func (c *conn) one(ctx context.Context, collection *mongo.Collection, filter bson.D, o *options.FindOneOptionsBuilder) (bson.Raw, error) {
	var found bson.Raw
	err := c.within(ctx, c.patience, func(ctx context.Context) error {
		var err error
		found, err = collection.FindOne(ctx, filter, o).Raw()
		if err == mongo.ErrNoDocuments { //nolint:errorlint // the driver returns it as it is
			return nil
		}
		return err
	})
	return found, err
}
