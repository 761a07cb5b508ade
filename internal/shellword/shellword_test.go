package shellword

import (
	"os/exec"
	"testing"
)

func TestAShellTakesWhatIsQuotedForOneWord(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"plain", "./a-b_c.d:e", "", "a#b~c", "two words", "a\tb", "it's", `"`, `\`, "$HOME", "`id`", "*", "~", "a;b", "#", "نص"} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s, "+Quote(text)).Output()
		if err != nil || string(out) != text+"," {
			t.Errorf("%q becomes %q, %v", text, out, err)
		}
	}
	if got := Quote("/var/lib/manus"); got != "/var/lib/manus" {
		t.Errorf("a plain path becomes %s", got)
	}
}
