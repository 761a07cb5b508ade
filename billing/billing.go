// Package billing keeps plans and what each account has used of its own: a
// subscription per account, its monthly quota of runs, the trial.
//
// It knows nothing of what a run is, nor of how one is paid for.
package billing

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"manus/docstore"
	"manus/internal/cache"
)

// subscription is what an account has and has used, one document an account.
// An account without one is on the first plan and has used nothing.
type subscription struct {
	ID   string `json:"_id"` // the account's
	Plan string `json:"plan"`
	// Anchor is when it began, or when the account left the first plan for one
	// that is paid for; months of anniversaries count from it.
	Anchor docstore.Time `json:"anchor"`
	// Month is when the month began that Used counts the runs of.
	Month docstore.Time `json:"month"`
	Used  int64         `json:"used"`
	// Trial is there from its start on for ever: there is one per account.
	Trial *trial `json:"trial,omitempty"`
	// Pending are runs that were taken for sessions which may not exist yet.
	Pending []reservation `json:"pending,omitempty"`
}

// DocumentID is the account's id.
func (s subscription) DocumentID() string { return s.ID }

// trial counts apart: its runs aren't the plan's, and what is left of them is
// lost at its end, when the plan counts again from where it stood.
type trial struct {
	Plan      string        `json:"plan"` // as it was offered, like Runs
	Runs      Runs          `json:"runs"`
	StartedAt docstore.Time `json:"started_at"`
	EndsAt    docstore.Time `json:"ends_at"`
	Used      int64         `json:"used"`
}

// reservation is a run taken for a session.
type reservation struct {
	SessionID string        `json:"session_id"`
	At        docstore.Time `json:"at"`
	Trial     bool          `json:"trial,omitempty"` // which count it was taken from
	Month     docstore.Time `json:"month"`
}

func (s *subscription) trialing(now time.Time) bool {
	return s.Trial != nil && now.Before(s.Trial.EndsAt.Time)
}

// roll begins a new month when one is due. It never goes back: a clock that
// steps back gives nobody a month twice.
func (s *subscription) roll(plan Plan, now time.Time) {
	if start, _ := month(plan.Reset, s.Anchor.Time, now); docstore.At(start).After(s.Month.Time) {
		s.Month, s.Used = docstore.At(start), 0
	}
}

// take takes a run for the session from the count that is in force.
func (s *subscription) take(plan Plan, sessionID string, now time.Time) error {
	s.roll(plan, now)
	used, limit := &s.Used, *plan.Runs
	trialing := s.trialing(now)
	if trialing {
		used, limit = &s.Trial.Used, s.Trial.Runs
	}
	switch {
	case Runs(*used) >= limit:
		return ErrQuotaExhausted
	case len(s.Pending) >= maxPending:
		return ErrTooManyAtOnce
	}
	*used++
	s.Pending = append(s.Pending, reservation{SessionID: sessionID, At: docstore.At(now), Trial: trialing, Month: s.Month})
	return nil
}

// resolve drops a pending reservation, and gives its run back unless it was
// spent. A run of a past month isn't given back to this one.
func (s *subscription) resolve(sessionID string, spent bool) (found bool) {
	i := s.pending(sessionID)
	if i < 0 {
		return false
	}
	r := s.Pending[i]
	s.Pending = slices.Delete(s.Pending, i, i+1)
	switch {
	case spent:
	case r.Trial: // which is there for ever
		s.Trial.Used--
	case r.Month.Equal(s.Month.Time):
		s.Used--
	}
	return true
}

// stale are the sessions of the reservations that should have been confirmed long
// ago, as many as one call looks into.
func (s *subscription) stale(now time.Time) []string {
	var stale []string
	for _, r := range s.Pending { // clocks step back, so older ones may follow
		if now.Sub(r.At.Time) >= staleAfter && len(stale) < maxStale {
			stale = append(stale, r.SessionID)
		}
	}
	return stale
}

