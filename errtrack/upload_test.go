package errtrack

import (
	archive "archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1" //nolint:gosec // the protocol's
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/docstore"
	"manus/docstore/sqlitedocs"
	"manus/internal/processtest"
	"manus/internal/storetest"
)

// files are of a bundle: at each address a source map, or a minified file.
type files map[string]string

// zipped is a bundle as sentry-cli makes them. Source maps have the address's debug id, see
// idOf.
func (all files) zipped() []byte {
	type entry struct {
		Type    string            `json:"type"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
	}
	manifest := map[string]entry{}
	var out bytes.Buffer
	out.WriteString("SYSB\x02\x00\x00\x00")
	w := archive.NewWriter(&out)
	write := func(name string, text []byte) {
		f, _ := w.Create(name) // into memory, which takes it
		_, _ = f.Write(text)
	}
	for _, url := range slices.Sorted(maps.Keys(all)) {
		text := all[url]
		e := entry{"minified_source", url, map[string]string{}}
		if strings.HasSuffix(url, ".map") {
			e = entry{"source_map", url, map[string]string{"debug-id": dashed(idOf(url))}}
		}
		path := "files/_/_/" + strings.TrimPrefix(url, "~/")
		manifest[path] = e
		write(path, []byte(text))
	}
	text, _ := json.Marshal(map[string]any{"files": manifest})
	write("manifest.json", text)
	_ = w.Close()
	return out.Bytes()
}

// idOf is the debug id of what is at an address.
func idOf(url string) string { return sumOf([]byte(url))[:32] }

func sumOf(data []byte) string {
	sum := sha1.Sum(data) //nolint:gosec // the protocol's
	return hex.EncodeToString(sum[:])
}

// uploads is a client of the protocol, as sentry-cli is.
type uploads struct {
	*rig
	server *httptest.Server
}

func newUploads(t testing.TB, store docstore.Store) *uploads {
	t.Helper()
	r := newRig(t, store)
	return &uploads{r, r.serve(t)}
}

const chunkURL, assembleURL = "/api/0/organizations/manus/chunk-upload/", "/api/0/organizations/manus/artifactbundle/assemble/"

// post sends a body, and returns what is answered.
func (u *uploads) post(t testing.TB, path, media string, body []byte) (int, string) {
	t.Helper()
	response, err := u.server.Client().Post(u.server.URL+path, media, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if media := response.Header.Get("Content-Type"); media != "application/json" {
		t.Errorf("%s is answered as %s: %s", path, media, text)
	}
	return response.StatusCode, string(text)
}

// form is a body of chunks: each under a name.
func form(field string, chunks map[string][]byte) (media string, body []byte) {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for name, data := range chunks {
		part, _ := w.CreateFormFile(field, name)
		if field == "file_gzip" {
			z := gzip.NewWriter(part)
			_, _ = z.Write(data)
			_ = z.Close()
		} else {
			_, _ = part.Write(data)
		}
	}
	_ = w.Close()
	return w.FormDataContentType(), out.Bytes()
}

// send uploads chunks.
func (u *uploads) send(t testing.TB, data []byte) (sums []string) {
	t.Helper()
	for piece := range slices.Chunk(data, chunkSize) {
		sums = append(sums, sumOf(piece))
		media, body := form("file_gzip", map[string][]byte{sumOf(piece): piece})
		if status, text := u.post(t, chunkURL, media, body); status != http.StatusOK {
			t.Fatalf("a chunk: %d %s", status, text)
		}
	}
	return sums
}

// assemble has a bundle put together, and returns its state and what is said of it.
func (u *uploads) assembled(t testing.TB, request bundleRequest) string {
	t.Helper()
	if request.Projects == nil {
		request.Projects = []string{"shop"}
	}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	status, text := u.post(t, assembleURL, "application/json", body)
	var answer bundleAnswer
	if status != http.StatusOK || json.Unmarshal([]byte(text), &answer) != nil {
		return fmt.Sprint(status, " ", text)
	}
	if len(answer.Missing) > 0 {
		return fmt.Sprint(answer.State, " ", len(answer.Missing))
	}
	return strings.TrimSpace(answer.State + " " + answer.Detail)
}

// upload uploads a bundle as sentry-cli does.
func (u *uploads) upload(t testing.TB, all files, change ...func(*bundleRequest)) string {
	t.Helper()
	data := all.zipped()
	request := bundleRequest{Checksum: sumOf(data)}
	for piece := range slices.Chunk(data, chunkSize) {
		request.Chunks = append(request.Chunks, sumOf(piece))
	}
	for _, c := range change {
		c(&request)
	}
	if state := u.assembled(t, request); !strings.HasPrefix(state, "not_found") {
		return state
	}
	u.send(t, data)
	return u.assembled(t, request)
}

// kept is how many uploads, files and parts of files there are.
func (r *rig) uploaded(t testing.TB) string {
	t.Helper()
	var n [3]int
	for k, count := range []func() error{
		func() error { return countAll(t, r.uploads, &n[0]) }, func() error { return countAll(t, r.artifacts, &n[1]) }, func() error { return countAll(t, r.parts, &n[2]) },
	} {
		if err := count(); err != nil {
			t.Fatal(k, err)
		}
	}
	return fmt.Sprintf("%d uploads, %d files, %d parts", n[0], n[1], n[2])
}

func countAll[T docstore.Entity](t testing.TB, c *docstore.Collection[T], n *int) error {
	for _, err := range c.All(t.Context(), docstore.Query{}) {
		if err != nil {
			return err
		}
		*n++
	}
	return nil
}

const aMap = `{"version":3,"sources":["src/a.ts"],"sourcesContent":["first\nsecond\nthird"],"names":["pay"],"mappings":"AACAA"}`

// big is a text that can't be packed.
func big(size int) string {
	text := make([]byte, size)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(text) // which never fails
	return string(text)
}

// TestABundleIsPutTogetherOnce: however often, by how many, and for which release.
func TestABundleIsPutTogetherOnce(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	all := files{"~/a.js": "1", "~/a.js.map": aMap, "~/b.js.map": big(5 << 20)}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if state := u.upload(t, all); state != "ok" {
				t.Errorf("the bundle is %s", state)
			}
		})
	}
	both.Wait()
	if state := u.upload(t, all); state != "ok" {
		t.Errorf("the bundle is %s when it comes again", state)
	}
	before := u.uploaded(t)
	if !strings.HasPrefix(before, "1 uploads, 3 files") {
		t.Errorf("there are %s", before)
	}
	if state := u.upload(t, all, func(b *bundleRequest) { b.Version, b.Dist = "shop@1", "7" }); state != "ok" {
		t.Errorf("the bundle is %s for a release", state)
	}
	if after := u.uploaded(t); !strings.HasPrefix(after, "2 uploads, 6 files") {
		t.Errorf("there are %s", after)
	}
	a, err := u.mapFile(t.Context(), u.p.ID, idOf("~/b.js.map"), "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := u.file(t.Context(), a); err != nil || string(text) != big(5<<20) || a.Parts == 0 {
		t.Errorf("of the large file there are %d bytes in %d parts: %v", len(text), a.Parts+1, err)
	}
}

// TestAnUploadIsCutShort: at every call of the store, by a process that dies of it. The next
// upload is whole, and what the first has left goes.
func TestAnUploadIsCutShort(t *testing.T) {
	t.Parallel()
	data := files{"~/a.js": "1", "~/a.js.map": aMap, "~/b.js.map": big(chunkSize + chunkSize/8)}.zipped()
	chunks := slices.Collect(slices.Chunk(data, chunkSize))
	var sums []string
	for _, c := range chunks {
		sums = append(sums, sumOf(c))
	}
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newRig(t, store)
		steps := func() error {
			for k, c := range chunks {
				if err := r.keepChunk(t.Context(), sums[k], bytes.NewReader(c)); err != nil {
					return err
				}
			}
			missing, err := r.takeBundleFor(t.Context(), r.p, bundleRequest{Checksum: sumOf(data), Chunks: sums})
			if len(missing) > 0 {
				t.Errorf("%d chunks are missing", len(missing))
			}
			return err
		}
		cut(steps)
		if err := steps(); err != nil {
			t.Fatal(err)
		}
		r.clock.Add(unfinishedFor + time.Minute)
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.uploaded(t); !strings.HasPrefix(got, "1 uploads, 3 files, ") {
			t.Errorf("there are %s", got)
		}
		if n := 0; countAll(t, r.chunks, &n) != nil || n != 0 {
			t.Errorf("%d chunks stay", n)
		}
	})
}

// dying is a store as a process sees it that dies: after so many calls nothing it does is done.
type dying struct {
	docstore.Store
	left int
}

func (d *dying) dead() error {
	if d.left--; d.left < 0 {
		return docstore.ErrUnavailable
	}
	return nil
}

func (d *dying) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	if err := d.dead(); err != nil {
		return nil, err
	}
	return d.Store.Get(ctx, collection, id)
}

func (d *dying) Find(ctx context.Context, collection string, q docstore.Query) (docstore.Page, error) {
	if err := d.dead(); err != nil {
		return docstore.Page{}, err
	}
	return d.Store.Find(ctx, collection, q)
}

func (d *dying) Insert(ctx context.Context, collection string, docs ...docstore.Document) error {
	if err := d.dead(); err != nil {
		return err
	}
	return d.Store.Insert(ctx, collection, docs...)
}

func (d *dying) Upsert(ctx context.Context, collection, id string, change func(docstore.Raw) (docstore.Raw, error)) error {
	if err := d.dead(); err != nil {
		return err
	}
	return d.Store.Upsert(ctx, collection, id, change)
}

func (d *dying) Delete(ctx context.Context, collection, id string) error {
	if err := d.dead(); err != nil {
		return err
	}
	return d.Store.Delete(ctx, collection, id)
}

func (d *dying) DeleteRange(ctx context.Context, collection string, q docstore.Query) (int, error) {
	if err := d.dead(); err != nil {
		return 0, err
	}
	return d.Store.DeleteRange(ctx, collection, q)
}

// TestAnUploadOfADyingProcess: it dies at any call of the store, and doesn't tidy up. Its files
// are found by nobody who doesn't have all, and go within an hour; then another one uploads the same.
func TestAnUploadOfADyingProcess(t *testing.T) {
	t.Parallel()
	data := files{"~/a.js": "1", "~/a.js.map": aMap, "~/b.js.map": big(2 << 20)}.zipped()
	store := &dying{Store: storetest.New(t, Specs()...), left: 1 << 20}
	r := newRig(t, store)
	b := bundleRequest{Checksum: sumOf(data)}
	for piece := range slices.Chunk(data, chunkSize) {
		b.Chunks = append(b.Chunks, sumOf(piece))
		if err := r.keepChunk(t.Context(), sumOf(piece), bytes.NewReader(piece)); err != nil {
			t.Fatal(err)
		}
	}
	unfinished := 0
	for n := 0; ; n++ {
		store.left = n
		_, err := r.takeBundleFor(t.Context(), r.p, b)
		alive := store.left >= 0
		if store.left = 1 << 20; alive != (err == nil) {
			t.Fatalf("call %d: %v", n+1, err)
		}
		if alive {
			break
		}
		done := false
		for u, err := range r.uploads.All(t.Context(), docstore.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			unfinished++
			done = u.Done
		}
		if done { // it died of telling that
			continue
		}
		r.clock.Add(unfinishedFor + time.Second)
		if err := r.await(t.Context(), b.Chunks, docstore.At(r.clock.Now().Add(chunksWait)), false); err != nil {
			t.Fatal(err)
		}
		if err := r.removeUploads(t.Context(), r.p); err != nil {
			t.Fatal(err)
		}
		if got := r.uploaded(t); got != "0 uploads, 0 files, 0 parts" {
			t.Fatalf("call %d: there are %s", n+1, got)
		}
	}
	if got := r.uploaded(t); !strings.HasPrefix(got, "1 uploads, 3 files, ") || unfinished == 0 {
		t.Errorf("there are %s; %d were left", got, unfinished)
	}
}

// TestWhatIsUploadedIsLookedAt: what isn't as the protocol has it is refused, and says why.
func TestWhatIsUploadedIsLookedAt(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	data := files{"~/a.js.map": aMap}.zipped()
	sum := sumOf(data)
	tooMany := map[string][]byte{}
	for n := range chunksPerRequest + 1 {
		tooMany[sumOf([]byte{byte(n)})] = []byte{byte(n)}
	}
	large := bytes.Repeat([]byte("a"), chunkSize+1)
	for name, chunks := range map[string]map[string][]byte{
		"a wrong checksum": {sumOf([]byte("other")): data}, "a name that is none": {"../../etc/passwd": data}, "too large a chunk": {sumOf(large): large}, "too many chunks": tooMany,
	} {
		for _, field := range []string{"file", "file_gzip"} {
			media, body := form(field, chunks)
			if status, text := u.post(t, chunkURL, media, body); status != http.StatusBadRequest || !strings.HasPrefix(text, `{"detail":"`) {
				t.Errorf("%s is answered %d %s", name, status, text)
			}
		}
	}
	media, body := form("file_gzip", map[string][]byte{sum: data})
	for name, sent := range map[string][]byte{"cut short": body[:len(body)/2], "no form": data, "damaged": bytes.Replace(body, []byte{0x1f, 0x8b}, []byte{0x1f, 0x8c}, 1)} {
		if status, text := u.post(t, chunkURL, media, sent); status != http.StatusBadRequest || !strings.HasPrefix(text, `{"detail":"`) {
			t.Errorf("a body that is %s: %d %s", name, status, text)
		}
	}
	bombed, bomb := form("file_gzip", map[string][]byte{sumOf(nil): make([]byte, 200<<20)})
	if status, text := u.post(t, chunkURL, bombed, bomb); status != http.StatusBadRequest {
		t.Errorf("a bomb is answered %d %s", status, text)
	}
	if n := 0; countAll(t, u.chunks, &n) != nil || n > chunksPerRequest+1 {
		t.Errorf("%d chunks are kept", n)
	}
	sums := u.send(t, data)
	for want, request := range map[string]bundleRequest{
		"error the bundle isn't what its checksum says":                                                               {Checksum: sumOf([]byte("other")), Chunks: sums},
		"error each chunk but the last has 1048576 bytes":                                                             {Checksum: sum, Chunks: append(slices.Clone(sums), sums...)},
		`400 {"detail":"checksums are SHA-1s, as 40 hexadecimal digits"}`:                                             {Checksum: "x", Chunks: sums},
		`400 {"detail":"a bundle has chunks, and a project"}`:                                                         {Checksum: sum},
		`400 {"detail":"a bundle has at most 128 MiB; upload fewer files at once"}`:                                   {Checksum: sum, Chunks: slices.Repeat(sums, 129)},
		`400 {"detail":"a release's name has at most 200 characters, and neither / nor \\, and is not a dot or two"}`: {Checksum: sum, Chunks: sums, Version: "a/b"},
		`400 {"detail":"there is no project 'none'; 'manus errors project list' shows those that there are"}`:         {Checksum: sum, Chunks: sums, Projects: []string{"none"}},
	} {
		if got := strings.TrimSpace(u.assembled(t, request)); got != want {
			t.Errorf("a request is answered %s, want %s", got, want)
		}
	}
	if status, text := u.post(t, assembleURL, "application/json", []byte(strings.Repeat("[", 1<<20))); status != http.StatusBadRequest {
		t.Errorf("JSON that is deep: %d %s", status, text)
	}
	if state := u.upload(t, files{"~/a.map": strings.Repeat(" ", 66<<20)}); state != "error ~/a.map is larger than 64 MiB" {
		t.Errorf("a bomb is %s", state)
	}
	if got := u.uploaded(t); got != "0 uploads, 0 files, 0 parts" {
		t.Errorf("of what was refused there are %s", got)
	}
	if state := u.upload(t, files{"~/a.js.map": aMap}); state != "ok" {
		t.Errorf("after all that a bundle is %s", state)
	}
}

