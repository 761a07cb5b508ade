package errtrack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/axiomhq/hyperloglog"

	"manus/docstore"
	"manus/language"
)

// ReleaseDay is what became of the sessions of a release in an environment that began on one
// day.
//
// A program tells of a session several times: that it began, had errors, ended. Sessions
// are counted as sets of their ids, which are kept as HyperLogLog sketches: so a session is
// counted once in each set that it belongs to, however often and in whichever order it is
// told of, and one with errors that crashes later is moved. Sets of some hundred are exact,
// larger ones some percent off, each by itself: a crash-free rate of 99.9 % is off by some
// hundredths of a percent. What programs have added up themselves has no ids; it is counted
// as it comes, and again when it is sent again.
type ReleaseDay struct {
	ID          string        `json:"_id"`
	Project     string        `json:"project"`
	Release     string        `json:"release"`
	Environment string        `json:"environment"`
	Day         int64         `json:"day"` // since 1970
	FirstSeen   docstore.Time `json:"first_seen"`
	LastSeen    docstore.Time `json:"last_seen"`
	Sets        sessionSets   `json:"sets"`
	// Added are sessions that programs have added up.
	Added sessionCounts `json:"added,omitzero"`
}

// sessionSets are sketches: of sessions, of those of them that had errors, crashed, or ended
// without the program's knowing, of people, and of those of them whose sessions crashed.
type sessionSets struct {
	Sessions     []byte `json:"sessions,omitempty"`
	Errored      []byte `json:"errored,omitempty"`
	Crashed      []byte `json:"crashed,omitempty"`
	Abnormal     []byte `json:"abnormal,omitempty"`
	People       []byte `json:"people,omitempty"`
	CrashedUsers []byte `json:"crashed_users,omitempty"`
}

// sessionCounts are numbers of sessions. Errored are those that had errors and neither
// crashed nor ended abnormally.
type sessionCounts struct {
	Sessions int64 `json:"sessions"`
	Errored  int64 `json:"errored,omitempty"`
	Crashed  int64 `json:"crashed,omitempty"`
	Abnormal int64 `json:"abnormal,omitempty"`
}

// DocumentID is the day's id.
func (r ReleaseDay) DocumentID() string { return r.ID }

const byReleaseDay = "by_day"

var releaseSpec = docstore.Spec{Collection: "error_releases", Of: ReleaseDay{}, Transient: true, Indexes: []docstore.Index{
	{Name: byReleaseDay, Fields: []string{"project", "day"}},
}}

// Bounds of releases and sessions.
const (
	// maxReleases is how many releases and environments there may be on one day of a project.
	maxReleases = 100
	// maxAggregates is how many sums one item may hold, maxSessions how many sessions one is of.
	maxAggregates = 100
	maxSessions   = 1_000_000_000
	// sessionPrecision makes sketches of at most 4 KiB that are 1.6 % off.
	sessionPrecision = 12
	// sessionsTogether is how many reports are written together.
	sessionsTogether = 256
	// releasesShown is how far back releases are listed.
	releasesShown = 30 // days
)

// sessionReport is what an item says of the sessions of a release on a day.
type sessionReport struct {
	release, environment string
	at                   time.Time // when they began
	session, person      uint64    // hashes; 0 where none is named
	status               string
	errored              bool
	added                sessionCounts
}

// wireTime is a time, or zero where it can't be read.
type wireTime struct{ time.Time }

// UnmarshalJSON never fails.
func (t *wireTime) UnmarshalJSON(data []byte) error {
	if t.Time.UnmarshalJSON(data) != nil {
		t.Time = time.Time{}
	}
	return nil
}

type wireAttributes struct {
	Release     string `json:"release"`
	Environment string `json:"environment"`
}

// wireCounts are sums of the protocol; each session is in one of them.
type wireCounts struct {
	Exited, Errored, Crashed, Abnormal float64
	Unhandled                          float64 // crashed, of a program that goes on as pages do
}

func (w wireCounts) counts() sessionCounts {
	number := func(n float64) int64 {
		if !(n > 0) {
			return 0
		}
		return int64(min(n, maxSessions))
	}
	c := sessionCounts{Errored: number(w.Errored), Crashed: number(w.Crashed) + number(w.Unhandled), Abnormal: number(w.Abnormal)}
	c.Sessions = number(w.Exited) + c.Errored + c.Crashed + c.Abnormal
	return c
}

