package errtrack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/errtrack/sourcemap"
	"manus/internal/storetest"
	"manus/internal/waittest"
	"manus/language"
)

// minified is an event of a built program, whose file has the debug id of a source map's
// address; "" is none.
func (r *rig) minified(n int, url string, frames ...event.Frame) *event.Event {
	e := &event.Event{
		ID: fmt.Sprintf("%032x", n), Timestamp: r.clock.Now(), Level: event.Error, Platform: "javascript", Environment: "production",
		Exceptions: []event.Exception{{Type: "Error", Value: "no", Frames: frames}},
	}
	if url != "" {
		e.Images = []event.Image{{Type: "sourcemap", CodeFile: app, DebugID: idOf(url)}}
	}
	return e
}

const app = "https://shop.example.com/static/app-1a2b3c4d.js?v=1"

func frameAt(line, column int) event.Frame {
	return event.Frame{Function: "t", Filename: app, AbsPath: app, Line: line, Column: column, InApp: true}
}

// last is the innermost frame of an event as it is shown.
func (r *rig) last(t testing.TB, n int) event.Frame {
	t.Helper()
	k, err := r.Event(t.Context(), "", fmt.Sprintf("%032x", n))
	if err != nil {
		t.Fatal(err)
	}
	frames := k.Exceptions[0].Frames
	return frames[len(frames)-1]
}

// TestFramesThatAreNotMappedSayWhy: whatever is missing, and each by itself.
func TestFramesThatAreNotMappedSayWhy(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	u.start(t)
	other, err := u.NewProject(t.Context(), "Other", "javascript")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	why := func(e *event.Event, want string) {
		t.Helper()
		n++
		e.ID = fmt.Sprintf("%032x", n)
		u.take(t, e)
		f := u.last(t, n)
		if want == "" && f.SourceMap == nil {
			return
		}
		if f.SourceMap == nil || f.SourceMap.Minified != nil || want == "" || !strings.Contains(f.SourceMap.Why, want) {
			t.Errorf("the frame %+v has %+v, want that it says %q", f, f.SourceMap, want)
		}
	}
	readable := frameAt(1, 1)
	readable.Context = []string{"total(cart)"}
	why(u.minified(0, "~/a.map", readable), "")
	readable.Context = []string{"{snip} total(cart) {snip}"}
	why(u.minified(0, "~/a.map", readable), "No source map has been uploaded to this project.")
	why(u.minified(0, "~/a.map", frameAt(1, 1)), "No source map has been uploaded to this project.")
	for project, all := range map[string]files{other.ID: {"~/other.map": aMap}, u.p.ID: {"~/a.map": aMap, "~/broken.map": `{"version":3,"mappings":"!"}`, "~/none.map": "[]"}} {
		if state := u.upload(t, all, func(b *bundleRequest) { b.Projects = []string{project} }); state != "ok" {
			t.Fatal(state)
		}
	}
	id := dashed(idOf("~/other.map"))
	why(u.minified(0, "~/other.map", frameAt(1, 1)), "No source map with the debug id "+id+" has been uploaded to this project.")
	why(u.minified(0, "", frameAt(1, 1)), "run 'sentry-cli sourcemaps inject'")
	why(u.minified(0, "~/broken.map", frameAt(1, 1)), "can't be read: that is no source map")
	why(u.minified(0, "~/none.map", frameAt(1, 1)), "can't be read: that is no source map")
	why(u.minified(0, "~/a.map", frameAt(7, 1)), "says nothing of line 7, column 1")
	why(u.minified(0, "~/a.map", frameAt(0, 0)), "doesn't say at which line and column")
	why(u.minified(0, "~/a.map", event.Frame{Filename: "node:internal/modules/run_main", Line: 1, Column: 1}), "the JavaScript engine's own code")
	released := u.minified(0, "", frameAt(1, 1))
	released.Release = "shop@1"
	why(released, "no source map of this address has been uploaded for the release shop@1")
	many := u.minified(0, "~/a.map")
	for k := range framesMapped + 1 {
		many.Exceptions[0].Frames = append([]event.Frame{frameAt(1, k+1)}, many.Exceptions[0].Frames...)
	}
	u.take(t, many)
	k, err := u.Event(t.Context(), "", many.ID)
	if err != nil || !strings.Contains(k.Exceptions[0].Frames[0].SourceMap.Why, "more frames") || k.Exceptions[0].Frames[1].SourceMap.Minified == nil {
		t.Errorf("of many frames the outermost has %+v: %v", k.Exceptions[0].Frames[0].SourceMap, err)
	}
	// One that can't be mapped keeps no other from it.
	mixed := u.minified(0, "~/a.map", frameAt(1, 1), event.Frame{Function: "f", Filename: "https://other.example.com/x.js", Line: 1, Column: 1}, frameAt(7, 1), frameAt(1, 1))
	mixed.ID = fmt.Sprintf("%032x", 1000)
	u.take(t, mixed)
	if f := u.last(t, 1000); f.Filename != "src/a.ts" || f.Line != 2 || f.Context[f.ContextLine] != "second" || !f.InApp || f.SourceMap.Late {
		t.Errorf("the innermost frame is %+v", f)
	}
	ctx := context.WithValue(t.Context(), language.Key{}, func() language.Tag { return language.Arabic })
	k, err = u.Event(ctx, "", mixed.ID)
	if err != nil || !strings.Contains(k.Exceptions[0].Frames[1].SourceMap.Why, "معرّف تنقيح") {
		t.Errorf("in Arabic: %+v %v", k.Exceptions[0].Frames[1].SourceMap, err)
	}
}

