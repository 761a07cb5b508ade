package config

import (
	netmail "net/mail"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"manus/account"
	"manus/mail"
	"manus/uptime"
	"manus/uptime/remote"
)

// setting is one row of the table that everything here is made from: what is
// read, what is refused and what the first .env explains.
type setting struct {
	name string
	// help is one or two sentences for the .env.
	help string
	// fallback is the value where none is set; empty is none.
	fallback string
	// example stands in the .env where there is no default.
	example string
	// initial makes the value that the first .env sets; nil leaves the
	// setting commented out.
	initial  func() string
	secret   bool
	required bool
	// protects marks a setting without which something is protected less. Set and empty
	// it is a problem, such as a name that a template didn't know, and not an absence.
	protects bool
	// with is the setting without which this one is not looked at: other programs
	// have it in their environment for reasons of their own.
	with string
	// lines allows a value of several lines.
	lines bool
	mend  string // for a required one that is missing
	// parse puts a value, which is not empty, in its place. A setting of a coming
	// version has none: it is refused, because an operator who sets it relies on it.
	parse func(s *Settings, text string) *Problem
}

// isNamed tells whether a variable is the setting's.
func (row setting) isNamed(variable string) bool {
	return variable == row.name || variable == row.name+fileSuffix
}

// bad is a problem whose name its caller fills in.
func bad(wrong, mend string) *Problem { return &Problem{Wrong: wrong, Mend: mend} }

