package statuspage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"manus/language"
)

// Of work that comes again the page has the next two times and the rule in words; the calendar has all.
func TestWorkThatComesAgainDoesNotFillThePage(t *testing.T) {
	t.Parallel()
	m := Model{}
	for i := range 5 {
		from := now.AddDate(0, 0, 7*i+1)
		m.Maintenances = append(m.Maintenances, Maintenance{
			ID: fmt.Sprint("w.", i), Series: "w", Again: language.Text{En: "every week on Sundays", Ar: "كل أسبوع يوم الأحد"}, Title: language.Text{En: "Weekly restart"}, From: from, Until: from.Add(time.Hour), Progress: Scheduled,
		})
	}
	h := refreshed(t, m)
	page := get(t, h, "/status").Body.String()
	if n := strings.Count(page, "Weekly restart"); n != shownOfSeries || strings.Count(page, "<bdi>every week on Sundays</bdi>") != n {
		t.Errorf("it is there %d times: %s", n, page)
	}
	if calendar := get(t, h, "/status/calendar.ics").Body.String(); strings.Count(calendar, "BEGIN:VEVENT") != 5 {
		t.Error(calendar)
	}
}
