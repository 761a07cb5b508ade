package errtrack

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"manus/docstore"
	"manus/internal/words"
	"manus/language"
)

// namedRelease is a release that somebody has told of, by sentry-cli mostly: that there is
// one, since when it is out, and where it was deployed.
type namedRelease struct {
	ID         string        `json:"_id"`
	Project    string        `json:"project"`
	Version    string        `json:"version"`
	URL        string        `json:"url,omitempty"`
	At         docstore.Time `json:"at"`
	ReleasedAt docstore.Time `json:"released_at,omitzero"`
	Deploys    []deploy      `json:"deploys,omitempty"` // the oldest first
}

// deploy is that a release was brought to an environment.
type deploy struct {
	ID          string        `json:"id"`
	Environment string        `json:"environment"`
	Name        string        `json:"name,omitempty"`
	URL         string        `json:"url,omitempty"`
	StartedAt   docstore.Time `json:"started_at,omitzero"`
	FinishedAt  docstore.Time `json:"finished_at,omitzero"`
}

// DocumentID is the release's id.
func (r namedRelease) DocumentID() string { return r.ID }

// toldAt is when somebody told of the release last.
func (r namedRelease) toldAt() docstore.Time {
	last := r.At
	for _, at := range append([]docstore.Time{r.ReleasedAt}, r.deployedAt()...) {
		if at.After(last.Time) {
			last = at
		}
	}
	return last
}

func (r namedRelease) deployedAt() (all []docstore.Time) {
	for _, d := range r.Deploys {
		all = append(all, d.FinishedAt)
	}
	return all
}

const byVersion = "by_version"

var namedReleaseSpec = docstore.Spec{Collection: "error_release_names", Of: namedRelease{}, Transient: true, Indexes: []docstore.Index{
	{Name: byVersion, Fields: []string{"version", "project"}},
	{Name: "by_at", Fields: []string{"project", "at"}},
}}

// Bounds of named releases.
const (
	maxVersion = 200  // characters, as in events
	maxNamed   = 1000 // of a project
	maxDeploys = 50   // of a release
)

// checkVersion returns ErrInvalid for what can't be a release's name.
func checkVersion(version string) error {
	if strings.TrimSpace(version) == "" || version != language.Cut(version, maxVersion) || strings.ContainsFunc(version, unicode.IsControl) || strings.ContainsAny(version, `/\`) || version == "." || version == ".." {
		return fmt.Errorf(`%w: a release's name has at most %s, and neither / nor \, and is not a dot or two`, ErrInvalid, words.Count(maxVersion, "character"))
	}
	return nil
}

// webPage is the address of a web page; empty for what is none, or is too long.
func webPage(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(address) > maxLongText {
		return ""
	}
	return address
}

// nameRelease notes a release of a project, or changes what is known of it. It returns
// ErrInvalid or an error of the store.
func (s *Service) nameRelease(ctx context.Context, p Project, version string, change func(*namedRelease)) (namedRelease, error) {
	if err := checkVersion(version); err != nil {
		return namedRelease{}, err
	}
	initial := namedRelease{ID: namedID(p.ID, version), Project: p.ID, Version: version, At: docstore.At(s.c.Now())}
	if err := s.note(ctx, eventReleaseNamed, initial.ID); err != nil {
		return initial, err
	}
	return s.named.Upsert(ctx, initial, func(r *namedRelease, _ bool) error {
		if change != nil {
			change(r)
		}
		if spare := len(r.Deploys) - maxDeploys; spare > 0 {
			r.Deploys = slices.Delete(r.Deploys, 0, spare)
		}
		return nil
	})
}

// toldOf is what was told of releases, by namedID. Errors are the store's.
func (s *Service) toldOf(ctx context.Context, releases []ReleaseHealth) (map[string]namedRelease, error) {
	told, asked := map[string]namedRelease{}, map[string]bool{}
	for _, r := range releases {
		if asked[r.Project] {
			continue
		}
		asked[r.Project] = true
		some, _, err := s.named.Find(ctx, docstore.Query{Index: "by_at", Equal: []any{r.Project}, Descending: true, Limit: docstore.MaxLimit})
		if err != nil {
			return nil, err
		}
		for _, one := range some {
			told[one.ID] = one
		}
	}
	return told, nil
}

func namedID(project, version string) string { return project + "/" + version }

// namedReleases are those of a version, in each project that stands.
func (s *Service) namedReleases(ctx context.Context, version string) (all []namedRelease, err error) {
	for r, err := range s.named.All(ctx, docstore.Query{Index: byVersion, Equal: []any{version}}) {
		if err != nil {
			return nil, err
		}
		if err := s.stands(ctx, r.Project, ErrNoProject); err == nil {
			all = append(all, r)
		}
	}
	return all, nil
}

// removeNamed removes the releases of a project that nobody has told of for as long as events
// are kept, and what are too many.
func (s *Service) removeNamed(ctx context.Context, p Project) error {
	n, cutoff := 0, s.cutoff()
	for r, err := range s.named.All(ctx, docstore.Query{Index: "by_at", Equal: []any{p.ID}, Descending: true, Limit: docstore.MaxLimit}) {
		if n++; err == nil && (n > maxNamed || r.toldAt().Before(cutoff.Time)) {
			err = docstore.NotFoundAs(s.named.Delete(ctx, r.ID), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
