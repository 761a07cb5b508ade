package errtrack

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/errtrack/bundle"
	"manus/errtrack/envelope"
	"manus/httpapi"
	"manus/identity"
	"manus/internal/words"
	"manus/language"
)

// organization is the only one that there is; Sentry's API has many.
const organization = "manus"

// Bounds of requests of sentry-cli.
const (
	chunksPerRequest = 16
	maxChunkRequest  = chunksPerRequest*chunkSize + 1<<20 // bytes, with what frames the chunks
	maxSentryBody    = 8 << 20                            // of JSON: commits name the files that they change
	maxOfProjects    = 10                                 // that one bundle, or release, is of
	releasesAnswered = 100
)

// sentryRoutes registers the part of Sentry's API that sentry-cli uses, in its words
// (https://docs.sentry.io/api/, and its source). It is for whoever may operate, and what is
// refused is in the form that sentry-cli shows.
func (s *Service) sentryRoutes(api *httpapi.API) {
	handle := func(pattern string, serve sentryHandler) { s.handleSentry(api, httpapi.Route{Pattern: pattern}, serve) }
	const org = "/api/0/organizations/{org}"
	handle("GET /api/0/{$}", s.serveAuth)
	handle("GET /api/0/organizations/{$}", s.serveOrganizations)
	handle("GET "+org+"/projects/{$}", s.serveProjects)
	handle("GET "+org+"/repos/{$}", func(*http.Request) (any, error) { return []any{}, nil })
	handle("GET "+org+"/chunk-upload/{$}", serveChunkOptions)
	s.handleSentry(api, httpapi.Route{Pattern: "POST " + org + "/chunk-upload/{$}", MaxBody: maxChunkRequest, BodyTimeout: 5 * time.Minute, Timeout: 6 * time.Minute}, s.takeChunks)
	s.handleSentry(api, httpapi.Route{Pattern: "POST " + org + "/artifactbundle/assemble/{$}", Timeout: putTogetherIn + time.Minute}, s.takeBundle)
	handle("POST "+org+"/releases/{$}", s.takeRelease)
	handle("GET "+org+"/releases/{$}", s.serveReleases)
	handle("GET "+org+"/releases/{version}/{$}", s.serveRelease)
	handle("PUT "+org+"/releases/{version}/{$}", s.takeRelease)
	handle("DELETE "+org+"/releases/{version}/{$}", s.takeReleaseAway)
	handle("GET "+org+"/releases/{version}/deploys/{$}", s.serveDeploys)
	handle("POST "+org+"/releases/{version}/deploys/{$}", s.takeDeploy)
	handle("GET "+org+"/releases/{version}/commits/{$}", func(*http.Request) (any, error) { return []any{}, nil })
	handle("GET "+org+"/releases/{version}/previous-with-commits/{$}", func(*http.Request) (any, error) { return struct{}{}, nil })
	handle("GET /api/0/projects/{org}/{project}/{$}", s.serveProject)
	handle("GET /api/0/projects/{org}/{project}/releases/{$}", s.serveReleases)
	none := func(*http.Request) (any, error) { return nil, errNotHere }
	handle("/api/0/organizations/{rest...}", none)
	handle("/api/0/projects/{rest...}", none)
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} { // at others, SDKs send
		handle(method+" /api/0/{rest...}", none)
	}
}

// sentryHandler returns what is answered as JSON.
type sentryHandler = func(*http.Request) (any, error)

func (s *Service) handleSentry(api *httpapi.API, route httpapi.Route, serve sentryHandler) {
	route.Access, route.Scope = httpapi.Operators, identity.ScopeOperate
	route.MaxBody, route.BodyTimeout = cmp.Or(route.MaxBody, maxSentryBody), cmp.Or(route.BodyTimeout, time.Minute)
	route.Timeout = cmp.Or(route.Timeout, 2*time.Minute)
	route.Problem = func(p *httpapi.Problem) any { return detail(p.Detail) }
	api.Handle(route, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any
		err := error(errNotHere)
		if org := r.PathValue("org"); org == "" || org == organization {
			answer, err = serve(r)
		}
		writeSentry(w, r, answer, err)
	}))
}

// errNotHere is for addresses of Sentry's API that Manus hasn't.
var errNotHere = &envelope.Error{Status: http.StatusNotFound, Detail: "Manus has nothing at this address of Sentry's API. It takes bundles of source maps, releases and deploys; the organization is '" + organization + "'."}

// errNoRelease is for a release that nobody has told of.
var errNoRelease = &envelope.Error{Status: http.StatusNotFound, Detail: "there is no such release"}

