package mongodump

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// metadata is how a collection is defined, as mongodump writes it: canonical Extended
// JSON of these fields.
type metadata struct {
	// Options are what the collection was created with.
	Options bson.Raw `bson:"options,omitempty"`
	// Indexes are as the server lists them.
	Indexes []bson.Raw `bson:"indexes"`
	// UUID is the collection's in the server, in hexadecimal.
	UUID string `bson:"uuid,omitempty"`
	Name string `bson:"collectionName"`
	Type string `bson:"type,omitempty"`
}

// json is the metadata as mongodump has it in an archive.
func (m metadata) json() (string, error) {
	if m.Indexes == nil {
		m.Indexes = []bson.Raw{} // mongorestore wants no null
	}
	text, err := bson.MarshalExtJSON(m, true, false)
	if err != nil {
		return "", fmt.Errorf("the options of the collection %q can't be written as JSON: %w", m.Name, err)
	}
	return string(text), nil
}

// metadataOf reads the metadata of an archive's entry, of an older mongodump too,
// which wrote other JSON.
func metadataOf(e entry) (metadata, error) {
	var m metadata
	if e.Metadata != "" {
		if err := m.parse([]byte(e.Metadata)); err != nil {
			return m, damaged("the metadata of the collection %q can't be read", e.Collection)
		}
	}
	m.Name, m.Type = e.Collection, e.Type
	if m.Options.Lookup("timeseries").Type == bson.TypeEmbeddedDocument {
		m.Type = timeseries
	}
	if m.Options.Lookup("viewOn").Type == bson.TypeString {
		m.Type = view
	}
	return m, nil
}

// parse reads JSON. The driver's reader doesn't come to an end when it skips what isn't
// JSON, so nothing is left for it to skip: fields that nobody knows are read too.
func (m *metadata) parse(text []byte) error {
	if !json.Valid(text) {
		return errors.New("it isn't JSON")
	}
	var all bson.D
	if err := bson.UnmarshalExtJSON(text, false, &all); err != nil {
		return err
	}
	binary, err := bson.Marshal(all)
	if err != nil {
		return err
	}
	return bson.Unmarshal(binary, m)
}

// capped tells whether the order of documents is a part of what the collection is.
func (m metadata) capped() bool {
	capped, _ := m.Options.Lookup("capped").BooleanOK()
	return capped
}

// expireOption is the option of an index, and of a clustered collection, by which a server
// deletes documents that are old.
const expireOption = "expireAfterSeconds"

// expires tells whether documents go by themselves because of an index.
func expires(index bson.Raw) bool { return index.Lookup(expireOption).Value != nil }

// restorable are the indexes that have to be created: not the one by _id, which every
// collection has, in the order and collation of the collection.
func (m metadata) restorable() []bson.Raw {
	return slices.DeleteFunc(slices.Clone(m.Indexes), func(index bson.Raw) bool {
		clustered, _ := index.Lookup("clustered").BooleanOK()
		return clustered || nameOf(index) == "_id_"
	})
}

func nameOf(index bson.Raw) string {
	name, _ := index.Lookup("name").StringValueOK()
	return name
}

// notRestored are options that aren't the collection's own: what a server adds, and temp,
// by which it would drop the collection at its next start.
var notRestored = []string{"uuid", "idIndex", "autoIndexId", "temp"}

// definition is a hash of what the collection is: its type, options and indexes, but
// for what a server adds as it likes. It is the same in a database that the collection
// was restored into.
func (m metadata) definition() string {
	sum := sha256.New()
	kind := m.Type
	if kind == "collection" { // as newer servers have it
		kind = ""
	}
	canonText(sum, kind)
	canonFields(sum, m.Options, notRestored...)
	indexes := m.restorable()
	slices.SortFunc(indexes, func(a, b bson.Raw) int { return strings.Compare(nameOf(a), nameOf(b)) })
	for _, index := range indexes {
		canonFields(sum, index, "v", "ns", "background")
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// canonFields writes a document's fields by their names, some left out.
func canonFields(w io.Writer, document bson.Raw, without ...string) {
	elements, _ := document.Elements() // of none, there are none
	elements = slices.DeleteFunc(elements, func(e bson.RawElement) bool { return slices.Contains(without, e.Key()) })
	slices.SortStableFunc(elements, func(a, b bson.RawElement) int { return strings.Compare(a.Key(), b.Key()) })
	canonElements(w, elements)
}

func canonElements(w io.Writer, elements []bson.RawElement) {
	canonText(w, fmt.Sprint(len(elements)))
	for _, element := range elements {
		canonText(w, element.Key())
		canonValue(w, element.Value())
	}
}

// canonValue writes a value so that numbers of the same value are the same: servers
// change their types. Within values, the order of fields means something.
func canonValue(w io.Writer, value bson.RawValue) {
	if number, ok := value.AsFloat64OK(); ok && value.Type != bson.TypeDecimal128 {
		canonText(w, "number")
		_, _ = w.Write(binary.BigEndian.AppendUint64(nil, math.Float64bits(number)))
		return
	}
	canonText(w, value.Type.String())
	var elements []bson.RawElement
	switch value.Type {
	case bson.TypeEmbeddedDocument:
		elements, _ = value.Document().Elements()
	case bson.TypeArray:
		elements, _ = bson.Raw(value.Array()).Elements()
	default:
		canonText(w, string(value.Value))
		return
	}
	canonElements(w, elements)
}

// canonText writes a text with its length, so that no two texts run into each other.
func canonText(w io.Writer, text string) {
	_, _ = fmt.Fprintf(w, "%d:%s,", len(text), text) // a hash takes everything
}
