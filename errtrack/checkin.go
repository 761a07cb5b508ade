package errtrack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"manus/audit"
	"manus/docstore"
	"manus/language"
)

// CronMonitor is a job in one environment that reports when it begins and how it ends, what
// is known of its last runs, and when it is to report next. Programs make it by reporting.
type CronMonitor struct {
	ID          string        `json:"_id"`
	Project     string        `json:"project"`
	Slug        string        `json:"slug"` // what the program calls it
	Environment string        `json:"environment"`
	Config      MonitorConfig `json:"config"`
	// Problem is what is wrong with the schedule; the job is never missed then.
	Problem string `json:"problem,omitempty"`

	// Status is how the last run ended, or that it didn't come; see [CronMonitor.Shown].
	Status    MonitorStatus `json:"status,omitempty"`
	CreatedAt docstore.Time `json:"created_at"`
	LastAt    docstore.Time `json:"last_at"` // its last check-in
	// NextDueAt is when the next run has to begin; zero where there is no schedule.
	NextDueAt docstore.Time `json:"next_due_at,omitzero"`
	// LookAt is when something is wrong unless a check-in comes before.
	LookAt   docstore.Time `json:"look_at,omitzero"`
	Duration float64       `json:"duration,omitempty"` // of the last run that ended, in seconds
	Runs     []run         `json:"runs,omitempty"`     // the last ones, oldest first

	// Failures and Successes are how many there were in a row. FailingSince is set while
	// people were told that the job fails, for the Outages-th time.
	Failures     int64         `json:"failures,omitempty"`
	Successes    int64         `json:"successes,omitempty"`
	FailingSince docstore.Time `json:"failing_since,omitzero"`
	Outages      int           `json:"outages,omitempty"`

	// Retired is set when it is to go as soon as what waits has been told.
	Retired      bool          `json:"retired,omitempty"`
	Pending      []Alert       `json:"pending,omitempty"`
	PendingSince docstore.Time `json:"pending_since,omitzero"`
}

// DocumentID is the monitor's id.
func (m CronMonitor) DocumentID() string { return m.ID }

func (m *CronMonitor) outbox() audit.Outbox[Alert] {
	return audit.Outbox[Alert]{Events: &m.Pending, Since: &m.PendingSince}
}

const (
	byLook   = "by_look"
	byLastAt = "by_last_at"
)

var monitorSpec = docstore.Spec{Collection: "error_check_ins", Of: CronMonitor{}, Transient: true, Indexes: []docstore.Index{
	{Name: "by_slug", Fields: []string{"project", "slug"}},
	{Name: byLook, Fields: []string{"look_at"}},
	{Name: byLastAt, Fields: []string{"last_at"}},
	audit.PendingIndex,
}}

// MonitorStatus is how a job is.
type MonitorStatus string

// How a job is. Those with which a run ends are kept; the others are what there is to say
// while none has ended badly.
const (
	MonitorOK      MonitorStatus = "ok"
	MonitorError   MonitorStatus = "error"   // the program says that it failed
	MonitorTimeout MonitorStatus = "timeout" // it took longer than it may
	MonitorMissed  MonitorStatus = "missed"  // it did not begin
	// MonitorInProgress is a job that runs, MonitorWaiting one of which no end is known.
	MonitorInProgress MonitorStatus = "in_progress"
	MonitorWaiting    MonitorStatus = "waiting"
	// MonitorUnscheduled is a job whose schedule can't be read, or never comes round.
	MonitorUnscheduled MonitorStatus = "invalid_schedule"

	// unheard is of a run whose end nobody could report.
	unheard MonitorStatus = "unheard"
)

// run is a run of a job: what its check-ins, which have the same id, have said.
type run struct {
	ID        string        `json:"id"`
	Status    MonitorStatus `json:"status"`
	StartedAt docstore.Time `json:"started_at"`
}

// Bounds of monitors.
const (
	maxMonitors    = 500 // of a project; a few more when copies make them at once
	maxSlug        = 50
	maxEnvironment = 64
	maxCheckInID   = 64
	// runsKept is how many runs are remembered: of older ones, what comes late is news.
	runsKept = 20
	// early is how long before it is due a run is taken for the one that is; a clock may be
	// ahead.
	early = time.Minute
	// maxJudged is how much is made up for at once.
	maxJudged = 100
)

