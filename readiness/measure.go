package readiness

import (
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

// measurer measures a check, one at a time: one that hangs, hangs once and not once a report.
type measurer struct {
	Check

	measuring sync.Mutex // held until a measurement has really returned
}

// measure is what the check finds within its patience. One that panics or hangs is broken.
func (m *measurer) measure(ctx context.Context) (f Finding, at time.Time, took time.Duration) {
	at = time.Now()
	patience := m.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !m.lock(ctx) {
		return hangs(patience), at, time.Since(at)
	}
	found := make(chan Finding, 1)
	go func() {
		defer m.measuring.Unlock()
		found <- m.guarded(ctx)
	}()
	select {
	case f = <-found:
	case <-ctx.Done():
		f = hangs(patience)
	}
	return f, at, time.Since(at)
}

// lock waits for a measurement that is under way, as long as ctx lasts.
func (m *measurer) lock(ctx context.Context) bool {
	for !m.measuring.TryLock() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func hangs(patience time.Duration) Finding {
	after := patience.Round(time.Second).String()
	return Broken(
		language.Text{En: "There was no answer within #.", Ar: "لم يأتِ جواب خلال #."}.Quoting(after),
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
// kept. What is broken is always measured anew: who mends something wants to see that. What a
// command finds with settings that no copy has is not kept: it says nothing of them.
func (s *Service) keptOrMeasured(ctx context.Context, m *measurer, ask Ask, others []Copy) (Finding, time.Time, time.Duration) {
	this := s.This()
	if !ask.Fresh {
		if k, err := s.kept.Get(ctx, m.ID); err == nil && k.With == this.with() && k.Finding.holds() && stands(k.At.Time, m.Keep) {
			return k.Finding, k.At.Time, 0
		}
	}
	if ask.Watching && m.WhenAsked {
		return NotMeasured(language.Text{En: "It is measured when somebody asks for a report.", Ar: "يُقاس حين يطلب أحدهم تقريرًا."}), time.Time{}, 0
	}
	f, at, took := m.measure(ctx)
	if this.ID != "" || slices.ContainsFunc(others, func(c Copy) bool { return c.with() == this.with() }) {
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

// keep keeps a finding. If it can't be kept, the next report measures again.
func (s *Service) keep(ctx context.Context, k keptFinding) {
	keeping, cancel := context.WithTimeout(ctx, defaultPatience)
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
