package errtrack

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/axiomhq/hyperloglog"

	"manus/audit"
	"manus/docstore"
	"manus/errtrack/event"
	"manus/errtrack/grouping"
	"manus/language"
)

// Issue is a bug: the events that have the same hashes, what is counted of them, and what
// people have decided.
type Issue struct {
	ID      string `json:"_id"`
	Short   string `json:"short"` // what people call it
	Project string `json:"project"`
	// Hashes are the ids of those that belong to it: several by a merge, or by new rules.
	Hashes []string `json:"hashes"`
	// OfHash are how many events of each of Hashes are counted.
	OfHash  []int64     `json:"of_hash"`
	Title   string      `json:"title"`
	Type    string      `json:"type,omitempty"`
	Value   string      `json:"value,omitempty"`
	Culprit string      `json:"culprit,omitempty"`
	Level   event.Level `json:"level"`
	// Why are its first event's reasons.
	Why grouping.Why `json:"why"`

	Status     Status        `json:"status"`
	Resolution *Resolution   `json:"resolution,omitempty"` // while resolved, and after
	Ignore     *Ignore       `json:"ignore,omitempty"`     // while ignored
	Assignee   string        `json:"assignee,omitempty"`
	Note       string        `json:"note,omitempty"`
	Regressed  int           `json:"regressed,omitempty"` // how often it came back
	CreatedAt  docstore.Time `json:"created_at"`
	First      string        `json:"first"` // its first event, as it is kept
	// Regression is the event by which it came back the last time.
	Regression regression `json:"regression,omitzero"`
	Words      int        `json:"words,omitempty"`  // how many it is found by,
	Places     int        `json:"places,omitempty"` // and how many releases and environments

	Count        int64         `json:"count"`
	Users        int64         `json:"users"` // an estimate, see people
	FirstSeen    docstore.Time `json:"first_seen"`
	LastSeen     docstore.Time `json:"last_seen"`
	FirstRelease string        `json:"first_release,omitempty"`
	LastRelease  string        `json:"last_release,omitempty"`

	// Into is what the issue has become a part of, while it is Merged; Absorbed are those that
	// have become a part of it.
	Into      string        `json:"into,omitempty"`
	MergedAt  docstore.Time `json:"merged_at,omitzero"`
	MergeDone bool          `json:"merge_done,omitempty"`
	Absorbed  []string      `json:"absorbed,omitempty"`
	// SplitFrom is what the issue is being split from, as long as that isn't done: it counts
	// nothing until then. Moved is what has been taken from this one for others.
	SplitFrom string  `json:"split_from,omitempty"`
	Moved     []moved `json:"moved,omitempty"`
	// Lost are the hashes that were split off: whoever thinks that they belong here is late.
	Lost []string `json:"lost,omitempty"`

	// Hours and Days are how many events there were in each hour, and in each day, of the 24
	// and 90 before the newest.
	Hours  series      `json:"hours,omitempty"`
	Days   series      `json:"days,omitempty"`
	Tags   []tagCounts `json:"tags,omitempty"`
	People []byte      `json:"people,omitempty"` // a HyperLogLog sketch
	Spikes []spike     `json:"spikes,omitempty"`

	// Counted says of processes that take events which of theirs are counted here.
	Counted []mark `json:"counted,omitempty"`

	Pending      []Alert       `json:"pending,omitempty"`
	PendingSince docstore.Time `json:"pending_since,omitzero"`
}

// DocumentID is the issue's id.
func (i Issue) DocumentID() string { return i.ID }

func (i *Issue) outbox() audit.Outbox[Alert] {
	return audit.Outbox[Alert]{Events: &i.Pending, Since: &i.PendingSince}
}

const byShort = "by_short"

// issueSpec has an index for each order that issues are listed in.
var issueSpec = docstore.Spec{Collection: "error_issues", Of: Issue{}, Transient: true, Indexes: []docstore.Index{
	{Name: byShort, Fields: []string{"short"}, Unique: true},
	{Name: "by_last_seen", Fields: []string{"project", "status", "last_seen"}},
	{Name: "by_first_seen", Fields: []string{"project", "status", "first_seen"}},
	{Name: "by_count", Fields: []string{"project", "status", "count"}},
	{Name: "by_users", Fields: []string{"project", "status", "users"}},
	audit.PendingIndex,
}}

// Status is what people have decided of an issue.
type Status string

