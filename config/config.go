// Package config turns what an operator wrote into settings that are known to
// be right: it reads the environment, an env file and manus.yaml, reports
// every problem in them at once, keeps secrets unprintable, and writes the
// first .env.
//
// It knows what a valid setting looks like and nothing of what it is used for:
// it opens no listener and no store. Nothing it reports ever repeats a value.
package config

import (
	"cmp"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"manus/account"
	"manus/backup"
	"manus/billing"
	"manus/design"
	"manus/errtrack"
	"manus/incident"
	"manus/internal/cron"
	"manus/language"
	"manus/ratelimit"
	"manus/statuspage"
	"manus/uptime"
)

// Settings are everything a server is started with, valid as a whole.
type Settings struct {
	// Dev says that the product is only being tried, on this machine alone.
	Dev bool
	// Environment names the installation, such as "production".
	Environment string
	// Addr is the public listener's host:port; the host may be empty.
	Addr string
	// OpsAddr is the host:port of metrics and profiles; empty is none.
	OpsAddr string
	// PublicURL is scheme://host[:port] as users reach the server, without a
	// slash at its end; empty is not known.
	PublicURL string
	// StatusURL is the same of the status page, where it has a host of its own.
	StatusURL string
	// LogLevel is the least level that is logged.
	LogLevel slog.Level
	// LogFormat is "json" or "text".
	LogFormat string
	// TrustedProxies are the networks whose ProxyHeader is believed.
	TrustedProxies []netip.Prefix
	// ProxyHeader is where they say who the client is: "X-Forwarded-For" or "Forwarded".
	ProxyHeader string
	// Origins are the origins whose pages may read the API's answers.
	Origins []string
	// DataDir is the folder of the embedded store. It need not exist yet.
	DataDir string
	// MongoDB is the URI of the production store; empty means the embedded one.
	MongoDB Secret
	// MongoDatabase is the database there.
	MongoDatabase string
	// MongoUnnamed is set when neither the URI nor MONGODB_DATABASE names it: then commands
	// back up every database, and MongoDatabase is where the product's own data is.
	MongoUnnamed bool
	// JWTSecret signs tokens.
	JWTSecret Secret
	// JWTPreviousSecrets still verify tokens during a rotation.
	JWTPreviousSecrets []Secret
	// ReadyCritical names the checks without which the server is not ready.
	ReadyCritical []string
	// ShutdownDelay is how long the server reports not to be ready before it
	// stops to accept connections.
	ShutdownDelay time.Duration
	// ShutdownTimeout is how long requests in flight are waited for then.
	ShutdownTimeout time.Duration
	// PasskeyOrigins are where passkeys may be used beside PublicURL.
	PasskeyOrigins []string
	// SMTP is the mail server's URL, which has a password in it; empty is none.
	SMTP Secret
	// MailFrom is the sender of mails.
	MailFrom string
	// KeepMails keeps mails in the store, to be looked at, when there is no SMTP.
	KeepMails bool
	// Product is what pages, mails and authenticators call the product.
	Product Product
	// Registration is who may have an account.
	Registration account.Registration
	// Providers are the OpenID providers of manus.yaml, with their secrets.
	Providers []account.Provider
	// ProviderSecrets are the client secrets of providers, by ProviderVariable.
	ProviderSecrets map[string]Secret
	// Redis has the addresses of Redis, one URL or several of a cluster; empty is
	// none.
	Redis Secret
	// Limits are the rate limits of manus.yaml, or the default ones.
	Limits ratelimit.Config
	// Backup is how backups are made.
	Backup Backup
	// Alerts is how operators are told of what happens.
	Alerts Alerts
	// Errors is the section of manus.yaml, or the default one.
	Errors errtrack.Policy
	// Monitors are what is watched, and MonitorSecrets what they authenticate themselves with,
	// by uptime.SecretVariable.
	Monitors uptime.Policy
	// StatusPage is what the public page shows.
	StatusPage     statuspage.Policy
	MonitorSecrets map[string]Secret
	// Incidents is what incidents can be opened with.
	Incidents incident.Policy
	// Probe is where monitors are watched from, and Heartbeat the URL that is asked for while they
	// are.
	Probe     Probe
	Heartbeat Secret
	// Reports is where the server's own errors go.
	Reports Reports
	// Billing is the plans and the trial of manus.yaml, or the default ones.
	Billing billing.Catalog
	// ConfigPath is where manus.yaml is; empty is nowhere.
	ConfigPath string
	// EnvFile is the file with variables, empty for none, and SecretFiles are those that have a
	// secret each.
	EnvFile     string
	SecretFiles []string
}

