package s3target

import (
	"context"
	"crypto/md5" //nolint:gosec // what S3 compares bodies by
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"manus/backup"
)

// completes is the right to make an object of parts that have been uploaded, by which
// [Target.once] knows the request.
const completes = "s3:PutObject of uploaded parts"

const (
	memory    = 32 << 20 // what the parts of a file may take, as long as two fit
	mostParts = 4        // that are in memory
	mebi      = 1 << 20
	// releaseTimeout bounds all that Release does.
	releaseTimeout = time.Minute
)

// upload is a file being uploaded. Up to the size of one part it is one request.
// Larger ones are parts, each uploaded by a goroutine when it is full.
type upload struct {
	target   *Target
	name     string
	key      string
	partSize int
	// outer is the caller's context, ctx also ends with the first error of a part, and
	// with Release: that is its cause.
	outer  context.Context
	ctx    context.Context
	cancel context.CancelCauseFunc

	id      string // of the multipart upload; empty before the first part is full
	part    []byte // the part being written; nil before the next Write
	parts   []*uploaded
	written int64

	free    chan []byte // buffers that no part is in; nil ones aren't made yet
	workers sync.WaitGroup
	claim   *claim

	commit struct {
		tried, succeeded bool
		wrong            bool   // the service has made something else of it
		etag             string // what the object will have, if that can be told
	}
	release sync.Once
}

// uploaded is a part that the service has, when its worker is through.
type uploaded struct {
	minio.CompletePart
	md5 [md5.Size]byte
}

