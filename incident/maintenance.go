package incident

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/incident/planned"
	"manus/internal/words"
	"manus/language"
)

// Maintenance is planned work.
type Maintenance struct {
	ID         string        `json:"_id"`
	Title      language.Text `json:"title"`
	Text       language.Text `json:"text,omitzero"` // Markdown
	Components []string      `json:"components,omitempty"`
	StartsAt   docstore.Time `json:"starts_at"`
	EndsAt     docstore.Time `json:"ends_at"`
	// Rule is an RRULE by which it comes again, by the clocks of Zone.
	Rule      string        `json:"rrule,omitempty"`
	Zone      string        `json:"timezone,omitempty"`
	CreatedAt docstore.Time `json:"created_at"`
	// CancelledAt is zero unless it was cancelled, from when on it isn't on any more.
	CancelledAt docstore.Time `json:"cancelled_at,omitzero"`

	// Told is up to when its beginnings and ends have been noted.
	Told         docstore.Time `json:"told"`
	Pending      []noted       `json:"pending,omitempty"`
	PendingSince docstore.Time `json:"pending_since,omitzero"`
}

// DocumentID is the maintenance's id.
func (m Maintenance) DocumentID() string { return m.ID }

func (m *Maintenance) outbox() audit.Outbox[noted] {
	return audit.Outbox[noted]{Events: &m.Pending, Since: &m.PendingSince}
}

// times are when it is on.
func (m Maintenance) times(now time.Time) (planned.Times, error) {
	times, err := m.work().Read(now)
	if err == nil && !m.CancelledAt.IsZero() {
		times = times.Before(m.CancelledAt.Time)
	}
	return times, err
}

func (m Maintenance) work() planned.Work {
	return planned.Work{StartsAt: m.StartsAt.Time, EndsAt: m.EndsAt.Time, Rule: m.Rule, Zone: m.Zone}
}

const byStartsAt = "by_starts_at"

var maintenanceSpec = docstore.Spec{Collection: "maintenances", Of: Maintenance{}, Indexes: []docstore.Index{
	{Name: byStartsAt, Fields: []string{"starts_at"}},
	audit.PendingIndex,
}}

// maxMaintenances is how many there may be, so that all can be looked at together.
const maxMaintenances = 500

const (
	eventPlanned   audit.Kind = "maintenance-planned"
	eventCancelled audit.Kind = "maintenance-cancelled"
)

// Plan plans a maintenance; with a key, as its ID, once however often it is planned. It returns
// ErrInvalid or an error of the store.
func (s *Service) Plan(ctx context.Context, m Maintenance) (Maintenance, error) {
	now, key := docstore.At(s.c.Now()), m.ID
	m.ID, m.CreatedAt, m.Told = cmp.Or(key, docstore.NewID()), now, now
	m.Title, m.Text = trim(m.Title), trim(m.Text)
	times, err := s.checkPlan(ctx, m)
	if err != nil {
		return Maintenance{}, err
	}
	if _, comes := times.Next(now.Time); !comes {
		return Maintenance{}, invalid("ends_at", "is in the past", "في الماضي")
	}
	m.note(ctx, eventPlanned, Planned, now)
	err = s.maintenances.Insert(ctx, m)
	if key != "" && docstore.ConflictsOn(err, docstore.IDIndex) {
		return s.maintenances.Get(ctx, key)
	}
	s.plans.forget()
	if err != nil {
		return Maintenance{}, err
	}
	s.steps.Send(ctx, m)
	return m, nil
}

// checkPlan returns when a maintenance is on, or ErrInvalid for what can't be one.
func (s *Service) checkPlan(ctx context.Context, m Maintenance) (planned.Times, error) {
	if err := cmp.Or(checkTitle(m.Title), checkText(m.Text, false), checkKey(m.ID), s.chosen(ctx, m.Components, nil)); err != nil {
		return planned.Times{}, err
	}
	times, err := m.work().Check(s.c.Now())
	if err != nil {
		return planned.Times{}, inPlan(err)
	}
	all, err := s.Maintenances(ctx)
	if err != nil {
		return planned.Times{}, err
	}
	if len(all) >= maxMaintenances {
		return planned.Times{}, invalid("title", "there are "+words.Count(len(all), "maintenance")+", which is as many as there may be; delete old ones", "بلغ عدد أعمال الصيانة أقصاه؛ احذف القديم منها")
	}
	return times, nil
}

