package s3target_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"manus/backup"
	"manus/backup/s3target"
	"manus/backup/targettest"
	"manus/internal/processtest"
	"manus/internal/s3test"
)

// quick are the ways in which a request may fail at once and another one may not; faults
// are those in which nothing is heard any more as well.
var (
	quick = []s3test.Fault{
		s3test.Answer(503, "SlowDown"), s3test.Answer(429, "TooManyRequests"), s3test.Answer(500, "InternalError"),
		s3test.Answer(502, "BadGateway"), requestTimeout,
		s3test.ResetRequest, s3test.ResetResponse, s3test.LoseResponse,
	}
	faults = append(slices.Clone(quick), s3test.Stall, s3test.StallResponse)
)

var requestTimeout = s3test.Answer(400, "RequestTimeout")

// rig is a target on a bucket of its own, by way of a proxy.
type rig struct {
	server *s3test.Server
	proxy  *s3test.Proxy
	direct *minio.Core
	config s3target.Config
	target *s3target.Target
}

// newRig sets up a target that tries again soon.
func newRig(t *testing.T, plan s3test.Plan, options ...func(*s3target.Config)) *rig {
	t.Helper()
	server := s3test.Start(t)
	r := &rig{server: server, proxy: server.Proxy(t, plan), direct: server.Client(t)}
	r.config = settings(server, server.Bucket(t, s3test.ObjectLock))
	r.config.Endpoint, r.config.Timeout = r.proxy.Endpoint, time.Minute
	for _, option := range options {
		option(&r.config)
	}
	r.target = open(t, r.config)
	r.target.SetRetry(10, 5*time.Millisecond, 50*time.Millisecond, 2*r.config.Timeout)
	return r
}

// impatient is for tests in which requests stall.
func impatient(c *s3target.Config) { c.Timeout = 2 * time.Second }

