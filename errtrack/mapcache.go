package errtrack

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"manus/errtrack/sourcemap"
)

// Bounds of source maps in memory.
const (
	// mapsHeld is how many bytes of maps are held, those in use among them. Beside them is the
	// one that is being read, which takes at most sourcemap.MaxHeld.
	mapsHeld = 24 << 20
	// mapsAwaited is how many maps may wait to be read.
	mapsAwaited = 64
	// forgottenMap is what a map is counted beside itself, and all that one is counted that
	// can't be read: that it can't is remembered.
	forgottenMap = 16 << 10 // bytes
)

// errMapsWait is returned where too many maps wait to be read.
var errMapsWait = errors.New("too many source maps wait to be read")

// mapCache holds source maps that have been read, and all that are in memory. A map is read once
// for all who want it at the same time, and by nobody who waits for it: one that takes long is
// there for the next. One map is read at a time, the projects in turn.
type mapCache struct {
	reading gate

	mu       sync.Mutex
	unused   sync.Cond // told when a map isn't used any more
	byID     map[string]*cachedMap
	projects map[string]*mapsOf
	size     int
	awaited  int
}

// mapsOf are the maps of a project.
type mapsOf struct {
	project string
	used    list.List // of *cachedMap, the one that was used last first; those that are read already
	size    int
	// awaited wait to be read. Reading tells whether one is read, or the project rests after one.
	awaited []*cachedMap
	reading bool
}

type cachedMap struct {
	id    string
	of    *mapsOf
	read  func() (*sourcemap.Map, error)
	users int           // that wait for it, or use it: it isn't thrown out
	ready chan struct{} // closed when the two below are set
	m     *sourcemap.Map
	err   error // why it can't be read; lasting, or not held
	size  int
	place *list.Element // where it is held
}

func newMapCache() *mapCache {
	c := &mapCache{reading: gate{free: 1}, byID: map[string]*cachedMap{}, projects: map[string]*mapsOf{}}
	c.unused.L = &c.mu
	return c
}

// use has a map of a project used, which is read where it isn't held. It is held while use runs,
// and room for others waits for that: so that waits for nothing, and the map isn't kept beyond
// it. It returns errMapsWait, the context's error, or what reading it said.
func (c *mapCache) use(ctx context.Context, project, id string, read func(context.Context) (*sourcemap.Map, error), use func(*sourcemap.Map)) error {
	e := c.join(project, id, func() (*sourcemap.Map, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
		defer cancel()
		return read(ctx)
	})
	if e == nil {
		return errMapsWait
	}
	defer c.leave(e)
	select {
	case <-e.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if e.err == nil {
		use(e.m)
	}
	return e.err
}

// join is a map, with one user more; nil where too many wait. As many of a project may wait as
// are free, so that others always find some.
func (c *mapCache) join(project, id string, read func() (*sourcemap.Map, error)) *cachedMap {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		of := c.projects[project]
		if of == nil {
			of = &mapsOf{project: project}
		}
		if len(of.awaited) >= mapsAwaited-c.awaited {
			return nil
		}
		e = &cachedMap{id: id, of: of, read: read, ready: make(chan struct{})}
		c.byID[id], c.projects[project] = e, of
		of.awaited = append(of.awaited, e)
		c.awaited++
		if !of.reading {
			of.reading = true
			go c.next(of)
		}
	} else if e.place != nil {
		e.of.used.MoveToFront(e.place)
	}
	e.users++
	return e
}

func (c *mapCache) leave(e *cachedMap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.users--; e.users == 0 {
		c.unused.Broadcast()
	}
}

// next reads the next map of a project, if one waits. After that none of the project is read for as
// long as that took, so that whoever names map after map in events takes half of a processor
// at most.
func (c *mapCache) next(of *mapsOf) {
	c.mu.Lock()
	if len(of.awaited) == 0 {
		of.reading = false
		c.forget(of)
		c.mu.Unlock()
		return
	}
	e := of.awaited[0]
	of.awaited = slices.Delete(of.awaited, 0, 1) // so that it isn't held on to
	c.awaited--
	c.mu.Unlock()
	_ = c.reading.enter(context.Background(), of.project) // which doesn't end
	defer c.reading.leave()
	start := time.Now()
	e.m, e.err = e.read()
	took := time.Since(start)
	c.hold(e)
	close(e.ready)
	time.AfterFunc(took, func() { c.next(of) })
}

// hold holds a map that was read, once there is room for it.
func (c *mapCache) hold(e *cachedMap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.read = nil
	if e.err != nil && !lastingFault(e.err) {
		delete(c.byID, e.id)
		return
	}
	e.size = forgottenMap
	if e.m != nil {
		e.size += e.m.Size()
	}
	for c.size+e.size > mapsHeld && c.size > 0 {
		if !c.throwOut() {
			c.unused.Wait()
		}
	}
	e.place = e.of.used.PushFront(e)
	e.of.size += e.size
	c.size += e.size
}

// throwOut throws out a map that nobody uses: of the project that holds most of such the oldest,
// so that a project's maps stand beside those of one that has more. It tells whether there was one.
func (c *mapCache) throwOut() bool {
	var oldest *cachedMap
	for _, of := range c.projects {
		if oldest != nil && oldest.of.size >= of.size {
			continue
		}
		for at := of.used.Back(); at != nil; at = at.Prev() {
			if e := at.Value.(*cachedMap); e.users == 0 {
				oldest = e
				break
			}
		}
	}
	if oldest == nil {
		return false
	}
	of := oldest.of
	of.used.Remove(oldest.place)
	delete(c.byID, oldest.id)
	of.size -= oldest.size
	c.size -= oldest.size
	c.forget(of)
	return true
}

// forget forgets a project that has nothing.
func (c *mapCache) forget(of *mapsOf) {
	if !of.reading && of.used.Len() == 0 {
		delete(c.projects, of.project)
	}
}
