package channels

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"manus/notify"
)

// TestWriteWhatIsToBeLookedAt writes mails and Slack's blocks into the folder LOOK_AT, for
// somebody to look at in a browser.
func TestWriteWhatIsToBeLookedAt(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("LOOK_AT")
	if dir == "" {
		t.Skip("LOOK_AT is a folder for mails and Slack's blocks to look at")
	}
	for name, m := range map[string]notify.Message{
		"raised-en": down(), "raised-ar": downInArabic(), "over-en": over(down()), "over-ar": over(downInArabic()),
		"digest-en": digest(down()), "digest-ar": digest(downInArabic()), "storm-en": storm(down()), "storm-ar": storm(downInArabic()), "ends-en": ends(down()), "ends-ar": ends(downInArabic()), "long-en": huge("en"),
	} {
		html, text, err := mailTexts(tidy(m))
		if err != nil {
			t.Fatal(err)
		}
		slack, err := json.MarshalIndent(slackMessageOf(tidy(m)), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		for ending, content := range map[string]string{".html": html, ".txt": text, ".slack.json": string(slack)} {
			if err := os.WriteFile(filepath.Join(dir, name+ending), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
