package uptime

import (
	"math/rand/v2"
	"testing"
	"time"

	"manus/uptime/confirm"
)

// after is how a place sees it since some minutes after noon.
func after(minutes int, down bool) view {
	return view{down: down, since: noon.Add(time.Duration(minutes) * time.Minute)}
}

// silenced is a view of which nothing is heard since some minutes after noon.
func silenced(v view, minutes int) view {
	v.silent, v.until = true, noon.Add(time.Duration(minutes)*time.Minute)
	return v
}

func TestHowManyPlacesMakeAnOutage(t *testing.T) {
	t.Parallel()
	const down, up = true, false
	for name, c := range map[string]struct {
		quorum  int
		views   []view
		wasDown bool
		want    confirm.Verdict
		at      int // minutes after noon
	}{
		"one of one":                                  {0, []view{after(3, down)}, false, confirm.Bad, 3},
		"one of two is not more than half":            {0, []view{after(3, down), after(0, up)}, false, confirm.Good, 0},
		"both of two, since the second":               {0, []view{after(3, down), after(4, down)}, false, confirm.Bad, 4},
		"two of three, since the second":              {0, []view{after(9, down), after(4, down), after(0, up)}, false, confirm.Bad, 9},
		"two of four are not more than half":          {0, []view{after(3, down), after(4, down), after(0, up), after(0, up)}, false, confirm.Good, 0},
		"a quorum of one":                             {1, []view{after(3, down), after(0, up), after(0, up)}, false, confirm.Bad, 3},
		"a quorum of more than there are":             {3, []view{after(3, down), after(4, down)}, false, confirm.Bad, 4},
		"a quorum of two with one place left":         {2, []view{after(9, down), silenced(after(0, up), 5)}, false, confirm.Bad, 9},
		"up again since the second of three":          {2, []view{after(9, down), after(20, up), after(21, up)}, true, confirm.Good, 21},
		"up again when one of two that are needed is": {2, []view{after(9, down), after(20, up)}, true, confirm.Good, 20},
		"nobody knows":                                {0, nil, false, confirm.Void, 0},
		"all are silent":                              {0, []view{silenced(after(3, down), 5)}, false, confirm.Void, 0},
		"others fall silent who have seen it up":      {2, []view{after(3, down), silenced(after(0, up), 5), silenced(after(0, up), 6)}, false, confirm.Void, 0},
		"others who have seen it down":                {2, []view{after(3, down), silenced(after(3, down), 5), after(0, up)}, true, confirm.Void, 0},
		"and then it is seen to come up":              {2, []view{after(7, up), silenced(after(3, down), 5), after(0, up)}, true, confirm.Good, 7},
	} {
		for range 5 {
			rand.Shuffle(len(c.views), func(i, j int) { c.views[i], c.views[j] = c.views[j], c.views[i] })
			verdict, at := Locations{Quorum: c.quorum}.agree(c.views, c.wasDown)
			if verdict != c.want || c.want != confirm.Void && !at.Equal(noon.Add(time.Duration(c.at)*time.Minute)) {
				t.Errorf("%s: %v since %v", name, verdict, at)
			}
		}
	}
}

// Whatever places see and whichever fall silent: an outage begins only when as many see it as
// there have to be, and silence alone changes nothing.
func TestWhateverPlacesSee(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	changes := 0
	for range 2000 {
		l := Locations{Quorum: r.IntN(4)}
		views := make([]view, 1+r.IntN(5))
		for i := range views {
			views[i] = after(0, false)
		}
		wasDown := false
		for minute := 1; minute < 60; minute++ {
			seen := r.IntN(2) == 0
			for i := range views {
				if !views[i].silent {
					views[i].until = noon.Add(time.Duration(minute) * time.Minute)
				}
			}
			if v := &views[r.IntN(len(views))]; seen {
				if !v.silent {
					v.down, v.since = !v.down, noon.Add(time.Duration(minute)*time.Minute)
				}
			} else {
				v.silent = !v.silent // one that comes back sees what it has seen before
			}
			verdict, _ := l.agree(views, wasDown)
			if verdict == confirm.Void || (verdict == confirm.Bad) == wasDown {
				continue
			}
			changes++
			down, fresh, contradicted := 0, 0, false
			for _, v := range views {
				if !v.silent {
					fresh++
					if v.down {
						down++
					}
				}
			}
			isDown := verdict == confirm.Bad
			for _, v := range views {
				newest := time.Time{}
				for _, o := range views {
					if !o.silent && o.down == isDown && o.since.After(newest) {
						newest = o.since
					}
				}
				contradicted = contradicted || v.silent && v.down != isDown && newest.Before(v.until)
			}
			if isDown != (down >= l.enough(fresh)) || contradicted {
				t.Fatalf("%+v: %d of %d see it down, and it is %v", l, down, fresh, isDown)
			}
			wasDown = isDown
		}
	}
	if changes < 1000 {
		t.Errorf("only %d changes", changes)
	}
}

func TestWhatIsWrongWithLocations(t *testing.T) {
	t.Parallel()
	for _, l := range []Locations{{Quorum: -1}, {Quorum: 51}, {Quorum: 2, Places: []string{"fra"}}, {Places: []string{"Frankfurt am Main"}}} {
		if problems := l.problems(); len(problems) != 1 {
			t.Errorf("%+v: %q", l, problems)
		}
	}
	if problems := (Locations{Quorum: 2, Places: []string{"fra", "nyc-2"}}).problems(); problems != nil {
		t.Errorf("%q", problems)
	}
}