// Shown is the status that people see.
func (m CronMonitor) Shown() MonitorStatus {
	wellOrNew := m.Status == "" || m.Status == MonitorOK
	switch {
	case wellOrNew && m.Problem != "":
		return MonitorUnscheduled
	case wellOrNew && m.oldestOpen() != nil:
		return MonitorInProgress
	}
	return cmp.Or(m.Status, MonitorWaiting)
}

// CheckIn is what a job's program says of a run.
type CheckIn struct {
	// ID is the run's; empty for the one that is under way, or a new one.
	ID          string
	Slug        string
	Environment string
	Status      MonitorStatus // MonitorInProgress, MonitorOK or MonitorError
	Duration    float64       // in seconds, where it is known
	Config      *MonitorConfig
}

// readCheckIn reads an item of the type check_in. What is of the wrong type is as if it
// weren't there. It returns ErrInvalid for one without a job or a status.
func readCheckIn(payload []byte) (CheckIn, error) {
	var wire struct {
		ID          string      `json:"check_in_id"`
		Slug        string      `json:"monitor_slug"`
		Environment string      `json:"environment"`
		Status      string      `json:"status"`
		Duration    float64     `json:"duration"`
		Config      *wireConfig `json:"monitor_config"`
	}
	err := json.Unmarshal(payload, &wire)
	if _, isType := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !isType {
		return CheckIn{}, fmt.Errorf("%w: the check-in is no JSON object", ErrInvalid)
	}
	c := CheckIn{
		ID: checkInID(wire.ID), Slug: slugOf(wire.Slug), Environment: cmp.Or(language.Cut(wire.Environment, maxEnvironment), "production"),
		Status: MonitorStatus(wire.Status), Duration: max(0, wire.Duration),
	}
	if c.Slug == "" {
		return c, fmt.Errorf("%w: the check-in names no monitor_slug", ErrInvalid)
	}
	if !slices.Contains([]MonitorStatus{MonitorInProgress, MonitorOK, MonitorError}, c.Status) {
		return c, fmt.Errorf("%w: the check-in's status is none of in_progress, ok and error", ErrInvalid)
	}
	if wire.Config != nil {
		c.Config = new(wire.Config.config())
	}
	return c, nil
}

// checkInID is a run's id in one form; the id of zeros, for whichever run is under way, is
// empty.
func checkInID(id string) string {
	id = language.Cut(strings.ToLower(strings.ReplaceAll(id, "-", "")), maxCheckInID)
	if strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}

// slugOf is a job's name of letters, digits, "-" and "_".
func slugOf(name string) string {
	slug := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || unicode.IsMark(r) {
			return unicode.ToLower(r)
		}
		return '-'
	}, name)
	return strings.Trim(language.Cut(slug, maxSlug), "-")
}

// monitorID is of a job in an environment. A project's ids are from its number and "." to
// its number and "/".
func monitorID(project, slug, environment string) string {
	sum := sha256.Sum256([]byte(slug + "\x00" + environment))
	return project + "." + hex.EncodeToString(sum[:12])
}

func monitorsOf(project string) docstore.Query {
	return docstore.Query{From: project + ".", Until: project + "/", Limit: docstore.MaxLimit}
}

// takeCheckIn keeps an item of the type check_in.
func (d *delivery) takeCheckIn(ctx context.Context, payload []byte) {
	c, err := readCheckIn(payload)
	if err == nil {
		scrub := d.policy.Load().scrubber.Text
		c.Slug, c.Environment = scrub(c.Slug), scrub(c.Environment)
		err = d.CheckIn(ctx, d.project.ID, c)
	}
	if errors.Is(err, ErrInvalid) {
		err = d.malformed(err)
	}
	if errors.Is(err, errNoRoom) {
		d.lose(d.project.ID, lostToBound, 1)
		err = nil // it isn't better the next time
	}
	d.err = cmp.Or(d.err, err)
}

// errNoRoom is returned for what there are as many of already as there may be.
var errNoRoom = errors.New("there are as many as there may be")

