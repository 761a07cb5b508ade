//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"manus/internal/testprogram"
	"manus/internal/waittest"
)

// egressVariable has the folder in which a process plays what happens when the network is gone.
const egressVariable = "MANUS_EGRESS_CUT"

// TestOwnNetworkIsGone runs a server that watches a thousand targets, and takes its network
// away: that is one alert, and none of any target.
func TestOwnNetworkIsGone(t *testing.T) {
	t.Parallel()
	testprogram.IP.Path()
	cmd := exec.Command(os.Args[0], "-test.run=^TestEgressProcess$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), egressVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) && os.Getenv("CI") == "" {
		t.Skip("this machine lets nobody make a network of their own")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "one alert and its end") {
		t.Fatalf("%s", out)
	}
	t.Logf("%s", out)
}

const egressTargets = 1000

// TestEgressProcess is that process: everything that the server reaches is in it. The server
// has a network of its own, with one way to what it watches, and another to who looks at it.
func TestEgressProcess(t *testing.T) {
	dir := os.Getenv(egressVariable)
	if dir == "" {
		return // the test above starts it
	}
	heard := receiveAlerts(t)
	ip := func(line string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	p := startCutOff(t, dir, ip)
	amal := operator(t, dir, p)
	awaitMonitors(t, amal, func(m egressMonitor) bool { return m.Status == "up" })

	ip("link set way down")
	heard.until(t, func(all []string) bool { return len(all) > 0 })
	for _, m := range monitors(t, amal) {
		if m.Status == "down" || m.Uptime["24h"].Down != 0 || m.Uptime["24h"].Unknown == 0 {
			t.Errorf("while it is cut off: %+v", m)
		}
	}

	ip("link set way up")
	heard.until(t, func(all []string) bool { return slices.Contains(all, "over network.down") })
	awaitMonitors(t, amal, func(m egressMonitor) bool { return m.Status == "up" })
	for _, m := range monitors(t, amal) {
		if m.Uptime["24h"].Down != 0 || m.Uptime["24h"].Unknown == 0 {
			t.Errorf("after it was cut off: %+v", m)
		}
	}
	if all := heard.all(); !slices.Equal(all, []string{"raised network.down", "over network.down"}) {
		t.Errorf("told was %q", all)
	}
	t.Logf("%d monitors, one alert and its end", egressTargets)
}

// startCutOff starts the server in a network of its own.
func startCutOff(t *testing.T, dir string, ip func(string)) *program {
	t.Helper()
	ip("link set lo up")
	ip("link add way type veth peer name eth0")
	ip("link add watching type veth peer name eth1")
	for _, there := range []string{"10.80.0.0/16", "1.1.1.1", "8.8.8.8", "9.9.9.9"} { // all of them are here
		ip("route add local " + there + " dev lo")
	}
	config, program := filepath.Join(dir, "manus.yaml"), filepath.Join(dir, "manus")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(self, program), os.WriteFile(config, []byte(egressConfig()), 0o600)); err != nil {
		t.Fatal(err)
	}
	const own = `read -r go && ip link set lo up &&
		ip addr add 10.77.0.2/24 dev eth0 && ip link set eth0 up && ip addr add 10.78.0.2/24 dev eth1 && ip link set eth1 up &&
		ip route add default via 10.77.0.1 && exec "$@"`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", own, "sh", program, "serve", "--config", config)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	ready, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	env := append(serveEnv(t, dir), "ADDR=10.78.0.2:0", "PATH="+os.Getenv("PATH"), "ALERT_WEBHOOK_URL=http://10.78.0.1:9999/", "ALERT_WEBHOOK_SECRET=whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", "ALLOW_PRIVATE_TARGETS=true")
	p, err := startCommand(cmd, env, func(pid int) {
		ip(fmt.Sprintf("link set eth0 netns %d", pid))
		ip(fmt.Sprintf("link set eth1 netns %d", pid))
		ip("addr add 10.77.0.1/24 dev way")
		ip("link set way up")
		ip("addr add 10.78.0.1/24 dev watching")
		ip("link set watching up")
		serveTargets(t)
		_, _ = io.WriteString(ready, "go\n")
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// egressConfig has half of the targets asked over HTTP, and a connection made to the others.
func egressConfig() string {
	config := strings.Replace(unlimited, "127.0.0.0/8", "10.0.0.0/8", 1) + "monitors:\n"
	for n := range egressTargets {
		kind, address := "tcp", fmt.Sprintf("10.80.%d.%d:443", n/250, n%250)
		if n%2 == 0 {
			kind, address = "http", fmt.Sprintf("http://10.80.%d.%d:443/", n/250, n%250)
		}
		config += fmt.Sprintf("- {id: m%d, type: %s, url: \"%s\", every: 10s, timeout: 2s, confirm: [1s, 2s], up_after: 1, private: true}\n", n, kind, address)
	}
	return config
}

// serveTargets answers at each address of this network, the references' among them.
func serveTargets(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:443")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

// alerts are those that a webhook was told of.
type alerts struct {
	waittest.Signal
	mu   sync.Mutex
	told []string
}

func (a *alerts) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.told)
}

func (a *alerts) until(t *testing.T, so func([]string) bool) {
	t.Helper()
	a.Until(t, func() bool { return so(a.all()) })
}

func receiveAlerts(t *testing.T) *alerts {
	t.Helper()
	a := &alerts{}
	l, err := net.Listen("tcp", "0.0.0.0:9999")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			Data struct{ State, Kind string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		a.mu.Lock()
		a.told = append(a.told, body.Data.State+" "+body.Data.Kind)
		a.mu.Unlock()
		a.Wake()
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return a
}

// operator is somebody who may look at monitors.
func operator(t *testing.T, dir string, p *program) *client {
	t.Helper()
	amal := newClient(p.url)
	if err := amal.signIn("register"); err != nil {
		t.Fatal(err)
	}
	role := manus(t.Context(), dir, "user", "set-role", "amal@example.com", "operator", "--data", filepath.Join(dir, "data"))
	if out, err := role.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := amal.signIn("login"); err != nil {
		t.Fatal(err)
	}
	return amal
}

type egressMonitor struct {
	ID, Status string
	Uptime     map[string]struct {
		Down    float64 `json:"down_minutes"`
		Unknown float64 `json:"unknown_minutes"`
	}
}

func monitors(t *testing.T, amal *client) []egressMonitor {
	t.Helper()
	var all []egressMonitor
	var page struct {
		Items []egressMonitor
		Next  string `json:"next_cursor"`
	}
	for more := true; more; more = page.Next != "" {
		if err := amal.call("GET", "/api/v1/ops/monitors?limit=100&cursor="+page.Next, nil, &page); err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Items...)
	}
	if len(all) != egressTargets {
		t.Fatalf("there are %d monitors", len(all))
	}
	return all
}

func awaitMonitors(t *testing.T, amal *client, so func(egressMonitor) bool) {
	t.Helper()
	waittest.Poll(t, func() bool {
		return !slices.ContainsFunc(monitors(t, amal), func(m egressMonitor) bool { return !so(m) })
	})
}
