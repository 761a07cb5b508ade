package sourcemap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// A fixture is a map that a real tool has made, with the answers of an independent reader
// for every position; see testdata/generate/generate.mjs.
type fixture struct {
	Map     string  `json:"map"`
	Lengths []int   `json:"lengths"`
	Answers [][]any `json:"answers"`
}

func fixtures(t testing.TB) map[string]fixture {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no fixtures: %v", err)
	}
	all := map[string]fixture{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f fixture
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = f
	}
	return all
}

func parse(t testing.TB, text string) *Map {
	t.Helper()
	m, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return m
}

func TestEveryPositionIsAsAnotherReaderHasIt(t *testing.T) {
	t.Parallel()
	for name, f := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, text := range []string{f.Map, ")]}'\n" + f.Map, "\ufeff" + f.Map} {
				m, mapped := parse(t, text), 0
				answers := f.Answers
				for i, length := range f.Lengths {
					var want any
					for column := 1; column <= length+1; column++ {
						if len(answers) > 0 && answers[0][0] == float64(i+1) && answers[0][1] == float64(column) {
							want, answers = answers[0][2], answers[1:]
						}
						got, ok := m.Lookup(i+1, column)
						if text, wanted := fmt.Sprint(cleaned(got.Source), got.Line, got.Column, got.Name), answer(want); ok != (want != nil) || ok && text != wanted {
							t.Fatalf("%d:%d is %q (%v), want %q", i+1, column, text, ok, wanted)
						}
						if ok {
							mapped++
						}
					}
					if got, ok := m.Lookup(i+1, 1<<40); ok != (want != nil) || ok && fmt.Sprint(cleaned(got.Source), got.Line, got.Column, got.Name) != answer(want) {
						t.Fatalf("far behind line %d is %v", i+1, got)
					}
				}
				if len(answers) != 0 || mapped == 0 {
					t.Fatalf("%d positions are mapped, %d answers are left", mapped, len(answers))
				}
				for _, place := range [][2]int{{0, 1}, {1, 0}, {-1, -1}, {len(f.Lengths) + 1, 1}, {1 << 40, 1}, {1, math.MinInt}, {math.MinInt, 1}} {
					if got, ok := m.Lookup(place[0], place[1]); ok {
						t.Fatalf("%v is %v", place, got)
					}
				}
			}
		})
	}
}

func answer(of any) string {
	if of == nil {
		return ""
	}
	a := of.([]any)
	return fmt.Sprint(a[0], int(a[1].(float64)), int(a[2].(float64)), a[3])
}

// cleaned resolves a name as a browser would, which the other reader does.
func cleaned(source string) string {
	if u, err := url.Parse(source); err == nil && u.Scheme != "" {
		return u.JoinPath().String()
	}
	if source == "" {
		return ""
	}
	return path.Clean(source)
}

// plain is a map of one source, with three names.
func plain(mappings string) string {
	return `{"version":3,"sources":["a.js"],"names":["foo","bar","baz"],"mappings":"` + mappings + `"}`
}

// lookups writes what a map has at lines and columns counted from 0, as the specification
// and its tests count.
func lookups(m *Map, places ...[2]int) string {
	var all []string
	for _, place := range places {
		if at, ok := m.Lookup(place[0]+1, place[1]+1); ok {
			all = append(all, fmt.Sprintf("%s:%d:%d:%s", at.Source, at.Line-1, at.Column-1, at.Name))
		} else {
			all = append(all, "-")
		}
	}
	return strings.Join(all, " ")
}

