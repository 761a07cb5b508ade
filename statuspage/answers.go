package statuspage

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"manus/language"
)

// What Atlassian's Statuspage answers at /api/v2. There is no field that it hasn't: one decoder
// refuses components with another one.
type (
	pageAnswer struct {
		ID        string  `json:"id"`
		Name      string  `json:"name"`
		URL       string  `json:"url"`
		TimeZone  string  `json:"time_zone"`
		UpdatedAt instant `json:"updated_at"`
	}
	statusAnswer struct {
		Indicator   string `json:"indicator"`
		Description string `json:"description"`
	}
	componentAnswer struct {
		ID                 string   `json:"id"`
		Name               string   `json:"name"`
		Status             Status   `json:"status"`
		CreatedAt          instant  `json:"created_at"`
		UpdatedAt          instant  `json:"updated_at"`
		Position           int      `json:"position"`
		Description        *string  `json:"description"`
		Showcase           bool     `json:"showcase"`
		StartDate          *string  `json:"start_date"`
		GroupID            *string  `json:"group_id"`
		PageID             string   `json:"page_id"`
		Group              bool     `json:"group"`
		OnlyShowIfDegraded bool     `json:"only_show_if_degraded"`
		Components         []string `json:"components,omitempty"` // of a group, ids
	}
	affectedAnswer struct {
		Code      string `json:"code"`
		Name      string `json:"name"`
		OldStatus Status `json:"old_status"`
		NewStatus Status `json:"new_status"`
	}
	updateAnswer struct {
		ID                   string           `json:"id"`
		Status               string           `json:"status"`
		Body                 string           `json:"body"`
		IncidentID           string           `json:"incident_id"`
		CreatedAt            instant          `json:"created_at"`
		UpdatedAt            instant          `json:"updated_at"`
		DisplayAt            instant          `json:"display_at"`
		AffectedComponents   []affectedAnswer `json:"affected_components"`
		DeliverNotifications bool             `json:"deliver_notifications"`
		CustomTweet          *string          `json:"custom_tweet"`
		TweetID              *string          `json:"tweet_id"`
	}
	incidentAnswer struct {
		ID                string            `json:"id"`
		Name              string            `json:"name"`
		Status            string            `json:"status"`
		CreatedAt         instant           `json:"created_at"`
		UpdatedAt         instant           `json:"updated_at"`
		MonitoringAt      *instant          `json:"monitoring_at"`
		ResolvedAt        *instant          `json:"resolved_at"`
		Impact            string            `json:"impact"`
		Shortlink         string            `json:"shortlink"`
		StartedAt         instant           `json:"started_at"`
		PageID            string            `json:"page_id"`
		IncidentUpdates   []updateAnswer    `json:"incident_updates"`
		Components        []componentAnswer `json:"components"`
		ReminderIntervals *string           `json:"reminder_intervals"`
		ScheduledFor      *instant          `json:"scheduled_for,omitempty"`
		ScheduledUntil    *instant          `json:"scheduled_until,omitempty"`
	}
)

// instant is a moment as Statuspage writes it.
type instant time.Time

// MarshalJSON writes milliseconds.
func (i instant) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(i).UTC().Format(`"2006-01-02T15:04:05.000Z07:00"`)), nil
}

func some(at time.Time) *instant {
	i := instant(at)
	return &i
}

// pageID is the page's: there is one.
const pageID = "manus"

// most is how many incidents or works Statuspage lists.
const most = 50

