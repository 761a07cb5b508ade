package health

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"manus/httpapi"
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

// The four answers. None but ready looks at anything outside of the process.
func (s *Service) health() healthBody {
	return healthBody{"healthy", service, time.Now().UTC().Format(time.RFC3339Nano)}
}
func (s *Service) live() liveBody { return liveBody{"alive", time.Since(s.started).Seconds()} }

func (r Readiness) httpStatus() int {
	if r.Status == Unavailable {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

type (
	noInput       struct{}
	healthOutput  struct{ Body healthBody }
	liveOutput    struct{ Body liveBody }
	versionOutput struct{ Body Version }
	readyOutput   struct {
		Status int
		Body   Readiness
	}
)

// Routes registers the four endpoints with the API.
func (s *Service) Routes(api *httpapi.API) {
	group := httpapi.Group{API: api, Name: "Health"}
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "GET /health", ID: "health", Summary: "Whether the process runs"},
		func(context.Context, *noInput) (*healthOutput, error) {
			return &healthOutput{s.health()}, nil
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "GET /live", ID: "live", Summary: "How long the process has been running"},
		func(context.Context, *noInput) (*liveOutput, error) {
			return &liveOutput{s.live()}, nil
		})
	httpapi.Register(group, httpapi.Route{Access: httpapi.Public, Pattern: "GET /version", ID: "version", Summary: "What is running"},
		func(context.Context, *noInput) (*versionOutput, error) {
			return &versionOutput{s.version}, nil
		})
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Public, Pattern: "GET /ready", ID: "ready", Summary: "Whether the program can do its work",
		Responses: map[string]*huma.Response{"503": {Description: "Not now; the body says what fails"}},
	}, func(ctx context.Context, _ *noInput) (*readyOutput, error) {
		r := s.Readiness(ctx)
		return &readyOutput{Status: r.httpStatus(), Body: r}, nil
	})
}

// Mount puts the same four at the root, where load balancers and orchestrators
// look for them by habit.
func (s *Service) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, s.health()) })
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, s.live()) })
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, s.version) })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		readiness := s.Readiness(r.Context())
		write(w, readiness.httpStatus(), readiness)
	})
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}