// The cases are those of the specification's tests (https://github.com/tc39/source-map-tests),
// by their names there. Where those say that a map is invalid and we read it, the case says
// what is made of it.
func TestMapsAreReadAsTheSpecificationSays(t *testing.T) {
	t.Parallel()
	basic := "AAAA,SAASA,MACP,OAAO,EACT,CACA,SAASC,MACP,OAAO,EACT,CACAD,MACAC"
	columns := [][2]int{{0, 0}, {0, 9}, {0, 15}, {0, 22}, {0, 24}, {0, 25}, {0, 34}, {0, 40}, {0, 47}, {0, 49}, {0, 50}, {0, 56}}
	basicAnswers := "a.js:0:0: a.js:0:9:foo a.js:1:2: a.js:1:9: a.js:2:0: a.js:3:0: a.js:3:9:bar a.js:4:2: a.js:4:9: a.js:5:0: a.js:6:0:foo a.js:7:0:bar"
	section := func(line, column any, of string) string {
		return fmt.Sprintf(`{"offset":{"line":%v,"column":%v},"map":%s}`, line, column, of)
	}
	sections := func(all ...string) string {
		return `{"version":3,"sections":[` + strings.Join(all, ",") + `]}`
	}
	first := [][2]int{{0, 0}}
	const head = `{"version":3,"names":[],`
	for _, c := range []struct {
		name, text string
		places     [][2]int
		want       string // "" for what is refused
	}{
		{"versionValid", plain(""), first, "-"},
		{"versionMissing", `{"sources":[],"names":[],"mappings":""}`, nil, ""},
		{"versionNotANumber", `{"version":"three","sources":[],"mappings":""}`, nil, ""},
		{"versionNumericString", `{"version":"3","sources":[],"mappings":""}`, nil, ""},
		{"versionTooHigh", `{"version":4,"sources":[],"mappings":""}`, nil, ""},
		{"versionTooLow", `{"version":2,"sources":[],"mappings":""}`, nil, ""},
		{"sourcesMissing", head + `"mappings":""}`, nil, ""},
		{"sourcesNotAList1", head + `"sources":"not a list","mappings":""}`, nil, ""},
		{"sourcesNotAList2", head + `"sources":{},"mappings":""}`, nil, ""},
		{"sourcesNotStringOrNull", head + `"sources":[0,{},true],"mappings":""}`, nil, ""},
		{"sourcesAndSourcesContentBothNull", head + `"sources":[null],"sourcesContent":[null],"mappings":"AAAA"}`, first, ":0:0:"},
		{"sourcesNullSourcesContentNonNull", head + `"sources":[null],"sourcesContent":["x"],"mappings":"AAAA"}`, first, ":0:0:"},
		{"sourcesNonNullSourcesContentNull", head + `"sources":["a.js"],"sourcesContent":[null],"mappings":"AAAA"}`, first, "a.js:0:0:"},
		{"sourceRootResolution", head + `"sourceRoot":"theroot","sources":["a.js"],"mappings":"AAAA"}`, first, "theroot/a.js:0:0:"},
		{"namesMissing: there are none", `{"version":3,"sources":["a.js"],"mappings":"AAAAA"}`, first, "a.js:0:0:"},
		{"namesNotAList1", `{"version":3,"names":"x","sources":["a.js"],"mappings":""}`, nil, ""},
		{"namesNotAList2", `{"version":3,"names":{"a":"x"},"sources":["a.js"],"mappings":""}`, nil, ""},
		{"namesNotString: they are no names", `{"version":3,"names":[1,"x"],"sources":["a.js"],"mappings":"AAAAA,CAAAC"}`, [][2]int{{0, 0}, {0, 1}}, "a.js:0:0: a.js:0:0:x"},
		{"unrecognizedProperty", `{"foobar":[{"x":[]}],"version":3,"sources":["a.js"],"mappings":"AAAA","x":1}`, first, "a.js:0:0:"},
		{"invalidVLQDueToNonBase64Character", plain("A$%?!"), nil, ""},
		{"invalidVLQDueToMissingContinuationDigits", plain("g"), nil, ""},
		{"invalidMappingNotAString1", head + `"sources":[],"mappings":5}`, nil, ""},
		{"invalidMappingNotAString2", head + `"sources":[],"mappings":[1,2,3,4]}`, nil, ""},
		{"invalidMappingSegmentBadSeparator", plain("AAAA.AAAA"), nil, ""},
		{"invalidMappingSegmentWithZeroFields: it is none", plain(",AAAA,,;,"), first, "a.js:0:0:"},
		{"invalidMappingSegmentWithTwoFields", plain("AA"), nil, ""},
		{"invalidMappingSegmentWithThreeFields", plain("AAA"), nil, ""},
		{"a segment of six fields", plain("AAAAAA"), nil, ""},
		{"invalidMappingSegmentWithSourceIndexOutOfBounds: it is unmapped", plain("ACAA,CDAA"), [][2]int{{0, 0}, {0, 1}}, "- a.js:0:0:"},
		{"invalidMappingSegmentWithNameIndexOutOfBounds: it has no name", plain("AAAAG,CAAAD"), [][2]int{{0, 0}, {0, 1}}, "a.js:0:0: a.js:0:0:baz"},
		{"invalidMappingSegmentWithNegativeColumn", plain("F"), nil, ""},
		{"invalidMappingSegmentWithNegativeSourceIndex: it is unmapped", plain("AFAA,CEAA"), [][2]int{{0, 0}, {0, 1}}, "- a.js:0:0:"},
		{"invalidMappingSegmentWithNegativeOriginalLine: it is unmapped", plain("AAFA,CAEA"), [][2]int{{0, 0}, {0, 1}}, "- a.js:0:0:"},
		{"invalidMappingSegmentWithNegativeOriginalColumn: it is unmapped", plain("AAAF,CAAE"), [][2]int{{0, 0}, {0, 1}}, "- a.js:0:0:"},
		{"invalidMappingSegmentWithNegativeNameIndex: it has no name", plain("AAAAF,CAAAE"), [][2]int{{0, 0}, {0, 1}}, "a.js:0:0: a.js:0:0:foo"},
		{"invalidMappingSegmentWithNegativeRelativeColumn", plain("C,F"), nil, ""},
		{"invalidMappingSegmentWithColumnExceeding32Bits", plain("ggggggE"), nil, ""},
		{"invalidMappingSegmentWithSourceIndexExceeding32Bits", plain("AggggggEAA"), nil, ""},
		{"invalidMappingSegmentWithOriginalLineExceeding32Bits", plain("AAggggggEA"), nil, ""},
		{"invalidMappingSegmentWithOriginalColumnExceeding32Bits", plain("AAAggggggE"), nil, ""},
		{"invalidMappingSegmentWithNameIndexExceeding32Bits", plain("AAAAggggggE"), nil, ""},
		{"a column that exceeds 32 bits as a sum", plain("+/////D,+/////D"), nil, ""},
		{"a line that exceeds 32 bits as a sum: it is unmapped", plain("AA+/////DA,CACA,CADA"), [][2]int{{0, 0}, {0, 1}, {0, 2}}, "a.js:2147483647:0: - a.js:2147483647:0:"},
		{"validMappingFieldsWith32BitMaxValues", plain("+/////DA+/////D+/////DA"), [][2]int{{0, 0}, {0, 1<<31 - 1}}, "- a.js:2147483647:2147483647:foo"},
		{"validMappingLargeVLQ", plain("igggggggggggggA"), first, "-"},
		{"a number of 64 bits and more", plain(strings.Repeat("g", 13) + "C"), nil, ""},
		{"the lowest number", plain("AABA"), first, "-"},
		{"vlqValidNegativeDigit", plain("CAAA;AAAA"), [][2]int{{0, 0}, {0, 1}, {1, 0}}, "- a.js:0:0: a.js:0:0:"},
		{"validMappingEmptyGroups", plain(";;;;;;;;;;AAAA;;;"), [][2]int{{0, 0}, {9, 5}, {10, 5}, {11, 0}}, "- - a.js:0:0: -"},
		{"mappingSemanticsRelative1", `{"version":3,"names":[],"sources":["unused","b.js"],"sourcesContent":["","foo bar"],"mappings":"CCAA,IAAI"}`, [][2]int{{0, 0}, {0, 1}, {0, 5}}, "- b.js:0:0: b.js:0:4:"},
		{"a segment of one field ends the one before", plain("AAAAA,E,EAAEC"), [][2]int{{0, 1}, {0, 2}, {0, 3}, {0, 4}}, "a.js:0:0:foo - - a.js:0:2:bar"},
		{"basicMapping", plain(basic), columns, basicAnswers},
		{"mappings with escapes", plain(strings.ReplaceAll(basic, "A", `\u0041`)), columns, basicAnswers},
		{"slashes with escapes", plain(strings.ReplaceAll("+/////DA+/////D+/////DA", "/", `\/`)), [][2]int{{0, 1<<31 - 1}}, "a.js:2147483647:2147483647:foo"},
		{"basicMappingWithIndexMap", sections(section(0, 0, plain("AAAA,SAASA,MACP,OAAO,EACT,CACA")), section(0, 34, plain("AAGSC,MACP,OAAO,EACT,CACAD,MACAC"))), columns, basicAnswers},
		{"indexMapWithTwoConcatenatedSources", sections(section(0, 0, plain(basic)),
			section(0, 62, `{"version":3,"names":["baz"],"sources":["b.js"],"mappings":"AAAA,SAASA,MACP,MAAO,KACT,CACAA"}`)),
			[][2]int{{0, 56}, {0, 61}, {0, 62}, {0, 71}, {0, 77}, {0, 83}, {0, 88}, {0, 89}},
			"a.js:7:0:bar a.js:7:0:bar b.js:0:0: b.js:0:9:baz b.js:1:2: b.js:1:9: b.js:2:0: b.js:3:0:baz"},
		{"indexMapWrongTypeSections", `{"version":3,"sections":"not a list"}`, nil, ""},
		{"indexMapWrongTypeOffset", `{"version":3,"sections":[{"offset":"not an offset","map":` + plain("AAAA") + `}]}`, nil, ""},
		{"indexMapWrongTypeMap", sections(section(0, 0, `"not a map"`)), nil, ""},
		{"indexMapInvalidBaseMappings", `{"version":3,"mappings":"AAAA","sections":[` + section(0, 0, plain("AAAA")) + `]}`, nil, ""},
		{"indexMapInvalidOverlap: the first ends where the second begins", sections(section(0, 0, plain("AAAA;AACA,CAAC")), section(1, 1, plain("AAKA"))),
			[][2]int{{0, 0}, {1, 0}, {1, 1}, {2, 0}}, "a.js:0:0: a.js:1:0: a.js:5:0: -"},
		{"indexMapInvalidOrder", sections(section(1, 0, plain("AAAA")), section(0, 0, plain("AAAA"))), nil, ""},
		{"indexMapInvalidOrder within a line", sections(section(0, 5, plain("AAAA")), section(0, 4, plain("AAAA"))), nil, ""},
		{"indexMapMissingMap", `{"version":3,"sections":[{"offset":{"line":0,"column":0}}]}`, nil, ""},
		{"indexMapMissingOffset", `{"version":3,"sections":[{"map":` + plain("AAAA") + `}]}`, nil, ""},
		{"indexMapMissingOffsetLine", `{"version":3,"sections":[{"offset":{"column":0},"map":` + plain("AAAA") + `}]}`, nil, ""},
		{"indexMapMissingOffsetColumn", `{"version":3,"sections":[{"offset":{"line":0},"map":` + plain("AAAA") + `}]}`, nil, ""},
		{"indexMapOffsetLineWrongType", sections(section(`true`, 0, plain("AAAA"))), nil, ""},
		{"indexMapOffsetColumnWrongType", sections(section(0, `true`, plain("AAAA"))), nil, ""},
		{"a negative offset", sections(section(-1, 0, plain("AAAA"))), nil, ""},
		{"an offset of 32 bits, and a line more", sections(section(2147483647, 0, plain(";AAAA"))), nil, ""},
		{"an offset of 32 bits, and a column more", sections(section(0, 2147483647, plain("CAAA"))), nil, ""},
		{"the map before its offset", `{"version":3,"sections":[{"map":` + plain("AAAA") + `,"offset":{"line":2,"column":3}}]}`, [][2]int{{2, 2}, {2, 3}}, "- a.js:0:0:"},
		{"no sections", sections(), first, "-"},
		{"sections in sections", sections(section(0, 0, plain("AAAA,E")), section(1, 4, sections(section(0, 1, plain("AAAAC;AACA")), section(2, 3, plain("AAAAA"))))),
			[][2]int{{0, 0}, {1, 4}, {1, 5}, {2, 0}, {3, 2}, {3, 3}}, "a.js:0:0: - a.js:0:0:bar a.js:1:0: - a.js:0:0:foo"},
		{"names and sources of one section aren't those of the next", sections(section(0, 0, plain("AAAAA")), section(1, 0, `{"version":3,"sources":["b.js"],"mappings":"AAAAA,CCAA"}`)),
			[][2]int{{1, 0}, {1, 1}}, "b.js:0:0: -"},
		{"of two of the same name the last counts", `{"version":2,"version":3,"mappings":"x","sources":["b.js"],"sources":["a.js"],"mappings":"AAAA"}`, first, "a.js:0:0:"},
		{"null is nothing", `{"version":3,"file":null,"sourceRoot":null,"names":null,"sections":null,"sourcesContent":null,"debugId":null,"sources":["a.js"],"mappings":"AAAA"}`, first, "a.js:0:0:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := Parse([]byte(c.text))
			if c.want == "" {
				if m != nil || !errors.Is(err, ErrMalformed) {
					t.Fatalf("it is %v, %v", m, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := lookups(m, c.places...); got != c.want {
				t.Errorf("it has %s\nwant   %s", got, c.want)
			}
		})
	}
}

func TestWhatIsNoMapIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "null", "3", "[]", `"map"`, "{", "}", "{}", "{} {}", plain("AAAA") + "x", plain("AAAA") + plain("AAAA"), plain("AAAA")[:40], `{"version"`, `{"version":3,`,
		")]}'", ")]}'" + plain("AAAA"), `{"version":3,"sources":["a.js","mappings":""}`, "\xff", strings.Repeat("[", 1<<20), strings.Repeat(`{"version":3,"sections":[{"offset":{"line":0,"column":0},"map":`, 20_000),
	} {
		if m, err := Parse([]byte(text)); m != nil || !errors.Is(err, ErrMalformed) {
			t.Errorf("%.40q is %v, %v", text, m, err)
		}
	}
}