// CheckIn notes what a job's program says. It may be told again, and in another order than it
// was said. Errors are the store's.
func (s *Service) CheckIn(ctx context.Context, project string, c CheckIn) error {
	id := monitorID(project, c.Slug, c.Environment)
	if err := s.hasRoom(ctx, id, project); err != nil {
		return err
	}
	now, fresh := docstore.At(s.c.Now()), docstore.NewID()
	made := CronMonitor{ID: id, Project: project, Slug: c.Slug, Environment: c.Environment, Config: defaultConfig(), CreatedAt: now}
	misspelt := false
	m, err := s.monitors.Upsert(ctx, made, func(m *CronMonitor, _ bool) error {
		m.Retired = false // it is there again
		before := m.Problem
		err := m.checkIn(c, fresh, now)
		misspelt = m.Problem != "" && m.Problem != before
		return err
	})
	if err == nil && misspelt {
		s.c.Log.WarnContext(ctx, "a job can't be missed, as its schedule can't be", "project", project, "job", m.Slug, "environment", m.Environment, "schedule", m.Config.String(), "problem", m.Problem)
	}
	if err == nil && len(m.Pending) > 0 {
		s.monitorRelay.Send(ctx, m)
	}
	return err
}

// maxMisspelt bounds how many misspelt schedules a project is shown with.
const maxMisspelt = 20

// misspelt says which jobs of a project are never missed, as their schedules can't be.
func (s *Service) misspelt(ctx context.Context, project string) (all []language.Text, err error) {
	for m, err := range s.monitors.All(ctx, monitorsOf(project)) {
		if err != nil {
			return nil, err
		}
		if m.Problem == "" || m.Retired || len(all) == maxMisspelt {
			continue
		}
		all = append(all, language.Text{
			En: "The job # is never missed, as its schedule can't be: #",
			Ar: "لا يُبلَّغ عن تأخر المهمة # لأن جدولها لا يصح: #",
		}.Quoting(m.Slug+" ("+m.Environment+")", m.unscheduled()))
	}
	return all, nil
}

// unscheduled says why the job's schedule can't be, which is named where it says anything.
func (m CronMonitor) unscheduled() string {
	if schedule := m.Config.String(); schedule != "" {
		return schedule + ": " + m.Problem
	}
	return m.Problem
}

// hasRoom returns errNoRoom for a monitor that isn't there and that there is no room for.
func (s *Service) hasRoom(ctx context.Context, id, project string) error {
	_, err := s.monitors.Get(ctx, id)
	if !errors.Is(err, docstore.ErrNotFound) {
		return err
	}
	q := monitorsOf(project)
	q.Limit = maxMonitors
	if there, _, err := s.monitors.Find(ctx, q); err != nil || len(there) == maxMonitors {
		return cmp.Or(err, errNoRoom)
	}
	return nil
}

// checkIn is what a check-in changes. fresh is the id of a run that has none.
func (m *CronMonitor) checkIn(c CheckIn, fresh string, now docstore.Time) error {
	changed := c.Config != nil && *c.Config != m.Config
	if changed {
		m.Config, m.Problem, m.NextDueAt = *c.Config, c.Config.problem(), docstore.Time{}
	}
	r := m.runOf(c, fresh)
	if r != nil && !r.goesOn(c.Status) { // it is told again, or late
		if !changed {
			return docstore.ErrUnchanged
		}
		m.plan(now)
		return nil
	}
	m.LastAt = now
	if r == nil {
		m.NextDueAt = m.dueAfter(now)
		m.Runs = append(m.Runs, run{ID: cmp.Or(c.ID, fresh), StartedAt: now})
		m.Runs = slices.Delete(m.Runs, 0, max(0, len(m.Runs)-runsKept))
		r = &m.Runs[len(m.Runs)-1]
	}
	before := r.Status
	r.Status = c.Status
	switch c.Status {
	case MonitorOK:
		m.succeed(now)
	case MonitorError:
		if m.Status = MonitorError; before != MonitorTimeout { // that was one failure already
			m.fail(MonitorError, now, now)
		}
	}
	if c.Status != MonitorInProgress {
		m.Duration = c.Duration
	}
	m.plan(now)
	return nil
}

// runOf is the run that a check-in is of; nil for a new one.
func (m *CronMonitor) runOf(c CheckIn, fresh string) *run {
	if c.ID == "" && c.Status == MonitorInProgress {
		return nil
	}
	for k := len(m.Runs) - 1; k >= 0; k-- {
		if r := &m.Runs[k]; r.ID == cmp.Or(c.ID, fresh) || c.ID == "" && r.Status == MonitorInProgress {
			return r
		}
	}
	return nil
}

