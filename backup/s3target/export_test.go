package s3target

import "time"

// SetRetry changes how often requests are tried, and the pauses in between. The
// service may take as long as that to put parts together.
func (t *Target) SetRetry(attempts int, least, most, assembly time.Duration) {
	t.retry = retry{attempts, least, most, assembly, t.retry.grace}
}

// SetGrace changes how long a write that has begun, and Release, may go on after their
// context has ended.
func (t *Target) SetGrace(d time.Duration) { t.retry.grace = d }

// SetOrphanAfter changes after which time Clean takes something for an orphan; a
// negative one makes everything old enough.
func (t *Target) SetOrphanAfter(d time.Duration) { t.config.OrphanAfter = d }

// SetMaxParts changes how many parts a file may have.
func (t *Target) SetMaxParts(n int) { t.maxParts = n }

// Parts is how large the parts of a file of about size bytes are, and how many are in
// memory.
func (t *Target) Parts(size int64) (partSize, buffers int) {
	partSize = t.partSize(size)
	return partSize, t.buffers(partSize)
}

// Close closes the connections that are idle, before they close by themselves.
func (t *Target) Close() { t.transport.CloseIdleConnections() }
