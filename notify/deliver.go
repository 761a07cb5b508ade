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
	N          int    `json:"n,omitempty"` // which reminder
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
	r := s.rules.Load()
	shown := o.Event
	if state == Over && o.End != nil {
		shown = *o.End
	}
	return s.alerts.Put(ctx, queue.Job[alert]{
		ID: alertID(o.ID, lane, state, n), Lane: lane, Group: o.ID,
		Args: alert{
			Occurrence: o.ID, Key: o.Event.Key(), Kind: o.Event.Kind, State: state, N: n,
			Title: titleOf(state, shown.Title, r.Language), Text: shown.Text.In(r.Language), URL: shown.URL,
		},
	})
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
	if err := s.send(ctx, l, job, s.message(l, job.Args.N, job.QueuedAt, o, say)); err != nil {
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
	err := l.Send(ctx, m)
	s.metrics.sent(m, l.channel, job.QueuedAt, s.c.Now(), err)
	noteCtx := context.WithoutCancel(ctx)
	switch wait := Wait(err); {
	case err == nil:
		s.proved(noteCtx, l)
		return nil
	case wait > 0:
		l.pause.Store(&pause{s.c.Now().Add(wait), wait})
		return queue.Snooze(err, wait)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return err // this program stops
	case IsRefused(err):
		return cmp.Or(s.failed(noteCtx, l, err, true), queue.Cancel(err))
	}
	s.failed(noteCtx, l, err, false)
	return err
}

// discarded is called before an alert is given up, of which the queue's log tells.
func (s *Service) discarded(ctx context.Context, job queue.Job[alert], err error) error {
	s.metrics.discarded(job.Args, job.Lane)
	if job.Args.State == Digest {
		return errors.Join(s.holdLonger(ctx, job.Lane), s.endDigest(ctx, job.Lane, job.Args.N))
	}
	return nil
}

// Test has a test sent on a channel, or on all when channel is empty, and returns the
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

// lanesToTest are those of a channel, or all when channel is empty.
func (s *Service) lanesToTest(channel string) (lanes []*lane) {
	r := s.rules.Load()
	for _, name := range r.lanesOf(r.ids) {
		if l := r.lanes[name]; channel == "" || l.channel == channel {
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
	return Message{
		ID: id, State: Test, Kind: string(Test), Level: Info, At: s.c.Now(), Language: l.language,
		Title: testTitle.In(l.language),
		Text:  language.Text{En: "Alerts arrive here. There is nothing to do.", Ar: "تصل التنبيهات إلى هنا. لا حاجة إلى فعل شيء."}.In(l.language),
	}
}
