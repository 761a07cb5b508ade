package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// mongodb compares with stock mongodump, on a server that has everything in memory,
// and on the one that the tests have or MONGODB_TEST_URI names.
func (b *bench) mongodb(megabytes int) error {
	stock, err := b.tool("mongodump")
	if err != nil {
		return err
	}
	memory, err := startMemoryServer(megabytes)
	if err != nil {
		return err
	}
	b.head(fmt.Sprintf("%d MB of a server that has them in memory", megabytes))
	if err := b.table(b.mongoWays(stock, memory.uri, "manus")); err != nil {
		return err
	}
	uri, title, stop, err := b.realServer()
	if err != nil {
		return err
	}
	defer stop()
	const database = "manus_bench_backup"
	size := min(megabytes, 64)
	if err := b.fill(uri, database, size); err != nil {
		return err
	}
	b.head(fmt.Sprintf("%d MB of %s", size, title))
	return b.table(b.mongoWays(stock, uri, database))
}

func (b *bench) mongoWays(stock, uri, database string) []way {
	ours := func(compression string) func() *exec.Cmd {
		return func() *exec.Cmd {
			cmd := b.ours(compression, "--no-verify")()
			cmd.Args = append([]string{cmd.Args[0], "backup", "create", "--config"}, cmd.Args[6:]...) // no --data
			cmd.Env = append(cmd.Env, "MONGODB_URI="+uri, "MONGODB_DATABASE="+database)
			return cmd
		}
	}
	return []way{
		{"`mongodump --archive --gzip`", func() *exec.Cmd {
			return exec.CommandContext(b.ctx, stock, "--uri="+uri, "--db="+database, "--gzip", "--archive="+filepath.Join(b.out(), "backup.gz"))
		}},
		{"manus, gzip", ours("gzip")},
		{"manus, zstd", ours("zstd")},
	}
}

// tool builds one of MongoDB's own tools, in the version that the tests have.
func (b *bench) tool(name string) (string, error) {
	path := filepath.Join(b.dir, name)
	build := exec.CommandContext(b.ctx, "go", "build", "-o", path, "github.com/mongodb/mongo-tools/"+name+"/main")
	build.Dir = filepath.Join("..", "internal", "mongotest", "tools")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", name, err, out)
	}
	return path, nil
}

// realServer is the MongoDB of MONGODB_TEST_URI, or that of the tests.
func (b *bench) realServer() (uri, title string, stop func(), err error) {
	if uri := os.Getenv("MONGODB_TEST_URI"); uri != "" {
		return uri, "the server of MONGODB_TEST_URI", func() {}, nil
	}
	path := filepath.Join(b.dir, "ferretdb")
	build := exec.CommandContext(b.ctx, "go", "build", "-tags", "ferretdb_no_postgresql", "-o", path, ".")
	build.Dir = filepath.Join("..", "internal", "mongotest", "server")
	if out, err := build.CombinedOutput(); err != nil {
		return "", "", nil, fmt.Errorf("build the MongoDB of the tests: %w: %s", err, out)
	}
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	var ready struct{ URI string }
	if err == nil {
		err = json.NewDecoder(out).Decode(&ready)
	}
	return ready.URI, "FerretDB 1.24.2, one request at a time", func() { _ = errors.Join(in.Close(), cmd.Wait()) }, err
}

// fill puts documents into a database.
func (b *bench) fill(uri, database string, megabytes int) error {
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	defer client.Disconnect(b.ctx) //nolint:errcheck // the program ends
	if err := client.Database(database).Drop(b.ctx); err != nil {
		return err
	}
	t := newTexts(2)
	for n, size := 0, 0; size < megabytes*1e6; {
		var batch []any
		for range 1000 {
			_, doc := t.event(n)
			var fields bson.D
			if err := bson.UnmarshalExtJSON([]byte(doc), false, &fields); err != nil {
				return err
			}
			batch = append(batch, fields)
			n, size = n+1, size+len(doc)
		}
		if _, err := client.Database(database).Collection("events"+strings.Repeat("x", n/1000%4)).InsertMany(b.ctx, batch); err != nil {
			return err
		}
	}
	return nil
}
