// Package s3target keeps backups in a bucket of Amazon S3, or of a service that
// speaks its protocol. A file is an object below a prefix. It is uploaded in parts,
// of which few are in memory, and becomes an object by one request, so that nobody
// ever sees a half of it.
//
// Every request is tried again, for as long as that makes sense, when the service is
// overloaded, the connection breaks or nothing moves any more.
package s3target

import (
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // what S3 compares bodies by
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"manus/backup"
)

var _ backup.Target = (*Target)(nil)

// Config says where the files go, and how.
type Config struct {
	Bucket string
	// Prefix is what the names of objects begin with, as a folder: "backups" makes
	// them backups/NAME. Empty is the bucket itself.
	Prefix string
	// Endpoint is the URL of the service; empty is Amazon's.
	Endpoint string
	// Region is the one that requests are signed for. Empty asks the service.
	Region    string
	AccessKey string
	SecretKey string
	// SessionToken goes with a key that is temporary; empty with one that isn't.
	SessionToken string
	// Role takes the keys of the role that the machine, the container or the pod has in
	// Amazon's cloud, instead of those above.
	Role bool

	// PartSize is how many bytes a part has at least. 0 is 8 MiB. Parts are larger
	// where 10,000 of them would be too few otherwise. All parts of a file but the
	// last have the same size.
	PartSize int64

	// LockMode is "governance" or "compliance", with which files can't be removed
	// for LockDays days; empty is neither. The bucket must have been made with object
	// lock.
	LockMode string
	LockDays int

	// Encryption is what the service encrypts files with: "AES256", "aws:kms", with
	// KMSKey as the key's id unless it is the default one, or whatever the bucket
	// says when it is empty.
	Encryption string
	KMSKey     string

	// Bandwidth is how many MiB a second go each way at most, all files together; 0 is as
	// many as can be.
	Bandwidth float64

	// OrphanAfter is how long an unfinished file must have been idle before Clean
	// takes it for one that nobody works on. 0 is an hour.
	OrphanAfter time.Duration
	// Timeout is how long nothing may move before a request is given up and tried
	// again, three times. 0 is 30 s. For parts to be put together, which is asked for
	// once, it is ten times as long.
	Timeout time.Duration
}

const leastPartSize = 5 << 20 // S3 takes no smaller ones but for the last

// Target is a bucket's prefix as a target of backups.
type Target struct {
	config Config
	prefix string // with its slash, or empty
	core   *minio.Core
	// transport is what core speaks over.
	transport *transport
	sse       encrypt.ServerSide // nil for none
	clock     *clock
	retry     retry
	// maxParts is how many parts a file may have.
	maxParts int

	mu   sync.Mutex
	ours map[string]int // the files that uploads of this target are at work on
}

// New makes a target. It doesn't connect.
func New(config Config) (*Target, error) {
	setDefaults(&config)
	if err := check(config); err != nil {
		return nil, err
	}
	host, secure, err := endpoint(config.Endpoint)
	if err != nil {
		return nil, err
	}
	t := &Target{config: config, prefix: strings.TrimPrefix(config.Prefix+"/", "/"), clock: &clock{}, maxParts: 10_000, ours: map[string]int{}}
	t.retry = retry{attempts: 10, least: 100 * time.Millisecond, most: 10 * time.Second, assembly: 10 * config.Timeout, grace: 5 * time.Second}
	if t.sse, err = encryption(config); err != nil {
		return nil, err
	}
	t.transport = newTransport(t.clock, config.Timeout, config.Bandwidth)
	t.core, err = minio.NewCore(host, &minio.Options{
		Creds:      keys(config),
		Secure:     secure,
		Region:     config.Region,
		Transport:  t.transport,
		MaxRetries: 1, // it is we who try again: minio-go would lose what a lost answer was about
	})
	if err != nil {
		return nil, fmt.Errorf("the endpoint of %s: %w", t, err)
	}
	return t, nil
}

func setDefaults(c *Config) {
	c.PartSize = cmp.Or(c.PartSize, 8<<20)
	c.OrphanAfter = cmp.Or(c.OrphanAfter, time.Hour)
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	c.LockMode, c.Prefix = strings.ToLower(c.LockMode), strings.Trim(c.Prefix, "/")
}

