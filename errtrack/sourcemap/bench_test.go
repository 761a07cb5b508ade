package sourcemap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// large is a map as a bundler writes one of a large program: a line with everything, two
// thirds of it texts of sources, a third mappings. SOURCEMAP names another one to measure.
func large(b *testing.B, bytes int) []byte {
	if file := os.Getenv("SOURCEMAP"); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	var texts, sources, mappings, names strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	const digits = "ACEGIKMOQSUWYaceDFHJLNPR"
	for n := 0; texts.Len()+mappings.Len() < bytes; n++ {
		fmt.Fprintf(&sources, `,"webpack://shop/./node_modules/library%d/index.js"`, n)
		fmt.Fprintf(&names, `,"name%d"`, n)
		texts.WriteString(`,"`)
		mappings.WriteString(`,KCAA`)
		for i := range 80 {
			texts.WriteString(`\tif (this.items[index] === \"thing\") { return this.other(index + 1) }\n`)
			mappings.WriteString(`,UACAA`[:6-i%2])
			for range 5 {
				fmt.Fprintf(&mappings, ",%cAA%c", digits[1+random.IntN(11)], digits[1+random.IntN(11)])
			}
		}
		texts.WriteString(`"`)
	}
	return []byte(`{"version":3,"file":"app.js","sources":[` + sources.String()[1:] + `],"sourcesContent":[` + texts.String()[1:] +
		`],"names":[` + names.String()[1:] + `],"mappings":"` + mappings.String()[1:] + `"}`)
}

func BenchmarkParse(b *testing.B) {
	data := large(b, 4<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var m *Map
	for b.Loop() {
		var err error
		if m, err = Parse(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(m.Size())/(1<<20), "MiB/map")
	b.ReportMetric(float64(len(m.segments)), "segments")
}

func BenchmarkLookup(b *testing.B) {
	m, err := Parse(large(b, 4<<20))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		line := m.lines[i%len(m.lines)]
		m.Lookup(int(line.number)+1, int(m.segments[i].column)+2)
		i = (i + 7919) % len(m.segments)
	}
}

func BenchmarkContext(b *testing.B) {
	m, err := Parse(large(b, 4<<20))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Context(m.sources[len(m.sources)/2].name, 40, MaxAround)
	}
}

// BenchmarkHostile is what takes longest to be read.
func BenchmarkHostile(b *testing.B) {
	var backwards strings.Builder
	backwards.WriteString("+/////D")
	backwards.WriteString(strings.Repeat(",D", maxSegments-1))
	for name, data := range map[string][]byte{
		"backwards": []byte(plain(backwards.String())),
		"lines":     []byte(plain(strings.Repeat(";", MaxSize-100))),
		"objects":   bytes.Repeat([]byte(`{"a":`), MaxSize/5),
		"escapes":   []byte(plain(strings.Repeat(`\u003b`, MaxSize/7))),
		"nested":    []byte(nested(maxDepth, strings.Repeat(" ", MaxSize-2000))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse(data)
			}
		})
	}
}
