package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"manus/internal/testprogram"
	"manus/internal/waittest"
)

// fastAPI runs the backend of docs/backend.md until it answers, and returns its address.
func fastAPI(t *testing.T, script, url, key, cache string) string {
	t.Helper()
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-m", "uvicorn", "--app-dir", filepath.Dir(script), "--host", "127.0.0.1", "--port", port, "backend:app")
	cmd.Env = append(os.Environ(), "MANUS_URL="+url, "MANUS_API_KEY="+key, "CACHE_SECONDS="+cache)
	var log waittest.Log
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", &log)
		}
	})
	waittest.Poll(t, func() bool { return hello(t, "http://"+addr, "") == 401 })
	return "http://" + addr
}

// hello is the backend's status for a token; 0 while it doesn't answer.
func hello(t *testing.T, url, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/hello", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// TestABackendKnowsItsCallers has the backend of the guide ask who its callers are, with the
// cache that it has and with one of a second.
func TestABackendKnowsItsCallers(t *testing.T) {
	t.Parallel()
	for _, module := range []testprogram.Package{testprogram.PythonFastAPI, testprogram.PythonUvicorn} {
		module.Path()
	}
	dir := serverDir(t)
	server := startServer(t, dir)
	key := keyOf(t, server, dir, "operator")
	script := documented(t, "backend.md", "python", dir)
	if err := os.Rename(script, filepath.Join(dir, "backend.py")); err != nil {
		t.Fatal(err)
	}
	person := newClient(server.url)
	if err := person.signIn("register"); err != nil {
		t.Fatal(err)
	}
	cached, quick := fastAPI(t, script, server.url, key, "30"), fastAPI(t, script, server.url, key, "1")
	for _, backend := range []string{cached, quick} {
		if got := [2]int{hello(t, backend, person.Access), hello(t, backend, person.Access+"x")}; got != [2]int{200, 401} {
			t.Errorf("a caller and a stranger: %v", got)
		}
	}
	if err := person.call("POST", "/api/v1/auth/logout", nil, &struct{}{}); err != nil && fmt.Sprint(err) != "unexpected end of JSON input" {
		t.Fatal(err)
	}
	if got := hello(t, cached, person.Access); got != 200 { // as the guide says
		t.Errorf("within the cache's time: %d", got)
	}
	waittest.Poll(t, func() bool { return hello(t, quick, person.Access) == 401 })
}
