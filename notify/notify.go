// Package notify brings alerts to people: what happened, under a key, goes by rules to
// channels, is kept until a channel has taken it, and ends with its end.
//
// It knows none of the events, and of the channels only what [Channel] says.
//
// # What is promised
//
// Once Tell has returned nil, what it told is in the store, and so is what is to be sent
// of it: a queue of alerts, each under a key made of the event's kind, subject, occurrence
// and of the channel. However often an event is told, and whatever is killed meanwhile, it
// is one alert. It is sent twice only when the program dies, or loses its store, between a
// receiver's having taken it and our having written that down; then with the same ID.
//
// The end of what happened goes where its beginning went and nowhere else. What is over
// before it was sent is sent once, as something that is over.
package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/audit"
	"manus/docstore"
	"manus/language"
	"manus/queue"
)

// Event is something that operators may have to know, and later that it is over.
type Event struct {
	// Kind is what has happened, such as "backup.failed"; see [Kinds].
	Kind string `json:"kind"`
	// Subject is what it has happened to, such as a monitor; empty where there is one only.
	Subject string `json:"subject,omitempty"`
	// Occurrence tells one time that it happens from the next: the second outage of a day
	// is another one. What tells of the end has the same.
	Occurrence string `json:"occurrence"`
	// Over is set for the end. The other fields are then of the end.
	Over bool `json:"over,omitempty"`
	// Unkept is set for an end whose beginning may have been told by [Service.TellNow],
	// which keeps nothing: where the beginning isn't known, its end goes to where that
	// would have gone, instead of nowhere.
	Unkept bool `json:"-"`
	// At is when it happened, or ended.
	At docstore.Time `json:"at"`
	// Level is how bad it is; empty is that of the kind.
	Level Level `json:"level,omitempty"`
	// Title is one line and Text a few sentences. Neither holds a secret or anybody's
	// address.
	Title language.Text `json:"title"`
	Text  language.Text `json:"text,omitzero"`
	URL   string        `json:"url,omitempty"`   // where to look
	Tried []string      `json:"tried,omitempty"` // what was tried before it was told
	Looks []Look        `json:"looks,omitempty"` // and when, and where from
	// What rules filter by.
	Project string `json:"project,omitempty"`
	// ProjectAlso are what else rules may call the project, such as its slug.
	ProjectAlso []string `json:"project_also,omitempty"`
	Environment string   `json:"environment,omitempty"`
	Monitor     string   `json:"monitor,omitempty"` // or the job, of check-ins
	// Components are all that it is about, as a monitor may be of several: a rule for any of
	// them takes it.
	Components []string `json:"components,omitempty"`
	Release    string   `json:"release,omitempty"`
	Tags       []Tag    `json:"tags,omitempty"`
	// Events and Within are the rule's of a spike that has met them.
	Events int           `json:"events,omitempty"`
	Within time.Duration `json:"within,omitempty"`
	// Before is, of an event of an issue, how many events that had before those that this one
	// tells of: a digest says how many there were since.
	Before int64 `json:"before,omitempty"`
}

// Look is one time that was looked at what an event is about, and what came of that.
type Look struct {
	At    docstore.Time `json:"at"`
	Place string        `json:"place,omitempty"` // where from, if there are several
	Found language.Text `json:"found"`
	Said  string        `json:"said,omitempty"` // by what was looked at
}

// line tells of a look, by the clocks of the operator's zone.
func (l Look) line(tag language.Tag, zone *time.Location) string {
	line := tag.Isolate(tag.ClockIn(l.At.Time, zone))
	if l.Place != "" {
		line += language.Text{En: ", from ", Ar: "، من "}.In(tag) + tag.Isolate(l.Place)
	}
	line += ": " + l.Found.In(tag)
	if l.Said != "" {
		line += language.Text{En: "; it said: ", Ar: "؛ وقال: "}.In(tag) + tag.Isolate(l.Said)
	}
	return line
}

// lines are what was tried, for people.
func (e Event) lines(tag language.Tag, zone *time.Location) []string {
	lines := slices.Clone(e.Tried)
	for _, l := range e.Looks {
		lines = append(lines, l.line(tag, zone))
	}
	return lines
}

// Tag is what an event says of where it happened, such as browser: chrome.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Key names the occurrence: the same for its beginning and its end.
func (e Event) Key() string { return strings.Join([]string{e.Kind, e.Subject, e.Occurrence}, "/") }

// Bounds of an event's texts, in characters, of what was tried, and of tags.
const (
	maxTitle = 300
	maxText  = 4000
	maxTried = 20
	maxTags  = 50
	maxTag   = 200
)

