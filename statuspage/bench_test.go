package statuspage

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"manus/language"
)

// The page of 100 components of 90 days, as it is rendered anew after a change: a language
// of it. How large it is stands beside the time.
func BenchmarkRender(b *testing.B) {
	h := refreshed(b, many(100))
	s := h.site.Load()
	var body []byte
	b.ReportAllocs()
	for b.Loop() {
		body = s.front(language.English)
	}
	b.ReportMetric(float64(len(body)), "bytes")
	b.ReportMetric(float64(len(gzipped(body))), "gzip-bytes")
	b.ReportMetric(float64(len(brotlied(body))), "br-bytes")
}

// What is looked at twice a second, to know whether anything has changed.
func BenchmarkView(b *testing.B) {
	m := many(100)
	before := newView(m, language.Text{}, now)
	b.ReportAllocs()
	for b.Loop() {
		if !before.tells(newView(m, language.Text{}, now)) {
			b.Fatal("it differs from itself")
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	h := refreshed(b, many(100))
	body := h.site.Load().files[mainPage][language.English].plain().body
	b.Run("gzip", func(b *testing.B) {
		for b.Loop() {
			gzipped(body)
		}
	})
	b.Run("br", func(b *testing.B) {
		for b.Loop() {
			brotlied(body)
		}
	})
}

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header            { return d.header }
func (d *discard) Write(part []byte) (int, error) { return len(part), nil }
func (d *discard) WriteHeader(int)                {}

// A request for the page from memory, the door included.
func BenchmarkServe(b *testing.B) {
	h := refreshed(b, many(100))
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "/status", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	r.RemoteAddr = "203.0.113.9:4711"
	r.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	r.Header.Set("Accept-Language", "en-GB,en;q=0.9")
	w := &discard{}
	b.ReportAllocs()
	for b.Loop() {
		w.header = http.Header{}
		h.handler.ServeHTTP(w, r)
	}
}

// A request for the page over TCP, by as many connections as there are goroutines, which share
// the processors with it.
func BenchmarkServeTCP(b *testing.B) {
	server := httptest.NewServer(refreshed(b, many(100)).handler)
	b.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		from := bufio.NewReader(conn)
		for pb.Next() {
			if _, err := io.WriteString(conn, "GET /status HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"); err != nil {
				b.Error(err)
				return
			}
			w, err := http.ReadResponse(from, nil)
			if err != nil || w.StatusCode != http.StatusOK {
				b.Error(w, err)
				return
			}
			_, _ = io.Copy(io.Discard, w.Body) // a short one fails at the next
			_ = w.Body.Close()
		}
	})
}
