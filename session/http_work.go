package session

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/language"
	"manus/ratelimit"
)

// workLimit is how often workers may call, each by its key.
func workLimit() ratelimit.Rule { return ratelimit.NewRule("60000/minute", ratelimit.ByAPIKey) }

var errBadFeedPlace = errors.New("what the feed is to go on after isn't a place in it")

// messageBody is a message of a session as workers see it.
type messageBody struct {
	ID        string          `json:"id" doc:"Opaque. The same each time that the message is given out: by it you know work that you have done." ar:"مُعتِم. هو نفسه كلّما أُعطيت الرسالة: به تعرف العمل الذي أنجزته."`
	SessionID string          `json:"session_id"`
	Seq       int64           `json:"seq" doc:"Its place in the session's log." ar:"موضعه في سجلّ الجلسة."`
	Type      string          `json:"type" example:"message"`
	Data      json.RawMessage `json:"data" doc:"{\"text\":…}" ar:"بالصورة '{\"text\":…}'"`
	CreatedAt string          `json:"created_at" format:"date-time"`
}

func newMessageBody(e Event) messageBody {
	return messageBody{workID(e), e.SessionID, e.Seq, e.Type, e.Data, e.CreatedAt.String()}
}

// fedBody is a message in the feed.
type fedBody struct {
	ID        string          `json:"id" doc:"Opaque. The same as in a claim." ar:"مُعتِم. هو نفسه كما في الحجز."`
	Cursor    string          `json:"cursor" doc:"Its place in the feed: send it as after for what follows it." ar:"موضعه في الخلاصة: أرسله في after لتنال ما بعده."`
	SessionID string          `json:"session_id"`
	Seq       int64           `json:"seq" doc:"Its place in the session's log." ar:"موضعه في سجلّ الجلسة."`
	Type      string          `json:"type" example:"message"`
	Data      json.RawMessage `json:"data" doc:"{\"text\":…}" ar:"بالصورة '{\"text\":…}'"`
	CreatedAt string          `json:"created_at" format:"date-time"`
}

func newFedBody(f fed) fedBody {
	m := newMessageBody(f.Event)
	return fedBody{m.ID, placeText(f.place), m.SessionID, m.Seq, m.Type, m.Data, m.CreatedAt}
}

func placeText(place int64) string { return strconv.FormatInt(place, 10) }

// claimedBody is a message in a worker's hands.
type claimedBody struct {
	ID             string          `json:"id" doc:"Opaque. The same each time that the message is given out: by it you know work that you have done." ar:"مُعتِم. هو نفسه كلّما أُعطيت الرسالة: به تعرف العمل الذي أنجزته."`
	SessionID      string          `json:"session_id"`
	UserID         string          `json:"user_id" doc:"Whose session it is." ar:"صاحب الجلسة."`
	Seq            int64           `json:"seq" doc:"Its place in the session's log." ar:"موضعه في سجلّ الجلسة."`
	Type           string          `json:"type" example:"message"`
	Data           json.RawMessage `json:"data" doc:"{\"text\":…}" ar:"بالصورة '{\"text\":…}'"`
	CreatedAt      string          `json:"created_at" format:"date-time"`
	Attempt        int             `json:"attempt" doc:"How often the message has been given out, this time included." ar:"كم مرّة أُعطيت الرسالة، وهذه منها." example:"1"`
	Lease          string          `json:"lease" doc:"Send it with done and release, so that it is known that they are of this claim." ar:"أرسله مع done وrelease ليُعرف أنّهما لهذا الحجز."`
	LeaseExpiresAt string          `json:"lease_expires_at" format:"date-time" doc:"From then on another worker may have it." ar:"منذ ذلك الوقت يجوز أن يأخذها عامل آخر."`
}

func newClaimedBody(c Claimed) claimedBody {
	m := newMessageBody(c.Event)
	return claimedBody{
		m.ID, m.SessionID, c.Owner, m.Seq, m.Type, m.Data, m.CreatedAt, c.Attempt, c.Lease, docstore.At(c.Until).String(),
	}
}