// bounded is the event with what is too long cut, and all but its text in one line each.
func (e Event) bounded() Event {
	cut := func(t language.Text, n int) language.Text {
		return language.Text{En: language.Cut(t.En, n), Ar: language.Cut(t.Ar, n)}
	}
	e.Title.En, e.Title.Ar = language.Line(e.Title.En), language.Line(e.Title.Ar)
	e.Title, e.Text = cut(e.Title, maxTitle), cut(e.Text, maxText)
	e.Tried = append([]string(nil), e.Tried[:min(len(e.Tried), maxTried)]...)
	for i := range e.Tried {
		e.Tried[i] = language.Cut(language.Line(e.Tried[i]), maxTitle)
	}
	for _, value := range []*string{&e.Project, &e.Environment, &e.Monitor, &e.Release} { // which may be strangers'
		*value = language.Cut(language.Line(*value), maxTag)
	}
	e.Looks = append([]Look(nil), e.Looks[:min(len(e.Looks), maxTried-len(e.Tried))]...)
	for i, l := range e.Looks {
		e.Looks[i].Place, e.Looks[i].Said = language.Cut(language.Line(l.Place), maxTag), language.Cut(language.Line(l.Said), maxTitle)
		e.Looks[i].Found = cut(language.Text{En: language.Line(l.Found.En), Ar: language.Line(l.Found.Ar)}, maxTitle)
	}
	e.Components = append([]string(nil), e.Components[:min(len(e.Components), maxTags)]...)
	for i, component := range e.Components {
		e.Components[i] = language.Cut(language.Line(component), maxTag)
	}
	e.Tags = append([]Tag(nil), e.Tags[:min(len(e.Tags), maxTags)]...)
	for i, tag := range e.Tags {
		e.Tags[i] = Tag{language.Cut(language.Line(tag.Key), maxTag), language.Cut(language.Line(tag.Value), maxTag)}
	}
	return e
}

// ErrNoAlert is returned for an alert, a channel or an occurrence that there isn't.
var ErrNoAlert = errors.New("there is no such alert")

// Config is what a Service is made of.
type Config struct {
	Store docstore.Store
	Audit *audit.Log // nil: nothing is noted there
	// Policy is manus.yaml's, see SetPolicy; Channels makes the parts of a channel.
	Policy   Policy
	Channels func(ChannelConfig) ([]Channel, error)
	// Issue says how an issue stands, by the subject of its events; ErrNoAlert is that there is
	// none any more. nil: digests tell of issues as of all else.
	Issue func(ctx context.Context, subject string) (Standing, error)
	// Secrets sign the links by which alerts are acknowledged; the first signs.
	Secrets []string
	// PublicURL is where this program is reached; without one alerts have no links to it.
	PublicURL string
	// Source is what this installation is called in messages, such as "production
	// (app.example.com)"; empty leaves that out.
	Source  string
	Metrics prometheus.Registerer // nil: nobody counts
	Now     func() time.Time      // the clock; nil means time.Now
	Log     *slog.Logger
}

// Service is what events are told to. It is safe for concurrent use.
type Service struct {
	c           Config
	occurrences *docstore.Collection[occurrence]
	lanes       *docstore.Collection[laneState]
	held        *docstore.Collection[heldAlert]
	conditions  *docstore.Collection[condition]
	alerts      *queue.Queue[alert]
	rules       atomic.Pointer[routing]
	digests     chan struct{} // held by what puts a digest together
	metrics     metrics
}

// New makes a Service. The store's collections are declared already (Specs). Errors are
// those of the policy's channels.
func New(c Config) (*Service, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{
		c:           c,
		occurrences: docstore.NewCollection[occurrence](c.Store, occurrenceSpec),
		lanes:       docstore.NewCollection[laneState](c.Store, laneSpec),
		held:        docstore.NewCollection[heldAlert](c.Store, heldSpec),
		conditions:  docstore.NewCollection[condition](c.Store, conditionSpec),
		digests:     make(chan struct{}, 1),
		metrics:     newMetrics(c.Metrics),
	}
	s.alerts = queue.New(queue.Config[alert]{
		Store: c.Store, Collection: alertCollection, Noun: "alert", Work: s.deliver, OnDiscard: s.discarded,
		Timeout: sendTimeout, MaxAttempts: 0, PerLane: perLane, Overall: perLane * maxLanes, KeepDone: keepAlerts, KeepDead: keepAlerts,
		Metrics: c.Metrics, Now: c.Now, Log: c.Log,
	})
	return s, s.SetPolicy(c.Policy)
}

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec {
	return []docstore.Spec{occurrenceSpec, laneSpec, heldSpec, conditionSpec, queue.Spec[alert](alertCollection)}
}

