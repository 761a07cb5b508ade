package incident

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"manus/docstore"
	"manus/httpapi"
	"manus/identity"
	"manus/language"
)

// kinds maps the room's errors to what a client is answered.
var kinds = httpapi.Kinds{
	{Err: ErrNone, Status: http.StatusNotFound, Name: "not-found", Detail: language.Text{En: "There is no such incident or maintenance.", Ar: "لا توجد حادثة أو صيانة كهذه."}},
	{Err: ErrInvalid, Status: http.StatusUnprocessableEntity, Name: "invalid-request", Detail: language.Text{En: "That can't be done as it was asked; 'errors' says which part is wrong, and what may be given.", Ar: "لا يمكن تنفيذ هذا الطلب كما هو؛ وفي errors الجزء الخاطئ وما يمكن إعطاؤه."}},
}

type incidentBody struct {
	ID           string             `json:"id"`
	Title        string             `json:"title"`
	TitleAr      string             `json:"title_ar" doc:"The title in Arabic; empty where it has one language." ar:"العنوان بالعربية؛ فارغ حيث هو بلغة واحدة."`
	Severity     Severity           `json:"severity" enum:"minor,major,critical"`
	Status       Status             `json:"status" enum:"investigating,identified,monitoring,resolved"`
	Components   []string           `json:"components"`
	Monitor      string             `json:"monitor" doc:"The monitor that has opened it; empty where a person has." ar:"المراقَب الذي فتحها؛ فارغ حيث فتحها شخص."`
	StartedAt    string             `json:"started_at" format:"date-time"`
	ResolvedAt   string             `json:"resolved_at" doc:"A time; empty as long as it isn't resolved." ar:"وقت؛ فارغ ما لم تُحلّ."`
	Updates      []updateBody       `json:"updates" doc:"Oldest first." ar:"أقدمها أوّلًا."`
	EarlierTimes []earlierTimesBody `json:"earlier_times" doc:"What was told of its times before they were corrected, oldest first." ar:"ما أُعلن من أوقاتها قبل أن تُصحَّح، أقدمه أوّلًا."`
	Postmortem   *postmortemBody    `json:"postmortem" doc:"What was found out afterwards; null where nothing was written." ar:"ما تبيّن بعد الحادثة؛ وnull حيث لم يُكتب شيء."`
}

type earlierTimesBody struct {
	StartedAt  string `json:"started_at" format:"date-time"`
	ResolvedAt string `json:"resolved_at" doc:"A time; empty where it wasn't resolved." ar:"وقت؛ فارغ حيث لم تُحلّ."`
	Until      string `json:"until" format:"date-time" doc:"When they were corrected." ar:"متى صُحِّحت."`
}

type postmortemBody struct {
	Text        string `json:"text" doc:"Markdown." ar:"بصيغة Markdown."`
	TextAr      string `json:"text_ar"`
	HTML        string `json:"html" doc:"The text as it may stand in a page." ar:"النصّ كما يجوز أن يوضع في صفحة."`
	WrittenAt   string `json:"written_at" format:"date-time"`
	PublishedAt string `json:"published_at" doc:"A time; empty as long as only operators see it." ar:"وقت؛ فارغ ما دام لا يراه إلّا المشغّلون."`
}

type updateBody struct {
	ID        string        `json:"id"`
	At        string        `json:"at" format:"date-time"`
	Status    Status        `json:"status" enum:"investigating,identified,monitoring,resolved"`
	Text      string        `json:"text" doc:"Markdown." ar:"بصيغة Markdown."`
	TextAr    string        `json:"text_ar"`
	HTML      string        `json:"html" doc:"The text as it may stand in a page." ar:"النصّ كما يجوز أن يوضع في صفحة."`
	Automatic bool          `json:"automatic" doc:"No person has written it." ar:"لم يكتبه شخص."`
	Earlier   []earlierBody `json:"earlier" doc:"What stood there before it was corrected, oldest first." ar:"ما كان هناك قبل أن يُصحَّح، أقدمه أوّلًا."`
}

