package notify

import "slices"

// Kind is a kind of event that rules can name.
type Kind struct {
	Name  string
	Level Level // unless the event says another
	// Ends tells that its end is told too: only such an alert is worth a reminder.
	Ends bool
	// OfPrograms tells that it is of an issue, which programs report.
	OfPrograms bool
	// Has are the filters that its events have something for, beside level.
	Has []string
}

// What the kinds have that have anything to filter by.
var (
	hasOfIssue   = []string{"project", "environment", "release", "tags"}
	hasOfJob     = []string{"project", "environment", "monitor"} // SDKs call a job a monitor
	hasOfMonitor = []string{"monitor", "component"}
)

// The kinds that this room tells of itself.
const (
	ChannelDead     = "channel.dead"
	ChannelUnproven = "channel.unproven"
)

// spikeKind is of spikes: a rule for them says how many events within which time are one.
const spikeKind = "issue.spike"

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
	{Name: "readiness.failed", Level: Error, Ends: true},
	{Name: ChannelDead, Level: Critical, Ends: true},
	{Name: ChannelUnproven, Level: Warning, Ends: true},
	{Name: "issue.new", Level: Error, OfPrograms: true, Has: hasOfIssue},
	{Name: "issue.regressed", Level: Error, OfPrograms: true, Has: hasOfIssue},
	{Name: spikeKind, Level: Error, OfPrograms: true, Has: hasOfIssue},
	{Name: "check_in.missed", Level: Error, Ends: true, Has: hasOfJob},
	{Name: "monitor.down", Level: Critical, Ends: true, Has: hasOfMonitor},
	{Name: "monitor.flapping", Level: Warning, Ends: true, Has: hasOfMonitor},
	{Name: "slo.burning", Level: Warning, Ends: true, Has: hasOfMonitor},
	{Name: "network.down", Level: Error, Ends: true},
	{Name: "probe.silent", Level: Error, Ends: true},
	{Name: "status.differs", Level: Error, Ends: true},
	{Name: "billing.dead_letter", Level: Error},
}

func kindNames(kinds []Kind) []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return names
}

// having are the kinds whose events have something for a filter.
func having(filter string) []Kind {
	return slices.DeleteFunc(slices.Clone(Kinds), func(k Kind) bool { return !slices.Contains(k.Has, filter) })
}

// kindOf is what there is to know of a kind; an error without an end for one that isn't
// in the list.
func kindOf(name string) Kind {
	if i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == name }); i >= 0 {
		return Kinds[i]
	}
	return Kind{Name: name, Level: Error}
}
