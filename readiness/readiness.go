// Package readiness measures what the product promises: on this installation, now, by
// doing it where that can be done. Each capability brings its own checks, as it brings its
// routes; what they are about, this room doesn't know. A report says of each what was
// measured, when, and what to do about it. Nothing is ticked that wasn't measured.
package readiness

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"manus/docstore"
	"manus/language"
)

// Group is what a promise is about.
type Group string

// The groups, in the order of a report.
const (
	Secrets Group = "secrets"
	Health  Group = "health"
	Backups Group = "backups"
	Limits  Group = "limits"
	Errors  Group = "errors"
	Uptime  Group = "uptime"
	Billing Group = "billing"
	System  Group = "system"
)

// Groups has all of them, in the order of a report.
var Groups = []Group{Secrets, Health, Backups, Limits, Errors, Uptime, Billing, System}

// Status is how a promise stands.
type Status string

// The statuses.
const (
	Pass    Status = "pass"
	Warn    Status = "warn" // kept, but not for long, or not as well as it could be
	Fail    Status = "fail"
	Skipped Status = "skipped" // not measured
)

// Finding is what was measured: how it stands, by which evidence, and what to do about it.
type Finding struct {
	Status   Status        `json:"status"`
	Evidence language.Text `json:"evidence"`
	Mend     language.Text `json:"mend"`
}

// holds tells whether the promise does.
func (f Finding) holds() bool { return f.Status == Pass || f.Status == Warn }

// Kept is a promise that holds.
func Kept(evidence language.Text) Finding { return Finding{Status: Pass, Evidence: evidence} }

// Doubtful is one that holds, but that somebody should look after.
func Doubtful(evidence, mend language.Text) Finding { return Finding{Warn, evidence, mend} }

// Broken is one that doesn't hold.
func Broken(evidence, mend language.Text) Finding { return Finding{Fail, evidence, mend} }

// NotMeasured is one that couldn't be measured, and why.
func NotMeasured(why language.Text) Finding { return Finding{Status: Skipped, Evidence: why} }

// Check measures a promise.
type Check struct {
	// ID is the group and a name, such as "backups.newest". It stands in docs/readiness.md,
	// which says what the check proves and what it can't.
	ID    string
	Title language.Text // the promise as a sentence
	// Essential promises are those without which nobody should go into production: no score
	// is good while one of them fails.
	Essential bool
	// Keep is how long a measurement stands, on all copies, because it costs something. Zero
	// has it measured for each report.
	Keep time.Duration
	// Patience is how long it may take; zero means 5 s. It fails then.
	Patience time.Duration
	// Offline tells that settings and files are all that it needs.
	Offline bool
	// OfCopy tells that it is about one copy of the server or its machine: each copy measures
	// its own, and a report has the worst of all.
	OfCopy bool
	// Basis tells that what the others measure says little without it: a report on other groups has it
	// too, where it fails.
	Basis bool
	// WhenAsked tells that it is measured only when a person or a program asks for a report: not by
	// the copy that watches, which goes by what was kept.
	WhenAsked bool
	// Measure measures it. It leaves nothing behind, and ends with its context.
	Measure func(context.Context) Finding
}

// Group is the group of the check, which its ID begins with.
func (c Check) Group() Group {
	group, _, _ := strings.Cut(c.ID, ".")
	return Group(group)
}

const defaultPatience = 5 * time.Second

// Result is how a promise stands in a report.
type Result struct {
	ID    string
	Group Group
	Title language.Text
	// Essential is the check's.
	Essential bool
	Finding
	MeasuredAt time.Time // zero for what wasn't measured
	Took       time.Duration
}

// Report is how all of them stand.
type Report struct {
	Status     Status // Fail, Warn or Pass
	Score      int    // 0 to 100, see [score]
	Measured   int    // how many of the results were
	MeasuredAt time.Time
	Results    []Result // in the order of Groups
}

// Failed are the results that failed.
func (r Report) Failed() []Result {
	return slices.DeleteFunc(slices.Clone(r.Results), func(r Result) bool { return r.Status != Fail })
}

// Config is what a Service is made of.
type Config struct {
	Checks []Check
	// Store keeps what is expensive to measure, and what copies tell each other. Nil has
	// only checks measured that are Offline, and NoStore says of the others why they aren't.
	Store   docstore.Store
	NoStore language.Text
	// Copy is what this copy of the server tells the others; a command's has no ID.
	Copy Copy
	// Marks are the Copy's by now; nil has none.
	Marks func() map[string]string
	// Tell has operators told that an essential promise doesn't hold, or does again. It may be told the
	// same over and over. Nil tells nobody.
	Tell    func(ctx context.Context, r Result) error
	Metrics prometheus.Registerer // nil has none
	Log     *slog.Logger
}

// Service measures.
type Service struct {
	Config

	checks  []*measurer // in the order of Groups
	kept    *docstore.Collection[keptFinding]
	copies  *docstore.Collection[Copy]
	metrics *metrics

	broken map[string]int // how often in a row each check failed; of the copy that watches
}

