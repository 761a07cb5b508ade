package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"manus/audit"
	"manus/docstore"
	"manus/internal/cron"
	"manus/internal/words"
	"manus/language"
	"manus/lease"
)

// Alarm tells operators.
type Alarm interface {
	// Tell passes an alert on. One with the key of an earlier alert follows it up. It
	// may be called again with the same alert, by another process too; after an error
	// it is.
	Tell(ctx context.Context, alert Alert) error
}

// Alert is something that an operator has to know.
type Alert struct {
	// ID tells an alert that is told again from another one.
	ID string        `json:"id"`
	At docstore.Time `json:"at"`
	// Since is when it was first told: the same for what reminds of it, and for its end.
	Since docstore.Time `json:"since"`
	// Key is what the alert is about: [AlertFailed], [AlertSuspicious], [AlertSilence] or
	// [AlertDamaged].
	Key string `json:"key"`
	// Over is set when what it is about is over.
	Over bool `json:"over,omitempty"`
	// Text is one or two sentences, and Arabic the same in that language, with causes as
	// they come; empty where there is no other than Text.
	Text   string `json:"text"`
	Arabic string `json:"arabic,omitempty"`
}

// DocumentID is the alert's id.
func (a Alert) DocumentID() string { return a.ID }

// The keys of alerts.
const (
	AlertDamaged    = "store.damaged"
	AlertFailed     = "backup.failed"
	AlertSuspicious = "backup.suspicious"
	AlertSilence    = "backup.overdue"
)

const tellTimeout = 10 * time.Second

