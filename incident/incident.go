// Package incident keeps what the team tells of trouble and of planned work: incidents with
// their updates, opened by people or by what watches over the product, and maintenances,
// which begin and end by themselves.
//
// It doesn't know who watches, nor who is told.
package incident

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"manus/audit"
	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/words"
	"manus/language"
)

// Severity is how bad an incident is.
type Severity string

// The severities.
const (
	Minor    Severity = "minor"
	Major    Severity = "major"
	Critical Severity = "critical"
)

// Status is how far the team is with an incident.
type Status string

// The statuses, in the order in which they usually follow each other.
const (
	Investigating Status = "investigating"
	Identified    Status = "identified"
	Monitoring    Status = "monitoring"
	Resolved      Status = "resolved"
)

// Incident is something that goes wrong, with all that was said of it. It is one document,
// and each step is one change of it.
type Incident struct {
	ID         string        `json:"_id"`
	Title      language.Text `json:"title"`
	Severity   Severity      `json:"severity"`
	Components []string      `json:"components,omitempty"`
	Updates    []Update      `json:"updates"` // oldest first; there is always one
	// Monitor is what has opened it; empty where a person has.
	Monitor string `json:"monitor,omitempty"`
	// Named tells that a person has given one its title that a monitor has opened.
	Named     bool          `json:"named,omitempty"`
	StartedAt docstore.Time `json:"started_at"`
	// ResolvedAt is zero as long as it isn't resolved. OpenSince is StartedAt until then, and
	// is what those are found by.
	ResolvedAt docstore.Time `json:"resolved_at,omitzero"`
	OpenSince  docstore.Time `json:"open_since,omitzero"`
	// EarlierTimes are those that were told before they were corrected, oldest first.
	EarlierTimes []EarlierTimes `json:"earlier_times,omitempty"`
	// Postmortem is what was found out afterwards; its zero value where nothing was written.
	Postmortem Postmortem `json:"postmortem,omitzero"`
	// Shown are the parts of the public page as of which everybody has seen it: so it stays to be read
	// when the page lists them no more.
	Shown []Part `json:"shown,omitempty"`

	Pending      []noted       `json:"pending,omitempty"`
	PendingSince docstore.Time `json:"pending_since,omitzero"`
}

// Part is something that the public page lists, as it was called.
type Part struct {
	ID   string        `json:"id"`
	Name language.Text `json:"name"`
}

// HasShown tells whether everybody has seen it as of all of these parts.
func (i Incident) HasShown(parts []Part) bool {
	return !slices.ContainsFunc(parts, func(p Part) bool { return !i.hasShown(p) })
}

func (i Incident) hasShown(p Part) bool {
	return slices.ContainsFunc(i.Shown, func(s Part) bool { return s.ID == p.ID })
}

// Update is something that was said of an incident.
type Update struct {
	ID     string        `json:"id"`
	At     docstore.Time `json:"at"`
	Status Status        `json:"status"`
	Text   language.Text `json:"text"` // Markdown
	// Automatic is set for what no person has written.
	Automatic bool `json:"automatic,omitempty"`
	// Earlier is what stood there before it was corrected, oldest first.
	Earlier []Earlier `json:"earlier,omitempty"`
	// Over is when it was over, where that was corrected; its zero value is At.
	Over docstore.Time `json:"over,omitzero"`
}

// DocumentID is the incident's id.
func (i Incident) DocumentID() string { return i.ID }

// Status is that of the last update.
func (i Incident) Status() Status { return i.Updates[len(i.Updates)-1].Status }

// ByPerson tells whether a person has opened it or written to it.
func (i Incident) ByPerson() bool {
	return slices.ContainsFunc(i.Updates, func(u Update) bool { return !u.Automatic })
}

// Update is the one with an id; false where there is none.
func (i Incident) Update(id string) (Update, bool) {
	k := slices.IndexFunc(i.Updates, func(u Update) bool { return u.ID == id })
	if k < 0 {
		return Update{}, false
	}
	return i.Updates[k], true
}

