package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"manus/docstore"
	"manus/idempotency"
	"manus/language"
)

// Problem is an RFC 9457 error answer. It never carries what the client sent.
type Problem struct {
	Type      string  `json:"type" doc:"Names the kind of problem; a link to its explanation." ar:"يسمّي نوع الخطأ؛ وهو رابط إلى شرحه." example:"/problems/not-found"`
	Title     string  `json:"title" doc:"The status in words, in the language of 'detail'." ar:"الحالة بالكلمات، بلغة 'detail'." example:"Not Found"`
	Status    int     `json:"status" doc:"The HTTP status." ar:"رمز حالة HTTP." example:"404"`
	Detail    string  `json:"detail" doc:"What is wrong and what to do about it, in English or Arabic, as Accept-Language prefers." ar:"ما الخطأ وما العمل حياله، بالإنجليزية أو العربية كما تفضّل Accept-Language."`
	RequestID string  `json:"request_id" doc:"Quote it when asking for help." ar:"اذكره حين تطلب المساعدة." example:"4GZTLGJVK3A5XOAWZBQ3PVNM4U"`
	Errors    []Fault `json:"errors,omitempty" doc:"Each part of the request that is wrong." ar:"كلّ جزء خاطئ من الطلب."`
	// Violated are the names of limits, as in the RateLimit-Policy header.
	Violated []string `json:"violated-policies,omitempty" doc:"The limits that refuse the request, as RateLimit-Policy names them." ar:"الحدود التي ترفض الطلب، كما تسمّيها RateLimit-Policy."`

	retryAfter time.Duration
	language   language.Tag // of Detail
	cause      error        // that a handler may look for
}

// Error makes a Problem an error that huma writes as it is.
func (p *Problem) Error() string { return p.Detail }

// Unwrap is the error that the problem stands for, where a handler may answer that in its
// own way.
func (p *Problem) Unwrap() error { return p.cause }

// RetryAfter is when to try again; 0 where nothing is known of that.
func (p *Problem) RetryAfter() time.Duration { return p.retryAfter }

// GetStatus is the HTTP status, for huma.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is the media type of a problem, for huma.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Kind is one row of a capability's table from its sentinel errors to HTTP:
// what the client is told when a handler's error is Err.
type Kind struct {
	Err        error
	Status     int
	Name       string        // in kebab case; the end of the problem's type
	Detail     language.Text // a sentence for the user: what is wrong, what to do
	RetryAfter time.Duration
}

// ProblemsPath is where the kinds of problems are explained, each below it by its name.
const ProblemsPath = "/problems"

// Type is the problem's type, the address of its explanation.
func (k Kind) Type() string { return ProblemsPath + "/" + k.Name }

// formerNames are those that problems had before.
var formerNames = map[string]string{"quota-exceeded": "rate-limited"}

// Problem is the kind with a name, or with one that it had before.
func (api *API) Problem(name string) (kind Kind, ok bool) {
	i := slices.IndexFunc(api.kinds, func(k Kind) bool { return k.Name == cmp.Or(formerNames[name], name) })
	if i < 0 {
		return kind, false
	}
	return api.kinds[i], true
}

// Kinds is a table from errors to problems. The first match counts.
type Kinds []Kind

// ErrUnauthorized, ErrForbidden and ErrNotForKeys are what the door answers, ErrNotFound
// what it answers where there is no route. ErrCrossSite is for a form that a page of another
// site sends.
var (
	ErrUnauthorized     = errors.New("the caller is unknown")
	ErrForbidden        = errors.New("the caller may not do this")
	ErrNotForKeys       = errors.New("an API key may not do this")
	ErrCrossSite        = errors.New("a page of another site sent the form")
	ErrNotFound         = errors.New("there is nothing at this address")
	errWrongHost        = errors.New("this server is only for this machine: ask for it as localhost or by a loopback address")
	errMethodNotAllowed = errors.New("the address doesn't take the method")
	errInvalidRequest   = errors.New("the request isn't what the address takes")
	errMediaType        = errors.New("the body isn't JSON")
	errSlowBody         = errors.New("the body arrived too slowly")
	errTooLarge         = errors.New("the body is too large")
	errBrokenBody       = errors.New("the body is cut short or isn't what its headers say")
	errInternal         = errors.New("something broke")
)

