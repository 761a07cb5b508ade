package envelope

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkRead reads envelopes with one event of 4 and 50 KB: as @sentry/node sends them,
// without a length; as sentry-go does, with one; and as sentry-python does, packed.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{4 << 10, 50 << 10} {
		event := eventOf(size)
		node := head + "\n{\"type\":\"event\"}\n" + event
		golang := fmt.Sprintf("%s\n{\"type\":\"event\",\"length\":%d}\n%s\n", head, len(event), event)
		for _, c := range []struct{ name, packer, text string }{{"node", "", node}, {"go", "", golang}, {"python", "gzip", golang}} {
			b.Run(fmt.Sprintf("%s/%dKB", c.name, size>>10), func(b *testing.B) {
				u := NewUnpacker()
				packed := bytes.NewReader(pack(b, c.packer, []byte(c.text)))
				r := httptest.NewRequest("POST", "/", nil)
				r.Body = io.NopCloser(packed)
				r.Header.Set("Content-Encoding", c.packer)
				b.ReportAllocs()
				b.SetBytes(int64(len(c.text)))
				for b.Loop() {
					_, _ = packed.Seek(0, io.SeekStart)
					body, err := u.Open(r)
					if err != nil {
						b.Fatal(err)
					}
					if _, items, err := readAll(body); err != nil || len(items) != 1 {
						b.Fatal(items, err)
					}
					body.Close()
				}
			})
		}
	}
}

// eventOf is an event of about that many bytes that packs as real ones do, with an emoji,
// for which Repair has to look closer.
func eventOf(size int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	text.WriteString(`{"message":"\ud83d\ude00","exception":{"values":[{"type":"Error","stacktrace":{"frames":[`)
	for text.Len() < size {
		fmt.Fprintf(&text, `{"filename":"/app/src/module_%d.js","function":"call%x","lineno":%d,"in_app":true},`, random.IntN(20), random.Uint32(), random.IntN(1000))
	}
	return text.String() + `{}]}}]}}`
}
