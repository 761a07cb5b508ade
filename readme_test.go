package manus_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"manus/internal/testprogram"
)

func TestWhatTheReadmesSayToTypeComesTrue(t *testing.T) {
	t.Parallel()
	testprogram.Curl.Path()
	if out, err := exec.CommandContext(t.Context(), "scripts/stranger.sh", "--walk").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheReadmesSayToTypeTheSame(t *testing.T) {
	t.Parallel()
	if english, arabic := typed(t, "README.md"), typed(t, "README.ar.md"); !slices.Equal(english, arabic) {
		t.Errorf("in English:\n%q\nin Arabic:\n%q", english, arabic)
	}
}

// typed are a file's commands, without the words that are in one language.
func typed(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`"(full_name|title|text)": "[^"]+"`)
	return regexp.MustCompile(`(?m)^    .*$`).FindAllString(words.ReplaceAllString(string(text), `"$1"`), -1)
}
