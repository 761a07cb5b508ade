package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"manus/config"
)

// mongoPlace is how a flag says that a store is in MongoDB. None of it is a secret.
type mongoPlace struct {
	flag string // such as --to
	text string // the flag's own: 'mongodb', or a URI without a password; of anything else it's no MongoDB
	file string // of the flag with -file: the file that has the URI
	// database takes the place of the one that URI and settings name; empty leaves it.
	database string
}

// settings are those of a store in MongoDB; not ok when that isn't what the flag says.
func (m mongoPlace) settings(source config.Source) (s config.Settings, ok bool, err error) {
	flag := m.flag
	switch {
	case m.file != "":
		flag += "-file"
		source = config.Source{Environ: []string{"MONGODB_URI_FILE=" + m.file}}
	case isMongoURI(m.text):
		source = config.Source{Environ: []string{"MONGODB_URI=" + m.text}}
	case m.text != "mongodb":
		return s, false, nil
	}
	if m.database != "" {
		others := slices.DeleteFunc(slices.Clone(source.Environ), func(pair string) bool { return strings.HasPrefix(pair, "MONGODB_DATABASE") })
		source.Environ = append(others, "MONGODB_DATABASE="+m.database)
	}
	s, err = config.LoadSome(source, "")
	switch problems, wrong := errors.AsType[*config.Problems](err); {
	case wrong && m.text != "mongodb":
		err = usageError{fmt.Errorf("%s: %s; %s", flag, (*problems)[0].Wrong, (*problems)[0].Mend)}
	case err == nil && s.MongoDB.Empty():
		err = usageError{fmt.Errorf("%s is mongodb, but MONGODB_URI is not set: set it, or MONGODB_URI_FILE, in the environment or in the file of --env-file; a folder of that name is ./mongodb", flag)}
	}
	return s, true, err
}

func isMongoURI(text string) bool {
	return strings.HasPrefix(text, "mongodb://") || strings.HasPrefix(text, "mongodb+srv://")
}
