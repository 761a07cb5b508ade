package main

import (
	"testing"
	"time"
)

func TestAMomentIsByTheClocksOfItsZone(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// The night in which clocks go back.
	now := time.Date(2026, 10, 24, 23, 0, 30, 0, berlin)
	for text, want := range map[string]string{
		"now":                       "2026-10-24T23:00:30+02:00",
		"23:30":                     "2026-10-24T23:30:00+02:00",
		"23:00":                     "2026-10-25T23:00:00+01:00",
		"01:00":                     "2026-10-25T01:00:00+02:00",
		"2026-12-01 02:00":          "2026-12-01T02:00:00+01:00",
		"2026-12-01T02:00":          "2026-12-01T02:00:00+01:00",
		"2026-12-01T02:00:00Z":      "2026-12-01T02:00:00Z",
		"2026-12-01T02:00:00+03:00": "2026-12-01T02:00:00+03:00",
		"tomorrow":                  "",
		"25:00":                     "",
		"":                          "",
		"2026-02-30 02:00":          "",
	} {
		at, err := readMoment(text, now, 1)
		if got := at.Format(time.RFC3339); (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"23:00": "2026-10-24T23:00:00+02:00", "23:30": "2026-10-23T23:30:00+02:00", "2026-12-01 02:00": "2026-12-01T02:00:00+01:00"} {
		if at, err := readMoment(text, now, -1); err != nil || at.Format(time.RFC3339) != want {
			t.Errorf("the last %q is %s, %v", text, at, err)
		}
	}
}
