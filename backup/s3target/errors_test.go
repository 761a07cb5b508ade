package s3target_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"manus/backup"
	"manus/backup/s3target"
	"manus/backup/targettest"
	"manus/internal/s3test"
)

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*s3target.Config)
		fault  s3test.Fault
		want   string
	}{
		"an unknown access key": {func(c *s3target.Config) { c.AccessKey = "unknown" }, s3test.Fault{}, "correct the access key"},
		"a wrong secret key":    {func(c *s3target.Config) { c.SecretKey = "wrong-secret-key" }, s3test.Fault{}, "correct the secret key"},
		"a missing bucket":      {func(c *s3target.Config) { c.Bucket = "there-is-none" }, s3test.Fault{}, "the bucket there-is-none doesn't exist"},
		"a wrong region":        {func(c *s3target.Config) { c.Region = "mars-1" }, s3test.Fault{}, "region"},
		"a clock that is off":   {nil, s3test.Answer(403, "RequestTimeTooSkewed"), "NTP"},
		"no permission":         {nil, s3test.Answer(403, "AccessDenied"), "allow it s3:"},
		"an expired token":      {nil, s3test.Answer(400, "ExpiredToken"), "get new temporary keys"},
		"another error":         {nil, s3test.Answer(405, "MethodNotAllowed"), "405 MethodNotAllowed"},
		"a redirect":            {nil, s3test.Redirect(307, "http://127.0.0.1:1/"), "isn't in the region or at the endpoint"},
		"https at a http port":  {func(c *s3target.Config) { c.Endpoint = strings.Replace(c.Endpoint, "http:", "https:", 1) }, s3test.Fault{}, "http or https"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changes []func(*s3target.Config)
			if c.change != nil {
				changes = append(changes, c.change)
			}
			r := newRig(t, s3test.Always(c.fault), changes...)
			committed, _ := r.upload(t.Context(), "file", targettest.Bytes(1, part+1))
			put := r.target.Put(t.Context(), "file", []byte("text"))
			_, listed := r.target.List(t.Context(), "")
			_, cleaned := r.target.Clean(t.Context(), "", nil)
			for _, err := range []error{committed, put, listed, cleaned} {
				says(t, r.config, err, c.want)
				if errors.Is(err, backup.ErrUnavailable) {
					t.Errorf("a later try won't succeed: %v", err)
				}
			}
		})
	}
}

// says checks that an error has some words, in one line and without a secret.
func says(t *testing.T, config s3target.Config, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v\ndoesn't say in one line: %s", err, want)
	}
	if err != nil && strings.Contains(err.Error(), config.SecretKey) {
		t.Errorf("a secret is in: %v", err)
	}
}

func TestAServiceThatRepeatsSecretsIsNotRepeated(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	r := newRig(t, s3test.Always(s3test.Answer(418, "What is "+server.SecretKey+"?")))
	err := r.target.Put(t.Context(), "file", nil)
	says(t, r.config, err, "refuses")
}

func TestAServiceThatIsGoneIsUnavailable(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	server := s3test.Start(t)
	config := settings(server, "bucket")
	config.Endpoint = "http://" + listener.Addr().String()
	target := open(t, config)
	target.SetRetry(3, time.Millisecond, time.Millisecond, time.Second)
	_, opened := target.Open(t.Context(), "file")
	_, listed := target.List(t.Context(), "")
	for _, err := range []error{opened, listed, target.Put(t.Context(), "file", nil), target.Remove(t.Context(), "file")} {
		says(t, config, err, "connection refused; check the endpoint")
		if !errors.Is(err, backup.ErrUnavailable) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v", err)
		}
	}
}

func TestAServiceThatIsOverloadedIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, fault := range []s3test.Fault{s3test.Answer(503, "SlowDown"), s3test.Answer(429, "TooManyRequests"), s3test.Redirect(500, "")} {
		r := newRig(t, s3test.Always(fault))
		r.target.SetRetry(4, time.Millisecond, time.Millisecond, time.Second)
		if err := r.target.Put(t.Context(), "file", nil); !errors.Is(err, backup.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if n := r.proxy.Count("PutObject"); n != 4 {
			t.Errorf("it was tried %d times", n)
		}
	}
}

func TestRedirectsLeadNowhere(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 307, 308} {
		r := newRig(t, s3test.Always(s3test.Redirect(status, elsewhere.URL)))
		if _, err := r.target.List(t.Context(), ""); err == nil {
			t.Errorf("%d is followed", status)
		}
		if err := r.target.Put(t.Context(), "file", []byte("text")); err == nil {
			t.Errorf("%d is followed", status)
		}
	}
	if n := visits.Load(); n > 0 {
		t.Errorf("%d requests have gone elsewhere", n)
	}
}

func TestWrongSettingsAreFoundBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	good := s3target.Config{Bucket: "bucket", AccessKey: "key", SecretKey: "secret-of-the-key"}
	if _, err := s3target.New(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*s3target.Config)
		want   string
	}{
		"no bucket":         {func(c *s3target.Config) { c.Bucket = "" }, "needs a name"},
		"a path as bucket":  {func(c *s3target.Config) { c.Bucket = "a/b" }, "without slashes"},
		"no keys":           {func(c *s3target.Config) { c.AccessKey = "" }, "access key"},
		"small parts":       {func(c *s3target.Config) { c.PartSize = 1 << 20 }, "5 MiB"},
		"an odd lock":       {func(c *s3target.Config) { c.LockMode, c.LockDays = "tight", 1 }, "governance or compliance"},
		"a lock of no days": {func(c *s3target.Config) { c.LockMode = "governance" }, "number of days"},
		"days of no lock":   {func(c *s3target.Config) { c.LockDays = 3 }, "mode"},
		"odd encryption":    {func(c *s3target.Config) { c.Encryption = "rot13" }, "AES256 or aws:kms"},
		"a key of no use":   {func(c *s3target.Config) { c.Encryption, c.KMSKey = "AES256", "id" }, "aws:kms"},
		"negative times":    {func(c *s3target.Config) { c.Timeout = -1 }, "negative"},
		"no URL":            {func(c *s3target.Config) { c.Endpoint = "s3.example.com" }, "https://"},
		"another scheme":    {func(c *s3target.Config) { c.Endpoint = "ftp://s3.example.com" }, "https://"},
		"keys in a URL":     {func(c *s3target.Config) { c.Endpoint = "https://key:secret-of-the-key@s3.example.com" }, "without keys"},
		"a path in a URL":   {func(c *s3target.Config) { c.Endpoint = "https://s3.example.com/bucket" }, "without a path"},
	} {
		config := good
		c.change(&config)
		_, err := s3target.New(config)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret-of-the-key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATargetIsNamedByItsURL(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{"": "s3://bucket", "/a/b/": "s3://bucket/a/b"} {
		target := open(t, s3target.Config{Bucket: "bucket", Prefix: prefix, AccessKey: "key", SecretKey: "secret"})
		if got := fmt.Sprint(target); got != want {
			t.Errorf("%s rather than %s", got, want)
		}
	}
}

func TestTheRegionIsAskedForWhenNoneIsSet(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, func(c *s3target.Config) { c.Region = "" })
	if err := r.target.Put(context.Background(), "file", []byte("text")); err != nil {
		t.Error(err)
	}
	if got := r.object(t, "file"); string(got) != "text" {
		t.Errorf("%q", got)
	}
}
