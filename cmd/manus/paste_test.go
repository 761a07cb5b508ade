package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/alecthomas/kong"
)

func TestCommandsInAMessageGetTheFlagsThatWereGiven(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct{ typed, said, want string }{
		{"backup list", "see 'manus backup list'", "see 'manus backup list'"},
		{"backup list --env-file /e/.env", "see 'manus backup list', it's there", "see 'manus backup list --env-file /e/.env', it's there"},
		{"backup verify --env-file /e/.env --config /e/m.yaml --data d --identity /k/key", "'manus backup adopt X' or 'manus user list'",
			"'manus backup adopt X --data d --env-file /e/.env --config /e/m.yaml --identity /k/key' or 'manus user list --data d --env-file /e/.env --config /e/m.yaml'"},
		{"backup list --env-file /e/.env --data d", "'manus backup restore X --data e --to e'", "'manus backup restore X --data e --to e --env-file /e/.env'"},
		{"serve --env-file /e/.env", "'manus backup list' 'manus version' 'manus limits show'", "'manus backup list --env-file /e/.env' 'manus version' 'manus limits show --env-file /e/.env'"},
		{"user list --env-file=/my$e/.env", "'manus backup list'", `'manus backup list --env-file "/my\$e/.env"'`},
	} {
		line, err := parser.Parse(strings.Fields(try.typed))
		if err != nil {
			t.Fatal(err)
		}
		if got := newPasting(line).complete(try.said); got != try.want {
			t.Errorf("%s: it says %s, not %s", try.typed, got, try.want)
		}
		if got := newPasting(line).complete(try.want); got != try.want {
			t.Errorf("%s: once more it says %s", try.typed, got)
		}
	}
}

// What a log warns of is completed too, in the message and in what belongs to it.
func TestCommandsInALogGetTheFlagsThatWereGiven(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	line, err := parser.Parse([]string{"serve", "--env-file", "/e/.env"})
	if err != nil {
		t.Fatal(err)
	}
	const said, want = "'manus backup list'", "'manus backup list --env-file /e/.env'"
	var out bytes.Buffer
	log := slog.New(pastingHandler{slog.NewTextHandler(&out, nil), newPasting(line)}).With("of", "x").WithGroup("g")
	log.Warn(said, "problem", said, "error", errors.New(said), "count", 1)
	if got := out.String(); strings.Count(got, want) != 3 || !strings.Contains(got, "of=x") || !strings.Contains(got, "g.count=1") {
		t.Errorf("it says %s", got)
	}
	out.Reset()
	if log.Info(said); !strings.Contains(out.String(), said) {
		t.Errorf("it says %s", out.String())
	}
}

// pasted is what a message says to type.
var pasted = regexp.MustCompile(`in ("[^"]*"|\S+) and with the server's settings, '(manus backup restore [^']*)'; and start with DATA_DIR=("[^"]*"|\S+?)[;\s]`)

// What is said of damage is pasted as it is, in whatever folder its reader is, although the
// settings are in a file and the backup is encrypted.
func TestTheCommandThatRestoresIsPastedAsItIs(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	home := newRescue(t, "")
	home.dir = filepath.Join(home.dir, "the server's", "folder")
	home.dir = strings.ReplaceAll(home.dir, "'", "")
	secret := filepath.Join(t.TempDir(), "key")
	env := "DATA_DIR=./data\nBACKUP_DIR=./vault\nBACKUP_SCHEDULE=off\nBACKUP_AGE_RECIPIENTS=" + key.Recipient().String() + "\n" + strings.Join(serveEnv(t, ""), "\n") + "\n"
	for path, text := range map[string]string{filepath.Join(home.dir, ".env"): env, secret: key.String() + "\n"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server, err := startProgram(home.dir, []string{"HOME=" + home.dir}, "serve", "--env-file", ".env")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.kill)
	home.types("manus user create amal@example.com --env-file .env")
	home.types("manus backup create --env-file .env")
	server.kill()
	overwrite(t, filepath.Join(home.dir, "data", "manus.db"), wholeFile)
	for command, want := range map[string]string{
		"manus user list --env-file .env":                                         " --identity KEYFILE",
		"manus serve --env-file .env":                                             " --identity KEYFILE",
		"manus backup create --env-file .env --identity " + secret:                " --identity " + secret,
		"BACKUP_AGE_IDENTITY_FILE=" + secret + " manus user list --env-file .env": "",
	} {
		said := home.types(command + " || true")
		for _, line := range regexp.MustCompile(`(?m)^.*restore the newest.*$`).FindAllString(said, -1) {
			line = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(line) // as a log has it
			found := pasted.FindStringSubmatch(line + "\n")
			if found == nil || !strings.Contains(found[2], want) || strings.Contains(found[2], "--identity") != (want != "") || strings.Contains(line, "KEYFILE is the file") != strings.Contains(want, "KEYFILE") {
				t.Errorf("%s says %s", command, line)
				continue
			}
			paste := strings.ReplaceAll(found[2], "KEYFILE", secret)
			if want == "" {
				paste = "BACKUP_AGE_IDENTITY_FILE=" + secret + " " + paste
			}
			elsewhere := home
			elsewhere.dir = t.TempDir()
			if out := elsewhere.types("cd " + found[1] + " && " + paste + " --drop"); !strings.Contains(out, "the same as were dumped") {
				t.Errorf("%s says %s", paste, out)
			}
			if out := elsewhere.types("manus user list --data " + found[3]); !strings.Contains(out, "amal@example.com") {
				t.Errorf("there is %s", out)
			}
		}
		if !strings.Contains(said, "restore the newest") {
			t.Errorf("%s says %s", command, said)
		}
	}
}
