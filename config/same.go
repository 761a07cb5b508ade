package config

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Secrets are those that have to be the same on all copies of a server, by the names of their
// variables; empty ones are left out. What may differ isn't here: a copy may reach the store by
// another address, and keys that a machine is given for a time are its own.
func (s Settings) Secrets() map[string]string {
	previous := make([]string, len(s.JWTPreviousSecrets))
	for i, secret := range s.JWTPreviousSecrets {
		previous[i] = secret.Reveal()
	}
	all := map[string]string{
		"JWT_SECRET_KEY": s.JWTSecret.Reveal(), "JWT_PREVIOUS_SECRET_KEYS": strings.Join(previous, ","),
		"REDIS_URL": s.Redis.Reveal(), "SMTP_URL": s.SMTP.Reveal(), "SENTRY_DSN": s.Reports.DSN.Reveal(),
		"BACKUP_AGE_IDENTITY": s.Backup.Identity.Reveal(), "AWS_SECRET_ACCESS_KEY": s.Backup.S3.SecretKey.Reveal(),
		"SLACK_WEBHOOK_URL": s.Alerts.Slack.Reveal(), "ALERT_WEBHOOK_URL": s.Alerts.Webhook.Reveal(), "ALERT_WEBHOOK_SECRET": s.Alerts.WebhookSecret.Reveal(),
		"HEARTBEAT_URL": s.Heartbeat.Reveal(),
	}
	for _, some := range []map[string]Secret{s.ProviderSecrets, s.Alerts.Secrets, s.MonitorSecrets} {
		for name, secret := range some {
			all[name] = secret.Reveal()
		}
	}
	for name, secret := range all {
		if secret == "" {
			delete(all, name)
		}
	}
	return all
}

// Text is what else has to be the same on all copies of a server, and in a command beside them, in
// one text that differs where that does. Where a copy listens, where it keeps files of its own and
// how it logs and stops isn't in it.
func (s Settings) Text() string {
	if s.Backup.Dir == filepath.Join(s.DataDir, "backups") { // where they are kept unless that is set
		s.Backup.Dir = ""
	}
	s.Addr, s.OpsAddr, s.DataDir, s.LogLevel, s.LogFormat, s.ConfigPath, s.EnvFile, s.SecretFiles, s.Probe = "", "", "", 0, "", "", "", nil, Probe{}
	s.ShutdownDelay, s.ShutdownTimeout, s.MongoDatabase, s.MongoUnnamed = 0, 0, "", false
	if s.Dev { // by the port that is listened on
		s.PublicURL = ""
	}
	if s.Backup.Dir != "" {
		if path, err := filepath.Abs(s.Backup.Dir); err == nil {
			s.Backup.Dir = path
		}
	}
	text, err := json.Marshal(s)
	return fmt.Sprint(string(text), err, s.Backup.times(), s.Backup.readers(), s.Backup.S3.AccessKey.Reveal())
}

// times are some of those at which backups are made.
func (b Backup) times() (all []time.Time) {
	if b.Schedule == nil {
		return nil
	}
	for at := time.Unix(0, 0); len(all) < 20; all = append(all, at) {
		at = b.Schedule.Next(at)
	}
	return all
}

// readers are whom backups are encrypted to; SSH's keys are told apart by their kind alone.
func (b Backup) readers() (all []string) {
	for _, r := range b.Recipients {
		if key, ok := r.(fmt.Stringer); ok {
			all = append(all, key.String())
			continue
		}
		all = append(all, fmt.Sprintf("%T", r))
	}
	return all
}
