// Command shop is a program that reports with sentry-go: shop SCENARIO. Where it reports to
// is in SENTRY_DSN. It is a module of its own, and only tests start it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/getsentry/sentry-go"
	sentryhttp "github.com/getsentry/sentry-go/http"
)

// patience is how long the program waits until all has been sent.
const patience = 20 * time.Second

func main() {
	name, count, _ := strings.Cut(os.Args[1], "=")
	scenario, ok := scenarios[name]
	if !ok {
		fail(fmt.Errorf("there is no scenario %q", name))
	}
	n, _ := strconv.Atoi(count) // which scenarios without a number don't look at
	err := sentry.Init(sentry.ClientOptions{
		Release:          releaseOf(os.Args[1]),
		Environment:      "production",
		ServerName:       "web-1",
		AttachStacktrace: true,
		EnableTracing:    name == "transaction",
		TracesSampleRate: 1,
	})
	if err != nil {
		fail(err)
	}
	play(scenario, n)
	if !sentry.Flush(patience) {
		fail(errors.New("not everything could be sent"))
	}
}

// play reports what the scenario panics with.
func play(scenario func(n int), n int) {
	defer sentry.Recover()
	scenario(n)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

var scenarios = map[string]func(n int){
	"uncaught":     func(int) { var order *order; order.pay() },
	"string-panic": func(int) { panic("the till is empty") },
	"caught":       func(int) { sentry.CaptureException(pay(17)) },
	"wrapped":      func(int) { sentry.CaptureException(fmt.Errorf("checkout: %w", fmt.Errorf("order 17: %w", errStock))) },
	"locals":       func(int) { sentry.CaptureException(charge("hunter2-correct-horse", "4111111111111111")) },
	"message":      func(int) { sentry.CaptureMessage("the shop is open") },
	"template":     func(int) { sentry.CaptureMessage(fmt.Sprintf("stock of %s is %d", "tea", 3)) },
	"context":      withContext,
	"fingerprint": func(int) {
		sentry.ConfigureScope(func(s *sentry.Scope) { s.SetFingerprint([]string{"{{ default }}", "database-down"}) })
		sentry.CaptureException(pay(17))
	},
	"transaction": transaction,
	"checkin":     checkIns,
	"attachment": func(int) {
		sentry.ConfigureScope(func(s *sentry.Scope) {
			s.AddAttachment(&sentry.Attachment{Filename: "order.txt", ContentType: "text/plain", Payload: []byte("one tea\ntwo coffees\n")})
			s.AddAttachment(&sentry.Attachment{Filename: "cart.bin", Payload: []byte{0, '\n', '\r', '\n', 255}})
		})
		sentry.CaptureException(pay(17))
	},
	"many": func(n int) {
		for i := range n {
			sentry.CaptureException(&paymentError{i, errStock})
			if i%20 == 19 && !sentry.Flush(patience) {
				fail(errors.New("not everything could be sent"))
			}
		}
	},
	"recursion": func(int) { depth(40) },
	"rejection": func(int) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer sentry.Recover()
			var stock map[string]int
			stock["tea"]++
		}()
		<-done
	},
	"route": route,
	"bugs":  meetAll,
}

var errStock = errors.New("out of stock")

type order struct{ number int }

func (o *order) pay() { fmt.Println(o.number) }

type paymentError struct {
	order int
	cause error
}

func (e *paymentError) Error() string { return fmt.Sprintf("order %d can't be paid", e.order) }
func (e *paymentError) Unwrap() error { return e.cause }

func connect() error {
	_, err := os.Open("/srv/app/till.sock")
	return err
}

func pay(number int) error { return &paymentError{number, connect()} }

func charge(password, card string) error {
	return fmt.Errorf("card %s declined with password=%s: %w", card, password, fs.ErrPermission)
}

func depth(n int) int {
	if n == 0 {
		panic(errors.New("too deep"))
	}
	return depth(n-1) + 1
}

func withContext(int) {
	sentry.ConfigureScope(func(s *sentry.Scope) {
		s.SetUser(sentry.User{ID: "7", Username: "amal", Email: "amal@example.com", IPAddress: "203.0.113.9"})
		s.SetTags(map[string]string{"plan": "team", "region": "eu-central"})
		s.SetContext("cart", sentry.Context{"items": 3, "total": "41.50"})
	})
	sentry.AddBreadcrumb(&sentry.Breadcrumb{Category: "auth", Message: "signed in", Level: sentry.LevelInfo, Data: map[string]any{"method": "passkey"}})
	sentry.AddBreadcrumb(&sentry.Breadcrumb{Category: "cart", Message: "three items", Level: sentry.LevelInfo})
	sentry.CaptureException(pay(17))
}

func transaction(int) {
	whole := sentry.StartTransaction(context.Background(), "GET /orders/:id", sentry.WithOpName("http.server"))
	query := whole.StartChild("db.query", sentry.WithDescription("SELECT * FROM orders"))
	query.Finish()
	render := whole.StartChild("template", sentry.WithDescription("render"))
	render.Finish()
	whole.Status = sentry.SpanStatusOK
	whole.Finish()
}

func checkIns(int) {
	monitor := func(slug string, schedule sentry.MonitorSchedule, end sentry.CheckInStatus) {
		config := &sentry.MonitorConfig{Schedule: schedule, CheckInMargin: 2, MaxRuntime: 10, Timezone: "Asia/Riyadh"}
		id := sentry.CaptureCheckIn(&sentry.CheckIn{MonitorSlug: slug, Status: sentry.CheckInStatusInProgress}, config)
		sentry.CaptureCheckIn(&sentry.CheckIn{ID: *id, MonitorSlug: slug, Status: end, Duration: 1500 * time.Millisecond}, config)
	}
	monitor("backup-crontab", sentry.CrontabSchedule("*/5 * * * *"), sentry.CheckInStatusOK)
	monitor("backup-interval", sentry.IntervalSchedule(2, sentry.MonitorScheduleUnitHour), sentry.CheckInStatusError)
}

// route is a server of its own, asked once for an order that can't be paid.
func route(int) {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /orders/{id}", func(_ http.ResponseWriter, r *http.Request) {
		number, _ := strconv.Atoi(r.PathValue("id"))
		panic(pay(number))
	})
	server := httptest.NewServer(sentryhttp.New(sentryhttp.Options{}).Handle(routes))
	defer server.Close()
	request, err := http.NewRequest(http.MethodGet, server.URL+"/orders/17?token=s3cret-token", nil)
	if err != nil {
		fail(err)
	}
	request.Header.Set("Authorization", "Bearer s3cret-token")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fail(err)
	}
	response.Body.Close()
}