// nested is a map within sections within sections, with something between.
func nested(depth int, between string) string {
	text := plain("AAAAC")
	for range depth {
		text = `{"version":3,"sections":[{"offset":{"line":1,"column":7},"map":` + text + between + `}]}`
		between = ""
	}
	return text
}

func TestSectionsMayBeInSectionsButNotDeep(t *testing.T) {
	t.Parallel()
	if got := lookups(parse(t, nested(maxDepth, "")), [2]int{maxDepth, 7}); got != "a.js:0:0:bar" {
		t.Errorf("it has %s", got)
	}
	if _, err := Parse([]byte(nested(maxDepth+1, ""))); !errors.Is(err, ErrMalformed) {
		t.Errorf("deeper it is %v", err)
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	list := func(n int, of string) string { return "[" + strings.TrimSuffix(strings.Repeat(of+",", n), ",") + "]" }
	build := func(sources, names, mappings string) string {
		return `{"version":3,"sources":` + sources + `,"names":` + names + `,"mappings":"` + mappings + `"}`
	}
	empty := `{"offset":{"line":0,"column":0},"map":{"version":3,"sources":[],"mappings":""}}`
	for name, c := range map[string]struct{ most, more string }{
		"bytes":    {plain("") + strings.Repeat(" ", MaxSize-len(plain(""))), plain("") + strings.Repeat(" ", MaxSize-len(plain(""))+1)},
		"segments": {plain(strings.Repeat("A,", maxSegments)), plain(strings.Repeat("A,", maxSegments+1))},
		"sources":  {build(list(maxSources, `"a"`), "[]", ""), build(list(maxSources+1, `"a"`), "[]", "")},
		"names":    {build("[]", list(maxNames, `"a"`), ""), build("[]", list(maxNames+1, `"a"`), "")},
		"paths":    {build(list(16, `"`+strings.Repeat("a", 2000)+`"`), "[]", ""), build(list(maxPaths/MaxName+1, `"`+strings.Repeat("a", 2000)+`"`), "[]", "")},
		"sections": {`{"version":3,"sections":` + list(maxSections, empty) + `}`, `{"version":3,"sections":` + list(maxSections+1, empty) + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := Parse([]byte(c.most)); err != nil || m.Size() > MaxHeld {
				t.Errorf("the most is %v", err)
			}
			if m, err := Parse([]byte(c.more)); m != nil || !errors.Is(err, ErrTooLarge) {
				t.Errorf("more is %v", err)
			}
		})
	}
}

