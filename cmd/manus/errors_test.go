package main

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// capture sets a variable to what is in the output: capture DSN REGEXP.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindString(ts.ReadFile("stdout"))
	if found == "" {
		ts.Fatalf("%s isn't in the output", args[1])
	}
	ts.Setenv(args[0], found)
}

// report sends an event to $DSN, as soon as its project is known: report FILE. It sends an
// envelope with: report FILE envelope.
func report(ts *testscript.TestScript, _ bool, args []string) {
	dsn, err := url.Parse(ts.Getenv("DSN"))
	ts.Check(err)
	path := "/store/"
	if len(args) > 1 {
		path = "/" + args[1] + "/"
	}
	target := ts.Getenv("URL") + "/api" + dsn.Path + path + "?sentry_key=" + dsn.User.Username()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(ts.ReadFile(args[0])))
		ts.Check(err)
		response, err := http.DefaultClient.Do(r)
		ts.Check(err)
		ts.Check(response.Body.Close())
		if response.StatusCode == http.StatusOK {
			return
		}
		if response.StatusCode != http.StatusForbidden {
			ts.Fatalf("%s", response.Status)
		}
		time.Sleep(100 * time.Millisecond) // a key that was just made is known within a second; wrong ones are limited
	}
}
