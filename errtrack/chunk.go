package errtrack

import (
	"context"
	"crypto/sha1" //nolint:gosec // the protocol's names of chunks; nobody is trusted by them
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"manus/docstore"
	"manus/internal/words"
)

// Bounds of what sentry-cli uploads piece by piece: it is told them, see chunkOptions.
const (
	chunkSize = 1 << 20 // bytes
	// maxBundle is how large a bundle may be in all, and maxChunksWaiting how many chunks of all
	// bundles may wait to be put together.
	maxBundle        = 128 << 20
	maxChunksWaiting = 512
	// chunksWait is how long they do, and chunksStay how long they stay after that was done: an
	// upload of the same bundle at the same time may need them.
	chunksWait = time.Hour
	chunksStay = 5 * time.Minute
)

// chunk is a piece of a bundle.
type chunk struct {
	ID    string        `json:"_id"` // its SHA-1, which the protocol names it by
	Until docstore.Time `json:"until"`
	Body  []byte        `json:"body"`
}

// DocumentID is the chunk's id.
func (c chunk) DocumentID() string { return c.ID }

var chunkSpec = docstore.Spec{Collection: "error_chunks", Of: chunk{}, Transient: true}

// chunkList is which chunks there are, of all copies: one document, so that they are bounded
// exactly. A chunk is noted here before it is kept.
type chunkList struct {
	ID     string         `json:"_id"`
	Chunks []waitingChunk `json:"chunks"`
}

type waitingChunk struct {
	ID    string        `json:"id"`
	Until docstore.Time `json:"until"`
}

// DocumentID is the id of the only one.
func (w chunkList) DocumentID() string { return w.ID }

var waitingSpec = docstore.Spec{Collection: "error_uploads", Of: chunkList{}, Transient: true}

const theWaiting = "waiting"

// errRoom is returned for a chunk that there is no room for now.
var errRoom = errors.New("too many uploads wait to be put together")

// keepChunk keeps a piece of a bundle until it is put together, at most for an hour. It
// returns ErrInvalid for what isn't what it is called, errRoom, or an error of the store or of
// what it is read from.
func (s *Service) keepChunk(ctx context.Context, name string, in io.Reader) error {
	body, err := io.ReadAll(io.LimitReader(in, chunkSize+1))
	if err != nil {
		return err
	}
	if len(body) > chunkSize {
		return fmt.Errorf("%w: a chunk has more than %s", ErrInvalid, words.Count(chunkSize, "byte"))
	}
	if sum := sha1.Sum(body); hex.EncodeToString(sum[:]) != name { //nolint:gosec // as above
		return fmt.Errorf("%w: a chunk isn't what its checksum says", ErrInvalid)
	}
	c := chunk{ID: name, Until: docstore.At(s.c.Now().Add(chunksWait)), Body: body}
	err = s.await(ctx, []string{name}, c.Until, true)
	if errors.Is(err, errRoom) && s.removeChunks(ctx) == nil {
		err = s.await(ctx, []string{name}, c.Until, true)
	}
	if err != nil {
		return err
	}
	_, err = s.chunks.Upsert(ctx, c, func(now *chunk, _ bool) error { *now = c; return nil })
	return err
}

// await notes until when chunks wait; those that aren't noted yet only where they are to be
// added. It returns errRoom or an error of the store.
func (s *Service) await(ctx context.Context, ids []string, until docstore.Time, add bool) error {
	_, err := s.waiting.Upsert(ctx, chunkList{ID: theWaiting}, func(w *chunkList, _ bool) error {
		for _, id := range ids {
			k := slices.IndexFunc(w.Chunks, func(c waitingChunk) bool { return c.ID == id })
			switch {
			case k >= 0:
				w.Chunks[k].Until = until
			case !add:
			case len(w.Chunks) >= maxChunksWaiting:
				return errRoom
			default:
				w.Chunks = append(w.Chunks, waitingChunk{id, until})
			}
		}
		return nil
	})
	return err
}

