package remote

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"manus/internal/waittest"
	"manus/uptime"
)

// answering is a server that answers so.
func answering(t *testing.T, status int, body string) (*Server, *waittest.Log) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer mk_x" {
			t.Errorf("the key is %q", r.Header.Get("Authorization"))
		}
		if status/100 == 3 {
			w.Header().Set("Location", "https://elsewhere.example.com/")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	log := &waittest.Log{}
	return New(server.URL+"/", "mk_x", "1", slog.New(slog.NewTextHandler(log, nil))), log
}

func TestWhatAServerSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		want   error
		text   string
	}{
		{200, `{"version":"x","kept":2}`, nil, ""},
		{200, `<html>`, nil, "isn't Manus's"},
		{302, ``, nil, "answers 302"},
		{401, `{"type":"/problems/unauthorized"}`, uptime.ErrNotAllowed, ""},
		{403, `nginx`, uptime.ErrNotAllowed, ""},
		{404, `nginx`, nil, "no Manus"},
		{409, `{"type":"/problems/place-taken"}`, uptime.ErrPlaceTaken, ""},
		{409, `{"type":"/problems/own-place"}`, uptime.ErrOwnPlace, ""},
		{409, `{"type":"/problems/too-many-places"}`, uptime.ErrTooManyPlace, ""},
		{413, ``, uptime.ErrReport, ""},
		{422, `{"type":"/problems/invalid-request","detail":"The request is not what this address takes"}`, uptime.ErrReport, "same version"},
		{503, strings.Repeat("x", 1<<20), nil, "answers 503"},
	} {
		server, _ := answering(t, c.status, c.body)
		receipt, err := server.HandIn(t.Context(), uptime.Report{Place: "fra"})
		switch {
		case c.want != nil && !errors.Is(err, c.want), c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)):
			t.Errorf("%d %.50q: %v", c.status, c.body, err)
		case c.want == nil && c.text == "" && (err != nil || receipt.Version != "x" || receipt.Kept != 2):
			t.Errorf("%d: %+v %v", c.status, receipt, err)
		}
		if err != nil && strings.Contains(err.Error(), "mk_x") {
			t.Errorf("the key is told: %v", err)
		}
	}
}

func TestWhatThisVersionCannotWatchIsLeftOut(t *testing.T) {
	t.Parallel()
	server, log := answering(t, 200, fmt.Sprintf(`{"version":"x","monitors":[{"id":"api","type":"tcp","url":"api.example.com:80","every":%d,"timeout":%d},{"id":"new","type":"telepathy","url":"x"},{"id":"child","type":"tcp","url":"api.example.com:81","parent":"elsewhere"}]}`, time.Minute, time.Second))
	list, err := server.Watched(t.Context(), "fra")
	if err != nil || len(list.Monitors) != 2 || list.Monitors[1].Parent != "elsewhere" || list.Monitors[0].ID != "api" || list.Monitors[0].Every != time.Minute || !strings.Contains(log.String(), "monitors.new") {
		t.Errorf("%+v %v %s", list, err, log)
	}
}

func TestWhichServersAreReachedInTheClear(t *testing.T) {
	t.Parallel()
	for text, clear := range map[string]bool{"https://app.example.com": false, "http://localhost:8080": false, "http://127.0.0.1": false, "http://[::1]:8080": false, "http://app.example.com": true, "http://10.0.0.1": true} {
		if err := CheckURL(text); err != nil || IsClear(text) != clear {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"", "app.example.com", "ftp://app.example.com", "https://user:password@app.example.com", "https://app.example.com?x", "https://"} {
		if CheckURL(text) == nil {
			t.Errorf("%q is one", text)
		}
	}
}
