package health

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"manus/httpapi"
	"manus/language"
	"manus/ratelimit"
)

// service is the name that /health gives.
const service = "manus"

type healthBody struct {
	Status    string `json:"status" enum:"healthy"`
	Service   string `json:"service" example:"manus"`
	Timestamp string `json:"timestamp" format:"date-time"`
}

type liveBody struct {
	Status        string  `json:"status" enum:"alive"`
	UptimeSeconds float64 `json:"uptime_seconds"`
}

type output[T any] struct {
	Status int
	Body   T
}

// Routes registers the four endpoints with the API, and at the root, where load
// balancers and orchestrators look for them by habit. None but ready looks at anything
// outside of the process.
func (s *Service) Routes(api *httpapi.API) {
	register(api, "300/minute", httpapi.Route{ID: "health", Summary: language.Text{En: "Whether the process runs", Ar: "هل يعمل البرنامج"}},
		func(context.Context) (int, healthBody) {
			return http.StatusOK, healthBody{"healthy", service, time.Now().UTC().Format(time.RFC3339Nano)}
		}, func(w http.ResponseWriter, r *http.Request, _ healthBody) bool { return s.page(w, r, nil) })
	register(api, "300/minute", httpapi.Route{ID: "live", Summary: language.Text{En: "How long the process has been running", Ar: "منذ متى يعمل البرنامج"}},
		func(context.Context) (int, liveBody) {
			return http.StatusOK, liveBody{"alive", time.Since(s.started).Seconds()}
		}, nil)
	register(api, "100/minute", httpapi.Route{ID: "version", Summary: language.Text{En: "What is running", Ar: "أيّ إصدار يعمل"}},
		func(context.Context) (int, Version) { return http.StatusOK, s.version }, nil)
	register(api, "300/minute", httpapi.Route{
		ID: "ready", Summary: language.Text{En: "Whether the program can do its work", Ar: "هل يستطيع البرنامج أداء عمله"},
		Answers: map[string]httpapi.Answer{"503": {Description: "Not now; the body says what fails"}},
	}, func(ctx context.Context) (int, Readiness) {
		r := s.Readiness(ctx)
		return r.HTTPStatus(), r
	}, func(w http.ResponseWriter, r *http.Request, ready Readiness) bool { return s.page(w, r, &ready) })
}

// HTTPStatus is what /ready answers with.
func (r Readiness) HTTPStatus() int {
	if r.Status == Unavailable {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// page shows people how the program stands, if that can be shown.
func (s *Service) page(w http.ResponseWriter, r *http.Request, ready *Readiness) bool {
	return s.show != nil && s.show(w, r, ready)
}

// register adds an endpoint that is called like its id. Where people have a page of it, show
// answers those who ask by a browser at the root.
func register[T any](api *httpapi.API, limit string, route httpapi.Route, answer func(context.Context) (int, T), show func(http.ResponseWriter, *http.Request, T) bool) {
	route.Access, route.Pattern = httpapi.Public, "GET /"+route.ID
	route.Limits = []ratelimit.Rule{ratelimit.NewRule(limit, ratelimit.ByAddress)}
	httpapi.Register(httpapi.Group{API: api, Name: language.Text{En: "Health", Ar: "حال الخدمة"}, Chapter: httpapi.ChapterOperating, About: language.Text{En: "Whether the service is up, ready, and which version it is.", Ar: "هل الخدمة عاملة وجاهزة، وما إصدارها."}}, route, func(ctx context.Context, _ *httpapi.Nothing) (*output[T], error) {
		status, body := answer(ctx)
		return &output[T]{status, body}, nil
	})
	api.Handle(route, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := answer(r.Context())
		if show != nil {
			httpapi.VaryByAccept(w.Header())
			if httpapi.PrefersHTML(r) && show(w, r, body) {
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
	}))
}
