package backup_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"manus/backup"
	"manus/backup/s3target"
	"manus/internal/waittest"
)

// stalled is a server that takes connections and never says a word.
type stalled struct {
	net.Listener
	mu    sync.Mutex
	taken []net.Conn
}

func startStalled(t *testing.T) *stalled {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stalled{Listener: listener}
	t.Cleanup(s.close)
	go s.take()
	return s
}

func (s *stalled) take() {
	for {
		c, err := s.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.taken = append(s.taken, c)
		s.mu.Unlock()
	}
}

func (s *stalled) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

func (s *stalled) close() {
	_ = s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.taken {
		_ = c.Close()
	}
}

// setup backs up to a folder, and to a bucket on the server.
func (s *stalled) setup(t *testing.T, size int, timeout time.Duration) setup {
	return setup{Database: newDatabase(t, size), Folder: filepath.Join(t.TempDir(), "backups"), S3: &s3target.Config{
		Bucket: "bucket", Endpoint: "http://" + s.Addr().String(), Region: "us-east-1",
		AccessKey: "key", SecretKey: "secret", PartSize: 5 << 20, Timeout: timeout,
	}}
}

// A bucket whose server hangs is given up soon: each step waits for three timeouts until
// one has, and then for one.
func TestABucketThatHangsIsGivenUpSoonAndTheFolderHasItsCopy(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"one part": 8 << 10, "several parts": 12 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startStalled(t)
			service, err := server.setup(t, size, 200*time.Millisecond).service(io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			m, err := service.Create(t.Context(), backup.CreateOptions{})
			if !errors.Is(err, backup.ErrUnavailable) || !m.Verified {
				t.Errorf("there is %+v: %v", m, err)
			}
			if n := server.connections(); n == 0 || n > 8 {
				t.Errorf("it was tried %d times", n)
			}
			if _, err := service.Prune(t.Context(), false); !errors.Is(err, backup.ErrUnavailable) {
				t.Errorf("pruning ends with %v", err)
			}
			if n := server.connections(); n > 9 {
				t.Errorf("pruning has tried it until there were %d connections", n)
			}
		})
	}
}

// While the bucket's server hangs, the folder's copy is listed and verified.
func TestABucketThatHangsDoesNotHoldUpTheFolder(t *testing.T) {
	t.Parallel()
	server := startStalled(t)
	c := server.setup(t, 8<<10, time.Hour)
	service, err := c.service(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	c.S3 = nil
	folder, err := c.service(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := service.Create(ctx, backup.CreateOptions{})
		ended <- err
	}()
	waittest.Poll(t, func() bool {
		all, _ := folder.List(t.Context())
		_, ok := all.NewestVerified()
		return ok
	})
	select {
	case err := <-ended:
		t.Fatalf("it has ended already: %v", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}
