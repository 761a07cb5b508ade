// Command server is the MongoDB of the tests: FerretDB, which speaks MongoDB's
// wire protocol and keeps the data in SQLite, behind a relay that makes up for
// what the product would notice of the difference (see relay). It says where it
// listens in one line of JSON, and runs until its input ends. It is a module of
// its own, which the product doesn't depend on.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

func main() {
	dir := flag.String("dir", "", "the folder of the data; without one, a folder of the program's own that goes when it ends")
	faults := flag.Bool("toxiproxy", false, "put toxiproxy in front, with a proxy named "+proxyName)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it, it has ended
		stop()
	}()
	if err := run(ctx, *dir, *faults, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// addresses is what the program prints when it is ready.
type addresses struct {
	// URI leads to the relay.
	URI string `json:"uri"`
	// ProxiedURI leads to the relay through toxiproxy.
	ProxiedURI string `json:"proxied_uri,omitempty"`
	// Toxiproxy is the URL of toxiproxy's HTTP API.
	Toxiproxy string `json:"toxiproxy,omitempty"`
}

// run serves until ctx ends.
func run(ctx context.Context, dir string, faults bool, out io.Writer) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "manus-mongotest-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	relayed, stop, err := start(dir)
	if err != nil {
		return err
	}
	defer stop()
	ready := addresses{URI: uriOf(relayed)}
	if faults {
		var proxied string
		if proxied, ready.Toxiproxy, err = startToxiproxy(relayed); err != nil {
			return err
		}
		ready.ProxiedURI = uriOf(proxied)
	}
	if err := json.NewEncoder(out).Encode(ready); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// uriOf is the connection string of a server that is alone.
func uriOf(addr string) string { return "mongodb://" + addr + "/?directConnection=true" }

// start runs FerretDB on the folder, and the relay in front of it, until stop is
// called. It returns where the relay listens.
func start(dir string) (addr string, stop func(), err error) {
	store, stopStore, err := startFerretDB(dir)
	if err != nil {
		return "", nil, err
	}
	relay, err := startRelay(store)
	if err != nil {
		stopStore()
		return "", nil, err
	}
	// FerretDB gives its connections seconds to end, so they end first.
	return relay.addr(), func() { relay.stop(); stopStore() }, nil
}

// starting is held while a FerretDB starts, which sets a variable of all of them.
var starting sync.Mutex

// startFerretDB runs FerretDB on the folder until stop is called. Embedded, it
// has no telemetry. Nothing is synced to the disk: a test doesn't cut the power.
func startFerretDB(dir string) (addr string, stop func(), err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	data := url.URL{Scheme: "file", Path: dir + "/", RawQuery: url.Values{"_pragma": {"synchronous(off)"}}.Encode()}
	starting.Lock()
	store, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Handler:   "sqlite",
		SQLiteURL: data.String(),
		// Every command that fails would be a warning.
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	starting.Unlock()
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = store.Run(ctx) // always nil
	}()
	stop = func() { cancel(); <-done }
	uri, err := url.Parse(store.MongoDBURI())
	if err != nil {
		stop()
		return "", nil, err
	}
	return uri.Host, stop, nil
}

// proxyName is the name of the proxy that tests cut and mend.
const proxyName = "store"

// startToxiproxy runs a proxy to the address, and the HTTP API with which it is
// cut and mended. Both run as long as the program.
func startToxiproxy(upstream string) (addr, api string, err error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, proxyName, "127.0.0.1:0", upstream)
	if err := server.Collection.Add(proxy, true); err != nil {
		return "", "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	go func() {
		// What ends it is the end of the program, unless it's a fault.
		fmt.Fprintln(os.Stderr, http.Serve(listener, server.Routes()))
	}()
	return proxy.Listen, "http://" + listener.Addr().String(), nil
}
