package s3target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"

	"manus/backup"
)

// List has every file whose name begins with prefix, by name.
func (t *Target) List(ctx context.Context, prefix string) ([]backup.File, error) {
	objects, err := t.list(ctx, minio.ListObjectsOptions{Prefix: t.prefix + prefix})
	var files []backup.File
	for _, object := range objects {
		if name, ok := t.name(object.Key); ok {
			files = append(files, backup.File{Name: name, Size: object.Size, Modified: object.LastModified})
		}
	}
	slices.SortFunc(files, func(a, b backup.File) int { return cmp.Compare(a.Name, b.Name) })
	return files, err
}

// list lists objects, or their versions.
func (t *Target) list(ctx context.Context, o minio.ListObjectsOptions) (objects []minio.ObjectInfo, err error) {
	err = t.try(ctx, "s3:ListBucket", o.Prefix, 0, func(ctx context.Context) error {
		objects = nil
		for object := range t.core.ListObjectsIter(ctx, t.config.Bucket, o) {
			if object.Err != nil {
				return object.Err
			}
			objects = append(objects, object)
		}
		return ctx.Err() // which ends the iteration without a word
	})
	return objects, err
}

// Remove removes a file. With a lock it removes all its versions, the newest one
// last; it fails, and the file stays, while one of them is locked.
func (t *Target) Remove(ctx context.Context, name string) error {
	key, err := t.key(name)
	if err != nil {
		return err
	}
	if !t.Locks() {
		return t.hide(ctx, key)
	}
	versions, err := t.list(ctx, minio.ListObjectsOptions{Prefix: key, WithVersions: true})
	if err != nil {
		return err
	}
	slices.Reverse(versions) // they come newest first
	for _, version := range versions {
		if version.Key != key {
			continue
		}
		if err := t.removeVersion(ctx, key, version); err != nil {
			return err
		}
	}
	return nil
}

// hide removes an object, of which a bucket with versions keeps the old ones.
func (t *Target) hide(ctx context.Context, key string) error {
	return unlessMissing(t.remove(ctx, key, ""))
}

func (t *Target) remove(ctx context.Context, key, version string) error {
	return t.try(ctx, "s3:DeleteObject", key, 0, func(ctx context.Context) error {
		return t.core.RemoveObject(ctx, t.config.Bucket, key, minio.RemoveObjectOptions{VersionID: version})
	})
}

func (t *Target) removeVersion(ctx context.Context, key string, version minio.ObjectInfo) error {
	err := unlessMissing(t.remove(ctx, key, version.VersionID))
	if err == nil || errors.Is(err, backup.ErrUnavailable) || ctx.Err() != nil {
		return err
	}
	until, asked := t.lockedUntil(ctx, key, version.VersionID)
	if asked != nil || until.Before(t.clock.now()) {
		return err
	}
	return fmt.Errorf("%w s3://%s/%s until %s; it can be removed after that", errLocked, t.config.Bucket, key, until.UTC().Format(time.RFC3339))
}

// lockedUntil is when the lock of a version ends; zero for none, or when the service
// doesn't tell.
func (t *Target) lockedUntil(ctx context.Context, key, version string) (until time.Time, err error) {
	err = t.try(ctx, "s3:GetObjectRetention", key, 0, func(ctx context.Context) error {
		info, err := t.core.StatObject(ctx, t.config.Bucket, key, minio.StatObjectOptions{VersionID: version})
		if date := info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"); date != "" {
			until, _ = time.Parse(time.RFC3339, date) // another date is as good as none
		}
		return err
	})
	return until, err
}

// Begun tells whether an upload has begun the file and not been released.
func (t *Target) Begun(ctx context.Context, name string) (bool, error) {
	key, err := t.key(name)
	if err != nil {
		return false, err
	}
	uploads, err := t.uploads(ctx, key)
	return slices.ContainsFunc(uploads, func(u minio.ObjectMultipartInfo) bool { return u.Key == key }), err
}