// answers are those of /api/v2, by what they are called.
func (s *site) answers() map[string]func() []byte {
	planned := func(lists ...[]Maintenance) func() []byte {
		return func() []byte {
			return s.answer("scheduled_maintenances", s.maintenances(lists...))
		}
	}
	return map[string]func() []byte{
		"summary": func() []byte {
			return encode(struct {
				Page         pageAnswer        `json:"page"`
				Components   []componentAnswer `json:"components"`
				Incidents    []incidentAnswer  `json:"incidents"`
				Maintenances []incidentAnswer  `json:"scheduled_maintenances"`
				Status       statusAnswer      `json:"status"`
			}{s.pageAnswer(), s.components(), s.incidents(s.Open), s.maintenances(s.On, s.Next), s.indicator()})
		},
		"status":               func() []byte { return s.answer("status", s.indicator()) },
		"components":           func() []byte { return s.answer("components", s.components()) },
		"incidents":            func() []byte { return s.answer("incidents", s.incidents(s.Open, s.Past)) },
		"incidents/unresolved": func() []byte { return s.answer("incidents", s.incidents(s.Open)) },

		"scheduled-maintenances":          planned(s.On, s.Next, s.Over),
		"scheduled-maintenances/upcoming": planned(s.Next),
		"scheduled-maintenances/active":   planned(s.On),
	}
}

func (s *site) answer(name string, value any) []byte {
	return encode(map[string]any{"page": s.pageAnswer(), name: value})
}

func encode(value any) []byte {
	out, err := json.Marshal(value)
	if err != nil {
		panic(err) // texts, numbers and times can be written
	}
	return out
}

func (s *site) pageAnswer() pageAnswer {
	url := s.root()
	if !s.settings.Root {
		url += mainPage
	}
	return pageAnswer{pageID, s.Title.In(language.English), url, "Etc/UTC", instant(s.At)}
}

// widget is what the widget shows: how everything is, in the words of the page, and where that stands.
func (s *site) widget() []byte {
	type shown struct {
		Says string `json:"says"`
		Page string `json:"page"` // from the site's root
	}
	in := func(tag language.Tag) shown {
		return shown{s.sentence().In(tag), links{tag: tag, files: s.settings.files}.to(mainPage)}
	}
	return encode(struct {
		Is string    `json:"is"`
		At time.Time `json:"at"`
		En shown     `json:"en"`
		Ar shown     `json:"ar"`
	}{s.Overall.level().Class(), s.At, in(language.English), in(language.Arabic)})
}

func (s *site) indicator() statusAnswer {
	switch s.Overall {
	case MajorOutage:
		return statusAnswer{"critical", "Major Service Outage"}
	case PartialOutage:
		return statusAnswer{"major", "Partial System Outage"}
	case Degraded:
		return statusAnswer{"minor", "Minor Service Outage"}
	case UnderMaintenance:
		return statusAnswer{"maintenance", "Service Under Maintenance"}
	case Unknown: // "none" is a client's word for it; people read the rest
		return statusAnswer{"none", s.sentence().En}
	default:
		return statusAnswer{"none", "All Systems Operational"}
	}
}

// word is a status as Statuspage knows it, which has no word for what isn't known, and clients
// refuse or drop a component with another one. Nobody has seen it fail; the page's description says
// that it isn't watched.
func (s Status) word() Status {
	if s == Unknown {
		return Operational
	}
	return s
}

func (s *site) components() []componentAnswer {
	all := []componentAnswer{}
	position := 0
	for _, g := range s.Groups {
		var groupID *string
		if g.Name != (language.Text{}) {
			groupID = &g.ID
			c := s.newComponent(g.ID, g.Name, language.Text{}, g.Status, len(all)+1)
			c.Group = true
			for _, r := range g.Rows {
				c.Components = append(c.Components, r.ID)
			}
			all = append(all, c)
		}
		for _, r := range g.Rows {
			position++
			c := s.newComponent(r.ID, r.Name, r.About, r.Status, position)
			if c.GroupID = groupID; !r.Since.IsZero() {
				c.CreatedAt = instant(r.Since)
			}
			all = append(all, c)
		}
	}
	return all
}

func (s *site) newComponent(id string, name, about language.Text, status Status, position int) componentAnswer {
	c := componentAnswer{ID: id, Name: name.In(language.English), Status: status.word(), Position: position, PageID: pageID, CreatedAt: instant(s.begin()), UpdatedAt: instant(s.At)}
	if text := about.In(language.English); text != "" {
		c.Description = &text
	}
	return c
}

