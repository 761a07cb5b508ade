package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"manus/internal/testprogram"
)

const (
	operator = "bench@example.com"
	password = "correct horse battery staple"
)

// copies has incidents opened at one of three copies on one MongoDB, and looks how soon each of
// their pages shows them.
func copies(ctx context.Context, p plan) error {
	uri, title, stop, err := startMongo()
	if err != nil {
		return err
	}
	defer stop()
	dir, err := os.MkdirTemp("", "manus-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env := []string{"MONGODB_URI=" + uri, "MONGODB_DATABASE=manus_bench_" + strings.ToLower(rand.Text()[:8])}
	if err := seedMongo(ctx, p, uri, strings.TrimPrefix(env[1], "MONGODB_DATABASE=")); err != nil {
		return err
	}
	var all []*server
	defer func() {
		for _, s := range all {
			s.stop()
		}
	}()
	for i := range 3 {
		own := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return err
		}
		s, err := launch(p, fmt.Sprintf("copy %d", i+1), own, unlimited, env...)
		all = append(all, s)
		if err != nil {
			return err
		}
	}
	if err := makeOperator(ctx, p, env); err != nil {
		return err
	}
	token, err := signIn(all[0])
	if err != nil {
		return err
	}
	took := make([][]time.Duration, len(all)+1) // the last are of the answers
	for n := range p.incidents {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := openOne(all, token, n, took); err != nil {
			return err
		}
	}
	fmt.Printf("Three copies on one store (%s); %d incidents, opened at copy 1 one after the other. From when the request to open one was sent until it is on the page, asked for every 10 ms.\n\n", title, p.incidents)
	fmt.Println("| | p50 | p99 | most |\n| --- | ---: | ---: | ---: |")
	for i, name := range []string{"the page of copy 1", "of copy 2", "of copy 3", "the request itself is answered"} {
		slices.Sort(took[i])
		at := func(q float64) time.Duration {
			return took[i][int(q*float64(len(took[i])-1))].Round(time.Millisecond)
		}
		fmt.Printf("| %s | %v | %v | %v |\n", name, at(.5), at(.99), at(1))
	}
	return nil
}

// openOne opens an incident, waits until all show it, and resolves it.
func openOne(all []*server, token string, n int, took [][]time.Duration) error {
	title := fmt.Sprintf("Trouble %d of many", n)
	begin := time.Now()
	errs := make([]error, len(all)+1)
	var wait sync.WaitGroup
	for i, s := range all {
		wait.Go(func() {
			errs[i] = s.shows(title)
			took[i] = append(took[i], time.Since(begin))
		})
	}
	var opened struct{ ID string }
	errs[len(all)] = call(all[0], token, "/ops/incidents", map[string]any{"title": title, "text": "We look into it.", "components": []string{"component-1"}}, &opened)
	took[len(all)] = append(took[len(all)], time.Since(begin))
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return call(all[0], token, "/ops/incidents/"+opened.ID+"/updates", map[string]string{"status": "resolved", "text": "It works again."}, nil)
}

// shows waits until a copy's page says something.
func (s *server) shows(text string) error {
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get(s.url + "?lang=en")
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || bytes.Contains(body, []byte(text)) {
			return err
		}
	}
	return fmt.Errorf("%s doesn't show it", s.name)
}

func makeOperator(ctx context.Context, p plan, env []string) error {
	file, err := p.file()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, file, "user", "create", operator, "--role", "operator", "--password-stdin")
	cmd.Env = append([]string{"JWT_SECRET_KEY=mZ3t9Qx7Lr2Vw8Ks5Yb1Nc6Hd4Jf0Gp-benchmarks-only"}, env...)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func signIn(s *server) (string, error) {
	var tokens struct {
		Access string `json:"access_token"`
	}
	err := call(s, "", "/auth/login", map[string]string{"email": operator, "password": password}, &tokens)
	return tokens.Access, err
}

// call posts to the API.
func call(s *server, token, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(s.url, "/status")+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	said, err := io.ReadAll(answer.Body)
	if answer.StatusCode >= 300 {
		return errors.Join(fmt.Errorf("%s: status %d: %s", path, answer.StatusCode, said), err)
	}
	if into == nil {
		return err
	}
	return errors.Join(err, json.Unmarshal(said, into))
}

// startMongo starts the server of the tests, or takes the one that MONGODB_TEST_URI names.
func startMongo() (uri, title string, stop func(), err error) {
	if uri := os.Getenv("MONGODB_TEST_URI"); uri != "" {
		return uri, "the server of MONGODB_TEST_URI", func() {}, nil
	}
	var ready struct{ URI string }
	process, err := testprogram.FerretDB.Start(&ready)
	if err != nil {
		return "", "", nil, err
	}
	return ready.URI, "FerretDB 1.24.2, one request at a time", func() { _ = process.End() }, nil
}