// removeChunks removes those whose time is over. It may be cut short and done again. Errors
// are the store's.
func (s *Service) removeChunks(ctx context.Context) error {
	now := s.c.Now()
	w, err := s.waiting.Get(ctx, theWaiting)
	if err != nil {
		return docstore.NotFoundAs(err, nil)
	}
	over := func(c waitingChunk) bool { return c.Until.Before(now) }
	for _, c := range w.Chunks {
		if !over(c) {
			continue
		}
		_, err := s.chunks.Update(ctx, c.ID, func(found *chunk) error {
			if found.Until.After(c.Until.Time) && !found.Until.Before(now) { // it was uploaded again since
				return docstore.ErrUnchanged
			}
			return docstore.ErrRemoved
		})
		if docstore.NotFoundAs(err, nil) != nil {
			return err
		}
	}
	_, err = s.waiting.Update(ctx, theWaiting, func(w *chunkList) error {
		w.Chunks = slices.DeleteFunc(w.Chunks, over)
		return nil
	})
	return docstore.NotFoundAs(err, nil)
}

// missing are those of some chunks that aren't here.
func (s *Service) missing(ctx context.Context, ids []string) ([]string, error) {
	w, err := s.waiting.Get(ctx, theWaiting)
	if docstore.NotFoundAs(err, nil) != nil {
		return nil, err
	}
	noted := make(map[string]bool, len(w.Chunks))
	for _, c := range w.Chunks {
		noted[c.ID] = true
	}
	missing := []string{}
	for _, id := range ids {
		if noted[id] {
			_, err := s.chunks.Get(ctx, id)
			if docstore.NotFoundAs(err, nil) != nil {
				return nil, err
			}
			noted[id] = err == nil
		}
		if !noted[id] {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// assembled is a bundle as its chunks are: each has chunkSize bytes but for the last. It
// keeps the chunk that was read last.
type assembled struct {
	ctx    context.Context
	s      *Service
	chunks []string
	size   int64
	at     int // of body, in chunks
	body   []byte
}

// errLost is returned where a chunk has gone meanwhile.
var errLost = errors.New("a part of the bundle is gone")

// assemble finds out how large a bundle is, and whether it is what its checksum says. It
// returns ErrInvalid, errLost or an error of the store.
func (s *Service) assemble(ctx context.Context, checksum string, chunks []string) (*assembled, error) {
	a := &assembled{ctx: ctx, s: s, chunks: chunks, at: -1}
	sum := sha1.New() //nolint:gosec // as above
	for k := range chunks {
		if err := a.load(k); err != nil {
			return nil, err
		}
		if k < len(chunks)-1 && len(a.body) != chunkSize {
			return nil, fmt.Errorf("%w: each chunk but the last has %s", ErrInvalid, words.Count(chunkSize, "byte"))
		}
		_, _ = sum.Write(a.body) // which never fails
		a.size += int64(len(a.body))
	}
	if hex.EncodeToString(sum.Sum(nil)) != checksum {
		return nil, fmt.Errorf("%w: the bundle isn't what its checksum says", ErrInvalid)
	}
	return a, nil
}

func (a *assembled) load(k int) error {
	if a.at == k {
		return nil
	}
	c, err := a.s.chunks.Get(a.ctx, a.chunks[k])
	if err != nil {
		return docstore.NotFoundAs(err, errLost)
	}
	a.at, a.body = k, c.Body
	return nil
}

// ReadAt reads from the chunks, from one at a time.
func (a *assembled) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) && at < a.size {
		if err := a.load(int(at / chunkSize)); err != nil {
			return n, err
		}
		some := copy(p[n:], a.body[at%chunkSize:])
		if some == 0 { // what was checked has changed
			return n, errLost
		}
		n, at = n+some, at+int64(some)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}