// common is what every route may answer.
var common = Kinds{
	{ErrUnauthorized, http.StatusUnauthorized, "unauthorized", language.Text{En: "Sign in first: send a valid access token as 'Authorization: Bearer …'.", Ar: "سجّل الدخول أوّلًا: أرسل رمز وصول صالحًا في الترويسة Authorization: Bearer."}, 0},
	{ErrForbidden, http.StatusForbidden, "forbidden", language.Text{En: "Your account or key may not do this.", Ar: "لا يُسمح لحسابك أو مفتاحك بهذا."}, 0},
	{ErrNotForKeys, http.StatusForbidden, "not-for-keys", language.Text{En: "This is for people alone: sign in and send an access token, not an API key.", Ar: "هذا للأشخاص وحدهم: سجّل الدخول وأرسل رمز وصول، لا مفتاحًا برمجيًّا."}, 0},
	{ErrCrossSite, http.StatusForbidden, "cross-site", language.Text{En: "A page of another site sent this. Send it from here.", Ar: "أرسلت هذا صفحةٌ من موقع آخر. أرسله من هنا."}, 0},
	{ErrTooMany, http.StatusTooManyRequests, "rate-limited", language.Text{En: "There were too many requests. Wait as long as Retry-After says; RateLimit says where each limit stands.", Ar: "أُرسلت طلبات أكثر مما يُسمح به. انتظر المدّة المذكورة في Retry-After؛ وفي RateLimit حال كلّ حدّ."}, 0},
	{errUncounted, http.StatusServiceUnavailable, "uncounted", language.Text{En: "This can't be done while requests can't be counted. Try again shortly.", Ar: "لا يمكن ذلك ما دام عدّ الطلبات متعذّرًا. حاول مرّة أخرى بعد قليل."}, 2 * time.Second},
	{ErrNotFound, http.StatusNotFound, "not-found", language.Text{En: "There is nothing at this address.", Ar: "لا يوجد شيء في هذا العنوان."}, 0},
	{errWrongHost, http.StatusMisdirectedRequest, "wrong-host", language.Text{En: "This server is only for the machine it runs on: ask for it as localhost or by a loopback address.", Ar: "هذا الخادم للجهاز الذي يعمل عليه وحده: اطلبه باسم localhost أو بعنوان محلّي."}, 0},
	{errMethodNotAllowed, http.StatusMethodNotAllowed, "method-not-allowed", language.Text{En: "This address exists but doesn't take this method; 'Allow' lists those it takes.", Ar: "هذا العنوان موجود لكنه لا يقبل هذه الطريقة؛ تجد الطرق المقبولة في Allow."}, 0},
	{errInvalidRequest, http.StatusUnprocessableEntity, "invalid-request", language.Text{En: "The request is not what this address takes; 'errors' says which parts.", Ar: "ليس الطلب مما يقبله هذا العنوان؛ وفي errors الأجزاء الخاطئة منه."}, 0},
	{errMediaType, http.StatusUnsupportedMediaType, "unsupported-media-type", language.Text{En: "Send the body as application/json.", Ar: "أرسل جسم الطلب بالنوع application/json."}, 0},
	{errSlowBody, http.StatusRequestTimeout, "slow-body", language.Text{En: "The body arrived too slowly. Send the request again.", Ar: "وصل جسم الطلب ببطء شديد. أعد إرسال الطلب."}, 0},
	{errTooLarge, http.StatusRequestEntityTooLarge, "too-large", language.Text{En: "The request is larger than this address takes.", Ar: "الطلب أكبر مما يقبله هذا العنوان."}, 0},
	{docstore.ErrCorrupt, http.StatusServiceUnavailable, "damaged", language.Text{En: "The service's stored data is damaged and has to be restored first. Trying again doesn't help; its operators have been told.", Ar: "بيانات الخدمة المخزّنة تالفة ولا بدّ من استعادتها أوّلًا. لن تفيد إعادة المحاولة، وقد أُبلغ مشغّلوها."}, 0},
	{errBrokenBody, http.StatusBadRequest, "broken-body", language.Text{En: "The body ended early, or isn't framed as the request's headers say. Send the request again.", Ar: "انتهى جسم الطلب قبل تمامه أو خالف ما في ترويسات الطلب. أعد إرسال الطلب."}, 0},
	{docstore.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", language.Text{En: "The service can't reach its storage just now. Nothing was lost; try again shortly.", Ar: "تعذّر على الخدمة الوصول إلى مخزنها الآن. لم يضِع شيء؛ حاول مرّة أخرى بعد قليل."}, 2 * time.Second},
	{docstore.ErrCursor, http.StatusBadRequest, "invalid-cursor", language.Text{En: "The cursor is not one that this list gave out. Start again without it.", Ar: "ليس هذا المؤشّر مما أعطته هذه القائمة. ابدأ من جديد بدونه."}, 0},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "timeout", language.Text{En: "This took too long and was given up. Try again shortly.", Ar: "استغرق ذلك وقتًا أطول من اللازم فأُوقف. حاول مرّة أخرى بعد قليل."}, 2 * time.Second},
	{context.Canceled, http.StatusServiceUnavailable, "cancelled", language.Text{En: "The request was cancelled before it was done. Try again.", Ar: "أُلغي الطلب قبل أن يكتمل. حاول مرّة أخرى."}, time.Second},
	{idempotency.ErrReused, http.StatusUnprocessableEntity, "idempotency-key-reused", language.Text{En: "This Idempotency-Key was sent before with another request. Make up a new key for each thing to be made.", Ar: "أُرسل مفتاح Idempotency-Key هذا من قبل مع طلب آخر. اختلق مفتاحًا جديدًا لكلّ ما تريد إنشاءه."}, 0},
	{idempotency.ErrAtWork, http.StatusConflict, "idempotency-key-in-use", language.Text{En: "The request with this Idempotency-Key is still being worked on. Send it again shortly to get its answer.", Ar: "ما زال العمل جاريًا على الطلب ذي مفتاح Idempotency-Key هذا. أعد إرساله بعد قليل لتنال جوابه."}, time.Second},
	{idempotency.ErrTooMany, http.StatusTooManyRequests, "too-many-idempotency-keys", language.Text{En: "You have sent as many Idempotency-Keys as are remembered. Leave the header out, or try again later.", Ar: "أرسلت من مفاتيح Idempotency-Key أقصى ما يُحفظ. اترك هذه الترويسة أو حاول مرّة أخرى لاحقًا."}, time.Hour},
	{docstore.ErrChanged, http.StatusPreconditionFailed, "changed-meanwhile", language.Text{En: "It isn't as it was when you read it, so nothing was done: If-Match names another ETag than it has now, or it has none.", Ar: "لم يعد كما كان حين قرأته فلم يُفعل شيء: تسمّي If-Match وسمًا ETag غير الذي له الآن، أو ليس له وسم."}, 0},
	{errInvalidKey, http.StatusBadRequest, "invalid-idempotency-key", language.Text{En: "Send 1 to 255 printable characters of ASCII as Idempotency-Key, such as a UUID.", Ar: "أرسل في Idempotency-Key من 1 إلى 255 محرفًا مطبوعًا من ASCII، مثل UUID."}, 0},
	{errInternal, http.StatusInternalServerError, "internal", language.Text{En: "Something broke on our side. It has been recorded; quote the request id when you ask about it.", Ar: "حدث خلل لدينا وقد سُجِّل؛ اذكر معرّف الطلب حين تسأل عنه."}, 0},
}