// writeSentry writes an answer, or why there is none.
func writeSentry(w http.ResponseWriter, r *http.Request, answer any, err error) {
	status := http.StatusOK
	refused, isRefusal := errors.AsType[*envelope.Error](err)
	switch {
	case err == nil:
	case isRefusal:
		status, answer = refused.Status, detail(refused.Detail)
	case errors.Is(err, errRoom):
		w.Header().Set("Retry-After", "60")
		status, answer = http.StatusServiceUnavailable, detail("too many uploads wait to be put together; try again in a minute")
	case errors.Is(err, ErrInvalid):
		status, answer = http.StatusBadRequest, detail(strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	default:
		httpapi.WriteError(w, r, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the client is gone if this fails
}

func refuse(format string, args ...any) error {
	return &envelope.Error{Status: http.StatusBadRequest, Detail: fmt.Sprintf(format, args...)}
}

// readSentry reads a request's body.
func readSentry[T any](r *http.Request) (body T, err error) {
	text, err := io.ReadAll(r.Body)
	if err == nil && json.Unmarshal(text, &body) != nil {
		err = refuse("the body isn't the JSON that this address takes")
	}
	return body, err
}

// serveAuth says what the key that was sent may do.
func (s *Service) serveAuth(*http.Request) (any, error) {
	return map[string]any{
		"version": "0", "user": nil,
		"auth": map[string]any{"scopes": []string{"org:read", "project:read", "project:releases", "project:write"}},
	}, nil
}

// serveOrganizations lists the only one.
func (s *Service) serveOrganizations(*http.Request) (any, error) {
	return []any{map[string]any{
		"id": "1", "slug": organization, "name": "Manus", "dateCreated": time.Unix(0, 0).UTC(), "isEarlyAdopter": false, "require2FA": false,
		"requireEmailVerification": false, "features": []string{},
	}}, nil
}

type sentryProject struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}

func newSentryProject(p Project) sentryProject { return sentryProject{p.ID, p.Slug(), p.Name} }

// sentryProjects are projects by what sentry-cli calls them.
func (s *Service) sentryProjects(ctx context.Context, names []string) (found []Project, err error) {
	if len(names) > maxOfProjects {
		return nil, refuse("say at most %s", words.Count(maxOfProjects, "project"))
	}
	all, err := s.Projects(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		p, err := named(all, name)
		switch {
		case errors.Is(err, ErrNoProject):
			return nil, refuse("there is no project '%s'; 'manus errors project list' shows those that there are", language.Line(language.Cut(name, maxName)))
		case err != nil:
			return nil, err
		case !slices.ContainsFunc(found, func(other Project) bool { return other.ID == p.ID }):
			found = append(found, p)
		}
	}
	return found, nil
}

// serveProjects lists projects.
func (s *Service) serveProjects(r *http.Request) (any, error) {
	all, err := s.Projects(r.Context())
	list := []sentryProject{}
	for _, p := range all {
		list = append(list, newSentryProject(p))
	}
	return list, err
}

// sentryProjectOf is the project that an address is of.
func (s *Service) sentryProjectOf(r *http.Request) (Project, error) {
	found, err := s.sentryProjects(r.Context(), []string{r.PathValue("project")})
	if refused, ok := errors.AsType[*envelope.Error](err); ok {
		err = &envelope.Error{Status: http.StatusNotFound, Detail: refused.Detail}
	}
	if err != nil {
		return Project{}, err
	}
	return found[0], nil
}

// serveProject shows a project.
func (s *Service) serveProject(r *http.Request) (any, error) {
	p, err := s.sentryProjectOf(r)
	return newSentryProject(p), err
}

// serveChunkOptions says how bundles are uploaded.
func serveChunkOptions(*http.Request) (any, error) {
	return map[string]any{
		"url":       "/organizations/" + organization + "/chunk-upload/", // wherever SENTRY_URL says that this is
		"chunkSize": chunkSize, "chunksPerRequest": chunksPerRequest, "maxRequestSize": chunksPerRequest * chunkSize, "maxFileSize": maxBundle,
		"maxWait": int(putTogetherIn.Seconds()), "concurrency": 2, "hashAlgorithm": "sha1", "compression": []string{"gzip"},
		"accept": []string{"release_files", "artifact_bundles", "artifact_bundles_v2"},
	}, nil
}

// takeChunks keeps chunks, each of which is called by its checksum.
func (s *Service) takeChunks(r *http.Request) (any, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, refuse("the body isn't multipart/form-data")
	}
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return nil, refuse("the body has no chunks")
		case errors.Is(err, io.EOF):
			return map[string]any{}, nil
		case err != nil:
			return nil, cmp.Or(r.Context().Err(), bodyError(err))
		case n == chunksPerRequest:
			return nil, refuse("a request has at most %s", words.Count(chunksPerRequest, "chunk"))
		}
		if err := s.takeChunk(r.Context(), part); err != nil {
			return nil, err
		}
	}
}

