package uptime

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"manus/httpapi"
	"manus/identity"
	"manus/language"
	"manus/ratelimit"
)

// What the server says to places that hand in, as [Server] has it. Their programs tell these
// apart by their names.
var placeKinds = httpapi.Kinds{
	{Err: ErrPlaceTaken, Status: http.StatusConflict, Name: "place-taken", Detail: language.Text{En: "Another program with this name is at work: give each place its own PROBE_NAME.", Ar: "يعمل برنامج آخر بهذا الاسم: أعطِ كل موقع اسمه الخاص في PROBE_NAME."}},
	{Err: ErrPlaceKey, Status: http.StatusConflict, Name: "place-key", Detail: language.Text{En: "An API key speaks for one place alone, and a place has one: make a key for each, or forget the place (DELETE /ops/probes/{name}) before it gets another key.", Ar: "يتحدث المفتاح البرمجي باسم موقع واحد فقط، ولكل موقع مفتاح واحد: أنشئ مفتاحًا لكل موقع، أو احذف الموقع (DELETE /ops/probes/{name}) قبل أن تعطيه مفتاحًا آخر."}},
	{Err: ErrOwnPlace, Status: http.StatusConflict, Name: "own-place", Detail: language.Text{En: "This is what the server's own place is called: choose another PROBE_NAME.", Ar: "هذا اسم موقع الخادم نفسه: اختر اسمًا آخر في PROBE_NAME."}},
	{Err: ErrTooManyPlace, Status: http.StatusConflict, Name: "too-many-places", Detail: language.Text{En: "There are 50 places already: forget those that are no more (DELETE /ops/probes/{name}).", Ar: "يوجد 50 موقعًا بالفعل: احذف ما لم يعد موجودًا (DELETE /ops/probes/{name})."}},
	{Err: ErrNoPlace, Status: http.StatusNotFound, Name: "not-found", Detail: language.Text{En: "There is no such place.", Ar: "لا يوجد موقع كهذا."}},
	{Err: ErrReport, Status: http.StatusUnprocessableEntity, Name: "invalid-request", Detail: language.Text{En: "This is no report of a place; 'errors' says which part is wrong.", Ar: "ليس هذا تقرير موقع؛ وفي errors الجزء الخاطئ."}},
}

// maxReportBody is in bytes: a report of a list as long as can be.
const maxReportBody = 8 << 20

type placeBody struct {
	Name     string  `json:"name"`
	Status   string  `json:"status" enum:"watching,cut-off,silent"`
	Since    string  `json:"since" format:"date-time" doc:"When it was first heard of." ar:"متى وردت أخباره أوّل مرّة."`
	HeardAt  string  `json:"heard_at" format:"date-time" doc:"When it was last heard of." ar:"متى وردت أخباره آخر مرّة."`
	Up       int     `json:"up" doc:"How many monitors it sees up." ar:"كم مراقَبًا يراه عاملًا."`
	Down     int     `json:"down"`
	ClockOff float64 `json:"clock_off_seconds" doc:"How far its clock is behind, where its times are corrected." ar:"كم تتأخّر ساعته، حيث تُصحَّح أوقاته."`
	Dropped  int64   `json:"dropped" doc:"Results that came too late to be kept." ar:"نتائج وصلت متأخّرة فلم تُحفظ."`
	// Pages are those that it looks at as strangers do.
	Pages []pageBody `json:"pages" doc:"How it finds that strangers are shown the status page, and a copy of it; of 'manus watch --status'." ar:"كيف يجد ما يُعرض على الناس من صفحة الحالة ونسختها؛ لأمر 'manus watch --status'."`
}

type pageBody struct {
	Page   string  `json:"page" enum:"page,copy"`
	URL    string  `json:"url"`
	Status string  `json:"status" enum:"same,differs,unknown"`
	Since  *string `json:"since" format:"date-time" doc:"Since when it differs, by what people were told." ar:"منذ متى يختلف، بحسب ما أُخبر به الناس."`
	Text   string  `json:"text" doc:"How it differs." ar:"كيف يختلف."`
	TextAr string  `json:"text_ar"`
}

func newPageBody(l PageLook) pageBody {
	b := pageBody{Page: l.Page, URL: l.URL, Status: l.State, Text: l.Text.En, TextAr: l.Text.Ar}
	if !l.Since.IsZero() {
		since := l.Since.UTC().Format(time.RFC3339)
		b.Since = &since
	}
	return b
}