// goesOn tells whether a status is one that comes after the run's: its end comes once, also
// after it took too long, or when nobody could report it.
func (r run) goesOn(to MonitorStatus) bool {
	return to != MonitorInProgress && slices.Contains([]MonitorStatus{MonitorInProgress, MonitorTimeout, unheard}, r.Status)
}

// oldestOpen is the run that has been under way for longest; nil where there is none.
func (m *CronMonitor) oldestOpen() *run {
	k := slices.IndexFunc(m.Runs, func(r run) bool { return r.Status == MonitorInProgress })
	if k < 0 {
		return nil
	}
	return &m.Runs[k]
}

// dueAfter is when the next run is due after one that begins at a moment: after the one that
// is due then, where it is a little early.
func (m *CronMonitor) dueAfter(at docstore.Time) docstore.Time {
	if ahead := m.NextDueAt.Sub(at.Time); m.Config.Crontab != "" && !m.NextDueAt.IsZero() && ahead > 0 && ahead <= early {
		next := m.Config.next(m.NextDueAt.Time)
		if next.IsZero() || ahead <= next.Sub(m.NextDueAt.Time)/4 {
			return next
		}
	}
	return m.Config.next(at.Time)
}

// plan says when the job is to be looked at. While a run is under way, another is not
// missed: a job that takes long doesn't run twice at once. What was due meanwhile is due no
// more.
func (m *CronMonitor) plan(now docstore.Time) {
	open := m.oldestOpen()
	if open != nil {
		m.LookAt = docstore.At(open.StartedAt.Add(m.Config.maxRuntime()))
		return
	}
	if !m.NextDueAt.After(now.Time) {
		m.NextDueAt = m.Config.next(now.Time)
	}
	if m.LookAt = (docstore.Time{}); !m.NextDueAt.IsZero() {
		m.LookAt = docstore.At(m.NextDueAt.Add(m.Config.margin()))
	}
}

// judge says of what should have been reported until now that it wasn't, as far as there was
// somebody to hear it.
func (m *CronMonitor) judge(now docstore.Time, heard listening) error {
	if m.LookAt.IsZero() || m.LookAt.After(now.Time) {
		return docstore.ErrUnchanged // another copy has done it
	}
	for range maxJudged {
		at := m.LookAt
		if at.IsZero() || at.After(now.Time) {
			return nil
		}
		if open := m.oldestOpen(); open != nil {
			if open.Status = unheard; heard.through(open.StartedAt.Time, at.Time) {
				open.Status = MonitorTimeout
				m.fail(MonitorTimeout, at, now)
			}
			m.plan(at)
			continue
		}
		if due := m.NextDueAt; heard.through(due.Add(-early), at.Time) {
			m.NextDueAt = m.Config.next(due.Time)
			m.fail(MonitorMissed, due, now)
			m.plan(due)
		} else {
			m.NextDueAt = m.Config.next(now.Time)
			m.plan(now)
		}
	}
	return nil
}

// correct has a job that reported by a clock that was put back since be due by the clock as
// it is now.
func (m *CronMonitor) correct(now docstore.Time) error {
	if !m.LastAt.After(now.Add(skew)) {
		return docstore.ErrUnchanged
	}
	m.LastAt = now
	for i := range m.Runs {
		if m.Runs[i].StartedAt.After(now.Time) {
			m.Runs[i].StartedAt = now
		}
	}
	m.NextDueAt = m.Config.next(now.Time)
	m.plan(now)
	return nil
}

// fail counts a failure, and has people told of it when there are enough in a row.
func (m *CronMonitor) fail(status MonitorStatus, at, now docstore.Time) {
	m.Status, m.Successes = status, 0
	if m.Failures++; m.Failures < m.Config.Failures || !m.FailingSince.IsZero() {
		return
	}
	m.FailingSince = at
	m.Outages++
	title, text := failureTexts(*m, at.Time)
	m.tell(false, at, now, title, text)
}

