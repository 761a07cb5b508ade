package errtrack

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"manus/docstore"
	"manus/internal/cron"
	"manus/language"
)

// MonitorConfig is how a job is to be watched, as its program says it in each check-in
// (monitor_config of the protocol).
type MonitorConfig struct {
	// Crontab is a line of a crontab by the clocks of Timezone, UTC where that is empty; or
	// else the job reports Every so many of Unit. Without either it is never missed.
	Crontab  string `json:"crontab,omitempty"`
	Every    int64  `json:"every,omitempty"`
	Unit     string `json:"unit,omitempty"` // minute, hour, day, week, month, year
	Timezone string `json:"timezone,omitempty"`
	// Margin is by how many minutes it may be late, and MaxRuntime how many it may take.
	Margin     int64 `json:"margin"`
	MaxRuntime int64 `json:"max_runtime"`
	// Failures are how many in a row are told, and Recoveries how many times in a row it has
	// to end well for that to be over.
	Failures   int64 `json:"failures"`
	Recoveries int64 `json:"recoveries"`
}

// What holds where a program says nothing, and the most that it may say; both are Sentry's.
const (
	defaultMargin     = 1
	defaultMaxRuntime = 30
	maxMinutes        = 40_320 // 28 days
	maxThreshold      = 720
)

func defaultConfig() MonitorConfig {
	return MonitorConfig{Margin: defaultMargin, MaxRuntime: defaultMaxRuntime, Failures: 1, Recoveries: 1}
}

// Bounds of what a configuration says. What is longer than a line of a crontab may be is
// refused as one, and so it is after it was cut.
const (
	maxCrontab  = 300
	maxTimezone = 64
	maxUnits    = 1_000_000
	// watchedYears is how far ahead a job can be due.
	watchedYears = 40
)

// wireConfig is a monitor_config as programs send it. Numbers may have a fraction.
type wireConfig struct {
	Schedule struct {
		Type  string          `json:"type"`
		Value json.RawMessage `json:"value"`
		Unit  string          `json:"unit"`
	} `json:"schedule"`
	Margin     float64 `json:"checkin_margin"`
	MaxRuntime float64 `json:"max_runtime"`
	Timezone   string  `json:"timezone"`
	Failures   float64 `json:"failure_issue_threshold"`
	Recoveries float64 `json:"recovery_threshold"`
}

func (w wireConfig) config() MonitorConfig {
	number := func(n float64, otherwise, most int64) int64 {
		if !(n > 0) { // nor NaN
			return otherwise
		}
		return int64(max(1, min(n, float64(most))))
	}
	c := MonitorConfig{
		Timezone: language.Cut(w.Timezone, maxTimezone), Margin: number(w.Margin, defaultMargin, maxMinutes), MaxRuntime: number(w.MaxRuntime, defaultMaxRuntime, maxMinutes),
		Failures: number(w.Failures, 1, maxThreshold), Recoveries: number(w.Recoveries, 1, maxThreshold),
	}
	switch w.Schedule.Type {
	case "crontab":
		_ = json.Unmarshal(w.Schedule.Value, &c.Crontab) // what is no text is refused as a line
		if c.Crontab = language.Cut(c.Crontab, maxCrontab); c.Crontab == "" {
			c.Crontab = "?"
		}
	case "interval":
		var n float64
		_ = json.Unmarshal(w.Schedule.Value, &n)
		c.Every, c.Unit = number(n, -1, maxUnits), language.Cut(w.Schedule.Unit, maxTimezone)
	}
	return c
}

// schedule says when a job is due first after a moment.
type schedule interface {
	Next(after time.Time) time.Time
}

// schedule is the configuration's; nil where it has none.
func (c MonitorConfig) schedule() (schedule, error) {
	switch {
	case c.Crontab != "":
		zone := c.Timezone
		if zone == "" {
			zone = "UTC"
		}
		return cron.Parse("CRON_TZ=" + zone + " " + c.Crontab)
	case c.Unit != "" || c.Every != 0:
		if s := (interval{int(c.Every), c.Unit}); c.Every > 0 && !s.Next(time.Unix(0, 0)).IsZero() {
			return s, nil
		}
		return nil, errors.New("it isn't a number of minutes, hours, days, weeks, months or years")
	}
	return nil, nil //nolint:nilnil // a job without a schedule is a job
}

// problem is what is wrong with the schedule; empty where nothing is.
func (c MonitorConfig) problem() string {
	if _, err := c.schedule(); err != nil {
		return err.Error()
	}
	return ""
}

// String is the schedule as people read it.
func (c MonitorConfig) String() string {
	if c.Crontab != "" {
		return c.Crontab
	}
	if c.Every > 0 {
		return "every " + strconv.FormatInt(c.Every, 10) + " " + c.Unit
	}
	return ""
}

// next is when a job is due first after a moment; zero for never, or not within
// watchedYears.
func (c MonitorConfig) next(after time.Time) docstore.Time {
	s, err := c.schedule()
	if s == nil || err != nil {
		return docstore.Time{}
	}
	at := s.Next(after)
	if at.IsZero() || !at.After(after) || at.After(after.AddDate(watchedYears, 0, 0)) {
		return docstore.Time{}
	}
	return docstore.At(at)
}

func (c MonitorConfig) margin() time.Duration     { return time.Duration(c.Margin) * time.Minute }
func (c MonitorConfig) maxRuntime() time.Duration { return time.Duration(c.MaxRuntime) * time.Minute }

// interval is a time after the job has reported last.
type interval struct {
	n    int
	unit string
}

// Next is the moment and the interval together; zero for a unit that there isn't.
func (i interval) Next(after time.Time) time.Time {
	switch i.unit {
	case "minute":
		return after.Add(time.Duration(i.n) * time.Minute)
	case "hour":
		return after.Add(time.Duration(i.n) * time.Hour)
	case "day":
		return after.AddDate(0, 0, i.n)
	case "week":
		return after.AddDate(0, 0, 7*i.n)
	case "month":
		return after.AddDate(0, i.n, 0)
	case "year":
		return after.AddDate(i.n, 0, 0)
	}
	return time.Time{}
}
