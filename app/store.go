package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"manus/account"
	"manus/billing"
	"manus/config"
	"manus/docstore"
	"manus/docstore/mongodocs"
	"manus/docstore/sqlitedocs"
	"manus/mail"
	"manus/session"
)

// Specs are the collections of all rooms.
func Specs() []docstore.Spec {
	return slices.Concat(account.Specs(), billing.Specs(), session.Specs(), mail.Specs())
}

// StoreFile is the embedded store's file in a data folder.
func StoreFile(dataDir string) string { return filepath.Join(dataDir, "manus.db") }

// OpenStore opens the store that the settings name, MongoDB or else the embedded one
// in the data folder, with every collection that the product needs.
func OpenStore(ctx context.Context, s config.Settings) (docstore.Store, error) {
	store, err := open(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := store.Declare(ctx, Specs()...); err != nil {
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