// object is what the server itself has for a file; nil for none.
func (r *rig) object(t *testing.T, name string) []byte {
	t.Helper()
	body, _, _, err := r.direct.GetObject(context.Background(), r.config.Bucket, r.config.Prefix+"/"+name, minio.GetObjectOptions{})
	if err != nil {
		if minio.ToErrorResponse(err).Code != "NoSuchKey" {
			t.Fatal(err)
		}
		return nil
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// unfinished is the keys of the uploads that the server itself has.
func (r *rig) unfinished(t *testing.T) (keys []string) {
	t.Helper()
	result, err := r.direct.ListMultipartUploads(context.Background(), r.config.Bucket, "", "", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, upload := range result.Uploads {
		keys = append(keys, upload.Key)
	}
	return keys
}

// upload writes a file and says what its Commit and its Release say.
func (r *rig) upload(ctx context.Context, name string, data []byte) (committed, released error) {
	upload, err := r.target.Create(ctx, name, int64(len(data)))
	if err != nil {
		return err, nil
	}
	_, err = upload.Write(data)
	if err == nil {
		err = upload.Commit()
	}
	return err, upload.Release()
}

func TestUploadsAreRightOrFailWhenThirtyPercentOfAllRequestsDo(t *testing.T) {
	t.Parallel()
	r := newRig(t, thirtyPercent(quick))
	if failed := uploadAll(t, r, rounds(75), nil); failed > rounds(75)/10 {
		t.Errorf("%d uploads have failed", failed)
	}
	if keys := r.unfinished(t); len(keys) > 0 {
		t.Errorf("unfinished uploads are left: %q", keys)
	}
}

// A service that is silent for too long is given up, and may yet do what it was asked for:
// what is left then goes with the next Clean. On a busy machine it is silent for long by itself.
func TestUploadsAreRightOrFailWhenManyRequestsAreNotAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t, thirtyPercent(faults), impatient)
	uploadAll(t, r, rounds(45), backup.ErrUnavailable)
	r.proxy.Plan(s3test.First(0, s3test.Stall)) // which is none
	cleansAll(t, r)
}

// thirtyPercent lets as many requests fail. A look at an object doesn't fail by an answer
// that says why in its body, as it has none.
func thirtyPercent(faults []s3test.Fault) s3test.Plan {
	random := s3test.Random(42, 30, faults...)
	return func(request s3test.Request) s3test.Fault {
		fault := random(request)
		if fault == requestTimeout && request.Operation == "HeadObject" {
			return s3test.ResetRequest
		}
		return fault
	}
}

// uploadAll uploads files, several at once, and says how many have failed, of which there is
// no object. Releasing them fails with no other error than that which is allowed.
func uploadAll(t *testing.T, r *rig, files int, allowed error) int {
	t.Helper()
	const atATime = 15
	data := targettest.Bytes(1, 2*part+100_000)
	var failed atomic.Int64
	var workers sync.WaitGroup
	next := make(chan int)
	for range atATime {
		workers.Go(func() {
			for i := range next {
				name, contents := fmt.Sprintf("file-%d", i), data[i%1000:][:sizeOf(i)]
				committed, released := r.upload(t.Context(), name, contents)
				if committed != nil {
					failed.Add(1)
				}
				if released != nil && (allowed == nil || !errors.Is(released, allowed)) {
					t.Errorf("%s can't be released: %v", name, released)
				}
				if released == nil || committed == nil {
					r.checkFile(t, name, contents, committed)
				}
			}
		})
	}
	for i := range files {
		next <- i
	}
	close(next)
	workers.Wait()
	t.Logf("%d requests, %d of them failed, %d of %d uploads given up", len(r.proxy.Requests()), countFaults(r.proxy), failed.Load(), files)
	return int(failed.Load())
}

// checkFile wants the object of a file that was committed, and none of one that wasn't.
func (r *rig) checkFile(t *testing.T, name string, contents []byte, committed error) {
	t.Helper()
	got := r.object(t, name)
	switch {
	case committed == nil && !bytes.Equal(got, contents):
		t.Errorf("%s has %d bytes of %d, or others", name, len(got), len(contents))
	case committed != nil && (got != nil || !errors.Is(committed, backup.ErrUnavailable)):
		t.Errorf("%s has failed (%v), and is there with %d bytes", name, committed, len(got))
	}
}

// sizeOf is the size of the i-th file: small ones, ones of two parts, and some of three.
func sizeOf(i int) int {
	switch {
	case i%3 != 0:
		return 1000 * i % part
	case i%30 == 0:
		return 2*part + 50_000
	}
	return part + 1 + i%1000
}

// rounds is how often a test does what luck has a part in.
func rounds(usually int) int {
	return processtest.Size(processtest.CrashRounds, usually)
}

func countFaults(proxy *s3test.Proxy) (n int) {
	for _, request := range proxy.Requests() {
		if request.Fault != (s3test.Fault{}) {
			n++
		}
	}
	return n
}

func TestReadingIsRightWhenHalfOfAllAnswersBreak(t *testing.T) {
	t.Parallel()
	r := newRig(t, s3test.Operations(s3test.Random(7, 50, faults...), "GetObject"), impatient)
	data := targettest.Bytes(1, 1<<20)
	if committed, _ := r.upload(t.Context(), "file", data); committed != nil {
		t.Fatal(committed)
	}
	for range 10 {
		file, err := r.target.Open(t.Context(), "file")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(file)
		if err := errors.Join(err, file.Close()); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes of %d: %v", len(got), len(data), err)
		}
	}
	if n := r.proxy.Count("GetObject"); n < 13 {
		t.Errorf("there were %d requests, so that nothing has failed", n)
	}
}

