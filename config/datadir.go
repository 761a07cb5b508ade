package config

// DataDir finds the data folder for a command that works beside a server: the
// one that flag names, else the one that the server is set up with, else
// ./data. Its only error is *Problems.
func DataDir(source Source, flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	l := loader{rows: table()}
	l.readVariables(source)
	var settings Settings
	for _, row := range l.rows {
		if row.name == "DATA_DIR" {
			row.required = false
			l.apply(row, &settings)
		}
	}
	if len(l.problems) > 0 {
		return "", &l.problems
	}
	if settings.DataDir == "" {
		return "./data", nil
	}
	return settings.DataDir, nil
}

// LoadLimits reads what the limits are made of, for a command that works beside a
// server: REDIS_URL and manus.yaml. Its only error is *Problems.
func LoadLimits(source Source) (Settings, error) {
	l := loader{rows: table()}
	l.readVariables(source)
	var settings Settings
	for _, row := range l.rows {
		if row.name == "REDIS_URL" {
			l.apply(row, &settings)
		}
	}
	file, problems := loadOptionalFile(source.ConfigFile)
	l.problems = append(l.problems, problems...)
	if len(l.problems) > 0 {
		return Settings{}, &l.problems
	}
	settings.Limits = file.Limits
	return settings, nil
}
