package errtrack

import (
	"context"

	"manus/httpapi"
	"manus/language"
)

// releaseBody is a release in an environment, as a list has it.
type releaseBody struct {
	ProjectID      string   `json:"project_id"`
	Release        string   `json:"release" example:"shop@1.4.2"`
	Environment    string   `json:"environment"`
	Sessions       int64    `json:"sessions" doc:"Sessions of the last 30 days. Numbers of more than some hundred are estimates, some percent off." ar:"جلسات آخر 30 يومًا. وما زاد على بضع مئات تقدير يحيد ببضعة في المئة."`
	Errored        int64    `json:"errored" doc:"Those that had errors and went on." ar:"التي كانت فيها أخطاء واستمرّت."`
	Crashed        int64    `json:"crashed"`
	Abnormal       int64    `json:"abnormal" doc:"Those that ended without the program's knowing how." ar:"التي انتهت ولم يعرف البرنامج كيف."`
	CrashFree      *float64 `json:"crash_free" doc:"The share of sessions that didn't crash; null for none." ar:"نسبة الجلسات التي لم تنهَر؛ وnull حيث لا جلسات." example:"0.9987"`
	Users          int64    `json:"users" doc:"People; 0 where programs name nobody." ar:"الناس؛ و0 حيث لا تسمّي البرامج أحدًا."`
	CrashFreeUsers *float64 `json:"crash_free_users" doc:"The share of people to whom nothing crashed; null for none." ar:"نسبة الناس الذين لم ينهَر لديهم شيء؛ وnull حيث لا أحد."`
	FirstSeen      string   `json:"first_seen" format:"date-time"`
	LastSeen       string   `json:"last_seen" format:"date-time"`
	ReleasedAt     *string  `json:"released_at,omitempty" format:"date-time" doc:"Since when it is out, where sentry-cli has told of that." ar:"منذ متى صدر، حيث أخبر sentry-cli بذلك."`
	DeployedAt     *string  `json:"deployed_at,omitempty" format:"date-time" doc:"When it was deployed to the environment last, where sentry-cli has told of that." ar:"متى نُشر في البيئة آخر مرّة، حيث أخبر sentry-cli بذلك."`
}

func newReleaseBody(r ReleaseHealth, told namedRelease) releaseBody {
	without := func(crashed, of int64) *float64 {
		if of == 0 {
			return nil
		}
		return new(1 - float64(crashed)/float64(of))
	}
	body := releaseBody{
		ProjectID: r.Project, Release: r.Release, Environment: r.Environment, Sessions: r.Sessions, Errored: r.Errored, Crashed: r.Crashed, Abnormal: r.Abnormal,
		CrashFree: without(r.Crashed, r.Sessions), Users: r.Users, CrashFreeUsers: without(r.CrashedUsers, r.Users),
		FirstSeen: r.FirstSeen.String(), LastSeen: r.LastSeen.String(),
	}
	if !told.ReleasedAt.IsZero() {
		body.ReleasedAt = new(told.ReleasedAt.String())
	}
	for _, d := range told.Deploys {
		if d.Environment == r.Environment {
			body.DeployedAt = new(d.FinishedAt.String())
		}
	}
	return body
}

type listReleasesInput struct {
	Project string `query:"project" maxLength:"64" doc:"Of this project alone." ar:"ما لهذا المشروع وحده."`
}

func (s *Service) releaseRoutes(group httpapi.Group, route newRoute) {
	httpapi.Register(group, route("GET /ops/releases", "list-releases", language.Text{En: "See how releases do, the one that was seen last first", Ar: "اعرض حال الإصدارات، آخرها ظهورًا أوّلًا"}, ErrNoProject, ErrInvalid),
		func(ctx context.Context, in *listReleasesInput) (*httpapi.ListOutput[releaseBody], error) {
			all, err := s.Releases(ctx, in.Project)
			all = all[:min(len(all), releasesListed)]
			var told map[string]namedRelease
			if err == nil {
				told, err = s.toldOf(ctx, all)
			}
			return httpapi.ListOf(all, "", err, func(r ReleaseHealth) releaseBody { return newReleaseBody(r, told[namedID(r.Project, r.Release)]) })
		})
}

// releasesListed is how many there are in a list.
const releasesListed = 1000
