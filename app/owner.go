package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"manus/backup"
	"manus/config"
	"manus/docstore"
	"manus/internal/seal"
	"manus/lease"
)

// owner says whose a store is. It goes where the data goes, into copies and backups.
type owner struct {
	ID string `json:"_id"`
	// Command is the command whose store it is: dev, whose operator and secret are for
	// trying, or serve. Neither starts on the other's.
	Command string `json:"command"`
	// Proof is nothing, sealed with the secret of the last start: who can open it has
	// that secret. It tells a guesser no more than an access token does, which every
	// user has; a guess costs as much, and a secret is random.
	Proof []byte `json:"proof"`
}

// DocumentID is the same for all: there is one.
func (o owner) DocumentID() string { return o.ID }

const (
	theOwner = "owner"
	byDev    = "dev"
	byServe  = "serve"
)

var ownerSpec = docstore.Spec{Collection: "installation", Of: owner{}}

// own makes an opened store the server's. It returns *config.Problems for one that is
// another command's, and tells the log of one that was last used with a secret that
// isn't known any more.
func (a *App) own(ctx context.Context) error {
	first := owner{ID: theOwner, Command: byServe}
	if a.settings.Dev {
		first.Command = byDev
	}
	lost := false
	_, err := docstore.NewCollection[owner](a.store, ownerSpec).Upsert(ctx, first, func(o *owner, marked bool) (err error) {
		if err := a.admit(*o, marked); err != nil {
			return err
		}
		lost, err = o.prove(a.secrets())
		lost = lost && marked
		return err
	})
	if err == nil && lost {
		a.log.ErrorContext(ctx, "the store was last used with another JWT_SECRET_KEY, which JWT_PREVIOUS_SECRET_KEYS doesn't have: every login has ended, and seeds of authenticator apps and mails that wait can't be opened. If that wasn't meant, stop and start with the earlier secret, or with it in JWT_PREVIOUS_SECRET_KEYS")
	}
	return err
}

// servingLease is held by one of all copies for as long as there is one, so that others can
// see that a store is in use. An embedded store has locks for that.
const servingLease = "serving"

// serving holds the lease until its context ends, or of an embedded store the lock of its
// folder.
func (a *App) serving() func(context.Context) {
	if a.settings.MongoDB.Empty() {
		return a.watchBeside
	}
	return func(ctx context.Context) {
		a.leases.Every(ctx, servingLease, time.Minute, func(ctx context.Context, _ lease.Held) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
	}
}

// checkUnserved returns backup.ErrInUse when a server is at work on
// a database of MongoDB.
func checkUnserved(ctx context.Context, s config.Settings) error {
	store, err := open(ctx, s)
	if err != nil {
		return err
	}
	atWork := false
	if err = store.Declare(ctx, lease.Specs()...); err == nil { // which makes nothing
		atWork, err = lease.AtWork(ctx, store)
	}
	if atWork {
		err = fmt.Errorf("%w: a server is at work on the database %s: stop every server first", backup.ErrInUse, s.MongoDatabase)
	}
	return errors.Join(err, store.Close())
}

// admit refuses the store of another command. One that an earlier version of the program
// made has no mark: it is dev's if dev's secret is beside it, and as serve may have used it
// since, dev leaves it so.
func (a *App) admit(o owner, marked bool) error {
	s := a.settings
	switch {
	case marked && o.Command == byDev && !s.Dev:
		return devsStore(s, "")
	case marked && o.Command == byServe && s.Dev:
		return servesStore()
	case !marked && !s.Dev && s.MongoDB.Empty() && isThere(devSecretFile(s.DataDir)):
		return devsStore(s, fmt.Sprintf("; or, if it has become an installation, give its operator another password ('manus user set-password %s --data %s') and then remove %s", DevOperator, s.DataDir, devSecretFile(s.DataDir)))
	case !marked && s.Dev && a.reopened:
		return docstore.ErrUnchanged
	}
	return nil
}

// prove seals the proof with the first secret, unless it is already. lost means that
// none of the secrets opens the one before.
func (o *owner) prove(secrets []string) (lost bool, err error) {
	now, err := seal.New(secrets[:1], ownerSpec.Collection)
	if err != nil {
		return false, err
	}
	if _, err := now.Open(o.Proof, theOwner); err == nil {
		return false, docstore.ErrUnchanged
	}
	known, err := seal.New(secrets, ownerSpec.Collection)
	if err != nil {
		return false, err
	}
	_, err = known.Open(o.Proof, theOwner)
	o.Proof = now.Seal(nil, theOwner)
	return errors.Is(err, seal.ErrUnreadable), nil
}

func devsStore(s config.Settings, or string) error {
	problem := config.Problem{
		Name:  "DATA_DIR",
		Wrong: "names a store of 'manus dev', whose operator's password was shown on a terminal",
		Mend:  "name another folder, and a store is made there" + or,
	}
	if !s.MongoDB.Empty() {
		problem.Name, problem.Mend = "MONGODB_DATABASE", "name another database, and a store is made there"
	}
	return &config.Problems{problem}
}

func servesStore() error {
	return &config.Problems{{Name: "--data", Wrong: "names a store of 'manus serve', or dev-secret was removed from it", Mend: "name another folder for what you try"}}
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
