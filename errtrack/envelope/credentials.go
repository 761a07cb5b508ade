package envelope

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Auth is who sends, by their own account.
type Auth struct {
	// Key is the public key of a project's DSN. It is no secret: browsers have it.
	Key string
	// Client is the SDK's name and version, such as "sentry.go/0.50.0"; empty where it
	// doesn't say.
	Client string
	// Project is the project's id where a DSN names it.
	Project string
}

// ErrNoCredentials is that nothing says who sends.
var ErrNoCredentials error = &Error{Status: http.StatusUnauthorized, Detail: "there are no credentials: send the DSN's key in X-Sentry-Auth or in sentry_key of the query"}

const (
	maxAuth = 4 << 10 // of a header, a query or a DSN, in bytes
	maxName = 128     // of a key, a client or a project
)

// Credentials are those of the request: the header X-Sentry-Auth, or else Authorization
// with the scheme Sentry, or else sentry_key of the query. The first that is there counts,
// even if it is malformed. Its error is an [*Error] with status 401: [ErrNoCredentials]
// where none is there, and the envelope's header may have them ([Header.Credentials]).
func Credentials(r *http.Request) (Auth, error) {
	if header := r.Header.Get("X-Sentry-Auth"); header != "" {
		return parseAuth(header)
	}
	if header := r.Header.Get("Authorization"); hasScheme(header) {
		return parseAuth(header)
	}
	if len(r.URL.RawQuery) > maxAuth {
		return Auth{}, unauthorized("the query is too long to look for a key in it")
	}
	if query := r.URL.Query(); query.Has("sentry_key") {
		return newAuth(query.Get("sentry_key"), query.Get("sentry_client"), "")
	}
	return Auth{}, ErrNoCredentials
}

// Credentials are those of the DSN in the envelope's header, which SDKs send that can't set
// headers, and tunnels pass on. Its error is as that of the function [Credentials].
func (h Header) Credentials() (Auth, error) {
	if h.DSN == "" {
		return Auth{}, ErrNoCredentials
	}
	dsn, err := url.Parse(h.DSN)
	if err != nil || len(h.DSN) > maxAuth || dsn.Host == "" {
		return Auth{}, unauthorized("the dsn of the envelope's header isn't one")
	}
	client := h.SDKName
	if h.SDKVersion != "" {
		client += "/" + h.SDKVersion
	}
	return newAuth(dsn.User.Username(), client, path.Base(dsn.Path))
}

// parseAuth reads "Sentry sentry_key=…, sentry_client=…".
func parseAuth(header string) (Auth, error) {
	if len(header) > maxAuth || !hasScheme(header) {
		return Auth{}, unauthorized("the authentication header doesn't begin with the word Sentry, or is too long")
	}
	var key, client string
	for pair := range strings.SplitSeq(header[len(scheme):], ",") {
		name, value, _ := strings.Cut(pair, "=")
		switch strings.TrimSpace(name) {
		case "sentry_key":
			key = strings.TrimSpace(value)
		case "sentry_client":
			client = strings.TrimSpace(value)
		}
	}
	return newAuth(key, client, "")
}

const scheme = "Sentry "

func hasScheme(header string) bool {
	return len(header) > len(scheme) && strings.EqualFold(header[:len(scheme)], scheme)
}

// newAuth checks what is looked up or logged later on.
func newAuth(key, client, project string) (Auth, error) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	if !consistsOf(key, letters) {
		return Auth{}, unauthorized("the key isn't one")
	}
	if !consistsOf(project, letters) {
		project = ""
	}
	if !consistsOf(client, letters+"./:@+ ()") {
		client = ""
	}
	return Auth{Key: key, Client: client, Project: project}, nil
}

func consistsOf(text, letters string) bool {
	return text != "" && len(text) <= maxName && strings.Trim(text, letters) == ""
}

func unauthorized(detail string) error {
	return &Error{Status: http.StatusUnauthorized, Detail: detail}
}