// TestAMapThatIsTooLargeIsRefused: as it is uploaded, by its name.
func TestAMapThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	random := make([]byte, 400<<10) // so that the bundle isn't far larger than what it is packed in
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	state := u.upload(t, files{"~/large.map": aMap + strings.Repeat(" ", sourcemap.MaxSize), "~/a.js": string(random)})
	if !strings.Contains(state, "the source map ~/large.map is larger than 16 MiB") || u.uploaded(t) != "0 uploads, 0 files, 0 parts" {
		t.Errorf("it is answered %s, and there are %s", state, u.uploaded(t))
	}
}

// TestAMapThatComesLate: an event is mapped as it is shown, and scrubbed as others are; those that
// come after it are put together by their sources.
func TestAMapThatComesLate(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	u.start(t)
	u.take(t, u.minified(1, "~/a.map", frameAt(1, 1)))
	u.clock.Add(time.Minute)
	secret := `{"version":3,"sources":["webpack://shop/./node_modules/pay/a.ts"],"sourcesContent":["first\ncharge('4111111111111111')\nthird"],"names":["pay"],"mappings":"AACAA"}`
	if state := u.upload(t, files{"~/a.map": secret}); state != "ok" {
		t.Fatal(state)
	}
	f := u.last(t, 1)
	if f.Filename != "node_modules/pay/a.ts" || f.InApp || !f.SourceMap.Late || !strings.Contains(f.SourceMap.Why, "uploaded after the event") || f.SourceMap.Minified.Line != 1 {
		t.Errorf("the frame is %+v, %+v", f, f.SourceMap)
	}
	if text := fmt.Sprint(f.Context); strings.Contains(text, "4111") || !strings.Contains(text, "charge") {
		t.Errorf("its lines are %s", text)
	}
	u.take(t, u.minified(2, "~/a.map", frameAt(1, 1)))
	if f := u.last(t, 2); f.SourceMap.Late || strings.Contains(fmt.Sprint(f.Context), "4111") {
		t.Errorf("one that comes after it is %+v", f.SourceMap)
	}
}

// TestMapsByRelease: a file without a debug id has the map of its release and dist that is said at
// its address.
func TestMapsByRelease(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	u.start(t)
	for dist, source := range map[string]string{"": "src/none.ts", "7": "src/seven.ts"} {
		all := files{"~/static/app-1a2b3c4d.js": "t()\n//# sourceMappingURL=maps/app.js.map\n", "~/static/maps/app.js.map": strings.Replace(aMap, "src/a.ts", source, 1)}
		if state := u.upload(t, all, func(b *bundleRequest) { b.Version, b.Dist = "shop@1", dist }); state != "ok" {
			t.Fatal(state)
		}
	}
	for n, test := range []struct{ release, dist, file string }{{"shop@1", "", "src/none.ts"}, {"shop@1", "7", "src/seven.ts"}, {"shop@2", "", app}, {"shop@1", "8", app}} {
		e := u.minified(n, "", frameAt(1, 1))
		e.Release, e.Dist = test.release, test.dist
		u.take(t, e)
		if f := u.last(t, n); f.Filename != test.file {
			t.Errorf("the frame of %s %s is in %s, want %s", test.release, test.dist, f.Filename, test.file)
		}
	}
}

