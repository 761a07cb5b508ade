package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/account"
	"manus/backup"
	"manus/billing"
	"manus/errtrack"
	"manus/incident"
	"manus/notify"
	"manus/ratelimit"
	"manus/statuspage"
	"manus/uptime"

	"filippo.io/age"
)

// write makes a file in a folder of the test's own and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// enough is an environment that is complete, and the extra variables.
func enough(extra ...string) []string {
	return append(extra, "JWT_SECRET_KEY="+RandomSecret().Reveal(), "DATA_DIR=data")
}

// problemsOf loads what has to be refused.
func problemsOf(t *testing.T, source Source) Problems {
	t.Helper()
	settings, err := Load(source)
	problems, ok := errors.AsType[*Problems](err)
	if !ok {
		t.Fatalf("Load returned %v, want *Problems", err)
	}
	if !reflect.DeepEqual(settings, Settings{}) {
		t.Errorf("Load returned settings together with problems")
	}
	return *problems
}

// onlyProblem loads what has to be refused for one reason.
func onlyProblem(t *testing.T, source Source) string {
	t.Helper()
	problems := problemsOf(t, source)
	if len(problems) != 1 {
		t.Fatalf("got %d problems, want one:\n%v", len(problems), problems.Error())
	}
	return problems.Error()
}

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	secret := RandomSecret()
	got, err := Load(Source{Environ: []string{"JWT_SECRET_KEY=" + secret.Reveal(), "DATA_DIR=/srv/manus/"}})
	if err != nil {
		t.Fatal(err)
	}
	if !got.JWTSecret.Equal(secret) {
		t.Error("JWTSecret is another one")
	}
	got.JWTSecret = Secret{}
	if noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.Local); !got.Backup.Schedule.Next(noon).Equal(noon.Add(14 * time.Hour)) {
		t.Error("backups aren't made at two at night")
	}
	got.Backup.Schedule = nil
	want := Settings{
		Environment: "production",
		Addr:        ":8080",
		OpsAddr:     "127.0.0.1:9090",
		LogLevel:    slog.LevelInfo,
		LogFormat:   "json", ProxyHeader: "X-Forwarded-For",
		DataDir:         "/srv/manus",
		ReadyCritical:   []string{"database", "redis"},
		Registration:    account.Registration{Mode: account.Open},
		ShutdownDelay:   2 * time.Second,
		ShutdownTimeout: 20 * time.Second,
		Billing:         billing.DefaultCatalog(),
		Limits:          ratelimit.DefaultConfig(ratelimit.Routes{}),
		Backup:          Backup{RetentionDays: 7, Policy: backup.DefaultPolicy()},
		Alerts:          Alerts{Policy: notify.DefaultPolicy()},
		Errors:          errtrack.DefaultPolicy(),
		Incidents:       incident.DefaultPolicy(),
		Monitors:        uptime.Policy{},
		StatusPage:      statuspage.Policy{Components: []statuspage.Listed{}},
		Probe:           Probe{Name: uptime.DefaultPlace},
		Reports:         Reports{TracesSampleRate: 0.1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestValuesThatAreAccepted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set  string
		got  func(Settings) any
		want any
	}{
		{"ENVIRONMENT=eu-west-2", func(s Settings) any { return s.Environment }, "eu-west-2"},
		{"ADDR=127.0.0.1:0", func(s Settings) any { return s.Addr }, "127.0.0.1:0"},
		{"ADDR=[::1]:8080", func(s Settings) any { return s.Addr }, "[::1]:8080"},
		{"ADDR= localhost:08080 ", func(s Settings) any { return s.Addr }, "localhost:8080"},
		{"PORT=3000", func(s Settings) any { return s.Addr }, ":3000"},
		{"OPS_ADDR=off", func(s Settings) any { return s.OpsAddr }, ""},
		{"OPS_ADDR=10.1.2.3:9100", func(s Settings) any { return s.OpsAddr }, "10.1.2.3:9100"},
		{"PUBLIC_URL=HTTPS://App.Example.com/", func(s Settings) any { return s.PublicURL }, "https://app.example.com"},
		{"PUBLIC_URL=http://[::1]:8080", func(s Settings) any { return s.PublicURL }, "http://[::1]:8080"},
		{"PUBLIC_URL=https://bücher.example", func(s Settings) any { return s.PublicURL }, "https://xn--bcher-kva.example"},
		{"CORS_ORIGINS=https://App.example.com/, http://localhost:5173,https://b.example:443,http://[::1]:80", func(s Settings) any { return s.Origins }, []string{
			"https://app.example.com", "http://localhost:5173", "https://b.example", "http://[::1]",
		}},
		{"MONGODB_URI=mongodb://u:p%40@a,b:27018/shop?tls=true", func(s Settings) any { return s.MongoDB.Reveal() + " " + s.MongoDatabase }, "mongodb://u:p%40@a,b:27018/shop?tls=true shop"},
		{"MONGODB_URI=mongodb+srv://u:p@cluster.example.com/admin", func(s Settings) any { return s.MongoDatabase }, "manus"},
		{"LOG_LEVEL=WARN", func(s Settings) any { return s.LogLevel }, slog.LevelWarn},
		{"LOG_FORMAT=text", func(s Settings) any { return s.LogFormat }, "text"},
		{"READY_CRITICAL=stripe, database,stripe", func(s Settings) any { return s.ReadyCritical }, []string{"stripe", "database"}},
		{"READY_CRITICAL=mongodb", func(s Settings) any { return s.ReadyCritical }, []string{"database"}},
		{"SHUTDOWN_DELAY=0s", func(s Settings) any { return s.ShutdownDelay }, time.Duration(0)},
		{"SHUTDOWN_DELAY=5m", func(s Settings) any { return s.ShutdownDelay }, 5 * time.Minute},
		{"SHUTDOWN_TIMEOUT=1m30s", func(s Settings) any { return s.ShutdownTimeout }, 90 * time.Second},
		{"SHUTDOWN_TIMEOUT=1s", func(s Settings) any { return s.ShutdownTimeout }, time.Second},
		{"SHUTDOWN_TIMEOUT=10m", func(s Settings) any { return s.ShutdownTimeout }, 10 * time.Minute},
		{"BACKUP_RETENTION_DAYS=1", func(s Settings) any { return s.Backup.RetentionDays }, 1},
		{"BACKUP_RETENTION_DAYS=36500", func(s Settings) any { return s.Backup.RetentionDays }, 36500},
		{"TRUSTED_PROXY_HEADER=Forwarded", func(s Settings) any { return s.ProxyHeader }, "Forwarded"},
		{"REDIS_URL=redis://u:p@r.example.com:6379/1", func(s Settings) any { return s.Redis.Reveal() }, "redis://u:p@r.example.com:6379/1"},
		{"REDIS_URL=rediss://a.example.com, rediss://b.example.com", func(s Settings) any { return s.Redis.Reveal() }, "rediss://a.example.com, rediss://b.example.com"},
		{"TRUSTED_PROXIES=10.1.2.3/8,192.0.2.1, 2001:db8::/32,::ffff:172.16.0.0/108", func(s Settings) any { return s.TrustedProxies }, []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"),
			netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("172.16.0.0/12"),
		}},
	} {
		t.Run(c.set, func(t *testing.T) {
			t.Parallel()
			settings, err := Load(Source{Environ: enough(c.set)})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.got(settings); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestEachWrongValueIsRefusedWithItsMend(t *testing.T) {
	t.Parallel()
	plainFile := write(t, "file", "x")
	for _, c := range []struct{ set, want string }{
		{"ENVIRONMENT=Production", "ENVIRONMENT: is not a short name; use at most 32 lower-case letters, digits and dashes, such as production"},
		{"ENVIRONMENT=" + strings.Repeat("a", 33), "ENVIRONMENT: is not a short name; use at most 32 lower-case letters, digits and dashes, such as production"},
		{"ENVIRONMENT=a\nb", "ENVIRONMENT: contains a line break or another control character; write it in one line"},
		{"ENVIRONMENT=\xff", "ENVIRONMENT: is not valid UTF-8; write it as plain text"},
		{"DATA_DIR=" + plainFile, "DATA_DIR: is not a folder; name a folder, or a path where one can be made"},
		{"REDIS_URL=http://u:hunter2@r.example.com", "REDIS_URL: is not a redis:// or rediss:// URL, or several separated by commas; use the form redis://user:password@host:6379"},
		{"REDIS_URL=redis://a.example.com,redis://u:hunter2@:6379", "REDIS_URL: is not a redis:// or rediss:// URL, or several separated by commas; use the form redis://user:password@host:6379"},
		{"REDIS_URL=redis://u:hunter2@r.example.com/abc", "REDIS_URL: has a database or a parameter that isn't one; use the form redis://user:password@host:6379/0"},
		{"REDIS_URL=redis://a.example.com,redis://b.example.com?dial_timeout=soon", "REDIS_URL: has a database or a parameter that isn't one; use the form redis://user:password@host:6379/0"},
		{"MONGODB_URI=postgres://u:hunter2@db", "MONGODB_URI: is not a mongodb:// or mongodb+srv:// URI; use the form mongodb://user:password@host:27017/database, and write special characters of the password as %XX"},
		{"MONGODB_URI=mongodb://u:hunter2@/x", "MONGODB_URI: names no host; use the form mongodb://user:password@host:27017/database, and write special characters of the password as %XX"},
		{"MONGODB_DATABASE=admin", "MONGODB_DATABASE: is not a name for a database; use letters, digits, _ and -; admin, local and config are MongoDB's own"},
		{"MONGODB_DATABASE=a.b", "MONGODB_DATABASE: is not a name for a database; use letters, digits, _ and -; admin, local and config are MongoDB's own"},
		{"ADDR=8181", "ADDR: is not host:port; use host:port or :port, such as 127.0.0.1:8080, :8080 or [::1]:8080"},
		{"ADDR=::1:8181", "ADDR: is not host:port; use host:port or :port, such as 127.0.0.1:8080, :8080 or [::1]:8080"},
		{"ADDR=:65536", "ADDR: has no port from 0 to 65535; use host:port or :port, such as 127.0.0.1:8080, :8080 or [::1]:8080"},
		{"ADDR=:http", "ADDR: has no port from 0 to 65535; use host:port or :port, such as 127.0.0.1:8080, :8080 or [::1]:8080"},
		{"ADDR=b@d:8181", "ADDR: has a host that is neither an IP address nor a name; use host:port or :port, such as 127.0.0.1:8080, :8080 or [::1]:8080"},
		{"PORT=tcp://10.0.0.1:80", "PORT: is not a port; use a number from 0 to 65535, such as 8080"},
		{"PORT=-1", "PORT: is not a port; use a number from 0 to 65535, such as 8080"},
		{"OPS_ADDR=none", "OPS_ADDR: is not host:port; use host:port, such as 127.0.0.1:9090, or off"},
		{"OPS_ADDR=127.0.0.1:8080", "OPS_ADDR: is the public address too; choose another port, so that metrics and profiles are never public"},
		{"PUBLIC_URL=app.example.com", "PUBLIC_URL: is not an absolute http or https URL; use the form https://app.example.com"},
		{"MAIL_FROM=hunter2", "MAIL_FROM: is not an e-mail address; use the form name@example.com, or 'Name <name@example.com>'"},
		{"PUBLIC_URL=ftp://app.example.com", "PUBLIC_URL: is not an absolute http or https URL; use the form https://app.example.com"},
		{"PUBLIC_URL=https://user:hunter2@app.example.com", "PUBLIC_URL: has a user name or a password in it; use the form https://app.example.com"},
		{"PUBLIC_URL=https://app.example.com/app", "PUBLIC_URL: has a path, a query or a fragment; use the form https://app.example.com"},
		{"PUBLIC_URL=https://app.example.com?a=b", "PUBLIC_URL: has a path, a query or a fragment; use the form https://app.example.com"},
		{"PUBLIC_URL=https://app.example.com#", "PUBLIC_URL: has a path, a query or a fragment; use the form https://app.example.com"},
		{"PUBLIC_URL=https://app.example.com:0", "PUBLIC_URL: has no port from 1 to 65535; use the form https://app.example.com"},
		{"PUBLIC_URL=https://a_b.example.com", "PUBLIC_URL: has a host that is neither an IP address nor a name; use the form https://app.example.com"},
		{"CORS_ORIGINS=*", "CORS_ORIGINS: entry 1 is not an absolute http or https URL; use the form https://app.example.com"},
		{"CORS_ORIGINS=https://a.example,null", "CORS_ORIGINS: entry 2 is not an absolute http or https URL; use the form https://app.example.com"},
		{"CORS_ORIGINS=https://a.example/app", "CORS_ORIGINS: entry 1 has a path, a query or a fragment; use the form https://app.example.com"},
		{"CORS_ORIGINS=https://*.example.com", "CORS_ORIGINS: entry 1 has a host that is neither an IP address nor a name; use the form https://app.example.com"},
		{"TRUSTED_PROXIES=10.0.0.0/8,,", "TRUSTED_PROXIES: entry 2 is not a network; use CIDR notation, such as 10.0.0.0/8 or 2001:db8::/32"},
		{"TRUSTED_PROXIES=fe80::1%eth0", "TRUSTED_PROXIES: entry 1 is not a network; use CIDR notation, such as 10.0.0.0/8 or 2001:db8::/32"},
		{"TRUSTED_PROXIES=0.0.0.0/0", "TRUSTED_PROXIES: entry 1 is the whole internet, so that anybody could claim any address; name only your own proxies' networks"},
		{"TRUSTED_PROXIES=::ffff:0.0.0.0/96", "TRUSTED_PROXIES: entry 1 is the whole internet, so that anybody could claim any address; name only your own proxies' networks"},
		{"TRUSTED_PROXY_HEADER=X-Real-IP", "TRUSTED_PROXY_HEADER: is not such a header; use X-Forwarded-For or Forwarded"},
		{"LOG_LEVEL=verbose", "LOG_LEVEL: is not a level; use debug, info, warn or error"},
		{"LOG_FORMAT=xml", "LOG_FORMAT: is not a format; use json or text"},
		{"READY_CRITICAL=database,mongo", "READY_CRITICAL: entry 2 is not a check; use database, redis or stripe, separated by commas"},
		{"SHUTDOWN_DELAY=20", "SHUTDOWN_DELAY: is not a duration; use a number with its unit from 0s to 5m, such as 2s"},
		{"SHUTDOWN_DELAY=-1s", "SHUTDOWN_DELAY: is out of range; use a number with its unit from 0s to 5m, such as 2s"},
		{"SHUTDOWN_DELAY=301s", "SHUTDOWN_DELAY: is out of range; use a number with its unit from 0s to 5m, such as 2s"},
		{"SHUTDOWN_TIMEOUT=10m1s", "SHUTDOWN_TIMEOUT: is out of range; use a number with its unit from 1s to 10m, such as 2s"},
		{"SHUTDOWN_TIMEOUT=0s", "SHUTDOWN_TIMEOUT: is out of range; use a number with its unit from 1s to 10m, such as 2s"},
	} {
		t.Run(c.set, func(t *testing.T) {
			t.Parallel()
			if got := onlyProblem(t, Source{Environ: enough(c.set)}); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestOpsAddressIsNeverThePublicOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr, ops string
		same      bool
	}{
		{":8080", "127.0.0.1:8080", true},
		{"127.0.0.1:8080", ":8080", true},
		{"[::]:8080", "10.0.0.1:8080", true},
		{"10.0.0.1:8080", "10.0.0.1:8080", true},
		{"localhost:8080", "127.0.0.1:8080", true},
		{"10.0.0.1:8080", "127.0.0.1:8080", false},
		{":8080", ":8081", false},
		{":0", ":0", false},
	} {
		_, err := Load(Source{Environ: enough("ADDR="+c.addr, "OPS_ADDR="+c.ops)})
		if refused := err != nil; refused != c.same {
			t.Errorf("ADDR=%s OPS_ADDR=%s: %v", c.addr, c.ops, err)
		}
	}
}

func TestAStoreIsNeeded(t *testing.T) {
	t.Parallel()
	secret := "JWT_SECRET_KEY=" + RandomSecret().Reveal()
	const want = "DATA_DIR: is not set, and neither is MONGODB_URI; name the folder of the embedded store, for example /var/lib/manus, or MongoDB's URI"
	if got := onlyProblem(t, Source{Environ: []string{secret}}); got != want {
		t.Errorf("got %s", got)
	}
	s, err := Load(Source{Environ: []string{secret, "MONGODB_URI=mongodb://db/shop", "MONGODB_DATABASE=other"}})
	if err != nil || s.MongoDatabase != "other" {
		t.Errorf("got %q, %v", s.MongoDatabase, err)
	}
}

func TestAllProblemsAreReportedAtOnceInTableOrder(t *testing.T) {
	t.Parallel()
	got := problemsOf(t, Source{
		Environ: []string{
			"SHUTDOWN_DELAY=soon", "MONGODB_URI=hunter2", "STRIPE_SECRET_KEY_FILE=/run/hunter2",
			"ADDR=:8080", "PORT=8080", "LOG_LEVEL=hunter2", "JWT_SECRET_KEY=hunter2hunter", "JWT_PREVIOUS_SECRET_KEYS_FILE=/no/hunter2",
		},
		EnvFile:    write(t, ".env", "LOG_LEVL=hunter2\n"),
		ConfigFile: write(t, "manus.yaml", "planz: hunter2\n"),
	})
	want := `--env-file: sets LOG_LEVL, which is no setting; perhaps LOG_LEVEL is meant
JWT_SECRET_KEY: is 13 characters long; use at least 32, for example from 'openssl rand -base64 48' or 'manus init'
JWT_PREVIOUS_SECRET_KEYS_FILE: the file does not exist; check the path
MONGODB_URI: is not a mongodb:// or mongodb+srv:// URI; use the form mongodb://user:password@host:27017/database, and write special characters of the password as %XX
PORT: is set together with ADDR; keep one of them
LOG_LEVEL: is not a level; use debug, info, warn or error
SHUTDOWN_DELAY: is not a duration; use a number with its unit from 0s to 5m, such as 2s
STRIPE_SECRET_KEY_FILE: is set, but this version of manus does not use it yet; remove it
manus.yaml: line 1 has an unknown key, planz; compare it with manus.example.yaml`
	if got.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", got.Error(), want)
	}
}

func TestASecretOfAChannelNeedsItsChannel(t *testing.T) {
	t.Parallel()
	file := write(t, "manus.yaml", "alerts: {channels: [{id: pager, type: pagerduty}, {id: ours, type: webhook, url: 'https://example.com/hook'}]}\n")
	const key, signed = "ALERT_PAGER_SECRET=0123456789abcdef0123456789abcdef", "ALERT_OURS_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	for _, c := range []struct {
		environ []string
		want    string
	}{
		{[]string{key, signed}, ""},
		// What a wrong word was to allow isn't told of too.
		{[]string{key, signed, "ALERT_WEBHOOK_URL=http://10.1.2.3/hook", "ALERT_WEBHOOK_SECRET=" + strings.TrimPrefix(signed, "ALERT_OURS_SECRET="), "ALLOW_PRIVATE_TARGETS=yes"}, `ALLOW_PRIVATE_TARGETS: is "yes"; use true or false`},
		{[]string{key, "ALERT_OURS_SECRET="}, "ALERT_OURS_SECRET: is empty; set it to the channel's secret, or remove it"},
		{[]string{"ALERT_PAGER_SECRET=hunter2", signed}, "ALERT_PAGER_SECRET: set it to "},
		{[]string{key}, "ALERT_OURS_SECRET: is missing"},
	} {
		settings, err := Load(Source{Environ: enough(c.environ...), ConfigFile: file})
		if c.want == "" {
			if err != nil || len(settings.Alerts.Policy.Channels) != 2 || settings.Alerts.Policy.Channels[0].Secret == "" {
				t.Errorf("%+v, %v", settings.Alerts.Policy.Channels, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v", c.environ, err)
		}
	}
}

// A tidied manus.yaml is applied by day, and the server is started with it at night. Both
// judge it alike, whatever of the environment is left over.
func TestAFileIsAppliedExactlyWhenAServerStartsWithIt(t *testing.T) {
	t.Parallel()
	path := write(t, "manus.yaml", "alerts: {channels: [{id: pager, type: pagerduty}]}\n")
	source := Source{ConfigFile: path, Environ: enough("ALERT_PAGER_SECRET=0123456789abcdef0123456789abcdef", "OIDC_GOOGLE_CLIENT_SECRET=hunter2-google", "BACKUP_DIR="+path)}
	running, err := Load(source)
	if err != nil {
		t.Fatal(err)
	}
	for text, taken := range map[string]bool{
		"{}\n": true, // without the channel
		"alerts: {channels: [{id: pager, type: ntfy, url: 'https://ntfy.sh/topic'}]}\n":                                      true,
		"alerts: {channels: [{id: pager, type: pagerduty}, {id: ops, type: mail, to: [ops@example.com]}]}\n":                 true,
		"alerts: {channels: [{id: pager, type: mail, to: [ops@example.com]}]}\n":                                             false, // takes no secret
		"alerts: {channels: [{id: pager, type: pagerduty}, {id: team, type: discord}]}\n":                                    false, // has none
		"alerts: {channels: [{id: pager, type: pagerduty}, {id: ours, type: mail, to: [nobody]}], rules: [{on: nothing}]}\n": false,
		"alerts: [\n": false,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		started, startErr := Load(source)
		reloaded, reloadErr := running.Reload(source.Routes)
		if fmt.Sprint(startErr) != fmt.Sprint(reloadErr) || (startErr == nil) != taken {
			t.Errorf("%s: the start says\n%v\nand the running server\n%v", text, startErr, reloadErr)
		}
		applied := func(s Settings) []any {
			return []any{s.Billing, s.Limits, s.Backup.Policy, s.Errors, s.Providers, s.Alerts.Policy}
		}
		if !reflect.DeepEqual(applied(started), applied(reloaded)) {
			t.Errorf("%s: other settings are started with than are applied", text)
		}
	}
}

func TestWarningsTellWhatIsMostLikelyAMistake(t *testing.T) {
	t.Parallel()
	path := write(t, "manus.yaml", "alerts: {channels: [{id: ops, type: mail, to: [ops@example.com]}], rules: [{on: '*', channels: [slack]}]}\n")
	s, err := Load(Source{ConfigFile: path, Environ: enough("ALERT_PAGER_SECRET=hunter2", "BACKUP_DIR="+path, "MONGODB_URI=mongodb://127.0.0.1/x")})
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(s.Warnings(), "\n")
	for _, want := range []string{
		"ALERT_PAGER_SECRET is set, but manus.yaml has no channel",
		"the alert channel ops delivers nothing: set SMTP_URL",
		"alerts.rules[0] of manus.yaml tells nobody on slack",
		"nobody is told when something goes wrong: no rule",
		"BACKUP_DIR is not a folder",
		"REDIS_URL is not set: where several",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q isn't among\n%s", want, said)
		}
	}
	if strings.Contains(said, "hunter2") || strings.Contains(said, path) {
		t.Error(said)
	}
}

func TestSettingsOfOtherProgramsAreLeftAlone(t *testing.T) {
	t.Parallel()
	environ := enough("AWS_ACCESS_KEY_ID=AKIA", "AWS_SECRET_ACCESS_KEY=x", "AWS_SECRET_ACCESS_KEY_FILE=y", "PATH=/bin", "LOG_LEVL=x", "no pair")
	if _, err := Load(Source{Environ: environ}); err != nil {
		t.Error(err)
	}
}

// TestEverySettingOfTheContractIsUsedOrRefused reads the names that operators were
// promised: none of them may be set and have no effect.
func TestEverySettingOfTheContractIsUsedOrRefused(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/contract.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`([A-Z][A-Z0-9_]{3,})[=`]").FindAllStringSubmatch(string(text), -1)
	if len(names) < 60 {
		t.Fatalf("only %d names are found", len(names))
	}
	for _, match := range names {
		name := match[1]
		if slices.ContainsFunc(table(), func(row setting) bool { return row.name == name && row.parse != nil }) || channelSecret.MatchString(name) {
			continue
		}
		want := name + ": is set, but this version of manus does not use it yet; remove it"
		for _, value := range []string{"hunter2", ""} {
			for _, source := range []Source{
				{Environ: enough(name + "=" + value)},
				{Environ: enough(), EnvFile: write(t, ".env", name+"="+value+"\n")},
			} {
				_, err := Load(source)
				if err == nil || err.Error() != want {
					t.Errorf("%s=%s: got %v", name, value, err)
				}
			}
		}
	}
}

func TestEverySettingThatIsNotUsedYetIsRefused(t *testing.T) {
	t.Parallel()
	for _, row := range table() {
		if row.parse != nil {
			continue
		}
		for _, name := range []string{row.name, row.name + fileSuffix} {
			want := name + ": is set, but this version of manus does not use it yet; remove it"
			if got := onlyProblem(t, Source{Environ: enough(name + "=hunter2")}); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
}

func TestWhatIsWrongWithBackups(t *testing.T) {
	t.Parallel()
	bucket := []string{"S3_BUCKET=s3://b-1/p", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=hunter2hunter2"}
	for _, c := range []struct{ set, want string }{
		{"BACKUP_SCHEDULE=hunter2", "BACKUP_SCHEDULE: is not a schedule that ever comes round; use five fields as in a crontab, such as '0 2 * * *' for two o'clock every night, or off"},
		{"BACKUP_SCHEDULE=0 0 30 2 *", "BACKUP_SCHEDULE: is not a schedule that ever comes round; use five fields as in a crontab, such as '0 2 * * *' for two o'clock every night, or off"},
		{"BACKUP_RETENTION_DAYS=0", "BACKUP_RETENTION_DAYS: is not a number of days; use a whole number from 1 to 36500"},
		{"BACKUP_RETENTION_DAYS=36501", "BACKUP_RETENTION_DAYS: is not a number of days; use a whole number from 1 to 36500"},
		{"BACKUP_RETENTION_DAYS=a week", "BACKUP_RETENTION_DAYS: is not a number of days; use a whole number from 1 to 36500"},
		{"S3_ENDPOINT=ftp://s3.example.com", "S3_ENDPOINT: is not an absolute http or https URL; use the form https://s3.example.com"},
		{"BACKUP_AGE_RECIPIENTS=hunter2", "BACKUP_AGE_RECIPIENTS: entry 1 is not a public key of age or SSH; use what 'age-keygen' prints as the public key, which begins with age1, or the line of an id_ed25519.pub or id_rsa.pub"},
		{"BACKUP_AGE_IDENTITY=hunter2", "BACKUP_AGE_IDENTITY: is not a secret key of age or SSH; use the file that 'age-keygen' writes, with a line that begins with AGE-SECRET-KEY-, or an id_ed25519 or id_rsa that has no passphrase"},
		{"S3_ENDPOINT=https://u:hunter2@s3.example.com", "S3_ENDPOINT: has a user name or a password in it; use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for them"},
		{"S3_REGION=hunter 2", "S3_REGION: is not the name of a region; use one such as eu-central-1"},
	} {
		if got := onlyProblem(t, Source{Environ: enough(append(bucket, c.set)...)}); got != c.want {
			t.Errorf("%s: got %s", c.set, got)
		}
	}
	for _, c := range []struct{ set, want string }{
		{"S3_BUCKET=s3://Hunter2", "S3_BUCKET: doesn't name a bucket; use the form s3://bucket/prefix; a bucket's name has 3 to 63 small letters, digits, hyphens and dots"},
		{"S3_REGION=eu", "S3_BUCKET: is not set, but S3_ENDPOINT or S3_REGION is; name the bucket for backups, or remove the others"},
	} {
		if got := onlyProblem(t, Source{Environ: enough(c.set, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")}); got != c.want {
			t.Errorf("%s: got %s", c.set, got)
		}
	}
	if got, want := onlyProblem(t, Source{Environ: enough(bucket[:2]...)}), "AWS_SECRET_ACCESS_KEY: is not set, but S3_BUCKET is; set it to the key for the bucket, or S3_CREDENTIALS to role"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestAWrongSettingHidesNoOtherAndIsNotCalledMissing(t *testing.T) {
	t.Parallel()
	const bucket = "S3_BUCKET: doesn't name a bucket; use the form s3://bucket/prefix; a bucket's name has 3 to 63 small letters, digits, hyphens and dots"
	const keys = "AWS_ACCESS_KEY_ID: is not set, but S3_BUCKET is; set it to the key for the bucket, or S3_CREDENTIALS to role\n" +
		"AWS_SECRET_ACCESS_KEY: is not set, but S3_BUCKET is; set it to the key for the bucket, or S3_CREDENTIALS to role"
	const smtp = "SMTP_URL=smtp://u:hunter2@mail.example.com"
	for _, c := range []struct {
		set  []string
		want string
	}{
		{[]string{smtp, "MAIL_FROM=a@example.com", "PUBLIC_URL=hunter2"}, "PUBLIC_URL: is not an absolute http or https URL; use the form https://app.example.com"},
		{[]string{smtp, "MAIL_FROM=hunter2", "PUBLIC_URL=https://app.example.com"}, "MAIL_FROM: is not an e-mail address; use the form name@example.com, or 'Name <name@example.com>'"},
		{[]string{"SMTP_URL=http://u:hunter2@mail.example.com", "PUBLIC_URL=https://app.example.com"}, "SMTP_URL: is not a mail server's URL; use smtp://user:password@host:587 or smtps://user:password@host:465; write special characters of the password as %XX\n" +
			"MAIL_FROM: is not set, but SMTP_URL is; set it to the address that mails come from"},
		{[]string{"S3_BUCKET=s3://Hunter2"}, bucket + "\n" + keys},
		{[]string{"S3_BUCKET=hunter2", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b"}, bucket},
		{[]string{"S3_REGION=hunter 2"}, "S3_BUCKET: is not set, but S3_ENDPOINT or S3_REGION is; name the bucket for backups, or remove the others\n" +
			"S3_REGION: is not the name of a region; use one such as eu-central-1"},
		{[]string{"ADDR=hunter2", "PORT=8080"}, "ADDR: is not host:port; use host:port or :port, such as 127.0.0.1:8080, :8080 or [::1]:8080\n" +
			"PORT: is set together with ADDR; keep one of them"},
	} {
		problems := problemsOf(t, Source{Environ: enough(c.set...)})
		if got := problems.Error(); got != c.want {
			t.Errorf("%v: got\n%s\nwant\n%s", c.set, got, c.want)
		}
	}
	lost := Source{Environ: enough(smtp, "S3_BUCKET=s3://b-1"), EnvFile: filepath.Join(t.TempDir(), "lost")}
	if got := onlyProblem(t, lost); !strings.HasPrefix(got, "--env-file: ") {
		t.Errorf("with an env file that can't be read: %s", got)
	}
	if _, err := LoadSome(Source{Environ: []string{"S3_BUCKET=s3://b-1", smtp}}, "data"); err != nil {
		t.Errorf("a command that needs neither: %v", err)
	}
}

func TestABucketIsOpenedByKeysOrByARole(t *testing.T) {
	t.Parallel()
	settings, err := Load(Source{Environ: enough("S3_BUCKET=s3://b-1/p", "S3_CREDENTIALS=role")})
	if err != nil || !settings.Backup.S3.Role {
		t.Errorf("a role: %+v, %v", settings.Backup.S3, err)
	}
	settings, err = Load(Source{Environ: enough("S3_BUCKET=s3://b-1/p", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_SESSION_TOKEN=c")})
	if err != nil || settings.Backup.S3.Role || settings.Backup.S3.SessionToken.Reveal() != "c" {
		t.Errorf("a temporary key: %+v, %v", settings.Backup.S3, err)
	}
	for set, want := range map[string]string{
		"S3_CREDENTIALS=hunter2":                  "S3_CREDENTIALS: is neither keys nor role; use role for the role of the machine, or leave it out",
		"S3_CREDENTIALS=role AWS_ACCESS_KEY_ID=a": "AWS_ACCESS_KEY_ID: is set together with S3_CREDENTIALS=role; keep one of them",
	} {
		if got := onlyProblem(t, Source{Environ: enough(append(strings.Fields(set), "S3_BUCKET=s3://b-1/p")...)}); got != want {
			t.Errorf("%s: got %s", set, got)
		}
	}
}

func TestBackupsAreSetUp(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keys := write(t, "keys.txt", "# created: today\n# public key: "+identity.Recipient().String()+"\n"+identity.String()+"\n")
	settings, err := Load(Source{Environ: enough("BACKUP_DIR=/backups", "BACKUP_SCHEDULE=CRON_TZ=UTC 30 4 * * 0", "BACKUP_RETENTION_DAYS=30",
		"BACKUP_AGE_RECIPIENTS="+identity.Recipient().String(), "BACKUP_AGE_IDENTITY_FILE="+keys,
		"S3_BUCKET=s3://backups/manus/eu/", "S3_ENDPOINT=https://s3.example.com:9000/", "S3_REGION=eu", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")})
	if err != nil {
		t.Fatal(err)
	}
	b := settings.Backup
	if b.Dir != "/backups" || b.RetentionDays != 30 || len(b.Recipients) != 1 || b.Identity.Empty() || !b.Policy.Verify {
		t.Errorf("got %+v", b)
	}
	if b.S3.Bucket != "backups" || b.S3.Prefix != "manus/eu" || b.S3.Endpoint != "https://s3.example.com:9000" || b.S3.AccessKey.Reveal() != "a" {
		t.Errorf("got %+v", b.S3)
	}
	saturday := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	if next := b.Schedule.Next(saturday); !next.Equal(time.Date(2026, 11, 29, 4, 30, 0, 0, time.UTC)) {
		t.Errorf("the next run is at %v", next)
	}
}

func TestABucketOfTheMachineItselfNeedsNoTLS(t *testing.T) {
	t.Parallel()
	settings, err := Load(Source{Environ: enough("S3_BUCKET=s3://b-1", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "S3_ENDPOINT=http://127.0.0.1:9000")})
	if err != nil || settings.Backup.S3.Endpoint != "http://127.0.0.1:9000" {
		t.Errorf("got %q, %v", settings.Backup.S3.Endpoint, err)
	}
}

// A command that works beside a server finds its store by the server's own settings,
// unless it is told of another.
func TestACommandFindsTheStore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		environ, folder string
		dataDir, mongo  string
	}{
		{"", "", "./data", ""},
		{"DATA_DIR=/srv/manus", "", "/srv/manus", ""},
		{"MONGODB_URI=mongodb://db/shop", "", "./data", "mongodb://db/shop"},
		{"DATA_DIR=/srv/manus", "/tmp/other", "/tmp/other", ""},
		{"MONGODB_URI=mongodb://db/shop", "/tmp/other", "/tmp/other", ""},
		{"LOG_LEVEL=not asked for", "", "./data", ""},
	} {
		s, err := LoadSome(Source{Environ: []string{c.environ}}, c.folder)
		if err != nil || s.DataDir != c.dataDir || s.MongoDB.Reveal() != c.mongo {
			t.Errorf("%s, told of %q: got %q, %q, %v", c.environ, c.folder, s.DataDir, s.MongoDB.Reveal(), err)
		}
	}
}

func TestACommandFindsTheBackups(t *testing.T) {
	t.Parallel()
	bucket := []string{"S3_BUCKET=s3://b-1", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b"}
	for _, c := range []struct {
		environ     []string
		dir, bucket string
	}{
		{nil, "data/backups", ""},
		{[]string{"DATA_DIR=/srv/manus"}, "/srv/manus/backups", ""},
		{[]string{"BACKUP_DIR=/backups"}, "/backups", ""},
		{bucket, "", "b-1"},
		{append(bucket, "BACKUP_DIR=/backups", "MONGODB_URI=mongodb://db/shop"), "/backups", "b-1"},
	} {
		s, err := LoadBackup(Source{Environ: c.environ}, "")
		if err != nil || s.Backup.Dir != c.dir || s.Backup.S3.Bucket != c.bucket {
			t.Errorf("%v: got %q, %q, %v", c.environ, s.Backup.Dir, s.Backup.S3.Bucket, err)
		}
	}
	for set, want := range map[string]string{
		"MONGODB_URI=mongodb://db/shop": "BACKUP_DIR: is not set, and neither is S3_BUCKET; name the folder or the bucket for backups",
		"BACKUP_RETENTION_DAYS=0":       "BACKUP_RETENTION_DAYS: is not a number of days; use a whole number from 1 to 36500",
	} {
		if _, err := LoadBackup(Source{Environ: []string{set}}, ""); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", set, err)
		}
	}
}

func TestTheTableIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, row := range table() {
		// LOGO_FILE is the path of a picture, and there is no LOGO that a file could have.
		if value, isFile := strings.CutSuffix(row.name, fileSuffix); seen[row.name] || isFile && (row.parse != nil && row.name != "LOGO_FILE" || seen[value]) {
			t.Errorf("%s is there twice or is another's file", row.name)
		}
		seen[row.name] = true
		if row.parse == nil && row.help == "" { // of a coming version
			continue
		}
		if row.help == "" || row.parse == nil || row.required != (row.mend != "") {
			t.Errorf("%s lacks its help, its parser or its mend", row.name)
		}
		if row.fallback != "" {
			if problem := row.parse(new(Settings), row.fallback); problem != nil {
				t.Errorf("%s refuses its own default: %v", row.name, problem)
			}
		}
		if row.example != "" {
			if problem := row.parse(new(Settings), row.example); problem != nil {
				t.Errorf("%s refuses its own example: %v", row.name, problem)
			}
		}
	}
}

func TestMailNeedsASenderAndAPublicURL(t *testing.T) {
	t.Parallel()
	_, err := Load(Source{Environ: enough("SMTP_URL=smtp://u:hunter2@mail.example.com")})
	const want = "PUBLIC_URL: is not set, but SMTP_URL is, and mails have links in them; set it to the URL under which users reach the server\n" +
		"MAIL_FROM: is not set, but SMTP_URL is; set it to the address that mails come from"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if _, err := Load(Source{Environ: enough("SMTP_URL=smtp://u:hunter2@mail.example.com", "MAIL_FROM=a@example.com", "PUBLIC_URL=https://app.example.com")}); err != nil {
		t.Error(err)
	}
}

func TestTheStatusPagesHostIsItsOwn(t *testing.T) {
	t.Parallel()
	environ := func(status string) []string {
		return []string{"JWT_SECRET_KEY=" + RandomSecret().Reveal(), "DATA_DIR=/srv/manus", "PUBLIC_URL=https://app.example.com", "STATUS_URL=" + status}
	}
	s, err := Load(Source{Environ: environ("https://Status.example.com:8443/")})
	if err != nil || s.StatusURL != "https://status.example.com:8443" || s.StatusHost() != "status.example.com" {
		t.Errorf("%q %q %v", s.StatusURL, s.StatusHost(), err)
	}
	for _, wrong := range []string{"https://app.example.com:8443", "https://status.example.com/page", "status.example.com"} {
		if _, err := Load(Source{Environ: environ(wrong)}); err == nil || !strings.Contains(err.Error(), "STATUS_URL") {
			t.Errorf("%s is taken: %v", wrong, err)
		}
	}
}

func TestWhoAlertsNobodyNeedsNoSecretOfAChannel(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "manus.yaml")
	file := "monitors: [{id: shop, type: http, url: \"https://shop.example.com\"}]\nalerts: {channels: [{id: pager, type: pagerduty}]}\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	source := Source{ConfigFile: path, Environ: []string{"PROBE_NAME=frankfurt", "MONGODB_URI=mongodb://db.example.com/manus", "MONITOR_SHOP_SECRET=s3cret"}}
	for name, load := range map[string]func(Source, string) (Settings, error){"monitors": LoadMonitors, "watch": LoadWatch} {
		s, err := load(source, "data")
		if err != nil || len(s.Monitors) != 1 || len(s.MonitorSecrets) != 1 || len(s.Alerts.Policy.Channels) != 0 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if _, err := LoadAlerts(source, "data"); err == nil {
		t.Error("what alerts does without the secret")
	}
}
