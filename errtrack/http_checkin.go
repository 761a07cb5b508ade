package errtrack

import (
	"context"

	"manus/docstore"
	"manus/httpapi"
	"manus/language"
)

// checkInBody is a job that reports, as a list has it.
type checkInBody struct {
	ID           string        `json:"id"`
	ProjectID    string        `json:"project_id"`
	Slug         string        `json:"slug" example:"nightly-backup"`
	Environment  string        `json:"environment"`
	Status       MonitorStatus `json:"status" enum:"ok,error,timeout,missed,in_progress,waiting,invalid_schedule"`
	LastAt       string        `json:"last_at" format:"date-time" doc:"When it reported last." ar:"متى أبلغ آخر مرّة."`
	NextDueAt    *string       `json:"next_due_at" format:"date-time" doc:"When its next run has to begin; null for never." ar:"متى يلزم أن يبدأ تشغيله التالي؛ وnull حيث لا موعد."`
	Schedule     string        `json:"schedule" example:"0 2 * * *" doc:"A line of a crontab, or how often; empty where its program doesn't say." ar:"سطر crontab، أو كلّ كم يعمل؛ فارغ حيث لا يذكره برنامجه."`
	Timezone     string        `json:"timezone" doc:"Whose clocks the schedule is by; empty for UTC." ar:"المنطقة الزمنية للجدول؛ والفارغ UTC."`
	Problem      string        `json:"problem" doc:"What is wrong with the schedule." ar:"ما الخطأ في الجدول."`
	Margin       int64         `json:"checkin_margin" doc:"By how many minutes it may be late." ar:"بكم دقيقة يجوز أن يتأخّر."`
	MaxRuntime   int64         `json:"max_runtime" doc:"How many minutes it may take." ar:"كم دقيقة يجوز أن يستغرق."`
	Duration     float64       `json:"duration" doc:"Of its last run that ended, in seconds; 0 where it isn't known." ar:"لآخر تشغيل انتهى، بالثواني؛ و0 حيث لا يُعرف."`
	Failures     int64         `json:"failures" doc:"How many there were in a row." ar:"كم كانت متتالية."`
	FailingSince *string       `json:"failing_since" format:"date-time" doc:"Since when it fails so often that it was told; null where it doesn't." ar:"منذ متى يتكرّر فشله حتى أُخبر به؛ وnull حيث ليس كذلك."`
}

func newCheckInBody(m CronMonitor) checkInBody {
	return checkInBody{
		ID: m.ID, ProjectID: m.Project, Slug: m.Slug, Environment: m.Environment, Status: m.Shown(), LastAt: m.LastAt.String(), NextDueAt: orNull(m.NextDueAt),
		Schedule: m.Config.String(), Timezone: m.Config.Timezone, Problem: m.Problem, Margin: m.Config.Margin, MaxRuntime: m.Config.MaxRuntime,
		Duration: m.Duration, Failures: m.Failures, FailingSince: orNull(m.FailingSince),
	}
}

// Item is a job as a list of the API has it.
func (m CronMonitor) Item() any { return newCheckInBody(m) }

func orNull(t docstore.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(t.String())
}

type listOfProjectInput struct {
	httpapi.Page
	Project string `query:"project" maxLength:"64"`
}

type checkInInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Service) checkInRoutes(group httpapi.Group, route newRoute) {
	httpapi.Register(group, route("GET /ops/check-ins", "list-check-ins", language.Text{En: "See the jobs that report when they run", Ar: "اعرض المهام التي تُبلغ حين تعمل"}, ErrNoProject, ErrInvalid),
		func(ctx context.Context, in *listOfProjectInput) (*httpapi.ListOutput[checkInBody], error) {
			found, next, err := s.CronMonitors(ctx, in.Project, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, newCheckInBody)
		})
	httpapi.Register(group, route("DELETE /ops/check-ins/{id}", "delete-check-in", language.Text{En: "Watch a job no more, unless it reports again", Ar: "أوقف مراقبة مهمة، ما لم تُبلغ من جديد"}, ErrNoMonitor),
		func(ctx context.Context, in *checkInInput) (*struct{}, error) {
			return nil, s.RemoveCronMonitor(ctx, in.ID)
		})
}