// begin is when the page's days begin, in the place of what nobody has noted.
func (s *site) begin() time.Time {
	return s.At.UTC().Truncate(dayLength).AddDate(0, 0, 1-HistoryDays)
}

// concerned are the components of an incident.
func (s *site) concerned(ids []string) []componentAnswer {
	found := []componentAnswer{}
	for _, c := range s.components() {
		if !c.Group && slices.Contains(ids, c.ID) {
			found = append(found, c)
		}
	}
	return found
}

func (s *site) incidents(lists ...[]Incident) []incidentAnswer {
	all := []incidentAnswer{}
	for _, i := range slices.Concat(lists...) {
		if len(all) == most {
			break
		}
		a := incidentAnswer{
			ID: i.ID, Name: i.Title.In(language.English), Status: string(i.Stage()), CreatedAt: instant(i.StartedAt), StartedAt: instant(i.StartedAt), UpdatedAt: instant(i.last().At),
			Impact: string(i.Severity), Shortlink: links{tag: language.English, root: s.root(), files: s.settings.files}.to("status/incidents/" + i.ID), PageID: pageID,
			Components: s.concerned(i.Components), IncidentUpdates: []updateAnswer{},
		}
		if !i.ResolvedAt.IsZero() {
			a.ResolvedAt = some(i.ResolvedAt)
		}
		status := Status(Operational)
		for _, u := range i.Updates { // each with what it has changed of the components, the newest first
			next := i.Severity.claimed()
			switch u.Stage {
			case Resolved, Postmortem:
				next = Operational
			case Monitoring:
				a.MonitoringAt = some(u.At)
			}
			a.IncidentUpdates = slices.Insert(a.IncidentUpdates, 0, s.update(i.ID, u.ID, string(u.Stage), u.Text.In(language.English), u.At, a.Components, status, next))
			status = next
		}
		all = append(all, a)
	}
	return all
}

func (s *site) update(incident, id, status, text string, at time.Time, concerned []componentAnswer, before, after Status) updateAnswer {
	u := updateAnswer{
		ID: id, Status: status, Body: plain(text), IncidentID: incident, CreatedAt: instant(at), UpdatedAt: instant(at), DisplayAt: instant(at), AffectedComponents: []affectedAnswer{}, DeliverNotifications: true,
	}
	for _, c := range concerned {
		u.AffectedComponents = append(u.AffectedComponents, affectedAnswer{c.ID, c.Name, before, after})
	}
	return u
}

// plain is a text as it was written, in which there can be no element: some clients take it
// for text, and some for HTML.
func plain(text string) string { return strings.ReplaceAll(text, "<", "&lt;") }

func (s *site) maintenances(lists ...[]Maintenance) []incidentAnswer {
	all := []incidentAnswer{}
	for _, m := range slices.Concat(lists...) {
		if len(all) == most {
			break
		}
		if m.IsCancelled() { // which Statuspage has no word for
			continue
		}
		status := string(m.Progress)
		ids := m.Components
		if len(ids) == 0 {
			for _, r := range s.Rows {
				ids = append(ids, r.ID)
			}
		}
		a := incidentAnswer{
			ID: m.ID, Name: m.Title.In(language.English), Status: status, CreatedAt: instant(m.CreatedAt), UpdatedAt: instant(m.ChangedAt), StartedAt: instant(m.From), Impact: "maintenance",
			Shortlink: links{tag: language.English, root: s.root(), files: s.settings.files}.to(mainPage), PageID: pageID, Components: s.concerned(ids), ScheduledFor: some(m.From), ScheduledUntil: some(m.Until),
		}
		if m.Progress == Completed {
			a.ResolvedAt = some(m.Until)
		}
		text := m.Text.In(language.English)
		if text == "" {
			text = a.Name
		}
		a.IncidentUpdates = []updateAnswer{s.update(m.ID, m.ID+"-0", status, text, m.CreatedAt, a.Components, Operational, UnderMaintenance)}
		all = append(all, a)
	}
	return all
}
