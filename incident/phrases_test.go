package incident

import (
	"os"
	"regexp"
	"testing"
)

// TestEveryErrorOfAPlanStandsInArabic goes through what package planned says, as its sources have it.
func TestEveryErrorOfAPlanStandsInArabic(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("planned/planned.go")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`(?:New|Errorf)\("[a-z_]+: ([^"]+)"`).FindAllSubmatch(source, -1)
	for _, found := range said {
		why := regexp.MustCompile(`%[a-z]`).ReplaceAllString(string(found[1]), "7")
		if _, ok := planPhrases.Find(why); !ok {
			t.Errorf("there is no Arabic for %q", why)
		}
	}
	if len(said) < 9 {
		t.Errorf("only %d were found", len(said))
	}
}
