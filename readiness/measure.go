package readiness

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"manus/docstore"
	"manus/language"
)

// measurer measures a check, one at a time: one that hangs, hangs once and not once a report. Those
// who ask meanwhile share the next measurement, as what was measured before they asked may be
// mended since.
type measurer struct {
	Check

	mu       sync.Mutex
	now      *measurement // under way; it may be over its time
	upcoming *measurement // begins when now has really returned
}

// measurement is one that is under way, or to come.
type measurement struct {
	began   time.Time
	cancel  context.CancelFunc
	waiting int           // who waits for it; nobody has it cancelled
	done    chan struct{} // closed when it has found something, or its time is over
	found   Finding
	over    bool // done is closed
}

// measure is what the check finds within its patience. One that panics or hangs is broken.
func (m *measurer) measure(ctx context.Context) (f Finding, at time.Time, took time.Duration) {
	asked := time.Now()
	one := m.join(ctx)
	defer m.leave(one)
	select {
	case <-one.done:
		return one.found, one.began, time.Since(asked)
	case <-ctx.Done():
		return m.hangs(), asked, time.Since(asked)
	}
}

// join begins a measurement, or joins those who wait for the next one.
func (m *measurer) join(ctx context.Context) *measurement {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.upcoming
	if one == nil {
		one = &measurement{done: make(chan struct{})}
		if m.now == nil {
			m.begin(ctx, one)
		} else if m.upcoming = one; m.now.over { // what hangs still is broken still
			m.end(one, m.hangs())
			m.upcoming = nil
		}
	}
	one.waiting++
	return one
}

// leave is called by who waits no longer. What nobody waits for ends.
func (m *measurer) leave(one *measurement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one.waiting--; one.waiting > 0 {
		return
	}
	if one.cancel != nil {
		one.cancel()
	} else if m.upcoming == one {
		m.upcoming = nil
	}
}

// grace is how much earlier than its time a measurement is told to end: one that listens says by
// itself then who hasn't answered.
const grace = 250 * time.Millisecond

// begin begins a measurement with the values of ctx. The lock is held.
func (m *measurer) begin(ctx context.Context, one *measurement) {
	m.now, one.began = one, time.Now()
	ctx, one.cancel = context.WithTimeout(context.WithoutCancel(ctx), m.patience()-grace)
	overdue := time.AfterFunc(m.patience(), func() { m.late(one) })
	go func() {
		f := m.guarded(ctx)
		overdue.Stop()
		m.finish(ctx, one, f)
	}()
}

// late ends the time of a measurement that hasn't returned, and that of who waits for the next.
func (m *measurer) late(one *measurement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now != one { // it has just returned
		return
	}
	m.end(one, m.hangs())
	if m.upcoming != nil {
		m.end(m.upcoming, m.hangs())
		m.upcoming = nil
	}
}

// finish is called when a measurement has really returned; the next one may begin.
func (m *measurer) finish(ctx context.Context, one *measurement, f Finding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one.cancel()
	m.end(one, f)
	m.now = nil
	if next := m.upcoming; next != nil {
		m.upcoming = nil
		m.begin(ctx, next)
	}
}

// end has those who wait for a measurement know what was found, once. The lock is held.
func (m *measurer) end(one *measurement, f Finding) {
	if !one.over {
		one.over, one.found = true, f
		if one.began.IsZero() {
			one.began = time.Now()
		}
		close(one.done)
	}
}

func (m *measurer) patience() time.Duration { return cmp.Or(m.Patience, defaultPatience) }

// hangs is the finding of one that doesn't end in its time.
func (m *measurer) hangs() Finding {
	return Broken(
		language.Both(func(t language.Tag) string {
			return language.Text{En: "There was no answer within #.", Ar: "لم يأتِ جواب خلال #."}.Quoting(t.Duration(m.patience().Round(time.Second))).In(t)
		}),
		language.Text{En: "See whether what it asks is overloaded or unreachable; the log may say more.", Ar: "انظر هل ما يُسأل مثقَل أو لا يمكن الوصول إليه؛ قد يقول السجلّ المزيد."})
}

// guarded is the measurement, a panic in it being a broken promise.
func (m *measurer) guarded(ctx context.Context) (f Finding) {
	defer func() {
		if cause := recover(); cause != nil {
			f = Broken(
				language.Text{En: "The check itself has failed: #.", Ar: "فشل الفحص نفسه: #."}.Quoting(fmt.Sprint(cause)),
				language.Text{En: "This is a fault of Manus: report it.", Ar: "هذا خلل في Manus: أبلغ عنه."})
		}
	}()
	return m.Measure(ctx)
}

// keptFinding is what was found by a check that is expensive, for as long as it stands.
type keptFinding struct {
	ID      string        `json:"_id"` // the check's
	At      docstore.Time `json:"at"`
	With    string        `json:"with"` // the settings that it was found with, see with
	Finding Finding       `json:"finding"`
}

// DocumentID is the check's ID.
func (k keptFinding) DocumentID() string { return k.ID }

var keptSpec = docstore.Spec{Collection: "readiness_findings", Of: keptFinding{}}

// keptOrMeasured is what some copy has found a while ago with the same settings, or is found now and
// kept. What is broken is always measured anew: who mends something wants to see that. Where no copy
// runs with these settings, what was found says nothing of any: it is neither taken nor kept.
func (s *Service) keptOrMeasured(ctx context.Context, m *measurer, ask Ask, others []Copy) (Finding, time.Time, time.Duration) {
	this := s.This()
	runs := this.ID != "" || slices.ContainsFunc(others, func(c Copy) bool { return c.with() == this.with() })
	if runs && !ask.Fresh {
		if k, err := s.kept.Get(ctx, m.ID); err == nil && k.With == this.with() && k.Finding.holds() && stands(k.At.Time, m.Keep) {
			return k.Finding, k.At.Time, 0
		}
	}
	if ask.Watching && m.WhenAsked {
		return NotMeasured(language.Text{En: "It is measured when somebody asks for a report.", Ar: "يُقاس حين يطلب أحدهم تقريرًا."}), time.Time{}, 0
	}
	f, at, took := m.measure(ctx)
	if runs {
		s.keep(ctx, keptFinding{m.ID, docstore.At(at), this.with(), f})
	}
	return f, at, took
}

// with is a digest of the settings, and whatever else copies should have in common.
func (c Copy) with() string {
	digest := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(c.Marks)) {
		fmt.Fprintf(digest, "%s=%s\n", name, c.Marks[name]) //nolint:errcheck // never fails
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// keepWithin is how long a report waits for a store that can't keep what was found.
const keepWithin = 500 * time.Millisecond

// keep keeps a finding. If it can't be kept, the next report measures again.
func (s *Service) keep(ctx context.Context, k keptFinding) {
	keeping, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	_, err := s.kept.Upsert(keeping, k, func(old *keptFinding, _ bool) error {
		*old = k
		return nil
	})
	if err != nil {
		s.Log.WarnContext(ctx, "what was measured can't be kept", "check", k.ID, "error", err)
	}
}

// stands tells whether a moment is not longer ago than a span. One that is still to come, by a
// clock that was set back, isn't.
func stands(at time.Time, span time.Duration) bool {
	age := time.Since(at)
	return age >= 0 && age < span
}