// New makes a Service. Checks of a group that isn't one, or with the ID of another, are
// mistakes in the program: it panics.
func New(c Config) *Service {
	s := &Service{Config: c, broken: map[string]int{}}
	ids := map[string]bool{}
	for _, group := range Groups {
		for _, check := range c.Checks {
			if check.Group() == group && !ids[check.ID] {
				ids[check.ID] = true
				s.checks = append(s.checks, &measurer{Check: check})
			}
		}
	}
	if len(s.checks) != len(c.Checks) {
		panic("readiness: a check has no group, or the ID of another")
	}
	if c.Store != nil {
		s.kept = docstore.NewCollection[keptFinding](c.Store, keptSpec)
		s.copies = docstore.NewCollection[Copy](c.Store, copySpec)
	}
	s.metrics = newMetrics(c.Metrics)
	return s
}

// Specs are the room's collections.
func Specs() []docstore.Spec { return []docstore.Spec{keptSpec, copySpec} }

// Ask is what a report is to have.
type Ask struct {
	// Fresh has all of it measured anew.
	Fresh bool
	// Watching leaves out what is measured when it is asked for, unless it was a while ago.
	Watching bool
	// Only has these groups, and of others what they rest on where that fails; none means all.
	Only []Group
	// OnResult, where it isn't nil, is called for each result as it comes, one at a time.
	OnResult func(Result)
}

// maxAtOnce is how many checks are measured at once.
const maxAtOnce = 16

// reportWithin bounds a report: what hasn't been measured by then is broken.
const reportWithin = 9500 * time.Millisecond

// Report measures what is asked for, all at once, and takes no longer than the slowest of
// it may, nor than ten seconds.
func (s *Service) Report(ctx context.Context, ask Ask) Report {
	ctx, cancel := context.WithTimeout(ctx, reportWithin)
	defer cancel()
	checks := s.of(ask.Only)
	results := make([]Result, len(checks))
	others := s.others(ctx)
	var measuring sync.WaitGroup
	var telling sync.Mutex
	turns := make(chan struct{}, maxAtOnce)
	for i, check := range checks {
		measuring.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			results[i] = s.result(ctx, check, ask, others)
			telling.Lock()
			defer telling.Unlock()
			if ask.OnResult != nil {
				ask.OnResult(results[i])
			}
		})
	}
	measuring.Wait()
	return newReport(slices.DeleteFunc(results, func(r Result) bool { return r.Status != Fail && !ask.has(r.Group) }))
}

// has tells whether a group is asked for.
func (a Ask) has(g Group) bool { return len(a.Only) == 0 || slices.Contains(a.Only, g) }

// of are the checks that a report on groups measures; none means all.
func (s *Service) of(groups []Group) []*measurer {
	return slices.DeleteFunc(slices.Clone(s.checks), func(m *measurer) bool {
		return !m.Basis && !(Ask{Only: groups}).has(m.Group())
	})
}

// Count is how many checks a report on groups measures; none means all.
func (s *Service) Count(groups []Group) int { return len(s.of(groups)) }

// result is how a promise stands, on this copy and on the others.
func (s *Service) result(ctx context.Context, m *measurer, ask Ask, others []Copy) Result {
	r := Result{ID: m.ID, Group: m.Group(), Title: m.Title, Essential: m.Essential}
	switch {
	case s.Store == nil && !m.Offline:
		r.Finding = NotMeasured(s.NoStore)
	case m.OfCopy:
		r.Finding, r.MeasuredAt = s.ofAll(ctx, m, others)
	case m.Keep > 0 && s.Store != nil:
		r.Finding, r.MeasuredAt, r.Took = s.keptOrMeasured(ctx, m, ask, others)
	default:
		r.Finding, r.MeasuredAt, r.Took = m.measure(ctx)
	}
	if r.Status == Skipped {
		r.MeasuredAt = time.Time{}
	}
	s.metrics.seen(r)
	return r
}

// Only is the report on one promise.
func Only(c Check) Report {
	return New(Config{Checks: []Check{c}, Log: slog.New(slog.DiscardHandler)}).Report(context.Background(), Ask{})
}

func newReport(results []Result) Report {
	r := Report{Status: Pass, Score: score(results), MeasuredAt: time.Now(), Results: results}
	for _, one := range results {
		if one.Status != Skipped {
			r.Measured++
		}
		if one.Status == Fail || one.Status == Warn && r.Status == Pass {
			r.Status = one.Status
		}
	}
	return r
}

// The best scores while an essential promise is broken, and while any is.
const (
	bestOfEssential = 49
	bestOfBroken    = 89
)

// score is how much of what was measured holds, out of 100: a doubtful promise is half of
// one, an essential one is three. No score hides what is broken, nor that most was not
// measured: it is at most the share that was.
func score(results []Result) int {
	held, all, measured, best := 0, 0, 0, 100
	for _, r := range results {
		weight := 2
		if r.Essential {
			weight = 6
		}
		switch r.Status {
		case Skipped:
			continue
		case Pass:
			held += weight
		case Warn:
			held += weight / 2
		case Fail:
			best = min(best, bestOfBroken)
			if r.Essential {
				best = bestOfEssential
			}
		}
		all += weight
		measured++
	}
	if all == 0 {
		return 0
	}
	if 2*measured < len(results) {
		best = min(best, 100*measured/len(results))
	}
	return min(best, 100*held/all)
}
