package uptime

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"manus/internal/guard"
)

// TestEveryProblemOfAMonitorStandsInArabic goes through what is said of monitors that the API is given,
// as the sources have it. Of conditions that can't be read the place is shown, in English.
func TestEveryProblemOfAMonitorStandsInArabic(t *testing.T) {
	t.Parallel()
	sentence, seen := regexp.MustCompile(`^([a-z_.]*|[a-z_]+(, [a-z_]+)* and [a-z_]+): .*[a-z]{2}`), 0
	elsewhere := []string{"is 7", "list at most 7", "is the same as an earlier monitor's; give each its own"} // what guard says, and what is of manus.yaml alone
	for _, name := range []string{"monitor.go", "definition.go", "heartbeat.go", "quorum.go", "made.go", "probe/prepare.go", "heartbeat/schedule.go", "heartbeat/zone.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			text, ok := n.(*ast.BasicLit)
			if !ok || text.Kind != token.STRING {
				return true
			}
			said, _ := strconv.Unquote(text.Value)
			_, why := fieldOf(regexp.MustCompile(`%[a-z]`).ReplaceAllString(said, "7"))
			if !sentence.MatchString(said) || slices.Contains(elsewhere, why) {
				return true
			}
			seen++
			if _, known := problemPhrases.Find(why); !known {
				if _, known = problemPhrases.Find(why + "7"); !known { // what differs is added to it
					t.Errorf("%s has no Arabic for %q", name, why)
				}
			}
			return true
		})
	}
	for _, err := range []error{guard.ErrPrivate, guard.ErrSpecial, guard.ErrNever} {
		if _, known := problemPhrases.Find("is " + err.Error()); !known {
			t.Errorf("there is no Arabic for %v", err)
		}
	}
	if seen < 40 {
		t.Errorf("only %d were found", seen)
	}
}