func TestReadingEndsWithAnErrorWhenNothingComesAnyMore(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	data := targettest.Bytes(1, 48<<20) // more than connections hold
	if committed, _ := r.upload(t.Context(), "file", data); committed != nil {
		t.Fatal(committed)
	}
	file, err := r.target.Open(t.Context(), "file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.ReadFull(file, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	r.proxy.Plan(s3test.Always(s3test.ResetRequest))
	r.target.SetRetry(3, time.Millisecond, time.Millisecond, time.Second)
	r.proxy.CloseConnections()
	if _, err := io.ReadAll(file); !errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestAFileThatIsReplacedWhileItIsReadIsNotMixed(t *testing.T) {
	t.Parallel()
	r := newRig(t, s3test.Operations(s3test.First(1, s3test.ResetResponse), "GetObject"))
	if err := r.target.Put(t.Context(), "file", bytes.Repeat([]byte("a"), 100_000)); err != nil {
		t.Fatal(err)
	}
	file, err := r.target.Open(t.Context(), "file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := r.target.Put(t.Context(), "file", bytes.Repeat([]byte("b"), 100_000)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(file); err == nil || bytes.Contains(got, []byte("b")) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
}

func TestALostAnswerOfTheLastRequestIsFoundOut(t *testing.T) {
	t.Parallel()
	data := targettest.Bytes(1, part+1)
	for name, plan := range map[string]s3test.Plan{
		"once":   s3test.First(1, s3test.LoseResponse),
		"always": s3test.Always(s3test.LoseResponse),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, s3test.Operations(plan, "CompleteMultipartUpload"))
			if committed, released := r.upload(t.Context(), "file", data); committed != nil || released != nil {
				t.Fatal(committed, released)
			}
			if !bytes.Equal(r.object(t, "file"), data) {
				t.Error("the object is another")
			}
			if n := r.proxy.Count("CompleteMultipartUpload"); n < 2 {
				t.Errorf("nothing was lost in %d requests", n)
			}
		})
	}
}

func TestAnUploadThatNeverEndsLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size      int
		operation string
		fault     s3test.Fault
	}{
		"its parts never arrive":                 {part + 1, "UploadPart", s3test.ResetRequest},
		"its parts never are put together":       {part + 1, "CompleteMultipartUpload", s3test.Answer(503, "SlowDown")},
		"it has begun but nobody knows":          {part + 1, "CreateMultipartUpload", s3test.LoseResponse},
		"it is there but can't be looked at":     {part + 1, "HeadObject", s3test.Answer(503, "SlowDown")},
		"it is there as a whole and nobody says": {100, "PutObject", s3test.LoseResponse},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, s3test.Operations(s3test.First(4, c.fault), c.operation))
			r.target.SetRetry(4, time.Millisecond, time.Millisecond, time.Second)
			committed, released := r.upload(t.Context(), "file", targettest.Bytes(1, c.size))
			if !errors.Is(committed, backup.ErrUnavailable) || released != nil {
				t.Errorf("it is committed: %v, and released: %v", committed, released)
			}
			if object, keys := r.object(t, "file"), r.unfinished(t); object != nil || len(keys) > 0 {
				t.Errorf("it leaves %d bytes and %q", len(object), keys)
			}
		})
	}
}

func TestAnUploadWhoseBeginningWasLostLeavesNothingElse(t *testing.T) {
	t.Parallel()
	r := newRig(t, s3test.Operations(s3test.First(2, s3test.LoseResponse), "CreateMultipartUpload"))
	data := targettest.Bytes(1, part+1)
	if committed, released := r.upload(t.Context(), "file", data); committed != nil || released != nil {
		t.Fatal(committed, released)
	}
	if keys := r.unfinished(t); len(keys) > 0 || !bytes.Equal(r.object(t, "file"), data) {
		t.Errorf("%q are left", keys)
	}
}

func TestAFileThatHasBecomeAnotherIsNotCommitted(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, part + 1} {
		r := newRig(t, nil)
		r.proxy.Plan(func(request s3test.Request) s3test.Fault {
			if request.Operation == "HeadObject" && request.Attempt == 1 {
				_, err := r.direct.PutObject(context.Background(), r.config.Bucket, request.Key, strings.NewReader("other"), 5, "", "", minio.PutObjectOptions{DisableContentSha256: true})
				if err != nil {
					t.Error(err)
				}
			}
			return s3test.Fault{}
		})
		committed, released := r.upload(t.Context(), "file", targettest.Bytes(1, size))
		if committed == nil || released != nil || !strings.Contains(committed.Error(), "5 bytes") {
			t.Errorf("%d bytes are committed: %v, and released: %v", size, committed, released)
		}
		if object := r.object(t, "file"); object != nil {
			t.Errorf("%q is left", object)
		}
	}
}

