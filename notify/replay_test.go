package notify

import (
	"fmt"
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
	p.Rules[0].Channels, p.QuietHours = []string{"x"}, &QuietHours{From: "12:02", Until: "12:10"}
	expectLines(t, replayed(t, r, p), "0 [x] [] [] [b]", "1 [] [x] [] [b]", "2 [] [x] [] [b]", "3 [x] [] [] [b]")
	r.clock.Add(24 * time.Hour)
	expectLines(t, replayed(t, r, p))
	p.Timezone = "nowhere"
	if err := Replay(t.Context(), r.store, p, time.Time{}, nil); err == nil {
		t.Error("a policy without a zone is replayed")
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

func TestAReplayPassesErrorsOn(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.tell(t, r.down(0))
	want := docstore.ErrInvalid
	if err := Replay(t.Context(), r.store, DefaultPolicy(), time.Time{}, func(Told) error { return want }); err != want {
		t.Error(err)
	}
}
