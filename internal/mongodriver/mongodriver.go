// Package mongodriver has what every user of MongoDB's driver needs.
package mongodriver

import (
	"context"
	"time"
)

// Unhurried hides a context's deadline, though not its end, from the driver: it
// would send it along as maxTimeMS, which not every server takes with every
// command. It ends as one that is cancelled, since no other end makes the driver let
// go of a connection on which it waits for an answer.
type Unhurried struct{ context.Context }

// Deadline says that there is none.
func (Unhurried) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Err says that it is cancelled when it has ended.
func (u Unhurried) Err() error {
	if u.Context.Err() != nil {
		return context.Canceled
	}
	return nil
}

// Codes of errors that somebody has to look after.
const (
	AuthenticationFailed   = 18
	DataCorruptionDetected = 301
	OutOfDiskSpace         = 14031
)

// ForbiddenCodes are Unauthorized, AuthenticationFailed and AtlasError.
func ForbiddenCodes() []int { return []int{13, 18, 8000} }

// TransientCodes are the codes of errors that pass by themselves: the server is busy,
// is stopping, is no longer the primary, or has only ended a cursor. See
// https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml.
func TransientCodes() []int {
	return []int{
		6,     // HostUnreachable
		7,     // HostNotFound
		24,    // LockTimeout
		43,    // CursorNotFound
		50,    // MaxTimeMSExpired
		64,    // WriteConcernFailed
		89,    // NetworkTimeout
		91,    // ShutdownInProgress
		112,   // WriteConflict
		134,   // ReadConcernMajorityNotAvailableYet
		175,   // QueryPlanKilled
		189,   // PrimarySteppedDown
		237,   // CursorKilled
		262,   // ExceededTimeLimit
		276,   // IndexBuildAborted
		317,   // ConnectionPoolExpired
		462,   // IngressRequestRateLimitExceeded
		9001,  // SocketException
		10107, // NotWritablePrimary
		11600, // InterruptedAtShutdown
		11602, // InterruptedDueToReplStateChange
		13388, // StaleConfig
		13435, // NotPrimaryNoSecondaryOk
		13436, // NotPrimaryOrSecondary
	}
}
