package mongodocs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"manus/docstore"
	"manus/internal/mongodriver"
)

// buildTimeout bounds the building of a collection's indexes.
const buildTimeout = time.Hour

// Declare makes the collections and indexes exist. An index whose declaration has
// changed since is built anew; building one takes as long as it has documents.
func (s *Store) Declare(ctx context.Context, specs ...docstore.Spec) error {
	for _, spec := range specs {
		if err := spec.Check(); err != nil {
			return err
		}
		c := newCollection(s.database, spec)
		if err := s.retryFor(ctx, buildTimeout, c.build); err != nil {
			return err
		}
		s.collections.Add(c)
	}
	return nil
}

// build makes the indexes that are missing. Several processes may do it at once:
// a server that is asked for an index that there is does nothing.
func (c *collection) build(ctx context.Context) error {
	built, err := c.Indexes().ListSpecifications(mongodriver.Unhurried{Context: ctx})
	if err != nil {
		return failed(err)
	}
	for _, index := range c.spec.Indexes {
		i := slices.IndexFunc(built, func(b mongo.IndexSpecification) bool { return b.Name == index.Name })
		if i >= 0 && isBuilt(index, built[i]) {
			continue
		}
		if i >= 0 {
			if err := c.Indexes().DropOne(mongodriver.Unhurried{Context: ctx}, index.Name); err != nil {
				return failed(err)
			}
		}
		if err := c.create(ctx, index); err != nil {
			return err
		}
	}
	return nil
}

// keys are an index's: its fields, and the id where they may be equal.
func keys(index docstore.Index) []string {
	if index.Unique {
		return index.Fields
	}
	return append(slices.Clip(index.Fields), id)
}

// isBuilt tells whether an index is as it is declared.
func isBuilt(index docstore.Index, as mongo.IndexSpecification) bool {
	elements, err := as.KeysDocument.Elements()
	unique := as.Unique != nil && *as.Unique
	if err != nil || unique != index.Unique {
		return false
	}
	return slices.EqualFunc(elements, keys(index), func(e bson.RawElement, field string) bool {
		direction, ok := e.Value().AsInt64OK()
		return ok && direction == 1 && e.Key() == field
	})
}

// create builds an index. Only documents that have all of its fields are in it.
func (c *collection) create(ctx context.Context, index docstore.Index) error {
	var fields, present bson.D
	for _, field := range keys(index) {
		fields = append(fields, bson.E{Key: field, Value: int32(1)})
	}
	for _, field := range index.Fields {
		present = append(present, condition(field, "$exists", true)...)
	}
	o := options.Index().SetName(index.Name).SetPartialFilterExpression(present)
	if index.Unique {
		o.SetUnique(true)
	}
	_, err := c.Indexes().CreateOne(mongodriver.Unhurried{Context: ctx}, mongo.IndexModel{Keys: fields, Options: o})
	if no, _ := refused(err); !no || !index.Unique {
		return failed(err)
	}
	twins, looking := c.twins(ctx, index, present)
	if looking != nil || len(twins) == 0 {
		return errors.Join(failed(err), looking)
	}
	return fmt.Errorf("collection %s can't get the unique index %s on %s, as documents have the same values there; change or delete one of each of these, by _id: %s: %w",
		c.spec.Collection, index.Name, strings.Join(index.Fields, ", "), strings.Join(twins, "; "), c.conflictOn(index.Name))
}

// maxTwins bounds how many pairs of documents a report names.
const maxTwins = 5

// twins are pairs of documents that have the same values, by their ids: the values
// may be people's.
func (c *collection) twins(ctx context.Context, index docstore.Index, present bson.D) ([]string, error) {
	var order bson.D
	for _, field := range index.Fields {
		order = append(order, bson.E{Key: field, Value: 1})
	}
	cursor, err := c.Find(mongodriver.Unhurried{Context: ctx}, present, options.Find().SetSort(order).SetProjection(order).SetAllowDiskUse(true))
	if err != nil {
		return nil, failed(err)
	}
	defer cursor.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	var twins []string
	var last bson.Raw
	for len(twins) < maxTwins && cursor.Next(mongodriver.Unhurried{Context: ctx}) {
		equal := last != nil
		for _, field := range index.Fields {
			equal = equal && cursor.Current.Lookup(field).Equal(last.Lookup(field))
		}
		if equal {
			twins = append(twins, last.Lookup(id).String()+" and "+cursor.Current.Lookup(id).String())
		}
		last = slices.Clone(cursor.Current)
	}
	return twins, failed(cursor.Err())
}