func TestACommitSaysWhyAPartHasFailedMeanwhile(t *testing.T) {
	t.Parallel()
	claiming := make(chan struct{})
	r := newRig(t, func(request s3test.Request) s3test.Fault {
		switch {
		case request.Operation == "UploadPart":
			return s3test.Answer(403, "AccessDenied").After(claiming)
		case request.Operation == "CreateMultipartUpload" && request.Attempt == 2:
			close(claiming)
			return s3test.Stall
		}
		return s3test.Fault{}
	})
	r.target.SetGrace(100 * time.Millisecond)
	committed, released := r.upload(t.Context(), "file", targettest.Bytes(1, part+1))
	if committed == nil || !strings.Contains(committed.Error(), "allow it s3:PutObject") || released != nil {
		t.Errorf("it is committed: %v, and released: %v", committed, released)
	}
}

func TestAFileHasNoMorePartsThanS3Takes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.target.SetMaxParts(2)
	if committed, _ := r.upload(t.Context(), "just", targettest.Bytes(1, 2*part)); committed != nil {
		t.Error(committed)
	}
	upload, err := r.target.Create(t.Context(), "too-large", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = upload.Write(targettest.Bytes(1, 2*part+1))
	if err == nil {
		err = upload.Commit()
	}
	if err == nil || !strings.Contains(err.Error(), "larger than 2 parts of 5 MiB") {
		t.Errorf("%v", err)
	}
	if err := upload.Release(); err != nil || r.object(t, "too-large") != nil || len(r.unfinished(t)) > 0 {
		t.Errorf("left are an object of %d bytes and the uploads %q: %v", len(r.object(t, "too-large")), r.unfinished(t), err)
	}
}

// S3 may still do what a request asks for that was cut off, after it has said that there
// is no such object.
func TestWhatIsUnderWayWhenAFileIsGivenUpLeavesNothing(t *testing.T) {
	t.Parallel()
	arrived, done := make(chan struct{}), make(chan struct{})
	r := newRig(t, s3test.Operations(s3test.First(1, s3test.Late(arrived, done)), "PutObject"))
	ctx, giveUp := context.WithCancel(t.Context())
	released := make(chan error, 1)
	go func() {
		_, err := r.upload(ctx, "file", targettest.Bytes(1, 100))
		released <- err
	}()
	r.proxy.Await(t, "PutObject", 1)
	giveUp()
	for i := 0; i < 30 && r.proxy.Count("HeadObject") == 0; i++ {
		time.Sleep(10 * time.Millisecond) // nothing is asked, unless it is cut off
	}
	close(arrived)
	<-done
	if err := <-released; err != nil || r.object(t, "file") != nil {
		t.Errorf("an object of %d bytes is left: %v", len(r.object(t, "file")), err)
	}
}

func TestPartsAreAsLargeAsTheFileNeeds(t *testing.T) {
	t.Parallel()
	target := open(t, s3target.Config{Bucket: "b", AccessKey: "a", SecretKey: "s"})
	const gibi = 1 << 30
	for _, c := range []struct {
		size                   int64
		wantPart, wantInMemory int
	}{
		{-1, 8 << 20, 4}, {0, 8 << 20, 4}, {gibi, 8 << 20, 4}, {39 * gibi, 8 << 20, 4}, {50 * gibi, 11 << 20, 2}, {1000 * gibi, 205 << 20, 2},
	} {
		size, buffers := target.Parts(c.size)
		if size != c.wantPart || buffers != c.wantInMemory || int64(size)*10_000 < 2*c.size {
			t.Errorf("%d bytes go into parts of %d, %d of them in memory", c.size, size, buffers)
		}
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for i := range 3 {
		if committed, released := r.upload(t.Context(), fmt.Sprint("file-", i), targettest.Bytes(1, 2*part+1)); committed != nil || released != nil {
			t.Fatal(committed, released)
		}
		if _, err := r.target.List(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	var clients []string
	for _, request := range r.proxy.Requests() {
		clients = append(clients, request.Client)
	}
	slices.Sort(clients)
	if all, connections := len(clients), len(slices.Compact(clients)); connections > 5 {
		t.Errorf("%d requests have taken %d connections", all, connections)
	}
}

func TestEverythingEndsSoonAfterItsContext(t *testing.T) {
	t.Parallel()
	data := targettest.Bytes(1, 4*part)
	for name, do := range map[string]func(context.Context, *rig) error{
		"Put":    func(ctx context.Context, r *rig) error { return r.target.Put(ctx, "file", data[:100]) },
		"Open":   func(ctx context.Context, r *rig) error { _, err := r.target.Open(ctx, "file"); return err },
		"List":   func(ctx context.Context, r *rig) error { _, err := r.target.List(ctx, ""); return err },
		"Remove": func(ctx context.Context, r *rig) error { return r.target.Remove(ctx, "file") },
		"Clean":  func(ctx context.Context, r *rig) error { _, err := r.target.Clean(ctx, "", nil); return err },
		"Commit": func(ctx context.Context, r *rig) error {
			upload, err := r.target.Create(ctx, "file", 100)
			if err != nil {
				return err
			}
			_, err = upload.Write(data[:100])
			return errors.Join(err, upload.Commit())
		},
		"Write": func(ctx context.Context, r *rig) error {
			upload, err := r.target.Create(ctx, "file", 100)
			if err != nil {
				return err
			}
			_, err = upload.Write(data)
			return err
		},
	} {
		for fault, plan := range map[string]s3test.Plan{"stalled": s3test.Always(s3test.Stall), "failing": s3test.Always(s3test.Answer(503, "SlowDown"))} {
			t.Run(name+" "+fault, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, nil)
				r.target.SetRetry(100, time.Minute, time.Minute, time.Minute)
				r.target.SetGrace(100 * time.Millisecond)
				arrived := make(chan struct{})
				var once sync.Once
				r.proxy.Plan(func(request s3test.Request) s3test.Fault {
					once.Do(func() { close(arrived) })
					return plan(request)
				})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- do(ctx, r) }()
				<-arrived
				begun := time.Now()
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) || time.Since(begun) > 20*time.Second {
					t.Errorf("%v after %v", err, time.Since(begun))
				}
			})
		}
	}
}

