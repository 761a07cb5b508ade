package incident

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"manus/docstore"
)

// An incident's updates are written as "0s auto investigating", and what each of them tells
// of, in turn, by their numbers.
func TestQuickUpdatesAreToldTogetherAndShortOutagesNotAtAll(t *testing.T) {
	t.Parallel()
	telling := Telling{Together: time.Minute, AutomaticAfter: 5 * time.Minute}
	start := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct{ updates, want string }{
		"one by a person":            {"0s me investigating", "1m0s:0"},
		"three at once":              {"0s me investigating; 10s me identified; 50s me monitoring", "1m0s: 1m0s: 1m0s:210"},
		"one a little later":         {"0s me investigating; 61s me identified", "1m0s:0 2m0s:1|0"},
		"a short outage":             {"0s auto investigating; 200s auto resolved", "5m0s: 5m0s:"},
		"a long outage":              {"0s auto investigating; 400s auto resolved", "5m0s:0 7m0s:1|0"},
		"an outage that goes on":     {"0s auto investigating", "5m0s:0"},
		"a person has taken it up":   {"0s auto investigating; 90s me identified; 200s auto resolved", "5m0s: 2m0s:1|0 5m0s:2|10"},
		"a person after it was over": {"0s auto investigating; 100s auto resolved; 150s me resolved", "5m0s: 5m0s: 3m0s:2|10"},
	} {
		i := Incident{StartedAt: docstore.At(start.Add(-37 * time.Second))} // it was corrected, which changes nothing of this
		for n, text := range strings.Split(c.updates, "; ") {
			f := strings.Fields(text)
			after, err := time.ParseDuration(f[0])
			if err != nil {
				t.Fatal(err)
			}
			i.Updates = append(i.Updates, Update{ID: fmt.Sprint(n), At: docstore.At(start.Add(after)), Status: Status(f[2]), Automatic: f[1] == "auto"})
		}
		var got []string
		for _, u := range i.Updates {
			news, before := telling.News(i, u.ID)
			got = append(got, fmt.Sprintf("%v:%s", telling.At(i, u).Sub(start), numbers(news)+numbersBehind(before)))
		}
		if all := strings.Join(got, " "); all != c.want {
			t.Errorf("%s: %s, want %s", name, all, c.want)
		}
	}
}

func TestWithoutATimeEachUpdateIsToldAtOnce(t *testing.T) {
	t.Parallel()
	start := docstore.At(time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC))
	i := Incident{StartedAt: start, Updates: []Update{{ID: "0", At: start}, {ID: "1", At: start}}}
	for n, u := range i.Updates {
		news, before := (Telling{}).News(i, u.ID)
		if at := (Telling{}).At(i, u); !at.Equal(start.Time) || numbers(news) != u.ID || len(before) != n {
			t.Errorf("%s: at %v %s%s", u.ID, at, numbers(news), numbersBehind(before))
		}
	}
}

func numbers(all []Update) (text string) {
	for _, u := range all {
		text += u.ID
	}
	return text
}

func numbersBehind(all []Update) string {
	if len(all) == 0 {
		return ""
	}
	return "|" + numbers(all)
}