// Product is what pages, mails, authenticator apps and passkeys call the product.
type Product struct {
	Name    language.Text // empty is Manus
	Support string        // the address that people write to for help; empty is none
	Logo    design.Picture
}

// Probe is the place that monitors are watched from.
type Probe struct {
	Name string
	// Server is the URL of who takes what is found, with the Key; empty is the store.
	Server string
	Key    Secret
}

// Reports is where the server's own errors go.
type Reports struct {
	// DSN names a Sentry; empty is the built-in inbox.
	DSN Secret
	// Environment is what the installation is called there.
	Environment string
	// TracesSampleRate is the share of requests that are traced.
	TracesSampleRate float64
}

// Backup is the settings of backups.
type Backup struct {
	// Dir is the folder that they are written to; empty is none.
	Dir string
	// S3 is the bucket that they are written to; without a Bucket, none.
	S3 S3
	// Schedule is when they are made; nil is never.
	Schedule *cron.Schedule
	// RetentionDays is how many days they are kept.
	RetentionDays int
	// Recipients are whom they are encrypted to; none leaves them plain.
	Recipients backup.Recipients
	// Identity opens encrypted ones: the text of a key file of age.
	Identity Secret
	// Policy is the section of manus.yaml, or the default one.
	Policy backup.Policy
}

// Configured tells whether backups have anywhere to go.
func (b Backup) Configured() bool { return b.Dir != "" || b.S3.Bucket != "" }

// S3 is a bucket, and how to get there.
type S3 struct {
	// Prefix is what names begin with in the bucket, without slashes around it.
	Bucket, Prefix string
	// Endpoint is the server's URL; empty is Amazon's.
	Endpoint, Region     string
	AccessKey, SecretKey Secret
	// SessionToken goes with a key that is temporary.
	SessionToken Secret
	// Role takes the keys of the role that the machine has, in place of those.
	Role bool
}

// Source is where settings come from. In order of precedence: the variables of
// Environ, those of EnvFile, the defaults.
type Source struct {
	// Environ has NAME=value pairs, as os.Environ returns them.
	Environ []string
	// EnvFile is the path of a file of NAME=value lines; empty is none.
	EnvFile string
	// ConfigFile is the path of manus.yaml; empty is none.
	ConfigFile string
	// Routes are those of the program, which manus.yaml may have limits for.
	Routes ratelimit.Routes
}

// Has tells whether the environment has a setting, or the file that it is in.
func (s Source) Has(name string) bool {
	return slices.ContainsFunc(s.Environ, func(v string) bool {
		key, value, _ := strings.Cut(v, "=")
		return value != "" && setting{name: name}.isNamed(key)
	})
}

// Problem is one thing that keeps a server from starting.
type Problem struct {
	// Name is the setting, the flag or the file it is about.
	Name string
	// Wrong says what is wrong, as the end of a sentence that begins with
	// the name. It never has the value.
	Wrong string
	// Mend says what to do about it.
	Mend string

	missingSecret bool
}

// IsMissingSecret tells whether it is that the secret of an alert channel isn't set.
func (p Problem) IsMissingSecret() bool { return p.missingSecret }

// String is the problem in one line.
func (p Problem) String() string {
	line := p.Name + ": " + p.Wrong
	if p.Mend != "" {
		line += "; " + p.Mend
	}
	return line
}

// Problems is the error of settings that are not right: all that is wrong with
// them, in the order of the settings.
type Problems []Problem

