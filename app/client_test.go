package app

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"manus/internal/testprogram"
)

// TestAGeneratedClientDoesTheMainJob has Redocly's recommended rules find nothing in the
// OpenAPI document, makes a client in TypeScript of it, compiles in strict mode what uses
// that, and runs it.
func TestAGeneratedClientDoesTheMainJob(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	text, err := a.api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	document := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(document, text, 0o600); err != nil {
		t.Fatal(err)
	}
	maker := filepath.Join(testprogram.ClientMaker.Path(), "make.mjs")
	for _, command := range [][]string{{maker, document}, {filepath.Join(filepath.Dir(document), "built/job.js"), "http://" + a.Addr()}} {
		if out, err := exec.CommandContext(t.Context(), "node", command...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", filepath.Base(command[0]), err, out)
		}
	}
}