func (i *Incident) outbox() audit.Outbox[noted] {
	return audit.Outbox[noted]{Events: &i.Pending, Since: &i.PendingSince}
}

// noted is a step that others are to know of: the audit log, and whoever tells people.
type noted struct {
	ID string `json:"id"`
	// Line is for the audit log; nil where no person has done it.
	Line *audit.Event `json:"line,omitempty"`
	// Of is the update, or the step of a maintenance, that people are told; empty for none.
	Of string `json:"of,omitempty"`
}

// DocumentID is the note's id.
func (n noted) DocumentID() string { return n.ID }

const (
	byStart = "by_start"
	byOpen  = "by_open"
)

var incidentSpec = docstore.Spec{Collection: "incidents", Of: Incident{}, Indexes: []docstore.Index{
	{Name: byStart, Fields: []string{"started_at"}},
	{Name: byOpen, Fields: []string{"open_since"}},
	audit.PendingIndex,
}}

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec { return []docstore.Spec{incidentSpec, maintenanceSpec, choicesSpec} }

// Errors of the room. What is an ErrInvalid says which part is wrong.
var (
	ErrNone    = errors.New("there is no such incident or maintenance")
	ErrInvalid = errors.New("invalid")
)

// Bounds of what is said.
const (
	maxTitle      = 200
	maxText       = 10_000
	maxComponents = 50
	maxUpdates    = 200     // of an incident
	maxSaid       = 2 << 20 // of all its texts together, in bytes
)

// Kinds of events in the audit log.
const (
	eventOpened     audit.Kind = "incident-opened"
	eventUpdated    audit.Kind = "incident-updated"
	eventChanged    audit.Kind = "incident-changed"
	eventCorrected  audit.Kind = "incident-corrected"
	eventPostmortem audit.Kind = "incident-postmortem"
)

// Config is what a Service is made of.
type Config struct {
	Store  docstore.Store
	Audit  *audit.Log
	Policy Policy
	// OnUpdate is told of each update of an incident, and OnStep of each step of a maintenance,
	// after they are stored: at least once, whatever is killed, and again until it returns nil.
	// Nil: nobody is told.
	OnUpdate func(ctx context.Context, i Incident, update string) error
	OnStep   func(ctx context.Context, m Maintenance, step Step) error
	// Known is what incidents and planned work may be about, the usual first; none is whatever
	// people say. Nil is as a server has noted it in the store.
	Known func(context.Context) ([]string, error)
	Now   func() time.Time // the clock; nil means time.Now
	Log   *slog.Logger
}

// Service keeps incidents and maintenances. It is safe for concurrent use.
type Service struct {
	c            Config
	incidents    *docstore.Collection[Incident]
	maintenances *docstore.Collection[Maintenance]
	choices      *docstore.Collection[choices]
	relay        *audit.Relay[Incident, noted]
	steps        *audit.Relay[Maintenance, noted]
	plans        plans
	policy       atomic.Pointer[Policy]
}

// New makes a Service. The store's collections are declared already (Specs).
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{
		c:            c,
		incidents:    docstore.NewCollection[Incident](c.Store, incidentSpec),
		maintenances: docstore.NewCollection[Maintenance](c.Store, maintenanceSpec),
		choices:      docstore.NewCollection[choices](c.Store, choicesSpec),
	}
	s.relay = &audit.Relay[Incident, noted]{Aggregates: s.incidents, Outbox: (*Incident).outbox, Publish: s.publish, Now: c.Now, Log: c.Log}
	s.steps = &audit.Relay[Maintenance, noted]{Aggregates: s.maintenances, Outbox: (*Maintenance).outbox, Publish: s.publishStep, Now: c.Now, Log: c.Log}
	s.SetPolicy(c.Policy)
	return s
}

