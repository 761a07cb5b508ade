package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/getsentry/sentry-go"
)

// Bugs, each of which is met in several ways. The number v says in which: with which values
// and through which caller. That two events are of one bug was decided here, by what somebody
// would have to mend, before anything grouped them.

var (
	users   = [4]string{"amal", "omar", "layla", "noor"}
	goods   = [4]string{"tea", "coffee", "dates", "bread"}
	numbers = [4]int{17, 40413, 8, 923}
	ids     = [4]string{"0b7c5d0a-6c1f-4a53-9a3b-7c0a4bb4f0d1", "f3b1a9d2-0d5e-4f6a-8a1c-2e9b7d6c5a40", "5d41402a-bc4b-4a76-b971-9d911017c592", "7d793037-a076-4890-9c2b-4f5c6d7e8f90"}
	hashes  = [4]string{"da39a3ee5e6b4b0d3255bfef95601890afd80709", "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", "de9f2c7fd25e1b3afad3e85a0bd17d9b100db4b3", "a9993e364706816aba3e25717850c26c9cd0d89d"}
)

type httpError struct {
	method, path string
	status       int
}

func (e *httpError) Error() string {
	return fmt.Sprintf("%s %s answered %d", e.method, e.path, e.status)
}

type user struct{ profile *profile }
type profile struct{ picture string }

func capture(err error) {
	if err != nil {
		sentry.CaptureException(err)
	}
}

// failWith is one helper of unrelated bugs.
func failWith(message string) { panic(errors.New(message)) }

func check(method, path string, status int) { panic(&httpError{method, path, status}) }

func divide(amount int, rates map[string]int) int { return amount / rates["eur"] }

func deep(n int) string {
	if n == 0 {
		var u *user
		return u.profile.picture
	}
	return deep(n-1) + "/"
}

func query(host string) error { return fmt.Errorf("dial tcp %s:5432: i/o timeout", host) }

type cart struct{}

func (cart) total(v int) { panic(fmt.Errorf("the price of %s isn't a number", goods[v])) }

type invoice struct{}

func (invoice) total(v int) { panic(fmt.Errorf("invoice %d has no lines", numbers[v])) }

func checkout(v int) int { return divide(numbers[v], map[string]int{"usd": 1}) }

func refund(v int) int { amount := -numbers[v]; return divide(amount, nil) }

func showProfile(int)  { fmt.Println((&user{}).profile.picture) }
func payOrder(v int)   { capture(&paymentError{numbers[v], nil}) }
func reserve(v int)    { capture(fmt.Errorf("there is no stock of %s", goods[v])) }
func loadOrder(v int)  { check("GET", fmt.Sprintf("/orders/%d", numbers[v]), 404) }
func saveOrder(v int)  { check("POST", fmt.Sprintf("/orders/%d", numbers[v]), 500) }
func readConfig(int)   { failWith("the configuration has no name") }
func sendMail(v int)   { failWith("mail to " + users[v] + " was refused") }
func printReceipt(int) { failWith("the printer has no paper") }
func listTree(v int)   { fmt.Println(deep(5 + 9*v)) }
func resume(v int)     { capture(fmt.Errorf("session %s has expired", ids[v])) }
func loadStock(v int) {
	var all sync.WaitGroup
	hub := sentry.CurrentHub().Clone()
	all.Go(func() { hub.CaptureException(query(fmt.Sprintf("10.0.%d.7", v))) })
	all.Wait()
}

func sumUp(v int) {
	prices := []*order{{1}, {2}, nil}
	sum := func(o *order) int { return o.number + v }
	for _, o := range prices {
		fmt.Println(sum(o))
	}
}

func parseConfig(v int) {
	var into map[string]int
	capture(json.Unmarshal([]byte([4]string{"{a", "[1,", `{"b":`, "nul"}[v]), &into))
}

func parseCart(v int) {
	var into []int
	capture(json.Unmarshal([]byte([4]string{"}", "<html>", "", `{"items":}`}[v]), &into))
}

// convert has two paths to one bug: rates that have no euro.
func convert(v int) {
	if v%2 == 1 {
		refund(v)
	}
	checkout(v)
}

func diskFull(v int) { sentry.CaptureMessage(fmt.Sprintf("the disk is %d%% full", 91+v)) }

