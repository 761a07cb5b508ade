package queue

import (
	"errors"
	"strings"
	"testing"
)

func TestTheLogHasAJobsArticle(t *testing.T) {
	t.Parallel()
	for noun, want := range map[string]string{"mail": "a mail", "alert": "an alert"} {
		if got := (Config[int]{Noun: noun}).aJob(); got != want {
			t.Errorf("%q", got)
		}
	}
}

// An error of somebody else's server is kept in a line, and obeyed by no terminal.
func TestAnErrorIsKeptInALine(t *testing.T) {
	t.Parallel()
	d := new(document[int]).failed(errors.New("550-no such mailbox\r\n550 here\tor there\x1b[2J\n" + strings.Repeat("x", 2*maxError)))
	if !strings.HasPrefix(d.Error, "550-no such mailbox 550 here or there [2J xxx") || len(d.Error) > maxError {
		t.Errorf("%q", d.Error)
	}
}
