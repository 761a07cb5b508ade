package errtrack

import (
	"fmt"

	"manus/errtrack/event"
)

// Bounds of a policy.
const (
	maxDays     = 3650
	maxEvents   = 100_000_000
	maxScrubbed = 100
)

// Problems says in a sentence each what is wrong with the policy.
func (p Policy) Problems() (problems []string) {
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	add(p.Retention.Days < 1 || p.Retention.Days > maxDays, "errors.retention.days: use a number from 1 to %d", maxDays)
	add(p.Retention.EventsPerProject < 1000 || p.Retention.EventsPerProject > maxEvents, "errors.retention.events_per_project: use a number from 1000 to %d", maxEvents)
	add(len(p.Scrub.Fields) > maxScrubbed, "errors.scrub.fields: there are more than %d", maxScrubbed)
	add(len(p.Scrub.Patterns) > maxScrubbed, "errors.scrub.patterns: there are more than %d", maxScrubbed)
	for _, field := range p.Scrub.Fields[:min(len(p.Scrub.Fields), maxScrubbed)] {
		_, err := event.NewScrubber([]string{field}, nil)
		add(err != nil, "errors.scrub.fields: %v", err)
	}
	for _, pattern := range p.Scrub.Patterns[:min(len(p.Scrub.Patterns), maxScrubbed)] {
		_, err := event.NewScrubber(nil, []string{pattern})
		add(err != nil, "errors.scrub.patterns: %v", err)
	}
	return problems
}