// SetPolicy puts another policy in force.
func (s *Service) SetPolicy(p Policy) { s.policy.Store(&p) }

// publish brings a step of an incident to those who are to know of it.
func (s *Service) publish(ctx context.Context, i Incident, n noted) error {
	if err := s.log(ctx, n); err != nil || n.Of == "" || s.c.OnUpdate == nil {
		return err
	}
	return s.c.OnUpdate(ctx, i, n.Of)
}

func (s *Service) log(ctx context.Context, n noted) error {
	if n.Line == nil {
		return nil
	}
	return s.c.Audit.Append(ctx, *n.Line)
}

// every is how often it is looked what maintenances have begun and ended, and what was left
// behind.
const every = 10 * time.Second

// Run notes what maintenances have begun and ended, and delivers what was left behind, until
// ctx ends. Several copies of the program may run it.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := s.work(ctx); err != nil && ctx.Err() == nil {
			s.c.Log.WarnContext(ctx, "what is to be told of incidents and maintenances waits", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Service) work(ctx context.Context) error {
	return errors.Join(s.NoteChoices(ctx), s.noteSteps(ctx), s.relay.DeliverStale(ctx), s.steps.DeliverStale(ctx))
}

// Opening is an incident that is to be opened.
type Opening struct {
	// Template is the id of one that says what isn't said here; empty for none.
	Template   string
	Title      language.Text
	Severity   Severity // empty is Minor
	Components []string
	Status     Status // empty is Investigating
	Text       language.Text
	// Key makes it one incident however often it is opened; empty makes one each time.
	Key string
}

// keyed is before an incident's key in its id, so that it is no monitor's.
const keyed = "k."

// Open opens an incident, or returns the one that was opened with the key. It returns
// ErrInvalid or an error of the store.
func (s *Service) Open(ctx context.Context, o Opening) (Incident, error) {
	err := s.chosen(ctx, o.Components, nil)
	if err == nil {
		o, err = s.policy.Load().fill(o)
	}
	if err != nil {
		return Incident{}, err
	}
	now := docstore.At(s.c.Now())
	i := Incident{
		ID: docstore.NewID(), Title: trim(o.Title), Severity: cmp.Or(o.Severity, Minor), Components: o.Components,
		StartedAt: now, OpenSince: now,
	}
	if o.Key != "" {
		i.ID = keyed + o.Key
	}
	if err := cmp.Or(i.check(), checkKey(o.Key)); err != nil {
		return Incident{}, err
	}
	update, err := i.say(Update{Status: cmp.Or(o.Status, Investigating), Text: o.Text, At: now})
	if err != nil {
		return Incident{}, err
	}
	s.note(ctx, &i, eventOpened, update, now)
	err = s.incidents.Insert(ctx, i)
	if o.Key != "" && docstore.ConflictsOn(err, docstore.IDIndex) {
		return s.incidents.Get(ctx, i.ID)
	}
	if err != nil {
		return Incident{}, err
	}
	s.relay.Send(ctx, i)
	return i, nil
}

// note has a step in the audit log, with who did it, and an update told; empty for none.
func (s *Service) note(ctx context.Context, i *Incident, kind audit.Kind, update string, now docstore.Time) {
	i.outbox().Note(noted{ID: docstore.NewID(), Line: line(ctx, kind, i.ID, now), Of: update}, now.Time)
}

// line is a line of the audit log about something that whoever calls does now.
func line(ctx context.Context, kind audit.Kind, subject string, now docstore.Time) *audit.Event {
	e := audit.NewEvent(ctx, identity.From(ctx).UserID, kind, now.Time)
	e.Subject = subject
	return &e
}

// Change is what is changed of an incident beside its updates; nil leaves it as it is.
type Change struct {
	Title      *string // in English, or the one language that it has
	TitleAr    *string
	Severity   *Severity
	Components *[]string
	// StartedAt and ResolvedAt correct when it began, and when it was over; what was told of that stays
	// to be seen.
	StartedAt  *time.Time
	ResolvedAt *time.Time
}

