package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/language"
	"manus/mail"
	"manus/notify"
	"manus/notify/channels"
)

// alerts is the service that is measured, on a file of its own.
type alerts struct {
	*notify.Service
	path  string
	ahead atomic.Int64 // of the clock
	web   string
	stop  func()
}

const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

func webhook(id, url string) notify.ChannelConfig {
	return notify.ChannelConfig{ID: id, Type: "webhook", URL: url, Secret: secret, AllowPrivate: true}
}

// start starts alerts by a policy on a new file. "mail" is a channel by mail, others are
// webhooks, such as "web" or "slow/100ms".
func start(atMost notify.AtMost, rules []notify.Rule, names ...string) (*alerts, error) {
	addresses := strings.Fields(os.Getenv("MANUS_BENCH_RECEIVERS"))
	dir, err := os.MkdirTemp("", "manus-bench-*")
	if err != nil {
		return nil, err
	}
	a := &alerts{path: filepath.Join(dir, "data.db"), web: addresses[1]}
	policy := notify.Policy{AtMost: atMost, Rules: rules}
	for _, name := range names {
		c := webhook(strings.Split(name, "/")[0], "http://"+a.web+"/"+name)
		if name == "mail" {
			c = notify.ChannelConfig{ID: "mail", Type: "mail", To: []string{"ops@example.com"}}
		}
		policy.Channels = append(policy.Channels, c)
	}
	smtp, err := mail.NewSMTP("smtp://"+addresses[0]+"?tls=off", "alerts@example.com")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	store, err := sqlitedocs.Open(ctx, a.path)
	if err != nil {
		cancel()
		return nil, err
	}
	err = store.Declare(ctx, notify.Specs()...)
	if err == nil {
		a.Service, err = notify.New(notify.Config{
			Store: store, Policy: policy, Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
			Now: func() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) },
			Channels: func(c notify.ChannelConfig) ([]notify.Channel, error) {
				return channels.New(c, channels.Dependencies{SendMail: smtp.Send})
			},
		})
	}
	if err != nil {
		cancel()
		return nil, err
	}
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	a.stop = func() { cancel(); <-done; _ = store.Close(); _ = os.RemoveAll(dir) }
	return a, nil
}

// event is the n-th one of a kind; its title has when it was told.
func event(kind string, n int) notify.Event {
	now := time.Now()
	return notify.Event{
		Kind: kind, Subject: "health", Occurrence: strconv.Itoa(n), At: docstore.At(now),
		Title: language.Text{En: fmt.Sprintf("Health %d is down %d", n, now.UnixNano()), Ar: "الصحة متوقفة"},
		Text:  language.Text{En: "It answered 500.", Ar: "أجاب 500."}, URL: "https://app.example.com/x",
	}
}

// await waits until so many messages have come on a channel.
func (a *alerts) await(channel string, n int) ([]arrival, error) {
	var all []arrival
	for begin := time.Now(); len(all) < n; time.Sleep(20 * time.Millisecond) {
		more, err := taken(a.web, channel)
		if err != nil {
			return nil, err
		}
		if all = append(all, more...); time.Since(begin) > time.Minute {
			return all, fmt.Errorf("%d of %d have come on %s", len(all), n, channel)
		}
	}
	return all, nil
}

// delays are the times from the events to their arrival, sorted.
func delays(all []arrival) []time.Duration {
	var times []time.Duration
	for _, a := range all {
		words := strings.Fields(a.Title)
		told, err := strconv.ParseInt(words[len(words)-1], 10, 64)
		if err == nil {
			times = append(times, time.Duration(a.At-told))
		}
	}
	slices.Sort(times)
	return times
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))].Round(10 * time.Microsecond)
}

// many is as many alerts as there are: of the last moment alone, so that the window is no
// longer than settings let it be.
var many = notify.AtMost{Alerts: 1 << 20, Within: 100 * time.Millisecond}

func play(role string, events int, length time.Duration) error {
	switch role {
	case "latency":
		return latency(length)
	case "throughput":
		return throughput()
	case "frozen":
		return frozen()
	}
	return storm(events)
}

// latency tells events at a rate, of two lanes, while a third hangs.
func latency(length time.Duration) error {
	fmt.Println("| events /s, while another receiver hangs | webhook p50 | p99 | mail p50 | p99 |\n| ---: | ---: | ---: | ---: | ---: |")
	for _, rate := range []int{10, 100, 500} {
		a, err := start(many, nil, "mail", "web", "hang")
		if err != nil {
			return err
		}
		n := rate * int(length/time.Second)
		var telling sync.WaitGroup
		var failure atomic.Pointer[error]
		for i, begin := 0, time.Now(); i < n; i++ {
			time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))))
			telling.Go(func() {
				if err := a.Tell(context.Background(), event("monitor.down", i)); err != nil {
					failure.Store(&err)
				}
			})
		}
		telling.Wait()
		if err := failure.Load(); err != nil {
			return *err
		}
		web, err := a.await("web", n)
		mails, mailErr := a.await("mail", n)
		if err := errors.Join(err, mailErr); err != nil {
			return err
		}
		w, m := delays(web), delays(mails)
		fmt.Printf("| %d | %v | %v | %v | %v |\n", rate, quantile(w, .5), quantile(w, .99), quantile(m, .5), quantile(m, .99))
		a.stop()
	}
	return nil
}

