package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"manus/config"
	"manus/docstore"
	"manus/docstore/mongodocs"
	"manus/docstore/sqlitedocs"
	"manus/health"
	"manus/httpapi"
	"manus/lease"
	"manus/ratelimit"
)

// plan is the product with all that it can have, to be looked at.
func plan() *App {
	a := newApp(Options{Settings: config.Settings{KeepMails: true}, Offline: true, Log: slog.New(slog.DiscardHandler)})
	if err := a.build(); err != nil {
		panic(err) // a mistake in the program: there are no settings that could be wrong
	}
	return a
}

// Specs are the collections of all rooms.
func Specs() []docstore.Spec { return plan().specs() }

// Routes are all routes that the product can have, and the limits that they have of
// their own: what manus.yaml may have rules for.
func Routes() ratelimit.Routes { return knownRoutes() }

var knownRoutes = sync.OnceValue(func() ratelimit.Routes { return plan().routes() })

// listRoutes registers all that the rooms answer, which takes a while: see App.routes.
func (a *App) listRoutes() ratelimit.Routes {
	api := httpapi.NewList()
	a.register(api)
	return api.Limits()
}

// StoreFile is the embedded store's file in a data folder.
func StoreFile(dataDir string) string { return filepath.Join(dataDir, "manus.db") }

// addStore opens the store that the settings name, unless it isn't to be. That of a
// command beside a server has to be there already.
func (a *App) addStore(ctx context.Context) error {
	s := a.settings
	a.reopened = !s.MongoDB.Empty() || hasFile(s) == nil
	check, system := a.check("database", func(context.Context) error { return a.options.NoStore }), "sqlite"
	if !s.MongoDB.Empty() {
		check.Name, system = "mongodb", "mongodb"
	}
	if a.options.Unopened {
		a.add(room{name: "store", checks: []health.Check{check}})
		return nil
	}
	store, err := a.openOwn(ctx)
	if err != nil {
		return err
	}
	if a.store = a.reporter.Store(store, system); !a.options.Offline && !a.reopened {
		a.tellOfBackups()
	}
	check.Probe = a.store.Ping
	a.add(room{name: "store", checks: []health.Check{check}, close: a.store.Close})
	return nil
}

// openOwn opens the store of the settings, for a server or for a command beside one.
func (a *App) openOwn(ctx context.Context) (docstore.Store, error) {
	s := a.settings
	if a.options.Offline {
		if err := a.storeExists(ctx); err != nil {
			return nil, err
		}
		store, err := OpenStore(ctx, s)
		a.heedClock(store)
		return store, err
	}
	store, err := open(ctx, s)
	if errors.Is(err, docstore.ErrCorrupt) {
		a.tellDamaged(err)
	}
	if err != nil {
		return nil, err
	}
	a.heedClock(store)
	return docstore.WatchDamage(store, a.tellDamaged), nil
}

// heedClock notes the clock of a store that has its own.
func (a *App) heedClock(store docstore.Store) {
	if served, ok := store.(*mongodocs.Store); ok && served != nil {
		a.clock = served.Clock
	}
}

// OpenStore opens the store that the settings name, MongoDB or else the embedded one
// in the data folder, with every collection that the product needs.
func OpenStore(ctx context.Context, s config.Settings) (docstore.Store, error) {
	return openWith(ctx, s, Specs())
}