func TestASourceRootCannotMakeManyLongNames(t *testing.T) {
	t.Parallel()
	root := func(n int) string {
		return `{"version":3,"sourceRoot":"` + strings.Repeat("r", n) + `","sources":["a.js"],"mappings":"AAAA"}`
	}
	if got, _ := parse(t, root(MaxName)).Lookup(1, 1); len(got.Source) != MaxName {
		t.Errorf("the name has %d characters", len(got.Source))
	}
	if _, err := Parse([]byte(root(MaxName + 1))); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

// Lines without segments take no memory, and lines in order no time.
func TestEmptyLinesTakeNoMemory(t *testing.T) {
	t.Parallel()
	m := parse(t, plain("AAAA,EAAA,CAAA"+strings.Repeat(";", 3<<20)+"AACA"))
	if got := lookups(m, [2]int{0, 0}, [2]int{1, 0}, [2]int{3 << 20, 9}); got != "a.js:0:0: - a.js:1:0:" {
		t.Errorf("it has %s", got)
	}
	if beside := m.Size() - cap(m.data); beside > 4096 {
		t.Errorf("beside its JSON it takes %d bytes", beside)
	}
}

func TestSourcesAreNamedWithTheirRoot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ root, name, want string }{
		{"", "a.js", "a.js"},
		{"", "../a.js", "../a.js"},
		{"/src", "a.js", "/src/a.js"},
		{"/src/", "./a.js", "/src/./a.js"},
		{"/src", "/b/a.js", "/b/a.js"},
		{"/src", "https://x/a.js", "https://x/a.js"},
		{"/src", "webpack:///./a.js?ab12", "webpack:///./a.js?ab12"},
		{"/src", `C:\a.js`, `C:\a.js`},
		{"webpack://shop", "a.js", "webpack://shop/a.js"},
		{"/src", "", ""},
		{"", strings.Repeat("é", MaxName+9), strings.Repeat("é", MaxName)},
	} {
		json, err := json.Marshal(map[string]any{"version": 3, "sourceRoot": c.root, "sources": []string{c.name}, "mappings": "AAAA"})
		if err != nil {
			t.Fatal(err)
		}
		if m := parse(t, string(json)); lookups(m, [2]int{0, 0}) != c.want+":0:0:" || !slices.Equal(m.Sources(), []string{c.want}) {
			t.Errorf("%q in %q is %q", c.name, c.root, m.Sources())
		}
	}
}

