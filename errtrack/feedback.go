package errtrack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/language"
)

// Feedback is what somebody who used a program says, of an event or by itself. It holds
// their address: it is shown to operators alone, and goes when events of its age do.
type Feedback struct {
	ID      string `json:"_id"`
	Project string `json:"project"`
	EventID string `json:"event_id,omitempty"` // what it is about; empty for nothing that was reported
	// Group is the hash of that event, by which it is found at the event's issue. While the
	// event has not come, it is missing and WaitsSince is set.
	Group      string        `json:"group,omitempty"`
	WaitsSince docstore.Time `json:"waits_since,omitzero"`
	At         docstore.Time `json:"at"`
	Name       string        `json:"name,omitempty"`
	Email      string        `json:"email,omitempty"`
	Message    string        `json:"message"`
	URL        string        `json:"url,omitempty"` // of the page, without its query
}

// DocumentID is the feedback's id.
func (f Feedback) DocumentID() string { return f.ID }

var feedbackSpec = docstore.Spec{Collection: "error_feedback", Of: Feedback{}, Transient: true, Indexes: []docstore.Index{
	{Name: "by_at", Fields: []string{"project", "at"}},
	{Name: "by_group", Fields: []string{"group", "at"}},
	{Name: "by_waiting", Fields: []string{"project", "waits_since"}},
}}

// Bounds of feedback.
const (
	maxFeedback = 5_000 // of a project; the oldest goes first
	maxMessage  = 4096  // characters
	maxAddress  = 254
	maxPage     = 500
	// eventAwaited is how long the event may take to come: it may have been dropped.
	eventAwaited = 24 * time.Hour
	// maxAwaiting is how many that wait are looked at when somebody reads.
	maxAwaiting = 1000
)

// readFeedback reads an item of the type feedback, or user_report as older programs send it.
// What is of the wrong type is as if it weren't there. It returns ErrInvalid for one that
// says nothing, and for a report of no event.
func readFeedback(payload []byte, report bool) (Feedback, error) {
	var wire struct {
		EventID  string `json:"event_id"`
		Name     string `json:"name"`
		Email    string `json:"email"`
		Comments string `json:"comments"`
		Contexts struct {
			Feedback struct {
				Message string `json:"message"`
				Email   string `json:"contact_email"`
				Name    string `json:"name"`
				EventID string `json:"associated_event_id"`
				URL     string `json:"url"`
			} `json:"feedback"`
		} `json:"contexts"`
		Request struct {
			URL string `json:"url"`
		} `json:"request"`
	}
	err := json.Unmarshal(payload, &wire)
	if _, isType := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !isType {
		return Feedback{}, fmt.Errorf("%w: the feedback is no JSON object", ErrInvalid)
	}
	said := wire.Contexts.Feedback
	f := Feedback{EventID: event.ID(said.EventID), Name: said.Name, Email: said.Email, Message: said.Message, URL: cmp.Or(said.URL, wire.Request.URL)}
	own := event.ID(wire.EventID)
	if report {
		f, own = Feedback{EventID: own, Name: wire.Name, Email: wire.Email, Message: wire.Comments}, ""
	}
	if f.Message = strings.TrimSpace(language.Cut(f.Message, maxMessage)); f.Message == "" {
		return f, fmt.Errorf("%w: the feedback has no message", ErrInvalid)
	}
	if report && f.EventID == "" {
		return f, fmt.Errorf("%w: the report names no event_id", ErrInvalid)
	}
	f.Name, f.Email, f.URL = language.Cut(f.Name, maxName), language.Cut(f.Email, maxAddress), pageOf(f.URL)
	sum := sha256.Sum256([]byte(strings.Join([]string{own, f.EventID, f.Name, f.Email, f.Message}, "\x00")))
	f.ID = hex.EncodeToString(sum[:12]) // the same, sent again, is the same
	return f, nil
}

// pageOf is a page's address without what may be a secret in it.
func pageOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment, u.RawFragment = nil, "", "", ""
	return language.Cut(u.String(), maxPage)
}

// takeFeedback keeps an item of the type feedback or user_report.
func (d *delivery) takeFeedback(ctx context.Context, payload []byte, report bool) {
	f, err := readFeedback(payload, report)
	if errors.Is(err, ErrInvalid) {
		err = d.malformed(err)
	}
	if err == nil {
		f.scrub(d.policy.Load().scrubber)
		f.Project, f.ID, f.At = d.project.ID, d.project.ID+"."+f.ID, docstore.At(d.c.Now())
		err = d.keepFeedback(ctx, f)
	}
	d.err = cmp.Or(d.err, err)
}

// scrub takes out of feedback what is taken out of an event that says the same.
func (f *Feedback) scrub(scrubber *event.Scrubber) {
	e := event.Event{Message: f.Message, User: &event.User{Username: f.Name, Email: f.Email}, Request: &event.Request{URL: f.URL}}
	scrubber.Scrub(&e)
	f.Message, f.Name, f.Email, f.URL = e.Message, "", "", ""
	if e.User != nil {
		f.Name, f.Email = e.User.Username, e.User.Email
	}
	if e.Request != nil {
		f.URL = e.Request.URL
	}
}

