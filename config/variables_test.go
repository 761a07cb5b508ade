package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEnvironmentWinsOverTheEnvFile(t *testing.T) {
	t.Parallel()
	settings, err := Load(Source{
		Environ: enough("LOG_LEVEL=warn", "LOG_FORMAT="),
		EnvFile: write(t, ".env", "\ufeff# comment\r\nexport LOG_LEVEL=debug\r\nLOG_FORMAT='text' # so\nENVIRONMENT=\"staging\"\nPORT=\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if settings.LogLevel.String() != "WARN" || settings.LogFormat != "text" || settings.Environment != "staging" || settings.Addr != ":8080" {
		t.Errorf("got %+v", settings)
	}
}

func TestValueComesFromAFile(t *testing.T) {
	t.Parallel()
	secret := RandomSecret().Reveal()
	for name, text := range map[string]string{"no line break": secret, "a line break": secret + "\n", "a Windows one": secret + "\r\n"} {
		path := write(t, "secret", text)
		fromEnviron := Source{Environ: []string{"DATA_DIR=data", "JWT_SECRET_KEY_FILE=" + path}}
		fromEnvFile := Source{EnvFile: write(t, ".env", "DATA_DIR=data\nJWT_SECRET_KEY_FILE="+path+"\nJWT_SECRET_KEY=\n")}
		for _, source := range []Source{fromEnviron, fromEnvFile} {
			settings, err := Load(source)
			if err != nil || settings.JWTSecret.Reveal() != secret {
				t.Errorf("with %s: %v", name, err)
			}
		}
	}
}

func TestFilesThatHoldNoValueAreRefused(t *testing.T) {
	t.Parallel()
	fine := write(t, "fine", RandomSecret().Reveal())
	for _, c := range []struct{ set, want string }{
		{"JWT_SECRET_KEY_FILE=/nowhere/hunter2", "JWT_SECRET_KEY_FILE: the file does not exist; check the path"},
		{"JWT_SECRET_KEY_FILE=" + t.TempDir(), "JWT_SECRET_KEY_FILE: the file cannot be read; check that it is a plain file"},
		{"JWT_SECRET_KEY_FILE=" + write(t, "empty", ""), "JWT_SECRET_KEY_FILE: the file is empty; put the value into the file"},
		{"JWT_SECRET_KEY_FILE=" + write(t, "blank", " \n"), "JWT_SECRET_KEY_FILE: the file is empty; put the value into the file"},
		{"JWT_SECRET_KEY_FILE=" + write(t, "large", strings.Repeat("a", maxValueFile+1)), "JWT_SECRET_KEY_FILE: the file has more than 64 KiB; check that it is the right file"},
		{"JWT_SECRET_KEY_FILE=" + write(t, "lines", "hunter2\nhunter2"), "JWT_SECRET_KEY_FILE: contains a line break or another control character; write it in one line"},
		{"JWT_SECRET_KEY_FILE=" + write(t, "space", "hunter2 \n"), "JWT_SECRET_KEY_FILE: begins or ends with white space; remove it"},
		{"JWT_SECRET_KEY_FILE=" + write(t, "short", "hunter2\n"), "JWT_SECRET_KEY_FILE: is 7 characters long; use at least 32, for example from 'openssl rand -base64 48' or 'manus init'"},
		{"JWT_SECRET_KEY=hunter2,JWT_SECRET_KEY_FILE=" + fine, "JWT_SECRET_KEY: is set together with JWT_SECRET_KEY_FILE; keep one of them"},
	} {
		lines := strings.ReplaceAll(c.set, ",", "\n")
		for _, source := range []Source{
			{Environ: append(strings.Split(lines, "\n"), "DATA_DIR=data")},
			{Environ: []string{"DATA_DIR=data"}, EnvFile: write(t, ".env", lines)},
		} {
			if got := onlyProblem(t, source); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		}
	}
}

func TestValueAndFileInDifferentPlacesAreRefusedToo(t *testing.T) {
	t.Parallel()
	got := onlyProblem(t, Source{Environ: enough(), EnvFile: write(t, ".env", "JWT_SECRET_KEY_FILE=/run/secret\n")})
	if want := "JWT_SECRET_KEY: is set together with JWT_SECRET_KEY_FILE; keep one of them"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFileOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	if got, want := *unreadable(errors.Join(os.ErrPermission)), (Problem{Wrong: "the file may not be read by this user", Mend: "check its owner and mode"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEnvFileProblems(t *testing.T) {
	t.Parallel()
	const how = "; write each line as NAME=value, or NAME='value' where the value has spaces, quotes or #"
	for _, c := range []struct{ name, text, want string }{
		{"no separator", "\nhunter2", "line 2 has no =" + how},
		{"open quote", "LOG_LEVEL=\"hunter2", "line 1 has a quote that is not closed" + how},
		{"strange name", "hunter-2=3", "line 1 is not a NAME=value line" + how},
		{"strange escape", `LOG_LEVEL="\hunter2"`, "line 1 is not a NAME=value line" + how},
		{"long line", "LOG_LEVEL=" + strings.Repeat("a", 70000), "has a line of more than 64 KiB" + how},
		{"too large", strings.Repeat("#\n", maxEnvFile/2+1), "the file has more than 1024 KiB; check that it is the right file"},
		{"unknown name", "DATABASE_URL=hunter2", "sets DATABASE_URL, which is no setting; remove it or correct its name"},
		{"mistyped name", "JWT_SECRETKEY=hunter2", "sets JWT_SECRETKEY, which is no setting; perhaps JWT_SECRET_KEY is meant"},
		{"lower case", "log_level=hunter2", "sets a name that is no setting; perhaps LOG_LEVEL is meant"},
		{"mistyped file", "JWT_SECRET_KEY_FIEL=hunter2", "sets JWT_SECRET_KEY_FIEL, which is no setting; perhaps JWT_SECRET_KEY_FILE is meant"},
		{"a short name", "PORTS=hunter2", "sets PORTS, which is no setting; remove it or correct its name"},
		{"no name", "hunter2hunter2hunter2==", "sets a name that is no setting; check each line's name"},
		{"a secret", "AKIAIOSFODNN7EXAMPLE=", "sets a name that is no setting; check each line's name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, want := onlyProblem(t, Source{Environ: enough(), EnvFile: write(t, ".env", c.text)}), "--env-file: "+c.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestNothingIsCalledMissingWhereTheEnvFileCannotBeRead(t *testing.T) {
	t.Parallel()
	got := problemsOf(t, Source{Environ: []string{"LOG_LEVEL=loud"}, EnvFile: filepath.Join(t.TempDir(), ".env")})
	want := "--env-file: the file does not exist; check the path, or write the file with 'manus init'\nLOG_LEVEL: is not a level; use debug, info, warn or error"
	if got.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", got.Error(), want)
	}
}

func FuzzEnvFile(f *testing.F) {
	f.Add([]byte("JWT_SECRET_KEY=@\nDATA_DIR=data\n"))
	f.Add([]byte("JWT_SECRET_KEY=\"@\\u00e4\\ud83d\\ude00\"\nLOG_LEVL='@' # c"))
	f.Add([]byte("@=\n export TRUSTED_PROXIES = 10.0.0.0/8,@"))
	f.Add([]byte("PUBLIC_URL=https://user:@@example.com\nADDR=@:1\nSHUTDOWN_DELAY=@"))
	f.Add([]byte("JWT_PREVIOUS_SECRET_KEYS=@,@\nMONGODB_URI=mongodb://@\nDATA_DIR_FILE=@"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := Load(Source{EnvFile: write(t, ".env", string(withSecret(data)))})
		if err != nil {
			mustNotShow(t, err)
		}
	})
}

// fuzzSecret stands in the place of each @ in what is fuzzed. It looks like no
// name, which an error may repeat.
const fuzzSecret = "s3cr3t+v4lue"

func withSecret(data []byte) []byte {
	return bytes.ReplaceAll(data, []byte("@"), []byte(fuzzSecret))
}

func mustNotShow(t *testing.T, err error) {
	t.Helper()
	if strings.Contains(strings.ToLower(err.Error()), fuzzSecret) {
		t.Errorf("the error shows the secret: %v", err)
	}
}

// A name that a template doesn't know leaves an empty variable. Where that protects
// something, doing without has to be meant.
func TestAnEmptyVariableThatProtectsSomethingIsAProblem(t *testing.T) {
	t.Parallel()
	for _, row := range table() {
		if !row.protects {
			continue
		}
		const want = ": is set, but empty; give it a value, or remove it if you mean to do without"
		for _, name := range []string{row.name, row.name + fileSuffix} {
			for _, source := range []Source{
				{Environ: append(enough(), name+"=")},
				{Environ: append(enough(), name+"=  ")},
				{Environ: enough(), EnvFile: write(t, ".env", name+"=\n")},
			} {
				if got := onlyProblem(t, source); got != row.name+want {
					t.Errorf("got  %s\nwant %s", got, row.name+want)
				}
			}
		}
	}
	for _, fine := range []Source{
		{Environ: append(enough(), "CORS_ORIGINS=", "PUBLIC_URL=", "PORT=")},
		{Environ: append(enough(), "BACKUP_DIR="), EnvFile: write(t, ".env", "BACKUP_DIR=backups\n")},
		{Environ: append(enough(), "BACKUP_DIR=", "BACKUP_DIR_FILE="+write(t, "dir", "backups"))},
	} {
		if _, err := Load(fine); err != nil {
			t.Error(err)
		}
	}
}