func (s *Service) takeChunk(ctx context.Context, part *multipart.Part) error {
	name := part.FileName()
	if !isSHA1(name) {
		return refuse("a chunk isn't called by its SHA-1")
	}
	switch part.FormName() {
	case "file":
		return bodyError(s.keepChunk(ctx, name, part))
	case "file_gzip":
		unzipped, err := gzip.NewReader(part)
		if err != nil {
			return bodyError(err)
		}
		return bodyError(s.keepChunk(ctx, name, unzipped))
	}
	return refuse("a chunk is a 'file' or a 'file_gzip'")
}

// bodyError is what a fault of a multipart body is answered: those of this program and of the
// store stay what they are.
func bodyError(err error) error {
	for _, known := range []error{nil, ErrInvalid, errRoom, docstore.ErrUnavailable, docstore.ErrCorrupt, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return err
		}
	}
	if kind, known := httpapi.Kinds(nil).Find(err); known && kind.Status != http.StatusInternalServerError {
		return err
	}
	return refuse("the body ends early, or isn't framed or packed as it says")
}

func isSHA1(text string) bool { return len(text) == 40 && strings.Trim(text, "0123456789abcdef") == "" }

// bundleRequest says of which chunks a bundle is, and what it is for.
type bundleRequest struct {
	Checksum string   `json:"checksum"`
	Chunks   []string `json:"chunks"`
	Projects []string `json:"projects"`
	Version  string   `json:"version"` // the release
	Dist     string   `json:"dist"`
}

func (b bundleRequest) check() error {
	switch {
	case !isSHA1(b.Checksum) || slices.ContainsFunc(b.Chunks, func(c string) bool { return !isSHA1(c) }):
		return refuse("checksums are SHA-1s, as 40 hexadecimal digits")
	case len(b.Chunks) == 0 || len(b.Projects) == 0:
		return refuse("a bundle has chunks, and a project")
	case len(b.Chunks) > maxBundle/chunkSize:
		return refuse("a bundle has at most %d MiB; upload fewer files at once", maxBundle>>20)
	case len(b.Dist) > maxVersion:
		return refuse("a dist has at most %s", words.Count(maxVersion, "character"))
	case b.Version != "":
		return checkVersion(b.Version)
	}
	return nil
}

// bundleAnswer says how far a bundle is: not_found as long as chunks are missing, then ok or
// error.
type bundleAnswer struct {
	State   string   `json:"state"`
	Missing []string `json:"missingChunks"`
	Detail  string   `json:"detail,omitempty"`
}

// takeBundle puts a bundle together, unless that has been done. It is asked before and after
// the chunks are uploaded.
func (s *Service) takeBundle(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), putTogetherIn)
	defer cancel()
	b, err := readSentry[bundleRequest](r)
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return nil, err
	}
	projects, err := s.sentryProjects(ctx, b.Projects)
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		missing, err := s.takeBundleFor(ctx, p, b)
		switch {
		case errors.Is(err, bundle.ErrMalformed) || errors.Is(err, ErrInvalid):
			_, said, _ := strings.Cut(err.Error(), ": ")
			return bundleAnswer{State: "error", Missing: []string{}, Detail: language.Line(said)}, nil
		case err != nil:
			return nil, err
		case len(missing) > 0:
			return bundleAnswer{State: "not_found", Missing: missing}, nil
		}
	}
	stays := docstore.At(s.c.Now().Add(chunksStay))
	if err := s.await(ctx, b.Chunks, stays, false); err != nil {
		return nil, err
	}
	return bundleAnswer{State: "ok", Missing: []string{}}, nil
}