// succeed counts a run that ended well, and has people told that all is well again when
// there are enough in a row.
func (m *CronMonitor) succeed(now docstore.Time) {
	m.Status, m.Failures = MonitorOK, 0
	if m.Successes++; !m.FailingSince.IsZero() && m.Successes >= m.Config.Recoveries {
		m.FailingSince = docstore.Time{}
		m.tell(true, now, now, language.Text{En: "The job # runs well again", Ar: "المهمة # تعمل جيدًا من جديد"}.Quoting(m.Slug), language.Text{})
	}
}

// retire has the monitor go, once what waits has been told: with the end of what people were
// told of.
func (m *CronMonitor) retire(now docstore.Time) error {
	if !m.FailingSince.IsZero() {
		m.tell(true, now, now, language.Text{En: "The job # isn't watched any more", Ar: "لم تعد المهمة # تحت المراقبة"}.Quoting(m.Slug), language.Text{})
	}
	if len(m.Pending) == 0 {
		return docstore.ErrRemoved
	}
	*m = CronMonitor{ID: m.ID, Project: m.Project, Slug: m.Slug, Environment: m.Environment, Config: m.Config, CreatedAt: m.CreatedAt, LastAt: m.LastAt, Outages: m.Outages, Retired: true, Pending: m.Pending, PendingSince: m.PendingSince}
	return nil
}

func (m *CronMonitor) tell(over bool, at, now docstore.Time, title, text language.Text) {
	m.outbox().Note(Alert{
		ID: docstore.NewID(), Kind: CheckInMissed, Occurrence: strconv.FormatInt(m.CreatedAt.UnixMilli(), 36) + "-" + strconv.Itoa(m.Outages), Over: over, At: at,
		Title: title, Text: text, Environment: m.Environment,
	}, now.Time)
}

// failureTexts are what people are told of a job that doesn't run as it should.
func failureTexts(m CronMonitor, at time.Time) (title, text language.Text) {
	switch m.Status {
	case MonitorMissed:
		title = language.Text{En: "The job # didn't report", Ar: "لم تُبلِّغ المهمة # عن نفسها"}.Quoting(m.Slug)
		text = language.Text{
			En: "It was due at " + language.English.Moment(at) + " and may be " + language.English.Duration(m.Config.margin()) + " late.",
			Ar: "كان موعدها " + language.Arabic.Moment(at) + " والتأخير المسموح به " + language.Arabic.Duration(m.Config.margin()) + ".",
		}
	case MonitorTimeout:
		title = language.Text{En: "The job # takes too long", Ar: "المهمة # تستغرق وقتًا أطول من اللازم"}.Quoting(m.Slug)
		text = language.Text{
			En: "It may take " + language.English.Duration(m.Config.maxRuntime()) + " and hasn't reported its end.",
			Ar: "المسموح به " + language.Arabic.Duration(m.Config.maxRuntime()) + " ولم تُبلِّغ عن نهايتها.",
		}
	default:
		title = language.Text{En: "The job # has failed", Ar: "فشلت المهمة #"}.Quoting(m.Slug)
	}
	if m.Failures > 1 {
		text.En = strings.TrimSpace(text.En + " Failures in a row: " + language.English.Number(m.Failures) + ".")
		text.Ar = strings.TrimSpace(text.Ar + " عدد مرات الفشل المتتالية: " + language.Arabic.Number(m.Failures) + ".")
	}
	return title, text
}

// CronMonitors are a page of the jobs that report, of a project or of all, and the cursor of
// the next page. Errors are the store's.
func (s *Service) CronMonitors(ctx context.Context, project string, limit int, cursor string) ([]CronMonitor, string, error) {
	q := docstore.Query{Index: "by_slug", Limit: limit, Cursor: cursor}
	if project != "" {
		p, err := s.Project(ctx, project)
		if err != nil {
			return nil, "", err
		}
		q.Equal = []any{p.ID}
	}
	all, next, err := s.monitors.Find(ctx, q)
	return slices.DeleteFunc(all, func(m CronMonitor) bool {
		_, err := s.projectOf(ctx, m.Project)
		return m.Retired || errors.Is(err, ErrNoProject)
	}), next, err
}