func newPlaceBody(p Place) placeBody {
	b := placeBody{
		Name: p.Name, Status: "watching", Since: p.Since.UTC().Format(time.RFC3339), HeardAt: p.Heard.UTC().Format(time.RFC3339), Up: p.Up, Down: p.Down,
		ClockOff: p.ClockOff.Seconds(), Dropped: p.Dropped, Pages: []pageBody{},
	}
	for _, l := range p.Pages {
		b.Pages = append(b.Pages, newPageBody(l))
	}
	switch {
	case p.Silent:
		b.Status = "silent"
	case p.CutOff:
		b.Status = "cut-off"
	}
	return b
}

// PlaceInput is which place watches. It is exported as [Path] is.
type PlaceInput struct {
	Place string `query:"place" required:"true" maxLength:"32" doc:"What the place is called: PROBE_NAME." ar:"ما يُسمّى به الموقع: PROBE_NAME."`
}

type handInInput struct {
	Body Report
}

type placePath struct {
	Name string `path:"name" maxLength:"32"`
}

// isOfHereAlone tells of a monitor that is checked with files, which only this machine has, or with
// credentials, which aren't shown.
func (m Monitor) isOfHereAlone() bool {
	return len(m.files()) > 0 || shownProxy(m.Proxy) != m.Proxy || slices.ContainsFunc(slices.Collect(maps.Keys(m.Headers)), isCredential)
}

// placeRoutes registers the routes for other places, and those about them.
func (s *Service) placeRoutes(api *httpapi.API) {
	group := httpapi.Group{API: api, Name: language.Text{En: "Monitors", Ar: "المراقَبات"}, Kinds: placeKinds}
	route := func(scope identity.Scope, pattern, id string, summary language.Text, problems ...error) httpapi.Route {
		return httpapi.Route{Access: httpapi.Operators, Scope: scope, Pattern: pattern, ID: id, Summary: summary, Problems: problems}
	}
	probe := func(pattern, id string, summary language.Text, problems ...error) httpapi.Route {
		r := route(identity.Probe, pattern, id, summary, problems...)
		r.Limits = []ratelimit.Rule{ratelimit.NewRule("3000/minute", ratelimit.ByUser)} // of all places together
		return r
	}
	httpapi.Register(group, probe("GET /ops/probe/monitors", "list-probe-monitors", language.Text{En: "What a place watches; of 'manus watch'. Times are in nanoseconds", Ar: "ما يراقبه موقع، لأمر manus watch. والمُدد بالنانوثانية"}, ErrNoPlace),
		func(ctx context.Context, in *PlaceInput) (*httpapi.Output[Watchlist], error) {
			list, err := s.Watched(ctx, in.Place)
			list.Monitors = slices.DeleteFunc(list.Monitors, Monitor.isOfHereAlone)
			return httpapi.OutputOf(list, err)
		})
	handIn := probe("POST /ops/probe/results", "hand-in-results", language.Text{En: "Hand in what a place has found, and how it sees things now; of 'manus watch'", Ar: "سلّم ما وجده موقع وكيف يرى الحال الآن، لأمر manus watch"}, ErrPlaceTaken, ErrPlaceKey, ErrOwnPlace, ErrTooManyPlace, ErrReport)
	handIn.MaxBody, handIn.Status = maxReportBody, http.StatusOK
	httpapi.Register(group, handIn, func(ctx context.Context, in *handInInput) (*httpapi.Output[Receipt], error) {
		return httpapi.OutputOf(s.HandIn(ctx, in.Body))
	})
	httpapi.Register(group, route(identity.ScopeOperate, "GET /ops/probes", "list-probes", language.Text{En: "See the other places that watch, and when they were last heard of", Ar: "اعرض المواقع الأخرى التي تراقب، ومتى وردت أخبارها آخر مرّة"}),
		func(ctx context.Context, _ *struct{}) (*httpapi.ListOutput[placeBody], error) {
			all, err := s.Places(ctx)
			return httpapi.ListOf(all, "", err, newPlaceBody)
		})
	httpapi.Register(group, route(identity.ScopeOperate, "DELETE /ops/probes/{name}", "forget-probe", language.Text{En: "Forget a place that is no more", Ar: "انسَ موقعًا لم يعد موجودًا"}, ErrNoPlace),
		func(ctx context.Context, in *placePath) (*struct{}, error) { return nil, s.ForgetPlace(ctx, in.Name) })
}
