package errtrack

import (
	"context"
	"time"

	"manus/httpapi"
	"manus/internal/words"
	"manus/language"
)

// routeBody is how a route did.
type routeBody struct {
	ProjectID string  `json:"project_id"`
	Route     string  `json:"route" example:"GET /orders/:id"`
	Op        string  `json:"op" example:"http.server"`
	Count     int64   `json:"count" doc:"Traces that arrived; of those that a program samples, the ones it sent." ar:"التتبّعات التي وصلت؛ وإن كان البرنامج يأخذ عيّنات فما أرسله منها."`
	Errors    int64   `json:"errors" doc:"Those with a status that is neither ok, cancelled nor unknown, or with an answer of 500 or more." ar:"التي حالتها ليست ok ولا cancelled ولا unknown، أو جوابها 500 فأكثر."`
	P50       float64 `json:"p50_ms" doc:"Milliseconds that half of all are at or below, to one percent." ar:"المللي ثانية التي نصفها عندها أو دونها، بدقّة واحد في المئة."`
	P95       float64 `json:"p95_ms"`
	P99       float64 `json:"p99_ms"`
	PerMinute float64 `json:"per_minute" doc:"The mean since the beginning of the hour of since." ar:"المتوسّط منذ أوّل ساعة since."`
}

func newRouteBody(r TracedRoute) routeBody {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return routeBody{r.Project, r.Route, r.Op, r.Count, r.Errors, ms(r.P50), ms(r.P95), ms(r.P99), r.PerMinute}
}

type listRoutesInput struct {
	httpapi.Page
	Project string    `query:"project" maxLength:"64" doc:"Its id, its name or its slug; all where it isn't said." ar:"معرّفه أو اسمه أو slug؛ والكلّ حيث لا يُذكر."`
	Since   string    `query:"since" maxLength:"64" example:"24h" doc:"A time, or how long ago that was (30m, 24h, 7d); what is told begins with its hour. A day ago where it isn't said; 30 days are kept." ar:"وقت، أو كم مضى (30m أو 24h أو 7d)؛ ويبدأ ما يُعرض بأوّل ساعته. ويومٌ مضى حيث لا يُذكر؛ وتُحفظ 30 يومًا."`
	Sort    RouteSort `query:"sort" enum:"count,errors,p95" default:"count"`
}

// sinceWhen is the time that since says, or that long ago; zero where it says nothing. It
// returns ErrInvalid.
func sinceWhen(since string, now time.Time) (time.Time, error) {
	if since == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, since); err == nil {
		return at, nil
	}
	ago, err := words.ReadSpan(since)
	if err != nil {
		return time.Time{}, invalid("query.since", "It is a time as 2026-01-31T12:00:00Z, or how long ago that was: 30m, 24h, 7d.", "وقت مثل 2026-01-31T12:00:00Z، أو كم مضى: 30m أو 24h أو 7d.")
	}
	return now.Add(-ago), nil
}

func (s *Service) performanceRoutes(group httpapi.Group, route newRoute) {
	httpapi.Register(group, route("GET /ops/traces/routes", "list-trace-routes", language.Text{En: "See how fast routes are and how often they fail", Ar: "اعرض سرعة المسارات وكم مرّة تفشل"}, ErrNoProject, ErrInvalid),
		func(ctx context.Context, in *listRoutesInput) (*httpapi.ListOutput[routeBody], error) {
			since, err := sinceWhen(in.Since, s.c.Now())
			if err != nil {
				return nil, err
			}
			found, next, err := s.TracedRoutes(ctx, RouteSearch{Project: in.Project, Since: since, Sort: in.Sort, Limit: in.Limit, Cursor: in.Cursor})
			return httpapi.ListOf(found, next, err, newRouteBody)
		})
}
