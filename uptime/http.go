package uptime

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"manus/audit"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/timeline"
	"manus/language"
)

// Kinds of events in the audit log.
const (
	eventPaused  audit.Kind = "monitor-paused"
	eventResumed audit.Kind = "monitor-resumed"

	eventPlaceForgotten audit.Kind = "probe-forgotten"
)

func (s *Service) audit(ctx context.Context, kind audit.Kind, id string) error {
	if s.c.Audit == nil {
		return nil
	}
	e := audit.NewEvent(ctx, identity.From(ctx).UserID, kind, s.c.Now())
	e.Subject = id
	return s.c.Audit.Append(ctx, e)
}

var kinds = httpapi.Kinds{
	{Err: ErrNoMonitor, Status: http.StatusNotFound, Name: "not-found", Detail: language.Text{En: "There is no such monitor.", Ar: "لا يوجد مراقَب كهذا."}},
	{Err: ErrInvalid, Status: http.StatusUnprocessableEntity, Name: "invalid-request", Detail: language.Text{En: "That can't be done as it was asked; 'errors' says which part is wrong, and what may be given.", Ar: "لا يمكن تنفيذ هذا الطلب كما هو؛ وفي errors الجزء الخاطئ وما يمكن إعطاؤه."}},
	{Err: ErrExists, Status: http.StatusConflict, Name: "monitor-exists", Detail: language.Text{En: "There is a monitor with this id already. Change it, or choose another id.", Ar: "يوجد مراقَب بهذا المعرّف. غيّره أو اختر معرّفًا آخر."}},
	{Err: ErrOfFile, Status: http.StatusConflict, Name: "monitor-of-file", Detail: language.Text{En: "This monitor stands in manus.yaml. Change it there; the change is in force within seconds.", Ar: "هذا المراقَب معرّف في manus.yaml. غيّره هناك، ويسري التغيير خلال ثوانٍ."}},
	{Err: ErrOfProduct, Status: http.StatusConflict, Name: "monitor-of-product", Detail: language.Text{En: "This monitor is the product's own. To change it, make one with the same id, which takes its place.", Ar: "هذا المراقَب من المنتج نفسه. لتغييره أنشئ مراقَبًا بالمعرّف نفسه ليحلّ محلّه."}},
	{Err: ErrHasChildren, Status: http.StatusConflict, Name: "monitor-has-children", Detail: language.Text{En: "This monitor is the parent of others, which 'errors' names. Give those another parent, or none, or delete them first.", Ar: "هذا المراقَب أصل لمراقَبات أخرى تُذكر في errors. غيّر أصلها أو أزله أو احذفها أوّلًا."}},
	{Err: ErrTooMany, Status: http.StatusConflict, Name: "too-many-monitors", Detail: language.Text{En: "There are as many monitors as there may be. Delete one first.", Ar: "بلغت المراقَبات أقصى عدد. احذف واحدًا أوّلًا."}},
}

type monitorBody struct {
	ID string `json:"id"`
	Definition
	From        Origin                 `json:"from" enum:"product,file,api" doc:"Where it is changed: file is manus.yaml." ar:"أين يُغيَّر: file هو manus.yaml."`
	Note        string                 `json:"note" doc:"What an operator should know of it, in English or Arabic; empty where that is nothing." ar:"ما ينبغي أن يعرفه مشغّل عنه، بالإنجليزية أو العربية؛ فارغ حيث لا شيء."`
	Status      Status                 `json:"status" enum:"up,down,unknown,paused,maintenance"`
	Since       string                 `json:"since" doc:"When the status began; empty where it was never known." ar:"متى بدأت الحال؛ فارغ حيث لم تُعرف قطّ."`
	MutedUntil  string                 `json:"muted_until" doc:"A time, until which nobody is told that it goes down; empty where they are." ar:"وقت لا يُخبر أحد بتعطّله قبله؛ فارغ حيث يُخبرون."`
	LastCheckAt string                 `json:"last_check_at" doc:"A time; empty where there was none." ar:"وقت؛ فارغ حيث لم يكن."`
	LatencyMS   float64                `json:"latency_ms" doc:"Of the last check." ar:"من آخر فحص."`
	Error       string                 `json:"error" doc:"Of the last check; empty where it was up." ar:"من آخر فحص؛ فارغ حيث كان عاملًا."`
	Uptime      map[Window]uptimeBody  `json:"uptime"`
	Budget      *budgetBody            `json:"budget" doc:"The error budget of its SLO; null where it has none." ar:"ميزانية الأخطاء لهدف SLO؛ وnull حيث لا هدف له."`
	Latency     map[Window]latencyBody `json:"latency,omitempty" doc:"Only of a single monitor; of the looks that found it up. A window begins with the hour, from 30 days on with the day, that it begins in." ar:"لمراقَب يُطلب وحده؛ من النظرات التي وجدته عاملًا. تبدأ المدّة بأوّل الساعة التي تبدأ فيها، ومن 30 يومًا فصاعدًا بأوّل اليوم."`
	PingURL     string                 `json:"ping_url,omitempty" doc:"Where the job of a heartbeat reports." ar:"إلى أين تُبلغ مهمّة النبضة."`
	Heartbeat   *heartbeatBody         `json:"heartbeat,omitempty" doc:"Of a heartbeat that is asked for by itself." ar:"لنبضة تُطلب وحدها."`
}

