package errtrack

import (
	"context"
	"net/http"
	"slices"
	"time"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/words"
	"manus/language"
)

// kinds maps the room's errors to what a client is answered.
var kinds = httpapi.Kinds{
	{Err: ErrNoProject, Status: http.StatusNotFound, Name: "not-found", Detail: language.Text{En: "There is no such project.", Ar: "لا يوجد مشروع كهذا."}},
	{Err: ErrNoIssue, Status: http.StatusNotFound, Name: "not-found", Detail: language.Text{En: "There is no such issue.", Ar: "لا توجد مشكلة كهذه."}},
	{Err: ErrNoEvent, Status: http.StatusNotFound, Name: "not-found", Detail: language.Text{En: "There is no such event.", Ar: "لا يوجد حدث كهذا."}},
	{Err: ErrSeveralEvents, Status: http.StatusConflict, Name: "several-events", Detail: language.Text{En: "Events of several projects have this id. Say which project by ?project=.", Ar: "لأحداث عدة مشاريع هذا المعرّف. حدّد المشروع بـ \u200e?project=."}},
	{Err: ErrSlugTaken, Status: http.StatusConflict, Name: "project-exists", Detail: language.Text{
		En: "There is a project of this slug already: the name in small letters and numbers, with dashes between. Choose one that differs in letters or numbers.",
		Ar: "يوجد مشروع بهذا المعرّف (slug) من قبل، وهو الاسم بأحرف صغيرة وأرقام بينها شرطات. اختر اسمًا يختلف في حروفه أو أرقامه.",
	}},
	{Err: ErrNameTaken, Status: http.StatusConflict, Name: "project-exists", Detail: language.Text{En: "There is a project of this name already.", Ar: "يوجد مشروع بهذا الاسم من قبل."}},
	{Err: ErrMergedAtOnce, Status: http.StatusConflict, Name: "merged-at-once", Detail: language.Text{En: "The issues were merged into each other at once, and one of these merges was undone. Look at them, and merge again what is left.", Ar: "دُمجت المشكلات بعضها في بعض في الوقت نفسه، فأُلغيت إحدى عمليات الدمج. انظر فيها ثم ادمج ما بقي."}},
	{Err: ErrNoMonitor, Status: http.StatusNotFound, Name: "not-found", Detail: language.Text{En: "There is no such check-in.", Ar: "لا توجد مهمة مُراقَبة كهذه."}},
	{Err: ErrInvalid, Status: http.StatusUnprocessableEntity, Name: "invalid-request", Detail: language.Text{En: "That can't be done as it was asked; 'errors' says which part is wrong, and what may be given.", Ar: "لا يمكن تنفيذ هذا الطلب كما هو؛ وفي errors الجزء الخاطئ وما يمكن إعطاؤه."}},
}

type projectBody struct {
	ID        string       `json:"id" example:"1" doc:"A number, as text." ar:"عدد، في صورة نصّ."`
	Name      string       `json:"name"`
	Slug      string       `json:"slug" example:"my-web" doc:"What it may be called beside its name and its id, also by sentry-cli." ar:"ما يجوز أن يُسمّى به غير اسمه ومعرّفه، ولأمر sentry-cli أيضًا."`
	Platform  string       `json:"platform"`
	DSN       string       `json:"dsn" doc:"Where the project's programs report to, with the newest key that is in use." ar:"إلى أين تُبلغ برامج المشروع، بأحدث مفتاح مستعمل."`
	PerMinute int          `json:"per_minute" doc:"How many requests it may send in a minute; 0 is as the limits say." ar:"كم طلبًا يجوز أن يرسل في الدقيقة؛ و0 يعني كما تقول الحدود."`
	Keys      []dsnKeyBody `json:"keys"`
	CreatedAt string       `json:"created_at" format:"date-time"`
	Kept      int64        `json:"kept" doc:"Events that are kept." ar:"الأحداث المحفوظة."`
	Losses    []lossBody   `json:"losses" doc:"Events that weren't, in the last 24 hours or so." ar:"الأحداث التي لم تُحفظ، في آخر 24 ساعة تقريبًا."`
	Note      string       `json:"note,omitempty" doc:"With a new key: what becomes of the older ones." ar:"مع مفتاح جديد: ما يصير إليه الأقدم."`
	Problems  []string     `json:"problems,omitempty" doc:"What is wrong with what its programs say, such as a misspelt schedule of a job; where a project is seen by itself." ar:"ما الخطأ فيما تقوله برامجه، كجدول مهمّة كُتب خطأ؛ حيث يُعرض المشروع وحده."`
}

