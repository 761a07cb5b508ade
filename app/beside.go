package app

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"manus/internal/lockedfile"
	"manus/readiness"
)

const (
	// servingFile is locked in the data folder by the server that works on it.
	servingFile = "serving.lock"
	// besideEvery is how often it is looked whether the other server is gone.
	besideEvery = time.Second
)

// watchBeside tells of another server that is at work on the data folder when this one
// starts, and when it is gone. Nothing is wrong with the data then, and a restart without
// a pause has two for a moment; but what each knows by itself is kept apart. Who was first
// is told nothing: the one that came has its attention.
func (a *App) watchBeside(ctx context.Context) {
	tick := time.NewTicker(besideEvery)
	defer tick.Stop()
	for {
		file, err := lockedfile.Hold(filepath.Join(a.settings.DataDir, servingFile))
		if err == nil {
			if a.beside.Swap(false) {
				a.log.InfoContext(ctx, "this server is alone on its data folder again")
			}
			if err := cmp.Or(file.Truncate(0), writeAt(file, localURL(a.Addr()))); err != nil {
				a.log.WarnContext(ctx, "commands don't know where this server listens", "error", err)
			}
			<-ctx.Done()
			_ = errors.Join(file.Truncate(0), file.Close()) // which lets go of it
			return
		}
		if !errors.Is(err, lockedfile.ErrHeld) { // as on a file system without locks
			a.log.WarnContext(ctx, "whether another server is at work on the data folder isn't known", "error", err)
			return
		}
		if !a.beside.Swap(true) {
			a.log.WarnContext(ctx, a.besideWords(), "data_dir", a.settings.DataDir)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// aloneWithin is how long nobody may hold the file until no server is at work: one that waits for its
// turn looks every second.
const aloneWithin = besideEvery + time.Second/2

// wasKilled tells whether the one copy that has told of itself on an embedded store is no more, which
// the store learns later. Where that can't be told it is there.
func (a *App) wasKilled(ctx context.Context, copies []readiness.Copy) bool {
	if a.fileFolder() == "" || len(copies) != 1 {
		return false
	}
	for began := time.Now(); ; {
		held, err := lockedfile.IsHeld(filepath.Join(a.settings.DataDir, servingFile))
		if held || err != nil {
			return false
		}
		if time.Since(began) > aloneWithin {
			return true
		}
		select {
		case <-time.After(besideEvery / 10):
		case <-ctx.Done():
			return false
		}
	}
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// ServedAt is where the server listens that works on a data folder, as this machine reaches
// it; empty where there is none. One that was killed may still be named.
func ServedAt(dataDir string) string {
	file, err := os.OpenFile(filepath.Join(dataDir, servingFile), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer file.Close() //nolint:errcheck // nothing was written
	const most = 300
	text, err := io.ReadAll(io.LimitReader(file, most))
	u, wrong := url.Parse(string(text))
	if err != nil || wrong != nil || u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return string(text)
}

func (a *App) besideWords() string {
	apart := "each counts rate limits by itself, so that twice as many requests are let in, and goes"
	if a.redis != nil {
		apart = "each goes"
	}
	return "another server is at work on this data folder: " + apart + " by its own settings in what it allows, and in whom it tells of alerts; give both the same settings, or stop one of them"
}
