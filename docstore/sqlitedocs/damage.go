package sqlitedocs

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"manus/docstore"
)

// CheckFile returns ErrCorrupt where the file at path isn't a store any more: it was cut to
// nothing, only its log is left, it is damaged where its tables are listed, or it is another
// program's database. Whoever opens a store's file asks it first. It changes nothing of the
// file and its log, which SQLite would remove beside an empty one. No file and no log are
// a store that is yet to be made. What else keeps the file from being read is told by
// whoever reads it.
func CheckFile(ctx context.Context, path string) error {
	if err := checkLost(path); err != nil || isEmpty(path) {
		return err
	}
	var found error
	err := whenFree(ctx, openTimeout, func() (err error) { found, err = checkOwn(path); return err })
	switch {
	case isDamage(err):
		return translateError(path, err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return found
}

// isForeign is whether there are tables, none of which is the engine's own or a collection's.
var isForeign = fmt.Sprintf(`SELECT count(*) > 0 AND NOT max(name IN ('%s') OR sql = '%s"' || name || '"%s')
	FROM sqlite_schema WHERE type = 'table'`, strings.Join(ownTables, "', '"), tableBegin, tableRest)

// checkOwn finds a database that is another program's: it has tables, and none of ours.
func checkOwn(path string) (found, err error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	c, err := openConn((&url.URL{Scheme: "file", Path: absolute, RawQuery: "mode=ro"}).String())
	if err != nil {
		return nil, err
	}
	defer c.close() //nolint:errcheck // nothing was written
	foreign, err := c.value(isForeign)
	if err == nil && foreign == driver.Value(int64(1)) {
		found = fmt.Errorf("the data file %s: %w: it is another program's database; to begin with an empty store, move it away", path, docstore.ErrCorrupt)
	}
	return found, err
}

// isEmpty tells whether there is nothing in the file at path, or no file.
func isEmpty(path string) bool {
	info, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
}

// checkLost returns ErrCorrupt where there was a store of which nothing is left: an empty
// file that we haven't just made, or a log alone, which SQLite would remove.
func checkLost(path string) error {
	trace, mend := "", ""
	switch info, err := os.Stat(path); {
	case !isEmpty(path + "-wal"):
		trace, mend = "nothing is left of it but its log", fmt.Sprintf("remove %s-wal", path)
	case err == nil && info.Size() == 0 && isMissing(path+newMark):
		trace, mend = "it is empty", "remove it"
		if isRestoring(path) {
			trace = "it is empty, as a backup is being restored into it or that was cut short: let it end, or restore it again"
		}
	}
	if trace == "" || !isEmpty(path) { // as another process may just have begun to fill it
		return nil
	}
	return fmt.Errorf("the data file %s: %w: %s; to begin with an empty store, %s", path, docstore.ErrCorrupt, trace, mend)
}

// Restoring is behind the name of a store's file in those of files in which a backup is put
// together that is to take its place.
const Restoring = ".restore-"

func isRestoring(path string) bool {
	files, _ := fs.Glob(os.DirFS(filepath.Dir(path)), filepath.Base(path)+Restoring+"*") // none where it can't be told
	return len(files) > 0
}

func isMissing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// watchedFile is the file that was opened, and where it was.
type watchedFile struct {
	path string
	info fs.FileInfo
}

func watch(path string) (watchedFile, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return watchedFile{}, err
	}
	info, err := os.Stat(absolute)
	return watchedFile{absolute, info}, err
}

// check returns ErrUnavailable while another file, or none, is where this one was. SQLite goes
// on with a file that was removed as if nothing had been.
func (f watchedFile) check() error {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the data file %s was removed while it was open: put it back, or stop the server and restore a backup; until then nothing is stored", docstore.ErrUnavailable, f.path)
	case err == nil && !os.SameFile(info, f.info):
		return fmt.Errorf("%w: another file has taken the place of the data file %s while that was open: put that back, or restart the server to use the new one; until then nothing is stored", docstore.ErrUnavailable, f.path)
	}
	return nil // what can't be looked at isn't gone
}