// The statuses.
const (
	Unresolved Status = "unresolved"
	Resolved   Status = "resolved"
	Ignored    Status = "ignored"
	// Merged is what has become a part of another; it is kept for a while, for those that
	// don't know yet.
	Merged Status = "merged"
	// Splitting is what is being split from another, until it has its counts.
	Splitting Status = "splitting"
)

// Statuses are those that an issue is listed with.
var Statuses = []Status{Unresolved, Resolved, Ignored}

// mark is which events of a process are counted, and when the last were: of the batch
// those that have a bit, by their places in it, and all of the batches before it.
type mark struct {
	Writer string        `json:"writer"`
	Batch  int64         `json:"batch"`
	Events []byte        `json:"events"`
	At     docstore.Time `json:"at"`
}

// moved is what was taken from an issue for one that was split off, with the marks of what
// was counted of it.
type moved struct {
	To      string   `json:"to"`
	Count   int64    `json:"count"`
	Hashes  []string `json:"hashes,omitempty"` // as long as that isn't done
	OfHash  []int64  `json:"of_hash,omitempty"`
	Counted []mark   `json:"counted,omitempty"`
}

// regression is the event by which an issue came back.
type regression struct {
	Kept    string `json:"kept"` // as it is kept
	EventID string `json:"event_id"`
}

// Resolution is when and in which release an issue was resolved.
type Resolution struct {
	At docstore.Time `json:"at"`
	// In is "" for now, "release" for the release that was the newest one then, and "next" for
	// whichever comes after it.
	In      string `json:"in,omitempty"`
	Release string `json:"release,omitempty"`
	// Seen are the releases that it had been seen in until then.
	Seen []string `json:"seen,omitempty"`
}

// Ignore is until when an issue is ignored: the first that comes; none is for ever.
type Ignore struct {
	Until docstore.Time `json:"until,omitzero"`
	// Count and Users are at how many, by the issue's own numbers, it is looked at again; More
	// and MoreUsers how many more these were.
	Count     int64 `json:"count,omitempty"`
	Users     int64 `json:"users,omitempty"`
	More      int64 `json:"more,omitempty"`
	MoreUsers int64 `json:"more_users,omitempty"`
}

// Bounds of what an issue holds.
const (
	hoursKept  = 24
	daysKept   = 90
	valuesKept = 20
	tagsKept   = 24
	// releasesKept are the newest that it has been seen in.
	releasesKept = 50
	// peoplePrecision makes sketches of 1 KiB that are 3 % off.
	peoplePrecision = 10
	wordsKept       = 500
	placesKept      = 500 // releases and environments that it is found by
	// maxHashes is how many hashes an issue knows to be its own.
	maxHashes = 1000
)

// newIssue is the issue that a first event makes.
func newIssue(id string, s sighting, now docstore.Time) Issue {
	i := Issue{
		ID: id, Project: s.project, Title: s.group.Title, Type: s.group.Type, Value: s.group.Value, Culprit: s.group.Culprit,
		Level: s.level, Why: s.group.Why, First: s.kept, Status: Unresolved, CreatedAt: now, FirstSeen: s.at, LastSeen: s.at, FirstRelease: s.release, LastRelease: s.release,
	}
	if s.trial {
		i.Status, i.Ignore = Ignored, &Ignore{}
	}
	return i
}

// see counts events. It doesn't look at the status.
func (i *Issue) see(all []sighting) {
	people := readPeople(i.People)
	for _, s := range all {
		i.Count++
		if s.at.Before(i.FirstSeen.Time) {
			i.FirstSeen, i.FirstRelease = s.at, cmp.Or(s.release, i.FirstRelease)
		}
		if !s.at.Before(i.LastSeen.Time) {
			i.LastSeen, i.LastRelease, i.Level = s.at, cmp.Or(s.release, i.LastRelease), s.level
			i.Title, i.Type, i.Value, i.Culprit = s.group.Title, s.group.Type, s.group.Value, s.group.Culprit
		}
		i.Hours.add(s.at.Unix()/3600, 1, hoursKept)
		i.Days.add(s.at.Unix()/86400, 1, daysKept)
		if s.person != 0 {
			people.InsertHash(s.person)
		}
		for _, t := range s.tags {
			i.countTag(t, 1)
		}
	}
	i.setPeople(people)
}

// takes tells whether a hash is the issue's, or may become so.
func (i *Issue) takes(h string) bool {
	return slices.Contains(i.Hashes, h) || len(i.Hashes) < maxHashes && !slices.Contains(i.Lost, h)
}

