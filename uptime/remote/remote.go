// Package remote is the server as a place reaches it that watches elsewhere: over HTTP, with
// an API key. The server's API may be behind anything, so what it answers is bounded, and its
// answers are told from those of what stands between.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"manus/internal/guard"
	"manus/uptime"
)

// Server is a server that is reached by its URL. It is a [uptime.Server].
type Server struct {
	url, key, agent string
	client          *http.Client
	log             *slog.Logger
}

const (
	timeout   = 15 * time.Second
	maxAnswer = 16 << 20 // a list as long as can be
	maxDetail = 4 << 10  // of what a refusal says
)

// New is the server at a URL, such as https://app.example.com, for who has the key. The
// version is of the program.
func New(server, key, version string, log *slog.Logger) *Server {
	dialer := &net.Dialer{Timeout: timeout, Control: guard.Control(true)}
	return &Server{
		url: strings.TrimSuffix(server, "/"), key: key, agent: "Manus/" + version, log: log,
		client: &http.Client{
			Timeout:       timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the key is the server's alone
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
				IdleConnTimeout: time.Minute, TLSHandshakeTimeout: timeout,
			},
		},
	}
}

// CheckURL returns what is wrong with a server's URL. Only to this machine and by names and
// addresses without TLS a key goes in the clear; IsClear tells.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("is no URL of a server")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("has more than scheme, host, port and path")
	}
	return nil
}

// IsClear tells whether what goes to a server can be read on the way: by http to another
// machine.
func IsClear(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

// Watched is what a place watches, as far as this version of the program can watch it.
func (s *Server) Watched(ctx context.Context, place string) (list uptime.Watchlist, err error) {
	err = s.call(ctx, http.MethodGet, "/monitors?place="+url.QueryEscape(place), nil, &list)
	list.Monitors = slices.DeleteFunc(list.Monitors, func(m uptime.Monitor) bool {
		m.Parent = "" // which may be watched from elsewhere
		problems := uptime.Policy{m}.Problems()
		if len(problems) > 0 {
			s.log.ErrorContext(ctx, "the server lists a monitor that this version can't watch", "problem", problems[0])
		}
		return len(problems) > 0
	})
	return list, err
}

// HandIn hands in what a place tells.
func (s *Server) HandIn(ctx context.Context, r uptime.Report) (receipt uptime.Receipt, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return receipt, err
	}
	err = s.call(ctx, http.MethodPost, "/results", body, &receipt)
	return receipt, err
}

// prefix is before the paths that a place asks for, PagePath is that of what the status page
// tells, and ShownPath of what strangers are shown, all below the API's.
const (
	prefix    = "/ops/probe"
	PagePath  = prefix + "/status"
	ShownPath = PagePath + "/shown"
)

// Page reads what the status page tells, and how it looks.
func (s *Server) Page(ctx context.Context, page any) error {
	return s.call(ctx, http.MethodGet, "/status", nil, page)
}

// Shown reads what strangers should be shown of it.
func (s *Server) Shown(ctx context.Context, shown any) error {
	return s.call(ctx, http.MethodGet, "/status/shown", nil, shown)
}

func (s *Server) call(ctx context.Context, method, path string, body []byte, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, s.url+"/api/v1"+prefix+path, bytes.NewReader(body))
	if err != nil {
		return errors.New("PROBE_SERVER is no URL")
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	request.Header.Set("User-Agent", s.agent)
	request.Header.Set("Accept-Language", "en")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("the server can't be reached: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return refusal(response)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("what PROBE_SERVER answers isn't Manus's: %w", err)
	}
	return nil
}

// refusal is the error of an answer.
func refusal(response *http.Response) error {
	var problem struct{ Type, Detail string }
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxDetail))
	_ = json.Unmarshal(text, &problem)                                // of something else on the way there is nothing to say
	name := problem.Type[strings.LastIndexAny(problem.Type, "/#")+1:] // after # in those of before
	switch known := byName[name]; {
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		return uptime.ErrNotAllowed
	case known != nil:
		return known
	case response.StatusCode == http.StatusRequestEntityTooLarge, response.StatusCode == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: the server says %d %q; are both of the same version?", uptime.ErrReport, response.StatusCode, problem.Detail)
	case response.StatusCode == http.StatusNotFound:
		return errors.New("there is no Manus that takes results at PROBE_SERVER: it is another server, or an earlier version")
	}
	return fmt.Errorf("the server answers %d %.100q", response.StatusCode, problem.Detail)
}

// byName are the refusals that the API has names for.
var byName = map[string]error{"place-taken": uptime.ErrPlaceTaken, "place-key": uptime.ErrPlaceKey, "own-place": uptime.ErrOwnPlace, "too-many-places": uptime.ErrTooManyPlace}
