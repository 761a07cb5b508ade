package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// mongo is a server that speaks MongoDB's protocol: the one that MONGODB_TEST_URI
// names, or else that of the tests, which is FerretDB 1 behind a relay.
type mongo struct {
	uri, title string
	stop       func()
}

func startMongo(ctx context.Context, dir string) (mongo, error) {
	if uri := os.Getenv("MONGODB_TEST_URI"); uri != "" {
		return mongo{uri, "the server of MONGODB_TEST_URI", func() {}}, nil
	}
	binary := filepath.Join(dir, "mongo")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "ferretdb_no_postgresql", "-o", binary, ".")
	build.Dir = filepath.Join("..", "internal", "mongotest", "server")
	if out, err := build.CombinedOutput(); err != nil {
		return mongo{}, fmt.Errorf("build the MongoDB of the tests: %w: %s", err, out)
	}
	cmd := exec.Command(binary)
	in, err := cmd.StdinPipe()
	if err != nil {
		return mongo{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return mongo{}, err
	}
	if err := cmd.Start(); err != nil {
		return mongo{}, err
	}
	stop := func() { _ = errors.Join(in.Close(), cmd.Wait()) }
	var ready struct{ URI string }
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		stop()
		return mongo{}, err
	}
	return mongo{ready.URI, "FerretDB 1.24.2, one request at a time", stop}, nil
}