// inPlan is what is wrong with when a maintenance is: the field and, behind a colon, why.
func inPlan(err error) error {
	field, why, _ := strings.Cut(err.Error(), ": ")
	text, _ := planPhrases.Find(why)
	return invalid(field, text.En, text.Ar)
}

// planPhrases are the errors of package planned.
var planPhrases = language.NewPhrases([]language.Text{
	{En: "is not after starts_at", Ar: "ليس بعد starts_at"},
	{En: "is more than 31 days after starts_at; plan several", Ar: "بعد starts_at بأكثر من 31 يومًا؛ خطّط لعدّة أعمال"},
	{En: "comes after it has begun again by rrule, so it would go on for more than 31 days; say how long it takes each time", Ar: "يأتي بعد أن يبدأ من جديد وفق rrule، فيستمر أكثر من 31 يومًا؛ حدّد كم يستغرق في كل مرة"},
	{En: "is more than ten years away", Ar: "يبعد أكثر من عشر سنوات"},
	{En: "is none that is known; use a name such as Europe/Berlin", Ar: "ليست منطقة زمنية معروفة؛ استعمل اسمًا مثل Europe/Berlin"},
	{En: "never comes within two years", Ar: "لا تحين خلال سنتين"},
	{En: "is longer than %s", Ar: "أطول من %s"},
	{En: "is one line such as FREQ=WEEKLY;BYDAY=SU; when it starts is starts_at", Ar: "سطر واحد مثل FREQ=WEEKLY;BYDAY=SU؛ وموعد البدء في starts_at"},
	{En: "write one such as FREQ=WEEKLY;BYDAY=SU: %s", Ar: "اكتب قاعدة مثل FREQ=WEEKLY;BYDAY=SU: %s"},
	{En: "%s must be between %s and %s or %s and %s", Ar: "تكون %s بين %s و%s أو بين %s و%s"},
	{En: "%s must be between %s and %s", Ar: "تكون %s بين %s و%s"},
	{En: "interval must be greater than 0", Ar: "تكون interval أكبر من 0"},
	{En: "undefined frequency: %s", Ar: "لا توجد FREQ هي %s"},
	{En: "undefined weekday: %s", Ar: "لا يوجد يوم هو %s"},
	{En: "wrong format", Ar: "ليست على صورة KEY=VALUE;KEY=VALUE"},
	{En: "%s option has no value", Ar: "لا قيمة في %s"},
	{En: "unknown RRULE property: %s", Ar: "لا توجد خاصية %s في RRULE"},
	{En: "RRULE property FREQ is required", Ar: "تنقصها FREQ"},
	{En: "empty string", Ar: "هي فارغة"},
	{En: "bad format", Ar: "صورتها خاطئة"},
	{En: "strconv.Atoi: parsing %s: %s", Ar: "ليست %s عددًا صحيحًا: %s"},
	{En: "invalid syntax", Ar: "صيغتها خاطئة"},
	{En: "value out of range", Ar: "أكبر مما يُقبل"},
	{En: "parsing time %s as %s: cannot parse %s as %s", Ar: "ليس %s وقتًا على الصورة %s: لا يُقرأ %s على أنّه %s"},
	{En: "parsing time %s: %s out of range", Ar: "ليس %s وقتًا: %s خارج المدى"},
	{En: "use FREQ=DAILY, WEEKLY, MONTHLY or YEARLY; the time of day is that of starts_at", Ar: "استعمل FREQ=DAILY أو WEEKLY أو MONTHLY أو YEARLY؛ وساعة البدء هي ساعة starts_at"},
}...)

// note has a step in the audit log, with who did it, and told.
func (m *Maintenance) note(ctx context.Context, kind audit.Kind, step Step, now docstore.Time) {
	m.outbox().Note(noted{ID: docstore.NewID(), Line: line(ctx, kind, m.ID, now), Of: string(step)}, now.Time)
}