// check finds everything that is wrong with the settings by themselves.
func check(c Config) error {
	var wrong []error
	for _, rule := range []struct {
		broken bool
		say    string
	}{
		{c.Bucket == "" || strings.Contains(c.Bucket, "/"), "the bucket needs a name, without slashes"},
		{!c.Role && (c.AccessKey == "" || c.SecretKey == ""), "the bucket needs an access key and its secret key, or a role"},
		{c.Role && c.AccessKey+c.SecretKey+c.SessionToken != "", "the keys of the bucket are those of a role, or others, but not both"},
		{c.PartSize < leastPartSize, "a part has to have 5 MiB or more, or S3 doesn't take it"},
		{c.LockMode != "" && c.LockMode != "governance" && c.LockMode != "compliance", "the mode of object lock is governance or compliance, or empty for none"},
		{(c.LockMode != "") != (c.LockDays > 0), "object lock needs both a mode and a number of days"},
		{c.KMSKey != "" && c.Encryption != "aws:kms", "a KMS key needs the encryption aws:kms"},
		{c.OrphanAfter < 0 || c.Timeout < 0 || c.Bandwidth < 0, "times and the bandwidth can't be negative"},
	} {
		if rule.broken {
			wrong = append(wrong, errors.New(rule.say))
		}
	}
	return errors.Join(wrong...)
}

// endpoint takes a service's URL apart.
func endpoint(raw string) (host string, secure bool, err error) {
	if raw == "" {
		return "s3.amazonaws.com", true, nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", false, errors.New("the endpoint is the service's URL, such as https://s3.example.com, without a path and without keys")
	}
	return u.Host, u.Scheme == "https", nil
}

func encryption(c Config) (encrypt.ServerSide, error) {
	switch c.Encryption {
	case "":
		return nil, nil
	case "AES256":
		return encrypt.NewSSE(), nil
	case "aws:kms":
		return encrypt.NewSSEKMS(c.KMSKey, nil)
	}
	return nil, errors.New("the encryption is AES256 or aws:kms, or empty for what the bucket says")
}

// String is s3://bucket/prefix.
func (t *Target) String() string {
	return strings.TrimSuffix("s3://"+t.config.Bucket+"/"+t.prefix, "/")
}

// OnThisMachine tells whether the server's address is one of this machine alone.
func (t *Target) OnThisMachine() bool {
	host := t.core.EndpointURL().Hostname()
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// key is the name of a file's object.
func (t *Target) key(name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return "", fmt.Errorf("%q is no name for a file", name)
	}
	return t.prefix + name, nil
}

// name is that of the file whose object has the key. It isn't ok for objects that
// aren't files of this target.
func (t *Target) name(key string) (name string, ok bool) {
	name, ok = strings.CutPrefix(key, t.prefix)
	return name, ok && name != "" && !strings.Contains(name, "/")
}

// Put writes a small file as a whole: an object is replaced at once.
func (t *Target) Put(ctx context.Context, name string, data []byte) error {
	key, err := t.key(name)
	if err != nil {
		return err
	}
	return t.put(ctx, key, data, sumsOf(data))
}

func (t *Target) put(ctx context.Context, key string, data []byte, s sums) error {
	return t.try(ctx, "s3:PutObject", key, len(data), func(ctx context.Context) error {
		options := t.options()
		options.DisableContentSha256 = true // what is signed is the sum that is given
		_, err := t.core.PutObject(ctx, t.config.Bucket, key, reader(data), int64(len(data)), s.md5Base64(), s.sha256Hex(), options)
		return err
	})
}

// options are what goes with every object that is made.
func (t *Target) options() minio.PutObjectOptions {
	o := minio.PutObjectOptions{ServerSideEncryption: t.sse}
	if t.Locks() {
		o.Mode = minio.RetentionMode(strings.ToUpper(t.config.LockMode))
		o.RetainUntilDate = t.clock.now().AddDate(0, 0, t.config.LockDays)
	}
	return o
}

// Locks tells whether files are locked.
func (t *Target) Locks() bool { return t.config.LockMode != "" }

// sums are what a body is recognised by.
type sums struct {
	md5    [md5.Size]byte
	sha256 [sha256.Size]byte
}

func sumsOf(data []byte) sums {
	return sums{md5.Sum(data), sha256.Sum256(data)} //nolint:gosec // as above
}

func (s sums) md5Base64() string { return base64.StdEncoding.EncodeToString(s.md5[:]) }
func (s sums) md5Hex() string    { return hex.EncodeToString(s.md5[:]) }
func (s sums) sha256Hex() string { return hex.EncodeToString(s.sha256[:]) }
