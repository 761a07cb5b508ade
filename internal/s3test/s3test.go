// Package s3test gives tests a server that speaks the protocol of Amazon S3, as a
// process of its own, and a [Proxy] that makes it fail as tests ask for. The program
// is in the folder server, a module of its own that the product doesn't depend on:
// it is versitygw on a folder, with object lock.
package s3test

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"manus/internal/testprogram"
)

// Server is a server of S3, and who may do everything there.
type Server struct {
	Endpoint  string `json:"endpoint"` // a URL
	Region    string `json:"region"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`

	process *testprogram.Process
}

// Start is the server that is started for the first test of this process that asks,
// and that all of them share. It ends with the process. A test takes a Bucket of its
// own, and a Proxy if the server shall fail.
func Start(t testing.TB) *Server {
	t.Helper()
	server, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// shared holds on to the process: when nobody does, its input ends.
var shared = sync.OnceValues(func() (*Server, error) {
	server := &Server{}
	var err error
	server.process, err = testprogram.Versitygw.Start(server)
	return server, err
})

// Option is how a bucket is made.
type Option func(*minio.MakeBucketOptions)

// ObjectLock makes a bucket whose objects can be locked, and have versions.
func ObjectLock(o *minio.MakeBucketOptions) { o.ObjectLocking = true }

// Bucket makes a bucket that no other test has.
func (s *Server) Bucket(t testing.TB, options ...Option) string {
	t.Helper()
	o := minio.MakeBucketOptions{Region: s.Region}
	for _, option := range options {
		option(&o)
	}
	name := "test-" + strings.ToLower(rand.Text()[:16])
	if err := s.Client(t).MakeBucket(context.Background(), name, o); err != nil {
		t.Fatal(err)
	}
	return name
}

// Client is a client of the server, for what a test looks at by itself.
func (s *Server) Client(t testing.TB) *minio.Core {
	t.Helper()
	endpoint, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Region: s.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	return core
}
