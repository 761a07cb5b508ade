package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// secretParameters are those of a URI that are secrets, or have some in them.
var secretParameters = regexp.MustCompile(`(?i)[?&](proxyPassword|(ssl|tls)\w*Password|authMechanismProperties=[^&]*SESSION_TOKEN)\b`)

// checkArguments refuses secrets on a command line: everybody on the machine can see it as
// long as the command runs, and the shell keeps it.
func checkArguments(args []string) error {
	switch {
	case slices.ContainsFunc(args, hasPassword):
		return usageError{errors.New("an argument has a password in it, which everybody on this machine could read for as long as the command runs: " +
			"write the URI into a file that only you can read, and name that with --to-file (or --from-file); or write 'mongodb' instead of it, which stands for MONGODB_URI or MONGODB_URI_FILE of the environment or of --env-file")}
	case slices.ContainsFunc(args, func(arg string) bool { return strings.Contains(strings.ToUpper(arg), "AGE-SECRET-KEY-") }):
		return usageError{errors.New("an argument is a secret key, which everybody on this machine could read for as long as the command runs: write it into a file that only you can read, and name that with --identity")}
	}
	return nil
}

// hasPassword tells whether a text has a URI with a password: one whose special characters
// aren't encoded, too.
func hasPassword(text string) bool {
	before, _, _ := strings.Cut(text, "?")
	_, after, isURI := strings.Cut(before, "://")
	if !isURI {
		return false
	}
	user := after[:max(0, strings.LastIndex(after, "@"))]
	_, password, _ := strings.Cut(user, ":")
	return password != "" || secretParameters.MatchString(text)
}
