package uptime

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"manus/docstore"
	"manus/internal/cache"
	"manus/internal/timeline"
	"manus/language"
	"manus/uptime/heartbeat"
	"manus/uptime/probe"
)

// Heartbeat is the type of monitors that aren't looked at: their jobs report by themselves.
const Heartbeat probe.Kind = "heartbeat"

// heart is what a heartbeat's job has said, and the key by which it does.
type heart struct {
	ID      string           `json:"_id"` // the monitor's, or installationKey
	Key     string           `json:"key"`
	Changed docstore.Time    `json:"changed,omitzero"` // when the last ping came
	Record  heartbeat.Record `json:"record"`
}

// DocumentID is the monitor's id.
func (h heart) DocumentID() string { return h.ID }

// installationKey is the id of the one key by which jobs name their monitors by id; no monitor
// has such an id.
const installationKey = "*"

const (
	byKey     = "by_key"
	byChanged = "by_changed"
)

var heartSpec = docstore.Spec{Collection: "heartbeats", Of: heart{}, Indexes: []docstore.Index{
	{Name: byKey, Fields: []string{"key"}, Unique: true},
	{Name: byChanged, Fields: []string{"changed"}},
}}

// spoken is what came with a ping. Of a monitor there are as many as its record has pings.
type spoken struct {
	ID   string        `json:"_id"` // see spokenID
	Seq  int64         `json:"seq"` // the ping's
	At   docstore.Time `json:"at"`
	Text string        `json:"text"`
}

// DocumentID is the monitor's id and a place among its pings.
func (s spoken) DocumentID() string { return s.ID }

func spokenID(monitor string, seq int64) string {
	return fmt.Sprintf("%s/%02d", monitor, seq%heartbeat.MaxPings)
}

var spokenSpec = docstore.Spec{Collection: "heartbeat_bodies", Of: spoken{}, Transient: true, Indexes: []docstore.Index{
	{Name: byAt, Fields: []string{"at"}},
}}

const (
	// maxSaid is how much of what comes with a ping is kept, in bytes, and saidFor for how long.
	maxSaid = 10 << 10
	saidFor = 30 * 24 * time.Hour
	// maxLine is how much of its first line is told in an alert, in characters.
	maxLine = 200
)

// pings is what is kept of heartbeats.
type pings struct {
	hearts *docstore.Collection[heart]
	bodies *docstore.Collection[spoken]
	known  *cache.Cache[string, string] // ids by keys
	// unknown are what was taken for keys: they take no place of those that are.
	unknown *cache.Cache[string, struct{}]
	// schedules are those that were read, as many heartbeats have the same.
	schedules *cache.Cache[heartbeat.Expectation, *heartbeat.Schedule]
}

func newPings(store docstore.Store) pings {
	return pings{
		hearts: docstore.NewCollection[heart](store, heartSpec), bodies: docstore.NewCollection[spoken](store, spokenSpec),
		known: cache.New[string, string](time.Minute, MaxMonitors), unknown: cache.New[string, struct{}](time.Minute, MaxMonitors),
		schedules: cache.New[heartbeat.Expectation, *heartbeat.Schedule](0, MaxMonitors),
	}
}

func (s *Service) sweepSaid(ctx context.Context) error {
	q := docstore.Query{Index: byAt, Until: docstore.At(s.c.Now().Add(-saidFor)), Limit: docstore.MaxLimit}
	_, err := s.pings.bodies.DeleteAll(ctx, q)
	return err
}

