package session

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/language"
	"manus/ratelimit"
)

// kinds maps the room's errors to what a client is answered.
var kinds = httpapi.Kinds{
	{Err: ErrNotFound, Status: http.StatusNotFound, Name: "no-such-session", Detail: language.Text{En: "You have no session with this id.", Ar: "ليست لك جلسة بهذا المعرّف."}},
	{Err: ErrQuotaExhausted, Status: http.StatusPaymentRequired, Name: "quota-exhausted", Detail: language.Text{En: "The runs of your plan are used up for this period. GET /billing/subscription says when it ends; a larger plan has more.", Ar: "نفدت مرّات التشغيل في باقتك لهذه الفترة. تجد موعد انتهائها في GET /billing/subscription؛ وفي الباقات الأكبر المزيد."}},
	{Err: ErrTooManyAtOnce, Status: http.StatusServiceUnavailable, Name: "too-many-at-once", Detail: language.Text{En: "Too many sessions are being opened for this account at once. Try again shortly.", Ar: "تُفتح لهذا الحساب جلسات كثيرة في وقت واحد. حاول مرّة أخرى بعد قليل."}, RetryAfter: time.Second},
	{Err: ErrStopped, Status: http.StatusConflict, Name: "session-stopped", Detail: language.Text{En: "The session has been stopped; nothing can be added to it. Open another one.", Ar: "أُوقفت الجلسة فلا يمكن أن يُضاف إليها شيء. افتح جلسة أخرى."}},
	{Err: ErrLogFull, Status: http.StatusConflict, Name: "session-full", Detail: language.Text{En: "The session has as many events as one can have. Open another one.", Ar: "بلغت الجلسة أكبر عدد ممكن من الأحداث. افتح جلسة أخرى."}},
	{Err: ErrKeyReused, Status: http.StatusConflict, Name: "client-key-reused", Detail: language.Text{En: "This client key was used in this session for something else. Use a new key for each message.", Ar: "استُعمل المفتاح client_key هذا في هذه الجلسة لشيء آخر. استعمل مفتاحًا جديدًا لكلّ رسالة."}},
	{Err: ErrInvalidText, Status: http.StatusUnprocessableEntity, Name: "invalid-text", Detail: language.Text{En: "Send 1 to 16384 characters of text, none of them NUL.", Ar: "أرسل نصًّا من 1 إلى 16384 محرفًا بلا محارف NUL."}},
	{Err: errBadEventID, Status: http.StatusBadRequest, Name: "invalid-event-id", Detail: language.Text{En: "Last-Event-ID is the id of the last event you have seen, a whole number from 0.", Ar: "الترويسة Last-Event-ID هي معرّف آخر حدث رأيته، عدد صحيح من 0 فصاعدًا."}},
	{Err: errInvalidData, Status: http.StatusUnprocessableEntity, Name: "invalid-data", Detail: language.Text{En: "Send at most 32768 bytes of JSON as data.", Ar: "أرسل في data ما لا يزيد على 32768 بايت من JSON."}},
	{Err: errReservedType, Status: http.StatusUnprocessableEntity, Name: "reserved-type", Detail: language.Text{En: "Events of the types 'message' and 'stopped' are written by the service alone. Choose another type.", Ar: "الأحداث من نوعَي message وstopped تكتبها الخدمة وحدها. اختر نوعًا آخر."}},
	{Err: ErrContended, Status: http.StatusServiceUnavailable, Name: "contended", Detail: language.Text{En: "Too many are writing to this session at once. Try again shortly.", Ar: "يكتب إلى هذه الجلسة كثيرون في وقت واحد. حاول مرّة أخرى بعد قليل."}, RetryAfter: time.Second},
	{Err: errAnswersNothing, Status: http.StatusUnprocessableEntity, Name: "answers-nothing", Detail: language.Text{En: "Send the id of a message of this session as answers.", Ar: "أرسل في answers معرّف رسالة من هذه الجلسة."}},
	{Err: errAnswered, Status: http.StatusConflict, Name: "already-answered", Detail: language.Text{En: "This message has another answer of this type already; it is kept. Go on with the next message.", Ar: "لهذه الرسالة جواب آخر من هذا النوع وهو باقٍ. تابع بالرسالة التالية."}},
	{Err: errNoWork, Status: http.StatusNotFound, Name: "no-such-work", Detail: language.Text{En: "There is no message with this id. Send the id that POST /work/claim answered.", Ar: "لا توجد رسالة بهذا المعرّف. أرسل المعرّف الذي أعاده POST /work/claim."}},
	{Err: errLeaseLost, Status: http.StatusConflict, Name: "lease-lost", Detail: language.Text{En: "This message isn't yours any more: its lease is over, it was done, or its session is gone. Leave it and claim others.", Ar: "لم تعد هذه الرسالة لك: انتهت مدّة حجزها أو أُنجزت أو زالت جلستها. اتركها واحجز غيرها."}},
	{Err: errTicketUsed, Status: http.StatusUnauthorized, Name: "ticket-used", Detail: language.Text{En: "This address has been used, or its time is over. Ask for another by POST /sessions/{id}/stream-ticket.", Ar: "استُعمل هذا العنوان أو انتهت مدّته. اطلب غيره بـ POST /sessions/{id}/stream-ticket."}},
	{Err: errBadFeedPlace, Status: http.StatusBadRequest, Name: "invalid-feed-place", Detail: language.Text{En: "after is the cursor of a message that this feed gave out, or the id of an event of its stream; 0 or nothing is from the beginning.", Ar: "المعامل after هو مؤشّر رسالة مما أعطته هذه القائمة أو معرّف حدث من بثّها؛ و0 أو لا شيء يعني من البداية."}},
	{Err: errTooManyStreams, Status: http.StatusTooManyRequests, Name: "too-many-streams", Detail: language.Text{En: "Too many live streams are open. Close one, or read the events as pages.", Ar: "البثوث المباشرة المفتوحة أكثر مما يُسمح به. أغلق أحدها، أو اقرأ الأحداث صفحاتٍ."}, RetryAfter: 10 * time.Second},
}

