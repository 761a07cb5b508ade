package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
)

// bareEnv makes this program a bare net/http server of the answers in the file it names.
const bareEnv = "BENCH_BARE"

// barePaths are the addresses that it answers, by kind of request.
var barePaths = map[string]string{"health": "/api/v1/health", "guarded read": "/api/v1/auth/me"}

// answer is one that Manus gave.
type answer struct {
	Header http.Header
	Body   []byte
}

// bare gives the answers of Manus, byte by byte, from a handler that does nothing else:
// what lies between the two is what the door and the capability cost.
type bare struct {
	process
	like *manus
	file string
}

func newBare(like *manus, file string) *bare {
	b := &bare{process: process{title: "bare net/http", probe: barePaths["health"]}, like: like, file: file}
	b.make = func(addr string) *exec.Cmd {
		self, _ := os.Executable()
		cmd := exec.Command(self)
		cmd.Env = []string{bareEnv + "=" + file, bareEnv + "_ADDR=" + addr}
		return cmd
	}
	return b
}

// start asks Manus first.
func (b *bare) start(ctx context.Context) error {
	answers := map[string]answer{}
	for _, path := range barePaths {
		a, err := b.ask(ctx, path)
		if err != nil {
			return err
		}
		answers[path] = a
	}
	text, err := json.Marshal(answers)
	if err := errors.Join(err, os.WriteFile(b.file, text, 0o600)); err != nil {
		return err
	}
	return b.launch(ctx)
}

// ask is what Manus answers.
func (b *bare) ask(ctx context.Context, path string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.like.addr+path, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+b.like.token)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if got.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("%s: status %d: %s", path, got.StatusCode, body))
	}
	got.Header.Del("Date") // net/http sets it
	return answer{got.Header, body}, err
}

// requests are the same as those of Manus; the bare server keeps nothing to refresh.
func (b *bare) requests(kind string) requester {
	if barePaths[kind] == "" {
		return nil
	}
	return b.like.requests(kind)
}

func (b *bare) login(int) []byte { return nil }

// serveBare answers what the file has.
func serveBare(file, addr string) error {
	text, err := os.ReadFile(file)
	answers := map[string]answer{}
	if err := errors.Join(err, json.Unmarshal(text, &answers)); err != nil {
		return err
	}
	mux := http.NewServeMux()
	for path, a := range answers {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			header := w.Header()
			for name, values := range a.Header {
				header[name] = values
			}
			_, _ = w.Write(a.Body) // the client is gone if this fails
		})
	}
	return http.ListenAndServe(addr, mux)
}
