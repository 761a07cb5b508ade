package channels

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"manus/internal/dialerr"
	"manus/internal/guard"
	"manus/notify"
)

// receiver is who a message is posted to.
type receiver struct {
	// compose makes what is posted of a message.
	compose func(draft) request
	// took tells from what a receiver answers with a 2xx whether it took the message; nil
	// means that the 2xx is enough.
	took func(body []byte) bool
	// wait is for how many seconds a receiver that refuses says to be left alone in its
	// answer's body; nil, or zero where it doesn't.
	wait func(body []byte) float64
	// unusable are what the body of a 4xx has, in lower case, by which the receiver refuses
	// the address or the credential rather than the message. Some statuses say that by
	// themselves.
	unusable []string
	// every is the least time between two messages.
	every time.Duration
}

// request is what is posted: JSON.
type request struct {
	url    string
	header map[string]string
	body   []byte
}

// encode is JSON without HTML's escapes, which only make it longer.
func encode(v any) []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // texts and lists of them always can be
	return bytes.TrimSpace(body.Bytes())
}

// Bounds of an exchange.
const (
	exchangeTimeout = 10 * time.Second
	dialTimeout     = 5 * time.Second
	maxHeader       = 16 << 10
	maxBody         = 16 << 10
	maxExcerpt      = 200
	maxFault        = 400
	minWait         = time.Second
	maxWait         = time.Hour
)

// poster posts the messages of a channel.
type poster struct {
	receiver
	name   string
	agent  string
	client *http.Client
	hide   *strings.Replacer // what errors must not hold
	now    func() time.Time
	pace   pace
}

func newPoster(c notify.ChannelConfig, d Dependencies, r receiver) *poster {
	k, _ := kindOf(c.Type)
	return &poster{
		receiver: r, name: k.name, agent: strings.TrimSuffix("Manus/"+d.Version, "/"), client: newClient(c.AllowPrivate, d),
		hide: hider(c), now: d.Now, pace: pace{every: r.every},
	}
}

// newClient is a client that reaches only what the guard lets it. Proxies of the
// environment aren't used: they would be asked for a name, and dial what the guard can't
// see. HTTP/2 is left out, and so are answers that unpack to more than came.
func newClient(allowPrivate bool, d Dependencies) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, Control: guard.Control(allowPrivate), Resolver: d.resolver}
	return &http.Client{
		Timeout:       exchangeTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.roots},
			TLSHandshakeTimeout:    dialTimeout,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        time.Minute,
		},
	}
}

// Send posts a message.
func (p *poster) Send(ctx context.Context, m notify.Message) error {
	if err := p.pace.wait(ctx); err != nil {
		return err
	}
	a, err := p.exchange(ctx, p.compose(tidy(m)))
	if err != nil {
		return err
	}
	return p.judge(a)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte // its beginning
	torn   bool   // the body didn't come to its end
}

// exchange posts a request and reads the answer, within bounds of time and length.
func (p *poster) exchange(ctx context.Context, r request) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(r.body))
	if err != nil {
		return answer{}, notify.Refused(fmt.Errorf("the address of %s can't be read", p.name))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", p.agent)
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	response, err := p.client.Do(req)
	if err != nil {
		return answer{}, p.unreached(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	return answer{response.StatusCode, response.Header, body, err != nil}, nil
}

// unreached says why there is no answer.
func (p *poster) unreached(ctx context.Context, err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok { // which has the address in its text
		err = outer.Err
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s was not waited for: %w", p.name, context.Cause(ctx))
	case guard.Cause(err) != nil:
		return fmt.Errorf("the name of %s leads to %w", p.name, guard.Cause(err))
	case ok && timeout.Timeout():
		return fmt.Errorf("%s has not answered within %v", p.name, exchangeTimeout)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s closed the connection without an answer", p.name)
	}
	return p.fault("%s can't be reached: %v", p.name, dialerr.WithoutResolver(err))
}

// judge tells what an answer means: the one place that does, for all receivers.
func (p *poster) judge(a answer) error {
	switch {
	case a.status >= 200 && a.status <= 299:
		switch {
		case p.took == nil:
			return nil // the status is the answer
		case a.torn: // what is to say so is in the body, and a message that comes twice is better than none
			return p.fault("%s broke its answer off", p.name)
		case p.took(a.body):
			return nil
		}
		return p.fault("%s answered %d, but not that it took the message%s", p.name, a.status, p.excerpt(a))
	case a.status >= 300 && a.status <= 399:
		return p.fault("%s answered %d, a redirect, which isn't followed; set the address to the one it leads to", p.name, a.status)
	}
	err := p.fault("%s answered %d%s", p.name, a.status, p.excerpt(a))
	switch a.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if wait := p.asked(a); wait > 0 {
			return notify.Later(err, min(max(wait, minWait), maxWait))
		}
		return err
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return err
	}
	switch {
	case a.status < 400 || a.status > 499:
		return err
	case p.refusesAll(a):
		return notify.Unusable(notify.Refused(err))
	}
	return notify.Refused(err)
}

// refusesAll tells of a 4xx whether it is the address or the credential that is refused.
func (p *poster) refusesAll(a answer) bool {
	switch a.status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired, http.StatusGone:
		return true
	}
	body := strings.ToLower(string(a.body))
	return slices.ContainsFunc(p.unusable, func(piece string) bool { return strings.Contains(body, piece) })
}

