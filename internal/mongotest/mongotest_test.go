package mongotest_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"manus/internal/mongotest"
)

func TestTheSharedServer(t *testing.T) {
	t.Parallel()
	uri := mongotest.URI(t)
	if again := mongotest.URI(t); again != uri {
		t.Errorf("%s, then %s", uri, again)
	}
	if os.Getenv("MONGODB_TEST_URI") != "" {
		return // which may ask for more than we do
	}
	if err := dial(t, uri).ask("ping"); err != nil {
		t.Error(err)
	}
}

func TestDatabasesHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	if one, two := mongotest.Database(t), mongotest.Database(t); one == two || !strings.HasPrefix(one, "manus_test_") {
		t.Errorf("%s and %s", one, two)
	}
}

func TestTheNetworkCanBeCut(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	before, direct := dial(t, server.URI()), dial(t, server.DirectURI())
	for _, command := range []string{"hello", "ping"} {
		if err := errors.Join(before.ask(command), direct.ask(command)); err != nil {
			t.Fatal(err)
		}
	}

	server.Cut(t)
	if err := before.ask("ping"); !closed(err) {
		t.Errorf("a connection of before the cut: %v", err)
	}
	if conn, err := net.Dial("tcp", addr(t, server.URI())); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection: %v %v", conn, err)
	}
	if err := direct.ask("ping"); err != nil {
		t.Errorf("the direct connection: %v", err)
	}

	server.Mend(t)
	if err := dial(t, server.URI()).ask("ping"); err != nil {
		t.Errorf("mended: %v", err)
	}
}

func TestTheNetworkCanBeFrozen(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	before := dial(t, server.URI())
	if err := before.ask("ping"); err != nil {
		t.Fatal(err)
	}

	server.Freeze(t)
	fresh := dial(t, server.URI())
	for _, conn := range []connection{before, fresh} {
		conn.patience = 100 * time.Millisecond
		if err := conn.ask("ping"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("an answer while it is frozen, or a connection that is closed: %v", err)
		}
	}
	if err := dial(t, server.DirectURI()).ask("ping"); err != nil {
		t.Errorf("the direct connection: %v", err)
	}

	server.Mend(t)
	for _, conn := range []connection{before, fresh} {
		if err := conn.ask("ping"); !closed(err) {
			t.Errorf("a connection that lost something: %v", err)
		}
	}
	if err := dial(t, server.URI()).ask("ping"); err != nil {
		t.Errorf("mended: %v", err)
	}

	// A cut mends as well when it comes on top.
	server.Freeze(t)
	server.Cut(t)
	server.Mend(t)
	if err := dial(t, server.URI()).ask("ping"); err != nil {
		t.Errorf("mended of both: %v", err)
	}
}

// connection speaks as much of the wire protocol as it takes to ask for a command
// without arguments.
type connection struct {
	conn     net.Conn
	patience time.Duration
}

func dial(t *testing.T, uri string) connection {
	t.Helper()
	conn, err := net.Dial("tcp", addr(t, uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return connection{conn: conn, patience: 20 * time.Second}
}

func addr(t *testing.T, uri string) string {
	t.Helper()
	parsed, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Host
}

// ask sends a command, and says why there is no answer, or what it is if not ok.
func (c connection) ask(command string) error {
	document := "\x10" + command + "\x00\x01\x00\x00\x00" + // an int32 of 1
		"\x02$db\x00\x06\x00\x00\x00admin\x00" + // a string and its length
		"\x00"
	document = number(4+len(document)) + document
	body := number(0) + "\x00" + document // no flags, and a section that is the command
	message := number(16+len(body)) + number(1) + number(0) + number(2013) + body
	if err := c.conn.SetDeadline(time.Now().Add(c.patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c.conn, message); err != nil {
		return err
	}
	header := make([]byte, 16)
	if _, err := io.ReadFull(c.conn, header); err != nil {
		return err
	}
	answer := make([]byte, binary.LittleEndian.Uint32(header)-16)
	if _, err := io.ReadFull(c.conn, answer); err != nil {
		return err
	}
	const ok = "\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f" // a double of 1
	if answersUs := binary.LittleEndian.Uint32(header[8:]) == 1; !answersUs || !strings.Contains(string(answer), ok) {
		return fmt.Errorf("the answer is %q %q", header, answer)
	}
	return nil
}

func number(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

// closed tells whether the other side has closed the connection.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