// Changeable is the project; each event changes what is counted of it.
func (b projectBody) Changeable() any {
	b.Kept, b.Losses, b.Problems = 0, nil, nil
	return b
}

var olderKeys = language.Text{
	En: "The dsn has the new key. Older keys go on working until they are disabled.",
	Ar: "في dsn المفتاح الجديد. وتبقى المفاتيح الأقدم صالحة حتى تُعطَّل.",
}

type dsnKeyBody struct {
	Public    string   `json:"public"`
	DSN       string   `json:"dsn" doc:"Where programs report to with this key." ar:"إلى أين تُبلغ البرامج بهذا المفتاح."`
	Disabled  bool     `json:"disabled" doc:"It takes nothing any more. Until then a key works, also after others were added." ar:"لا يقبل شيئًا بعد الآن. وحتى ذلك يبقى المفتاح صالحًا، وإن أُضيفت مفاتيح أخرى."`
	Origins   []string `json:"origins" doc:"Where pages may send from; none is from anywhere." ar:"من أين يجوز للصفحات أن ترسل؛ والخالي من كلّ مكان."`
	CreatedAt string   `json:"created_at" format:"date-time"`
}

type lossBody struct {
	Reason string `json:"reason" example:"rate_limited" doc:"What programs have lost themselves is behind client:" ar:"ما أضاعته البرامج نفسها يبدأ بـ 'client:'"`
	Count  int64  `json:"count"`
}

func (s *Service) projectBody(p Project, t Totals) projectBody {
	body := projectBody{
		ID: p.ID, Name: p.Name, Slug: p.Slug(), Platform: p.Platform, DSN: s.DSN(p), PerMinute: p.PerMinute, Keys: []dsnKeyBody{}, CreatedAt: p.CreatedAt.String(),
		Kept: t.Kept, Losses: []lossBody{},
	}
	for _, k := range p.Keys {
		body.Keys = append(body.Keys, dsnKeyBody{k.Public, s.dsn(p, k), k.Disabled, append([]string{}, k.Origins...), k.CreatedAt.String()})
	}
	for _, l := range t.Losses {
		if sum := l.Days.since(s.yesterday()); sum > 0 {
			body.Losses = append(body.Losses, lossBody{l.Reason, sum})
		}
	}
	return body
}

// yesterday is as days are counted.
func (s *Service) yesterday() int64 { return s.c.Now().Unix()/86400 - 1 }

