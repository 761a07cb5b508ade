// Command server is the S3 of the tests: versitygw, which keeps objects as files of a
// folder. It says where it listens in one line of JSON, and runs until its input ends.
// It is a module of its own, which the product doesn't depend on.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it, it has ended
		stop()
	}()
	out := os.Stdout
	os.Stdout = os.Stderr // the gateway speaks too
	if err := run(ctx, out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// access is what the program prints when it is ready: where it is, and who may do
// everything there.
type access struct {
	Endpoint  string `json:"endpoint"`
	Region    string `json:"region"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// run serves until ctx ends. The gateway listens on a socket in its folder and
// a relay on a port, as only the relay can be asked which port it was given.
func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "manus-s3test-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	store, err := open(dir)
	if err != nil {
		return err
	}
	socket, accounts := filepath.Join(dir, "socket"), filepath.Join(dir, "accounts")
	if err := os.Mkdir(accounts, 0o700); err != nil {
		return err
	}
	ready := access{"http://" + listener.Addr().String(), "eu-test-1", rand.Text(), rand.Text()}
	go relay(listener, socket)
	go func() {
		if waitFor(ctx, socket) == nil {
			_ = json.NewEncoder(out).Encode(ready)
		}
	}()
	return embedgw.RunVersityGW(ctx, store, &embedgw.Config{
		RootUserAccess:    ready.AccessKey,
		RootUserSecret:    ready.SecretKey,
		Region:            ready.Region,
		IAMDir:            accounts, // with none in it; without, unknown keys get no error of S3
		IAMCacheDisable:   true,     // it is cleaned without a pause where none is said, which takes a whole processor
		Ports:             []string{socket},
		MaxConnections:    10_000,
		MaxRequests:       10_000,
		MultipartMaxParts: 10_000,
		KeepAlive:         true,
		Quiet:             true,
	})
}

// open opens the store in dir. It moves the process there, as the gateway works with
// relative paths.
func open(dir string) (*posix.Posix, error) {
	objects, versions := filepath.Join(dir, "objects"), filepath.Join(dir, "versions")
	if err := errors.Join(os.Mkdir(objects, 0o700), os.Mkdir(versions, 0o700)); err != nil {
		return nil, err
	}
	attributes := meta.XattrMeta{}
	if err := attributes.Test(objects); err != nil {
		return nil, fmt.Errorf("set TMPDIR to a folder of another file system: %w", err)
	}
	return posix.New(objects, attributes, posix.PosixOpts{VersioningDir: versions})
}

// waitFor waits until somebody listens at the socket.
func waitFor(ctx context.Context, socket string) error {
	for ctx.Err() == nil {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn.Close()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return ctx.Err()
}

// relay carries every connection on to the socket, until the listener is closed.
func relay(listener net.Listener, socket string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go carry(conn, socket)
	}
}

// carry copies both ways. When either side has ended, so has the connection: nobody
// half closes one over HTTP.
func carry(conn net.Conn, socket string) {
	defer conn.Close()
	gateway, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer gateway.Close()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{conn, gateway}, {gateway, conn}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}
