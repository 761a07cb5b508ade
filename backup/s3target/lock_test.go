package s3target_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"manus/backup/s3target"
	"manus/backup/targettest"
	"manus/internal/s3test"
)

func TestLockedFilesStay(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"governance", "compliance"} {
		r := newRig(t, nil, func(c *s3target.Config) { c.LockMode, c.LockDays = mode, 3 })
		data := targettest.Bytes(1, part+1)
		if committed, released := r.upload(t.Context(), "archive", data); committed != nil || released != nil {
			t.Fatal(committed, released)
		}
		for _, text := range []string{"old", "new"} {
			if err := r.target.Put(t.Context(), "manifest", []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"archive", "manifest"} {
			staysLocked(t, r, name)
		}
		if !bytes.Equal(r.object(t, "archive"), data) || string(r.object(t, "manifest")) != "new" {
			t.Error("they aren't what they were")
		}
	}
}

// staysLocked checks that a file can't be removed for three days.
func staysLocked(t *testing.T, r *rig, name string) {
	t.Helper()
	err := r.target.Remove(t.Context(), name)
	if err == nil || !strings.Contains(err.Error(), "object lock keeps the file s3://") || !strings.Contains(err.Error(), "it can be removed") {
		t.Errorf("removing it says: %v", err)
	}
	later := open(t, r.config)
	later.SetOrphanAfter(-time.Hour)
	if removed, err := later.Clean(t.Context(), name, func(string) bool { return true }); err != nil || len(removed) > 0 {
		t.Errorf("%q is cleaned: %v", removed, err)
	}
	if files, err := r.target.List(t.Context(), name); err != nil || len(files) != 1 {
		t.Errorf("%v is listed: %v", files, err)
	}
	info, err := r.direct.StatObject(context.Background(), r.config.Bucket, r.config.Prefix+"/"+name, minio.StatObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	locked := info.Metadata.Get("X-Amz-Object-Lock-Mode")
	until, err := time.Parse(time.RFC3339, info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if err != nil || !strings.EqualFold(locked, r.config.LockMode) || time.Until(until).Round(time.Hour) != 72*time.Hour {
		t.Errorf("it is locked by %s until %v: %v", locked, until, err)
	}
}

func TestFilesWhoseLockHasEndedAreRemovedWithAllTheirVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for range 3 {
		if err := r.target.Put(t.Context(), "manifest", []byte("text")); err != nil {
			t.Fatal(err)
		}
	}
	r.config.LockMode, r.config.LockDays = "governance", 3
	if err := open(t, r.config).Remove(t.Context(), "manifest"); err != nil {
		t.Fatal(err)
	}
	for version := range r.direct.ListObjectsIter(context.Background(), r.config.Bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		t.Errorf("%s %s is left: %v", version.Key, version.VersionID, version.Err)
	}
}

func TestALockedFileThatIsWrongIsNotListed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, func(c *s3target.Config) { c.LockMode, c.LockDays = "governance", 3 })
	r.proxy.Plan(s3test.Operations(s3test.Always(s3test.LoseResponse), "PutObject"))
	r.target.SetRetry(3, time.Millisecond, time.Millisecond, time.Second)
	committed, released := r.upload(t.Context(), "file", []byte("text"))
	if committed == nil || released != nil {
		t.Errorf("it is committed: %v, and released: %v", committed, released)
	}
	if files, err := r.target.List(t.Context(), ""); err != nil || len(files) > 0 {
		t.Errorf("%v is listed: %v", files, err)
	}
}

func TestABucketWithoutObjectLockIsSaidToBeOne(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	config := settings(server, server.Bucket(t))
	config.LockMode, config.LockDays = "compliance", 1
	says(t, config, open(t, config).Put(t.Context(), "file", nil), "object lock")
}

func TestTheServiceIsAskedToEncrypt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ encryption, key string }{{"AES256", ""}, {"aws:kms", "key-id"}, {"", ""}} {
		r := newRig(t, nil, func(c2 *s3target.Config) { c2.Encryption, c2.KMSKey = c.encryption, c.key })
		_, _ = r.upload(t.Context(), "large", targettest.Bytes(1, part+1)) // which the server may refuse
		_ = r.target.Put(t.Context(), "small", nil)
		for _, request := range r.proxy.Requests() {
			if request.Operation != "CreateMultipartUpload" && request.Operation != "PutObject" {
				continue
			}
			if got, key := request.Header.Get("X-Amz-Server-Side-Encryption"), request.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"); got != c.encryption || key != c.key {
				t.Errorf("%s asks for %q with %q", request.Operation, got, key)
			}
		}
		if r.proxy.Count("CreateMultipartUpload") == 0 || r.proxy.Count("PutObject") == 0 {
			t.Error("nothing was asked for")
		}
	}
}

func TestEveryBodyIsSignedAndSummed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if committed, _ := r.upload(t.Context(), "large", targettest.Bytes(1, part+1)); committed != nil {
		t.Fatal(committed)
	}
	if err := r.target.Put(t.Context(), "small", []byte("text")); err != nil {
		t.Fatal(err)
	}
	for _, request := range r.proxy.Requests() {
		if request.Operation != "UploadPart" && request.Operation != "PutObject" {
			continue
		}
		if sum := request.Header.Get("X-Amz-Content-Sha256"); len(sum) != 64 || request.Header.Get("Content-Md5") == "" {
			t.Errorf("%s: %q %q", request.Operation, sum, request.Header.Get("Content-Md5"))
		}
	}
	if r.proxy.Count("UploadPart") < 2 || r.proxy.Count("PutObject") == 0 {
		t.Error("too little was uploaded")
	}
}