// Change changes an incident. It returns ErrNone, ErrInvalid or an error of the store.
func (s *Service) Change(ctx context.Context, id string, c Change) (Incident, error) {
	if c.Components != nil {
		before, err := s.Incident(ctx, id)
		if err != nil {
			return Incident{}, err
		}
		if err := s.chosen(ctx, *c.Components, before.Components); err != nil {
			return Incident{}, err
		}
	}
	return s.step(ctx, id, func(i *Incident, now docstore.Time) error {
		i.Named = i.Named || i.Monitor != "" && (c.Title != nil || c.TitleAr != nil)
		if c.Title != nil {
			i.Title.En = strings.TrimSpace(*c.Title)
		}
		if c.TitleAr != nil {
			i.Title.Ar = strings.TrimSpace(*c.TitleAr)
		}
		if c.Severity != nil {
			i.Severity = *c.Severity
		}
		if c.Components != nil {
			i.Components, i.Shown = *c.Components, nil // what it isn't of, nobody is to read of it
		}
		kind := eventChanged
		if c.StartedAt != nil || c.ResolvedAt != nil {
			kind = eventCorrected
		}
		s.note(ctx, i, kind, "", now)
		return cmp.Or(i.check(), i.retime(c.StartedAt, c.ResolvedAt, now))
	})
}

// Saying is what is to be said of an incident.
type Saying struct {
	Status Status // empty leaves it as it is
	Text   language.Text
	// Key makes it one update of the incident however often it is said; empty makes one each time.
	Key string
}

// Say says something of an incident. What is resolved can be opened again by any other
// status. It returns ErrNone, ErrInvalid or an error of the store.
func (s *Service) Say(ctx context.Context, id string, say Saying) (Incident, error) {
	if err := checkKey(say.Key); err != nil {
		return Incident{}, err
	}
	return s.step(ctx, id, func(i *Incident, now docstore.Time) error {
		if _, said := i.Update(say.Key); said {
			return docstore.ErrUnchanged
		}
		update, err := i.say(Update{ID: say.Key, Status: cmp.Or(say.Status, i.Status()), Text: say.Text, At: now})
		s.note(ctx, i, eventUpdated, update, now)
		return err
	})
}

// NoteShown notes that everybody sees an incident as of these parts of the page, unless it is of others by
// now. It may be done again, and by several copies at once. It returns ErrNone or an error of the store.
func (s *Service) NoteShown(ctx context.Context, seen Incident, parts []Part) error {
	_, err := s.incidents.Update(ctx, seen.ID, func(i *Incident) error {
		if !slices.Equal(i.Components, seen.Components) || i.HasShown(parts) {
			return docstore.ErrUnchanged
		}
		for _, p := range parts {
			if !i.hasShown(p) {
				i.Shown = append(i.Shown, p)
			}
		}
		return nil
	})
	return docstore.NotFoundAs(err, ErrNone)
}

func (s *Service) step(ctx context.Context, id string, change func(*Incident, docstore.Time) error) (Incident, error) {
	now := docstore.At(s.c.Now())
	i, err := s.incidents.Update(ctx, id, func(i *Incident) error { return change(i, now) })
	if err == nil {
		s.relay.Send(ctx, i)
	}
	return i, docstore.NotFoundAs(err, ErrNone)
}

// Outage is trouble that a monitor has found. It is told again and again until it is over,
// and once more then.
type Outage struct {
	// Key tells one time that a monitor is down from the next.
	Key        string
	Monitor    string
	Components []string
	Severity   Severity
	Title      language.Text
	Text       language.Text // of its beginning, or of its end
	At         docstore.Time
	Over       bool
}