// No two projects have one slug; of those that older versions let have one, a release is of
// neither unless it says which.
func TestProjectsAreToldApart(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	web, err := u.NewProject(t.Context(), "My Web", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"My-Web": ErrSlugTaken, "my web": ErrNameTaken, web.ID: ErrInvalid, "(my) web!": ErrSlugTaken} {
		if _, err := u.NewProject(t.Context(), name, ""); !errors.Is(err, want) {
			t.Errorf("a new %s: %v", name, err)
		}
		if _, err := u.ChangeProject(t.Context(), u.p.ID, ProjectChange{Name: &name}); !errors.Is(err, want) {
			t.Errorf("renaming to %s: %v", name, err)
		}
	}
	if _, err := u.ChangeProject(t.Context(), web.ID, ProjectChange{Name: new("My-Web")}); err != nil {
		t.Errorf("its own slug: %v", err)
	}
	for _, name := range []string{"My-Web", "my-web", web.ID} {
		if p, err := u.Project(t.Context(), name); err != nil || p.ID != web.ID {
			t.Errorf("%s is %v: %v", name, p, err)
		}
	}
	old, err := u.makeProject(t.Context(), Project{Name: "my web"}) // as older versions did
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"my-web": "4 " + web.ID + ", " + old.ID, "my web": "2 ", old.ID: "2 "} {
		body := fmt.Sprintf(`{"version":"1.0","projects":[%q]}`, name)
		status, answer := u.post(t, "/api/0/organizations/manus/releases/", "application/json", []byte(body))
		if code, ids, _ := strings.Cut(want, " "); fmt.Sprint(status/100) != code || !strings.Contains(answer, ids) {
			t.Errorf("a release of %s: %d %s", name, status, answer)
		}
	}
}

