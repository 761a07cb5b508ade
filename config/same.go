package config

import "strings"

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
