package incident

import (
	"strings"
	"testing"
)

func TestATextWithoutMarksIsReadable(t *testing.T) {
	t.Parallel()
	for markup, want := range map[string]string{
		"We **look** at `it`, ~~not~~ _so_.":                                                       "We look at it, not so.",
		"# What happened\n\nThe *disk* was full,\nand so on.":                                      "What happened\n\nThe disk was full, and so on.",
		"[the log](https://example.com/log) and https://example.com/x and <https://example.com/y>": "the log (https://example.com/log) and https://example.com/x and https://example.com/y",
		"Now:\n\n- one\n- two **of**\n  - three\n\nThen\n\n3. a\n4. b":                             "Now:\n\n• one\n• two of\n  • three\n\nThen\n\n3. a\n4. b",
		"| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd":                                                   "a | b\n1 | 2\n\nEnd",
		"```\nx := 1\n  y\n```\nend":                                                               "x := 1\n  y\n\nend",
		"a  \nb":                                                                                   "a\nb",
		"> said\n\n---\n\n<b>raw</b> ![p](x.png)":                                                  "said\n\n———\n\nraw",
		"تعطّل **القرص**":                                                                          "تعطّل القرص",
		"":                                                                                         "",
	} {
		if got := Plain(markup); got != want {
			t.Errorf("%q is %q, want %q", markup, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("- [a](b)\n\n> | x |\n|-|\n\n1. ```\ny")
	f.Fuzz(func(t *testing.T, markup string) {
		if got := Plain(markup); len(got) > 64*len(markup)+64 || strings.TrimSpace(got) != got {
			t.Errorf("%q is %q", markup, got)
		}
	})
}
