package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"manus/docstore"
	"manus/language"
	"manus/queue"
)

// alert is what waits in the queue: something to say of an occurrence on a lane, a digest
// or a test. It is what people are shown of it; what is sent is made of the occurrence
// when its turn comes.
type alert struct {
	Occurrence string `json:"occurrence,omitempty"`
	Key        string `json:"key"`
	Kind       string `json:"kind"`
	State      State  `json:"state"`
	N          int    `json:"n,omitempty"`      // which reminder, or which of the lane's digests
	Holds      int    `json:"holds,omitempty"`  // how much was put into a digest
	Filled     bool   `json:"filled,omitempty"` // and that it is all
	Title      string `json:"title"`
	Text       string `json:"text,omitempty"`
	URL        string `json:"url,omitempty"`
}

// alertID makes it one alert however often it is put.
func alertID(occurrenceID, lane string, state State, n int) string {
	return idOf(occurrenceID, lane, string(state), fmt.Sprint(n))
}

// put has something said of an occurrence on a lane.
func (s *Service) put(ctx context.Context, o occurrence, lane string, state State, n int) error {
	return s.alerts.Put(ctx, queue.Job[alert]{
		ID: alertID(o.ID, lane, state, n), Lane: lane, Group: o.ID, Args: s.listed(o, state, n),
	})
}

// listed is what is shown of something to say of an occurrence.
func (s *Service) listed(o occurrence, say State, n int) alert {
	a := alert{Occurrence: o.ID, Key: o.Event.Key(), Kind: o.Event.Kind, State: say, N: n}
	a.Title, a.Text, a.URL = o.words(say, s.rules.Load().Language)
	return a
}

// deliver is an attempt at an alert.
func (s *Service) deliver(ctx context.Context, job queue.Job[alert]) error {
	l := s.rules.Load().lanes[job.Lane]
	switch {
	case l == nil && s.c.Now().Sub(job.QueuedAt) < goneAfter:
		return queue.Snooze(errUnknownChannel, lookAgain)
	case l == nil:
		return queue.Cancel(errUnknownChannel)
	case job.Args.State == Digest:
		return s.deliverDigest(ctx, l, job)
	case job.Args.State == Test:
		return s.send(ctx, l, job, s.testMessage(l, job.ID))
	}
	o, err := s.occurrences.Get(ctx, job.Args.Occurrence)
	if errors.Is(err, docstore.ErrNotFound) || err == nil && o.Lanes[job.Lane] == nil {
		return queue.Cancel(errors.New("the event isn't kept any more"))
	}
	if err != nil {
		return err
	}
	return s.deliverOne(ctx, l, job, o)
}

// While copies change to other settings one after another, one may not know a channel yet
// that another has put an alert for: it waits for so long, and is looked at so often.
const (
	goneAfter = time.Hour
	lookAgain = 10 * time.Second
)

var errUnknownChannel = errors.New("the channel isn't among the settings")

// deliverOne says what there is to say of an occurrence by now.
func (s *Service) deliverOne(ctx context.Context, l *lane, job queue.Job[alert], o occurrence) error {
	say, told := o.toSay(job.Lane, job.Args)
	if told {
		return s.follow(ctx, o, job.Lane) // where a process was killed before it did
	}
	if say == "" {
		return s.alerts.Delete(ctx, job.ID)
	}
	if until := s.rules.Load().quietUntil(o.Event, s.c.Now()); say == Reminder && !until.IsZero() {
		return queue.Snooze(errors.New("these are quiet hours"), until.Sub(s.c.Now()))
	}
	if say != job.Args.State { // it is over by now
		err := s.alerts.Update(ctx, job.ID, func(a *alert) { *a = s.listed(o, say, a.N) })
		if err != nil {
			return err
		}
	}
	m := s.message(l, job.Args.N, job.QueuedAt, o, say)
	if say == Escalated { // whom it has reached, by now
		tried, err := s.tried(ctx, o, job.Lane)
		if err != nil {
			return err
		}
		for _, on := range tried {
			m.Lines = append(m.Lines, on.In(l.language))
		}
	}
	if err := s.send(ctx, l, job, m); err != nil {
		return err
	}
	o, err := s.said(context.WithoutCancel(ctx), o.ID, job.Lane, say, job.Args.N)
	if err != nil {
		return docstore.NotFoundAs(err, nil)
	}
	return s.follow(ctx, o, job.Lane)
}

// toSay is what an alert has to say by now: nothing when it is pointless, and told when
// this alert has said it before.
func (o occurrence) toSay(lane string, a alert) (say State, told bool) {
	sent := o.Lanes[lane]
	switch a.State {
	case Over:
		return onlyIf(sent.Told == Raised || sent.Told == Escalated, Over), sent.Told == Over
	case Reminder:
		return onlyIf(o.isOpen(), Reminder), sent.Reminded >= a.N
	}
	if o.End != nil {
		return Passed, sent.Told != ""
	}
	return a.State, sent.Told != ""
}

func onlyIf(condition bool, s State) State {
	if condition {
		return s
	}
	return ""
}

// said notes what a receiver has taken.
func (s *Service) said(ctx context.Context, occurrenceID, lane string, say State, n int) (occurrence, error) {
	return s.occurrences.Update(ctx, occurrenceID, func(o *occurrence) error {
		sent := o.Lanes[lane]
		if sent == nil {
			return docstore.ErrUnchanged
		}
		if say == Reminder {
			sent.Reminded = n
		} else {
			sent.Told = say
		}
		sent.RemindAt = docstore.Time{}
		if say != Over && say != Passed && sent.RemindEvery > 0 {
			sent.RemindAt = docstore.At(s.c.Now().Add(sent.RemindEvery))
		}
		o.schedule()
		return nil
	})
}

