package errtrack

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"manus/docstore"
	"manus/internal/sketch"
)

// RouteSort is an order of routes: the most, or the slowest, come first.
type RouteSort string

// The orders.
const (
	RoutesByCount  RouteSort = "count"
	RoutesByErrors RouteSort = "errors"
	RoutesByP95    RouteSort = "p95"
)

// RouteSearch is which routes are listed.
type RouteSearch struct {
	Project string    // its id or name; empty for all
	Since   time.Time // zero for a day ago
	Sort    RouteSort
	Limit   int
	Cursor  string
}

// TracedRoute is how a route of a project did in a time.
type TracedRoute struct {
	Project       string
	Route, Op     string
	Count, Errors int64
	// P50, P95 and P99 are the least durations that so many of a hundred are at or below, to one percent.
	P50, P95, P99 time.Duration
	PerMinute     float64
}

// TracedRoutes are the routes of which there were traces since a time, which begins with its
// hour, and the cursor of the next page. It returns ErrNoProject, docstore.ErrCursor or an
// error of the store.
func (s *Service) TracedRoutes(ctx context.Context, q RouteSearch) ([]TracedRoute, string, error) {
	from := 0
	if q.Cursor != "" {
		var err error
		if from, err = strconv.Atoi(q.Cursor); err != nil || from < 0 {
			return nil, "", docstore.ErrCursor
		}
	}
	projects, err := s.searched(ctx, q.Project)
	if err != nil {
		return nil, "", err
	}
	if err := s.writeRollups(context.WithoutCancel(ctx)); err != nil { // what this copy has is in it
		return nil, "", err
	}
	now := s.c.Now()
	if q.Since.IsZero() {
		q.Since = now.Add(-24 * time.Hour)
	}
	since := q.Since.UTC().Truncate(time.Hour)
	found, err := s.routesOf(ctx, projects, since, now)
	if err != nil {
		return nil, "", err
	}
	minutes := max(1, now.Sub(since).Minutes())
	var all []TracedRoute
	for one, of := range found {
		all = append(all, one.did(of, minutes))
	}
	slices.SortFunc(all, q.Sort.compare)
	start := min(from, len(all))
	end := min(start+cmp.Or(q.Limit, docstore.DefaultLimit), len(all))
	next := ""
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	return all[start:end], next, nil
}

// routesOf puts together how projects' routes did from an hour until now.
func (s *Service) routesOf(ctx context.Context, projects []Project, since, now time.Time) (map[route]*rollup, error) {
	found := map[route]*rollup{}
	for _, p := range projects {
		for _, q := range between(p, since, now) {
			for k, err := range s.routes.All(ctx, q) {
				if err != nil {
					return nil, err
				}
				one := route{k.Project, k.Route, k.Op}
				of := found[one]
				if of == nil {
					if len(found) >= maxRoutesSeen {
						s.c.Log.WarnContext(ctx, "there are more routes than a list has", "project", p.ID, "routes", len(found))
						return found, nil
					}
					of = &rollup{durations: sketch.New()}
					found[one] = of
				}
				if err := of.add(k.Count, k.Errors, k.Durations); err != nil {
					return nil, err
				}
			}
		}
	}
	return found, nil
}

// between are the periods from an hour until now, the newest first: the hours of today, the
// days before, and the hours of the first day.
func between(p Project, since, now time.Time) (all []docstore.Query) {
	add := func(of period, from, until int64) {
		if from < until {
			all = append(all, docstore.Query{From: of.prefix(p.ID, from), Until: of.prefix(p.ID, until), Descending: true, Limit: docstore.MaxLimit})
		}
	}
	first, last := hourly.number(since), hourly.number(now)+1
	today, day := daily.number(now), (first+23)/24 // the first that is whole
	if day >= today {
		add(hourly, first, last)
		return all
	}
	add(hourly, today*24, last)
	add(daily, day, today)
	add(hourly, first, day*24)
	return all
}

func (one route) did(of *rollup, minutes float64) TracedRoute {
	quantile := func(q float64) time.Duration {
		return time.Duration(of.durations.Quantile(q) * float64(time.Millisecond))
	}
	return TracedRoute{
		Project: one.project, Route: one.name, Op: one.op, Count: of.count, Errors: of.errors,
		P50: quantile(0.5), P95: quantile(0.95), P99: quantile(0.99), PerMinute: float64(of.count) / minutes,
	}
}

// compare orders routes; those that are alike by their names.
func (by RouteSort) compare(a, b TracedRoute) int {
	first := cmp.Compare(b.Count, a.Count)
	switch by {
	case RoutesByErrors:
		first = cmp.Compare(b.Errors, a.Errors)
	case RoutesByP95:
		first = cmp.Compare(b.P95, a.P95)
	case RoutesByCount:
	}
	return cmp.Or(first, cmp.Compare(a.Project, b.Project), strings.Compare(a.Route, b.Route), strings.Compare(a.Op, b.Op))
}
