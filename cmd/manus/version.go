package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"manus/health"
)

// Set by the linker's -X when a release is built; see the Makefile.
var version, commit, buildTime string

// buildVersion is what this binary was built from, by the linker's word or by
// what the Go toolchain noted.
func buildVersion(environment string) health.Version {
	noted := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		noted["version"] = info.Main.Version
		for _, setting := range info.Settings {
			noted[setting.Key] = setting.Value
		}
	}
	return health.Version{
		Version:     cmp.Or(version, noted["version"], "(devel)"),
		Commit:      cmp.Or(commit, noted["vcs.revision"], "unknown"),
		BuildTime:   cmp.Or(buildTime, noted["vcs.time"], "unknown"),
		GoVersion:   runtime.Version(),
		Environment: environment,
	}
}

type versionCommand struct {
	JSON bool `help:"Print it as JSON."`
}

// Run prints the version.
func (c versionCommand) Run(p *process) error {
	v := buildVersion("")
	if c.JSON {
		return json.NewEncoder(p.out).Encode(v)
	}
	_, err := fmt.Fprintf(p.out, "manus %s\ncommit %s\nbuilt %s\n%s\n", v.Version, v.Commit, v.BuildTime, v.GoVersion)
	return err
}
