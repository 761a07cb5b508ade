package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"manus/app"
	"manus/docstore"
	"manus/docstore/mongodocs"
	"manus/docstore/sqlitedocs"
	"manus/internal/timeline"
	"manus/uptime"
	"manus/uptime/confirm"
)

// server is a process that is measured.
type server struct {
	name string
	url  string // of the page
	ops  string // an address; empty where there is none
	cmd  *exec.Cmd
	log  string // a file, as servers have one
}

// start starts it, and waits until the page is there.
func (s *server) start(cmd *exec.Cmd) error {
	file, err := os.CreateTemp("", "manus-bench-log-*")
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // which the process writes on to
	s.cmd, s.log = cmd, file.Name()
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		return err
	}
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if answer, err := http.Get(s.url); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	said, _ := os.ReadFile(s.log)
	return fmt.Errorf("%s doesn't answer: %s", s.name, said[:min(len(said), 2000)])
}

func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
	_ = os.Remove(s.log)
}

// pids are the process and those that it has started.
func (s *server) pids() []string {
	pid := strconv.Itoa(s.cmd.Process.Pid)
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%s/task/%s/children", pid, pid))
	return append(strings.Fields(string(children)), pid)
}

// cpu is the processor's time that it has taken.
func (s *server) cpu() (sum time.Duration) {
	for _, pid := range s.pids() {
		text, _ := os.ReadFile("/proc/" + pid + "/schedstat")
		if fields := strings.Fields(string(text)); len(fields) == 0 {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on, see proc(5)
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		sum += time.Duration(user+system) * 10 * time.Millisecond
	}
	return sum
}

// peak is the most resident memory that it had since forget, in bytes.
func (s *server) peak() (sum int64) {
	for _, pid := range s.pids() {
		text, _ := os.ReadFile("/proc/" + pid + "/status")
		_, rest, _ := strings.Cut(string(text), "VmHWM:")
		if fields := strings.Fields(rest); len(fields) > 0 {
			kib, _ := strconv.ParseInt(fields[0], 10, 64)
			sum += kib << 10
		}
	}
	return sum
}

func (s *server) forget() {
	for _, pid := range s.pids() {
		_ = os.WriteFile("/proc/"+pid+"/clear_refs", []byte("5"), 0)
	}
}

// profile keeps where the processor's time goes while it is measured.
func (s *server) profile(p plan) {
	if p.profile == "" || s.ops == "" {
		return
	}
	go func() {
		answer, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.ops, max(1, int(p.length.Seconds())-1)))
		if err == nil {
			text, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			err = os.WriteFile(p.profile, text, 0o600)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "statuspage: no profile:", err)
		}
	}()
}

func freeAddress() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // there are no ports
	}
	defer listener.Close() //nolint:errcheck // another one takes it
	return listener.Addr().String()
}

// binary is the program, which is built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "manus-bench-*")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "manus")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "./cmd/manus")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build: %w: %s", err, out)
	}
	return file, err
})

// program is the file to measure.
func (p plan) file() (string, error) {
	if p.program != "" {
		return filepath.Abs(p.program)
	}
	return binary()
}

// unlimited counts what is asked, as in production, but refuses nothing: one address asks for all.
const unlimited = "limits:\n  default: {limit: \"1000000/second, 1000000/10seconds\", by: [user-or-address]}\n  rules: []\n"

// launch starts Manus on a store that has 90 days.
func launch(p plan, name, dir, more string, env ...string) (*server, error) {
	file, err := p.file()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "manus.yaml")
	if err := os.WriteFile(config, []byte(p.config()+more), 0o600); err != nil {
		return nil, err
	}
	addr := freeAddress()
	s := &server{name: name, url: "http://" + addr + "/status", ops: freeAddress()}
	cmd := exec.Command(file, "serve", "--config", config)
	cmd.Env = append([]string{
		"JWT_SECRET_KEY=mZ3t9Qx7Lr2Vw8Ks5Yb1Nc6Hd4Jf0Gp-benchmarks-only", "ADDR=" + addr, "OPS_ADDR=" + s.ops, "DATA_DIR=" + dir,
		"SHUTDOWN_DELAY=0s", "GOGC=" + os.Getenv("GOGC"), "GOMEMLIMIT=" + os.Getenv("GOMEMLIMIT"),
	}, env...)
	return s, s.start(cmd)
}