func TestANameIsCut(t *testing.T) {
	t.Parallel()
	m := parse(t, `{"version":3,"sources":["a.js"],"names":["`+strings.Repeat("n", MaxName+9)+`","\u0627\ud83d\uded2\ud83d"],"mappings":"AAAAA,CAAAC"}`)
	if at, _ := m.Lookup(1, 1); at.Name != strings.Repeat("n", MaxName) {
		t.Errorf("it is %q", at.Name)
	}
	if at, _ := m.Lookup(1, 2); at.Name != "ا🛒\ufffd" {
		t.Errorf("it is %q", at.Name)
	}
}

// A name that nobody can read to its end isn't: it is looked up for each frame.
func TestALongNameTakesNoTimeWhenItIsLookedUp(t *testing.T) {
	t.Parallel()
	m := parse(t, `{"version":3,"sources":["a.js"],"names":["`+strings.Repeat("n", MaxSize-100)+`"],"mappings":"AAAAA"}`)
	fastest := time.Hour
	for range 20 {
		start := time.Now()
		m.Lookup(1, 1)
		fastest = min(fastest, time.Since(start))
	}
	if fastest > 5*time.Millisecond {
		t.Errorf("a lookup takes %v", fastest)
	}
}

func TestTheTextAroundALine(t *testing.T) {
	t.Parallel()
	text := func(contents ...any) *Map {
		json, err := json.Marshal(map[string]any{"version": 3, "sources": []any{"a.js", "b.js", nil, "a.js"}, "sourcesContent": contents, "mappings": "AAAA"})
		if err != nil {
			t.Fatal(err)
		}
		return parse(t, string(json))
	}
	long := strings.Repeat("سلة🛒", MaxLine)
	for name, c := range map[string]struct {
		m            *Map
		source       string
		line, around int
		want         []string // before | at | after; nil for none
	}{
		"in the middle":     {text("1\n2\n3\n4\n5\n6\n7"), "a.js", 4, 2, []string{"2", "3", "|", "4", "|", "5", "6"}},
		"never too many":    {text(strings.Repeat("x\n", 99)), "a.js", 50, 1000, []string{"x", "x", "x", "x", "x", "|", "x", "|", "x", "x", "x", "x", "x"}},
		"none":              {text("1\n2\n3"), "a.js", 2, 0, []string{"|", "2", "|"}},
		"fewer than none":   {text("1\n2\n3"), "a.js", 2, -7, []string{"|", "2", "|"}},
		"the first":         {text("1\n2\n3"), "a.js", 1, 1, []string{"|", "1", "|", "2"}},
		"the last":          {text("1\n2\n3\n"), "a.js", 3, 1, []string{"2", "|", "3", "|"}},
		"behind the last":   {text("1\n2\n3\n"), "a.js", 4, 1, nil},
		"no line":           {text("1"), "a.js", 0, 5, nil},
		"before all lines":  {text("1"), "a.js", -1 << 62, 5, nil},
		"far behind":        {text("1"), "a.js", 1<<63 - 1, 5, nil},
		"ends of all kinds": {text("1\r\n2\r3\u20284\u20295\n\r6\n\n8"), "a.js", 4, 5, []string{"1", "2", "3", "|", "4", "|", "5", "", "6", "", "8"}},
		"with escapes":      {parse(t, `{"version":3,"sources":["a.js"],"sourcesContent":["a\\n\"\u000ab\/\t\u000D\u000a\ud83d\uded2\ud83d\\"],"mappings":""}`), "a.js", 2, 2, []string{`a\n"`, "|", "b/\t", "|", "🛒\ufffd\\"}},
		"the second":        {text("1", "2"), "b.js", 1, 1, []string{"|", "2", "|"}},
		"of the same name":  {text(nil, "2", nil, "4"), "a.js", 1, 1, []string{"|", "4", "|"}},
		"without a name":    {text(nil, nil, "3"), "", 1, 1, []string{"|", "3", "|"}},
		"of a later section": {parse(t, `{"version":3,"sections":[{"offset":{"line":0,"column":0},"map":{"version":3,"sources":["a.js"],"sourcesContent":["1"],"mappings":""}},
			{"offset":{"line":0,"column":0},"map":{"version":3,"sources":["b.js"],"sourcesContent":["2","3"],"mappings":""}}]}`), "b.js", 1, 1, []string{"|", "2", "|"}},
		"null":               {text(nil), "a.js", 1, 1, nil},
		"fewer than sources": {text("1"), "b.js", 1, 1, nil},
		"more than sources":  {text("1", "2", "3", "4", "5"), "b.js", 1, 1, []string{"|", "2", "|"}},
		"no text":            {text(5, map[string]any{}), "a.js", 1, 1, nil},
		"nothing in it":      {text(""), "a.js", 1, 1, nil},
		"nobody's":           {text("1"), "c.js", 1, 1, nil},
		"long lines":         {text(long + "\n" + long), "a.js", 1, 1, []string{"|", string([]rune(long)[:MaxLine]), "|", string([]rune(long)[:MaxLine])}},
		"long escapes":       {parse(t, `{"version":3,"sources":["a.js"],"sourcesContent":["`+strings.Repeat(`\ud83d\uded2`, MaxLine+9)+`"],"mappings":""}`), "a.js", 1, 1, []string{"|", strings.Repeat("🛒", MaxLine), "|"}},
		"too long":           {text(strings.Repeat("x\n", maxText)), "a.js", 1, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, at, after, ok := c.m.Context(c.source, c.line, c.around)
			var got []string
			if ok {
				got = append(append(append(before, "|"), at, "|"), after...)
			} else if before != nil || at != "" || after != nil {
				t.Error("there is text without a line")
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("it is %.300q\nwant  %.300q", got, c.want)
			}
		})
	}
}

