package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Every method of a folder says what can be done about what its file system says, and which
// of that a later try may mend; of files whose names nobody knows it doesn't say these.
func TestErrorsOfAFolderSayWhatToDo(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const name = "manus-20261124T020000Z-k3v7q2ma.sqlite.gz"
	f := NewFolder(file + "/backups")
	_, created := f.Create(t.Context(), name, 1)
	_, opened := f.Open(t.Context(), name)
	_, listed := f.List(t.Context(), filePrefix)
	_, begun := f.Begun(t.Context(), name)
	_, cleaned := f.Clean(t.Context(), filePrefix, nil)
	for i, err := range []error{created, f.Put(t.Context(), name, nil), opened, listed, begun, cleaned, f.Remove(t.Context(), name)} {
		const want = "a part of its path is a file: correct BACKUP_DIR: "
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "unfinished") || errors.Is(err, ErrUnavailable) {
			t.Errorf("%d: %v", i, err)
		}
	}
	for errno, passing := range map[syscall.Errno]bool{syscall.ENOSPC: true, syscall.EDQUOT: true, syscall.ESTALE: true, syscall.EROFS: false, syscall.EIO: false, syscall.EACCES: false} {
		var err error = &fs.PathError{Op: "write", Path: "/b/.manus-x.unfinished-1", Err: errno}
		explain(&err)
		if !errors.Is(err, errno) || errors.Is(err, ErrUnavailable) != passing || strings.Contains(err.Error(), "unfinished") || strings.Count(err.Error(), ": ") < 2 {
			t.Errorf("%v: %v", errno, err)
		}
		if refused := strings.HasPrefix(err.Error(), "this user isn't allowed to: "); refused != (errno == syscall.EACCES) {
			t.Errorf("%v: %v", errno, err)
		}
	}
	var err error = fs.ErrNotExist
	if explain(&err); err != fs.ErrNotExist { //nolint:errorlint // it is that very one
		t.Errorf("what nothing is to be done about becomes %v", err)
	}
}
