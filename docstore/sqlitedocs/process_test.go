//go:build unix

package sqlitedocs

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"manus/internal/processtest"
)

func TestMain(m *testing.M) {
	processtest.Play(processtest.Roles{"crash": crashProcess, "count": countProcess, "write without a pause": writeWithoutAPause, "full disk": fullDiskProcess, "open": openProcess})
	m.Run()
}

// printer writes whole lines from many goroutines.
type printer struct{ mu sync.Mutex }

// line is written at once, so a killed process leaves no half of it.
func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = os.Stdout.WriteString(fmt.Sprintf(format+"\n", args...)) // the parent is gone when this fails
}
