package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// watcher is a contender that runs: a process, or two that work together.
type watcher struct {
	dir       string
	processes []*process
	metrics   string // an address
}

type process struct {
	name  string
	cmd   *exec.Cmd
	log   log
	ended chan struct{}
}

// log is what a process has written, which may be read meanwhile.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start starts a process, and waits until an address answers.
func (w *watcher) start(name string, cmd *exec.Cmd, ready string) error {
	p := &process{name: name, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait(); close(p.ended) }()
	w.processes = append(w.processes, p)
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		if response, err := http.Get(ready); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", name, p.log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s doesn't answer", name)
}

func (w *watcher) stop() {
	for _, p := range w.processes {
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	_ = os.RemoveAll(w.dir)
}

// ended is an error where a process isn't there any more.
func (w *watcher) ended() error {
	for _, p := range w.processes {
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.name, p.log.String())
		default:
		}
	}
	return nil
}

// used is what a process has used. Linux counts it.
type used struct {
	name      string
	cpu       time.Duration
	rss, peak float64 // MiB
	written   float64 // bytes
}

func (u used) since(before used) used {
	u.cpu -= before.cpu
	u.written -= before.written
	return u
}

func (w *watcher) used() (all []used) {
	for _, p := range w.processes {
		read := func(name string) string {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name))
			return string(text)
		}
		field := func(text, name string) float64 {
			_, rest, _ := strings.Cut(text, name+":")
			fields := strings.Fields(rest)
			if len(fields) == 0 {
				return 0
			}
			n, _ := strconv.ParseFloat(fields[0], 64)
			return n
		}
		status, stat := read("status"), read("stat")
		u := used{name: p.name, rss: field(status, "VmRSS") / 1024, peak: field(status, "VmHWM") / 1024, written: field(read("io"), "write_bytes")}
		if fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]); len(fields) > 12 { // from the third on, see proc(5)
			user, _ := strconv.Atoi(fields[11])
			system, _ := strconv.Atoi(fields[12])
			u.cpu = time.Duration(user+system) * 10 * time.Millisecond
		}
		all = append(all, u)
	}
	return all
}

// note is what the program says of itself: how late looks begin, and how many there were.
func (w *watcher) note() string {
	response, err := http.Get(w.metrics)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	text, _ := io.ReadAll(response.Body)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if noted.MatchString(line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return "\n    " + strings.Join(append(lines, w.complaints()...), "\n    ")
}

// complaints are the first warnings and errors of Manus's log, but for its alerts.
func (w *watcher) complaints() (some []string) {
	for line := range strings.Lines(w.processes[0].log.String()) {
		if line = strings.TrimSpace(line); len(some) < 10 && !strings.Contains(line, `"alert":`) && (strings.Contains(line, `"WARN"`) || strings.Contains(line, `"ERROR"`)) {
			some = append(some, line[:min(len(line), 300)])
		}
	}
	return some
}

var noted = regexp.MustCompile(`^(manus_monitor_(checks_total|lateness)|go_memstats_(heap_inuse|heap_alloc|stack_inuse|sys)_bytes |prometheus_target_interval_length_seconds)`)

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// binary is the program, which is built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "manus-bench-*")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "manus")
	cmd := exec.Command("go", "build", "-trimpath", "-o", file, "./cmd/manus")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build: %w: %s", err, out)
	}
	return file, err
})

func launchManus(ctx context.Context, p plan, t *targets) (*watcher, error) {
	file := p.program
	var err error
	if file == "" {
		file, err = binary()
	} else {
		file, err = filepath.Abs(file)
	}
	if err != nil {
		return nil, err
	}
	w := &watcher{}
	if w.dir, err = os.MkdirTemp("", "manus-bench-*"); err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	ops, opsErr := freeAddress()
	if err := errors.Join(err, opsErr); err != nil {
		return nil, err
	}
	var config bytes.Buffer
	config.WriteString("monitors:\n")
	for n := range p.monitors {
		fmt.Fprintf(&config, "- id: m%05d\n  type: http\n  url: %s\n  every: %v\n  timeout: %v\n  private: true\n  expect: [status == 200, 'json.status == \"healthy\"', latency < 5s]\n", n, t.url(n), p.every, p.timeout)
	}
	path := filepath.Join(w.dir, "manus.yaml")
	if err := os.WriteFile(path, config.Bytes(), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, file, "serve", "--config", path)
	cmd.Env = []string{
		"JWT_SECRET_KEY=mZ3t9Qx7Lr2Vw8Ks5Yb1Nc6Hd4Jf0Gp-benchmarks-only", "ADDR=" + addr, "OPS_ADDR=" + ops, "DATA_DIR=" + filepath.Join(w.dir, "data"),
		"SHUTDOWN_DELAY=0s", "SSL_CERT_FILE=" + t.authority, "LOG_LEVEL=warn", "GOGC=" + os.Getenv("GOGC"),
	}
	w.metrics = "http://" + ops + "/metrics"
	return w, w.start("Manus", cmd, "http://"+addr+"/live")
}

var errNotInstalled = errors.New("prometheus and prometheus-blackbox-exporter aren't installed; they are left out")

// launchPrometheus starts Debian's two: one asks the other for each target.
func launchPrometheus(ctx context.Context, p plan, t *targets) (*watcher, error) {
	prometheus, err := exec.LookPath("prometheus")
	blackbox, blackboxErr := exec.LookPath("prometheus-blackbox-exporter")
	if err != nil || blackboxErr != nil {
		return nil, errNotInstalled
	}
	w := &watcher{}
	if w.dir, err = os.MkdirTemp("", "manus-bench-*"); err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	prober, proberErr := freeAddress()
	if err := errors.Join(err, proberErr); err != nil {
		return nil, err
	}
	write := func(name, text string) string {
		path := filepath.Join(w.dir, name)
		if writeErr := os.WriteFile(path, []byte(text), 0o600); writeErr != nil {
			err = writeErr
		}
		return path
	}
	probes := write("blackbox.yml", "modules:\n  healthy:\n    prober: http\n    http: {preferred_ip_protocol: ip4, fail_if_body_not_matches_regexp: [healthy]}\n")
	var config bytes.Buffer
	fmt.Fprintf(&config, `global: {scrape_interval: %ds, scrape_timeout: %ds}
scrape_configs:
- job_name: monitors
  metrics_path: /probe
  params: {module: [healthy]}
  relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
  - {source_labels: [__param_target], target_label: instance}
  - {target_label: __address__, replacement: "%s"}
  static_configs:
  - targets:
`, int(p.every.Seconds()), int(p.timeout.Seconds()), prober)
	for n := range p.monitors {
		fmt.Fprintf(&config, "    - %s\n", t.url(n))
	}
	path := write("prometheus.yml", config.String())
	if err != nil {
		return nil, err
	}
	trust := append(os.Environ(), "SSL_CERT_FILE="+t.authority)
	cmd := exec.CommandContext(ctx, blackbox, "--config.file="+probes, "--web.listen-address="+prober)
	cmd.Env = trust
	if err := w.start("blackbox exporter", cmd, "http://"+prober+"/-/healthy"); err != nil {
		return nil, err
	}
	w.metrics = "http://" + addr + "/metrics"
	return w, w.start("Prometheus", exec.CommandContext(ctx, prometheus, "--config.file="+path, "--web.listen-address="+addr, "--storage.tsdb.path="+filepath.Join(w.dir, "data")), "http://"+addr+"/-/ready")
}
