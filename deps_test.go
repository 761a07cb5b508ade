package manus_test

import (
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrows says what each room may import of this module, and why. A room that
// isn't here may not exist; ARCHITECTURE.md draws the same picture.
var arrows = map[string]struct {
	may []string
	why string
}{
	"docstore": {[]string{"internal/words"},
		"the store's meaning depends on nothing of ours, but for how a number of things is written"},
	"docstore/sqlitedocs": {[]string{"docstore"},
		"an adapter imports the room it serves, and nothing else"},
	"docstore/mongodocs": {[]string{"docstore", "internal/mongodriver", "internal/words"},
		"as docstore/sqlitedocs, and what the driver and its error codes mean"},
	"docstore/docstoretest": {[]string{"docstore"},
		"the suite tests the interface, whichever engine is behind it"},
	"identity": {nil,
		"who is calling is a leaf that every room may ask"},
	"language": {[]string{"internal/cache"},
		"a text in both languages knows nothing of whose words they are; it remembers what browsers prefer"},
	"ratelimit": {[]string{"identity"},
		"what is counted is by who is calling"},
	"ratelimit/memorylimit": {[]string{"ratelimit"},
		"an adapter imports the room it serves"},
	"ratelimit/redislimit": {[]string{"internal/redisclient", "ratelimit"},
		"an adapter imports the room it serves, and the connection that adapters to Redis share"},
	"ratelimit/limittest": {[]string{"ratelimit"},
		"the suite tests the interface, whichever engine is behind it"},
	"internal/redisclient": {nil,
		"a connection to Redis that knows nothing of what it is for"},
	"internal/mongodriver": {nil,
		"what to know of MongoDB's driver and error codes, for both rooms that speak with it"},
	"internal/mongotest": {[]string{"internal/testprogram"},
		"the MongoDB of the tests; but for storetest, no room imports it outside of tests"},
	"internal/redistest": {[]string{"internal/testprogram", "internal/waittest"},
		"the Redis of the tests; no room imports it outside of tests"},
	"idempotency": {[]string{"docstore", "internal/seal"},
		"what requests were answered is kept sealed; it knows nothing of HTTP nor of what is made"},
	"httpapi": {[]string{"docstore", "idempotency", "identity", "internal/words", "language", "ratelimit"},
		"the door: it asks who is calling, whether it is too much and whether it was answered before, and problems include an unavailable store, and stand in two languages"},
	"internal/seal": {nil,
		"encryption of what the store must not know, for the rooms that keep such things"},
	"internal/clocktest": {nil,
		"the clock of the tests; but for suites, no room imports it outside of tests"},
	"internal/processtest": {nil,
		"the other processes of the tests; as internal/clocktest"},
	"internal/waittest": {nil,
		"how tests wait; but for suites and redistest, no room imports it outside of tests"},
	"internal/referencetest": {[]string{"httpapi"},
		"a log of the tests that holds the reference against what routes answer; no room imports it outside of tests"},
	"internal/sentrytest": {[]string{"internal/browsertest", "internal/testprogram"},
		"the clients of Sentry's protocol that tests start; no room imports it outside of tests"},
	"internal/smtptest": {nil,
		"the mail server of the tests; no room imports it outside of tests"},
	"internal/browsertest": {[]string{"internal/testprogram"},
		"the browser of the tests; no room imports it outside of tests"},
	"internal/oidctest": {[]string{"internal/testprogram"},
		"what tests of signing in with a provider start; no room imports it outside of tests"},
	"lease": {[]string{"docstore"},
		"of many copies one does a piece of work; it doesn't know what"},
	"backup": {[]string{"audit", "docstore", "internal/cron", "internal/lockedfile", "internal/machine", "internal/words", "language", "lease", "readiness"},
		"a capability, whose alerts are in both languages, and which notes its alerts as others note events; of the databases and buckets it works with it knows only their interfaces"},
	"backup/sqlitedump": {[]string{"backup", "docstore/sqlitedocs", "internal/lockedfile", "internal/nice", "internal/words"},
		"an adapter; its scratch databases belong to their process as unfinished backups do, and which tables of a store's file hold no documents is the engine's to say"},
	"backup/mongodump": {[]string{"backup", "internal/mongodriver", "internal/words"},
		"an adapter"},
	"backup/s3target": {[]string{"backup", "internal/words"},
		"an adapter"},
	"backup/targettest": {[]string{"backup", "internal/processtest"},
		"the suite tests the interface, whichever target is behind it"},
	"internal/lockedfile": {nil,
		"files that belong to a living process, whatever is in them"},
	"internal/cron": {nil,
		"when a line of a crontab comes round, whatever is done then"},
	"internal/shellword": {nil,
		"a command that is said to a person can be pasted, whatever its folders are called"},
	"internal/words": {nil,
		"how numbers of things and spans of time are written for operators, whatever they are of"},
	"internal/machine": {nil,
		"how much room a machine has, as its kernel tells, whatever it is needed for"},
	"internal/nice": {nil,
		"lets a process stand back, whatever it does"},
	"internal/testprogram": {nil,
		"the programs that tests start; no room imports it outside of tests"},
	"internal/testsetup": {[]string{"internal/testprogram"},
		"the command that sets a machine up for the tests"},
	"internal/s3test": {[]string{"internal/testprogram"},
		"the S3 server of the tests; no room imports it outside of tests"},
	"queue": {[]string{"docstore", "internal/seal", "language"},
		"durable work, whatever it is; it keeps jobs as documents, and sealed where that is asked for"},
	"queue/queuetest": {[]string{"docstore", "internal/clocktest", "internal/processtest", "internal/seal", "internal/waittest", "queue"},
		"the suite tests the queue, whichever engine is behind it"},
	"internal/dialerr": {nil,
		"what errors of dialling say to people, for all that dials"},
	"internal/guard": {nil,
		"which addresses are dialled for somebody else's wish, for webhooks as for monitors"},
	"mail": {[]string{"docstore", "internal/dialerr", "internal/seal", "language", "queue", "readiness"},
		"a queue of mails that every capability may put mails into, and that knows none of them"},
	"notify": {[]string{"audit", "docstore", "httpapi", "identity", "language", "queue", "readiness"},
		"alerts for every capability: documents, a queue, notes of what operators do, routes and texts in two languages; of the events it knows nothing, of channels the interface"},
	"notify/channels": {[]string{"design", "internal/dialerr", "internal/guard", "language", "mail", "notify"},
		"adapters, all of one kind; mail is a mail, and refused for good as package mail says"},
	"internal/cache": {nil,
		"remembers values, whatever they are"},
	"audit": {[]string{"docstore", "httpapi", "identity", "language"},
		"what happened and who did it, for every capability; it knows none of the events"},
	"account": {[]string{"audit", "design", "docstore", "httpapi", "identity", "internal/cache", "internal/seal", "language", "mail", "queue", "ratelimit"},
		"a capability stores documents, puts work off, notes events, registers routes and their limits, sends mails, and knows no other capability"},
	"billing": {[]string{"docstore", "httpapi", "identity", "internal/cache", "language", "ratelimit", "readiness"},
		"as account"},
	"session": {[]string{"docstore", "httpapi", "identity", "language", "queue", "ratelimit"},
		"as account; messages wait in a queue for workers; what it wants of billing it declares itself (Quota)"},
	"session/redishints": {[]string{"internal/redisclient", "session"},
		"an adapter, as ratelimit/redislimit"},
	"errtrack/event": {[]string{"language"},
		"an error in one form is a leaf, which cuts texts as language does: whatever wire it came by, however it is grouped and kept"},
	"errtrack/envelope": {nil,
		"the wire that errors come by is a leaf: it knows nothing of what is in an envelope's items"},
	"errtrack/bundle": {[]string{"internal/words"},
		"the files that sentry-cli puts together are a leaf, as errtrack/envelope: what they are of it doesn't know; it says to people what is wrong with them"},
	"errtrack/sourcemap": {[]string{"language"},
		"where a position was written, which a map says, is a leaf, as errtrack/event"},
	"errtrack/trace": {[]string{"language"},
		"what there is to know of a trace is a leaf, as errtrack/event"},
	"errtrack": {[]string{"audit", "docstore", "errtrack/bundle", "errtrack/envelope", "errtrack/event", "errtrack/grouping", "errtrack/sourcemap", "errtrack/trace", "httpapi", "identity", "internal/cache", "internal/cron", "internal/lockedfile", "internal/sketch", "internal/words", "language", "ratelimit", "readiness"},
		"a capability, as account; whom it tells what happens to issues and jobs it doesn't know; when a job is due, its line of a crontab says"},
	"errtrack/report": {[]string{"docstore", "errtrack/event", "httpapi", "language", "ratelimit"},
		"reports the program's own errors, of which the door tells it, and traces what is done with a store and shared limits; the inbox it has an interface for"},
	"errtrack/grouping": {[]string{"errtrack/event", "language"},
		"it looks at one event and says why in two languages; issues and the store it doesn't know"},
	"uptime/probe": {[]string{"internal/dialerr", "internal/guard", "language", "uptime/condition"},
		"one check of one target is a leaf, but for what has to hold of it: whom it dials is guarded, and what failed is told in two languages; monitors it doesn't know"},
	"uptime/condition": {[]string{"language"},
		"what has to hold of a check's result is a leaf: what checks are it doesn't know; what was found instead stands in two languages"},
	"design": {nil,
		"how every page looks, whichever it is; a leaf"},
	"statuspage": {[]string{"design", "httpapi", "internal/guard", "internal/timeline", "internal/words", "language", "ratelimit"},
		"a capability: the public page; who watches and who writes it doesn't know, and it stores nothing"},
	"readiness": {[]string{"docstore", "httpapi", "identity", "language", "ratelimit"},
		"what is measured of every promise, whatever it is about: each room brings its own checks, so it knows none of them"},
	"health": {[]string{"httpapi", "language", "ratelimit"},
		"it registers its routes and their limits; it is given its checks and knows no database"},
	"console": {[]string{"account", "design", "docstore", "health", "httpapi", "idempotency", "identity", "language", "mail", "notify", "ratelimit", "subscribe"},
		"pages show what the API says of itself, and do what capabilities do"},
	"incident": {[]string{"audit", "docstore", "httpapi", "identity", "incident/planned", "internal/timeline", "internal/words", "language"},
		"a capability: what is told of trouble and of planned work; who finds trouble, and who is told, it doesn't know"},
	"subscribe": {[]string{"design", "docstore", "httpapi", "internal/guard", "internal/seal", "language", "mail", "queue"},
		"a capability: who has asked to be told, by mail and by guarded webhooks; what is published it doesn't know"},
	"incident/planned": {[]string{"internal/timeline", "internal/words"},
		"when a work is on, whatever is worked at; a leaf but for how times are reckoned with and written"},
	"internal/sketch": {nil,
		"quantiles of durations, whatever they are of"},
	"internal/timeline": {nil,
		"reckoning with times, whatever they are of"},
	"uptime": {[]string{"audit", "docstore", "httpapi", "identity", "internal/cache", "internal/guard", "internal/sketch", "internal/timeline", "internal/words", "language", "lease", "ratelimit", "readiness", "uptime/confirm", "uptime/heartbeat", "uptime/probe", "uptime/schedule"},
		"a capability: of many copies one watches, and other places hand in to it; whom it tells, and when there is maintenance, it doesn't know"},
	"uptime/remote": {[]string{"internal/guard", "uptime"},
		"an adapter: the server as another place reaches it"},
	"uptime/imported": {[]string{"internal/guard", "internal/words", "language", "uptime", "uptime/probe"},
		"what other programs watch becomes uptime's monitors, which says which ones it accepts; an adapter, that only the command for it imports"},
	"uptime/confirm": {[]string{"docstore"},
		"when something is down, by what looks at it show; its times are as they are stored"},
	"uptime/heartbeat": {[]string{"docstore", "internal/cron", "internal/timeline", "language"},
		"how a job is that reports by itself, by what it has said and when it should have: a leaf but for lines of a crontab; its times are as they are stored"},
	"uptime/schedule": {nil,
		"what is looked at next, whatever it is; a leaf"},
	"config": {[]string{"account", "backup", "billing", "design", "errtrack", "errtrack/report", "incident", "internal/cron", "internal/redisclient", "internal/words", "language", "mail", "notify", "notify/channels", "ratelimit", "statuspage", "uptime", "uptime/remote"},
		"what a good channel of alerts is, each adapter knows; the sections of manus.yaml are their rooms' own types; each knows what a good value is, as redisclient does of its URL"},
	"app": {[]string{"account", "audit", "backup", "backup/mongodump", "backup/s3target", "backup/sqlitedump", "billing", "config", "console", "docstore", "docstore/mongodocs", "docstore/sqlitedocs", "errtrack", "errtrack/report", "health", "httpapi", "idempotency", "identity", "incident", "internal/lockedfile", "internal/machine", "internal/redisclient", "internal/seal", "internal/shellword", "internal/timeline", "internal/words", "language", "lease", "mail", "notify", "notify/channels", "ratelimit", "ratelimit/memorylimit", "ratelimit/redislimit", "readiness", "session", "session/redishints", "statuspage", "subscribe", "uptime", "uptime/probe", "uptime/remote"},
		"the only room that knows all the others, and the only one that knows adapters"},
	"internal/storetest": {[]string{"docstore", "docstore/mongodocs", "docstore/sqlitedocs", "internal/mongotest"},
		"what tests of several rooms start from; no room imports it outside of tests"},
	"cmd/manus": {[]string{"account", "app", "backup", "billing", "config", "docstore", "errtrack", "errtrack/event", "health", "identity", "incident", "internal/cron", "internal/nice", "internal/shellword", "internal/words", "language", "notify", "ratelimit", "readiness", "uptime", "uptime/heartbeat", "uptime/imported", "uptime/probe"},
		"commands call app, and the rules of accounts, plans and backups for operators"},
}

func TestTheArrowsOfTheHouse(t *testing.T) {
	t.Parallel()
	for dir, imports := range rooms(t) {
		arrow, known := arrows[dir]
		if !known {
			t.Errorf("the room %s isn't in this test; add it with its reason, and to ARCHITECTURE.md", dir)
			continue
		}
		for _, imported := range imports {
			if strings.HasPrefix(imported, "github.com/danielgtaylor/huma/") && dir != "httpapi" {
				t.Errorf("%s imports %s: huma stays inside httpapi", dir, imported)
			}
			if room, ours := strings.CutPrefix(imported, "manus/"); ours && !slices.Contains(arrow.may, room) {
				t.Errorf("%s imports %s, which it may not: %s", dir, room, arrow.why)
			}
		}
		for _, room := range arrow.may {
			if !slices.Contains(imports, "manus/"+room) {
				t.Errorf("%s may import %s but doesn't; take the permission away", dir, room)
			}
		}
	}
}

// rooms lists the module's packages and what they import, tests left out.
func rooms(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		name := entry.Name()
		_, notModule := os.Stat(filepath.Join(path, "go.mod"))
		if path != "." && notModule == nil || name == "testdata" || name == "data" || path != "." && strings.HasPrefix(name, ".") {
			return fs.SkipDir
		}
		pkg, err := build.ImportDir(path, 0)
		if _, none := err.(*build.NoGoError); none || path == "." { //nolint:errorlint // ImportDir returns it as it is
			return nil
		}
		if err != nil {
			return err
		}
		found[filepath.ToSlash(path)] = pkg.Imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range arrows {
		if _, ok := found[dir]; !ok {
			t.Errorf("the room %s is gone; take it out of this test", dir)
		}
	}
	return found
}
