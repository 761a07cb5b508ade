// Package mongocode has what MongoDB's error codes mean to those who try again; see
// https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml.
package mongocode

// Passing are the codes of what passes by itself: a server that is busy, stopping, or no
// longer the one that takes writes.
func Passing() []int {
	return []int{
		6,     // HostUnreachable
		7,     // HostNotFound
		24,    // LockTimeout
		50,    // MaxTimeMSExpired
		64,    // WriteConcernFailed
		89,    // NetworkTimeout
		91,    // ShutdownInProgress
		112,   // WriteConflict
		134,   // ReadConcernMajorityNotAvailableYet
		189,   // PrimarySteppedDown
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