// asked is how long the receiver asks to be left alone; zero where it doesn't say.
func (p *poster) asked(a answer) time.Duration {
	if p.wait != nil {
		if seconds := p.wait(a.body); seconds > 0 {
			return inSeconds(seconds)
		}
	}
	text := a.header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return inSeconds(seconds)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(p.now()), minWait)
	}
	return 0
}

// inSeconds is a number of seconds that somebody else has written; at least minWait, and
// bounded before it can overflow.
func inSeconds(seconds float64) time.Duration {
	if !(seconds >= 0) { // or not a number
		return 0
	}
	return max(time.Duration(min(seconds, maxWait.Seconds())*float64(time.Second)), minWait)
}

// excerpt is what an answer says, for people: ": " and its beginning, in a line. Secrets
// are replaced before it is cut, which would leave a piece of one.
func (p *poster) excerpt(a answer) string {
	text := oneLine(p.hide.Replace(string(a.body)), maxExcerpt)
	switch {
	case text == "":
		return ""
	case strings.HasPrefix(text, "<"):
		return " with a web page"
	}
	return ": " + text
}

// fault is an error in a line, without the channel's address and secret.
func (p *poster) fault(format string, args ...any) error {
	return errors.New(oneLine(p.hide.Replace(fmt.Sprintf(format, args...)), maxFault))
}

// Lengths from which a part of an address is a secret: the path as a whole, and a piece of
// it, of which shorter ones are words such as "services".
const (
	minPath  = 4
	minPiece = 12
)

// hider replaces a channel's secrets, and what of its addresses may be one, by "…".
func hider(c notify.ChannelConfig) *strings.Replacer {
	var secrets []string
	add := func(text string, least int) {
		if len(text) >= least {
			secrets = append(secrets, text, "…")
		}
	}
	topic := ""
	if c.Type == "ntfy" { // elsewhere the last piece may be a word, such as "hook"
		_, topic = splitTopic(c.URL)
	}
	_, withoutID, _ := strings.Cut(c.Secret, ":") // of a bot's token
	texts := append(splitKeys(c.Secret), c.URL, topic, withoutID)
	for _, text := range texts {
		add(text, minPath)
		add(strings.TrimPrefix(text, keyPrefix), minPath)
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			add(u.RequestURI(), minPath)
			add(u.EscapedPath(), minPath)
			for _, piece := range strings.FieldsFunc(u.RequestURI(), func(c rune) bool { return strings.ContainsRune("/?&=", c) }) {
				add(piece, minPiece)
			}
		}
	}
	return strings.NewReplacer(secrets...)
}

// pace keeps messages apart.
type pace struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time
}

// wait waits for the next message's turn, for as long as the context lasts.
func (p *pace) wait(ctx context.Context) error {
	left := p.take(time.Now())
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take takes a turn and returns how far off it is.
func (p *pace) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := max(p.next.Sub(now), 0)
	p.next = now.Add(left + p.every)
	return left
}
