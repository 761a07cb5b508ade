package manus_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
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

// TestTheReadmesFollowOneAnother compares what both languages write alike, section by section and row by
// row: links, and the names of settings, commands and addresses.
func TestTheReadmesFollowOneAnother(t *testing.T) {
	t.Parallel()
	english, arabic := parts(t, "README.md"), parts(t, "README.ar.md")
	for i := range max(len(english), len(arabic)) {
		switch {
		case i >= len(english):
			t.Errorf("only the Arabic one has %.200s", arabic[i])
		case i >= len(arabic):
			t.Errorf("only the English one has %.200s", english[i])
		case !slices.Equal(alike(english[i]), alike(arabic[i])):
			t.Errorf("%q\nand %q\nin %.100s", alike(english[i]), alike(arabic[i]), arabic[i])
		}
	}
}

// parts are a file's sections, and each row of its tables.
func parts(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^(?:## |\| |\n)`).Split(strings.ReplaceAll(string(text), "\n\n", "\n"), -1)
}

// alike is what a part has in both languages: where its links lead, and code, without the language that a
// page is in.
func alike(part string) []string {
	found := regexp.MustCompile("\\]\\([^)]+\\)|`[^`]+`").FindAllString(part, -1)
	found = slices.DeleteFunc(found, func(name string) bool { return strings.HasPrefix(name, "](README") })
	slices.Sort(found)
	return slices.Compact(found)
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
