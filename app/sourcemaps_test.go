package app

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"manus/errtrack"
	"manus/internal/sentrytest"
	"manus/internal/waittest"
)

// cli is a person at a terminal with sentry-cli, who has a key.
type cli struct {
	*inbox
	dir         string
	environment []string
}

// key is an API key of a scope.
func (a *inbox) key(t *testing.T, scope string) string {
	t.Helper()
	status, text := call(t, a.App, "POST", "/api/v1/auth/api-keys", a.token, `{"name":"ci","scopes":["`+scope+`"]}`)
	var made struct{ Key string }
	if err := json.Unmarshal([]byte(text), &made); err != nil || status != 201 {
		t.Fatal(status, text, err)
	}
	return made.Key
}

// newCLI has a key of a scope.
func newCLI(t *testing.T, a *inbox, scope string) *cli {
	t.Helper()
	return &cli{a, t.TempDir(), []string{
		"SENTRY_URL=http://" + a.Addr(), "SENTRY_AUTH_TOKEN=" + a.key(t, scope), "SENTRY_ORG=manus", "SENTRY_PROJECT=web-shop",
	}}
}

func (c *cli) run(t *testing.T, args ...string) string {
	t.Helper()
	return sentrytest.CLI(t, c.dir, c.environment, args...)
}

// fails is what a command says that fails.
func (c *cli) fails(t *testing.T, args ...string) string {
	t.Helper()
	said, err := sentrytest.TryCLI(t, c.dir, c.environment, args...)
	if err == nil {
		t.Errorf("sentry-cli %s doesn't fail: %s", strings.Join(args, " "), said)
	}
	return said
}

// write writes a file of the program.
func (c *cli) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSentryCLIUploads: sentry-cli of npm uploads source maps, makes releases and notes deploys,
// and says what is wrong where something is.
func TestSentryCLIUploads(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	if _, err := a.Errors.NewProject(t.Context(), "Web Shop", "javascript"); err != nil {
		t.Fatal(err)
	}
	c, viewer := newCLI(t, a, "operator"), newCLI(t, a, "read")
	c.write(t, "dist/app.js", "throw new Error('no');\n//# sourceMappingURL=app.js.map\n")
	c.write(t, "dist/app.js.map", `{"version":3,"sources":["app.mjs"],"names":[],"mappings":"AAAA"}`)
	for n, step := range []struct {
		args, says string
	}{
		{"info", "project:releases"},
		{"sourcemaps inject dist", "Injecting debug ids"},
		{"sourcemaps upload dist", "File processing complete"},
		{"sourcemaps upload --wait dist", "File processing complete"},
		{"sourcemaps upload --release shop@1.0 --dist 7 --url-prefix ~/static dist", "File processing complete"},
		{"releases new shop@1.1", "Created release shop@1.1"},
		{"releases finalize shop@1.1", "Finalized release shop@1.1"},
		{"releases list", "shop@1.1"},
		{"releases info shop@1.1", "shop@1.1"},
		{"releases info shop@1.0", "shop@1.0"}, // which the upload has told of
		{"deploys new --release shop@1.1 -e production", "Created new deploy"},
		{"deploys list --release shop@1.1", "production"},
		{"projects list", "web-shop"},
		{"organizations list", "manus"},
		{"repos list", "No repos found"},
		{"releases delete shop@1.1", "Deleted release shop@1.1"},
	} {
		if said := c.run(t, strings.Fields(step.args)...); !strings.Contains(said, step.says) {
			t.Errorf("step %d: sentry-cli %s says %s", n+1, step.args, said)
		}
	}
	for _, step := range []struct{ args, says string }{
		{"releases finalize none", "Release not found"},
		{"sourcemaps upload --project none dist", "there is no project 'none'; 'manus errors project list' shows those that there are"},
		{"sourcemaps upload --org other dist", "organization not found"},
		{"releases archive shop@1.0", "no archive of releases"},
		{"deploys new --release none -e production", "Release not found"},
		{"monitors list", "resource not found"},
	} {
		if said := c.fails(t, strings.Fields(step.args)...); !strings.Contains(said, step.says) || strings.Contains(said, "unknown error") {
			t.Errorf("sentry-cli %s says %s", step.args, said)
		}
	}
	viewer.dir = c.dir
	if said := viewer.fails(t, "sourcemaps", "upload", "dist"); !strings.Contains(said, "may not do this") {
		t.Errorf("a key that may only read: %s", said)
	}
	viewer.environment[1] = "SENTRY_AUTH_TOKEN=mk_none"
	if said := viewer.fails(t, "releases", "new", "x"); !strings.Contains(said, "valid access token") {
		t.Errorf("a key that is none: %s", said)
	}
}

// TestSentryCLISetsCommits: commits are taken, from a folder of git with a remote and without one.
func TestSentryCLISetsCommits(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	if _, err := a.Errors.NewProject(t.Context(), "Web Shop", "javascript"); err != nil {
		t.Fatal(err)
	}
	c := newCLI(t, a, "operator")
	c.write(t, "a.js", "1")
	for _, args := range []string{
		"init -q", "add .", "-c user.name=amal -c user.email=amal@example.com commit -q -m first", "remote add origin https://git.example.com/team/shop.git",
	} {
		git := exec.CommandContext(t.Context(), "git", strings.Fields(args)...)
		git.Dir = c.dir
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v %s", args, err, out)
		}
	}
	for _, args := range []string{"releases set-commits shop@2 --local", "releases set-commits shop@2 --auto", "releases set-commits shop@2 --auto --ignore-missing"} {
		if said := c.run(t, strings.Fields(args)...); strings.Contains(said, "error") {
			t.Errorf("%s: %s", args, said)
		}
	}
	if said := c.run(t, "releases", "info", "shop@2"); !strings.Contains(said, "shop@2") {
		t.Errorf("the release: %s", said)
	}
}

