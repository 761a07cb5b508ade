package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// copies measures one copy of Manus against three on one store, both engines in
// turn.
func copies(ctx context.Context, p plan, dir, binary string) error {
	store, err := startMongo(ctx, dir)
	if err != nil {
		return err
	}
	defer store.stop()
	fmt.Printf("MongoDB here is %s.\n\n", store.title)
	fleets := []*fleet{
		{title: "SQLite, 1 copy", env: "DATA_DIR=" + filepath.Join(dir, "one"), size: 1},
		{title: "SQLite, 3 copies", env: "DATA_DIR=" + filepath.Join(dir, "three"), size: 3},
		{title: "MongoDB, 1 copy", env: "MONGODB_URI=" + store.uri, database: "manus_bench_one", size: 1},
		{title: "MongoDB, 3 copies", env: "MONGODB_URI=" + store.uri, database: "manus_bench_three", size: 3},
	}
	for _, f := range fleets {
		defer f.stop()
		if err := f.start(ctx, p, binary); err != nil {
			return fmt.Errorf("%s: %w", f.title, err)
		}
	}
	fmt.Println("| | guarded read /s | p99 | session create /s | p99 |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: |")
	reads, creates := make([][]result, len(fleets)), make([][]result, len(fleets))
	for range p.rounds {
		for i, f := range fleets {
			read, err := load(ctx, p, f.addrs, f.each(func(token string) []byte { return get("/api/v1/auth/me", token) }))
			if err != nil {
				return fmt.Errorf("%s: %w", f.title, err)
			}
			create, err := load(ctx, p, f.addrs, f.each(func(token string) []byte { return request("POST", "/api/v1/sessions", token, "{}") }))
			if err != nil {
				return fmt.Errorf("%s: %w", f.title, err)
			}
			reads[i], creates[i] = append(reads[i], read), append(creates[i], create)
		}
	}
	for i, f := range fleets {
		read, create := middle(reads[i]), middle(creates[i])
		fmt.Printf("| %s | %.0f | %v | %.0f | %v |\n", f.title, read.perSecond, read.p99.Round(10e3), create.perSecond, create.p99.Round(10e3))
	}
	return nil
}

// fleet is some copies on one store, and an account for each connection.
type fleet struct {
	title    string
	env      string
	database string
	size     int
	copies   []*manus
	addrs    []string
	tokens   []string
}

func (f *fleet) start(ctx context.Context, p plan, binary string) error {
	for range f.size {
		m := newManus(binary, "")
		made := m.make
		m.make = func(addr string) *exec.Cmd {
			cmd := made(addr)
			cmd.Env = append(cmd.Env, f.env, "MONGODB_DATABASE="+f.database) // these count, of several
			return cmd
		}
		if err := m.launch(ctx); err != nil {
			return err
		}
		f.copies = append(f.copies, m)
		f.addrs = append(f.addrs, m.addr)
	}
	for i := range p.connections {
		var t tokens
		body := fmt.Sprintf(`{"email":"bench%d@example.com","password":%q,"full_name":"Bench"}`, i, password)
		if err := call(f.addrs[0], request("POST", "/api/v1/auth/register", "", body), &t); err != nil {
			return err
		}
		f.tokens = append(f.tokens, t.Access)
	}
	return nil
}

func (f *fleet) stop() {
	for _, m := range f.copies {
		m.stop()
	}
}

// each sends the same again and again, as the connection's own account.
func (f *fleet) each(make func(token string) []byte) []next {
	var all []next
	for _, token := range f.tokens {
		request := make(token)
		all = append(all, func([]byte) []byte { return request })
	}
	return all
}