// takeBundleFor puts a bundle together for a project, or says which chunks are missing.
func (s *Service) takeBundleFor(ctx context.Context, p Project, b bundleRequest) (missing []string, err error) {
	u := upload{Project: p.ID, Release: b.Version, Dist: b.Dist}
	u.Key = keyOf(u, b.Checksum)
	if done, err := s.isUploaded(ctx, u); done || err != nil {
		return nil, err
	}
	if err := s.await(ctx, b.Chunks, docstore.At(s.c.Now().Add(chunksWait)), false); err != nil {
		return nil, err
	}
	if missing, err = s.missing(ctx, b.Chunks); err != nil || len(missing) > 0 {
		return missing, err
	}
	if err := s.note(ctx, eventMapsUploaded, p.ID); err != nil {
		return nil, err
	}
	if b.Version != "" {
		if _, err := s.nameRelease(ctx, p, b.Version, nil); err != nil {
			return nil, err
		}
	}
	if err = s.putTogether(ctx, u, b.Checksum, b.Chunks); errors.Is(err, errLost) {
		return b.Chunks, nil // those that are still here are soon sent
	}
	return nil, err
}

// releaseRequest makes or changes a release. Of commits nothing is made.
type releaseRequest struct {
	Version      string        `json:"version"`
	Projects     []string      `json:"projects"`
	URL          string        `json:"url"`
	DateReleased docstore.Time `json:"dateReleased"`
	Status       string        `json:"status"`
}

// sentryRelease is a release as Sentry's API has it.
type sentryRelease struct {
	Version      string          `json:"version"`
	URL          *string         `json:"url"`
	DateCreated  docstore.Time   `json:"dateCreated"`
	DateReleased *docstore.Time  `json:"dateReleased"`
	Projects     []sentryProject `json:"projects"`
	NewGroups    int             `json:"newGroups"`
	LastCommit   any             `json:"lastCommit"`
	LastEvent    any             `json:"lastEvent"`
	Deploys      int             `json:"deployCount"`
}

