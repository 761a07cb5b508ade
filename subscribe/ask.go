package subscribe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/mail"
	"manus/queue"
)

// Asking is what a stranger asks for: one of the two addresses to be told.
type Asking struct {
	Email, Webhook string
	Components     []string // none: all
	Language       language.Tag
	From           netip.Addr // who asks
}

// request is an asking as it waits. It is written down alike for every address, and answered
// off the request's path and to the address alone: so nobody learns who is told already.
type request struct {
	To   private `json:"to"`
	Wish Wish    `json:"wish"`
}

// TakesMail tells whether anybody can be told by mail.
func (s *Service) TakesMail() bool { return s.c.Send != nil }

// Ask has an address asked whether it wants to be told. However often it is called for an
// address at a time, it is one request. It returns ErrAddress, ErrNoMail, ErrAskedOften,
// ErrCrowded, ErrFull or an error of the store, whoever is told already.
func (s *Service) Ask(ctx context.Context, a Asking) error {
	var r request
	var id string
	if a.Email != "" {
		if s.c.Send == nil {
			return ErrNoMail
		}
		address, key, err := readEmail(a.Email)
		if err != nil {
			return err
		}
		id, r.To.Email = idOf("mail", key), address
	} else {
		address, err := s.readURL(a.Webhook)
		if err != nil {
			return err
		}
		id, r.To.URL = idOf("webhook", address), address
	}
	r.Wish = Wish{Components: known(a.Components), Language: a.Language}
	lane := laneMail
	if r.To.URL != "" {
		lane = laneWebhook
	}
	if err := s.check(ctx, mailboxOf(r.To), ofMailbox); err != nil {
		return err
	}
	if err := s.count(ctx, networkOf(a.From), ofNetwork, tallied{docstore.NewID(), docstore.At(s.c.Now())}); err != nil {
		return err
	}
	if err := s.requests.Put(ctx, queue.Job[request]{ID: id, Lane: lane, Group: id, Args: r}); err != nil {
		return err
	}
	if full, _, err := s.room(ctx); err != nil || full {
		return cmp.Or(err, ErrFull) // said to everybody alike
	}
	return nil
}

// known are what can be components, each once.
func known(components []string) []string {
	kept := slices.DeleteFunc(slices.Clone(components), func(c string) bool { return !validComponent.MatchString(c) })
	slices.Sort(kept)
	kept = slices.Compact(kept)
	return kept[:min(len(kept), maxComponents)]
}

// offered are those of the components of a wish that there are; false where there is none of them.
func (s *Service) offered(w Wish) (Wish, bool) {
	if s.c.Names == nil || len(w.Components) == 0 {
		return w, true
	}
	names := s.c.Names(w.Components)
	w.Components = slices.DeleteFunc(slices.Clone(w.Components), func(id string) bool { _, there := names[id]; return !there })
	return w, len(w.Components) > 0
}

// answer asks an address. Cut short, it asks again: then somebody may get two mails.
func (s *Service) answer(ctx context.Context, job queue.Job[request]) error {
	now, r := docstore.At(s.c.Now()), job.Args
	wish, is := s.offered(r.Wish)
	if !is { // no form of ours has sent it
		return nil
	}
	if full, err := s.isFull(ctx, job.ID); err != nil || full {
		return err
	}
	err := s.count(ctx, mailboxOf(r.To), ofMailbox, tallied{job.ID, docstore.At(job.QueuedAt)})
	if errors.Is(err, ErrAskedOften) {
		s.c.Log.WarnContext(ctx, "an address was asked no more whether it wants to be told: it was often enough", "subscriber", job.ID)
		return nil
	}
	if err != nil {
		return err
	}
	initial := Subscriber{ID: job.ID, ExpiresAt: docstore.At(now.Add(confirmWithin))}
	var p private
	sub, err := s.subscribers.Upsert(ctx, initial, func(sub *Subscriber, exists bool) (err error) {
		if p, err = s.open(*sub); err != nil {
			p = r.To
			p.Secret = newSecret()
		}
		if p.URL != "" && p.Key == "" {
			p.Key, p.Derived = newKey(), exists && err == nil
		}
		sub.ask(wish, job.QueuedAt, now.Time)
		if sub.ConfirmedAt.IsZero() {
			sub.ExpiresAt = docstore.At(now.Add(confirmWithin))
		}
		return s.close(sub, p)
	})
	switch {
	case err != nil:
		return err
	case p.URL != "":
		err = s.challenge(ctx, sub, p)
	default:
		var m mail.Message
		if m, err = s.confirmation(sub, p); err == nil {
			err = s.send(ctx, m, p.Email)
		}
	}
	if errors.Is(err, errRefused) { // of an address that anybody may have written
		s.c.Log.InfoContext(ctx, "an address could not be asked whether it wants to be told", "subscriber", job.ID, "error", err)
		return nil
	}
	return err
}