// readSessions reads an item of the type session or sessions. What is of the wrong type is
// as if it weren't there. It returns ErrInvalid for what names no release.
func readSessions(payload []byte) ([]sessionReport, error) {
	var wire struct {
		SID        string         `json:"sid"`
		DID        any            `json:"did"` // a number, where people have such
		Status     string         `json:"status"`
		Errors     float64        `json:"errors"`
		Started    wireTime       `json:"started"`
		Attributes wireAttributes `json:"attrs"`
		Aggregates []struct {
			Started wireTime `json:"started"`
			DID     any      `json:"did"`
			wireCounts
		} `json:"aggregates"`
	}
	err := json.Unmarshal(payload, &wire)
	if _, isType := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !isType {
		return nil, fmt.Errorf("%w: the session is no JSON object", ErrInvalid)
	}
	of := sessionReport{release: language.Cut(wire.Attributes.Release, maxTagged), environment: cmp.Or(language.Cut(wire.Attributes.Environment, maxEnvironment), "production")}
	if of.release == "" {
		return nil, fmt.Errorf("%w: the session names no release", ErrInvalid)
	}
	if wire.SID != "" {
		of.at, of.session, of.person, of.status, of.errored = wire.Started.Time, number64(strings.ReplaceAll(strings.ToLower(wire.SID), "-", "")), personNumber(wire.DID), wire.Status, wire.Errors > 0
		return []sessionReport{of}, nil
	}
	var all []sessionReport
	for _, sum := range wire.Aggregates[:min(len(wire.Aggregates), maxAggregates)] {
		of.at, of.person, of.added = sum.Started.Time, personNumber(sum.DID), sum.counts()
		of.status = ""
		if of.added.Crashed > 0 {
			of.status = "crashed"
		}
		if of.added.Sessions > 0 {
			all = append(all, of)
		}
	}
	return all, nil
}

// number64 is a number for a name, never 0.
func number64(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint64(sum[:]) | 1
}

// personNumber is a number for somebody's distinct id, from which it can't be told who that is.
func personNumber(did any) uint64 {
	switch id := did.(type) {
	case string:
		if id != "" {
			return number64(id)
		}
	case float64:
		return number64(strconv.FormatFloat(id, 'f', -1, 64))
	}
	return 0
}

// takeSessions keeps an item of the type session or sessions.
func (d *delivery) takeSessions(ctx context.Context, sentAt time.Time, payload []byte) {
	reports, err := readSessions(payload)
	if errors.Is(err, ErrInvalid) {
		err = d.malformed(err)
	}
	if err == nil {
		scrub := d.policy.Load().scrubber.Text
		for i := range reports {
			r := &reports[i]
			r.at, r.release, r.environment = d.onTime(r.at, sentAt), scrub(r.release), scrub(r.environment)
		}
		err = d.takeReports(ctx, d.project.ID, reports)
	}
	d.err = cmp.Or(d.err, err)
}

// sessionArrival is what waits to be written together with others.
type sessionArrival struct {
	project string
	reports []sessionReport
	done    chan error
}

