package config

import (
	"errors"
	"path/filepath"
	"slices"
)

// LoadStore reads where the store is, for a command that works beside a server: the
// data folder that flag names, else the store that the server is set up with, else
// ./data. Its only error is *Problems.
func LoadStore(source Source, flag string) (Settings, error) {
	if flag != "" {
		return Settings{DataDir: flag}, nil
	}
	l, settings := loadSome(source, "DATA_DIR", "MONGODB_URI", "MONGODB_DATABASE")
	if len(l.problems) > 0 {
		return Settings{}, &l.problems
	}
	if settings.DataDir == "" {
		settings.DataDir = "./data"
	}
	return settings, nil
}

// LoadLimits reads what the limits are made of, for a command that works beside a
// server: REDIS_URL and manus.yaml. Its only error is *Problems.
func LoadLimits(source Source) (Settings, error) {
	l, settings := loadSome(source, "REDIS_URL")
	file, problems := loadOptionalFile(source.ConfigFile, source.Routes)
	l.problems = append(l.problems, problems...)
	if len(l.problems) > 0 {
		return Settings{}, &l.problems
	}
	settings.Limits = file.Limits
	return settings, nil
}

// LoadBackup reads what backups are made of and where they go, for a command that works
// beside a server. Without BACKUP_DIR and S3_BUCKET they go into a folder of the
// embedded store's own. Its only error is *Problems.
func LoadBackup(source Source, flag string) (Settings, error) {
	store, err := LoadStore(source, flag)
	problems, _ := errors.AsType[*Problems](err)
	l, settings := loadSome(source, "BACKUP_DIR", "BACKUP_RETENTION_DAYS", "BACKUP_AGE_RECIPIENTS", "BACKUP_AGE_IDENTITY",
		"S3_BUCKET", "S3_ENDPOINT", "S3_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
	l.checkS3(settings.Backup.S3)
	file, found := loadOptionalFile(source.ConfigFile, source.Routes)
	l.problems = append(l.problems, found...)
	settings.DataDir, settings.MongoDB, settings.MongoDatabase = store.DataDir, store.MongoDB, store.MongoDatabase
	settings.Backup.Policy = file.Backup
	if problems != nil {
		l.problems = append(slices.Clone(*problems), l.problems...)
	}
	if len(l.problems) == 0 && !settings.Backup.Configured() {
		if !settings.MongoDB.Empty() {
			return Settings{}, &Problems{{"BACKUP_DIR", "is not set, and neither is S3_BUCKET", "name the folder or the bucket for backups"}}
		}
		settings.Backup.Dir = filepath.Join(settings.DataDir, "backups")
	}
	if len(l.problems) > 0 {
		return Settings{}, &l.problems
	}
	return settings, nil
}

// loadSome reads the settings that are named.
func loadSome(source Source, names ...string) (*loader, Settings) {
	l := &loader{rows: table()}
	l.readVariables(source)
	var settings Settings
	for _, row := range l.rows {
		if slices.Contains(names, row.name) {
			l.apply(row, &settings)
		}
	}
	return l, settings
}
