package mongodump

import "go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

// maxDepth is how deep documents may be nested: MongoDB's own limit is 200.
const maxDepth = 256

// wellFormed tells whether the bytes are one BSON document, as bsonspec.org has it,
// as far as reading it needs: all lengths are right, all strings and documents end,
// every type is known.
func wellFormed(document []byte) bool { return wellFormedTo(maxDepth, document) }

// wellFormedTo looks into a document of so many levels at most. The driver looks at one
// level, and has no bound of its own for them: these bytes may be foreign.
func wellFormedTo(depth int, document []byte) bool {
	size, rest, ok := bsoncore.ReadLength(document)
	if depth == 0 || !ok || size < minDocument || int(size) != len(document) || document[size-1] != 0 {
		return false
	}
	for rest = rest[:len(rest)-1]; len(rest) > 0; {
		var element bsoncore.Element
		if element, rest, ok = bsoncore.ReadElement(rest); !ok || !valueWellFormed(depth-1, element.Value()) {
			return false
		}
	}
	return true
}

// valueWellFormed looks at what isn't said by the length of a value, which is right.
func valueWellFormed(depth int, value bsoncore.Value) bool {
	switch value.Type {
	case bsoncore.TypeEmbeddedDocument, bsoncore.TypeArray:
		return wellFormedTo(depth, value.Data)
	case bsoncore.TypeCodeWithScope: // a length, a string of JavaScript, a document
		code, scope, ok := bsoncore.ReadValue(value.Data[min(4, len(value.Data)):], bsoncore.TypeString)
		return ok && stringWellFormed(code.Data) && wellFormedTo(depth, scope)
	case bsoncore.TypeString, bsoncore.TypeJavaScript, bsoncore.TypeSymbol:
		return stringWellFormed(value.Data)
	case bsoncore.TypeDBPointer: // a string and an ObjectID
		return stringWellFormed(value.Data[:len(value.Data)-12])
	case bsoncore.TypeBoolean:
		return value.Data[0] <= 1
	}
	return true
}

// stringWellFormed looks at a length, and a text that has a 0 at its end.
func stringWellFormed(text []byte) bool { return len(text) >= 5 && text[len(text)-1] == 0 }
