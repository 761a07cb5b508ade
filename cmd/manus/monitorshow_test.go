package main

import (
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/uptime"
	"manus/uptime/heartbeat"
)

func TestAHeartbeatIsShownWithTheChangesOfClocks(t *testing.T) {
	t.Parallel()
	schedule, err := heartbeat.Expectation{Cron: "30 2 * * *", Timezone: "Europe/Berlin", Grace: 10 * time.Minute}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2027, 3, 26, 12, 0, 0, 0, time.UTC)
	b := &uptime.Beats{
		Schedule: schedule, URL: "https://app.example.com/ping/KEY", Standing: heartbeat.Standing{Kind: heartbeat.Well, Due: now.Add(time.Hour)},
		Pings: []heartbeat.Ping{{At: docstore.At(now), Signal: heartbeat.Fail, Status: 3, Took: 1500, From: "192.0.2.1", Line: "disk full"}},
	}
	var out strings.Builder
	showBeats(&out, b, now)
	for _, want := range []string{
		"30 2 * * * Europe/Berlin, with 10m0s of grace", "https://app.example.com/ping/KEY",
		"2027-03-27 02:30:00 +01:00 (CET)\n", "2027-03-28 03:00:00 +02:00 (CEST) <- clocks went forward by 1h0m0s\n", "2027-03-29 02:30:00 +02:00 (CEST)\n",
		"fail, exit status 3, after 1.5s, from 192.0.2.1: disk full\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q isn't in\n%s", want, out.String())
		}
	}
}
