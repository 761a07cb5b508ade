// Command limits measures Manus's rate limits beside others', on one Redis that it
// starts: the same decision about two windows in turn, several rounds, medians and
// ratios. What decides about one window at a time is asked twice, as its users have
// to. It prints tables in Markdown; RESULTS.md keeps what was seen and when.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislimiter"
	golimiter "github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	throttledstore "github.com/throttled/throttled/v2/store/goredisstore.v9"
	"github.com/ulule/limiter/v3"
	ululestore "github.com/ulule/limiter/v3/drivers/store/redis"

	"manus/internal/redisclient"
	"manus/ratelimit"
	"manus/ratelimit/memorylimit"
	"manus/ratelimit/redislimit"
)

func main() {
	rounds := flag.Int("rounds", 7, "how often each is measured, in turn")
	length := flag.Duration("length", 1500*time.Millisecond, "how long each measurement takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *length); err != nil {
		fmt.Fprintln(os.Stderr, "limits:", err)
		os.Exit(1)
	}
}

// decide asks about a key; its error is a fault, not a refusal.
type decide func(ctx context.Context, key string) error

// contender is what is measured.
type contender struct {
	name  string
	make  func() decide // one for each goroutine
	rates []float64
	p99   []time.Duration
	redis []float64 // Redis's CPU time for a decision, in µs
}

func run(ctx context.Context, rounds int, length time.Duration) error {
	addr, end, err := startRedis()
	if err != nil {
		return err
	}
	defer end()
	fmt.Printf("%s, %d processors, Redis and client included; %d rounds of %v in turn, 10,000 keys; medians.\n\n", runtime.Version(), runtime.NumCPU(), rounds, length)
	for _, c := range []struct {
		title      string
		limit      string
		goroutines int
	}{
		{"Two windows, 5/minute and 20/hour (most are refused), 64 goroutines", "5/minute, 20/hour", 64},
		{"Two windows, 1,000/minute and 10,000/hour (most are admitted), 64 goroutines", "1000/minute, 10000/hour", 64},
		{"Two windows, 5/minute and 20/hour, one goroutine", "5/minute, 20/hour", 1},
	} {
		all, closeAll, err := contenders(addr, c.limit)
		if err != nil {
			return err
		}
		for range rounds {
			for _, one := range all {
				if err := measure(ctx, addr, one, c.goroutines, length); err != nil {
					return fmt.Errorf("%s: %w", one.name, err)
				}
			}
		}
		closeAll()
		report(c.title, all)
	}
	if err := fiveLimits(ctx, addr, rounds, length); err != nil {
		return err
	}
	if err := memory(ctx, rounds, length); err != nil {
		return err
	}
	return faults(ctx, rounds)
}

// faults freezes a Redis and measures how long decisions take then, and how long
// after it goes on they are made by it again.
func faults(ctx context.Context, rounds int) error {
	var first, open, back []time.Duration
	for range rounds {
		addr, process, end, err := startRedisProcess()
		if err != nil {
			return err
		}
		client, err := connect(addr)
		if err != nil {
			return err
		}
		e := redislimit.New(redislimit.Config{Client: client})
		breaker := ratelimit.NewBreaker(ratelimit.BreakerConfig{
			Shared: e, Probe: e.Probe, Local: memorylimit.New(memorylimit.Config{}), Log: slog.New(slog.DiscardHandler),
		})
		checks := []ratelimit.Check{{Key: "k", Limit: parse("1000000/hour"), Cost: 1}}
		var d ratelimit.Decision
		take := func() (time.Duration, error) {
			begin := time.Now()
			err := breaker.Take(ctx, checks, &d)
			return time.Since(begin), err
		}
		for range 100 {
			if _, err := take(); err != nil {
				return err
			}
		}
		if err := process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		took, _ := take()
		first = append(first, took)
		slowest := time.Duration(0)
		for range 10_000 {
			took, _ := take()
			slowest = max(slowest, took)
		}
		open = append(open, slowest)
		if err := process.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		begin := time.Now()
		for {
			if _, err := take(); err == nil {
				break
			}
		}
		back = append(back, time.Since(begin))
		client.Close()
		end()
	}
	fmt.Printf("\nRedis frozen: the first decision takes %v, the slowest of 10,000 after it %v; once it goes on, it counts again after %v.\n", median(first).Round(time.Millisecond), median(open), median(back).Round(time.Millisecond))
	return nil
}

func parse(text string) ratelimit.Limit {
	l, err := ratelimit.ParseLimit(text)
	if err != nil {
		panic(err)
	}
	return l
}

// ours is Manus's engine, without the memory of denials in front of it.
func ours(addr string) (*redislimit.Engine, error) {
	client, err := connect(addr)
	if err != nil {
		return nil, err
	}
	return redislimit.New(redislimit.Config{Client: client, Timeout: 5 * time.Second}), nil
}