type (
	claimInput struct {
		Body *claimInputBody `required:"false"`
	}
	claimInputBody struct {
		Limit        int `json:"limit,omitempty" minimum:"1" maximum:"100" default:"10" doc:"How many messages at most, one of a session at a time." ar:"كم رسالة على الأكثر، واحدة من كلّ جلسة في المرّة."`
		LeaseSeconds int `json:"lease_seconds,omitempty" minimum:"1" maximum:"1800" default:"60" doc:"How long they are yours; what isn't done by then comes back." ar:"كم تبقى لك؛ وما لم يُنجز حتى ذلك يعود."`
		WaitSeconds  int `json:"wait_seconds,omitempty" minimum:"0" maximum:"20" doc:"How long to wait while there is nothing." ar:"كم يُنتظر حين لا يوجد شيء."`
	}
	claimOutputBody struct {
		Items []claimedBody `json:"items" doc:"Those that have waited for longest first; none when nothing waits." ar:"أطولها انتظارًا أوّلًا؛ وخالية حين لا ينتظر شيء."`
	}
	settleInput struct {
		ID   string `path:"id" maxLength:"64"`
		Body *struct {
			Lease string `json:"lease,omitempty" maxLength:"64" doc:"Of the claim. Without it, whoever has claimed the message last with your key counts." ar:"من الحجز. وبدونه يُعدّ آخر من حجز الرسالة بمفتاحك."`
		} `required:"false"`
	}
	feedInput struct {
		Limit       int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
		Cursor      string `query:"cursor" maxLength:"20" doc:"The next_cursor of the page before." ar:"قيمة next_cursor من الصفحة السابقة."`
		After       string `query:"after" maxLength:"20" doc:"The cursor of the last message that you know; 0 or nothing is the beginning." ar:"مؤشّر آخر رسالة تعرفها؛ و0 أو لا شيء هو البداية."`
		Accept      string `header:"Accept" doc:"text/event-stream for a live stream." ar:"القيمة text/event-stream لبثّ مباشر."`
		LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"Goes on with a live stream after this message." ar:"يكمل بثًّا مباشرًا بعد هذه الرسالة."`
	}
)

func (in *settleInput) lease() string {
	if in.Body == nil {
		return ""
	}
	return in.Body.Lease
}

// place is where the feed is to go on.
func (in *feedInput) place() (int64, error) {
	text := cmp.Or(in.LastEventID, in.Cursor, in.After, "0")
	place, err := strconv.ParseInt(text, 10, 64)
	if err != nil || place < 0 || place > math.MaxInt64/1000 {
		return 0, errBadFeedPlace
	}
	return place, nil
}

// forWorkers says who may call a route.
var forWorkers = language.Text{En: "For programs with an operator's API key of scope 'worker'.", Ar: "للبرامج التي لها مفتاح برمجي بصلاحية worker لمشغّل."}

func (s *Service) workRoutes(group httpapi.Group) {
	route := func(pattern, id string, summary, description language.Text, problems ...error) httpapi.Route {
		return httpapi.Route{
			Access: httpapi.Workers, Pattern: pattern, ID: id, Summary: summary,
			Description: description.Then(forWorkers), Problems: append([]error{}, problems...), Limits: []ratelimit.Rule{workLimit()},
		}
	}
	feed := route("GET /work/events", "read-work", language.Text{En: "Read new messages of all sessions, as a page or live", Ar: "اقرأ الرسائل الجديدة في كلّ الجلسات، صفحاتٍ أو بثًّا مباشرًا"},
		language.Text{En: "A feed of the last 30 days, in one order that never changes; of one session it is that of its log. Messages of deleted sessions vanish. With `Accept: text/event-stream` it goes on as server-sent events, resumed by `Last-Event-ID`.", Ar: "رسائل آخر 30 يومًا بترتيب واحد لا يتغيّر، هو ترتيب السجلّ في الجلسة الواحدة. وتختفي رسائل الجلسات المحذوفة. ومع `Accept: text/event-stream` تستمرّ بثًّا مباشرًا يُستأنف بترويسة `Last-Event-ID`."}, errBadFeedPlace, errTooManyStreams)
	feed.Answers = map[string]httpapi.Answer{"200": {Description: "A page of messages, or a live stream", Types: map[string]reflect.Type{
		"application/json":  reflect.TypeFor[httpapi.List[fedBody]](),
		"text/event-stream": reflect.TypeFor[string](),
	}}}
	httpapi.Stream(group, feed, s.readWork)
	httpapi.Register(group, route("POST /work/claim", "claim-work", language.Text{En: "Claim messages, so that no other worker has them", Ar: "احجز رسائل فلا ينالها عامل آخر"},
		language.Text{En: "Several workers share what there is. A message that isn't done when its lease is over comes back, with the same id; the session's next one can be had once it is done.", Ar: "يتقاسم عدّة عاملين ما هو موجود. والرسالة التي لم تُنجز حين تنتهي مدّة حجزها تعود بالمعرّف نفسه؛ ولا تُنال الرسالة التالية من الجلسة إلّا بعد إنجازها."}, errTooManyStreams, ErrContended),
		func(ctx context.Context, in *claimInput) (*httpapi.Output[claimOutputBody], error) {
			asked := claimInputBody{Limit: 10, LeaseSeconds: 60}
			if in.Body != nil {
				asked = *in.Body
			}
			claimed, err := s.Claim(ctx, identity.From(ctx), asked.Limit, time.Duration(asked.LeaseSeconds)*time.Second, time.Duration(asked.WaitSeconds)*time.Second)
			list, err := httpapi.ListOf(claimed, "", err, newClaimedBody)
			if err != nil {
				return nil, err
			}
			return httpapi.OutputOf(claimOutputBody{list.Body.Items}, nil)
		})
	httpapi.Register(group, route("POST /work/{id}/done", "finish-work", language.Text{En: "Tell that a message has been done", Ar: "أخبر بأنّ رسالة أُنجزت"},
		language.Text{En: "'lease-lost' says that it isn't yours any more. The same told again is well.", Ar: "يقول lease-lost إنّها لم تعد لك. ولا بأس بتكرار الإخبار."}, errNoWork, errLeaseLost),
		func(ctx context.Context, in *settleInput) (*httpapi.Nothing, error) {
			return nil, s.Finish(ctx, identity.From(ctx), in.ID, in.lease())
		})
	httpapi.Register(group, route("POST /work/{id}/release", "release-work", language.Text{En: "Give a message back", Ar: "أعد رسالة"},
		language.Text{En: "Another worker can have it at once; one that comes back again and again waits up to a minute.", Ar: "يمكن أن ينالها عامل آخر فورًا؛ والتي تعود مرارًا تنتظر حتى دقيقة."}, errNoWork, errLeaseLost),
		func(ctx context.Context, in *settleInput) (*httpapi.Nothing, error) {
			return nil, s.Release(ctx, identity.From(ctx), in.ID, in.lease())
		})
}

func (s *Service) readWork(ctx context.Context, in *feedInput) (http.HandlerFunc, error) {
	after, err := in.place()
	if err != nil {
		return nil, err
	}
	if strings.Contains(in.Accept, "text/event-stream") {
		return s.followFeed(ctx, identity.From(ctx), after)
	}
	found, last, more, err := s.readFeed(ctx, after, in.Limit)
	next := ""
	if more {
		next = placeText(last)
	}
	return writePage(httpapi.ListOf(found, next, err, newFedBody))
}

func (s *Service) followFeed(ctx context.Context, caller identity.Caller, after int64) (http.HandlerFunc, error) {
	poked, leave, err := s.streams.enter(caller, feedTopic)
	if err != nil {
		return nil, err
	}
	return s.serve(ctx, &stream{
		streams: s.streams, hints: s.c.Hints, after: after, alive: caller.Alive, poked: poked,
		exists: func(context.Context) error { return nil },
		read: func(ctx context.Context, after int64, limit int) ([]sent, int64, bool, error) {
			found, last, more, err := s.readFeed(ctx, after, limit)
			var send []sent
			for _, f := range found {
				send = append(send, sent{f.place, f.Type, newFedBody(f), false})
			}
			return send, last, more, err
		},
	}, "", leave), nil
}
