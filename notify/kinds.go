package notify

import "slices"

// Kind is a kind of event that rules can name.
type Kind struct {
	Name  string
	Level Level // unless the event says another
	// Ends tells that its end is told too: only such an alert is worth a reminder.
	Ends bool
}

// The kinds that this room tells of itself.
const (
	ChannelDead     = "channel.dead"
	ChannelUnproven = "channel.unproven"
)

// Kinds are the events that there are. Those of rooms that aren't built yet are in the
// contract: rules may name them already.
var Kinds = []Kind{
	{Name: "backup.failed", Level: Error, Ends: true},
	{Name: "backup.overdue", Level: Critical, Ends: true},
	{Name: "backup.suspicious", Level: Error, Ends: true},
	{Name: "store.damaged", Level: Critical},
	{Name: "limits.degraded", Level: Error, Ends: true},
	{Name: "queue.dead_letter", Level: Error},
	{Name: "lease.lost", Level: Warning},
	{Name: ChannelDead, Level: Critical, Ends: true},
	{Name: ChannelUnproven, Level: Warning, Ends: true},
	{Name: "issue.new", Level: Error},
	{Name: "issue.regressed", Level: Error},
	{Name: "issue.spike", Level: Error},
	{Name: "check_in.missed", Level: Error, Ends: true},
	{Name: "monitor.down", Level: Critical, Ends: true},
	{Name: "billing.dead_letter", Level: Error},
}

func kindNames() []string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = k.Name
	}
	return names
}

// kindOf is what there is to know of a kind; an error without an end for one that isn't
// in the list.
func kindOf(name string) Kind {
	if i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == name }); i >= 0 {
		return Kinds[i]
	}
	return Kind{Name: name, Level: Error}
}