func connect(addr string) (*redisclient.Client, error) {
	client, err := redisclient.New("redis://" + addr)
	if err != nil {
		return nil, err
	}
	return client, client.Connect()
}

func taking(e ratelimit.Engine, limits ...ratelimit.Limit) func() decide {
	return func() decide {
		checks := make([]ratelimit.Check, len(limits))
		var d ratelimit.Decision
		return func(ctx context.Context, key string) error {
			for i, l := range limits {
				checks[i] = ratelimit.Check{Key: key, Limit: l, Cost: 1}
				if i > 0 {
					checks[i].Key = key + strconv.Itoa(i)
				}
			}
			return e.Take(ctx, checks, &d)
		}
	}
}

func contenders(addr, text string) (all []*contender, closeAll func(), err error) {
	limit := parse(text)
	e, err := ours(addr)
	if err != nil {
		return nil, nil, err
	}
	client := redis.NewClient(&redis.Options{Addr: addr, PoolSize: 64})
	rate := redis_rate.NewLimiter(client)
	ulule, err := ululestore.NewStoreWithOptions(client, limiter.StoreOptions{Prefix: "ulule"})
	if err != nil {
		return nil, nil, err
	}
	throttledStore, err := throttledstore.NewCtx(client, "throttled")
	if err != nil {
		return nil, nil, err
	}
	var throttledBy []*throttled.GCRARateLimiterCtx
	var rueidisBy []rueidislimiter.RateLimiterClient
	for _, w := range limit {
		t, err := throttled.NewGCRARateLimiterCtx(throttledStore, throttled.RateQuota{MaxRate: throttled.PerDuration(w.N, w.Per), MaxBurst: w.N - 1})
		if err != nil {
			return nil, nil, err
		}
		throttledBy = append(throttledBy, t)
		r, err := rueidislimiter.NewRateLimiter(rueidislimiter.RateLimiterOption{
			ClientOption: rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true}, KeyPrefix: fmt.Sprint("rueidis", w.N), Limit: w.N, Window: w.Per,
		})
		if err != nil {
			return nil, nil, err
		}
		rueidisBy = append(rueidisBy, r)
	}
	same := func(d decide) func() decide { return func() decide { return d } }
	all = []*contender{
		{name: "Manus", make: taking(e, limit)},
		{name: "redis_rate v10.0.1", make: same(func(ctx context.Context, key string) error {
			for _, w := range limit {
				_, err := rate.Allow(ctx, key+w.String(), redis_rate.Limit{Rate: w.N, Burst: w.N, Period: w.Per})
				if err != nil {
					return err
				}
			}
			return nil
		})},
		{name: "ulule v3.11.2", make: same(func(ctx context.Context, key string) error {
			for _, w := range limit {
				if _, err := ulule.Get(ctx, key+w.String(), limiter.Rate{Period: w.Per, Limit: int64(w.N)}); err != nil {
					return err
				}
			}
			return nil
		})},
		{name: "throttled v2.15.0", make: same(func(ctx context.Context, key string) error {
			for i, t := range throttledBy {
				if _, _, err := t.RateLimitCtx(ctx, key+strconv.Itoa(i), 1); err != nil {
					return err
				}
			}
			return nil
		})},
		{name: "rueidislimiter v1.0.76", make: same(func(ctx context.Context, key string) error {
			for _, r := range rueidisBy {
				if _, err := r.Allow(ctx, key); err != nil {
					return err
				}
			}
			return nil
		})},
	}
	return all, func() { _ = client.Close() }, nil
}

// measure runs one contender for a while.
func measure(ctx context.Context, addr string, c *contender, goroutines int, length time.Duration) error {
	before, err := redisCPU(addr)
	if err != nil {
		return err
	}
	took, elapsed, err := hammer(ctx, c.make, goroutines, length)
	if err != nil {
		return err
	}
	after, err := redisCPU(addr)
	if err != nil {
		return err
	}
	c.rates = append(c.rates, float64(len(took))/elapsed.Seconds())
	c.p99 = append(c.p99, took[len(took)*99/100])
	c.redis = append(c.redis, (after-before)*1e6/float64(len(took)))
	return nil
}