var (
	errInvalidData  = errors.New("the event's data is too large")
	errReservedType = errors.New("the event's type is reserved")
	errAnswered     = errors.New("the message has been answered by another event of this type")
)

// maxMessageBody has room for the longest text however JSON writes it: a character is 12
// bytes at most, as two escapes. 4 KiB are for the rest.
const maxMessageBody = 12*maxText + 4<<10

// sessionBody is a session as its owner sees it.
type sessionBody struct {
	ID        string `json:"id" doc:"Opaque." ar:"مُعتِم."`
	Title     string `json:"title"`
	Status    Status `json:"status" enum:"active,stopped"`
	CreatedAt string `json:"created_at" format:"date-time"`
	UpdatedAt string `json:"updated_at" format:"date-time"`
}

func newSessionBody(s Session) sessionBody {
	return sessionBody{s.ID, s.Title, s.Status, s.CreatedAt.String(), s.UpdatedAt.String()}
}

// eventBody is an event as its reader sees it.
type eventBody struct {
	Seq       int64           `json:"seq" doc:"Its place in the log: 1, 2, 3, … without gaps. It is the id in a live stream." ar:"موضعه في السجلّ: 1 و2 و3 … بلا فجوات. وهو المعرّف في البثّ المباشر."`
	Type      string          `json:"type" example:"message"`
	Data      json.RawMessage `json:"data" doc:"For a message {\"text\":…}; otherwise what the worker sent." ar:"للرسالة '{\"text\":…}'؛ ولغيرها ما أرسله العامل."`
	ID        string          `json:"id" doc:"Opaque; the same wherever the event is seen." ar:"مُعتِم؛ هو نفسه حيثما رُئي الحدث."`
	Answers   string          `json:"answers,omitempty" doc:"The id of the message that it answers, where the worker said that." ar:"معرّف الرسالة التي يجيب عنها، حيث ذكره العامل."`
	CreatedAt string          `json:"created_at" format:"date-time"`
}