// countHash counts events of a hash, which belongs to the issue from then on.
func (i *Issue) countHash(h string, n int64) {
	k := slices.Index(i.Hashes, h)
	if k < 0 {
		k, i.Hashes, i.OfHash = len(i.Hashes), append(i.Hashes, h), append(i.OfHash, 0)
	}
	i.OfHash[k] += n
}

// setPeople keeps a sketch, and what it estimates.
func (i *Issue) setPeople(people *hyperloglog.Sketch) {
	i.Users = int64(people.Estimate())
	if i.Users > 0 {
		i.People, _ = people.MarshalBinary() // it fails for no sketch of ours
	}
}

// series is how many there were at some times, counted in hours or days since 1970, in
// their order.
type series []bucket

type bucket struct {
	At int64 `json:"at"`
	N  int64 `json:"n"`
}

// since is how many there were at a time or later.
func (s series) since(at int64) (sum int64) {
	for _, b := range s {
		if b.At >= at {
			sum += b.N
		}
	}
	return sum
}

// add counts at a time, and forgets what is as many times before the newest as are kept.
func (s *series) add(at, n, kept int64) {
	i, found := slices.BinarySearchFunc(*s, at, func(b bucket, at int64) int { return cmp.Compare(b.At, at) })
	if !found {
		*s = slices.Insert(*s, i, bucket{At: at})
	}
	(*s)[i].N += n
	newest := (*s)[len(*s)-1].At
	*s = slices.DeleteFunc(*s, func(b bucket) bool { return b.At <= newest-kept })
}

// tagCounts are how often a tag had which value. What there is no room for is counted in
// Other.
type tagCounts struct {
	Key    string       `json:"key"`
	Values []valueCount `json:"values"`
	Other  int64        `json:"other,omitempty"`
}

type valueCount struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// Releases are those that the issue has been seen in, in the order in which they came up: the
// newest, as far as there is room for them.
func (i *Issue) Releases() (all []string) {
	for _, counts := range i.Tags {
		if counts.Key == "release" {
			for _, v := range counts.Values {
				all = append(all, v.Value)
			}
		}
	}
	return all
}

// countTag counts a tag's value, as long as there is room for it.
func (i *Issue) countTag(t tag, n int64) {
	k := slices.IndexFunc(i.Tags, func(counts tagCounts) bool { return counts.Key == t.key })
	if k < 0 {
		if len(i.Tags) >= tagsKept && t.key != "release" {
			return
		}
		k, i.Tags = len(i.Tags), append(i.Tags, tagCounts{Key: t.key})
	}
	counts := &i.Tags[k]
	v := slices.IndexFunc(counts.Values, func(c valueCount) bool { return c.Value == t.value })
	switch {
	case v >= 0:
		counts.Values[v].Count += n
	case t.key == "release" && len(counts.Values) >= releasesKept:
		counts.Other += counts.Values[0].Count
		counts.Values = append(slices.Delete(counts.Values, 0, 1), valueCount{t.value, n})
	case t.key == "release":
		counts.Values = append(counts.Values, valueCount{t.value, n})
	case len(counts.Values) < valuesKept:
		counts.Values = append(counts.Values, valueCount{t.value, n})
	default:
		counts.Other += n
	}
}

// readPeople is a sketch as it was kept; an empty one where there is none.
func readPeople(data []byte) *hyperloglog.Sketch { return readSketch(data, peoplePrecision) }

func readSketch(data []byte, precision uint8) *hyperloglog.Sketch {
	sketch, _ := hyperloglog.NewSketch(precision, true)
	if len(data) > 0 && sketch.UnmarshalBinary(data) != nil {
		sketch, _ = hyperloglog.NewSketch(precision, true)
	}
	return sketch
}

