package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestFirstEnvFileIsAcceptedAsItIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	if err := WriteEnv(path); err != nil {
		t.Fatal(err)
	}
	settings, err := Load(Source{EnvFile: path})
	if err != nil {
		t.Fatal(err)
	}
	if settings.Environment != "production" || settings.DataDir != "manus-data" || len(settings.JWTSecret.Reveal()) != 64 {
		t.Errorf("got %+v", settings)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v: %v", info.Mode(), err)
	}
}

func TestFirstEnvFileExplainsEverySetting(t *testing.T) {
	t.Parallel()
	text := envText()
	for line := range strings.Lines(text) {
		if len(line) > 80 {
			t.Errorf("a line is longer than 80 characters: %s", line)
		}
	}
	for _, row := range table() {
		if got, want := strings.Contains(text, "\n"+row.name+"=") || strings.Contains(text, "\n#"+row.name+"="), row.parse != nil; got != want {
			t.Errorf("%s is there: %v, want %v", row.name, got, want)
		}
	}
}

func TestExplanationsAreWrappedBetweenWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"one line", []string{"one line"}},
		{"ten letters", []string{"ten", "letters"}},
		{"of  ten letters", []string{"of ten", "letters"}},
		{"exactly 10 in each one 4", []string{"exactly 10", "in each", "one 4"}},
		{"incomprehensible", []string{"incomprehensible"}},
		{"an incomprehensible word", []string{"an", "incomprehensible", "word"}},
	} {
		if got := wrap(c.text, 10); !slices.Equal(got, c.want) {
			t.Errorf("%q is wrapped as %q", c.text, got)
		}
	}
}

// Each commented setting must work when somebody takes the # away, with those
// that its explanation says it needs; one that needs a value of one's own says so.
func TestEverySettingOfTheFirstEnvFileWorksUncommented(t *testing.T) {
	t.Parallel()
	for _, row := range table() {
		if row.parse == nil || row.initial != nil {
			continue
		}
		source := Source{EnvFile: write(t, ".env", uncomment(envText(), row.name))}
		if row.protects && row.fallback == "" && row.example == "" {
			onlyProblem(t, source)
		} else if _, err := Load(source); err != nil {
			t.Error(err)
		}
	}
}

// uncomment takes the # away from a setting, and from those that its explanation names.
func uncomment(text, name string) string {
	commented, plain := "\n#"+name+"=", "\n"+name+"="
	if !strings.Contains(text, commented) {
		return text
	}
	text = strings.Replace(text, commented, plain, 1)
	for _, row := range table() {
		if row.name != name {
			continue
		}
		for _, other := range regexp.MustCompile(`[A-Z][A-Z0-9]*(_[A-Z0-9]+)+`).FindAllString(row.help, -1) {
			text = uncomment(text, other)
		}
	}
	return text
}

func TestEachFirstEnvFileHasItsOwnSecret(t *testing.T) {
	t.Parallel()
	if one, other := envText(), envText(); one == other {
		t.Error("two files are the same")
	}
}

func TestEnvFileIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	path := write(t, ".env", "")
	link := filepath.Join(t.TempDir(), ".env")
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{path, link} {
		err := WriteEnv(taken)
		if want := taken + " exists already and is never overwritten; move it away, or add what is missing by hand"; !errors.Is(err, ErrEnvExists) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if text, err := os.ReadFile(path); err != nil || len(text) != 0 {
		t.Errorf("it is now %q: %v", text, err)
	}
}

func TestOfSeveralWritersOneWins(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	var writers sync.WaitGroup
	failures := make(chan error, 8)
	for range cap(failures) {
		writers.Go(func() { failures <- WriteEnv(path) })
	}
	writers.Wait()
	won := 0
	for range cap(failures) {
		switch err := <-failures; {
		case err == nil:
			won++
		case !errors.Is(err, ErrEnvExists):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d writers won", won)
	}
	if _, err := Load(Source{EnvFile: path}); err != nil {
		t.Error(err)
	}
}

func TestFolderThatIsNotThereIsAClearError(t *testing.T) {
	t.Parallel()
	err := WriteEnv(filepath.Join(t.TempDir(), "none", ".env"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "cannot write the settings: ") {
		t.Errorf("got %v", err)
	}
}