// readCounter is a store whose reads are counted.
type readCounter struct {
	docstore.Store
	reads atomic.Int64
}

func (c *readCounter) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	if strings.HasPrefix(collection, "error_artifact") || collection == uploadSpec.Collection {
		c.reads.Add(1)
	}
	return c.Store.Get(ctx, collection, id)
}

func (c *readCounter) Find(ctx context.Context, collection string, q docstore.Query) (docstore.Page, error) {
	if strings.HasPrefix(collection, "error_artifact") || collection == uploadSpec.Collection {
		c.reads.Add(1)
	}
	return c.Store.Find(ctx, collection, q)
}

// TestEventsCostFewReads: those of a project without maps, of another platform, and many of the same
// file.
func TestEventsCostFewReads(t *testing.T) {
	t.Parallel()
	store := &readCounter{Store: storetest.New(t, Specs()...)}
	u := newUploads(t, store)
	mapAll := func(n int, e func() *event.Event) int64 {
		before := store.reads.Load()
		for range n {
			u.mapFrames(t.Context(), u.p.ID, e())
		}
		return store.reads.Load() - before
	}
	gopher := func() *event.Event { return u.event("a", 1) }
	minified := func() *event.Event { return u.minified(1, "~/a.map", frameAt(1, 1)) }
	if n := mapAll(100, gopher); n != 0 {
		t.Errorf("100 events of Go cost %d reads", n)
	}
	if n := mapAll(100, minified); n > 3 { // one in some seconds
		t.Errorf("100 events of a project without maps cost %d reads", n)
	}
	if state := u.upload(t, files{"~/a.map": aMap}); state != "ok" {
		t.Fatal(state)
	}
	if n := mapAll(100, minified); n > 8 {
		t.Errorf("100 events of one file cost %d reads", n)
	}
	if n := mapAll(100, func() *event.Event { return u.minified(1, "~/none.map", frameAt(1, 1)) }); n > 4 {
		t.Errorf("100 events of a file without a map cost %d reads", n)
	}
	hostile := u.minified(1, "~/a.map")
	for n := range 200 {
		file := fmt.Sprint("https://shop.example.com/", n, ".js")
		hostile.Images = append(hostile.Images, event.Image{Type: "sourcemap", CodeFile: file, DebugID: idOf(file)})
		hostile.Exceptions[0].Frames = append(hostile.Exceptions[0].Frames, event.Frame{AbsPath: file, Line: 1, Column: 1})
	}
	if n := mapAll(1, func() *event.Event { return hostile }); n > mapsOfEvent+2 {
		t.Errorf("an event that names 200 files costs %d reads", n)
	}
}