// listedProjects are projects as a list has them.
func (s *Service) listedProjects(ctx context.Context, all []Project) ([]projectBody, error) {
	listed := []projectBody{}
	for _, p := range all {
		t, err := s.totalsOf(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		listed = append(listed, s.projectBody(p, t))
	}
	return listed, nil
}

// ProjectItems are projects as a list of the API has them. Errors are the store's.
func (s *Service) ProjectItems(ctx context.Context, all []Project) (items []any, err error) {
	listed, err := s.listedProjects(ctx, all)
	for _, p := range listed {
		items = append(items, p)
	}
	return items, err
}

func (s *Service) showProject(ctx context.Context, p Project, err error) (*httpapi.Output[projectBody], error) {
	if err != nil {
		return nil, err
	}
	s.noteLosses(context.WithoutCancel(ctx)) // so that those of this moment are shown
	t, err := s.totalsOf(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	body := s.projectBody(p, t)
	misspelt, err := s.misspelt(ctx, p.ID)
	for _, one := range misspelt {
		body.Problems = append(body.Problems, one.In(language.From(ctx)))
	}
	return httpapi.OutputOf(body, err)
}

type newProjectInput struct {
	Body struct {
		Name     string `json:"name" minLength:"1" maxLength:"64"`
		Platform string `json:"platform,omitempty" maxLength:"64"`
	}
}

// ProjectPath is which project an address is of. It is exported as inputs embed it.
type ProjectPath struct {
	ID string `path:"id" maxLength:"64"`
}

type changeProjectInput struct {
	ProjectPath
	Body struct {
		Name      *string   `json:"name,omitempty" maxLength:"64"`
		Platform  *string   `json:"platform,omitempty" maxLength:"64"`
		PerMinute *int      `json:"per_minute,omitempty" minimum:"0" maximum:"1000000"`
		NewKey    bool      `json:"new_key,omitempty" doc:"Add a key; dsn has it then. Older ones go on working until they are disabled." ar:"أضف مفتاحًا، فيصير في dsn. وتبقى المفاتيح الأقدم صالحة حتى تُعطَّل."`
		Disable   []string  `json:"disable,omitempty" maxItems:"20" doc:"Keys that take nothing any more." ar:"المفاتيح التي لا تقبل شيئًا بعد الآن."`
		Enable    []string  `json:"enable,omitempty" maxItems:"20"`
		Origins   *[]string `json:"origins,omitempty" doc:"Where pages may send from; none is from anywhere." ar:"من أين يجوز للصفحات أن ترسل؛ والخالي من كلّ مكان."`
	}
}

// issueBody is an issue as a list has it.
type issueBody struct {
	ID           string      `json:"id"`
	ShortID      string      `json:"short_id" example:"SHOP-4F7K2"`
	ProjectID    string      `json:"project_id"`
	Title        string      `json:"title"`
	Type         string      `json:"type"`
	Value        string      `json:"value"`
	Culprit      string      `json:"culprit"`
	Level        event.Level `json:"level" enum:"debug,info,warning,error,fatal"`
	Status       Status      `json:"status" enum:"unresolved,resolved,ignored"`
	Count        int64       `json:"count"`
	Users        int64       `json:"users" doc:"People it happened to; an estimate, some percent off." ar:"الناس الذين أصابتهم؛ تقدير يحيد ببضعة في المئة."`
	FirstSeen    string      `json:"first_seen" format:"date-time"`
	LastSeen     string      `json:"last_seen" format:"date-time"`
	FirstRelease string      `json:"first_release"`
	LastRelease  string      `json:"last_release"`
	Assignee     string      `json:"assignee"`
	Note         string      `json:"note"`
}

func newIssueBody(i Issue) issueBody {
	return issueBody{
		ID: i.ID, ShortID: i.Short, ProjectID: i.Project, Title: i.Title, Type: i.Type, Value: i.Value, Culprit: i.Culprit, Level: i.Level, Status: i.Status,
		Count: i.Count, Users: i.Users, FirstSeen: i.FirstSeen.String(), LastSeen: i.LastSeen.String(), FirstRelease: i.FirstRelease, LastRelease: i.LastRelease,
		Assignee: i.Assignee, Note: i.Note,
	}
}

// Item is an issue as a list of the API has it.
func (i Issue) Item() any { return newIssueBody(i) }

// issuesBody is a page of a list of issues.
type issuesBody struct {
	Items      []issueBody `json:"items"`
	NextCursor string      `json:"next_cursor" doc:"Send it as cursor for the next page; empty at the end." ar:"أرسله في cursor لتنال الصفحة التالية؛ فارغ في النهاية."`
	Hint       string      `json:"hint,omitempty" doc:"Why nothing may have been found: no issue has had a tag that is asked for." ar:"لماذا قد لا يُعثر على شيء: لم يكن لمشكلة وسم مما طُلب."`
}

// WholeIssue is an issue by itself, as the API shows it.
type WholeIssue struct {
	issueBody
	Why          string                  `json:"why" doc:"Why its events are one issue." ar:"لماذا أحداثها مشكلة واحدة."`
	Fingerprints []string                `json:"fingerprints" doc:"What its events are put together by." ar:"ما تُجمع به أحداثها."`
	Resolution   *resolutionBody         `json:"resolution,omitempty"`
	Ignore       *ignoreBody             `json:"ignore,omitempty"`
	Regressed    int                     `json:"regressed" doc:"How often it came back." ar:"كم مرّة عادت."`
	RegressedBy  string                  `json:"regressed_by,omitempty" doc:"The event by which it came back the last time; it is kept as long as the first is." ar:"الحدث الذي عادت به آخر مرّة؛ ويُحفظ ما حُفظ الأوّل."`
	Alerts       []alertedBody           `json:"alerts" doc:"Of its being new or of the last time that it came back, and of its last spikes, what has become of the alert." ar:"عن كونها جديدة أو آخر مرّة عادت فيها، وعن آخر طفراتها: ما صار إليه التنبيه."`
	NextTold     string                  `json:"next_told" doc:"What will be told of it." ar:"ما سيُخبر به عنها."`
	Stats        statsBody               `json:"stats"`
	Tags         map[string][]ValueCount `json:"tags" doc:"The values that each tag had, the most often first." ar:"القيم التي كانت لكلّ وسم، أكثرها أوّلًا."`
}

// Changeable is what people say of the issue; each event changes the rest.
func (i WholeIssue) Changeable() any {
	ignore := ignoreBody{}
	if i.Ignore != nil {
		ignore = *i.Ignore
		ignore.Left = ""
	}
	return []any{i.Status, i.Resolution, ignore, i.Assignee, i.Note, i.Fingerprints}
}

type alertedBody struct {
	Kind   string   `json:"kind" enum:"issue.new,issue.regressed,issue.spike"`
	Became []string `json:"became" doc:"Of each channel, whether it was told, waits, or was given up; or why nobody is told." ar:"لكلّ قناة: هل أُخبرت أو تنتظر أو تُرك إخبارها؛ أو لماذا لا يُخبر أحد."`
}

type resolutionBody struct {
	At      string `json:"at" format:"date-time"`
	In      string `json:"in" enum:",release,next"`
	Release string `json:"release"`
}

// ignoreBody has each as it was given and as it is met.
type ignoreBody struct {
	Until   *string `json:"until,omitempty" format:"date-time"`
	Left    string  `json:"left,omitempty" example:"23h59m0s" doc:"How long that is from now." ar:"كم ذلك من الآن."`
	Count   int64   `json:"count,omitempty" doc:"After so many events more it is looked at again." ar:"يُنظر إليها ثانية بعد هذا العدد من الأحداث."`
	AtCount int64   `json:"at_count,omitempty" doc:"Which is at so many in all." ar:"وذلك عند هذا العدد في المجموع."`
	Users   int64   `json:"users,omitempty" doc:"After so many people more." ar:"بعد هذا العدد من الناس."`
	AtUsers int64   `json:"at_users,omitempty" doc:"Which is at so many in all." ar:"وذلك عند هذا العدد في المجموع."`
}

type statsBody struct {
	Hours []int64 `json:"hours" doc:"Events in each of the last 24 hours, the newest last." ar:"الأحداث في كلّ ساعة من آخر 24 ساعة، أحدثها آخرًا."`
	Days  []int64 `json:"days" doc:"Events on each of the last 90 days, the newest last." ar:"الأحداث في كلّ يوم من آخر 90 يومًا، أحدثها آخرًا."`
}

// ValueCount is how often a tag had a value; the value is empty for all others.
type ValueCount struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

func newWholeIssue(i Issue, tag language.Tag, now time.Time) WholeIssue {
	body := WholeIssue{
		issueBody: newIssueBody(i), Why: i.Why.Sentence().In(tag), Fingerprints: []string{}, Regressed: i.Regressed, RegressedBy: i.Regression.EventID, Tags: map[string][]ValueCount{},
		Stats: statsBody{i.Hours.until(now.Unix()/3600, hoursKept), i.Days.until(now.Unix()/86400, daysKept)},
	}
	for _, h := range i.Hashes {
		body.Fingerprints = append(body.Fingerprints, h[len(hashID(i.Project, "")):])
	}
	if r := i.Resolution; r != nil && i.Status == Resolved {
		body.Resolution = &resolutionBody{r.At.String(), r.In, r.Release}
	}
	if g := i.Ignore; g != nil {
		body.Ignore = &ignoreBody{Count: g.More, AtCount: g.Count, Users: g.MoreUsers, AtUsers: g.Users}
		if !g.Until.IsZero() {
			body.Ignore.Until, body.Ignore.Left = new(g.Until.String()), max(0, g.Until.Sub(now)).Round(time.Second).String()
		}
	}
	for _, counts := range i.Tags {
		values := []ValueCount{}
		for _, v := range counts.Values {
			values = append(values, ValueCount(v))
		}
		slices.SortStableFunc(values, func(a, b ValueCount) int { return int(b.Count - a.Count) })
		if counts.Other > 0 {
			values = append(values, ValueCount{"", counts.Other})
		}
		body.Tags[counts.Key] = values
	}
	return body
}

// Whole is an issue as the API shows it, with its sentences in a language. Errors are the
// store's.
func (s *Service) Whole(ctx context.Context, i Issue, tag language.Tag) (WholeIssue, error) {
	body := newWholeIssue(i, tag, s.c.Now())
	all, next, err := s.Alerted(ctx, i)
	body.Alerts, body.NextTold = []alertedBody{}, next.In(tag)
	for _, a := range all {
		said := alertedBody{Kind: a.Kind, Became: []string{}}
		for _, text := range a.Became {
			said.Became = append(said.Became, text.In(tag))
		}
		body.Alerts = append(body.Alerts, said)
	}
	return body, err
}

// until are the last so many, up to a time.
func (s series) until(at, n int64) []int64 {
	all := make([]int64, n)
	for _, b := range s {
		if i := n - 1 - (at - b.At); i >= 0 && i < n {
			all[i] = b.N
		}
	}
	return all
}

type listIssuesInput struct {
	httpapi.Page
	Project     string `query:"project" maxLength:"64"`
	Status      Status `query:"status" enum:"unresolved,resolved,ignored"`
	Query       string `query:"query" maxLength:"500" doc:"In Sentry's form: words, tag:value, is:unresolved, level:error, has:user, assigned:name, release:, environment:, timesSeen:>10, firstSeen:-24h, lastSeen:>2026-01-31, age:+7d; with ! before it for those without, * behind a value for anything, quotes around what has spaces." ar:"بصيغة Sentry: كلمات، و'tag:value' و'is:unresolved' و'level:error' و'has:user' و'assigned:name' و'release:' و'environment:' و'timesSeen:>10' و'firstSeen:-24h' و'lastSeen:>2026-01-31' و'age:+7d'؛ وقبله '!' لما ليس فيه ذلك، و'*' بعد قيمة لأيّ شيء، وعلامتا اقتباس حول ما فيه مسافات."`
	Environment string `query:"environment" maxLength:"200"`
	Release     string `query:"release" maxLength:"200"`
	Sort        Sort   `query:"sort" enum:"last_seen,first_seen,count,users" default:"last_seen"`
}

// IssuePath is which issue an address is of. It is exported as inputs embed it.
type IssuePath struct {
	ID string `path:"id" maxLength:"64"`
}

type changeIssueInput struct {
	IssuePath
	Body struct {
		Status *Status `json:"status,omitempty" enum:"unresolved,resolved,ignored"`
		In     string  `json:"in,omitempty" enum:"release,next" doc:"With resolved: in the newest release that it was seen in, or in the one after." ar:"مع resolved: في أحدث إصدار رُئيت فيه، أو في الذي يليه."`
		Ignore *struct {
			Until string `json:"until,omitempty" maxLength:"64" example:"2026-01-31T12:00:00Z" doc:"A time to come, or a span from now: 30m, 24h, 7d." ar:"وقت آتٍ، أو مدّة من الآن: 30m أو 24h أو 7d."`
			Count int64  `json:"count,omitempty" minimum:"0" doc:"So many events more." ar:"هذا العدد من الأحداث بعد الآن."`
			Users int64  `json:"users,omitempty" minimum:"0" doc:"So many people more." ar:"هذا العدد من الناس بعد الآن."`
		} `json:"ignore,omitempty"`
		Assignee *string `json:"assignee,omitempty" maxLength:"200"`
		Note     *string `json:"note,omitempty" maxLength:"2000"`
	}
}

func (in *changeIssueInput) change(now time.Time) (IssueChange, error) {
	c := IssueChange{Status: in.Body.Status, In: in.Body.In, Assignee: in.Body.Assignee, Note: in.Body.Note}
	if g := in.Body.Ignore; g != nil {
		c.Ignore = &Ignore{Count: g.Count, Users: g.Users}
		if g.Until != "" {
			until, err := time.Parse(time.RFC3339, g.Until)
			if span, failure := words.ReadSpan(g.Until); err != nil && failure == nil {
				until, err = now.Add(span), nil
			}
			if err != nil {
				return c, invalid("body.ignore.until", "It is a time as 2026-01-31T12:00:00Z, or a span from now such as 24h or 7d.", "وقت مثل 2026-01-31T12:00:00Z، أو مدة من الآن مثل 24h أو 7d.")
			}
			c.Ignore.Until = docstore.At(until)
		}
		if c.Status == nil {
			c.Status = new(Ignored)
		}
	}
	return c, nil
}

type mergeInput struct {
	IssuePath
	Body struct {
		Into string `json:"into" maxLength:"64"`
	}
}

type splitInput struct {
	IssuePath
	Body struct {
		Fingerprints []string `json:"fingerprints" minItems:"1" maxItems:"1000"`
	}
}

type listEventsInput struct {
	httpapi.Page
	IssuePath
	At string `query:"at" enum:"first,latest" doc:"That one alone." ar:"ذلك وحده."`
}

type eventInput struct {
	EventID string `path:"event_id" maxLength:"64"`
	Project string `query:"project" maxLength:"64" doc:"Its id, its name or its slug: ids of events are known to be one's alone within a project. Needed only where several have one." ar:"معرّفه أو اسمه أو slug: لا يُعرف أنّ معرّفات الأحداث لواحد إلّا داخل مشروع. ولا يلزم إلّا حيث لعدّة مشاريع المعرّف نفسه."`
}

// Routes registers the room's routes for operators.
func (s *Service) Routes(api *httpapi.API) {
	group := httpapi.Group{API: api, Name: language.Text{En: "Errors", Ar: "الأخطاء"}, Chapter: httpapi.ChapterOperating, About: language.Text{En: "The inbox of errors: projects, issues, releases, traces and feedback.", Ar: "صندوق الأخطاء: المشاريع والمشكلات والإصدارات والتتبّعات وملاحظات الناس."}, Kinds: kinds}
	route := func(pattern, id string, summary language.Text, problems ...error) httpapi.Route {
		return httpapi.Route{Access: httpapi.Operators, Scope: identity.ScopeOperate, Pattern: pattern, ID: id, Summary: summary, Problems: problems}
	}
	s.projectRoutes(group, route)
	s.issueRoutes(group, route)
	s.performanceRoutes(group, route)
	s.checkInRoutes(group, route)
	s.releaseRoutes(group, route)
	s.feedbackRoutes(group, route)
	s.intakeRoutes(api)
	s.sentryRoutes(api)
}

// newRoute is a route of operators that answers these errors.
type newRoute = func(pattern, id string, summary language.Text, problems ...error) httpapi.Route

func (s *Service) projectRoutes(group httpapi.Group, route newRoute) {
	httpapi.Register(group, route("GET /ops/projects", "list-projects", language.Text{En: "See the projects that report errors", Ar: "اعرض المشاريع التي تُبلغ بالأخطاء"}),
		func(ctx context.Context, _ *struct{}) (*httpapi.ListOutput[projectBody], error) {
			all, err := s.Projects(ctx)
			if err != nil {
				return nil, err
			}
			listed, err := s.listedProjects(ctx, all)
			return httpapi.OutputOf(httpapi.List[projectBody]{Items: listed}, err)
		})
	create := route("POST /ops/projects", "create-project", language.Text{En: "Make a project", Ar: "أنشئ مشروعًا"}, ErrInvalid, ErrNameTaken, ErrSlugTaken)
	create.Status = http.StatusCreated
	httpapi.Register(group, create, func(ctx context.Context, in *newProjectInput) (*httpapi.Output[projectBody], error) {
		p, err := s.NewProject(ctx, in.Body.Name, in.Body.Platform)
		return s.showProject(ctx, p, err)
	})
	httpapi.Register(group, route("GET /ops/projects/{id}", "get-project", language.Text{En: "See a project", Ar: "اعرض مشروعًا"}, ErrNoProject, ErrInvalid),
		func(ctx context.Context, in *ProjectPath) (*httpapi.Output[projectBody], error) {
			p, err := s.Project(ctx, in.ID)
			return s.showProject(ctx, p, err)
		})
	httpapi.Register(group, route("PATCH /ops/projects/{id}", "change-project", language.Text{En: "Change a project and its keys", Ar: "غيّر مشروعًا ومفاتيحه"}, ErrNoProject, ErrInvalid, ErrNameTaken, ErrSlugTaken),
		func(ctx context.Context, in *changeProjectInput) (*httpapi.Output[projectBody], error) {
			b := in.Body
			p, err := s.ChangeProject(ctx, in.ID, ProjectChange{Name: b.Name, Platform: b.Platform, PerMinute: b.PerMinute, NewKey: b.NewKey, Disable: b.Disable, Enable: b.Enable, Origins: b.Origins})
			out, err := s.showProject(ctx, p, err)
			if err == nil && b.NewKey {
				out.Body.Note = olderKeys.In(language.From(ctx))
			}
			return out, err
		})
	httpapi.Register(group, route("DELETE /ops/projects/{id}", "delete-project", language.Text{En: "Remove a project with all that it has", Ar: "أزل مشروعًا وكلّ ما له"}, ErrNoProject),
		func(ctx context.Context, in *ProjectPath) (*struct{}, error) {
			return nil, s.DeleteProject(ctx, in.ID)
		})
}

func (s *Service) issueRoutes(group httpapi.Group, route newRoute) {
	httpapi.Register(group, route("GET /ops/issues", "list-issues", language.Text{En: "Look for issues", Ar: "ابحث عن مشكلات"}, ErrNoProject, ErrInvalid),
		func(ctx context.Context, in *listIssuesInput) (*httpapi.Output[issuesBody], error) {
			search := Search{
				Project: in.Project, Environment: in.Environment, Release: in.Release, Status: in.Status, Query: in.Query, Sort: in.Sort, Limit: in.Limit, Cursor: in.Cursor,
			}
			found, next, err := s.Issues(ctx, search)
			body := issuesBody{Items: []issueBody{}, NextCursor: next}
			for _, i := range found {
				body.Items = append(body.Items, newIssueBody(i))
			}
			if err == nil && len(found) == 0 {
				var hint language.Text
				hint, err = s.Hint(ctx, search)
				body.Hint = hint.In(language.From(ctx))
			}
			return httpapi.OutputOf(body, err)
		})
	whole := func(ctx context.Context, i Issue, err error) (*httpapi.Output[WholeIssue], error) {
		if err != nil {
			return nil, err
		}
		return httpapi.OutputOf(s.Whole(ctx, i, language.From(ctx)))
	}
	httpapi.Register(group, route("GET /ops/issues/{id}", "get-issue", language.Text{En: "See an issue", Ar: "اعرض مشكلة"}, ErrNoIssue),
		func(ctx context.Context, in *IssuePath) (*httpapi.Output[WholeIssue], error) {
			i, err := s.Issue(ctx, in.ID)
			return whole(ctx, i, err)
		})
	httpapi.Register(group, route("PATCH /ops/issues/{id}", "change-issue", language.Text{En: "Resolve, ignore, assign or note an issue", Ar: "حُلّ مشكلة أو تجاهلها أو أسندها أو دوّن عنها"}, ErrNoIssue, ErrInvalid),
		func(ctx context.Context, in *changeIssueInput) (*httpapi.Output[WholeIssue], error) {
			change, err := in.change(s.c.Now())
			if err != nil {
				return nil, err
			}
			i, err := s.ChangeIssue(ctx, in.ID, change)
			return whole(ctx, i, err)
		})
	httpapi.Register(group, route("POST /ops/issues/{id}/merge", "merge-issue", language.Text{En: "Make an issue a part of another, for good", Ar: "اجعل مشكلة جزءًا من أخرى نهائيًّا"}, ErrNoIssue, ErrInvalid, ErrMergedAtOnce),
		func(ctx context.Context, in *mergeInput) (*httpapi.Output[WholeIssue], error) {
			i, err := s.Merge(ctx, in.ID, in.Body.Into)
			return whole(ctx, i, err)
		})
	httpapi.Register(group, route("POST /ops/issues/{id}/split", "split-issue", language.Text{En: "Give some of an issue's fingerprints an issue of their own, for good", Ar: "افصل بعض بصمات مشكلة في مشكلة خاصّة بها نهائيًّا"}, ErrNoIssue, ErrInvalid),
		func(ctx context.Context, in *splitInput) (*httpapi.Output[WholeIssue], error) {
			i, err := s.Split(ctx, in.ID, in.Body.Fingerprints)
			return whole(ctx, i, err)
		})
	httpapi.Register(group, route("GET /ops/issues/{id}/events", "list-issue-events", language.Text{En: "See an issue's events, newest first", Ar: "اعرض أحداث مشكلة، أحدثها أوّلًا"}, ErrNoIssue, ErrNoEvent),
		func(ctx context.Context, in *listEventsInput) (*httpapi.ListOutput[Kept], error) {
			if in.At != "" {
				one, err := s.End(ctx, in.ID, in.At == "latest")
				return httpapi.ListOf([]Kept{one}, "", err, func(k Kept) Kept { return k })
			}
			found, next, err := s.Events(ctx, in.ID, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, func(k Kept) Kept { return k })
		})
	httpapi.Register(group, route("GET /ops/events/{event_id}", "get-event", language.Text{En: "See an event", Ar: "اعرض حدثًا"}, ErrNoEvent, ErrNoProject, ErrSeveralEvents, ErrInvalid),
		func(ctx context.Context, in *eventInput) (*httpapi.Output[Kept], error) {
			return httpapi.OutputOf(s.Event(ctx, in.Project, in.EventID))
		})
}