// Create begins a file. Nothing is sent before the first part is full.
func (t *Target) Create(ctx context.Context, name string, size int64) (backup.Upload, error) {
	key, err := t.key(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u := &upload{target: t, name: name, key: key, outer: ctx, partSize: t.partSize(size)}
	u.ctx, u.cancel = context.WithCancelCause(ctx)
	u.free = make(chan []byte, t.buffers(u.partSize))
	for range cap(u.free) {
		u.free <- nil
	}
	t.own(name, 1)
	u.claim = t.newClaim(u.ctx, key)
	return u, nil
}

// partSize is that of the parts of a file of about size bytes: so large that twice as
// much fits.
func (t *Target) partSize(size int64) int {
	least := 2 * size / int64(t.maxParts)
	rounded := (least + mebi) / mebi * mebi
	return int(max(t.config.PartSize, rounded))
}

// buffers is how many parts of the size are in memory: those that are uploaded and
// the one that is written.
func (t *Target) buffers(partSize int) int {
	return max(2, min(mostParts, memory/partSize))
}

// own counts the uploads that are at work on a file.
func (t *Target) own(name string, change int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ours[name] += change
	if t.ours[name] == 0 {
		delete(t.ours, name)
	}
}

// Write adds to the file. It waits while all the buffers are being uploaded.
func (u *upload) Write(data []byte) (int, error) {
	n := 0
	for len(data) > 0 {
		if err := u.room(); err != nil {
			return n, err
		}
		taken := min(len(data), u.partSize-len(u.part))
		u.part = append(u.part, data[:taken]...)
		n, data, u.written = n+taken, data[taken:], u.written+int64(taken)
	}
	return n, u.failure()
}

// room makes sure that there is a part with room. A full part is only uploaded when
// there is more to come, so that a file of one part is one request.
func (u *upload) room() error {
	if err := u.failure(); err != nil {
		return err
	}
	if u.part != nil && len(u.part) < u.partSize {
		return nil
	}
	if u.part != nil {
		if err := u.send(); err != nil {
			return err
		}
	}
	select {
	case u.part = <-u.free:
		if u.part == nil {
			u.part = make([]byte, 0, u.partSize)
		}
		return nil
	case <-u.ctx.Done():
		return u.failure()
	}
}

// failure is why nothing more can be done; nil while something can.
func (u *upload) failure() error {
	if err := u.outer.Err(); err != nil {
		return err
	}
	return context.Cause(u.ctx)
}

// send starts to upload the part that has been written.
func (u *upload) send() error {
	if err := u.begin(); err != nil {
		return err
	}
	if len(u.parts) == u.target.maxParts {
		u.cancel(fmt.Errorf("%s has become larger than %d parts of %d MiB, and S3 takes no more; set larger parts for %s", u.name, len(u.parts), u.partSize/mebi, u.target))
		return u.failure()
	}
	part, data := &uploaded{}, u.part
	u.part, u.parts = nil, append(u.parts, part)
	part.PartNumber = len(u.parts)
	u.workers.Go(func() {
		if err := u.upload(part, data); err != nil {
			u.cancel(err)
		}
		u.free <- data[:0]
	})
	return nil
}

// begin begins the multipart upload if it hasn't been.
func (u *upload) begin() error {
	if u.id != "" {
		return nil
	}
	id, err := u.claim.initiate(u.ctx)
	if err != nil {
		u.cancel(err)
		return u.failure()
	}
	u.id = id
	return nil
}

// upload uploads a part.
func (u *upload) upload(part *uploaded, data []byte) error {
	t, s := u.target, sumsOf(data)
	part.md5 = s.md5
	return t.try(u.ctx, "s3:PutObject", u.key, len(data), func(ctx context.Context) error {
		sent, err := t.core.PutObjectPart(ctx, t.config.Bucket, u.key, u.id, part.PartNumber, reader(data), int64(len(data)), minio.PutObjectPartOptions{
			Md5Base64: s.md5Base64(), Sha256Hex: s.sha256Hex(), DisableContentSha256: true, // what is signed is the sum that is given
		})
		part.ETag = sent.ETag
		return err
	})
}

// Commit makes the file whole.
func (u *upload) Commit() error {
	if err := u.failure(); err != nil {
		return err
	}
	finish := u.finishParts
	if u.id == "" {
		finish = u.finishWhole
	}
	err := u.claim.make(u.ctx) // before there is a file that it has to be told by
	if err == nil {
		err = finish()
	}
	if err == nil {
		err = u.verify()
	}
	if ended := u.outer.Err(); ended != nil && err != nil {
		return ended
	}
	u.commit.succeeded = err == nil
	return err
}

// finishWhole uploads a file that is small enough for one request.
func (u *upload) finishWhole() error {
	s := sumsOf(u.part)
	u.commit.tried, u.commit.etag = true, s.md5Hex()
	return u.target.put(u.ctx, u.key, u.part, s)
}

// finishParts uploads the last part and has the service put all of them together.
func (u *upload) finishParts() error {
	if err := u.send(); err != nil {
		return err
	}
	u.workers.Wait()
	if err := u.failure(); err != nil {
		return err
	}
	u.commit.tried, u.commit.etag = true, etagOf(u.parts)
	return u.complete()
}

// etagOf is the ETag of an object of these parts: the MD5 of their MD5s and their
// number. It is empty for a service whose ETags are something else.
func etagOf(parts []*uploaded) string {
	all := md5.New() //nolint:gosec // as above
	for _, part := range parts {
		if part.ETag != hex.EncodeToString(part.md5[:]) {
			return ""
		}
		all.Write(part.md5[:])
	}
	return fmt.Sprintf("%x-%d", all.Sum(nil), len(parts))
}

// complete puts the parts together. An answer that was lost leaves open whether that
// has happened: then the upload is gone, and verify finds out.
func (u *upload) complete() error {
	t := u.target
	list := make([]minio.CompletePart, len(u.parts))
	for i, part := range u.parts {
		list[i] = part.CompletePart
	}
	attempts := 0
	err := t.try(u.ctx, completes, u.key, 0, func(ctx context.Context) error {
		attempts++
		_, err := t.core.CompleteMultipartUpload(ctx, t.config.Bucket, u.key, u.id, list, minio.PutObjectOptions{})
		if attempts > 1 && minio.ToErrorResponse(err).Code == "NoSuchUpload" {
			return nil
		}
		return err
	})
	if err != nil && u.outer.Err() == nil && errors.Is(err, backup.ErrUnavailable) && u.verify() == nil {
		return nil
	}
	return err
}

// verify makes sure that the object is what has been written, as far as the service
// tells. One that isn't there yet may still be put together for a request whose
// answer was lost.
func (u *upload) verify() error {
	missing := 0
	return u.target.try(u.ctx, "s3:GetObject", u.key, 0, func(ctx context.Context) error {
		info, err := u.stat(ctx)
		if missing++; isMissing(err) && missing < 5 {
			return errors.New("the file isn't there yet")
		}
		if err == nil && !u.matches(info) {
			u.commit.wrong = true
			return fmt.Errorf("%w: the service has made %d bytes (%s) of %d that it was sent (%s)", errForGood, info.Size, info.ETag, u.written, u.commit.etag)
		}
		return err
	})
}

// stat asks what the service has made of the file.
func (u *upload) stat(ctx context.Context) (minio.ObjectInfo, error) {
	return u.target.core.StatObject(ctx, u.target.config.Bucket, u.key, minio.StatObjectOptions{})
}

// matches tells whether an object is this file.
func (u *upload) matches(info minio.ObjectInfo) bool {
	comparable := u.commit.etag != "" && md5ETag.MatchString(info.ETag) && (u.id != "" || !isEncrypted(info))
	return info.Size == u.written && (!comparable || info.ETag == u.commit.etag)
}

// isEncrypted tells whether the service has encrypted the object with a key that makes
// its ETag something other than a sum of the contents.
func isEncrypted(info minio.ObjectInfo) bool {
	return strings.HasPrefix(info.Metadata.Get("X-Amz-Server-Side-Encryption"), "aws:kms")
}

// md5ETag is what an ETag looks like that may be an MD5, or one of several.
var md5ETag = regexp.MustCompile(`(?i)^[0-9a-f]{32}(-|$)`)

// Release ends the upload, for which it takes a minute at most, and a few seconds
// after the context has ended. What it can't remove now is left to Clean.
func (u *upload) Release() (err error) {
	u.release.Do(func() {
		u.cancel(fs.ErrClosed)
		u.workers.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(u.outer), releaseTimeout)
		defer cancel()
		defer context.AfterFunc(u.outer, func() { time.AfterFunc(u.target.retry.grace, cancel) })()
		err = errors.Join(u.undo(ctx), u.claim.end(ctx))
		u.target.own(u.name, -1)
	})
	return err
}

