package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"manus/internal/mongotest"
)

// worstDay are the commands of the guide for the worst day, as they stand in it.
func worstDay(t *testing.T) (commands []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "## On the worst day")
	section, _, ended := strings.Cut(section, "### Without Manus")
	if !found || !ended {
		t.Fatal("the guide has no worst day")
	}
	for _, line := range regexp.MustCompile(`(?m)^    .*$`).FindAllString(section, -1) {
		commands = append(commands, strings.TrimSpace(line))
	}
	return commands
}

// rescue is an empty folder on a machine on which only the program is.
type rescue struct {
	t   *testing.T
	dir string
	bin string
}

func newRescue(t *testing.T, env string) rescue {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := rescue{t, t.TempDir(), t.TempDir()}
	if err := os.Symlink(self, filepath.Join(r.bin, "manus")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, ".env"), []byte(env), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// types is what a person types there, and reads.
func (r rescue) types(command string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = r.dir, []string{"PATH=" + r.bin + ":" + os.Getenv("PATH"), "HOME=" + r.dir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Errorf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// follow follows the guide, but for the commands about another kind of store.
func (r rescue) follow(id, but string) {
	r.t.Helper()
	followed := 0
	for _, command := range worstDay(r.t) {
		if regexp.MustCompile(but).MatchString(command) {
			continue
		}
		followed++
		out := r.types(strings.ReplaceAll(command, "k3v7q2ma", id))
		if strings.Contains(command, "user list") && !strings.Contains(out, "amal@example.com") {
			r.t.Errorf("%s: %s", command, out)
		}
	}
	if followed < 7 {
		r.t.Errorf("only %d commands", followed)
	}
}

var madeID = regexp.MustCompile(`manus-\d{8}T\d{6}Z-([a-z0-9]{8})\.`)

// The guide of the worst day, as it is typed in an empty folder on another machine than the
// server's.
func TestTheGuideOfTheWorstDayComesTrue(t *testing.T) {
	t.Parallel()
	vault := filepath.Join(t.TempDir(), "vault")
	server := newRescue(t, "DATA_DIR=./data\nBACKUP_DIR="+vault+"\n")
	serving, err := startProgram(server.dir, serveEnv(t, server.dir), "serve") // which makes the store
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(serving.kill)
	server.types("manus user create amal@example.com --data ./data")
	serving.kill()
	made := madeID.FindStringSubmatch(server.types("manus backup create --env-file .env"))
	if made == nil {
		t.Fatal("no backup was made")
	}
	if err := os.RemoveAll(filepath.Join(server.dir, "data")); err != nil { // the machine is gone
		t.Fatal(err)
	}
	r := newRescue(t, "DATA_DIR=./unmade\nBACKUP_DIR="+vault+"\n")
	r.follow(made[1], "mongodb|MONGODB")
	if _, err := os.Stat(filepath.Join(r.dir, "unmade")); err == nil {
		t.Error("verifying has left a data folder")
	}
	bare := newRescue(t, "") // whose settings nobody has named
	cmd := exec.Command(filepath.Join(bare.bin, "manus"), "backup", "verify", made[1], "--quick")
	cmd.Dir, cmd.Env = bare.dir, []string{"HOME=" + bare.dir}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "data/backups") || !strings.Contains(string(out), "--env-file") {
		t.Errorf("without settings it says: %s", out)
	}
}

func TestTheGuideOfTheWorstDayComesTrueOnMongoDB(t *testing.T) {
	t.Parallel()
	vault := filepath.Join(t.TempDir(), "vault")
	uri := withDatabase(mongotest.Start(t).DirectURI(), "manus")
	server := newRescue(t, "MONGODB_URI="+uri+"\nBACKUP_DIR="+vault+"\n")
	server.types("manus user create amal@example.com --env-file .env")
	made := madeID.FindStringSubmatch(server.types("manus backup create --env-file .env"))
	if made == nil {
		t.Fatal("no backup was made")
	}
	for _, uri := range []string{uri, withDatabase(mongotest.Start(t).DirectURI(), "manus")} { // damaged, or gone
		newRescue(t, "MONGODB_URI="+uri+"\nBACKUP_DIR="+vault+"\n").follow(made[1], `\./(manus-data|restored)`)
	}
}

// One database of a backup of a whole server comes out under a new name, checked as all of
// them would be.
func TestOneOfSeveralDatabasesGetsANewName(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t).DirectURI()
	vault := t.TempDir()
	for _, database := range []string{"app", "other"} {
		r := newRescue(t, "MONGODB_URI="+withDatabase(server, database)+"\n")
		r.types("manus user create amal@example.com --env-file .env")
	}
	r := newRescue(t, "MONGODB_URI="+server+"\nBACKUP_DIR="+vault+"\n")
	made := madeID.FindStringSubmatch(r.types("manus backup create --env-file .env"))
	if made == nil {
		t.Fatal("no backup was made")
	}
	restore := "manus backup restore " + made[1] + " --env-file .env --to mongodb --to-database renamed --from-database "
	if out := r.types(restore + "app"); !strings.Contains(out, "/renamed:") || !strings.Contains(out, "the same as were dumped") {
		t.Errorf("it says %s", out)
	}
	if out := r.types("MONGODB_DATABASE=renamed manus user list --env-file .env"); !strings.Contains(out, "amal@example.com") {
		t.Errorf("there is %s", out)
	}
	if out := r.types(restore + "absent || true"); !strings.Contains(out, `has no database "absent"; it has app, other`) {
		t.Errorf("it says %s", out)
	}
	if out := r.types("manus backup restore --latest --env-file .env --to mongodb --drop"); !strings.Contains(out, "the same as were dumped") {
		t.Errorf("all of them: %s", out)
	}
	file := filepath.Join(vault, "*.archive.gz")
	if out := r.types("cp " + file + " whole.archive.gz && manus backup restore whole.archive.gz --env-file .env --to mongodb --to-database third --from-database other --collection users"); !strings.Contains(out, "Restored 1 document") {
		t.Errorf("it says %s", out)
	}
}

// Nothing that is secret stands in an argument, in whatever form and command.
func TestSecretsInArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	r := newRescue(t, "")
	for _, args := range [][]string{
		{"backup", "restore", "--latest", "--to", "mongodb://user:hunter2@127.0.0.1:1/x"},
		{"backup", "restore", "--latest", "--to=mongodb+srv://user:hunter2/@db.invalid/x"},
		{"backup", "restore", "--latest", "--to", "mongodb://127.0.0.1:1/x?tlsCertificateKeyFilePassword=hunter2"},
		{"data", "copy", "--from", "./data", "--to", "mongodb://user:hunter2@127.0.0.1:1/x"},
		{"backup", "list", "--identity", "AGE-SECRET-KEY-1HUNTER2"},
	} {
		cmd := manus(t.Context(), r.dir, args...)
		cmd.Env = []string{"HOME=" + r.dir}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), "everybody on this machine could read") || strings.Contains(strings.ToLower(string(out)), "hunter2") {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	for _, fine := range []string{"mongodb://127.0.0.1:27017/x?replicaSet=a", "mongodb://user@host/x?authMechanism=MONGODB-X509", "./a:b@c", "amal@example.com"} {
		if checkArguments([]string{fine}) != nil {
			t.Errorf("%s is refused", fine)
		}
	}
}

