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
	l, settings := loadSome(source, dataDir, names)
	if len(l.problems) > 0 {
		return Settings{}, &l.problems
	}
	return settings, nil
}

func loadSome(source Source, dataDir string, names []string) (*loader, Settings) {
	if dataDir == "" {
		names = append([]string{"DATA_DIR", "MONGODB_URI", "MONGODB_DATABASE"}, names...)
	}
	l := &loader{rows: table()}
	l.readVariables(source)
	var settings Settings
	for _, row := range l.rows {
		if slices.Contains(names, row.name) {
			l.apply(row, &settings)
		}
	}
	settings.DataDir = cmp.Or(dataDir, settings.DataDir, "./data")
	l.checkS3(settings.Backup.S3)
	file, problems := loadOptionalFile(source.ConfigFile, source.Routes)
	settings.take(file)
	l.problems = append(l.problems, problems...)
	return l, settings
}

// LoadBackup is LoadSome with what backups are made of and where they go. Without
// BACKUP_DIR and S3_BUCKET they go into a folder of the embedded store's own.
func LoadBackup(source Source, dataDir string) (Settings, error) {
	l, settings := loadSome(source, dataDir, []string{
		"BACKUP_DIR", "BACKUP_RETENTION_DAYS", "BACKUP_AGE_RECIPIENTS", "BACKUP_AGE_IDENTITY",
		"S3_BUCKET", "S3_ENDPOINT", "S3_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
	})
	if len(l.problems) == 0 && !settings.Backup.Configured() {
		settings.Backup.Dir = filepath.Join(settings.DataDir, "backups")
		if !settings.MongoDB.Empty() {
			l.problems = Problems{{"BACKUP_DIR", "is not set, and neither is S3_BUCKET", "name the folder or the bucket for backups"}}
		}
	}
	if len(l.problems) > 0 {
		return Settings{}, &l.problems
	}
	return settings, nil
}