// target is what is watched: something that takes connections.
var target = sync.OnceValue(func() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // there are no ports
	}
	go func() {
		for {
			if conn, err := listener.Accept(); err == nil {
				_ = conn.Close()
			}
		}
	}()
	return listener.Addr().String()
})

// config lists the components, of a monitor each.
func (p plan) config() string {
	var monitors, components strings.Builder
	for i := range p.components {
		fmt.Fprintf(&monitors, "- {id: m%d, type: tcp, url: %q, every: 1m, private: true}\n", i, target())
		fmt.Fprintf(&components, "  - {id: component-%d, name: {en: Component %d, ar: المكوّن %d}, monitors: [m%d]}\n", i, i, i, i)
	}
	return "monitors:\n" + monitors.String() + "status_page:\n  components:\n" + components.String()
}

// seed gives each monitor 90 days with outages of its own.
func seed(ctx context.Context, p plan, store docstore.Store) error {
	specs := uptime.Specs()
	at := slices.IndexFunc(specs, func(s docstore.Spec) bool { return s.Collection == "monitor_states" })
	if err := store.Declare(ctx, specs...); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	since := docstore.At(now.AddDate(0, 0, -200))
	var all []uptime.State
	for i := range p.components {
		var down timeline.Spans
		for range 6 {
			from := now.Add(-time.Duration(random.Int64N(int64(89 * 24 * time.Hour)))).Add(-5 * time.Hour)
			down = down.Or(timeline.Between(from, from.Add(time.Duration(random.Int64N(int64(5*time.Hour))))))
		}
		all = append(all, uptime.State{ID: fmt.Sprintf("m%d", i), Since: since, Confirm: confirm.State{Since: since}, Outage: len(down), Down: down})
	}
	return docstore.NewCollection[uptime.State](store, specs[at]).Insert(ctx, all...)
}

// seedFile is seed for the embedded store of a new folder, which it returns.
func seedFile(ctx context.Context, p plan) (string, error) {
	dir, err := os.MkdirTemp("", "manus-bench-*")
	if err != nil {
		return "", err
	}
	store, err := sqlitedocs.Open(ctx, app.StoreFile(dir))
	if err != nil {
		return "", err
	}
	return dir, errors.Join(seed(ctx, p, store), store.Close())
}

func seedMongo(ctx context.Context, p plan, uri, database string) error {
	store, err := mongodocs.Open(ctx, uri, database)
	if err != nil {
		return err
	}
	return errors.Join(seed(ctx, p, store), store.Close())
}

// contenders are Manus and those beside it, which have what it answers.
func contenders(ctx context.Context, p plan) (all []*server, stop func(), err error) {
	dir, err := seedFile(ctx, p)
	stop = func() {
		for _, s := range all {
			s.stop()
		}
		_ = os.RemoveAll(dir)
	}
	if err != nil {
		return nil, stop, err
	}
	ours, err := launch(p, "Manus", dir, unlimited)
	all = append(all, ours)
	if err != nil {
		return all, stop, err
	}
	quiet, err := silent(ctx, p)
	all = append(all, quiet)
	if err != nil {
		return all, stop, err
	}
	page, err := fetch(ours.url)
	if err != nil {
		return all, stop, err
	}
	fmt.Printf("The page has %d bytes, with gzip %d.\n\n", page.plain, len(page.Body))
	bare, err := startBare(dir, page)
	all = append(all, bare)
	if err != nil {
		return all, stop, err
	}
	nginx, err := startNginx(dir, page)
	if errors.Is(err, exec.ErrNotFound) {
		fmt.Fprintln(os.Stderr, "statuspage: nginx isn't installed; it is left out")
		return all, stop, nil
	}
	return append(all, nginx), stop, err
}

