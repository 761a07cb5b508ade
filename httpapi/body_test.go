package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"manus/language"
)

func TestABrokenBodyIsTheClientsFault(t *testing.T) {
	t.Parallel()
	api := newAPI(slog.New(slog.DiscardHandler))
	api.Handle(Route{Access: Public, Pattern: "POST /api/v1/raw"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		WriteError(w, r, nil, err)
	}))
	Register(Group{API: api}, Route{Access: Public, Pattern: "POST /typed", ID: "typed"},
		func(context.Context, *teaInput) (*teaOutput, error) { return nil, nil })
	address := listen(t, api).Listener.Addr().String()
	for _, path := range []string{"raw", "typed"} {
		for name, body := range map[string]string{
			"cut short":           "Content-Length: 100\r\n\r\n{",
			"a chunk cut short":   "Transfer-Encoding: chunked\r\n\r\n5\r\n{",
			"no length of chunks": "Transfer-Encoding: chunked\r\n\r\nsome\r\n{}\r\n0\r\n\r\n",
		} {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "POST /api/v1/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s", path, body)
			_ = conn.(*net.TCPConn).CloseWrite()
			answer, err := io.ReadAll(conn)
			if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) || !bytes.Contains(answer, []byte("/problems/broken-body")) {
				t.Errorf("%s, %s: %s, %v", path, name, answer, err)
			}
			_ = conn.Close()
		}
	}
}

func TestOneParserReadsTheMediaType(t *testing.T) {
	t.Parallel()
	_, door, _ := setup(t, nil)
	for contentType, status := range map[string]int{
		"": 200, "application/json": 200, "APPLICATION/JSON": 200, "application/json ; charset=utf-8": 200, `application/json;charset="UTF-8"`: 200,
		"application/merge-patch+json": 200, "application/json; version=1": 200,
		"json": 415, "text/json": 415, "application/json; charset=utf-16": 415, "application/json; charset": 415, "application/": 415, "+json": 415, ";": 415,
	} {
		if w := from(door, 1, http.MethodPost, "/api/v1/tea", contentType, `{"cups":1}`); w.Code != status {
			t.Errorf("%q: %d %s", contentType, w.Code, w.Body)
		}
	}
	if w := from(door, 1, http.MethodPost, "/api/v1/tea", "text/plain", ""); w.Code != 400 || !strings.Contains(w.Body.String(), "request body is required") {
		t.Errorf("no body: %d %s", w.Code, w.Body)
	}
}

func TestABodyOfTheGreatestLengthIsTaken(t *testing.T) {
	t.Parallel()
	_, door, _ := setup(t, nil)
	for more, status := range map[int]int{0: 200, 1: 413} {
		text := `{"cups":1}`
		text = strings.Repeat(" ", MaxBody-len(text)+more) + text
		if w := from(door, 1, http.MethodPost, "/api/v1/tea", "", text); w.Code != status {
			t.Errorf("%d bytes: %d %s", len(text), w.Code, w.Body)
		}
	}
}

func TestAQuestionAboutTheWholeServerIsAnsweredByTheDoor(t *testing.T) {
	t.Parallel()
	api, _ := limited(t)
	ask := func(method string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", http.NoBody)
		r.RequestURI, r.URL.Path = "*", "*" // as net/http reads it
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w
	}
	w := ask(http.MethodOptions)
	header := w.Header()
	if w.Code != 204 || !strings.Contains(header.Get("Allow"), "PATCH") || header.Get("X-Request-Id") == "" || header.Get("X-Content-Type-Options") == "" || header.Get("RateLimit") == "" {
		t.Errorf("%d %v", w.Code, header)
	}
	wantProblem(t, ask(http.MethodGet), 404, "not-found")
}

// TestATunnelIsRefusedByTheDoor: to another server, and to an address of this one.
func TestATunnelIsRefusedByTheDoor(t *testing.T) {
	t.Parallel()
	_, door, _ := setup(t, nil)
	address := listen(t, door.(*API)).Listener.Addr().String()
	for _, target := range []string{"other.example:443", "/api/v1/tea", "/nowhere"} {
		answers := exchangeRaw(t, address, "CONNECT "+target+" HTTP/1.1\r\nHost: x\r\nAccept-Language: ar\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(answers, "HTTP/1.1 405 ") || !strings.Contains(answers, "application/problem+json") || !strings.Contains(answers, "/problems/method-not-allowed") || !strings.Contains(answers, "طريقة غير مقبولة") || !strings.Contains(answers, "\r\nAllow: ") {
			t.Errorf("%s: %s", target, answers)
		}
	}
}

// TestAConnectionIsNotUsedAgainAfterABodyInChunks: whoever is in front may have read a
// Content-Length beside it, and take what comes then for a part of the body.
func TestAConnectionIsNotUsedAgainAfterABodyInChunks(t *testing.T) {
	t.Parallel()
	_, door, _ := setup(t, nil)
	address := listen(t, door.(*API)).Listener.Addr().String()
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for framing, answered := range map[string]int{
		"Content-Length: 10\r\n\r\n{\"cups\":1}":                                                2,
		"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{\"cups\":1}\r\n0\r\n\r\n": 1,
		"Transfer-Encoding: chunked\r\n\r\na\r\n{\"cups\":1}\r\n0\r\n\r\n":                      1,
	} {
		answers := exchangeRaw(t, address, "POST /api/v1/tea HTTP/1.1\r\nHost: x\r\n"+framing+smuggled)
		if !strings.HasPrefix(answers, "HTTP/1.1 200 ") || strings.Count(answers, "HTTP/1.1 ") != answered || !strings.Contains(answers, "\r\nConnection: close\r\n") {
			t.Errorf("%q: %s", framing, answers)
		}
	}
}

