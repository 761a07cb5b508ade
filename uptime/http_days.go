package uptime

import (
	"context"
	"time"

	"manus/httpapi"
	"manus/language"
)

type latencyBody struct {
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	Count int64   `json:"count" doc:"Of how many looks; where it is 0, so are the others." ar:"من كم نظرة؛ وحيث هو 0 فغيره 0 كذلك."`
}

func newLatencies(all map[Window]Latency) map[Window]latencyBody {
	bodies := make(map[Window]latencyBody, len(all))
	for window, l := range all {
		bodies[window] = latencyBody(l)
	}
	return bodies
}

type budgetBody struct {
	Window       string     `json:"window" enum:"30d"`
	TotalMinutes float64    `json:"total_minutes" doc:"For how long it may be down in the window, of the time that is known." ar:"كم يمكن أن يتعطّل في هذه المدّة، من الوقت المعروف."`
	LeftMinutes  float64    `json:"left_minutes" doc:"Negative when it was down for longer." ar:"سالب إن طال التعطّل أكثر من ذلك."`
	Left         float64    `json:"left" doc:"The part that is left." ar:"الجزء الباقي."`
	Burn5m       *float64   `json:"burn_5m" doc:"At which rate it was burnt: at 1 it lasts exactly for its window. Null, as the other rates, where less than half of that time is known." ar:"بأيّ معدّل استُهلكت: عند 1 تكفي مدّتها تمامًا. وnull، كسائر المعدّلات، حيث يُعرف أقلّ من نصف ذلك الوقت."`
	Burn30m      *float64   `json:"burn_30m"`
	Burn1h       *float64   `json:"burn_1h"`
	Burn2h       *float64   `json:"burn_2h"`
	Burn6h       *float64   `json:"burn_6h"`
	Burn1d       *float64   `json:"burn_1d"`
	Burn3d       *float64   `json:"burn_3d"`
	Burning      []Severity `json:"burning" doc:"What people were told of: page, ticket, both or none." ar:"ما أُخبر به الناس: page أو ticket أو كلاهما أو لا شيء."`
}

func newBudgetBody(b *Budget) *budgetBody {
	if b == nil {
		return nil
	}
	rate := func(w Window) *float64 {
		if rate, known := b.Burns[w]; known {
			return &rate
		}
		return nil
	}
	return &budgetBody{
		Window: "30d", TotalMinutes: b.Total.Minutes(), LeftMinutes: b.Left.Minutes(), Left: b.Ratio(), Burning: append([]Severity{}, b.Burning...),
		Burn5m: rate("5m"), Burn30m: rate("30m"), Burn1h: rate("1h"), Burn2h: rate("2h"), Burn6h: rate("6h"), Burn1d: rate("1d"), Burn3d: rate("3d"),
	}
}

type dayBody struct {
	Date string `json:"date" format:"date" doc:"In UTC." ar:"بتوقيت UTC."`
	uptimeBody
	latencyBody
}

func newDayBody(d Day) dayBody {
	return dayBody{d.Date.Format(time.DateOnly), newUptimeBody(d.Figure), latencyBody(d.Latency)}
}

type daysInput struct {
	Path
	Days int `query:"days" minimum:"1" maximum:"400" default:"90" doc:"How many, up to today." ar:"كم يومًا، حتى اليوم."`
}

// dayRoutes registers what is told of days.
func (s *Service) dayRoutes(group httpapi.Group, route newRoute) {
	httpapi.Register(group, route("GET /ops/monitors/{id}/days", "list-monitor-days", language.Text{En: "See how it was on each day, the oldest first", Ar: "اعرض الحال في كلّ يوم، أقدمها أوّلًا"}, ErrNoMonitor),
		func(ctx context.Context, in *daysInput) (*httpapi.ListOutput[dayBody], error) {
			all, err := s.Days(ctx, in.ID, in.Days)
			return httpapi.ListOf(all, "", err, newDayBody)
		})
}
