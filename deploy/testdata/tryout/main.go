// Command tryout starts what compose.yaml describes without containers, and breaks
// it: three copies of Manus, the MongoDB of the tests, a real Redis and HAProxy with
// the very haproxy.cfg that compose mounts. Only the addresses differ, which that
// file reads from the environment. It prints what it measures, and fails when
// something that README.md promises doesn't hold. From the repository's root:
//
//	go run ./deploy/testdata/tryout
//
// It needs haproxy and redis-server, runs for about four minutes, and lies in
// testdata because it is no part of the product.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.haproxy, "haproxy", "haproxy", "the program")
	flag.StringVar(&o.config, "config", "deploy/balancer/haproxy.cfg", "its configuration")
	flag.StringVar(&o.store, "store", "mongo", "mongo, the MongoDB of the tests; or sqlite, a file that the copies share")
	flag.BoolVar(&o.quick, "quick", false, "leave out the stream that is silent for 80 seconds")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "tryout:", err)
		os.Exit(1)
	}
}

type options struct {
	haproxy, config, store string
	quick                  bool
}

// tryout is one run: what is on the stage, who uses it, and what went wrong.
type tryout struct {
	*stage
	user     *user
	failures []error
}

// promise notes that something doesn't hold.
func (t *tryout) promise(holds bool, format string, args ...any) {
	if !holds {
		err := fmt.Errorf(format, args...)
		fmt.Println("  BROKEN:", err)
		t.failures = append(t.failures, err)
	}
}

func run(o options) error {
	s, err := newStage(o)
	if err != nil {
		return err
	}
	defer s.close()
	for range 3 {
		if _, err := s.startCopy(); err != nil {
			return err
		}
	}
	if err := s.awaitReady(3); err != nil {
		return err
	}
	t := &tryout{stage: s}
	if t.user, err = newUser(s.url); err != nil {
		return err
	}
	for _, act := range []struct {
		title string
		play  func() error
	}{
		{"who the client is", t.clientAddress},
		{"load on three copies", t.spread},
		{"kill -9 of one copy under load, five times", t.kill},
		{"SIGTERM of one copy under load", t.drain},
		{"three new copies take over from the old under load, as update.sh does it", t.takeOver},
		{"the balancer reads its file again under load", t.reload},
		{"no copy is ready: Redis is gone", t.nothingReady},
		{"streams", func() error { return t.streams(o.quick) }},
	} {
		fmt.Printf("\n%s\n", act.title)
		if err := act.play(); err != nil {
			return fmt.Errorf("%s: %w", act.title, err)
		}
	}
	if err := t.user.account(t); err != nil {
		return err
	}
	return errors.Join(t.failures...)
}

// clientAddress signs in with forged headers, and looks where the product thinks
// that this came from.
func (t *tryout) clientAddress() error {
	body := `{"email":"` + t.user.email + `","password":"` + password + `"}`
	request, err := http.NewRequest(http.MethodPost, t.url+"/api/v1/auth/login", strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = http.Header{
		"Content-Type": {"application/json"}, "X-Forwarded-For": {"203.0.113.7", "127.0.0.1"}, "Forwarded": {"for=203.0.113.8"}, "User-Agent": {"forger"},
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	text, err := t.user.get("/auth/devices")
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%d %s %w", response.StatusCode, text, err)
	}
	fmt.Println("  a forged X-Forwarded-For and Forwarded:", map[bool]string{true: "without effect", false: "believed"}[!strings.Contains(text, "203.0.113.")])
	t.promise(!strings.Contains(text, "203.0.113.") && strings.Contains(text, "127.0.0.1"), "devices: %s", text)
	return nil
}

func (t *tryout) spread() error {
	load := t.user.start(t.url)
	time.Sleep(8 * time.Second)
	sum := load.stop()
	sum.print()
	t.promise(sum.failed() == 0, "%d requests failed", sum.failed())
	shares := t.served()
	fmt.Printf("  by copy: %v\n", shares)
	total := 0
	for _, n := range shares {
		total += n
	}
	for copy, n := range shares {
		t.promise(n > total/5 && n < total/2, "%s got %d of %d", copy, n, total)
	}
	t.promise(len(shares) == 3, "%d copies got requests", len(shares))
	return nil
}

func (t *tryout) kill() error {
	for range 5 {
		if err := t.killOne(); err != nil {
			return err
		}
	}
	return nil
}

func (t *tryout) killOne() error {
	load := t.user.start(t.url)
	time.Sleep(2 * time.Second)
	t.served()
	victim := t.copies[0]
	at := time.Now()
	victim.signal(syscall.SIGKILL)
	<-victim.ended
	noticed, err := t.awaitCount(2)
	if err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // DNS still has it
	t.forget(victim)
	time.Sleep(7 * time.Second) // and now it is gone from there, too
	sum := load.stop()
	sum.print()
	fmt.Printf("  the balancer counted two copies after %d ms; its log of failures: %v\n", noticed.Sub(at).Milliseconds(), t.failuresByEnd())
	t.promise(sum.failed() < workers, "%d requests failed, and there were only %d at once", sum.failed(), workers)
	if sum.failed() > 0 {
		fmt.Printf("  the failures came from %d to %d ms after the kill\n", sum.first.Sub(at).Milliseconds(), sum.last.Sub(at).Milliseconds())
		t.promise(sum.last.Sub(at) < 500*time.Millisecond, "one failed %v after the kill", sum.last.Sub(at))
	}
	begin := time.Now()
	if _, err := t.startCopy(); err != nil {
		return err
	}
	if _, err := t.awaitCount(3); err != nil {
		return err
	}
	fmt.Printf("  a new copy had requests %.1f s after its start\n", time.Since(begin).Seconds())
	return t.awaitReady(3)
}

func (t *tryout) drain() error {
	load := t.user.start(t.url)
	time.Sleep(2 * time.Second)
	leaving := t.copies[0]
	at := time.Now()
	leaving.signal(syscall.SIGTERM)
	noticed, err := t.awaitCount(2)
	if err != nil {
		return err
	}
	<-leaving.ended
	took := time.Since(at)
	t.forget(leaving)
	time.Sleep(3 * time.Second)
	sum := load.stop()
	sum.print()
	fmt.Printf("  the balancer counted two copies after %d ms; the copy ended after %.1f s with %v\n", noticed.Sub(at).Milliseconds(), took.Seconds(), leaving.exit)
	t.promise(sum.failed() == 0, "%d requests failed", sum.failed())
	t.promise(leaving.exit == nil, "the copy ended with %v", leaving.exit)
	if _, err := t.startCopy(); err != nil {
		return err
	}
	return t.awaitReady(3)
}

func (t *tryout) takeOver() error {
	load := t.user.start(t.url)
	time.Sleep(time.Second)
	old := slices.Clone(t.copies)
	for range old {
		if _, err := t.startCopy(); err != nil {
			return err
		}
	}
	if err := t.awaitReady(6); err != nil {
		return err
	}
	for _, c := range old {
		c.signal(syscall.SIGTERM)
	}
	for _, c := range old {
		<-c.ended
		t.forget(c)
	}
	if err := t.awaitReady(3); err != nil {
		return err
	}
	time.Sleep(3 * time.Second)
	sum := load.stop()
	sum.print()
	t.promise(sum.failed() == 0, "%d requests failed", sum.failed())
	return nil
}

func (t *tryout) reload() error {
	load := t.user.start(t.url)
	time.Sleep(time.Second)
	for range 3 {
		if err := t.balancer.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
			return err
		}
		time.Sleep(3 * time.Second)
	}
	sum := load.stop()
	sum.print()
	t.promise(sum.failed() == 0, "%d requests failed", sum.failed())
	return t.awaitReady(3)
}