// tell passes an alert on, to the log where there is nobody else.
func (s *Service) tell(ctx context.Context, alert Alert) error {
	if s.Alarm == nil {
		level := slog.LevelError
		if alert.Over {
			level = slog.LevelInfo
		}
		s.Log.Log(ctx, level, alert.Text, "alert", alert.Key, "over", alert.Over)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	return s.Alarm.Tell(ctx, alert)
}

// TellDamaged raises the alarm that the data is damaged, which can't be noted there.
func (s *Service) TellDamaged(ctx context.Context, text string) {
	s.tellNow(ctx, newAlert(AlertDamaged, language.Text{En: text}, s.Now()))
}

// tellNow passes on an alert that can't be noted in the store, and says whether it was
// taken. It goes to the log when it wasn't.
func (s *Service) tellNow(ctx context.Context, alert Alert) bool {
	err := s.tell(ctx, alert)
	if err != nil {
		s.Log.ErrorContext(ctx, "an alert could not be passed on", "alert", alert.Key, "text", alert.Text, "error", err)
	}
	return err == nil
}

func newAlert(key string, text language.Text, now time.Time) Alert {
	return Alert{ID: docstore.NewID(), At: docstore.At(now), Since: docstore.At(now), Key: key, Text: text.En, Arabic: text.Ar}
}

// saying is a text in both languages, each a format for the same values.
func saying(en, ar string, values ...string) language.Text {
	inEnglish, inArabic := make([]any, len(values)), make([]any, len(values))
	for i, v := range values {
		inEnglish[i], inArabic[i] = v, language.Arabic.Isolate(v)
	}
	return language.Text{En: fmt.Sprintf(en, inEnglish...), Ar: fmt.Sprintf(ar, inArabic...)}
}

// What is said of what is over.
func madeAgain() language.Text {
	return language.Text{En: "A backup was made again.", Ar: "أُنشئت نسخة احتياطية من جديد."}
}

func countsAgain(file string) language.Text {
	return saying("The newest backup counts again: %s.", "أحدث نسخة احتياطية يُعتدّ بها من جديد: %s.", file)
}

func verifiedAgain(file string) language.Text {
	return saying("There is a verified backup again: %s.", "توجد نسخة احتياطية مُتحقَّق منها من جديد: %s.", file)
}

// failure says that a run has failed; nil is no failure.
func failure(err error) language.Text {
	if err == nil {
		return language.Text{}
	}
	return saying("A backup has failed: %s.", "فشل نسخ احتياطي: %s.", cut(err))
}

// raised is when an alert that isn't over was last told, and when first.
func (st *Status) raised(key string) (last, first *docstore.Time) {
	switch key {
	case AlertFailed:
		return &st.FailureTold, &st.FailureSince
	case AlertSuspicious:
		return &st.DoubtTold, &st.DoubtSince
	default:
		return &st.Told, &st.SilenceSince
	}
}

// newAlert is an alert that goes on with what isn't over.
func (st *Status) newAlert(key string, text language.Text, now time.Time) Alert {
	alert := newAlert(key, text, now)
	if last, first := st.raised(key); !last.IsZero() && !first.IsZero() {
		alert.Since = *first
	}
	return alert
}

// noteRaised notes that an alert is told, and since when it is.
func (st *Status) noteRaised(alert Alert) {
	last, first := st.raised(alert.Key)
	*last, *first = alert.At, alert.Since
}

// alert notes what is wrong, or when that is empty, and it had been noted that
// something is, that it is over. It is a part of the atomic change of what it tells of.
func (st *Status) alert(key string, wrong, over language.Text, now time.Time) {
	last, first := st.raised(key)
	alert := st.newAlert(key, wrong, now)
	switch {
	case wrong.En != "":
		st.noteRaised(alert)
		// One about the same that still waits is out of date.
		st.Pending = slices.DeleteFunc(st.Pending, func(a Alert) bool { return a.Key == key })
	case last.IsZero():
		return
	default:
		*last, *first = docstore.Time{}, docstore.Time{}
		alert.Over, alert.Text, alert.Arabic = true, over.En, over.Ar
	}
	st.outbox().Note(alert, now)
}

// doubted says that a backup doesn't count; nothing of one that does.
func doubted(file, why string) language.Text {
	if why == "" {
		return language.Text{}
	}
	return saying("The backup %s doesn't count: %s.", "النسخة الاحتياطية %s لا يُعتدّ بها: %s.", file, why)
}

// vanished says that all backups are gone, of which one was the newest that counts.
func vanished(file string) language.Text {
	return saying(
		"The earlier backups can't be seen any more, of which %s was the newest: look whether their disk is there and nobody has removed them, unless backups go to another place now.",
		"لم تعد النسخ الاحتياطية السابقة ظاهرة، وأحدثها %s: تحقّق من أنّ قرصها موجود ومن أنّ أحدًا لم يحذفها، ما لم تكن النسخ تُحفظ الآن في مكان آخر.", file)
}

// ended notes how a run has ended.
func (st *Status) ended(m Manifest, err error, now time.Time) {
	st.alert(AlertFailed, failure(err), madeAgain(), now)
	if err == nil {
		st.Made = m.File
	}
	if err == nil && (m.Suspicious != "" || st.Doubt == "") {
		st.alert(AlertSuspicious, doubted(m.File, m.Suspicious), countsAgain(m.File), now)
	}
}

func (st *Status) outbox() audit.Outbox[Alert] {
	return audit.Outbox[Alert]{Events: &st.Pending, Since: &st.PendingSince}
}

// newRelay takes the alerts of the state in a store to the alarm of the service.
func newRelay(store docstore.Store, service func() *Service) *audit.Relay[Status, Alert] {
	return &audit.Relay[Status, Alert]{
		Aggregates: docstore.NewCollection[Status](store, spec),
		Outbox:     (*Status).outbox,
		Publish:    func(ctx context.Context, _ Status, a Alert) error { return service().tell(ctx, a) },
		Now:        func() time.Time { return service().Now() },
		Log:        service().Log,
	}
}

// listen raises the alarm when there has been no verified backup for too long, or the
// newest one doesn't count, once a day, and says when that is over.
func (s *Schedule) listen(ctx context.Context, held lease.Held, st Status) error {
	silent, now := s.silence(st), s.now()
	silence, doubt := news(silent.En, st.Told, now), news(st.Doubt, st.DoubtTold, now)
	if !silence && !doubt {
		return nil
	}
	_, err := s.change(ctx, held, func(st *Status) {
		if silence {
			st.alert(AlertSilence, silent, verifiedAgain(st.Verified.File), now)
		}
		if doubt {
			st.alert(AlertSuspicious, language.Text{En: st.Doubt, Ar: st.DoubtArabic}, countsAgain(st.Good.File), now)
		}
	})
	return err
}

// news tells whether there is something to tell: that something is wrong, for the first
// time or since a day, or is so no more.
func news(wrong string, told docstore.Time, now time.Time) bool {
	if wrong == "" {
		return !told.IsZero()
	}
	return now.Sub(told.Time) >= remindEvery
}

// silence says that there has been no verified backup for too long, or is empty.
func (s *Schedule) silence(st Status) language.Text {
	last := st.last(st.Verified)
	age := s.now().Sub(last.Time)
	switch {
	case age <= s.Service().deadline(s.When):
		return language.Text{}
	case st.Verified.File == "":
		return language.Text{
			En: fmt.Sprintf("There is no verified backup, although backups have been scheduled since %s.", language.English.Moment(last.Time)),
			Ar: fmt.Sprintf("لا توجد نسخة احتياطية مُتحقَّق منها، مع أنّ النسخ الاحتياطي مُجدوَل منذ %s.", language.Arabic.Isolate(language.Arabic.Moment(last.Time))),
		}
	}
	return language.Text{
		En: fmt.Sprintf("The newest verified backup is %s old: %s.", words.Span(age), st.Verified.File),
		Ar: fmt.Sprintf("مضى على أحدث نسخة احتياطية مُتحقَّق منها %s: %s.", language.Arabic.Duration(age), language.Arabic.Isolate(st.Verified.File)),
	}
}

// deadline is how old the newest verified backup may be. Where others make them, they do so
// daily.
func (s *Service) deadline(when *cron.Schedule) time.Duration {
	switch {
	case s.Policy.AlarmAfter > 0:
		return s.Policy.AlarmAfter
	case when == nil:
		return 24*time.Hour + alarmGrace
	}
	return longestPause(when, s.Now()) + alarmGrace
}

// alarmGrace is how long a run may take before the alarm, where nothing else is set.
const alarmGrace = 2 * time.Hour

// longestPause is the longest of the schedule's next pauses.
func longestPause(when *cron.Schedule, from time.Time) time.Duration {
	longest := time.Duration(0)
	at := when.Next(from)
	for range 60 {
		next := when.Next(at)
		longest, at = max(longest, next.Sub(at)), next
	}
	return longest
}

// watch keeps the status of this copy up to date, and raises the alarm by itself while
// the store is gone: then nobody can hold the lease.
func (s *Schedule) watch(ctx context.Context) {
	ticker := time.NewTicker(s.Period)
	defer ticker.Stop()
	for {
		s.glance(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Schedule) glance(ctx context.Context) {
	st, err := s.relay.Aggregates.Get(ctx, theSchedule)
	switch {
	case err == nil:
		s.status.Store(&st)
		s.handOver(ctx)
	case !errors.Is(err, docstore.ErrNotFound) && ctx.Err() == nil:
		s.raiseAlone(ctx)
	}
}

// raiseAlone raises the alarm of this copy, until it has been told once. All copies tell of
// the same: since the backup that is too old.
func (s *Schedule) raiseAlone(ctx context.Context) {
	status := s.Status()
	silent := s.silence(status)
	if silent.En == "" || status.Since.IsZero() || s.alone.has(AlertSilence) {
		return
	}
	alert := status.newAlert(AlertSilence, silent, s.now())
	if status.Told.IsZero() {
		alert.Since = status.last(status.Verified)
	}
	s.tellAlone(ctx, alert)
}

// tellAlone tells of what can't be noted in the store, and remembers it until it can.
func (s *Schedule) tellAlone(ctx context.Context, alert Alert) {
	if s.Service().tellNow(ctx, alert) {
		s.alone.add(alert)
	}
}

// handOver notes what this copy has raised by itself, once the store is back: the
// schedule ends it.
func (s *Schedule) handOver(ctx context.Context) {
	waiting := s.alone.all()
	if len(waiting) == 0 {
		return
	}
	if _, err := s.relay.Aggregates.Update(ctx, theSchedule, func(st *Status) error { st.take(waiting); return nil }); err == nil {
		s.alone.drop(waiting)
	}
}

// take notes alerts that copies have told of by themselves.
func (st *Status) take(alone []Alert) {
	for _, alert := range alone {
		switch last, _ := st.raised(alert.Key); {
		case last.IsZero():
			st.noteRaised(alert)
		case last.Before(alert.At.Time):
			*last = alert.At
		}
	}
}

// unnoted are the alerts that a copy has told of while they couldn't be noted, by key.
type unnoted struct {
	mu     sync.Mutex
	alerts map[string]Alert
}

func (u *unnoted) add(alert Alert) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.alerts == nil {
		u.alerts = map[string]Alert{}
	}
	u.alerts[alert.Key] = alert
}

func (u *unnoted) has(key string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, has := u.alerts[key]
	return has
}

func (u *unnoted) all() []Alert {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Collect(maps.Values(u.alerts))
}

// drop forgets those that are noted by now.
func (u *unnoted) drop(noted []Alert) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, alert := range noted {
		if u.alerts[alert.Key].ID == alert.ID {
			delete(u.alerts, alert.Key)
		}
	}
}
