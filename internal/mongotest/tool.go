package mongotest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Tool is the path of one of MongoDB's own tools, mongodump or mongorestore. Go builds
// it, into its own cache, of the sources that the folder tools names: a module of its
// own that has no code, and that the product doesn't depend on.
func Tool(t testing.TB, name string) string {
	t.Helper()
	maySkip(t)
	_, file, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(file), "tools")
	command := exec.Command("go", "tool", "-n", "github.com/mongodb/mongo-tools/"+name+"/main")
	command.Dir = source
	command.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	var problems bytes.Buffer
	command.Stderr = &problems
	path, err := command.Output()
	if err != nil {
		t.Fatalf("%s can't be built of the module in %s: %v\n%s", name, source, err, &problems)
	}
	return strings.TrimSpace(string(path))
}
