package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// receiver makes a receiver of webhooks at $RECEIVER that answers with a status, or another
// one from now on: receiver 404.
func receiver(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	answer := &of(ts).receiver
	if answer.Swap(int32(status)) != 0 {
		return
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(answer.Load())) }))
	ts.Defer(server.Close)
	ts.Setenv("RECEIVER", server.URL)
}

// awaitAlert waits until the running server has an alert of a status, and sets $ALERT to the
// id of the first.
func awaitAlert(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, ts.Getenv("URL")+"/api/v1/ops/alerts?status="+args[0], nil)
		ts.Check(err)
		r.Header.Set("Authorization", "Bearer "+ts.Getenv("TOKEN"))
		response, err := http.DefaultClient.Do(r)
		ts.Check(err)
		var page struct{ Items []struct{ ID string } }
		err = json.NewDecoder(response.Body).Decode(&page)
		_ = response.Body.Close()
		ts.Check(err)
		if len(page.Items) > 0 {
			ts.Setenv("ALERT", page.Items[0].ID)
			return
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
	ts.Fatalf("no alert is %s", args[0])
}