// Error has one line for each problem.
func (p *Problems) Error() string {
	lines := make([]string, len(*p))
	for i, problem := range *p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads and checks all settings. Its only error is *Problems, and with it
// come no settings.
func Load(source Source) (Settings, error) {
	l, settings := load(source, func(string) bool { return true })
	l.checkTogether(settings)
	l.readProviderSecrets(&settings)
	l.readChannelSecrets(&settings)
	l.readMonitorSecrets(&settings)
	return l.result(l.withFile(settings))
}

// Reload is the settings with manus.yaml as it is by now, at their ConfigPath, for a program
// with the routes. It is judged as by Load: what is applied to a running server is what
// that could be started with. Its only error is *Problems, and with it come no settings.
func (s Settings) Reload(routes ratelimit.Routes) (Settings, error) {
	file, problems := loadFile(s.ConfigPath, routes)
	s, more := s.with(file)
	if problems = append(problems, more...); len(problems) > 0 {
		return Settings{}, &problems
	}
	return s, nil
}

// with is the settings with a manus.yaml, and what is wrong with the two together.
func (s Settings) with(f File) (Settings, Problems) {
	s.Billing, s.Limits, s.Backup.Policy, s.Errors, s.Monitors, s.StatusPage, s.Incidents = f.Billing, f.Limits, f.Backup, f.Errors, f.Monitors, f.StatusPage, f.Incidents
	s.Providers = f.withSecrets(s.ProviderSecrets)
	s.Alerts.Policy = s.Alerts.WithChannels(f.Alerts)
	return s, s.Alerts.problems()
}

// Warnings says in a sentence each what is most likely a mistake in settings that a server
// can do its work with all the same.
func (s Settings) Warnings() []string {
	warnings := s.Alerts.warnings(s.SMTP.Empty() && !s.KeepMails)
	if info, err := os.Stat(s.Backup.Dir); err == nil && !info.IsDir() {
		warnings = append(warnings, "BACKUP_DIR is not a folder: no backups are made there")
	}
	if !s.MongoDB.Empty() && s.Redis.Empty() {
		warnings = append(warnings, "REDIS_URL is not set: where several servers share the MongoDB, each counts limits by itself, and lets through as much as one alone")
	}
	return warnings
}

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

// LoadAlerts is LoadSome with the channels of alerts.
func LoadAlerts(source Source, dataDir string) (Settings, error) {
	names := []string{"ALERT_EMAIL", "SLACK_WEBHOOK_URL", "ALERT_WEBHOOK_URL", "ALERT_WEBHOOK_SECRET", "ALLOW_PRIVATE_TARGETS", "SMTP_URL", "MAIL_FROM", "PUBLIC_URL"}
	if dataDir == "" {
		names = append(names, "DATA_DIR", "MONGODB_URI", "MONGODB_DATABASE")
	}
	l, settings := load(source, func(name string) bool { return slices.Contains(names, name) })
	settings.DataDir = cmp.Or(dataDir, settings.DataDir, "./data")
	l.readChannelSecrets(&settings)
	return l.result(l.withFile(settings))
}

// LoadMonitors is LoadSome with what is watched, and where people see that. Nobody is alerted
// by what reads it, so channels needn't have their secrets.
func LoadMonitors(source Source, dataDir string) (Settings, error) {
	names := []string{"PUBLIC_URL", "STATUS_URL", "ADDR", "PORT"}
	if dataDir == "" {
		names = append(names, "DATA_DIR", "MONGODB_URI", "MONGODB_DATABASE")
	}
	l, settings := load(source, func(name string) bool { return slices.Contains(names, name) })
	settings.DataDir = cmp.Or(dataDir, settings.DataDir, "./data")
	l.readMonitorSecrets(&settings)
	return l.result(settings)
}

// LoadWatch reads what 'manus watch' needs, which keeps what it finds in the folder dataDir.
// Its only error is *Problems.
func LoadWatch(source Source, dataDir string) (Settings, error) {
	names := []string{"PROBE_NAME", "PROBE_SERVER", "PROBE_API_KEY", "HEARTBEAT_URL", "MONGODB_URI", "MONGODB_DATABASE", "PUBLIC_URL", "LOG_LEVEL", "LOG_FORMAT", "ENVIRONMENT"}
	l, settings := load(source, func(name string) bool { return slices.Contains(names, name) })
	settings.DataDir = dataDir
	l.readMonitorSecrets(&settings)
	far := l.given("PROBE_SERVER")
	l.refuse(l.missing("PROBE_NAME"), "PROBE_NAME", "is not set", "choose what this place is called, such as frankfurt; each place has its own")
	l.refuse(l.missing("PROBE_SERVER") && l.missing("MONGODB_URI"),
		"PROBE_SERVER", "is not set, and neither is MONGODB_URI", "set it to the server's URL, such as https://app.example.com, and PROBE_API_KEY to a key for it; or set MONGODB_URI to the store that the server uses")
	l.refuse(far && l.given("MONGODB_URI"), "MONGODB_URI", "is set together with PROBE_SERVER", "keep one of them")
	l.refuse(far && l.missing("PROBE_API_KEY"), "PROBE_API_KEY", "is not set, but PROBE_SERVER is", "make one as an operator: POST /api/v1/auth/api-keys with {\"name\": \"frankfurt\", \"scopes\": [\"probe\"]}")
	l.refuse(far && source.ConfigFile != "", "--config", "is given together with PROBE_SERVER", "leave it out: the server says what is watched")
	return l.result(settings)
}

// LoadBackup is LoadSome with what backups are made of and where they go. Without
// BACKUP_DIR and S3_BUCKET they go into a folder of the embedded store's own.
func LoadBackup(source Source, dataDir string, names ...string) (Settings, error) {
	settings, err := LoadSome(source, dataDir, append([]string{"BACKUP_DIR", "BACKUP_SCHEDULE", "BACKUP_RETENTION_DAYS", "BACKUP_AGE_RECIPIENTS", "BACKUP_AGE_IDENTITY",
		"S3_BUCKET", "S3_ENDPOINT", "S3_REGION", "S3_CREDENTIALS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}, names...)...)
	if err != nil || settings.Backup.Configured() {
		return settings, err
	}
	if !settings.MongoDB.Empty() {
		return Settings{}, &Problems{{Name: "BACKUP_DIR", Wrong: "is not set, and neither is S3_BUCKET", Mend: "name the folder or the bucket for backups"}}
	}
	settings.Backup.Dir = filepath.Join(settings.DataDir, "backups")
	return settings, nil
}

// notUsedYet is what is wrong with a setting of a coming version, empty or not.
const notUsedYet = "is set, but this version of manus does not use it yet"

// loader is one run of Load.
type loader struct {
	rows      []setting
	wanted    func(name string) bool // tells which settings are read
	variables map[string]string      // those with a value
	empty     map[string]bool        // those without, which are set all the same
	file      File
	fileName  string // of manus.yaml, in problems
	// incomplete is true when the env file could not be read: then nobody
	// knows whether a setting is missing.
	incomplete  bool
	secretFiles []string
	problems    Problems
}

// load reads the settings that are wanted, by their names, and manus.yaml.
func load(source Source, wanted func(name string) bool) (*loader, Settings) {
	l := &loader{rows: table(), wanted: wanted}
	l.readVariables(source)
	settings := Settings{ConfigPath: source.ConfigFile, EnvFile: source.EnvFile}
	for _, row := range l.rows {
		if wanted(row.name) {
			l.apply(row, &settings)
		}
	}
	l.checkS3(settings.Backup.S3)
	var problems Problems
	l.fileName = filepath.Base(source.ConfigFile)
	l.file, problems = loadFile(source.ConfigFile, source.Routes)
	l.problems = append(l.problems, problems...)
	settings, _ = settings.with(l.file)
	settings.Alerts.Policy.Channels = nil // until their secrets are known
	return l, settings
}

// withFile is the settings with manus.yaml, once the secrets of what that lists are read.
func (l *loader) withFile(settings Settings) Settings {
	settings.Alerts.AllowPrivate = settings.Alerts.AllowPrivate || l.mentioned("ALLOW_PRIVATE_TARGETS") // nobody knows what is meant
	settings, problems := settings.with(l.file)
	l.problems = append(l.problems, slices.DeleteFunc(problems, func(p Problem) bool { return l.mentioned(p.Name) })...)
	return settings
}

// result is the settings, or all that is wrong with them.
func (l *loader) result(settings Settings) (Settings, error) {
	if len(l.problems) > 0 {
		l.sortProblems()
		return Settings{}, &l.problems
	}
	settings.SecretFiles = l.secretFiles
	return settings, nil
}

// refuse notes a problem where something is wrong.
func (l *loader) refuse(isWrong bool, name, wrong, mend string) {
	if isWrong {
		l.problems = append(l.problems, Problem{Name: name, Wrong: wrong, Mend: mend})
	}
}

// apply finds the row's value and lets the row check it and put it in place.
func (l *loader) apply(row setting, settings *Settings) {
	if row.with != "" && !l.isSet(row.with) && !l.isSet(row.with+fileSuffix) {
		return
	}
	if row.parse == nil {
		for _, name := range []string{row.name, row.name + fileSuffix} { // it would be silently without effect
			l.refuse(l.isSet(name) || l.empty[name], name, notUsedYet, "remove it")
		}
		return
	}
	name, text, problem := l.value(row)
	switch {
	case problem != nil:
	case text == "" && row.protects && (l.empty[row.name] || l.empty[row.name+fileSuffix]):
		problem = bad("is set, but empty", "give it a value, or remove it if you mean to do without")
	case cmp.Or(text, row.fallback) != "":
		problem = row.parse(settings, cmp.Or(text, row.fallback))
	case row.required && !l.incomplete:
		problem = bad("is not set", row.mend)
	}
	if problem != nil {
		problem.Name = name
		l.problems = append(l.problems, *problem)
	}
}

// checkTogether has the rules that are about more than one setting. They ask whether
// something was given, not whether it was right: so one problem doesn't hide another.
func (l *loader) checkTogether(s Settings) {
	l.refuse(l.given("ADDR") && l.given("PORT"), "PORT", "is set together with ADDR", "keep one of them")
	l.refuse(l.missing("DATA_DIR") && l.missing("MONGODB_URI"),
		"DATA_DIR", "is not set, and neither is MONGODB_URI", "name the folder of the embedded store, for example /var/lib/manus, or MongoDB's URI")
	l.refuse(sameListener(s.Addr, s.OpsAddr), "OPS_ADDR", "is the public address too", "choose another port, so that metrics and profiles are never public")
	mails := l.given("SMTP_URL")
	l.refuse(mails && l.missing("MAIL_FROM"), "MAIL_FROM", "is not set, but SMTP_URL is", "set it to the address that mails come from")
	l.refuse(mails && l.missing("PUBLIC_URL"),
		"PUBLIC_URL", "is not set, but SMTP_URL is, and mails have links in them", "set it to the URL under which users reach the server")
	l.refuse(l.given("ALERT_EMAIL") && l.missing("SMTP_URL"), "SMTP_URL", "is not set, but ALERT_EMAIL is", "set it to the mail server that takes the alerts")
	l.refuse(l.given("ALERT_WEBHOOK_URL") && l.missing("ALERT_WEBHOOK_SECRET"), "ALERT_WEBHOOK_SECRET", "is not set, but ALERT_WEBHOOK_URL is", "set it to what webhooks are signed with: whsec_ and the base64 of 24 to 64 random bytes")
	l.refuse(s.StatusURL != "" && hostOf(s.StatusURL) == hostOf(s.PublicURL),
		"STATUS_URL", "has the host of PUBLIC_URL, whose root is the homepage", "use another host, or remove it: the page is at /status there")
	l.refuse(s.Registration.Mode == account.ByInvitation && l.missing("SMTP_URL"), "REGISTRATION", "is invited, but SMTP_URL is not set", "set it to the mail server that takes the invitations, or use closed and 'manus user create'")
	for i, previous := range s.JWTPreviousSecrets {
		l.refuse(!s.JWTSecret.Empty() && previous.Equal(s.JWTSecret),
			"JWT_PREVIOUS_SECRET_KEYS", entry(i)+" is the current JWT_SECRET_KEY", "list only the secrets from before")
	}
}

// hostOf is the host of an address that is valid, without its port.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// StatusHost is the host at whose root the status page is; empty where it has none.
func (s Settings) StatusHost() string { return hostOf(s.StatusURL) }

// checkS3 tells what a bucket still needs.
func (l *loader) checkS3(s S3) {
	bucket := l.given("S3_BUCKET")
	l.refuse((l.given("S3_ENDPOINT") || l.given("S3_REGION")) && l.missing("S3_BUCKET"),
		"S3_BUCKET", "is not set, but S3_ENDPOINT or S3_REGION is", "name the bucket for backups, or remove the others")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		l.refuse(bucket && !s.Role && l.missing(name) && !l.mentioned("S3_CREDENTIALS"),
			name, "is not set, but S3_BUCKET is", "set it to the key for the bucket, or S3_CREDENTIALS to role")
		l.refuse(bucket && s.Role && l.given(name),
			name, "is set together with S3_CREDENTIALS=role", "keep one of them")
	}
}

// given tells whether a setting that is wanted has a value, right or wrong.
func (l *loader) given(name string) bool {
	return l.wanted(name) && (l.isSet(name) || l.isSet(name+fileSuffix))
}

// missing tells whether a setting is known to have no value, which no other problem is
// about.
func (l *loader) missing(name string) bool {
	return !l.given(name) && !l.incomplete && !l.mentioned(name)
}

// mentioned tells whether there is a problem about one of the settings.
func (l *loader) mentioned(names ...string) bool {
	return slices.ContainsFunc(l.problems, func(p Problem) bool {
		return slices.Contains(names, strings.TrimSuffix(p.Name, fileSuffix))
	})
}

// sortProblems puts the env file's problems first, then each setting's in the
// order of the table, then those of manus.yaml.
func (l *loader) sortProblems() {
	place := func(p Problem) int {
		switch p.Name {
		case envFileFlag:
			return -1
		case l.fileName:
			return len(l.rows)
		}
		at := slices.IndexFunc(l.rows, func(row setting) bool { return row.isNamed(p.Name) })
		if at < 0 { // a channel's secret, or a field of manus.yaml
			return len(l.rows)
		}
		return at
	}
	slices.SortStableFunc(l.problems, func(a, b Problem) int { return cmp.Compare(place(a), place(b)) })
}
