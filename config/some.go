package config

import (
	"cmp"
	"path/filepath"
	"slices"
)

// LoadSome reads what a command that works beside a server needs: where the store is
// (the data folder dataDir, else the store that the server is set up with, else
// ./data), manus.yaml, and the settings named. Its only error is *Problems.
func LoadSome(source Source, dataDir string, names ...string) (Settings, error) {
	if dataDir == "" {
		names = append([]string{"DATA_DIR", "MONGODB_URI", "MONGODB_DATABASE"}, names...)
	}
	l, settings := load(source, func(name string) bool { return slices.Contains(names, name) })
	settings.DataDir = cmp.Or(dataDir, settings.DataDir, "./data")
	return l.result(settings)
}

// LoadBackup is LoadSome with what backups are made of and where they go. Without
// BACKUP_DIR and S3_BUCKET they go into a folder of the embedded store's own.
func LoadBackup(source Source, dataDir string) (Settings, error) {
	settings, err := LoadSome(source, dataDir, "BACKUP_DIR", "BACKUP_RETENTION_DAYS", "BACKUP_AGE_RECIPIENTS", "BACKUP_AGE_IDENTITY",
		"S3_BUCKET", "S3_ENDPOINT", "S3_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
	if err != nil || settings.Backup.Configured() {
		return settings, err
	}
	if !settings.MongoDB.Empty() {
		return Settings{}, &Problems{{"BACKUP_DIR", "is not set, and neither is S3_BUCKET", "name the folder or the bucket for backups"}}
	}
	settings.Backup.Dir = filepath.Join(settings.DataDir, "backups")
	return settings, nil
}
