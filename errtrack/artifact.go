package errtrack

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"manus/docstore"
	"manus/errtrack/bundle"
	"manus/errtrack/sourcemap"
)

// upload is a bundle of files that was uploaded for a project. It is written before its
// files, and Done once they are all there: what a process has left that was killed is found
// by it, and goes.
type upload struct {
	ID      string `json:"_id"` // of one attempt to put it together
	Project string `json:"project"`
	// Key is which bundle it is, see keyOf.
	Key     string        `json:"key"`
	Release string        `json:"release,omitempty"`
	Dist    string        `json:"dist,omitempty"`
	At      docstore.Time `json:"at"`
	UsedAt  docstore.Time `json:"used_at"` // to the day
	Done    bool          `json:"done,omitempty"`
	Files   int           `json:"files"`
	Size    int64         `json:"size"` // bytes that its files take
}

// DocumentID is the upload's id.
func (u upload) DocumentID() string { return u.ID }

const byUploadKey = "by_key"

var uploadSpec = docstore.Spec{Collection: "error_bundles", Of: upload{}, Transient: true, Indexes: []docstore.Index{
	{Name: byUploadKey, Fields: []string{"key"}},
	{Name: "by_at", Fields: []string{"project", "at"}},
}}

// artifact is a file of an upload. Of minified files only their names are kept.
type artifact struct {
	ID      string      `json:"_id"` // begins with the project, and the upload's id
	Project string      `json:"project"`
	Upload  string      `json:"upload"`
	Kind    bundle.Kind `json:"kind"`
	// DebugID names it in events of its project, and Address by release, dist and URL.
	DebugID string        `json:"debug_id,omitempty"`
	Address string        `json:"address,omitempty"`
	At      docstore.Time `json:"at"`
	URL     string        `json:"url"`
	// SourceMap is the URL of a minified file's source map.
	SourceMap string `json:"source_map,omitempty"`
	// Body is the file, by zstd, or its beginning: Parts are how many more parts it has.
	Body  []byte `json:"body,omitempty"`
	Parts int    `json:"parts,omitempty"`
	// Size is how large it is unpacked, in bytes.
	Size int64 `json:"size,omitempty"`
}

// DocumentID is the artifact's id.
func (a artifact) DocumentID() string { return a.ID }

const (
	byDebugID = "by_debug_id"
	byAddress = "by_address"
)

var artifactSpec = docstore.Spec{Collection: "error_artifacts", Of: artifact{}, Transient: true, Indexes: []docstore.Index{
	{Name: byDebugID, Fields: []string{"project", "debug_id", "kind", "at"}},
	{Name: byAddress, Fields: []string{"project", "address", "kind", "at"}},
}}

// artifactPart is a part of a file that is too large for one document.
type artifactPart struct {
	ID   string `json:"_id"` // the artifact's, and a number
	Body []byte `json:"body"`
}

// DocumentID is the part's id.
func (p artifactPart) DocumentID() string { return p.ID }

var artifactPartSpec = docstore.Spec{Collection: "error_artifact_parts", Of: artifactPart{}, Transient: true}

// Bounds of what is uploaded.
const (
	// maxStored is how much the files of a project may take, in bytes; the oldest uploads go
	// when it is more. maxUploads is how many there may be.
	maxStored  = 512 << 20
	maxUploads = 2000
	// partSize is how much of a file one document holds, in bytes.
	partSize = 1 << 20
	// writtenTogether is how many documents, and bytes, are written at once.
	writtenTogether = 256
	bytesTogether   = 4 << 20
	// putTogetherIn is how long that may take, and unfinishedFor after how long one that
	// isn't done never will be.
	putTogetherIn = 5 * time.Minute
	unfinishedFor = time.Hour
	// inlineMap is how large a minified file may be that has its map in itself.
	inlineMap = 16 << 20
)

// addressOf is how a file is found that has no debug id.
func addressOf(release, dist, url string) string { return release + "\x00" + dist + "\x00" + url }

// keyOf is the same for the same bundle that is for the same.
func keyOf(u upload, checksum string) string {
	return strings.Join([]string{u.Project, u.Release, u.Dist, checksum}, "\x00")
}

// artifactID is what the ids of an upload's files begin with.
func artifactID(project, upload string) string { return project + "/" + upload + "/" }