// heartsOf are what is known of the heartbeats among monitors, by id, and the installation's
// key. Those that have none get their keys. expect, where it isn't nil, may change what is
// known of one. Errors are the store's.
func (s *Service) heartsOf(ctx context.Context, monitors []Monitor, expect func(Monitor, *heart) bool) (map[string]heart, error) {
	all := make(map[string]heart, len(monitors))
	byID := map[string]Monitor{installationKey: {}}
	for _, m := range monitors {
		if m.Type == Heartbeat {
			byID[m.ID] = m
		}
	}
	if len(byID) == 1 {
		return all, nil
	}
	changed := func(h *heart) bool {
		made := h.Key == ""
		if made {
			h.Key = rand.Text()
		}
		m := byID[h.ID]
		return m.ID != "" && expect != nil && expect(m, h) || made
	}
	var ids []string
	for id := range byID {
		ids = append(ids, id)
	}
	for some := range slices.Chunk(ids, docstore.MaxLimit) {
		known, err := s.pings.hearts.GetAll(ctx, some...)
		if err != nil {
			return nil, err
		}
		var changes []docstore.Change
		into := make([]heart, len(some))
		for i, id := range some {
			h := known[id]
			if all[id] = h; h.Key != "" && !changed(&h) {
				continue
			}
			change, err := s.pings.hearts.UpsertChange(heart{ID: id}, &into[i], func(h *heart, _ bool) error {
				if !changed(h) {
					return docstore.ErrUnchanged
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			changes = append(changes, change)
		}
		if err := errors.Join(s.c.Store.Batch(ctx, changes)...); err != nil {
			return nil, err
		}
		for _, h := range into {
			if h.ID != "" {
				all[h.ID] = h
			}
		}
	}
	return all, nil
}

// expecting has what a job says be held against its monitor's schedule from now on.
func (s *Service) expecting(m Monitor, h *heart) bool {
	schedule, err := s.scheduleOf(m)
	return err == nil && h.Record.Expect(schedule, s.c.Now())
}

// keys are as rand.Text makes them.
var validKey = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// idOf is whose key one is; empty where it is nobody's. Errors are the store's.
func (s *Service) idOf(ctx context.Context, key string) (string, error) {
	if !validKey.MatchString(key) || s.pings.unknown.Has(key) {
		return "", nil
	}
	id, err := s.pings.known.Load(key, func() (string, error) {
		h, err := s.pings.hearts.First(ctx, docstore.Query{Index: byKey, Equal: []any{key}})
		return h.ID, err
	})
	if errors.Is(err, docstore.ErrNotFound) {
		s.pings.unknown.Put(key, struct{}{})
		return "", nil
	}
	return id, err
}

// signal is what a word says of a job; false where it says nothing.
func signal(word string) (signal heartbeat.Signal, status int64, ok bool) {
	switch word {
	case "":
		return heartbeat.Success, 0, true
	case "start":
		return heartbeat.Start, 0, true
	case "fail":
		return heartbeat.Fail, 0, true
	}
	digits := strings.TrimPrefix(word, "-")
	if len(digits) > 10 || strings.Trim(digits, "0123456789") != "" { // Windows has ten
		return "", 0, false
	}
	status, err := strconv.ParseInt(word, 10, 64)
	if status != 0 {
		return heartbeat.Fail, status, err == nil
	}
	return heartbeat.Success, 0, err == nil
}

// pinged is the monitor that an address below /ping/ is of, and what it says of its job. It is
// false where there is no such thing. Errors are the store's.
func (s *Service) pinged(ctx context.Context, path string) (m Monitor, p heartbeat.Ping, ok bool, err error) {
	words := strings.SplitN(path, "/", 4)
	id, err := s.idOf(ctx, words[0])
	if err != nil || id == "" || slices.Contains(words, "") {
		return m, p, false, err
	}
	words = words[1:]
	if id == installationKey && len(words) > 0 {
		id, words = words[0], words[1:]
	}
	word := ""
	switch len(words) {
	case 0:
	case 1:
		word = words[0]
	default:
		return m, p, false, nil
	}
	m, there := s.set.Load().byID[id]
	if !there { // as it was just made by another copy
		set, _, err := s.current(ctx)
		if err != nil {
			return m, p, false, err
		}
		m, there = set.byID[id]
	}
	p.Signal, p.Status, ok = signal(word)
	return m, p, ok && there && m.Type == Heartbeat, nil
}

// hear notes what a job has said, and has it be judged. When it returns nil that is kept.
// Errors are the store's, or ErrNoMonitor.
func (s *Service) hear(ctx context.Context, monitor string, p heartbeat.Ping, body []byte) error {
	text := strings.ToValidUTF8(string(body), "\ufffd")
	p.Line, p.Size = firstLine(text), int64(len(body))
	var taken heartbeat.Ping
	h, err := s.pings.hearts.Upsert(ctx, heart{ID: monitor}, func(h *heart, _ bool) error {
		if h.Key == "" { // as it was named by its id before anybody has looked at it
			h.Key = rand.Text()
		}
		p.At = docstore.At(s.c.Now())
		h.Changed = p.At
		taken = h.Record.Take(p)
		return nil
	})
	if err != nil {
		return err
	}
	if len(body) > 0 {
		one := spoken{ID: spokenID(monitor, taken.Seq), Seq: taken.Seq, At: taken.At, Text: text}
		_, err := s.pings.bodies.Upsert(ctx, one, func(old *spoken, _ bool) error { *old = one; return nil })
		if err != nil {
			return err
		}
	}
	if w := s.leading.Load(); w != nil {
		w.hears(h)
	}
	return nil
}

// firstLine is the first line with anything in it.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return language.Cut(language.Line(line), maxLine)
}

// Beats is how a heartbeat is, for people.
type Beats struct {
	Schedule *heartbeat.Schedule
	heartbeat.Standing
	// URL is where its job pings, and Named is the same by its id.
	URL, Named string
	// Pings are the last ones, the newest first.
	Pings []heartbeat.Ping
	// Elsewhere is the time zone that its pings keep to, where that isn't the schedule's, and
	// LastThere is when the last of those came; nil where they do, or that can't be told, or in a
	// list of monitors.
	Elsewhere *time.Location
	LastThere time.Time

	record heartbeat.Record
}

// beats is how a heartbeat is; nil for another monitor.
func (s *Service) beats(m Monitor, hearts map[string]heart, unknown timeline.Spans, now time.Time) *Beats {
	if m.Type != Heartbeat {
		return nil
	}
	schedule, err := s.scheduleOf(m)
	if err != nil {
		return nil
	}
	h := hearts[m.ID]
	r := h.Record.Before(now)
	b := &Beats{Schedule: schedule, Standing: schedule.Judge(r, unknown, now), Pings: slices.Clone(r.Pings), record: r}
	slices.Reverse(b.Pings)
	base := strings.TrimSuffix(*s.url.Load(), "/") + "/ping/"
	b.URL, b.Named = base+h.Key, base+hearts[installationKey].Key+"/"+m.ID
	return b
}

// learn looks for the time zone that the pings keep to.
func (b *Beats) learn() {
	if b == nil {
		return
	}
	if zone, last, ok := b.Schedule.Elsewhere(b.record); ok {
		b.Elsewhere, b.LastThere = zone, last
	}
}

// showBeats completes what is shown of a monitor, where that is a heartbeat.
func (w *Watched) showBeats(b *Beats) {
	if w.Beats = b; b == nil {
		return
	}
	if w.Status == Up && b.Kind == heartbeat.Unheard {
		w.Status, w.Since = Unknown, time.Time{}
	}
	if len(b.Pings) > 0 {
		w.Last.At = b.Pings[0].At.Time
	}
}

// checkBeat says how a heartbeat is, as a result.
func (s *Service) checkBeat(ctx context.Context, id string) (probe.Result, error) {
	w, err := s.Monitor(ctx, id)
	if err != nil || w.Beats == nil {
		return probe.Result{}, err
	}
	return resultOf(w.Beats.Schedule, w.Beats.Standing, w.Beats.record, s.c.Now()), nil
}

// Said is what came with the last pings of a heartbeat, by their numbers. Errors are the
// store's.
func (s *Service) Said(ctx context.Context, monitor string) (map[int64]string, error) {
	all := map[int64]string{}
	q := docstore.Query{From: monitor + "/", Until: monitor + "0"} // which comes after the slash
	for one, err := range s.pings.bodies.All(ctx, q) {
		if err != nil {
			return nil, err
		}
		all[one.Seq] = one.Text
	}
	return all, nil
}

// scheduleOf is when a heartbeat's job is to report, ready to be asked.
func (s *Service) scheduleOf(m Monitor) (*heartbeat.Schedule, error) {
	e := m.expectation()
	return s.pings.schedules.Load(e, e.Parse)
}

// expectation is when a heartbeat's job is to report.
func (m Monitor) expectation() heartbeat.Expectation {
	return heartbeat.Expectation{Every: m.Every, Cron: m.Cron, Timezone: m.Timezone, Grace: m.Grace, MaxRuntime: m.MaxRuntime}
}

// usualHeartbeat is usual for a heartbeat: its grace is all that confirms it.
func (m Monitor) usualHeartbeat() Monitor {
	if m.Name == "" {
		m.Name = m.ID
	}
	m.Confirm, m.UpAfter = &[]time.Duration{}, 1
	return m
}

// heartbeatProblems says what is wrong with a heartbeat as it is given.
func (m Monitor) heartbeatProblems() (problems []string) {
	for _, key := range m.targetKeys() {
		problems = append(problems, key+": isn't of heartbeats, as their jobs report by themselves")
	}
	if err := m.expectation().Check(); err != nil {
		problems = append(problems, strings.Split(err.Error(), "\n")...)
	}
	return problems
}

// keysGiven are the keys whose values aren't zero.
func keysGiven(keys ...any) (names []string) {
	for i := 0; i < len(keys); i += 2 {
		if keys[i+1].(bool) {
			names = append(names, keys[i].(string))
		}
	}
	return names
}

// targetKeys are those a monitor has that only say how something is looked at.
func (m Monitor) targetKeys() []string {
	return keysGiven("url", m.URL != "", "timeout", m.Timeout != 0, "expect", len(m.Expect) > 0, "confirm", m.Confirm != nil, "up_after", m.UpAfter != 0,
		"method", m.Method != "", "headers", len(m.Headers) > 0, "body", m.Body != "", "auth", m.Auth != Auth{}, "redirects", m.Redirect != nil,
		"proxy", m.Proxy != "", "ip", m.IP != 0, "private", m.Private, "server_name", m.ServerName != "", "record", m.Record != "", "resolver", m.Resolver != "",
		"certificate", m.Certificate != Certificate{}, "ca", m.CA != "")
}

// heartbeatKeys are those a monitor has that only heartbeats have.
func (m Monitor) heartbeatKeys() []string {
	return keysGiven("cron", m.Cron != "", "timezone", m.Timezone != "", "grace", m.Grace != 0, "max_runtime", m.MaxRuntime != 0)
}
