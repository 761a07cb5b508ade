package mongodocs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"manus/docstore"
)

// bsonCodec is documents as BSON, by the json tags of their structs.
type bsonCodec struct{ registry *bson.Registry }

func newCodec() bsonCodec {
	structs := &structCodec{standard: bson.NewRegistry()}
	registry := bson.NewRegistry()
	registry.RegisterKindEncoder(reflect.Struct, structs)
	registry.RegisterTypeEncoder(rawJSON, bson.ValueEncoderFunc(encodeRawJSON))
	registry.RegisterTypeDecoder(rawJSON, bson.ValueDecoderFunc(decodeRawJSON))
	return bsonCodec{registry}
}

// Encode makes a document's BSON.
func (c bsonCodec) Encode(v any) (docstore.Raw, error) {
	var out bytes.Buffer
	encoder := bson.NewEncoder(bson.NewDocumentWriter(&out))
	encoder.SetRegistry(c.registry)
	encoder.UseJSONStructTags()
	encoder.OmitZeroStruct() // where omitzero says so, see structCodec
	err := encoder.Encode(v)
	return out.Bytes(), err
}

// Decode reads a document's BSON.
func (c bsonCodec) Decode(raw docstore.Raw, v any) error {
	decoder := bson.NewDecoder(bson.NewDocumentReader(bytes.NewReader(raw)))
	decoder.SetRegistry(c.registry)
	decoder.UseJSONStructTags()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("a stored document can't be read: %w", err)
	}
	return nil
}

// structCodec gives structs the meaning that encoding/json gives their tags, as
// far as the driver doesn't: it knows no omitzero. It encodes a value as one of
// the same struct with other tags, to which Go converts.
type structCodec struct {
	standard *bson.Registry
	types    sync.Map // reflect.Type to reflect.Type
}

// EncodeValue writes a struct.
func (c *structCodec) EncodeValue(ec bson.EncodeContext, w bson.ValueWriter, v reflect.Value) error {
	retagged, err := c.retag(v.Type())
	if err != nil {
		return err
	}
	encoder, err := c.standard.LookupEncoder(retagged)
	if err != nil {
		return err
	}
	return encoder.EncodeValue(ec, w, v.Convert(retagged))
}

func (c *structCodec) retag(t reflect.Type) (reflect.Type, error) {
	if known, ok := c.types.Load(t); ok {
		return known.(reflect.Type), nil
	}
	retagged := t
	fields := make([]reflect.StructField, t.NumField())
	for i := range fields {
		fields[i] = t.Field(i)
		if fields[i].Anonymous || !fields[i].IsExported() {
			return nil, fmt.Errorf("%v: a document's structs have named, exported fields only", t)
		}
		if name, options, _ := strings.Cut(fields[i].Tag.Get("json"), ","); strings.Contains(options, "omitzero") {
			fields[i].Tag = reflect.StructTag(`bson:"` + name + `,omitempty"`)
			retagged = nil
		}
	}
	if retagged == nil {
		retagged = reflect.StructOf(fields)
	}
	c.types.Store(t, retagged)
	return retagged, nil
}

// JSON inside a document is kept as its text, for people to read.
var rawJSON = reflect.TypeFor[json.RawMessage]()

func encodeRawJSON(_ bson.EncodeContext, w bson.ValueWriter, v reflect.Value) error {
	if v.IsNil() {
		return w.WriteNull()
	}
	return w.WriteString(strings.ToValidUTF8(string(v.Bytes()), "\uFFFD"))
}

func decodeRawJSON(_ bson.DecodeContext, r bson.ValueReader, v reflect.Value) error {
	switch r.Type() {
	case bson.TypeString:
		text, err := r.ReadString()
		v.SetBytes([]byte(text))
		return err
	case bson.TypeNull:
		v.SetZero()
		return r.ReadNull()
	}
	return errors.New("JSON is kept as a string")
}
