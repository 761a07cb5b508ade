package config

import "slices"

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
	file, problems := loadOptionalFile(source.ConfigFile)
	l.problems = append(l.problems, problems...)
	if len(l.problems) > 0 {
		return Settings{}, &l.problems
	}
	settings.Limits = file.Limits
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