// The text at a position that a real tool has mapped is what stands in the source.
func TestTheTextOfAPositionIsTheLineThatItIsOn(t *testing.T) {
	t.Parallel()
	for name, f := range fixtures(t) {
		if name != "esbuild-minified" && name != "sections" && name != "terser-of-typescript" {
			continue
		}
		m := parse(t, f.Map)
		var thrown []string
		for i, length := range f.Lengths {
			for column := range length {
				at, ok := m.Lookup(i+1, column+1)
				if _, line, _, found := m.Context(at.Source, at.Line, 0); ok && found && at.Column <= len(line) && strings.HasPrefix(line[at.Column-1:], "Cart ") {
					thrown = append(thrown, line)
				}
			}
		}
		if slices.Compact(slices.Sorted(slices.Values(thrown)))[0] != "export class Cart {" {
			t.Errorf("%s has %q", name, thrown)
		}
	}
}

func TestDebugIDs(t *testing.T) {
	t.Parallel()
	const id = "85314830-023f-4cf1-a267-535f4e37bb17"
	for of, want := range map[string]string{
		`"debug_id":"` + id + `"`:                             id,
		`"debugId":"` + strings.ToUpper(id) + `"`:             id,
		`"debugId":"` + strings.ReplaceAll(id, "-", "") + `"`: id,
		`"debug_id":null,"debugId":"` + id + `"`:              id,
		`"debug_id":"00000000-0000-0000-0000-000000000000"`:   "",
		`"debug_id":"` + id + `0"`:                            "",
		`"debug_id":5`:                                        "",
		`"x":5`:                                               "",
	} {
		if got := parse(t, `{"version":3,"sources":[],"mappings":"",`+of+`}`).DebugID(); got != want {
			t.Errorf("of %s it is %q", of, got)
		}
	}
	if got := parse(t, `{"version":3,"debugId":"`+id+`","sections":[{"offset":{"line":0,"column":0},"map":{"version":3,"sources":[],"mappings":"","debugId":"x"}}]}`).DebugID(); got != id {
		t.Errorf("of sections it is %q", got)
	}
}

