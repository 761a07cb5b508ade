package s3target_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"manus/backup"
	"manus/backup/s3target"
	"manus/backup/targettest"
	"manus/internal/processtest"
	"manus/internal/s3test"
)

// part is the smallest part that S3 takes.
const part = 5 << 20

// openPlace opens the target that a place of the suite stands for.
func openPlace(place string) (backup.Target, error) {
	var config s3target.Config
	if err := json.Unmarshal([]byte(place), &config); err != nil {
		return nil, err
	}
	return s3target.New(config)
}

func TestMain(m *testing.M) {
	roles := targettest.Roles(openPlace)
	roles["uploads"] = uploadForever
	processtest.Play(roles)
	code := m.Run()
	goroutines := ours()
	for begun := time.Now(); goroutines != "" && time.Since(begun) < time.Minute; goroutines = ours() {
		runtime.Gosched() // what has just been told to end is given the time for it
	}
	if code == 0 && goroutines != "" {
		fmt.Fprintf(os.Stderr, "these are left running:\n%s\n", goroutines)
		code = 1
	}
	os.Exit(code)
}

// ours is the goroutines that do something of the package's.
func ours() string {
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	var found []string
	for goroutine := range strings.SplitSeq(string(all), "\n\n") {
		if strings.Contains(goroutine, "manus/backup/s3target.") {
			found = append(found, goroutine)
		}
	}
	return strings.Join(found, "\n\n")
}

func TestABucketIsATarget(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	targettest.Run(t, func(t *testing.T) targettest.Harness {
		config := settings(server, server.Bucket(t))
		place, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		later := open(t, config)
		later.SetOrphanAfter(-time.Hour)
		return targettest.Harness{Target: open(t, config), Other: open(t, config), Later: later, PartSize: part, Place: string(place)}
	})
}

// settings are those of a prefix of the bucket, with small parts.
func settings(server *s3test.Server, bucket string) s3target.Config {
	return s3target.Config{
		Bucket: bucket, Prefix: "some/backups", Endpoint: server.Endpoint, Region: server.Region,
		AccessKey: server.AccessKey, SecretKey: server.SecretKey, PartSize: part,
	}
}

func open(t *testing.T, config s3target.Config) *s3target.Target {
	t.Helper()
	target, err := s3target.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

func TestABandwidthIsKeptBothWays(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	config := settings(server, server.Bucket(t))
	config.Bandwidth = 4
	target := open(t, config)
	const size = 2 << 20
	least := func(what string, do func() error) {
		t.Helper()
		began := time.Now()
		err := do()
		if took := time.Since(began); err != nil || took < 450*time.Millisecond {
			t.Errorf("%s takes %v, %v", what, took, err)
		}
	}
	least("writing", func() error { return target.Put(t.Context(), "file", make([]byte, size)) })
	least("reading", func() error {
		file, err := target.Open(t.Context(), "file")
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, file)
		if n != size {
			t.Errorf("it has %d bytes", n)
		}
		return errors.Join(err, file.Close())
	})
}