// ask notes what was asked for at a time, once however often it is tried to write to the address.
func (s *Subscriber) ask(wish Wish, queued, now time.Time) {
	this := asked{docstore.NewID(), docstore.At(queued), wish}
	kept := slices.DeleteFunc(s.Asked, func(a asked) bool {
		again := a.At.Equal(this.At.Time)
		if again {
			this.ID = a.ID
		}
		return again || now.Sub(a.At.Time).Abs() >= confirmWithin
	})
	s.Asked = append(kept[max(0, len(kept)+1-maxAsked):], this)
}

// errRefused is for what an address will never take.
var errRefused = errors.New("it is refused for good")

// send sends a mail. It returns errRefused, or an error that is tried again.
func (s *Service) send(ctx context.Context, m mail.Message, to string) error {
	m.To = to
	err := s.c.Send(ctx, m)
	switch {
	case err == nil:
		s.taken.Store(s.c.Now().UnixMilli())
		return nil
	case errors.Is(err, mail.ErrRefused), errors.Is(err, mail.ErrInvalid):
		return fmt.Errorf("%w: %w", errRefused, mail.Anonymous(err, to))
	}
	return mail.Anonymous(err, to)
}

// Confirm has the wish hold that the mail with the link has said, whatever somebody has asked for
// since. Called again with the token, it is nil each time, for a day. It returns ErrLink or an error of
// the store.
func (s *Service) Confirm(ctx context.Context, text string) error {
	sub, err := s.byToken(ctx, text)
	if err != nil {
		return err
	}
	return s.confirm(ctx, sub.ID, wishOf(text))
}

// wishOf is which wish a link's token confirms.
func wishOf(text string) string { return text[strings.LastIndexByte(text, '.')+1:] }

// asked is which of a subscriber's wishes has an id and can be confirmed still; -1 for none.
func (s *Service) asked(sub Subscriber, wish string) int {
	return slices.IndexFunc(sub.Asked, func(a asked) bool { return a.ID == wish && s.c.Now().Sub(a.At.Time).Abs() < confirmWithin })
}

// confirm has what was asked for hold, by its id.
func (s *Service) confirm(ctx context.Context, id, wish string) error {
	_, err := s.subscribers.Update(ctx, id, func(sub *Subscriber) error {
		i := s.asked(*sub, wish)
		if i < 0 {
			return docstore.ErrNotFound
		}
		sub.Wish, sub.ExpiresAt, sub.Refused = sub.Asked[i].Wish, docstore.Time{}, 0
		if sub.ConfirmedAt.IsZero() {
			sub.ConfirmedAt = docstore.At(s.c.Now())
		}
		return nil
	})
	return docstore.NotFoundAs(err, ErrLink)
}

// CanConfirm is nil where Confirm would take the token, and else its error.
func (s *Service) CanConfirm(ctx context.Context, text string) error {
	sub, err := s.byToken(ctx, text)
	if err == nil && s.asked(sub, wishOf(text)) < 0 {
		err = ErrLink
	}
	return err
}

// Unsubscribe erases a subscriber, and what waits to be told to it. It returns ErrUnsubscribed, also
// for a link that isn't whole, or an error of the store.
func (s *Service) Unsubscribe(ctx context.Context, text string) error {
	sub, err := s.unsubscribing(ctx, text)
	if err != nil {
		return err
	}
	return s.erase(ctx, sub.ID)
}

// CanUnsubscribe is nil where Unsubscribe would take the token, and else its error.
func (s *Service) CanUnsubscribe(ctx context.Context, text string) error {
	_, err := s.unsubscribing(ctx, text)
	return err
}

func (s *Service) unsubscribing(ctx context.Context, text string) (Subscriber, error) {
	sub, err := s.byToken(ctx, text)
	if errors.Is(err, ErrLink) {
		err = ErrUnsubscribed
	}
	return sub, err
}

func (s *Service) erase(ctx context.Context, id string) error {
	err := docstore.NotFoundAs(s.subscribers.Delete(ctx, id), nil)
	return errors.Join(err, s.requests.DeleteGroup(ctx, id), s.deliveries.DeleteGroup(ctx, id))
}

// Count is how many are told, up to 100,000. Errors are the store's.
func (s *Service) Count(ctx context.Context) (int, error) {
	return s.counted(ctx, byConfirmed, maxSubscribers)
}
