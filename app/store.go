package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"manus/account"
	"manus/audit"
	"manus/backup"
	"manus/billing"
	"manus/config"
	"manus/docstore"
	"manus/docstore/mongodocs"
	"manus/docstore/sqlitedocs"
	"manus/lease"
	"manus/mail"
	"manus/session"
)

// Specs are the collections of all rooms.
func Specs() []docstore.Spec {
	return slices.Concat(account.Specs(), audit.Specs(), billing.Specs(), session.Specs(), mail.Specs(), lease.Specs(), backup.Specs())
}

// StoreFile is the embedded store's file in a data folder.
func StoreFile(dataDir string) string { return filepath.Join(dataDir, "manus.db") }

// OpenStore opens the store that the settings name, MongoDB or else the embedded one
// in the data folder, with every collection that the product needs.
func OpenStore(ctx context.Context, s config.Settings) (docstore.Store, error) {
	store, err := declared(ctx, s, Specs())
	if err != nil {
		return nil, err
	}
	if err := docstore.CheckCopied(ctx, store); err != nil {
		return nil, errors.Join(fmt.Errorf("%w; run 'manus data copy' again", err), store.Close())
	}
	return store, nil
}

// CopyData makes the store that to names hold what the one that from names holds.
// Nobody may work on them meanwhile. See docstore.Copy.
func CopyData(ctx context.Context, from, to config.Settings, progress func(docstore.Progress)) error {
	source, err := declared(ctx, from, Specs())
	if err != nil {
		return err
	}
	target, err := declared(ctx, to, Specs())
	if err != nil {
		return errors.Join(err, source.Close())
	}
	err = docstore.CheckCopied(ctx, source)
	if err == nil {
		err = docstore.Copy(ctx, source, target, Specs(), progress)
	}
	return errors.Join(err, source.Close(), target.Close())
}

// OpenBackupState opens the store that the settings name for the state of its backups
// alone. Nothing is made in a MongoDB that isn't a server's.
func OpenBackupState(ctx context.Context, s config.Settings) (docstore.Store, error) {
	return declared(ctx, s, backup.Specs())
}

func declared(ctx context.Context, s config.Settings, specs []docstore.Spec) (docstore.Store, error) {
	store, err := open(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := store.Declare(ctx, append(specs, docstore.CopySpec)...); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the store: %w", err), store.Close())
	}
	return store, nil
}

// StoreExists tells whether there is an embedded store in the data folder, where
// there should be one. Opening makes one.
func StoreExists(s config.Settings) error {
	if _, err := os.Stat(StoreFile(s.DataDir)); err != nil && s.MongoDB.Empty() {
		return fmt.Errorf("there is no data in %s; name the server's data folder with --data, or start the server once: %w", s.DataDir, err)
	}
	return nil
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
