package sentrytest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// key is the public key of every DSN that Capture makes.
const key = "0123456789abcdef0123456789abcdef"

// maxBody bounds what is kept of a request, in bytes.
const maxBody = 16 << 20

// Server takes what SDKs send, keeps it, and answers as Sentry does.
type Server struct {
	// DSN is where to report to, of project 42.
	DSN string

	mu       sync.Mutex
	requests []Request
}

// Request is one request as it came.
type Request struct {
	Method, Path, Query string
	Header              http.Header
	Body                []byte // encoded as its Content-Encoding says
}

// Item is one item of an envelope, or the event of a request to /store/.
type Item struct {
	Type    string
	Line    []byte // the header as it came
	Header  map[string]any
	Payload []byte
}

// Capture starts a server that ends with the test.
func Capture(t testing.TB) *Server {
	t.Helper()
	s := &Server{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.DSN = strings.Replace(server.URL, "://", "://"+key+"@", 1) + "/42"
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	if r.ContentLength >= 0 {
		header.Set("Content-Length", fmt.Sprint(r.ContentLength))
	}
	s.mu.Lock()
	s.requests = append(s.requests, Request{r.Method, r.URL.Path, r.URL.RawQuery, header, body})
	s.mu.Unlock()
	answer := w.Header()
	answer.Set("Access-Control-Allow-Origin", "*")
	if r.Method == http.MethodOptions {
		answer.Set("Access-Control-Allow-Methods", "POST")
		answer.Set("Access-Control-Allow-Headers", "x-sentry-auth, content-type, content-encoding, authorization, sentry-trace, baggage")
		answer.Set("Access-Control-Max-Age", "3600")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer.Set("Content-Type", "application/json")
	fmt.Fprintln(w, `{"id":"00000000000000000000000000000000"}`)
}

// Requests are those that have come, in their order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Items are those of all requests that have come.
func (s *Server) Items(t testing.TB) (all []Item) {
	t.Helper()
	for _, r := range s.Requests() {
		if r.Method != http.MethodPost {
			continue
		}
		items, err := r.Items()
		if err != nil {
			t.Fatalf("%s: %v\n%.2000q", r.Path, err, r.Body)
		}
		all = append(all, items...)
	}
	return all
}

// Plain is the body without its encoding, which may be gzip.
func (r Request) Plain() ([]byte, error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "":
		return r.Body, nil
	case "gzip":
		unzip, err := gzip.NewReader(bytes.NewReader(r.Body))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.LimitReader(unzip, maxBody))
	default:
		return nil, fmt.Errorf("the encoding is %q", encoding)
	}
}

// Items are what is in the request.
func (r Request) Items() ([]Item, error) {
	body, err := r.Plain()
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(r.Path, "/store/") {
		return []Item{{Type: "event", Payload: body}}, nil
	}
	_, rest, _ := bytes.Cut(body, []byte("\n")) // the envelope's own header
	return items(rest)
}

// Dump is the request as it was on the wire, but for chunks: a text that ParseRequest reads.
func (r Request) Dump() []byte {
	var out bytes.Buffer
	address := url.URL{Path: r.Path, RawQuery: r.Query}
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\n", r.Method, address.RequestURI())
	_ = r.Header.Write(&out) // which no buffer refuses
	out.WriteString("\r\n")
	out.Write(r.Body)
	return out.Bytes()
}

// ParseRequest reads what Dump has written, as the captures are: a request line, headers, an empty
// line, and the body until the end.
func ParseRequest(text []byte) (Request, error) {
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	read, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("\r\n\r\n"))))
	if err != nil {
		return Request{}, err
	}
	return Request{read.Method, read.URL.Path, read.URL.RawQuery, read.Header, body}, nil
}

// Captured are the requests in the files of a pattern, each with its file's name. The test fails
// where there is none.
func Captured(t testing.TB, pattern string) iter.Seq2[string, Request] {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: there are no captures: %v", pattern, err)
	}
	return func(yield func(string, Request) bool) {
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			request, err := ParseRequest(text)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if !yield(file, request) {
				return
			}
		}
	}
}

// items takes what comes after an envelope's header apart, as SDKs put it together.
func items(rest []byte) (found []Item, err error) {
	for len(bytes.TrimSpace(rest)) > 0 {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		item := Item{Line: line}
		if err := json.Unmarshal(line, &item.Header); err != nil {
			return nil, fmt.Errorf("an item's header: %w", err)
		}
		item.Type, _ = item.Header["type"].(string)
		if length, said := item.Header["length"].(float64); !said {
			item.Payload, rest, _ = bytes.Cut(after, []byte("\n"))
		} else if int(length) > len(after) {
			return nil, fmt.Errorf("%s has %v bytes and says %v", item.Type, len(after), length)
		} else {
			item.Payload, rest = after[:int(length)], bytes.TrimPrefix(after[int(length):], []byte("\n"))
		}
		found = append(found, item)
	}
	return found, nil
}
