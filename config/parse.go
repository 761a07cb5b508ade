package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"filippo.io/age"
	"golang.org/x/net/idna"

	"manus/backup"
	"manus/design"
	"manus/errtrack/report"
	"manus/internal/cron"
	"manus/internal/redisclient"
)

// Names of an environment, a bucket, a region and a database. S3 allows as much; see
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html. A
// database's are those that every system takes, MongoDB's own left out.
var (
	environmentName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	bucketName      = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionName      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	databaseName    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)
)

func isDatabase(name string) bool {
	return databaseName.MatchString(name) && name != "admin" && name != "local" && name != "config"
}

// take puts a value in its place if it is right.
func take[T any](out *T, value T, right bool, wrong, mend string) *Problem {
	if !right {
		return bad(wrong, mend)
	}
	*out = value
	return nil
}

// takeList takes a list, each item as parse takes it, if all are right.
func takeList[T any](out *[]T, text string, parse func(out *T, item string) *Problem) *Problem {
	items := splitList(text)
	list := make([]T, len(items))
	for i, item := range items {
		if problem := parse(&list[i], item); problem != nil {
			problem.Wrong = entry(i) + " " + problem.Wrong
			return problem
		}
	}
	*out = list
	return nil
}

func parseFolder(out *string, text string) *Problem {
	info, err := os.Stat(text)
	return take(out, filepath.Clean(text), err != nil || info.IsDir(), "is not a folder", "name a folder, or a path where one can be made")
}

func parseAddress(out *string, text string) *Problem {
	const mend = "use host:port or :port, such as 127.0.0.1:8080, :8080 or [::1]:8080"
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return bad("is not host:port", mend)
	}
	number, ok := portNumber(port)
	if !ok {
		return bad("has no port from 0 to 65535", mend)
	}
	if host != "" {
		if host, ok = hostName(host); !ok {
			return bad("has a host that is neither an IP address nor a name", mend)
		}
	}
	*out = net.JoinHostPort(host, number)
	return nil
}

func parsePort(out *string, text string) *Problem {
	number, ok := portNumber(text)
	return take(out, ":"+number, ok, "is not a port", "use a number from 0 to 65535, such as 8080")
}

func parseOpsAddress(out *string, text string) *Problem {
	if text == "off" {
		return nil
	}
	problem := parseAddress(out, text)
	if problem != nil {
		problem.Mend = "use host:port, such as 127.0.0.1:9090, or off"
	}
	return problem
}

func parseRedis(out *Secret, text string) *Problem {
	for one := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Hostname() == "" {
			return bad("is not a redis:// or rediss:// URL, or several separated by commas", "use the form redis://user:password@host:6379")
		}
	}
	if _, err := redisclient.New(text); err != nil { // it is asked, too, so that it refuses nothing later
		return bad("has a database or a parameter that isn't one", "use the form redis://user:password@host:6379/0")
	}
	*out = NewSecret(text)
	return nil
}

// parseMongoDB takes the database that the URI names, too, where it isn't one of
// MongoDB's own: those stand there for signing in.
func parseMongoDB(s *Settings, text string) *Problem {
	const mend = "use the form mongodb://user:password@host:27017/database, and write special characters of the password as %XX"
	scheme, rest, _ := strings.Cut(text, "://")
	if scheme != "mongodb" && scheme != "mongodb+srv" {
		return bad("is not a mongodb:// or mongodb+srv:// URI", mend)
	}
	rest, _, _ = strings.Cut(rest, "?")
	hosts, path, _ := strings.Cut(rest, "/")
	if hosts[strings.LastIndex(hosts, "@")+1:] == "" {
		return bad("names no host", mend)
	}
	s.MongoDatabase, s.MongoUnnamed = "manus", true
	if isDatabase(path) {
		s.MongoDatabase, s.MongoUnnamed = path, false
	}
	s.MongoDB = NewSecret(text)
	return nil
}

func parseSchedule(out **cron.Schedule, text string) *Problem {
	if text == "off" {
		return nil
	}
	schedule, err := backup.ParseSchedule(text)
	return take(out, schedule, err == nil, "is not a schedule that ever comes round", "use five fields as in a crontab, such as '0 2 * * *' for two o'clock every night, or off")
}