// absorb makes what is counted of another issue the issue's own.
func (i *Issue) absorb(from Issue) {
	for k, h := range from.Hashes {
		i.countHash(h, from.OfHash[k])
	}
	i.Counted = joinMarks(i.Counted, from.Counted)
	i.Absorbed = append(append(i.Absorbed, from.Absorbed...), from.ID)
	i.Count += from.Count
	if from.FirstSeen.Before(i.FirstSeen.Time) {
		i.FirstSeen, i.FirstRelease = from.FirstSeen, cmp.Or(from.FirstRelease, i.FirstRelease)
	}
	if i.Regression.Kept == "" {
		i.Regression = from.Regression
	}
	if from.LastSeen.After(i.LastSeen.Time) {
		i.LastSeen, i.LastRelease, i.Level = from.LastSeen, cmp.Or(from.LastRelease, i.LastRelease), from.Level
		i.Title, i.Type, i.Value, i.Culprit = from.Title, from.Type, from.Value, from.Culprit
	}
	for _, b := range from.Hours {
		i.Hours.add(b.At, b.N, hoursKept)
	}
	for _, b := range from.Days {
		i.Days.add(b.At, b.N, daysKept)
	}
	for _, counts := range from.Tags {
		for _, c := range counts.Values {
			i.countTag(tag{counts.Key, c.Value}, c.Count)
		}
		if k := slices.IndexFunc(i.Tags, func(mine tagCounts) bool { return mine.Key == counts.Key }); k >= 0 {
			i.Tags[k].Other += counts.Other
		}
	}
	people := readPeople(i.People)
	if people.Merge(readPeople(from.People)) == nil {
		i.setPeople(people)
	}
}

// showAs has the issue show what a summary of its events does.
func (i *Issue) showAs(sum Issue) {
	i.Title, i.Type, i.Value, i.Culprit, i.Level, i.Why, i.First = sum.Title, sum.Type, sum.Value, sum.Culprit, sum.Level, sum.Why, sum.First
	i.FirstSeen, i.FirstRelease, i.LastSeen, i.LastRelease = sum.FirstSeen, sum.FirstRelease, sum.LastSeen, sum.LastRelease
	i.Hours, i.Days, i.Tags, i.People, i.Users = sum.Hours, sum.Days, sum.Tags, sum.People, sum.Users
}

// spike is how many events there were within a time that began with the first of them.
type spike struct {
	Rule  string        `json:"rule"`
	Since docstore.Time `json:"since"`
	Count int64         `json:"count"`
	// Told is since when the last one was that was told.
	Told docstore.Time `json:"told,omitzero"`
}

// judge has what events mean for the status told, after they were counted. Trials mean
// nothing.
func (i *Issue) judge(all []sighting, isNew bool, policy Policy, now time.Time) {
	all = slices.DeleteFunc(slices.Clone(all), func(s sighting) bool { return s.trial })
	if len(all) == 0 {
		return
	}
	last := all[len(all)-1]
	switch {
	case isNew:
		i.tell(IssueNew, i.ID, last, i.Count, now, language.Text{})
	case i.Status == Resolved:
		if back := slices.IndexFunc(all, i.comesBack); back >= 0 {
			i.reopen(all[back], len(all), now, backIn(all[back].release))
		}
	case i.Status == Ignored && i.ignoredEnough(now):
		i.reopen(last, len(all), now, language.Text{En: "It was ignored until now.", Ar: "كانت متجاهلة حتى الآن."})
	}
	if i.Status == Unresolved {
		i.lookForSpikes(all, policy, now)
	}
}

// backIn says that an issue has come back, and in which release where that is known.
func backIn(release string) language.Text {
	if release == "" {
		return language.Text{En: "It was resolved and has come back.", Ar: "كانت محلولة وعادت."}
	}
	return language.Text{En: "It was resolved and has come back in the release #.", Ar: "كانت محلولة وعادت في الإصدار #."}.Quoting(release)
}

// reopen makes the issue unresolved again and tells that.
func (i *Issue) reopen(s sighting, events int, now time.Time, why language.Text) {
	i.Status, i.Ignore = Unresolved, nil
	i.Regressed++
	i.Regression = regression{s.kept, s.eventID}
	i.tell(IssueRegressed, i.comeback(), s, int64(events), now, why)
}

// comeback tells the last time that the issue came back from another one.
func (i *Issue) comeback() string { return i.ID + "/" + strconv.Itoa(i.Regressed) }

// tell notes an alert of the issue, by one of the events that it tells of and how many these
// are.
func (i *Issue) tell(kind, occurrence string, s sighting, told int64, now time.Time, text language.Text) {
	environment := ""
	tags := make([]Tag, len(s.tags))
	for n, t := range s.tags {
		tags[n] = Tag{t.key, t.value}
		if t.key == "environment" {
			environment = t.value
		}
	}
	begin, cameBack := beginnings[kind], ""
	if kind == IssueRegressed {
		cameBack = s.eventID
	}
	i.outbox().Note(Alert{
		ID: docstore.NewID(), Kind: kind, Occurrence: occurrence, At: docstore.At(now), Level: s.level, Environment: environment, EventID: s.eventID,
		Release: s.release, Tags: tags, Before: max(0, i.Count-told),
		Title: begin.Quoting(i.ToldAs()),
		Text:  language.Text{En: i.about(text, cameBack, language.English), Ar: i.about(text, cameBack, language.Arabic)},
	}, now)
}