// Tell opens the incident of an outage, or resolves it. It may be told again, also after
// people have written to it: what they say isn't undone. Errors are the store's alone, as whoever
// tells goes on until it is taken: what is too long is cut, and a title stands for a text.
func (s *Service) Tell(ctx context.Context, o Outage) error {
	o.Title = each(o.Title, func(text string) string { return language.Cut(language.Line(text), maxTitle) })
	o.Text = each(o.Text, func(text string) string { return language.Cut(strings.TrimSpace(text), maxText) })
	o.Text = language.Text{En: cmp.Or(o.Text.En, o.Title.En), Ar: cmp.Or(o.Text.Ar, o.Title.Ar)}
	made := Incident{
		ID: o.Key, Title: o.Title, Severity: cmp.Or(o.Severity, Major), Components: o.Components, Monitor: o.Monitor,
		StartedAt: o.At, OpenSince: o.At,
	}
	update := Update{Status: Investigating, Text: o.Text, Automatic: true, At: o.At}
	if o.Over { // of what was never told there is no end
		update.Status = Resolved
		i, err := s.incidents.Update(ctx, o.Key, func(i *Incident) error {
			if i.Status() == Resolved {
				return docstore.ErrUnchanged
			}
			return s.sayAlone(i, update)
		})
		return s.tell(ctx, i, docstore.NotFoundAs(err, errNothing))
	}
	i, err := s.incidents.Upsert(ctx, made, func(i *Incident, exists bool) error {
		if exists {
			return docstore.ErrUnchanged
		}
		return s.sayAlone(i, update)
	})
	return s.tell(ctx, i, err)
}

// errNothing is that there is nothing to be told.
var errNothing = errors.New("nothing is told")

// tell delivers what was noted by a change that went well.
func (s *Service) tell(ctx context.Context, i Incident, err error) error {
	if err != nil {
		if errors.Is(err, errNothing) {
			return nil
		}
		return err
	}
	s.relay.Send(ctx, i)
	return nil
}

// sayAlone adds an update that no person has written.
func (s *Service) sayAlone(i *Incident, u Update) error {
	update, err := i.say(u)
	i.outbox().Note(noted{ID: docstore.NewID(), Of: update}, s.c.Now())
	return err
}

// say adds an update and returns its id.
func (i *Incident) say(u Update) (id string, err error) {
	u.ID, u.Text = cmp.Or(u.ID, docstore.NewID()), trim(u.Text)
	if !slices.Contains([]Status{Investigating, Identified, Monitoring, Resolved}, u.Status) {
		return "", invalid("status", "is investigating, identified, monitoring or resolved", "القيم الممكنة: investigating أو identified أو monitoring أو resolved")
	}
	if err := checkText(u.Text, true); err != nil {
		return "", err
	}
	n := len(i.Updates)
	if n >= maxUpdates && u.Status != Resolved || n > maxUpdates {
		return "", invalid("text", "the incident has "+words.Count(maxUpdates, "update")+", which is as many as it may have; open another one", "بلغت الحادثة أقصى عدد من التحديثات؛ افتح حادثة أخرى")
	}
	if i.said()+size(u.Text) > maxSaid && u.Status != Resolved {
		return "", tooMuch()
	}
	if n > 0 && u.At.Before(i.Updates[n-1].At.Time) {
		u.At = i.Updates[n-1].At // a clock was set back; they stay in order
	}
	resolved := n > 0 && i.Status() == Resolved
	i.Updates = append(i.Updates, u)
	switch {
	case u.Status != Resolved:
		i.ResolvedAt, i.OpenSince = docstore.Time{}, i.StartedAt
	case !resolved: // else it was over before
		i.ResolvedAt, i.OpenSince = later(u.At, i.StartedAt), docstore.Time{}
	}
	return u.ID, nil
}

// said is how long all its texts are together, in bytes.
func (i *Incident) said() int {
	n := size(i.Postmortem.Text)
	for _, u := range i.Updates {
		n += size(u.Text)
		for _, e := range u.Earlier {
			n += size(e.Text)
		}
	}
	return n
}