// putTogether keeps the files of a bundle, of which all chunks are here, for a project. When
// that has been done before, nothing is done. Two that do it at once keep it once, or twice.
// It returns ErrInvalid, bundle.ErrMalformed, errLost or an error of the store.
func (s *Service) putTogether(ctx context.Context, u upload, checksum string, chunks []string) error {
	select { // one at a time: it takes memory
	case s.assembling <- struct{}{}:
		defer func() { <-s.assembling }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if done, err := s.isUploaded(ctx, u); done || err != nil {
		return err
	}
	source, err := s.assemble(ctx, checksum, chunks)
	if err != nil {
		return err
	}
	b, err := bundle.Open(source, source.size)
	if err != nil {
		return err
	}
	u.ID, u.At, u.Files = docstore.NewID(), docstore.At(s.c.Now()), len(b.Files)
	u.UsedAt = u.At
	if err := s.uploads.Insert(ctx, u); err != nil {
		return err
	}
	if u.Size, err = s.keepFiles(ctx, u, b); err == nil {
		err = s.finish(ctx, u)
	}
	if err != nil { // what can't be removed now, the sweep removes
		return errors.Join(err, s.removeUpload(context.WithoutCancel(ctx), u))
	}
	for _, known := range []interface{ Forget() }{s.mapped, s.located, s.nowhere} {
		known.Forget()
	}
	return nil
}

// isUploaded tells whether an upload's files are all here.
func (s *Service) isUploaded(ctx context.Context, u upload) (bool, error) {
	for other, err := range s.uploads.All(ctx, docstore.Query{Index: byUploadKey, Equal: []any{u.Key}}) {
		if err != nil {
			return false, err
		}
		if other.Done && other.ID != u.ID {
			return true, nil
		}
	}
	return false, nil
}

// finish says that an upload's files are all here, and makes room for it.
func (s *Service) finish(ctx context.Context, u upload) error {
	if u.Size > maxStored {
		return fmt.Errorf("%w: its files take more than the %d MiB that a project may have", bundle.ErrMalformed, maxStored>>20)
	}
	if other, err := s.isUploaded(ctx, u); err != nil {
		return err
	} else if other {
		return s.removeUpload(ctx, u)
	}
	if _, err := s.uploads.Update(ctx, u.ID, func(now *upload) error { u.Done = true; *now = u; return nil }); err != nil {
		return err
	}
	return s.removeSpareUploads(ctx, u.Project)
}

// keepFiles keeps the files of a bundle, and says how many bytes they take.
func (s *Service) keepFiles(ctx context.Context, u upload, b *bundle.Bundle) (size int64, err error) {
	w := &fileWriter{ctx: ctx, s: s}
	for n, f := range b.Files {
		a := artifact{
			ID: artifactID(u.Project, u.ID) + fmt.Sprintf("%05d", n), Project: u.Project, Upload: u.ID, Kind: f.Kind, DebugID: f.DebugID,
			At: u.At, URL: f.URL, SourceMap: f.SourceMap,
		}
		if u.Release != "" {
			a.Address = addressOf(u.Release, u.Dist, f.URL)
		}
		if f.Kind == bundle.Minified && f.SourceMap == "" {
			if a, err = w.findMap(b, f, a); err != nil {
				return 0, err
			}
		}
		if err := w.keep(a, func(to io.Writer) error { return b.Copy(to, f) }); err != nil {
			return 0, err
		}
	}
	return w.size, w.flush()
}

// findMap finds out where a minified file that doesn't say it in its manifest has its source
// map; where that is in the file itself, it is kept beside it.
func (w *fileWriter) findMap(b *bundle.Bundle, f bundle.File, a artifact) (artifact, error) {
	var text beginning
	if err := b.Copy(&text, f); err != nil || text.more {
		return a, err
	}
	a.SourceMap = sourcemap.MappingURL(text.Bytes())
	header, data, inline := strings.Cut(a.SourceMap, ",")
	if !strings.HasPrefix(header, "data:") {
		if len(a.SourceMap) > maxMappedText {
			a.SourceMap = ""
		}
		return a, nil
	}
	a.SourceMap = ""
	sources, err := base64.StdEncoding.DecodeString(data)
	if !inline || !strings.HasSuffix(header, ";base64") || err != nil {
		return a, nil
	}
	own := a
	own.ID, own.Kind, own.URL = a.ID+"m", bundle.SourceMap, a.URL+".map"
	if a.Address != "" {
		own.Address = a.Address + ".map"
	}
	a.SourceMap = own.URL
	return a, w.keep(own, func(to io.Writer) error { _, err := to.Write(sources); return err })
}

// beginning is of what is written at most so much as a file with a map in it may have.
type beginning struct {
	bytes.Buffer
	more bool
}

func (b *beginning) Write(p []byte) (int, error) {
	if b.more = b.more || b.Len()+len(p) > inlineMap; b.more {
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

// fileWriter writes files in parts, many together.
type fileWriter struct {
	ctx       context.Context
	s         *Service
	parts     []artifactPart
	artifacts []artifact
	bytes     int
	size      int64
}

// keep keeps a file: of one that is no source map only its name.
func (w *fileWriter) keep(a artifact, write func(io.Writer) error) error {
	if a.Kind == bundle.SourceMap {
		if err := w.pack(&a, write); err != nil {
			return err
		}
	}
	w.artifacts = append(w.artifacts, a)
	w.bytes += len(a.Body) + 512
	w.size += int64(len(a.Body)) + 512
	if len(w.artifacts) >= writtenTogether || w.bytes >= bytesTogether {
		return w.flush()
	}
	return nil
}

// pack packs a file into its first part and others.
func (w *fileWriter) pack(a *artifact, write func(io.Writer) error) error {
	parts := &partWriter{w: w, a: a}
	z, err := zstd.NewWriter(parts, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return err
	}
	if err := write(&mapWriter{to: z, a: a}); err != nil {
		_ = z.Close() // what it writes is thrown away
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return parts.end()
}

// mapWriter counts a source map's bytes, and refuses one that is too large to be read again.
type mapWriter struct {
	to io.Writer
	a  *artifact
}

func (m *mapWriter) Write(b []byte) (int, error) {
	if m.a.Size += int64(len(b)); m.a.Size > sourcemap.MaxSize {
		return 0, fmt.Errorf("%w: the source map %s is larger than %d MiB; split what it is of into several files, or leave it out", bundle.ErrMalformed, m.a.URL, sourcemap.MaxSize>>20)
	}
	return m.to.Write(b)
}

// flush writes what waits: parts before the artifacts that they are of, so that one which is
// found is whole.
func (w *fileWriter) flush() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if len(w.parts) > 0 {
		if err := w.s.parts.Insert(w.ctx, w.parts...); err != nil {
			return err
		}
	}
	if len(w.artifacts) > 0 {
		if err := w.s.artifacts.Insert(w.ctx, w.artifacts...); err != nil {
			return err
		}
	}
	w.parts, w.artifacts, w.bytes = nil, nil, 0
	return nil
}

// partWriter cuts a packed file into parts.
type partWriter struct {
	w    *fileWriter
	a    *artifact
	part bytes.Buffer
}

func (p *partWriter) Write(b []byte) (n int, err error) {
	for n < len(b) {
		some := min(len(b)-n, partSize-p.part.Len())
		p.part.Write(b[n : n+some])
		n += some
		if p.part.Len() == partSize {
			if err := p.end(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// end ends a part.
func (p *partWriter) end() error {
	if p.part.Len() == 0 {
		return nil
	}
	body := bytes.Clone(p.part.Bytes())
	p.part.Reset()
	if p.a.Body == nil {
		p.a.Body = body
		return nil
	}
	p.a.Parts++
	p.w.parts = append(p.w.parts, artifactPart{ID: partID(p.a.ID, p.a.Parts), Body: body})
	p.w.bytes += len(body)
	p.w.size += int64(len(body))
	if p.w.bytes < bytesTogether {
		return nil
	}
	err := p.w.s.parts.Insert(p.w.ctx, p.w.parts...)
	for _, written := range p.w.parts {
		p.w.bytes -= len(written.Body)
	}
	p.w.parts = nil
	return err
}

func partID(artifact string, n int) string { return artifact + "/" + fmt.Sprintf("%05d", n) }

// file is what is in an artifact. It returns ErrCorrupt, ErrNotFound where it is being
// removed, or an error of the store.
func (s *Service) file(ctx context.Context, a artifact) ([]byte, error) {
	packed := &partReader{ctx: ctx, s: s, a: a}
	packed.part.Reset(a.Body)
	z, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	if a.Size > sourcemap.MaxSize {
		return nil, fmt.Errorf("%w: the file %s is too large", docstore.ErrCorrupt, a.ID)
	}
	text := make([]byte, a.Size)
	switch _, err = io.ReadFull(z, text); {
	case packed.err != nil:
		return nil, packed.err
	case err != nil:
		return nil, fmt.Errorf("%w: the file %s: %w", docstore.ErrCorrupt, a.ID, err)
	}
	return text, nil
}

// partReader reads a packed file, of which it holds one part at a time.
type partReader struct {
	ctx  context.Context
	s    *Service
	a    artifact
	part bytes.Reader
	read int   // parts
	err  error // of the store
}

func (p *partReader) Read(b []byte) (int, error) {
	for p.part.Len() == 0 {
		if p.read == p.a.Parts {
			return 0, io.EOF
		}
		p.read++
		next, err := p.s.parts.Get(p.ctx, partID(p.a.ID, p.read))
		if err != nil {
			p.err = err
			return 0, err
		}
		p.part.Reset(next.Body)
	}
	return p.part.Read(b)
}

// removeUpload removes an upload with its files: the files first, as they are found by it.
func (s *Service) removeUpload(ctx context.Context, u upload) error {
	from := artifactID(u.Project, u.ID)
	all := docstore.Query{From: from, Until: from + "~"}
	if _, err := s.removeFiles(ctx, all); err != nil {
		return err
	}
	return docstore.NotFoundAs(s.uploads.Delete(ctx, u.ID), nil)
}

// removeFiles removes a range of files with their parts, and says how much that was; few at once: they are large, and
// others write too.
func (s *Service) removeFiles(ctx context.Context, q docstore.Query) (n int, err error) {
	for q.Limit = 20; ; {
		files, err := s.c.Store.DeleteRange(ctx, artifactSpec.Collection, q)
		if n += files; err != nil {
			return n, err
		}
		parts, err := s.c.Store.DeleteRange(ctx, artifactPartSpec.Collection, q)
		if n += parts; err != nil || files < q.Limit && parts < q.Limit {
			return n, err
		}
	}
}

// removeSpareUploads removes the oldest of what a project has too much of.
func (s *Service) removeSpareUploads(ctx context.Context, project string) error {
	size, count := int64(0), 0
	for u, err := range s.uploads.All(ctx, docstore.Query{Index: "by_at", Equal: []any{project}, Descending: true, Limit: docstore.MaxLimit}) {
		if err != nil {
			return err
		}
		if !u.Done {
			continue
		}
		if size, count = size+u.Size, count+1; size <= maxStored && count <= maxUploads {
			continue
		}
		if err := s.removeUpload(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

// removeUploads removes the uploads of a project that never were done, or weren't used for as
// long as events are kept, unless their release is.
func (s *Service) removeUploads(ctx context.Context, p Project) error {
	now := s.c.Now()
	var seen map[string]bool // read once it is asked
	for u, err := range s.uploads.All(ctx, docstore.Query{Index: "by_at", Equal: []any{p.ID}, Limit: docstore.MaxLimit}) {
		if err != nil {
			return err
		}
		gone := !u.Done && u.At.Before(now.Add(-unfinishedFor))
		if u.Done && u.UsedAt.Before(s.cutoff().Time) {
			if seen == nil {
				if seen, err = s.seenReleases(ctx, p.ID); err != nil {
					return err
				}
			}
			gone = u.Release == "" || !seen[u.Release]
		}
		if gone {
			err = s.removeUpload(ctx, u)
		}
		if err != nil {
			return err
		}
	}
	return s.removeSpareUploads(ctx, p.ID)
}

// seenReleases are the releases of a project that there were sessions of lately.
func (s *Service) seenReleases(ctx context.Context, project string) (map[string]bool, error) {
	seen := map[string]bool{}
	for day, err := range s.releases.All(ctx, docstore.Query{Index: byReleaseDay, Equal: []any{project}, Limit: docstore.DefaultLimit}) {
		if err != nil {
			return nil, err
		}
		seen[day.Release] = true
	}
	return seen, nil
}

// removeAllUploads removes those of a deleted project.
func (s *Service) removeAllUploads(ctx context.Context, p Project) (n int, err error) {
	all := docstore.Query{From: p.ID + "/", Until: p.ID + "0"} // which comes after "/"
	n, err = s.removeFiles(ctx, all)
	if err != nil {
		return n, err
	}
	some, err := s.uploads.DeleteAll(ctx, docstore.Query{Index: "by_at", Equal: []any{p.ID}})
	return n + some, err
}

// use notes that an upload's files are used, once a day.
func (s *Service) use(ctx context.Context, a artifact) error {
	now := docstore.At(s.c.Now())
	_, err := s.uploads.Update(ctx, a.Upload, func(u *upload) error {
		if now.Sub(u.UsedAt.Time) < 24*time.Hour {
			return docstore.ErrUnchanged
		}
		u.UsedAt = now
		return nil
	})
	return docstore.NotFoundAs(err, nil)
}
