package s3target_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"manus/backup"
	"manus/backup/targettest"
	"manus/internal/processtest"
	"manus/internal/s3test"
)

// crashing is the contents of the files that a process uploads until it is killed, by
// their sizes.
var crashing = sync.OnceValue(func() []byte { return targettest.Bytes(3, 2*part+1000) })

// uploadForever is that process.
func uploadForever(args []string) error {
	target, err := openPlace(args[0])
	for i := 0; err == nil; i++ {
		err = uploadOne(target, fmt.Sprintf("file-%d", i), crashing()[:i%3*(part+500)])
	}
	return err
}

func uploadOne(target backup.Target, name string, data []byte) error {
	upload, err := target.Create(context.Background(), name, 0)
	if err != nil {
		return err
	}
	if _, err := upload.Write(data); err != nil {
		return err
	}
	return errors.Join(upload.Commit(), target.Put(context.Background(), name+".json", []byte(name)), upload.Release())
}

func TestAProcessThatIsKilledLeavesNoHalfOfAFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	random := rand.New(rand.NewPCG(1, 2))
	whole := 0
	for range rounds(6) {
		killAt(t, r, 1+random.IntN(20), time.Duration(random.IntN(20))*time.Millisecond)
		whole += checkWhole(t, r)
		cleansAll(t, r)
	}
	if whole == 0 {
		t.Error("no process has come so far as to end a file")
	}
}

// cleansAll checks that after a Clean nothing is left that was begun and not released, and
// removes the files that were. The service may be about to do what the dead process has
// asked for last, so it may take another one.
func cleansAll(t *testing.T, r *rig) {
	t.Helper()
	later := open(t, r.config)
	later.SetOrphanAfter(-time.Hour)
	var left []string
	for range 5 {
		if _, err := later.Clean(t.Context(), "", func(string) bool { return true }); err != nil {
			t.Error(err)
		}
		if left = r.unfinished(t); len(left) == 0 {
			removeAll(t, later)
			return
		}
	}
	t.Errorf("%q are left", left)
}

func removeAll(t *testing.T, target backup.Target) {
	t.Helper()
	files, err := target.List(t.Context(), "")
	for _, file := range files {
		err = errors.Join(err, target.Remove(t.Context(), file.Name))
	}
	if err != nil {
		t.Error(err)
	}
}

// killAt runs a process that uploads, and kills it so long after its n-th request has
// come.
func killAt(t *testing.T, r *rig, n int, after time.Duration) {
	t.Helper()
	config, err := json.Marshal(r.config)
	if err != nil {
		t.Fatal(err)
	}
	requests := 0
	due := make(chan struct{})
	r.proxy.Plan(func(s3test.Request) s3test.Fault {
		if requests++; requests == n {
			time.AfterFunc(after, func() { close(due) })
		}
		return s3test.Fault{}
	})
	p := processtest.Start(t, "uploads", string(config))
	<-due
	if p.Kill(t); p.Log.Len() > 0 {
		t.Fatalf("before it was killed: %s", &p.Log)
	}
	r.proxy.Plan(nil)
}

// checkWhole checks that every object is what was to be uploaded, and counts them.
func checkWhole(t *testing.T, r *rig) (n int) {
	t.Helper()
	for object := range r.direct.ListObjectsIter(context.Background(), r.config.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		name := strings.TrimPrefix(object.Key, r.config.Prefix+"/")
		want := []byte(strings.TrimSuffix(name, ".json"))
		if i, err := strconv.Atoi(strings.TrimPrefix(name, "file-")); err == nil {
			want = crashing()[:i%3*(part+500)]
		}
		if got := r.object(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes of %d, or others", name, len(got), len(want))
		}
		n++
	}
	return n
}
