package queue

import "testing"

func TestTheLogHasAJobsArticle(t *testing.T) {
	t.Parallel()
	for noun, want := range map[string]string{"mail": "a mail", "alert": "an alert"} {
		if got := (Config[int]{Noun: noun}).aJob(); got != want {
			t.Errorf("%q", got)
		}
	}
}