// throughput is what one lane delivers of events that are all there.
func throughput() error {
	fmt.Println("| one lane, its receiver takes | events | delivered /s |\n| --- | ---: | ---: |")
	for _, c := range []struct {
		name, says string
		n          int
	}{{"mail", "mails at once", 2000}, {"web", "webhooks at once", 2000}, {"slow/100ms", "webhooks in 100 ms", 400}} {
		a, err := start(many, nil, c.name)
		if err != nil {
			return err
		}
		begin := time.Now()
		if err := tellAll(a, "monitor.down", c.n, false); err != nil {
			return err
		}
		if _, err := a.await(strings.Split(c.name, "/")[0], c.n); err != nil {
			return err
		}
		fmt.Printf("| %s | %d | %.0f |\n", c.says, c.n, float64(c.n)/time.Since(begin).Seconds())
		a.stop()
	}
	return nil
}

// tellers is from how many sides events come at once.
const tellers = 64

// tellAll tells of n events, or of their ends; what fails is told again.
func tellAll(a *alerts, kind string, n int, over bool) error {
	var next atomic.Int64
	var telling sync.WaitGroup
	errs := make([]error, tellers)
	for t := range tellers {
		telling.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				e := event(kind, i)
				e.Over = over
				for try := 0; ; try++ {
					if errs[t] = a.Tell(context.Background(), e); errs[t] == nil {
						break
					}
					if !errors.Is(errs[t], docstore.ErrUnavailable) || try > 100 {
						return
					}
				}
			}
		})
	}
	telling.Wait()
	return errors.Join(errs...)
}

// frozen has the store's file locked by another for 10 s while alerts are sent.
func frozen() error {
	const n = 500
	a, err := start(many, nil, "mail", "web")
	if err != nil {
		return err
	}
	defer a.stop()
	db, err := sql.Open("sqlite", a.path)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it is read only
	told := make(chan error, 1)
	go func() { told <- tellAll(a, "monitor.down", n, false) }()
	time.Sleep(100 * time.Millisecond)
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(context.Background(), "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE"); err != nil {
		return err
	}
	time.Sleep(10 * time.Second)
	if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		return err
	}
	if err := <-told; err != nil {
		return err
	}
	begin := time.Now()
	web, err := a.await("web", n)
	mails, mailErr := a.await("mail", n)
	if err := errors.Join(err, mailErr); err != nil {
		return err
	}
	fmt.Printf("The store locked for 10 s while %d events are told: %d webhooks and %d mails came (more: sent twice), the last %v after it was told.\n",
		n, len(web), len(mails), time.Since(begin).Round(10*time.Millisecond))
	return nil
}

// storm tells of a storm, and of its end.
func storm(n int) error {
	rules := []notify.Rule{{On: "monitor.down", Channels: []string{"mail", "web"}}, {On: "store.damaged", Channels: []string{"other"}}}
	a, err := start(notify.AtMost{Alerts: 10, Within: 10 * time.Minute}, rules, "mail", "web", "other")
	if err != nil {
		return err
	}
	defer a.stop()
	fmt.Println("| a storm | events | took | /s | messages, webhook | mail | RSS after | peak |\n| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |")
	fmt.Printf("| before | | | | | | %s | %s |\n", memory("VmRSS"), memory("VmHWM"))
	stop := make(chan struct{})
	others := make(chan int)
	go func() {
		i := 0
		defer func() { others <- i }()
		for ; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Minute / 10): // the other channel's share too
			}
			_ = a.Tell(context.Background(), event("store.damaged", i))
		}
	}()
	step := func(name string, events int, do func() (mails, web []arrival, err error)) error {
		begin := time.Now()
		mails, web, err := do()
		if err != nil {
			return err
		}
		took := time.Since(begin)
		time.Sleep(3 * time.Second) // what is under way
		moreWeb, err := taken(a.web, "web")
		more, mailErr := taken(a.web, "mail")
		mails, web = append(mails, more...), append(web, moreWeb...)
		if err := errors.Join(err, mailErr); err != nil {
			return err
		}
		fmt.Printf("| %s | %d | %v | %.0f | %s | %d | %s | %s |\n", name, events, took.Round(10*time.Millisecond), float64(events)/took.Seconds(), summary(web), len(mails), memory("VmRSS"), memory("VmHWM"))
		return nil
	}
	jump := func(d time.Duration) func() (mails, web []arrival, err error) {
		return func() (mails, web []arrival, err error) {
			a.ahead.Add(int64(d))
			mails, err = a.await("mail", 1)
			web, webErr := a.await("web", 1)
			return mails, web, errors.Join(err, webErr)
		}
	}
	all := func(over bool) func() (mails, web []arrival, err error) {
		return func() (mails, web []arrival, err error) { return nil, nil, tellAll(a, "monitor.down", n, over) }
	}
	if err := step("beginnings", n, all(false)); err != nil {
		return err
	}
	close(stop)
	told := <-others
	other, err := a.await("other", min(told, 10))
	if err != nil {
		return err
	}
	if err := step("their digest", n, jump(10*time.Minute)); err != nil {
		return err
	}
	if err := step("ends", n, all(true)); err != nil {
		return err
	}
	if err := step("their digest", n, jump(2*time.Minute)); err != nil {
		return err
	}
	d := delays(other)
	fmt.Printf("\nAnother kind of alert on a channel of its own, during the beginnings: %d, p50 %v, the slowest %v.\n", len(d), quantile(d, .5), quantile(d, 1))
	if file, err := os.Stat(a.path); err == nil {
		fmt.Printf("The store has %d MB.\n", file.Size()>>20)
	}
	return nil
}

// summary counts messages by state, with the titles of digests.
func summary(all []arrival) string {
	counts, titles := map[string]int{}, ""
	for _, a := range all {
		counts[a.State]++
		if a.State == "digest" {
			titles += ": " + a.Title
		}
	}
	return strings.Trim(fmt.Sprint(counts), "map[]") + titles
}

// memory is a line of this process's status.
func memory(name string) string {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return fmt.Sprintf("%d MiB", kb>>10)
		}
	}
	return ""
}