// TestChunksAreBounded: those that wait too long go, and where there are too many, that is told.
func TestChunksAreBounded(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	full := chunkList{ID: theWaiting}
	for n := range maxChunksWaiting {
		full.Chunks = append(full.Chunks, waitingChunk{fmt.Sprintf("%040x", n), docstore.At(u.clock.Now().Add(chunksWait))})
	}
	if err := u.waiting.Insert(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	media, body := form("file", map[string][]byte{sumOf([]byte("a")): []byte("a")})
	if status, text := u.post(t, chunkURL, media, body); status != http.StatusServiceUnavailable || !strings.Contains(text, "too many uploads wait") {
		t.Errorf("one too many is answered %d %s", status, text)
	}
	u.clock.Add(chunksWait + time.Second)
	if status, text := u.post(t, chunkURL, media, body); status != http.StatusOK {
		t.Errorf("an hour later: %d %s", status, text)
	}
	w, err := u.waiting.Get(t.Context(), theWaiting)
	if err != nil || len(w.Chunks) != 1 {
		t.Errorf("%d chunks wait: %v", len(w.Chunks), err)
	}
	u.clock.Add(chunksWait + time.Second)
	if err := u.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := 0; countAll(t, u.chunks, &n) != nil || n != 0 {
		t.Errorf("%d chunks stay", n)
	}
}

// TestUploadsGo: the oldest when a project has too much, those that nobody uses, and all of a
// deleted project.
func TestUploadsGo(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	names := []string{"~/a.map", "~/b.map", "~/c.map"}
	for k, name := range names {
		if state := u.upload(t, files{name: aMap}, func(b *bundleRequest) { b.Version = []string{"", "shop@1", "shop@2"}[k] }); state != "ok" {
			t.Fatal(state)
		}
		u.clock.Add(time.Minute)
	}
	has := func() (all []string) {
		for _, name := range names {
			if _, err := u.mapFile(t.Context(), u.p.ID, idOf(name), "", "", ""); err == nil {
				all = append(all, name)
			}
		}
		return all
	}
	// The last two are as large as a project may be.
	for one, err := range u.uploads.All(t.Context(), docstore.Query{Index: "by_at", Equal: []any{u.p.ID}}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.uploads.Update(t.Context(), one.ID, func(u *upload) error { u.Size = maxStored / 2; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	sweep := func() {
		t.Helper()
		if err := u.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if sweep(); !slices.Equal(has(), names[1:]) {
		t.Errorf("there are %s", has())
	}
	// Of these one is used, and of the other's release there are sessions.
	u.clock.Add(89 * 24 * time.Hour)
	if at, err := u.locate(t.Context(), u.p.ID, idOf(names[1]), "", "", ""); err != nil || at == (location{}) {
		t.Fatal(at, err)
	}
	u.clock.Add(2 * 24 * time.Hour)
	day := u.clock.Now().Unix() / 86400
	if err := u.releases.Insert(t.Context(), ReleaseDay{ID: "1/a", Project: u.p.ID, Release: "shop@2", Environment: "production", Day: day}); err != nil {
		t.Fatal(err)
	}
	if sweep(); !slices.Equal(has(), names[1:]) {
		t.Errorf("after 91 days there are %s", has())
	}
	u.clock.Add(91 * 24 * time.Hour)
	if sweep(); len(has()) != 0 {
		t.Errorf("after half a year there are %s", has())
	}
	if state := u.upload(t, files{names[0]: aMap}, func(b *bundleRequest) { b.Version = "shop@3" }); state != "ok" {
		t.Fatal(state)
	}
	if err := u.DeleteProject(t.Context(), u.p.ID); err != nil {
		t.Fatal(err)
	}
	sweep()
	if got := u.uploaded(t); got != "0 uploads, 0 files, 0 parts" {
		t.Errorf("a deleted project has %s", got)
	}
	if n := 0; countAll(t, u.named, &n) != nil || n != 0 {
		t.Errorf("a deleted project has %d releases", n)
	}
}

// uploadForever uploads bundle after bundle, and says of each when it is acknowledged.
func uploadForever(args []string) error {
	ctx := context.Background()
	store, err := sqlitedocs.Open(ctx, args[0])
	if err != nil {
		return err
	}
	if err := store.Declare(ctx, withHeard()...); err != nil {
		return err
	}
	s, err := listener(store, filepath.Dir(args[0]), nil)
	if err != nil {
		return err
	}
	fmt.Println("running")
	for n := 0; ; n++ {
		name := fmt.Sprintf("~/%s-%d.map", args[1], n)
		data := files{name: aMap, "~/large.map": big(2 << 20)}.zipped()
		b := bundleRequest{Checksum: sumOf(data)}
		for piece := range slices.Chunk(data, chunkSize) {
			b.Chunks = append(b.Chunks, sumOf(piece))
			if err := s.keepChunk(ctx, sumOf(piece), bytes.NewReader(piece)); err != nil {
				return err
			}
		}
		if missing, err := s.takeBundleFor(ctx, Project{ID: "1", Name: "Shop"}, b); err != nil || len(missing) > 0 {
			return errors.Join(err, fmt.Errorf("%d chunks are missing", len(missing)))
		}
		_, _ = os.Stdout.WriteString("took " + name + "\n")
	}
}

// TestKilledUploadsLeaveNothing: of what was acknowledged all files are there, and of the rest
// nothing stays.
func TestKilledUploadsLeaveNothing(t *testing.T) {
	t.Parallel()
	path := prepareFile(t)
	taken, random := map[string]bool{}, rand.New(rand.NewPCG(3, 4))
	for round := range processtest.Size(processtest.CrashRounds, 8) {
		p := processtest.Start(t, "uploads", path, fmt.Sprint(round))
		p.Await(t, "running")
		lines := []string{}
		for range 1 + round%3 {
			lines = append(lines, "took "+p.Await(t, "took "))
		}
		time.Sleep(time.Duration(random.IntN(100_000)) * time.Microsecond) // any moment is right
		for _, line := range append(lines, p.Kill(t)...) {
			if name, ok := strings.CutPrefix(line, "took "); ok {
				taken[name] = true
			}
		}
	}
	store, err := sqlitedocs.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if err := store.Declare(t.Context(), withHeard()...); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(2 * time.Hour)
	s, err := listener(store, filepath.Dir(path), func() time.Time { return later })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name := range taken {
		a, err := s.mapFile(t.Context(), "1", idOf(name), "", "", "")
		if err != nil {
			t.Errorf("%s was acknowledged and isn't there: %v", name, err)
			continue
		}
		if text, err := s.file(t.Context(), a); err != nil || string(text) != aMap {
			t.Errorf("%s is %q: %v", name, text, err)
		}
	}
	done := map[string]bool{}
	for u, err := range s.uploads.All(t.Context(), docstore.Query{}) {
		if err != nil || !u.Done {
			t.Errorf("an upload that was cut short stays: %v", err)
		}
		done[u.ID] = true
	}
	if len(taken) == 0 || len(done) < len(taken) {
		t.Errorf("%d were acknowledged, %d are there", len(taken), len(done))
	}
	for a, err := range s.artifacts.All(t.Context(), docstore.Query{}) {
		if err != nil || !done[a.Upload] {
			t.Errorf("the file %s of no upload stays: %v", a.URL, err)
		}
	}
	for p, err := range s.parts.All(t.Context(), docstore.Query{Limit: 10}) {
		if err != nil || !done[strings.Split(p.ID, "/")[1]] {
			t.Errorf("a part of a file of no upload stays: %v", err)
		}
	}
	if n := 0; countAll(t, s.chunks, &n) != nil || n != 0 {
		t.Errorf("%d chunks stay", n)
	}
}

// FuzzBundleRequest: whatever is said of a bundle is answered, and what is answered is JSON.
func FuzzBundleRequest(f *testing.F) {
	f.Add(`{"checksum":"c08e6e80bab7a0389ec8d884f0471657c052e793","chunks":["c08e6e80bab7a0389ec8d884f0471657c052e793"],"projects":["shop"],"version":"shop@1.0","dist":"7"}`)
	f.Add(`{"checksum":null,"chunks":[null],"projects":[[]]}`)
	u := newUploads(f, storetest.New(f, Specs()...))
	f.Fuzz(func(t *testing.T, text string) {
		for _, path := range []string{assembleURL, "/api/0/organizations/manus/releases/"} {
			status, answer := u.post(t, path, "application/json", []byte(text))
			if !json.Valid([]byte(answer)) || status >= http.StatusInternalServerError {
				t.Errorf("%q is answered %d %s", text, status, answer)
			}
		}
	})
}

// TestReleasesThatWereTold: since when one is out, and where it was deployed, stands beside its
// sessions.
func TestReleasesThatWereTold(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	now := u.clock.Now().UTC()
	if err := u.releases.Insert(t.Context(), ReleaseDay{ID: "1/a", Project: u.p.ID, Release: "shop@1", Environment: "production", Day: now.Unix() / 86400, FirstSeen: docstore.At(now), LastSeen: docstore.At(now)}); err != nil {
		t.Fatal(err)
	}
	const releases = "/api/0/organizations/manus/releases/"
	for _, step := range []struct{ path, body string }{
		{releases, `{"version":"shop@1","projects":["shop"],"dateReleased":"2026-01-02T03:04:05.123456789Z"}`},
		{releases + "shop@1/deploys/", `{"environment":"staging","dateFinished":"2026-01-03T00:00:00Z"}`},
		{releases + "shop@1/deploys/", `{"environment":"production","dateFinished":"2026-01-04T00:00:00Z"}`},
		{releases + "shop@1/deploys/", `{"environment":"production","dateFinished":"2026-01-05T00:00:00Z"}`},
	} {
		if status, text := u.post(t, step.path, "application/json", []byte(step.body)); status != http.StatusOK {
			t.Errorf("%s: %d %s", step.path, status, text)
		}
	}
	list := ask[struct{ Items []releaseBody }](t, u.server, "/ops/releases?project="+u.p.ID).Items
	if len(list) != 1 || list[0].ReleasedAt == nil || !strings.HasPrefix(*list[0].ReleasedAt, "2026-01-02T03:04:05") || list[0].DeployedAt == nil || !strings.HasPrefix(*list[0].DeployedAt, "2026-01-05") {
		t.Errorf("the releases are %+v", list)
	}
	for n := range maxDeploys + 10 {
		if _, err := u.nameRelease(t.Context(), u.p, "shop@1", func(r *namedRelease) { r.Deploys = append(r.Deploys, deploy{ID: fmt.Sprint(n)}) }); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := u.namedReleases(t.Context(), "shop@1"); err != nil || len(all) != 1 || len(all[0].Deploys) != maxDeploys {
		t.Errorf("of many deploys there are %+v: %v", all, err)
	}
}