// Find is the row of an error: the first match in the table, or in what every route
// may answer. known is false when neither has it, so the cause has to be reported;
// then the row is that of something broken.
func (k Kinds) Find(err error) (kind Kind, known bool) {
	for _, table := range []Kinds{k, common} {
		for _, kind := range table {
			if errors.Is(err, kind.Err) {
				return kind, true
			}
		}
	}
	kind, _ = common.Find(errInternal)
	return kind, false
}

// problem turns a handler's error into the answer to the request that ctx belongs to,
// in its language; known is that of Find.
func (k Kinds) problem(ctx context.Context, err error) (p *Problem, known bool) {
	kind, known := k.Find(err)
	tag := language.From(ctx)
	p = &Problem{
		Type:       kind.Type(),
		Title:      StatusText(kind.Status, tag),
		Status:     kind.Status,
		Detail:     kind.Detail.In(tag),
		RequestID:  RequestID(ctx),
		retryAfter: kind.RetryAfter,
		language:   tag,
	}
	var faulty interface{ Faults(language.Tag) []Fault }
	if errors.As(err, &faulty) {
		p.Errors = faulty.Faults(tag)
	}
	var retry interface{ RetryAfter() time.Duration }
	if errors.As(err, &retry) {
		p.retryAfter = retry.RetryAfter()
	}
	return p, known
}