// undo removes what has been uploaded, unless it was committed.
func (u *upload) undo(ctx context.Context) error {
	if u.commit.succeeded {
		return nil
	}
	var err error
	if u.id != "" {
		err = u.target.abort(ctx, u.key, u.id)
	}
	if u.commit.tried {
		err = errors.Join(err, u.withdraw(ctx))
	}
	return err
}

// withdraw removes the object if it has come to be in spite of the error, or isn't
// what was written.
func (u *upload) withdraw(ctx context.Context) error {
	var theirs bool
	err := u.target.try(ctx, "s3:GetObject", u.key, 0, func(ctx context.Context) error {
		info, err := u.stat(ctx)
		theirs = err == nil && !u.commit.wrong && !u.matches(info)
		return err
	})
	if err != nil || theirs {
		return unlessMissing(err)
	}
	err = u.target.Remove(ctx, u.name)
	if errors.Is(err, errLocked) {
		err = u.target.hide(ctx, u.key)
	}
	return err
}

// abort ends a multipart upload. One that is gone is no error.
func (t *Target) abort(ctx context.Context, key, id string) error {
	return unlessMissing(t.try(ctx, "s3:AbortMultipartUpload", key, 0, func(ctx context.Context) error {
		return t.core.AbortMultipartUpload(ctx, t.config.Bucket, key, id)
	}))
}

// unlessMissing is the error unless it says that there is no such thing.
func unlessMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