// send hands a message to a lane's channel, and notes how that goes.
func (s *Service) send(ctx context.Context, l *lane, job queue.Job[alert], m Message) error {
	if wait := l.pause.Load().left(s.c.Now()); wait > 0 {
		return queue.Snooze(errors.New("the receiver wants to be left alone for a while"), wait)
	}
	if m.State == Digest && m.Title != job.Args.Title { // what it holds is known by now
		if err := s.alerts.Update(ctx, job.ID, func(a *alert) { a.Title = m.Title }); err != nil {
			return err
		}
	}
	err := l.Send(ctx, m)
	s.metrics.sent(m, l.channel, job.QueuedAt, s.c.Now(), err)
	noteCtx := context.WithoutCancel(ctx)
	switch wait := Wait(err); {
	case err == nil:
		s.proved(noteCtx, l)
		return nil
	case wait > 0:
		l.pause.Store(&pause{s.c.Now().Add(wait), wait})
		return errors.Join(queue.Later(err, wait), s.failed(noteCtx, l, job, err))
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return err // this program stops
	case IsUnusable(err) && m.State != Test: // that may be a moment of a deployment, or last until somebody mends it
		return errors.Join(queue.Later(err, unusableWait(job.Attempt)), s.failed(noteCtx, l, job, err))
	case IsRefused(err):
		return cmp.Or(s.failed(noteCtx, l, job, err), queue.Cancel(err))
	}
	return errors.Join(err, s.failed(noteCtx, l, job, err))
}

// A receiver that doesn't accept the lane's address or credential is tried as others that
// fail for about ten minutes, and hourly then: it might take the attempts amiss.
const unusableAttempts, unusableEvery = 8, time.Hour

// unusableWait is the least that is waited after so many attempts.
func unusableWait(attempts int) time.Duration {
	if attempts < unusableAttempts {
		return 0
	}
	return unusableEvery
}

// discarded is called before an alert is given up, of which the queue's log tells.
func (s *Service) discarded(ctx context.Context, job queue.Job[alert], err error) error {
	s.metrics.discarded(job.Args, job.Lane)
	switch job.Args.State {
	case Digest:
		return s.giveUpDigest(ctx, job)
	case Raised, Escalated:
		return s.giveUpForNow(ctx, job)
	}
	return nil
}

// giveUpForNow notes when the beginning of what still lasts is tried again: at the next
// reminder, or in an hour.
func (s *Service) giveUpForNow(ctx context.Context, job queue.Job[alert]) error {
	_, err := s.occurrences.Update(ctx, job.Args.Occurrence, func(o *occurrence) error {
		sent := o.Lanes[job.Lane]
		if sent == nil || sent.Told != "" || !o.lasts() {
			return docstore.ErrUnchanged
		}
		wait := againEvery
		if sent.RemindEvery > 0 {
			wait = min(wait, sent.RemindEvery)
		}
		sent.RemindAt = docstore.At(s.c.Now().Add(wait))
		o.schedule()
		return nil
	})
	return docstore.NotFoundAs(err, nil)
}

// againEvery is how often what was given up is tried again while it lasts.
const againEvery = time.Hour

// Test has a test sent on a channel, or on a part of one such as mail/2, or on all when channel is empty, and returns the
// alerts' ids, or ErrNoAlert when there is no such channel.
func (s *Service) Test(ctx context.Context, channel string) (ids []string, err error) {
	lanes := s.lanesToTest(channel)
	if len(lanes) == 0 {
		return nil, ErrNoAlert
	}
	if err := s.note(ctx, eventTested, channel); err != nil {
		return nil, err
	}
	for _, l := range lanes {
		id := docstore.NewID()
		ids = append(ids, id)
		err = errors.Join(err, s.putTest(ctx, l.name, id))
	}
	return ids, err
}

// lanesToTest are those of a channel, or of a part of one such as mail/2, or all when channel is empty.
func (s *Service) lanesToTest(channel string) (lanes []*lane) {
	r := s.rules.Load()
	for _, name := range r.lanesOf(r.ids) {
		if l := r.lanes[name]; channel == "" || l.channel == channel || l.name == channel {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

func (s *Service) putTest(ctx context.Context, lane, id string) error {
	title := testTitle.In(s.rules.Load().Language)
	return s.alerts.Put(ctx, queue.Job[alert]{ID: id, Lane: lane, Args: alert{Key: "test/" + id, Kind: string(Test), State: Test, Title: title}, ExpiresAt: s.c.Now().Add(testLifetime)})
}

// testLifetime is how long a test is tried.
const testLifetime = time.Hour

var testTitle = language.Text{En: "A test of this channel", Ar: "اختبار لهذه القناة"}

func (s *Service) testMessage(l *lane, id string) Message {
	return s.from(Message{
		ID: id, State: Test, Kind: string(Test), Level: Info, At: s.c.Now(), Language: l.language,
		Title: testTitle.In(l.language),
		Text:  language.Text{En: "Alerts arrive here. There is nothing to do.", Ar: "تصل التنبيهات إلى هنا. لا حاجة إلى فعل شيء."}.In(l.language),
	})
}
