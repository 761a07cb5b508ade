package app

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"manus/incident"
	"manus/internal/testprogram"
	"manus/internal/waittest"
	"manus/language"
)

// Lighthouse finds nothing in what doesn't depend on how fast this machine is; that is
// bench/statuspage's.
func TestPagesAreRatedBest(t *testing.T) {
	t.Parallel()
	a, _ := setup(t)
	opened, err := a.Incidents.Open(t.Context(), incident.Opening{Title: language.Text{En: "Mails are late"}, Text: language.Text{En: "We look into it."}})
	if err != nil {
		t.Fatal(err)
	}
	site := "http://" + a.Addr()
	told := "/status/incidents/" + opened.ID
	waittest.Poll(t, func() bool { status, _ := call(t, a, "GET", told, "", ""); return status == 200 })
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(testprogram.Lighthouse.Path(), "rate.mjs"), testprogram.Chromium.Path(), "mobile", "accessibility,best-practices,seo",
		site+"/status", site+told, site+"/status/history?lang=ar", site+"/")
	cmd.WaitDelay = time.Second
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, log.String())
	}
	rated := json.NewDecoder(bytes.NewReader(out))
	for range 4 {
		var page struct {
			URL    string
			Scores map[string]int
			Faults []string
		}
		if err := rated.Decode(&page); err != nil {
			t.Fatal(err)
		}
		if len(page.Scores) != 3 {
			t.Errorf("%s has %d scores", page.URL, len(page.Scores))
		}
		for category, score := range page.Scores {
			if score != 100 {
				t.Errorf("%s: %s is %d of 100: %q", page.URL, category, score, page.Faults)
			}
		}
	}
}
