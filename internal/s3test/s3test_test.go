package s3test_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"manus/internal/s3test"
)

func TestTheServerKeepsObjects(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	client, bucket := server.Client(t), server.Bucket(t)
	put(t, client, bucket, "some text")
	if got := get(t, client, bucket); got != "some text" {
		t.Errorf("%q", got)
	}
}

func TestTheServerLocksObjects(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	client, bucket := server.Client(t), server.Bucket(t, s3test.ObjectLock)
	mode := minio.Governance
	until := time.Now().Add(time.Hour)
	info := put(t, client, bucket, "locked")
	if err := client.PutObjectRetention(context.Background(), bucket, "object", minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until}); err != nil {
		t.Fatal(err)
	}
	if err := client.RemoveObject(context.Background(), bucket, "object", minio.RemoveObjectOptions{VersionID: info.VersionID}); err == nil {
		t.Error("a locked object is gone")
	}
}

func TestFaultsAreWhatTheyAreCalled(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	for name, c := range map[string]struct {
		fault     s3test.Fault
		operation string
		done      bool // whether the server has done it
	}{
		"a status":        {s3test.Answer(http.StatusServiceUnavailable, "SlowDown"), "PutObject", false},
		"a reset request": {s3test.ResetRequest, "PutObject", false},
		"a lost answer":   {s3test.LoseResponse, "PutObject", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := server.Bucket(t)
			proxy := server.Proxy(t, s3test.Operations(s3test.First(1, c.fault), c.operation))
			client := through(t, server, proxy)
			if _, err := putObject(client, bucket, "text"); err == nil {
				t.Fatal("there is no fault")
			}
			if _, err := server.Client(t).StatObject(context.Background(), bucket, "object", minio.StatObjectOptions{}); (err == nil) != c.done {
				t.Errorf("the object itself: %v", err)
			}
			put(t, client, bucket, "text")
			if got := get(t, client, bucket); got != "text" {
				t.Errorf("%q", got)
			}
			if n := proxy.Count("PutObject"); n != 2 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestAnswersBreakInTheMiddle(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	bucket := server.Bucket(t)
	put(t, server.Client(t), bucket, strings.Repeat("x", 100_000))
	proxy := server.Proxy(t, s3test.Operations(s3test.Always(s3test.ResetResponse), "GetObject"))
	body, _, _, err := through(t, server, proxy).GetObject(context.Background(), bucket, "object", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if n, err := io.Copy(io.Discard, body); err == nil || n > 50_000 {
		t.Errorf("%d bytes: %v", n, err)
	}
}

func TestStalledRequestsAreNotAnswered(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	bucket := server.Bucket(t)
	put(t, server.Client(t), bucket, "text")
	for _, fault := range []s3test.Fault{s3test.Stall, s3test.StallResponse} {
		client := through(t, server, server.Proxy(t, s3test.Always(fault)))
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		body, _, _, err := client.GetObject(ctx, bucket, "object", minio.GetObjectOptions{})
		if err == nil {
			_, err = io.ReadAll(body)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
}

func TestThePlanIsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	failed := func(seed uint64) (names []string) {
		plan := s3test.Random(seed, 30, s3test.ResetRequest)
		for i := range 1000 {
			if plan(s3test.Request{Operation: "PutObject", Attempt: i}) != (s3test.Fault{}) {
				names = append(names, string(rune(i)))
			}
		}
		return names
	}
	if one, again, other := failed(1), failed(1), failed(2); strings.Join(one, "") != strings.Join(again, "") || strings.Join(one, "") == strings.Join(other, "") || len(one) < 250 || len(one) > 350 {
		t.Errorf("%d, %d, %d of 1000 fail", len(one), len(again), len(other))
	}
}

func through(t *testing.T, server *s3test.Server, proxy *s3test.Proxy) *minio.Core {
	t.Helper()
	core, err := minio.NewCore(strings.TrimPrefix(proxy.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, ""), Region: server.Region, MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return core
}

func putObject(client *minio.Core, bucket, text string) (minio.UploadInfo, error) {
	return client.PutObject(context.Background(), bucket, "object", strings.NewReader(text), int64(len(text)), "", "", minio.PutObjectOptions{DisableContentSha256: true})
}

func put(t *testing.T, client *minio.Core, bucket, text string) minio.UploadInfo {
	t.Helper()
	info, err := putObject(client, bucket, text)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func get(t *testing.T, client *minio.Core, bucket string) string {
	t.Helper()
	body, _, _, err := client.GetObject(context.Background(), bucket, "object", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
