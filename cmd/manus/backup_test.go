package main

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"manus/backup"
)

// newest sets a variable to the ID of the newest backup in $BACKUP_DIR: newest ID.
func newest(ts *testscript.TestScript, _ bool, args []string) {
	made := func(m backup.Manifest) time.Time {
		info, err := os.Stat(filepath.Join(ts.Getenv("BACKUP_DIR"), m.File))
		if err != nil { // it is missing
			return time.Time{}
		}
		return info.ModTime()
	}
	found := slices.MaxFunc(manifests(ts), func(a, b backup.Manifest) int {
		// Several are made within one second of a manifest.
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), a.FinishedAt.Compare(b.FinishedAt), made(a).Compare(made(b)))
	})
	ts.Setenv(args[0], found.ID)
}

// owner sets a variable to the installation that a backup in $BACKUP_DIR is of: owner NAME ID.
func owner(ts *testscript.TestScript, _ bool, args []string) {
	for _, m := range manifests(ts) {
		if m.ID == args[1] {
			ts.Setenv(args[0], m.Installation)
		}
	}
}

// awaitBackup waits until the server, which logs at the level info, has made a verified
// backup.
func awaitBackup(ts *testscript.TestScript, _ bool, _ []string) {
	log := &of(ts).running.stderr
	if err := log.Wait(context.Background(), func() bool {
		return regexp.MustCompile("a backup was made.* verified=true").MatchString(log.String())
	}); err != nil {
		ts.Fatalf("%v: a verified backup: %s", err, log)
	}
}

func manifests(ts *testscript.TestScript) []backup.Manifest {
	paths, err := filepath.Glob(filepath.Join(ts.Getenv("BACKUP_DIR"), "*.manifest.json"))
	ts.Check(err)
	all := make([]backup.Manifest, len(paths))
	for i, path := range paths {
		text, err := os.ReadFile(path)
		ts.Check(err)
		ts.Check(json.Unmarshal(text, &all[i]))
	}
	return all
}

// damage changes one bit in the middle of a backup's file: damage DIR ID.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	for _, m := range manifests(ts) {
		if m.ID != args[1] {
			continue
		}
		path := filepath.Join(ts.MkAbs(args[0]), m.File)
		data, err := os.ReadFile(path)
		ts.Check(err)
		data[len(data)/2] ^= 4
		ts.Check(os.WriteFile(path, data, 0o600))
	}
}

// keys makes right.key, to which $BACKUP_AGE_RECIPIENTS is set, and wrong.key.
func keys(ts *testscript.TestScript, _ bool, _ []string) {
	for _, name := range []string{"wrong.key", "right.key"} {
		key, err := age.GenerateX25519Identity()
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte("# public key: "+key.Recipient().String()+"\n"+key.String()+"\n"), 0o600))
		ts.Setenv("BACKUP_AGE_RECIPIENTS", key.Recipient().String())
	}
}
