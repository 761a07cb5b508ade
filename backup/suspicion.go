package backup

import (
	"fmt"
	"slices"

	"manus/internal/words"
)

// What a backup may have less of than the one before without being suspicious: half of
// it, or so little that it is nothing.
const (
	muchLess       = 2
	fewDocuments   = 10
	fewBytes       = 64 << 10
	manyToBeGone   = 100 // documents of a collection that is empty now
	suspicionMends = "; if that is meant, 'manus backup adopt %s' says so"
)

// suspicion is why a backup may not be what is wanted, by what the newest verified one
// has: empty when there is no reason.
// Collections that are transient say nothing: a queue that was worked off is none the worse.
func suspicion(now, before Manifest, transient []string) string {
	why := shrunk(lasting(now, transient), lasting(before, transient))
	if why == "" {
		return ""
	}
	return fmt.Sprintf("compared with %s, %s", before.ID, why) + fmt.Sprintf(suspicionMends, now.ID)
}

// lasting is a manifest without the collections that are transient.
func lasting(m Manifest, transient []string) Manifest {
	m.Collections = slices.DeleteFunc(slices.Clone(m.Collections), func(c Collection) bool { return slices.Contains(transient, c.Name) })
	m.Documents = m.Contents.Documents()
	return m
}

// shrunk compares like with like: one database isn't several.
func shrunk(now, before Manifest) string {
	if now.Format != before.Format || now.Databases != before.Databases {
		return ""
	}
	for _, c := range before.Collections {
		documents, there := now.Count(c.Name)
		switch {
		case !there && c.Documents > 0:
			return fmt.Sprintf("the collection %s is gone, which had %s", c.Name, words.Count(c.Documents, "document"))
		case documents == 0 && c.Documents >= manyToBeGone:
			return fmt.Sprintf("the collection %s is empty, which had %s", c.Name, words.Count(c.Documents, "document"))
		}
	}
	switch {
	case isMuchLess(now.Documents, before.Documents, fewDocuments):
		return fmt.Sprintf("it has %s instead of %d", words.Count(now.Documents, "document"), before.Documents)
	case isMuchLess(now.DumpSize, before.DumpSize, fewBytes):
		return fmt.Sprintf("the dump has %s instead of %d", words.Count(now.DumpSize, "byte"), before.DumpSize)
	}
	return ""
}

func isMuchLess(now, before, few int64) bool {
	return before-now >= few && now < before/muchLess
}

// wrongClock says that a clock was wrong when a backup was begun, by that of the database's
// server: empty when they agree, or the server has none of its own.
func wrongClock(m Manifest) string {
	ahead := m.CreatedAt.Sub(m.Clock)
	if m.Clock.IsZero() || ahead.Abs() <= clockTolerance {
		return ""
	}
	return fmt.Sprintf("the clock of this machine shows %s and that of the database %s, which is %s apart: set them right", stamp(m.CreatedAt), stamp(m.Clock), words.Span(ahead.Abs()))
}
