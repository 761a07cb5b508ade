package readiness

import (
	"context"
	"time"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/language"
	"manus/ratelimit"
)

// Body is a report as the API and `manus check --json` have it, in one language.
type Body struct {
	Status     Status      `json:"status" enum:"pass,warn,fail"`
	Score      int         `json:"score" doc:"0 to 100. Of what was measured, but at most 89 while anything fails, at most 49 while something essential does, and where most was not measured at most the share that was." ar:"من 0 إلى 100، مما قيس؛ ولا يزيد على 89 ما دام شيء يفشل، ولا على 49 ما دام شيء أساسي يفشل، ولا على نسبة ما قيس حيث لم يُقَس أكثره."`
	Measured   int         `json:"measured" doc:"How many of the checks were measured." ar:"كم فحصًا قيس."`
	MeasuredAt string      `json:"measured_at" format:"date-time"`
	Checks     []CheckBody `json:"checks"`
}

// CheckBody is how one promise stands.
type CheckBody struct {
	ID         string `json:"id" example:"backups.newest"`
	Group      Group  `json:"group" enum:"secrets,health,backups,limits,errors,uptime,billing,system"`
	Title      string `json:"title"`
	Status     Status `json:"status" enum:"pass,warn,fail,skipped"`
	Essential  bool   `json:"essential"`
	Evidence   string `json:"evidence" doc:"What was measured; of what is skipped, why." ar:"ما قيس؛ وللمتروك سبب تركه."`
	MeasuredAt string `json:"measured_at" doc:"A time; empty where it wasn't measured. What is expensive stands for a while." ar:"وقت؛ فارغ حيث لم يُقَس. وما كان مكلفًا يبقى مدّة."`
	Mend       string `json:"mend" doc:"What to do about it; empty where it holds." ar:"ما العمل حياله؛ فارغ حيث يتحقّق."`
}

// NewBody is a report in a language.
func NewBody(r Report, tag language.Tag) Body {
	b := Body{Status: r.Status, Score: r.Score, Measured: r.Measured, MeasuredAt: docstore.At(r.MeasuredAt).String(), Checks: []CheckBody{}}
	for _, c := range r.Results {
		measured := ""
		if !c.MeasuredAt.IsZero() {
			measured = docstore.At(c.MeasuredAt).String()
		}
		b.Checks = append(b.Checks, CheckBody{c.ID, c.Group, c.Title.In(tag), c.Status, c.Essential, c.Evidence.In(tag), measured, c.Mend.In(tag)})
	}
	return b
}

type reportInput struct {
	Fresh bool    `query:"fresh" doc:"Measure all of it anew, also what is expensive." ar:"قِس كلّ شيء من جديد، وما كان مكلفًا أيضًا."`
	Only  []Group `query:"only" maxItems:"8" enum:"secrets,health,backups,limits,errors,uptime,billing,system" doc:"These groups alone, with commas between; and what all rest on, where that fails." ar:"هذه المجموعات وحدها، وبينها فواصل؛ وما تقوم عليه كلّها حيث يفشل."`
}

// reportTimeout bounds a report. All checks are measured at once, so it is the longest one's
// patience and what is waited for before.
const reportTimeout = 60 * time.Second

// Routes registers the room's routes.
func (s *Service) Routes(api *httpapi.API) {
	httpapi.Register(httpapi.Group{API: api, Name: language.Text{En: "Operations", Ar: "التشغيل"}, Chapter: httpapi.ChapterOperating, About: language.Text{En: "Whether the installation keeps what the product promises, and what was done on it.", Ar: "هل تفي هذه الخدمة بما يعد به المنتج، وما جرى فيها."}}, httpapi.Route{
		Access: httpapi.Operators, Scope: identity.ScopeOperate, Pattern: "GET /ops/readiness", ID: "get-readiness", Summary: language.Text{En: "Measure what the product promises", Ar: "قِس ما يَعِد به المنتج"},
		Description: language.Text{En: "Every promise is measured on this installation, now, all at once. What is expensive is measured once in a while: measured_at says when. Nothing is changed that isn't cleaned up.", Ar: "يُقاس كلّ وعد على هذه الخدمة الآن وكلّها معًا. وما كان مكلفًا يُقاس من حين إلى حين، وفي measured_at وقت قياسه. ولا يُغيَّر شيء إلّا أُعيد كما كان."},
		Limits:      []ratelimit.Rule{ratelimit.NewRule("30/minute", ratelimit.ByUser)}, Timeout: reportTimeout,
	}, func(ctx context.Context, in *reportInput) (*httpapi.Output[Body], error) {
		return httpapi.OutputOf(NewBody(s.Report(ctx, Ask{Fresh: in.Fresh, Only: in.Only}), language.From(ctx)), nil)
	})
}
