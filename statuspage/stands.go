package statuspage

import (
	"slices"

	"manus/language"
)

// Stand is how a component is, for those who are told of it.
type Stand struct {
	ID     string
	Name   language.Text
	Status Status
}

// Stands are how components are by now, those that the page lists, with an incident or planned work as it
// is given: the page itself may not have read that yet.
func (s *Service) Stands(ids []string, incident *Incident, work *Maintenance) (all []Stand) {
	now := s.site.Load()
	if now == nil {
		return nil
	}
	told := *now.view
	if incident != nil {
		told.Open = slices.DeleteFunc(slices.Clone(told.Open), func(i Incident) bool { return i.ID == incident.ID })
		if !incident.IsOver() {
			told.Open = append(told.Open, *incident)
		}
	}
	if work != nil {
		told.On = slices.DeleteFunc(slices.Clone(told.On), func(m Maintenance) bool { return m.ID == work.ID })
		if work.Progress == InProgress {
			told.On = append(told.On, *work)
		}
	}
	for i := range told.Rows {
		if c := told.Rows[i].Component; slices.Contains(ids, c.ID) {
			all = append(all, Stand{c.ID, c.Name, told.status(c)})
		}
	}
	return all
}

// Words are those of a status, for people.
func (s Status) Words() language.Text { return statusWords[s] }

// Words are those of a severity, for people.
func (s Severity) Words() language.Text { return severityWords[s] }

// Colour is a status's, in a mail, which knows no stylesheet.
func (s Status) Colour() string {
	return map[Status]string{
		Operational: "#009e73", UnderMaintenance: "#0072b2", Degraded: "#e69f00", PartialOutage: "#d55e00", MajorOutage: "#b3261e",
	}[s]
}

// Colour is that of trouble as bad.
func (s Severity) Colour() string { return s.claimed().Colour() }