func (s *subscription) pending(sessionID string) int {
	return slices.IndexFunc(s.Pending, func(r reservation) bool { return r.SessionID == sessionID })
}

var subscriptionSpec = docstore.Spec{Collection: "subscriptions", Of: subscription{}}

// Specs are the collections that the store has to have.
func Specs() []docstore.Spec { return []docstore.Spec{subscriptionSpec} }

// Errors of the room.
var (
	ErrQuotaExhausted    = errors.New("the plan's runs are used up")
	ErrTooManyAtOnce     = errors.New("too many runs are being started at once")
	ErrUnknownPlan       = errors.New("there is no such plan")
	ErrTrialUsed         = errors.New("the account has had its trial")
	ErrNoTrial           = errors.New("there is no trial on offer")
	ErrAlreadySubscribed = errors.New("the account is on a plan that is paid for")
)

const (
	// maxPending bounds the reservations of one account.
	maxPending = 1000
	// staleAfter is when a reservation that wasn't confirmed is looked
	// into: its maker was killed, or couldn't reach the store.
	staleAfter = 5 * time.Minute
	// maxStale is how many of those one call looks into.
	maxStale = 16
	// planLifetime is how long PlanOf believes a plan, maxPlanned for how many
	// accounts twice.
	planLifetime = time.Second
	maxPlanned   = 1 << 14
)

// Config is what a Service is made of.
type Config struct {
	Store docstore.Store
	// Exists tells whether a session is stored, and so whether its reservation was
	// used. Errors are the store's. Nil where no runs are taken.
	Exists  func(ctx context.Context, sessionID string) (bool, error)
	Now     func() time.Time // the clock; nil means time.Now
	Log     *slog.Logger
	Catalog Catalog
}

// Service has the rules of plans and quotas. It is safe for concurrent use.
type Service struct {
	c             Config
	subscriptions *docstore.Collection[subscription]
	catalog       atomic.Pointer[Catalog]
	plans         *cache.Cache[string, string] // by account, of PlanOf
	missing       sync.Map                     // plans that accounts have and the catalogue hasn't, told to the operator
}

// New makes a Service. The store's collections are declared already (Specs),
// and the catalogue has no Problems.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{
		c:             c,
		subscriptions: docstore.NewCollection[subscription](c.Store, subscriptionSpec),
		plans:         cache.New[string, string](planLifetime, maxPlanned),
	}
	s.SetCatalog(c.Catalog)
	return s
}

// SetCatalog puts another catalogue in force, for requests from now on.
func (s *Service) SetCatalog(c Catalog) {
	s.catalog.Store(&c)
	s.plans.Forget()
}

// Plans are the plans on offer.
func (s *Service) Plans() []Plan { return s.catalog.Load().Plans }

// planOf is the subscription's plan. One that is no longer in the catalogue
// counts as the first: the account goes on, and it is logged.
func (s *Service) planOf(ctx context.Context, c Catalog, sub subscription) Plan {
	plan, err := c.plan(sub.Plan)
	if err != nil {
		if _, told := s.missing.LoadOrStore(sub.Plan, true); !told {
			s.c.Log.WarnContext(ctx, "accounts are on a plan that isn't in the catalogue; the first plan's quota is used", "user", sub.ID, "plan", sub.Plan)
		}
		plan = c.Plans[0]
	}
	return plan
}

// initial is the subscription of an account that has none stored.
func initial(c Catalog, userID string, now time.Time) subscription {
	first, anchor := c.Plans[0], docstore.At(now)
	start, _ := month(first.Reset, anchor.Time, now)
	return subscription{ID: userID, Plan: first.ID, Anchor: anchor, Month: docstore.At(start)}
}

