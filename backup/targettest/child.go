package targettest

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"manus/backup"
	"manus/internal/processtest"
)

// What a process that the suite has started does with the target. Each is also the
// name of the file that it writes.
const (
	halfRole  = "half"  // writes a file but doesn't commit it before it is told to
	wholeRole = "whole" // commits a file but doesn't release it before
	largeRole = "large" // writes a large file, and tells how much memory it took
)

// ready is what a process says when it is where its role leads.
const ready = "ready"

const (
	largeSize = 96 << 20
	mostHeap  = 80 << 20 // with what the garbage collector leaves
)

// Roles are what processes of the suite do, for TestMain to play; open opens the place
// that a [Harness] has named.
func Roles(open func(place string) (backup.Target, error)) processtest.Roles {
	roles := processtest.Roles{}
	for _, role := range []string{halfRole, wholeRole, largeRole} {
		roles[role] = func(args []string) error { return play(role, args[0], open) }
	}
	return roles
}

func play(role, place string, open func(string) (backup.Target, error)) error {
	target, err := open(place)
	if err != nil {
		return err
	}
	size, piece := int64(12<<20), Bytes(1, 1<<20)
	if role == largeRole {
		size = largeSize
	}
	upload, err := target.Create(context.Background(), role, size)
	if err != nil {
		return err
	}
	for range size / int64(len(piece)) {
		if _, err := upload.Write(piece); err != nil {
			return err
		}
	}
	if role != halfRole {
		err = upload.Commit()
	}
	fmt.Println(ready, heap())
	processtest.UntilInputEnds() // then it may go on
	if role == halfRole {
		err = upload.Commit()
	}
	return errors.Join(err, upload.Release())
}

// heap is how many bytes the heap has had at most.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys
}