func hammer(ctx context.Context, make func() decide, goroutines int, length time.Duration) (took []time.Duration, elapsed time.Duration, err error) {
	var mu sync.Mutex
	var over atomic.Bool
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	begin := time.Now()
	timer := time.AfterFunc(length, func() { over.Store(true) })
	defer timer.Stop()
	for range goroutines {
		decide := make()
		wg.Go(func() {
			var mine []time.Duration
			random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
			for !over.Load() && ctx.Err() == nil {
				key := "k" + strconv.Itoa(random.IntN(10_000))
				start := time.Now()
				if err := decide(ctx, key); err != nil {
					failed.Store(&err)
					return
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wg.Wait()
	elapsed = time.Since(begin)
	if err := failed.Load(); err != nil {
		return nil, 0, *err
	}
	if len(took) == 0 {
		return nil, 0, errors.Join(errors.New("nothing was decided"), ctx.Err())
	}
	slices.Sort(took)
	return took, elapsed, nil
}

func report(title string, all []*contender) {
	fmt.Printf("%s:\n\n| | decisions /s | ratio | p99 | Redis CPU a decision |\n| --- | ---: | ---: | ---: | ---: |\n", title)
	us := median(all[0].rates)
	for _, c := range all {
		fmt.Printf("| %s | %.0f | %.1f× | %v | %.1f µs |\n", c.name, median(c.rates), us/median(c.rates), median(c.p99).Round(10*time.Microsecond), median(c.redis))
	}
	fmt.Println()
}

func median[T ~int64 | ~float64](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// fiveLimits compares a request that has five limits with one that has one.
func fiveLimits(ctx context.Context, addr string, rounds int, length time.Duration) error {
	e, err := ours(addr)
	if err != nil {
		return err
	}
	l := parse("5/minute, 20/hour")
	all := []*contender{{name: "one limit", make: taking(e, l)}, {name: "five limits", make: taking(e, l, l, l, l, l)}}
	for range rounds {
		for _, c := range all {
			if err := measure(ctx, addr, c, 64, length); err != nil {
				return err
			}
		}
	}
	report("Manus, one limit and five on one request (of two windows each), 64 goroutines", all)
	return nil
}

// memory compares the engines in memory: ours with two windows, go-limiter with
// one.
func memory(ctx context.Context, rounds int, length time.Duration) error {
	e := memorylimit.New(memorylimit.Config{})
	store, err := golimiter.New(&golimiter.Config{Tokens: 5, Interval: time.Minute})
	if err != nil {
		return err
	}
	defer store.Close(ctx)
	limit := parse("5/minute, 20/hour")
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = "k" + strconv.Itoa(i)
	}
	var two, one []time.Duration
	for range rounds {
		two = append(two, each(length, func() func(i int) {
			checks := []ratelimit.Check{{Limit: limit, Cost: 1}}
			var d ratelimit.Decision
			return func(i int) {
				checks[0].Key = keys[i%len(keys)]
				_ = e.Take(ctx, checks, &d)
			}
		}))
		one = append(one, each(length, func() func(i int) {
			return func(i int) { _, _, _, _, _ = store.Take(ctx, keys[i%len(keys)]) }
		}))
	}
	fmt.Printf("In memory, on every processor: Manus, two windows, %v; go-limiter v0.7.1, one, %v: %.2f× its time.\n",
		median(two), median(one), float64(median(two))/float64(median(one)))
	return nil
}

// each is the time that one call takes, with a goroutine on every processor.
func each(length time.Duration, make func() func(i int)) time.Duration {
	var over atomic.Bool
	var total atomic.Int64
	var wg sync.WaitGroup
	timer := time.AfterFunc(length, func() { over.Store(true) })
	defer timer.Stop()
	begin := time.Now()
	for range runtime.NumCPU() {
		call := make()
		wg.Go(func() {
			i := rand.IntN(10_000)
			n := 0
			for ; !over.Load(); n++ {
				call(i + n)
			}
			total.Add(int64(n))
		})
	}
	wg.Wait()
	return time.Duration(int64(time.Since(begin)) / max(1, total.Load()))
}

// startRedis runs a redis-server that keeps nothing.
func startRedis() (addr string, end func(), err error) {
	addr, _, end, err = startRedisProcess()
	return addr, end, err
}

func startRedisProcess() (addr string, process *os.Process, end func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, nil, err
	}
	addr = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return "", nil, nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning")
	if err := cmd.Start(); err != nil {
		return "", nil, nil, fmt.Errorf("install redis-server: %w", err)
	}
	end = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err = redisCPU(addr); err == nil {
			return addr, cmd.Process, end, nil
		}
	}
	end()
	return "", nil, nil, err
}

// redisCPU is the processor time that the server has used, in seconds.
func redisCPU(addr string) (float64, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("INFO cpu\r\nQUIT\r\n")); err != nil {
		return 0, err
	}
	text := make([]byte, 4096)
	n := 0
	for n < len(text) && !strings.Contains(string(text[:n]), "+OK") {
		more, err := conn.Read(text[n:])
		n += more
		if err != nil {
			break
		}
	}
	sum := 0.0
	for line := range strings.Lines(string(text[:n])) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && (name == "used_cpu_sys" || name == "used_cpu_user") {
			used, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, err
			}
			sum += used
		}
	}
	if sum == 0 {
		return 0, errors.New("Redis doesn't say what it has used")
	}
	return sum, nil
}
