package notify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
)

// replayed is what Replay says of the last hours, a line for each event.
func replayed(t *testing.T, r *rig, p Policy) (lines []string) {
	t.Helper()
	err := Replay(t.Context(), r.store, p, r.clock.Now().Add(-24*time.Hour), func(told Told) error {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %s", told.Event.Occurrence, told.Channels, told.Later, told.Escalated, told.Was))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func expectLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAReplaySaysWhoWouldHaveBeenTold(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.Rules = []Rule{{On: "*", Channels: []string{"b"}}} })
	for n := range 4 { // 12:00, 12:04, 12:08, 12:12
		r.tell(t, r.down(n))
		r.clock.Add(4 * time.Minute)
	}
	p := DefaultPolicy()
	p.Channels = []ChannelConfig{{ID: "x"}, {ID: "y"}}
	expectLines(t, replayed(t, r, p), "0 [x y] [] [] [b]", "1 [x y] [] [] [b]", "2 [x y] [] [] [b]", "3 [x y] [] [] [b]")
	p.AtMost = AtMost{2, 10 * time.Minute}
	p.Rules = []Rule{{On: "monitor.*", Channels: []string{"x"}}}
	expectLines(t, replayed(t, r, p), "0 [x] [] [] [b]", "1 [x] [] [] [b]", "2 [] [x] [] [b]", "3 [x] [] [] [b]")
	p.Rules[0].Channels = nil
	expectLines(t, replayed(t, r, p), "0 [] [] [] [b]", "1 [] [] [] [b]", "2 [] [] [] [b]", "3 [] [] [] [b]")
	why := func(want string) {
		t.Helper()
		err := Replay(t.Context(), r.store, p, r.clock.Now().Add(-24*time.Hour), func(told Told) error {
			var all []string
			for _, one := range told.Why {
				all = append(all, one.En)
			}
			if got := strings.Join(all, " "); got != want {
				t.Errorf("it says %q, not %q", got, want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	why("alerts.rules[0] tells nobody: its channels are [].")
	p.Rules[0].Monitor, p.Rules[0].Channels = "elsewhere", []string{"x"}
	why("alerts.rules[0] is for monitor elsewhere; this is of health.")
	p.Rules[0].Monitor = ""
	why("")
	p.Rules[0].Channels, p.QuietHours = []string{"x"}, &QuietHours{From: "12:02", Until: "12:10"}
	expectLines(t, replayed(t, r, p), "0 [x] [] [] [b]", "1 [] [x] [] [b]", "2 [] [x] [] [b]", "3 [x] [] [] [b]")
	r.clock.Add(24 * time.Hour)
	expectLines(t, replayed(t, r, p))
	p.Timezone = "nowhere"
	if err := Replay(t.Context(), r.store, p, time.Time{}, nil); err == nil {
		t.Error("a policy without a zone is replayed")
	}
}

func TestAReplaySaysWhoHasTakenIt(t *testing.T) {
	t.Parallel()
	r := setup(t, func(p *Policy) { p.AtMost = AtMost{1, 10 * time.Minute} })
	r.receivers["b"].fail(func(Message) error { return errors.New("no connection") })
	r.tell(t, r.down(0))
	r.clock.Add(time.Second)
	r.tell(t, r.down(1))
	p := r.rules.Load().Policy
	p.Rules = []Rule{{On: "*"}}
	expectLines(t, replayed(t, r, p), "0 [] [] [] [a]", "1 [] [] [] []")
	r.clock.Add(10*time.Minute + time.Second)
	r.work(t)
	if got := replayed(t, r, p)[1]; got != "1 [] [] [] [a b]" { // in a digest, which b gets some day
		t.Errorf("then %s", got)
	}
}

func TestAReplayEscalatesWhatNobodyHadAcknowledgedInTime(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.tell(t, r.down(0), r.down(1), r.down(2), r.down(3), r.down(4))
	acknowledge := func(n int) {
		if err := r.Acknowledge(t.Context(), idOf(r.down(n).Key())); err != nil {
			t.Fatal(err)
		}
	}
	r.clock.Add(10 * time.Minute)
	acknowledge(1)
	r.tell(t, r.up(2))
	r.clock.Add(10 * time.Minute)
	acknowledge(3)
	r.tell(t, r.up(4))
	p := DefaultPolicy()
	p.Channels = []ChannelConfig{{ID: "x"}, {ID: "y"}}
	p.Rules = []Rule{{On: "monitor.down", Channels: []string{"x"}, Escalate: &Escalate{15 * time.Minute, []string{"y"}}}}
	of := func(p Policy) map[string]bool {
		escalated := map[string]bool{}
		if err := Replay(t.Context(), r.store, p, time.Time{}, func(told Told) error {
			escalated[told.Event.Occurrence] = len(told.Escalated) > 0
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return escalated
	}
	if got := fmt.Sprint(of(p)); got != "map[0:true 1:false 2:false 3:true 4:true]" {
		t.Errorf("escalated were %s", got)
	}
	// Quiet hours put an escalation off, and by then somebody cares.
	p.QuietHours = &QuietHours{From: "12:05", Until: "12:30"}
	if got := fmt.Sprint(of(p)); got != "map[0:true 1:false 2:false 3:false 4:false]" {
		t.Errorf("with quiet hours, escalated were %s", got)
	}
}

func TestAReplayKnowsReleasesAndTags(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	for n, browser := range []string{"Chrome", "Firefox"} {
		r.tell(t, Event{Kind: "issue.new", Occurrence: fmt.Sprint(n), At: docstore.At(r.clock.Now()), Release: fmt.Sprint("shop@", n), Tags: []Tag{{"browser.name", browser}}})
	}
	p := DefaultPolicy()
	p.Channels = []ChannelConfig{{ID: "x"}, {ID: "y"}}
	p.Rules = []Rule{
		{On: "issue.*", Tags: map[string]string{"browser.name": "Fire*"}, Channels: []string{"x"}}, {On: "issue.*", Release: "shop@0", Channels: []string{"y"}},
	}
	lines := replayed(t, r, p)
	slices.Sort(lines)
	expectLines(t, lines, "0 [y] [] [] [a b]", "1 [x] [] [] [a b]")
}

func TestAReplayPassesErrorsOn(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.tell(t, r.down(0))
	want := docstore.ErrInvalid
	if err := Replay(t.Context(), r.store, DefaultPolicy(), time.Time{}, func(Told) error { return want }); err != want {
		t.Error(err)
	}
}