type earlierBody struct {
	Text   string `json:"text" doc:"Markdown." ar:"بصيغة Markdown."`
	TextAr string `json:"text_ar"`
	Until  string `json:"until" format:"date-time" doc:"When it was corrected." ar:"متى صُحِّح."`
}

func newUpdateBody(u Update) updateBody {
	b := updateBody{u.ID, u.At.String(), u.Status, u.Text.En, u.Text.Ar, string(HTML(u.Text.En)), u.Automatic, []earlierBody{}}
	for _, e := range u.Earlier {
		b.Earlier = append(b.Earlier, earlierBody{e.Text.En, e.Text.Ar, e.Until.String()})
	}
	return b
}

func newPostmortemBody(p Postmortem) *postmortemBody {
	if p.WrittenAt.IsZero() {
		return nil
	}
	return &postmortemBody{p.Text.En, p.Text.Ar, string(HTML(p.Text.En)), p.WrittenAt.String(), orEmpty(p.PublishedAt)}
}

// orEmpty is a time, or nothing where there is none.
func orEmpty(t docstore.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.String()
}

func newIncidentBody(i Incident) incidentBody {
	b := incidentBody{
		ID: i.ID, Title: i.Title.En, TitleAr: i.Title.Ar, Severity: i.Severity, Status: i.Status(), Components: append([]string{}, i.Components...), Monitor: i.Monitor,
		StartedAt: i.StartedAt.String(), ResolvedAt: orEmpty(i.ResolvedAt), Postmortem: newPostmortemBody(i.Postmortem),
		EarlierTimes: []earlierTimesBody{},
	}
	for _, e := range i.EarlierTimes {
		b.EarlierTimes = append(b.EarlierTimes, earlierTimesBody{e.StartedAt.String(), orEmpty(e.ResolvedAt), e.Until.String()})
	}
	for _, u := range i.Updates {
		b.Updates = append(b.Updates, newUpdateBody(u))
	}
	return b
}

// Item is an incident as the API has it.
func Item(i Incident) any { return newIncidentBody(i) }

// MaintenanceItem is a maintenance as the API has it.
func (s *Service) MaintenanceItem(m Maintenance) any { return s.maintenanceBody(m) }

func showIncident(i Incident, err error) (*httpapi.Output[incidentBody], error) {
	if err != nil {
		return nil, err
	}
	return httpapi.OutputOf(newIncidentBody(i), nil)
}

// Path is which incident or maintenance an address is of. It is exported as inputs embed it.
type Path struct {
	ID string `path:"id" maxLength:"300"`
}

// Words are a text in one language or both. It is exported as inputs embed it.
type Words struct {
	Text   string `json:"text,omitempty" maxLength:"10000" doc:"Markdown." ar:"بصيغة Markdown."`
	TextAr string `json:"text_ar,omitempty" maxLength:"10000" doc:"The same in Arabic." ar:"الشيء نفسه بالعربية."`
}

func (w Words) text() language.Text { return language.Text{En: w.Text, Ar: w.TextAr} }

type openIncidentInput struct {
	Body struct {
		Template   string   `json:"template,omitempty" maxLength:"64" doc:"One of incidents.templates, which says what isn't said here." ar:"واحد من incidents.templates، ويُؤخذ منه ما لا يُذكر هنا."`
		Title      string   `json:"title,omitempty" maxLength:"200"`
		TitleAr    string   `json:"title_ar,omitempty" maxLength:"200" doc:"The same in Arabic." ar:"الشيء نفسه بالعربية."`
		Severity   Severity `json:"severity,omitempty" enum:"minor,major,critical" doc:"minor, where neither this nor the template says." ar:"القيمة minor، حيث لا تُذكر هنا ولا في القالب."`
		Components []string `json:"components,omitempty" maxItems:"50"`
		Status     Status   `json:"status,omitempty" enum:"investigating,identified,monitoring,resolved" doc:"investigating, where it isn't said." ar:"القيمة investigating، حيث لا تُذكر."`
		Words
		Key string `json:"key,omitempty" maxLength:"64" doc:"Makes it one incident however often it is sent." ar:"يجعلها حادثة واحدة مهما تكرّر إرسالها."`
	}
}

