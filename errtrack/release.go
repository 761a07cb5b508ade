package errtrack

import (
	"cmp"
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
	if order, known := compare(release, other); known {
		return order > 0, order == 0
	}
	return !i.wasIn(release), false
}

// newestRelease is the newest that the issue has been seen in, which needn't be that of its last
// event: older ones go on running. Where they have no order, it is the one that came up last.
func (i *Issue) newestRelease() (newest string) {
	for _, release := range i.Releases() {
		if order, known := compare(release, newest); !known || order > 0 {
			newest = release
		}
	}
	return cmp.Or(newest, i.LastRelease)
}

// compare compares releases by their numbers, where both have such.
func compare(release, other string) (order int, known bool) {
	a, b := number(release), number(other)
	return semver.Compare(a, b), a != "" && b != ""
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
