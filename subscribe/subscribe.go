// Package subscribe tells people who have asked for it of what the team publishes: by mail,
// which they have confirmed, and by webhooks that have answered. Each is told once of each
// notice, whatever is killed, and nobody of what was taken back by then.
//
// It doesn't know what is published: a notice is read anew, by who knows, when it is told.
package subscribe

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	stdmail "net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
	"manus/internal/seal"
	"manus/language"
	"manus/mail"
	"manus/queue"
)

// Subscriber is who is told. The store doesn't know the address.
type Subscriber struct {
	ID string `json:"_id"` // of the address, and not the address
	// Sealed has the address and the secret of the links, and KeyID what sealed them.
	Sealed []byte `json:"sealed"`
	KeyID  string `json:"key_id"`
	// ConfirmedAt is zero until the mailbox or the webhook's receiver has confirmed.
	ConfirmedAt docstore.Time `json:"confirmed_at,omitzero"`
	Wish        Wish          `json:"wish"` // as it was confirmed
	// Asked are the wishes that the address was written to about last, which wait to be confirmed:
	// each by the link of the mail that says it.
	Asked []asked `json:"asked,omitempty"`
	// ExpiresAt is when one that wasn't confirmed is removed.
	ExpiresAt docstore.Time `json:"expires_at,omitzero"`
	// Refused is how many notices in a row the address hasn't taken.
	Refused int64 `json:"refused,omitempty"`
	// Slow tells that a webhook's receiver took too long last, so that it is told beside others.
	Slow bool `json:"slow,omitempty"`
}

// asked is what somebody has asked for, and when.
type asked struct {
	ID   string        `json:"id"`
	At   docstore.Time `json:"at"`
	Wish Wish          `json:"wish"`
}

func (s Subscriber) last() asked { return s.Asked[len(s.Asked)-1] }

// Wish is what somebody wants to be told of.
type Wish struct {
	Components []string     `json:"components,omitempty"` // none: all
	Language   language.Tag `json:"language,omitempty"`
}

// wants tells whether a notice about components is wanted; none are all.
func (w Wish) wants(components []string) bool {
	return len(w.Components) == 0 || len(components) == 0 ||
		slices.ContainsFunc(components, func(c string) bool { return slices.Contains(w.Components, c) })
}

// DocumentID is the subscriber's id.
func (s Subscriber) DocumentID() string { return s.ID }

// private is what is sealed of a subscriber.
type private struct {
	Email  string `json:"email,omitempty"`
	URL    string `json:"url,omitempty"` // of a webhook
	Secret string `json:"secret"`        // of links
	// Key is what a webhook is signed with. One from before there were such keys has none, and is signed
	// as it was; Derived has it signed so as well once it was asked anew.
	Key     string `json:"key,omitempty"`
	Derived bool   `json:"derived,omitempty"`
}

const (
	byConfirmed = "by_confirmed"
	byExpiry    = "by_expiry"
	byKey       = "by_key"
)

var spec = docstore.Spec{Collection: "subscribers", Of: Subscriber{}, Indexes: []docstore.Index{
	{Name: byConfirmed, Fields: []string{"confirmed_at"}},
	{Name: byExpiry, Fields: []string{"expires_at"}},
	{Name: byKey, Fields: []string{"key_id"}},
}}

const (
	requestCollection  = "subscription_requests"
	noticeCollection   = "subscription_notices"
	deliveryCollection = "subscription_deliveries"
)

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec {
	return []docstore.Spec{spec, tallySpec, queue.Spec[request](requestCollection), queue.Spec[Ref](noticeCollection), queue.Spec[delivery](deliveryCollection)}
}

// Errors of the room.
var (
	// ErrAddress is for what is no e-mail address or webhook's address.
	ErrAddress = errors.New("that is no address that can be written to")
	// ErrLink is for a link that is wrong, has been used up or is too old.
	ErrLink = errors.New("the link doesn't hold any more")
	// ErrUnsubscribed is for a link that nobody can be told by, as it is wrong or was used already.
	ErrUnsubscribed = errors.New("nobody is told by the link")
	// ErrAskedOften is for an address that was written to often enough lately, ErrCrowded for a network that
	// asks too often, and ErrFull says that nobody new can be told; who is told already is asked all the same.
	ErrAskedOften = errors.New("the address was asked often enough")
	ErrCrowded    = errors.New("the network has asked often enough")
	ErrFull       = errors.New("nobody new can be told")
	// ErrNoMail is returned where there is no mail server.
	ErrNoMail = errors.New("there is no mail server")
)