// ToldAs is the issue's title as alerts have it: without people's addresses.
func (i Issue) ToldAs() string { return event.WithoutPeople(i.Title) }

// beginnings are how the titles of alerts begin: with what has happened.
var beginnings = map[string]language.Text{
	IssueNew:       {En: "New error: #", Ar: "خطأ جديد: #"},
	IssueRegressed: {En: "An error is back: #", Ar: "عاد خطأ: #"},
	IssueSpike:     {En: "Many errors: #", Ar: "أخطاء كثيرة: #"},
}

// about is the text of an alert: what is said, where it is, in which release, how often it
// was, which event it is about where that isn't the last, and how to see more of it.
func (i *Issue) about(said language.Text, eventID string, tag language.Tag) string {
	var parts []string
	add := func(sentence language.Text, value string) {
		if value != "" {
			parts = append(parts, sentence.Quoting(value).In(tag))
		}
	}
	if text := said.In(tag); text != "" {
		parts = append(parts, text)
	}
	add(language.Text{En: "In #.", Ar: "في #."}, event.WithoutPeople(i.Culprit))
	add(language.Text{En: "Release #.", Ar: "الإصدار #."}, i.LastRelease)
	if i.Count > 1 {
		parts = append(parts, language.Text{En: "Until now: ", Ar: "حتى الآن: "}.In(tag)+language.Events.In(tag, int(i.Count))+".")
	}
	add(language.Text{En: "The event: #.", Ar: "الحدث: #."}, eventID)
	add(language.Text{En: "See it with: #", Ar: "لعرضه: #"}, "manus errors show "+i.Short)
	return strings.Join(parts, " ")
}

// comesBack tells whether an event is one of after the issue was resolved.
func (i *Issue) comesBack(s sighting) bool {
	r := i.Resolution
	if r == nil || !s.at.After(r.At.Time) {
		return false
	}
	if r.In == "" || r.Release == "" || s.release == "" {
		return true
	}
	newer, same := i.comesAfter(s.release, r.Release)
	return newer || same && r.In == "release"
}

// ignoredEnough tells whether what the issue is ignored until has come.
func (i *Issue) ignoredEnough(now time.Time) bool {
	g := i.Ignore
	return g != nil && (!g.Until.IsZero() && !now.Before(g.Until.Time) || g.Count > 0 && i.Count >= g.Count || g.Users > 0 && i.Users >= g.Users)
}

// lookForSpikes counts events within the times that rules name, each time beginning with
// the first event after the one before. It tells once in each when they are too many.
func (i *Issue) lookForSpikes(all []sighting, policy Policy, now time.Time) {
	var kept []spike
	for _, rule := range policy.Spikes {
		name := fmt.Sprint(rule.Events, " in ", rule.Within)
		at := spike{Rule: name}
		if k := slices.IndexFunc(i.Spikes, func(s spike) bool { return s.Rule == name }); k >= 0 {
			at = i.Spikes[k]
		}
		if since := now.Sub(at.Since.Time); since >= rule.Within || since < 0 {
			at.Since, at.Count = docstore.At(now), 0
		}
		before := at.Count
		at.Count += int64(len(all))
		if before < int64(rule.Events) && at.Count >= int64(rule.Events) {
			at.Told = at.Since
			i.tell(IssueSpike, i.spikeOccurrence(at), all[len(all)-1], at.Count, now, spikeText(at.Count, rule))
			i.Pending[len(i.Pending)-1].Spike = rule // by which it is known whom to tell
		}
		kept = append(kept, at)
	}
	i.Spikes = kept
}

// spikeOccurrence tells the spike that was told last from another one.
func (i *Issue) spikeOccurrence(s spike) string { return i.ID + "/" + s.Rule + "/" + s.Told.String() }

func spikeText(events int64, rule Spike) language.Text {
	return language.Text{
		En: language.Events.In(language.English, int(events)) + " within " + language.English.Duration(rule.Within) + ".",
		Ar: language.Events.In(language.Arabic, int(events)) + " خلال " + language.Arabic.Duration(rule.Within) + ".",
	}
}