func queueLong(v int) {
	sentry.CaptureMessage(fmt.Sprintf("%d jobs wait in the queue of %s", numbers[v], [4]string{"mails", "alerts", "mails", "backups"}[v]))
}

func dailyReport(v int) {
	capture(fmt.Errorf("the report failed: %w", query(fmt.Sprintf("db-%d.internal", v+1))))
}

func weeklyReport(int) {
	_, err := strconv.Atoi("")
	capture(fmt.Errorf("the report failed: %w", err))
}

func showCart(v int)    { cart{}.total(v) }
func showInvoice(v int) { invoice{}.total(v) }

func deliveryDay(v int) {
	_, err := time.Parse(time.DateOnly, fmt.Sprintf("2026-13-0%d", v+1))
	capture(err)
}

func openShop(v int) {
	_, err := url.Parse("http://[" + goods[v])
	capture(err)
}

func connectMail(v int) { capture(fmt.Errorf("lookup mx%d.example.com: no such host", v)) }
func signIn(v int)      { capture(fmt.Errorf("there is no account %s@example.com", users[v])) }

func readObject(v int) {
	_, err := os.Open("/srv/app/objects/" + hashes[v])
	capture(err)
}

func listPages(v int)  { fmt.Println(goods[:numbers[v]]) }
func runHook(v int)    { var hook any = users[v]; hook.(func())() }
func sayPanic(v int)   { panic("the till of " + users[v] + " is empty") }
func writeRates(v int) { var rates map[string]int; rates[goods[v]] = v }
func closeTwice(int)   { c := make(chan int); close(c); close(c) }
func keepReceipt(v int) {
	capture(&fs.PathError{Op: "write", Path: "/srv/app/receipts/" + ids[v], Err: fs.ErrPermission})
}

var bugs = []struct {
	name string
	meet func(v int)
}{
	{"user-without-profile", showProfile}, {"order-unpaid", payOrder}, {"stock-missing", reserve},
	{"upstream-404", loadOrder}, {"upstream-500", saveOrder}, {"helper-config", readConfig},
	{"helper-mail", sendMail}, {"helper-printer", printReceipt}, {"recursion-tree", listTree},
	{"session-expired", resume}, {"database-timeout", loadStock}, {"anonymous-sum", sumUp},
	{"config-json", parseConfig}, {"cart-json", parseCart}, {"rate-missing", convert},
	{"disk-message", diskFull}, {"queue-message", queueLong}, {"report-database", dailyReport},
	{"report-number", weeklyReport}, {"cart-total", showCart}, {"invoice-total", showInvoice},
	{"invalid-date", deliveryDay}, {"invalid-url", openShop}, {"mail-host", connectMail},
	{"account-unknown", signIn}, {"object-lost", readObject}, {"page-bounds", listPages},
	{"hook-type", runHook}, {"till-panic", sayPanic}, {"nil-map", writeRates},
	{"closed-channel", closeTwice}, {"receipt-permission", keepReceipt},
}

//go:noinline
func fromPage(meet func(int), v int) { defer sentry.Recover(); meet(v) }

//go:noinline
func fromJob(meet func(int), v int) { defer sentry.Recover(); number := v; meet(number) }

//go:noinline
func fromWebhook(meet func(int), v int) {
	defer sentry.Recover()
	for _, n := range []int{v} {
		meet(n)
	}
}

// meetAll meets every bug as the version of the program does: of four ways the first has two,
// the second the others.
func meetAll(version int) {
	for _, bug := range bugs {
		for v := 2*version - 2; v < 2*version; v++ {
			sentry.WithScope(func(s *sentry.Scope) {
				s.SetTag("bug", bug.name)
				[]func(func(int), int){fromPage, fromJob, fromWebhook, fromPage}[v](bug.meet, v)
			})
		}
		if !sentry.Flush(patience) {
			fail(errors.New("not everything could be sent"))
		}
	}
}

// releaseOf is the release that plays the scenario: bugs are met in several.
func releaseOf(scenario string) string {
	version, ok := strings.CutPrefix(scenario, "bugs=")
	if !ok {
		return "shop@1.4.2"
	}
	return "shop@" + version + ".0.0"
}