// takeRelease notes a release of projects, or changes it where it is known.
func (s *Service) takeRelease(r *http.Request) (any, error) {
	b, err := readSentry[releaseRequest](r)
	if err != nil {
		return nil, err
	}
	version := cmp.Or(r.PathValue("version"), b.Version)
	if b.Status == "archived" {
		return nil, refuse("Manus has no archive of releases; they go when they aren't seen any more")
	}
	projects, err := s.sentryProjects(r.Context(), b.Projects)
	if known := r.PathValue("version") != ""; err == nil && (known || len(projects) == 0) {
		var has []Project
		if has, err = s.projectsOfRelease(r.Context(), version); len(projects) == 0 {
			projects = has
		}
	}
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		_, err := s.nameRelease(r.Context(), p, version, func(known *namedRelease) {
			known.URL = cmp.Or(webPage(b.URL), known.URL)
			if !b.DateReleased.IsZero() {
				known.ReleasedAt = b.DateReleased
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return s.showRelease(r.Context(), version)
}

// maxLongText bounds addresses and names that releases have, in characters.
const maxLongText = 500

// projectsOfRelease are those that have a release. It returns errNoRelease where none has.
func (s *Service) projectsOfRelease(ctx context.Context, version string) (all []Project, err error) {
	known, err := s.namedReleases(ctx, version)
	if err != nil {
		return nil, err
	}
	for _, r := range known {
		if p, err := s.projectOf(ctx, r.Project); err == nil {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil, errNoRelease
	}
	return all, nil
}

// showRelease is a release, of all projects that have it.
func (s *Service) showRelease(ctx context.Context, version string) (any, error) {
	known, err := s.namedReleases(ctx, version)
	if err != nil {
		return nil, err
	}
	if len(known) == 0 {
		return nil, errNoRelease
	}
	return s.newSentryRelease(ctx, known), nil
}

// newSentryRelease is a release out of what each project knows of it.
func (s *Service) newSentryRelease(ctx context.Context, known []namedRelease) sentryRelease {
	first := known[0]
	shown := sentryRelease{Version: first.Version, DateCreated: first.At, Projects: []sentryProject{}}
	for _, r := range known {
		if r.URL != "" {
			shown.URL = &r.URL
		}
		if !r.ReleasedAt.IsZero() {
			shown.DateReleased = &r.ReleasedAt
		}
		shown.Deploys = max(shown.Deploys, len(r.Deploys))
		if p, err := s.projectOf(ctx, r.Project); err == nil {
			shown.Projects = append(shown.Projects, newSentryProject(p))
		}
	}
	return shown
}

// serveRelease shows a release.
func (s *Service) serveRelease(r *http.Request) (any, error) {
	return s.showRelease(r.Context(), r.PathValue("version"))
}

// serveReleases lists releases, the newest first: of one project, or of all.
func (s *Service) serveReleases(r *http.Request) (any, error) {
	projects, err := s.Projects(r.Context())
	if r.PathValue("project") != "" {
		projects = make([]Project, 1)
		projects[0], err = s.sentryProjectOf(r)
	}
	if err != nil {
		return nil, err
	}
	byVersion := map[string][]namedRelease{}
	for _, p := range projects {
		some, _, err := s.named.Find(r.Context(), docstore.Query{Index: "by_at", Equal: []any{p.ID}, Descending: true, Limit: releasesAnswered})
		if err != nil {
			return nil, err
		}
		for _, known := range some {
			byVersion[known.Version] = append(byVersion[known.Version], known)
		}
	}
	list := []sentryRelease{}
	for _, version := range slices.Sorted(maps.Keys(byVersion)) {
		list = append(list, s.newSentryRelease(r.Context(), byVersion[version]))
	}
	slices.SortStableFunc(list, func(a, b sentryRelease) int { return b.DateCreated.Compare(a.DateCreated.Time) })
	return list[:min(len(list), releasesAnswered)], nil
}

// takeReleaseAway forgets what was told of a release. Its events, sessions and source maps
// stay as long as they are kept.
func (s *Service) takeReleaseAway(r *http.Request) (any, error) {
	known, err := s.namedReleases(r.Context(), r.PathValue("version"))
	if err == nil && len(known) == 0 {
		err = errNoRelease
	}
	for _, one := range known {
		if err == nil {
			err = s.note(r.Context(), eventReleaseRemoved, one.ID)
		}
		if err == nil {
			err = docstore.NotFoundAs(s.named.Delete(r.Context(), one.ID), nil)
		}
	}
	return map[string]any{}, err
}

// sentryDeploy is a deploy as Sentry's API has it.
type sentryDeploy struct {
	ID           string         `json:"id"`
	Environment  string         `json:"environment"`
	Name         *string        `json:"name"`
	URL          *string        `json:"url"`
	DateStarted  *docstore.Time `json:"dateStarted"`
	DateFinished *docstore.Time `json:"dateFinished"`
	Projects     []string       `json:"projects,omitempty"`
}

func newSentryDeploy(d deploy) sentryDeploy {
	shown := sentryDeploy{ID: d.ID, Environment: d.Environment}
	if d.Name != "" {
		shown.Name = &d.Name
	}
	if d.URL != "" {
		shown.URL = &d.URL
	}
	if !d.StartedAt.IsZero() {
		shown.DateStarted = &d.StartedAt
	}
	if !d.FinishedAt.IsZero() {
		shown.DateFinished = &d.FinishedAt
	}
	return shown
}

// takeDeploy notes that a release was deployed, in each project that has it.
func (s *Service) takeDeploy(r *http.Request) (any, error) {
	b, err := readSentry[sentryDeploy](r)
	if err != nil {
		return nil, err
	}
	version := r.PathValue("version")
	projects, err := s.sentryProjects(r.Context(), b.Projects)
	if err == nil && len(projects) == 0 {
		projects, err = s.projectsOfRelease(r.Context(), version)
	}
	switch {
	case err != nil:
		return nil, err
	case b.Environment == "" || len(b.Environment) > maxVersion:
		return nil, refuse("a deploy is to an environment, of at most %s", words.Count(maxVersion, "character"))
	}
	d := deploy{ID: docstore.NewID(), Environment: b.Environment, FinishedAt: docstore.At(s.c.Now())}
	if b.Name != nil {
		d.Name = language.Cut(*b.Name, maxLongText)
	}
	if b.URL != nil {
		d.URL = webPage(*b.URL)
	}
	for at, said := range map[*docstore.Time]*docstore.Time{&d.StartedAt: b.DateStarted, &d.FinishedAt: b.DateFinished} {
		if said != nil {
			*at = *said
		}
	}
	for _, p := range projects {
		if _, err := s.nameRelease(r.Context(), p, version, func(known *namedRelease) { known.Deploys = append(known.Deploys, d) }); err != nil {
			return nil, err
		}
	}
	return newSentryDeploy(d), nil
}

// serveDeploys lists the deploys of a release, the newest first.
func (s *Service) serveDeploys(r *http.Request) (any, error) {
	known, err := s.namedReleases(r.Context(), r.PathValue("version"))
	if err == nil && len(known) == 0 {
		err = errNoRelease
	}
	list, ids := []sentryDeploy{}, map[string]bool{}
	for _, one := range known {
		for _, d := range slices.Backward(one.Deploys) {
			if !ids[d.ID] {
				ids[d.ID], list = true, append(list, newSentryDeploy(d))
			}
		}
	}
	return list, err
}
