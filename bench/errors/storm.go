package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// The storm's rule of spikes, and how another program sends beside it: an error now and then.
const (
	stormRules = "alerts: {rules: [{on: \"issue.*\", channels: [webhook]}, {on: issue.spike, events: 1000, within: 1m, channels: [webhook]}], at_most: {alerts: 100, within: 10s}}\n"
	stormEvery = time.Minute
	besideRate = 40
	besideFrom = 4 // connections
)

// storm is one bug as often as it goes, in rounds. In between, and in the storm, another project
// sends at a low rate. There is one issue, of each issue one alert that it is new, and one of
// the spike in each of the rule's minutes.
func (b bench) storm() error {
	told := &receiver{}
	hook := httptest.NewServer(told)
	defer hook.Close()
	s, err := serve(b.ctx, stormRules, "ALERT_WEBHOOK_URL="+hook.URL, "ALERT_WEBHOOK_SECRET=whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "ALLOW_PRIVATE_TARGETS=true")
	if err != nil {
		return err
	}
	defer s.stop()
	begin, stormed := time.Now(), time.Duration(0)
	var all, alone, beside sent
	for round := range int64(b.runs) {
		quiet, err := s.beside(b.ctx)
		if err != nil {
			return err
		}
		time.Sleep(b.length)
		more, err := quiet()
		if err != nil {
			return err
		}
		alone.add(more)
		if quiet, err = s.beside(b.ctx); err != nil {
			return err
		}
		share := (b.stormed + round) / int64(b.runs)
		began := time.Now()
		all.add(s.floodOf(b.ctx, "1", b.senders, sizes[0], 1, 0, share))
		stormed += time.Since(began)
		if more, err = quiet(); err != nil {
			return err
		}
		beside.add(more)
		if err := s.counted(b.ctx, len(all.took)); err != nil {
			return err
		}
	}
	issues, err := s.issues(b.ctx, "1")
	if err != nil {
		return err
	}
	minutes := int(time.Since(begin)/stormEvery) + 1
	fresh, spikes := told.count("issue.new", "shop"), told.count("issue.spike", "shop")
	fmt.Println("| a storm of one bug | /s | refused | issues | counted | alerts that it is new | of spikes, in minutes | RSS at its peak, MiB |")
	fmt.Println("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	fmt.Printf("| %d | %.0f | %d | %d | %d | %d | %d in %d | %d |\n\n", len(all.took), float64(len(all.took))/stormed.Seconds(), all.refused, len(issues), issues[0].Count, fresh, spikes, minutes, s.peak()>>20)
	fmt.Println("| another project's answers | events | refused | p50 | p90 | p99 | most |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, row := range []struct {
		name string
		sent
	}{{"alone", alone}, {"in the storm", beside}} {
		fmt.Printf("| %s | %d | %d | %s | %s | %s | %s |\n", row.name, len(row.took), row.refused, at(row.took, 50), at(row.took, 90), at(row.took, 99), at(row.took, 100))
	}
	uncounted := issues[0].Count - int64(len(all.took)) // what is refused may be kept nevertheless
	if len(issues) != 1 || uncounted < 0 || uncounted > int64(all.refused) || fresh != 1 || spikes < 1 || spikes > minutes {
		return fmt.Errorf("that isn't one issue with one alert in each window: %w", cmp.Or(all.why, told.err()))
	}
	return nil
}

// besides is what the other project's program is told, and what it tells.
type besides struct {
	URL, Key string
	Took     []time.Duration
	Refused  int
}

// beside starts a process that sends events of the other project until what is returned is
// called, so that what it measures isn't how busy the storm's senders are.
func (s *server) beside(ctx context.Context) (stop func() (sent, error), err error) {
	file, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, file, "-beside")
	cmd.Stderr = os.Stderr
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		return nil, err
	}
	err = json.NewEncoder(stdin).Encode(besides{URL: s.url, Key: s.keys["2"]})
	return func() (sent, error) {
		var told besides
		err := errors.Join(stdin.Close(), json.NewDecoder(stdout).Decode(&told), cmd.Wait())
		return sent{took: told.Took, refused: told.Refused}, err
	}, err
}

// besideStorm is that process: it sends until its standard input ends.
func besideStorm(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var told besides
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&told); err != nil {
		return err
	}
	go func() {
		defer stop()
		_ = in.Decode(&told) // until there is no more
	}()
	s := &server{url: told.URL, keys: map[string]string{"2": told.Key}, client: &http.Client{}}
	all := s.floodOf(ctx, "2", besideFrom, sizes[0], 5, besideRate, 0)
	return json.NewEncoder(os.Stdout).Encode(besides{Took: all.took, Refused: all.refused})
}

// add adds what others have sent.
func (s *sent) add(more sent) {
	s.took, s.refused, s.why = append(s.took, more.took...), s.refused+more.refused, cmp.Or(s.why, more.why)
}

// receiver is a webhook that counts what it is told.
type receiver struct {
	mu    sync.Mutex
	heard []heard
}

type heard struct {
	Kind, Title, State string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var message struct{ Data heard }
	if err := json.NewDecoder(request.Body).Decode(&message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = append(r.heard, message.Data)
}

// count is how often a kind was told of a project.
func (r *receiver) count(kind, project string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.heard {
		if h.Kind == kind && strings.HasSuffix(h.Title, "("+project+")") {
			n++
		}
	}
	return n
}

// err is what was told, to be read where it is wrong.
func (r *receiver) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Errorf("told was %+v", r.heard)
}

// withRules is a file that has the rules of unlimited.yaml, and more.
func withRules(dir, more string) (string, error) {
	text, err := os.ReadFile("unlimited.yaml")
	if err != nil {
		return "", err
	}
	file := dir + "/manus.yaml"
	return file, os.WriteFile(file, append(append(text, '\n'), more...), 0o600)
}
