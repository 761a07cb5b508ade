package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"manus/app"
	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/errtrack"
)

// server is `manus serve` with two projects, and the inbox as another process sees it.
type server struct {
	cmd    *exec.Cmd
	inbox  *errtrack.Service
	store  docstore.Store
	dir    string
	url    string
	keys   map[string]string // by project
	client *http.Client
	serial atomic.Int64
	log    bytes.Buffer // the server's, to be read when it has ended
}

// program is a file of the program that isn't to be built.
var program string

// binary is the program, which is built once.
var binary = sync.OnceValues(func() (string, error) {
	if program != "" {
		return filepath.Abs(program)
	}
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

// prepare makes projects in a folder of their own.
func prepare(ctx context.Context, now func() time.Time) (*server, error) {
	dir, err := os.MkdirTemp("", "manus-bench-*")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, keys: map[string]string{}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2048}}}
	if s.store, err = sqlitedocs.Open(ctx, app.StoreFile(dir)); err != nil {
		return nil, err
	}
	if err := s.store.Declare(ctx, errtrack.Specs()...); err != nil {
		return nil, err
	}
	if s.inbox, err = errtrack.New(errtrack.Config{Store: s.store, Policy: errtrack.DefaultPolicy(), Now: now, Log: slog.New(slog.DiscardHandler)}); err != nil {
		return nil, err
	}
	for _, name := range []string{"shop", "beside"} {
		p, err := s.inbox.NewProject(ctx, name, "go")
		if err == nil {
			p, err = s.inbox.ChangeProject(ctx, p.ID, errtrack.ProjectChange{PerMinute: new(1_000_000)})
		}
		if err != nil {
			return nil, err
		}
		s.keys[p.ID] = p.Keys[0].Public
	}
	return s, nil
}