// Changeable is what the API changes; how the monitor is changes with each check.
func (b monitorBody) Changeable() any { return b.Definition }

type uptimeBody struct {
	Ratio          *float64 `json:"ratio" doc:"The part of the known time in which it was up; null where nothing is known. 1 only if it was never down." ar:"نسبة الوقت المعروف الذي كان فيه عاملًا؛ وnull حيث لا يُعرف شيء. ولا يكون 1 إلّا إن لم يتعطّل قطّ."`
	DownMinutes    float64  `json:"down_minutes"`
	UnknownMinutes float64  `json:"unknown_minutes" doc:"Nobody watched, or who did was cut off; it counts neither as up nor as down." ar:"لم يراقب أحد، أو كان المراقِب منقطعًا؛ فلا يُعدّ عاملًا ولا متعطّلًا."`
}

func newUptimeBody(f timeline.Figure) uptimeBody {
	b := uptimeBody{DownMinutes: f.Down.Minutes(), UnknownMinutes: f.Unknown.Minutes()}
	if ratio, ok := f.Ratio(); ok {
		b.Ratio = &ratio
	}
	return b
}

func timeText(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

func newMonitorBody(ctx context.Context) func(Watched) monitorBody {
	tag := language.From(ctx)
	return func(w Watched) monitorBody {
		b := monitorBody{
			ID: w.ID, Definition: w.definition(), From: w.Origin, Note: w.Note.In(tag), Status: w.Status, Since: timeText(w.Since), MutedUntil: timeText(w.Muted),
			LastCheckAt: timeText(w.Last.At), LatencyMS: w.Last.Total, Error: w.Last.Error.In(tag),
			Uptime: map[Window]uptimeBody{}, Budget: newBudgetBody(w.Budget), Latency: newLatencies(w.Latencies),
		}
		if w.Beats != nil {
			b.PingURL = w.Beats.URL
		}
		for window, f := range w.Figures {
			b.Uptime[window] = newUptimeBody(f)
		}
		return b
	}
}

type resultBody struct {
	At         string   `json:"at" format:"date-time"`
	Up         bool     `json:"up"`
	Unknown    bool     `json:"unknown" doc:"It says nothing of the target: the fault was here." ar:"لا يدلّ على شيء من الهدف: كان العطل هنا."`
	StatusCode int      `json:"status_code"`
	DNS        float64  `json:"dns_ms"`
	Connect    float64  `json:"connect_ms"`
	TLS        float64  `json:"tls_ms"`
	FirstByte  float64  `json:"first_byte_ms"`
	Total      float64  `json:"total_ms"`
	Error      string   `json:"error"`
	Failed     []string `json:"failed" doc:"The conditions that didn't hold." ar:"الشروط التي لم تتحقّق."`
	Location   string   `json:"location" doc:"The place that it was checked from." ar:"الموقع الذي فُحص منه."`
}

func (s *Service) newResultBody(ctx context.Context) func(Found) resultBody {
	tag := language.From(ctx)
	return func(r Found) resultBody {
		return resultBody{
			At: r.At.UTC().Format("2006-01-02T15:04:05.000Z"), Up: r.Up, Unknown: r.Unknown, StatusCode: r.StatusCode, DNS: r.DNS, Connect: r.Connect, TLS: r.TLS,
			FirstByte: r.FirstByte, Total: r.Total, Error: r.Error.In(tag), Failed: append([]string{}, r.Failed...), Location: cmp.Or(r.Place, s.c.Place),
		}
	}
}

// Path is which monitor an address is of. It is exported as inputs embed it.
type Path struct {
	ID string `path:"id" maxLength:"64"`
}

type resultsInput struct {
	Path
	httpapi.Page
}

// newRoute is a route of operators that answers these errors.
type newRoute = func(pattern, id string, summary language.Text, problems ...error) httpapi.Route

// Routes registers the room's routes: for operators, and for jobs that report.
func (s *Service) Routes(api *httpapi.API) {
	s.placeRoutes(api)
	s.pingRoutes(api)
	group := httpapi.Group{API: api, Name: language.Text{En: "Monitors", Ar: "المراقَبات"}, Chapter: httpapi.ChapterOperating, About: language.Text{En: "What is watched, from where, and what was found.", Ar: "ما يُراقَب، ومن أين، وما وُجد."}, Kinds: kinds}
	route := func(pattern, id string, summary language.Text, problems ...error) httpapi.Route {
		return httpapi.Route{Access: httpapi.Operators, Scope: identity.ScopeOperate, Pattern: pattern, ID: id, Summary: summary, Problems: problems}
	}
	httpapi.Register(group, route("GET /ops/monitors", "list-monitors", language.Text{En: "See what is watched, and how it is, in the order of the ids", Ar: "اعرض المراقَبات وحالها، بترتيب معرّفاتها"}),
		func(ctx context.Context, in *httpapi.Page) (*httpapi.ListOutput[monitorBody], error) {
			all, next, err := s.List(ctx, in.Limit, in.Cursor)
			return httpapi.ListOf(all, next, err, newMonitorBody(ctx))
		})
	httpapi.Register(group, route("GET /ops/monitors/{id}", "get-monitor", language.Text{En: "See a monitor", Ar: "اعرض مراقَبًا"}, ErrNoMonitor),
		func(ctx context.Context, in *Path) (*httpapi.Output[monitorBody], error) {
			return s.showMonitor(ctx, in.ID, nil)
		})
	s.dayRoutes(group, route)
	httpapi.Register(group, route("GET /ops/monitors/{id}/results", "list-monitor-results", language.Text{En: "See the last checks, newest first; they are kept for 48 hours", Ar: "اعرض آخر الفحوص، أحدثها أوّلًا؛ وتُحفظ 48 ساعة"}, ErrNoMonitor),
		func(ctx context.Context, in *resultsInput) (*httpapi.ListOutput[resultBody], error) {
			set, _, err := s.current(ctx)
			if err != nil {
				return nil, err
			}
			if _, there := set.byID[in.ID]; !there {
				return nil, ErrNoMonitor
			}
			all, next, err := s.Results(ctx, in.ID, in.Limit, in.Cursor)
			return httpapi.ListOf(all, next, err, s.newResultBody(ctx))
		})
	httpapi.Register(group, route("POST /ops/monitors/{id}/check", "check-monitor", language.Text{En: "Check once, now; it changes nothing", Ar: "افحص مرّة واحدة الآن؛ ولا يغيّر ذلك شيئًا"}, ErrNoMonitor),
		func(ctx context.Context, in *Path) (*httpapi.Output[resultBody], error) {
			r, err := s.Check(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return httpapi.OutputOf(s.newResultBody(ctx)(Found{Result: r}), nil)
		})
	httpapi.Register(group, route("POST /ops/monitors/{id}/pause", "pause-monitor", language.Text{En: "Don't check for now", Ar: "أوقف الفحص مؤقّتًا"}, ErrNoMonitor),
		func(ctx context.Context, in *Path) (*struct{}, error) { return nil, s.Pause(ctx, in.ID, true) })
	httpapi.Register(group, route("POST /ops/monitors/{id}/resume", "resume-monitor", language.Text{En: "Check again", Ar: "استأنف الفحص"}, ErrNoMonitor),
		func(ctx context.Context, in *Path) (*struct{}, error) { return nil, s.Pause(ctx, in.ID, false) })
	s.changingRoutes(group, route)
}
