package report

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestOwnServerIsAHostAndAPort: another port of the host is another server.
func TestOwnServerIsAHostAndAPort(t *testing.T) {
	t.Parallel()
	for dsn, own := range map[string]bool{
		"https://key@app.example.com/1": true, "https://key@APP.example.com:443/1": true, "http://key@app.example.com/1": true,
		"https://key@app.example.com:9000/1": false, "http://key@app.example.com:443/1": true, "https://key@other.example.com/1": false, "": true,
	} {
		r, err := New(Config{DSN: dsn, PublicURL: "https://app.example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if r.ToOwn() != own {
			t.Errorf("%s is the own server: %v", dsn, !own)
		}
	}
	for public, own := range map[string]bool{"http://localhost:8080": true, "http://localhost:8081": false, "http://localhost": false, "": false} {
		r, err := New(Config{DSN: "http://key@localhost:8080/1", PublicURL: public})
		if err != nil {
			t.Fatal(err)
		}
		if r.ToOwn() != own {
			t.Errorf("port 8080 is of %q: %v", public, !own)
		}
	}
}

// TestATrialSaysHowLongItWaited: what ended the waiting is no text for people.
func TestATrialSaysHowLongItWaited(t *testing.T) {
	t.Parallel()
	r, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = r.Try(ctx, false, nil) // it isn't started, so nothing is delivered
	if err == nil || !strings.HasPrefix(err.Error(), "the test event wasn't delivered within ") || strings.Contains(err.Error(), "context") {
		t.Errorf("it says %v", err)
	}
}
