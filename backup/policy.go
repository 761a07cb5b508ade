package backup

import (
	"fmt"
	"slices"
	"time"
)

// Policy is the section "backup" of manus.yaml.
type Policy struct {
	// Compression of new backups.
	Compression Compression `yaml:"compression"`
	// Verify restores every scheduled backup into a scratch database.
	Verify bool `yaml:"verify"`
	// Keep is what is kept beside the backups of BACKUP_RETENTION_DAYS.
	Keep Keep `yaml:"keep"`
	// AlarmAfter is how old the newest verified backup may be before the alarm is
	// raised; 0 means the longest pause of the schedule and two hours.
	AlarmAfter time.Duration `yaml:"alarm_after"`
	S3         S3Policy      `yaml:"s3"`
}

// S3Policy is how objects are kept in S3.
type S3Policy struct {
	// ObjectLock is how long nobody can change or remove a backup; empty is not at
	// all. The bucket has to be made for it.
	ObjectLock struct {
		Mode string `yaml:"mode"` // governance or compliance
		Days int    `yaml:"days"`
	} `yaml:"object_lock"`
	// Encryption is what the server encrypts with: AES256, aws:kms, or empty for
	// what the bucket does by itself.
	Encryption string `yaml:"encryption"`
	// Bandwidth is how many MiB a second go to and from the bucket at most; 0 is as many
	// as can be.
	Bandwidth float64 `yaml:"bandwidth"`
	// KMSKey is the key for aws:kms; empty is the account's default one.
	KMSKey string `yaml:"kms_key"`
}

// DefaultPolicy holds where manus.yaml says nothing.
func DefaultPolicy() Policy { return Policy{Compression: Gzip, Verify: true} }

// Bounds of a policy.
const (
	maxKept       = 1000
	maxLockDays   = 36500
	minAlarmAfter = time.Minute
	// minBandwidth is still as fast as a connection to a bucket has to be.
	minBandwidth, maxBandwidth = 0.1, 10_000
)

// Problems says in a sentence each what is wrong with the policy.
func (p Policy) Problems() []string {
	var problems []string
	add := func(wrong bool, sentence string) {
		if wrong {
			problems = append(problems, sentence)
		}
	}
	add(p.Compression != Gzip && p.Compression != Zstd, "backup.compression: use gzip or zstd")
	for i, kept := range []int{p.Keep.Daily, p.Keep.Weekly, p.Keep.Monthly} {
		name := []string{"daily", "weekly", "monthly"}[i]
		add(kept < 0 || kept > maxKept, fmt.Sprintf("backup.keep.%s: use a number from 0 to %d", name, maxKept))
	}
	add(p.AlarmAfter != 0 && p.AlarmAfter < minAlarmAfter, "backup.alarm_after: use a duration such as 26h, at least 1m")
	lock := p.S3.ObjectLock
	known := lock.Mode == "governance" || lock.Mode == "compliance"
	add(lock.Mode == "" && lock.Days != 0, "backup.s3.object_lock: has days but no mode; use governance or compliance")
	add(lock.Mode != "" && !known, "backup.s3.object_lock.mode: use governance or compliance")
	add(known && (lock.Days < 1 || lock.Days > maxLockDays), fmt.Sprintf("backup.s3.object_lock.days: use a number from 1 to %d", maxLockDays))
	add(!slices.Contains([]string{"", "AES256", "aws:kms"}, p.S3.Encryption), "backup.s3.encryption: use AES256 or aws:kms")
	add(p.S3.Bandwidth != 0 && !(p.S3.Bandwidth >= minBandwidth && p.S3.Bandwidth <= maxBandwidth), fmt.Sprintf("backup.s3.bandwidth: use a number of MiB a second from %v to %d, or 0 for no limit", minBandwidth, maxBandwidth))
	add(p.S3.KMSKey != "" && p.S3.Encryption != "aws:kms", "backup.s3.kms_key: is only for the encryption aws:kms")
	return problems
}
