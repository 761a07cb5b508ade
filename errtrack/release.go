package errtrack

import (
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// comesAfter tells whether a release is newer than another, or the same: by their
// numbers where both have such (semver.org), as "shop@1.2.3" and "1.2.3" do. Others have no
// order; then one that the issue has not been seen in before is the newer one.
func (i *Issue) comesAfter(release, other string) (newer, same bool) {
	if release == other {
		return false, true
	}
	if a, b := number(release), number(other); a != "" && b != "" {
		order := semver.Compare(a, b)
		return order > 0, order == 0
	}
	return !i.wasIn(release), false
}

// number is a release's version as package semver wants it, or empty.
func number(release string) string {
	version := release[strings.LastIndexByte(release, '@')+1:]
	if version = "v" + strings.TrimPrefix(version, "v"); semver.IsValid(version) {
		return version
	}
	return ""
}

// wasIn tells whether events of a release were counted before the issue was resolved.
func (i *Issue) wasIn(release string) bool {
	return i.Resolution != nil && slices.Contains(i.Resolution.Seen, release)
}
