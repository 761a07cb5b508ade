package subscribe

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"manus/docstore"
	"manus/language"
	"manus/mail"
	"manus/queue"
)

// Ref says which notice it is: whoever reads notices knows what that means.
type Ref struct {
	Kind string `json:"kind"` // such as incident
	ID   string `json:"id"`   // of what it is about
	Of   string `json:"of"`   // which of its notices
}

func (r Ref) key() string { return r.Kind + "/" + r.ID + "/" + r.Of }

// Notice is what people are told.
type Notice struct {
	// Thread is the same for all notices of one matter.
	Thread     string
	Components []string // that it is about; none: all
	Title      language.Text
	Status     language.Text // in a word or two
	State      string        // the same for programs, such as resolved
	Severity   string        // for programs, such as major; empty for what has none
	Colour     string        // of a mail, as #b3261e; empty: none in particular
	Facts      []Fact
	Affected   []Affected // how the components are that it is about
	At         time.Time
	News       []Entry // what is new, newest first
	Before     []Entry // what was said before, newest first
	Path       string  // of the page, below the site's address
	// NotBefore is when it may be told; zero is at once.
	NotBefore time.Time
}

// Entry is something that was said, and when.
type Entry struct {
	At     time.Time
	Status language.Text
	State  string        // the same for programs
	Text   language.Text // Markdown; may be empty
}

// Fact is what a mail says beside that: a value, or a time, or from when until when.
type Fact struct {
	Name, Value language.Text
	From, Until time.Time
}

// Affected is a component and how it is.
type Affected struct {
	ID           string
	Name, Status language.Text
	State        string // for programs, such as partial_outage
	Colour       string
}

// Announce has a notice told, no sooner than at a time, which is read again by then. Once it returns nil, that is durable,
// however often it is called for it. Errors are the store's.
func (s *Service) Announce(ctx context.Context, ref Ref, at time.Time) error {
	return s.notices.Put(ctx, queue.Job[Ref]{ID: ref.key(), Args: ref, ScheduledAt: at})
}

// delivery is a notice to one subscriber.
type delivery struct {
	Ref        Ref    `json:"ref"`
	Subscriber string `json:"subscriber"`
}

// Lanes of deliveries: receivers that hang hold up no mails.
const (
	laneMail    = "mail"
	laneWebhook = "webhook"
	laneSlow    = "webhook-slow" // receivers that took too long last
)

// parallel is how many deliveries are put at once, which the store can commit together.
const parallel = 32

var errEarly = errors.New("it isn't to be told yet")

// spread puts a delivery for each who wants a notice. Cut short, it begins anew: those that
// are there already stay one.
func (s *Service) spread(ctx context.Context, job queue.Job[Ref]) error {
	notice, told, err := s.c.Read(ctx, job.Args)
	if err != nil || !told {
		return err
	}
	if wait := notice.NotBefore.Sub(s.c.Now()); wait > 0 {
		return queue.Snooze(errEarly, wait)
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	for sub, err := range s.subscribers.All(ctx, docstore.Query{Index: byConfirmed}) {
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		if !sub.Wish.wants(notice.Components) {
			continue
		}
		lane := laneMail
		if p, err := s.open(sub); err == nil && p.URL != "" {
			if lane = laneWebhook; sub.Slow {
				lane = laneSlow
			}
		}
		group.Go(func() error {
			return s.deliveries.Put(ctx, queue.Job[delivery]{ID: job.Args.key() + "/" + sub.ID, Lane: lane, Group: sub.ID, Args: delivery{job.Args, sub.ID}})
		})
	}
	return group.Wait()
}

// deliver tells one subscriber of a notice as it is by now.
func (s *Service) deliver(ctx context.Context, job queue.Job[delivery]) error {
	sub, err := s.subscribers.Get(ctx, job.Args.Subscriber)
	if err != nil || sub.ConfirmedAt.IsZero() {
		return docstore.NotFoundAs(err, nil)
	}
	notice, told, err := s.c.Read(ctx, job.Args.Ref)
	if err != nil || !told {
		return err
	}
	p, err := s.open(sub)
	if err != nil {
		return err
	}
	if p.URL != "" {
		err = s.tellReceiver(ctx, job, sub, p, event{Type: "status." + job.Args.Ref.Kind, Data: s.eventData(sub, p, notice)})
	} else {
		var m mail.Message
		if m, err = s.compose(sub, p, job.ID, notice); err == nil {
			err = s.send(ctx, m, p.Email)
		}
	}
	switch {
	case errors.Is(err, errRefused):
		return s.refused(ctx, sub.ID, job.Lane)
	case err == nil && sub.Refused > 0:
		_, err = s.subscribers.Update(ctx, sub.ID, func(sub *Subscriber) error { sub.Refused = 0; return nil })
		return docstore.NotFoundAs(err, nil)
	}
	return err
}

// discarded is told of what could not be told in time. A mail server that is gone for as long is
// no subscriber's fault.
func (s *Service) discarded(ctx context.Context, job queue.Job[delivery], _ error) error {
	if job.Lane == laneMail {
		return nil
	}
	return s.refused(ctx, job.Args.Subscriber, job.Lane)
}

// othersTaken is how long ago the mail server may have taken another's mail, for a refusal to
// be the address's own: one that refuses everybody's is at fault itself.
const othersTaken = 10 * time.Minute

// refused counts a notice that a subscriber won't take, and erases who takes none.
func (s *Service) refused(ctx context.Context, id, lane string) error {
	if lane == laneMail && s.c.Now().Sub(time.UnixMilli(s.taken.Load())).Abs() > othersTaken {
		s.c.Log.WarnContext(ctx, "the mail server refuses a notice to a subscriber, and took no other lately", "subscriber", id)
		return nil
	}
	sub, err := s.subscribers.Update(ctx, id, func(sub *Subscriber) error { sub.Refused++; return nil })
	if err != nil || sub.Refused < maxRefused {
		return docstore.NotFoundAs(err, nil)
	}
	s.c.Log.WarnContext(ctx, "a subscriber was erased: its address took none of the last notices", "subscriber", id)
	return docstore.NotFoundAs(s.subscribers.Delete(ctx, id), nil)
}