func TestReadingEndsSoonAfterItsContext(t *testing.T) {
	t.Parallel()
	r := newRig(t, s3test.Operations(s3test.Always(s3test.StallResponse), "GetObject"))
	if err := r.target.Put(t.Context(), "file", targettest.Bytes(1, 1000)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	file, err := r.target.Open(ctx, "file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.ReadFull(file, make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, cancel)
	begun := time.Now()
	if _, err := file.Read(make([]byte, 500)); !errors.Is(err, context.Canceled) || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

func TestReleaseDoesNotWaitForAServiceThatIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	upload, err := r.target.Create(ctx, "file", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := upload.Write(targettest.Bytes(1, part+1)); err != nil {
		t.Fatal(err)
	}
	r.proxy.Plan(s3test.Always(s3test.Stall))
	r.target.SetGrace(300 * time.Millisecond)
	cancel()
	begun := time.Now()
	if err := upload.Release(); err == nil || time.Since(begun) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

func TestAFileIsClaimedUntilItIsReleased(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, func(c *s3target.Config) { c.OrphanAfter = 3 * time.Second })
	other := open(t, r.config)
	slow, committed := begin(t, r, "slow"), begin(t, r, "committed")
	if err := committed.Commit(); err != nil {
		t.Fatal(err)
	}
	// Two uploads of parts, and then claims, two every 0.75 s, so that 4.5 s go by.
	r.proxy.Await(t, "CreateMultipartUpload", 2+2*6)
	if removed, err := other.Clean(t.Context(), "", func(string) bool { return true }); err != nil || len(removed) > 0 {
		t.Errorf("%q is cleaned: %v", removed, err)
	}
	if r.object(t, "committed") == nil {
		t.Error("the file is gone")
	}
	if err := errors.Join(slow.Commit(), slow.Release(), committed.Release()); err != nil {
		t.Error(err)
	}
	if keys := r.unfinished(t); len(keys) > 0 {
		t.Errorf("%q are left", keys)
	}
}

// begin writes a file of two parts that isn't committed.
func begin(t *testing.T, r *rig, name string) backup.Upload {
	t.Helper()
	upload, err := r.target.Create(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := upload.Write(targettest.Bytes(1, part+1)); err != nil {
		t.Fatal(err)
	}
	return upload
}

func TestWhatIsMissingIsSaidToBe(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if _, err := r.target.Open(t.Context(), "file"); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, backup.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if n := r.proxy.Count("GetObject"); n != 1 {
		t.Errorf("it was asked for %d times", n)
	}
}