// Cancel cancels a maintenance; what is on is over then. It returns ErrNone or an error of
// the store.
func (s *Service) Cancel(ctx context.Context, id string) (Maintenance, error) {
	now := docstore.At(s.c.Now())
	m, err := s.maintenances.Update(ctx, id, func(m *Maintenance) error {
		if !m.CancelledAt.IsZero() {
			return docstore.ErrNotFound
		}
		times, err := m.times(now.Time)
		next, comes := times.Next(now.Time)
		step := Cancelled
		switch {
		case err != nil || !comes: // it was over, and people know
			step = ""
		case times.On(now.Time):
			step = stepAt(ended, next)
		}
		m.CancelledAt, m.Told = now, now
		m.note(ctx, eventCancelled, step, now)
		return nil
	})
	s.plans.forget()
	if err == nil {
		s.steps.Send(ctx, m)
	}
	return m, docstore.NotFoundAs(err, ErrNone)
}

// Maintenances are those that weren't cancelled, by when they start first. Errors are the
// store's.
func (s *Service) Maintenances(ctx context.Context) ([]Maintenance, error) {
	all, err := s.everyMaintenance(ctx)
	return slices.DeleteFunc(all, func(m Maintenance) bool { return !m.CancelledAt.IsZero() }), err
}

func (s *Service) everyMaintenance(ctx context.Context) (all []Maintenance, err error) {
	for m, err := range s.maintenances.All(ctx, docstore.Query{Index: byStartsAt}) {
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// How long a maintenance that was cancelled is kept: as long as figures need it, or, where it
// was never on, as long as people look for it.
const (
	keepCancelled = 100 * 24 * time.Hour
	keepNever     = 7 * 24 * time.Hour
)

// Sweep removes maintenances that were cancelled long ago. It may be run by several copies at
// once.
func (s *Service) Sweep(ctx context.Context) error {
	all, err := s.everyMaintenance(ctx)
	for _, m := range all {
		keep := keepCancelled
		if m.CancelledAt.Before(m.StartsAt.Time) {
			keep = keepNever
		}
		if !m.CancelledAt.IsZero() && m.CancelledAt.Add(keep).Before(s.c.Now()) {
			err = errors.Join(err, docstore.NotFoundAs(s.maintenances.Delete(ctx, m.ID), nil))
		}
	}
	return err
}

// Timed is a maintenance with when it is on.
type Timed struct {
	Maintenance
	planned.Times
}

// plans are the maintenances as they were a moment ago.
type plans struct {
	mu    sync.Mutex
	all   []Timed
	until time.Time // they are believed
}

// believedFor is how long a change by another copy may not be known.
const believedFor = 10 * time.Second

func (p *plans) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = time.Time{}
}

// Planned are the maintenances with their times, as they were 10 s ago at most. Those that
// were cancelled are among them, for the times before that. Errors are the store's; those of
// before are returned with one.
func (s *Service) Planned(ctx context.Context) ([]Timed, error) {
	p := &s.plans
	p.mu.Lock()
	defer p.mu.Unlock()
	now := s.c.Now()
	if left := p.until.Sub(now); left > 0 && left <= believedFor {
		return p.all, nil
	}
	all, err := s.everyMaintenance(ctx)
	if err != nil {
		return p.all, err
	}
	before := p.all
	p.all, p.until = nil, now.Add(believedFor)
	for _, m := range all {
		if k := slices.IndexFunc(before, func(t Timed) bool {
			return t.ID == m.ID && t.CancelledAt == m.CancelledAt && (t.Until.IsZero() || t.Until.Sub(now) > known)
		}); k >= 0 {
			p.all = append(p.all, Timed{m, before[k].Times})
			continue
		}
		times, err := m.times(now)
		if err != nil { // its rule has come to its end
			continue
		}
		p.all = append(p.all, Timed{m, times})
	}
	return p.all, nil
}

// PlannedNow is Planned with what another copy has changed just now. Errors are the store's.
func (s *Service) PlannedNow(ctx context.Context) ([]Timed, error) {
	s.plans.forget()
	return s.Planned(ctx)
}

// known is how far ahead the times of a maintenance have to be known.
const known = 365 * 24 * time.Hour