// RemoveCronMonitor has a job be watched no more, unless it reports again. It returns
// ErrNoMonitor or an error of the store.
func (s *Service) RemoveCronMonitor(ctx context.Context, id string) error {
	m, err := s.monitors.Get(ctx, id)
	if err == nil && m.Retired {
		err = docstore.ErrNotFound
	}
	if err == nil {
		err = s.note(ctx, eventMonitorRemoved, id)
	}
	if err == nil {
		err = s.retire(ctx, id)
	}
	return docstore.NotFoundAs(err, ErrNoMonitor)
}

// retire has a monitor go: its end is noted, told, and then it goes. It may be cut short and
// done again. Errors are the store's, and Tell's.
func (s *Service) retire(ctx context.Context, id string) error {
	for range 2 {
		m, err := s.monitors.Update(ctx, id, func(m *CronMonitor) error { return m.retire(docstore.At(s.c.Now())) })
		if err == nil && len(m.Pending) > 0 {
			err = s.monitorRelay.Deliver(ctx, m)
		}
		if err != nil || len(m.Pending) == 0 {
			return docstore.NotFoundAs(err, nil)
		}
	}
	return nil // there is more to be told meanwhile
}

// watchCheckIns looks after jobs until ctx ends.
func (s *Service) watchCheckIns(ctx context.Context) {
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for {
		if err := s.watch(ctx); err != nil && ctx.Err() == nil {
			s.c.Log.WarnContext(ctx, "jobs that report can't be looked after", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// watch says that this copy listens, and judges the jobs that should have reported until now.
// Several copies may do it at once. Errors are the store's.
func (s *Service) watch(ctx context.Context) error {
	now := docstore.At(s.c.Now())
	heard, err := s.listen(ctx, now)
	if err != nil {
		return err
	}
	return errors.Join(
		s.monitorRelay.DeliverStale(ctx),
		s.changeMonitors(ctx, docstore.Query{Index: byLastAt, From: docstore.At(now.Add(skew + time.Millisecond))}, func(m *CronMonitor) error { return m.correct(now) }),
		s.changeMonitors(ctx, docstore.Query{Index: byLook, Until: docstore.At(now.Add(time.Millisecond))}, func(m *CronMonitor) error { return m.judge(now, heard) }),
	)
}

// changeMonitors changes the monitors that a query finds, and has told what follows. One
// that can't be changed keeps no other from it. What a deleted project's jobs don't report
// is no news: they go.
func (s *Service) changeMonitors(ctx context.Context, q docstore.Query, change func(*CronMonitor) error) error {
	q.Limit = docstore.DefaultLimit
	var failure error
	for m, err := range s.monitors.All(ctx, q) {
		if err != nil {
			return errors.Join(failure, err)
		}
		if _, err := s.projectOf(ctx, m.Project); err != nil {
			if errors.Is(err, ErrNoProject) {
				err = s.retire(ctx, m.ID)
			}
			failure = errors.Join(failure, err)
			continue
		}
		m, err := s.monitors.Update(ctx, m.ID, change)
		if err == nil && len(m.Pending) > 0 {
			s.monitorRelay.Send(ctx, m)
		}
		failure = errors.Join(failure, docstore.NotFoundAs(err, nil))
	}
	return failure
}

// removeMonitors removes a project's monitors that remove takes, and those that are to go.
func (s *Service) removeMonitors(ctx context.Context, p Project, remove func(CronMonitor) bool) error {
	var ids []string
	for m, err := range s.monitors.All(ctx, monitorsOf(p.ID)) {
		if err != nil {
			return err
		}
		if remove(m) || m.Retired {
			ids = append(ids, m.ID)
		}
	}
	now := docstore.At(s.c.Now())
	retired, errs := s.monitors.UpdateAll(ctx, ids, func(_ int, m *CronMonitor) error { return m.retire(now) })
	var failure error
	for i, m := range retired {
		if errs[i] == nil && len(m.Pending) > 0 {
			errs[i] = s.retire(ctx, m.ID)
		}
		failure = errors.Join(failure, docstore.NotFoundAs(errs[i], nil))
	}
	return failure
}

// isForgotten tells of a job that has reported nothing for as long as events are kept,
// though it should have; the next run of one that comes once in a year is waited for.
func (s *Service) isForgotten(m CronMonitor) bool {
	return m.LastAt.Before(s.cutoff().Time) && m.FailingSince.Before(s.cutoff().Time) && (m.Status == MonitorMissed || m.NextDueAt.IsZero())
}