// Bounds.
const (
	maxURL        = 2000
	maxComponents = 200 // as many as a page lists
	// confirmWithin is how long a link that confirms holds, and maxAsked how often an address
	// is written to about that in the time.
	confirmWithin = 24 * time.Hour
	maxAsked      = 3
	// maxRefused is how many notices in a row an address may refuse before it is erased.
	maxRefused = 5
	// remembered is how long what was told isn't told again; what is put together within
	// noticeLife.
	remembered = 24 * time.Hour
	// atOnce is how many mails, and webhooks, are under way at a time: fewer than the 50
	// connections that a mail server usually takes of a client.
	atOnce     = 48
	noticeLife = 6 * time.Hour
	// maxSubscribers is how many there may be, maxWaiting how many more may wait to be confirmed, and
	// recount how often they are counted.
	maxSubscribers = 100_000
	maxWaiting     = 10_000
	recount        = 10 * time.Minute
)

var validComponent = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Config is what a Service is made of.
type Config struct {
	Store docstore.Store
	// Secrets seal addresses; the first seals, the others only open.
	Secrets []string
	// Send sends a mail now; nil where there is no mail server.
	Send func(ctx context.Context, m mail.Message) error
	// Read is a notice as it is now; false where nothing is to be told of it any more. Errors
	// are tried again.
	Read func(ctx context.Context, ref Ref) (Notice, bool, error)
	// Names are what components are called; those that there aren't are left out. Nil: as their ids.
	Names func(ids []string) map[string]language.Text
	// Title is what the page is called; nil or empty: where it is.
	Title func() language.Text
	// Markdown makes HTML of what was said, whatever was written, and Plain what is read without HTML.
	Markdown func(text string) template.HTML
	Plain    func(text string) string
	// PageURL is where a notice's page is in a language; nil: below BaseURL.
	PageURL func(path string, tag language.Tag) string
	// BaseURL is the site's own address, without a slash at its end.
	BaseURL func() string
	// AllowPrivate lets webhooks be at addresses of the own network, and without TLS. Nil: never.
	AllowPrivate func() bool
	Version      string
	Metrics      prometheus.Registerer // nil: nobody counts
	Now          func() time.Time      // the clock; nil means time.Now
	Log          *slog.Logger

	most        int           // subscribers; zero: maxSubscribers
	mostWaiting int           // zero: maxWaiting
	quick       time.Duration // zero: quick
}

// Service has the subscribers. It is safe for concurrent use.
type Service struct {
	c           Config
	subscribers *docstore.Collection[Subscriber]
	tallies     *docstore.Collection[tally]
	box         *seal.Box
	requests    *queue.Queue[request]
	notices     *queue.Queue[Ref]
	deliveries  *queue.Queue[delivery]
	poster      poster
	crowd       crowd
	census      census
	taken       atomic.Int64 // when the mail server last took a mail, in milliseconds
}

// New makes a Service. The store's collections are declared already (Specs).
func New(c Config) (*Service, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.most == 0 {
		c.most = maxSubscribers
	}
	if c.mostWaiting == 0 {
		c.mostWaiting = maxWaiting
	}
	if c.AllowPrivate == nil {
		c.AllowPrivate = func() bool { return false }
	}
	if c.Plain == nil {
		c.Plain = func(text string) string { return text }
	}
	if c.Markdown == nil {
		c.Markdown = func(text string) template.HTML {
			return template.HTML("<p>" + template.HTMLEscapeString(text) + "</p>") //nolint:gosec // it is escaped
		}
	}
	if c.quick == 0 {
		c.quick = quick
	}
	box, err := seal.New(c.Secrets, spec.Collection)
	if err != nil {
		return nil, err
	}
	requests, err := seal.New(c.Secrets, requestCollection)
	if err != nil {
		return nil, err
	}
	s := &Service{c: c, subscribers: docstore.NewCollection[Subscriber](c.Store, spec), tallies: docstore.NewCollection[tally](c.Store, tallySpec), box: box, poster: newPoster(c)}
	s.requests = queue.New(queue.Config[request]{
		Store: c.Store, Collection: requestCollection, Noun: "request to be told", Work: s.answer, Seal: requests, Lifetime: time.Hour,
		Metrics: c.Metrics, Now: c.Now, Log: c.Log,
	})
	s.notices = queue.New(queue.Config[Ref]{
		Store: c.Store, Collection: noticeCollection, Noun: "notice", Work: s.spread, Lifetime: noticeLife, Timeout: 10 * time.Minute,
		RememberDone: remembered, Metrics: c.Metrics, Now: c.Now, Log: c.Log,
	})
	s.deliveries = queue.New(queue.Config[delivery]{
		Store: c.Store, Collection: deliveryCollection, Noun: "notice to a subscriber", Work: s.deliver, OnDiscard: s.discarded, Lifetime: remembered - noticeLife,
		RememberDone: remembered, PerLane: atOnce, Metrics: c.Metrics, Now: c.Now, Log: c.Log,
	})
	return s, nil
}

