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
	v := health.Version{Version: version, Commit: commit, BuildTime: buildTime, GoVersion: runtime.Version(), Environment: environment}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = cmp.Or(v.Version, info.Main.Version)
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				v.Commit = cmp.Or(v.Commit, setting.Value)
			case "vcs.time":
				v.BuildTime = cmp.Or(v.BuildTime, setting.Value)
			}
		}
	}
	v.Version = cmp.Or(v.Version, "(devel)")
	v.Commit = cmp.Or(v.Commit, "unknown")
	v.BuildTime = cmp.Or(v.BuildTime, "unknown")
	return v
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