// Reserve takes one run of the account's quota for a session that is about to
// be made, in one atomic step: however many ask at once, no more get one than
// there are. It returns ErrQuotaExhausted or ErrTooManyAtOnce. What is taken is
// to be confirmed; when its maker is killed before that, or fails, a later
// Reserve finds out whether the session exists, and gives the run back if not.
// Asking again for the same session takes nothing more.
func (s *Service) Reserve(ctx context.Context, userID, sessionID string) error {
	stale, err := s.take(ctx, userID, sessionID, nil)
	if err != nil || len(stale) == 0 {
		return err
	}
	spent := map[string]bool{}
	for _, id := range stale {
		if spent[id], err = s.c.Exists(ctx, id); err != nil {
			return err
		}
	}
	_, err = s.take(ctx, userID, sessionID, spent)
	return err
}

// take gives stale reservations back, or not, as spent says, and takes a run for the
// session. Where there are stale ones and nobody has looked into them yet (spent is
// nil), it changes nothing and returns their sessions.
func (s *Service) take(ctx context.Context, userID, sessionID string, spent map[string]bool) (stale []string, err error) {
	now, c := s.c.Now(), *s.catalog.Load()
	var refused error
	_, err = s.subscriptions.Upsert(ctx, initial(c, userID, now), func(sub *subscription, _ bool) error {
		stale, refused = nil, nil
		if spent == nil {
			if stale = sub.stale(now); len(stale) > 0 {
				return docstore.ErrUnchanged
			}
		}
		resolved := false
		for id, spent := range spent {
			resolved = sub.resolve(id, spent) || resolved
		}
		if sub.pending(sessionID) < 0 {
			refused = sub.take(s.planOf(ctx, c, *sub), sessionID, now)
		}
		if refused != nil && !resolved {
			return docstore.ErrUnchanged
		}
		// What was resolved stays so when no run is left: otherwise each call
		// would look into the same few, and never reach one that is owed.
		return nil
	})
	return stale, errors.Join(err, refused)
}

// Confirm says that the session exists: its run is spent for good.
func (s *Service) Confirm(ctx context.Context, userID, sessionID string) error {
	_, err := s.subscriptions.Update(ctx, userID, func(sub *subscription) error {
		if !sub.resolve(sessionID, true) {
			return docstore.ErrUnchanged
		}
		return nil
	})
	return docstore.NotFoundAs(err, nil)
}

// Status is the state of a subscription.
type Status string

// The statuses.
const (
	Active   Status = "active"
	Trialing Status = "trialing"
)

// Subscription is an account's plan and what has been used of it.
type Subscription struct {
	Plan   Plan
	Status Status
	Used   int64
	Limit  Runs
	// The period that Used counts: a month, or the trial.
	PeriodStart, PeriodEnd time.Time
	// TrialAvailable tells whether the account could start the trial.
	TrialAvailable bool
}

// PlanOf is the id of the plan that is in force for the account. What another copy of
// the program has changed is seen within a second.
func (s *Service) PlanOf(ctx context.Context, userID string) (string, error) {
	return s.plans.Load(userID, func() (string, error) {
		subscription, err := s.Get(ctx, userID)
		return subscription.Plan.ID, err
	})
}

// Get returns the account's subscription as it is now. It writes nothing.
func (s *Service) Get(ctx context.Context, userID string) (Subscription, error) {
	now, c := s.c.Now(), *s.catalog.Load()
	sub, err := s.subscriptions.Get(ctx, userID)
	if errors.Is(err, docstore.ErrNotFound) {
		sub, err = initial(c, userID, now), nil
	}
	if err != nil {
		return Subscription{}, err
	}
	return s.view(ctx, c, sub, now), nil
}

func (s *Service) view(ctx context.Context, c Catalog, sub subscription, now time.Time) Subscription {
	plan := s.planOf(ctx, c, sub)
	sub.roll(plan, now)
	_, end := month(plan.Reset, sub.Anchor.Time, slices.MaxFunc([]time.Time{now, sub.Month.Time}, time.Time.Compare))
	view := Subscription{
		Plan: plan, Status: Active, Used: sub.Used, Limit: *plan.Runs,
		PeriodStart:    sub.Month.Time,
		PeriodEnd:      end,
		TrialAvailable: sub.mayTry(c, plan) == nil,
	}
	if sub.trialing(now) {
		if tried, err := c.plan(sub.Trial.Plan); err == nil {
			view.Plan = tried
		}
		view.Status, view.Used, view.Limit = Trialing, sub.Trial.Used, sub.Trial.Runs
		view.PeriodStart, view.PeriodEnd = sub.Trial.StartedAt.Time, sub.Trial.EndsAt.Time
	}
	return view
}

