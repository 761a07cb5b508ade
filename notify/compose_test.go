package notify

import (
	"testing"
	"time"

	"manus/language"
)

func TestADigestOfWhatLastsSaysSo(t *testing.T) {
	t.Parallel()
	s := &Service{c: Config{Now: time.Now}}
	s.rules.Store(&routing{zone: time.UTC})
	for tag, want := range map[language.Tag]string{language.English: "None of them is over.", language.Arabic: "لم ينتهِ أيّ منها."} {
		m := s.digestMessage(&lane{language: tag}, "id", digest{count: 2})
		if m.Text != want {
			t.Errorf("%s: %q", tag, m.Text)
		}
	}
}
