package redislimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/internal/redisclient"
	"manus/internal/redistest"
	"manus/internal/waittest"
	"manus/ratelimit"
	"manus/ratelimit/limittest"
	"manus/ratelimit/memorylimit"
)

// connect is an engine that has reached the servers.
func connect(t testing.TB, c Config, addrs ...string) *Engine {
	t.Helper()
	client, err := redisclient.New("redis://" + strings.Join(addrs, ",redis://"))
	if err == nil {
		err = client.Connect()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c.Client = client
	e := New(c)
	return e
}

// offset is a clock that tests move.
type offset struct{ by atomic.Int64 }

func (o *offset) add(d time.Duration) { o.by.Add(int64(d)) }

// prefixes keeps the tests on one server apart.
var prefixes atomic.Int64

func engine(t testing.TB, addrs ...string) (*Engine, *offset) {
	t.Helper()
	e := connect(t, Config{}, addrs...)
	e.prefix = fmt.Sprintf("t%d-%d:", os.Getpid(), prefixes.Add(1))
	o := &offset{}
	e.offset = func() time.Duration { return time.Duration(o.by.Load()) }
	return e, o
}

func TestEngine(t *testing.T) {
	t.Parallel()
	addr := redistest.Addr(t)
	limittest.Run(t, func(t *testing.T) limittest.Bench {
		e, o := engine(t, addr)
		return limittest.Bench{Engine: e, Advance: o.add}
	})
}

func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 0)
	limittest.Run(t, func(t *testing.T) limittest.Bench {
		e, o := engine(t, cluster.Addrs()...)
		return limittest.Bench{Engine: e, Advance: o.add}
	})
}

func check(t testing.TB, key, text string) ratelimit.Check {
	t.Helper()
	l, err := ratelimit.ParseLimit(text)
	if err != nil {
		t.Fatal(err)
	}
	return ratelimit.Check{Key: key, Limit: l, Cost: 1}
}

