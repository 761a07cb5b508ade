package notify

import (
	"context"
	"errors"
	"net/http"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/language"
)

// kinds maps the room's errors to what a client is answered.
var kinds = httpapi.Kinds{
	{Err: ErrNoAlert, Status: http.StatusNotFound, Name: "not-found", Detail: language.Text{En: "There is no such alert or channel.", Ar: "لا يوجد تنبيه أو قناة كهذه."}},
	{Err: ErrNotDead, Status: http.StatusConflict, Name: "not-dead", Detail: language.Text{En: "Only an alert that was given up can be tried again.", Ar: "لا تُعاد محاولة إلا تنبيه تُرك."}},
}

// alertBody is an alert as operators see it.
type alertBody struct {
	ID          string  `json:"id"`
	Key         string  `json:"key" doc:"Kind, subject and occurrence of what it is about; the same for its end." ar:"النوع والموضوع والمرّة لما هو عنه؛ وهو نفسه عند انتهائه."`
	Kind        string  `json:"kind" example:"backup.failed"`
	State       State   `json:"state" enum:"raised,over,passed,reminder,escalated,digest,test" doc:"What it says of it." ar:"ما يقوله عنه."`
	Title       string  `json:"title"`
	Text        string  `json:"text"`
	URL         string  `json:"url"`
	Channel     string  `json:"channel" example:"mail" doc:"Or a part of one: mail/2 is the second address of mail." ar:"أو جزء من قناة: mail/2 هو العنوان الثاني من mail."`
	Status      Status  `json:"status" enum:"pending,delivered,dead"`
	Attempts    int     `json:"attempts"`
	LastError   string  `json:"last_error"`
	CreatedAt   string  `json:"created_at" format:"date-time"`
	DeliveredAt *string `json:"delivered_at" format:"date-time"`
	HeldUntil   *string `json:"held_until" format:"date-time" doc:"When it is told in a digest, of one that is pending for that." ar:"متى يُخبر به في ملخّص، لما ينتظر ذلك."`
}

func newAlertBody(a Alert) alertBody {
	body := alertBody{
		ID: a.ID, Key: a.Key, Kind: a.Kind, State: a.State, Title: a.Title, Text: a.Text, URL: a.URL, Channel: a.Channel,
		Status: a.Status, Attempts: a.Attempts, LastError: a.LastError, CreatedAt: docstore.At(a.CreatedAt).String(),
	}
	if !a.DeliveredAt.IsZero() {
		body.DeliveredAt = new(docstore.At(a.DeliveredAt).String())
	}
	if !a.HeldUntil.IsZero() {
		body.HeldUntil = new(docstore.At(a.HeldUntil).String())
	}
	return body
}

type listInput struct {
	httpapi.Page
	Status Status `query:"status" enum:"pending,delivered,dead" doc:"Of this status alone." ar:"ما له هذه الحال وحدها."`
}

type oneInput struct {
	ID string `path:"id" maxLength:"64"`
}

type testInput struct {
	Body *struct {
		Channel string `json:"channel,omitempty" minLength:"1" maxLength:"40" doc:"The channel's id, or that of a part, such as mail/2; without one, all are tested." ar:"معرّف القناة، أو جزء منها مثل mail/2؛ وبدونه تُجرَّب كلّها."`
	}
}

func (in *testInput) channel() string {
	if in.Body == nil {
		return ""
	}
	return in.Body.Channel
}

type testOutput struct {
	Body struct {
		IDs []string `json:"ids" doc:"The tests' alerts, one for each part of a channel." ar:"تنبيهات التجربة، واحد لكلّ جزء من قناة."`
	}
}