// nothingReady takes away what all copies need to be ready. They aren't, and go on.
func (t *tryout) nothingReady() error {
	load := t.user.start(t.url)
	time.Sleep(time.Second)
	t.redis.signal(syscall.SIGKILL)
	<-t.redis.ended
	if _, err := t.awaitCount(0); err != nil {
		return err
	}
	time.Sleep(3 * time.Second)
	response, err := http.Get(t.url + "/ready")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var body struct {
		Status string
		Checks map[string]struct{ Status string }
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		return err
	}
	fmt.Printf("  /ready through the balancer: %d %s, redis %s, %s %s\n", response.StatusCode, body.Status, body.Checks["redis"].Status, t.database(), body.Checks[t.database()].Status)
	t.promise(response.StatusCode == 503 && body.Checks["redis"].Status == "failed" && body.Checks[t.database()].Status == "ok", "/ready: %d %+v", response.StatusCode, body)
	if err := t.startRedis(); err != nil {
		return err
	}
	if err := t.awaitReady(3); err != nil {
		return err
	}
	sum := load.stop()
	sum.print()
	t.promise(sum.failed() == 0, "%d requests failed", sum.failed())
	return nil
}

// streams measures how long an event takes through the balancer, and that silence
// for longer than its timeouts doesn't end a stream.
func (t *tryout) streams(quick bool) error {
	id, err := t.user.newSession()
	if err != nil {
		return err
	}
	const n = 60
	var through, direct []*stream // one of each is on each copy: the balancer gives a stream to who has least
	for _, c := range t.copies {
		for url, list := range map[string]*[]*stream{t.url: &through, "http://" + c.addr + ":" + t.port: &direct} {
			r, err := t.user.follow(url, id)
			if err != nil {
				return err
			}
			defer r.close()
			*list = append(*list, r)
		}
	}
	var took [2][]time.Duration
	for i := range n {
		begin := time.Now()
		if status, text, err := t.user.post("/sessions/"+id+"/messages", fmt.Sprintf(`{"text":"%d"}`, i)); err != nil || status != http.StatusAccepted {
			return fmt.Errorf("%d %s %w", status, text, err)
		}
		for k, list := range [][]*stream{through, direct} {
			for _, r := range list {
				e, err := r.next(10 * time.Second)
				if err != nil {
					return err
				}
				t.promise(e.id == i+1, "event %d came as number %d", i+1, e.id)
				took[k] = append(took[k], e.at.Sub(begin))
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	for k, way := range []string{"through the balancer", "straight from a copy"} {
		slices.Sort(took[k])
		all := len(took[k])
		fmt.Printf("  %d events %s, from the POST on: median %.1f ms, 95th %.1f ms, longest %.1f ms\n", all, way, ms(took[k][all/2]), ms(took[k][all*95/100]), ms(took[k][all-1]))
	}
	straight := took[1][len(took[1])/2]
	later := took[0][len(took[0])/2] - straight
	t.promise(later < 20*time.Millisecond+straight/4, "the balancer holds up events by %v", later)
	reader := through
	if quick {
		return nil
	}
	const silence = 80 * time.Second
	if e, err := reader[0].next(silence); !errors.Is(err, errQuiet) {
		return fmt.Errorf("got event %d, %w", e.id, err)
	}
	if _, _, err := t.user.post("/sessions/"+id+"/messages", `{"text":"after all"}`); err != nil {
		return err
	}
	e, err := reader[0].next(5 * time.Second)
	fmt.Printf("  after %v without an event, with %d heartbeats, the next one came as number %d\n", silence, reader[0].heartbeats.Load(), e.id)
	t.promise(err == nil && e.id == n+1, "after the silence: %d %v", e.id, err)
	return nil
}