func parseDays(out *int, text string) *Problem {
	const most = 36500
	days, err := strconv.Atoi(text)
	return take(out, days, err == nil && days >= 1 && days <= most, "is not a number of days", fmt.Sprintf("use a whole number from 1 to %d", most))
}

func parseDSN(out *Secret, text string) *Problem {
	return take(out, NewSecret(text), report.CheckDSN(text) == nil, "is not a DSN", "use the one that Sentry shows for a project, such as https://public-key@sentry.example.com/1")
}

func parseShare(out *float64, text string) *Problem {
	share, err := strconv.ParseFloat(text, 64)
	return take(out, share, err == nil && share >= 0 && share <= 1, "is not a share", "use a number from 0 to 1, such as 0.1")
}

func parseRecipients(out *backup.Recipients, text string) *Problem {
	var recipients backup.Recipients
	problem := takeList((*[]age.Recipient)(&recipients), text, func(out *age.Recipient, item string) *Problem {
		recipient, err := backup.ParseRecipient(item)
		return take(out, recipient, err == nil, "is not a public key of age or SSH", "use what 'age-keygen' prints as the public key, which begins with age1, or the line of an id_ed25519.pub or id_rsa.pub")
	})
	if problem != nil {
		return problem
	}
	return take(out, recipients, recipients.Check() == nil, "has keys that can't be used together", "use only keys of one kind, those of post-quantum encryption (age1pq1…) or the others")
}

func parseIdentity(out *Secret, text string) *Problem {
	_, err := backup.ParseIdentities(text)
	return take(out, NewSecret(text), err == nil, "is not a secret key of age or SSH", "use the file that 'age-keygen' writes, with a line that begins with AGE-SECRET-KEY-, or an id_ed25519 or id_rsa that has no passphrase")
}

func parseBucket(out *S3, text string) *Problem {
	path, isURL := strings.CutPrefix(text, "s3://")
	bucket, prefix, _ := strings.Cut(path, "/")
	if !isURL || !bucketName.MatchString(bucket) {
		return bad("doesn't name a bucket", "use the form s3://bucket/prefix; a bucket's name has 3 to 63 small letters, digits, hyphens and dots")
	}
	out.Bucket, out.Prefix = bucket, strings.Trim(prefix, "/")
	return nil
}

func parseEndpoint(out *string, text string) *Problem {
	const mend = "use the form https://s3.example.com"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return bad("is not an absolute http or https URL", mend)
	case u.User != nil:
		return bad("has a user name or a password in it", "use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for them")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return bad("has a path, a query or a fragment", mend)
	}
	*out = u.Scheme + "://" + u.Host
	return nil
}

func parsePublicURL(out *string, text string) *Problem {
	const mend = "use the form https://app.example.com"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return bad("is not an absolute http or https URL", mend)
	case u.User != nil:
		return bad("has a user name or a password in it", mend)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return bad("has a path, a query or a fragment", mend)
	}
	host, ok := hostName(u.Hostname())
	if !ok {
		return bad("has a host that is neither an IP address nor a name", mend)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if strings.HasSuffix(u.Host, ":") || u.Port() != "" {
		port, ok := portNumber(u.Port())
		if !ok || port == "0" {
			return bad("has no port from 1 to 65535", mend)
		}
		host += ":" + port
	}
	*out = u.Scheme + "://" + host
	return nil
}

// parseOrigin reads an origin as browsers write it: without the scheme's own port.
// parseName reads what something is called: one line.
func parseName(out *string, text string) *Problem {
	printable := !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
	return take(out, text, printable && utf8.RuneCountInString(text) <= maxName, "is no name", "use one line of at most 100 characters")
}

const maxName = 100

// parseLogo reads a picture from the file that is named.
func parseLogo(out *design.Picture, text string) *Problem {
	picture, err := design.ReadPicture(text)
	if err != nil {
		wrong, mend, _ := strings.Cut(err.Error(), "; ")
		return bad(wrong, cmp.Or(mend, "name another file"))
	}
	*out = picture
	return nil
}