type changeIncidentInput struct {
	Path
	Body struct {
		Title      *string    `json:"title,omitempty" minLength:"1" maxLength:"200"`
		TitleAr    *string    `json:"title_ar,omitempty" maxLength:"200"`
		Severity   *Severity  `json:"severity,omitempty" enum:"minor,major,critical"`
		Components *[]string  `json:"components,omitempty" maxItems:"50"`
		StartedAt  *time.Time `json:"started_at,omitempty" doc:"Corrects when it began." ar:"يصحّح متى بدأت."`
		ResolvedAt *time.Time `json:"resolved_at,omitempty" doc:"Corrects when it was over, of one that is resolved." ar:"يصحّح متى انتهت، لحادثة حُلّت."`
	}
}

type updateIncidentInput struct {
	Path
	Body struct {
		Status Status `json:"status,omitempty" enum:"investigating,identified,monitoring,resolved" doc:"As before, where it isn't said." ar:"كما كان، حيث لا تُذكر."`
		Words
		Key string `json:"key,omitempty" maxLength:"64" doc:"Makes it one update however often it is sent." ar:"يجعله تحديثًا واحدًا مهما تكرّر إرساله."`
	}
}

type correctUpdateInput struct {
	Path
	Update string `path:"update" maxLength:"64" doc:"An update's id, or last for the last one that a person has written." ar:"معرّف تحديث، أو last لآخر ما كتبه شخص."`
	Body   Words
}

type postmortemInput struct {
	Path
	Body struct {
		Words
		Published bool `json:"published,omitempty" doc:"Everybody sees it, and not operators alone." ar:"يراه الجميع، لا المشغّلون وحدهم."`
	}
}

type listIncidentsInput struct {
	httpapi.Page
	Open bool `query:"open" doc:"Only those that aren't resolved." ar:"ما لم يُحلّ وحده."`
}

type maintenanceBody struct {
	ID         string        `json:"id"`
	Title      string        `json:"title"`
	TitleAr    string        `json:"title_ar"`
	Text       string        `json:"text" doc:"Markdown." ar:"بصيغة Markdown."`
	TextAr     string        `json:"text_ar"`
	Components []string      `json:"components"`
	StartsAt   string        `json:"starts_at" format:"date-time"`
	EndsAt     string        `json:"ends_at" format:"date-time"`
	RRule      string        `json:"rrule"`
	Timezone   string        `json:"timezone"`
	NextAt     string        `json:"next_at" doc:"When it begins next, or has begun where it is on; empty when it is over for good." ar:"متى تبدأ في المرّة التالية، أو متى بدأت حيث هي جارية؛ فارغ حين تنتهي نهائيًّا."`
	On         bool          `json:"on" doc:"It is on now." ar:"هي جارية الآن."`
	Status     Stage         `json:"status" enum:"scheduled,in_progress,completed,cancelled" doc:"Of the time that is on, else the next, else the last one." ar:"للوقت الجاري، وإلّا فللتالي، وإلّا فللأخير."`
	Updates    []reachedBody `json:"updates" doc:"What became of that time so far, oldest first." ar:"ما صار في ذلك الوقت إلى الآن، أقدمه أوّلًا."`
	CreatedAt  string        `json:"created_at" format:"date-time"`
}

type reachedBody struct {
	Status Stage  `json:"status" enum:"scheduled,in_progress,completed,cancelled"`
	At     string `json:"at" format:"date-time"`
}

func (s *Service) maintenanceBody(m Maintenance) maintenanceBody {
	b := maintenanceBody{
		ID: m.ID, Title: m.Title.En, TitleAr: m.Title.Ar, Text: m.Text.En, TextAr: m.Text.Ar, Components: append([]string{}, m.Components...), StartsAt: m.StartsAt.String(), EndsAt: m.EndsAt.String(),
		RRule: m.Rule, Timezone: m.Zone, CreatedAt: m.CreatedAt.String(),
		Status: Completed, Updates: []reachedBody{},
	}
	now := s.c.Now()
	times, err := m.times(now)
	if err != nil { // its rule has come to its end
		return b
	}
	b.On = times.On(now)
	if next, ok := times.Next(now); ok {
		b.NextAt = docstore.At(time.UnixMilli(next.From)).String()
	}
	if o, ok := (Timed{m, times}).Current(now); ok {
		b.Status = o.Stage(now)
		for _, r := range o.History(now) {
			b.Updates = append(b.Updates, reachedBody{r.Stage, docstore.At(r.At).String()})
		}
	}
	return b
}

