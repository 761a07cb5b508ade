package errtrack

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/internal/storetest"
	"manus/language"
)

// hostile is what a stranger may say in the place of any value.
const hostile = "1.0\r\n\r\nYour account is locked:\u2028go to\u0085https://evil.example \u2066\u202e\u200b\u2069\x1b[2J"

// TestForeignValuesMakeNoTextOfTheirOwn: whatever programs say, an alert is one line, whose
// order of letters and isolates is ours.
func TestForeignValuesMakeNoTextOfTheirOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.New(t, Specs()...))
	e := r.event("a", 1)
	fill(reflect.ValueOf(e).Elem())
	e.ID, e.Timestamp, e.Level, e.Platform = r.event("a", 1).ID, r.clock.Now(), event.Error, "go"
	r.counted(t, e)
	i := r.only(t)
	alerts := i.Pending
	for _, kind := range []string{IssueNew, IssueRegressed, IssueSpike} {
		i.tell(kind, "x", sighting{kept: hostile, release: hostile, eventID: hostile, tags: []tag{{hostile, hostile}, {"environment", hostile}}}, 1, r.clock.Now(), backIn(hostile))
	}
	alerts = append(alerts, i.Pending...)
	m := CronMonitor{Slug: hostile, Environment: hostile, Config: defaultConfig(), Problem: hostile}
	for _, status := range []MonitorStatus{MonitorMissed, MonitorTimeout, MonitorError} {
		m.Failures, m.FailingSince = 5, docstore.Time{}
		m.fail(status, docstore.At(r.clock.Now()), docstore.At(r.clock.Now()))
	}
	m.succeed(docstore.At(r.clock.Now()))
	m.FailingSince = docstore.At(r.clock.Now())
	_ = m.retire(docstore.At(r.clock.Now()))
	alerts = append(alerts, m.Pending...)
	if len(alerts) < 7 {
		t.Fatalf("there are %d alerts", len(alerts))
	}
	for _, a := range alerts {
		for _, text := range []string{a.Title.En, a.Text.En, unisolated(a.Title.Ar), unisolated(a.Text.Ar)} {
			if text != language.Line(text) {
				t.Errorf("%s is told as %q", a.Kind, text)
			}
		}
	}
}

// unisolated is a text without isolates that are closed.
func unisolated(text string) string {
	for {
		end := strings.Index(text, "\u2069")
		begin := strings.LastIndex(text[:max(end, 0)], "\u2068")
		if end < 0 || begin < 0 {
			return text
		}
		text = text[:begin] + text[begin+3:end] + text[end+3:]
	}
}

// fill has each text of a value be hostile.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Struct:
		for n := range v.NumField() {
			if f := v.Field(n); f.CanSet() {
				fill(f)
			}
		}
	case reflect.Slice:
		for n := range v.Len() {
			fill(v.Index(n))
		}
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.String {
			v.SetMapIndex(reflect.ValueOf(hostile), reflect.ValueOf(hostile))
			for _, key := range slices.Clone(v.MapKeys()) {
				v.SetMapIndex(key, reflect.ValueOf(hostile))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem())
		}
	default:
	}
}