// silent is Manus without the line for each request in its log.
func silent(ctx context.Context, p plan) (*server, error) {
	dir, err := seedFile(ctx, p)
	if err != nil {
		return nil, err
	}
	return launch(p, "Manus, LOG_LEVEL=warn", dir, unlimited, "LOG_LEVEL=warn")
}

// page is an answer as a browser gets it.
type page struct {
	Header http.Header
	Body   []byte // with gzip
	plain  int
}

func fetch(url string) (p page, err error) {
	r, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return p, err
	}
	r.Header.Set("Accept-Encoding", "gzip")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return p, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	p.Header = answer.Header
	if p.Body, err = io.ReadAll(answer.Body); err != nil {
		return p, err
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(p.Body))
	if err != nil {
		return p, err
	}
	n, err := io.Copy(io.Discard, unpacked)
	p.plain = int(n)
	p.Header.Del("Date") // which the server sets
	return p, err
}

// bareEnv makes this program a net/http server of the page in the file it names.
const bareEnv = "MANUS_BENCH_BARE"

func startBare(dir string, p page) (*server, error) {
	file := filepath.Join(dir, "page.json")
	text, err := json.Marshal(p)
	if err := errors.Join(err, os.WriteFile(file, text, 0o600)); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr := freeAddress()
	s := &server{name: "bare net/http", url: "http://" + addr + "/status"}
	cmd := exec.Command(self)
	cmd.Env = []string{bareEnv + "=" + file, "ADDR=" + addr}
	return s, s.start(cmd)
}

// serveBare answers what is in a file, and does nothing else.
func serveBare(file string) error {
	text, err := os.ReadFile(file)
	var p page
	if err := errors.Join(err, json.Unmarshal(text, &p)); err != nil {
		return err
	}
	return http.ListenAndServe(os.Getenv("ADDR"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		for name, values := range p.Header {
			header[name] = values
		}
		_, _ = w.Write(p.Body) // the client is gone if this fails
	}))
}

// startNginx has nginx answer the page from two files, with Debian's settings but for the log,
// which is as Manus's in a file.
func startNginx(dir string, p page) (*server, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		return nil, exec.ErrNotFound
	}
	root := filepath.Join(dir, "nginx")
	unpacked, err := gzip.NewReader(bytes.NewReader(p.Body))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(unpacked)
	if err := errors.Join(err, os.Mkdir(root, 0o755), os.WriteFile(filepath.Join(root, "status"), text, 0o644), os.WriteFile(filepath.Join(root, "status.gz"), p.Body, 0o644)); err != nil {
		return nil, err
	}
	var headers strings.Builder
	for name, values := range p.Header {
		if name != "Content-Length" && name != "Content-Encoding" && name != "Content-Type" && name != "Etag" && name != "Vary" {
			fmt.Fprintf(&headers, "    add_header %s %q;\n", name, values[0])
		}
	}
	addr := freeAddress()
	config := filepath.Join(root, "nginx.conf")
	if err := os.WriteFile(config, []byte(fmt.Sprintf(`user root; daemon off; pid %[1]s/pid; error_log stderr; worker_processes auto; worker_rlimit_nofile 40000;
events { worker_connections 16384; }
http {
  access_log %[1]s/access.log; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type text/html; gzip_static on; gzip_vary on; open_file_cache max=10;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen %[2]s backlog=16384; root %[1]s;
%[3]s  }
}
`, root, addr, headers.String())), 0o600); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	s := &server{name: "nginx, a file", url: "http://" + addr + "/status"}
	return s, s.start(exec.Command(program, "-c", config, "-p", root))
}
