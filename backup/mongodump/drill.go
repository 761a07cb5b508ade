package mongodump

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"

	"manus/backup"
)

// Scratch databases are named manus_drill_20261124t221530z_ and twelve random letters
// and digits: the prefix, when they were made, and what tells them apart.
const (
	scratchPrefix = "manus_drill_"
	scratchTime   = "20060102t150405z"
)

// staleAfter is how old a scratch database is that nobody is at work with any more. A
// drill takes less than that, or is given up.
const staleAfter = 12 * time.Hour

func scratchName(now time.Time) string {
	return scratchPrefix + now.UTC().Format(scratchTime) + "_" + strings.ToLower(rand.Text()[:12])
}

// scratchMade is when a scratch database was made; not ok for every other database.
func scratchMade(name string) (made time.Time, ok bool) {
	parts := regexp.MustCompile(`^` + scratchPrefix + `(\d{8}t\d{6}z)_[a-z0-9]{12}$`).FindStringSubmatch(name)
	if parts == nil {
		return made, false
	}
	made, err := time.Parse(scratchTime, parts[1])
	return made, err == nil
}

// Drill restores an archive into a database of its own on the same server, reads that
// again, and drops it. dump is expected to fail when ctx ends. If ctx ends, there is
// little time to drop it, and it may be left for a later Drill. Which databases the source
// has doesn't matter: an archive of several is restored into as many.
func (s *Source) Drill(ctx context.Context, dump io.Reader, progress func(read int64)) (contents backup.Contents, err error) {
	a, err := newArchiveReader(dump)
	if err != nil {
		return contents, err
	}
	database := "" // every one
	if all := a.databases(); len(all) == 1 {
		database = all[0]
	}
	r, err := newRestoring(a, "", database, nil, progress)
	if err != nil {
		return contents, err
	}
	err = s.connected(ctx, scratchName(s.now()), func(c *conn) error {
		bounded, cancel := context.WithTimeoutCause(ctx, s.stale*3/4, errSlow)
		defer cancel()
		scratches := map[string]*conn{}
		for _, from := range r.databases() {
			scratches[from] = c.on(scratchName(s.now()))
		}
		err := s.dropStale(bounded, c)
		if err == nil {
			contents, err = r.drill(bounded, c, scratches)
		}
		if cause := context.Cause(bounded); err != nil && errors.Is(cause, errSlow) {
			err = errors.Join(cause, err)
		}
		for _, scratch := range scratches {
			err = errors.Join(err, scratch.drop(ctx))
		}
		return err
	})
	return contents, err
}

var errSlow = errors.New("the drill has taken too long and was given up: verify it on a faster server, or set backup.verify: false in manus.yaml")

// drill restores each database into a scratch one, and reads them again: documents before
// any can expire, definitions when all are as they were.
func (r *restoring) drill(ctx context.Context, c *conn, scratches map[string]*conn) (contents backup.Contents, err error) {
	r.shorten(scratches)
	if err := refusedIsDamaged(r.restore(ctx, c, func(database string) *conn { return scratches[database] })); err != nil {
		return contents, err
	}
	again := &reading{conn: c}
	if err := r.readAgain(ctx, again, scratches); err != nil {
		return contents, err
	}
	if err := again.read(ctx); err != nil {
		return contents, err
	}
	if err := refusedIsDamaged(r.expire(ctx)); err != nil {
		return contents, err
	}
	defined := &reading{conn: c}
	if err := r.readAgain(ctx, defined, scratches); err != nil {
		return contents, err
	}
	again.redefine(defined)
	contents = again.contents()
	contents.Databases = len(scratches) > 1
	return contents, nil
}

// refusedIsDamaged makes what a server refuses damage: it is where it comes from.
func refusedIsDamaged(err error) error {
	if _, refused := errors.AsType[refusal](err); refused && !errors.Is(err, backup.ErrDamaged) {
		return damaged("it can't be restored: %w", err)
	}
	return err
}

// longestNamespace is how many bytes a database's and a collection's name have together in
// any server: before MongoDB 4.4 no more, from then on 255.
const longestNamespace = 120

// shorten gives collections other names in the scratch databases where theirs would be too
// long there, although they aren't where they come from: a scratch database's name is longer.
func (r *restoring) shorten(scratches map[string]*conn) {
	for from, c := range r.collections {
		if len(scratches[from.database].name())+len(".")+len(c.Name) > longestNamespace {
			c.called = "shortened_" + strings.ToLower(rand.Text())
		}
	}
}

// readAgain adds what is in the scratch databases, under the names that it has in the archive.
func (r *restoring) readAgain(ctx context.Context, again *reading, scratches map[string]*conn) error {
	for from, scratch := range scratches {
		if err := again.add(ctx, scratch, scratch.primary, r.label(from)); err != nil {
			return err
		}
	}
	names := map[string]string{}
	for _, c := range r.collections {
		names[c.label+c.called] = c.Name
	}
	for _, c := range again.collections {
		c.Name = cmp.Or(names[c.label+c.called], c.Name)
	}
	return nil
}

// redefine takes the collections' definitions from another reading.
func (r *reading) redefine(from *reading) {
	now := map[string]metadata{}
	for _, c := range from.collections {
		now[c.label+c.Name] = c.metadata
	}
	for _, c := range r.collections {
		c.metadata = now[c.label+c.Name]
	}
}

// drop drops the connection's database, even when the context has ended.
func (c *conn) drop(ctx context.Context) error {
	limit := c.patience
	if ctx.Err() != nil {
		limit = cleanupTimeout
	}
	return wrap(c.within(context.WithoutCancel(ctx), limit, c.primary.Drop), "dropping the scratch database %s", c.primary.Name())
}

// dropStale drops scratch databases that killed processes have left, and nothing else.
func (s *Source) dropStale(ctx context.Context, c *conn) error {
	names, err := c.databaseNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		made, ok := scratchMade(name)
		if !ok || name == s.database || s.now().Sub(made) < s.stale {
			continue
		}
		if err := c.within(ctx, c.patience, c.client.Database(name).Drop); err != nil {
			return wrap(err, "dropping the scratch database %s, which a killed process has left", name)
		}
	}
	return nil
}