// What a server is at work with isn't changed, in MongoDB either: while it runs, whatever
// copies of it are killed, and until it is known that none is left.
func TestNothingIsRestoredUnderARunningServer(t *testing.T) {
	t.Parallel()
	server := withDatabase(mongotest.Start(t).DirectURI(), "manus")
	env := "MONGODB_URI=" + server + "\nBACKUP_DIR=" + t.TempDir() + "\n"
	r := newRescue(t, env)
	copies := []*program{}
	for range 2 {
		p, err := startProgram(r.dir, append(serveEnv(t, ""), strings.Split(env+"BACKUP_SCHEDULE=off", "\n")...), "serve")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.kill)
		copies = append(copies, p)
	}
	r.types("manus user create amal@example.com --env-file .env")
	r.types("manus backup create --env-file .env")
	for _, p := range copies {
		for _, command := range []string{"--drop --collection users", "--collection mails", "--drop --dry-run"} {
			out := r.types("manus backup restore --latest --to mongodb --env-file .env " + command + " && echo done || true")
			if !strings.Contains(out, "a server is at work on the database manus: stop every server first") || strings.Contains(out, "done") != strings.Contains(command, "--dry-run") {
				t.Errorf("%s says %s", command, out)
			}
		}
		p.kill()
	}
	r.types("manus backup restore --latest --to mongodb --env-file .env --drop")
}