func TestCommentsOfAGeneratedFile(t *testing.T) {
	t.Parallel()
	const id = "85314830-023f-4cf1-a267-535f4e37bb17"
	for file, want := range map[string][2]string{
		"x()\n//# sourceMappingURL=a.js.map\n//# debugId=" + id:                                   {id, "a.js.map"},
		"x()\n//# debugId=" + strings.ToUpper(id) + "\r\n//# sourceMappingURL=../a.js.map?x \r\n": {id, "../a.js.map?x"},
		"\t//@ sourceMappingURL=old.map":                                                          {"", "old.map"},
		"//# sourceMappingURL=first\n//# sourceMappingURL=last\ny()":                              {"", "last"},
		"//# sourceMappingURL=data:application/json;base64," + strings.Repeat("A", 1<<20) + "\n":  {"", "data:application/json;base64," + strings.Repeat("A", 1<<20)},
		`f("//# sourceMappingURL=no");g("\n//# debugId=` + id + `")`:                              {"", ""},
		"//# debugId=no\n//#sourceMappingURL=no\n//# sourceMappingURL":                            {"", ""},
		"":       {"", ""},
		"\n\r\n": {"", ""},
	} {
		if got := [2]string{FileDebugID([]byte(file)), MappingURL([]byte(file))}; got != want {
			t.Errorf("%.60q has %.60q", file, got)
		}
	}
	// In the time of one look, however often the words stand there.
	many := bytes.Repeat([]byte("//# sourceMappingURL="), 1<<19)
	if got := MappingURL(append([]byte(";"), many...)); got != "" {
		t.Errorf("it is %.60q", got)
	}
}

func TestFilenames(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"webpack://shop/./src/a.js?1f2e":                       "src/a.js",
		"webpack:///./src/a.js":                                "src/a.js",
		"webpack:///../node_modules/x/a.js":                    "node_modules/x/a.js",
		"webpack:///webpack/bootstrap":                         "webpack/bootstrap",
		"webpack:///./x/index.js??ref--1!./src/App.vue?type=s": "src/App.vue",
		"webpack-internal:///./app/page.tsx":                   "app/page.tsx",
		"turbopack:///[project]/app/page.tsx":                  "[project]/app/page.tsx",
		"webpack://a.js":                                       "a.js",
		"../../src/a.ts":                                       "src/a.ts",
		"/home/me/src/a.ts":                                    "/home/me/src/a.ts",
		"https://shop.example/src/a.ts?v=2":                    "https://shop.example/src/a.ts",
		"src/wow!.ts":                                          "src/wow!.ts",
		`C:\src\a.ts`:                                          `C:\src\a.ts`,
		"":                                                     "",
		"?":                                                    "",
	} {
		if got := Filename(source); got != want {
			t.Errorf("%q is %q, want %q", source, got, want)
		}
	}
}