// TestSentryCLIUploadsInManyChunks: what is larger than a chunk, and than a request's chunks, is put
// together.
func TestSentryCLIUploadsInManyChunks(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	if _, err := a.Errors.NewProject(t.Context(), "Web Shop", "javascript"); err != nil {
		t.Fatal(err)
	}
	c := newCLI(t, a, "operator")
	text := make([]byte, 0, 10<<20)
	for n := uint64(1); len(text) < cap(text)-32; n = n*6364136223846793005 + 1442695040888963407 {
		text = fmt.Appendf(text, "%x ", n)
	}
	for n := range 3 {
		c.write(t, fmt.Sprintf("dist/%d.js", n), fmt.Sprintf("throw new Error('no');\n//# sourceMappingURL=%d.js.map\n", n))
		c.write(t, fmt.Sprintf("dist/%d.js.map", n), fmt.Sprintf(`{"version":3,"sources":["%d.mjs"],"sourcesContent":["%s"],"names":[],"mappings":"AAAA"}`, n, text[:3<<20]))
	}
	c.run(t, "sourcemaps", "inject", "dist")
	if said := c.run(t, "sourcemaps", "upload", "--wait", "dist"); !strings.Contains(said, "File processing complete") {
		t.Errorf("sentry-cli says %s", said)
	}
}

// TestMinifiedJavaScriptIsMapped: an error in a program that esbuild has minified, in Node and in
// Chromium, is shown and grouped by its sources: two builds of them are one issue.
func TestMinifiedJavaScriptIsMapped(t *testing.T) {
	t.Parallel()
	a := newInbox(t)
	withKey := newCLI(t, a, "operator") // while the sign-in is fresh: those below wait for their turn
	for _, test := range []struct {
		name, client string
		flags        []string
		upload       []string // of sentry-cli
		inject       bool
	}{
		{name: "node", client: "node", inject: true, upload: []string{"dist"}},
		{name: "browser", client: "browser", inject: true, upload: []string{"dist"}},
		{name: "browser by release", client: "browser", upload: []string{"--release", "shop@1", "--url-prefix", "~/", "dist"}},
		{name: "browser inline", client: "browser", flags: []string{"--sourcemap=inline"}, inject: true, upload: []string{"dist"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, err := a.Errors.NewProject(t.Context(), test.name, "javascript")
			if err != nil {
				t.Fatal(err)
			}
			dsn := "http://" + p.Keys[0].Public + "@" + a.Addr() + "/" + p.ID
			c := *withKey
			var minified []string
			for build := 1; build <= 2; build++ {
				shop := sentrytest.NewShop(t, test.client, build, "shop@1", test.flags...)
				c.dir = shop.Dir
				if test.inject {
					c.run(t, "sourcemaps", "inject", "dist")
				}
				c.run(t, append([]string{"sourcemaps", "upload", "--project", p.ID}, test.upload...)...)
				shop.Run(t, dsn)
				issue := a.onlyIssue(t, p.ID, int64(build))
				e, err := a.Errors.End(t.Context(), issue.ID, true)
				if err != nil || len(e.Exceptions) != 1 {
					t.Fatal(err, e.Exceptions)
				}
				frames := e.Exceptions[0].Frames
				var names []string
				for _, f := range frames {
					names = append(names, fmt.Sprintf("%s %s:%d", f.Function, f.Filename, f.Line))
				}
				f := frames[len(frames)-1]
				if f.Filename != "src/price.mjs" || f.Function != "priceOf" || f.Line != 7 || !f.InApp || !strings.Contains(f.Context[f.ContextLine], "throw new PriceError") {
					t.Errorf("build %d: the innermost frame is %+v of %s", build, f, names)
				}
				if last := frames[len(frames)-2]; last.Filename != "src/cart.mjs" || last.Line != 9 {
					t.Errorf("build %d: its caller is %+v", build, last)
				}
				for _, f := range frames {
					if f.SourceMap == nil || (f.SourceMap.Minified == nil) == (f.SourceMap.Why == "") {
						t.Errorf("build %d: the frame %+v says neither where it was nor why it isn't mapped: %+v", build, f, f.SourceMap)
					}
				}
				if f.SourceMap != nil && f.SourceMap.Minified != nil {
					minified = append(minified, fmt.Sprint(*f.SourceMap.Minified))
				}
			}
			if len(minified) != 2 || minified[0] == minified[1] {
				t.Errorf("the builds are the same: %s", minified)
			}
		})
	}
}

// onlyIssue is the only one of a project, once it has so many events.
func (a *inbox) onlyIssue(t *testing.T, project string, events int64) (only errtrack.Issue) {
	t.Helper()
	waittest.Poll(t, func() bool {
		all, _, err := a.Errors.Issues(t.Context(), errtrack.Search{Project: project})
		if err != nil || len(all) == 0 {
			return false
		}
		if only = all[0]; len(all) > 1 {
			t.Fatalf("there are %d issues: %s and %s", len(all), all[0].Culprit, all[1].Culprit)
		}
		return only.Count == events
	})
	return only
}
