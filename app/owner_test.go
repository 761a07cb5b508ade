package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"manus/config"
	"manus/internal/waittest"
)

// ofDev are settings of dev in a folder, ofServe those of a server that has nothing else
// in common with it.
func ofDev(t *testing.T, dir string) config.Settings {
	t.Helper()
	s, err := DevSettings(Dev{DataDir: dir, Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ofServe(s config.Settings) config.Settings {
	s.Dev, s.JWTSecret = false, config.RandomSecret()
	return s
}

// open starts a server on its store as far as it is the server's, and returns its log.
func openAs(t *testing.T, s config.Settings) (string, error) {
	t.Helper()
	log := &waittest.Log{}
	a, err := New(context.WithoutCancel(t.Context()), Options{Settings: s, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err == nil {
		err = a.Close()
	}
	return log.String(), err
}

func wantRefused(t *testing.T, err error, words ...string) {
	t.Helper()
	if _, ok := errors.AsType[*config.Problems](err); !ok {
		t.Errorf("it isn't refused: %v", err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("it doesn't say %q: %v", word, err)
		}
	}
}

// unmark makes a store as an earlier version of the program has left it.
func unmark(t *testing.T, s config.Settings) {
	t.Helper()
	store, err := OpenStore(t.Context(), s)
	if err == nil {
		err = errors.Join(store.Delete(t.Context(), ownerSpec.Collection, theOwner), store.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAStoreIsEitherDevsOrServes(t *testing.T) {
	t.Parallel()
	devs := ofDev(t, filepath.Join(t.TempDir(), "data"))
	for range 2 { // made, and there
		if _, err := openAs(t, devs); err != nil {
			t.Fatal(err)
		}
	}
	_, err := openAs(t, ofServe(devs))
	wantRefused(t, err, "DATA_DIR", "'manus dev'", "another folder")

	serves := ofServe(folder(t))
	for range 2 {
		if _, err := openAs(t, serves); err != nil {
			t.Fatal(err)
		}
	}
	_, err = DevSettings(Dev{DataDir: serves.DataDir, Addr: "127.0.0.1:0"})
	wantRefused(t, err, "--data", "'manus serve'")
	if isThere(devSecretFile(serves.DataDir)) {
		t.Error("a secret was left in serve's folder")
	}
}

// TestACopyOfDevsStoreIsDevs copies it to another folder, to MongoDB, and replaces dev's by
// one of serve's.
func TestACopyOfDevsStoreIsDevs(t *testing.T) {
	t.Parallel()
	devs, copied, there := ofDev(t, filepath.Join(t.TempDir(), "data")), ofServe(folder(t)), ofServe(mongo(t))
	if _, err := openAs(t, devs); err != nil {
		t.Fatal(err)
	}
	for _, to := range []config.Settings{copied, there} {
		if err := CopyData(t.Context(), devs, to, nothingShown, unwarned); err != nil {
			t.Fatal(err)
		}
	}
	_, err := openAs(t, copied)
	wantRefused(t, err, "DATA_DIR")
	_, err = openAs(t, there)
	wantRefused(t, err, "MONGODB_DATABASE")

	serves := ofServe(folder(t))
	if _, err := openAs(t, serves); err != nil {
		t.Fatal(err)
	}
	taken := ofDev(t, filepath.Join(t.TempDir(), "data")) // its secret is made, and no store yet
	if err := CopyData(t.Context(), serves, taken, nothingShown, unwarned); err != nil {
		t.Fatal(err)
	}
	_, err = openAs(t, taken)
	wantRefused(t, err, "--data")
}

func TestAStoreOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	devs := ofDev(t, filepath.Join(t.TempDir(), "data"))
	open := func(s config.Settings) error { _, err := openAs(t, s); return err }
	if err := open(devs); err != nil {
		t.Fatal(err)
	}
	unmark(t, devs)
	serves := ofServe(devs)
	for range 2 { // dev's start doesn't make it dev's for good
		wantRefused(t, open(serves), DevOperator, devSecretFile(devs.DataDir))
		if err := open(devs); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(devSecretFile(devs.DataDir)); err != nil {
		t.Fatal(err)
	}
	if err := open(serves); err != nil {
		t.Error(err)
	}
	wantRefused(t, open(devs), "--data")

	plain := ofServe(folder(t))
	if err := open(plain); err != nil {
		t.Fatal(err)
	}
	unmark(t, plain)
	_, err := DevSettings(Dev{DataDir: plain.DataDir, Addr: "127.0.0.1:0"})
	wantRefused(t, err, "--data")
	if err := open(plain); err != nil {
		t.Error(err)
	}
}

func TestAStartWithAnotherSecretIsTold(t *testing.T) {
	t.Parallel()
	s := ofServe(folder(t))
	first, second, third := s.JWTSecret, config.RandomSecret(), config.RandomSecret()
	for i, step := range []struct {
		secret   config.Secret
		previous []config.Secret
		told     bool
	}{
		{first, nil, false},
		{first, nil, false},
		{second, []config.Secret{first}, false}, // a rotation
		{second, nil, false},                    // its end
		{first, nil, true},                      // a copy that hasn't heard of it
		{third, nil, true},
		{third, nil, false},
	} {
		s.JWTSecret, s.JWTPreviousSecrets = step.secret, step.previous
		log, err := openAs(t, s)
		if err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(log, "another JWT_SECRET_KEY"); told != step.told || told && !strings.Contains(log, "level=ERROR") {
			t.Errorf("start %d: %q", i, log)
		}
	}
	data, err := os.ReadFile(StoreFile(s.DataDir))
	if err != nil || strings.Contains(string(data), first.Reveal()) || strings.Contains(string(data), third.Reveal()) {
		t.Errorf("the store has a secret in it, or: %v", err)
	}
}