func openWith(ctx context.Context, s config.Settings, specs []docstore.Spec) (docstore.Store, error) {
	store, err := open(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, store, specs); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// prepare makes the collections, and refuses a store that a copy into was cut short.
func prepare(ctx context.Context, store docstore.Store, specs []docstore.Spec) error {
	if err := declare(ctx, store, specs); err != nil {
		return err
	}
	if err := docstore.CheckCopied(ctx, store); err != nil {
		return fmt.Errorf("%w; run 'manus data copy' again", err)
	}
	return nil
}

func declare(ctx context.Context, store docstore.Store, specs []docstore.Spec) error {
	if err := store.Declare(ctx, append(specs, docstore.CopySpec)...); err != nil {
		return fmt.Errorf("prepare the store: %w", err)
	}
	return nil
}

// CopyData makes the store that to names hold what the one that from names holds, which
// has to be there. Nobody may work on them meanwhile: it is refused beside a server, and warn
// is called where one of an earlier version may be at work on MongoDB. See
// docstore.Copy.
func CopyData(ctx context.Context, from, to config.Settings, progress func(docstore.Progress), warn func(string)) error {
	if err := errors.Join(storeExists(ctx, from, "name a server's data folder, or a mongodb:// URI, with --from"), checkUnused(ctx, "--from", from), checkUnused(ctx, "--to", to)); err != nil {
		return err
	}
	specs := Specs()
	source, err := openWith(ctx, from, specs)
	if err != nil {
		return err
	}
	target, err := open(ctx, to)
	if err != nil {
		return errors.Join(err, source.Close())
	}
	err = errors.Join(declare(ctx, target, specs), warnOfServers(ctx, from, source, warn))
	if err == nil {
		err = docstore.Copy(ctx, source, target, specs, progress)
	}
	return errors.Join(err, source.Close(), target.Close())
}

func checkUnused(ctx context.Context, flag string, s config.Settings) error {
	if !s.MongoDB.Empty() {
		if err := checkUnserved(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
		return nil
	}
	if !isThere(StoreFile(s.DataDir)) {
		return nil
	}
	if err := sqlitedocs.CheckUnused(ctx, StoreFile(s.DataDir)); err != nil {
		return fmt.Errorf("%s: %w; stop every server and command that uses it first", flag, err)
	}
	return nil
}

// warnOfServers warns when a server has done an hourly job within the hour: then it may
// still run. Those on an embedded store are known by their locks.
func warnOfServers(ctx context.Context, s config.Settings, store docstore.Store, warn func(string)) error {
	if s.MongoDB.Empty() {
		return nil
	}
	last, err := lease.LastRun(ctx, store)
	if ago := time.Since(last); err == nil && ago < time.Hour+time.Minute {
		warn(fmt.Sprintf("a server has worked on --from %v ago: if one still runs, stop this and stop it first, or what it writes from now on may be missing", ago.Round(time.Second)))
	}
	return err
}

// StoreExists tells whether there is an embedded store where the settings say, if they
// name one. For one that is damaged it says how to restore it.
func (a *App) StoreExists(ctx context.Context) error { return a.advised(ctx, a.storeExists(ctx)) }

func (a *App) storeExists(ctx context.Context) error {
	return storeExists(ctx, a.settings, "name the server's data folder with --data, or its settings with --env-file, or start the server once")
}

// storeExists tells whether there is an embedded store in the data folder, where
// there should be one; the error says how to mend it. Opening makes one. It is ErrCorrupt
// for what isn't a store any more, and fs.ErrNotExist where there is nothing.
func storeExists(ctx context.Context, s config.Settings, mend string) error {
	if !s.MongoDB.Empty() {
		return nil
	}
	if err := sqlitedocs.CheckFile(ctx, StoreFile(s.DataDir)); err != nil {
		return err
	}
	if err := hasFile(s); err != nil {
		return fmt.Errorf("there is no data in %s; %s: %w", s.DataDir, mend, err)
	}
	return nil
}

// hasFile tells whether the embedded store's file is there, whatever is in it.
func hasFile(s config.Settings) error {
	_, err := os.Stat(StoreFile(s.DataDir))
	return err
}

func open(ctx context.Context, s config.Settings) (docstore.Store, error) {
	if s.MongoDB.Empty() {
		return sqlitedocs.Open(ctx, StoreFile(s.DataDir))
	}
	store, err := mongodocs.Open(ctx, s.MongoDB.Reveal(), s.MongoDatabase)
	if errors.Is(err, mongodocs.ErrURI) {
		return nil, &config.Problems{{Name: "MONGODB_URI", Wrong: "has options that are not understood", Mend: "check it against https://www.mongodb.com/docs/manual/reference/connection-string/"}}
	}
	return store, err
}
