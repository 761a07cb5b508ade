// Package sourcemap says where in a program's sources a position of its minified file was
// written: it reads source maps (ECMA-426, of revision 3: https://tc39.es/ecma426/) and looks
// positions up. A map is uploaded by whoever has a key, so everything is bounded, in bytes,
// in memory and in work, and what is damaged is an error or an unmapped position.
//
// The decoder is our own, as the libraries there are aren't safe behind bounds.
// go-sourcemap/sourcemap v2.1.4 panics on an index that is out of range and on a section
// without a map, gives a position that is said to be unmapped to whatever stands before it and
// one on an empty line to another line, and copies the text of every source. neelance/sourcemap
// panics likewise and reads no sections. esbuild's decoder is internal to it.
//
// It knows nothing of events, of who has uploaded a map and of where maps are kept.
package sourcemap

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a map. Those of files that people have are a tenth of them.
const (
	MaxSize     = 16 << 20 // bytes of its JSON
	MaxHeld     = 24 << 20 // bytes that it takes in memory, see [Map.Size]
	MaxName     = 1024     // characters of a source's or a function's name; what is longer is cut
	MaxLine     = 512      // characters of a line of a source; what is longer is cut
	MaxAround   = 5        // lines before a line, and as many after it
	maxSegments = 1 << 20  // of 20 bytes
	maxSources  = 100_000
	maxNames    = 512 << 10
	maxSections = 50_000
	maxDepth    = 4       // of sections in sections
	maxPaths    = 4 << 20 // bytes of all sources' names
	maxText     = 4 << 20 // bytes of one source's text in JSON; what is longer isn't shown
)

// Parse returns these, with what is wrong; they never repeat what the map says.
var (
	ErrMalformed = errors.New("that is no source map")
	ErrTooLarge  = errors.New("the source map is too large")
)

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

func tooLarge(what string) error { return fmt.Errorf("%w: it has more than %s", ErrTooLarge, what) }

// Map is a source map that has been read. It doesn't change, so it may be used by many at
// once.
type Map struct {
	data     []byte // the JSON: names and texts are read where they stand in it
	lines    []line
	segments []segment
	sources  []source
	names    []span
	paths    int // bytes of all sources' names
	debugID  string
}

// A line is one of the generated file that has segments, counted from 0. They are in order.
type line struct {
	number int32
	start  int32 // in Map.segments; it ends where the next line starts
}

// A segment is what begins at a column of a generated line, and ends with the next one;
// everything is counted from 0. Those of a line are in order.
type segment struct {
	column                   int32
	source                   int32 // unmapped where it was written nowhere
	sourceLine, sourceColumn int32
	name                     int32 // unmapped where it has none
}

const unmapped = -1

// A source is a file that the program was written in.
type source struct {
	name string
	text span // in quotes, or nothing
}

// A span is a part of Map.data.
type span struct{ from, to int32 }

// Position is where something was written.
type Position struct {
	// Source is the file, as the map calls it, behind the map's sourceRoot; [Filename] makes a
	// path of it. It is empty where the map has no name for it.
	Source string
	// Name is what the word at this position was called, empty where the map doesn't say. At a
	// call that is the name of what is called, so for the function that a frame of a stack is
	// in, look at the frame that has called it; at a function's own name it is the function.
	Name string
	// Line and Column are counted from 1, columns in UTF-16 code units.
	Line, Column int
}

// Lookup finds what was written at a line and a column of the generated file, both counted
// from 1 as in SDKs' lineno and colno, columns in UTF-16 code units. It is false where the map
// doesn't have the line, or says that the column was written nowhere. Of several segments at
// the column itself it is the first, as with other readers.
func (m *Map) Lookup(line, column int) (Position, bool) {
	if line < 1 || column < 1 {
		return Position{}, false
	}
	s := m.segment(line-1, column-1)
	if s.source == unmapped {
		return Position{}, false
	}
	at := Position{Source: m.sources[s.source].name, Line: int(s.sourceLine) + 1, Column: int(s.sourceColumn) + 1}
	if s.name != unmapped {
		at.Name = m.text(m.names[s.name])
	}
	return at, true
}

// segment is the one that a position is in, both counted from 0.
func (m *Map) segment(number, column int) segment {
	nowhere := segment{source: unmapped}
	i, found := slices.BinarySearchFunc(m.lines, number, func(l line, number int) int { return int(l.number) - number })
	if !found {
		return nowhere
	}
	end := len(m.segments)
	if i+1 < len(m.lines) {
		end = int(m.lines[i+1].start)
	}
	segments := m.segments[m.lines[i].start:end]
	i, found = slices.BinarySearchFunc(segments, column, func(s segment, column int) int { return int(s.column) - column })
	if found {
		return segments[i]
	}
	if i == 0 {
		return nowhere
	}
	return segments[i-1]
}

// text is a string of the map, cut; empty where something else stands there.
func (m *Map) text(s span) string {
	if !m.isString(s) {
		return ""
	}
	return shown(m.data[s.from+1:s.to-1], MaxName)
}

func (m *Map) isString(s span) bool { return s.from < s.to && m.data[s.from] == '"' }

// unquoted is a string of JSON, empty for what is something else. What is no UTF-8 is
// replaced: JavaScript's strings may have half a character.
func unquoted(quoted []byte) string {
	text, _ := jsontext.AppendUnquote(nil, quoted) // its syntax was checked when the map was read
	return string(text)
}

// DebugID is the id that the map shares with the file it is of (its "debug_id" or "debugId"),
// in the form 8-4-4-4-12 of small letters; empty where it has none.
func (m *Map) DebugID() string { return m.debugID }

// Sources are the names of the program's files, as [Position] has them.
func (m *Map) Sources() []string {
	names := make([]string, len(m.sources))
	for i, s := range m.sources {
		names[i] = s.name
	}
	return names
}

// Size is about how many bytes the map holds in memory, with the JSON that it was read from.
func (m *Map) Size() int {
	return int(unsafe.Sizeof(*m)) + cap(m.data) + cap(m.lines)*int(unsafe.Sizeof(line{})) + m.paths +
		cap(m.segments)*int(unsafe.Sizeof(segment{})) + cap(m.sources)*int(unsafe.Sizeof(source{})) + cap(m.names)*int(unsafe.Sizeof(span{}))
}
