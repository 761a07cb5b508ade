package uptime

import (
	"slices"
	"time"

	"manus/uptime/confirm"
)

// Locations says which places watch a monitor, and how many of them have to see it down.
type Locations struct {
	// Quorum is how many of the places that watch it have to see it down; all of them, where
	// there are fewer. Zero is more than half.
	Quorum int `yaml:"quorum" json:"quorum,omitempty"`
	// Places are those that watch it; none is all.
	Places []string `yaml:"places" json:"places,omitempty"`
}

// problems says what is wrong with them.
func (l Locations) problems() (problems []string) {
	if l.Quorum < 0 || l.Quorum > maxPlaces {
		problems = append(problems, "locations.quorum: use a number from 1 to 50, or leave it out for more than half of the places")
	}
	if len(l.Places) > 0 && l.Quorum > len(l.Places) {
		problems = append(problems, "locations.quorum: is more than there are places in the list")
	}
	if len(l.Places) > maxPlaces || slices.ContainsFunc(l.Places, func(name string) bool { return !IsPlace(name) }) {
		problems = append(problems, "locations.places: list at most 50 names of places, of lower-case letters, digits and '-'")
	}
	return problems
}

// has tells whether a place watches.
func (l Locations) has(place string) bool {
	return len(l.Places) == 0 || slices.Contains(l.Places, place)
}

// enough is how many of so many places have to see it down.
func (l Locations) enough(places int) int {
	if l.Quorum == 0 {
		return places/2 + 1
	}
	return min(l.Quorum, places)
}

// needs tells whether others aren't enough to see it down without this place.
func (l Locations) needs(others []view) bool {
	n := 0
	for _, v := range others {
		if !v.silent {
			n++
		}
	}
	return l.enough(n+1) > n
}

// view is how a place sees a monitor.
type view struct {
	place string
	down  bool
	// since is since when; zero for longer than anybody asks.
	since time.Time
	tried []Look
	// silent is set while nothing is heard of the place; it has surely seen it so until then.
	silent bool
	until  time.Time
}

// agree says what holds of a monitor that was down, or wasn't, by how places see it, and since
// when: since enough of them have seen it so, or not enough any more. Void is for what nobody
// can say.
//
// Places that fall silent change nothing by that. What one has seen last stands against a
// change, until another has seen the change come after that.
func (l Locations) agree(views []view, wasDown bool) (confirm.Verdict, time.Time) {
	var down, up []time.Time
	for _, v := range views {
		switch {
		case v.silent:
		case v.down:
			down = append(down, v.since)
		default:
			up = append(up, v.since)
		}
	}
	places := len(down) + len(up)
	if places == 0 {
		return confirm.Void, time.Time{}
	}
	enough := l.enough(places)
	isDown, those, at := len(down) >= enough, down, enough-1
	if !isDown {
		those, at = up, places-enough
	}
	slices.SortFunc(those, time.Time.Compare)
	for _, v := range views {
		if v.silent && v.down != isDown && isDown != wasDown {
			for at < len(those) && !those[at].After(v.until) {
				at++
			}
		}
	}
	if at == len(those) {
		return confirm.Void, time.Time{}
	}
	if isDown {
		return confirm.Bad, those[at]
	}
	return confirm.Good, those[at]
}

// isWatchedAt tells whether the server's own place watches a monitor, which is called so. Pings
// of a heartbeat come to the server.
func (m Monitor) isWatchedAt(own string) bool { return m.Type == Heartbeat || m.Locations.has(own) }

// isSeenFrom tells whether another place watches a monitor: what one says of any other counts
// for nothing.
func (m Monitor) isSeenFrom(place string) bool { return m.Type != Heartbeat && m.Locations.has(place) }
