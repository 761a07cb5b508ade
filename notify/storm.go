package notify

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"manus/language"
)

// Standing is how an issue stands by now that alerts were told of.
type Standing struct {
	// Subject is what it is called, another name after it was merged.
	Subject, Title, Project string
	Events                  int64 // in all
	Releases                []string
}

// Bounds of a storm: of how many issues a digest looks how they stand, and of an issue's title
// in its line, in characters.
const (
	maxStood      = 2_000
	maxStormTitle = 160
)

// storm is what has become of the issues that a digest holds alerts of.
type storm struct {
	issues             int
	events             int64 // since the first of these alerts
	more               bool  // it wasn't looked at all of them
	releases, projects map[string]bool
	worst              []stood // those with the most events
}

// stood is an issue, and how many of its events there were before.
type stood struct {
	Standing
	before int64
}

func (s stood) since() int64 { return max(0, s.Events-s.before) }

// stormOf looks how issues stand, which are given with how many events each had before.
func (s *Service) stormOf(ctx context.Context, before map[string]int64) (storm, error) {
	all, gone := map[string]*stood{}, 0
	names := slices.Sorted(maps.Keys(before))
	left := max(0, len(names)-maxStood)
	for _, name := range names[:len(names)-left] {
		standing, err := s.c.Issue(ctx, name)
		switch {
		case errors.Is(err, ErrNoAlert):
			gone++
			continue
		case err != nil:
			return storm{}, err
		}
		if all[standing.Subject] == nil {
			all[standing.Subject] = &stood{Standing: standing}
		}
		all[standing.Subject].before += before[name]
	}
	w := storm{issues: len(all) + gone + left, more: left > 0, releases: map[string]bool{}, projects: map[string]bool{}}
	for _, one := range all {
		w.events += one.since()
		w.projects[one.Project] = true
		for _, release := range one.Releases {
			w.releases[one.Project+"\x00"+release] = true
		}
		w.worst = append(w.worst, *one)
	}
	slices.SortFunc(w.worst, func(a, b stood) int {
		return cmp.Or(cmp.Compare(b.since(), a.since()), strings.Compare(a.Subject, b.Subject))
	})
	w.worst = w.worst[:min(len(w.worst), maxLines)]
	return w, nil
}

var (
	numberOfBugs = language.Plural{
		En: language.Forms{One: "# bug", Other: "# bugs"},
		Ar: language.Forms{One: "خطأ واحد", Two: "خطآن", Few: "# أخطاء", Many: "# خطأً", Other: "# خطأ"},
	}
	numberOfReleases = language.Plural{
		En: language.Forms{One: "# release", Other: "# releases"},
		Ar: language.Forms{One: "إصدار واحد", Two: "إصداران", Few: "# إصدارات", Many: "# إصدارًا", Other: "# إصدار"},
	}
	numberOfProjects = language.Plural{
		En: language.Forms{One: "# project", Other: "# projects"},
		Ar: language.Forms{One: "مشروع واحد", Two: "مشروعان", Few: "# مشاريع", Many: "# مشروعًا", Other: "# مشروع"},
	}
	atLeast     = language.Text{En: "at least ", Ar: "ما لا يقلّ عن "}
	stormComma  = language.Text{En: ", ", Ar: "، "}
	stormBeside = language.Text{En: "Errors of programs: ", Ar: "أخطاء البرامج: "}
)

// sum says how large it is: 1 bug, 41,000 events, 3 releases.
func (w storm) sum(tag language.Tag) string {
	parts := []string{numberOfBugs.In(tag, w.issues), language.Events.In(tag, int(w.events))}
	if w.more {
		parts[1] = atLeast.In(tag) + parts[1]
	}
	if n := len(w.releases); n > 0 {
		parts = append(parts, numberOfReleases.In(tag, n))
	}
	if n := len(w.projects); n > 1 {
		parts = append(parts, numberOfProjects.In(tag, n))
	}
	return strings.Join(parts, stormComma.In(tag))
}

// lines are the issues with the most events.
func (w storm) lines(tag language.Tag) (lines []string) {
	for _, one := range w.worst {
		size := []string{language.Events.In(tag, int(one.since()))}
		if n := len(one.Releases); n > 0 {
			size = append(size, numberOfReleases.In(tag, n))
		}
		title := language.Cut(language.Line(one.Title), maxStormTitle)
		if one.Project != "" {
			title += " (" + one.Project + ")"
		}
		lines = append(lines, strings.Join(size, stormComma.In(tag))+" — "+tag.Isolate(one.Subject)+" — "+tag.Quote(title))
	}
	return lines
}