func newEventBody(e Event) eventBody {
	return eventBody{e.Seq, e.Type, e.Data, workID(e), e.Answers, e.CreatedAt.String()}
}

// IDParam is the session's id in a route's path. It is exported because huma
// doesn't look into embedded types that aren't.
type IDParam struct {
	ID string `path:"id" maxLength:"64"`
}

// Inputs and outputs.
type (
	createInput struct {
		Body *struct {
			Title string `json:"title,omitempty" maxLength:"200" example:"Quarterly report"`
		} `required:"false"`
	}
	renameInput struct {
		IDParam
		Body struct {
			Title string `json:"title" maxLength:"200"`
		}
	}
	messageInput struct {
		IDParam
		Body struct {
			Text      string `json:"text" minLength:"1" maxLength:"16384" example:"Summarise the third chapter."`
			ClientKey string `json:"client_key,omitempty" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"Made up by you, another for each message: a message sent again with its key is the same message." ar:"من عندك، ولكلّ رسالة غيره: فالرسالة التي يُعاد إرسالها بمفتاحها هي الرسالة نفسها."`
		}
	}
	eventInput struct {
		IDParam
		Body struct {
			Type      string          `json:"type" pattern:"^[a-z][a-z0-9._-]{0,63}$" example:"step.finished"`
			Data      json.RawMessage `json:"data,omitempty" doc:"Any JSON, at most 32768 bytes." ar:"أيّ JSON، 32768 بايت على الأكثر."`
			Answers   string          `json:"answers,omitempty" maxLength:"64" doc:"The id of the message that this answers. There is one such event of each type, unless client_key tells them apart: sent again it is the same event, with other data it is 'already-answered'." ar:"معرّف الرسالة التي يجيب عنها. لها حدث واحد من كلّ نوع، ما لم يميّزها client_key: فإن أُعيد إرساله فهو الحدث نفسه، وإن كان ببيانات أخرى فجوابه 'already-answered'."`
			ClientKey string          `json:"client_key,omitempty" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"An event sent again with its key is the same event." ar:"الحدث الذي يُعاد إرساله بمفتاحه هو الحدث نفسه."`
		}
	}
	eventsInput struct {
		IDParam
		httpapi.Page
		After       int64  `query:"after" minimum:"0" maximum:"100001" doc:"Events after this place only." ar:"الأحداث التي بعد هذا الموضع وحدها."`
		Accept      string `header:"Accept" doc:"text/event-stream for a live stream." ar:"القيمة text/event-stream لبثّ مباشر."`
		LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"Goes on with a live stream after this event." ar:"يكمل بثًّا مباشرًا بعد هذا الحدث."`
		Ticket      string `query:"ticket" maxLength:"64" doc:"Of POST /sessions/{id}/stream-ticket: a live stream for a browser's EventSource." ar:"من POST /sessions/{id}/stream-ticket: بثّ مباشر لكائن EventSource في المتصفّح."`
	}
	ticketBody struct {
		URL       string `json:"url" doc:"For new EventSource(url). It opens one stream; a browser comes back to that by itself." ar:"لإنشاء new EventSource(url). يفتح بثًّا واحدًا؛ ويعود المتصفّح إليه بنفسه."`
		ExpiresIn int    `json:"expires_in" doc:"Seconds in which it has to be opened." ar:"كم ثانية يلزم أن يُفتح خلالها." example:"60"`
	}
	sessionOutput = httpapi.Output[sessionBody]
	eventOutput   = httpapi.Output[eventBody]
)

func sessionAnswer(s Session, err error) (*sessionOutput, error) {
	return httpapi.OutputOf(newSessionBody(s), err)
}

func eventAnswer(e Event, err error) (*eventOutput, error) {
	return httpapi.OutputOf(newEventBody(e), err)
}

// Routes registers the room's routes. opening is how often sessions may be opened by
// users on a plan, where that is not how often anybody may.
func (s *Service) Routes(api *httpapi.API, opening map[string]ratelimit.Limit) {
	group := httpapi.Group{API: api, Name: language.Text{En: "Sessions", Ar: "الجلسات"}, Chapter: httpapi.ChapterProduct, About: language.Text{En: "Metered sessions, the messages you write to them, and the log of what the product does.", Ar: "جلسات محسوبة من الرصيد، والرسائل التي تكتبها فيها، وسجلّ ما يفعله المنتج."}, Kinds: kinds}
	limit := ratelimit.NewRule("10/minute, 100/hour", ratelimit.ByUser)
	limit.Plans = opening
	httpapi.Register(group, httpapi.Route{
		Scope: identity.Write, Pattern: "POST /sessions", ID: "create-session", Problems: []error{ErrQuotaExhausted, ErrTooManyAtOnce}, Status: http.StatusCreated, Summary: language.Text{En: "Open a session, for one run of your quota", Ar: "افتح جلسة بمرّة تشغيل واحدة من رصيدك"},
		Limits: []ratelimit.Rule{limit},
	},
		func(ctx context.Context, in *createInput) (*sessionOutput, error) {
			title := ""
			if in.Body != nil {
				title = in.Body.Title
			}
			return sessionAnswer(s.Create(ctx, identity.From(ctx).UserID, title))
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Read, Pattern: "GET /sessions", ID: "list-sessions", Summary: language.Text{En: "List your sessions, newest first", Ar: "اعرض جلساتك، أحدثها أوّلًا"}},
		func(ctx context.Context, in *httpapi.Page) (*httpapi.ListOutput[sessionBody], error) {
			found, next, err := s.List(ctx, identity.From(ctx).UserID, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, newSessionBody)
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Read, Workers: true, Pattern: "GET /sessions/{id}", ID: "get-session", Problems: []error{ErrNotFound}, Summary: language.Text{En: "See a session", Ar: "اعرض جلسة"}},
		func(ctx context.Context, in *IDParam) (*sessionOutput, error) {
			return sessionAnswer(s.Read(ctx, identity.From(ctx), in.ID))
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Write, Pattern: "PATCH /sessions/{id}", ID: "rename-session", Problems: []error{ErrNotFound}, Summary: language.Text{En: "Give a session another title", Ar: "غيّر عنوان جلسة"}},
		func(ctx context.Context, in *renameInput) (*sessionOutput, error) {
			return sessionAnswer(s.Rename(ctx, identity.From(ctx).UserID, in.ID, in.Body.Title))
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Write, Pattern: "DELETE /sessions/{id}", ID: "delete-session", Problems: []error{ErrNotFound}, Summary: language.Text{En: "Delete a session and its events", Ar: "احذف جلسة وأحداثها"}},
		func(ctx context.Context, in *IDParam) (*httpapi.Nothing, error) {
			return nil, s.Delete(ctx, identity.From(ctx).UserID, in.ID)
		})
	httpapi.Register(group, httpapi.Route{Scope: identity.Write, Pattern: "POST /sessions/{id}/stop", ID: "stop-session", Problems: []error{ErrNotFound, ErrContended}, Summary: language.Text{En: "Stop a session for good", Ar: "أوقف جلسة نهائيًّا"}},
		func(ctx context.Context, in *IDParam) (*sessionOutput, error) {
			return sessionAnswer(s.Stop(ctx, identity.From(ctx).UserID, in.ID))
		})
	httpapi.Register(group, httpapi.Route{
		Scope: identity.Write, Pattern: "POST /sessions/{id}/messages", ID: "write-message", Problems: []error{ErrNotFound, ErrStopped, ErrLogFull, ErrKeyReused, ErrInvalidText, ErrContended}, Status: http.StatusAccepted, Summary: language.Text{En: "Write a message to a session", Ar: "اكتب رسالة في جلسة"},
		MaxBody: maxMessageBody,
	},
		func(ctx context.Context, in *messageInput) (*eventOutput, error) {
			return eventAnswer(s.Write(ctx, identity.From(ctx).UserID, in.ID, in.Body.Text, cmp.Or(in.Body.ClientKey, docstore.IDFrom(ctx))))
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Workers, Pattern: "POST /sessions/{id}/events", ID: "append-event", Problems: []error{ErrNotFound, ErrStopped, ErrLogFull, ErrKeyReused, errInvalidData, errReservedType, errAnswersNothing, errAnswered, ErrContended}, Status: http.StatusAccepted, Summary: language.Text{En: "Append what a worker did to a session", Ar: "أضف إلى جلسة ما فعله عامل"},
		Description: language.Text{En: "For programs of the product, with an operator's API key of scope 'worker', to anybody's session.", Ar: "لبرامج المنتج، بمفتاح برمجي بصلاحية worker لمشغّل، وإلى جلسة أيّ مستخدم."},
		Limits:      []ratelimit.Rule{workLimit()},
	},
		s.appendEvent)
	httpapi.Stream(group, s.eventsRoute(api.Caller), s.readEvents)
	httpapi.Register(group, httpapi.Route{
		Scope: identity.Read, Workers: true, Pattern: "POST /sessions/{id}/stream-ticket", ID: "stream-ticket", Problems: []error{ErrNotFound}, Summary: language.Text{En: "Get a one-time address for a browser's EventSource", Ar: "احصل على عنوان لمرّة واحدة لكائن EventSource في المتصفّح"},
		Description: language.Text{En: "An EventSource can't send an access token. The address opens one live stream of this session, within a minute. The ids of its events let the browser come back to it by itself, for a day; when it is refused (401), ask for another ticket.", Ar: "لا يستطيع EventSource إرسال رمز وصول. يفتح هذا العنوان بثًّا مباشرًا واحدًا لهذه الجلسة خلال دقيقة. وبمعرّفات أحداثه يعود إليه المتصفّح من تلقاء نفسه مدّة يوم؛ فإن رُفض (401) فاطلب تذكرة أخرى."},
	},
		func(ctx context.Context, in *IDParam) (*httpapi.Output[ticketBody], error) {
			secret, err := s.giveTicket(ctx, identity.From(ctx), in.ID)
			return httpapi.OutputOf(ticketBody{s.ticketAddress(ctx, in.ID, secret), int(ticketLifetime.Seconds())}, err)
		})
	s.workRoutes(httpapi.Group{API: api, Name: language.Text{En: "Work", Ar: "العمل"}, Chapter: httpapi.ChapterProduct, About: language.Text{En: "New messages of all sessions, for the programs that answer them.", Ar: "الرسائل الجديدة في كلّ الجلسات، للبرامج التي تجيب عنها."}, Kinds: kinds})
}

func (s *Service) appendEvent(ctx context.Context, in *eventInput) (*eventOutput, error) {
	data := in.Body.Data
	if len(data) == 0 {
		data = json.RawMessage("null")
	}
	var compact bytes.Buffer
	if len(data) > maxData || json.Compact(&compact, data) != nil {
		return nil, errInvalidData
	}
	if in.Body.Type == Message || in.Body.Type == StoppedType {
		return nil, errReservedType
	}
	e, err := s.Append(ctx, Event{SessionID: in.ID, Type: in.Body.Type, Data: compact.Bytes(), ClientKey: cmp.Or(in.Body.ClientKey, docstore.IDFrom(ctx)), Answers: in.Body.Answers})
	if errors.Is(err, ErrKeyReused) && in.Body.ClientKey == "" {
		err = errAnswered
	}
	return eventAnswer(e, err)
}

// eventsRoute answers in two media types, which the types of Go can't tell.
func (s *Service) eventsRoute(find httpapi.FindCaller) httpapi.Route {
	return httpapi.Route{
		Scope: identity.Read, Workers: true, Caller: s.holder(find), Pattern: "GET /sessions/{id}/events", ID: "read-events", Problems: []error{ErrNotFound, errBadEventID, errTicketUsed, errTooManyStreams},
		Summary:     language.Text{En: "Read a session's events, as a page or live", Ar: "اقرأ أحداث جلسة، صفحاتٍ أو بثًّا مباشرًا"},
		Description: language.Text{En: "With `Accept: text/event-stream` the answer is a live stream of server-sent events: first what there is, then each event as it comes, until the session is stopped. A stream that broke off is resumed with `Last-Event-ID`; nothing is lost or doubled. A stream of a stopped session of which everything has been seen is 204.", Ar: "مع `Accept: text/event-stream` يكون الجواب بثًّا مباشرًا (server-sent events): ما هو موجود أوّلًا، ثمّ كلّ حدث حين يقع، إلى أن تُوقف الجلسة. ويُستأنف البثّ المنقطع بترويسة `Last-Event-ID` فلا يضيع شيء ولا يتكرّر. أمّا جلسة موقوفة رُئي كلّ ما فيها فجوابها 204."},
		Answers: map[string]httpapi.Answer{
			"200": {Description: "A page of events, or a live stream", Types: map[string]reflect.Type{
				"application/json":  reflect.TypeFor[httpapi.List[eventBody]](),
				"text/event-stream": reflect.TypeFor[string](),
			}},
			"204": {Description: "The session is stopped and everything has been seen"},
		}}
}

func (s *Service) readEvents(ctx context.Context, in *eventsInput) (http.HandlerFunc, error) {
	caller := identity.From(ctx)
	if _, err := s.Read(ctx, caller, in.ID); err != nil {
		return nil, err
	}
	if strings.Contains(in.Accept, "text/event-stream") || in.Ticket != "" {
		return s.follow(ctx, caller, in)
	}
	events, next, err := s.Events(ctx, in.ID, in.After, in.Limit, in.Cursor)
	return writePage(httpapi.ListOf(events, next, err, newEventBody))
}

// writePage writes a page of a route that answers with streams too.
func writePage[T any](page *httpapi.ListOutput[T], err error) (http.HandlerFunc, error) {
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(page.Body) // the client is gone if this fails
	}, nil
}

// follow answers with a live stream, or 204 when there is nothing left to come.
func (s *Service) follow(ctx context.Context, caller identity.Caller, in *eventsInput) (http.HandlerFunc, error) {
	after, returnKey := in.After, ""
	if in.LastEventID != "" {
		var err error
		if after, returnKey, err = parseEventID(in.LastEventID, maxEvents+1); err != nil {
			return nil, err
		}
	}
	last, err := s.last(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	poked, leave, err := s.streams.enter(caller, in.ID)
	if err != nil {
		return nil, err
	}
	if in.Ticket == "" {
		returnKey = ""
	} else if returnKey, err = s.useTicket(ctx, in.Ticket, returnKey); err != nil {
		leave()
		return nil, err
	}
	if last.Type == StoppedType && after >= last.Seq {
		leave()
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, nil
	}
	st := s.logStream(caller, in.ID, after)
	st.poked = poked
	return s.serve(ctx, st, returnKey, leave), nil
}

// logStream is a stream of a session's log for a caller who may read it.
func (s *Service) logStream(caller identity.Caller, id string, after int64) *stream {
	return &stream{
		streams: s.streams, hints: s.c.Hints, after: after, alive: caller.Alive,
		exists: func(ctx context.Context) error {
			_, err := s.Read(ctx, caller, id)
			return err
		},
		read: func(ctx context.Context, after int64, limit int) ([]sent, int64, bool, error) {
			events, next, err := s.Events(ctx, id, after, limit, "")
			var send []sent
			for _, e := range events {
				send, after = append(send, sent{e.Seq, e.Type, newEventBody(e), e.Type == StoppedType}), e.Seq
			}
			return send, after, next != "", err
		},
	}
}