// Run answers requests and tells notices until ctx ends. Several copies of the program may
// run it.
func (s *Service) Run(ctx context.Context) {
	done := make(chan struct{})
	for _, run := range []func(context.Context){s.requests.Run, s.notices.Run, s.deliveries.Run} {
		go func() {
			defer func() { done <- struct{}{} }()
			run(ctx)
		}()
	}
	for range 3 {
		<-done
	}
}

// Sweep removes who hasn't confirmed in time, and seals anew what an earlier secret has sealed.
// It may be run by several copies at once and be cut short.
func (s *Service) Sweep(ctx context.Context) error {
	past := docstore.Query{Index: byExpiry, Until: docstore.At(s.c.Now())}
	_, err := s.subscribers.DeleteAll(ctx, past)
	_, tallied := s.tallies.DeleteAll(ctx, past)
	err = errors.Join(err, tallied)
	for _, jobs := range []func(context.Context) error{s.requests.Sweep, s.notices.Sweep, s.deliveries.Sweep, s.reseal} {
		err = errors.Join(err, jobs(ctx))
	}
	return err
}

func (s *Service) reseal(ctx context.Context) error {
	for _, others := range []docstore.Query{{Index: byKey, Until: s.box.KeyID()}, {Index: byKey, From: s.box.KeyID() + "\x00"}} {
		for sub, err := range s.subscribers.All(ctx, others) {
			if err != nil {
				return err
			}
			_, err := s.subscribers.Update(ctx, sub.ID, func(sub *Subscriber) error {
				p, err := s.open(*sub)
				if err != nil {
					return docstore.ErrUnchanged // by an earlier secret that isn't there any more
				}
				return s.close(sub, p)
			})
			if err := docstore.NotFoundAs(err, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) open(sub Subscriber) (p private, err error) {
	text, err := s.box.Open(sub.Sealed, sub.ID)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	return p, err
}

func (s *Service) close(sub *Subscriber, p private) error {
	text, err := json.Marshal(p)
	if err == nil {
		sub.Sealed, sub.KeyID = s.box.Seal(text, sub.ID), s.box.KeyID()
	}
	return err
}

// newSecret is a secret of a subscriber's.
func newSecret() string {
	var raw [24]byte
	_, _ = rand.Read(raw[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// A link's token is a subscriber's id and its secret.
const tokenPrefix = "su_"

func token(id, secret string) string { return tokenPrefix + id + "." + secret }

// byToken is whom a link's token is of. It returns ErrLink or an error of the store.
func (s *Service) byToken(ctx context.Context, text string) (Subscriber, error) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	id, secret, dot := strings.Cut(rest, ".")
	secret, _, _ = strings.Cut(secret, ".") // behind it is which wish a link confirms
	if !ok || !dot || len(id) > 100 || len(secret) > 100 || id == "" {
		return Subscriber{}, ErrLink
	}
	sub, err := s.subscribers.Get(ctx, id)
	if err != nil {
		return sub, docstore.NotFoundAs(err, ErrLink)
	}
	return sub, s.holds(sub, secret)
}

func (s *Service) holds(sub Subscriber, secret string) error {
	p, err := s.open(sub)
	expired := !sub.ExpiresAt.IsZero() && !s.c.Now().Before(sub.ExpiresAt.Time)
	if err != nil || expired || subtle.ConstantTimeCompare([]byte(p.Secret), []byte(secret)) != 1 {
		return ErrLink
	}
	return nil
}

// idOf is the same for all spellings of an address, and not the address.
func idOf(kind, key string) string {
	sum := sha256.Sum256([]byte(kind + " " + key))
	return hex.EncodeToString(sum[:16])
}

// readEmail is an e-mail address, and what is the same for its usual spellings.
func readEmail(text string) (address, key string, err error) {
	text = strings.TrimSpace(text)
	parsed, err := stdmail.ParseAddress(text)
	at := strings.LastIndexByte(text, '@')
	if err != nil || parsed.Address != text || len(text) > 254 || at < 1 || at > 64 || !strings.Contains(text[at:], ".") ||
		strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", "", ErrAddress
	}
	return text, strings.ToLower(text), nil
}

// readURL is a webhook's address.
func (s *Service) readURL(text string) (string, error) {
	text = strings.TrimSpace(text)
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !s.c.AllowPrivate()) {
		return "", ErrAddress
	}
	u.Host = strings.ToLower(u.Host)
	return u.String(), nil
}
