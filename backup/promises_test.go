package backup

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"manus/docstore"
)

// What a process has left that was killed while it tried a folder, the next one removes; not
// what another one is at, nor what somebody else calls alike.
func TestWhatAKilledTrialHasLeftIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killed, ahead, underWay := trialPrefix+docstore.NewID(), trialPrefix+docstore.NewID(), trialPrefix+docstore.NewID()
	for name, age := range map[string]time.Duration{killed: 3 * time.Minute, ahead: -time.Hour, underWay: time.Second, trialPrefix + "notes.txt": 24 * time.Hour} {
		path, at := filepath.Join(dir, name), time.Now().Add(-age)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := tryTarget(t.Context(), NewFolder(dir)); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, f := range files {
		left = append(left, f.Name())
	}
	if want := []string{underWay, trialPrefix + "notes.txt"}; !slices.Equal(left, want) {
		t.Errorf("there are %v, want %v", left, want)
	}
}