func take(t testing.TB, e *Engine, checks ...ratelimit.Check) ratelimit.Decision {
	t.Helper()
	var d ratelimit.Decision
	if err := e.Take(context.Background(), checks, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestADenialLeavesEveryKeyByteIdentical(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	e, _ := engine(t, server.Addr)
	texts := []string{"5/minute, 20/hour", "150/minute, 1000/hour", "7/hour", "3/10seconds, 200/hour", "61/minute"}
	for denying := range texts {
		var checks []ratelimit.Check
		for i, text := range texts {
			checks = append(checks, check(t, fmt.Sprint(denying, "/", i), text))
		}
		take(t, e, checks...)
		for take(t, e, checks[denying]).Allowed {
		}
		dump := func() (all []string) {
			for _, c := range checks {
				all = append(all, server.Do(t, "GET", e.prefix+c.Key).(string))
			}
			return all
		}
		before := dump()
		if take(t, e, checks...).Allowed {
			t.Fatalf("%s doesn't deny", texts[denying])
		}
		for i, value := range dump() {
			if value != before[i] {
				t.Errorf("a denial by %s changed %s", texts[denying], texts[i])
			}
		}
	}
}

func TestEveryKeyExpires(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	e, _ := engine(t, server.Addr)
	for text, most := range map[string]int64{"5/minute, 20/hour": 3_720_000, "100/minute": 62_000, "1/second": 1_100} {
		c := check(t, text, text)
		d := take(t, e, c)
		if err := e.Refund(t.Context(), []ratelimit.Check{c}, &d); err != nil {
			t.Fatal(err)
		}
		if ttl := server.Do(t, "PTTL", e.prefix+text).(int64); ttl <= 0 || ttl > most {
			t.Errorf("%s expires in %d ms", text, ttl)
		}
	}
}

func TestOneKeyHasAllWindowsOfASubject(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	e, _ := engine(t, server.Addr)
	take(t, e, check(t, "k", "5/minute, 20/hour, 100/day"))
	if n := server.Do(t, "DBSIZE").(int64); n != 1 {
		t.Errorf("there are %d keys", n)
	}
}

func TestScriptsThatWereForgottenAreSentAgain(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	e, _ := engine(t, server.Addr)
	c := check(t, "k", "1000/hour")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var d ratelimit.Decision
				if err := e.Take(context.Background(), []ratelimit.Check{c}, &d); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		server.Do(t, "SCRIPT", "FLUSH")
	}
	close(stop)
	wg.Wait()
}

func TestAResetReachesOtherCopies(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	heard := make(chan []string, 10)
	other := connect(t, Config{OnReset: func(keys []string) { heard <- keys }}, server.Addr)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { other.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	e := connect(t, Config{}, server.Addr)
	c := check(t, "{address:192.0.2.1}login", "1/hour")
	take(t, e, c)
	if keys := <-heard; keys != nil { // from now on it hears; before, it may have missed
		t.Fatalf("it heard %q", keys)
	}
	if err := e.Reset(t.Context(), []string{c.Key}); err != nil {
		t.Fatal(err)
	}
	if keys := <-heard; len(keys) != 1 || keys[0] != c.Key {
		t.Errorf("it heard %q", keys)
	}
	if !take(t, other, c).Allowed {
		t.Error("it is still refused")
	}
}

func TestTagsAreWhatTheClusterSays(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"plain": "plain", "a{b}c": "b", "{b}": "b", "a{}c": "a{}c", "a{b": "a{b", "a{b}{c}": "b", "{{b}}": "{b",
	} {
		if got := tag(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")
	f.Add(strings.Repeat("\xff", 30))
	f.Fuzz(func(t *testing.T, answer string) {
		c := &call{checks: []ratelimit.Check{check(t, "k", "5/minute")}}
		if err := decode(answer, []*call{c}); err != nil && !errors.Is(err, ratelimit.ErrUnavailable) {
			t.Error(err)
		}
	})
}

// TestSlotsMoveUnderLoad moves a third of a cluster's keys to another node while
// they are counted. What can't be counted at that moment is unavailable, which rules
// go on from; nothing else goes wrong, no count is lost, and afterwards all is as
// before.
func TestSlotsMoveUnderLoad(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 0)
	e, _ := engine(t, cluster.Addrs()...)
	const keys = 40
	l := check(t, "", "1000000/hour").Limit
	counted := make([]atomic.Int64, keys)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var unavailable atomic.Int64
	for range 4 {
		wg.Go(func() {
			var d ratelimit.Decision
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k := i % keys
				err := e.Take(context.Background(), []ratelimit.Check{{Key: fmt.Sprintf("{%d}", k), Limit: l, Cost: 1}}, &d)
				switch {
				case err == nil:
					counted[k].Add(1)
				case errors.Is(err, ratelimit.ErrUnavailable):
					unavailable.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	cluster.Move(t, 0, 1, 1000)
	close(stop)
	wg.Wait()
	t.Logf("%d decisions were unavailable", unavailable.Load())
	for k := range keys {
		var d ratelimit.Decision
		for e.Peek(t.Context(), []ratelimit.Check{{Key: fmt.Sprintf("{%d}", k), Limit: l, Cost: 1}}, &d) != nil {
		}
		if there := int64(l[0].N - d.Checks[0].Windows[0].Remaining); there < counted[k].Load() {
			t.Errorf("the key %d has %d of %d", k, there, counted[k].Load())
		}
	}
}

// TestAReplicaTakesOver kills a node of a cluster while it counts. Until its replica
// has taken over, its keys are unavailable, which rules go on from; nothing else goes
// wrong, and then they are counted again.
func TestAReplicaTakesOver(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 1)
	e, _ := engine(t, cluster.Addrs()...)
	var checks []ratelimit.Check
	for k := range 30 {
		checks = append(checks, check(t, fmt.Sprintf("{%d}", k), "1000000/hour"))
	}
	all := func() (failed int) {
		for _, c := range checks {
			var d ratelimit.Decision
			if err := e.Take(t.Context(), []ratelimit.Check{c}, &d); errors.Is(err, ratelimit.ErrUnavailable) {
				failed++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		return failed
	}
	for all() > 0 {
	}
	cluster.Nodes[0].Kill(t)
	for deadline := time.Now().Add(30 * time.Second); all() > 0; {
		if time.Now().After(deadline) {
			t.Fatal("nobody takes over")
		}
	}
}

// What keeps Redis from counting is found by a trial decision, and said in words.
func TestCausesAreNamed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	host := strings.TrimPrefix(server.Addr, "127.0.0.1")
	server.Do(t, "ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-@scripting")
	server.Do(t, append([]string{"ACL", "SETUSER", "enough", "on", ">secret"}, strings.Fields(redisclient.Rights)...)...)
	for _, c := range []struct{ url, want string }{
		{"redis://127.0.0.1" + host, ""},
		{"redis://enough:secret@127.0.0.1" + host, ""},
		{"redis://reader:wrong@127.0.0.1" + host, "refuses the user or the password"},
		{"redis://reader:secret@127.0.0.1" + host, "lacks a right"},
		{"redis://127.0.0.1:1", "connection refused"},
		{"redis://nowhere.invalid", "no address"},
		{"rediss://127.0.0.1" + host, "TLS"},
	} {
		client, err := redisclient.New(c.url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		err = New(Config{Client: client}).Try(t.Context())
		if got := explained(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s (%v)", c.url, got, err)
		}
	}
	e := connect(t, Config{}, server.Addr)
	for set, want := range map[[2]string]string{{"maxmemory", "1"}: "full", {"min-replicas-to-write", "3"}: "takes no writes"} {
		server.Do(t, "CONFIG", "SET", set[0], set[1])
		if err := e.Try(t.Context()); !errors.Is(err, ratelimit.ErrUnavailable) || !strings.Contains(explained(err), want) {
			t.Errorf("%v: %v", set, err)
		}
		server.Do(t, "CONFIG", "SET", set[0], "0")
	}
	server.Do(t, "REPLICAOF", "127.0.0.1", "1")
	if err := e.Try(t.Context()); !strings.Contains(explained(err), "replica") {
		t.Errorf("a replica: %v", err)
	}
}

// A Redis that can't save refuses writes, and goes on taking them once it can: the folder
// that it saves to is a file here, whoever runs the test.
func TestARedisThatCantSaveIsNamed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--stop-writes-on-bgsave-error", "yes", "--dbfilename", "dump.rdb")
	e := connect(t, Config{}, server.Addr)
	blocked := filepath.Join(server.Dir(), "dump.rdb")
	if err := os.MkdirAll(filepath.Join(blocked, "full"), 0o700); err != nil { // it can't be renamed over
		t.Fatal(err)
	}
	server.Do(t, "CONFIG", "SET", "save", "3600 1000000")
	save := func(status string) {
		t.Helper()
		server.Do(t, "BGSAVE")
		waittest.Poll(t, func() bool {
			info := server.Do(t, "INFO", "persistence").(string)
			return strings.Contains(info, "rdb_bgsave_in_progress:0") && strings.Contains(info, "rdb_last_bgsave_status:"+status)
		})
	}
	save("err")
	if err := e.Try(t.Context()); !errors.Is(err, ratelimit.ErrUnavailable) || !strings.Contains(explained(err), "can't save to its disk") {
		t.Errorf("it says %v", err)
	}
	if err := os.RemoveAll(blocked); err != nil {
		t.Fatal(err)
	}
	save("ok")
	if err := e.Try(t.Context()); err != nil {
		t.Errorf("once it can save: %v", err)
	}
}

// A Redis that reads its data after a start is named to who was connected before, and to who
// connects meanwhile.
func TestARedisThatIsLoadingIsNamed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--enable-debug-command", "yes")
	before := connect(t, Config{}, server.Addr)
	server.Do(t, "DEBUG", "POPULATE", "2000", "key", "1024")
	server.Do(t, "SAVE")
	server.Do(t, "CONFIG", "SET", "key-load-delay", "10000", "loading-process-events-interval-bytes", "1024") // it answers after each key; 20 s in all
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		_, _ = server.Try("DEBUG", "RELOAD", "NOSAVE")
	}()
	waittest.Poll(t, func() bool { return strings.Contains(server.Do(t, "INFO", "persistence").(string), "loading:1") })
	client, err := redisclient.New(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for who, e := range map[string]*Engine{"who was there": before, "who comes": New(Config{Client: client})} {
		err := e.Try(t.Context())
		if !errors.Is(err, ratelimit.ErrUnavailable) || !strings.Contains(explained(err), "is loading its data") {
			t.Errorf("%s hears %v", who, err)
		}
	}
	server.Do(t, "CONFIG", "SET", "key-load-delay", "0")
	<-loaded
	if err := before.Try(t.Context()); err != nil {
		t.Errorf("once it is loaded: %v", err)
	}
}

// Redis's certificate has to be one that this system trusts.
func TestARedisWithAnotherCAIsNamed(t *testing.T) {
	t.Parallel()
	server := redistest.StartTLS(t)
	client, err := redisclient.New("rediss://" + server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	err = New(Config{Client: client}).Try(t.Context())
	if !errors.Is(err, ratelimit.ErrUnavailable) || !strings.Contains(explained(err), "certificate isn't trusted") {
		t.Errorf("%s: %v", explained(err), err)
	}
}

func explained(err error) string {
	if err == nil {
		return ""
	}
	return redisclient.Cause(err)
}

// A clock that steps back between two calls shows in the keys that were counted before
// alone: others that are asked about together with them are decided by what it says now.
func TestAClockThatStepsBackLetsNobodyElseIn(t *testing.T) {
	t.Parallel()
	e, o := engine(t, redistest.Addr(t))
	early, late := check(t, "{k}early", "2/minute"), check(t, "{k}late", "2/minute")
	o.add(time.Hour)
	take(t, e, late)
	o.add(-time.Hour)
	for take(t, e, early).Allowed {
	}
	d := take(t, e, late, early)
	if d.Allowed || d.Checks[1].Allowed || !d.Checks[0].Allowed || d.Checks[0].At.Sub(d.Checks[1].At) < 59*time.Minute {
		t.Errorf("got %+v", d)
	}
}

// What is repaid stands as if it had been taken when it was admitted.
func TestWhatIsRepaidStandsWhereItWasTaken(t *testing.T) {
	t.Parallel()
	for _, cluster := range []bool{false, true} {
		var e *Engine
		var o *offset
		if cluster {
			e, o = engine(t, redistest.StartCluster(t, 0).Addrs()...)
		} else {
			e, o = engine(t, redistest.Addr(t))
		}
		const limit = "3/minute, 20/hour, 150/day"
		taken, repaid := check(t, "taken", limit), check(t, "repaid", limit)
		var owed []ratelimit.Admitted
		begun := time.Now()
		for i, ago := range []time.Duration{50 * time.Minute, 20 * time.Minute, 40 * time.Second, 10 * time.Second} {
			at := begun.Add(-ago)
			o.by.Store(int64(time.Until(at)))
			for _, c := range []ratelimit.Check{taken, repaid} {
				if c.Key == "taken" || i%2 == 0 { // the others come later, between those
					take(t, e, c)
					continue
				}
				owed = append(owed, ratelimit.Admitted{Check: c, At: at})
			}
		}
		o.by.Store(0)
		if err := e.Repay(t.Context(), owed); err != nil {
			t.Fatal(err)
		}
		want, got := take(t, e, taken), take(t, e, repaid)
		for i := range want.Checks[0].Windows {
			a, b := want.Checks[0].Windows[i], got.Checks[0].Windows[i]
			if a.Remaining != b.Remaining || (a.Reset-b.Reset).Abs() > 5*time.Second {
				t.Errorf("%v: repaid %+v, taken %+v", taken.Limit[i], b, a)
			}
		}
		for range 5 { // more than there is room for
			owed = append(owed, ratelimit.Admitted{Check: repaid, At: time.Now()})
		}
		if err := e.Repay(t.Context(), owed); err != nil || take(t, e, repaid).Allowed {
			t.Errorf("a full one admits: %v", err)
		}
	}
}

// TestANodeThatIsSilent freezes one of a cluster's. The keys of the others are counted
// on, and of a request that is on both nothing is kept where it isn't decided.
func TestANodeThatIsSilent(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 0)
	e, _ := engine(t, cluster.Addrs()...)
	local := memorylimit.New(memorylimit.Config{})
	log := &waittest.Log{}
	b := ratelimit.NewBreaker(ratelimit.BreakerConfig{Shared: e, Local: local, Cause: redisclient.Cause, Log: slog.New(slog.NewTextHandler(log, nil))})
	b.Reach(t.Context())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	waittest.Poll(t, func() bool { return b.Err() == nil })
	cluster.Nodes[0].Freeze(t)
	asked := 0
	for b.Err() == nil { // until a key is the silent node's
		var d ratelimit.Decision
		_, _ = b.Take(t.Context(), []ratelimit.Check{check(t, fmt.Sprintf("{%d}", asked), "5/minute")}, &d, true)
		if asked++; asked > 100 {
			t.Fatal("no key is on the node")
		}
	}
	if !errors.Is(b.Err(), os.ErrDeadlineExceeded) {
		t.Errorf("it is open for %v", b.Err())
	}
	cluster.Nodes[0].Thaw(t)
	waittest.Poll(t, func() bool { return b.Err() == nil })
	log.Until(t, func() bool { return strings.Contains(log.String(), "count again") })
}