// table has every setting, in the order in which the .env explains them.
func table() []setting {
	return append([]setting{
		{
			name: "JWT_SECRET_KEY", secret: true, required: true,
			help:    "Signs every token. At least 32 random characters, the same on every copy of the server; whoever knows it can sign in as anybody.",
			initial: func() string { return RandomSecret().Reveal() },
			mend:    "set it to a new one" + freshSecret,
			parse:   func(s *Settings, text string) *Problem { return parseSecret(&s.JWTSecret, text) },
		},
		{
			name: "JWT_PREVIOUS_SECRET_KEYS", secret: true,
			help:  "The secrets before the current one, separated by commas, at most 5. Tokens they signed still count; a secret can go 30 days after its rotation.",
			parse: func(s *Settings, text string) *Problem { return parsePrevious(&s.JWTPreviousSecrets, text) },
		},
		{
			name: "ENVIRONMENT", fallback: "production",
			help:    "What this installation is called in logs and at /version, such as production or staging.",
			initial: func() string { return "production" },
			parse: func(s *Settings, text string) *Problem {
				return take(&s.Environment, text, environmentName.MatchString(text), "is not a short name", "use at most 32 lower-case letters, digits and dashes, such as production")
			},
		},
		{
			name:    "DATA_DIR",
			help:    "The folder of the embedded store, where MONGODB_URI is not set. It is made if it does not exist; a relative path starts where manus is started.",
			initial: func() string { return "./manus-data" }, // ./data is dev's
			parse:   func(s *Settings, text string) *Problem { return parseFolder(&s.DataDir, text) },
		},
		{
			name: "MONGODB_URI", protects: true, secret: true, example: "mongodb://user:password@mongodb.example.com:27017/manus",
			help:  "MongoDB, which all copies of the server share, in place of the embedded store: mongodb:// or mongodb+srv://. A standalone server is enough. 'manus data copy' moves what an embedded store has.",
			parse: parseMongoDB,
		},
		{
			name: "MONGODB_DATABASE", example: "manus",
			help: "The database there. By default it is the one that MONGODB_URI names, else manus; where neither names one, 'manus backup create' backs up every database.",
			parse: func(s *Settings, text string) *Problem {
				s.MongoUnnamed = false
				return take(&s.MongoDatabase, text, isDatabase(text), "is not a name for a database", "use letters, digits, _ and -; admin, local and config are MongoDB's own")
			},
		},
		{
			name: "ADDR", fallback: ":8080",
			help:  "Where the public HTTP listener is, as host:port. Without a host it is every address of the machine.",
			parse: func(s *Settings, text string) *Problem { return parseAddress(&s.Addr, text) },
		},
		{
			name: "PORT", example: "8080",
			help:  "The port alone, as hosting platforms set it. Takes the place of ADDR.",
			parse: func(s *Settings, text string) *Problem { return parsePort(&s.Addr, text) },
		},
		{
			name: "OPS_ADDR", fallback: "127.0.0.1:9090",
			help:  "Where metrics and profiles are served, as host:port, or 'off'. Keep it away from the public.",
			parse: func(s *Settings, text string) *Problem { return parseOpsAddress(&s.OpsAddr, text) },
		},
		{
			name: "PUBLIC_URL", example: "https://app.example.com",
			help:  "The URL under which users reach the server, for the links in mails and pages. With a domain name people can use passkeys; with an IP address or a name without a dot, other than localhost, there are none.",
			parse: func(s *Settings, text string) *Problem { return parsePublicURL(&s.PublicURL, text) },
		},
		{
			name: "STATUS_URL", example: "https://status.example.com",
			help:  "The status page's own address, with a host that is not that of PUBLIC_URL: requests for its root get the page. It leads to this server, as PUBLIC_URL does. Without it the page is at /status alone.",
			parse: func(s *Settings, text string) *Problem { return parsePublicURL(&s.StatusURL, text) },
		},
		{
			name: "CORS_ORIGINS", example: "https://app.example.com,http://localhost:5173",
			help:  "The origins of web pages that may use the API from a browser, separated by commas: scheme, host and port, nothing more. None by default; pages of PUBLIC_URL itself need no entry.",
			parse: func(s *Settings, text string) *Problem { return takeList(&s.Origins, text, parseOrigin) },
		},
		{
			name: "WEBAUTHN_ORIGINS", example: "https://www.example.com",
			help:  "Where passkeys may be used beside PUBLIC_URL, separated by commas: origins of front-ends, and Android apps as android:apk-key-hash:…. Passkeys belong to the host of PUBLIC_URL.",
			parse: func(s *Settings, text string) *Problem { return takeList(&s.PasskeyOrigins, text, parsePasskeyOrigin) },
		},
		{
			name: "PRODUCT_NAME", example: "Example",
			help:  "What pages, mails, authenticator apps and passkeys call the product, in place of Manus.",
			parse: func(s *Settings, text string) *Problem { return parseName(&s.Product.Name.En, text) },
		},
		{
			name: "PRODUCT_NAME_AR", example: "مثال", with: "PRODUCT_NAME",
			help:  "The same in Arabic; without it Arabic pages and mails have PRODUCT_NAME.",
			parse: func(s *Settings, text string) *Problem { return parseName(&s.Product.Name.Ar, text) },
		},
		{
			name: "SUPPORT_EMAIL", example: "help@example.com",
			help: "The address that pages and mails name for questions.",
			parse: func(s *Settings, text string) *Problem {
				_, err := netmail.ParseAddress(text)
				return take(&s.Product.Support, text, err == nil && !strings.ContainsAny(text, "<> "), "is not an e-mail address", "use the form help@example.com, without a name")
			},
		},
		{
			name:  "LOGO_FILE",
			help:  "The path of a picture, such as /etc/manus/logo.svg, in place of Manus's, on pages and the status page: SVG, PNG, WebP or JPEG of at most 64 KiB.",
			parse: func(s *Settings, text string) *Problem { return parseLogo(&s.Product.Logo, text) },
		},
		{
			name: "REGISTRATION", fallback: string(account.Open),
			help: "Who may have an account: open is anybody, invited those whom an operator invites by mail (needs SMTP_URL), closed those for whom an operator makes one.",
			parse: func(s *Settings, text string) *Problem {
				mode := account.RegistrationMode(text)
				return take(&s.Registration.Mode, mode, slices.Contains(account.RegistrationModes, mode), "is not a way to register", "use open, invited or closed")
			},
		},
		{
			name: "REGISTRATION_DOMAINS", protects: true, example: "example.com,example.org",
			help:  "The domains, separated by commas, that the e-mail addresses of new accounts have to be of. Whom an operator invites may have another.",
			parse: func(s *Settings, text string) *Problem { return takeList(&s.Registration.Domains, text, parseDomain) },
		},
		{
			name: "SMTP_URL", protects: true, secret: true, example: "smtp://user:password@mail.example.com:587",
			help: "The mail server: smtp:// with STARTTLS, or smtps://. With it, people confirm their address before they have an account, and can reset their password. Needs MAIL_FROM and PUBLIC_URL.",
			parse: func(s *Settings, text string) *Problem {
				return take(&s.SMTP, NewSecret(text), mail.CheckURL(text) == nil, "is not a mail server's URL", "use smtp://user:password@host:587 or smtps://user:password@host:465; write special characters of the password as %XX")
			},
		},
		{
			name: "MAIL_FROM", example: "no-reply@example.com",
			help: "The address that mails come from, or a name and an address: 'Example <no-reply@example.com>'.",
			parse: func(s *Settings, text string) *Problem {
				return take(&s.MailFrom, text, mail.CheckFrom(text) == nil, "is not an e-mail address", "use the form name@example.com, or 'Name <name@example.com>'")
			},
		},
		{
			name: "REDIS_URL", protects: true, secret: true, example: "redis://user:password@redis.example.com:6379",
			help:  "Redis, in which all copies of the server count rate limits together: redis:// or rediss://, several separated by commas for a cluster. Without it each copy counts by itself.",
			parse: func(s *Settings, text string) *Problem { return parseRedis(&s.Redis, text) },
		},
		{
			name: "BACKUP_DIR", protects: true, example: "/var/backups/manus",
			help: "The folder that backups are written to; best on another disk. With it or S3_BUCKET, or both, the server makes backups by itself, restores each into a scratch database and compares.",
			parse: func(s *Settings, text string) *Problem {
				s.Backup.Dir = filepath.Clean(text) // what is wrong there is told while the server runs
				return nil
			},
		},
		{
			name: "BACKUP_SCHEDULE", protects: true, fallback: "0 2 * * *",
			help:  "When backups are made, as in a crontab: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday); in the machine's time zone, or in that of a CRON_TZ=Europe/Berlin before it. 'off' leaves it to 'manus backup create'.",
			parse: func(s *Settings, text string) *Problem { return parseSchedule(&s.Backup.Schedule, text) },
		},
		{
			name: "BACKUP_RETENTION_DAYS", protects: true, fallback: "7",
			help:  "How many days backups are kept. The newest verified one always is. 'backup.keep' in manus.yaml keeps some for longer.",
			parse: func(s *Settings, text string) *Problem { return parseDays(&s.Backup.RetentionDays, text) },
		},
		{
			name: "BACKUP_AGE_RECIPIENTS", protects: true,
			help:  "Whom backups are encrypted to: public keys of age (age1...) or SSH (ssh-ed25519 ..., ssh-rsa ...), separated by commas. Keep the secret keys away from the server: it needs none.",
			parse: func(s *Settings, text string) *Problem { return parseRecipients(&s.Backup.Recipients, text) },
		},
		{
			name: "BACKUP_AGE_IDENTITY", secret: true, lines: true,
			help:  "The secret key of age or SSH that opens encrypted backups, for 'manus backup verify' and 'restore'; better named by BACKUP_AGE_IDENTITY_FILE. A server doesn't need it.",
			parse: func(s *Settings, text string) *Problem { return parseIdentity(&s.Backup.Identity, text) },
		},
		{
			name: "S3_BUCKET", protects: true, example: "s3://my-bucket/manus",
			help:  "The bucket that backups are written to, and what their names begin with there. Needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or S3_CREDENTIALS=role.",
			parse: func(s *Settings, text string) *Problem { return parseBucket(&s.Backup.S3, text) },
		},
		{
			name: "S3_ENDPOINT", protects: true, example: "https://s3.example.com",
			help:  "The URL of the server that has the S3_BUCKET, if it isn't Amazon's.",
			parse: func(s *Settings, text string) *Problem { return parseEndpoint(&s.Backup.S3.Endpoint, text) },
		},
		{
			name: "S3_REGION", example: "eu-central-1",
			help: "The region of the S3_BUCKET.",
			parse: func(s *Settings, text string) *Problem {
				return take(&s.Backup.S3.Region, text, regionName.MatchString(text), "is not the name of a region", "use one such as eu-central-1")
			},
		},
		{
			name: "AWS_ACCESS_KEY_ID", with: "S3_BUCKET", example: "AKIAIOSFODNN7EXAMPLE",
			help:  "The key for the bucket. It may list, read, write and delete objects there.",
			parse: func(s *Settings, text string) *Problem { s.Backup.S3.AccessKey = NewSecret(text); return nil },
		},
		{
			name: "AWS_SECRET_ACCESS_KEY", with: "S3_BUCKET", secret: true, example: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
			help:  "The secret of that key.",
			parse: func(s *Settings, text string) *Problem { s.Backup.S3.SecretKey = NewSecret(text); return nil },
		},
		{
			name: "AWS_SESSION_TOKEN", with: "S3_BUCKET", secret: true,
			help:  "The token that goes with a temporary key, which ends with it: for a server rather use S3_CREDENTIALS=role.",
			parse: func(s *Settings, text string) *Problem { s.Backup.S3.SessionToken = NewSecret(text); return nil },
		},
		{
			name: "S3_CREDENTIALS", fallback: "keys", example: "role",
			help: "keys: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. role: those of the role that Amazon's cloud gives to the machine (EC2), the container (ECS) or the pod (EKS), which are renewed by themselves.",
			parse: func(s *Settings, text string) *Problem {
				s.Backup.S3.Role = text == "role"
				if text != "keys" && text != "role" {
					return bad("is neither keys nor role", "use role for the role of the machine, or leave it out")
				}
				return nil
			},
		},
		{
			name: "TRUSTED_PROXIES", protects: true, example: "10.0.0.0/8,2001:db8::/32",
			help:  "The networks of your load balancers, separated by commas. Only they are believed when they say in X-Forwarded-For who the client is; everybody behind another proxy is one client.",
			parse: func(s *Settings, text string) *Problem { return takeList(&s.TrustedProxies, text, parseNetwork) },
		},
		{
			name: "TRUSTED_PROXY_HEADER", fallback: "X-Forwarded-For",
			help: "The header in which they say it: X-Forwarded-For, or Forwarded (RFC 7239). The other one is never believed, as clients can send it.",
			parse: func(s *Settings, text string) *Problem {
				return take(&s.ProxyHeader, text, text == "X-Forwarded-For" || text == "Forwarded", "is not such a header", "use X-Forwarded-For or Forwarded")
			},
		},
		{
			name: "LOG_LEVEL", fallback: "info",
			help:  "The least level that is logged: debug, info, warn or error.",
			parse: func(s *Settings, text string) *Problem { return parseLevel(&s.LogLevel, text) },
		},
		{
			name: "LOG_FORMAT", fallback: "json",
			help: "How log lines are written: json or text.",
			parse: func(s *Settings, text string) *Problem {
				return take(&s.LogFormat, text, text == "json" || text == "text", "is not a format", "use json or text")
			},
		},
		{
			name: "ALERT_EMAIL", protects: true, example: "ops@example.com",
			help:  "Who is mailed when something is wrong, separated by commas: a backup that failed, limits without Redis, work that was given up. Needs SMTP_URL. More channels and rules stand in manus.yaml.",
			parse: func(s *Settings, text string) *Problem { return takeList(&s.Alerts.Email, text, parseMailAddress) },
		},
		{
			name: "SLACK_WEBHOOK_URL", protects: true, secret: true, example: "https://hooks.slack.com/services/T000/B000/XXXX",
			help:  "The incoming webhook of a Slack channel that alerts go to.",
			parse: func(s *Settings, text string) *Problem { return parseWebhook(&s.Alerts.Slack, text) },
		},
		{
			name: "ALERT_WEBHOOK_URL", protects: true, secret: true, example: "https://example.com/hooks/manus",
			help:  "Where alerts are posted as signed webhooks (standardwebhooks.com). Needs ALERT_WEBHOOK_SECRET.",
			parse: func(s *Settings, text string) *Problem { return parseWebhook(&s.Alerts.Webhook, text) },
		},
		{
			name: "ALERT_WEBHOOK_SECRET", protects: true, secret: true,
			help:    "What they are signed with: whsec_ and the base64 of 24 to 64 random bytes; two, separated by a comma, while one replaces the other.",
			initial: freshWebhookSecret,
			parse:   func(s *Settings, text string) *Problem { return parseWebhookSecret(&s.Alerts.WebhookSecret, text) },
		},
		{
			name: "SENTRY_DSN", protects: true, secret: true, example: "https://public-key@sentry.example.com/1",
			help:  "The Sentry, or what speaks its protocol, that the server's own errors are reported to. Without it they are in the built-in inbox, in the project Manus.",
			parse: func(s *Settings, text string) *Problem { return parseDSN(&s.Reports.DSN, text) },
		},
		{
			name: "SENTRY_ENVIRONMENT", example: "production",
			help: "What the installation is called in those reports. By default as ENVIRONMENT says.",
			parse: func(s *Settings, text string) *Problem {
				return take(&s.Reports.Environment, text, environmentName.MatchString(text), "is not a short name", "use at most 32 lower-case letters, digits and dashes, such as production")
			},
		},
		{
			name: "SENTRY_TRACES_SAMPLE_RATE", fallback: "0.1",
			help:  "How many of the requests are traced: a share from 0, which is none, to 1, which is all.",
			parse: func(s *Settings, text string) *Problem { return parseShare(&s.Reports.TracesSampleRate, text) },
		},
		{
			name: "PROBE_NAME", fallback: uptime.DefaultPlace, example: "frankfurt",
			help: "What the place is called that this program watches monitors from. 'manus watch' on another machine needs one of its own; all copies of a server are one place.",
			parse: func(s *Settings, text string) *Problem {
				return take(&s.Probe.Name, text, uptime.IsPlace(text), "is not a name for a place", "use at most 32 lower-case letters, digits and dashes, such as frankfurt")
			},
		},
		{
			name: "PROBE_SERVER", example: "https://app.example.com",
			help: "Of 'manus watch': the server that says what is watched, and that takes what was found. Without it both is the MongoDB of MONGODB_URI.",
			parse: func(s *Settings, text string) *Problem {
				return take(&s.Probe.Server, text, remote.CheckURL(text) == nil, "is not a server's URL", "use the server's PUBLIC_URL, such as https://app.example.com")
			},
		},
		{
			name: "PROBE_API_KEY", secret: true,
			help:  "Of 'manus watch': an operator's API key of the scope probe, which can do nothing but see what is watched and hand in what was found.",
			parse: func(s *Settings, text string) *Problem { s.Probe.Key = NewSecret(text); return nil },
		},
		{
			name: "HEARTBEAT_URL", protects: true, secret: true, example: "https://hc-ping.com/your-uuid",
			help: "A URL that is asked for once a minute while monitors are watched, and by 'manus watch' while the server takes what it finds: so that somebody else tells when this machine is dead.",
			parse: func(s *Settings, text string) *Problem {
				return take(&s.Heartbeat, NewSecret(text), uptime.CheckPulse(text) == nil, "is not a URL", "use one such as https://hc-ping.com/your-uuid")
			},
		},
		{
			name: "ALLOW_PRIVATE_TARGETS", fallback: "false",
			help:  "Whether alert channels, and monitors that the API makes, may reach private and loopback addresses; link-local and metadata ones never.",
			parse: func(s *Settings, text string) *Problem { return parseBool(&s.Alerts.AllowPrivate, text) },
		},
		{
			name: "READY_CRITICAL", protects: true, fallback: "database,redis",
			help:  "The checks that make /ready answer 503 when they fail, separated by commas, of: database, redis, stripe. Those that are not configured are skipped.",
			parse: func(s *Settings, text string) *Problem { return parseChecks(&s.ReadyCritical, text) },
		},
		{
			name: "SHUTDOWN_DELAY", fallback: "2s",
			help: "How long /ready answers 503 before the server stops to accept connections, so that load balancers notice in time. From 0s to 5m.",
			parse: func(s *Settings, text string) *Problem {
				return parseDuration(&s.ShutdownDelay, text, 0, 5*time.Minute)
			},
		},
		{
			name: "SHUTDOWN_TIMEOUT", fallback: "20s",
			help: "How long requests in flight are waited for after that. From 1s to 10m.",
			parse: func(s *Settings, text string) *Problem {
				return parseDuration(&s.ShutdownTimeout, text, time.Second, 10*time.Minute)
			},
		},
	}, futureSettings()...)
}

// futureSettings are the settings of coming versions. Those whose names end as a file's
// variable does are the paths of files, as others are of folders.
func futureSettings() []setting {
	var rows []setting
	for name := range strings.FieldsSeq(`
		STRIPE_SECRET_KEY STRIPE_WEBHOOK_SECRET STRIPE_PRICE_ID_BASIC STRIPE_PRICE_ID_PRO STRIPE_API_BASE STRIPE_LIVE
		BACKUP_CONTINUOUS
		TLS_DOMAINS ACME_EMAIL ACME_DIRECTORY TLS_CERT_FILE TLS_KEY_FILE`) {
		rows = append(rows, setting{name: name})
	}
	return rows
}