// Routes registers the room's routes.
func (s *Service) Routes(api *httpapi.API) {
	group := httpapi.Group{API: api, Name: language.Text{En: "Alerts", Ar: "التنبيهات"}, Chapter: httpapi.ChapterOperating, About: language.Text{En: "What operators are told, what became of it, and a test of the way to them.", Ar: "ما يُخبَر به المشغّلون وما صار إليه، وتجربة للطريق إليهم."}, Kinds: kinds}
	route := func(pattern, id string, summary language.Text, problems ...error) httpapi.Route {
		return httpapi.Route{Access: httpapi.Operators, Scope: identity.ScopeOperate, Pattern: pattern, ID: id, Summary: summary, Problems: problems}
	}
	httpapi.Register(group, route("GET /ops/alerts", "list-alerts", language.Text{En: "See the alerts, newest first", Ar: "اعرض التنبيهات، أحدثها أوّلًا"}),
		func(ctx context.Context, in *listInput) (*httpapi.ListOutput[alertBody], error) {
			found, next, err := s.List(ctx, in.Status, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, newAlertBody)
		})
	httpapi.Register(group, route("POST /ops/alerts/{id}/retry", "retry-alert", language.Text{En: "Send an alert again that was given up", Ar: "أعد إرسال تنبيه تُرك"}, ErrNoAlert, ErrNotDead),
		func(ctx context.Context, in *oneInput) (*struct{}, error) { return nil, s.Retry(ctx, in.ID) })
	httpapi.Register(group, route("POST /ops/alerts/{id}/acknowledge", "acknowledge-alert", language.Text{En: "Say that somebody takes care of what an alert is about", Ar: "أعلن أنّ أحدًا يتولّى أمر تنبيه"}, ErrNoAlert),
		func(ctx context.Context, in *oneInput) (*struct{}, error) { return nil, s.AcknowledgeAlert(ctx, in.ID) })
	test := route("POST /ops/alerts/test", "test-alerts", language.Text{En: "Send a test on a channel, or on all", Ar: "أرسل تنبيهًا تجريبيًّا على قناة أو على كلّ القنوات"}, ErrNoAlert)
	test.Status = http.StatusAccepted
	httpapi.Register(group, test, func(ctx context.Context, in *testInput) (*testOutput, error) {
		out := &testOutput{}
		var err error
		out.Body.IDs, err = s.Test(ctx, in.channel())
		return out, err
	})
}

// Linked is what the page behind an alert's link shows of an occurrence.
type Linked struct {
	Title, Text language.Text
	Begun       docstore.Time
	Over        bool
	// Acknowledged is when somebody said that they take care of it; zero when nobody has.
	Acknowledged docstore.Time
}

// Linked returns what the token of an alert's link is about, or ErrNoAlert.
func (s *Service) Linked(ctx context.Context, token string) (Linked, error) {
	id, err := s.byToken(token)
	if err != nil {
		return Linked{}, err
	}
	o, err := s.occurrences.Get(ctx, id)
	return Linked{o.Event.Title, o.Event.Text, o.Event.At, o.End != nil, o.AcknowledgedAt}, docstore.NotFoundAs(err, ErrNoAlert)
}

// AcknowledgeLinked acknowledges what the token of an alert's link is about. It returns
// ErrNoAlert or an error of the store.
func (s *Service) AcknowledgeLinked(ctx context.Context, token string) error {
	id, err := s.byToken(token)
	if err != nil {
		return err
	}
	return s.acknowledge(ctx, id, eventAcknowledgedByLink)
}

// AcknowledgeAlert acknowledges what an alert is about. It returns ErrNoAlert or an error
// of the store.
func (s *Service) AcknowledgeAlert(ctx context.Context, alertID string) error {
	job, err := s.alerts.Get(ctx, alertID)
	id := job.Args.Occurrence
	if errors.Is(err, docstore.ErrNotFound) {
		var h heldAlert
		h, err = s.heldByID(ctx, alertID)
		id = h.Occurrence
	}
	if err == nil && id == "" {
		err = ErrNoAlert // a digest's or a test's
	}
	if err != nil {
		return err
	}
	return s.Acknowledge(ctx, id)
}
