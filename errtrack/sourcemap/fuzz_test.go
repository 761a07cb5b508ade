package sourcemap

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse holds that whatever is uploaded is refused or is a map that is in order, in which
// every position can be looked up, within the bounds, and which takes no more memory than its
// JSON allows.
func FuzzParse(f *testing.F) {
	for _, fixture := range fixtures(f) {
		f.Add([]byte(fixture.Map))
	}
	f.Add([]byte(")]}'\n" + plain("AAAAA,E;;gBACAC,DCAA,FDAA")))
	f.Add([]byte(`{"version":3,"sections":[{"offset":{"line":0,"column":1},"map":` + plain("AAAA;CAAA,C") + `},{"offset":{"line":1,"column":1},"map":` + plain("AAAA,FAAA") + `}]}`))
	f.Add([]byte(`{"version":3,"sourceRoot":"r","sources":["a",null,"a"],"sourcesContent":[null,"b\r\n\u2028\ud800","x\ny"],"mappings":"ACAA,CACA","debugId":"85314830023f4cf1a267535f4e37bb17"}`))
	f.Fuzz(func(t *testing.T, data []byte) { checkMap(t, data) })
}

// FuzzMappings holds the same of two sections, whose mappings have a character of theirs for
// each byte.
func FuzzMappings(f *testing.F) {
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/,;"
	bytesOf := func(mappings string) (indexes []byte) {
		for _, c := range mappings {
			indexes = append(indexes, byte(strings.IndexRune(characters, c)))
		}
		return indexes
	}
	f.Add(bytesOf("AAAA,SAASA;;MACP,OAAO"), bytesOf("EACT,CACA"), uint32(1), uint32(4))
	f.Add(bytesOf("+/////DA+/////D+/////DA"), bytesOf("gBAICA,NEKMC,E,4BDNJ;FGAA"), uint32(0), uint32(1<<31-1))
	f.Add(bytesOf("K,F,F;A"), bytesOf("igggggggggggA,B,AABA"), uint32(0), uint32(2))
	f.Fuzz(func(t *testing.T, first, second []byte, line, column uint32) {
		of := func(mappings []byte) string {
			text := bytes.Clone(mappings)
			for i, c := range text {
				text[i] = characters[int(c)%len(characters)]
			}
			return `{"version":3,"sources":["a.js",null,"b.js"],"sourcesContent":["1\n2","x","3\r4"],"names":["foo","bar"],"mappings":"` + string(text) + `"}`
		}
		checkMap(t, fmt.Appendf(nil, `{"version":3,"sections":[{"offset":{"line":0,"column":1},"map":%s},{"offset":{"line":%d,"column":%d},"map":%s}]}`, of(first), line, column, of(second)))
	})
}

func checkMap(t *testing.T, data []byte) {
	t.Helper()
	before := bytes.Clone(data)
	m, err := Parse(data)
	if !bytes.Equal(data, before) {
		t.Fatal("the data has changed")
	}
	if err != nil {
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) || m != nil {
			t.Fatalf("%v, %v", m, err)
		}
		return
	}
	// A segment is of a byte and a comma, twice that where slices grow.
	if most := 4096 + 64*cap(data) + 2*MaxName*len(m.sources); m.Size() > most {
		t.Fatalf("%d bytes of %d", m.Size(), len(data))
	}
	for i, l := range m.lines {
		end := len(m.segments)
		if i+1 < len(m.lines) {
			end = int(m.lines[i+1].start)
			if m.lines[i+1].number <= l.number {
				t.Fatal("lines are not in order")
			}
		}
		if end <= int(l.start) || l.number < 0 {
			t.Fatalf("line %d has nothing", l.number)
		}
		for j := int(l.start); j < end; j++ {
			if j > int(l.start) && m.segments[j].column < m.segments[j-1].column {
				t.Fatal("segments are not in order")
			}
			lookUp(t, m, int(l.number)+1, int(m.segments[j].column))
		}
	}
	if id := m.DebugID(); id != "" && len(id) != 36 {
		t.Fatalf("the debug id is %q", id)
	}
}

// lookUp looks at a column and those beside it.
func lookUp(t *testing.T, m *Map, line, column int) {
	for beside := range 3 {
		at, ok := m.Lookup(line, column+beside)
		if !ok {
			continue
		}
		if at.Line < 1 || at.Column < 1 || !isCut(at.Source, MaxName) || !isCut(at.Name, MaxName) {
			t.Fatalf("%d:%d is %+v", line, column+beside, at)
		}
		if before, text, after, ok := m.Context(at.Source, min(at.Line, 3), 2); ok {
			if len(before) > 2 || len(after) > 2 || !isCut(strings.Join(before, ""), 2*MaxLine) || !isCut(text, MaxLine) || !isCut(strings.Join(after, ""), 2*MaxLine) {
				t.Fatalf("the text of %+v is %q, %q, %q", at, before, text, after)
			}
		}
	}
}

func isCut(text string, n int) bool {
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= n
}

// FuzzComment holds that what is found in a file's comments is in the file.
func FuzzComment(f *testing.F) {
	f.Add([]byte("x()\n//# sourceMappingURL=a.js.map\n//# debugId=85314830-023f-4cf1-a267-535f4e37bb17\n"))
	f.Add([]byte("//@ sourceMappingURL=\r"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if at := MappingURL(file); !bytes.Contains(file, []byte(at)) || strings.ContainsAny(at, "\r\n") {
			t.Fatalf("it is %q", at)
		}
		if id := FileDebugID(file); id != "" && len(id) != 36 {
			t.Fatalf("it is %q", id)
		}
		Filename(string(file))
	})
}