const (
	alertCollection = "alerts"
	// perLane is how many messages are under way to a receiver at a time; and there is
	// room for as many on each lane that there may be, a mail channel having 20, so that
	// receivers that hang keep none from the others.
	perLane  = 4
	maxLanes = 20 * (maxChannels + 3)
	// sendTimeout bounds one attempt, and all writes about it.
	sendTimeout = 30 * time.Second
	// keepAlerts is how long alerts that were delivered or given up are listed, and events
	// are kept.
	keepAlerts = 30 * 24 * time.Hour
)

// occurrence is what an event's beginning and end have become.
type occurrence struct {
	ID         string        `json:"_id"`
	Event      Event         `json:"event"` // the beginning
	ReceivedAt docstore.Time `json:"received_at"`
	// End is the event that it is over, and Ended when it happened.
	End   *Event        `json:"end,omitempty"`
	Ended docstore.Time `json:"ended_at,omitzero"`
	// AcknowledgedAt is when somebody has said that they take care.
	AcknowledgedAt docstore.Time `json:"acknowledged_at,omitzero"`
	// Lanes are where it goes, by the lane's name: a channel's id, which has letters, digits
	// and dashes, and a number.
	Lanes map[string]*sending `json:"lanes,omitempty" docstore:"plainkeys"`
	// Unheard is why it goes nowhere, by the rules of when it began; none is that there was no
	// channel.
	Unheard []unheard `json:"unheard,omitempty"`
	// Escalations are those that haven't happened.
	Escalations []escalation `json:"escalations,omitempty"`
	// NextAt is when something is to be done that nobody tells of: a reminder, an
	// escalation. It is zero when there is nothing.
	NextAt docstore.Time `json:"next_at,omitzero"`
}

// DocumentID is the occurrence's id.
func (o occurrence) DocumentID() string { return o.ID }

// sending is an occurrence on one lane.
type sending struct {
	// Told is what has been said there; empty: nothing yet, or in a digest.
	Told State `json:"told,omitempty"`
	// As is how it goes there: raised, or escalated.
	As State `json:"as"`
	// HeldUntil is when it is told in a digest; zero where it is told by itself.
	HeldUntil docstore.Time `json:"held_until,omitzero"`
	// Quiet tells that it is held for quiet hours; else it is as the lane has had its share.
	Quiet bool `json:"quiet,omitempty"`
	// RemindEvery is how often it is told again while it lasts; zero is never.
	RemindEvery time.Duration `json:"remind_every,omitempty"`
	Reminded    int           `json:"reminded,omitempty"`
	// RemindAt is when that is next, or when the beginning is tried again that was given up.
	RemindAt docstore.Time `json:"remind_at,omitzero"`
}

type escalation struct {
	At       docstore.Time `json:"at"`
	Channels []string      `json:"channels"`
}

var occurrenceSpec = docstore.Spec{Collection: "alert_events", Of: occurrence{}, Transient: true, Indexes: []docstore.Index{
	{Name: "by_time", Fields: []string{"received_at"}},
	{Name: "by_next", Fields: []string{"next_at"}},
}}

// isOpen tells whether it lasts and nobody has said that they take care.
func (o occurrence) isOpen() bool { return o.End == nil && o.AcknowledgedAt.IsZero() }

// lasts tells whether its end may still come.
func (o occurrence) lasts() bool { return o.End == nil && kindOf(o.Event.Kind).Ends }

// schedule sets when something is to be done next.
func (o *occurrence) schedule() {
	o.NextAt = docstore.Time{}
	if !o.isOpen() {
		return
	}
	soonest := func(at docstore.Time) {
		if !at.IsZero() && (o.NextAt.IsZero() || at.Before(o.NextAt.Time)) {
			o.NextAt = at
		}
	}
	for _, sent := range o.Lanes {
		soonest(sent.RemindAt)
	}
	for _, e := range o.Escalations {
		soonest(e.At)
	}
}

// Tell takes an event. Once it returns nil the event is kept, and what is to be sent of it
// is surely sent. It may be told again, by another copy at the same time too: that is the
// same event. Whoever has a change of their own that the event tells of notes the event
// there and tells it afterwards, by an [audit.Relay]. Errors are the store's.
func (s *Service) Tell(ctx context.Context, e Event) error {
	e = e.bounded()
	if e.Over {
		return s.end(ctx, e)
	}
	o, err := s.occurrences.Get(ctx, idOf(e.Key()))
	if errors.Is(err, docstore.ErrNotFound) {
		o, err = s.begin(ctx, e)
	}
	if err != nil {
		return err
	}
	for lane := range o.Lanes {
		err = errors.Join(err, s.pass(ctx, o, lane))
	}
	return err
}