// mayTry tells why the trial can't be started from the plan, nil if it can.
func (s *subscription) mayTry(c Catalog, plan Plan) error {
	switch {
	case c.Trial.Days == 0:
		return ErrNoTrial
	case s.Trial != nil:
		return ErrTrialUsed
	case plan.ID != c.Plans[0].ID:
		return ErrAlreadySubscribed
	}
	return nil
}

// StartTrial starts the account's one trial. It returns ErrTrialUsed,
// ErrAlreadySubscribed or ErrNoTrial. A trial that has begun stays what it was
// when the catalogue changes.
func (s *Service) StartTrial(ctx context.Context, userID string) (Subscription, error) {
	now, c := s.c.Now().UTC(), *s.catalog.Load() // a day has 24 hours, whatever the machine's zone
	sub, err := s.subscriptions.Upsert(ctx, initial(c, userID, now), func(sub *subscription, _ bool) error {
		if err := sub.mayTry(c, s.planOf(ctx, c, *sub)); err != nil {
			return err
		}
		sub.Trial = &trial{Plan: c.Trial.Plan, Runs: c.Trial.Runs, StartedAt: docstore.At(now), EndsAt: docstore.At(now.AddDate(0, 0, c.Trial.Days))}
		return nil
	})
	s.plans.Forget()
	if err != nil {
		return Subscription{}, err
	}
	return s.view(ctx, c, sub, now), nil
}

// SetPlan puts the account on a plan and ends its trial, or returns
// ErrUnknownPlan. From the first plan to another, the anniversaries begin now.
// What has been used of the month stays used, unless a month of the new plan has
// begun since.
func (s *Service) SetPlan(ctx context.Context, userID, planID string) error {
	now, c := s.c.Now(), *s.catalog.Load()
	plan, err := c.plan(planID)
	if err != nil {
		return err
	}
	_, err = s.subscriptions.Upsert(ctx, initial(c, userID, now), func(sub *subscription, _ bool) error {
		if first := c.Plans[0].ID; s.planOf(ctx, c, *sub).ID == first && planID != first {
			sub.Anchor = docstore.At(now)
		}
		sub.Plan = planID
		if sub.trialing(now) {
			sub.Trial.EndsAt = docstore.At(now)
		}
		sub.roll(plan, now)
		return nil
	})
	s.plans.Forget()
	return err
}

// Export exports what is kept about the account.
func (s *Service) Export(ctx context.Context, userID string, add func(name string, values iter.Seq2[any, error]) error) error {
	return add("subscription", func(yield func(any, error) bool) {
		sub, err := s.Get(ctx, userID)
		yield(newSubscriptionBody(sub), err)
	})
}

// Erase removes what is kept about the account.
func (s *Service) Erase(ctx context.Context, userID string) error {
	return docstore.NotFoundAs(s.subscriptions.Delete(ctx, userID), nil)
}

// month is when the month began that now lies in, and when it ends.
func month(reset Reset, anchor, now time.Time) (start, end time.Time) {
	now, anchor = now.UTC(), anchor.UTC()
	if reset != Anniversary {
		anchor = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	months := (now.Year()-anchor.Year())*12 + int(now.Month()-anchor.Month())
	if addMonths(anchor, months).After(now) {
		months--
	}
	return addMonths(anchor, months), addMonths(anchor, months+1)
}

// addMonths is the same day and time n months later, or the last day of a
// month that has no such day.
func addMonths(t time.Time, n int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}
