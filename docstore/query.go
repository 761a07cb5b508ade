package docstore

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"

	"github.com/google/uuid"

	"manus/internal/words"
)

// NewID makes an id for a document: a UUIDv7 (RFC 9562), so that ids made
// later sort later and fall together in the index. It is an opaque string to
// everybody else.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

type idKey struct{}

// WithID has a context name the id of what is made in it: one that was written down before, so
// that whoever does the same again makes the same.
func WithID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, idKey{}, id)
}

// IDFrom is the id that a context names; empty for none.
func IDFrom(ctx context.Context) string {
	id, _ := ctx.Value(idKey{}).(string)
	return id
}

// Plan is a Query checked against its index and made ready for an engine:
// what both engines do alike. Its Equal, From and Until hold nothing but
// string, int64, bool and Time, or nil for an open bound.
type Plan struct {
	Index Index
	Query
	// Rest are the index's fields after the equal ones, the id left out.
	Rest []string
	// After holds the position the cursor names: a value for each of Rest and
	// then the id. It is nil without a cursor.
	After []any
}

// PlanQuery checks q against spec. Engines call it first in Find and
// DeleteRange. Every error is an ErrInvalid.
func PlanQuery(spec Spec, q Query) (Plan, error) {
	plan := Plan{Query: q}
	if q.Index != "" {
		i := slices.IndexFunc(spec.Indexes, func(index Index) bool { return index.Name == q.Index })
		if i < 0 {
			return plan, fmt.Errorf("%w: collection %s has no index %q", ErrInvalid, spec.Collection, q.Index)
		}
		plan.Index = spec.Indexes[i]
	}
	if len(q.Equal) > len(plan.Index.Fields) {
		return plan, fmt.Errorf("%w: %s for the index %q of %s", ErrInvalid, words.Count(len(q.Equal), "value"), q.Index, words.Count(len(plan.Index.Fields), "field"))
	}
	plan.Rest = plan.Index.Fields[len(q.Equal):]
	if err := plan.simplify(); err != nil {
		return plan, err
	}
	switch {
	case q.Limit == 0:
		plan.Limit = DefaultLimit
	case q.Limit < 0 || q.Limit > MaxLimit:
		return plan, fmt.Errorf("%w: a limit is 1 to %d", ErrInvalid, MaxLimit)
	}
	if q.Cursor != "" {
		after, err := DecodeCursor(q.Cursor, len(plan.Rest)+1)
		if err != nil {
			return plan, err
		}
		plan.After = after
	}
	return plan, nil
}

// Declared is what an engine knows of the collections that have been declared, by
// their names: a C of each. It is safe for concurrent use.
type Declared[C interface{ Spec() Spec }] struct{ all sync.Map }

// Add notes a collection that has been declared, again perhaps.
func (d *Declared[C]) Add(c C) { d.all.Store(c.Spec().Collection, c) }

// Get is a collection. It returns ErrInvalid for one that hasn't been declared.
func (d *Declared[C]) Get(name string) (C, error) {
	if c, ok := d.all.Load(name); ok {
		return c.(C), nil
	}
	var none C
	return none, fmt.Errorf("%w: collection %q was not declared", ErrInvalid, name)
}

// Plan is a collection, and PlanQuery for it. Errors as Get and PlanQuery.
func (d *Declared[C]) Plan(name string, q Query) (C, Plan, error) {
	c, err := d.Get(name)
	if err != nil {
		return c, Plan{}, err
	}
	plan, err := PlanQuery(c.Spec(), q)
	return c, plan, err
}

// simplify replaces the values asked for by scalars.
func (p *Plan) simplify() (err error) {
	p.Equal = slices.Clone(p.Equal) // it is the caller's
	for i, value := range p.Equal {
		if p.Equal[i], err = scalar(value); err != nil {
			return err
		}
	}
	if p.From != nil {
		p.From, err = scalar(p.From)
	}
	if p.Until != nil && err == nil {
		p.Until, err = scalar(p.Until)
	}
	return err
}

// scalar is value as what an index can hold: a string, int64, bool or Time.
// Types made of these are welcome. Others would be compared by each engine's
// own rules, so they are refused.
func scalar(value any) (any, error) {
	if t, ok := value.(Time); ok {
		return At(t.Time), nil
	}
	switch v := reflect.ValueOf(value); {
	case v.Kind() == reflect.String:
		return v.String(), nil
	case v.Kind() == reflect.Bool:
		return v.Bool(), nil
	case v.CanInt():
		return v.Int(), nil
	case v.CanUint() && v.Uint() <= math.MaxInt64:
		return int64(v.Uint()), nil //nolint:gosec // checked
	}
	return nil, fmt.Errorf("%w: an index holds no %T", ErrInvalid, value)
}

// maxCursor bounds the length of a cursor that is looked at. It has room for
// 8 KiB of strings in their longest JSON form, six bytes a byte, in base64.
const maxCursor = 68 << 10

// EncodeCursor makes the cursor that stands for the position after a document
// with these values of Plan.Rest, followed by its id. Values are strings,
// int64, bool or Time.
func EncodeCursor(position []any) string {
	position = slices.Clone(position)
	for i, value := range position {
		if t, ok := value.(Time); ok {
			position[i] = []Time{t}
		}
	}
	text, err := json.Marshal(position)
	if err != nil { // engines pass scalars only
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// DecodeCursor is the position that EncodeCursor has made a cursor of, of n values. It comes from strangers, so it is
// bounded and holds nothing but scalars; all it can do is to move within the
// range that the query allows anyway. Every error is ErrCursor.
func DecodeCursor(cursor string, n int) ([]any, error) {
	if len(cursor) > maxCursor {
		return nil, ErrCursor
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, ErrCursor
	}
	var position []any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&position); err != nil || len(position) != n {
		return nil, ErrCursor
	}
	for i, value := range position {
		if position[i], err = cursorValue(value); err != nil {
			return nil, ErrCursor
		}
	}
	if _, ok := position[n-1].(string); !ok {
		return nil, ErrCursor
	}
	return position, nil
}

// cursorValue is a value of a cursor's text as an engine gave it. A list of one
// text is a Time.
func cursorValue(value any) (any, error) {
	switch v := value.(type) {
	case string, bool:
		return v, nil
	case json.Number:
		return v.Int64()
	case []any:
		if len(v) != 1 {
			break
		}
		if text, ok := v[0].(string); ok {
			var t Time
			err := t.UnmarshalText([]byte(text))
			return t, err
		}
	}
	return nil, ErrCursor
}