// Clean removes unfinished uploads that nobody has worked on for OrphanAfter, and of the
// files that they were for those that orphan picks, first, as it is by the uploads that
// they are known. Files that are locked stay until they aren't.
func (t *Target) Clean(ctx context.Context, prefix string, orphan func(name string) bool) ([]string, error) {
	uploads, err := t.uploads(ctx, t.prefix+prefix)
	if err != nil || len(uploads) == 0 {
		return nil, err
	}
	files, err := t.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var removed []string
	locked := map[string]bool{}
	for _, file := range files {
		begun := slices.ContainsFunc(uploads, func(u minio.ObjectMultipartInfo) bool { return u.Key == t.prefix+file.Name })
		if !begun || t.isOurs(file.Name) || !t.idle(file.Modified) || !orphan(file.Name) {
			continue
		}
		gone, err := t.cleanFile(ctx, file.Name)
		if err != nil {
			return removed, err
		}
		if gone {
			removed = append(removed, file.Name)
		}
		locked[file.Name] = !gone
	}
	halves, err := t.cleanUploads(ctx, uploads, locked)
	for _, name := range halves {
		if !slices.Contains(removed, name) {
			removed = append(removed, name)
		}
	}
	return removed, err
}

// cleanUploads ends the uploads that are idle, but for those of files that can't be
// removed yet. It returns the names of the files.
func (t *Target) cleanUploads(ctx context.Context, uploads []minio.ObjectMultipartInfo, but map[string]bool) (removed []string, err error) {
	for _, upload := range uploads {
		name, ok := t.name(upload.Key)
		if !ok || t.isOurs(name) || but[name] {
			continue
		}
		if busy, err := t.isBusy(ctx, upload.Key); busy || err != nil {
			if err != nil {
				return removed, err
			}
			continue
		}
		if err := t.abort(ctx, upload.Key, upload.UploadID); err != nil {
			return removed, err
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// cleanFile removes an orphan unless it is claimed or locked.
func (t *Target) cleanFile(ctx context.Context, name string) (gone bool, err error) {
	if busy, err := t.isBusy(ctx, t.prefix+name); busy || err != nil {
		return false, err
	}
	err = t.Remove(ctx, name)
	if errors.Is(err, errLocked) {
		return false, nil
	}
	return err == nil, err
}

// isOurs tells whether an upload of this target is at work on a file.
func (t *Target) isOurs(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ours[name] > 0
}

// idle tells whether something happened so long ago that nobody is at work any more.
func (t *Target) idle(last time.Time) bool {
	return t.clock.now().Sub(last) > t.config.OrphanAfter
}

// isBusy tells whether somebody is at work on the object, as its uploads tell.
func (t *Target) isBusy(ctx context.Context, key string) (bool, error) {
	uploads, err := t.uploads(ctx, key)
	if err != nil {
		return false, err
	}
	for _, upload := range uploads {
		if upload.Key != key {
			continue
		}
		newest := upload.Initiated
		if t.idle(newest) {
			if newest, err = t.newestPart(ctx, upload); err != nil {
				return false, err
			}
		}
		if !t.idle(newest) {
			return true, nil
		}
	}
	return false, nil
}

// uploads lists the multipart uploads of objects whose keys begin with prefix.
func (t *Target) uploads(ctx context.Context, prefix string) (uploads []minio.ObjectMultipartInfo, err error) {
	err = t.try(ctx, "s3:ListBucketMultipartUploads", prefix, 0, func(ctx context.Context) error {
		uploads = nil
		for page := (minio.ListMultipartUploadsResult{IsTruncated: true}); page.IsTruncated; {
			page, err = t.core.ListMultipartUploads(ctx, t.config.Bucket, prefix, page.NextKeyMarker, page.NextUploadIDMarker, "", 1000)
			if err != nil {
				return err
			}
			uploads = append(uploads, page.Uploads...)
		}
		return nil
	})
	return uploads, err
}

// newestPart is when the newest part of an upload came; zero if none has.
func (t *Target) newestPart(ctx context.Context, upload minio.ObjectMultipartInfo) (newest time.Time, err error) {
	err = t.try(ctx, "s3:ListMultipartUploadParts", upload.Key, 0, func(ctx context.Context) error {
		for page := (minio.ListObjectPartsResult{IsTruncated: true}); page.IsTruncated; {
			page, err = t.core.ListObjectParts(ctx, t.config.Bucket, upload.Key, upload.UploadID, page.NextPartNumberMarker, 1000)
			if err != nil {
				return err
			}
			for _, part := range page.ObjectParts {
				if part.LastModified.After(newest) {
					newest = part.LastModified
				}
			}
		}
		return nil
	})
	return newest, unlessMissing(err)
}