// takeReports counts sessions, and returns when that is written. One that there is no room for
// is counted as lost. Errors are ErrBusy, when the program ends, and the store's: then it may
// be counted nevertheless.
func (s *Service) takeReports(ctx context.Context, project string, reports []sessionReport) error {
	if len(reports) == 0 {
		return nil
	}
	a := &sessionArrival{project, reports, make(chan error, 1)}
	select {
	case s.sessions <- a:
	case <-s.intake.stopped:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-a.done:
		return err
	case <-s.intake.stopped:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// countSessions writes what waits, until ctx ends: all of a release at once, so that many
// sessions are few writes.
func (s *Service) countSessions(ctx context.Context) {
	for {
		var all []*sessionArrival
		select {
		case a := <-s.sessions:
			all = append(all, a)
		case <-ctx.Done():
			return
		}
		for more := true; more && len(all) < sessionsTogether; {
			select {
			case a := <-s.sessions:
				all = append(all, a)
			default:
				more = false
			}
		}
		s.writeSessions(context.WithoutCancel(ctx), all)
	}
}

func (s *Service) writeSessions(ctx context.Context, all []*sessionArrival) {
	ctx, cancel := context.WithTimeout(ctx, keepWithin)
	defer cancel()
	byDay := map[string]*dayReports{}
	for _, a := range all {
		for _, r := range a.reports {
			day := r.at.Unix() / 86400
			id := releaseID(a.project, day, r.release, r.environment)
			if byDay[id] == nil {
				at := docstore.At(r.at)
				byDay[id] = &dayReports{day: ReleaseDay{ID: id, Project: a.project, Release: r.release, Environment: r.environment, Day: day, FirstSeen: at, LastSeen: at}}
			}
			byDay[id].reports = append(byDay[id].reports, r)
			byDay[id].by = append(byDay[id].by, a)
		}
	}
	failures := map[*sessionArrival]error{}
	for _, id := range slices.Sorted(maps.Keys(byDay)) {
		d := byDay[id]
		err := s.writeDay(ctx, d)
		if errors.Is(err, errNoRoom) {
			s.lose(d.day.Project, lostToBound, int64(len(d.reports)))
			err = nil
		}
		for _, a := range d.by {
			failures[a] = cmp.Or(failures[a], err)
		}
	}
	for _, a := range all {
		a.done <- failures[a]
	}
}

// dayReports are the reports of a release's day, and who waits for each.
type dayReports struct {
	day     ReleaseDay
	reports []sessionReport
	by      []*sessionArrival
}

// writeDay counts reports. It returns errNoRoom where there are too many releases that day.
func (s *Service) writeDay(ctx context.Context, d *dayReports) error {
	if _, err := s.releases.Get(ctx, d.day.ID); errors.Is(err, docstore.ErrNotFound) {
		there, _, err := s.releases.Find(ctx, docstore.Query{Index: byReleaseDay, Equal: []any{d.day.Project, d.day.Day}, Limit: maxReleases})
		if err != nil || len(there) == maxReleases {
			return cmp.Or(err, errNoRoom)
		}
	} else if err != nil {
		return err
	}
	_, err := s.releases.Upsert(ctx, d.day, func(r *ReleaseDay, _ bool) error { r.count(d.reports); return nil })
	return err
}

// releaseID is of a release's day. A project's are from its number and "." to its number and
// "/".
func releaseID(project string, day int64, release, environment string) string {
	sum := sha256.Sum256([]byte(release + "\x00" + environment))
	return fmt.Sprintf("%s.%d.%s", project, day, hex.EncodeToString(sum[:12]))
}

// count counts sessions that began on the day.
func (r *ReleaseDay) count(all []sessionReport) {
	sets := r.Sets.open()
	for _, one := range all {
		at := docstore.At(one.at)
		if at.Before(r.FirstSeen.Time) {
			r.FirstSeen = at
		}
		if at.After(r.LastSeen.Time) {
			r.LastSeen = at
		}
		r.Added.add(one.added)
		sets.add(one)
	}
	r.Sets = sets.kept()
}

func (c *sessionCounts) add(other sessionCounts) {
	c.Sessions += other.Sessions
	c.Errored += other.Errored
	c.Crashed += other.Crashed
	c.Abnormal += other.Abnormal
}

// openSets are sessionSets as they are worked with.
type openSets struct {
	sessions, errored, crashed, abnormal, people, crashedUsers *hyperloglog.Sketch
}

func (s sessionSets) open() openSets {
	read := func(data []byte) *hyperloglog.Sketch { return readSketch(data, sessionPrecision) }
	return openSets{read(s.Sessions), read(s.Errored), read(s.Crashed), read(s.Abnormal), read(s.People), read(s.CrashedUsers)}
}

// add puts a session into the sets that it belongs to.
func (o openSets) add(r sessionReport) {
	crashed := r.status == "crashed" || r.status == "unhandled" // as browsers' SDK calls it from version 11 on
	if r.session != 0 {
		o.sessions.InsertHash(r.session)
		bad := crashed || r.status == "abnormal"
		if bad || r.errored || r.status == "errored" {
			o.errored.InsertHash(r.session)
		}
		if crashed {
			o.crashed.InsertHash(r.session)
		} else if bad {
			o.abnormal.InsertHash(r.session)
		}
	}
	if r.person != 0 {
		o.people.InsertHash(r.person)
		if crashed {
			o.crashedUsers.InsertHash(r.person)
		}
	}
}

func (o openSets) kept() sessionSets {
	write := func(sketch *hyperloglog.Sketch) []byte {
		if sketch.Estimate() == 0 {
			return nil
		}
		data, _ := sketch.MarshalBinary() // it fails for no sketch of ours
		return data
	}
	return sessionSets{write(o.sessions), write(o.errored), write(o.crashed), write(o.abnormal), write(o.people), write(o.crashedUsers)}
}

// merge adds what others hold.
func (o openSets) merge(other openSets) error {
	return errors.Join(
		o.sessions.Merge(other.sessions), o.errored.Merge(other.errored), o.crashed.Merge(other.crashed),
		o.abnormal.Merge(other.abnormal), o.people.Merge(other.people), o.crashedUsers.Merge(other.crashedUsers),
	)
}

// ReleaseHealth is how a release does in an environment, in the sessions of the last 30 days.
type ReleaseHealth struct {
	Project, Release, Environment        string
	Sessions, Errored, Crashed, Abnormal int64
	Users, CrashedUsers                  int64 // none where programs name nobody
	FirstSeen, LastSeen                  docstore.Time
}

// Releases are a project's releases that had sessions, or those of all projects, the one
// that was seen last first. Errors are ErrNoProject and the store's.
func (s *Service) Releases(ctx context.Context, project string) ([]ReleaseHealth, error) {
	projects, err := s.Projects(ctx)
	if project != "" {
		var p Project
		p, err = s.Project(ctx, project)
		projects = []Project{p}
	}
	if err != nil {
		return nil, err
	}
	var all []ReleaseHealth
	for _, p := range projects {
		of, err := s.releasesOf(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	slices.SortStableFunc(all, func(a, b ReleaseHealth) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen.Time), cmp.Compare(a.Release, b.Release), cmp.Compare(a.Environment, b.Environment))
	})
	return all, nil
}

// releasesOf puts the days of each of a project's releases together.
func (s *Service) releasesOf(ctx context.Context, p Project) (all []ReleaseHealth, err error) {
	type total struct {
		ReleaseHealth
		sets  openSets
		added sessionCounts
	}
	totals := map[[2]string]*total{}
	since := s.c.Now().Unix()/86400 - releasesShown
	for day, err := range s.releases.All(ctx, docstore.Query{Index: byReleaseDay, Equal: []any{p.ID}, From: since}) {
		if err != nil {
			return nil, err
		}
		name := [2]string{day.Release, day.Environment}
		t := totals[name]
		if t == nil {
			t = &total{ReleaseHealth: ReleaseHealth{Project: p.ID, Release: day.Release, Environment: day.Environment, FirstSeen: day.FirstSeen}, sets: sessionSets{}.open()}
			totals[name] = t
		}
		t.LastSeen = day.LastSeen
		t.added.add(day.Added)
		if err := t.sets.merge(day.Sets.open()); err != nil {
			return nil, err
		}
	}
	for _, t := range totals {
		number := func(sketch *hyperloglog.Sketch) int64 { return int64(sketch.Estimate()) }
		t.Crashed, t.Abnormal = number(t.sets.crashed), number(t.sets.abnormal)
		t.Errored = max(0, number(t.sets.errored)-t.Crashed-t.Abnormal) + t.added.Errored
		t.Sessions = max(number(t.sets.sessions), t.Crashed) + t.added.Sessions
		t.Crashed += t.added.Crashed
		t.Abnormal += t.added.Abnormal
		t.CrashedUsers = number(t.sets.crashedUsers)
		t.Users = max(number(t.sets.people), t.CrashedUsers)
		all = append(all, t.ReleaseHealth)
	}
	return all, nil
}

// removeReleases removes the days of a project's releases that are older than events may be.
func (s *Service) removeReleases(ctx context.Context, p Project) error {
	_, err := s.releases.DeleteAll(ctx, docstore.Query{Index: byReleaseDay, Equal: []any{p.ID}, Until: s.cutoff().Unix() / 86400})
	return err
}
