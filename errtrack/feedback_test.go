package errtrack

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"manus/docstore"
	"manus/errtrack/event"
	"manus/internal/storetest"
)

// said are messages that are shown somewhere, with who said them.
func (s *site) said(t *testing.T, path string) (all []string) {
	t.Helper()
	for _, f := range get[feedbackBody](t, s, path) {
		all = append(all, f.Name+" "+f.Email+": "+f.Message)
	}
	return all
}

// TestFeedbackOfSDKs: that of Node and of a browser is shown at the issues of its events,
// whichever of both came first, and however often it is sent.
func TestFeedbackOfSDKs(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]string{
		"the feedback first": {"node-feedback.2", "browser-feedback.*", "node-feedback.*"},
		"the event first":    {"node-feedback.1", "node-feedback.*", "browser-feedback.*"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			stop := s.start(t)
			s.replay(t, order...)
			stop()
			issues, _, err := s.Issues(t.Context(), Search{})
			if err != nil || len(issues) == 0 {
				t.Fatal(issues, err)
			}
			shown := 0
			for _, i := range issues {
				for _, f := range get[feedbackBody](t, s, "/ops/issues/"+i.Short+"/feedback") {
					if shown++; f.Email != "amal@example.com" || f.Name != "Amal" || f.Message != "I pressed pay and nothing happened" || f.IssueID != i.ID || strings.Contains(f.URL, "?") {
						t.Errorf("shown is %+v", f)
					}
					if e, err := s.Event(t.Context(), "", f.EventID); err != nil || e.IssueID != i.ID {
						t.Errorf("its event is of another issue: %v", err)
					}
				}
			}
			if shown != 2 {
				t.Errorf("%d are shown, not 2", shown)
			}
		})
	}
}

func TestFeedbackIsBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.send(t, 200, "user_report", fmt.Sprintf(`{"event_id":"%032x","name":%q,"email":%q,"comments":%q}`, 1, strings.Repeat("n", 5000), strings.Repeat("e", 5000), strings.Repeat("m", 50_000)),
		"user_report", fmt.Sprintf(`{"event_id":"%032X","name":7,"comments":"hello"}`, 2),
		"feedback", `{"contexts":{"feedback":{"message":"by itself","url":"https://amal:secret@shop.example.com/pay?token=x#y"}}}`)
	all := get[feedbackBody](t, s, "/ops/feedback?project="+s.p.ID)
	if len(all) != 3 {
		t.Fatalf("%d are kept", len(all))
	}
	for _, f := range all {
		if len(f.Name) > maxName || len(f.Email) > maxAddress || len(f.Message) > maxMessage || f.Message == "by itself" && f.URL != "https://shop.example.com/pay" {
			t.Errorf("kept is %.300v", f)
		}
	}
	for _, bad := range []string{`{"event_id":"1","comments":"x"}`, `{"comments":"x"}`, `[`, fmt.Sprintf(`{"event_id":"%032x","comments":" "}`, 1)} {
		s.send(t, 400, "user_report", bad)
	}
	if s.log.Len() > 0 {
		t.Errorf("the log has %s", &s.log)
	}

	s.clock.Add(90*24*time.Hour - time.Minute)
	s.send(t, 200, "feedback", `{"contexts":{"feedback":{"message":"later"}}}`)
	s.clock.Add(2 * time.Minute)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if said := s.said(t, "/ops/feedback?project="+s.p.ID); !slices.Equal(said, []string{" : later"}) {
		t.Errorf("after 90 days there are %q", said)
	}
	many := make([]Feedback, maxFeedback)
	for n := range many {
		many[n] = Feedback{ID: fmt.Sprint(s.p.ID, ".", n), Project: s.p.ID, At: docstore.At(s.clock.Now().Add(time.Duration(n) * time.Second)), Message: "x"}
	}
	if err := s.feedback.Insert(t.Context(), many...); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for f := range s.feedback.All(t.Context(), docstore.Query{Limit: docstore.MaxLimit}) {
		if n++; f.Message == "later" {
			t.Error("the oldest is kept")
		}
	}
	if n != maxFeedback {
		t.Errorf("%d are kept", n)
	}
	if err := s.DeleteProject(t.Context(), s.p.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := s.feedback.First(t.Context(), docstore.Query{}); err == nil {
		t.Errorf("of a deleted project there is %v", left)
	}
}

// What a secret looks like in an event it looks like in feedback, and what operators want taken
// out of events is taken out of it.
func TestFeedbackIsScrubbed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	policy := DefaultPolicy()
	policy.Scrub.Fields = []string{"email"}
	put, err := s.PreparePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	put()
	s.send(t, 200, "feedback", `{"contexts":{"feedback":{"message":"my card is 4111 1111 1111 1111, password=hunter2","contact_email":"amal@example.com","name":"Amal"}}}`)
	said := s.said(t, "/ops/feedback?project="+s.p.ID)
	if len(said) != 1 || !strings.HasPrefix(said[0], "Amal "+event.Scrubbed+": my card is "+event.Scrubbed) || strings.Contains(said[0], "hunter2") {
		t.Errorf("kept is %q", said)
	}
}

// Feedback whose event doesn't come stops waiting, and is kept.
func TestFeedbackIsCutShort(t *testing.T) {
	t.Parallel()
	storetest.CutShort(t, Specs(), func(store docstore.Store, cut func(func() error)) {
		r := newRig(t, store)
		e := r.event("a", 1)
		for n, id := range []string{e.ID, fmt.Sprintf("%032x", 99)} {
			if err := r.keepFeedback(t.Context(), Feedback{ID: fmt.Sprint(r.p.ID, ".", n), Project: r.p.ID, EventID: id, At: docstore.At(r.clock.Now()), Message: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		r.counted(t, e)
		r.clock.Add(eventAwaited + time.Minute)
		cut(func() error { return r.joinFeedback(t.Context(), r.p.ID, maxAwaiting) })
		found, _, err := r.IssueFeedback(t.Context(), r.only(t), 10, "")
		if err != nil || len(found) != 1 || found[0].EventID != e.ID {
			t.Errorf("found are %v: %v", found, err)
		}
		if all, _, err := r.AllFeedback(t.Context(), "Shop", 10, ""); err != nil || len(all) != 2 || !all[0].WaitsSince.IsZero() || !all[1].WaitsSince.IsZero() {
			t.Errorf("there are %v: %v", all, err)
		}
	})
}