type planMaintenanceInput struct {
	Body struct {
		Title   string `json:"title" minLength:"1" maxLength:"200"`
		TitleAr string `json:"title_ar,omitempty" maxLength:"200" doc:"The same in Arabic." ar:"الشيء نفسه بالعربية."`
		Words
		Components []string  `json:"components,omitempty" maxItems:"50"`
		StartsAt   time.Time `json:"starts_at"`
		EndsAt     time.Time `json:"ends_at"`
		RRule      string    `json:"rrule,omitempty" maxLength:"256" example:"FREQ=WEEKLY;BYDAY=SU" doc:"By which it comes again (RFC 5545)." ar:"القاعدة التي تتكرّر بها (RFC 5545)."`
		Timezone   string    `json:"timezone,omitempty" maxLength:"64" example:"Europe/Berlin" doc:"By whose clocks it comes again; UTC where it isn't said." ar:"المنطقة الزمنية التي تتكرّر بساعاتها؛ وUTC حيث لا تُذكر."`
		Key        string    `json:"key,omitempty" maxLength:"64" doc:"Makes it one maintenance however often it is sent." ar:"يجعلها صيانة واحدة مهما تكرّر إرسالها."`
	}
}

// Routes registers the room's routes for operators.
func (s *Service) Routes(api *httpapi.API) {
	group := httpapi.Group{API: api, Name: language.Text{En: "Incidents", Ar: "الحوادث"}, Chapter: httpapi.ChapterOperating, About: language.Text{En: "What is told of trouble and of planned work on the status page.", Ar: "ما يُعلن في صفحة الحالة عن الأعطال وأعمال الصيانة."}, Kinds: kinds}
	route := func(pattern, id string, summary language.Text, problems ...error) httpapi.Route {
		return httpapi.Route{Access: httpapi.Operators, Scope: identity.ScopeOperate, Pattern: pattern, ID: id, Summary: summary, Problems: problems}
	}
	long := func(r httpapi.Route) httpapi.Route { // with texts, in any script and escaped
		r.MaxBody = 32 * maxText
		return r
	}
	created := func(r httpapi.Route) httpapi.Route {
		r.Status = http.StatusCreated
		return long(r)
	}
	httpapi.Register(group, route("GET /ops/incidents", "list-incidents", language.Text{En: "See incidents, those that began last first", Ar: "اعرض الحوادث، آخرها بدءًا أوّلًا"}),
		func(ctx context.Context, in *listIncidentsInput) (*httpapi.ListOutput[incidentBody], error) {
			found, next, err := s.Incidents(ctx, in.Open, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, newIncidentBody)
		})
	httpapi.Register(group, created(route("POST /ops/incidents", "open-incident", language.Text{En: "Open an incident", Ar: "افتح حادثة"}, ErrInvalid)),
		func(ctx context.Context, in *openIncidentInput) (*httpapi.Output[incidentBody], error) {
			b := in.Body
			return showIncident(s.Open(ctx, Opening{b.Template, language.Text{En: b.Title, Ar: b.TitleAr}, b.Severity, b.Components, b.Status, b.text(), cmp.Or(b.Key, docstore.IDFrom(ctx))}))
		})
	httpapi.Register(group, route("GET /ops/incidents/templates", "list-incident-templates", language.Text{En: "See what incidents can be opened with", Ar: "اعرض القوالب التي تُفتح بها الحوادث"}),
		func(context.Context, *struct{}) (*httpapi.ListOutput[Template], error) {
			return httpapi.ListOf(s.Templates(), "", nil, func(t Template) Template {
				t.Components = append([]string{}, t.Components...)
				return t
			})
		})
	httpapi.Register(group, route("GET /ops/incidents/{id}", "get-incident", language.Text{En: "See an incident", Ar: "اعرض حادثة"}, ErrNone),
		func(ctx context.Context, in *Path) (*httpapi.Output[incidentBody], error) {
			return showIncident(s.Incident(ctx, in.ID))
		})
	httpapi.Register(group, route("PATCH /ops/incidents/{id}", "change-incident", language.Text{En: "Change an incident's title, severity or components, or correct when it began and was over", Ar: "غيّر عنوان حادثة أو شدّتها أو مكوّناتها، أو صحّح وقت بدئها وانتهائها"}, ErrNone, ErrInvalid),
		func(ctx context.Context, in *changeIncidentInput) (*httpapi.Output[incidentBody], error) {
			return showIncident(s.Change(ctx, in.ID, Change{in.Body.Title, in.Body.TitleAr, in.Body.Severity, in.Body.Components, in.Body.StartedAt, in.Body.ResolvedAt}))
		})
	httpapi.Register(group, created(route("POST /ops/incidents/{id}/updates", "update-incident", language.Text{En: "Say something of an incident, or that it is resolved", Ar: "أخبر بجديد حادثة أو بأنّها حُلّت"}, ErrNone, ErrInvalid)),
		func(ctx context.Context, in *updateIncidentInput) (*httpapi.Output[incidentBody], error) {
			return showIncident(s.Say(ctx, in.ID, Saying{in.Body.Status, in.Body.text(), cmp.Or(in.Body.Key, docstore.IDFrom(ctx))}))
		})
	httpapi.Register(group, long(route("PATCH /ops/incidents/{id}/updates/{update}", "correct-update", language.Text{En: "Correct the text of an update; the earlier one stays to be seen", Ar: "صحّح نصّ تحديث؛ ويبقى النصّ السابق ظاهرًا"}, ErrNone, ErrInvalid)),
		func(ctx context.Context, in *correctUpdateInput) (*httpapi.Output[incidentBody], error) {
			return showIncident(s.Correct(ctx, in.ID, in.Update, in.Body.text()))
		})
	httpapi.Register(group, long(route("PUT /ops/incidents/{id}/postmortem", "write-postmortem", language.Text{En: "Write what was found out afterwards, and publish it; an empty text takes it away", Ar: "اكتب ما تبيّن بعد الحادثة وانشره؛ والنصّ الفارغ يزيله"}, ErrNone, ErrInvalid)),
		func(ctx context.Context, in *postmortemInput) (*httpapi.Output[incidentBody], error) {
			return showIncident(s.WritePostmortem(ctx, in.ID, in.Body.text(), in.Body.Published))
		})
	httpapi.Register(group, route("GET /ops/maintenances", "list-maintenances", language.Text{En: "See planned work", Ar: "اعرض أعمال الصيانة المخطّطة"}),
		func(ctx context.Context, _ *struct{}) (*httpapi.ListOutput[maintenanceBody], error) {
			all, err := s.Maintenances(ctx)
			return httpapi.ListOf(all, "", err, s.maintenanceBody)
		})
	httpapi.Register(group, created(route("POST /ops/maintenances", "plan-maintenance", language.Text{En: "Plan work", Ar: "خطّط لصيانة"}, ErrInvalid)),
		func(ctx context.Context, in *planMaintenanceInput) (*httpapi.Output[maintenanceBody], error) {
			b := in.Body
			m, err := s.Plan(ctx, Maintenance{ID: cmp.Or(b.Key, docstore.IDFrom(ctx)), Title: language.Text{En: b.Title, Ar: b.TitleAr}, Text: b.text(), Components: b.Components, StartsAt: docstore.At(b.StartsAt), EndsAt: docstore.At(b.EndsAt), Rule: b.RRule, Zone: b.Timezone})
			if err != nil {
				return nil, err
			}
			return httpapi.OutputOf(s.maintenanceBody(m), nil)
		})
	httpapi.Register(group, route("DELETE /ops/maintenances/{id}", "cancel-maintenance", language.Text{En: "Cancel planned work; what is on is over then", Ar: "ألغِ صيانة مخطّطة؛ وما كان جاريًا منها ينتهي"}, ErrNone),
		func(ctx context.Context, in *Path) (*struct{}, error) {
			_, err := s.Cancel(ctx, in.ID)
			return nil, err
		})
}