func size(t language.Text) int { return len(t.En) + len(t.Ar) }

// each is a text of which each language is changed alike.
func each(t language.Text, change func(string) string) language.Text {
	return language.Text{En: change(t.En), Ar: change(t.Ar)}
}

func trim(t language.Text) language.Text { return each(t, strings.TrimSpace) }

// invalid is an ErrInvalid that says which part of what was asked is wrong, and why.
func invalid(field, en, ar string) error {
	return &httpapi.Invalid{Of: ErrInvalid, Field: "body." + field, Why: language.Text{En: en, Ar: ar}}
}

func tooMuch() error {
	return invalid("text", "there is as much text in the incident as there may be; open another one", "بلغت نصوص الحادثة أقصى طول؛ افتح حادثة أخرى")
}

var (
	validComponent = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	validKey       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

func checkKey(key string) error {
	if key != "" && !validKey.MatchString(key) {
		return invalid("key", "is at most 64 letters, digits, '-', '_' and '.'", "64 حرفًا لاتينيًا أو رقمًا أو - أو _ أو . على الأكثر")
	}
	return nil
}

// check returns ErrInvalid for what can't be an incident's.
func (i *Incident) check() error {
	if !slices.Contains([]Severity{Minor, Major, Critical}, i.Severity) {
		return invalid("severity", "is minor, major or critical", "القيم الممكنة: minor أو major أو critical")
	}
	return cmp.Or(checkTitle(i.Title), checkComponents(i.Components))
}

func checkTitle(title language.Text) error {
	if title.En == "" {
		return wrongTitle("title")
	}
	for field, text := range map[string]string{"title": title.En, "title_ar": title.Ar} {
		if len([]rune(text)) > maxTitle || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return wrongTitle(field)
		}
	}
	return nil
}

func wrongTitle(field string) error {
	return invalid(field, "is one line of at most "+words.Count(maxTitle, "character"), "سطر واحد لا يزيد على "+language.Arabic.Number(maxTitle)+" حرف")
}

// checkText returns ErrInvalid for what can't be said.
func checkText(text language.Text, needed bool) error {
	if needed && text.En == "" {
		return invalid("text", "say what is known", "اكتب ما هو معروف")
	}
	for field, said := range map[string]string{"text": text.En, "text_ar": text.Ar} {
		if len([]rune(said)) > maxText {
			return invalid(field, "is longer than "+words.Count(maxText, "character"), "أطول من "+language.Arabic.Number(maxText)+" حرف")
		}
	}
	return nil
}

func checkComponents(components []string) error {
	if len(components) > maxComponents {
		return invalid("components", "are at most "+language.English.Number(maxComponents), "العدد الأقصى "+language.Arabic.Number(maxComponents))
	}
	for _, c := range components {
		if !validComponent.MatchString(c) {
			return invalid("components", strconv.Quote(language.Cut(c, 64))+" is no id of a component, which is lower-case letters, digits, '-', '_' and '.'",
				language.Arabic.Quote(language.Cut(c, 64))+" ليس معرّف مكوّن: أحرف لاتينية صغيرة وأرقام و - و _ و .")
		}
	}
	return nil
}

// Incident is one of them. It returns ErrNone or an error of the store.
func (s *Service) Incident(ctx context.Context, id string) (Incident, error) {
	i, err := s.incidents.Get(ctx, id)
	return i, docstore.NotFoundAs(err, ErrNone)
}

// Incidents are those that began last, first; with open, only those that aren't resolved.
// Errors are the store's.
func (s *Service) Incidents(ctx context.Context, open bool, limit int, cursor string) ([]Incident, string, error) {
	q := docstore.Query{Index: byStart, Descending: true, Limit: limit, Cursor: cursor}
	if open {
		q.Index = byOpen
	}
	return s.incidents.Find(ctx, q)
}
