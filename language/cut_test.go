package language

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestATextIsCutBetweenLetters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		n    int
		want string
	}{
		{"amal", 4, "amal"},
		{"amal", 3, "ama"},
		{"قلم", 2, "قل"},
		{"قَلَم", 3, "قَ"},     // two letters with their vowels are four characters
		{"ame\u0301", 3, "am"}, // as é is two here
		{"a\xffb", 10, "ab"},
		{"a\xff", 1, "a"},
		{"", 5, ""},
		{"amal", 0, ""},
		{strings.Repeat("\u0301", 5), 2, ""},
	} {
		if got := Cut(c.text, c.n); got != c.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.text, c.n, got, c.want)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("قَلَم", 3)
	f.Add("a\xff\u0301", 2)
	f.Fuzz(func(t *testing.T, text string, n int) {
		got := Cut(text, n)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > max(0, n) || !strings.HasPrefix(strings.ToValidUTF8(text, ""), got) {
			t.Errorf("Cut(%q, %d) = %q", text, n, got)
		}
	})
}

func TestAStrangersTextIsALine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"two\nlines\tand a tab":          "two lines and a tab",
		"\x1b]52;c;x\x07 \u202ereversed": "]52;c;x reversed",
		"  مهلة  انتهت\u2028":            "مهلة انتهت",
		"":                               "",
	} {
		if got := Line(text); got != want {
			t.Errorf("%q becomes %q, not %q", text, got, want)
		}
	}
}
