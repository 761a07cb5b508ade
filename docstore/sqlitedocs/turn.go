package sqlitedocs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// turn is whose write comes next, where several processes write to one file. SQLite's
// lock goes to whoever looks at the moment when it is free, so a process that writes
// without a pause takes it again before another one has looked. Who waits for SQLite's
// lock holds the turn meanwhile, and whoever has written queues for it behind them.
//
// It is a lock (flock) on the store's folder, which the system lets go of when a process
// ends. It decides who waits, never who may write: where it can't be had, as on a file
// system without such locks, writes go on without it.
type turn struct{ folder *os.File } // nil until it is open

// turnTimeout is how long the turn is waited for: longer than a write takes, and short
// enough for a process that was stopped with it in hand to hold nobody up for long.
const turnTimeout = 250 * time.Millisecond

func openTurn(path string) (turn, error) {
	folder, err := os.Open(filepath.Dir(path))
	return turn{folder}, err
}

func (t turn) take() {
	for begun := time.Now(); ; {
		err := syscall.Flock(int(t.folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(begun) > turnTimeout {
			return
		}
		time.Sleep(lockPause / 2)
	}
}

func (t turn) pass() {
	_ = syscall.Flock(int(t.folder.Fd()), syscall.LOCK_UN) // an error means that it wasn't held
}

func (t turn) close() error { return t.folder.Close() }
