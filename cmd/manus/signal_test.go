package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// stopping is a server that has been told to stop and waits for its balancer.
func stopping(t *testing.T, signal os.Signal) *program {
	t.Helper()
	server := startServer(t, serverDir(t), "SHUTDOWN_DELAY=5m")
	tell(t, server, signal)
	server.stderr.Until(t, func() bool { return strings.Contains(server.stderr.String(), `"msg":"stopping"`) })
	return server
}

func tell(t *testing.T, p *program, signal os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherSIGTERMCutsNothingShort sends what a supervisor sends to a program and to its
// group.
func TestAnotherSIGTERMCutsNothingShort(t *testing.T) {
	t.Parallel()
	for _, first := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		server := stopping(t, first)
		for range 3 {
			tell(t, server, syscall.SIGTERM)
			if err := newClient(server.url).call("GET", "/live", nil, &struct{}{}); err != nil {
				t.Errorf("after %v: %v", first, err)
			}
		}
		tell(t, server, os.Interrupt)
		if err := server.wait(); err != nil {
			t.Errorf("in a hurry it ended with %v: %s", err, &server.stderr)
		}
		if !strings.Contains(server.stderr.String(), `"msg":"stopped"`) {
			t.Errorf("it didn't end in order: %s", &server.stderr)
		}
	}
}

// TestInAHurryRequestsAreCutOff has one in flight that would never end.
func TestInAHurryRequestsAreCutOff(t *testing.T) {
	t.Parallel()
	server := startServer(t, serverDir(t), "SHUTDOWN_TIMEOUT=10m")
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it was only held
	fmt.Fprint(conn, "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if err := newClient(server.url).call("GET", "/live", nil, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	tell(t, server, syscall.SIGTERM)
	server.stderr.Until(t, func() bool { return strings.Contains(server.stderr.String(), `"msg":"stopping"`) })
	tell(t, server, os.Interrupt)
	err = server.wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitFailed || !strings.Contains(server.stderr.String(), "requests were cut off") {
		t.Errorf("it ended with %v: %s", err, &server.stderr)
	}
}
