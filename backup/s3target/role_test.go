package s3target_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"manus/backup"
	"manus/internal/s3test"
)

// TestKeysOfARoleAreAskedForAgain isn't parallel: a role is found by the environment.
func TestKeysOfARoleAreAskedForAgain(t *testing.T) {
	server := s3test.Start(t)
	var asked atomic.Int32
	var broken atomic.Bool
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if broken.Load() {
			http.Error(w, "no role", http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{ // or the test sees that there are no keys
			"AccessKeyId": server.AccessKey, "SecretAccessKey": server.SecretKey, "Token": "", "Expiration": time.Now().Add(time.Second),
		})
	}))
	t.Cleanup(metadata.Close)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", metadata.URL)
	config := settings(server, server.Bucket(t))
	config.AccessKey, config.SecretKey, config.Role = "", "", true
	target := open(t, config)
	target.SetRetry(2, time.Millisecond, time.Millisecond, time.Second)
	if err := target.Put(t.Context(), "file", []byte("text")); err != nil {
		t.Fatal(err)
	}
	for asked.Load() < 2 { // the first ones end
		if _, err := target.List(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	broken.Store(true)
	for {
		_, err := target.List(t.Context(), "")
		if err == nil {
			continue // until they end
		}
		if !errors.Is(err, backup.ErrUnavailable) || !strings.Contains(err.Error(), "role") || strings.Contains(err.Error(), server.SecretKey) {
			t.Errorf("it says %v", err)
		}
		break
	}
}

// A temporary key goes with its token.
func TestATemporaryKeyHasAToken(t *testing.T) {
	t.Parallel()
	tokens := make(chan string, 100)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens <- r.Header.Get("X-Amz-Security-Token")
		http.Error(w, "", http.StatusForbidden)
	}))
	t.Cleanup(service.Close)
	config := settings(&s3test.Server{}, "bucket")
	config.Endpoint, config.Region, config.AccessKey, config.SecretKey, config.SessionToken = service.URL, "eu", "key", "secret", "token"
	if err := open(t, config).Put(t.Context(), "file", []byte("text")); err == nil {
		t.Error("it isn't refused")
	}
	if got := <-tokens; got != "token" {
		t.Errorf("the token is %q", got)
	}
}
