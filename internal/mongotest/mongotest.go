// Package mongotest gives tests a server that speaks MongoDB's wire protocol, as a
// process of its own. The program is in the folder server, a module of its own
// that the product doesn't depend on: it is FerretDB 1, whose differences from
// MongoDB its relay evens out as far as the product would notice them.
package mongotest

import (
	"crypto/rand"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/internal/testprogram"
)

// patience bounds how long a server is waited for, once it is built.
const patience = 5 * time.Minute

// URI is where a MongoDB is: the one that the environment variable
// MONGODB_TEST_URI names, or else a server that is started for the first test of
// this process that asks, and that all of them share. It ends with the process.
// A test shares its server with others and with what they leave behind, so it
// takes a Database of its own.
func URI(t testing.TB) string {
	t.Helper()
	if uri := os.Getenv("MONGODB_TEST_URI"); uri != "" {
		return uri
	}
	maySkip(t)
	server, err := shared()
	if err != nil {
		t.Fatalf("%v\nAnother MongoDB can be named in MONGODB_TEST_URI.", err)
	}
	return server.URI
}

// shared holds on to the process: when nobody does, its input ends.
var shared = sync.OnceValues(func() (*process, error) { return launch() })

// Database is the name of a database that no other test has.
func Database(t testing.TB) string {
	t.Helper()
	return "manus_test_" + strings.ToLower(rand.Text()[:12])
}

// Server is a server of the test's own, with a network in between that the test
// can cut, freeze and mend. It ends with the test.
type Server struct{ process *process }

// Start runs a server of the test's own.
func Start(t testing.TB) *Server {
	t.Helper()
	maySkip(t)
	p, err := launch("-toxiproxy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := p.End()
		if err != nil {
			t.Errorf("the MongoDB of the test: %v", err)
		}
		if t.Failed() {
			t.Logf("the MongoDB of the test said:\n%s", p.Log())
		}
	})
	return &Server{process: p}
}

// URI is where the server is, by the network that the test can cut.
func (s *Server) URI() string { return s.process.ProxiedURI }

// DirectURI is where the server is, by a network that is always whole.
func (s *Server) DirectURI() string { return s.process.URI }

// Cut closes the connections, and refuses new ones, until the network is mended.
func (s *Server) Cut(t testing.TB) {
	t.Helper()
	s.toxiproxy(t, http.MethodPatch, "/proxies/store", `{"enabled": false}`)
}

// Freeze lets nothing through any more, in either direction, until the network is
// mended. Connections stay open, and new ones are accepted.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	for _, direction := range []string{"upstream", "downstream"} {
		s.toxiproxy(t, http.MethodPost, "/proxies/store/toxics", `{"type": "timeout", "stream": "`+direction+`", "attributes": {"timeout": 0}}`)
	}
}

// Mend makes the network whole. What was sent while it was frozen is lost, so the
// connections of that time are closed.
func (s *Server) Mend(t testing.TB) {
	t.Helper()
	s.toxiproxy(t, http.MethodPost, "/reset", "")
}

// toxiproxy asks the network's API for something.
func (s *Server) toxiproxy(t testing.TB, method, path, body string) {
	t.Helper()
	request, err := http.NewRequest(method, s.process.Toxiproxy+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: patience}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		t.Fatalf("toxiproxy answers %s %s with %s: %s %v", method, path, response.Status, answer, err)
	}
}

// maySkip skips a test if the developer asks for that. CI never does.
func maySkip(t testing.TB) {
	t.Helper()
	if os.Getenv("MANUS_SKIP_MONGO") == "1" && os.Getenv("CI") == "" {
		t.Skip("MANUS_SKIP_MONGO is set")
	}
}

// process is a running server. It keeps its data in a folder of its own, which goes
// when it ends.
type process struct {
	URI        string `json:"uri"`
	ProxiedURI string `json:"proxied_uri"`
	Toxiproxy  string `json:"toxiproxy"`

	*testprogram.Process
}

// launch starts a server and waits until it listens.
func launch(args ...string) (*process, error) {
	p := &process{}
	var err error
	p.Process, err = testprogram.FerretDB.Start(p, args...)
	return p, err
}