// answer is the problem that stands for err in the tables. The log gets the cause
// when it is not the client's fault.
func answer(ctx context.Context, kinds Kinds, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	p, known := kinds.problem(ctx, err)
	if x := exchangeOf(ctx); x != nil && p.Status >= http.StatusInternalServerError && ctx.Err() == nil {
		level := slog.LevelWarn
		if !known {
			level = slog.LevelError
		}
		x.failure = err
		x.api.Log.Log(ctx, level, "request failed", "request_id", p.RequestID, "status", p.Status, "error", err)
	}
	return p
}

// mark sets the headers that go with the problem, and keeps it out of caches that
// may keep the route's other answers.
func (p *Problem) mark(header http.Header) {
	if p.retryAfter > 0 {
		seconds := (p.retryAfter + time.Second - 1) / time.Second
		header.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	if p.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="manus"`)
	}
	p.language.Mark(header)
	header.Set("Cache-Control", caching)
}

// WriteError answers a request with the problem that stands for err in the
// tables, outside of a typed handler: as a page, where a person has asked for one.
func WriteError(w http.ResponseWriter, r *http.Request, kinds Kinds, err error) {
	p, header := answer(r.Context(), kinds, err), w.Header()
	media, body := p.ContentType(""), any(p)
	x := exchangeOf(r.Context())
	if x != nil && x.endpoint.Problem != nil {
		media, body = "application/json", x.endpoint.Problem(p)
	}
	p.mark(header)
	if x != nil && x.forPeople(r) {
		VaryByAccept(header)
		if PrefersHTML(r) && x.api.Page(w, r, p) {
			return
		}
	}
	header.Set("Content-Type", media)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}

// cleanHumaError is a huma transformer: it replaces huma's own error bodies,
// which repeat submitted values, passwords included, by problems that don't, and
// marks the headers of every problem.
func cleanHumaError(ctx huma.Context, _ string, body any) (any, error) {
	if model, ok := body.(*huma.ErrorModel); ok {
		body = problemOf(ctx.Context(), model)
	}
	if p, ok := body.(*Problem); ok {
		_, w := humago.Unwrap(ctx)
		p.mark(w.Header())
	}
	return body, nil
}

func problemOf(ctx context.Context, model *huma.ErrorModel) *Problem {
	p, _ := common.problem(ctx, errInvalidRequest)
	p.Status, p.Title = model.Status, StatusText(model.Status, p.language)
	for _, e := range model.Errors {
		if e != nil {
			p.Errors = append(p.Errors, newFault(p.language, e))
		}
	}
	if len(p.Errors) == 0 {
		p.Errors = []Fault{newFault(p.language, &huma.ErrorDetail{Location: "body", Message: model.Detail})}
	}
	return p
}

// StatusText is a status in words.
func StatusText(status int, tag language.Tag) string {
	return language.Text{En: http.StatusText(status), Ar: titles[status]}.In(tag)
}

// titles are the statuses of problems in Arabic.
var titles = map[int]string{
	http.StatusBadRequest:            "طلب غير صالح",
	http.StatusUnauthorized:          "يلزم تسجيل الدخول",
	http.StatusPaymentRequired:       "يلزم الدفع",
	http.StatusForbidden:             "غير مسموح",
	http.StatusNotFound:              "غير موجود",
	http.StatusMethodNotAllowed:      "طريقة غير مقبولة",
	http.StatusRequestTimeout:        "انتهت مهلة الطلب",
	http.StatusConflict:              "تعارض",
	http.StatusMisdirectedRequest:    "طلب موجّه إلى غير خادمه",
	http.StatusPreconditionFailed:    "تغيّر في هذه الأثناء",
	http.StatusGone:                  "لم يعد موجودًا",
	http.StatusRequestEntityTooLarge: "الطلب أكبر من اللازم",
	http.StatusUnsupportedMediaType:  "نوع محتوى غير مقبول",
	http.StatusUnprocessableEntity:   "طلب لا يمكن قبوله",
	http.StatusTooManyRequests:       "طلبات أكثر من اللازم",
	http.StatusInternalServerError:   "خلل في الخادم",
	http.StatusNotImplemented:        "غير متاح هنا",
	http.StatusBadGateway:            "ردّ غير صالح من خادم آخر",
	http.StatusServiceUnavailable:    "الخدمة غير متاحة الآن",
}
