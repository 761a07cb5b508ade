package sentrytest

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"manus/internal/testprogram"
)

//go:embed javascript/shop
var shopFiles embed.FS

// Shop is a small program of JavaScript that is built as people's are, bundled and minified by
// esbuild with a source map: in its function priceOf, in price.mjs, an error happens. There are two
// builds of the same sources beside it, which differ in what is built together with them.
type Shop struct {
	Dir string // where it has been built: into dist, of src
	For string // "node" or "browser"
}

// NewShop builds one in a folder of its own, as a release; build is 1 or 2. More flags of
// esbuild's may follow.
func NewShop(t testing.TB, client string, build int, release string, flags ...string) Shop {
	t.Helper()
	s := Shop{t.TempDir(), client}
	installed := testprogram.SentryJavaScript.Path()
	if err := os.Symlink(filepath.Join(installed, "node_modules"), filepath.Join(s.Dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	sources, err := fs.Sub(shopFiles, "javascript/shop")
	if err == nil {
		err = os.CopyFS(filepath.Join(s.Dir, "src"), sources)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{
		"src/" + client + ".mjs", "--bundle", "--minify", "--sourcemap", "--format=esm", "--outdir=dist", "--entry-names=app-[hash]", "--log-level=error",
		fmt.Sprintf("--alias:build=./src/build%d.mjs", build), fmt.Sprintf("--define:RELEASE=%q", release),
	}, flags...)
	if client == "node" {
		args = append(args, "--platform=node", "--external:@sentry/node", "--out-extension:.js=.mjs")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	esbuild := exec.CommandContext(ctx, filepath.Join(installed, "node_modules/.bin/esbuild"), args...)
	esbuild.Dir = s.Dir
	if out, err := esbuild.CombinedOutput(); err != nil {
		t.Fatalf("esbuild: %v\n%s", err, out)
	}
	return s
}

// Run has the error happen, and returns once it has been reported.
func (s Shop) Run(t testing.TB, dsn string) {
	t.Helper()
	dist := filepath.Join(s.Dir, "dist")
	if s.For == "browser" {
		visit(t, servePage(t, dist)+"/?"+url.Values{"dsn": {dsn}}.Encode())
		return
	}
	found, err := filepath.Glob(filepath.Join(dist, "app-*.mjs"))
	if err != nil || len(found) != 1 {
		t.Fatalf("esbuild has built %q: %v", found, err)
	}
	run(t, dsn, Caught, "node", found[0])
}