// keepFeedback keeps feedback, unless it is there already. Errors are the store's.
func (s *Service) keepFeedback(ctx context.Context, f Feedback) error {
	group, err := s.groupOfFeedback(ctx, f)
	if err != nil {
		return err
	}
	if f.Group = group; group == "" && f.EventID != "" {
		f.WaitsSince = f.At
	}
	if err = s.feedback.Insert(ctx, f); docstore.ConflictsOn(err, docstore.IDIndex) {
		return nil
	}
	return err
}

// groupOfFeedback is the hash of the event that feedback is about; empty while it isn't there.
func (s *Service) groupOfFeedback(ctx context.Context, f Feedback) (string, error) {
	if f.EventID == "" {
		return "", nil
	}
	k, err := s.events.First(ctx, docstore.Query{Index: byEvent, Equal: []any{f.EventID, f.Project}})
	return k.Group, docstore.NotFoundAs(err, nil)
}

// joinFeedback puts feedback that came before its event to that, where it has come since: the
// newest, and as much as most. It may be cut short and done again. Errors are the store's.
func (s *Service) joinFeedback(ctx context.Context, project string, most int) error {
	seen := 0
	for f, err := range s.feedback.All(ctx, docstore.Query{Index: "by_waiting", Equal: []any{project}, Descending: true}) {
		if err != nil {
			return err
		}
		group, err := s.groupOfFeedback(ctx, f)
		if err != nil {
			return err
		}
		if waited := s.c.Now().Sub(f.WaitsSince.Time); group != "" || waited.Abs() > eventAwaited {
			_, err = s.feedback.Update(ctx, f.ID, func(f *Feedback) error {
				f.Group, f.WaitsSince = group, docstore.Time{}
				return nil
			})
			if docstore.NotFoundAs(err, nil) != nil {
				return err
			}
		}
		if seen++; seen >= most {
			return nil
		}
	}
	return nil
}

// IssueFeedback is a page of what was said of an issue's events, the newest first, and the
// cursor of the next page. Errors are the store's.
func (s *Service) IssueFeedback(ctx context.Context, issue Issue, limit int, cursor string) (found []Feedback, next string, err error) {
	if err := s.joinFeedback(ctx, issue.Project, maxAwaiting); err != nil {
		return nil, "", err
	}
	var queries []docstore.Query
	for _, h := range issue.Hashes {
		queries = append(queries, docstore.Query{Index: "by_group", Equal: []any{h}})
	}
	return s.pageOfFeedback(ctx, queries, limit, cursor)
}

// AllFeedback is a page of what was said of a project's program, or of those of all where it
// is empty, the newest first, and the cursor of the next page. Errors are ErrNoProject and
// the store's.
func (s *Service) AllFeedback(ctx context.Context, project string, limit int, cursor string) ([]Feedback, string, error) {
	projects, err := s.searched(ctx, project)
	if err != nil {
		return nil, "", err
	}
	var queries []docstore.Query
	for _, p := range projects {
		if err := s.joinFeedback(ctx, p.ID, maxAwaiting); err != nil {
			return nil, "", err
		}
		queries = append(queries, docstore.Query{Index: "by_at", Equal: []any{p.ID}})
	}
	return s.pageOfFeedback(ctx, queries, limit, cursor)
}

// pageOfFeedback is a page of what queries find together, the newest first.
func (s *Service) pageOfFeedback(ctx context.Context, queries []docstore.Query, limit int, cursor string) (found []Feedback, next string, err error) {
	limit = cmp.Or(limit, docstore.DefaultLimit)
	var lists []iter.Seq2[Feedback, error]
	for _, q := range queries {
		q.Descending, q.Limit, q.Cursor = true, min(limit, docstore.DefaultLimit), cursor
		lists = append(lists, s.feedback.All(ctx, q))
	}
	newestFirst := func(a, b Feedback) int { return cmp.Or(b.At.Compare(a.At.Time), cmp.Compare(b.ID, a.ID)) }
	for f, err := range merged(lists, newestFirst) {
		if err != nil {
			return nil, "", err
		}
		if found = append(found, f); len(found) == limit {
			return found, docstore.EncodeCursor([]any{f.At, f.ID}), nil
		}
	}
	return found, "", nil
}

// issueOfFeedback is the issue of the event that feedback is about; empty for none.
func (s *Service) issueOfFeedback(ctx context.Context, f Feedback) (string, error) {
	if f.Group == "" {
		return "", nil
	}
	h, err := s.hashes.Get(ctx, f.Group)
	return h.Issue, docstore.NotFoundAs(err, nil)
}

// removeFeedback puts feedback to its events, and removes what is older than events may be
// and what is more than there may be.
func (s *Service) removeFeedback(ctx context.Context, p Project) error {
	err := s.joinFeedback(ctx, p.ID, maxFeedback)
	if _, failure := s.feedback.DeleteAll(ctx, docstore.Query{Index: "by_at", Equal: []any{p.ID}, Until: s.cutoff()}); failure != nil {
		return errors.Join(err, failure)
	}
	n := 0
	for f, failure := range s.feedback.All(ctx, docstore.Query{Index: "by_at", Equal: []any{p.ID}, Descending: true, Limit: docstore.MaxLimit}) {
		if failure != nil {
			return errors.Join(err, failure)
		}
		if n++; n > maxFeedback {
			_, failure = s.feedback.DeleteAll(ctx, docstore.Query{Index: "by_at", Equal: []any{p.ID}, Until: docstore.At(f.At.Add(time.Millisecond))})
			return errors.Join(err, failure)
		}
	}
	return err
}