// begin keeps an event with where it goes and how, unless another copy has.
func (s *Service) begin(ctx context.Context, e Event) (occurrence, error) {
	o := occurrence{ID: idOf(e.Key()), Event: e, ReceivedAt: docstore.At(s.c.Now())}
	s.rules.Load().plan(&o)
	if err := s.admit(ctx, &o); err != nil {
		return o, err
	}
	o.schedule()
	known := false
	o, err := s.occurrences.Upsert(ctx, o, func(_ *occurrence, exists bool) error {
		if known = exists; known {
			return docstore.ErrUnchanged
		}
		return nil
	})
	if err == nil && !known {
		s.log(ctx, e)
	}
	return o, err
}

// end notes that an occurrence is over, and has that told where it was told. One whose
// beginning isn't known was told nowhere, unless it may have been told at once.
func (s *Service) end(ctx context.Context, e Event) error {
	known := false
	note := func(o *occurrence) error {
		if known = o.End != nil; known {
			return docstore.ErrUnchanged
		}
		o.End, o.Ended = &e, e.At
		o.schedule()
		return nil
	}
	o, err := s.occurrences.Update(ctx, idOf(e.Key()), note)
	if errors.Is(err, docstore.ErrNotFound) && e.Unkept {
		o, err = s.occurrences.Upsert(ctx, s.rules.Load().unkept(e, s.c.Now()), func(o *occurrence, exists bool) error {
			if exists {
				return note(o)
			}
			return nil
		})
	}
	if err != nil {
		return docstore.NotFoundAs(err, nil)
	}
	if !known {
		s.log(ctx, e)
	}
	for lane := range o.Lanes {
		err = errors.Join(err, s.follow(ctx, o, lane))
	}
	return err
}

// log has the log tell of an event too.
func (s *Service) log(ctx context.Context, e Event) {
	level := slog.LevelInfo
	if !e.Over {
		level = map[Level]slog.Level{Critical: slog.LevelError, Error: slog.LevelError, Warning: slog.LevelWarn}[e.level()]
	}
	s.c.Log.Log(ctx, level, e.Title.En, "alert", e.Kind, "subject", e.Subject, "over", e.Over, "text", e.Text.En)
}

// follow has the end told on a lane where the beginning was. Where the beginning still
// waits, what is sent in its place says that it is over.
func (s *Service) follow(ctx context.Context, o occurrence, lane string) error {
	if o.End == nil {
		return nil
	}
	switch o.Lanes[lane].Told {
	case Raised, Escalated:
		return s.put(ctx, o, lane, Over, 0)
	case "":
		return s.endHeld(ctx, o, lane)
	}
	return nil
}

// Acknowledge notes that somebody takes care of an occurrence: nobody is reminded of it
// any more, and it isn't escalated. It returns ErrNoAlert or an error of the store.
func (s *Service) Acknowledge(ctx context.Context, occurrenceID string) error {
	return s.acknowledge(ctx, occurrenceID, eventAcknowledged)
}

func (s *Service) acknowledge(ctx context.Context, occurrenceID string, as audit.Kind) error {
	o, err := s.occurrences.Get(ctx, occurrenceID)
	if err != nil || !o.isOpen() {
		return docstore.NotFoundAs(err, ErrNoAlert)
	}
	if err := s.note(ctx, as, o.Event.Key()); err != nil {
		return err
	}
	_, err = s.occurrences.Update(ctx, occurrenceID, func(o *occurrence) error {
		if !o.isOpen() {
			return docstore.ErrUnchanged
		}
		o.AcknowledgedAt = docstore.At(s.c.Now())
		o.schedule()
		return nil
	})
	return docstore.NotFoundAs(err, ErrNoAlert)
}

// Run sends alerts, and does what is due, until ctx ends. Several copies may run it.
func (s *Service) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.watch(ctx)
	}()
	s.alerts.Run(ctx)
	<-done
}

// idOf is a short name of a key, that says nothing of it.
func idOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// token is the proof in the link by which an occurrence is acknowledged: it is good for
// that alone.
func token(secret, occurrenceID string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("acknowledge an alert\x00" + occurrenceID))
	return occurrenceID + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// byToken is the id of the occurrence that a link is about, or ErrNoAlert.
func (s *Service) byToken(proof string) (string, error) {
	id, _, _ := strings.Cut(proof, ".")
	for _, secret := range s.c.Secrets {
		if hmac.Equal([]byte(proof), []byte(token(secret, id))) {
			return id, nil
		}
	}
	return "", ErrNoAlert
}
