package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"manus/backup"
	"manus/internal/waittest"
)

// damaged is a server's folder with an account, a verified backup of it, and a store in
// which a table's first page has been overwritten since; sqlite_schema is the whole file's,
// everything is cut off for wholeFile, and another program's database is there for anothers.
func damaged(t *testing.T, table string) (dir string, env []string, id string) {
	t.Helper()
	dir = serverDir(t)
	env = append(serveEnv(t, dir), "BACKUP_DIR="+filepath.Join(dir, "backups"), "BACKUP_SCHEDULE=off")
	server, err := startProgram(dir, env, "serve", "--config", "manus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := newClient(server.url).signIn("register"); err != nil {
		t.Fatal(err)
	}
	var made backup.Manifest
	if err := json.NewDecoder(bytes.NewReader(typed(t, dir, env, 0, "backup", "create", "--json"))).Decode(&made); err != nil || !made.Verified {
		t.Fatal(made, err)
	}
	if err := server.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.wait(); err != nil {
		t.Fatal(err)
	}
	overwrite(t, filepath.Join(dir, "data", "manus.db"), table)
	return dir, env, made.ID
}

const (
	wholeFile = ""
	anothers  = "another program's"
)

func overwrite(t *testing.T, path, table string) {
	t.Helper()
	if table == wholeFile {
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		return
	}
	page := 1
	if table == anothers {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if table == anothers {
		_, err := db.Exec("CREATE TABLE x (a)")
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != "sqlite_schema" {
		err = db.QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = ?", table).Scan(&page)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteAt(bytes.Repeat([]byte{0xA5}, 4096), int64(page-1)*4096)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// typed runs a command that ends with an exit code, and returns its output.
func typed(t *testing.T, dir string, env []string, code int, args ...string) []byte {
	t.Helper()
	var out, said bytes.Buffer
	cmd := manus(t.Context(), dir, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &said
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("manus %s: %v: %s", strings.Join(args, " "), err, &said)
	}
	return append(out.Bytes(), said.Bytes()...)
}

// command is what a message says to type, and where to start the server then.
var command = regexp.MustCompile(`'manus (backup restore \S+ --to (\S+)[^']*)'; and start with DATA_DIR=(\S+?)["\n]`)

// followMessage types what a message says, and wants the account to be there then.
func followMessage(t *testing.T, dir string, env []string, message, id string) {
	t.Helper()
	found := command.FindStringSubmatch(message)
	if found == nil || !strings.Contains(message, id) || !strings.Contains(message, "damaged") {
		t.Fatalf("it doesn't say what to do: %s", message)
	}
	typed(t, dir, env, 0, strings.Fields(found[1])...)
	server := startServer(t, dir, append(env, "DATA_DIR="+found[3])...)
	if err := newClient(server.url).signIn("login"); err != nil {
		t.Error(err)
	}
}

// TestAStartOnDamagedDataSaysHowToRestoreThem damages what every start reads.
func TestAStartOnDamagedDataSaysHowToRestoreThem(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"sqlite_schema", "write_probe", "installation", wholeFile, anothers} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			dir, env, id := damaged(t, table)
			said := typed(t, dir, env, exitFailed, "serve", "--config", "manus.yaml")
			if !bytes.Contains(said, []byte(`"alert":"`+backup.AlertDamaged+`"`)) {
				t.Errorf("it raises no alarm: %s", said)
			}
			last := string(said[bytes.LastIndex(said, []byte("\nmanus: "))+1:])
			if strings.Count(last, "\n") != 1 {
				t.Errorf("it isn't one sentence: %s", last)
			}
			if table != "installation" { // which only a server reads
				if said := typed(t, dir, env, exitFailed, "user", "list"); !bytes.Contains(said, []byte("'manus backup restore "+id)) {
					t.Errorf("a command says %s", said)
				}
			}
			said = typed(t, dir, env, exitFailed, "backup", "create", "--allow-empty", "--config", "manus.yaml")
			if table != "installation" && table != "write_probe" && !bytes.Contains(said, []byte(last)) { // which is found when their rows are read
				t.Errorf("a backup says %s", said)
			}
			followMessage(t, dir, env, last, id)
		})
	}
}

// TestDamageThatIsFoundLaterIsTold damages what only a request reads.
func TestDamageThatIsFoundLaterIsTold(t *testing.T) {
	t.Parallel()
	dir, env, id := damaged(t, "users")
	server := startServer(t, dir, env...)
	person := newClient(server.url)
	if err := person.call("GET", "/ready", nil, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	var status statusError
	if err := person.signIn("login"); !errors.As(err, &status) || status.status != http.StatusServiceUnavailable || !strings.Contains(status.body, "/problems/damaged") || strings.Contains(status.body, "Nothing was lost") {
		t.Errorf("signing in: %v", err)
	}
	alarms := func() int { return strings.Count(server.stderr.String(), `"alert":"`+backup.AlertDamaged+`"`) }
	server.stderr.Until(t, func() bool { return alarms() > 0 })
	// The answer to the first look may be a second old.
	waittest.Poll(t, func() bool {
		err := person.call("GET", "/ready", nil, &struct{}{})
		return errors.As(err, &status) && status.status == http.StatusServiceUnavailable && strings.Contains(status.body, `"unavailable"`) && strings.Contains(status.body, `"hints":["data-damaged"]`)
	})
	server.kill()
	if alarms() != 1 {
		t.Errorf("the alarm is raised %d times", alarms())
	}
	followMessage(t, dir, env, server.stderr.String(), id)
}

// A server whose disk is missing would begin anew, and nobody would know why.
func TestANewStoreBesideBackupsOfOneIsTold(t *testing.T) {
	t.Parallel()
	dir, env, id := damaged(t, wholeFile)
	if err := os.Rename(filepath.Join(dir, "data"), filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	server := startServer(t, dir, env...)
	server.stderr.Until(t, func() bool {
		return strings.Contains(server.stderr.String(), `"newest_backup":"`+id+`"`)
	})
}

// The backups of the store that was begun by mistake while the disk was missing are never
// taken for those of the one that is damaged now.
func TestDamageIsToldWithTheBackupsOfEachInstallation(t *testing.T) {
	t.Parallel()
	dir, env, id := damaged(t, wholeFile)
	data, elsewhere := filepath.Join(dir, "data"), filepath.Join(dir, "elsewhere")
	if err := os.Rename(data, elsewhere); err != nil {
		t.Fatal(err)
	}
	server := startServer(t, dir, env...)
	var mistake backup.Manifest
	if err := json.NewDecoder(bytes.NewReader(typed(t, dir, env, 0, "backup", "create", "--json"))).Decode(&mistake); err != nil || !mistake.Verified {
		t.Fatal(mistake, err)
	}
	server.kill()
	if err := errors.Join(os.RemoveAll(data), os.Rename(elsewhere, data)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"serve", "--config", "manus.yaml"}, {"user", "list"}, {"backup", "create"}} {
		said := string(typed(t, dir, env, exitFailed, args...))
		if !strings.Contains(said, "of several installations") || !strings.Contains(said, id+" of ") || !strings.Contains(said, mistake.ID+" of ") || strings.Contains(said, "restore the newest") {
			t.Errorf("%s says %s", args, said)
		}
	}
	typed(t, dir, env, 0, "backup", "restore", id, "--to", "data", "--drop")
	list := string(typed(t, dir, env, 0, "backup", "list"))
	if regexp.MustCompile("(?m)^"+mistake.ID+" .* this one ").MatchString(list) || !regexp.MustCompile("(?m)^"+id+" .* this one ").MatchString(list) {
		t.Errorf("the list is %s", list)
	}
}