// serve starts the server with more of manus.yaml and of the environment, and returns when it
// answers.
func serve(ctx context.Context, more string, env ...string) (*server, error) {
	file, err := binary()
	if err != nil {
		return nil, err
	}
	s, err := prepare(ctx, nil)
	if err != nil {
		return nil, err
	}
	config, err := withRules(s.dir, more)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := listener.Addr().String()
	_ = listener.Close() // the server takes it
	s.url = "http://" + addr
	s.cmd = exec.CommandContext(ctx, file, "serve", "--config", config)
	s.cmd.Env = append(env, "JWT_SECRET_KEY=mZ3t9Qx7Lr2Vw8Ks5Yb1Nc6Hd4Jf0Gp-benchmarks-only", "ADDR="+addr, "OPS_ADDR="+cmp.Or(os.Getenv("OPS_ADDR"), "off"), "DATA_DIR="+s.dir, "SHUTDOWN_DELAY=0s")
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 300 {
		if r, err := s.client.Get(s.url + "/live"); err == nil {
			_ = r.Body.Close()
			return s, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	return nil, fmt.Errorf("it doesn't answer: %s", s.log.String())
}

func (s *server) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
	_ = s.store.Close()
	_ = os.RemoveAll(s.dir)
}

// sent is what became of events: how long the answers took of those that were taken.
type sent struct {
	took    []time.Duration
	refused int
	why     error // of one that was refused
}

func (s *server) flood(length time.Duration, connections, size, bugs int, rate float64) sent {
	ctx, stop := context.WithTimeout(context.Background(), length)
	defer stop()
	return s.floodOf(ctx, "1", connections, size, bugs, rate, 0)
}

// floodOf sends events of a project over connections until ctx ends, or so many; 0 is any. It
// sends at a rate in a second; 0 is as fast as they are answered.
func (s *server) floodOf(ctx context.Context, project string, connections, size, bugs int, rate float64, most int64) (all sent) {
	var mu sync.Mutex
	var running sync.WaitGroup
	var begun atomic.Int64
	for c := range connections {
		running.Go(func() {
			random := rand.New(rand.NewPCG(uint64(c), 1))
			pause := time.Duration(0)
			if rate > 0 {
				pause = time.Duration(float64(connections) / rate * float64(time.Second))
				time.Sleep(time.Duration(random.Int64N(int64(pause))))
			}
			var mine sent
			for next := time.Now(); ctx.Err() == nil && (begun.Add(1) <= most || most == 0); next = next.Add(pause) {
				time.Sleep(time.Until(next))
				begin := time.Now()
				if err := s.send(project, s.event(random, size, "Bug"+letters(random.IntN(bugs)))); err != nil {
					mine.refused, mine.why = mine.refused+1, err
					continue
				}
				mine.took = append(mine.took, time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			all.took, all.refused = append(all.took, mine.took...), all.refused+mine.refused
			all.why = cmp.Or(all.why, mine.why)
		})
	}
	running.Wait()
	return all
}

func letters(n int) string {
	return strings.Map(func(r rune) rune { return 'A' + r - '0' }, strconv.Itoa(n))
}

// event is one with a stack, people, tags, and as much that can't be packed as makes its size.
func (s *server) event(random *rand.Rand, size int, bug string) []byte {
	id := fmt.Sprintf("%016x%016x", time.Now().UnixNano(), s.serial.Add(1))
	var frames strings.Builder
	for n := range 12 {
		if n > 0 {
			frames.WriteByte(',')
		}
		fmt.Fprintf(&frames, `{"function":"step%s","module":"shop/%s","filename":"shop/%s.go","lineno":%d,"in_app":%t,"context_line":"return err"}`, letters(n), bug, bug, random.IntN(500), n > 8)
	}
	e := fmt.Sprintf(`{"event_id":%q,"timestamp":%d,"platform":"go","level":"error","release":"shop@1.%d.0","environment":"production","server_name":"web-%d",`+
		`"tags":{"bug":%q,"region":"eu-%d"},"user":{"id":"%d"},"exception":{"values":[{"type":"%sError","value":"order %d could not be placed","stacktrace":{"frames":[%s]}}]}`,
		id, time.Now().Unix(), random.IntN(5), random.IntN(8), bug, random.IntN(3), random.IntN(5000), bug, random.IntN(100000), &frames)
	blob := make([]byte, max(0, size-len(e))*3/4)
	for i := range blob {
		blob[i] = byte(random.Uint32())
	}
	e += `,"extra":{"state":"` + base64.StdEncoding.EncodeToString(blob) + `"}}`
	return fmt.Appendf(nil, "{\"event_id\":%q}\n{\"type\":\"event\",\"length\":%d}\n%s\n", id, len(e), e)
}

func (s *server) send(project string, body []byte) error {
	r, err := http.NewRequest(http.MethodPost, s.url+"/api/"+project+"/envelope/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Sentry-Auth", "Sentry sentry_version=7, sentry_client=bench/1, sentry_key="+s.keys[project])
	answer, err := s.client.Do(r)
	if err != nil {
		return err
	}
	said, _ := io.ReadAll(answer.Body) // what it says is for the error alone
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, said)
	}
	return nil
}

// issues are a project's, those that were seen most first.
func (s *server) issues(ctx context.Context, project string) ([]errtrack.Issue, error) {
	issues, _, err := s.inbox.Issues(ctx, errtrack.Search{Project: project, Sort: errtrack.ByCount, Limit: 100})
	return issues, err
}

// counted waits until so many events are counted.
func (s *server) counted(ctx context.Context, want int) error {
	for range 2400 {
		issues, err := s.issues(ctx, "1")
		if err != nil {
			return err
		}
		sum := 0
		for _, i := range issues {
			sum += int(i.Count)
		}
		if sum >= want {
			return nil
		}
		time.Sleep(25 * time.Millisecond)
	}
	return errors.New("the events aren't counted after a minute")
}

// watch sends events of new bugs, and measures how long it takes until each is found.
func (s *server) watch(ctx context.Context) (all []time.Duration) {
	random := rand.New(rand.NewPCG(9, 9))
	for n := 0; ctx.Err() == nil; n++ {
		bug := "Visible" + letters(n)
		begin := time.Now()
		if s.send("1", s.event(random, sizes[0], bug)) != nil {
			continue
		}
		for range 1000 {
			found, _, err := s.inbox.Issues(context.WithoutCancel(ctx), errtrack.Search{Project: "1", Query: "bug:" + bug})
			if err == nil && len(found) > 0 {
				all = append(all, time.Since(begin))
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(200 * time.Millisecond)
	}
	return all
}

// cpu is what the server has used of the processors, and peak the most memory it had.
func (s *server) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // see proc(5)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func (s *server) peak() int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10
}

// stored is how large the store's file is.
func (s *server) stored() float64 {
	info, err := os.Stat(app.StoreFile(s.dir))
	if err != nil {
		return 0
	}
	return float64(info.Size())
}