// mailDomain is the domain of e-mail addresses.
var mailDomain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

func parseDomain(out *string, text string) *Problem {
	text = strings.ToLower(text)
	return take(out, text, mailDomain.MatchString(text), "is not a domain", "use what stands behind the @ of addresses, such as example.com; write other letters than a-z as xn--…")
}

func parseOrigin(out *string, text string) *Problem {
	problem := parsePublicURL(out, text)
	scheme, host, _ := strings.Cut(*out, "://")
	*out = scheme + "://" + strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[scheme])
	return problem
}

// androidApp is the origin of an Android app: the SHA-256 of its signing certificate.
var androidApp = regexp.MustCompile(`^android:apk-key-hash:[A-Za-z0-9_-]{43}$`)

// parsePasskeyOrigin reads an origin of a page or an app.
func parsePasskeyOrigin(out *string, text string) *Problem {
	if strings.HasPrefix(text, "android:") {
		return take(out, text, androidApp.MatchString(text), "is not the origin of an app", "use android:apk-key-hash: and the base64url of the certificate's SHA-256, without '='")
	}
	return parseOrigin(out, text)
}

// parseNetwork reads a CIDR or a single address. A network of IPv4 written inside
// IPv6 becomes the IPv4 one, which is how clients' addresses are compared.
func parseNetwork(out *netip.Prefix, text string) *Problem {
	network, err := netip.ParsePrefix(text)
	if address, addressErr := netip.ParseAddr(text); addressErr == nil && address.Zone() == "" {
		network, err = netip.PrefixFrom(address, address.BitLen()), nil
	}
	if err != nil {
		return bad("is not a network", "use CIDR notation, such as 10.0.0.0/8 or 2001:db8::/32")
	}
	if network.Addr().Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	return take(out, network.Masked(), network.Bits() > 0, "is the whole internet, so that anybody could claim any address", "name only your own proxies' networks")
}

func parseLevel(out *slog.Level, text string) *Problem {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[strings.ToLower(text)]
	return take(out, level, ok, "is not a level", "use debug, info, warn or error")
}

func parseChecks(out *[]string, text string) *Problem {
	var checks []string
	for i, item := range splitList(text) {
		if item == "mongodb" { // as /ready calls it
			item = "database"
		}
		if !slices.Contains([]string{"database", "redis", "stripe"}, item) {
			return bad(entry(i)+" is not a check", "use database, redis or stripe, separated by commas")
		}
		if !slices.Contains(checks, item) {
			checks = append(checks, item)
		}
	}
	*out = checks
	return nil
}

func parseDuration(out *time.Duration, text string, least, most time.Duration) *Problem {
	short := func(d time.Duration) string { return strings.Replace(d.String(), "m0s", "m", 1) }
	mend := fmt.Sprintf("use a number with its unit from %s to %s, such as 2s", short(least), short(most))
	d, err := time.ParseDuration(text)
	if err != nil {
		return bad("is not a duration", mend)
	}
	return take(out, d, d >= least && d <= most, "is out of range", mend)
}

// entry names a place in a list, from 0.
func entry(i int) string { return "entry " + strconv.Itoa(i+1) }

// splitList cuts at commas, without the white space around the items.
func splitList(text string) []string {
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// portNumber is a port in its plain form. Names such as http are none: what
// they mean differs between machines.
func portNumber(text string) (string, bool) {
	number, err := strconv.ParseUint(text, 10, 16)
	return strconv.FormatUint(number, 10), err == nil
}

// hostName is an IP address, or a DNS name in its ASCII form.
func hostName(text string) (string, bool) {
	if address, err := netip.ParseAddr(text); err == nil {
		return address.String(), true
	}
	name, err := idna.Lookup.ToASCII(text)
	return name, err == nil && name != "" && !strings.ContainsAny(name, ":/%")
}

// sameListener reports whether two host:port can't both be listened on, or
// would be one: a host that is not given is every host.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	plain := strings.NewReplacer("localhost", "127.0.0.1").Replace
	return everyHost(hostA) || everyHost(hostB) || plain(hostA) == plain(hostB)
}

func everyHost(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "" || err == nil && address.IsUnspecified()
}