// exchangeRaw sends bytes, and returns all that comes until the connection is closed.
func exchangeRaw(t *testing.T, address, sent string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, sent)
	answers, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answers)
}

func TestARedirectToATidyPathIsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	_, door, _ := setup(t, nil)
	for sent, want := range map[string]string{
		"//docs%20x": "/docs%20x", "//evil.com/%2e%2e": "/evil.com/%2e%2e", "///evil.com//": "/evil.com/", "//a%2Fb?q=%2F%2F&x=a//b": "/a%2Fb?q=%2F%2F&x=a//b",
		"/a/../b%25": "/b%25", "/..": "/", "//": "/", "/./%D9%85": "/%D9%85",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		at, err := url.ParseRequestURI(sent)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = at
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); w.Code != 307 || got != want || strings.Contains(w.Body.String(), "%252") {
			t.Errorf("%s: %d %s %s, want %s", sent, w.Code, got, w.Body, want)
		}
	}
}

func TestARedirectToATidyPathHasCORS(t *testing.T) {
	t.Parallel()
	const origin = "https://app.example.com"
	_, door, _ := setup(t, nil)
	door.(*API).Origins = []string{origin}
	for path, allowed := range map[string]string{"/api//v1/tea": origin, "//api/v1/tea": origin, "/api/v1/./tea": origin, "/docs/../api/v1/tea": origin, "/api/v1/../page": ""} {
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		r.URL.Path = path
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code != 307 || w.Header().Get("Access-Control-Allow-Origin") != allowed {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

// TestARefusalInPlaceOfAnotherProblemVariesOnce has a body that can't be decoded, whose
// problem is written before anybody knows that it is one too many.
func TestARefusalInPlaceOfAnotherProblemVariesOnce(t *testing.T) {
	t.Parallel()
	api, _ := limited(t)
	for i := range 6 {
		w := from(api, 1, http.MethodPost, "/api/v1/guess", "", "{")
		if varies := w.Header()["Vary"]; strings.Join(varies, ",") != "Accept-Language" || i == 5 && w.Code != 429 {
			t.Errorf("%d: it varies by %q", w.Code, varies)
		}
	}
}

func TestFaultsAreSaidInTheLanguageThatIsAskedFor(t *testing.T) {
	t.Parallel()
	_, door, _ := setup(t, nil)
	english := regexp.MustCompile(`"(title|message)":"[^"]*[a-z]{4}`)
	for path, body := range map[string]string{
		"/api/v1/tea":             `{"cups":0,"note":"` + strings.Repeat("x", 41) + `"}`,
		"/api/v1/tea?kind=coffee": `{"cups":"many","sugar":1}`,
		"/api/v1/tea?lang=ar":     `{}`,
		"/api/v1/tea?kind=":       `{"cups":1,"cups":2}`,
		"/api/v1/tea?":            `{`,
		"/api/v1/tea?kind=green":  ``,
	} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Accept-Language", "ar")
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		said := strings.NewReplacer("green", "", "black", "", "cups", "", "JSON", "").Replace(w.Body.String())
		if w.Code < 400 || !strings.Contains(said, `"errors":[`) || english.MatchString(said) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestEveryFaultOfTheLibraryStandsInArabic goes through all that huma says of requests, as its sources
// have it, so that a later version's isn't missed.
func TestEveryFaultOfTheLibraryStandsInArabic(t *testing.T) {
	t.Parallel()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", "github.com/danielgtaylor/huma/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	arabic, seen := regexp.MustCompile(`^\p{Arabic}`), 0
	look := func(message string) {
		seen++
		message = regexp.MustCompile(`%[vds]`).ReplaceAllString(message, "7")
		fault := newFault(language.Arabic, &huma.ErrorDetail{Location: "body", Message: message})
		if !arabic.MatchString(fault.Message) || strings.Contains(fault.Message, "%s") {
			t.Errorf("%q is said as %q", message, fault.Message)
		}
		if english := newFault(language.English, &huma.ErrorDetail{Location: "body", Message: message}).Message; english != unknownProperty && !strings.HasPrefix(message, english) {
			t.Errorf("%q is said as %q in English", message, english)
		}
	}
	for _, name := range []string{"validation/messages.go", "validate.go", "huma.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, said := range saidBy(n) {
				if text, ok := said.(*ast.BasicLit); ok && text.Kind == token.STRING && !strings.Contains(text.Value, "UUID format") { // which stands behind a colon
					message, _ := strconv.Unquote(text.Value)
					look(message)
				}
			}
			return true
		})
	}
	for _, message := range []string{"required path parameter is missing", "invalid date/time for format 2006-01-02", "request body is required"} { // put together
		look(message)
	}
	if seen < 60 {
		t.Errorf("only %d were found", seen)
	}
}

// saidBy are the texts by which a part of huma tells what is wrong with a request.
func saidBy(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.ValueSpec:
		if strings.HasPrefix(n.Names[0].Name, "Msg") {
			return n.Values
		}
	case *ast.CallExpr:
		if call, ok := n.Fun.(*ast.SelectorExpr); ok && (call.Sel.Name == "Add" && len(n.Args) == 3 || call.Sel.Name == "New" && len(n.Args) == 1) {
			return n.Args[len(n.Args)-1:]
		}
	}
	return nil
}

func TestEveryStatusOfAProblemHasATitleInBothLanguages(t *testing.T) {
	t.Parallel()
	for _, kind := range common {
		if StatusText(kind.Status, language.English) != http.StatusText(kind.Status) || titles[kind.Status] == "" {
			t.Errorf("%d has no title", kind.Status)
		}
	}
}
