package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"manus/internal/processtest"
)

// steps are what is done to a network that only one process is in, and what a ping is then.
var steps = []struct {
	setting, value string
	target         Target
	want           string // empty for up
	unknown        bool
}{
	{"ipv4/ping_group_range", "1\t0", Target{Address: "127.0.0.1"}, `Ping: the kernel doesn't let this program ping; set sysctl net.ipv4.ping_group_range="0 2147483647"`, true},
	{"ipv4/ping_group_range", "0\t0", Target{Address: "127.0.0.1"}, "", false},
	{"", "", Target{Address: "icmp://127.0.0.2", Expect: []string{"latency < 10s"}}, "", false},
	{"", "", Target{Address: "::1"}, "", false},
	{"", "", Target{Address: "[::1]", IP: 6, Expect: []string{"latency < 1ns"}}, "latency is", false},
	{"", "", Target{Address: "192.168.7.1"}, "Ping: no way leads to the host's network", false},
	{"ipv4/icmp_echo_ignore_all", "1", Target{Address: "127.0.0.1", Timeout: 1500 * time.Millisecond}, "Ping: no answer within 1 second", false},
}

func TestAPingNeedsNoPrivilege(t *testing.T) {
	t.Parallel()
	out := inOwnNetwork(t, "ping")
	lines := json.NewDecoder(strings.NewReader(string(out)))
	for _, step := range steps {
		var r Result
		if err := lines.Decode(&r); err != nil {
			t.Fatalf("%v:\n%s", err, out)
		}
		if r.Up != (step.want == "") || r.Unknown != step.unknown || !strings.HasPrefix(r.Error.En, step.want) || step.want == "" && (r.Error.En != "" || r.FirstByte <= 0) {
			t.Errorf("%s with %s %s: %+v", step.target.Address, step.setting, step.value, r)
		}
	}
}

// pingRole is the process that is in a network of its own.
func pingRole([]string) error {
	if err := upLoopback(); err != nil {
		return err
	}
	for _, step := range steps {
		if step.setting != "" {
			if err := os.WriteFile(filepath.Join("/proc/sys/net", step.setting), []byte(step.value), 0); err != nil {
				return err
			}
		}
		step.target.Kind, step.target.AllowPrivate = ICMP, true
		c, err := New(Options{}).Prepare(step.target)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(c.Do(context.Background())); err != nil {
			return err
		}
	}
	return nil
}

// upLoopback starts the one interface that a new network has.
func upLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// What this machine lacks isn't the target's fault.
func TestAMachineWithoutFilesSaysNothingOfItsTargets(t *testing.T) {
	t.Parallel()
	out, err := processtest.Command(t.Context(), "without files").CombinedOutput()
	var r Result
	if err != nil || json.Unmarshal(out, &r) != nil || r.Up || !r.Unknown || r.Error.En != "this machine can't open a connection: too many open files" {
		t.Errorf("%v: %s", err, out)
	}
}

// withoutFilesRole checks a target when all files that the process may open are.
func withoutFilesRole([]string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c, err := New(Options{}).Prepare(Target{Kind: TCP, Address: l.Addr().String(), AllowPrivate: true})
	if err != nil {
		return err
	}
	if r := c.Do(context.Background()); !r.Up {
		return fmt.Errorf("before: %+v", r)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: 3}); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(c.Do(context.Background()))
}
