package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/internal/processtest"
	"manus/internal/waittest"
)

// workerSessions is how many sessions the workers share.
const workerSessions = "MANUS_WORKER_SESSIONS"

// documented writes the program that a page of docs has in a language into a folder.
func documented(t *testing.T, page, language, dir string) (path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, program, found := strings.Cut(string(text), "```"+language+"\n")
	program, _, ended := strings.Cut(program, "```")
	if !found || !ended {
		t.Fatalf("docs/%s has no program in %s", page, language)
	}
	path = filepath.Join(dir, strings.TrimSuffix(page, ".md")+"."+language)
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keyOf makes somebody an operator, and an API key of theirs.
func keyOf(t *testing.T, server *program, dir, scope string) (key string) {
	t.Helper()
	boss := newClient(server.url)
	credentials := map[string]string{"email": "boss@example.com", "password": "correct horse battery staple"}
	if err := boss.call("POST", "/api/v1/auth/register", credentials, boss); err != nil {
		t.Fatal(err)
	}
	promote := manus(t.Context(), dir, "user", "set-role", "boss@example.com", "operator")
	promote.Env = serveEnv(t, dir)
	if out, err := promote.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var made struct{ Key string }
	asked := map[string]any{"name": scope, "scopes": []string{scope}}
	waittest.Poll(t, func() bool { // the role is seen within a second
		return boss.call("POST", "/api/v1/auth/api-keys", asked, &made) == nil
	})
	return made.Key
}

// pythonWorker is the worker of docs/workers.md. Of each message that it has it is told.
func pythonWorker(t *testing.T, script, url, key string, has func(id string, again bool)) (kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", script)
	cmd.Env = append(os.Environ(), "MANUS_URL="+url, "MANUS_API_KEY="+key, "LEASE_SECONDS=2")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var id string
			var attempt int
			if n, _ := fmt.Sscanf(lines.Text(), "has %s %d", &id, &attempt); n == 2 {
				has(id, attempt > 1)
			}
		}
	}()
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-read
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	return kill
}

// TestWorkersThatAreKilledAnswerEverythingInOrder has three workers, as the guide has them,
// share sessions with three messages each while one of them is killed every second.
func TestWorkersThatAreKilledAnswerEverythingInOrder(t *testing.T) {
	t.Parallel()
	const each = 3
	dir := serverDir(t)
	server := startServer(t, dir)
	key := keyOf(t, server, dir, "worker")
	person := newClient(server.url)
	if err := person.signIn("register"); err != nil {
		t.Fatal(err)
	}
	sessions := make([]string, processtest.Size(workerSessions, 20))
	for i := range sessions {
		id, err := person.open()
		for n := range each {
			if err == nil {
				err = person.write(id, fmt.Sprint("message ", n+1))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		sessions[i] = id
	}

	script := documented(t, "workers.md", "python", dir)
	var mu sync.Mutex
	given, again, kills := 0, 0, 0
	first := make(chan struct{}, 1)
	has := func(_ string, twice bool) {
		mu.Lock()
		defer mu.Unlock()
		if given++; twice {
			again++
		}
		select {
		case first <- struct{}{}:
		default:
		}
	}
	worker := func() func() { return pythonWorker(t, script, server.url, key, has) }
	workers := []func(){worker()}
	<-first
	workers[0]() // with a message in hand, if luck has it
	workers = []func(){worker(), worker(), worker()}
	began := time.Now()

	watcher := newClient(server.url)
	watcher.Access = key
	everySecond := time.NewTicker(time.Second)
	defer everySecond.Stop()
	for len(sessions) > 0 {
		select {
		case <-everySecond.C:
			i := kills % len(workers)
			workers[i]()
			workers[i] = worker()
			kills++
		default:
		}
		if answeredInOrder(t, watcher, sessions[0], each) {
			sessions = sessions[1:]
		}
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d messages were given out, %d of them again, while workers were killed %d times, in %v", given, again, kills+1, time.Since(began).Round(time.Second))
}

// answeredInOrder tells whether all of a session's messages have been answered. It holds
// the answers against their order, of which none may be there twice.
func answeredInOrder(t *testing.T, watcher *client, session string, messages int) bool {
	t.Helper()
	var page struct {
		Items []struct{ ID, Type, Answers string }
	}
	if err := watcher.call("GET", "/api/v1/sessions/"+session+"/events?limit=100", nil, &page); err != nil {
		t.Fatal(err)
	}
	var written, answers []string
	for _, e := range page.Items {
		if e.Type == "message" {
			written = append(written, e.ID)
		} else {
			answers = append(answers, e.Answers)
		}
	}
	for i, id := range answers {
		if i >= len(written) || id != written[i] {
			t.Fatalf("the messages are %v, and answered were %v", written, answers)
		}
	}
	return len(answers) == messages
}
