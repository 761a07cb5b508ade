package errtrack

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/errtrack/grouping"
	"manus/language"
)

// sighting is of an event what its issue counts and shows.
type sighting struct {
	kept    string // the id of the kept event
	place   int    // of it in its batch
	eventID string
	project string
	hashes  []string // ids; the first is the event's own
	at      docstore.Time
	level   event.Level
	group   grouping.Group
	person  uint64 // 0: nobody is named
	release string
	tags    []tag
	tokens  []string
	trial   bool // nobody is told of it
}

type tag struct{ key, value string }

// Bounds of what an event says that is counted or searched by.
const (
	maxTags   = 32
	maxTagKey = 32
	maxTagged = 200
	maxTokens = 100
)

// newSighting is what there is to count of an event.
func newSighting(k kept, e *event.Event, g grouping.Group) sighting {
	s := sighting{
		kept: k.ID, eventID: k.EventID, project: k.Project, at: k.At, level: e.Level, group: g,
		person: personOf(e.User), trial: e.IsTrial(), release: language.Cut(e.Release, maxTagged),
	}
	for _, h := range g.Hashes {
		s.hashes = append(s.hashes, hashID(k.Project, h))
	}
	s.tags = tagsOf(e)
	return s
}

// personOf is a number for whom it happened to: the same person is the same, and whose it
// is can't be told from it.
func personOf(u *event.User) uint64 {
	if u == nil {
		return 0
	}
	for _, name := range []string{u.ID, u.Email, u.Username, u.IP} {
		if name == "" {
			continue
		}
		sum := sha256.Sum256([]byte(name))
		return binary.BigEndian.Uint64(sum[:]) | 1
	}
	return 0
}

// tagsOf are an event's tags, and what is searched and counted as one.
func tagsOf(e *event.Event) []tag {
	all := map[string]string{}
	for key, value := range e.Tags {
		if len(all) < maxTags {
			all[key] = value
		}
	}
	for key, value := range map[string]string{
		"environment": e.Environment, "release": e.Release, "transaction": e.Transaction, "server_name": e.ServerName, "logger": e.Logger,
	} {
		if value != "" {
			all[key] = value
		}
	}
	tags := make([]tag, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if value := all[key]; value != "" && len(key) <= maxTagKey && key == clean(key) {
			tags = append(tags, tag{key, language.Cut(value, maxTagged)})
		}
	}
	return tags
}