// TestMapsAreHeldInBounds: a map is read once for all, the oldest go, and one that can't be read is
// remembered, unless that was the store's fault.
func TestMapsAreHeldInBounds(t *testing.T) {
	t.Parallel()
	c := newMapCache()
	reads := map[string]int{}
	never := fmt.Errorf("%w: no", sourcemap.ErrMalformed)
	get := func(id string, err error) error {
		return c.use(t.Context(), "shop", id, func(context.Context) (*sourcemap.Map, error) {
			reads[id]++
			if err != nil {
				return nil, err
			}
			return sourcemap.Parse([]byte(strings.Replace(aMap, "third", strings.Repeat("x", 4<<20), 1)))
		}, func(*sourcemap.Map) {})
	}
	for range 3 {
		for id, err := range map[string]error{"good": nil, "malformed": never, "away": docstore.ErrUnavailable} {
			if got := get(id, err); got != err { //nolint:errorlint // the same one
				t.Errorf("%s is %v", id, got)
			}
		}
	}
	if reads["good"] != 1 || reads["malformed"] != 1 || reads["away"] != 3 {
		t.Errorf("they are read %v", reads)
	}
	for n := range 20 {
		if err := get(fmt.Sprint(n), nil); err != nil {
			t.Fatal(err)
		}
	}
	if held := c.projects["shop"].used.Len(); c.size > mapsHeld || held != len(c.byID) || held < 4 || reads["good"] != 1 {
		t.Errorf("%d bytes of %d maps are held", c.size, held)
	}
	if err := get("good", nil); err != nil || reads["good"] != 2 {
		t.Errorf("the oldest was read %d times: %v", reads["good"], err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	block := make(chan struct{})
	wait := func(context.Context) (*sourcemap.Map, error) { <-block; return nil, never }
	hold := func(*sourcemap.Map) {}
	for n := range mapsAwaited / 2 {
		if err := c.use(ctx, "shop", fmt.Sprint("slow", n), wait, hold); err != context.Canceled { //nolint:errorlint // as it is
			t.Errorf("one that takes long: %v", err)
		}
	}
	for project, want := range map[string]error{"shop": errMapsWait, "other": context.Canceled} {
		if err := c.use(ctx, project, project+"'s", wait, hold); err != want { //nolint:errorlint // as it is
			t.Errorf("one more of %s: %v", project, err)
		}
	}
	close(block)
}

// standstill is a store that doesn't answer from a read of a source map on.
type standstill struct {
	docstore.Store
	left    atomic.Int64
	reached chan struct{}
	on      chan struct{}
}

func (s *standstill) Get(ctx context.Context, collection, id string) (docstore.Raw, error) {
	if collection == artifactSpec.Collection && s.left.Add(-1) == 0 {
		close(s.reached)
		<-s.on
	}
	return s.Store.Get(ctx, collection, id)
}

// TestEventsThatAreMappedHoldFewMaps: whatever maps a DSN's events name at once, no more are in
// memory than are held together. It isn't parallel, as others' memory would be measured too.
func TestEventsThatAreMappedHoldFewMaps(t *testing.T) { //nolint:paralleltest // as said
	store := &standstill{Store: storetest.New(t, Specs()...), reached: make(chan struct{}), on: make(chan struct{})}
	u := newUploads(t, store)
	large := `{"version":3,"sources":["a.js"],"mappings":"AAAA` + strings.Repeat(",A", 1_000_000) + `"}` // 21 MiB in memory
	var urls []string
	for bundle := range 3 {
		all := files{}
		for n := range 4 {
			url := fmt.Sprintf("~/%d-%d.map", bundle, n)
			all[url], urls = large, append(urls, url)
		}
		if state := u.upload(t, all); state != "ok" {
			t.Fatal(state)
		}
	}
	large = ""
	store.left.Store(9)
	before := liveHeap()
	var senders sync.WaitGroup
	send := func(sender int) (mapped bool) {
		e := u.minified(sender, "")
		for n := range mapsOfEvent {
			url := urls[(sender+n)%len(urls)]
			e.Images = append(e.Images, event.Image{Type: "sourcemap", CodeFile: url, DebugID: idOf(url)})
			e.Exceptions[0].Frames = append(e.Exceptions[0].Frames, event.Frame{AbsPath: url, Line: 1, Column: 1})
		}
		u.mapFrames(t.Context(), u.p.ID, e)
		return slices.ContainsFunc(e.Exceptions[0].Frames, func(f event.Frame) bool { return f.SourceMap != nil })
	}
	for sender := range 12 {
		senders.Go(func() { send(sender) })
	}
	<-store.reached
	const others = 4 << 20 // events, and what the store has
	if more := int64(liveHeap()) - int64(before); more > mapsHeld+others {
		t.Errorf("%d MiB are held while events are mapped, want at most %d", more>>20, (mapsHeld+others)>>20)
	}
	close(store.on)
	senders.Wait()                                    // the time of those may be over: they stood still
	waittest.Poll(t, func() bool { return send(12) }) // a map that takes longer is there for the next event
}

// liveHeap is how many bytes are in use.
func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestProjectsTakeTurnsToHaveMapsRead: one that names map after map neither has another's wait for
// more than the one that is read, nor throws out what the other has.
func TestProjectsTakeTurnsToHaveMapsRead(t *testing.T) {
	t.Parallel()
	c := newMapCache()
	var reads string // one after another
	started, step := make(chan struct{}, 20), make(chan struct{})
	var users sync.WaitGroup
	use := func(project, id, text string) {
		users.Go(func() {
			if err := c.use(t.Context(), project, id, func(context.Context) (*sourcemap.Map, error) {
				reads += project[:1]
				if project == "alpha" {
					started <- struct{}{}
					<-step
				}
				return sourcemap.Parse([]byte(strings.Replace(aMap, "third", text, 1)))
			}, func(*sourcemap.Map) {}); err != nil {
				t.Errorf("%s of %s: %v", id, project, err)
			}
		})
	}
	huge := strings.Repeat("x", 4<<20)
	for n := range 10 {
		use("alpha", fmt.Sprint("alpha", n), huge)
	}
	want := "a"
	for n := range 3 {
		<-started
		if reads != want {
			break
		}
		use("beta", fmt.Sprint("beta", n), "small")
		for waits := false; !waits; runtime.Gosched() {
			c.reading.mu.Lock()
			waits = len(c.reading.turns.lines["beta"]) > 0
			c.reading.mu.Unlock()
		}
		step <- struct{}{}
		want += "ba"
	}
	<-started
	if reads != want {
		t.Errorf("they are read as %s, want %s", reads, want)
	}
	close(step)
	users.Wait()
	before := len(reads)
	for n := range 3 {
		use("beta", fmt.Sprint("beta", n), "small")
	}
	users.Wait()
	if len(reads) != before {
		t.Error("alpha's maps have thrown out beta's")
	}
}

// TestAMapThatIsUsedIsHeld: it is thrown out once nobody uses it.
func TestAMapThatIsUsedIsHeld(t *testing.T) {
	t.Parallel()
	c := newMapCache()
	throwOut := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.throwOut()
	}
	read := func(context.Context) (*sourcemap.Map, error) { return sourcemap.Parse([]byte(aMap)) }
	if err := c.use(t.Context(), "shop", "one", read, func(*sourcemap.Map) {
		if throwOut() {
			t.Error("it is thrown out while it is used")
		}
	}); err != nil {
		t.Fatal(err)
	}
	if !throwOut() || c.size != 0 || len(c.byID) != 0 {
		t.Errorf("%d bytes are held of none", c.size)
	}
}

// TestUnknownAddressesOfSentrysAPI: they are answered in its form.
func TestUnknownAddressesOfSentrysAPI(t *testing.T) {
	t.Parallel()
	u := newUploads(t, storetest.New(t, Specs()...))
	for _, path := range []string{"/api/0/organizations/manus/monitors/", "/api/0/organizations/other/chunk-upload/", "/api/0/projects/manus/shop/files/dsyms/", "/api/0/users/me/"} {
		response, err := u.server.Client().Get(u.server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusNotFound || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, response.StatusCode, response.Header.Get("Content-Type"))
		}
	}
}

func TestFunctionsAreCalledAsInTheSources(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ engine, name, want string }{
		{"t", "pay", "pay"}, {"t", "", ""}, {"?", "", ""}, {"", "", ""}, {"<anonymous>", "", "<anonymous>"}, {"checkout", "", "checkout"},
		{"e.total", "", "total"}, {"Cart.total", "", "Cart.total"}, {"e.total", "sum", "sum"}, {"Cart.t", "", ""}, {"new t", "Cart", "new Cart"}, {"new t", "", ""},
		{"new Cart", "", "new Cart"}, {"async t", "", ""}, {"async t", "pay", "async pay"}, {"async e.charge", "", "async charge"}, {"Object.pay [as charge]", "", "Object.pay"},
	} {
		if got := functionOf(test.engine, test.name); got != test.want {
			t.Errorf("%q, which its caller knows as %q, is %q, want %q", test.engine, test.name, got, test.want)
		}
	}
}
