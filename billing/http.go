package billing

import (
	"context"
	"net/http"
	"time"

	"manus/httpapi"
	"manus/identity"
	"manus/language"
	"manus/ratelimit"
)

// kinds maps the room's errors to what a client is answered.
var kinds = httpapi.Kinds{
	{Err: ErrTrialUsed, Status: http.StatusConflict, Name: "trial-used", Detail: language.Text{En: "This account has had its trial. Choose a plan instead.", Ar: "سبق أن نال هذا الحساب فترته التجريبية. اختر إحدى الباقات."}},
	{Err: ErrAlreadySubscribed, Status: http.StatusConflict, Name: "already-subscribed", Detail: language.Text{En: "This account is on a paid plan already; there is nothing to try.", Ar: "هذا الحساب على باقة مدفوعة بالفعل، فلا حاجة إلى تجربة."}},
	{Err: ErrNoTrial, Status: http.StatusConflict, Name: "no-trial", Detail: language.Text{En: "There is no trial on offer at present.", Ar: "لا تتوفّر فترة تجريبية حاليًّا."}},
}

// planBody is a plan as customers see it.
type planBody struct {
	ID           string `json:"id" example:"basic"`
	Name         string `json:"name" example:"Basic"`
	PriceUSD     *int   `json:"price_usd" doc:"A month's price in US dollars; null means on request." ar:"سعر الشهر بالدولار الأمريكي؛ وnull يعني عند الطلب."`
	RunsPerMonth *int64 `json:"runs_per_month" doc:"Null means unlimited." ar:"القيمة null تعني بلا حدّ."`
	Reset        Reset  `json:"reset" enum:"calendar,anniversary" doc:"Whether months begin on the first or on the day you subscribed, which for a new account is that of its first run." ar:"هل تبدأ الأشهر في أوّلها أو في يوم اشتراكك، وهو لحساب جديد يوم أوّل تشغيل له."`
}

func newPlanBody(p Plan) planBody {
	return planBody{ID: p.ID, Name: p.Name, PriceUSD: p.PriceUSD, RunsPerMonth: (*p.Runs).finite(), Reset: p.Reset}
}

// subscriptionBody is a subscription as its owner sees it.
type subscriptionBody struct {
	Plan           string `json:"plan" doc:"The plan's id." ar:"معرّف الباقة." example:"free"`
	PlanName       string `json:"plan_name" example:"Free"`
	Status         Status `json:"status" enum:"active,trialing"`
	RunsUsed       int64  `json:"runs_used" doc:"In this period." ar:"في هذه الفترة."`
	RunsLimit      *int64 `json:"runs_limit" doc:"Null means unlimited." ar:"القيمة null تعني بلا حدّ."`
	RunsRemaining  *int64 `json:"runs_remaining" doc:"Null means unlimited." ar:"القيمة null تعني بلا حدّ."`
	PeriodStart    string `json:"period_start" format:"date-time"`
	PeriodEnd      string `json:"period_end" format:"date-time" doc:"When the count starts again, or the trial ends." ar:"متى يبدأ العدّ من جديد، أو تنتهي الفترة التجريبية."`
	TrialAvailable bool   `json:"trial_available" doc:"Whether POST /billing/trial would start the trial." ar:"هل يبدأ POST /billing/trial الفترة التجريبية."`
}

func newSubscriptionBody(s Subscription) subscriptionBody {
	body := subscriptionBody{
		Plan:           s.Plan.ID,
		PlanName:       s.Plan.Name,
		Status:         s.Status,
		RunsUsed:       s.Used,
		PeriodStart:    s.PeriodStart.Format(time.RFC3339),
		PeriodEnd:      s.PeriodEnd.Format(time.RFC3339),
		TrialAvailable: s.TrialAvailable,
	}
	if limit := s.Limit.finite(); limit != nil {
		body.RunsLimit, body.RunsRemaining = limit, new(max(0, *limit-s.Used))
	}
	return body
}

type subscriptionOutput = httpapi.Output[subscriptionBody]

func subscriptionAnswer(s Subscription, err error) (*subscriptionOutput, error) {
	return httpapi.OutputOf(newSubscriptionBody(s), err)
}

// Routes registers the room's routes.
func (s *Service) Routes(api *httpapi.API) {
	group := httpapi.Group{API: api, Name: language.Text{En: "Billing", Ar: "الاشتراك"}, Chapter: httpapi.ChapterAccount, About: language.Text{En: "Plans, and what is left of yours.", Ar: "الباقات، وما بقي من باقتك."}, Kinds: kinds}
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "GET /billing/plans", ID: "list-plans", Summary: language.Text{En: "List the plans", Ar: "اعرض الباقات"}},
		func(context.Context, *httpapi.Nothing) (*httpapi.ListOutput[planBody], error) {
			return httpapi.ListOf(s.Plans(), "", nil, newPlanBody)
		})
	httpapi.Register(group, httpapi.Route{
		Scope: identity.Read, Pattern: "GET /billing/subscription", ID: "get-subscription", Summary: language.Text{En: "See your plan and what you have used of it", Ar: "اعرض باقتك وما استعملته منها"},
		Limits: []ratelimit.Rule{ratelimit.NewRule("30/minute, 300/hour", ratelimit.ByUser)},
	},
		func(ctx context.Context, _ *httpapi.Nothing) (*subscriptionOutput, error) {
			return subscriptionAnswer(s.Get(ctx, identity.From(ctx).UserID))
		})
	httpapi.Register(group, httpapi.Route{
		Scope: identity.Write, Pattern: "POST /billing/trial", ID: "start-trial", Problems: []error{ErrTrialUsed, ErrAlreadySubscribed, ErrNoTrial}, Summary: language.Text{En: "Start the trial, once per account", Ar: "ابدأ الفترة التجريبية، مرّة واحدة لكلّ حساب"},
		Limits: []ratelimit.Rule{ratelimit.NewRule("3/hour", ratelimit.ByUser)},
	},
		func(ctx context.Context, _ *httpapi.Nothing) (*subscriptionOutput, error) {
			return subscriptionAnswer(s.StartTrial(ctx, identity.From(ctx).UserID))
		})
}
